"""A loop's end that is near: what follows it can be played before the song is there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sidekeys_bridge.stretch import Stretch
from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.notes import MeterChange

_FORESEEN_SECONDS = 0.2  # how long before
_LATENESS_SECONDS = 0.08  # of the transport's word that the song has jumped
_SAME_BEATS = 0.1


@dataclass(frozen=True, slots=True)
class Ahead:
    """The stretch after a loop's end, before it has come.

    Attributes:
        start_beats: the loop's start.
        start_seconds: when the song will be there.
        after_beats: the loop's end.
        tempo_bpm: at the loop's end.
        meters: of the song.
        end_seconds: None: it has not even begun.
    """

    start_beats: float
    start_seconds: float
    after_beats: float
    tempo_bpm: float
    meters: tuple[MeterChange, ...]
    end_seconds: float | None = None

    @property
    def loop(self) -> tuple[float, float]:
        """The loop."""
        return self.start_beats, self.after_beats

    def grid(self) -> BeatGrid:
        """Its beats in monotonic seconds, at the tempo of the loop's end."""
        beats = np.array([0.0, 1.0])
        seconds = self.start_seconds + beats * 60 / self.tempo_bpm
        return BeatGrid(self.start_beats + beats, seconds, self.meters)


class Wraps:
    """Foresees the next wrap."""

    def __init__(self) -> None:
        self._ahead: Ahead | None = None

    def ahead(self, stretch: Stretch, now_seconds: float) -> Ahead | None:
        """What follows a wrap that is near; None while none is."""
        if stretch.loop is None or stretch.end_seconds is not None:
            return None
        start_beats, end_beats = stretch.loop
        grid = stretch.grid()
        seconds = grid.seconds_at(end_beats)
        if not now_seconds < seconds <= now_seconds + _FORESEEN_SECONDS:
            return None
        tempo = grid.tempo_bpm_at(end_beats)
        self._ahead = Ahead(start_beats, seconds, end_beats, tempo, grid.meters)
        return self._ahead

    def is_overdue(self, now_seconds: float) -> bool:
        """Whether the foreseen wrap has not come; then it is forgotten."""
        ahead = self._ahead
        if ahead is None or now_seconds <= ahead.start_seconds + _LATENESS_SECONDS:
            return False
        self._ahead = None
        return True

    def has_come(self, stretch: Stretch | None) -> bool:
        """Whether a new stretch is the one that was foreseen; it is not foreseen any more."""
        ahead, self._ahead = self._ahead, None
        return (
            ahead is not None
            and stretch is not None
            and abs(stretch.start_beats - ahead.start_beats) < _SAME_BEATS
            and abs(stretch.start_seconds - ahead.start_seconds) < _LATENESS_SECONDS
        )
