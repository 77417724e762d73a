"""Beats by hand: a given or tapped tempo, started and stopped by the musician."""

from __future__ import annotations

import itertools
import math
import statistics

from sidekeys_bridge.playhead import Playhead, Reading, tempo_problem
from sidekeys_bridge.song_meters import is_position
from sidekeys_engine.errors import InputError

LEAST_TAPS = 4
FORGET_TAPS_SECONDS = 2.1  # the slowest tempo has two seconds between taps

_MOST_TAPS = 12
_JUMP_BEATS = 0.1


class ManualSource:
    """A tempo of one's own.

    Attributes:
        bpm: the tempo, once it was set or tapped.
    """

    name = "manual"
    waiting = "There is no tempo yet; set one (`sidekeys set bpm 120`) or tap it, then start."

    def __init__(self, bpm: float | None = None) -> None:
        self.bpm: float | None = None
        self._playhead: Playhead | None = None
        self._run = 0
        self._run_start_beats = 0.0
        self._position_beats = 0.0
        self._stopped_seconds: float | None = None
        self._taps: list[float] = []
        self._problem: str | None = None
        if bpm is not None:
            self.set_bpm(bpm, 0.0)

    def set_bpm(self, bpm: float, now_seconds: float) -> None:
        """Go on at another tempo; the position stays.

        Raises:
            InputError: for a tempo that nobody can play at; the old one stays.
        """
        problem = "That is no number; give a tempo." if not math.isfinite(bpm) else None
        problem = problem or tempo_problem(bpm, "This tempo")
        if problem is not None:
            raise InputError(problem)
        self.bpm, self._problem = bpm, None
        if self._playhead is not None:
            self._playhead = self._playhead.at(now_seconds, bpm=bpm)

    def play(self, now_seconds: float, from_beats: float | None = None) -> None:
        """Start, or go to a position while playing; from where it stands if none is given.

        Raises:
            InputError: if there is no tempo yet.
        """
        if self.bpm is None:
            raise InputError(self.waiting)
        if from_beats is None:
            if self._playhead is not None:
                return
            from_beats = self._position_beats
        if not is_position(from_beats):
            raise InputError(f"{from_beats:g} is no song position; give quarter notes.")
        self._begin(Playhead(now_seconds, from_beats, self.bpm))

    def stop(self, now_seconds: float) -> None:
        """Stop; the position stays."""
        if self._playhead is not None:
            self._stopped_seconds = now_seconds
            self._position_beats = self._playhead.beats_at(now_seconds)
            self._playhead = None

    def tap(self, now_seconds: float) -> float | None:
        """One tap on a beat. From the fourth on the tempo follows, and beats fall on the taps.

        Returns:
            The tempo in quarter notes a minute; None while it takes more taps.
        """
        pause = now_seconds - self._taps[-1] if self._taps else 0.0
        if not 0 <= pause <= FORGET_TAPS_SECONDS:
            self._taps.clear()
        self._taps = [*self._taps, now_seconds][-_MOST_TAPS:]
        if len(self._taps) < LEAST_TAPS:
            return None
        spans = [b - a for a, b in itertools.pairwise(self._taps)]
        interval = statistics.median(spans)
        bpm = 60 / interval if interval > 0 else math.inf
        self._problem = tempo_problem(bpm, "What you tap")
        if self._problem is None:
            self.set_bpm(bpm, now_seconds)
            self._meet_beat(self._beat_tapped(interval), now_seconds)
        return bpm

    def meet_beat(self, now_seconds: float) -> None:
        """Here is a beat: the nearest one moves here."""
        self._meet_beat(now_seconds, now_seconds)

    def poll(self, now_seconds: float) -> Reading:
        """Say where the song is."""
        del now_seconds
        return Reading(
            playhead=self._playhead,
            run=self._run,
            run_start_beats=self._run_start_beats,
            stopped_seconds=self._stopped_seconds,
            position_beats=self._position_beats,
            bpm=self.bpm,
            problem=self._problem,
        )

    def alive(self, now_seconds: float) -> bool:
        """Whether there is a tempo."""
        del now_seconds
        return self.bpm is not None

    def _beat_tapped(self, interval: float) -> float:
        """When the last tap was meant, as all of them agree."""
        last = len(self._taps) - 1
        meant = [seconds + (last - n) * interval for n, seconds in enumerate(self._taps)]
        return statistics.median(meant)

    def _meet_beat(self, beat_seconds: float, now_seconds: float) -> None:
        if self._playhead is None:
            return
        beats = self._playhead.beats_at(beat_seconds)
        off = round(beats) - beats
        moved = self._playhead.moved(beats=off)
        if abs(off) <= _JUMP_BEATS:
            self._playhead = moved
        else:
            self._begin(moved.at(now_seconds))

    def _begin(self, playhead: Playhead) -> None:
        self._playhead = playhead
        self._run_start_beats = playhead.beats
        self._run += 1
