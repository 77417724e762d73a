"""A beat grid on the time line of a MIDI file: pickup, tempos, meters."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np

from sidekeys_engine.bars import SAME_BEAT, meter_lasting
from sidekeys_engine.beat_grid import MAX_BPM, MIN_BPM, OUTER_BEATS, BeatGrid
from sidekeys_engine.notes import MeterChange, TempoChange

_SAME_MOMENT_SECONDS = 1e-3
_TICKS_PER_BEAT = 480
_LONGEST_STEP_BEATS = 256.0  # half a microsecond a beat adds up to 0.13 ms over these
_TEMPO_DRIFT_SECONDS = 2.5e-4
_SHORTEST_PICKUP_BEATS = 0.125  # a 32nd note
_FASTEST_PICKUP_BPM = 960.0  # common DAWs clip tempos from here on


class Timeline(NamedTuple):
    """A grid as a MIDI file has it.

    Attributes:
        anchored: the grid on the file's positions: beat 0 is second 0, the start of the song.
        tempos: the file's tempos, the first one at 0.0.
        meters: the file's meters, the first one at 0.0.
    """

    anchored: BeatGrid
    tempos: tuple[TempoChange, ...]
    meters: tuple[MeterChange, ...]


def timeline(grid: BeatGrid, end_seconds: float) -> Timeline:
    """Put a grid on the time line of a MIDI file that starts with the song.

    Bar lines of the grid, from the first one at or after second 0, are bar lines of the file.
    Before that one stands a pickup bar, unless it lies at second 0 (to 1 ms, or to the 8 ms
    that no DAW's fastest tempo could fill). The pickup counts whole beats of the meter: its
    first beat starts at second 0 and is stretched or squeezed to do so, the others stand where
    they are. Where less than half a beat stands before the bar line, the pickup is so many
    32nd notes, at least one, in n/8, n/16 or n/32.

    Tempos are whole microseconds a beat, what MIDI stores, at positions that are multiples of
    1/480 of a beat. Rounding is made up for as it goes, so that the file and the grid never
    differ by a millisecond, however long the song is.

    A position ``x`` of the grid is ``anchored.beats_at(grid.seconds_at(x))`` in the file.
    Moments before second 0 have negative positions there, for the caller to clip.

    Args:
        grid: the song's beats.
        end_seconds: the length of the song; no change is listed from there on.

    Raises:
        ValueError: the song ends before it starts.
    """
    if not 0 <= end_seconds < math.inf:
        raise ValueError(f"a song does not end at {end_seconds} s")
    number = grid.bar_number(grid.beats_at(-_SAME_MOMENT_SECONDS))
    while grid.seconds_at(grid.bar_start(number)) < -_SAME_MOMENT_SECONDS:
        number += 1
    bar = grid.bar_start(number)
    bar_seconds = grid.seconds_at(bar)
    unit = min(1.0, 4 / grid.meter_at(bar).denominator)
    pickup = _pickup_beats(bar - grid.beats_at(0.0), bar_seconds, unit)

    meters = [] if pickup == 0 else [MeterChange(0.0, meter_lasting(pickup))]
    for change in grid.meter_changes_from(bar):
        if not meters or meters[-1].meter != change.meter:
            meters.append(MeterChange(change.onset_beats - bar + pickup, change.meter))

    # The last corner is far enough beyond the last beat to keep the tempo after it as it is.
    beyond = max(bar, float(grid.beats[-1]), grid.beats_at(end_seconds)) + 2 * OUTER_BEATS
    # Beat 0 put at second 0 stretches what follows, up to the first beat at most.
    later = grid.beats[grid.beats > bar + (SAME_BEAT if pickup > 0 else 0.25)]
    upbeats = bar - np.arange(unit, pickup, unit)
    corners = np.unique(np.concatenate([upbeats, [bar, bar + 1, beyond], later]))
    beats, seconds = corners - bar + pickup, grid.seconds_at(corners)
    if pickup > 0:
        beats, seconds = np.insert(beats, 0, 0.0), np.insert(seconds, 0, 0.0)
    seconds[0] = 0.0
    anchored = BeatGrid(beats, seconds, tuple(meters))

    heard = [c for c in meters[1:] if c.onset_beats < anchored.beats_at(end_seconds)]
    tempos = _whole_microsecond_tempos(anchored, end_seconds)
    return Timeline(anchored, tempos, (meters[0], *heard))


def _pickup_beats(natural_beats: float, seconds: float, unit: float) -> float:
    """Length to write a pickup with that lasts ``seconds``; 0.0 for none."""
    if seconds < max(_SAME_MOMENT_SECONDS, _SHORTEST_PICKUP_BEATS * 60 / _FASTEST_PICKUP_BPM):
        return 0.0
    if natural_beats >= unit / 2:
        return max(1, round(natural_beats / unit)) * unit
    count = max(1, round(natural_beats / _SHORTEST_PICKUP_BEATS))
    if count > 1 and count * _SHORTEST_PICKUP_BEATS * 60 / seconds > MAX_BPM:
        count -= 1
    elif count * _SHORTEST_PICKUP_BEATS * 60 / seconds < MIN_BPM:
        count += 1
    return count * _SHORTEST_PICKUP_BEATS


def _whole_microsecond_tempos(grid: BeatGrid, end_seconds: float) -> tuple[TempoChange, ...]:
    """Tempos from beat 0 until ``end_seconds``, each an exact number of microseconds a beat."""
    corners = grid.beats[(grid.beats >= 0) & (grid.seconds < end_seconds + 1)]
    corners = np.append(corners, grid.beats[grid.beats > corners[-1]][:1])
    ticks = np.unique(np.round(corners * _TICKS_PER_BEAT))
    pieces = np.maximum(1, np.ceil(np.diff(ticks) / (_LONGEST_STEP_BEATS * _TICKS_PER_BEAT)))
    runs = [
        np.round(np.linspace(start, end, int(count) + 1))[:-1]
        for (start, end), count in zip(itertools.pairwise(ticks.tolist()), pieces, strict=True)
    ]
    positions = np.concatenate([*runs, ticks[-1:]]) / _TICKS_PER_BEAT
    due = grid.seconds_at(positions)
    tempos: list[TempoChange] = []
    clock, held = 0.0, 0  # seconds the file has reached; microseconds a beat now
    for index, position in enumerate(positions[:-1].tolist()):
        if tempos and due[index] >= end_seconds:
            break
        step = float(positions[index + 1]) - position
        natural = float(due[index + 1] - due[index]) * 1e6 / step
        ideal = float(due[index + 1] - clock) * 1e6 / step  # meets the next position exactly
        drift = abs(ideal - held) * step / 1e6
        if not tempos or abs(natural - held) > 1 or drift > _TEMPO_DRIFT_SECONDS:
            microseconds = round(min(max(ideal, math.floor(natural)), math.ceil(natural)))
            if microseconds != held:
                tempos.append(TempoChange(position, 60e6 / microseconds))
            held = microseconds
        clock += held * step / 1e6
    return tuple(tempos)
