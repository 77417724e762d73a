"""Whatever a model wants to say, the grammar leaves it only windows of playable notes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekeys_engine import Pop2PianoForConditionalGeneration
from sidekeys_engine.grammar import NoteGrammar
from sidekeys_engine.note_tokens import NoteTokens, StepNote, default_vocabulary
from sidekeys_engine.vocabulary import (
    END_ID,
    FIRST_NOTE_ID,
    NOTE_OFF_ID,
    NOTE_ON_ID,
    TokenLayout,
    velocity_of_level,
)

LAYOUT = TokenLayout(144)
FIRST_TIME_ID = LAYOUT.first_time_id
FINE_LAYOUT, FINE_STEPS = TokenLayout(161, velocity_levels=12), 16
FINE_TOKENS = NoteTokens(default_vocabulary(161, 12), END_ID)


def spell(*words: str, layout: TokenLayout = LAYOUT) -> list[int]:
    """``t2`` moves two steps, ``on``, ``v3``, ``off`` switch, ``n60`` is a note, ``end`` ends."""
    ids = {"on": NOTE_ON_ID, "off": NOTE_OFF_ID, "end": END_ID}
    first = {"t": layout.first_time_id, "n": FIRST_NOTE_ID, "v": NOTE_OFF_ID}
    return [ids[w] if w in ids else first[w[0]] + int(w[1:]) for w in words]


def order_of(descending: bool | None) -> str:
    return {None: "any", False: "ascending", True: "descending"}[descending]


def accepts(words: str, *, descending: bool | None = False, fine: bool = False) -> bool:
    """Whether a window may be written so; ``fine``: with velocities, and notes held over edges."""
    layout, steps = (FINE_LAYOUT, FINE_STEPS) if fine else (LAYOUT, 8)
    grammar = NoteGrammar(1, layout, steps, chord_order=order_of(descending), held_notes=fine)
    for token in spell(*words.split(), layout=layout):
        if not grammar.allowed()[0, token]:
            return False
        grammar.advance(torch.tensor([token]))
    return True


@pytest.mark.parametrize(
    "words",
    [
        "end",
        "t0 on n60 t2 off n60 end",
        "t0 on n60 n64 t4 off n60 n64 on n60 t4 off n60 end",
        "t3 on n60 t5 off n60 end",
        "t0 on n60 t1 n62 t1 off n60 n62 end",
    ],
)
def test_playable_windows_are_accepted(words: str) -> None:
    assert accepts(words)


@pytest.mark.parametrize(
    "words",
    [
        "on",  # a window begins with its time
        "t0 end",  # a moment without a note
        "t0 t1",
        "t0 off",  # nothing sounds that could end
        "t0 on n60 end",  # it still sounds
        "t0 on n60 n60",  # struck twice at once
        "t0 on n60 off",  # ended when it starts
        "t0 on t1",  # a switch without a note
        "t0 on on",
        "t0 on n60 t0",  # no time passes
        "t0 on n60 t9",  # past the window's end
        "t0 on n60 t8 on",  # a note that starts at the end
        "t8",  # nothing sounds that could end there
        "t0 on n64 n60",  # a chord is written low to high
        "t0 on n60 n64 t8 off n64",  # and so are the notes that end
    ],
)
def test_unplayable_windows_are_refused(words: str) -> None:
    assert not accepts(words)


def test_chords_are_written_high_to_low_where_the_checkpoint_was_trained_so() -> None:
    assert accepts("t0 on n64 n60 t8 off n60 n64 end", descending=True)
    assert not accepts("t0 on n60 n64", descending=True)


def test_a_checkpoint_that_tells_no_order_may_write_a_chord_in_any() -> None:
    assert accepts("t0 on n64 n67 n60 t2 off n67 n60 t6 n64 end", descending=None)
    assert not accepts("t0 on n64 n64", descending=None)


@pytest.mark.parametrize(
    "words",
    [
        "t0 v3 n64 v7 n60 v3 n48 t4 off n60 n64 end",  # levels change inside a chord
        "t0 v12 n64 t4 n60 end",  # a level goes on until it changes
        "t0 v3 n60 t4 off n60 v3 n60 end",  # an end and a new stroke of one key
    ],
)
def test_a_level_may_change_inside_a_chord(words: str) -> None:
    assert accepts(words, descending=True, fine=True)


@pytest.mark.parametrize(
    "words",
    [
        "t0 v3 n60 v7 n64",  # the order of pitch goes on over a change of level
        "t0 v3 n60 v7 n60",
        "t0 v3 n0 v7",  # below the lowest pitch there is nothing to change it for
        "t0 v3 n60 v3",  # no change
        "t0 v3 v7",  # a level without a note
        "t0 v3 n60 v7 t1",
        "t0 v3 n60 v7 end",
    ],
)
def test_a_change_of_level_keeps_the_chords_order(words: str) -> None:
    assert not accepts(words, descending=True, fine=True)


def test_a_chord_that_rises_goes_on_rising_at_another_level() -> None:
    assert accepts("t0 v3 n60 v7 n64 end", fine=True)
    assert not accepts("t0 v3 n64 v7 n60", fine=True)


@pytest.mark.parametrize(
    "words",
    [
        "end",
        "n60 end",  # it sounds all through
        "n40 n60 t4 n40 n60 end",  # the first notes end before any level is told
        "n40 n60 t4 n60 v3 n60 end",  # one is struck again, one left open
        "n60 t0 v3 n62 end",
        "t0 v3 n60 end",  # what sounds beyond the end is left open
        "t15 v3 n60 end",
    ],
)
def test_notes_may_be_held_over_both_edges(words: str) -> None:
    assert accepts(words, descending=True, fine=True)


@pytest.mark.parametrize(
    "words",
    [
        "n60 n40",  # held notes are written low to high, whatever the order of chords
        "n60 n60",
        "n60 v3",  # before any time nothing is switched
        "n60 off",
        "n60 t0 v3 n60",  # struck while it sounds
        "n60 t4 v3 n60",
        "n60 t4 n62",  # ended, and did not sound
        "n60 t4 end",  # a moment without a note
    ],
)
def test_held_notes_sound_from_the_start(words: str) -> None:
    assert not accepts(words, descending=True, fine=True)


def test_without_held_notes_a_window_begins_with_its_time() -> None:
    grammar = NoteGrammar(1, FINE_LAYOUT, FINE_STEPS)
    allowed = grammar.allowed()[0]
    assert not allowed[FIRST_NOTE_ID:NOTE_OFF_ID].any()
    assert allowed[END_ID]


@pytest.mark.parametrize(
    "words",
    [
        "t8 v3 n60 t8 off n60 end",
        "n40 n60 t8 v3 n62 t8 off n40 n62 end",  # the one between is held on
        "t0 v3 n60 t15 t1 off n60 end",  # one time does not reach that far
    ],
)
def test_notes_may_end_at_the_windows_end_or_be_held_beyond_it(words: str) -> None:
    assert accepts(words, fine=True)


@pytest.mark.parametrize(
    "words",
    [
        "t8 v3 n60 t8 end",  # a moment without a note
        "t8 v3 n60 t8 v5",  # nothing starts there
        "t8 v3 n60 t8 off n60 v5",
        "t15 t1",  # nothing sounds that could end there
        "t8 v3 n60 t7 t1",  # one time says it
    ],
)
def test_nothing_else_happens_at_the_windows_end(words: str) -> None:
    assert not accepts(words, fine=True)


def test_rows_with_held_notes_follow_their_own_windows() -> None:
    grammar = NoteGrammar(2, FINE_LAYOUT, FINE_STEPS, held_notes=True)
    for words in zip(["n60", "t4", "off"], ["t3", "v2", "n50"], strict=True):
        grammar.advance(torch.tensor(spell(*words, layout=FINE_LAYOUT)))
    first, second = grammar.allowed()
    assert first.nonzero().flatten().tolist() == spell("n60", layout=FINE_LAYOUT)
    assert not second[FIRST_NOTE_ID + 50]
    assert second[FIRST_NOTE_ID + 51]


def notes_of(tokens: list[int]) -> list[tuple[int, int, int]]:
    """A strict reader: any breach of the grammar is an AssertionError."""
    time, velocity, sounding, notes = 0, 0, {}, []
    for token in tokens:
        if token >= FIRST_TIME_ID:
            time += token - FIRST_TIME_ID
        elif token >= NOTE_OFF_ID:
            velocity = token - NOTE_OFF_ID
        elif velocity:
            assert token not in sounding
            assert time < 8
            sounding[token] = time
        else:
            assert sounding[token] < time <= 8
            notes.append((sounding.pop(token), time, token))
    assert not sounding
    return notes


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), descending=st.booleans(), end_bias=st.floats(-6, 2))
def test_any_scores_end_in_a_playable_window(seed: int, descending: bool, end_bias: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows = 4
    grammar = NoteGrammar(rows, LAYOUT, 8, chord_order=order_of(descending))
    written: list[list[int]] = [[] for _ in range(rows)]
    ended = torch.zeros(rows, dtype=torch.bool)
    for _ in range(3000):
        scores = torch.randn(rows, LAYOUT.size, generator=generator)
        scores[:, END_ID] += end_bias
        scores[:, FIRST_TIME_ID:] += 2
        allowed = grammar.allowed()
        assert bool(allowed.any(1).all())
        tokens = scores.masked_fill(~allowed, float("-inf")).argmax(1)
        grammar.advance(tokens)
        for row, token in enumerate(tokens.tolist()):
            if not ended[row] and token != END_ID:
                written[row].append(token)
        ended |= tokens == END_ID
        if ended.all():
            break
    assert ended.all(), "time only moves ahead, so every window must end"
    for tokens in written:
        notes_of(tokens)


def fine_notes_of(tokens: list[int], *, descending: bool) -> list[StepNote]:
    """A strict reader of windows with velocities and held notes; it shares nothing with ours."""
    first_time_id = FINE_LAYOUT.first_time_id
    step, level, moment = -1, 0, [0]  # (so that the first moment is never empty)
    farthest = False
    group: list[tuple[int, int]] = []  # pitches of the moment, and whether they start
    sounding: dict[int, StepNote] = {}
    notes = []
    for token in tokens:
        pitch = token - FIRST_NOTE_ID
        if token >= first_time_id:
            move = token - first_time_id
            assert moment or farthest, "a moment without a note"
            farthest = move == FINE_LAYOUT.longest_move
            assert move > 0 or step < 0, "no time passes"
            step, moment, group = max(step, 0) + move, [], []
            assert step <= FINE_STEPS
        elif token >= NOTE_OFF_ID:
            assert step >= 0, "a switch before any time"
            level = token - NOTE_OFF_ID
        elif step < 0:
            assert pitch > max(sounding, default=-1), "held notes rise"
            sounding[pitch] = StepNote(0, FINE_STEPS, pitch, is_held_before=True)
        else:
            moment.append(pitch)
            group.append((int(level > 0), pitch))
            if level:
                assert pitch not in sounding
                assert step < FINE_STEPS
                velocity = velocity_of_level(level, FINE_LAYOUT.velocity_levels)
                sounding[pitch] = StepNote(step, FINE_STEPS, pitch, velocity)
            else:
                ended = sounding.pop(pitch)
                assert ended.onset_step < step, "a note that lasts no time"
                notes.append(replace(ended, end_step=step))
        signs = [(starts, -p if starts and descending else p) for starts, p in group]
        assert signs == sorted(set(signs)), "first those that end, and each group in its order"
    assert moment, "a moment without a note"
    notes += [replace(note, is_held_after=True) for note in sounding.values()]
    return sorted(notes, key=lambda note: (note.onset_step, note.pitch))


def test_a_held_note_sounds_for_a_step_at_least() -> None:
    """A reader leaves it sounding, so what it says and what the grammar follows would differ."""
    assert not accepts("n60 t0 n60", fine=True)
    assert accepts("n60 t1 n60 end", fine=True)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), descending=st.booleans(), end_bias=st.floats(-6, 2))
def test_any_scores_end_in_a_window_of_levels_and_held_notes(
    seed: int, descending: bool, end_bias: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows = 4
    grammar = NoteGrammar(
        rows, FINE_LAYOUT, FINE_STEPS, chord_order=order_of(descending), held_notes=True
    )
    written: list[list[int]] = [[] for _ in range(rows)]
    ended = torch.zeros(rows, dtype=torch.bool)
    for _ in range(6000):
        scores = torch.randn(rows, FINE_LAYOUT.size, generator=generator)
        scores[:, END_ID] += end_bias
        scores[:, FINE_LAYOUT.first_time_id :] += 2
        allowed = grammar.allowed()
        assert bool(allowed.any(1).all())
        tokens = scores.masked_fill(~allowed, float("-inf")).argmax(1)
        grammar.advance(tokens)
        for row, token in enumerate(tokens.tolist()):
            if not ended[row] and token != END_ID:
                written[row].append(token)
        ended |= tokens == END_ID
        if ended.all():
            break
    assert ended.all(), "time only moves ahead, so every window must end"
    for one in written:
        read = FINE_TOKENS.decode_strictly(one, steps=FINE_STEPS, held_notes=True)
        assert fine_notes_of(one, descending=descending) == read


def test_rows_can_be_reordered_and_dropped() -> None:
    grammar = NoteGrammar(2, LAYOUT, 8)
    for token in zip(spell("t0", "on", "n60"), spell("t1", "on", "n62"), strict=True):
        grammar.advance(torch.tensor(token))
    before = grammar.allowed()
    grammar.select(torch.tensor([1, 0, 1]))
    assert torch.equal(grammar.allowed(), before[[1, 0, 1]])


@pytest.mark.parametrize(
    "arguments",
    [{}, {"do_sample": True, "temperature": 2.0, "top_k": 0, "seed": 1}, {"num_beams": 3}],
    ids=str,
)
def test_the_embedded_checkpoint_writes_playable_windows(arguments: dict[str, object]) -> None:
    model = Pop2PianoForConditionalGeneration.from_pretrained("builtin")
    noise = torch.randn(6, 44, 256, generator=torch.Generator().manual_seed(0)) * 2 - 4
    names = ["full", "accompaniment", "block", "arpeggio", "full", "block"]
    tokens = model.generate(noise, composer=names, max_length=300, **arguments)
    assert isinstance(tokens, torch.Tensor)
    for row in tokens[:, 1:].tolist():
        assert END_ID in row
        fine_notes_of(row[: row.index(END_ID)], descending=True)
