"""Two hands can play whatever was made playable, and lose no more than they must."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidekeys_engine.training.playability import StepNotes, made_playable, playable_share


def part(*notes: tuple[int, int, int]) -> StepNotes:
    rows = [(onset, end, pitch, 80) for onset, end, pitch in notes]
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def times(notes: StepNotes) -> list[list[int]]:
    return notes[:, :3].tolist()


@pytest.mark.parametrize(
    ("pitches", "playable"),
    [
        ([36, 50, 60, 74], True),
        ([36, 51, 60, 75], False),  # the left hand would have to reach 15 semitones
        ([36, 50, 65, 79, 80], False),
        ([40, 41, 42, 43, 44, 45, 46, 47, 48, 49], True),
        ([40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50], False),
        ([60, 61, 62, 63, 64, 65], True),
        ([30, 60, 61, 62, 63, 64, 65], False),
    ],
)
def test_each_hand_has_five_notes_within_a_ninth(pitches: list[int], playable: bool) -> None:
    assert playable_share(part(*((0, 4, p) for p in pitches))) == float(playable)


def test_held_notes_count() -> None:
    assert playable_share(part((0, 8, 36), (0, 8, 55), (4, 8, 75))) == 0.5
    assert playable_share(part((0, 4, 36), (0, 4, 55), (4, 8, 75))) == 1.0


def test_silence_is_playable() -> None:
    assert playable_share(part()) == 1.0
    assert made_playable(part()).shape == (0, 4)


def test_playable_notes_stay_as_they_are() -> None:
    notes = part((0, 8, 36), (0, 8, 43), (0, 2, 60), (2, 8, 72))
    assert (made_playable(notes) == notes).all()


def test_older_notes_are_released_first() -> None:
    notes = part((0, 16, 36), (2, 16, 55), (4, 8, 79))
    assert times(made_playable(notes)) == [[0, 4, 36], [2, 16, 55], [4, 8, 79]]


def test_a_held_note_that_is_in_nobodys_way_is_kept() -> None:
    notes = part((0, 16, 36), (1, 16, 56), (4, 8, 40), (4, 8, 79))
    assert [0, 16, 36] in times(made_playable(notes))
    assert [1, 4, 56] in times(made_playable(notes))


def test_inner_notes_are_left_out_last() -> None:
    notes = part((0, 4, 36), (0, 4, 55), (0, 4, 79))
    assert times(made_playable(notes)) == [[0, 4, 36], [0, 4, 79]]


def test_a_held_melody_is_not_released() -> None:
    notes = part((0, 16, 84), (4, 8, 36), (4, 8, 52), (4, 8, 60))
    assert times(made_playable(notes))[:2] == [[0, 16, 84], [4, 8, 36]]


PARTS = st.lists(
    st.tuples(st.integers(0, 12), st.integers(1, 8), st.integers(21, 108)),
    max_size=40,
    unique_by=lambda note: (note[0], note[2]),
)


@given(PARTS)
def test_anything_can_be_made_playable(drawn: list[tuple[int, int, int]]) -> None:
    notes = part(*((onset, onset + length, pitch) for onset, length, pitch in drawn))
    before = {(o, p): e for o, e, p, _ in notes.tolist()}
    played = made_playable(notes)
    assert playable_share(played) == 1.0
    assert all(o < e <= before[o, p] for o, e, p, _ in played.tolist())
    for onset in np.unique(notes[:, 0]):
        struck = notes[notes[:, 0] == onset, 2]
        left = played[played[:, 0] == onset, 2]
        assert left.min() == struck.min()
        assert left.max() == struck.max() or (notes[:, 2] > struck.max()).any()
