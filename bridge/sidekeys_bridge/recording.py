"""What was played, laid out on the bars of the song: as a whole, or its last bars.

The takes of a session, one for each unbroken run of the song, come one after another on one time
line, each on its own bars: a loop that was played eight times is there eight times. Takes in which
nothing was played are left out, and so is the time between takes.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import (
    TICKS_PER_BEAT,
    MeterChange,
    Note,
    Pedal,
    Score,
    TempoChange,
)
from sidekeys_engine.timeline import timeline

STEADY_SECONDS = 0.005
"""A clock's beats shake by so much; a tempo map that says so would be of no use in a DAW."""

_SAME_BEATS = 1e-3
_SAME_TAKE_SECONDS = 0.25  # how far a strike may lie outside of the run that it belongs to
_SAME_END_SECONDS = 0.005
# A run that ends so little after a bar line, or begins so little before one, does so on it.
_LATE_STOP_BEATS = 0.25
_EARLY_START_BEATS = 0.05
_SAME_TEMPO = 2e-4
_SHORTEST_BEATS = 1 / TICKS_PER_BEAT


class SongLine(Protocol):
    """What a transport's stretch tells a recorder: one unbroken run of the song."""

    start_beats: float
    end_seconds: float | None
    end_beats: float | None

    @property
    def start_seconds(self) -> float:
        """When it began."""

    def grid(self) -> BeatGrid:
        """Song positions over monotonic seconds, and the bars."""


@dataclass(frozen=True, slots=True)
class PlayedNote:
    """A note as it was played.

    Attributes:
        onset_beats: song position of the strike, in quarter notes.
        end_beats: song position at which it was to end.
        pitch: 0-127.
        velocity: 1-127.
        due_seconds: monotonic moment of the strike.
        off_seconds: monotonic moment of its end; before that of ``end_beats`` if it was cut off.
    """

    onset_beats: float
    end_beats: float
    pitch: int
    velocity: int
    due_seconds: float
    off_seconds: float


@dataclass(frozen=True)
class Take:
    """One unbroken run of the song.

    Attributes:
        start_beats: song position at which it began, in quarter notes.
        start_seconds: monotonic moment at which it began.
        grid: beats over monotonic seconds, and the bars.
        past_beats: beats before those of ``grid``.
        past_seconds: when these were.
        end_seconds: monotonic moment at which it ended; None while it goes on.
        end_beats: song position at which it ended.
    """

    start_beats: float
    start_seconds: float
    grid: BeatGrid
    past_beats: tuple[float, ...] = ()
    past_seconds: tuple[float, ...] = ()
    end_seconds: float | None = None
    end_beats: float | None = None

    @cached_property
    def line(self) -> BeatGrid:
        """All beats that there were."""
        beats = np.concatenate([np.array(self.past_beats), self.grid.beats])
        seconds = np.concatenate([np.array(self.past_seconds), self.grid.seconds])
        return BeatGrid(beats, seconds, self.grid.meters)

    def late_seconds(self, note: PlayedNote) -> float:
        """How long after the song was at its position in this take a note was struck."""
        return note.due_seconds - self.line.seconds_at(note.onset_beats)

    @cached_property
    def steady_line(self) -> BeatGrid:
        """The line without the shaking of a clock; it differs by `STEADY_SECONDS` at most."""
        line = self.line
        kept = steady_corners(line.beats, line.seconds, STEADY_SECONDS)
        return BeatGrid(line.beats[kept], line.seconds[kept], line.meters)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A part of a take, from bar line to bar line, and where in the file it stands."""

    take: Take
    notes: Sequence[PlayedNote]
    first_beats: float
    end_beats: float
    at_beats: float

    @property
    def bars(self) -> int:
        line = self.take.line
        return line.bar_number(self.end_beats) - line.bar_number(self.first_beats)


@dataclass(frozen=True, slots=True)
class Recording:
    """Takes and what was played in them."""

    takes: tuple[Take, ...]
    notes: tuple[PlayedNote, ...]
    pedals: tuple[tuple[float, bool], ...] = ()  # monotonic seconds, down

    def session(self) -> Score:
        """All of it; beat 0 is the bar line at or before the first take's start.

        Raises:
            InputError: nothing was played.
        """
        return self._score(self._pieces())

    def last_bars(self, count: int, now_seconds: float) -> Score:
        """The last bars that were played: whole ones, until the bar line nearest to now.

        Where the song jumped within them, they are those before and after the jump. A note that
        sounds across the first bar line is left out, one across the last line ends there.

        Args:
            count: how many bars; fewer come if no more were played.
            now_seconds: monotonic; the present, if the song still runs.

        Raises:
            InputError: nothing was played, or no bars are asked for.
        """
        if count < 1:
            raise InputError(f"{count} bars are none to keep; give 1 or more.")
        pieces = self._pieces()
        last = pieces[-1]
        end_beats = self._nearest_line(last, now_seconds)
        pieces[-1] = replace(last, end_beats=end_beats)
        kept: list[_Piece] = []
        for piece in reversed(pieces):
            line, bars = piece.take.line, min(count, piece.bars)
            if bars > 0:
                first = line.bar_start(line.bar_number(piece.end_beats) - bars)
                kept.insert(0, replace(piece, first_beats=first))
                count -= bars
        if not kept:  # less than half a bar was played
            kept = [last]
        return self._score(list(_one_after_another(kept)))

    # ---------------------------------------------------------------------------- layout

    def _pieces(self) -> list[_Piece]:
        """Whole takes, one after another."""
        by_take = self._notes_by_take()
        pieces = []
        for index, take in enumerate(self.takes):
            notes = by_take.get(index)
            if notes:
                number = take.line.bar_number(take.start_beats + _EARLY_START_BEATS)
                first, end = take.line.bar_start(number), self._end_line(take, notes)
                pieces.append(_Piece(take, notes, first, end, 0.0))
        if not pieces:
            raise InputError("nothing has been played yet; let the piano play first.")
        return list(_one_after_another(pieces))

    def _notes_by_take(self) -> dict[int, list[PlayedNote]]:
        """Notes by the index of the take that they belong to."""
        found: dict[int, list[PlayedNote]] = {}
        starts = [take.start_seconds for take in self.takes]
        for note in self.notes:
            first = bisect.bisect_left(starts, note.due_seconds - _SAME_TAKE_SECONDS) - 1
            end = bisect.bisect_left(starts, note.due_seconds + _SAME_TAKE_SECONDS)
            near = range(max(first, 0), end)
            if len(near) > 1:
                # It was struck at a jump; only in one of them the song was there at that moment.
                late = [abs(self.takes[index].late_seconds(note)) for index in near]
                near = near[late.index(min(late)) :]
            if near:
                found.setdefault(near[0], []).append(note)
        return found

    @staticmethod
    def _end_line(take: Take, notes: Sequence[PlayedNote]) -> float:
        end = take.end_beats
        if end is None:
            end = max(note.end_beats for note in notes)
        end = max(end, max(note.onset_beats for note in notes) + _LATE_STOP_BEATS + _SAME_BEATS)
        return take.line.bar_start(take.line.bar_number(end - _LATE_STOP_BEATS - _SAME_BEATS) + 1)

    @staticmethod
    def _nearest_line(piece: _Piece, now_seconds: float) -> float:
        take = piece.take
        if take.end_seconds is not None:
            return piece.end_beats
        here = take.line.beats_at(now_seconds)
        number = take.line.bar_number(here)
        lines = take.line.bar_start(number), take.line.bar_start(number + 1)
        return max(piece.first_beats, min(lines, key=lambda line: abs(line - here)))

    # ----------------------------------------------------------------------------- score

    def _score(self, pieces: Sequence[_Piece]) -> Score:
        notes: list[Note] = []
        pedals: list[Pedal] = []
        tempos: list[TempoChange] = []
        meters: list[MeterChange] = []
        held = _held(self.pedals)
        for piece in pieces:
            notes += _notes(piece)
            pedals += _pedals(piece, held)
            piece_tempos, piece_meters = _tempos_and_meters(piece)
            for tempo in piece_tempos:
                if not tempos or abs(tempo.bpm / tempos[-1].bpm - 1) > _SAME_TEMPO:
                    tempos.append(tempo)
            for meter in piece_meters:
                if not meters or meter.meter != meters[-1].meter:
                    meters.append(meter)
        return Score(tuple(sorted(notes)), tuple(sorted(pedals)), tuple(tempos), tuple(meters))


def steady_corners(
    beats: NDArray[np.float64], seconds: NDArray[np.float64], tolerance_seconds: float
) -> NDArray[np.intp]:
    """Indices of the beats between which a steady tempo meets all others, but for the tolerance.

    A cone of slopes is narrowed beat by beat (Sklansky and Gonzalez 1980, "Fast polygonal
    approximation of digitized curves"); where it closes, the tempo changes.
    """
    kept, low, high = [0], 0.0, math.inf
    for index in range(1, len(beats)):
        start = kept[-1]
        span, rise = beats[index] - beats[start], seconds[index] - seconds[start]
        if index - 1 > start and not low <= rise / span <= high:
            kept.append(index - 1)
            low, high = 0.0, math.inf
            span, rise = beats[index] - beats[index - 1], seconds[index] - seconds[index - 1]
        low = max(low, float(rise - tolerance_seconds) / float(span))
        high = min(high, float(rise + tolerance_seconds) / float(span))
    return np.array([*kept, len(beats) - 1], dtype=np.intp)


def _one_after_another(pieces: Sequence[_Piece]) -> Iterator[_Piece]:
    at_beats = 0.0
    for piece in pieces:
        yield replace(piece, at_beats=at_beats)
        at_beats += piece.end_beats - piece.first_beats


def _notes(piece: _Piece) -> Iterator[Note]:
    line = piece.take.line
    for note in piece.notes:
        if piece.first_beats - _SAME_BEATS <= note.onset_beats < piece.end_beats - _SAME_BEATS:
            onset = max(note.onset_beats, piece.first_beats)
            end = note.end_beats
            if abs(line.seconds_at(end) - note.off_seconds) > _SAME_END_SECONDS:
                end = line.beats_at(note.off_seconds)
            length = max(min(end, piece.end_beats) - onset, _SHORTEST_BEATS)
            at = onset - piece.first_beats + piece.at_beats
            yield Note(at, note.pitch, length, note.velocity)


def _held(pedals: Sequence[tuple[float, bool]]) -> list[tuple[float, float]]:
    """From when till when the pedal was down, in monotonic seconds."""
    held: list[tuple[float, float]] = []
    since: float | None = None
    for seconds, down in [*sorted(pedals), (math.inf, False)]:
        if since is not None and not down:
            held.append((since, seconds))
            since = None
        elif since is None and down:
            since = seconds
    return held


def _pedals(piece: _Piece, held: Sequence[tuple[float, float]]) -> Iterator[Pedal]:
    take, line = piece.take, piece.take.line
    first, last = line.seconds_at(piece.first_beats), line.seconds_at(piece.end_beats)
    first = max(first, take.start_seconds)
    last = last if take.end_seconds is None else min(last, take.end_seconds)
    for down_seconds, up_seconds in held:
        begin, end = max(down_seconds, first), min(up_seconds, last)
        if begin < end:
            onset, off = line.beats_at(begin), line.beats_at(end)
            yield Pedal(onset - piece.first_beats + piece.at_beats, off - onset)


def _tempos_and_meters(piece: _Piece) -> tuple[list[TempoChange], list[MeterChange]]:
    """Those of a piece, at their places in the file."""
    line, first = piece.take.steady_line, piece.first_beats
    begin_seconds = line.seconds_at(first)
    moved = BeatGrid(
        line.beats - first,
        line.seconds - begin_seconds,
        tuple(MeterChange(meter.onset_beats - first, meter.meter) for meter in line.meters),
    )
    made = timeline(moved, max(line.seconds_at(piece.end_beats) - begin_seconds, 0.0))
    at = piece.at_beats
    return (
        [TempoChange(tempo.onset_beats + at, tempo.bpm) for tempo in made.tempos],
        [MeterChange(meter.onset_beats + at, meter.meter) for meter in made.meters],
    )
