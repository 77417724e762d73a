"""Warm-up: windows of made-up music go through the model until it is as fast as it will be."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

_BPM = 120.0
_FEWEST, _MOST = 3, 12
_SETTLED = 1.15
_LONGEST_SECONDS = 8.0
# Chords of a pop song's turnaround, as MIDI pitches.
_CHORDS = ((48, 55, 64, 72), (45, 57, 64, 69), (41, 57, 65, 72), (43, 55, 62, 71))
_PARTIALS = 6

Play = Callable[[int], float]
"""Plays some windows in one batch; returns how long that took, in seconds."""


def warm_up(play: Play) -> None:
    """Play one window at a time until its time settles, then two and four together.

    Args:
        play: what to warm.
    """
    took: list[float] = []
    while len(took) < _MOST and sum(took) < _LONGEST_SECONDS:
        took.append(play(1))
        before = took[-_FEWEST - 1 : -1]
        if len(before) == _FEWEST and took[-1] <= _SETTLED * statistics.median(before):
            break
    for windows in (2, 4):
        if sum(took) < 2 * _LONGEST_SECONDS:
            took.append(play(windows))


def warm_up_sound(sampling_rate: int, seconds: float) -> npt.NDArray[np.float32]:
    """Chords on the beats of 120 bpm, with a tick between them: busy enough to make a pianist play.

    Returns:
        (samples,) mono.
    """
    beat_seconds = 60 / _BPM
    moments = np.arange(round(seconds * sampling_rate)) / sampling_rate
    since_beat = moments % beat_seconds
    chord = (moments // (4 * beat_seconds)).astype(int) % len(_CHORDS)
    sound = np.zeros(len(moments))
    for number, pitches in enumerate(_CHORDS):
        for pitch in pitches:
            hertz = 440 * 2 ** ((pitch - 69) / 12)
            for partial in range(1, _PARTIALS + 1):
                tone = np.sin(2 * np.pi * hertz * partial * moments) / partial**1.5
                sound += np.where(chord == number, tone, 0.0)
    sound *= np.exp(-3 * since_beat)
    sound += np.random.default_rng(0).normal(size=len(moments)) * np.exp(-60 * since_beat)
    return np.asarray(0.3 * sound / np.abs(sound).max(), dtype=np.float32)


def warm_up_moments(
    context_steps: int, steps: int, window_beats: float, windows: int
) -> npt.NDArray[np.float64]:
    """Moments of windows that follow one another at 120 bpm, the first one's context at 0 s.

    Returns:
        (windows, context steps + steps + 1) seconds.
    """
    step_seconds = window_beats / steps * 60 / _BPM
    borders = np.arange(context_steps + steps + 1) + steps * np.arange(windows)[:, None]
    return np.asarray(borders * step_seconds, dtype=np.float64)
