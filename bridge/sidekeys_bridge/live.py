"""The real-time path: a complete window -> the engine -> notes -> the scheduler.

The song is heard at one place and played at another: in echo mode so many beats behind, in loop
mode at the very same one, from what was heard there before. Both are one path: windows are cut
where the song is, their notes are kept by place, and a performance takes them from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from sidekeys_bridge.controls import Controls
from sidekeys_bridge.delay import Delay, check_delay, choose_delay
from sidekeys_bridge.hearing import PATIENT_SECONDS, Bus, Engine, Hearing, Tell
from sidekeys_bridge.memory import SongMemory
from sidekeys_bridge.performance import COMMIT_SECONDS, Performance, Piano, Sounding
from sidekeys_bridge.stretch import Stretch
from sidekeys_bridge.transport import Transport
from sidekeys_bridge.windows import Model, place_of
from sidekeys_bridge.wraps import Ahead, Wraps
from sidekeys_engine.beat_grid import WHOLE_WINDOWS
from sidekeys_engine.dynamics import Ear
from sidekeys_engine.protocol import Message

ECHO, LOOP = "echo", "loop"
MODES = (ECHO, LOOP)
_SAME_BEATS = 1e-3
_MOST_MISSED = 4  # windows in a row: it is no accident any more
_LAST_CUT_SECONDS = 1.0  # how long the sound of a stretch may come after its end


class Live:
    """The piano, following the song.

    Args:
        transport: where the song is.
        bus: what it sounds like.
        piano: gets the notes.
        controls: who plays, and how.
        tell: is told of runs and windows.
        on_note: see `Performance`.
        kept: see `Hearing`.

    Attributes:
        controls: may be replaced at any time; they hold from the next window on.
        hearing: windows on their way, and their counters.
        memory: what loop mode knows of the song.
        delay: that of the present run; None while nothing runs.
    """

    def __init__(
        self,
        transport: Transport,
        bus: Bus,
        piano: Piano,
        controls: Controls,
        *,
        tell: Tell,
        on_note: Callable[[Sounding], None],
        kept: Path | None = None,
    ) -> None:
        self._transport, self._piano = transport, piano
        self._tell, self._on_note = tell, on_note
        self.controls = controls
        self.hearing = Hearing(bus, tell, kept)
        self.memory = SongMemory()
        self.delay: Delay | None = None
        self._mode = ECHO
        self._wanted_delay: int | None = None
        self._wraps = Wraps()
        self._stretch: Stretch | None = None  # the one that is heard and played
        self._now: Performance | None = None
        self._next: Performance | None = None  # from a loop's start, when its end is near
        self._ear = Ear()
        self._cut_beats = 0.0  # song position of the window that is heard now
        # Its last sound may still come.
        self._ended: tuple[Stretch, float, Performance] | None = None

    # --- the path, top-down: every few milliseconds, on one thread

    def step(self, now_seconds: float) -> None:
        """Do all that is due."""
        self._follow(now_seconds)
        self._hear(now_seconds)
        self._foresee(now_seconds)
        for performance in (self._now, self._next):
            if performance is not None:
                missing = performance.play(now_seconds, self.controls)
                if self._mode == ECHO:
                    for window in missing:
                        self.hearing.miss(window, self.controls)
                performance.hand_over(now_seconds, self.controls)
        self._fall_back()
        self._catch_up(now_seconds)

    def _follow(self, now_seconds: float) -> None:
        """Begin and end runs as the song does."""
        stretch = self._transport.stretch
        if self._stretch is not None and stretch is not self._stretch:
            self._leave(self._stretch, stretch)
        if stretch is None or self.hearing.model is None or self._stretch is not None:
            return
        self._stretch = stretch
        self.delay = self._chosen_delay(stretch)
        start = max(stretch.start_beats, stretch.beats_at(now_seconds)) + _SAME_BEATS
        if self._now is None:
            self._now = self._performance(stretch, start)
        self._cut_beats = self._place(stretch, start)
        self._tell(
            "run",
            {"mode": self._mode, "delay_beats": self.delay.beats, "reason": self.delay.reason},
        )

    def _hear(self, now_seconds: float) -> None:
        """Send every window to the engine of which the last sample is here.

        A stretch that has ended is heard to its end: its places will come back.
        """
        if self._ended is not None:
            stretch, position, player = self._ended
            position = self._hear_from(stretch, position, player, now_seconds)
            is_over = now_seconds > (stretch.end_seconds or 0.0) + _LAST_CUT_SECONDS
            self._ended = None if is_over else (stretch, position, player)
        if self._stretch is not None and self._now is not None:
            self._cut_beats = self._hear_from(
                self._stretch, self._cut_beats, self._now, now_seconds
            )

    def _hear_from(
        self, stretch: Stretch, position: float, player: Performance, now_seconds: float
    ) -> float:
        """Send the windows from a song position on; that of the one which is not complete yet."""
        grid = stretch.grid()
        while True:
            heard = self.hearing.cut(stretch, grid, position, player.cut)
            if heard is None:
                return position
            window, sound = heard
            start, position = place_of(window)
            if sound is None:
                continue
            within = PATIENT_SECONDS
            if self._mode == ECHO:
                within = grid.seconds_at(start + player.lag_beats) - COMMIT_SECONDS - now_seconds
            self.hearing.ask(
                window, sound, player.memory, self.controls,
                now_seconds=now_seconds, within_seconds=within,
            )  # fmt: skip

    def _foresee(self, now_seconds: float) -> None:
        """Begin to play what follows a loop's end before the song is there: it knows no delay."""
        if self._mode != LOOP or self._stretch is None or self._now is None:
            return
        if self._next is not None:
            if self._wraps.is_overdue(now_seconds):  # the loop was left
                self.restart()
            return
        ahead = self._wraps.ahead(self._stretch, now_seconds)
        if ahead is not None:
            self._ear = self._now.ear
            self._next = self._performance(ahead, ahead.start_beats + _SAME_BEATS)
            self._now.end_at(ahead.after_beats, ahead.start_seconds)

    def _fall_back(self) -> None:
        """Follow further behind where the machine has become too slow for the delay we chose."""
        if self._stretch is None or self.delay is None or self._wanted_delay is not None:
            return
        if self._mode == ECHO and self.hearing.missed_in_a_row >= _MOST_MISSED:
            if self._chosen_delay(self._stretch).beats > self.delay.beats:
                self.restart()
            self.hearing.missed_in_a_row = 0

    def _catch_up(self, now_seconds: float) -> None:
        """Let a new composer play what the loop has heard before, what comes next first."""
        if self._mode != LOOP or self.hearing.is_busy:
            return
        here = self._now.position_beats if self._now is not None else 0.0
        outdated = self.memory.outdated(self.controls.composer)
        place = min(outdated, key=lambda place: (place[0] < here, place[0]), default=None)
        if place is not None:
            self.hearing.ask_again(self.memory, place, self.controls, now_seconds)

    # --- runs

    def _leave(self, ended: Stretch, stretch: Stretch | None) -> None:
        """The song left a stretch: what was foreseen goes on, and all else falls silent."""
        assert self._now is not None
        if self._mode == LOOP:
            self._ended = (ended, self._cut_beats, self._now)
        if self._wraps.has_come(stretch) and self._next is not None and stretch is not None:
            self._next.stretch = stretch
            self._now.give_way(stretch.start_seconds)
            self._now, self._next = self._next, None
            self._stretch = None
        else:
            self._stop()

    def _stop(self) -> None:
        if self._now is not None:
            self._ear = self._now.ear
            self._piano.panic()
        self._stretch = self._now = self._next = self.delay = None

    def _performance(self, stretch: Stretch | Ahead, position: float) -> Performance:
        assert self.hearing.model is not None
        assert self.delay is not None
        return Performance(
            stretch,
            self.delay.beats,
            self.delay.cut,
            position,
            self.hearing.model,
            self.memory if self._mode == LOOP else SongMemory(most_sound_bytes=0),
            self._piano,
            self._on_note,
            self._ear,
        )

    def _place(self, stretch: Stretch, position: float) -> float:
        assert self.hearing.model is not None
        assert self.delay is not None
        window = self.hearing.model.window_at(stretch.grid(), position, self.delay.cut)
        return place_of(window)[0]

    def _chosen_delay(self, stretch: Stretch) -> Delay:
        assert self.hearing.model is not None
        if self._mode == LOOP:
            return Delay(0, WHOLE_WINDOWS, "what was heard at a place is played there, in time")
        return choose_delay(
            wanted=self._wanted_delay,
            window_beats=self.hearing.model.window_beats,
            bpm=stretch.bpm,
            generation_seconds=self.hearing.generation_seconds,
        )

    # --- what others say

    def use_engine(self, engine: Engine, description: Mapping[str, Any]) -> None:
        """An engine is ready, a first one or another."""
        model = Model.described(description)
        if model != self.hearing.model:
            self.memory.forget()
        self.restart()
        self.hearing.use_engine(engine, model)

    def lose_engine(self) -> None:
        """The engine died: all that sounds is released."""
        self.hearing.lose_engine()
        self.restart()

    def take(self, replies: Iterable[Message], now_seconds: float) -> None:
        """What the engine answered."""
        self.hearing.take(replies, now_seconds)

    def restart(self) -> None:
        """Fall silent, and begin anew where the song is."""
        self._ended = None
        self._stop()

    @property
    def mode(self) -> str:
        """Echo or loop."""
        return self._mode

    def choose_mode(self, mode: str) -> None:
        """Echo or loop."""
        if mode != self._mode:
            self._mode = mode
            self.restart()

    def choose_delay(self, beats: int | None) -> None:
        """So many beats of echo; None for the least that works.

        Raises:
            InputError: fewer than any machine could do.
        """
        if beats is not None and self.hearing.model is not None:
            check_delay(beats, self.hearing.model.window_beats)
        if beats != self._wanted_delay:
            self._wanted_delay = beats
            self.restart()
