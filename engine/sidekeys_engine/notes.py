"""What is played: notes, pedal, tempo and meter, in beats; to and from MIDI files.

A beat is a quarter note, as in MIDI files and DAWs. Nothing here needs torch.
"""

from __future__ import annotations

import io
import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sidekeys_engine.atomic_file import atomic_output, check_readable, shown_path
from sidekeys_engine.errors import InputError

if TYPE_CHECKING:
    import mido

TICKS_PER_BEAT = 960
"""Resolution of the MIDI files we write: half a tick is 0.26 ms at 120 BPM."""

_MICROSECONDS_PER_MINUTE = 60_000_000
_LONGEST_TEMPO = 0xFFFFFF  # microseconds per quarter note; three bytes in a MIDI file
_LAST_TICK = 0x0FFFFFFF  # four seven-bit bytes: the longest pause a MIDI file can hold
_LAST_BEAT_READ = 100_000  # 14 hours at 120 BPM; a later moment is a broken file
_SUSTAIN = 64
_DRUM_CHANNEL = 9
_DEFAULT_BPM = 120.0  # of a MIDI file that names none, as its meter is 4/4

_Value = TypeVar("_Value")
_Change = TypeVar("_Change", "TempoChange", "MeterChange")


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """One piano note.

    Attributes:
        onset_beats: where it starts, in quarter notes.
        pitch: MIDI note number, 0-127.
        duration_beats: how long it sounds, in quarter notes, above zero.
        velocity: MIDI velocity, 1-127.

    Raises:
        ValueError: for anything that could not be played.
    """

    onset_beats: float
    pitch: int
    duration_beats: float
    velocity: int = 77

    def __post_init__(self) -> None:
        if not math.isfinite(self.onset_beats):
            raise ValueError(f"a note's onset must be finite, not {self.onset_beats}")
        if not (math.isfinite(self.duration_beats) and self.duration_beats > 0):
            raise ValueError(f"a note's duration must be above zero, not {self.duration_beats}")
        if not 0 <= self.pitch <= 127:
            raise ValueError(f"a pitch lies between 0 and 127, not at {self.pitch}")
        if not 1 <= self.velocity <= 127:
            raise ValueError(f"a velocity lies between 1 and 127, not at {self.velocity}")

    @property
    def end_beats(self) -> float:
        """Where the note ends, in quarter notes."""
        return self.onset_beats + self.duration_beats


@dataclass(frozen=True, slots=True, order=True)
class Pedal:
    """The sustain pedal held from ``onset_beats`` for ``duration_beats`` (quarter notes)."""

    onset_beats: float
    duration_beats: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.onset_beats) and math.isfinite(self.duration_beats)):
            raise ValueError("a pedal's onset and duration must be finite")
        if self.duration_beats <= 0:
            raise ValueError(f"a pedal's duration must be above zero, not {self.duration_beats}")


@dataclass(frozen=True, slots=True)
class Meter:
    """A time signature, such as 4/4 or 6/8."""

    numerator: int = 4
    denominator: int = 4

    def __post_init__(self) -> None:
        if not 1 <= self.numerator <= 64 or self.denominator not in (1, 2, 4, 8, 16, 32):
            raise ValueError(f"{self.numerator}/{self.denominator} is no meter")

    @property
    def beats_per_bar(self) -> float:
        """Length of a bar in quarter notes: 4.0 for 4/4, 3.0 for 3/4 and for 6/8."""
        return self.numerator * 4 / self.denominator

    def __str__(self) -> str:
        return f"{self.numerator}/{self.denominator}"


@dataclass(frozen=True, slots=True)
class MeterChange:
    """A meter that holds from the bar line at ``onset_beats``."""

    onset_beats: float
    meter: Meter

    def __post_init__(self) -> None:
        if not math.isfinite(self.onset_beats):
            raise ValueError(f"a meter's onset must be finite, not {self.onset_beats}")


@dataclass(frozen=True, slots=True)
class TempoChange:
    """A tempo, in quarter notes a minute, that holds from ``onset_beats``."""

    onset_beats: float
    bpm: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.onset_beats):
            raise ValueError(f"a tempo's onset must be finite, not {self.onset_beats}")
        if not (math.isfinite(self.bpm) and self.bpm > 0):
            raise ValueError(f"a tempo must be above zero, not {self.bpm}")


@dataclass(frozen=True, slots=True)
class Score:
    """Notes and pedal on a timeline of tempos and meters; beat 0 is the start of the file.

    The first tempo and the first meter belong at beat 0. Where a later one is the first, a MIDI
    file runs at 120 quarter notes a minute, in 4/4, until it comes.
    """

    notes: tuple[Note, ...] = ()
    pedals: tuple[Pedal, ...] = ()
    tempos: tuple[TempoChange, ...] = (TempoChange(0.0, _DEFAULT_BPM),)
    meters: tuple[MeterChange, ...] = (MeterChange(0.0, Meter()),)

    @property
    def end_beats(self) -> float:
        """Where the last note or pedal ends, in quarter notes; 0.0 for an empty score."""
        ends = [note.end_beats for note in self.notes]
        ends += [pedal.onset_beats + pedal.duration_beats for pedal in self.pedals]
        return max(ends, default=0.0)


# --- to a MIDI file ---


def write_midi(
    score: Score, path: str | os.PathLike[str], *, track_name: str = "Sidekeys", program: int = 0
) -> None:
    """Write ``score`` as a MIDI file, whole or not at all.

    Args:
        score: what to write; see :func:`midi_bytes` for how it fits into MIDI.
        path: the file to write; an existing one is replaced.
        track_name: what a DAW shows on the track.
        program: General MIDI program, 0-127; 0 is the grand piano.

    Raises:
        InputError: the file cannot be written.
        ValueError: the program, or a moment too late for a MIDI file.
    """
    data = midi_bytes(score, track_name=track_name, program=program)
    with atomic_output(path) as temporary:
        temporary.write_bytes(data)


def midi_bytes(score: Score, *, track_name: str = "Sidekeys", program: int = 0) -> bytes:
    """Return ``score`` as the bytes of a MIDI file of type 1, 960 ticks a quarter note.

    Track 0 holds tempos and meters, track 1 notes and sustain pedal on channel 1. One key is one
    string: a note that still sounds when its pitch is struck again is cut there, and of two that
    start on one tick the longer stays, at the greater velocity. Each note lasts a tick at least.
    What starts before beat 0 starts at 0, and what ends before it is left out. Tempos are whole
    microseconds per quarter note, 1 to 16777215 (3.6 BPM); others become the nearest of these.

    Args:
        score: what to write.
        track_name: what a DAW shows on the track.
        program: General MIDI program, 0-127; 0 is the grand piano.

    Returns:
        The bytes of the file.

    Raises:
        ValueError: the program, or a moment beyond tick 268435455 (279620 quarter notes).
    """
    import mido  # noqa: PLC0415

    if not 0 <= program <= 127:
        raise ValueError(f"a MIDI program lies between 0 and 127, not at {program}")
    midi = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_BEAT, charset="utf-8")
    midi.tracks.append(_track(_timeline_events(score)))
    head = [
        mido.MetaMessage("track_name", name=track_name),
        mido.Message("program_change", program=program),
    ]
    midi.tracks.append(_track([*((0, message) for message in head), *_playing_events(score)]))
    buffer = io.BytesIO()
    midi.save(file=buffer)
    return buffer.getvalue()


def _timeline_events(score: Score) -> list[tuple[int, mido.MetaMessage]]:
    """Meters and tempos as (tick, message), in order."""
    import mido  # noqa: PLC0415

    events = []
    for tick, change in _latest_by_tick(score.meters):
        meter = change.meter
        # The click is what a metronome beats: a dotted quarter in 6/8, 24 clocks a quarter.
        compound = meter.denominator >= 8 and meter.numerator > 3 and meter.numerator % 3 == 0
        clocks = 96 // meter.denominator * (3 if compound else 1)
        message = mido.MetaMessage(
            "time_signature",
            numerator=meter.numerator,
            denominator=meter.denominator,
            clocks_per_click=clocks,
        )
        events.append((tick, message))
    for tick, tempo in _latest_by_tick(score.tempos):
        microseconds = min(round(_MICROSECONDS_PER_MINUTE / tempo.bpm), _LONGEST_TEMPO)
        events.append((tick, mido.MetaMessage("set_tempo", tempo=max(1, microseconds))))
    return sorted(events, key=lambda event: event[0])


def _playing_events(score: Score) -> list[tuple[int, mido.Message]]:
    """Notes and pedal as (tick, message), in the order that a synthesizer needs."""
    import mido  # noqa: PLC0415

    # At one tick: keys up, pedal up, pedal down, keys down. A key that goes up after the pedal
    # went down would ring on; one struck before the pedal goes up would be damped.
    events: list[tuple[int, int, mido.Message]] = []
    by_pitch: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for note in score.notes:
        by_pitch[note.pitch].append((*_ticks_of(note), note.velocity))
    for pitch, strikes in sorted(by_pitch.items()):
        for start, end, velocity in _without_overlaps(strikes):
            on = mido.Message("note_on", note=pitch, velocity=velocity)
            events.append((start, 3, on))
            events.append((end, 0, mido.Message("note_off", note=pitch, velocity=0)))
    for start, end, _ in _without_overlaps((*_ticks_of(pedal), 0) for pedal in score.pedals):
        events.append((start, 2, mido.Message("control_change", control=_SUSTAIN, value=127)))
        events.append((end, 1, mido.Message("control_change", control=_SUSTAIN, value=0)))
    events.sort(key=lambda event: event[:2])
    return [(tick, message) for tick, _, message in events]


def _ticks_of(held: Note | Pedal) -> tuple[int, int]:
    """First and last tick, at least one apart unless all of it lies before beat 0."""
    start = _tick(held.onset_beats)
    end = _tick(held.onset_beats + held.duration_beats)
    return max(start, 0), max(end, start + 1)


def _without_overlaps(spans: Iterable[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """Spans (start, end, velocity) of one key, in order, each cut where the next one starts."""
    longest: dict[int, tuple[int, int, int]] = {}
    for start, end, velocity in spans:
        if end <= start:
            continue
        _, other_end, other_velocity = longest.get(start, (start, 0, 0))
        longest[start] = (start, max(end, other_end), max(velocity, other_velocity))
    ordered = sorted(longest.values())
    for index, (start, end, velocity) in enumerate(ordered):
        last = index + 1 == len(ordered)
        yield start, end if last else min(end, ordered[index + 1][0]), velocity


def _latest_by_tick(changes: Iterable[_Change]) -> list[tuple[int, _Change]]:
    """Changes by tick, in order: the last one at a tick holds, as one before beat 0 does at 0."""
    ordered = sorted(changes, key=lambda change: change.onset_beats)
    return list({max(_tick(change.onset_beats), 0): change for change in ordered}.items())


def _tick(beats: float) -> int:
    tick = round(beats * TICKS_PER_BEAT)
    if tick > _LAST_TICK:
        raise ValueError(f"{beats} quarter notes lie beyond the end of any MIDI file")
    return tick


def _track(events: Iterable[tuple[int, mido.Message | mido.MetaMessage]]) -> mido.MidiTrack:
    """A track of (tick, message), which come in order of their ticks."""
    import mido  # noqa: PLC0415

    track = mido.MidiTrack()
    now = 0
    for tick, message in events:
        track.append(message.copy(time=tick - now))
        now = tick
    track.append(mido.MetaMessage("end_of_track"))
    return track


# --- from a MIDI file ---


def read_midi(path: str | os.PathLike[str]) -> Score:
    """Read notes, sustain pedal, tempos and meters from a MIDI file of type 0 or 1.

    The notes of all tracks and channels but the drums' (channel 10) come as if from one piano; the
    pedal is down while any channel holds it. A note struck again while it sounds ends there, one
    that never ends lasts until its track does, one of no length lasts a tick. Without a tempo the
    file runs at 120 quarter notes a minute, without a meter in 4/4, as MIDI has it.

    Args:
        path: the file to read.

    Returns:
        The score, in order of onset.

    Raises:
        InputError: the file cannot be read, is no MIDI file, is broken, counts in time code instead
            of beats, or has a meter that no bar line can be drawn for.
    """
    check_readable(path)
    shown = shown_path(path)
    midi = _parse(Path(path).read_bytes(), shown)
    if midi.ticks_per_beat <= 0:
        raise InputError(f"{shown} counts in SMPTE time code; export it again with beats (PPQ).")
    if midi.type not in (0, 1):
        raise InputError(f"{shown} is a MIDI file of type 2; export it again as type 0 or 1.")
    reader = _Reader(midi.ticks_per_beat)
    try:
        for track in midi.tracks:
            reader.read_track(track)
        return reader.score()
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{shown} has a part that makes no music: {reason}.") from error


def _parse(data: bytes, shown: str) -> mido.MidiFile:
    import mido  # noqa: PLC0415
    from mido.midifiles.meta import KeySignatureError  # noqa: PLC0415

    if not data.startswith(b"MThd"):
        raise InputError(f"{shown} is not a MIDI file; give a .mid exported from a DAW.")
    try:
        # latin1 reads any name; clip=True reads a data byte above 127, which some writers emit.
        return mido.MidiFile(file=io.BytesIO(data), charset="latin1", clip=True)
    except (OSError, EOFError, ValueError, LookupError, TypeError, KeySignatureError) as error:
        raise InputError(f"{shown} is a broken or cut-off MIDI file; export it again.") from error


@dataclass(slots=True)
class _Strike:
    """A note that sounds while its track is read."""

    start: int
    velocity: int
    # Some writers put the new note-on before the old note-off when both fall on one tick.
    owed_offs: int = 0


@dataclass(slots=True)
class _Reader:
    """What the tracks read so far hold; every time is in ticks until :meth:`score`."""

    ticks_per_beat: int
    notes: list[Note] = field(default_factory=list)
    pedals: list[tuple[int, int]] = field(default_factory=list)
    tempos: dict[int, float] = field(default_factory=dict)
    meters: dict[int, Meter] = field(default_factory=dict)

    def read_track(self, track: mido.MidiTrack) -> None:
        sounding: dict[tuple[int, int], _Strike] = {}
        pedals: dict[int, int] = {}  # channel -> tick where it went down
        now = 0
        for message in track:
            now += message.time
            if now > _LAST_BEAT_READ * self.ticks_per_beat:
                raise ValueError(f"something {now // self.ticks_per_beat} quarter notes in")
            if message.type == "set_tempo":
                if message.tempo == 0:
                    raise ValueError("a tempo of 0 microseconds per quarter note")
                self.tempos[now] = _MICROSECONDS_PER_MINUTE / message.tempo
            elif message.type == "time_signature":
                self.meters[now] = Meter(message.numerator, message.denominator)
            elif message.is_meta or getattr(message, "channel", None) in (None, _DRUM_CHANNEL):
                continue
            elif message.type == "note_on" and message.velocity > 0:
                self._strike(sounding, now, message)
            elif message.type in ("note_on", "note_off"):
                self._release(sounding, now, message)
            elif message.type == "control_change" and message.control == _SUSTAIN:
                if message.value >= 64:
                    pedals.setdefault(message.channel, now)
                elif message.channel in pedals:
                    self.pedals.append((pedals.pop(message.channel), now))
        for (_, pitch), strike in sounding.items():
            self._add_note(pitch, strike, now)
        self.pedals.extend((start, now) for start in pedals.values())

    def score(self) -> Score:
        return Score(
            notes=tuple(sorted(self.notes)),
            pedals=tuple(
                Pedal(self._beats(start), self._beats(end - start))
                for start, end in _joined(self.pedals)
            ),
            tempos=self._timeline(TempoChange, self.tempos, _DEFAULT_BPM),
            meters=self._timeline(MeterChange, self.meters, Meter()),
        )

    def _strike(
        self, sounding: dict[tuple[int, int], _Strike], now: int, message: mido.Message
    ) -> None:
        key = (message.channel, message.note)
        before = sounding.get(key)
        owed = 0
        if before is not None:
            if before.start == now:
                before.velocity = max(before.velocity, message.velocity)
                return
            self._add_note(message.note, before, now)
            owed = 1
        sounding[key] = _Strike(now, message.velocity, owed)

    def _release(
        self, sounding: dict[tuple[int, int], _Strike], now: int, message: mido.Message
    ) -> None:
        key = (message.channel, message.note)
        strike = sounding.get(key)
        if strike is None:
            return
        if strike.start == now and strike.owed_offs:
            strike.owed_offs -= 1
            return
        self._add_note(message.note, sounding.pop(key), now)

    def _add_note(self, pitch: int, strike: _Strike, end: int) -> None:
        ticks = max(1, end - strike.start)
        self.notes.append(
            Note(self._beats(strike.start), pitch, self._beats(ticks), strike.velocity)
        )

    def _timeline(
        self, kind: Callable[[float, _Value], _Change], by_tick: dict[int, _Value], default: _Value
    ) -> tuple[_Change, ...]:
        by_tick = {0: default} | by_tick
        return tuple(kind(self._beats(tick), value) for tick, value in sorted(by_tick.items()))

    def _beats(self, ticks: int) -> float:
        return ticks / self.ticks_per_beat


def _joined(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The spans' union in order; spans that only touch stay two, a change of pedal."""
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if end <= start:
            continue
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined
