"""From beats to seconds along the tempos of a score, as a MIDI player goes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sidekeys_engine.notes import TempoChange

_BPM_BEFORE_THE_FIRST = 120.0  # what a MIDI file means that names no tempo


def seconds_at_beats(
    tempos: Sequence[TempoChange], beats: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Return the moments of beats; beat 0 is second 0.

    Args:
        tempos: the tempo changes, in any order; the last of several at one beat holds. Up to the
            first one the tempo is 120 quarter notes a minute, and one before beat 0 holds at 0.
        beats: positions in quarter notes, of any shape. Those before beat 0 go on at its tempo.

    Returns:
        Seconds, in the shape of ``beats``.
    """
    bpm_at = {0.0: _BPM_BEFORE_THE_FIRST}
    for change in sorted(tempos, key=lambda change: change.onset_beats):
        bpm_at[max(change.onset_beats, 0.0)] = change.bpm
    onsets = np.array(list(bpm_at))  # (changes,) quarter notes
    seconds_per_beat = 60.0 / np.array(list(bpm_at.values()))
    starts = np.concatenate([[0.0], np.cumsum(np.diff(onsets) * seconds_per_beat[:-1])])
    wanted = np.asarray(beats, dtype=np.float64)
    index = np.clip(np.searchsorted(onsets, wanted, side="right") - 1, 0, None)
    return np.asarray(starts[index] + (wanted - onsets[index]) * seconds_per_beat[index])
