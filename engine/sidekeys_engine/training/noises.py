"""What is heard beside the music: hiss, hum, an audience, a scratched record."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sidekeys_engine.training.effect_parts import (
    FLOOR,
    SAMPLING_RATE,
    Audio,
    Curve,
    Rng,
    gain_of,
    keeping_size,
    log_uniform,
    loudness,
    rms,
    standardized,
)

_NOISE_LOOP = 1 << 18  # samples (11.9 s) of noise that repeat without a seam


@keeping_size
def noisy(audio: Audio, rng: Rng) -> Audio:
    """Hiss, rumble, hum, an audience or a scratched record, 12 to 60 dB below the music."""
    noise = _NOISES[rng.integers(0, len(_NOISES))](rng)
    below = rng.triangular(12, 45, 60)
    noise *= gain_of(-below) * loudness(audio) / (rms(noise) + FLOOR)
    turned = np.roll(np.asarray(noise, dtype=np.float32), int(rng.integers(0, _NOISE_LOOP)))
    return audio + np.resize(turned, audio.size)


def _hiss(rng: Rng) -> Curve:
    """Noise whose power falls by 0 (white) to 6 dB (brown) an octave."""
    hertz = np.maximum(np.fft.rfftfreq(_NOISE_LOOP, 1 / SAMPLING_RATE), 20)
    tilt = hertz ** -rng.uniform(0, 1)
    return np.asarray(np.fft.irfft(np.fft.rfft(rng.standard_normal(_NOISE_LOOP)) * tilt))


def _hum(rng: Rng) -> Curve:
    """A mains of 50 or 60 Hz with its harmonics, in hiss."""
    spectrum = np.zeros(_NOISE_LOOP // 2 + 1, dtype=np.complex128)
    harmonics = np.arange(1, rng.integers(3, 20)) * float(rng.choice([50, 60]))
    phases = np.exp(2j * np.pi * rng.random(harmonics.size))
    bins = np.round(harmonics * _NOISE_LOOP / SAMPLING_RATE).astype(np.intp)
    spectrum[bins] = phases * rng.random(bins.size) / np.sqrt(harmonics)
    hum, hiss = np.fft.irfft(spectrum), _hiss(rng)
    return np.asarray(hum / hum.std() + rng.uniform(0.05, 0.5) * hiss / hiss.std())


def _audience(rng: Rng) -> Curve:
    """A murmur of voices: noise between 200 and 4000 Hz that swells a few times a second."""
    hertz = np.fft.rfftfreq(_NOISE_LOOP, 1 / SAMPLING_RATE)
    band = np.exp(-np.square(np.log(np.maximum(hertz, 1) / log_uniform(rng, 400, 1500))))
    swells = np.fft.rfft(rng.standard_normal(_NOISE_LOOP)) * (hertz < rng.uniform(2, 8))
    voices = np.fft.irfft(np.fft.rfft(rng.standard_normal(_NOISE_LOOP)) * band)
    return np.asarray(voices * np.exp(0.5 * standardized(np.fft.irfft(swells))))


def _crackle(rng: Rng) -> Curve:
    """Dust and scratches: clicks of all sizes, in hiss."""
    noise = standardized(_hiss(rng))
    places = rng.integers(0, _NOISE_LOOP, size=int(log_uniform(rng, 10, 400)))
    noise[places] += rng.uniform(2, 6) * np.clip(rng.standard_normal(places.size) ** 3, -3, 3)
    return noise


_NOISES: tuple[Callable[[Rng], Curve], ...] = (_hiss, _hiss, _hum, _audience, _crackle)
