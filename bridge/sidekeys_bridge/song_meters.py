"""The song's meters as they are learned while it plays: which bar line begins another one."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.notes import Meter, MeterChange

_SAME_BEAT = 1e-3
_LATE_BEATS = 0.5  # a meter told so late still counts from the bar line just passed
_FARTHEST_BEATS = 1e8  # a year of music


class Bar(NamedTuple):
    """A bar: its number from 1, where it begins in quarter notes, its meter."""

    number: int
    start_beats: float
    meter: Meter


def bar_at(meters: tuple[MeterChange, ...], beats: float) -> Bar:
    """The bar that a position lies in."""
    grid = _bars(meters)
    number = grid.bar_number(beats)
    return Bar(number, grid.bar_start(number), grid.meter_at(beats))


def with_meter_from_next_bar(
    meters: tuple[MeterChange, ...], beats: float, meter: Meter
) -> tuple[MeterChange, ...]:
    """Another meter from the next bar line on; other changes that were to come are dropped."""
    here = bar_at(meters, beats)
    if here.meter == meter:
        kept = [change for change in meters if change.onset_beats <= beats + _SAME_BEAT]
        return tuple(kept) or meters[:1]
    bar_line = here.start_beats
    if bar_line < beats - _SAME_BEAT:
        bar_line = _bars(meters).bar_start(here.number + 1)
    return _with_change(meters, bar_line, meter)


def with_bar_line(
    meters: tuple[MeterChange, ...], bar_line: float, meter: Meter
) -> tuple[MeterChange, ...]:
    """A meter that is known to begin a bar at a position; the same object where it does already."""
    here = bar_at(meters, bar_line + _SAME_BEAT)
    if abs(here.start_beats - bar_line) <= 2 * _SAME_BEAT and here.meter == meter:
        return meters
    return _with_change(meters, bar_line, meter)


def with_told_bar(
    meters: tuple[MeterChange, ...], beats: float, bar_line: float, meter: Meter
) -> tuple[MeterChange, ...]:
    """Bars as they were told at a position: their meter, and any one of their bar lines."""
    bars_gone = math.floor((beats - bar_line + _SAME_BEAT) / meter.beats_per_bar)
    return with_bar_line(meters, bar_line + bars_gone * meter.beats_per_bar, meter)


def with_told_meter(
    meters: tuple[MeterChange, ...], beats: float, told: Meter, *, begun: bool
) -> tuple[MeterChange, ...]:
    """A meter that was told at a position, without saying where it began.

    Args:
        meters: those known so far.
        beats: the position.
        told: the meter there.
        begun: whether the song only began to run, so that the present bar is as told.
    """
    here = bar_at(meters, beats)
    if here.meter == told:
        return meters
    if begun and len(meters) == 1:
        return (MeterChange(meters[0].onset_beats, told),)
    if begun or beats - here.start_beats < _LATE_BEATS:
        return with_bar_line(meters, here.start_beats, told)
    return with_meter_from_next_bar(meters, beats, told)


def is_position(value: float) -> bool:
    """Whether a number can be a song position in quarter notes."""
    return math.isfinite(value) and abs(value) < _FARTHEST_BEATS


def _with_change(
    meters: tuple[MeterChange, ...], bar_line: float, meter: Meter
) -> tuple[MeterChange, ...]:
    kept = [change for change in meters if change.onset_beats < bar_line - _SAME_BEAT]
    return (*kept, MeterChange(bar_line, meter))


@lru_cache(maxsize=8)
def _bars(meters: tuple[MeterChange, ...]) -> BeatGrid:
    """Any grid with these bars; its tempo means nothing."""
    return BeatGrid(np.array([0.0, 1.0]), np.array([0.0, 0.5]), meters)
