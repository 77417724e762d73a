"""The playhead: where the song is and how fast it goes, as one source of the beats tells it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

from sidekeys_bridge.settings import FASTEST_BPM, SLOWEST_BPM
from sidekeys_engine.notes import Meter

_SHORTEST_LOOP_BEATS = 0.25
_BPM_ROUNDING = 1e-6

Loop = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Playhead:
    """A song position that moves on at a steady tempo.

    Attributes:
        seconds: a moment, monotonic.
        beats: the song position at that moment, in quarter notes.
        bpm: quarter notes a minute, above zero.
    """

    seconds: float
    beats: float
    bpm: float

    def beats_at(self, seconds: float) -> float:
        """The song position at a moment, in quarter notes."""
        return self.beats + (seconds - self.seconds) * self.bpm / 60

    def seconds_at(self, beats: float) -> float:
        """The moment when a song position comes."""
        return self.seconds + (beats - self.beats) * 60 / self.bpm

    def at(self, seconds: float, *, bpm: float | None = None) -> Playhead:
        """The same line told from another moment on, there perhaps at another tempo."""
        return Playhead(seconds, self.beats_at(seconds), bpm or self.bpm)

    def moved(self, *, seconds: float = 0.0, beats: float = 0.0) -> Playhead:
        """The line moved in time or along the song."""
        return replace(self, seconds=self.seconds + seconds, beats=self.beats + beats)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a source says now.

    Attributes:
        playhead: None while the song stands.
        run: another number for every start, locate, wrap and jump; one number, one unbroken line.
        run_start_beats: the song position at which this run began.
        stopped_seconds: when the song stopped, where the source knows it.
        position_beats: where the song stands while it does not play.
        bpm: the tempo, known perhaps without playing.
        meter: None where the source knows of no meter.
        bar_start_beats: a bar line near by, where the source tells it.
        loop: what the DAW repeats, in quarter notes.
        problem: what hinders it, for a musician to read.
    """

    playhead: Playhead | None = None
    run: int = 0
    run_start_beats: float = 0.0
    stopped_seconds: float | None = None
    position_beats: float = 0.0
    bpm: float | None = None
    meter: Meter | None = None
    bar_start_beats: float | None = None
    loop: Loop | None = None
    problem: str | None = None


class Source(Protocol):
    """Somebody who tells the beats; asked by one thread."""

    name: str
    waiting: str  # what to do when it is chosen, and nobody is there

    def poll(self, now_seconds: float) -> Reading:
        """Take in what has come, and say where the song is."""

    def alive(self, now_seconds: float) -> bool:
        """Whether somebody is there, playing or not."""


def tempo_problem(bpm: float, whose: str) -> str | None:
    """Words for a tempo that nobody can play to; None for a good one.

    Args:
        bpm: quarter notes a minute.
        whose: who has this tempo, as a sentence's beginning: "The MIDI clock".
    """
    if SLOWEST_BPM - _BPM_ROUNDING <= bpm <= FASTEST_BPM + _BPM_ROUNDING:
        return None
    return (
        f"{whose} runs at {bpm:.4g} bpm; Sidekeys follows {SLOWEST_BPM:g} to {FASTEST_BPM:g} bpm. "
        "Change the tempo."
    )


def usable_loop(loop: Loop | None) -> Loop | None:
    """A loop of a useful length in song order, or None."""
    if loop is None or not (math.isfinite(loop[0]) and math.isfinite(loop[1])):
        return None
    return loop if loop[1] - loop[0] >= _SHORTEST_LOOP_BEATS else None
