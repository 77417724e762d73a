"""A whole live session on a real JACK server: a DAW, a bridge, its engine, what was recorded."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile

from sidekeys_bridge.client import ControlClient
from sidekeys_bridge.connection import RUNTIME_VARIABLE, find_bridge
from sidekeys_engine.errors import InputError

TESTS = Path(__file__).parent
EXAMPLE = TESTS.parent / "examples" / "paper_lanterns.ogg"
EXAMPLE_BPM = 104.0
_FIRST_BAR_SECONDS = 1.673846  # what comes before is a pickup
_READY_SECONDS = 60.0
_PAUSE_SECONDS = 0.02
_DAW_PAUSE_SECONDS = 0.1  # what it tells is long, and it has a song to play


def write_example(path: Path, rate: int) -> Path:
    """The example song from its first bar on, as fluidsynth played it, at another rate."""
    import soxr

    samples, own_rate = soundfile.read(EXAMPLE, always_2d=True)
    samples = samples[round(_FIRST_BAR_SECONDS * own_rate) :]
    soundfile.write(path, soxr.resample(samples, own_rate, rate), rate, subtype="FLOAT")
    return path


@dataclass(frozen=True)
class Note:
    """A note as it arrived at the DAW.

    Attributes:
        onset_seconds: from the song's first sample.
        end_seconds: of its note-off.
        channel: from 1.
    """

    onset_seconds: float
    end_seconds: float
    pitch: int
    velocity: int
    channel: int


@dataclass(frozen=True)
class Recorded:
    """What a DAW recorded since it began to play.

    Attributes:
        messages: each with its seconds from the song's first sample.
        pass_seconds: when each pass of a loop began.
        is_playing: the song runs.
        start_seconds: the monotonic moment of the song's first sample.
        xruns: how many periods JACK lost; messages may be lost with them.
    """

    messages: list[tuple[float, bytes]]
    pass_seconds: list[float]
    is_playing: bool
    start_seconds: float
    xruns: int = 0

    def sounding(self) -> set[tuple[int, int]]:
        """Channel and pitch of each note that has not ended."""
        return self._played()[1]

    def notes(self) -> list[Note]:
        """By onset; every one must have ended."""
        notes, sounding = self._played()
        assert not sounding, f"hanging notes: {sounding}; {self.xruns} xruns"
        return notes

    def ended_notes(self) -> list[Note]:
        """By onset, those that have ended."""
        return self._played()[0]

    def _played(self) -> tuple[list[Note], set[tuple[int, int]]]:
        sounding: dict[tuple[int, int], tuple[float, int]] = {}
        notes = []
        for seconds, data in self.messages:
            kind, channel = data[0] & 0xF0, (data[0] & 0x0F) + 1
            if kind == 0x90 and data[2] > 0:
                is_free = (channel, data[1]) not in sounding
                assert is_free, f"{data[1]} struck at {seconds} while it sounds; {self.xruns} xruns"
                sounding[channel, data[1]] = (seconds, data[2])
            elif kind in (0x80, 0x90) and (channel, data[1]) in sounding:
                onset, velocity = sounding.pop((channel, data[1]))
                notes.append(Note(onset, seconds, data[1], velocity, channel))
        return sorted(notes, key=lambda note: (note.onset_seconds, note.pitch)), set(sounding)


class Daw:
    """The process of `jack_daw`: see there what it can do."""

    def __init__(self, song: Path, *, name: str = "daw") -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(TESTS / "jack_daw.py"), str(song), "--name", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def do(self, command: str, **content: Any) -> Mapping[str, Any]:
        """Have it done; the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": command, **content}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def play(self, bpm: float = EXAMPLE_BPM, **content: Any) -> None:
        """Connect the piano and the clock, as soon as both are there, and go."""
        deadline = time.monotonic() + _READY_SECONDS
        while self.do("connect")["ports"] < 2:
            assert time.monotonic() < deadline, "the bridge's ports are not there"
            time.sleep(_PAUSE_SECONDS)
        self.do("play", bpm=bpm, **content)

    def stop(self) -> None:
        """Stop the song."""
        self.do("stop")

    def recorded(self) -> Recorded:
        """What came until now."""
        told = self.do("recorded")
        rate = told["rate"]
        start = told["start_frame"] or told["frame_now"]
        return Recorded(
            [((frame - start) / rate, bytes(data)) for frame, data, _ in told["received"]],
            [frame / rate for frame in told["pass_starts"]],
            told["is_playing"],
            told["seconds_now"] - (told["frame_now"] - start) / rate,
            len(told["xruns"]),
        )

    def wait_for(
        self, is_so: Callable[[Recorded], bool], seconds: float = _READY_SECONDS
    ) -> Recorded:
        """What was recorded, once that is so."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            recorded = self.recorded()
            if is_so(recorded):
                return recorded
            time.sleep(_DAW_PAUSE_SECONDS)
        raise AssertionError(f"not within {seconds} s; {recorded.messages[-10:]}")

    def close(self) -> None:
        """Leave JACK."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate("", timeout=5)

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def _answer(self) -> Mapping[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the DAW has ended"
        return json.loads(line)


@contextlib.contextmanager
def running_daw(song: Path, *, name: str = "daw") -> Iterator[Daw]:
    """A DAW that stands, until it is told to play."""
    daw = Daw(song, name=name)
    try:
        yield daw
    finally:
        daw.kill()


def problems_of(status: Mapping[str, Any]) -> list[str]:
    """What is wrong, but for a machine that is too slow while other tests are run on it."""
    slow = ("windows will be missed", "too slow for this tempo")
    return [line for line in status["problems"] if not any(words in line for words in slow)]


@dataclass
class RunningBridge:
    """The process of `sidekeys start`."""

    process: subprocess.Popen[bytes]
    folder: Path
    log: Path

    def status(self) -> Mapping[str, Any]:
        """Everything, now."""
        return self.request("status")

    def request(self, command: str, **content: Any) -> Mapping[str, Any]:
        """Have a command of the control protocol done; its reply."""
        with ControlClient(find_bridge(self.folder), within_seconds=30.0) as client:
            return client.request(command, content)

    def sidekeys(self, *words: str, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Type a command at this bridge."""
        return subprocess.run(
            [sys.executable, "-m", "sidekeys_bridge", *words],
            env={**os.environ, RUNTIME_VARIABLE: str(self.folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def said(self) -> str:
        """All that it wrote for its user."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(
        self, is_so: Callable[[Mapping[str, Any]], bool], seconds: float = _READY_SECONDS
    ) -> Mapping[str, Any]:
        """Its status, once that is so."""
        deadline = time.monotonic() + seconds
        status: Mapping[str, Any] | None = None
        while time.monotonic() < deadline:
            with contextlib.suppress(InputError):
                status = self.status()
                if is_so(status):
                    return status
            assert self.process.poll() is None, self.said()
            time.sleep(_PAUSE_SECONDS)
        raise AssertionError(f"not within {seconds} s; {status}\n{self.said()}")

    def wait_until_ready(self) -> Mapping[str, Any]:
        """Its status, once the engine can play and the input is heard."""
        return self.wait_for(
            lambda status: status["engine"]["state"] == "ready" and status["input"]["connected"]
        )


@contextlib.contextmanager
def running_bridge(
    folder: Path, *options: str, program: Sequence[str] = ("-m", "sidekeys_bridge")
) -> Iterator[RunningBridge]:
    """A bridge of the test's own; it must end without a traceback."""
    log = folder / "bridge.log"
    environment = {**os.environ, RUNTIME_VARIABLE: str(folder)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *program, "start", "--no-panel", *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
        )
    bridge = RunningBridge(process, folder, log)
    try:
        yield bridge
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert "Traceback" not in bridge.said(), bridge.said()
