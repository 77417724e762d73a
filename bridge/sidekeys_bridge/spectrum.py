"""What the bus sounds like, semitone by semitone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

HOP_SECONDS = 0.01
LOWEST, HIGHEST = 43, 100
"""MIDI pitches. So short a window can hardly tell the lowest from one another, and none below."""

BATCH = 20
"""Columns are found so many at a time."""

_WINDOW_SECONDS = 0.09
_FLOOR = 1e-9  # power, -90 dB of a full-scale sine: what is below is noise
_PARTIALS = (1, 2)


class Spectrum:
    """Columns of log powers, a column each `HOP_SECONDS`; the newest are kept. Reads no clock.

    Args:
        rate: of the audio, frames a second.
        kept_seconds: how long columns are kept.

    Attributes:
        columns: how many there have been since the last restart.
        powers: (kept, pitches) natural logarithms of power from `LOWEST` up; column ``n`` is row
            ``n % kept``.
    """

    def __init__(self, rate: int, kept_seconds: float) -> None:
        self._rate = rate
        self._hop = round(rate * HOP_SECONDS)
        size = 2 ** round(np.log2(rate * _WINDOW_SECONDS))
        self._window = (np.hanning(size) * 4 / size).astype(np.float32)
        self._bins = _partial_bins(rate, size)
        self.powers = np.zeros(
            (round(kept_seconds / HOP_SECONDS), self._bins.shape[0]), dtype=np.float32
        )
        self.restart()

    def restart(self) -> None:
        """Forget the audio: its time line broke."""
        self._rest: Float32 = np.zeros(0, dtype=np.float32)
        self._frames: int = 0
        self.columns: int = 0
        self._origin_seconds = 0.0

    def add(self, samples: Float32, first_frame_seconds: float) -> int:
        """Take in sound, each frame once.

        Args:
            samples: (frames,) float32, right after those of the last call.
            first_frame_seconds: when the first one was at the input, monotonic.

        Returns:
            How many columns are new.
        """
        # The newest moment given is the best: the clock that gives it goes on learning.
        self._origin_seconds = first_frame_seconds - (self._frames / self._rate)
        self._frames += len(samples)
        self._rest = np.concatenate((self._rest, samples))
        before, size = self.columns, len(self._window)
        while len(self._rest) >= size + (BATCH - 1) * self._hop:
            self._add_columns()
            self._rest = self._rest[BATCH * self._hop :]
        return self.columns - before

    def seconds_of(self, column: float) -> float:
        """When the middle of a column was."""
        frame = column * self._hop + len(self._window) / 2
        return self._origin_seconds + frame / self._rate

    def column_at(self, seconds: float) -> int:
        """The column whose middle is nearest to a moment."""
        frame = (seconds - self._origin_seconds) * self._rate - len(self._window) / 2
        return round(frame / self._hop)

    def _add_columns(self) -> None:
        size = len(self._window)
        cuts = np.lib.stride_tricks.sliding_window_view(self._rest, size)[:: self._hop][:BATCH]
        spectra = np.abs(np.fft.rfft(cuts * self._window)) ** 2
        loudest = spectra[:, self._bins].max(axis=-1)  # (columns, pitches, partials)
        new = np.arange(self.columns, self.columns + BATCH)
        self.powers[new % len(self.powers)] = np.log(loudest + _FLOOR).mean(axis=-1)
        self.columns += BATCH


def _partial_bins(rate: int, size: int) -> NDArray[np.int64]:
    """(pitches, partials, 3): the bins around each partial of each pitch."""
    pitches = np.arange(LOWEST, HIGHEST + 1)
    hertz = 440.0 * 2 ** ((pitches - 69) / 12)
    middle = hertz[:, None] * np.array(_PARTIALS) * size / rate
    lowest = np.floor(middle - 0.5).astype(np.int64)
    return np.asarray(np.minimum(lowest[:, :, None] + np.arange(3), size // 2), dtype=np.int64)
