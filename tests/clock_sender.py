"""A DAW that sends MIDI clock, simulated: what comes when, and where its beats truly were."""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from sidekeys_bridge.transport import Transport

START, CONTINUE, STOP, TICK = b"\xfa", b"\xfb", b"\xfc", b"\xf8"
POLL_SECONDS = 0.01


def song_position(beats: float) -> bytes:
    sixteenths = round(beats * 4)
    return bytes([0xF2, sixteenths % 128, sixteenths // 128])


def no_jitter() -> float:
    return 0.0


def measured_jitter(seed: int) -> Callable[[], float]:
    """What a sleeping sender did here: intervals with a deviation of 3.5 ms, up to 46 ms late."""
    rng = random.Random(seed)

    def late() -> float:
        return rng.uniform(0.02, 0.046) if rng.random() < 0.003 else rng.expovariate(1 / 0.0025)

    return late


@dataclass
class ClockSender:
    """Writes down a performance; `play_into` then lets it happen."""

    jitter: Callable[[], float] = no_jitter
    seconds: float = 100.0  # true time so far
    position: int = 0  # in ticks
    messages: list[tuple[bytes, float]] = field(default_factory=list)
    # Unbroken runs of (true seconds, song position in beats), a pair for every tick.
    runs: list[list[tuple[float, float]]] = field(default_factory=list)

    def send(self, message: bytes) -> None:
        latest = self.messages[-1][1] if self.messages else -math.inf
        self.messages.append((message, max(self.seconds + self.jitter(), latest)))

    def start(self, position_beats: float | None = None) -> None:
        if position_beats is None:
            self.send(START)
            self.position = 0
        else:
            self.send(song_position(position_beats))
            self.send(CONTINUE)
            self.position = round(position_beats * 24)
        self.runs.append([])

    def locate(self, position_beats: float) -> None:
        """Go elsewhere while playing."""
        self.send(song_position(position_beats))
        self.position = round(position_beats * 24)
        self.runs.append([])

    def play(self, beats: float, bpm: float | Callable[[float], float]) -> None:
        """Ticks on, at a tempo that may depend on the position in beats."""
        for _ in range(round(beats * 24)):
            self.runs[-1].append((self.seconds, self.position / 24))
            self.send(TICK)
            for part in range(4):
                at = (self.position + part / 4) / 24
                self.seconds += 60 / 96 / (bpm(at) if callable(bpm) else bpm)
            self.position += 1

    def idle(self, beats: float, bpm: float) -> None:
        """Ticks while the song stands."""
        for _ in range(round(beats * 24)):
            self.send(TICK)
            self.seconds += 60 / 24 / bpm

    def stop(self) -> None:
        self.send(STOP)

    def pause(self, seconds: float) -> None:
        self.seconds += seconds

    def true_beats(self, seconds: float) -> tuple[int, float] | None:
        """Which run, and which position in it, sounds at a moment; None between runs."""
        for number, run in enumerate(self.runs):
            after = self.runs[number + 1] if number + 1 < len(self.runs) else []
            end = after[0][0] if after else run[-1][0]
            if run and run[0][0] <= seconds < min(end, run[-1][0] + 0.1):
                at = bisect.bisect_right(run, (seconds, math.inf)) - 1
                here = run[at]
                there = run[at + 1] if at + 1 < len(run) else (here[0] + 0.02, here[1] + 0.04)
                part = (seconds - here[0]) / (there[0] - here[0])
                return number, here[1] + part * (there[1] - here[1])
        return None


@dataclass
class Error:
    """How far a transport was from the truth at one moment."""

    run: int
    beats: float  # into the run
    milliseconds: float  # above zero: we are late


def play_into(
    transport: Transport,
    sender: ClockSender,
    at: Callable[[float, Transport], None] = lambda now, transport: None,
) -> list[Error]:
    """Let the sender's messages come and poll the transport all the while."""
    errors = []
    waiting = list(reversed(sender.messages))
    now = sender.messages[0][1] - 0.05
    while now < sender.messages[-1][1] + 0.05:
        while waiting and waiting[-1][1] <= now:
            transport.receive_midi(*waiting.pop())
        transport.poll(now)
        at(now, transport)
        truth = sender.true_beats(now)
        if truth is not None and transport.stretch is not None:
            run, beats = truth
            late = transport.stretch.seconds_at(beats) - now
            errors.append(Error(run, beats - sender.runs[run][0][1], late * 1e3))
        now += POLL_SECONDS
    return errors
