"""Beats, found in a process of their own: trackers hold Python's lock for seconds at a time.

`python -m sidekeys_engine.listening` is that process. It reads requests from its standard input, a
line of JSON and the samples each, and answers with a line of JSON. It ends when its input does.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from sidekeys_engine.audio import Audio
from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter, MeterChange
from sidekeys_engine.render import GridChoice

_POLITENESS = 5


class Listener:
    """The listening process, started when it is first needed. One thread at a time may ask it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._asking = threading.Lock()

    def grid(self, audio: Audio, choice: GridChoice) -> BeatGrid:
        """The beats of some sound, as `GridChoice.grid` finds them.

        Raises:
            InputError: there are none, or the process died.
        """
        with self._asking:
            process = self._running()
            assert process.stdin is not None
            assert process.stdout is not None
            request = {
                "sampling_rate": audio.sampling_rate,
                "bytes": audio.samples.nbytes,
                "choice": _plain(choice),
            }
            try:
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.write(np.ascontiguousarray(audio.samples, dtype="<f4").data)
                process.stdin.flush()
                line = process.stdout.readline()
            except OSError:
                line = b""
            if not line:
                self.close()
                raise InputError("The beat tracker was stopped; try again, or give the tempo.")
        answer = json.loads(line)
        if "error" in answer:
            raise InputError(answer["error"])
        meters = tuple(
            MeterChange(at, Meter(upper, lower)) for at, upper, lower in answer["meters"]
        )
        return BeatGrid(np.array(answer["beats"]), np.array(answer["seconds"]), meters)

    def close(self) -> None:
        """End the process, also while it listens; the next request starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sidekeys_engine.listening"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        return self._process


def _plain(choice: GridChoice) -> dict[str, Any]:
    """A choice as JSON; `_choice` is its inverse."""
    fields = asdict(choice)
    fields["file"] = None if choice.file is None else str(choice.file)
    fields["meter"] = None if choice.meter is None else str(choice.meter)
    return fields


def _choice(fields: dict[str, Any]) -> GridChoice:
    meter = fields["meter"]
    fields["meter"] = None if meter is None else Meter(*map(int, meter.split("/")))
    fields["file"] = None if fields["file"] is None else Path(fields["file"])
    return GridChoice(**fields)


# The process


def main() -> None:
    """Answer requests until the input ends."""
    if hasattr(os, "nice"):
        os.nice(_POLITENESS)  # who plays along goes first
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no answer
    requests: queue.SimpleQueue[tuple[dict[str, Any], bytes]] = queue.SimpleQueue()
    threading.Thread(
        target=_read, args=(sys.stdin.buffer, requests), name="requests", daemon=True
    ).start()
    while True:
        request, samples = requests.get()
        answers.write(json.dumps(_answer(request, samples)).encode() + b"\n")
        answers.flush()


def _read(source: IO[bytes], requests: queue.SimpleQueue[tuple[dict[str, Any], bytes]]) -> None:
    """Read requests, so that the end of the input is seen while beats are looked for."""
    while True:
        line = source.readline()
        if not line:
            os._exit(0)
        request = json.loads(line)
        requests.put((request, source.read(request["bytes"])))


def _answer(request: dict[str, Any], samples: bytes) -> dict[str, Any]:
    try:
        audio = Audio(np.frombuffer(samples, dtype="<f4"), request["sampling_rate"])
        grid = _choice(request["choice"]).grid(audio)
    except Exception as problem:  # it is told to who asked
        return {"error": str(problem) or type(problem).__name__}
    return {
        "beats": grid.beats.tolist(),
        "seconds": grid.seconds.tolist(),
        "meters": [
            [change.onset_beats, change.meter.numerator, change.meter.denominator]
            for change in grid.meters
        ],
    }


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
