"""Where a song sounds, and where there is nothing to hear."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]
Times = NDArray[np.float64]

SILENCE_DBFS = -60.0
"""Audio whose loudest 50 ms stay below this level (RMS, full scale = 1.0) is silent."""
EARLY_SECONDS = 0.1
"""How far a tracked beat, and the note on it, may lie before the sound that it belongs to."""

_BLOCK_SECONDS = 0.05


def is_silent(audio: Audio, sampling_rate: int = 44_100) -> bool:
    """Whether there is nothing to hear: the loudest 50 ms lie below ``SILENCE_DBFS``, or none are.

    The level decides, because trackers hear beats in silence, and with confidence.
    """
    return not _sounding_blocks(audio, sampling_rate).any()


def sounding_span(audio: Audio, sampling_rate: int) -> tuple[float, float]:
    """Where the first and last 50 ms above ``SILENCE_DBFS`` begin and end, in seconds."""
    sounding = np.flatnonzero(_sounding_blocks(audio, sampling_rate))
    seconds = audio.size / sampling_rate
    if sounding.size == 0:
        return 0.0, seconds
    return sounding[0] * _BLOCK_SECONDS, min((sounding[-1] + 1) * _BLOCK_SECONDS, seconds)


def sounding_at(audio: Audio, sampling_rate: int, moments: Times) -> NDArray[np.bool_]:
    """Which moments lie in blocks above ``SILENCE_DBFS``, or right beside one: (moments,)."""
    sounding = _sounding_blocks(audio, sampling_rate)
    wide = np.convolve(sounding, [True, True, True]) > 0  # one block longer at either end
    block = np.floor(moments / _BLOCK_SECONDS).astype(np.int64) + 1
    return np.asarray(wide[np.clip(block, 0, wide.size - 1)], dtype=np.bool_)


def _sounding_blocks(audio: Audio, sampling_rate: int) -> NDArray[np.bool_]:
    """Whether each 50 ms are above ``SILENCE_DBFS`` (RMS): (blocks,)."""
    block = max(1, round(_BLOCK_SECONDS * sampling_rate))
    starts = np.arange(0, audio.size, block)
    power = np.array([np.mean(np.square(audio[i : i + block], dtype=np.float64)) for i in starts])
    return np.asarray(power >= 10 ** (SILENCE_DBFS / 10), dtype=np.bool_)
