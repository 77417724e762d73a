"""Echoes, and rooms from a booth to a hall, around a sound."""

from __future__ import annotations

import numpy as np

from sidekeys_engine.training.effect_parts import (
    FLOOR,
    SAMPLING_RATE,
    Audio,
    Rng,
    cut,
    filtered,
    gain_of,
    keeping_size,
    log_uniform,
    scaled,
    shifted_sum,
)


@keeping_size
def echoed(audio: Audio, rng: Rng) -> Audio:
    """A slap or up to four echoes, duller than the sound itself."""
    delay = round(log_uniform(rng, 0.05, 0.45) * SAMPLING_RATE)
    first, feedback = gain_of(rng.uniform(-20, -7)), rng.uniform(0.1, 0.6)
    echoes = [(delay * n, first * feedback ** (n - 1)) for n in range(1, rng.integers(2, 6))]
    dull = filtered(audio, cut("lowpass", log_uniform(rng, 1500, 9000), 1))
    return audio + shifted_sum(dull, echoes) - dull


@keeping_size
def small_room(audio: Audio, rng: Rng) -> Audio:
    """A booth, a bedroom or a studio: reverberation of 0.1 to 0.6 seconds."""
    return _reverberated(audio, rng, log_uniform(rng, 0.1, 0.6), rng.uniform(-22, -4))


@keeping_size
def large_room(audio: Audio, rng: Rng) -> Audio:
    """A club, a plate or a hall: reverberation of 0.5 to 3.5 seconds."""
    return _reverberated(audio, rng, log_uniform(rng, 0.5, 3.5), rng.uniform(-24, -5))


def _reverberated(audio: Audio, rng: Rng, seconds: float, wet: float) -> Audio:
    """Audio and its reverberation, ``wet`` in dB against the sound itself."""
    import scipy.signal  # noqa: PLC0415

    sound = scipy.signal.oaconvolve(audio, _room_response(rng, seconds))[: audio.size]
    return audio + scaled(sound, gain_of(wet))


def _room_response(rng: Rng, seconds: float) -> Audio:
    """What a room answers to a click, without the click itself; energy 1.

    Early reflections, then noise that dies by 60 dB in ``seconds``, high tones sooner than low
    ones: the model of J. A. Moorer, "About This Reverberation Business" (1979).
    """
    size = round(1.2 * seconds * SAMPLING_RATE)
    time = np.arange(size) / SAMPLING_RATE
    spectrum = np.fft.rfft(rng.standard_normal(size))
    hertz = np.fft.rfftfreq(size, 1 / SAMPLING_RATE)
    response = np.zeros(size)
    edges = (0, 300, 1200, 4000, SAMPLING_RATE)
    for low, high, longest in zip(edges, edges[1:], (1.3, 1.0, 0.9, 0.7), strict=False):
        band = np.fft.irfft(np.where((low <= hertz) & (hertz < high), spectrum, 0), size)
        response += band * 10 ** (-3 * time / (seconds * longest * rng.uniform(0.6, 1)))
    start = round(rng.uniform(0, min(0.04, 0.1 * seconds)) * SAMPLING_RATE)
    response = np.roll(response * (1 - np.exp(-time / 0.01)), start)
    response[:start] = 0
    response /= np.sqrt(np.sum(response**2)) + FLOOR
    walls = rng.uniform(0.002, min(0.08, 0.5 * seconds), size=rng.integers(3, 15))
    reflections = rng.uniform(0.1, 0.4) * rng.choice([-1, 1], walls.size) * 0.002 / walls
    np.add.at(response, (walls * SAMPLING_RATE).astype(np.intp), 3 * reflections)
    return np.asarray(response / np.sqrt(np.sum(response**2)), dtype=np.float32)
