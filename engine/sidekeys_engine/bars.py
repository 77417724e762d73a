"""Bars on the beat axis: numbers and lines under changing meters, and how a bar is cut.

All positions are quarter notes; nothing here knows about seconds.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sidekeys_engine.notes import Meter, MeterChange

SAME_BEAT = 1e-6  # positions closer than this are one position


class BarRun(NamedTuple):
    """Bars under one meter, up to the next meter or for ever."""

    first_number: int
    onset_beats: float
    end_beats: float  # where the next meter begins, or infinity
    meter: Meter

    @property
    def whole_end_beats(self) -> float:
        """Where the last whole bar ends: before ``end_beats`` if the next meter cuts a bar."""
        length = self.meter.beats_per_bar
        bars = math.floor((self.end_beats - self.onset_beats + SAME_BEAT) / length)
        return self.onset_beats + bars * length

    @property
    def bar_count(self) -> int:
        """How many bars, the last one perhaps cut short, a run that ends has."""
        span = self.end_beats - self.onset_beats
        return max(1, math.ceil((span - SAME_BEAT) / self.meter.beats_per_bar))


class Bars:
    """The bars that a sequence of meters makes.

    Bar 1 begins at the first change; bars of its meter go on before it, numbered 0, -1, ... Every
    later change begins a bar, cutting the one before it short if it must.

    Raises:
        ValueError: for no changes, or changes that do not follow one another.
    """

    def __init__(self, changes: Sequence[MeterChange]) -> None:
        self._onsets = [change.onset_beats for change in changes]
        if not changes or not all(map(math.isfinite, self._onsets)):
            raise ValueError("bars need a meter, at a finite position")
        if any(after - before < SAME_BEAT for before, after in itertools.pairwise(self._onsets)):
            raise ValueError("meters must follow one another")
        self._runs: list[BarRun] = []
        number = 1
        for change, end in zip(changes, [*self._onsets[1:], math.inf], strict=True):
            run = BarRun(number, change.onset_beats, end, change.meter)
            self._runs.append(run)
            number += run.bar_count if math.isfinite(end) else 0
        self._numbers = [run.first_number for run in self._runs]

    def run_at(self, beats: float) -> BarRun:
        """The run of bars that a position lies in."""
        return self._runs[max(0, bisect.bisect_right(self._onsets, beats + SAME_BEAT) - 1)]

    def number_at(self, beats: float) -> int:
        """The number of the bar that a position lies in."""
        run = self.run_at(beats)
        bars = math.floor((beats - run.onset_beats + SAME_BEAT) / run.meter.beats_per_bar)
        if math.isfinite(run.end_beats):
            bars = min(bars, run.bar_count - 1)
        return run.first_number + bars

    def start_of(self, number: int) -> float:
        """Position of the bar line that begins bar ``number``."""
        run = self._runs[max(0, bisect.bisect_right(self._numbers, number) - 1)]
        return run.onset_beats + (number - run.first_number) * run.meter.beats_per_bar

    def changes_from(self, bar_line: float) -> Iterator[MeterChange]:
        """Meters from a bar line on, with one of its own for every bar that is cut short.

        Read so, no bar is ever cut: the way MIDI files and DAWs want it.
        """
        before = None
        for change in self._uncut_changes(bar_line):
            if change.meter != before:
                yield change
            before = change.meter

    def _uncut_changes(self, bar_line: float) -> Iterator[MeterChange]:
        for run in self._runs:
            if run.end_beats < bar_line + SAME_BEAT:
                continue
            start = bar_line if run is self._runs[0] else max(run.onset_beats, bar_line)
            if not math.isfinite(run.end_beats):
                yield MeterChange(start, run.meter)
                return
            cut = run.whole_end_beats
            if start < cut - SAME_BEAT:
                yield MeterChange(start, run.meter)
            if cut < run.end_beats - SAME_BEAT:
                yield MeterChange(max(cut, start), meter_lasting(run.end_beats - cut))

    def spans(self, start: float, end: float, longest: float) -> Iterator[tuple[float, float]]:
        """Tile the beat axis with spans of at most ``longest`` beats that respect the bars.

        A span is a bar, a part of a bar that is too long (:func:`split_bar`), or as many short
        bars of one meter as fit. The first one belongs to the bar of ``start``; the last one
        reaches to ``end`` or beyond, by less than a bar.
        """
        number = self.number_at(start)
        while (left := self.start_of(number)) < end:
            run = self.run_at(left)
            right = self.start_of(number := number + 1)
            room = math.floor(longest / run.meter.beats_per_bar + SAME_BEAT)
            if room == 0:
                for part in split_bar(right - left, run.meter, longest):
                    if start < left + part and left < end:
                        yield left, left + part
                    left += part
                continue
            for _ in range(room - 1):
                if right >= end or right >= run.end_beats - SAME_BEAT:
                    break
                right = self.start_of(number := number + 1)
            yield left, right


def split_bar(length: float, meter: Meter, longest: float) -> list[float]:
    """Cut a bar into as few parts of at most ``longest`` as whole beats allow, and as even.

    Compound meters (6/8, 9/8, 12/8) are cut at dotted quarters. Where no such cut is short
    enough, it is made at eighths, then at shorter notes.

    Returns:
        The lengths of the parts: 5/4 -> ``[3.0, 2.0]`` for ``longest=4.0``.
    """
    compound = meter.denominator >= 8 and meter.numerator % 3 == 0
    dotted = [12 / meter.denominator] if compound else []
    fewest = max(1, math.ceil(length / longest - SAME_BEAT))
    for unit in (*dotted, 1.0, 0.5, 0.25, 0.125):
        for count in range(fewest, math.ceil(length / unit - SAME_BEAT) + 1):
            cuts = [unit * math.floor(i * length / count / unit + 0.5) for i in range(count)]
            parts = [after - before for before, after in itertools.pairwise([*cuts, length])]
            if all(SAME_BEAT < part <= longest + SAME_BEAT for part in parts):
                return parts
    return [length / fewest] * fewest


def meter_lasting(beats: float) -> Meter:
    """The meter of a bar of this length: over 4 where it can be, else 8, 16 or 32 (rounded)."""
    for denominator in (4, 8, 16, 32, 2, 1):
        count = beats * denominator / 4
        if abs(count - round(count)) < SAME_BEAT and 1 <= round(count) <= 64:
            return Meter(round(count), denominator)
    return Meter(min(64, max(1, round(beats * 8))), 32)
