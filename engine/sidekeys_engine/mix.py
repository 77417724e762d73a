"""A mix to listen to: the song on the left, its piano cover on the right."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sidekeys_engine.atomic_file import atomic_output, shown_path
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Score
from sidekeys_engine.piano_sound import render_piano

Samples = npt.NDArray[np.float32]

MIX_SUFFIXES = (".wav", ".flac", ".ogg")
"""The formats of :func:`write_mix`."""

_PLAIN_RATES = (44100, 48000)  # what every player plays; other rates are resampled to the first
_PEAK = 0.89  # -1 dBFS: room for what a lossy codec or a resampler adds
_SECONDS_PER_BLOCK = 0.05
_SILENCE_DECIBELS = -70.0  # the absolute and the relative gate of loudness, as in
_GATE_DECIBELS = -20.0  # ITU-R BS.1770-5 and EBU Tech 3342
_FRAMES_PER_WRITE = 1 << 16


def check_mix_path(path: str | os.PathLike[str]) -> None:
    """Check that the name of a mix ends in one of :data:`MIX_SUFFIXES`.

    Args:
        path: the file to be written later.

    Raises:
        InputError: another ending.
    """
    if Path(path).suffix.lower() not in MIX_SUFFIXES:
        raise InputError(
            f"Cannot write a mix to {shown_path(path)}: "
            "give a name that ends in .wav, .flac or .ogg."
        )


def write_mix(
    song_samples: npt.ArrayLike, song_rate: int, score: Score, path: str | os.PathLike[str]
) -> None:
    """Write a stereo file with the song on the left and the piano on the right.

    Both sides are equally loud where they sound, and the louder peak of the two lies at -1 dBFS.
    The file is as long as the longer side. Its rate is the song's where that is 44.1 or 48 kHz,
    and 44.1 kHz otherwise.

    Args:
        song_samples: mono (n,), finite; may be empty.
        song_rate: samples a second of the song.
        score: the piano's notes; beat 0 is the first sample of the song.
        path: the file, ending in .wav or .flac (both 16 bits) or .ogg (Vorbis).

    Raises:
        InputError: another ending, or the file cannot be written.
        ValueError: samples that are not mono or not finite, or a rate below 1.
    """
    import soundfile  # noqa: PLC0415

    check_mix_path(path)
    with atomic_output(path) as temporary:
        rate = song_rate if song_rate in _PLAIN_RATES else _PLAIN_RATES[0]
        song = _at_rate(_checked(song_samples, song_rate), song_rate, rate)
        piano = render_piano(score, sampling_rate=rate)
        gains = _gains(song, piano, rate)
        frames = max(len(song), len(piano))
        kind = temporary.suffix.lower()[1:]
        subtype = "VORBIS" if kind == "ogg" else "PCM_16"
        with soundfile.SoundFile(
            temporary, "w", rate, channels=2, format=kind.upper(), subtype=subtype
        ) as file:
            # Block by block: the stereo file never lies in memory as a whole.
            for start in range(0, frames, _FRAMES_PER_WRITE):
                stop = min(start + _FRAMES_PER_WRITE, frames)
                block = np.zeros((stop - start, 2), dtype=np.float32)
                for channel, (side, gain) in enumerate(zip((song, piano), gains, strict=True)):
                    part = side[start:stop]
                    block[: len(part), channel] = part * np.float32(gain)
                file.write(np.clip(block, -_PEAK, _PEAK))


def active_loudness(samples: Samples, sampling_rate: int) -> float:
    """Return the RMS of the parts that sound: silence between notes or phrases counts nothing.

    Args:
        samples: mono (n,).
        sampling_rate: samples a second.

    Returns:
        The RMS over the blocks of 50 ms that lie above -70 dBFS and above 20 dB below the mean of
        those; 0.0 where there are none.
    """
    frames = max(1, round(_SECONDS_PER_BLOCK * sampling_rate))
    blocks = len(samples) // frames
    if blocks == 0:
        return 0.0
    grid = samples[: blocks * frames].reshape(blocks, frames)
    power = np.einsum("bf,bf->b", grid, grid, dtype=np.float64) / frames
    audible = power[power > 10 ** (_SILENCE_DECIBELS / 10)]
    if len(audible) == 0:
        return 0.0
    active = audible[audible > audible.mean() * 10 ** (_GATE_DECIBELS / 10)]
    return float(np.sqrt(active.mean()))


def _checked(song_samples: npt.ArrayLike, song_rate: int) -> Samples:
    song = np.asarray(song_samples, dtype=np.float32)
    if song.ndim != 1:
        raise ValueError(f"the song must be mono (n,), not of shape {song.shape}")
    if not np.isfinite(song).all():
        raise ValueError("the song holds samples that are not finite")
    if song_rate < 1:
        raise ValueError(f"a sampling rate is 1 or more, not {song_rate}")
    return song


def _at_rate(samples: Samples, rate: int, wanted: int) -> Samples:
    if rate == wanted or len(samples) == 0:
        return samples
    import soxr  # noqa: PLC0415

    return np.asarray(soxr.resample(samples, rate, wanted), dtype=np.float32)


def _gains(song: Samples, piano: Samples, sampling_rate: int) -> tuple[float, float]:
    """The gain of each side: equal loudness, and the higher peak at the ceiling."""
    gains = []
    for side in (song, piano):
        loudness = active_loudness(side, sampling_rate)
        gains.append(1 / loudness if loudness > 0 else 0.0)
    peaks = [
        gain * float(np.max(np.abs(side), initial=0.0))
        for side, gain in zip((song, piano), gains, strict=True)
    ]
    ceiling = _PEAK / max(peaks) if max(peaks) > 0 else 0.0
    return gains[0] * ceiling, gains[1] * ceiling
