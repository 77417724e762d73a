"""A DAW script's pushes as a source: tempo, meter, position, playing, loop, and how old that is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sidekeys_bridge.playhead import Loop, Playhead, Reading, tempo_problem, usable_loop
from sidekeys_bridge.settings import meter_of
from sidekeys_bridge.song_meters import is_position
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter

STALE_SECONDS = 2.0  # a script that plays and says nothing for so long is gone

_STALE_STOPPED_SECONDS = 10.0
_JUMP_BEATS = 0.1  # farther from where it was expected, the position jumped
_SETTLED_PUSHES = 20  # how many pushes the position is averaged over
_OLDEST_SECONDS = 5.0


class ScriptSource:
    """What a DAW script tells at irregular moments, made one steady line.

    A position near the expected one pulls the line gently, one farther away is a locate. A loop
    that the script tells of is wrapped at its very end, before the script says so.
    """

    name = "script"
    waiting = "No DAW script has told anything yet; start the Sidekeys script in the DAW."

    def __init__(self) -> None:
        self._pushed_seconds = -math.inf  # when the last push came
        self._told_seconds = -math.inf  # the moment that it tells of
        self._playhead: Playhead | None = None
        self._pushes = 0  # in this run
        self._run = 0
        self._run_start_beats = 0.0
        self._position_beats = 0.0
        self._stopped_seconds: float | None = None
        self._bpm: float | None = None
        self._meter: Meter | None = None
        self._bar_start_beats: float | None = None
        self._loop: Loop | None = None
        self._gone = False

    def push(self, content: Mapping[str, Any], now_seconds: float) -> None:
        """The script tells where the song is.

        Args:
            content: `bpm`, `beat` (quarter notes from the song's start) and `playing`; perhaps
                `meter` ("4/4"), `loop` ([start, end] in quarter notes, or None), `bar_start` (where
                the bar at `beat` begins) and `age_seconds` (how long ago that was true).
            now_seconds: when it came, monotonic.

        Raises:
            InputError: for anything that is missing or of another kind; the push counts for
                nothing then.
        """
        bpm, beat = _number(content, "bpm"), _number(content, "beat")
        age = _number(content, "age_seconds", 0.0)
        bar_start = content.get("bar_start")
        bar_start = None if bar_start is None else _number(content, "bar_start")
        meter = None if content.get("meter") is None else meter_of(str(content["meter"]))
        loop = _loop(content)
        if not is_position(beat) or not (bar_start is None or is_position(bar_start)):
            raise InputError(
                f"beat {beat:g} is no song position; give quarter notes from its start."
            )
        told_seconds = now_seconds - min(max(age, 0.0), _OLDEST_SECONDS)
        playing = bool(content.get("playing")) and tempo_problem(bpm, "") is None
        set_back = now_seconds < self._pushed_seconds
        self._pushed_seconds = now_seconds
        self._gone = False
        if told_seconds < self._told_seconds and not set_back:
            if playing == (self._playhead is not None):
                return  # overtaken by a newer one on the way
            told_seconds = min(self._told_seconds, now_seconds)
        self._told_seconds = told_seconds
        self._bpm, self._meter, self._loop = bpm, meter, loop
        self._bar_start_beats = bar_start
        if not playing:
            self._stop(told_seconds, beat)
        elif self._playhead is None or set_back:
            self._begin(Playhead(told_seconds, beat, bpm), beat)
        else:
            self._follow(self._playhead, told_seconds, beat, bpm)

    def poll(self, now_seconds: float) -> Reading:
        """Say where the song is; wrap it at the end of its loop."""
        silent = now_seconds - self._pushed_seconds
        if self._playhead is not None and silent > STALE_SECONDS:
            self._stop(self._pushed_seconds, self._playhead.beats_at(self._pushed_seconds))
            self._gone = True
        if self._playhead is not None:
            self._wrap(self._playhead, now_seconds)
        problem = None
        if self._gone:
            problem = "The DAW script fell silent while playing; start it again in the DAW."
        elif self._bpm is not None:
            problem = tempo_problem(self._bpm, "The DAW")
        return Reading(
            playhead=self._playhead,
            run=self._run,
            run_start_beats=self._run_start_beats,
            stopped_seconds=self._stopped_seconds,
            position_beats=self._position_beats,
            bpm=self._bpm,
            meter=self._meter,
            bar_start_beats=self._bar_start_beats,
            loop=self._loop,
            problem=problem,
        )

    def alive(self, now_seconds: float) -> bool:
        """Whether the script has told something lately."""
        patience = STALE_SECONDS if self._playhead is not None else _STALE_STOPPED_SECONDS
        return not self._gone and now_seconds - self._pushed_seconds <= patience

    def _begin(self, playhead: Playhead, start_beats: float) -> None:
        self._playhead, self._run_start_beats = playhead, start_beats
        self._run += 1
        self._pushes = 1

    def _stop(self, seconds: float, beats: float) -> None:
        if self._playhead is not None:
            self._stopped_seconds = seconds
        self._playhead, self._position_beats = None, beats

    def _follow(self, playhead: Playhead, seconds: float, beat: float, bpm: float) -> None:
        """Pull the line towards what was told, or begin another one where the song jumped."""
        self._wrap(playhead, seconds)
        playhead = self._playhead or playhead
        off = beat - playhead.beats_at(seconds)
        loop = self._wrapping(playhead)
        if (
            loop is not None and abs(off + loop[1] - loop[0]) < _JUMP_BEATS
        ):  # it wrapped before we did
            length = loop[1] - loop[0]
            playhead = playhead.moved(beats=-length)
            self._begin(playhead, loop[0])
            off += length
        elif self._loop is not None and self._run_start_beats == self._loop[0]:
            length = self._loop[1] - self._loop[0]
            if abs(off - length) < _JUMP_BEATS:  # we wrapped before it did
                off -= length
        if abs(off) > _JUMP_BEATS:
            self._begin(Playhead(seconds, beat, bpm), beat)
            return
        self._pushes += 1
        gain = 1 / min(self._pushes, _SETTLED_PUSHES)
        self._playhead = playhead.at(seconds, bpm=bpm).moved(beats=off * gain)

    def _wrapping(self, playhead: Playhead) -> Loop | None:
        """The loop, if the song runs inside it."""
        inside = self._loop is not None and playhead.beats < self._loop[1] - 1e-9
        return self._loop if inside else None

    def _wrap(self, playhead: Playhead, now_seconds: float) -> None:
        loop = self._wrapping(playhead)
        while loop is not None and playhead.beats_at(now_seconds) >= loop[1]:
            end_seconds = playhead.seconds_at(loop[1])
            playhead = Playhead(end_seconds, loop[0], playhead.bpm)
            pushes = self._pushes
            self._begin(playhead, loop[0])
            self._pushes = pushes


def _number(content: Mapping[str, Any], name: str, default: float | None = None) -> float:
    value = content.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"a DAW script's {name} must be a number, not {value!r}.")
    return float(value)


def _loop(content: Mapping[str, Any]) -> Loop | None:
    value = content.get("loop")
    if value is None:
        return None
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InputError(f"a DAW script's loop must be [start, end] in beats, not {value!r}.")
    ends = {"start": value[0], "end": value[1]}
    return usable_loop((_number(ends, "start"), _number(ends, "end")))
