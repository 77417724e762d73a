"""Remembers what was played, and where the song was meanwhile."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterable
from dataclasses import replace

from sidekeys_bridge.recording import PlayedNote, Recording, SongLine, Take

MOST_NOTES = 60_000
"""Two hours or more of a busy pianist, in some 20 MB; older notes are forgotten."""

_MOST_SOUNDING = 256  # notes that are looked through for those that have ended


class Recorder:
    """What was played since the start. For one thread; the recordings it gives are for any.

    Args:
        most_notes: how many notes are kept, the newest ones.
    """

    def __init__(self, *, most_notes: int = MOST_NOTES) -> None:
        self._most_notes = most_notes
        self._takes: list[Take] = []
        self._line: SongLine | None = None
        self._notes: dict[int, PlayedNote] = {}  # by handle, in the order of the strikes
        self._sounding: set[int] = set()
        self._pedals: list[tuple[float, bool]] = []
        self._latest_seconds = -math.inf  # of all strikes so far

    def follow(self, line: SongLine | None) -> None:
        """Say where the song is; call it every few milliseconds, it is cheap.

        Args:
            line: the transport's present stretch, None while it is stopped.
        """
        if line is not self._line:
            self._finish()
            self._line = line
            if line is not None:
                self._takes.append(Take(line.start_beats, line.start_seconds, line.grid()))
        elif line is not None:
            self._keep_up(line)

    def note(
        self,
        handle: int,
        onset_beats: float,
        duration_beats: float,
        pitch: int,
        velocity: int,
        due_seconds: float,
        off_seconds: float,
    ) -> None:
        """A note was handed to the player, or, under the same handle, its end was moved.

        Args:
            handle: the player's.
            onset_beats: song position at which it sounds, in quarter notes.
            duration_beats: how long it sounds, in quarter notes.
            pitch: as played, 0-127.
            velocity: as played, 1-127.
            due_seconds: monotonic moment of the strike; tells which pass over a song position.
            off_seconds: monotonic moment of its end.
        """
        if off_seconds <= due_seconds:
            return
        self._notes[handle] = PlayedNote(
            onset_beats, onset_beats + duration_beats, pitch, velocity, due_seconds, off_seconds
        )
        self._sounding.add(handle)
        self._latest_seconds = max(self._latest_seconds, due_seconds)
        if len(self._sounding) > _MOST_SOUNDING:
            ended = {h for h in self._sounding if self._notes[h].off_seconds < due_seconds}
            self._sounding -= ended or {min(self._sounding)}
        if len(self._notes) > self._most_notes:
            oldest = next(iter(self._notes))
            del self._notes[oldest]
            self._sounding.discard(oldest)
            self._forget_before(self._notes[next(iter(self._notes))].due_seconds)

    def pedal(self, due_seconds: float, down: bool) -> None:
        """The sustain pedal was told to go down or up at a monotonic moment."""
        self._pedals.append((due_seconds, down))

    def drop(self, handles: Iterable[int]) -> None:
        """These notes were not played after all: the player left them out as late."""
        for handle in handles:
            self._notes.pop(handle, None)
            self._sounding.discard(handle)

    def silence(self, now_seconds: float) -> None:
        """All fell silent: what sounds ends now, and what waits is not played."""
        for handle in self._sounding:
            note = self._notes[handle]
            if note.due_seconds >= now_seconds:
                del self._notes[handle]
            elif note.off_seconds > now_seconds:
                self._notes[handle] = replace(note, off_seconds=now_seconds)
        self._sounding.clear()
        self._pedals = [pedal for pedal in self._pedals if pedal[0] < now_seconds]
        self._pedals.append((now_seconds, False))

    def recording(self) -> Recording:
        """What was played until now; it does not change any more."""
        if self._line is not None:
            self._keep_up(self._line)
        return Recording(tuple(self._takes), tuple(self._notes.values()), tuple(self._pedals))

    def _keep_up(self, line: SongLine) -> None:
        grid, take = line.grid(), self._takes[-1]
        if grid is take.grid and line.end_seconds == take.end_seconds:
            return
        lost = take.grid.beats < grid.beats[0]  # a stretch forgets beats long past
        self._takes[-1] = replace(
            take,
            start_seconds=line.start_seconds,
            grid=grid,
            past_beats=(*take.past_beats, *take.grid.beats[lost].tolist()),
            past_seconds=(*take.past_seconds, *take.grid.seconds[lost].tolist()),
            end_seconds=line.end_seconds,
            end_beats=line.end_beats,
        )

    def _finish(self) -> None:
        """End the present take; one in which nothing was played is forgotten."""
        if self._line is not None:
            self._keep_up(self._line)
            if self._latest_seconds < self._takes[-1].start_seconds:
                del self._takes[-1]
            self._line = None

    def _forget_before(self, seconds: float) -> None:
        while len(self._takes) > 1 and self._takes[1].start_seconds < seconds:
            del self._takes[0]
        del self._pedals[: bisect.bisect_left(self._pedals, (seconds, False))]
