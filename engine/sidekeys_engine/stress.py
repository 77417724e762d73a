"""How strongly a place in the bar is felt: bar lines, half bars, beats, and what lies between."""

from __future__ import annotations

from enum import IntEnum

from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.notes import Meter

_SAME_PLACE_BEATS = 1e-3


class Stress(IntEnum):
    """From the weakest place to the strongest."""

    OFF_BEAT = 0
    BEAT = 1
    HALF_BAR = 2
    BAR = 3


def stress_at(grid: BeatGrid, beats: float) -> Stress:
    """How strongly a position is felt.

    A half bar is that of two, four and so on felt beats. A felt beat is a quarter note or, in
    6/8, 9/8 and 12/8, three eighths.

    Args:
        grid: the bars.
        beats: the position, in quarter notes.
    """
    near = beats + _SAME_PLACE_BEATS
    start = grid.bar_start(grid.bar_number(near))
    meter = grid.meter_at(near)
    if _is_multiple(beats - start, meter.beats_per_bar):
        return Stress.BAR
    pulse = _pulse_beats(meter)
    if not _is_multiple(beats - start, pulse):
        return Stress.OFF_BEAT
    has_half = round(meter.beats_per_bar / pulse) % 2 == 0
    if has_half and _is_multiple(beats - start, meter.beats_per_bar / 2):
        return Stress.HALF_BAR
    return Stress.BEAT


def _pulse_beats(meter: Meter) -> float:
    compound = meter.denominator >= 8 and meter.numerator > 3 and meter.numerator % 3 == 0
    return 4 / meter.denominator * 3 if compound else max(1.0, 4 / meter.denominator)


def _is_multiple(beats: float, unit: float) -> bool:
    return abs(beats / unit - round(beats / unit)) * unit < 2 * _SAME_PLACE_BEATS
