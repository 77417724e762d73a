"""One run of the piano: windows from a memory, joined to notes, handed over as they fall due."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from sidekeys_bridge.controls import Controls
from sidekeys_bridge.hearing import Run
from sidekeys_bridge.memory import SongMemory
from sidekeys_bridge.windows import Model, place_of
from sidekeys_engine.beat_grid import BeatGrid, Cut, Window
from sidekeys_engine.dynamics import Ear, HeardSteps
from sidekeys_engine.expression import STEP_BEATS, Expression, Phrasing, express
from sidekeys_engine.joining import Joined, Joiner
from sidekeys_engine.notes import Note
from sidekeys_engine.pedaling import PedalMove

COMMIT_SECONDS = 0.06
"""A window's notes are taken from the memory this long before its first beat sounds."""
# Notes go to the scheduler this long before they sound; until then a tempo change moves them.
_HANDOVER_SECONDS = 0.05
_LOOK_SECONDS = 0.1  # the longest pause between looks for a window that is due
_SAME_BEATS = 1e-3
_KEY_UP_SECONDS = 0.002  # before another run begins
_APART_SECONDS = 0.001  # moves of the pedal, so that they stay in order


class Piano(Protocol):
    """What notes are handed to: `Player`."""

    def strike(
        self, due_seconds: float, off_seconds: float, channel: int, pitch: int, velocity: int
    ) -> int:
        """Commit a note; its handle."""
        ...

    def extend(self, handle: int, off_seconds: float) -> bool:
        """Move the end of a note that sounds, or will."""
        ...

    def pedal(self, due_seconds: float, down: bool, channel: int) -> None:
        """Commit a move of the sustain pedal."""
        ...

    def panic(self) -> None:
        """Release all that sounds, drop all that waits."""
        ...


@dataclass(frozen=True, slots=True)
class Sounding:
    """A note as it is handed over.

    Attributes:
        handle: the scheduler's.
        note: at the song position where it sounds.
        voice: channel, pitch and velocity as sent.
        due_seconds: the monotonic moment of its onset.
        off_seconds: that of its end.
        lag_seconds: how long before that the place it belongs to was heard; 0.0 in loop mode.
        is_new: it was not told of before; else only its end has moved.
    """

    handle: int
    note: Note
    voice: tuple[int, int, int]
    due_seconds: float
    off_seconds: float
    lag_seconds: float
    is_new: bool = True


@dataclass(slots=True)
class _Taken:
    note: Note
    sounding: Sounding | None = None  # once it was handed over


class Performance:
    """Plays windows of a memory along a stretch of the song, so many beats behind it.

    Args:
        stretch: whose beats it follows.
        lag_beats: how far behind.
        cut: how windows lie.
        position_beats: the song position of the first window.
        model: the checkpoint.
        memory: what is played at each place.
        piano: gets the notes.
        on_note: is told of every note that is handed over, and again when its end moves while it
            sounds.
        ear: how loud the song usually is, by the performance before.
    """

    def __init__(
        self,
        stretch: Run,
        lag_beats: int,
        cut: Cut,
        position_beats: float,
        model: Model,
        memory: SongMemory,
        piano: Piano,
        on_note: Callable[[Sounding], None],
        ear: Ear | None = None,
    ) -> None:
        self.stretch = stretch
        self.lag_beats, self.cut = lag_beats, cut
        self.memory = memory
        self._model, self._piano, self._on_note = model, piano, on_note
        self._joiner = Joiner(model.steps)
        self._position = place_of(model.window_at(stretch.grid(), position_beats, cut))[0]
        self._look_seconds = -math.inf
        self._end_beats, self._end_seconds = math.inf, math.inf
        self._taken: dict[int, _Taken] = {}  # those to come, and those that sound
        self._heard_beats: float | None = None  # where the song began to sound
        self._phrasing = Phrasing(ear=ear or Ear())
        self._moves: list[PedalMove] = []
        self._moved_seconds = -math.inf  # when the pedal moves last, of what was handed over
        self._trodden: tuple[int, ...] = ()  # channels on which it then is down

    @property
    def position_beats(self) -> float:
        """The song position of the window that comes next."""
        return self._position

    @property
    def ear(self) -> Ear:
        """How loud the song usually is."""
        return self._phrasing.ear

    def end_at(self, position_beats: float, seconds: float) -> None:
        """Play nothing from a position on: another run begins there, at that moment."""
        self._end_beats, self._end_seconds = position_beats, seconds - _KEY_UP_SECONDS
        for taken in self._taken.values():
            if taken.sounding is not None and taken.sounding.off_seconds > self._end_seconds:
                self._move_end(taken, self._end_seconds)
        self._add_moves([])

    def give_way(self, seconds: float) -> None:
        """Another run has begun at that moment, perhaps before this one was to end."""
        self._tread(seconds - _KEY_UP_SECONDS, ())

    def play(self, now_seconds: float, controls: Controls) -> list[Window]:
        """Take the notes of each window that is about to sound; from here on they are committed.

        Returns:
            The windows without notes: silence.
        """
        missing: list[Window] = []
        if now_seconds < self._look_seconds:
            return missing
        grid = self.stretch.grid()
        while True:
            window = self._model.window_at(grid, self._position, self.cut)
            start_beats, end_beats = place_of(window)
            first_beats = max(start_beats, self.stretch.start_beats)
            due_seconds = grid.seconds_at(first_beats + self.lag_beats)
            early_seconds = due_seconds - COMMIT_SECONDS - now_seconds
            is_early = early_seconds > 0
            if is_early:
                # Half of it, so that a tempo that rises meanwhile does no harm.
                self._look_seconds = now_seconds + min(early_seconds / 2, _LOOK_SECONDS)
            if is_early or start_beats >= self._end_beats - _SAME_BEATS:
                return missing
            self._position = end_beats
            played = self.memory.at(window)
            if played is None:
                missing.append(window)
            joined = []
            if played is not None and not played.is_silent:
                joined = self._joiner.add(window, played.notes)
                if self._heard_beats is None:
                    self._heard_beats = played.heard_beats
            heard = None
            if played is not None and played.loudness is not None:
                first, last = (
                    round((beats - window.start_beats) / STEP_BEATS)
                    for beats in (start_beats, end_beats)
                )
                heard = HeardSteps(start_beats, STEP_BEATS, played.loudness[first:last])
            for told, note in self._expressed(joined, end_beats, grid, heard, controls):
                self._take(told, note, grid, now_seconds)

    def _expressed(
        self,
        joined: list[Joined],
        end_beats: float,
        grid: BeatGrid,
        heard: HeardSteps | None,
        controls: Controls,
    ) -> list[tuple[Joined, Note]]:
        """A window's notes as a pianist plays them; the pedal's moves wait with them."""
        wanted = Expression(controls.expression, controls.pedal, controls.playable)
        notes = [told.note for told in joined]
        played = express(notes, end_beats, grid, wanted, heard=heard, phrasing=self._phrasing)
        self._phrasing = played.phrasing
        self._add_moves(played.moves)
        # A note that is not there was left out, or let go: it ends as it was to.
        found = (
            (told, played.by_strike.get((told.note.onset_beats, told.note.pitch)))
            for told in joined
        )
        return [(told, note) for told, note in found if note is not None]

    def _take(self, joined: Joined, note: Note, grid: BeatGrid, now_seconds: float) -> None:
        """Keep a new note until it is due, or move the end of one that sounds on."""
        if joined.is_new:
            # Of a window that the song came into in the middle, the rest is played.
            begin = max(self.stretch.start_beats, self._heard_beats or -math.inf)
            is_before = note.onset_beats < begin - _SAME_BEATS
            is_past = self._due_seconds(grid, note.onset_beats) < now_seconds - _HANDOVER_SECONDS
            if not is_before and not is_past:
                self._taken[joined.number] = _Taken(note)
        elif (taken := self._taken.get(joined.number)) is not None:
            taken.note = note
            if taken.sounding is not None:
                self._move_end(taken, self._off_seconds(grid, note))

    def _move_end(self, taken: _Taken, off_seconds: float) -> None:
        """Let a note that was handed over end at another moment, if it was not left out as late."""
        assert taken.sounding is not None
        if self._piano.extend(taken.sounding.handle, off_seconds):
            taken.sounding = replace(
                taken.sounding, note=self._moved(taken.note), off_seconds=off_seconds, is_new=False
            )
            self._on_note(taken.sounding)

    def hand_over(self, now_seconds: float, controls: Controls) -> None:
        """Give the scheduler what is due soon."""
        grid = self.stretch.grid()
        self._hand_over_pedal(grid, now_seconds, controls)
        for number, taken in list(self._taken.items()):
            if taken.sounding is not None:
                if taken.sounding.off_seconds < now_seconds:
                    del self._taken[number]
                continue
            note = taken.note
            due_seconds = self._due_seconds(grid, note.onset_beats)
            if due_seconds > now_seconds + _HANDOVER_SECONDS:
                continue
            off_seconds = self._off_seconds(grid, note)
            voice = controls.voices(note.pitch, note.velocity)
            if voice is None or off_seconds <= due_seconds:
                del self._taken[number]
                continue
            handle = self._piano.strike(due_seconds, off_seconds, *voice)
            lag_seconds = due_seconds - grid.seconds_at(note.onset_beats)
            taken.sounding = Sounding(
                handle, self._moved(note), voice, due_seconds, off_seconds, lag_seconds
            )
            self._on_note(taken.sounding)

    def _add_moves(self, moves: list[PedalMove]) -> None:
        """The pedal moves so from the first of these moves on, and is up when the run ends."""
        first_beats = moves[0].position_beats if moves else math.inf
        kept = [move for move in self._moves if move.position_beats < first_beats]
        self._moves = [move for move in kept + moves if move.position_beats < self._end_beats]
        if math.isfinite(self._end_beats):
            self._moves.append(PedalMove(self._end_beats, False))

    def _hand_over_pedal(self, grid: BeatGrid, now_seconds: float, controls: Controls) -> None:
        while self._moves:
            move = self._moves[0]
            due_seconds = min(self._due_seconds(grid, move.position_beats), self._end_seconds)
            if due_seconds > now_seconds + _HANDOVER_SECONDS:
                return
            del self._moves[0]
            if not move.is_down:
                self._tread(due_seconds, ())
            elif not controls.mute and due_seconds >= now_seconds - _HANDOVER_SECONDS:
                self._tread(due_seconds, controls.channels)

    def _tread(self, due_seconds: float, channels: tuple[int, ...]) -> None:
        """Put the pedal down on these channels, and up on those where it is down."""
        due_seconds = max(due_seconds, self._moved_seconds + _APART_SECONDS)
        for channel in self._trodden:
            if channel not in channels:
                self._piano.pedal(due_seconds, False, channel)
        for channel in channels:
            if channel not in self._trodden:
                self._piano.pedal(due_seconds, True, channel)
        self._moved_seconds, self._trodden = due_seconds, channels

    def _due_seconds(self, grid: BeatGrid, position_beats: float) -> float:
        return grid.seconds_at(position_beats + self.lag_beats)

    def _off_seconds(self, grid: BeatGrid, note: Note) -> float:
        return min(self._due_seconds(grid, note.end_beats), self._end_seconds)

    def _moved(self, note: Note) -> Note:
        return replace(note, onset_beats=note.onset_beats + self.lag_beats)
