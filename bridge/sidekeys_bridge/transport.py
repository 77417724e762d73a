"""Transport: playing, tempo, meter and song position, from the best source of beats there is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sidekeys_bridge.audio_source import AudioSource
from sidekeys_bridge.learned_loop import LearnedLoop
from sidekeys_bridge.link import LinkSource
from sidekeys_bridge.manual_source import ManualSource
from sidekeys_bridge.midi_clock import MidiClock
from sidekeys_bridge.playhead import Loop, Playhead, Reading, Source
from sidekeys_bridge.script_source import ScriptSource
from sidekeys_bridge.settings import TRANSPORTS
from sidekeys_bridge.song_meters import (
    bar_at,
    with_bar_line,
    with_meter_from_next_bar,
    with_told_bar,
    with_told_meter,
)
from sidekeys_bridge.stretch import Stretch
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter, MeterChange

ASLEEP_SECONDS = 5.0  # not polled for so long: the machine slept

_SET_BACK_SECONDS = 0.5
_GRACE_SECONDS = 0.5  # a better source that stands is given so long to start, too
_FRESH_SECONDS = 1.0  # a run that began so lately is taken from its start
_SAME_SECONDS = 1e-6


@dataclass(frozen=True, slots=True)
class TransportState:
    """What the musician sees.

    Attributes:
        choice: what was chosen: a source, or auto.
        source: who tells the beats now.
        playing: whether the song runs.
        bpm: quarter notes a minute; 0.0 while nobody knows.
        meter: such as "4/4".
        beat: the song position in quarter notes.
        bar: the bar it lies in, from 1.
        bar_start: where that begins, in quarter notes.
        loop: what repeats, in quarter notes; None where it is not known.
        stretch: the number of the present stretch; 0 while stopped.
        problem: what hinders it and what to do, or None. That auto finds nobody is none.
    """

    choice: str
    source: str
    playing: bool
    bpm: float
    meter: str
    beat: float
    bar: int
    bar_start: float
    loop: Loop | None
    stretch: int
    problem: str | None


class Transport:
    """Where the song is; polled, and asked, by one thread. MIDI may come in from any thread.

    Args:
        choice: one of `TRANSPORTS`.
        bpm: a tempo to play at where nobody tells another one.
        meter: where nobody tells another one.
        link: an open Link session; without, one is opened when Link is chosen by name.

    Attributes:
        stretch: the present stretch; None while the song stands.
        finished: the stretch before, with its end; None before the first one ended.

    Raises:
        InputError: for an unknown choice, a tempo that nobody can play to, or Link that is missing.
    """

    def __init__(
        self,
        choice: str = "auto",
        *,
        bpm: float | None = None,
        meter: Meter | None = None,
        link: LinkSource | None = None,
    ) -> None:
        self.stretch: Stretch | None = None
        self.finished: Stretch | None = None
        self._meter = meter or Meter()
        self._script, self._clock, self._audio = ScriptSource(), MidiClock(), AudioSource()
        self._manual = ManualSource(bpm)
        self._link = link
        self._choice = "auto"
        self._source: Source = self._audio
        self._readings: dict[str, Reading] = {}
        self._playing_since: dict[str, float] = {}
        self._nudged_seconds: dict[str, float] = {}
        self._meters: tuple[MeterChange, ...] = (MeterChange(0.0, self._meter),)
        self._stretches = 0
        self._run: int | None = None  # of the source, that the stretch belongs to
        self._polled_seconds: float | None = None
        self._learned = LearnedLoop()
        self.choose(choice)

    # --------------------------------------------------------------------------- what it says

    def poll(self, now_seconds: float) -> None:
        """Take in what sources have told, and follow the best one; about 50 times a second."""
        if not math.isfinite(now_seconds):
            return
        now_seconds = self._waking(now_seconds)
        for source in self._sources():
            reading = source.poll(now_seconds)
            self._readings[source.name] = reading
            if reading.playhead is None:
                self._playing_since.pop(source.name, None)
            else:
                self._playing_since.setdefault(source.name, now_seconds)
        source = self._chosen(now_seconds)
        if source is not self._source:
            self._end(now_seconds)
            self._source, self._run = source, None
            self._learned = LearnedLoop()
            self._meters = (MeterChange(0.0, self._meter),)
        self._follow(self._readings[source.name], now_seconds)

    def state(self, now_seconds: float) -> TransportState:
        """What to show."""
        reading = self._readings.get(self._source.name, Reading())
        stretch = self.stretch
        beat = stretch.beats_at(now_seconds) if stretch else reading.position_beats
        bar = bar_at(self._meters, beat)
        problem = reading.problem
        waits = self._choice != "auto" and not self._source.alive(now_seconds)
        if problem is None and waits:
            problem = self._source.waiting
        return TransportState(
            choice=self._choice,
            source=self._source.name,
            playing=stretch is not None,
            bpm=stretch.bpm if stretch else reading.bpm or 0.0,
            meter=str(bar.meter),
            beat=beat,
            bar=bar.number,
            bar_start=bar.start_beats,
            loop=self._loop(),
            stretch=stretch.number if stretch else 0,
            problem=problem,
        )

    # ---------------------------------------------------------------------- what it is told

    def choose(self, choice: str) -> None:
        """Follow one source, or the best one that is alive (auto).

        Raises:
            InputError: for an unknown one, or Link where it is not installed.
        """
        if choice not in TRANSPORTS:
            raise InputError(f"there is no transport {choice!r}; choose {', '.join(TRANSPORTS)}.")
        if choice == "link" and self._link is None:
            self._link = LinkSource(self._meter)
        self._choice = choice

    def set_bpm(self, bpm: float, now_seconds: float) -> None:
        """The tempo of the manual source.

        Raises:
            InputError: for a tempo that nobody can play to; the old one stays.
        """
        self._manual.set_bpm(bpm, now_seconds)

    def set_meter(self, meter: Meter, now_seconds: float) -> None:
        """The meter where the source knows none; while playing, from the next bar line on."""
        self._meter = meter
        if self._link is not None:
            self._link.set_meter(meter)
        if self._readings.get(self._source.name, Reading()).meter is not None:
            return
        if self.stretch is None or self._source is self._link:  # Link numbers beats by its bars
            self._meters = (MeterChange(0.0, meter),)
            return
        beats = self.stretch.beats_at(now_seconds)
        self._meters = with_meter_from_next_bar(self._meters, beats, meter)
        self.stretch.set_meters(self._meters)

    def tap(self, now_seconds: float) -> float | None:
        """Tap a beat of the manual source; from the fourth on, the tempo in quarter notes."""
        return self._manual.tap(now_seconds)

    def nudge(self, *, beats: float = 0.0, seconds: float = 0.0) -> None:
        """Move the present source's beats against the sound.

        Args:
            beats: how much further on the song shall be, in quarter notes.
            seconds: how much later each beat shall come.

        Raises:
            InputError: if the tempo is not known, so that beats have no length.
        """
        name = self._source.name
        bpm = self.stretch.bpm if self.stretch else self._readings.get(name, Reading()).bpm
        if beats and not bpm:
            raise InputError("there is no tempo yet to nudge beats at; nudge by seconds instead.")
        moved = seconds - (beats * 60 / bpm if bpm else 0.0)
        if not math.isfinite(moved):
            raise InputError("that is no number to nudge by.")
        self._nudged_seconds[name] = self._nudged_seconds.get(name, 0.0) + moved

    def downbeat(self, now_seconds: float) -> None:
        """Here is 1: the beat nearest to this moment begins a bar.

        Raises:
            InputError: while the song stands.
        """
        if self.stretch is None:
            raise InputError("the song stands, so that there is no beat to call 1; start it first.")
        if self._source is self._manual:
            self._manual.meet_beat(now_seconds - self._nudged_seconds.get("manual", 0.0))
            self.poll(now_seconds)
        meter = bar_at(self._meters, self.stretch.beats_at(now_seconds)).meter
        unit = min(1.0, 4 / meter.denominator)
        beat = round(self.stretch.beats_at(now_seconds) / unit) * unit
        self._meters = with_bar_line(self._meters, beat, meter)
        self.stretch.set_meters(self._meters)

    def play(self, now_seconds: float, from_beats: float | None = None) -> None:
        """Start the manual source; with Link, follow it though it shares no start.

        Args:
            now_seconds: the monotonic moment of position `from_beats`.
            from_beats: in quarter notes; by default the start of the bar where it stopped.

        Raises:
            InputError: if the DAW alone can start its source, or there is no tempo yet.
        """
        if self._startable() is self._manual:
            if from_beats is None and self._source is self._manual:
                stood = self._readings.get("manual", Reading()).position_beats
                from_beats = None if self.stretch else bar_at(self._meters, stood).start_beats
            self._manual.play(now_seconds, from_beats)
        elif self._link is not None:
            self._link.play()

    def stop(self, now_seconds: float) -> None:
        """Stop what `play` started.

        Raises:
            InputError: if the DAW alone can stop its source.
        """
        if self._startable() is self._manual:
            self._manual.stop(now_seconds)
        elif self._link is not None:
            self._link.stop()

    def push(self, content: Mapping[str, Any], now_seconds: float) -> None:
        """A DAW script tells where the song is; see `ScriptSource.push`."""
        self._script.push(content, now_seconds)

    def receive_midi(self, message: bytes, seconds: float) -> None:
        """A message on "Sidekeys Sync" came at this monotonic moment; from any thread."""
        self._clock.receive(message, seconds)

    def grain_midi(self, grain_seconds: float) -> None:
        """In what steps the moments of those messages are told, as JACK's periods are."""
        self._clock.grain_seconds = grain_seconds

    def wants_audio(self, now_seconds: float) -> float | None:
        """How many seconds of audio to track beats in now; None if nobody needs that."""
        return self._audio.wants_audio(now_seconds) if self._source is self._audio else None

    def estimate(
        self,
        beat_seconds: Sequence[float],
        downbeats: Sequence[int],
        meter: Meter | None,
        now_seconds: float,
    ) -> None:
        """Beats were tracked in the audio; see `AudioSource.estimate`."""
        self._audio.estimate(beat_seconds, downbeats, meter, now_seconds)

    def close(self) -> None:
        """Leave the Link session; safe to call twice."""
        if self._link is not None:
            self._link.close()

    # ------------------------------------------------------------------------- choosing

    def _sources(self) -> list[Source]:
        link = [self._link] if self._link is not None else []
        return [self._script, *link, self._clock, self._manual, self._audio]

    def _chosen(self, now_seconds: float) -> Source:
        if self._choice != "auto":
            return next(source for source in self._sources() if source.name == self._choice)
        alive = [source for source in self._sources()[:-1] if source.alive(now_seconds)]
        for rank, source in enumerate(alive):
            since = self._playing_since.get(source.name)
            if since is None:
                continue
            # A DAW starts its script and its clock at one moment: wait for the better one.
            patient = rank > 0 and source is not self._manual and source is not self._source
            if not patient or now_seconds - since >= _GRACE_SECONDS:
                return source
        return alive[0] if alive else self._audio

    def _startable(self) -> Source:
        """The source that starts and stops by our own buttons."""
        link_chosen = self._choice == "link" or (
            self._choice == "auto" and self._source is self._link
        )
        if self._link is not None and link_chosen:
            return self._link
        if self._choice in ("auto", "manual"):
            return self._manual
        raise InputError(
            f"the transport follows {self._choice}; start and stop there, or choose "
            "the transport manual."
        )

    # ------------------------------------------------------------------------- following

    def _waking(self, now_seconds: float) -> float:
        """Begin anew after sleep or a clock that was set back; never go back a little."""
        before, self._polled_seconds = self._polled_seconds, now_seconds
        if before is None:
            return now_seconds
        if not -_SET_BACK_SECONDS < now_seconds - before < ASLEEP_SECONDS:
            self._end(before)
            self._run = None
            return now_seconds
        self._polled_seconds = max(now_seconds, before)
        return self._polled_seconds

    def _follow(self, reading: Reading, now_seconds: float) -> None:
        nudged = self._nudged_seconds.get(self._source.name, 0.0)
        if reading.playhead is None:
            stopped = reading.stopped_seconds
            self._end(now_seconds if stopped is None else min(stopped + nudged, now_seconds))
            self._learn_meter(reading, reading.position_beats, begun=True)
            return
        playhead = reading.playhead.moved(seconds=nudged)
        stretch = self.stretch
        begun = stretch is None or reading.run != self._run
        if stretch is None or begun or not stretch.follow(playhead, now_seconds):
            stretch = self._begin(reading, playhead, now_seconds)
        beats = playhead.beats_at(now_seconds)
        self._learn_meter(reading, beats, begun=begun)
        self._learned.passed(beats)
        stretch.loop = self._loop()

    def _begin(self, reading: Reading, playhead: Playhead, now_seconds: float) -> Stretch:
        """A new stretch; from the start of the source's run, if that was just now."""
        start_beats = reading.run_start_beats
        start_seconds = playhead.seconds_at(start_beats)
        if reading.run == self._run or not 0 <= now_seconds - start_seconds < _FRESH_SECONDS:
            start_beats, start_seconds = playhead.beats_at(now_seconds), now_seconds
        self._run = reading.run
        if self.stretch is not None:
            self._end_before(reading.stopped_seconds, start_seconds, start_beats)
        if self.finished is not None and self.finished.end_seconds is not None:
            earliest = self.finished.end_seconds
            if start_seconds < earliest - _SAME_SECONDS and earliest <= now_seconds:
                start_beats = playhead.beats_at(earliest)
        self._stretches += 1
        self.stretch = Stretch(self._stretches, start_beats, playhead, self._meters, self._loop())
        self.stretch.follow(playhead, now_seconds)
        return self.stretch

    def _end_before(
        self, stopped_seconds: float | None, start_seconds: float, start_beats: float
    ) -> None:
        """End the present stretch where the next one begins, or where the song stopped before."""
        stretch = self.stretch
        if stretch is None:
            return
        if stopped_seconds is not None and stretch.start_seconds < stopped_seconds < start_seconds:
            self._end(stopped_seconds)
            return
        self._end(start_seconds)
        if stretch.end_beats is not None:
            self._learned.jumped(stretch.end_beats, start_beats)

    def _end(self, seconds: float) -> None:
        if self.stretch is not None:
            self.stretch.end(seconds)
            self.finished, self.stretch = self.stretch, None

    def _learn_meter(self, reading: Reading, beats: float, *, begun: bool) -> None:
        """Take over the meter that a source tells, from the bar line where it holds."""
        if reading.meter is None:
            return
        if reading.bar_start_beats is not None:
            bar_line = reading.bar_start_beats
            self._meters = with_told_bar(self._meters, beats, bar_line, reading.meter)
        else:
            self._meters = with_told_meter(self._meters, beats, reading.meter, begun=begun)
        if self.stretch is not None:
            self.stretch.set_meters(self._meters)

    def _loop(self) -> Loop | None:
        told = self._readings.get(self._source.name, Reading()).loop
        return told or self._learned.loop
