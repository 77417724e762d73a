"""ClockFilter: a steady line through the jittery arrival times of MIDI clock ticks.

A phase-locked loop in the form of a Kalman filter (tick time and tick period, the period wanders).
Its gain is high while it locks and falls by itself. A tick far off the line does not move it at
all; when many in a row are, they are explained: another phase, another tempo, or ticks that got
lost on the way.

A sender that stalls, as a DAW does when its audio drops out, looks much like lost ticks: it is
late from then on, but by any time, and its count of ticks is right. So only ticks that lie almost
exactly whole periods off a steady line count as lost; where jitter hides that, none do. (Measured
in ten minutes under JACK with 128 frames: three ticks lost, each while the sender stalled for one
period or two; a stall of seven periods, and none that was longer.)
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

_FEW_TICKS = 8  # how many it takes to lock, or to explain what does not fit
_MANY_TICKS = 16  # the same where jitter is large beside a period
_FEW_TICKS_NOISE = 0.15  # of a period
_WANDER = 1e-3  # of the period, a tick: follows 90 to 140 bpm in 30 s with 2 ms of lag
_FIRST_NOISE_SECONDS = 3e-3
_LEAST_NOISE_SECONDS = 3e-4
_MOST_NOISE_SECONDS = 6e-3
_NOISE_TICKS = 48
_MISFIT = 4.0  # standard deviations
_LEAST_MISFIT_SECONDS = 4e-3
_LATE_PULL = 2.0  # standard deviations: a tick is late more often than early, and by more
_SAME_PACE = 0.03
_TILT = 8.0
_MOST_LOST = 3
_LOST_MISFIT = 0.8  # standard deviations of a tick; the mean of eight is known better
_LOST_MISFIT_SECONDS = 1.5e-3
_STALL = 0.3  # of a period
_SHORTEST_SECONDS = 60 / 600 / 24
_LONGEST_SECONDS = 60 / 12 / 24


class _Line(NamedTuple):
    """Tick times as a line, and how well it is known."""

    number: int
    seconds: float
    period: float
    time_variance: float
    period_variance: float
    covariance: float

    def residual(self, number: int, seconds: float) -> float:
        """How late a tick is."""
        return seconds - self.seconds - (number - self.number) * self.period

    def variance_at(self, number: int) -> float:
        """How uncertain the time of a later tick is."""
        ahead = number - self.number
        return self.time_variance + 2 * ahead * self.covariance + ahead**2 * self.period_variance

    def moved(self, number: int, seconds: float, noise: float) -> _Line:
        """The line after a tick was taken into account (one Kalman step)."""
        ahead = number - self.number
        time_variance = self.variance_at(number)
        covariance = self.covariance + ahead * self.period_variance
        period_variance = self.period_variance + ahead * (_WANDER * self.period) ** 2
        total = time_variance + noise**2
        pull = min(self.residual(number, seconds), _LATE_PULL * total**0.5)
        return _Line(
            number,
            self.seconds + ahead * self.period + pull * time_variance / total,
            self.period + pull * covariance / total,
            time_variance - time_variance**2 / total,
            period_variance - covariance**2 / total,
            covariance - time_variance * covariance / total,
        )


class _Tick(NamedTuple):
    number: int
    seconds: float
    line_before: _Line | None


class ClockFilter:
    """Where the ticks of a MIDI clock lie, and how far apart they are.

    Ticks may come in grains, as all of a period does under JACK: one a period for a while, where
    ticks and periods are about as long, then two at once or none. That looks like a clock of
    another tempo without any jitter, of which a tick gets lost now and then.

    Attributes:
        index: the number of the last tick, counted from 0, those found lost included.
        grain_seconds: the steps in which moments are told; 0.0 if there are none.
    """

    def __init__(self, grain_seconds: float = 0.0) -> None:
        self.index = -1
        self.grain_seconds = grain_seconds
        self._jitter = _FIRST_NOISE_SECONDS
        self._line: _Line | None = None
        self._recent: deque[_Tick] = deque(maxlen=_MANY_TICKS)
        self._misfits = 0  # in a row

    @property
    def locked(self) -> bool:
        """Whether enough ticks have come to know their period."""
        return self._line is not None

    @property
    def period_seconds(self) -> float:
        """From tick to tick.

        Raises:
            ValueError: before it is locked.
        """
        return self._locked_line().period

    @property
    def seconds(self) -> float:
        """When tick `index` was sent, as far as anybody can tell, monotonic.

        Raises:
            ValueError: before it is locked.
        """
        line = self._locked_line()
        return line.seconds + (self.index - line.number) * line.period

    def tick(self, seconds: float) -> None:
        """One more tick came, at this monotonic moment, which is not before the last one's."""
        self.index += 1
        self._recent.append(_Tick(self.index, seconds, self._line))
        if self._line is None:
            self._misfits += 1
        elif self._fits(self._line, self.index, seconds):
            self._misfits = 0
            residual = self._line.residual(self.index, seconds)
            line = self._line.moved(self.index, seconds, self._noise)
            # What jitters by whole periods may pull the line out of what a tempo can be.
            self._line = line if _SHORTEST_SECONDS < line.period < _LONGEST_SECONDS else None
            jitter = (
                self._jitter
                + (1.25 * min(abs(residual), 2.5 * self._noise) - self._jitter) / _NOISE_TICKS
            )
            self._jitter = min(max(jitter, _LEAST_NOISE_SECONDS), _MOST_NOISE_SECONDS)
        else:
            self._misfits += 1
        ticks = self._recent_ticks()
        if not ticks or self._misfits < len(ticks):
            return
        late = self._all_alike_late(ticks)
        if late is not None:
            self._explain(ticks, late)
        elif self._sure_of_another_line(ticks):
            self._lock_on(ticks)

    def restart_phase(self, seconds: float) -> None:
        """The sender paused: its next tick, number ``index + 1``, comes at this moment.

        The period is kept.
        """
        self._recent.clear()
        self._misfits = 0
        if self._line is not None:
            self._line = self._line._replace(
                number=self.index + 1,
                seconds=seconds,
                time_variance=self._noise**2,
                covariance=0.0,
            )

    def expects(self, seconds: float) -> bool:
        """Whether the next tick may well come at this moment."""
        return self._line is not None and self._fits(self._line, self.index + 1, seconds)

    @property
    def _noise(self) -> float:
        """The deviation of a tick: at least that of a moment anywhere in its grain."""
        return max(self._jitter, self.grain_seconds / math.sqrt(12))

    def _locked_line(self) -> _Line:
        if self._line is None:
            raise ValueError("the clock is not locked yet")
        return self._line

    def _fits(self, line: _Line, index: int, seconds: float) -> bool:
        deviation = (line.variance_at(index) + self._noise**2) ** 0.5
        limit = max(_MISFIT * deviation, _LEAST_MISFIT_SECONDS)
        return bool(abs(line.residual(index, seconds)) <= limit)

    def _recent_ticks(self) -> list[_Tick]:
        """The last ticks, as many as can be explained; none if there are not enough yet."""
        ticks = list(self._recent)
        if len(ticks) < _FEW_TICKS:
            return []
        if self._line is not None:
            period = self._line.period
        else:
            period = (ticks[-1].seconds - ticks[0].seconds) / (len(ticks) - 1)
        count = _MANY_TICKS if self._noise > _FEW_TICKS_NOISE * period else _FEW_TICKS
        return ticks[-count:] if len(ticks) >= count else []

    def _all_alike_late(self, ticks: list[_Tick]) -> float | None:
        """By how much the last ticks are off the line, if they go on at its pace; else None."""
        line = ticks[0].line_before
        if line is None:
            return None
        late = [line.residual(tick.number, tick.seconds) for tick in ticks]
        middle = statistics.median(late)
        slope = _median_slope(list(enumerate(late))) / line.period
        if abs(slope) > self._open_pace(line, len(ticks)):
            return None
        spread = max(_MISFIT * self._noise, _LEAST_MISFIT_SECONDS)
        return (
            statistics.fmean(late) if max(abs(each - middle) for each in late) <= spread else None
        )

    def _sure_of_another_line(self, ticks: list[_Tick]) -> bool:
        """Whether the pace differs beyond doubt, or waiting has not made it any clearer."""
        line = ticks[0].line_before
        if line is None or self._misfits >= 2 * len(ticks):
            return True
        late = [(tick.number, line.residual(*tick[:2]) / line.period) for tick in ticks]
        return abs(_median_slope(late)) > 2 * self._open_pace(line, len(ticks))

    def _open_pace(self, line: _Line, count: int) -> float:
        """How far jitter alone may tilt so many ticks, in periods a tick."""
        return max(_SAME_PACE, _TILT * self._noise / line.period / (count * math.sqrt(count)))

    def _explain(self, ticks: list[_Tick], late_seconds: float) -> None:
        """Ticks at the same pace, but off the line: some got lost, or the sender stalled."""
        line = ticks[0].line_before
        assert line is not None
        lost = round(late_seconds / line.period)
        beside_seconds = late_seconds - lost * line.period
        if beside_seconds < -_LOST_MISFIT * self._noise:
            lost, beside_seconds = lost - 1, beside_seconds + line.period
        sure = max(_LOST_MISFIT * self._noise, _LEAST_NOISE_SECONDS)
        # Where JACK drops a period and our ticks with it, the sender stalls for one or two as well.
        stall = min(2 * self.grain_seconds, _STALL * line.period)
        is_lost = sure <= _LOST_MISFIT_SECONDS and -sure <= beside_seconds <= stall + sure
        if 0 < lost <= _MOST_LOST and is_lost:
            self.index += lost
            late_seconds = beside_seconds
        seconds = line.seconds + (self.index - line.number) * line.period + late_seconds
        self._line = line._replace(
            number=self.index,
            seconds=seconds,
            time_variance=self._noise**2 / len(ticks),
            covariance=0.0,
        )
        self._recent.clear()
        self._misfits = 0

    def _lock_on(self, ticks: list[_Tick]) -> None:
        """A new line through these ticks alone."""
        period = _median_slope([tick[:2] for tick in ticks])
        if not _SHORTEST_SECONDS < period < _LONGEST_SECONDS:
            return  # a burst after a pause: wait on
        last, count = ticks[-1].number, len(ticks)
        seconds = statistics.median(at + (last - index) * period for index, at, _ in ticks)
        # The variances are what least squares over so many ticks leaves open.
        noise = self._noise**2
        self._line = _Line(
            last, seconds, period, 4 * noise / count, 12 * noise / count**3, 6 * noise / count**2
        )
        self._recent.clear()
        self._misfits = 0


def _median_slope(points: Sequence[tuple[int, float]]) -> float:
    """The slope through points that single outliers do not move (Theil and Sen)."""
    pairs = itertools.combinations(points, 2)
    return statistics.median((y - x) / (j - i) for (i, x), (j, y) in pairs)
