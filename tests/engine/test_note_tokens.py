"""What a window's notes are written as says the same notes, held over its edges or not."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekeys_engine.note_tokens import (
    NOTE,
    TIME,
    VELOCITY,
    NoteTokens,
    StepNote,
    default_vocabulary,
    join_windows,
)
from sidekeys_engine.vocabulary import (
    END_ID,
    TokenLayout,
    level_of_velocity,
    velocity_of_level,
)

SIZE, LEVELS, STEPS = 161, 12, 16
TOKENS = NoteTokens(default_vocabulary(SIZE, LEVELS), END_ID)


@st.composite
def windows(draw: st.DrawFn) -> list[StepNote]:
    """Notes of one window: on each key one after the other, the outer ones held over edges."""
    notes = []
    for pitch in draw(st.sets(st.integers(0, 127), max_size=8)):
        edges = sorted(draw(st.sets(st.integers(0, STEPS), min_size=2, max_size=6)))
        held_before = edges[0] == 0 and draw(st.booleans())
        held_after = edges[-1] == STEPS and draw(st.booleans())
        gaps = draw(st.booleans())
        for number, (onset, end) in enumerate(pairwise(edges)):
            if gaps and number % 2:
                continue
            notes.append(
                StepNote(
                    onset,
                    end,
                    pitch,
                    draw(st.integers(1, 127)),
                    is_held_before=held_before and onset == 0,
                    is_held_after=held_after and end == STEPS,
                )
            )
    return notes


def as_read(note: StepNote) -> StepNote:
    """A note as a reader has it: at its level's velocity, or at none that it got before."""
    level = level_of_velocity(note.velocity or 0, LEVELS)
    velocity = None if note.is_held_before else velocity_of_level(level, LEVELS)
    return replace(note, velocity=velocity)


@settings(max_examples=100, deadline=None)
@given(notes=windows(), descending=st.booleans())
def test_a_window_is_read_as_it_was_written(notes: list[StepNote], descending: bool) -> None:
    ids = TOKENS.encode_window(notes, descending=descending)
    assert ids[-1] == END_ID
    assert ids.count(END_ID) == 1
    assert all(0 <= token < SIZE for token in ids)
    read = TOKENS.decode_strictly(ids, steps=STEPS, held_notes=True)
    assert read == sorted(map(as_read, notes), key=lambda note: (note.onset_step, note.pitch))


@settings(max_examples=50, deadline=None)
@given(notes=windows(), descending=st.booleans())
def test_nothing_is_said_twice(notes: list[StepNote], descending: bool) -> None:
    """Time always passes, and a level is told where it changes."""
    ids = TOKENS.encode_window(notes, descending=descending)
    level, has_started = 0, False
    for kind, number in TOKENS.spoken(ids):
        if kind == TIME:
            assert number > 0 or not has_started
            has_started = True
        elif kind == VELOCITY:
            assert number != level
            level = number
    named = sum(kind == NOTE for kind, _ in TOKENS.spoken(ids))
    assert named == sum(2 - note.is_held_after for note in notes), "where it begins and ends"


def words(notes: list[StepNote], *, descending: bool = False) -> str:
    """The tokens of a window: ``t2`` moves, ``v3`` and ``v0`` switch, ``n60`` is a note."""
    signs = {TIME: "t", VELOCITY: "v", NOTE: "n"}
    ids = TOKENS.encode_window(notes, descending=descending)
    return " ".join(f"{signs[kind]}{number}" for kind, number in TOKENS.spoken(ids))


def test_held_notes_come_first_and_open_notes_do_not_end() -> None:
    notes = [
        StepNote(0, 4, 64, is_held_before=True),
        StepNote(0, 16, 40, is_held_before=True, is_held_after=True),
        StepNote(2, 16, 60, 64, is_held_after=True),
    ]
    assert words(notes) == "n40 n64 t2 v7 n60 t2 v0 n64"


def test_a_moment_ends_notes_before_it_starts_others() -> None:
    notes = [StepNote(0, 3, 60, 100), StepNote(0, 3, 64, 20), StepNote(3, 5, 60, 20)]
    assert words(notes) == "t0 v10 n60 v2 n64 t3 v0 n60 n64 v2 n60 t2 v0 n60"
    assert words(notes, descending=True) == "t0 v2 n64 v10 n60 t3 v0 n60 n64 v2 n60 t2 v0 n60"


def test_a_window_without_notes_is_its_end() -> None:
    assert TOKENS.encode_window([], descending=True) == [END_ID]
    assert TOKENS.decode_strictly([END_ID], steps=STEPS, held_notes=True) == []


def test_a_long_way_takes_two_times() -> None:
    assert words([StepNote(0, 16, 60, 64)]) == "t0 v7 n60 t15 t1 v0 n60"


def test_pitches_before_any_time_say_nothing_where_no_notes_are_held() -> None:
    ids = TOKENS.encode_window(
        [StepNote(0, 4, 40, is_held_before=True), StepNote(4, 8, 60, 64)], descending=True
    )
    assert TOKENS.decode_strictly(ids, steps=STEPS) == [StepNote(4, 8, 60, 69)]


@pytest.mark.parametrize("levels", [2, 12, 32, 127])
def test_a_levels_velocity_is_of_that_level(levels: int) -> None:
    for level in range(1, levels + 1):
        velocity = velocity_of_level(level, levels)
        assert 0 < velocity < 128
        assert level_of_velocity(velocity, levels) == level
    assert level_of_velocity(1, levels) == 1
    assert level_of_velocity(127, levels) == levels


def test_levels_are_equally_wide_and_rise() -> None:
    levels = [level_of_velocity(velocity, LEVELS) for velocity in range(128)]
    assert levels == sorted(levels)
    assert {levels.count(level) for level in range(1, LEVELS + 1)} == {10, 11}


def test_the_vocabulary_lies_as_its_layout_says() -> None:
    vocabulary = default_vocabulary(SIZE, LEVELS)
    layout = TokenLayout(SIZE, LEVELS)
    assert sorted(vocabulary.values()) == list(range(SIZE))
    assert vocabulary[f"0_{TIME}"] == layout.first_time_id
    assert vocabulary[f"{layout.longest_move}_{TIME}"] == SIZE - 1
    assert vocabulary[f"{LEVELS}_{VELOCITY}"] == layout.first_time_id - 1
    assert TOKENS.velocity_levels == LEVELS
    with pytest.raises(ValueError, match="has no time tokens"):
        default_vocabulary(layout.first_time_id + 1, LEVELS)


# --- windows that follow each other ---


@st.composite
def songs(draw: st.DrawFn) -> list[StepNote]:
    """Notes of three windows' length, on each key one after the other."""
    notes = []
    for pitch in draw(st.sets(st.integers(0, 127), max_size=4)):
        edges = sorted(draw(st.sets(st.integers(0, 3 * STEPS), min_size=2, max_size=8)))
        notes += [
            StepNote(onset, end, pitch, draw(st.integers(1, 127)))
            for onset, end in zip(edges[::2], edges[1::2], strict=False)
        ]
    return sorted(notes, key=lambda note: (note.onset_step, note.pitch))


def window_of(song: list[StepNote], number: int) -> list[StepNote]:
    first, last = number * STEPS, (number + 1) * STEPS
    return [
        StepNote(
            max(note.onset_step, first) - first,
            min(note.end_step, last) - first,
            note.pitch,
            note.velocity,
            is_held_before=note.onset_step < first,
            is_held_after=note.end_step > last,
        )
        for note in song
        if note.onset_step < last and note.end_step > first
    ]


@settings(max_examples=100, deadline=None)
@given(song=songs())
def test_a_song_in_windows_of_tokens_is_that_song(song: list[StepNote]) -> None:
    read = [
        TOKENS.decode_strictly(
            TOKENS.encode_window(window_of(song, number), descending=True),
            steps=STEPS,
            held_notes=True,
        )
        for number in range(3)
    ]
    joined = [replace(note, is_held_after=False) for note in join_windows(read, STEPS)]
    assert joined == [as_read(note) for note in song]


def test_what_nobody_struck_is_left_out_of_a_song() -> None:
    held = StepNote(0, 4, 60, is_held_before=True)
    struck = StepNote(12, 16, 60, 80, is_held_after=True)
    assert join_windows([[held]], STEPS) == []
    assert join_windows([[struck], [], [held]], STEPS) == [struck]
    (whole,) = join_windows([[struck], [held]], STEPS)
    assert (whole.onset_step, whole.end_step, whole.velocity) == (12, 20, 80)
