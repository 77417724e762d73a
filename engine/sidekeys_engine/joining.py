"""Windows of notes into one piece of music: what a song's cover and the live piano share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sidekeys_engine.beat_grid import Window
from sidekeys_engine.note_tokens import StepNote
from sidekeys_engine.notes import Note

_SAME_EDGE_BEATS = 1e-6
USUAL_VELOCITY = 77
"""Of notes from a checkpoint that knows none."""


@dataclass(frozen=True, slots=True)
class Joined:
    """What a window says of a note.

    Attributes:
        number: which note of the piece; a note that sounds on into a window keeps its own.
        note: as far as it is known, in beats of the grid.
        is_new: it starts in this window.
        is_open: it is held to the end of what the window may play, and the next one may say that
            it sounds on; if none does, it ends there.
    """

    number: int
    note: Note
    is_new: bool
    is_open: bool


class Joiner:
    """Takes windows in order and says what each adds: the same for a song and for a live run.

    A window may hear further than it may play. Of its notes those count that start within its
    kept beats, and those that sound where these begin and sounded there in the window before, too.
    None sounds on beyond the kept beats unless the next window says that it does.

    Args:
        steps: length of a window in steps.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._count = 0
        self._edge = -math.inf
        self._open: dict[int, tuple[int, Note]] = {}  # by pitch: its number, and the note so far

    def add(self, window: Window, notes: Sequence[StepNote]) -> list[Joined]:
        """Add what was played in a window.

        Args:
            window: starts where the last one's kept beats ended; else what was held ends there.
            notes: of the window, by onset.

        Returns:
            The notes that are new, and those that sound longer than was said before.
        """
        positions = window.step_positions(self.steps).tolist()
        start = window.start_beats + window.skipped_beats
        end = window.start_beats + window.kept_beats
        before = self._open if abs(start - self._edge) <= _SAME_EDGE_BEATS else {}
        self._open, self._edge = {}, end
        told = []
        for step_note in notes:
            onset, stop = positions[step_note.onset_step], positions[step_note.end_step]
            starts_before = step_note.is_held_before or onset < start - _SAME_EDGE_BEATS
            if onset >= end - _SAME_EDGE_BEATS or stop <= start + _SAME_EDGE_BEATS:
                continue
            if not starts_before:
                self._count += 1
                number = self._count
                velocity = step_note.velocity or USUAL_VELOCITY
                note = Note(onset, step_note.pitch, min(stop, end) - onset, velocity)
            elif step_note.pitch in before:
                number, note = before.pop(step_note.pitch)
                note = replace(note, duration_beats=min(stop, end) - note.onset_beats)
            else:
                continue  # nobody struck it
            is_open = step_note.is_held_after or stop > end + _SAME_EDGE_BEATS
            if is_open:
                self._open[note.pitch] = (number, note)
            told.append(Joined(number, note, not starts_before, is_open))
        return told


def song_notes(played: Iterable[tuple[Window, Sequence[StepNote]]], steps: int) -> list[Note]:
    """The notes that windows give to a song, in beats of the grid.

    Args:
        played: windows in order, and what the model played in each.
        steps: length of a window in steps.
    """
    joiner = Joiner(steps)
    notes: dict[int, Note] = {}
    for window, step_notes in played:
        notes.update((told.number, told.note) for told in joiner.add(window, step_notes))
    return list(notes.values())


def rows_of(notes: Iterable[StepNote]) -> list[list[Any]]:
    """Rows for a message: onset step, end step, pitch, velocity, held before, held after."""
    return [
        [n.onset_step, n.end_step, n.pitch, n.velocity, n.is_held_before, n.is_held_after]
        for n in notes
    ]


def notes_of(rows: Iterable[Sequence[Any]]) -> Iterator[StepNote]:
    """The inverse of `rows_of`."""
    return (StepNote(*row) for row in rows)
