"""The pedal changes with the harmony, lets no bass smear, and lies still where nothing sounds."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given

from made_up_parts import CUTS, PARTS, part, stretches
from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.notes import Meter, Note, Pedal
from sidekeys_engine.pedaling import PRESS_BEATS, RING_BEATS, PedalMove, pedal_moves, pedals_of

GRID = BeatGrid.from_tempo(120)


def chord(start: float, end: float, *pitches: int) -> list[Note]:
    return part(*((start, end, pitch) for pitch in pitches))


def spans(*notes: Note, grid: BeatGrid = GRID) -> list[tuple[float, float]]:
    return [(p.onset_beats, p.onset_beats + p.duration_beats) for p in pedals_of(notes, grid)]


def changes(*notes: Note, grid: BeatGrid = GRID) -> list[float]:
    """Where the pedal goes up and down again at once."""
    return [
        up
        for (_, up), (down, _) in itertools.pairwise(spans(*notes, grid=grid))
        if down == up + PRESS_BEATS
    ]


def test_no_notes_need_no_pedal() -> None:
    assert spans() == []
    assert pedal_moves([], math.inf, GRID)[0] == []


def test_the_pedal_is_legato() -> None:
    """Up at the new chord's onset, down shortly after: the old one is damped, the new one rings."""
    notes = [*chord(0, 2, 36, 60, 64, 67), *chord(2, 4, 41, 60, 65, 69)]
    assert spans(*notes) == [(PRESS_BEATS, 2.0), (2.0 + PRESS_BEATS, 4.0 + RING_BEATS)]


def test_a_melody_over_a_chord_changes_nothing() -> None:
    melody = part(*((beat / 2, beat / 2 + 0.5, 72 + beat) for beat in range(8)))
    assert changes(*chord(0, 4, 36, 55, 60, 64), *melody) == []


def test_a_broken_chord_rings_together() -> None:
    pitches = (36, 43, 48, 52, 55, 52, 48, 43)
    broken = part(*((index / 2, index / 2 + 0.5, pitch) for index, pitch in enumerate(pitches)))
    assert spans(*broken) == [(PRESS_BEATS, 4.0 + RING_BEATS)]


def test_a_bass_that_moves_by_a_step_is_not_smeared() -> None:
    bass = part(*((beat, beat + 1.0, pitch) for beat, pitch in enumerate((36, 38, 40, 41))))
    assert changes(*bass, *chord(0, 4, 60, 64, 67)) == [1.0, 2.0, 3.0]


def test_a_new_bass_changes_the_pedal_off_the_beat_too() -> None:
    assert changes(*chord(0, 1.75, 36, 60, 64), *chord(1.75, 4, 33, 60, 64)) == [1.75]


def test_a_new_chord_over_the_same_bass_changes_the_pedal() -> None:
    assert changes(*chord(0, 4, 36), *chord(0, 1, 55, 60, 64), *chord(1, 4, 53, 59, 62)) == [1.0]


def test_bar_lines_renew_the_pedal_under_one_harmony() -> None:
    same = [note for bar in range(3) for note in chord(4 * bar, 4 * bar + 4, 36, 60, 64)]
    assert changes(*same) == [4.0, 8.0]
    three = BeatGrid.from_tempo(120, meter=Meter(3, 4))
    assert changes(*(n for b in range(3) for n in chord(3 * b, 3 * b + 3, 36, 60)), grid=three) == [
        3.0,
        6.0,
    ]


def test_the_pedal_is_up_in_silence() -> None:
    notes = [*chord(0, 2, 36, 60, 64), *chord(8, 10, 36, 60, 64)]
    assert spans(*notes) == [(0.125, 2.5), (8.125, 10.5)]


def test_a_short_gap_is_bridged() -> None:
    assert spans(*chord(0, 1.6, 36, 60, 64), *chord(2, 3, 60, 64)) == [(0.125, 3.5)]


def test_a_part_that_is_played_short_stays_dry() -> None:
    notes = [
        note
        for beat in range(0, 16, 2)
        for note in (*chord(beat, beat + 0.5, 36), *chord(beat + 1, beat + 1.25, 55, 60, 64))
    ]
    assert all(up <= 4.0 for _, up in spans(*notes)), "it takes a bar to hear that"


def test_what_is_struck_is_caught() -> None:
    """The pedal is down before the shortest key comes up."""
    short = [*chord(0, 0.25, 36, 60), *chord(0.25, 4, 64)]
    ((down, up),) = spans(*short)
    assert 0 < down < 0.25
    assert up == 4.5


@given(PARTS)
def test_moves_alternate_and_rise(notes: list[Note]) -> None:
    moves, foot = pedal_moves(notes, math.inf, GRID)
    assert [move.is_down for move in moves] == [True, False] * (len(moves) // 2)
    assert all(a.position_beats < b.position_beats for a, b in itertools.pairwise(moves))
    assert not foot.is_down
    for pedal in pedals_of(notes, GRID):
        assert isinstance(pedal, Pedal)
        during = [n for n in notes if n.end_beats > pedal.onset_beats - 1e-9]
        assert any(n.onset_beats < pedal.onset_beats for n in during), (
            "a key is down when it goes down"
        )


@given(PARTS, CUTS)
def test_stretches_are_pedaled_as_the_whole(notes: list[Note], ends: list[float]) -> None:
    whole, _ = pedal_moves(notes, ends[-1], GRID)
    foot = None
    moves: list[PedalMove] = []
    for _, end, stretch in stretches(notes, ends):
        more, foot = pedal_moves(stretch, end, GRID, foot)
        assert all(move.position_beats < end for move in more)
        moves += more
    assert moves == whole


def test_a_chord_that_outlasts_its_melody_is_still_no_melody() -> None:
    """It is held into the next stretch, so the part is none that is played short."""
    notes = sorted(
        note
        for bar in range(5)
        for note in part((4 * bar + 3.75, 4 * bar + 7, 60), (4 * bar + 3.75, 4 * bar + 4, 72))
    )
    whole, _ = pedal_moves(notes, 24.0, GRID)
    foot, moves = None, []
    for _, end, stretch in stretches(notes, [4.0, 8.0, 12.0, 16.0, 20.0, 24.0]):
        more, foot = pedal_moves(stretch, end, GRID, foot)
        moves += more
    assert moves == whole
    assert sum(move.is_down for move in moves) == 5


@pytest.mark.parametrize("end", [2.0, 2.0 + PRESS_BEATS])
def test_a_move_that_is_due_where_a_stretch_ends_comes_with_the_next(end: float) -> None:
    notes = [*chord(0, 2, 36, 60), *chord(2, 4, 41, 65)]
    first, foot = pedal_moves([n for n in notes if n.onset_beats < end], end, GRID)
    assert all(move.position_beats < end for move in first)
    second, _ = pedal_moves([n for n in notes if n.end_beats > end], math.inf, GRID, foot)
    assert [*first, *second] == pedal_moves(notes, math.inf, GRID)[0]
