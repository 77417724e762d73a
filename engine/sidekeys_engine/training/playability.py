"""Whether two hands can play an arrangement, and arrangements made so that they can."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sidekeys_engine.hands import fit_hands, is_reachable
from sidekeys_engine.moments import Press, moments

StepNotes = npt.NDArray[np.int64]
"""(notes, 4): onset step, end step, pitch and velocity, by onset and pitch."""


def playable_share(notes: StepNotes) -> float:
    """Return the share of moments that two hands can play, of those that strike anything.

    A moment is played if what it strikes, with what is still held, falls into two groups, a low
    one and a high one, each of five notes and a ninth at most.

    Args:
        notes: (notes, 4) in any order.

    Returns:
        0.0 to 1.0; 1.0 if nothing is struck.
    """
    played = [
        is_reachable([press.pitch for press in (*moment.held, *moment.struck)])
        for moment in moments(_presses(notes))
    ]
    return sum(played) / len(played) if played else 1.0


def made_playable(notes: StepNotes) -> StepNotes:
    """Release and leave out as few notes as it takes for two hands to play the rest.

    See :func:`sidekeys_engine.hands.within_reach` for the rule.

    Args:
        notes: (notes, 4) in any order, none over another of its pitch.

    Returns:
        (notes, 4) by onset and pitch; ``playable_share`` of it is 1.0.
    """
    presses = _presses(notes)
    for moment in moments(presses):
        fit_hands(moment)
    rows = [
        (press.onset, press.end, press.pitch, notes[press.source, 3])
        for press in presses
        if press.end > press.onset
    ]
    rows.sort(key=lambda row: (row[0], row[2]))
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def _presses(notes: StepNotes) -> list[Press]:
    return [
        Press(onset, end, pitch, index)
        for index, (onset, end, pitch, _) in enumerate(notes.tolist())
    ]
