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
from sidekeys_bridge.stretch import Stretch
from sidekeys_engine.joining import rows_of
from sidekeys_engine.note_tokens import StepNote
from sidekeys_engine.notes import Meter, MeterChange
from sidekeys_engine.protocol import Message

TICK_SECONDS = 0.02
RATE = 22050


@dataclass
class Song:
    """A transport: plays, stops and jumps where the test says."""

    bpm: float = 120.0
    meter: Meter = field(default_factory=Meter)
    stretch: Stretch | None = None
    loop: Loop | None = None
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

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
        if within_seconds < self.takes_seconds:
            self._answers.append((now_seconds, Message("error", name, {"code": "late"})))
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
    pitch: int
    velocity: int
    committed_seconds: float


@dataclass
class Piano:
    """Writes down what is committed; a panic ends it."""

    now_seconds: float = 0.0
    struck: list[Struck] = field(default_factory=list)
    pedals: list[tuple[float, bool]] = field(default_factory=list)
    panics: list[float] = field(default_factory=list)

    def strike(
        self, due_seconds: float, off_seconds: float, channel: int, pitch: int, velocity: int
    ) -> int:
        self.struck.append(Struck(due_seconds, off_seconds, pitch, velocity, self.now_seconds))
        return len(self.struck) - 1

    def extend(self, handle: int, off_seconds: float) -> bool:
        if self.struck[handle].off_seconds < self.now_seconds:
            return False
        self.struck[handle].off_seconds = off_seconds
        return True

    def pedal(self, due_seconds: float, down: bool, channel: int) -> None:
        self.pedals.append((due_seconds, down))

    def panic(self) -> None:
        self.panics.append(self.now_seconds)
        self.struck = [
            replace(note, off_seconds=min(note.off_seconds, self.now_seconds))
            for note in self.struck
            if note.due_seconds <= self.now_seconds
        ]


class Rig:
    """All of it, and the clock."""

    def __init__(self, engine: Engine, bus: Bus, *, composer: str = "full", bpm: float = 120.0):
        self.song, self.bus, self.engine, self.piano = Song(bpm), bus, engine, Piano()
        self.now_seconds = 100.0
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.sounding: dict[int, Sounding] = {}
        self.live = Live(
            self.song,  # type: ignore[arg-type]
            bus,
            self.piano,
            Controls(composer=composer),
            tell=lambda kind, content: self.told.append((kind, content)),
            on_note=lambda note: self.sounding.__setitem__(note.handle, note),
        )

    def start_engine(self, **description: Any) -> None:
        described = {
            "steps_per_window": 16,
            "steps_per_beat": 4,
            "context_steps": 4,
            "has_velocity": True,
            "generation_seconds": self.engine.takes_seconds,
        }
        self.live.use_engine(self.engine, described | description)

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / TICK_SECONDS)):
            self.now_seconds += TICK_SECONDS
            self.piano.now_seconds = self.bus.now_seconds = self.now_seconds
            self.live.take(self.engine.answers(self.now_seconds), self.now_seconds)
            self.live.step(self.now_seconds)
