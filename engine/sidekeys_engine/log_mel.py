"""Audio to log-mel frames: the spectra of windows that lie on given steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

FloatArray = npt.NDArray[np.floating[Any]]

_ROUNDING_SAMPLES = 1e-5
LOWEST_POWER = 1e-6
"""The floor under a mel band's power; silence is its natural logarithm, -13.8."""

# A boundary this close to a frame's time, in seconds, counts as reached: rounding must not decide.
_ROUNDING_SECONDS = 1e-9


@dataclass(frozen=True, slots=True)
class LogMelWindows:
    """Windows of audio as the model hears them.

    Attributes:
        input_features: (windows, frames, mels) float32, natural log of the mel power; a window
            shorter than the longest ends in silence, log(1e-6).
        attention_mask: (windows, frames) int64, 1 where the frame is the window's own.
        frame_steps: (windows, frames) int64, the step that each frame belongs to: 0 in the first
            one, the number of steps at and beyond the window's end.
    """

    input_features: torch.Tensor
    attention_mask: torch.Tensor
    frame_steps: torch.Tensor


class LogMel:
    """Spectra on the mel scale, in natural logarithm.

    Args:
        sampling_rate: of the audio, in Hz.
        window_size: samples in a frame.
        hop_length: samples from one frame to the next.
        min_frequency: lower edge of the lowest mel band, in Hz; the highest ends at Nyquist.
        bands: number of mel bands.
    """

    def __init__(
        self,
        *,
        sampling_rate: int,
        window_size: int,
        hop_length: int,
        min_frequency: float,
        bands: int,
    ) -> None:
        self.sampling_rate = sampling_rate
        self.window_size = window_size
        self.hop_length = hop_length
        self.bands = bands
        self.filters = mel_filters(sampling_rate, window_size, min_frequency, bands)
        self._tables: dict[tuple[torch.device, torch.dtype], _Tables] = {}

    def frames(self, signal: torch.Tensor) -> torch.Tensor:
        """Return the frames that lie wholly inside a signal.

        Args:
            signal: (n,) samples, padded already; their precision is that of the spectrum.

        Returns:
            (1 + (n - window_size) // hop_length, bands) float32.
        """
        tables = self._tables_on(signal.device, signal.dtype)
        frames = signal.unfold(0, self.window_size, self.hop_length) * tables.hann
        spectrum = torch.fft.rfft(frames)  # (frames, bins)
        power = (spectrum.real.square() + spectrum.imag.square()).float()
        return torch.log(torch.clamp(power @ tables.filters, min=LOWEST_POWER))

    def windows(
        self,
        audio: FloatArray | torch.Tensor,
        step_seconds: npt.ArrayLike,
        *,
        device: torch.device | str = "cpu",
    ) -> LogMelWindows:
        """Cut windows on given steps and turn each into log-mel frames.

        This is how the default checkpoint hears, offline and live. A window holds the samples from
        its first boundary to its last, both rounded down to a sample; before it the sound is
        mirrored, after it there is silence. Nothing of a window depends on the others in the call,
        to the last bit on the CPU.

        Args:
            audio: (n,) mono samples at the spectra's own rate.
            step_seconds: (windows, steps + 1) rising boundaries of each window's steps. They may
                lie before the audio's start or beyond its end, where there is silence.
            device: where the spectra are computed and the result lies.

        Returns:
            The windows; a window of ``n`` samples has ``1 + n // hop_length`` frames of its own.

        Raises:
            ValueError: audio that is not one row of samples, or boundaries that do not rise.
        """
        boundaries = np.asarray(step_seconds, dtype=np.float64)
        if boundaries.ndim != 2 or boundaries.shape[1] < 2:
            raise ValueError(f"step_seconds is (windows, steps + 1), not {boundaries.shape}")
        if not (np.isfinite(boundaries).all() and (np.diff(boundaries, axis=1) > 0).all()):
            raise ValueError("the boundaries of a window's steps must be finite and rise")
        samples = torch.as_tensor(audio, dtype=torch.float32)
        if samples.ndim != 1:
            raise ValueError(f"audio is one row of samples, not {tuple(samples.shape)}")
        device = torch.device(device)

        # A boundary that lies on a sample must not fall before it by rounding: live audio counts
        # its seconds from elsewhere than a song does.
        edges = np.floor(boundaries[:, [0, -1]] * self.sampling_rate + _ROUNDING_SAMPLES)
        first, last = edges.astype(np.int64).T
        frame_counts = 1 + (last - first) // self.hop_length  # (windows,)
        most_frames = int(frame_counts.max(initial=0))
        shape = (len(boundaries), most_frames)
        features = torch.full((*shape, self.bands), float(np.log(LOWEST_POWER)))
        features = features.to(device)
        for window, (start, end, frames) in enumerate(zip(first, last, frame_counts, strict=True)):
            heard = slice_with_silence(samples, int(start), int(end)).to(device)
            features[window, :frames] = self.frames(self._framed_by_silence(heard))[:frames]

        frame_seconds = np.arange(most_frames) * (self.hop_length / self.sampling_rate)
        steps = np.zeros(shape, dtype=np.int64)
        for row, edges in zip(steps, boundaries, strict=True):
            row[:] = _steps_at(frame_seconds, edges - edges[0])
        own = np.arange(most_frames) < frame_counts[:, None]
        return LogMelWindows(
            input_features=features,
            attention_mask=torch.from_numpy(own.astype(np.int64)).to(device),
            frame_steps=torch.from_numpy(steps).to(device),
        )

    def _framed_by_silence(self, window: torch.Tensor) -> torch.Tensor:
        """The window (n,) mirrored before its start, and with silence after its end."""
        half = self.window_size // 2
        signal = torch.nn.functional.pad(window, (0, half + 1))
        return torch.cat([signal[1 : half + 1].flip(0), signal])

    def _tables_on(self, device: torch.device, dtype: torch.dtype) -> _Tables:
        key = (device, dtype)
        if key not in self._tables:
            # Without its last sample, numpy's symmetric window is the periodic one.
            hann = torch.from_numpy(np.hanning(self.window_size + 1)[:-1])
            filters = torch.from_numpy(self.filters).float()
            self._tables[key] = _Tables(hann.to(dtype).to(device), filters.to(device))
        return self._tables[key]


@dataclass(frozen=True, slots=True)
class _Tables:
    """The constants of a spectrum: (window_size,) and (bins, bands)."""

    hann: torch.Tensor
    filters: torch.Tensor


def mel_filters(rate: int, window_size: int, lowest: float, bands: int) -> npt.NDArray[np.float64]:
    """Return triangular filters on the HTK mel scale, (bins, bands) float64, each of height one.

    The scale is 2595 log10(1 + f / 700) (S. Young et al., The HTK Book, section 5.4).
    """
    bins = np.linspace(0, rate // 2, window_size // 2 + 1)
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (lowest, rate // 2))
    edges = 700 * (10 ** (np.linspace(low, high, bands + 2) / 2595) - 1)
    left, center, right = edges[:-2], edges[1:-1], edges[2:]
    rise = (bins[:, None] - left) / (center - left)
    fall = (right - bins[:, None]) / (right - center)
    return np.asarray(np.maximum(0, np.minimum(rise, fall)), dtype=np.float64)


def slice_with_silence(samples: torch.Tensor, start: int, end: int) -> torch.Tensor:
    """Return a copy of samples start..end of (n,), with zeros where there is no audio."""
    piece = torch.zeros(max(0, end - start))
    first, last = max(start, 0), min(end, len(samples))
    if first < last:
        piece[first - start : last - start] = samples[first:last]
    return piece


def _steps_at(seconds: npt.NDArray[Any], boundaries: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The step that each moment lies in; the number of steps at and beyond the last boundary."""
    return np.searchsorted(boundaries, seconds + _ROUNDING_SECONDS, side="right") - 1
