"""What two hands can play, and parts made so that they can: what to let go, move or leave out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sidekeys_engine.moments import Moment, Press, moments, presses_of
from sidekeys_engine.notes import Note

HAND_NOTES = 5
HAND_SEMITONES = 14
"""How far one hand reaches: a ninth, which most hands span."""
Strike = tuple[float, int]
"""Onset and pitch that a note came with: which one it is, whatever becomes of it."""

_OCTAVES = (12, -12, 24, -24)


@dataclass(frozen=True, slots=True)
class Reach:
    """What was decided of notes that may sound on, for the stretch that follows.

    Attributes:
        moved: (onset, pitch, new pitch) of notes that may still be told of; the new pitch is None
            for one that was let go or left out.
    """

    moved: frozenset[tuple[float, int, int | None]] = frozenset()


def within_reach(
    notes: Iterable[Note], reach: Reach | None = None
) -> tuple[dict[Strike, Note], Reach]:
    """Change as few notes as it takes for two hands to play the rest.

    Where a moment asks for too much, notes from before are let go there, the oldest first: the
    pedal holds their sound. If that does not do, inner notes of those struck move by octaves to
    where a hand reaches them, and are left out where none does. The highest note of all stays as
    long as it is, and the highest and the lowest of those struck at a moment are struck. Every
    moment of what comes out fits two hands; what fits comes out as it is.

    A part may be given stretch by stretch: each with all notes that sound in it, those from before
    as well, as long as they are known to be by then. The last word on a note then holds, and it is
    the same as that of the part given at once.

    Args:
        notes: in any order, none over another of its pitch.
        reach: of the stretch before; leave it out for a part that begins.

    Returns:
        What became of each note, without those left out, and where the next stretch goes on.
    """
    reach = reach or Reach()
    moved = {(onset, pitch): new for onset, pitch, new in reach.moved}
    known = {(note.onset_beats, note.pitch): note for note in sorted(notes)}
    told: dict[Strike, Note] = {}
    for key, note in known.items():
        pitch = moved.get(key, note.pitch)
        if pitch is not None:
            told[key] = replace(note, pitch=pitch)
    presses = presses_of(told.values())
    for moment in moments(presses):  # those before the stretch fit: of what fits, a part does, too
        fit_hands(moment, may_fold=True)
    kept: dict[Strike, Note] = {}
    for (key, note), press in zip(told.items(), presses, strict=True):
        if press.end < note.end_beats:
            moved[key] = None
        elif press.pitch != note.pitch:
            moved[key] = press.pitch
        if press.end > press.onset:
            kept[key] = _as_pressed(note, press)
    return kept, Reach(frozenset((*key, pitch) for key, pitch in moved.items() if key in known))


def fit_hands(moment: Moment, *, may_fold: bool = False) -> None:
    """Change presses until two hands reach a moment.

    Those from before may end at its onset. Those struck may get another octave or, to be left out,
    an end at their own onset: they last no time then.

    Args:
        moment: whose presses are changed.
        may_fold: whether they may get another octave.
    """
    if is_reachable([press.pitch for press in (*moment.held, *moment.struck)]):
        return
    _let_go(moment)
    left_out = _left_out(moment)
    kept = [press.pitch for press in moment.held if press.end > moment.onset]
    kept += [press.pitch for press in moment.struck if press not in left_out]
    for press in left_out:
        folded = _folded(press.pitch, kept) if may_fold else None
        if folded is None:
            press.end = press.onset
        else:
            press.pitch = folded
            kept.append(folded)


def _folded(pitch: int, kept: Sequence[int]) -> int | None:
    """The pitch, octaves away, between those that are kept and in reach with them; or None."""
    for octaves in _OCTAVES:
        folded = pitch + octaves
        if min(kept) < folded < max(kept) and folded not in kept and is_reachable([*kept, folded]):
            return folded
    return None


def is_reachable(pitches: Iterable[int]) -> bool:
    """Whether pitches fall into a low and a high group, each of five notes and a ninth at most."""
    ordered = sorted(pitches)
    if len(ordered) > 2 * HAND_NOTES:
        return False
    splits = range(max(0, len(ordered) - HAND_NOTES), min(HAND_NOTES, len(ordered)) + 1)
    return any(_one_reaches(ordered[:k]) and _one_reaches(ordered[k:]) for k in splits)


def _one_reaches(ordered: Sequence[int]) -> bool:
    return not ordered or ordered[-1] - ordered[0] <= HAND_SEMITONES


def _let_go(moment: Moment) -> None:
    """End held notes until the rest fits, or only the highest note is held."""
    pitches = [press.pitch for press in (*moment.held, *moment.struck)]
    highest = max(pitches)
    loose = sorted((p for p in moment.held if p.pitch < highest), key=lambda press: press.onset)
    while loose and not is_reachable(pitches):
        press = next((p for p in loose if is_reachable(_without(pitches, p.pitch))), loose[0])
        loose.remove(press)
        pitches.remove(press.pitch)
        press.end = moment.onset


def _left_out(moment: Moment) -> list[Press]:
    """Inner notes of those struck to leave out, so that the rest and those still held fit."""
    still_held = [press for press in moment.held if press.end > moment.onset]
    pitches = [press.pitch for press in (*still_held, *moment.struck)]
    is_top_held = moment.struck[-1].pitch < max(pitches)
    inner = list(moment.struck[1:] if is_top_held else moment.struck[1:-1])
    left_out: list[Press] = []
    while inner and not is_reachable(pitches):
        press = next(
            (p for p in inner if is_reachable(_without(pitches, p.pitch))), inner[len(inner) // 2]
        )
        inner.remove(press)
        pitches.remove(press.pitch)
        left_out.append(press)
    return left_out


def _without(pitches: list[int], pitch: int) -> list[int]:
    rest = list(pitches)
    rest.remove(pitch)
    return rest


def _as_pressed(note: Note, press: Press) -> Note:
    """The note as long and as high as its key is pressed; the same one if that changed nothing."""
    if press.end == note.end_beats:
        return replace(note, pitch=press.pitch)
    return replace(note, pitch=press.pitch, duration_beats=press.end - press.onset)
