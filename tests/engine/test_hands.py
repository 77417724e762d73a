"""Two hands can play what comes out, its outer voices stay, and no chord loses what fits."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given

from made_up_parts import CUTS, PARTS, part, stretches
from sidekeys_engine.hands import is_reachable, within_reach
from sidekeys_engine.moments import moments, presses_of
from sidekeys_engine.notes import Note


def played(*notes: tuple[float, float, int]) -> list[tuple[float, float, int]]:
    kept = sorted(within_reach(part(*notes))[0].values())
    return [(note.onset_beats, note.end_beats, note.pitch) for note in kept]


def is_playable(notes: list[Note]) -> bool:
    return all(
        is_reachable([press.pitch for press in (*moment.held, *moment.struck)])
        for moment in moments(presses_of(notes))
    )


def test_what_fits_comes_out_as_it_is() -> None:
    notes = [(0.0, 4.0, 36), (0.0, 4.0, 43), (0.0, 1.0, 60), (1.0, 4.0, 72)]
    assert played(*notes) == notes


def test_an_inner_note_moves_to_a_hand_that_reaches_it() -> None:
    assert played((0, 4, 28), (0, 4, 50), (0, 4, 72)) == [(0, 4, 28), (0, 4, 62), (0, 4, 72)]
    taken = [(0, 4, 67), (0, 4, 70)]
    assert played((0, 4, 36), (0, 4, 55), *taken) == [(0, 4, 36), (0, 4, 43), *taken]


def test_an_inner_note_is_left_out_where_no_octave_of_it_is_in_reach() -> None:
    notes = [(0, 4, pitch) for pitch in (36, 37, 38, 39, 40, 55, 80, 81, 82, 83, 84)]
    assert played(*notes) == [note for note in notes if note[2] != 55]


def test_older_notes_are_let_go_for_newer_ones() -> None:
    assert played((0, 4, 36), (0.5, 4, 55), (1, 2, 79)) == [(0, 1, 36), (0.5, 4, 55), (1, 2, 79)]


def test_a_melody_is_held_over_chords_that_ask_for_its_hand() -> None:
    kept = played((0, 4, 84), (1, 2, 36), (1, 2, 52), (1, 2, 60))
    assert (0, 4, 84) in kept
    assert (1, 2, 36) in kept


def test_a_note_that_moved_makes_way_for_its_key() -> None:
    moved = [(0, 4, 28), (0, 1, 62), (0, 4, 72)]
    assert played((0, 4, 28), (0, 4, 50), (0, 4, 72), (1, 2, 62)) == [*moved, (1, 2, 62)]


def test_a_note_that_moved_is_still_moved_where_it_sounds_on() -> None:
    first, reach = within_reach(part((0, 4, 28), (0, 4, 50), (0, 4, 72)))
    second, _ = within_reach(part((0, 6, 50), (0, 5, 72)), reach)
    assert {strike: note.pitch for strike, note in first.items()} == {
        (0, 28): 28,
        (0, 50): 62,
        (0, 72): 72,
    }
    assert second == {(0, 50): Note(0, 62, 6), (0, 72): Note(0, 72, 5)}


@given(PARTS)
def test_two_hands_can_play_whatever_comes_out(notes: list[Note]) -> None:
    kept = sorted(within_reach(notes)[0].values())
    assert is_playable(kept)
    assert sorted(within_reach(kept)[0].values()) == kept
    for pitch in {note.pitch for note in kept}:
        same = [note for note in kept if note.pitch == pitch]
        assert all(a.end_beats <= b.onset_beats for a, b in pairwise(same)), "one key, one string"
    for moment in moments(presses_of(notes)):
        left = [note.pitch for note in kept if note.onset_beats == moment.onset]
        assert left, "what strikes together is never left out altogether"
        assert min(left) == moment.struck[0].pitch
        if moment.top is not None:
            assert max(left) == moment.top.pitch
    assert {note.pitch % 12 for note in kept} <= {note.pitch % 12 for note in notes}


@given(PARTS, CUTS)
def test_stretches_are_played_as_the_whole(notes: list[Note], ends: list[float]) -> None:
    whole, _ = within_reach(notes)
    reach = None
    told: dict[tuple[float, int], Note] = {}
    for _, _, stretch in stretches(notes, ends):
        kept, reach = within_reach(stretch, reach)
        told.update(kept)
    assert told == whole
