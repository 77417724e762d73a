"""Made-up piano parts, and the stretches that a live piano gets of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from hypothesis import strategies as st

from sidekeys_engine.notes import Note

STEP = 0.25


def part(*notes: tuple[float, float, int]) -> list[Note]:
    """Notes of (onset, end, pitch) in beats."""
    return [Note(onset, pitch, end - onset) for onset, end, pitch in notes]


def without_overlaps(drawn: Sequence[tuple[int, int, int]]) -> list[Note]:
    """Notes of (onset, length, pitch) in sixteenths; each ends where its key is struck again."""
    notes: list[Note] = []
    last: dict[int, int] = {}
    for onset, length, pitch in sorted(drawn):
        before = last.get(pitch)
        if before is not None:
            room = onset * STEP - notes[before].onset_beats
            notes[before] = replace(
                notes[before], duration_beats=min(notes[before].duration_beats, room)
            )
        last[pitch] = len(notes)
        notes.append(Note(onset * STEP, pitch, length * STEP))
    return sorted(notes)


PARTS = st.lists(
    st.tuples(st.integers(0, 63), st.integers(1, 24), st.integers(21, 108)),
    max_size=60,
    unique_by=lambda note: (note[0], note[2]),
).map(without_overlaps)
"""Parts of up to 60 notes in 16 beats and what sounds on after them."""

CUTS = st.lists(st.integers(1, 80), max_size=6, unique=True).map(
    lambda steps: [*(step * STEP for step in sorted(steps)), 24.0]
)
"""Where stretches end."""


def stretches(
    notes: Sequence[Note], ends_beats: Sequence[float]
) -> Iterator[tuple[float, float, list[Note]]]:
    """Start, end and notes of each stretch: those that sound in it, known up to its end."""
    start = 0.0
    for end in ends_beats:
        yield (
            start,
            end,
            [
                replace(note, duration_beats=min(note.end_beats, end) - note.onset_beats)
                for note in notes
                if note.onset_beats < end and note.end_beats > start
            ],
        )
        start = end
