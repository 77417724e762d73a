"""Whatever a model wants to say, the grammar leaves it only windows of playable notes."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekeys_engine import Pop2PianoForConditionalGeneration
from sidekeys_engine.grammar import NoteGrammar
from sidekeys_engine.vocabulary import (
    END_ID,
    FIRST_NOTE_ID,
    NOTE_OFF_ID,
    NOTE_ON_ID,
    TokenLayout,
)

LAYOUT = TokenLayout(144)
FIRST_TIME_ID = LAYOUT.first_time_id


def spell(*words: str) -> list[int]:
    """``t2`` moves two steps, ``on`` and ``off`` switch, ``n60`` is a note, ``end`` ends."""
    ids = {"on": NOTE_ON_ID, "off": NOTE_OFF_ID, "end": END_ID}
    first = {"t": FIRST_TIME_ID, "n": FIRST_NOTE_ID}
    return [ids[w] if w in ids else first[w[0]] + int(w[1:]) for w in words]


def accepts(words: str, *, descending: bool = False) -> bool:
    grammar = NoteGrammar(1, LAYOUT, 8, descending=descending)
    for token in spell(*words.split()):
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
    grammar = NoteGrammar(rows, LAYOUT, 8, descending=descending)
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
        notes_of(row[: row.index(END_ID)])
