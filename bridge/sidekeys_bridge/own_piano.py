"""Hears whether our own piano comes back on the bus that we listen to.

That the song rises where we strike a key proves nothing: we play a cover of it. But a cover also
strikes keys that the song did not have at the place the notes were made from. At those pitches, and
only if the piano is on the bus, the sound rises one constant latency after each of our strikes,
more than at other lags and more than at the pitches beside. Measured against the song itself in
this way, neither its rhythm nor its harmony looks like us.

Measured on nine songs, four composers each, 75 s a run: no false alarm in 108 runs. With the piano
10 dB below the song and a delay of 4 or 6 beats, 69 of 72 runs warned, 58 within 20 s. In loop mode
without delay, where all but what the arranger adds is in the song at that moment, 17 of 36 did.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidekeys_bridge.spectrum import BATCH, HIGHEST, HOP_SECONDS, LOWEST, Spectrum

Float32 = NDArray[np.float32]

_KEPT_SECONDS = 120.0
_BESIDE = (-2, -1, 1, 2)  # semitones
_BEFORE, _AFTER = (3, 4, 5), (3, 4, 5, 6)  # columns whose means make a rise
_LARGEST_RISE = 3.0  # in the logarithm of power; 13 dB
_CHORD_SECONDS = 0.1  # strikes so close sound as one

_LAGS = np.arange(-150, 151)  # columns, from a strike on
_OURS = (_LAGS >= 0) & (_LAGS <= 30)  # the latencies there are
_OTHERS = (_LAGS < -8) | (_LAGS > 38)
_SOURCE_LAGS = np.arange(-2, 11)
_RING_BEFORE, _RING_AFTER = 5, 36  # columns in which another strike of the key disturbs a profile
_SAME_KEY_SECONDS = 2.0
_EXPLAINED = 1.6  # a rise at the source above this: the song has that note

_JUDGE_SECONDS = 1.0
_JUDGED_SECONDS = 24.0
_FEWEST_NOTES = 10
_SCORE, _RATIO = 4.5, 1.5
_CALM_SCORE = 3.0
_AGREEING, _CALM = 3, 8  # judgements in a row
_SAME_LATENCY = 3  # columns


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the last judgement found.

    Attributes:
        heard: our piano is on the bus.
        latency_seconds: from our strike to its sound in the input, where it would be.
        score: how far the mean rise at that latency stands above those at other lags, in standard
            deviations; 0 without enough notes.
        notes: how many strikes it rests on.
    """

    heard: bool
    latency_seconds: float
    score: float
    notes: int


@dataclass(frozen=True, slots=True)
class _Strike:
    onset_seconds: float
    pitch: int
    source_seconds: float


class OwnPiano:
    """Compares what we struck with what comes in. Reads no clock; one thread.

    Args:
        rate: of the audio, frames a second.
    """

    def __init__(self, rate: int) -> None:
        self.spectrum = Spectrum(rate, _KEPT_SECONDS)
        self._rises = np.zeros_like(self.spectrum.powers)
        self._strikes: deque[_Strike] = deque()  # all of the last seconds, in the order sent
        self._unheard: deque[_Strike] = deque()  # those whose sound has not passed yet
        self.restart()

    def restart(self) -> None:
        """Forget the audio: its time line broke."""
        self.spectrum.restart()
        self._judged_seconds: float = -np.inf
        self._unheard.clear()
        # When each strike was, and how the sound rose around it (lags); NaN where it cannot tell.
        self._profiles: deque[tuple[float, Float32]] = deque()
        self._agreeing = 0
        self._calm = 0
        self._latency = -100
        self._verdict = Verdict(heard=False, latency_seconds=0.0, score=0.0, notes=0)

    def sent(self, onset_seconds: float, pitch: int, source_seconds: float) -> None:
        """Learn of a key that is struck; before its sound can come back.

        Args:
            onset_seconds: when, monotonic.
            pitch: which.
            source_seconds: when the place of the song that the note was made from was heard,
                monotonic.
        """
        strike = _Strike(onset_seconds, pitch, source_seconds)
        self._strikes.append(strike)
        if LOWEST - _BESIDE[0] <= pitch <= HIGHEST - _BESIDE[-1]:
            self._unheard.append(strike)
        while self._strikes[0].onset_seconds < onset_seconds - _KEPT_SECONDS:
            self._strikes.popleft()

    def hear(self, samples: Float32, first_frame_seconds: float) -> Verdict:
        """Take in what the input heard, each frame once.

        Args:
            samples: (frames,) float32, right after those of the last call.
            first_frame_seconds: when the first one was at the input, monotonic.

        Returns:
            The present verdict; a new one is found every second.
        """
        self._find_rises(self.spectrum.add(samples, first_frame_seconds))
        self._measure()
        if self.spectrum.seconds_of(self._columns) >= self._judged_seconds + _JUDGE_SECONDS:
            self._judged_seconds = self.spectrum.seconds_of(self._columns)
            self._judge()
        return self._verdict

    def _find_rises(self, count: int) -> None:
        """By how much the newest columns of which both sides are known rise."""
        powers, kept = self.spectrum.powers, len(self._rises)
        known = np.arange(self._columns - count, self._columns) - max(_AFTER)
        after = sum(powers[(known + step) % kept] for step in _AFTER) / len(_AFTER)
        before = sum(powers[(known - step) % kept] for step in _BEFORE) / len(_BEFORE)
        self._rises[known % kept] = np.clip(after - before, -_LARGEST_RISE, _LARGEST_RISE)

    def _measure(self) -> None:
        """Make profiles of the strikes around which all has been heard."""
        while self._unheard:
            strike = self._unheard[0]
            column = self.spectrum.column_at(strike.onset_seconds)
            if column + _LAGS[-1] >= self._columns - max(_AFTER):
                return
            self._unheard.popleft()
            near = {
                other.pitch
                for other in self._strikes
                if abs(other.onset_seconds - strike.onset_seconds) < _CHORD_SECONDS
            }
            source = self._contrast(
                self.spectrum.column_at(strike.source_seconds), strike.pitch, near, _SOURCE_LAGS
            )
            if source is None or source.max() >= _EXPLAINED:
                continue
            profile = self._contrast(column, strike.pitch, near, _LAGS)
            if profile is None:
                continue
            for other in self._strikes:
                apart = other.onset_seconds - strike.onset_seconds
                if other.pitch == strike.pitch and 0 < abs(apart) < _SAME_KEY_SECONDS:
                    lag = round(apart / HOP_SECONDS)
                    disturbed = (lag - _RING_BEFORE <= _LAGS) & (lag + _RING_AFTER >= _LAGS)
                    profile[disturbed] = np.nan
            self._profiles.append((strike.onset_seconds, profile))

    def _contrast(
        self, column: int, pitch: int, near: set[int], lags: NDArray[np.int64]
    ) -> Float32 | None:
        """How much more a pitch rises than those beside it, around a column; None if unknown."""
        kept = len(self._rises)
        first, last = column + int(lags[0]), column + int(lags[-1])
        oldest = max(*_BEFORE, self._columns - kept + BATCH + max(_AFTER))
        if first < oldest or last >= self._columns - max(_AFTER):
            return None
        beside = [pitch + step for step in _BESIDE if pitch + step not in near]
        if not beside:
            return None
        rows = self._rises[(column + lags) % kept]
        others = rows[:, [other - LOWEST for other in beside]].mean(axis=1)
        return np.asarray(rows[:, pitch - LOWEST] - others, dtype=np.float32)

    def _judge(self) -> None:
        """Find the latency at which the sound rises most, and whether it stands out."""
        begin = self.spectrum.seconds_of(self._columns) - _JUDGED_SECONDS
        while self._profiles and self._profiles[0][0] < begin:
            self._profiles.popleft()
        score, ratio, lag = _score([profile for _, profile in self._profiles])
        agrees = abs(lag - self._latency) <= _SAME_LATENCY
        suspicious = score >= _SCORE and ratio >= _RATIO
        self._agreeing = (self._agreeing + 1 if agrees else 1) if suspicious else 0
        self._calm = self._calm + 1 if score < _CALM_SCORE else 0
        self._latency = lag
        heard = self._verdict.heard and self._calm < _CALM
        self._verdict = Verdict(
            heard=heard or self._agreeing >= _AGREEING,
            latency_seconds=lag * HOP_SECONDS,
            score=score,
            notes=len(self._profiles),
        )

    @property
    def _columns(self) -> int:
        return self.spectrum.columns


def _score(profiles: list[Float32]) -> tuple[float, float, int]:
    """Return the score and the lag of our best latency, and its ratio to the highest other lag."""
    if len(profiles) < _FEWEST_NOTES:
        return 0.0, 0.0, 0
    stacked = np.stack(profiles)
    known = np.isfinite(stacked)
    counts = known.sum(axis=0)
    mean = np.where(known, stacked, 0.0).sum(axis=0) / np.maximum(counts, 1)
    mean[counts < _FEWEST_NOTES / 2] = np.nan
    smooth = (mean + np.roll(mean, 1) + np.roll(mean, -1)) / 3
    others = smooth[_OTHERS & np.isfinite(smooth)]
    ours = np.where(_OURS & np.isfinite(smooth), smooth, -np.inf)
    best = int(ours.argmax())
    if len(others) < len(_LAGS) / 4 or not np.isfinite(ours[best]):
        return 0.0, 0.0, 0
    above, highest = float(ours[best] - others.mean()), float(others.max() - others.mean())
    return above / float(others.std()), above / highest, int(_LAGS[best])
