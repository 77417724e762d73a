"""What beats sound like: a fine curve of onsets, and the harmony from beat to beat.

Beat tracking sets its beats on this curve and looks for the downbeats in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Audio = NDArray[np.float32]
Times = NDArray[np.float64]

_RATE = 22_050
_FRAME, _HOP, _LAG = 512, 64, 3  # 23 ms, 2.9 ms, 8.7 ms
_CHROMA_FRAME, _CHROMA_HOP = 4096, 1024  # 186 ms, 46 ms
_CHUNK_FRAMES = 256
_BANDS = 24
_COMPRESSION = 100.0
_LOW_HZ = 140.0  # bass drum and the onsets of a bass
_LATENCY_SECONDS = 0.003  # so that the curve peaks within 5 ms of where a note begins

_SHIFT_STEP_SECONDS = 0.0015
_SHIFT_SIGMA_SECONDS = 0.04
_NEIGHBORS = 8  # beats to either side that are shifted together
_SAME_SECONDS = 0.015
_LOCAL_SECONDS = 0.02
_LOCAL_SIGMA_SECONDS = 0.012


class BeatAudio:
    """Audio as beat tracking hears it.

    Args:
        audio: ``(n,)`` mono samples, peaking near 1.0.
        sampling_rate: of the audio, in Hz.
    """

    def __init__(self, audio: Audio, sampling_rate: int) -> None:
        if sampling_rate != _RATE:
            import soxr  # noqa: PLC0415

            audio = soxr.resample(audio, sampling_rate, _RATE, quality="HQ")
        self._audio = np.asarray(audio, dtype=np.float32)

    def strength(self, seconds: Times) -> Times:
        """How strongly something starts within 15 ms of these moments, in standard deviations."""
        curve = self._onsets[0]
        near = _around(_SAME_SECONDS)
        heard = _sampled(curve, seconds[:, None] + near).max(axis=1, initial=0.0)
        return np.asarray((heard - curve.mean()) / (curve.std() + 1e-9), dtype=np.float64)

    def aligned(self, beats: Times, reach_seconds: float) -> Times:
        """Beats set on the onsets around them.

        First all beats of a few bars move together to where most of them meet an onset, at most
        ``reach_seconds`` away; that undoes the latency of a tracker. Then each goes to the onset
        nearest by, if a strong one is within 20 ms.

        Args:
            beats: ``(beats,)`` seconds.
            reach_seconds: how far off they may be.

        Returns:
            ``(beats,)`` seconds, increasing.
        """
        curve = self._onsets[0]
        shifts = _around(reach_seconds)
        heard = _sampled(curve, beats[:, None] + shifts)  # (beats, shifts)
        reach = np.arange(-_NEIGHBORS, _NEIGHBORS + 1)
        kernel = 1 - np.abs(reach) / (_NEIGHBORS + 1)
        padded = np.pad(heard, ((_NEIGHBORS, _NEIGHBORS), (0, 0)))
        shared = sum(
            w * padded[_NEIGHBORS + n :][: beats.size] for w, n in zip(kernel, reach, strict=True)
        )
        preferred = np.exp(-0.5 * (shifts / _SHIFT_SIGMA_SECONDS) ** 2)
        moved = beats + shifts[np.argmax((shared + 1e-9) * preferred, axis=1)]

        near = _around(_LOCAL_SECONDS)
        heard = _sampled(curve, moved[:, None] + near)
        usual = np.median(heard.max(axis=1)) + 1e-9
        score = np.minimum(heard / usual, 2) - 0.5 * (near / _LOCAL_SIGMA_SECONDS) ** 2
        return np.maximum.accumulate(moved + near[np.argmax(score, axis=1)])

    def downbeat_evidence(self, beats: Times) -> Times:
        """How much each beat sounds like the first of a bar, (beats,); 0.0 on average.

        Counts low onsets, the change of the bass note and the change of the harmony from the beat
        before, each in standard deviations.
        """
        near = np.arange(-_LOCAL_SECONDS, 2 * _LOCAL_SECONDS, _SHIFT_STEP_SECONDS)
        low = _sampled(self._onsets[1], beats[:, None] + near).max(axis=1)
        evidence = _standardized(low)
        for chroma in self._chroma:
            evidence = evidence + _standardized(_changes(chroma, beats))
        return evidence

    @cached_property
    def _onsets(self) -> tuple[Times, Times]:
        """Spectral flux of all bands and of the low ones, (frames,) each, ``_HOP`` apart."""
        bins = np.arange(_FRAME // 2 + 1) * _RATE / _FRAME
        edges = np.unique(np.round(np.geomspace(1, bins.size, _BANDS + 1)).astype(np.int64))[:-1]
        low = bins[edges] <= _LOW_HZ
        flux, low_flux = [], []
        before = np.zeros((_LAG, edges.size), dtype=np.float32)
        for spectrum in _spectra(self._audio, _FRAME, _HOP):
            level = np.log1p(_COMPRESSION * np.add.reduceat(spectrum, edges, axis=1) / _FRAME)
            levels = np.concatenate([before, level])
            rise = np.maximum(levels[_LAG:] - levels[:-_LAG], 0)
            flux.append(rise.mean(axis=1))
            low_flux.append(rise[:, low].mean(axis=1))
            before = levels[-_LAG:]
        return np.concatenate(flux).astype(np.float64), np.concatenate(low_flux).astype(np.float64)

    @cached_property
    def _chroma(self) -> tuple[Times, Times]:
        """Energy of the 12 pitch classes, of the bass and of the rest: (frames, 12) each."""
        hertz = np.arange(1, _CHROMA_FRAME // 2 + 1) * _RATE / _CHROMA_FRAME
        classes = np.round(12 * np.log2(hertz / 440)).astype(np.int64) % 12
        folds = [
            np.float32(
                (classes[:, None] == np.arange(12)) & ((low < hertz) & (hertz <= high))[:, None]
            )
            for low, high in ((35.0, 250.0), (250.0, 2000.0))
        ]
        bass, rest = [], []
        for spectrum in _spectra(self._audio, _CHROMA_FRAME, _CHROMA_HOP):
            bass.append(spectrum[:, 1:] @ folds[0])
            rest.append(spectrum[:, 1:] @ folds[1])
        return np.concatenate(bass).astype(np.float64), np.concatenate(rest).astype(np.float64)


def _spectra(audio: Audio, frame: int, hop: int) -> Iterator[NDArray[np.float32]]:
    """Magnitudes of chunks of frames, (frames, bins); frame 0 ends where the audio begins."""
    padded = np.pad(audio, frame)
    frames = np.lib.stride_tricks.sliding_window_view(padded, frame)[::hop]
    window = np.hanning(frame).astype(np.float32)
    for start in range(0, len(frames), _CHUNK_FRAMES):
        yield np.abs(np.fft.rfft(frames[start : start + _CHUNK_FRAMES] * window)).astype(np.float32)


def _sampled(curve: Times, seconds: Times) -> Times:
    """Values of an onset curve at any moments, of the same shape."""
    first = (-_FRAME / 2 - _LAG * _HOP / 2) / _RATE + _LATENCY_SECONDS
    index = (seconds - first) * _RATE / _HOP
    heard = np.interp(index, np.arange(curve.size), curve, left=0.0, right=0.0)
    return np.asarray(heard, dtype=np.float64)


def _around(seconds: float) -> Times:
    """Shifts to both sides of 0.0, (shifts,)."""
    steps = round(seconds / _SHIFT_STEP_SECONDS)
    return np.arange(-steps, steps + 1, dtype=np.float64) * _SHIFT_STEP_SECONDS


def _changes(chroma: Times, beats: Times) -> Times:
    """How much harmony changes at each beat, (beats,): 0 for none, 1 for entirely."""
    total = np.concatenate([np.zeros((1, 12)), np.cumsum(chroma, axis=0)])
    ends = np.append(beats, 2 * beats[-1] - beats[-2])
    index = (ends * _RATE + _CHROMA_FRAME / 2) / _CHROMA_HOP + 0.5
    at = np.stack([np.interp(index, np.arange(len(total)), column) for column in total.T], axis=1)
    during = np.diff(at, axis=0)  # (beats, 12)
    during = during / (np.linalg.norm(during, axis=1, keepdims=True) + 1e-9)
    change = 1 - (during[1:] * during[:-1]).sum(axis=1)
    return np.append(change.mean(), change) if change.size else np.zeros(beats.size)


def _standardized(values: Times) -> Times:
    return np.asarray((values - values.mean()) / (values.std() + 1e-9), dtype=np.float64)
