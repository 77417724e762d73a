"""What effects are made of: filters, delays, curves of gain, levels; mono audio at 22050 Hz."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import overload

import numpy as np
import numpy.typing as npt

Audio = npt.NDArray[np.float32]
Curve = npt.NDArray[np.float64]
Rng = np.random.Generator
Effect = Callable[[Audio, Rng], Audio]

SAMPLING_RATE = 22_050
BLOCK = 64  # samples (2.9 ms) that share one point of a gain or delay curve
FLOOR = 1e-9  # below all sound, above trouble with zeros and logarithms
_LOUDNESS_BLOCK = 4096


def keeping_size(effect: Effect) -> Effect:
    """What all effects share: no sound in, no sound out; float32; as many samples as before."""

    @functools.wraps(effect)
    def applied(audio: Audio, rng: Rng) -> Audio:
        if not audio.any():
            return np.array(audio, dtype=np.float32)
        changed = effect(np.asarray(audio, dtype=np.float32), rng)
        return np.asarray(changed[: audio.size], dtype=np.float32)

    return applied


def loudness(audio: Audio) -> float:
    """RMS where the energy is: the pauses of a stem say nothing about how loud it is played."""
    if not audio.any():
        return 0.0
    starts = np.arange(0, audio.size, _LOUDNESS_BLOCK)
    energy = np.add.reduceat(np.square(audio, dtype=np.float32), starts).astype(np.float64)
    power = energy / np.diff(starts, append=audio.size)
    return float(np.sqrt(np.sum(energy * power) / (np.sum(energy) + FLOOR**2)))


def filtered(audio: Audio, *sections: Curve) -> Audio:
    """Audio through second-order sections, each (n, 6)."""
    import scipy.signal  # noqa: PLC0415

    cascade = np.concatenate(sections).astype(np.float32)  # twice as fast as float64
    return np.asarray(scipy.signal.sosfilt(cascade, audio), dtype=np.float32)


def cut(kind: str, hertz: float, order: int) -> Curve:
    """A Butterworth high- or low-pass, (sections, 6)."""
    import scipy.signal  # noqa: PLC0415

    sections = scipy.signal.butter(
        order, min(hertz, 0.47 * SAMPLING_RATE), kind, fs=SAMPLING_RATE, output="sos"
    )
    return np.asarray(sections, dtype=np.float64)


def bell(kind: str, hertz: float, decibels: float, q: float) -> Curve:
    """A low shelf, high shelf or peak, (1, 6): R. Bristow-Johnson's Audio EQ Cookbook."""
    amplitude = gain_of(decibels / 2)
    angle = 2 * np.pi * min(hertz, 0.45 * SAMPLING_RATE) / SAMPLING_RATE
    alpha = np.sin(angle) / (2 * q)
    if kind == "peak":
        b = 1 + alpha * amplitude, -2 * np.cos(angle), 1 - alpha * amplitude
        a = 1 + alpha / amplitude, -2 * np.cos(angle), 1 - alpha / amplitude
    else:
        # A high shelf is the low one mirrored: cosines change their sign, and so do odd terms.
        side = 1.0 if kind == "low" else -1.0
        cosine, root = side * np.cos(angle), 2 * np.sqrt(amplitude) * alpha
        more, less = amplitude + 1, amplitude - 1
        b = (
            amplitude * (more - less * cosine + root),
            2 * side * amplitude * (less - more * cosine),
            amplitude * (more - less * cosine - root),
        )
        a = (
            more + less * cosine + root,
            -2 * side * (less + more * cosine),
            more + less * cosine - root,
        )
    return np.array([[*b, *a]], dtype=np.float64) / float(a[0])


def shifted_sum(audio: Audio, copies: list[tuple[int, float]]) -> Audio:
    """Audio and copies of it, each so many samples later and with its gain."""
    total: Audio = audio.copy()
    for delay, gain in copies:
        if delay < audio.size:
            total[delay:] += np.float32(gain) * audio[: audio.size - delay]
    return total


def delayed(audio: Audio, seconds: Curve) -> Audio:
    """Audio read as many seconds ago as a curve (points,) says; linear between samples."""
    delay = ramped(seconds * SAMPLING_RATE, audio.size)
    whole = np.floor(delay)
    part = delay - whole
    index = np.arange(audio.size) - whole.astype(np.intp)
    here = audio.take(index, mode="clip")
    return here + part * (audio.take(index - 1, mode="clip") - here)


def slow_swing(samples: int, hertz: float, rng: Rng) -> Curve:
    """A slow sine from a random phase, (points,)."""
    turns = np.arange(points_of(samples)) * (BLOCK * hertz / SAMPLING_RATE)
    return np.asarray(np.sin(2 * np.pi * (turns + rng.random())))


def points_of(samples: int) -> int:
    """How many points a curve along so many samples has: one where each block begins, one more."""
    return -(-samples // BLOCK) + 1


def ramped(curve: Curve, samples: int) -> Audio:
    """A curve (points,) as one value for each sample, linear in between."""
    points = curve.astype(np.float32)[:, None]
    ramp = np.arange(BLOCK, dtype=np.float32) / BLOCK
    ramped = (points[:-1] + np.diff(points, axis=0) * ramp).reshape(-1)
    return np.asarray(ramped[:samples], dtype=np.float32)


def peaks_of(audio: Audio) -> Curve:
    """The highest peak of the two blocks that meet at each point, (points,)."""
    peaks = np.maximum.reduceat(np.abs(audio), np.arange(0, audio.size, BLOCK))
    higher = np.maximum(np.append(peaks, 0), np.append(0, peaks))
    return np.asarray(higher, dtype=np.float64)


def released(decibels: Curve, rate: float) -> Curve:
    """A curve that rises as this one does, and falls by no more than ``rate`` dB a second."""
    fall = np.arange(decibels.size) * (rate * BLOCK / SAMPLING_RATE)
    return np.asarray(np.maximum.accumulate(decibels + fall) - fall)


def smoothed(curve: Curve, seconds: float) -> Curve:
    """A curve through a low-pass of one pole with this time constant."""
    import scipy.signal  # noqa: PLC0415

    stay = float(np.exp(-BLOCK / (seconds * SAMPLING_RATE)))
    return np.asarray(scipy.signal.lfilter([1 - stay], [1, -stay], curve))


def scaled(audio: Audio, gain: float) -> Audio:
    """Audio times a gain."""
    return np.asarray(audio * np.float32(gain), dtype=np.float32)


def standardized(noise: Curve) -> Curve:
    """Noise of the standard deviation 1."""
    return np.asarray(noise / (noise.std() + FLOOR))


def rms(audio: npt.NDArray[np.floating]) -> float:
    """Root of the mean square."""
    return float(np.sqrt(np.mean(np.square(audio), dtype=np.float64)))


def decibels_of(amplitudes: Curve) -> Curve:
    """Amplitudes in decibels."""
    return np.asarray(20 * np.log10(amplitudes + FLOOR))


@overload
def gain_of(decibels: float) -> float: ...
@overload
def gain_of(decibels: Curve) -> Curve: ...
def gain_of(decibels: float | Curve) -> float | Curve:
    """Decibels as what an amplitude is multiplied by."""
    return 10 ** (decibels / 20)


def log_uniform(rng: Rng, low: float, high: float) -> float:
    """A number between ``low`` and ``high``, every octave as likely."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
