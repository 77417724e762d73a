"""How loud a song is to the ear, step by step."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt

Decibels = npt.NDArray[np.float64]

SILENCE_DECIBELS = -70.0
"""What is softer counts as silence; as the absolute gate of ITU-R BS.1770-5."""


def loudness_of_steps(
    audio: npt.NDArray[np.float32], rate: int, step_seconds: npt.ArrayLike
) -> Decibels:
    """The loudness of each step of a song.

    Power is weighted as the ear hears it, by the A curve of IEC 61672-1, so that a bass drum does
    not drown the song in this figure.

    Args:
        audio: (samples,) mono; what lies outside of it is silent.
        rate: samples a second.
        step_seconds: (steps + 1,) rising moments, in seconds from the first sample.

    Returns:
        (steps,) in dB of full scale, `SILENCE_DECIBELS` at least.
    """
    edges = np.round(np.asarray(step_seconds, dtype=np.float64) * rate).astype(np.int64)
    inside = np.clip(edges, 0, len(audio)).tolist()
    powers = np.zeros(max(len(edges) - 1, 0))
    for index, (first, end) in enumerate(pairwise(inside)):
        if end > first:
            energy = _weighted_energy(audio[first:end], rate)
            powers[index] = energy / max(edges[index + 1] - edges[index], 1)
    floor = 10 ** (SILENCE_DECIBELS / 10)
    return np.asarray(10 * np.log10(np.maximum(powers, floor)), dtype=np.float64)


def _weighted_energy(samples: npt.NDArray[np.float32], rate: int) -> float:
    """The sum of squares of samples, after the A curve."""
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    square = np.fft.rfftfreq(len(samples), 1 / rate) ** 2
    # IEC 61672-1, annex E; 1.2589 makes it 1 at 1 kHz.
    gain = (
        1.2589
        * 12194.0**2
        * square**2
        / (
            (square + 20.6**2)
            * np.sqrt((square + 107.7**2) * (square + 737.9**2))
            * (square + 12194.0**2)
        )
    )
    spectrum *= gain**2
    # Parseval: all bins but the first and, of an even number of samples, the last stand for two.
    doubled = spectrum[1:-1].sum() if len(samples) % 2 == 0 else spectrum[1:].sum()
    return float((spectrum.sum() + doubled) / len(samples))
