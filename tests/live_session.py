"""A whole live session on a real JACK server: a DAW, a bridge, its engine, what was recorded."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidekeys_bridge.client import ControlClient
from sidekeys_bridge.connection import RUNTIME_VARIABLE, find_bridge
from sidekeys_engine.errors import InputError

TESTS = Path(__file__).parent
_READY_SECONDS = 120.0
_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class Note:
    """A note as it arrived at the DAW.

    Attributes:
        onset_seconds: from the song's first sample.
        end_seconds: of its note-off.
    """

    onset_seconds: float
    end_seconds: float
    pitch: int
    velocity: int


class Daw:
    """The process of `jack_daw`."""

    def __init__(self, song: Path, folder: Path, *options: str) -> None:
        self._out = folder / "daw.json"
        self._process = subprocess.Popen(
            [sys.executable, str(TESTS / "jack_daw.py"), str(song), str(self._out), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def play(self) -> None:
        """Connect all, and go."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def recorded(self) -> Mapping[str, Any]:
        """What came, once it is over."""
        assert self._process.wait(timeout=_READY_SECONDS) == 0
        return json.loads(self._out.read_text(encoding="utf-8"))

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


@contextlib.contextmanager
def running_daw(song: Path, folder: Path, *options: str) -> Iterator[Daw]:
    """A DAW that waits for `play`."""
    daw = Daw(song, folder, *options)
    try:
        yield daw
    finally:
        daw.close()


@dataclass
class RunningBridge:
    """The process of `sidekeys start`."""

    process: subprocess.Popen[bytes]
    folder: Path
    log: Path

    def status(self) -> Mapping[str, Any]:
        with ControlClient(find_bridge(self.folder)) as client:
            return client.request("status")

    def request(self, command: str, **content: Any) -> Mapping[str, Any]:
        with ControlClient(find_bridge(self.folder)) as client:
            return client.request(command, **content)

    def wait_for(
        self, is_so: Callable[[Mapping[str, Any]], bool], seconds: float = _READY_SECONDS
    ) -> Mapping[str, Any]:
        """Its status, once that is so."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(InputError):
                status = self.status()
                if is_so(status):
                    return status
            assert self.process.poll() is None, self.log.read_text(encoding="utf-8")
            time.sleep(_PAUSE_SECONDS)
        raise AssertionError(f"not within {seconds} s:\n{self.log.read_text(encoding='utf-8')}")


@contextlib.contextmanager
def running_bridge(folder: Path, *options: str) -> Iterator[RunningBridge]:
    """A bridge of the test's own; it must end without a traceback."""
    log = folder / "bridge.log"
    environment = {**os.environ, RUNTIME_VARIABLE: str(folder)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "sidekeys_bridge", "start", "--no-panel", *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
        )
    try:
        yield RunningBridge(process, folder, log)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        said = log.read_text(encoding="utf-8", errors="replace")
        assert "Traceback" not in said, said


def notes_of(recorded: Mapping[str, Any]) -> list[Note]:
    """The notes in what a DAW recorded; every one must have ended."""
    start, rate = recorded["start_frame"], recorded["rate"]
    sounding: dict[tuple[int, int], tuple[float, int]] = {}
    notes = []
    for frame, data in recorded["received"]:
        seconds = (frame - start) / rate
        kind, channel = data[0] & 0xF0, data[0] & 0x0F
        if kind == 0x90 and data[2] > 0:
            assert (channel, data[1]) not in sounding, "struck while it sounds"
            sounding[channel, data[1]] = (seconds, data[2])
        elif kind in (0x80, 0x90) and (channel, data[1]) in sounding:
            onset, velocity = sounding.pop((channel, data[1]))
            notes.append(Note(onset, seconds, data[1], velocity))
    assert not sounding, f"hanging notes: {sounding}"
    return sorted(notes, key=lambda note: (note.onset_seconds, note.pitch))
