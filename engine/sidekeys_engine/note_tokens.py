"""One window's notes to token ids and back, for a vocabulary of any size.

Time tokens are relative: each says how many steps (half-beats) pass before what follows it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sidekeys_engine.vocabulary import (
    FIRST_NOTE_ID,
    FIRST_TIME_ID,
    NOTE_OFF_ID,
    PITCHES,
    SPECIAL_TOKENS,
    VELOCITIES,
)

SPECIAL, NOTE, VELOCITY, TIME = "TOKEN_SPECIAL", "TOKEN_NOTE", "TOKEN_VELOCITY", "TOKEN_TIME"
UNKNOWN_ID = SPECIAL_TOKENS - 1
"""What a word that is no token becomes: the special id that no model was trained to use."""

NoteRows = npt.NDArray[np.int64]
"""(notes, 4): onset step, offset step, pitch, velocity."""
NO_NOTES: NoteRows = np.empty((0, 4), dtype=np.int64)


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

    def decode_strictly(
        self, token_ids: Iterable[int], *, steps: int = 8, cut_step: int | None = None
    ) -> list[tuple[int, int, int]]:
        """Read a window strictly; what that means is said at ``Pop2PianoTokenizer.decode_window``.

        Returns:
            (onset step, end step, pitch) of each note, by onset and pitch.
        """
        cut = steps if cut_step is None else cut_step
        step, velocity = 0, 0
        onsets: dict[int, int] = {}
        notes: list[tuple[int, int, int]] = []
        for kind, number in self.spoken(token_ids):
            if kind == TIME:
                step = min(step + number, cut)
            elif kind == VELOCITY:
                velocity = number
            elif kind == NOTE:
                if onsets.get(number, step) < step:
                    notes.append((onsets.pop(number), step, number))
                if velocity and step < min(steps, cut):
                    onsets.setdefault(number, step)
        notes += [(onset, cut, pitch) for pitch, onset in onsets.items()]
        return sorted(notes, key=lambda note: (note[0], note[2]))

    def _moved(self, steps: int) -> list[int]:
        """Time tokens that move on by so many steps."""
        whole, rest = divmod(steps, self._longest_move)
        numbers = [self._longest_move] * whole + ([rest] if rest or not whole else [])
        return [self._id(number, TIME) for number in numbers]

    def _id(self, number: int, kind: str) -> int:
        return self._words.get(f"{number}_{kind}", UNKNOWN_ID)


def default_vocabulary(size: int) -> dict[str, int]:
    """Return the usual layout: 4 special tokens, 128 notes, 2 velocities, and times for the rest.

    Args:
        size: number of tokens, at least one time beyond 0 among them.

    Raises:
        ValueError: too small a size.
    """
    if size < FIRST_TIME_ID + 2:
        raise ValueError(f"a vocabulary of {size} has no time tokens")
    counts = {SPECIAL: SPECIAL_TOKENS, NOTE: PITCHES, VELOCITY: VELOCITIES}
    starts = {SPECIAL: 0, NOTE: FIRST_NOTE_ID, VELOCITY: NOTE_OFF_ID, TIME: FIRST_TIME_ID}
    counts[TIME] = size - FIRST_TIME_ID
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
