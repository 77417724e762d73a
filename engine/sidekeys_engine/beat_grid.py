"""The grid: beats <-> seconds, bars, meter, tempo map; the windows of beats the model hears.

A beat is a quarter note, as in MIDI files and DAWs. Only numpy is needed here (and mido to read
a tempo map).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sidekeys_engine.bars import SAME_BEAT, Bars
from sidekeys_engine.errors import InputError
from sidekeys_engine.grid_files import TempoMap, read_grid_file, read_midi_tempo_map
from sidekeys_engine.notes import Meter, MeterChange

MIN_BPM = 10.0
MAX_BPM = 1000.0

Times = NDArray[np.float64]

_BPM_SLACK = 1e-3  # rounding to whole microseconds must not push a border case over
OUTER_BEATS = 8.0  # how many beats at either end set the tempo beyond it
_SAME_MOMENT_SECONDS = 1e-3
_COMPOUND_PULSE_BPM = 125.0


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of music that the model hears in one piece.

    Attributes:
        start_beats: where it starts, in quarter notes.
        length_beats: how much the model hears, in quarter notes.
        kept_beats: notes with an onset in ``[skipped_beats, kept_beats)`` from the start are kept;
            at most ``length_beats``. The rest belongs to the next window.
        skipped_beats: what starts before belongs to the window before.
    """

    start_beats: float
    length_beats: float
    kept_beats: float
    skipped_beats: float = 0.0

    def step_positions(self, steps: int, *, before: int = 0) -> Times:
        """Borders of ``steps`` equal steps over the window, and of as long ones before it.

        Returns:
            (before + steps + 1,) positions in beats.
        """
        borders = np.arange(-before, steps + 1) / steps
        return np.asarray(self.start_beats + self.length_beats * borders, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Cut:
    """How windows lie over music.

    Attributes:
        span_beats: how much of a window is kept at most; None for all of it. Windows that keep
            less overlap.
        skipped_beats: how much a window hears before what it keeps.
    """

    span_beats: float | None = None
    skipped_beats: float = 0.0


WHOLE_WINDOWS = Cut()


@dataclass(frozen=True, eq=False, repr=False)
class BeatGrid:
    """Where the beats are: a piecewise linear map between quarter notes and seconds, and the bars.

    Beyond both ends the map goes on at the tempo of the outermost interval, if that spans at least
    four beats, and else at the median tempo of the outermost eight beats, so that one badly tracked
    beat there does not bend it.

    Attributes:
        beats: ``(n,)`` strictly increasing positions in quarter notes, ``n >= 2``.
        seconds: ``(n,)`` strictly increasing times of these positions.
        meters: at least one, by increasing position. Each starts a bar, cutting the bar before it
            short if it must; bars of the first one extend backwards before it, too.

    Raises:
        InputError: if there are fewer than two beats, one that is not finite or not after the one
            before, or a tempo outside ``MIN_BPM`` to ``MAX_BPM``.
        ValueError: for arrays of other shapes, or no or unsorted meters.
    """

    beats: Times
    seconds: Times
    meters: tuple[MeterChange, ...] = field(default=(MeterChange(0.0, Meter()),))

    def __post_init__(self) -> None:
        for name in ("beats", "seconds"):
            values = np.array(getattr(self, name), dtype=np.float64)  # a copy: ours, unwritable
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        object.__setattr__(self, "meters", tuple(self.meters))
        self._check()

    def _check(self) -> None:
        if self.beats.ndim != 1 or self.beats.shape != self.seconds.shape:
            raise ValueError(f"beats {self.beats.shape} and seconds {self.seconds.shape} differ")
        if self.beats.size < 2:
            raise InputError(
                f"a beat grid needs at least two beats, not {self.beats.size}; "
                "give the tempo (--bpm) and the first beat (--first-beat) instead"
            )
        unusable = ~(np.isfinite(self.seconds) & np.isfinite(self.beats))
        if unusable.any():
            raise InputError(f"beat {int(np.argmax(unusable)) + 1} of the grid is no finite number")
        intervals, steps = np.diff(self.seconds), np.diff(self.beats)
        if (steps <= 0).any():
            raise ValueError("positions of a beat grid must increase")
        if (intervals <= 0).any():
            at = int(np.argmax(intervals <= 0))
            raise InputError(
                f"beat {at + 2} of the grid ({self.seconds[at + 1]:.3f} s) does not come after the "
                f"one before ({self.seconds[at]:.3f} s); sort the beat times"
            )
        bpm = 60 * steps / intervals
        outside = (bpm < MIN_BPM * (1 - _BPM_SLACK)) | (bpm > MAX_BPM * (1 + _BPM_SLACK))
        if outside.any():
            at = int(np.argmax(outside))
            raise InputError(
                f"at {self.seconds[at]:.3f} s the beats would run at {bpm[at]:.4g} bpm; give beats "
                f"between {MIN_BPM:g} and {MAX_BPM:g} bpm, or one tempo with --bpm"
            )
        _ = self._bars  # refuses meters that do not follow one another

    # ------------------------------------------------------------------------- construction

    @classmethod
    def from_beat_times(
        cls, times: ArrayLike, *, meter: Meter | None = None, first_downbeat: int = 0
    ) -> BeatGrid:
        """A grid of tracked pulses, one anchor each.

        How long a pulse is depends on the meter, see :func:`pulse_beats`: a quarter note over 4.

        Args:
            times: ``(n,)`` seconds of the pulses, increasing.
            meter: the meter throughout, 4/4 by default.
            first_downbeat: index of a pulse that begins a bar; it becomes position 0.0, so that
                earlier pulses have negative positions.

        Raises:
            InputError: for times that make no grid.
            ValueError: if ``first_downbeat`` is no index of ``times``.
        """
        meter = meter or Meter()
        seconds = np.asarray(times, dtype=np.float64)
        if seconds.ndim != 1:
            raise ValueError(f"beat times have one axis, not {seconds.ndim}")
        pulse = 1.0
        if seconds.size >= 2:
            if not 0 <= first_downbeat < seconds.size:
                raise ValueError(f"beat {first_downbeat} is not among the {seconds.size} beats")
            interval = float(np.median(np.diff(seconds)))
            pulse = pulse_beats(meter, 60 / interval if interval > 0 else math.inf)
        beats = np.asarray((np.arange(seconds.size) - first_downbeat) * pulse, dtype=np.float64)
        return cls(beats, seconds, (MeterChange(0.0, meter),))

    @classmethod
    def from_tempo(
        cls, bpm: float, *, first_beat_seconds: float = 0.0, meter: Meter | None = None
    ) -> BeatGrid:
        """A steady grid: ``bpm`` quarter notes a minute, a bar line at ``first_beat_seconds``.

        Raises:
            InputError: for a tempo outside ``MIN_BPM`` to ``MAX_BPM`` or a time that is not finite.
        """
        if not MIN_BPM <= bpm <= MAX_BPM:
            raise InputError(
                f"{bpm:g} bpm is no tempo to play at; give one from {MIN_BPM:g} to {MAX_BPM:g}"
            )
        if not math.isfinite(first_beat_seconds):
            raise InputError(f"the first beat is at {first_beat_seconds} s; give a time in seconds")
        meter = meter or Meter()
        span = meter.beats_per_bar
        seconds = np.array([first_beat_seconds, first_beat_seconds + span * 60 / bpm])
        return cls(np.array([0.0, span]), seconds, (MeterChange(0.0, meter),))

    @classmethod
    def from_midi_file(cls, path: str | PathLike[str]) -> BeatGrid:
        """The tempo map and meters of a MIDI file; beat 0 is second 0, the file's start.

        Raises:
            InputError: if it is no MIDI file, counts in SMPTE frames, or holds a tempo outside
                ``MIN_BPM`` to ``MAX_BPM``.
        """
        return cls._from_tempo_map(Path(path), read_midi_tempo_map(Path(path)))

    @classmethod
    def from_file(cls, path: str | PathLike[str], *, meter: Meter | None = None) -> BeatGrid:
        """Read a grid file; its suffix tells the kind.

        - ``.mid``, ``.midi``: the tempo map, as :meth:`from_midi_file`;
        - ``.txt``, ``.beats``, ``.csv``, ``.tsv``: a line a beat, its time in seconds and perhaps
          its number in the bar (1 = downbeat), ``#`` begins a comment, as madmom and beat_this
          write them. Bars' lengths give the meters, a quarter note to a beat;
        - ``.json``: ``{"beats": [...], "downbeats": [...], "meter": "4/4"}``, all but beats
          optional.

        Args:
            path: the file.
            meter: the meter, where a list of beats does not state one itself; the bars then have
                this meter throughout and the phase that most of the marked downbeats agree on.

        Raises:
            InputError: for a malformed file; the message names the line.
        """
        path = Path(path)
        table = read_grid_file(path)
        if isinstance(table, TempoMap):
            return cls._from_tempo_map(path, table)
        meter = table.meter or meter
        try:
            if meter is None and table.downbeats:
                return cls._from_bars(table.seconds, table.downbeats, table.bar_pulses)
            meter = meter or Meter()
            downbeat = _common_downbeat(table.seconds, table.downbeats, meter)
            return cls.from_beat_times(table.seconds, meter=meter, first_downbeat=downbeat)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    @classmethod
    def _from_tempo_map(cls, path: Path, table: TempoMap) -> BeatGrid:
        try:
            return cls(np.array(table.beats), np.array(table.seconds), table.meters)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    @classmethod
    def _from_bars(
        cls, seconds: Sequence[float], downbeats: Sequence[int], bar_pulses: Sequence[int]
    ) -> BeatGrid:
        """A grid of quarter notes whose bars are marked one by one."""
        first = downbeats[0]
        meters: list[MeterChange] = []
        for downbeat, pulses in zip(downbeats, bar_pulses, strict=True):
            meter = Meter(pulses, 4)
            if not meters or meters[-1].meter != meter:
                meters.append(MeterChange(float(downbeat - first), meter))
        beats = np.arange(-first, len(seconds) - first, dtype=np.float64)
        return cls(beats, np.asarray(seconds, dtype=np.float64), tuple(meters))

    # ------------------------------------------------------------------- beats <-> seconds

    @overload
    def seconds_at(self, beats: float) -> float: ...
    @overload
    def seconds_at(self, beats: Times) -> Times: ...
    def seconds_at(self, beats: float | Times) -> float | Times:
        """When positions (quarter notes) sound, in seconds. Inverse of :meth:`beats_at`."""
        head, tail = self._outer_seconds_per_beat
        return _follow(beats, self.beats, self.seconds, head, tail)

    @overload
    def beats_at(self, seconds: float) -> float: ...
    @overload
    def beats_at(self, seconds: Times) -> Times: ...
    def beats_at(self, seconds: float | Times) -> float | Times:
        """Positions (quarter notes) at times in seconds. Inverse of :meth:`seconds_at`."""
        head, tail = self._outer_seconds_per_beat
        return _follow(seconds, self.seconds, self.beats, 1 / head, 1 / tail)

    def tempo_bpm_at(self, beats: float) -> float:
        """Quarter notes a minute that hold from ``beats`` on."""
        if beats < self.beats[0]:
            return 60 / self._outer_seconds_per_beat[0]
        if beats >= self.beats[-1]:
            return 60 / self._outer_seconds_per_beat[1]
        at = int(np.searchsorted(self.beats, beats, side="right")) - 1
        step = self.beats[at + 1] - self.beats[at]
        return float(60 * step / (self.seconds[at + 1] - self.seconds[at]))

    @cached_property
    def _outer_seconds_per_beat(self) -> tuple[float, float]:
        pace = np.diff(self.seconds) / np.diff(self.beats)
        from_head = np.clip(self.beats - self.beats[0], 0, OUTER_BEATS)
        from_tail = np.clip(self.beats[-1] - self.beats, 0, OUTER_BEATS)[::-1]
        return _outer_pace(pace, np.diff(from_head)), _outer_pace(pace[::-1], np.diff(from_tail))

    # ------------------------------------------------------------------------------- bars

    def meter_at(self, beats: float) -> Meter:
        """The meter that holds at a position in quarter notes."""
        return self._bars.run_at(beats).meter

    def meter_changes_from(self, beats: float) -> tuple[MeterChange, ...]:
        """The meter at a bar line and the changes after it; a bar cut short has its own meter."""
        return tuple(self._bars.changes_from(beats))

    def bar_number(self, beats: float) -> int:
        """The bar a position lies in; bar 1 begins at the first of ``meters``, 0 lies before it."""
        return self._bars.number_at(beats)

    def bar_start(self, number: int) -> float:
        """Position, in quarter notes, of the bar line that begins bar ``number``."""
        return self._bars.start_of(number)

    def bar_lines(self, start_beats: float, end_beats: float) -> Times:
        """Positions p of all bar lines with ``start_beats <= p < end_beats``, in quarter notes."""
        if not (math.isfinite(start_beats) and math.isfinite(end_beats)):
            raise ValueError(f"no finite stretch of beats: {start_beats} to {end_beats}")
        first, last = self.bar_number(start_beats) - 1, self.bar_number(end_beats) + 1
        lines = np.array([self.bar_start(number) for number in range(first, last + 1)])
        return lines[(lines >= start_beats) & (lines < end_beats)]

    @cached_property
    def _bars(self) -> Bars:
        return Bars(self.meters)

    # -------------------------------------------------------------------------- variations

    def halved(self) -> BeatGrid:
        """The same music at half the tempo: every second beat is kept, the downbeats among them."""
        pulses = self._pulses()
        keep = np.ones(self.beats.size, dtype=bool) if pulses is None else pulses % 2 == 0
        if keep.sum() < 2:
            keep[:] = True
        return self._scaled(self.beats[keep], self.seconds[keep], 0.5)

    def doubled(self) -> BeatGrid:
        """The same music at twice the tempo: a beat is put between every two."""
        if self._pulses() is None:
            return self._scaled(self.beats, self.seconds, 2.0)
        index = np.arange(2 * self.beats.size - 1) / 2
        every = np.arange(self.beats.size)
        beats = np.interp(index, every, self.beats)
        return self._scaled(beats, np.interp(index, every, self.seconds), 2.0)

    def with_bar_at(self, seconds: float) -> BeatGrid:
        """The same beats, with a bar line at the one nearest to a moment.

        In meters of eighths the nearest eighth is taken. Changes of meter are dropped: the meter
        at that moment holds from there on, and before.
        """
        meter = self.meter_at(self.beats_at(seconds))
        unit = min(1.0, 4 / meter.denominator)
        nearest = round(self.beats_at(seconds) / unit) * unit
        return BeatGrid(self.beats, self.seconds, (MeterChange(nearest, meter),))

    def _pulses(self) -> NDArray[np.int64] | None:
        """Number of each beat, counted from a bar line; None unless beats are evenly numbered."""
        steps = np.diff(self.beats)
        numbers = (self.beats - self.meters[0].onset_beats) / steps[0]
        even = np.ptp(steps) < SAME_BEAT and np.abs(numbers - np.round(numbers)).max() < 1e-3
        return np.round(numbers).astype(np.int64) if even else None

    def _scaled(self, beats: Times, seconds: Times, factor: float) -> BeatGrid:
        origin = self.meters[0].onset_beats
        meters = tuple(
            MeterChange(origin + (change.onset_beats - origin) * factor, change.meter)
            for change in self.meters
        )
        return BeatGrid(origin + (beats - origin) * factor, seconds, meters)

    # ----------------------------------------------------------------------------- windows

    def windows(
        self,
        start_seconds: float,
        end_seconds: float,
        *,
        window_beats: float = 4.0,
        cut: Cut = WHOLE_WINDOWS,
    ) -> tuple[Window, ...]:
        """Cut a region into the windows that the model hears.

        Every window starts on a bar line or, where a bar is longer than a window, on an even split
        of it at whole beats (5/4 -> 3 + 2, 12/8 -> 3 + 3, 7/4 -> 4 + 3). Bars that fit several
        times into a window share one (2/4: two bars). Kept beats tile the time line without gap
        or overlap and never cross a change of meter.

        The windows cover all of ``[start_seconds, end_seconds]``, beyond the first and last beat
        too, to 1 ms. The first one starts at or before the region, on its bar or split.

        Args:
            start_seconds: where the region starts.
            end_seconds: where it ends.
            window_beats: how much the model hears at once, in quarter notes.
            cut: whether they overlap; one after another by default.

        Raises:
            ValueError: if the region ends before it starts or a window is not above zero.
        """
        if not (math.isfinite(start_seconds) and math.isfinite(end_seconds)):
            raise ValueError(f"no finite region: {start_seconds} to {end_seconds} s")
        if end_seconds < start_seconds:
            raise ValueError(f"the region ends ({end_seconds} s) before it starts")
        skipped = cut.skipped_beats
        span = window_beats - skipped if cut.span_beats is None else cut.span_beats
        if not (0 < window_beats < math.inf and 0 < span <= window_beats - skipped):
            raise ValueError(f"a window of {window_beats:g} beats keeps no {span:g} beats of it")
        first = self.beats_at(start_seconds + _SAME_MOMENT_SECONDS)
        last = self.beats_at(end_seconds - _SAME_MOMENT_SECONDS)
        if last <= first:
            return ()
        return tuple(
            Window(left - skipped, window_beats, right - left + skipped, skipped)
            for left, right in self._bars.spans(first, last, span)
        )

    # ------------------------------------------------------------------------------ values

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BeatGrid):
            return NotImplemented
        return (
            np.array_equal(self.beats, other.beats)
            and np.array_equal(self.seconds, other.seconds)
            and self.meters == other.meters
        )

    def __hash__(self) -> int:
        return hash((self.beats.tobytes(), self.seconds.tobytes(), self.meters))

    def __repr__(self) -> str:
        span = self.beats[-1] - self.beats[0]
        bpm = 60 * span / (self.seconds[-1] - self.seconds[0])
        meters = ", ".join(str(change.meter) for change in self.meters[:4])
        more = ", ..." if len(self.meters) > 4 else ""
        return (
            f"<BeatGrid: {self.beats.size} beats, {self.seconds[0]:.3f} s to "
            f"{self.seconds[-1]:.3f} s, {bpm:.1f} bpm, {meters}{more}>"
        )


def pulse_beats(meter: Meter, pulses_per_minute: float) -> float:
    """How long a tracked pulse is, in quarter notes.

    Over 4 and 2 it is a quarter note. In compound meters (3/8, 6/8, 9/8, 12/8) a pulse slower than
    125 a minute is a dotted quarter (1.5), a faster one an eighth (0.5). In uneven ones (5/8, 7/8)
    it is a quarter or, from 125 a minute on, an eighth. Over 16 and 32 the same holds for notes
    half and a quarter as long.
    """
    if meter.denominator < 8:
        return 1.0
    unit = 4 / meter.denominator
    if pulses_per_minute >= _COMPOUND_PULSE_BPM:
        return unit
    return unit * (3 if meter.numerator % 3 == 0 else 2)


def _common_downbeat(seconds: Sequence[float], downbeats: Sequence[int], meter: Meter) -> int:
    """Index of a pulse on the phase that most downbeats agree on; the first of them wins a tie."""
    if not downbeats:
        return 0
    interval = float(np.median(np.diff(seconds)))
    bar = max(1, round(meter.beats_per_bar / pulse_beats(meter, 60 / interval)))
    phases = [downbeat % bar for downbeat in downbeats]
    common = max(phases, key=phases.count)
    return next(d for d, phase in zip(downbeats, phases, strict=True) if phase == common)


def _follow(x: float | Times, xs: Times, ys: Times, head: float, tail: float) -> float | Times:
    """The piecewise linear curve through ``(xs, ys)``, with slopes ``head``, ``tail`` beyond it."""
    if isinstance(x, float | int):  # the live path asks for one at a time, thousands a second
        if x < xs[0]:
            return float(ys[0] + (x - xs[0]) * head)
        if x > xs[-1]:
            return float(ys[-1] + (x - xs[-1]) * tail)
        return float(np.interp(x, xs, ys))
    points = np.asarray(x, dtype=np.float64)
    values = np.interp(points, xs, ys)
    values = np.where(points < xs[0], ys[0] + (points - xs[0]) * head, values)
    values = np.where(points > xs[-1], ys[-1] + (points - xs[-1]) * tail, values)
    return float(values) if points.ndim == 0 else values


def _outer_pace(pace: Times, weights: Times) -> float:
    """The median pace, weighted; the first one where it makes up half."""
    if 2 * weights[0] >= weights.sum():
        return float(pace[0])
    order = np.argsort(pace)
    reached = np.cumsum(weights[order])
    return float(pace[order][np.searchsorted(reached, reached[-1] / 2)])
