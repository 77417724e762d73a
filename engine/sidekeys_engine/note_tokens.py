"""One window's notes to token ids and back, for a vocabulary of any size.

Time tokens are relative: each says how many steps pass before what follows it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sidekeys_engine.vocabulary import (
    FIRST_NOTE_ID,
    NOTE_OFF_ID,
    PITCHES,
    SPECIAL_TOKENS,
    TokenLayout,
    level_of_velocity,
    velocity_of_level,
)

SPECIAL, NOTE, VELOCITY, TIME = "TOKEN_SPECIAL", "TOKEN_NOTE", "TOKEN_VELOCITY", "TOKEN_TIME"
UNKNOWN_ID = SPECIAL_TOKENS - 1
"""What a word that is no token becomes: the special id that no model was trained to use."""

NoteRows = npt.NDArray[np.int64]
"""(notes, 4): onset step, offset step, pitch, velocity."""
NO_NOTES: NoteRows = np.empty((0, 4), dtype=np.int64)


@dataclass(frozen=True, slots=True)
class StepNote:
    """A note in steps of its window: ``0 <= onset_step < end_step``.

    Attributes:
        onset_step: where it starts; the window's start for a note that was held into it.
        end_step: where it ends; the window's end for a note that is held beyond it.
        pitch: MIDI pitch.
        velocity: MIDI velocity; None where the vocabulary has none, and for a note held into the
            window, which got its own when it was struck.
        is_held_before: it sounds on from the window before.
        is_held_after: it sounds on into the next window.
    """

    onset_step: int
    end_step: int
    pitch: int
    velocity: int | None = None
    is_held_before: bool = False
    is_held_after: bool = False


class NoteTokens:
    """The tokens of a vocabulary, and what they say.

    Args:
        words: the vocabulary, ``{"60_TOKEN_NOTE": 64, ...}``.
        end_id: the id that ends a window.

    Raises:
        ValueError: a word that is no token, or no time token beyond 0.
    """

    def __init__(self, words: Mapping[str, int], end_id: int) -> None:
        self._words = words
        self._end_id = end_id
        self._tokens = {index: _parsed_word(word) for word, index in words.items()}
        self._longest_move = max(
            (n for kind, n in self._tokens.values() if kind == TIME), default=0
        )
        if self._longest_move < 1:
            raise ValueError("it has no time tokens")
        self.velocity_levels = max(
            (n for kind, n in self._tokens.values() if kind == VELOCITY), default=1
        )

    def spoken(self, token_ids: Iterable[int]) -> Iterator[tuple[str, int]]:
        """Yield kind and number of each token up to the end token; unknown ids are passed over."""
        for token_id in as_numpy(token_ids).ravel().tolist():
            if token_id == self._end_id:
                return
            if token_id in self._tokens:
                yield self._tokens[token_id]

    def encode(self, notes: Any) -> list[int]:
        """Write notes down: for each moment its time, the notes that end, those that start.

        The notes of one moment keep their order. A note lasts a step at least, and ends where its
        pitch is struck again.

        Args:
            notes: (notes, 4) onset step, offset step, pitch and velocity, or a list of objects
                with ``start``, ``end``, ``pitch`` and ``velocity``; steps are rounded.

        Raises:
            ValueError: no such notes, a negative step, or a pitch outside 0-127.
        """
        moments: dict[int, tuple[list[int], list[int]]] = {}
        for onset, offset, pitch in _playable(_note_rows(notes)):
            moments.setdefault(onset, ([], []))[1].append(pitch)
            moments.setdefault(offset, ([], []))[0].append(pitch)
        ids: list[int] = []
        before, velocity = 0, 0
        for step, groups in sorted(moments.items()):
            ids += self._moved(step - before)
            before = step
            for new_velocity, pitches in enumerate(groups):
                if pitches and new_velocity != velocity:
                    velocity = new_velocity
                    ids.append(self._id(velocity, VELOCITY))
                ids += [self._id(pitch, NOTE) for pitch in pitches]
        return ids

    def decode(
        self, token_ids: Iterable[int], start_step: int, cut_step: int | None, velocity: int
    ) -> NoteRows:
        """Read a window as the reference does.

        There, every note token of a silent pitch starts a note, whatever the velocity token before
        it says. An id without a token is passed over here; there, it turns time back by a step.

        Args:
            token_ids: ids, up to the end token or to the last one.
            start_step: the window's first step.
            cut_step: the step that time stops at and unended notes last to, one step beyond where
                they start there; None lets time run, and unended notes last to its end, and for a
                step at least.
            velocity: what every note gets.

        Returns:
            (notes, 4) onset step, offset step, pitch and velocity, by onset.
        """
        step, group = start_step, 0
        onsets: dict[int, int] = {}
        notes: list[tuple[int, int, int, int]] = []
        for kind, number in self.spoken(token_ids):
            if kind == TIME:
                step += number
                if cut_step is not None:
                    step = min(step, cut_step)
            elif kind == VELOCITY:
                group = number
            elif kind == NOTE and number not in onsets:
                onsets[number] = step
            elif kind == NOTE and onsets[number] < step:
                notes.append((onsets.pop(number), step, number, velocity))
                if group:
                    onsets[number] = step
        for pitch, onset in sorted(onsets.items()):
            cut = onset + 1 if cut_step is None else max(cut_step, onset + 1)
            notes.append((onset, max(step, cut), pitch, velocity))
        decoded: NoteRows = np.array(notes, dtype=np.int64).reshape(-1, 4)
        in_order: NoteRows = decoded[(decoded[:, 0] * 128 + decoded[:, 1]).argsort()]
        return in_order

    def encode_window(self, notes: Iterable[StepNote], *, descending: bool) -> list[int]:
        """Write a window's notes as a model with velocities and held notes is trained to.

        First the pitches held into the window, low to high; then for each moment its time, the
        notes that end, low to high, and those that start, each level told where it changes. What
        is held beyond the window is left open.

        Args:
            notes: of one window; a pitch must end before it is struck again.
            descending: whether notes that start together are written from high to low.
        """
        ends: dict[int, list[int]] = {}
        starts: dict[int, list[tuple[int, int]]] = {}
        held = []
        for note in notes:
            if note.is_held_before:
                held.append(note.pitch)
            else:
                level = level_of_velocity(note.velocity or 0, self.velocity_levels)
                starts.setdefault(note.onset_step, []).append((note.pitch, level))
            if not note.is_held_after:
                ends.setdefault(note.end_step, []).append(note.pitch)
        ids = [self._id(pitch, NOTE) for pitch in sorted(held)]
        before, said = 0, 0
        for step in sorted(ends.keys() | starts.keys()):
            ids += self._moved(step - before)
            before = step
            group = [(pitch, 0) for pitch in sorted(ends.get(step, []))]
            group += sorted(starts.get(step, []), reverse=descending)
            for pitch, level in group:
                if level != said:
                    said = level
                    ids.append(self._id(level, VELOCITY))
                ids.append(self._id(pitch, NOTE))
        return [*ids, self._end_id]

    def decode_strictly(
        self,
        token_ids: Iterable[int],
        *,
        steps: int = 8,
        cut_step: int | None = None,
        held_notes: bool = False,
    ) -> list[StepNote]:
        """Read a window strictly; what that means is said at ``Pop2PianoTokenizer.decode_window``.

        Returns:
            The notes by onset and pitch.
        """
        cut = steps if cut_step is None else cut_step
        step, velocity, has_started = 0, 0, False
        open_notes: dict[int, StepNote] = {}
        notes: list[StepNote] = []
        for kind, number in self.spoken(token_ids):
            if kind == TIME:
                step, has_started = min(step + number, cut), True
            elif kind == VELOCITY:
                velocity = number
            elif kind == NOTE and not has_started:
                if held_notes:
                    open_notes[number] = StepNote(0, cut, number, is_held_before=True)
            elif kind == NOTE:
                before = open_notes.get(number)
                if before is not None and before.onset_step < step:
                    notes.append(replace(open_notes.pop(number), end_step=step))
                if velocity and step < min(steps, cut):
                    struck = StepNote(step, cut, number, self._loudness(velocity))
                    open_notes.setdefault(number, struck)
        notes += [replace(note, is_held_after=held_notes) for note in open_notes.values()]
        return sorted(notes, key=lambda note: (note.onset_step, note.pitch))

    def _loudness(self, level: int) -> int | None:
        """The MIDI velocity of a level; None where there is but one."""
        return velocity_of_level(level, self.velocity_levels) if self.velocity_levels > 1 else None

    def _moved(self, steps: int) -> list[int]:
        """Time tokens that move on by so many steps."""
        whole, rest = divmod(steps, self._longest_move)
        numbers = [self._longest_move] * whole + ([rest] if rest or not whole else [])
        return [self._id(number, TIME) for number in numbers]

    def _id(self, number: int, kind: str) -> int:
        return self._words.get(f"{number}_{kind}", UNKNOWN_ID)


def join_windows(windows: Iterable[Iterable[StepNote]], steps: int) -> list[StepNote]:
    """The notes of windows that follow each other, those held over an edge as one.

    Args:
        windows: the notes of each.
        steps: length of a window.

    Returns:
        The notes in steps from the first window's start, by onset and pitch. A note that is held
        into a window which nobody struck before is left out.
    """
    notes: list[StepNote] = []
    held: dict[int, StepNote] = {}
    for number, window in enumerate(windows):
        first, before, held = number * steps, held, {}
        for note in window:
            moved = replace(
                note, onset_step=note.onset_step + first, end_step=note.end_step + first
            )
            if note.is_held_before:
                if note.pitch not in before:
                    continue
                struck = before.pop(note.pitch)
                moved = replace(struck, end_step=moved.end_step)
            if note.is_held_after:
                held[note.pitch] = moved
            else:
                notes.append(moved)
        notes += before.values()
    notes += held.values()
    return sorted(notes, key=lambda note: (note.onset_step, note.pitch))


def default_vocabulary(size: int, velocity_levels: int = 1) -> dict[str, int]:
    """Return the usual layout: 4 special tokens, 128 notes, velocities, and times for the rest.

    Args:
        size: number of tokens, at least one time beyond 0 among them.
        velocity_levels: velocities beside 0.

    Raises:
        ValueError: too small a size.
    """
    layout = TokenLayout(size, velocity_levels)
    if layout.longest_move < 1:
        raise ValueError(f"a vocabulary of {size} has no time tokens")
    starts = {
        SPECIAL: 0,
        NOTE: FIRST_NOTE_ID,
        VELOCITY: NOTE_OFF_ID,
        TIME: layout.first_time_id,
    }
    counts = {
        SPECIAL: SPECIAL_TOKENS,
        NOTE: PITCHES,
        VELOCITY: 1 + velocity_levels,
        TIME: layout.longest_move + 1,
    }
    return {
        f"{number}_{kind}": start + number
        for kind, start in starts.items()
        for number in range(counts[kind])
    }


def _parsed_word(word: str) -> tuple[str, int]:
    """``"60_TOKEN_NOTE"`` as its kind and its number."""
    number, _, kind = word.partition("_")
    highest = PITCHES - 1 if kind == NOTE else math.inf
    if kind not in (SPECIAL, NOTE, VELOCITY, TIME) or not 0 <= int(number) <= highest:
        raise ValueError(f"{word!r} is no token")
    return kind, int(number)


def _note_rows(notes: Any) -> NoteRows:
    """(notes, 4) whole steps, of an array or of pretty_midi's notes."""
    rows = [
        [note.start, note.end, note.pitch, note.velocity] if hasattr(note, "pitch") else note
        for note in notes
    ]
    if not rows:
        return NO_NOTES
    values = np.asarray(rows, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != 4 or not np.isfinite(values).all():
        raise ValueError("a note is its onset step, offset step, pitch and velocity")
    return np.round(values).astype(np.int64)


def _playable(notes: NoteRows) -> list[tuple[int, int, int]]:
    """Onset, offset and pitch of each note, in the given order, none over another of its pitch.

    A note lasts a step at least, and ends where its pitch is struck again.
    """
    longest: dict[tuple[int, int], int] = {}
    for onset, offset, pitch, _ in notes.tolist():
        if onset < 0 or not 0 <= pitch < PITCHES:
            raise ValueError(f"no token stands for pitch {pitch} at step {onset}")
        key = (onset, pitch)
        longest[key] = max(longest.get(key, 0), offset, onset + 1)
    next_onset: dict[int, int] = {}
    for onset, pitch in sorted(longest, reverse=True):
        offset = longest[onset, pitch]
        longest[onset, pitch] = min(offset, next_onset.get(pitch, offset))
        next_onset[pitch] = onset
    return [(onset, offset, pitch) for (onset, pitch), offset in longest.items()]


def as_numpy(values: Any) -> npt.NDArray[Any]:
    """Return as an array what may be a list, or a tensor on any device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values if hasattr(values, "__len__") else list(values))
