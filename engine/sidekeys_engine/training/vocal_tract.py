"""Source and filter: what throat and mouth do, frame by frame, to the sound of it.

A glottal pulse with breath in it is shaped 172 times a second by the resonances of a vocal tract
(Fant, *Acoustic Theory of Speech Production*, 1960), and hiss is added where a consonant has some.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sidekeys_engine.training.singer import Singer
from sidekeys_engine.training.speech import BANDS, NEUTRAL, VOWELS

Samples = npt.NDArray[np.float32]
Curve = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
_Response = npt.NDArray[np.complex64]

RATE = 22_050
HOP = 128  # samples of a frame's step, 5.8 ms
_FRAME = 512  # 23 ms
_BLOCKS = _FRAME // HOP  # a frame spans so many hops
_WINDOW = np.hanning(_FRAME + 1)[:-1].astype(np.float32)
_OVERLAP = 1.5  # what the squares of overlapping windows add up to
_HERTZ = np.arange(_FRAME // 2 + 1) * RATE / _FRAME  # (bins,)
_TABLE = 16_384  # samples of two cycles
_CHUNK_FRAMES = 512  # as many as stay in a cache
_INAUDIBLE = 1e-4
_LOUDNESS = 0.1  # RMS of what sounds
_LOWEST_FORMANT, _FORMANT_STEP, _FORMANT_ROWS = 200.0, 1.01, 350  # 200 Hz to 6.4 kHz
_TILTS = np.arange(-18.0, 6.5, 0.5)  # decibels an octave, on top of the singer's own


@dataclass(frozen=True)
class Course:
    """What throat and mouth do, frame by frame, ``HOP`` samples apart."""

    hertz: Curve  # (frames,)
    voice: Curve  # (frames,) loudness
    breath: Curve  # (frames,) loudness of the noise that passes through the tract
    tilt: Curve  # (frames,) decibels an octave
    formants: Curve  # (frames, 5) Hz
    hiss: Curve  # (frames,) loudness
    band: Numbers  # (frames,) of the hiss


def sounded(course: Course, singer: Singer, rng: np.random.Generator) -> Samples:
    """The sound of a course.

    Args:
        course: of so many frames.
        singer: whose throat it is.
        rng: breath, and hiss.

    Returns:
        (frames, `HOP`) at `RATE`; the RMS of what sounds is 0.1, and nothing exceeds 1.
    """
    blocks = _filtered(_source(course, singer, rng), course, singer, rng)
    return _levelled(blocks, singer.compression)


def _source(course: Course, singer: Singer, rng: np.random.Generator) -> Samples:
    """Pulses of the glottis and noise of the breath, (frames, hop); the row k begins frame k."""
    hertz = course.hertz
    cycles = np.cumsum((hertz + np.append(hertz[1:], hertz[-1])) / 2) * HOP / RATE
    cycles = np.append(0, cycles[:-1])
    harmonics, pulses = _pulses(singer)
    table = np.minimum(np.searchsorted(-harmonics, -0.47 * RATE / hertz), len(harmonics) - 1)
    columns = np.stack([hertz, course.voice, course.breath], axis=1).astype(np.float32)
    slopes = np.diff(columns, axis=0, append=columns[-1:]) / np.float32(HOP)
    step = np.arange(HOP, dtype=np.float32)
    source = np.zeros((len(hertz), HOP), dtype=np.float32)
    loud = course.voice + course.breath > _INAUDIBLE
    loud |= np.append(loud[1:], False)
    for rows in _chunks(np.flatnonzero(loud)):
        value, slope = columns[rows, :, None], slopes[rows, :, None]
        phase = (value[:, 0] * step + slope[:, 0] * (step * step / 2)) / np.float32(RATE)
        phase += np.float32(cycles[rows] % 2)[:, None]  # a table holds two cycles
        place = (phase * np.float32(_TABLE // 2)).astype(np.int32) & (_TABLE - 1)
        pulse = pulses.ravel()[place + np.int32(_TABLE) * table[rows, None].astype(np.int32)]
        noise = rng.standard_normal(phase.shape, dtype=np.float32)
        noise *= 1 + np.float32(0.4) * pulse  # air passes while the glottis is open
        source[rows] = pulse * (value[:, 1] + slope[:, 1] * step)
        source[rows] += noise * (value[:, 2] + slope[:, 2] * step)
    return source


def _filtered(source: Samples, course: Course, singer: Singer, rng: np.random.Generator) -> Samples:
    """The source heard through the vocal tract, and hiss; (frames, hop)."""
    import scipy.fft  # noqa: PLC0415
    import scipy.ndimage  # noqa: PLC0415

    resonances, rest = _tract(singer)
    tilts = np.power(10, _TILTS[:, None] / 20 * np.log2(np.maximum(_HERTZ, 400) / 400))
    tilts, bands = np.float32(tilts), _bands()
    places = _rows(course.formants)
    steep = np.int64(np.clip(np.round((course.tilt - _TILTS[0]) / 0.5), 0, len(_TILTS) - 1))
    # Frame k is centred on the first sample of row k.
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(source.ravel(), (2 * HOP, _FRAME)), _FRAME
    )[::HOP]
    mixed = np.zeros((len(source) + _BLOCKS, HOP), dtype=np.float32)
    level = course.voice + course.breath + course.hiss
    heard = scipy.ndimage.maximum_filter1d(level, 2 * _BLOCKS + 1) > _INAUDIBLE
    for rows in _chunks(np.flatnonzero(heard)):
        spectra = scipy.fft.rfft(windows[rows] * _WINDOW, axis=1)
        spectra *= rest
        spectra *= tilts[steep[rows]]
        for formant in range(places.shape[1]):
            spectra *= resonances[places[rows, formant]]
        noisy = course.hiss[rows] > 0
        noise = rng.standard_normal((2, int(noisy.sum()), len(_HERTZ)), dtype=np.float32)
        # Frames of white noise that do not know of each other add up to an RMS of 1.
        gains = np.float32(course.hiss[rows][noisy, None] * np.sqrt(_FRAME * _OVERLAP / 2))
        spectra[noisy] += (noise[0] + 1j * noise[1]) * bands[course.band[rows][noisy]] * gains
        sound = scipy.fft.irfft(spectra, _FRAME, axis=1) * (_WINDOW / np.float32(_OVERLAP))
        for block in range(_BLOCKS):
            mixed[rows + block] += sound[:, block * HOP : (block + 1) * HOP]
    return mixed[2 : len(source) + 2]


def _levelled(blocks: Samples, compression: float) -> Samples:
    """Compressed and at the usual loudness, (frames, hop)."""
    power = smooth(np.mean(np.square(blocks, dtype=np.float64), axis=1), 9)
    loud = power > 1e-3 * power.max()
    if not loud.any():
        return blocks
    relative = power / power[loud].mean() + 0.02  # noise and silence are not lifted far
    gain = np.float32(smooth(relative ** (-compression / 2), 9))
    slope = np.diff(gain, append=gain[-1:])[:, None] * (np.arange(HOP, dtype=np.float32) / HOP)
    audio = blocks * (gain[:, None] + slope)
    audio *= _LOUDNESS / np.sqrt(np.mean(np.square(audio[loud])))
    return np.asarray(np.clip(audio, -1, 1), dtype=np.float32)


def _pulses(singer: Singer) -> tuple[Curve, Samples]:
    """How many harmonics each table has, falling, and two cycles of each, RMS 1."""
    harmonics = np.unique(np.geomspace(5, 220, 40).astype(np.int64))[::-1]
    number = np.arange(1, harmonics[0] + 1)
    amplitude = 10 ** (singer.tilt_decibels / 20 * np.log2(number))
    tables = []
    for top in harmonics:
        spectrum = np.zeros(_TABLE // 4 + 1, dtype=np.complex128)
        spectrum[1 : top + 1] = -1j * amplitude[:top]
        cycle = np.fft.irfft(spectrum)
        cycle /= np.sqrt(np.mean(cycle**2))
        tables.append(np.concatenate([cycle, (1 - 0.6 * singer.roughness) * cycle]))
    return harmonics.astype(np.float64), np.array(tables, dtype=np.float32)


def _tract(singer: Singer) -> tuple[_Response, _Response]:
    """Responses of a formant at each frequency, (rows, bins), and of all that stands still."""
    hertz = _LOWEST_FORMANT * _FORMANT_STEP ** np.arange(_FORMANT_ROWS)
    width = (1 + 2 * singer.breathiness) * (50 + 0.035 * hertz)
    resonances = _resonance(hertz, width)
    upper = np.arange(5400.0, 10_500, 1000) * singer.formant_scale
    upper = upper[upper < 0.48 * RATE]
    rest = np.prod(_resonance(upper, 0.08 * upper), axis=0)
    lift = np.exp(-0.5 * (np.log2(_HERTZ / 3500 + 1e-9) / 0.5) ** 2)
    rest = rest * 10 ** (singer.presence_decibels * lift / 20) / (1 + (60 / (_HERTZ + 1)) ** 4)
    # At 220 Hz a neutral vowel has the loudness of its pulses.
    rows = _rows(VOWELS[NEUTRAL] * singer.formant_scale)
    neutral = np.abs(rest * np.prod(resonances[rows], axis=0))
    number = np.arange(1, 48)
    amplitude = 10 ** (singer.tilt_decibels / 20 * np.log2(number))
    heard = amplitude * np.interp(220.0 * number, _HERTZ, neutral)
    rest = rest * np.sqrt(np.sum(amplitude**2) / np.sum(heard**2))
    return resonances.astype(np.complex64), rest.astype(np.complex64)


def _rows(formants: Curve) -> Numbers:
    """Where the table of resonances has these formants, of the same shape."""
    rows = np.round(np.log(formants / _LOWEST_FORMANT) / np.log(_FORMANT_STEP))
    return np.asarray(np.clip(rows, 0, _FORMANT_ROWS - 1), dtype=np.int64)


def _resonance(
    hertz: npt.NDArray[np.floating[Any]], width: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.complex128]:
    """Responses of digital resonators, (n, bins), 1 at 0 Hz (Klatt, JASA 67, 1980, eq. 1-2)."""
    c = -np.exp(-2 * np.pi * width / RATE)
    b = 2 * np.exp(-np.pi * width / RATE) * np.cos(2 * np.pi * hertz / RATE)
    z = np.exp(-2j * np.pi * _HERTZ / RATE)
    return np.asarray((1 - b - c)[:, None] / (1 - b[:, None] * z - c[:, None] * z**2))


def _bands() -> Samples:
    """Spectra of hiss, (bands, bins), each of the loudness 1."""
    spectra = [
        1 / np.sqrt((1 + (low / (_HERTZ + 1)) ** 6) * (1 + (_HERTZ / high) ** 8))
        for low, high in BANDS
    ]
    return np.array([s / np.sqrt(np.mean(s**2)) for s in spectra], dtype=np.float32)


def smooth(curve: npt.NDArray[np.floating[Any]], width: int) -> Curve:
    """The average of ``width`` frames around each, of the same shape."""
    import scipy.ndimage  # noqa: PLC0415

    return np.asarray(scipy.ndimage.uniform_filter1d(curve, width, axis=0))


def _chunks(rows: Numbers) -> Iterator[Numbers]:
    for first in range(0, len(rows), _CHUNK_FRAMES):
        yield rows[first : first + _CHUNK_FRAMES]
