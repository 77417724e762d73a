"""Whether two hands can play a piano part, and parts made so that they can."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

StepNotes = npt.NDArray[np.int64]
"""(notes, 4): onset step, end step, pitch and velocity, by onset and pitch."""

HAND_NOTES = 5
HAND_SEMITONES = 14
"""How far one hand reaches: a ninth, which most hands span."""

_Note = list[int]


def playable_share(notes: StepNotes) -> float:
    """Return the share of moments that two hands can play, of those that strike anything.

    A moment is played if what it strikes, with what is still held, falls into two groups, a low
    one and a high one, each of five notes and a ninth at most.

    Args:
        notes: (notes, 4) in any order.

    Returns:
        0.0 to 1.0; 1.0 if nothing is struck.
    """
    moments = [
        _fits([note[2] for note in held + struck])
        for _, held, struck in _moments(sorted(notes.tolist()))
    ]
    return sum(moments) / len(moments) if moments else 1.0


def made_playable(notes: StepNotes) -> StepNotes:
    """Release and leave out as few notes as it takes for two hands to play the rest.

    Where a moment asks for too much, notes from before are released there, the oldest first: a
    pedal would hold them. If that does not do, inner notes of those struck are left out. The
    highest note and the lowest of those struck stay.

    Args:
        notes: (notes, 4) in any order, none over another of its pitch.

    Returns:
        (notes, 4) by onset and pitch; ``playable_share`` of it is 1.0.
    """
    rows: list[_Note] = sorted(notes.tolist(), key=lambda note: (note[0], note[2]))
    left_out: set[int] = set()
    for step, held, struck in _moments(rows):
        if _fits([note[2] for note in held + struck]):
            continue
        _release(held, struck, step)
        still_held = [note for note in held if note[1] > step]
        for note in _unreachable(still_held, struck):
            note[1] = note[0]  # it sounds no time, so no later moment holds it
            left_out.add(id(note))
    kept = [note for note in rows if id(note) not in left_out]
    return np.array(kept, dtype=np.int64).reshape(-1, 4)


def _moments(rows: list[_Note]) -> Iterator[tuple[int, list[_Note], list[_Note]]]:
    """Step, notes still held and notes struck at each onset step; ends may change meanwhile."""
    held: list[_Note] = []
    index = 0
    while index < len(rows):
        step = rows[index][0]
        following = index
        while following < len(rows) and rows[following][0] == step:
            following += 1
        struck = rows[index:following]
        held = [note for note in held if note[1] > step]
        yield step, held, struck
        held = held + struck
        index = following


def _release(held: list[_Note], struck: list[_Note], step: int) -> None:
    """End held notes at this step until the rest fits, or only the highest note is held."""
    highest = max(note[2] for note in held + struck)
    releasable = sorted((note for note in held if note[2] < highest), key=lambda note: note[0])
    pitches = [note[2] for note in held + struck]
    while releasable and not _fits(pitches):
        note = next((n for n in releasable if _fits(_without(pitches, n[2]))), releasable[0])
        releasable.remove(note)
        pitches.remove(note[2])
        note[1] = step


def _unreachable(held: list[_Note], struck: list[_Note]) -> list[_Note]:
    """Inner notes of those struck to leave out, so that the rest and those held fit."""
    pitches = [note[2] for note in held + struck]
    by_pitch = sorted(struck, key=lambda note: note[2])
    inner = by_pitch[1:] if by_pitch[-1][2] < max(pitches) else by_pitch[1:-1]
    left_out: list[_Note] = []
    while inner and not _fits(pitches):
        note = next((n for n in inner if _fits(_without(pitches, n[2]))), inner[len(inner) // 2])
        inner.remove(note)
        pitches.remove(note[2])
        left_out.append(note)
    return left_out


def _without(pitches: list[int], pitch: int) -> list[int]:
    rest = list(pitches)
    rest.remove(pitch)
    return rest


def _fits(pitches: list[int]) -> bool:
    """Whether a left and a right hand reach these pitches together."""
    ordered = sorted(pitches)
    if len(ordered) > 2 * HAND_NOTES:
        return False
    return any(_hand_reaches(ordered[:k]) and _hand_reaches(ordered[k:]) for k in _splits(ordered))


def _splits(ordered: list[int]) -> range:
    return range(max(0, len(ordered) - HAND_NOTES), min(HAND_NOTES, len(ordered)) + 1)


def _hand_reaches(ordered: list[int]) -> bool:
    return not ordered or ordered[-1] - ordered[0] <= HAND_SEMITONES
