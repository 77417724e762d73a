"""Ableton Link as a source, through the optional package aalink."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from sidekeys_bridge.playhead import Playhead, Reading, tempo_problem
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter

_JUMP_BEATS = 0.1
_FIRST_BPM = 120.0  # of our own, before there are peers; the session's counts then
_SLOWEST_LOOK_SECONDS = 1e-3  # a look that took longer was interrupted, and says nothing
_LOOKS = 3
_GAIN = 0.2  # how much of the distance one look moves the line


class LinkSource:
    """The beats of a Link session that we listen to.

    Link shares a tempo, a beat and a bar phase, no song position: a beat's number only says where
    in the bar it lies. Whether it plays is shared by those who switched on Start Stop Sync.

    Args:
        meter: its bars are the phase that peers agree on.
        now: the monotonic clock; a look at Link's own clock needs the time on both sides of it.

    Raises:
        InputError: if the package aalink is not there.
    """

    name = "link"
    waiting = "No Link peers are there; switch Link on in the DAW, in the same network."

    def __init__(
        self, meter: Meter | None = None, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        import asyncio  # noqa: PLC0415 - takes time and memory that nobody else needs

        try:
            import aalink  # noqa: PLC0415 - optional
        except ImportError as error:
            raise InputError(
                "Ableton Link needs the package aalink, which is not installed; "
                "run: pip install 'sidekeys[link]'."
            ) from error
        self._now = now
        self._link: Any = asyncio.run(_opened(aalink.Link))
        self._link.quantum = (meter or Meter()).beats_per_bar
        self._link.start_stop_sync_enabled = True
        self._link.enabled = True
        self._playhead: Playhead | None = None
        self._run = 0
        self._run_start_beats = 0.0
        self._stopped_seconds: float | None = None
        self._position_beats = 0.0
        self._playing_alone = False  # told by the user, where peers share no start and stop

    @property
    def peers(self) -> int:
        """How many others are in the session."""
        return int(self._link.num_peers) if self._link is not None else 0

    def set_meter(self, meter: Meter) -> None:
        """Another length of the bars; beats get other numbers, so that a new run begins."""
        if self._link is not None and self._link.quantum != meter.beats_per_bar:
            self._link.quantum = meter.beats_per_bar
            self._playhead = None  # the next look begins another run

    def play(self) -> None:
        """Follow the session from now on, though nobody shares start and stop."""
        self._playing_alone = True

    def stop(self) -> None:
        """Follow no more, unless the session itself plays."""
        self._playing_alone = False

    def poll(self, now_seconds: float) -> Reading:
        """Look where the session is."""
        if self._link is None:
            return Reading(run=self._run)
        look = self._look()
        # Link remembers that a session played whose peers have all gone.
        playing = self.peers > 0 and (bool(self._link.playing) or self._playing_alone)
        problem = tempo_problem(look.bpm, "The Link session") if look else None
        if not playing and self.peers > 0:
            problem = problem or (
                "Link peers are there, but none shares its start; switch on Start Stop Sync in the "
                "DAW, or start here (`sidekeys play`)."
            )
        if look is not None:
            self._position_beats = look.beats_at(now_seconds)
        if not playing or (problem is not None):
            if self._playhead is not None:
                self._stopped_seconds = now_seconds
            self._playhead = None
        elif look is not None:
            self._follow(look)
        return Reading(
            playhead=self._playhead,
            run=self._run,
            run_start_beats=self._run_start_beats,
            stopped_seconds=self._stopped_seconds,
            position_beats=self._position_beats,
            bpm=look.bpm if look else None,
            problem=problem,
        )

    def alive(self, now_seconds: float) -> bool:
        """Whether peers are there."""
        del now_seconds
        return self.peers > 0

    def close(self) -> None:
        """Leave the session; safe to call twice."""
        if self._link is not None:
            self._link.enabled = False
            self._link = None

    def _look(self) -> Playhead | None:
        """Where the session is at this very moment."""
        for _ in range(_LOOKS):
            before = self._now()
            beat, bpm = float(self._link.beat), float(self._link.tempo)
            after = self._now()
            if 0 <= after - before < _SLOWEST_LOOK_SECONDS and math.isfinite(beat) and bpm > 0:
                return Playhead((before + after) / 2, beat, bpm)
        return None

    def _follow(self, look: Playhead) -> None:
        before = self._playhead
        off = math.inf if before is None else look.beats - before.beats_at(look.seconds)
        if before is None or abs(off) > _JUMP_BEATS:
            self._playhead, self._run_start_beats = look, look.beats
            self._run += 1
        else:
            self._playhead = before.at(look.seconds, bpm=look.bpm).moved(beats=off * _GAIN)


async def _opened(link: Callable[[float], Any]) -> Any:
    """A Link; aalink makes one only inside a running event loop, which it then does not need."""
    return link(_FIRST_BPM)
