"""Made-up sound for effects: clicks and chords on known beats, and generators by their seeds."""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

Audio = npt.NDArray[np.float32]

SAMPLING_RATE = 22_050
BEATS = np.arange(0.25, 4, 0.5)  # seconds
SECONDS = 4.25


def rng_of(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@functools.cache
def clicks() -> Audio:
    """A train of impulses, each a burst of some milliseconds: wide in frequency, sharp in time."""
    audio = np.zeros(round(SECONDS * SAMPLING_RATE), dtype=np.float32)
    decay = np.exp(-np.arange(400) / (0.004 * SAMPLING_RATE))
    for number, beat in enumerate(BEATS):
        start = round(beat * SAMPLING_RATE)
        audio[start : start + 400] = 0.3 * rng_of(number).choice([-1, 1], 400) * decay
    audio.flags.writeable = False  # no effect may change what it is given
    return audio


@functools.cache
def plucks() -> Audio:
    """Chords of decaying strings on the beats, over a soft pad: what effects are made for."""
    time = np.arange(round(SECONDS * SAMPLING_RATE)) / SAMPLING_RATE
    audio = 0.02 * np.sin(2 * np.pi * 220 * time)
    for number, beat in enumerate(BEATS):
        start = round(beat * SAMPLING_RATE)
        since = time[: len(time) - start]
        for pitch in (48, 60, 64, 67 + number % 3):
            hertz = 440 * 2 ** ((pitch - 69) / 12)
            partials = sum(np.sin(2 * np.pi * n * hertz * since) / n for n in range(1, 12))
            audio[start:] += 0.2 * partials * np.exp(-6 * since)
    audio = (0.2 * audio / np.abs(audio).max()).astype(np.float32)
    audio.flags.writeable = False
    return audio
