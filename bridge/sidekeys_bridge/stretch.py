"""Stretch: one unbroken run of the song, from a start, locate or wrap to the next one."""

from __future__ import annotations

import math

import numpy as np

from sidekeys_bridge.playhead import Loop, Playhead
from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.notes import MeterChange

KEPT_ANCHORS = 1024  # beats of the past that a grid knows; older ones lie on its first tempo

_AHEAD_BEATS = 64.0  # outweighs the outer beats from which a grid takes the tempo beyond it
_MOST_BENT = 2.0  # how much faster or slower than told one beat may go, to meet a corrected line
_SAME_BEAT = 1e-6
_SAME_SECONDS = 5e-5
_SAME_PACE = 1e-5


class Stretch:
    """One unbroken run of the song position.

    A beat that has passed keeps its moment for ever: what was cut from the grid stays true. The
    future goes on at the present tempo, and bends as the source's line does.

    Attributes:
        number: which stretch of the session this is, from 1.
        start_beats: the song position at which it begins, in quarter notes.
        end_seconds: the monotonic moment at which it ended; None while it goes on.
        end_beats: the song position at which it ended; None while it goes on.
        loop: what the DAW repeats, in quarter notes, or None.
    """

    def __init__(
        self,
        number: int,
        start_beats: float,
        playhead: Playhead,
        meters: tuple[MeterChange, ...],
        loop: Loop | None = None,
    ) -> None:
        self.number = number
        self.start_beats = start_beats
        self.loop = loop
        self.end_seconds: float | None = None
        self.end_beats: float | None = None
        self._playhead = playhead
        self._meters = meters
        self._beats = [start_beats]
        self._seconds = [playhead.seconds_at(start_beats)]
        self._next = self._next_beat(playhead)
        self._grid: BeatGrid | None = None

    @property
    def start_seconds(self) -> float:
        """The monotonic moment at which it began; settled when its first beat has passed."""
        return self._seconds[0]

    @property
    def bpm(self) -> float:
        """The present tempo, in quarter notes a minute."""
        return self._playhead.bpm

    @property
    def meters(self) -> tuple[MeterChange, ...]:
        """The meters, each from a bar line on."""
        return self._meters

    def grid(self) -> BeatGrid:
        """Song positions over monotonic seconds: past beats, then the present tempo; the bars.

        It is made anew only when something changed.
        """
        if self._grid is None:
            beat, seconds = self._next
            beats = [*self._beats[-KEPT_ANCHORS:], beat, beat + _AHEAD_BEATS]
            times = [*self._seconds[-KEPT_ANCHORS:], seconds]
            times.append(seconds + _AHEAD_BEATS * 60 / self._playhead.bpm)
            self._grid = BeatGrid(np.array(beats), np.array(times), self._meters)
        return self._grid

    def beats_at(self, seconds: float) -> float:
        """The song position at a monotonic moment, in quarter notes."""
        return self.grid().beats_at(seconds)

    def seconds_at(self, beats: float) -> float:
        """The monotonic moment of a song position."""
        return self.grid().seconds_at(beats)

    def follow(self, playhead: Playhead, now_seconds: float) -> bool:
        """Go on along the source's line.

        Returns:
            False if that would bend a beat too much: the song jumped, and another stretch begins.
        """
        before = len(self._beats)
        if before == 1:  # nothing has passed yet: where it began is still being found out
            self._seconds[0] = playhead.seconds_at(self.start_beats)
        beat, seconds = self._next_beat(playhead)
        if not self._bends(beat, seconds, playhead.bpm):
            return False
        while seconds <= now_seconds:
            self._beats.append(beat)
            self._seconds.append(seconds)
            beat += 1
            seconds = playhead.seconds_at(beat)
        moved = abs(seconds - self._next[1]) > _SAME_SECONDS or beat != self._next[0]
        paced = abs(playhead.bpm / self._playhead.bpm - 1) > _SAME_PACE
        if moved or paced or len(self._beats) != before:
            self._next, self._playhead, self._grid = (beat, seconds), playhead, None
        return True

    def set_meters(self, meters: tuple[MeterChange, ...]) -> None:
        """Other meters, in the future; those of bars that have passed must stay."""
        if meters != self._meters:
            self._meters, self._grid = meters, None

    def end(self, seconds: float) -> None:
        """The song stopped, jumped or wrapped at this moment; the first call counts."""
        if self.end_seconds is None:
            self.end_seconds = max(seconds, self.start_seconds)
            self.end_beats = max(self.beats_at(self.end_seconds), self.start_beats)
            if self.loop is not None and abs(self.end_beats - self.loop[1]) < 0.1:
                self.end_beats = self.loop[1]

    def _next_beat(self, playhead: Playhead) -> tuple[float, float]:
        beat = math.floor(self._beats[-1] + _SAME_BEAT) + 1.0
        return beat, playhead.seconds_at(beat)

    def _bends(self, beat: float, seconds: float, bpm: float) -> bool:
        steady = (beat - self._beats[-1]) * 60 / bpm
        return steady / _MOST_BENT <= seconds - self._seconds[-1] <= steady * _MOST_BENT
