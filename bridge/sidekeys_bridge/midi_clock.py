"""The MIDI clock as a source: ticks, start, stop, continue and song position to a playhead."""

from __future__ import annotations

import math
from collections import deque

from sidekeys_bridge.clock_filter import ClockFilter
from sidekeys_bridge.playhead import Playhead, Reading, tempo_problem
from sidekeys_bridge.settings import FASTEST_BPM, SLOWEST_BPM

TICKS_PER_BEAT = 24
LOST_SECONDS = 0.25  # no tick for so long, and for three periods: nobody sends any more

_TICKS_PER_SONG_POSITION = 6
_LOST_PERIODS = 3.0
_ALIVE_SECONDS = 2.0
_MOST_WAITING = 4096  # messages, ten seconds of the fastest clock; more is no clock
_MISCOUNTED_TICKS = 2  # a song position so near corrects our count, and is no locate
_SETTLING_SECONDS = 4.0  # over which the tempo that is judged is averaged
_BPM_SLACK = 1.002  # what that average may be off by
_FIRST_BPM_SLACK = 1.05  # what it may be off by in the first beat

_SONG_POSITION, _TICK, _START, _CONTINUE, _STOP, _RESET = 0xF2, 0xF8, 0xFA, 0xFB, 0xFC, 0xFF


class MidiClock:
    """MIDI clock, followed by a filter and never tick by tick.

    Messages may come from any thread; `poll` takes them in. The first tick after Start, Continue
    or a Song Position sounds at that position. Song Position while playing is a locate or the wrap
    of a loop, unless it says what was known.

    Attributes:
        grain_seconds: the steps in which the moments of messages are told; 0.0 if there are none.
    """

    name = "clock"
    waiting = (
        'No MIDI clock comes in on "Sidekeys Sync"; let the DAW send its clock (sync) to that port.'
    )

    def __init__(self) -> None:
        self._inbox: deque[tuple[bytes, float]] = deque(maxlen=_MOST_WAITING)
        self.grain_seconds = 0.0
        self._filter = ClockFilter()
        self._last_seconds = -math.inf  # of the latest message
        self._last_tick_seconds = -math.inf
        self._playing = False
        self._sounding = False  # a run is under way: its first tick came
        self._lost = False  # playing, as far as the sender said, but no ticks come
        self._armed = False  # the next tick begins a run at `_position`
        self._position = 0  # in ticks: where the next tick belongs while stopped or armed
        self._run = 0
        self._run_start = 0  # position of the run's first tick
        self._run_index = 0  # number of that tick in the filter
        self._stopped_seconds: float | None = None
        self._steady_bpm: float | None = None
        self._judged_ticks = 0

    def receive(self, message: bytes, seconds: float) -> None:
        """A message came at this monotonic moment; anything that is no clock is left out."""
        known = message[:1] and (message[0] >= _TICK or message[0] == _SONG_POSITION)
        if known and math.isfinite(seconds):
            self._inbox.append((message, seconds))

    def poll(self, now_seconds: float) -> Reading:
        """Take in what has come, and say where the song is."""
        self._filter.grain_seconds = self.grain_seconds
        while self._inbox:
            self._take(*self._inbox.popleft())
        if self._playing and not self._lost and self._overdue(now_seconds):
            self._lost, self._sounding = True, False
            self._stopped_seconds = self._last_tick_seconds
        return self._reading()

    def alive(self, now_seconds: float) -> bool:
        """Whether ticks come."""
        return now_seconds - self._last_tick_seconds < _ALIVE_SECONDS

    def _take(self, message: bytes, seconds: float) -> None:
        if seconds < self._last_seconds - LOST_SECONDS:  # a clock that was set back: begin anew
            self._arm(self._next_position())
            self._filter = ClockFilter(self.grain_seconds)
            self._last_tick_seconds = -math.inf
        else:
            seconds = max(seconds, self._last_seconds)
        self._last_seconds = seconds
        kind = message[0]
        if kind == _TICK:
            self._tick(seconds)
        elif kind == _START:
            self._arm(0)
            self._playing = True
        elif kind == _CONTINUE:
            if not self._playing:
                self._arm(self._position)
            self._playing = True
        elif kind in (_STOP, _RESET):
            self._stop(seconds)
        elif kind == _SONG_POSITION and len(message) >= 3:
            self._locate((message[1] + 128 * message[2]) * _TICKS_PER_SONG_POSITION)

    def _tick(self, seconds: float) -> None:
        if self._overdue(seconds):  # it was silent: ticks may come in a burst now
            self._filter.restart_phase(seconds)
            if self._playing and not self._armed:
                self._arm(self._next_position())
        self._last_tick_seconds, self._lost = seconds, False
        begins = self._armed and self._playing
        if begins and not self._filter.expects(seconds):
            self._filter.restart_phase(seconds)
        self._filter.tick(seconds)
        if begins:
            self._armed, self._sounding = False, True
            self._run += 1
            self._run_start, self._run_index = self._position, self._filter.index
        self._judge_tempo()

    def _arm(self, position: int) -> None:
        self._position, self._armed = position, True

    def _stop(self, seconds: float) -> None:
        if self._playing:
            self._position = self._next_position()
        if self._sounding:
            self._stopped_seconds = seconds
        self._playing = self._sounding = self._armed = self._lost = False

    def _locate(self, position: int) -> None:
        miscounted = position - self._next_position()
        if not self._playing:
            self._position = position
        elif self._sounding and not self._armed and abs(miscounted) <= _MISCOUNTED_TICKS:
            self._run_index -= miscounted
        elif miscounted:
            self._arm(position)

    def _next_position(self) -> int:
        """Where the next tick belongs, in ticks from the song's start."""
        if self._armed or not self._playing:
            return self._position
        return self._run_start + self._filter.index - self._run_index + 1

    def _overdue(self, seconds: float) -> bool:
        period = self._filter.period_seconds if self._filter.locked else 0.0
        silent = seconds - self._last_tick_seconds
        return math.isfinite(silent) and silent > max(LOST_SECONDS, _LOST_PERIODS * period)

    def _judge_tempo(self) -> None:
        """Average the tempo, so that jitter does not decide whether it is one to play at."""
        if not self._filter.locked:
            return
        bpm = self._bpm()
        if self._steady_bpm is None or not 0.9 < bpm / self._steady_bpm < 1.1:
            self._steady_bpm, self._judged_ticks = bpm, 0
        self._judged_ticks += 1
        gain = max(1 / self._judged_ticks, self._filter.period_seconds / _SETTLING_SECONDS)
        self._steady_bpm += (bpm - self._steady_bpm) * gain

    def _tempo_problem(self, steady_bpm: float) -> str | None:
        slack = _BPM_SLACK if self._judged_ticks > TICKS_PER_BEAT else _FIRST_BPM_SLACK
        if SLOWEST_BPM / slack <= steady_bpm <= FASTEST_BPM * slack:
            return None
        return tempo_problem(steady_bpm, "The MIDI clock")

    def _bpm(self) -> float:
        return 60 / (TICKS_PER_BEAT * self._filter.period_seconds)

    def _reading(self) -> Reading:
        position = max(self._next_position() - 1, 0) if self._playing else self._position
        position_beats = position / TICKS_PER_BEAT
        if self._lost:
            words = "The clock stopped in the middle of the song; start the DAW again."
            return self._stopped(position_beats, words)
        if not self._filter.locked or self._steady_bpm is None:
            return self._stopped(position_beats)
        problem = self._tempo_problem(self._steady_bpm)
        if problem or not self._sounding:
            return self._stopped(position_beats, problem)
        beats = self._run_start + self._filter.index - self._run_index
        bpm = min(max(self._bpm(), SLOWEST_BPM), FASTEST_BPM)
        return Reading(
            playhead=Playhead(self._filter.seconds, beats / TICKS_PER_BEAT, bpm),
            run=self._run,
            run_start_beats=self._run_start / TICKS_PER_BEAT,
            stopped_seconds=self._stopped_seconds,
            bpm=bpm,
        )

    def _stopped(self, position_beats: float, problem: str | None = None) -> Reading:
        return Reading(
            run=self._run,
            stopped_seconds=self._stopped_seconds,
            position_beats=position_beats,
            bpm=self._steady_bpm,
            problem=problem,
        )
