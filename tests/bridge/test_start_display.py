"""A real bridge and whoever started it: a live status, and readers that do not read."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from jack_server import running_jack
from sidekeys_bridge.client import ControlClient
from sidekeys_bridge.connection import RUNTIME_VARIABLE, find_bridge
from sidekeys_engine.errors import InputError
from terminal_screen import on_a_terminal

ROOT = Path(__file__).parents[2]
SONG = ROOT / "examples" / "paper_lanterns.ogg"
START = [
    sys.executable, "-m", "sidekeys_bridge", "start", "--no-panel", "--no-browser",
    "--input", f"file:{SONG}", "--transport", "manual", "--bpm", "104",
]  # fmt: skip
READY_SECONDS, LONG_SECONDS = 120.0, 60.0
SMALL_PIPE_BYTES = 4096
_F_SETPIPE_SZ = 1031  # fcntl's, which Python 3.10 names only here and there


@pytest.fixture(scope="module", autouse=True)
def jack() -> Iterator[str]:
    with running_jack() as server:
        yield server


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        "PYTHONPATH": os.pathsep.join((str(ROOT / "engine"), str(ROOT / "bridge"))),
        "XDG_CONFIG_HOME": str(tmp_path),
        RUNTIME_VARIABLE: str(tmp_path / "runtime"),
    }


def status_once(folder: Path, is_so: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
    """What the bridge says of itself, once that is so."""
    deadline = time.monotonic() + READY_SECONDS
    status: Mapping[str, Any] = {}
    while time.monotonic() < deadline:
        with contextlib.suppress(InputError), ControlClient(find_bridge(folder)) as client:
            status = client.request("status")
            if is_so(status):
                return status
        time.sleep(0.05)
    raise AssertionError(status)


def ask(folder: Path, command: str) -> None:
    with ControlClient(find_bridge(folder)) as client:
        client.request(command)


@pytest.mark.parametrize("reader", ["does not read", "went away"])
def test_a_reader_of_json_never_stops_the_music(
    tmp_path: Path, environment: dict[str, str], reader: str
) -> None:
    runtime = tmp_path / "runtime"
    with (tmp_path / "errors").open("wb") as errors:
        bridge = subprocess.Popen(
            [*START, "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
            env={**os.environ, **environment},
        )  # fmt: skip
    assert bridge.stdout is not None
    try:
        # As full as a usual one after minutes.
        fcntl.fcntl(bridge.stdout.fileno(), _F_SETPIPE_SZ, SMALL_PIPE_BYTES)
        assert json.loads(bridge.stdout.readline())["type"]
        if reader == "went away":
            bridge.stdout.close()
        status_once(runtime, lambda status: status["engine"]["state"] == "ready")
        ask(runtime, "play")
        status = status_once(runtime, lambda status: status["counters"]["notes_sent"] > 0)
        assert status["state"] == "playing"
        assert status["problems"] == []
        bridge.send_signal(signal.SIGTERM)
        assert bridge.wait(LONG_SECONDS) == 0
    finally:
        bridge.kill()
        bridge.wait()
        bridge.stdout.close()
    said = (tmp_path / "errors").read_text()
    assert "Traceback" not in said
    assert "BrokenPipe" not in said


def test_the_live_status_follows_the_bridge_and_goes_with_it(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    runtime = tmp_path / "runtime"
    with on_a_terminal(START, columns=100, environment=environment) as seat:
        seat.wait_for("engine  ready on")
        assert "sidekeys: the MIDI port" in seat.screen.lines[0]
        assert "song    stopped   by hand" in seat.screen.text
        ask(runtime, "play")
        seat.wait_for(lambda text: "echo, " in text and "beats behind" in text, READY_SECONDS)
        seat.wait_for("104.0 bpm  4/4   by hand")
        seat.wait_for(lambda text: "0 notes" not in text and "notes" in text, READY_SECONDS)
        assert seat.screen.text.count("  engine  ") == 1
        seat.process.send_signal(signal.SIGTERM)
        assert seat.end() == 0
        assert seat.screen.cursor_shown
        assert all(line.startswith("sidekeys: ") for line in seat.screen.text.splitlines())
