"""What the bus sounded like where in the song, as whoever watches is told."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from sidekeys_bridge.spectrum import LOWEST, Spectrum

_COLUMNS_TOLD_AS_ONE = 2
_SILENT, _FULL = -14.0, -3.0  # natural logarithms of power, told as 0 and 255


class Song(Protocol):
    """One unbroken run of the song: `Stretch`."""

    @property
    def start_seconds(self) -> float:
        """The monotonic moment at which it began."""
        ...

    def beats_at(self, seconds: float) -> float:
        """The song position at a monotonic moment, in quarter notes."""
        ...


class Heard:
    """Makes events of a spectrum's new columns.

    Args:
        spectrum: of the bus.
    """

    def __init__(self, spectrum: Spectrum) -> None:
        self._spectrum = spectrum
        self._told = 0

    def event(self, song: Song | None) -> dict[str, Any] | None:
        """The content of an event about the columns of the song since the last call.

        Args:
            song: as it runs now; what was heard before it began lay elsewhere. None while it
                stands still.

        Returns:
            None if there is nothing to tell.
        """
        spectrum = self._spectrum
        if spectrum.columns < self._told:  # it was restarted
            self._told = 0
        first, self._told = self._told, spectrum.columns
        if song is None:
            return None
        first = max(first, spectrum.column_at(song.start_seconds))
        count = (self._told - first) // _COLUMNS_TOLD_AS_ONE
        if count < 1:
            return None
        self._told = last = first + count * _COLUMNS_TOLD_AS_ONE
        powers = spectrum.powers[np.arange(first, last) % len(spectrum.powers)]
        means = powers.reshape(count, _COLUMNS_TOLD_AS_ONE, -1).mean(axis=1)
        levels = np.clip((means - _SILENT) / (_FULL - _SILENT), 0.0, 1.0)
        start_beats = song.beats_at(spectrum.seconds_of(first - 0.5))
        end_beats = song.beats_at(spectrum.seconds_of(last - 0.5))
        return {
            "start_beats": start_beats,
            "beats_per_column": (end_beats - start_beats) / count,
            "lowest_pitch": LOWEST,
            "columns": [column.tobytes().hex() for column in np.uint8(np.rint(255 * levels))],
        }
