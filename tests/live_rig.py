"""A live run on a clock that the test turns: a song position, a bus, an engine, a piano.

The path itself is the real one; what stands around it keeps to its own moments exactly.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidekeys_bridge.controls import Controls
from sidekeys_bridge.live import Live
from sidekeys_bridge.performance import Sounding
from sidekeys_bridge.playhead import Loop, Playhead
from sidekeys_bridge.scheduler import Scheduler
from sidekeys_bridge.stretch import Stretch
from sidekeys_engine.joining import rows_of
from sidekeys_engine.note_tokens import StepNote
from sidekeys_engine.notes import Meter, MeterChange
from sidekeys_engine.protocol import Message

TICK_SECONDS = 0.02
RATE = 22050


def noise(first_frame: int, count: int) -> NDArray[np.float32]:
    """A bus that always sounds, the same at the same moment."""
    frames = np.arange(first_frame, first_frame + count)
    return (0.1 * np.sin(frames * 0.05)).astype(np.float32)


def one_note_a_beat(
    content: Mapping[str, Any], _samples: NDArray[np.float32]
) -> Sequence[StepNote]:
    """The composer decides the pitch, the window's place nothing."""
    pitch = {"full": 60, "block": 48}[content["composer"]]
    return [StepNote(step, step + 2, pitch, 80) for step in (0, 4, 8, 12)]


@dataclass
class Song:
    """A transport: plays, stops and jumps where the test says.

    Attributes:
        repeats: it wraps at its loop's end by itself, and says so a little later.
        late_seconds: how much later.
    """

    bpm: float = 120.0
    meter: Meter = field(default_factory=Meter)
    stretch: Stretch | None = None
    loop: Loop | None = None
    repeats: bool = False
    late_seconds: float = 0.0
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def poll(self, now_seconds: float) -> None:
        if not self.repeats or self.stretch is None or self.stretch.loop is None:
            return
        start_beats, end_beats = self.stretch.loop
        end_seconds = self.stretch.seconds_at(end_beats)
        inside = self.stretch.start_beats < end_beats
        if inside and end_seconds + self.late_seconds <= now_seconds:
            self.play(end_seconds, start_beats)

    def play(self, now_seconds: float, beats: float = 0.0) -> None:
        self.stop(now_seconds)
        meters = (MeterChange(0.0, self.meter),)
        playhead = Playhead(now_seconds, beats, self.bpm)
        self.stretch = Stretch(next(self._numbers), beats, playhead, meters, self.loop)

    def stop(self, now_seconds: float) -> None:
        if self.stretch is not None:
            self.stretch.end(now_seconds)
        self.stretch = None


@dataclass
class Bus:
    """Sound by monotonic moment, heard so much later."""

    sound_at: Callable[[int, int], NDArray[np.float32]]  # first frame, count
    rate: int = RATE
    epoch: int = 1
    epoch_first_frame: int = 0
    latency_seconds: float = 0.02
    now_seconds: float = 0.0

    @property
    def frames(self) -> int:
        return max(0, math.floor((self.now_seconds - self.latency_seconds) * self.rate))

    def frame_at(self, seconds: float) -> float:
        return seconds * self.rate

    def audio(self, first_frame: int, count: int) -> NDArray[np.float32]:
        if first_frame + count > self.frames:
            raise ValueError("not heard yet")
        return self.sound_at(first_frame, count)


@dataclass
class Engine:
    """Answers each window after a while, with what ``generate`` makes of it."""

    generate: Callable[[Mapping[str, Any], NDArray[np.float32]], Sequence[StepNote] | None]
    takes_seconds: float = 0.2
    fails: bool = False  # every request
    requests: list[Mapping[str, Any]] = field(default_factory=list)
    _answers: list[tuple[float, Message]] = field(default_factory=list)

    def request(
        self,
        command: str,
        content: Mapping[str, Any],
        buffers: Sequence[bytes] = (),
        *,
        now_seconds: float,
        within_seconds: float,
    ) -> str:
        assert command == "generate"
        self.requests.append(content)
        name = f"request-{len(self.requests)}"
        if self.fails or within_seconds < self.takes_seconds:
            code = "failed" if self.fails else "late"
            self._answers.append((now_seconds, Message("error", name, {"code": code})))
            return name
        notes = self.generate(content, np.frombuffer(buffers[0], dtype="<f4").copy())
        reply = {
            "notes": rows_of(notes or ()),
            "silent": notes is None,
            "took_seconds": self.takes_seconds,
            "queued_seconds": 0.0,
        }
        self._answers.append((now_seconds + self.takes_seconds, Message("ok", name, reply)))
        return name

    def answers(self, now_seconds: float) -> list[Message]:
        come = [message for due, message in self._answers if due <= now_seconds]
        self._answers = [answer for answer in self._answers if answer[0] > now_seconds]
        return come


@dataclass
class Struck:
    """A note as it sounded."""

    due_seconds: float
    off_seconds: float
    channel: int
    pitch: int
    velocity: int
    committed_seconds: float


@dataclass
class Piano:
    """Writes down what is committed; a panic ends it."""

    now_seconds: float = 0.0
    struck: list[Struck] = field(default_factory=list)
    pedals: list[tuple[float, bool, int]] = field(default_factory=list)
    panics: list[float] = field(default_factory=list)

    def advance(self, now_seconds: float) -> None:
        self.now_seconds = now_seconds

    def strike(
        self, due_seconds: float, off_seconds: float, channel: int, pitch: int, velocity: int
    ) -> int:
        self.struck.append(
            Struck(due_seconds, off_seconds, channel, pitch, velocity, self.now_seconds)
        )
        return len(self.struck) - 1

    def extend(self, handle: int, off_seconds: float) -> bool:
        if self.struck[handle].off_seconds < self.now_seconds:
            return False
        self.struck[handle].off_seconds = off_seconds
        return True

    def pedal(self, due_seconds: float, down: bool, channel: int) -> None:
        self.pedals.append((due_seconds, down, channel))

    def panic(self) -> None:
        self.panics.append(self.now_seconds)
        self.struck = [
            replace(note, off_seconds=min(note.off_seconds, self.now_seconds))
            for note in self.struck
            if note.due_seconds <= self.now_seconds
        ]


class Keyboard:
    """A piano that plays through the real scheduler; what is down is known at every moment.

    Attributes:
        keys: since when each (channel, pitch) is down.
        feet: since when the pedal of each channel is down.
        touched_seconds: when a key of each channel was last down.
    """

    def __init__(self) -> None:
        self.scheduler = Scheduler()
        self.keys: dict[tuple[int, int], float] = {}
        self.feet: dict[int, float] = {}
        self.touched_seconds: dict[int, float] = {}
        self.strike, self.extend = self.scheduler.strike, self.scheduler.extend
        self.pedal = self.scheduler.pedal
        self.now_seconds = 0.0

    def advance(self, now_seconds: float) -> None:
        self.now_seconds = now_seconds
        self._play(self.scheduler.due(now_seconds))
        self.touched_seconds.update((channel, now_seconds) for channel, _ in self.keys)

    def panic(self) -> None:
        self._play(self.scheduler.panic())

    def _play(self, messages: Sequence[bytes]) -> None:
        for status, number, value in messages:
            kind, channel = status & 0xF0, (status & 0x0F) + 1
            if kind == 0x90:
                assert (channel, number) not in self.keys, "struck while it is down"
                self.keys[channel, number] = self.now_seconds
                self.touched_seconds[channel] = self.now_seconds
            elif kind == 0x80:
                del self.keys[channel, number]
            elif number == 64 and value:
                assert channel not in self.feet, "trodden while it is down"
                self.feet[channel] = self.now_seconds
            elif number == 64:
                self.feet.pop(channel, None)


class Rig:
    """All of it, and the clock."""

    def __init__(
        self,
        engine: Engine,
        bus: Bus,
        *,
        composer: str = "full",
        bpm: float = 120.0,
        piano: Piano | Keyboard | None = None,
    ):
        self.song, self.bus, self.engine = Song(bpm), bus, engine
        self.piano: Any = piano or Piano()
        self.now_seconds = 100.0
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.notes: list[Sounding] = []  # as they were told
        self.live = Live(
            self.song,  # type: ignore[arg-type]
            bus,
            self.piano,
            Controls(composer=composer),
            tell=lambda kind, content: self.told.append((kind, content)),
            on_note=self.notes.append,
        )

    @property
    def sounding(self) -> dict[int, Sounding]:
        """The last word on each note."""
        return {note.handle: note for note in self.notes}

    def start_engine(self, **description: Any) -> None:
        described = {
            "checkpoint": "builtin",
            "steps_per_window": 16,
            "steps_per_beat": 4,
            "context_steps": 4,
            "has_velocity": True,
            "generation_seconds": self.engine.takes_seconds,
        }
        self.live.use_engine(self.engine, described | description)

    def set(self, **controls: Any) -> None:
        """Change controls while it plays."""
        for name, value in controls.items():
            self.live.controls = self.live.controls.with_change(name, value)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / TICK_SECONDS)):
            self.tick()

    def tick(self, seconds: float = TICK_SECONDS) -> None:
        """Let the path do what is due after a while."""
        self.now_seconds += seconds
        self.bus.now_seconds = self.now_seconds
        self.song.poll(self.now_seconds)
        self.piano.advance(self.now_seconds)
        self.live.take(self.engine.answers(self.now_seconds), self.now_seconds)
        self.live.step(self.now_seconds)
        self.piano.advance(self.now_seconds)  # what is due at once is sent at once

    def loop(self, beats: float, passes: int, *, known: bool = True) -> list[float]:
        """Play a loop from 0; the moments at which its passes began."""
        self.live.choose_mode("loop")
        self.song.loop = (0.0, beats) if known else None
        starts = []
        for _ in range(passes):
            starts.append(self.now_seconds)
            self.song.play(self.now_seconds)
            self.run(beats * 60 / self.song.bpm)
        return starts


def made_rig(generate: Any = one_note_a_beat, sound: Any = noise, **options: Any) -> Rig:
    """A rig whose engine is ready."""
    description = options.pop("description", {})
    rig = Rig(Engine(generate), Bus(sound), **options)
    rig.start_engine(**description)
    return rig
