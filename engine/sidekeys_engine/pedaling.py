"""The sustain pedal, from the notes: changed with the harmony, up where nothing sounds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.moments import SAME_MOMENT, Moment, moments, presses_of
from sidekeys_engine.notes import Note, Pedal
from sidekeys_engine.stress import Stress, stress_at

PRESS_BEATS = 0.125
"""How long after a chord the pedal goes down: before its shortest key comes up."""
RING_BEATS = 0.5
"""How long the pedal alone holds what nobody holds any more."""

# Below G3 two neighbors that ring together are mud; above C4 a melody may pass under the pedal.
_LOW_PITCH = 55
_MELODY_PITCH = 60
_BASS_REACH = 2
# A part of which the lower keys are up this much is meant to be dry. Of the pianists of POP909,
# who hold the pedal 4/5 of the time, few are.
_DRY_SHARE = 0.45
_ARTICULATION_BEATS = 2.0
_LONGEST_GAP_BEATS = 1.0  # what lasts longer is a rest


@dataclass(frozen=True, slots=True, order=True)
class PedalMove:
    """The pedal goes down or up at a position in quarter notes."""

    position_beats: float
    is_down: bool


@dataclass(frozen=True, slots=True)
class Foot:
    """Where the foot is and what rings, for the stretch that follows; positions in quarter notes.

    Attributes:
        is_down: whether the pedal is down.
        press_beats: where it is to go down; None if that is not due.
        changed_beats: where what rings began.
        until_beats: the last moment that is decided.
        keys_until_beats: until when some key is down, as far as it is known.
        chord_until_beats: the same of keys below the top voice.
        bass: the lowest pitch that rings; None for nothing.
        low: pitches below G3 that ring.
        classes: pitch classes that ring, without what the melody brought.
        held_share: how much of the last beats some key below the top voice was down.
        tops: onset and pitch of the top voice's notes that may still sound.
    """

    is_down: bool = False
    press_beats: float | None = None
    changed_beats: float = -math.inf
    until_beats: float = -math.inf
    keys_until_beats: float = -math.inf
    chord_until_beats: float = -math.inf
    bass: int | None = None
    low: frozenset[int] = frozenset()
    classes: frozenset[int] = frozenset()
    held_share: float = 1.0
    tops: frozenset[tuple[float, int]] = frozenset()


def pedal_moves(
    notes: Iterable[Note], end_beats: float, grid: BeatGrid, foot: Foot | None = None
) -> tuple[list[PedalMove], Foot]:
    """Pedal a part as pianists do: legato, with the harmony.

    The pedal goes up at the onset of a chord that does not belong to what rings, and down again
    shortly after, so that the new chord alone rings on. It also changes where the bass goes on by
    a step, and on bar lines. A melody that moves over a chord changes nothing. The pedal goes up
    half a beat after the last key, and stays up where the part is played short.

    What is decided at a moment rests on the past and on what is struck there, so a part may be
    given stretch by stretch: the moves are those of the part given at once.

    Args:
        notes: all that sound in the stretch, those from before as well, each as long as it is
            known to be; in any order.
        end_beats: where the stretch ends; what is due from there on is left to the next one.
        grid: its bars.
        foot: of the stretch before; leave it out for a part that begins.

    Returns:
        Moves in order, and where the next stretch goes on.
    """
    foot = foot or Foot()
    played = list(notes)
    moves: list[PedalMove] = []
    for moment in moments(presses_of(played)):
        top = None if moment.top is None else (moment.onset, moment.top.pitch)
        if moment.onset > foot.until_beats + SAME_MOMENT:
            foot = _waiting(foot, moment.onset, moves)
            foot = _stepping(foot, moment, stress_at(grid, moment.onset), moves)
            foot = replace(foot, tops=foot.tops if top is None else foot.tops | {top})
        foot = _holding(foot, moment)
    foot = _waiting(foot, end_beats, moves)
    told = {(note.onset_beats, note.pitch) for note in played}
    return moves, replace(foot, tops=foot.tops & told)


def pedals_of(notes: Iterable[Note], grid: BeatGrid) -> tuple[Pedal, ...]:
    """The pedal of a whole part; see `pedal_moves`."""
    moves, _ = pedal_moves(notes, math.inf, grid)
    downs, ups = moves[::2], moves[1::2]
    return tuple(
        Pedal(down.position_beats, up.position_beats - down.position_beats)
        for down, up in zip(downs, ups, strict=True)
    )


def _waiting(foot: Foot, until_beats: float, moves: list[PedalMove]) -> Foot:
    """What the foot does before a moment while no key goes down."""
    press = foot.press_beats
    if press is not None and press < until_beats:
        is_down = foot.keys_until_beats > press and foot.held_share >= _DRY_SHARE
        foot = replace(foot, press_beats=None, is_down=is_down)
        if is_down:
            moves.append(PedalMove(press, True))
    lift = foot.keys_until_beats + RING_BEATS
    if foot.is_down and lift < until_beats:
        foot = replace(foot, is_down=False)
        moves.append(PedalMove(lift, False))
    return foot


def _stepping(foot: Foot, moment: Moment, stress: Stress, moves: list[PedalMove]) -> Foot:
    """What the foot does at a moment, and what rings from there on."""
    now = moment.onset
    struck, held = ([press.pitch for press in keys] for keys in (moment.struck, moment.held))
    foot = replace(foot, until_beats=now, held_share=_held_share(foot, now))
    starts = not foot.is_down and foot.press_beats is None
    if starts or _changes(foot, _chord(moment), now, stress):
        if foot.is_down:
            moves.append(PedalMove(now, False))
        foot = replace(
            foot,
            is_down=False,
            press_beats=now + PRESS_BEATS,
            changed_beats=now,
            bass=min((*struck, *held)),
            low=frozenset(),
            classes=frozenset(pitch % 12 for pitch in held),
        )
    assert foot.bass is not None
    return replace(
        foot,
        bass=min((foot.bass, *struck)),
        low=foot.low.union(pitch for pitch in (*struck, *held) if pitch < _LOW_PITCH),
        classes=foot.classes.union(pitch % 12 for pitch in _chord(moment)),
    )


def _changes(foot: Foot, chord: list[int], now: float, stress: Stress) -> bool:
    """Whether a chord, from the lowest note to the highest, asks for a new pedal."""
    if not chord or foot.bass is None:
        return False
    since = now - foot.changed_beats + SAME_MOMENT
    lowest = chord[0]
    is_bass = lowest <= foot.bass + _BASS_REACH
    is_step = lowest < _LOW_PITCH and any(1 <= abs(lowest - pitch) <= 2 for pitch in foot.low)
    if (is_step and since >= 0.5) or (is_bass and (lowest - foot.bass) % 12 != 0):
        return True
    new = len({pitch % 12 for pitch in chord} - foot.classes)
    if stress is Stress.BAR:
        return since >= 1
    if stress is Stress.HALF_BAR:
        return since >= 1 and (is_bass or new >= 1)
    return since >= 1 and new >= 2


def _chord(moment: Moment) -> list[int]:
    """What is struck, without a melody's note, from the lowest to the highest."""
    return [
        press.pitch
        for press in moment.struck
        if press is not moment.top or press.pitch < _MELODY_PITCH
    ]


def _holding(foot: Foot, moment: Moment) -> Foot:
    """The foot that knows until when the keys of a moment are down."""
    chord = [press.end for press in moment.struck if (moment.onset, press.pitch) not in foot.tops]
    return replace(
        foot,
        keys_until_beats=max(foot.keys_until_beats, *(press.end for press in moment.struck)),
        chord_until_beats=max(foot.chord_until_beats, *chord, -math.inf),
    )


def _held_share(foot: Foot, now: float) -> float:
    """How much of the last beats some key below the top voice was down."""
    if foot.until_beats == -math.inf:
        return foot.held_share
    held_beats = min(max(foot.chord_until_beats, foot.until_beats), now) - foot.until_beats
    passed = min(now - foot.until_beats, held_beats + _LONGEST_GAP_BEATS)
    held = held_beats / passed
    fading = math.exp(-passed / _ARTICULATION_BEATS)
    return held + fading * (foot.held_share - held)
