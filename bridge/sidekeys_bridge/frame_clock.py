"""When each frame of a device was heard: frames to monotonic seconds and back, smoothed.

Blocks of sound come with times that jitter, and a device's own clock is not the computer's. Jitter
makes times late and never early, so the earliest block of each tenth of a second is trusted, and a
line is laid through those of the last 20 s. Its slope is held near the nominal rate until there is
enough to know better.
"""

from __future__ import annotations

from collections import deque

import numpy as np

_BUCKET_SECONDS = 0.1
_BUCKETS = 200
_STEP_SECONDS = 2e-3  # the line is laid anew where times move by more, and stay there
_STEP_BUCKETS = 3
# How far a device may be off: crystals are within 100 ppm, jackd's dummy driver is at 170.
_USUAL_DRIFT = 200e-6
_LARGEST_DRIFT = 2e-3
_JITTER_SECONDS = 0.5e-3  # of the earliest block in a bucket, to weigh the usual drift against
_OUTLIER_SECONDS = 0.3e-3


class FrameClock:
    """The line between frame numbers and monotonic seconds.

    Args:
        rate: the nominal one, frames a second.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        # Closed buckets, and the open one: (seconds by the nominal rate, lateness against it).
        self._closed: deque[tuple[float, float]] = deque(maxlen=_BUCKETS)
        self._open: tuple[float, float] | None = None
        self._open_number = -1
        self._center = 0.0
        self._late = 0.0  # at the center, seconds
        self._drift = 0.0  # lateness that grows, seconds a nominal second

    @property
    def rate(self) -> float:
        """Frames a second as measured."""
        return self._rate / (1.0 + self._drift)

    @property
    def started(self) -> bool:
        """True once a block has been added."""
        return self._open is not None

    def add(self, frame: int, seconds: float) -> None:
        """Learn that ``frame``, later than those told of before, came by ``seconds``."""
        nominal = frame / self._rate
        late = seconds - nominal
        number = int(nominal / _BUCKET_SECONDS)
        if self._open is None:
            self._open, self._open_number = (nominal, late), number
            self._fit()
            return
        if number != self._open_number:
            self._closed.append(self._open)
            self._open, self._open_number = (nominal, late), number
            self._fit()
        elif late < self._open[1]:
            self._open = (nominal, late)
            if len(self._closed) < _STEP_BUCKETS:
                self._fit()

    def seconds_at(self, frame: float) -> float:
        """When ``frame`` was, or will be, at the input; monotonic seconds."""
        nominal = frame / self._rate
        return nominal + self._late + self._drift * (nominal - self._center)

    def frame_at(self, seconds: float) -> float:
        """Which frame is at the input at ``seconds``."""
        nominal = seconds - self._late + self._drift * self._center
        return nominal / (1.0 + self._drift) * self._rate

    def _fit(self) -> None:
        if not self._closed:
            assert self._open is not None
            self._center, self._late = self._open
            return
        self._forget_before_a_step()
        points = np.array(self._closed)
        nominal, late = points[:, 0], points[:, 1]
        self._lay_line(nominal, late)
        # A tenth of a second in which every block was late says nothing.
        off = late - (self._late + self._drift * (nominal - self._center))
        kept = off < np.median(off) + 3 * np.median(np.abs(off - np.median(off))) + _OUTLIER_SECONDS
        self._lay_line(nominal[kept], late[kept])

    def _forget_before_a_step(self) -> None:
        """Drop what was learned before the times moved for good, as after a short loss."""
        if len(self._closed) <= _STEP_BUCKETS:
            return
        recent = [self._closed[index] for index in range(-_STEP_BUCKETS, 0)]
        off = [late - self._late - self._drift * (at - self._center) for at, late in recent]
        if min(off) > _STEP_SECONDS or max(off) < -_STEP_SECONDS:
            self._closed.clear()
            self._closed.extend(recent)

    def _lay_line(self, nominal: np.ndarray, late: np.ndarray) -> None:
        """Least squares, with the slope drawn towards the nominal rate while points are few."""
        self._center, self._late = float(nominal.mean()), float(late.mean())
        spread = nominal - self._center
        prior = (_JITTER_SECONDS / _USUAL_DRIFT) ** 2
        drift = float(spread @ (late - self._late)) / (float(spread @ spread) + prior)
        self._drift = min(_LARGEST_DRIFT, max(-_LARGEST_DRIFT, drift))
