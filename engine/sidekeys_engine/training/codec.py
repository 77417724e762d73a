"""What a lossy codec of a low bit rate leaves of a sound."""

from __future__ import annotations

import numpy as np

from sidekeys_engine.training.effect_parts import (
    FLOOR,
    SAMPLING_RATE,
    Audio,
    Rng,
    gain_of,
    keeping_size,
    log_uniform,
)


@keeping_size
def coded(audio: Audio, rng: Rng) -> Audio:
    """A lossy codec: a low-pass, and an MDCT that is coarsely quantized, to zero where it is soft.

    The transform is that of MP3 and AAC (Princen and Bradley, 1986), with one size of window.
    """
    import scipy.fft  # noqa: PLC0415

    # Windows of 9 to 23 ms, between the short and the long ones of real codecs: what is smeared in
    # front of an onset stays short and soft.
    half = int(rng.choice([96, 128, 192, 256]))
    window = np.sin(np.pi * (np.arange(2 * half, dtype=np.float32) + 0.5) / (2 * half))
    frames = -(-audio.size // half) + 1
    padded = np.zeros((frames + 1, half), dtype=np.float32)
    padded.reshape(-1)[half : half + audio.size] = audio
    early = padded[:-1] * window[:half]  # (frames, half)
    late = padded[1:] * window[half:]
    a, b = np.split(early, 2, axis=1)
    c, d = np.split(late, 2, axis=1)
    folded = np.concatenate([-c[:, ::-1] - d, a - b[:, ::-1]], axis=1)
    spectrum = scipy.fft.dct(folded, type=4, norm="ortho")
    decoded = scipy.fft.dct(_quantized(spectrum, rng), type=4, norm="ortho")
    low, high = np.split(decoded, 2, axis=1)
    padded[:] = 0
    padded[:-1] += np.concatenate([high, -high[:, ::-1]], axis=1) * window[:half]
    padded[1:] += np.concatenate([-low[:, ::-1], -low], axis=1) * window[half:]
    return padded.reshape(-1)[half:]


def _quantized(spectrum: Audio, rng: Rng) -> Audio:
    """Coefficients (frames, bins) as a codec of a low bit rate keeps them."""
    bins = spectrum.shape[1]
    edges = np.unique(np.round(np.geomspace(2, bins, 20)).astype(np.intp))[:-1]
    edges = np.concatenate([[0], edges])
    widths = np.diff(edges, append=bins)
    energy = np.add.reduceat(np.square(spectrum), edges, axis=1) / widths  # (frames, bands)
    kept = energy > energy.max(axis=1, keepdims=True) * gain_of(-2 * rng.uniform(35, 70))
    coarseness = np.geomspace(log_uniform(rng, 0.1, 0.6), log_uniform(rng, 0.5, 3), edges.size)
    step = np.repeat(np.sqrt(energy) * coarseness.astype(np.float32) + FLOOR, widths, axis=1)
    steps = np.floor(np.abs(spectrum) / step + np.float32(0.4))
    cutoff = round(log_uniform(rng, 5000, 16000) / (SAMPLING_RATE / 2) * bins)
    steps[:, cutoff:] = 0
    steps *= np.repeat(kept, widths, axis=1)
    return np.asarray(np.copysign(steps * step, spectrum), dtype=np.float32)
