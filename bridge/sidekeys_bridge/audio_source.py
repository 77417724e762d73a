"""Beats tracked from the audio as a source: rough estimates that come late, followed smoothly."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence

from sidekeys_bridge.playhead import Playhead, Reading
from sidekeys_bridge.settings import FASTEST_BPM, SLOWEST_BPM
from sidekeys_engine.notes import Meter

HEARD_SECONDS = 20.0  # how much audio an estimate is made from
EVERY_SECONDS = 4.0
LOST_SECONDS = 15.0  # without an estimate for so long, nobody knows the beats any more

_LEAST_BEATS = 8
_RECENT_BEATS = 16
_SLEW_SECONDS = 0.06  # a phase nearer than this is met smoothly
_SLEW_PACE = 0.02  # by so much of the elapsed time
_OCTAVES = (0.5, 1.0, 2.0)
_SAME_DOWNBEAT = 2  # estimates in a row that must agree on another first beat of the bar


class AudioSource:
    """A playhead through beats that were tracked in the audio.

    Tempo and phase follow the estimates by small steps; only where they are far off, a new run
    begins. The song's start is unknown: position 0 is the bar line before the first estimate.
    """

    name = "audio"
    waiting = "Listening for the beats; play some music with a clear pulse."

    def __init__(self) -> None:
        self._playhead: Playhead | None = None
        self._target: Playhead | None = None
        self._polled_seconds: float | None = None
        self._asked_seconds = -math.inf
        self._estimated_seconds = -math.inf
        self._run = 0
        self._run_start_beats = 0.0
        self._stopped_seconds: float | None = None
        self._position_beats = 0.0
        self._meter: Meter | None = None
        self._other_downbeats = 0

    def wants_audio(self, now_seconds: float) -> float | None:
        """How many seconds of audio, up to now, the beats should be tracked in; None: not now.

        It asks again after a while, whether or not an answer came.
        """
        if 0 <= now_seconds - self._asked_seconds < EVERY_SECONDS:
            return None
        self._asked_seconds = now_seconds
        return HEARD_SECONDS

    def estimate(
        self,
        beat_seconds: Sequence[float],
        downbeats: Sequence[int],
        meter: Meter | None,
        now_seconds: float,
    ) -> None:
        """What was tracked.

        Args:
            beat_seconds: monotonic moments of the beats, quarter notes, increasing.
            downbeats: which of them begin a bar, by index.
            meter: the meter, if that is known.
            now_seconds: the monotonic moment.
        """
        recent = [float(seconds) for seconds in beat_seconds if math.isfinite(seconds)]
        ordered = all(a < b for a, b in itertools.pairwise(recent))
        if len(recent) < _LEAST_BEATS or not ordered:
            return
        found = _line_through(recent[-_RECENT_BEATS:], self._target)
        if not SLOWEST_BPM <= found.bpm <= FASTEST_BPM:
            return
        self._estimated_seconds = now_seconds
        self._meter = meter
        bar = (meter or Meter()).beats_per_bar
        marked = [recent[index] for index in downbeats if 0 <= index < len(recent)]
        if self._playhead is None:
            self._begin(_numbered_by_bars(found, marked, bar, now_seconds), now_seconds)
            return
        target = _nearest_number(found, self._playhead, now_seconds)
        off_seconds = target.seconds_at(self._playhead.beats_at(now_seconds)) - now_seconds
        if self._downbeat_moved(target, marked, bar):
            self._begin(_numbered_by_bars(target, marked, bar, now_seconds), now_seconds)
        elif abs(off_seconds) >= _SLEW_SECONDS:
            self._begin(target, now_seconds)
        else:
            self._target = target

    def poll(self, now_seconds: float) -> Reading:
        """Say where the song is, and move a little towards the latest estimate."""
        if self._playhead is not None and now_seconds - self._estimated_seconds > LOST_SECONDS:
            self._stopped_seconds = now_seconds
            self._position_beats = self._playhead.beats_at(now_seconds)
            self._playhead = self._target = None
        elapsed = max(now_seconds - (self._polled_seconds or now_seconds), 0.0)
        self._polled_seconds = now_seconds
        if self._playhead is not None and self._target is not None:
            self._playhead = _slewed(self._playhead, self._target, now_seconds, elapsed)
        return Reading(
            playhead=self._playhead,
            run=self._run,
            run_start_beats=self._run_start_beats,
            stopped_seconds=self._stopped_seconds,
            position_beats=self._position_beats,
            bpm=self._playhead.bpm if self._playhead else None,
            meter=self._meter,
        )

    def alive(self, now_seconds: float) -> bool:
        """Whether the beats are known."""
        return now_seconds - self._estimated_seconds <= LOST_SECONDS

    def _begin(self, playhead: Playhead, now_seconds: float) -> None:
        self._target = self._playhead = playhead.at(now_seconds)
        self._run_start_beats = self._playhead.beats
        self._run += 1
        self._other_downbeats = 0

    def _downbeat_moved(self, target: Playhead, marked: Sequence[float], bar: float) -> bool:
        """Whether estimates agree, again and again, on another first beat of the bar."""
        phases = [round(target.beats_at(seconds)) % bar for seconds in marked]
        if not phases or statistics.mode(phases) == 0:
            self._other_downbeats = 0
        else:
            self._other_downbeats += 1
        return self._other_downbeats >= _SAME_DOWNBEAT


def _line_through(beat_seconds: Sequence[float], before: Playhead | None) -> Playhead:
    """A line that most of the beats lie near; the octave of its tempo is the one nearest before."""
    spans = [b - a for a, b in itertools.pairwise(beat_seconds)]
    rough = statistics.median(spans)
    # Number the beats by the median span, so that a missed one does not shift those after it.
    numbers = [0]
    for span in spans:
        numbers.append(numbers[-1] + max(1, round(span / rough)))
    count = len(numbers)
    slopes = [
        (beat_seconds[j] - beat_seconds[i]) / (numbers[j] - numbers[i])
        for i in range(count)
        for j in range(i + 1, count)
    ]
    period = statistics.median(slopes)
    start = statistics.median(
        seconds - number * period for number, seconds in zip(numbers, beat_seconds, strict=True)
    )
    found = Playhead(start, 0.0, 60 / period)
    if before is None:
        return found
    factor = min(_OCTAVES, key=lambda octave: abs(math.log(found.bpm * octave / before.bpm)))
    if factor < 1:  # every other pulse is a beat: the one nearer to a beat so far
        beats = before.beats_at(found.seconds)
        if abs(beats - round(beats)) > 0.25:
            found = found.moved(seconds=period)
    return Playhead(found.seconds, 0.0, found.bpm * factor)


def _numbered_by_bars(
    line: Playhead, marked: Sequence[float], bar: float, now_seconds: float
) -> Playhead:
    """Number the beats so that most downbeats begin bars, and the present bar is the first one."""
    phases = [round(line.beats_at(seconds)) % bar for seconds in marked]
    first = statistics.mode(phases) if phases else 0.0
    bars_gone = math.floor((line.beats_at(now_seconds) - first) / bar)
    return line.moved(beats=-first - bars_gone * bar)


def _nearest_number(line: Playhead, before: Playhead, now_seconds: float) -> Playhead:
    """Number the beats as they were numbered before."""
    return line.moved(beats=round(before.beats_at(now_seconds) - line.beats_at(now_seconds)))


def _slewed(playhead: Playhead, target: Playhead, now_seconds: float, elapsed: float) -> Playhead:
    """The line at the target's tempo, moved towards it as far as one does not hear."""
    here = playhead.at(now_seconds, bpm=target.bpm)
    off = target.seconds_at(here.beats) - now_seconds
    most = _SLEW_PACE * elapsed
    return here.moved(seconds=min(max(off, -most), most))
