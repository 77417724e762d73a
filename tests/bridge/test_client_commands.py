"""`sidekeys status`, `set`, `stop` ... in processes of their own, against real control sockets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sidekeys_bridge.commands import BRIDGE
from sidekeys_bridge.connection import RUNTIME_VARIABLE, claimed
from sidekeys_bridge.control import ControlServer, Reply
from sidekeys_engine.connection import Connection
from sidekeys_engine.errors import InputError
from sidekeys_engine.protocol import Message

ROOT = Path(__file__).parents[2]
LONG_SECONDS = 60.0

STATUS = {
    "state": "playing", "problems": ["the clock stutters; look at its cable."], "port": "Sidekeys",
    "composer": "full", "mode": "echo", "delay_beats": 5, "delay_reason": "it is fast",
    "transport": {
        "source": "clock", "choice": "auto", "playing": True, "bpm": 120.0, "meter": "4/4",
        "beat": 45.5, "bar": 12, "loop": None, "stretch": 1, "problem": None,
    },
    "input": {
        "choice": "default", "name": "Bus", "rate": 48000, "connected": True, "ended": False,
        "level_db": -18.2, "peak_db": -6.0, "clipped": False, "silent_seconds": 0.0,
        "problem": None,
    },
    "engine": {
        "pid": 77, "state": "ready", "device": "cpu", "checkpoint": "builtin",
        "generation_seconds": 0.3, "problem": None,
    },
    "bridge": {"pid": 76, "version": "1", "up_seconds": 3.0},
    "counters": {
        "notes_sent": 10, "late_notes_dropped": 0, "windows_done": 4, "windows_missed": 0,
        "input_overflows": 0, "sounding": 2,
    },
    "timing": {"p50_ms": 0.1, "p99_ms": 0.5, "max_ms": 0.9, "realtime": True},
    "controls": {},
}  # fmt: skip


class Bridge:
    """A bridge's control with a conductor of a few lines; remembers what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.replies: dict[str, dict[str, Any] | Exception] = {"status": STATUS}
        self.on_asked: Callable[[str], None] = lambda _: None
        self.server = ControlServer(BRIDGE, "token")
        self._ends = threading.Event()
        self._claimed = threading.Event()
        self._thread = threading.Thread(target=self._conduct, args=(folder,))
        self._thread.start()
        assert self._claimed.wait(LONG_SECONDS)

    def _conduct(self, folder: Path) -> None:
        with claimed(folder) as claim:
            ends = self.server.start()
            claim.announce(Connection(ends.commands, ends.events, "token", os.getpid(), "1"))
            self._claimed.set()
            while not self._ends.is_set():
                if self.server.bell.wait(0.05):
                    self.server.answer(self._respond)
            self.server.close()

    def _respond(self, message: Message, _: Reply) -> dict[str, Any]:
        given = {name: value for name, value in message.content.items() if value is not None}
        self.asked.append((message.type, given))
        self.on_asked(message.type)
        if message.type == "shut-down":
            self._ends.set()
        reply = self.replies.get(message.type, {})
        if isinstance(reply, Exception):
            raise reply
        return reply

    def close(self) -> None:
        self._ends.set()
        self._thread.join()


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    started = Bridge(tmp_path)
    yield started
    started.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `sidekeys` in a process of its own; its runtime folder is ``tmp_path``."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT / "engine"), str(ROOT / "bridge"))),
        RUNTIME_VARIABLE: str(tmp_path),
    }
    processes: list[subprocess.Popen[str]] = []

    def started(*words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "sidekeys_bridge", *words],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield started
    for process in processes:
        process.kill()
        process.communicate()


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(start: Callable[..., subprocess.Popen[str]]) -> Run:
    """Runs `sidekeys` to its end: exit status, output, errors."""

    def ran(*words: str) -> tuple[int, str, str]:
        process = start(*words)
        out, errors = process.communicate(timeout=LONG_SECONDS)
        return process.returncode, out, errors

    return ran


# Without a bridge


@pytest.mark.parametrize("words", [
    ("status",), ("status", "--json"), ("set", "composer", "full"), ("tap",), ("panic",),
    ("stop",), ("watch",), ("play",), ("pause",), ("record", "a.mid"), ("keep", "4", "a.mid"),
])  # fmt: skip
def test_without_a_bridge_each_says_how_to_start_one(run: Run, words: tuple[str, ...]) -> None:
    line = "sidekeys: error: no bridge runs; start one with `sidekeys start`.\n"
    assert run(*words) == (2, "", line)


def test_the_file_of_a_dead_bridge_is_not_believed(run: Run, tmp_path: Path) -> None:
    dead = Connection("tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "token", os.getpid(), "1")
    dead.write(tmp_path / "bridge.json")
    status, _, errors = run("status")
    assert status == 2
    assert "no bridge runs" in errors
    assert not (tmp_path / "bridge.json").exists()


# With one


def test_status_as_json_is_what_the_bridge_says(run: Run, bridge: Bridge) -> None:
    status, out, errors = run("status", "--json")
    assert (status, errors) == (0, "")
    told = json.loads(out)
    assert told == STATUS
    BRIDGE.check_reply("status", Message("ok", "1", told))


def test_status_in_words_names_what_matters(run: Run, bridge: Bridge) -> None:
    status, out, _ = run("status")
    assert status == 0
    for words in (
        "playing", "process 76", "clock", "120.0 bpm in 4/4, bar 12, beat 45.50", "full into",
        "Sidekeys", "5 beats behind (it is fast)", "Bus, -18 dB", "ready on cpu, process 77",
        "10 sent", "4 done, 0 missed", "the clock stutters",
    ):  # fmt: skip
        assert words in out
    bridge.replies["status"] = {
        **STATUS, "delay_beats": None, "delay_reason": None, "port": None, "composer": None,
        "engine": {**STATUS["engine"], "pid": None, "device": None, "state": "loading"},
        "input": {**STATUS["input"], "connected": False, "name": ""},
        "transport": {**STATUS["transport"], "playing": False, "source": "none"},
    }  # fmt: skip
    assert "delay not known yet" in run("status")[1]


@pytest.mark.parametrize(
    ("words", "content"),
    [
        (("composer", "ballad"), {"composer": "ballad"}),
        (("transpose", "-12"), {"transpose": -12}),
        (("velocity-curve", "soft", "mute", "on"), {"velocity_curve": "soft", "mute": True}),
        (("mode", "loop", "delay", "auto"), {"mode": "loop", "delay": "auto"}),
        (("delay", "8"), {"delay": "8"}),
        (("input", "Bus 1", "channels", "3-4"), {"input": "Bus 1", "channels": "3-4"}),
        (("transport", "manual", "bpm", "93.5"), {"transport": "manual", "bpm": 93.5}),
        (("meter", "6/8"), {"meter": "6/8"}),
    ],
)
def test_set_asks_for_just_what_was_said(
    run: Run, bridge: Bridge, words: tuple[str, ...], content: dict[str, Any]
) -> None:
    assert run("set", *words) == (0, "", "")
    assert bridge.asked == [("set", content)]


def test_a_file_to_listen_to_is_named_whole(run: Run, bridge: Bridge, tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_bytes(b"x")
    assert run("set", "input", "file:song.wav")[0] == 0
    assert bridge.asked == [("set", {"input": f"file:{tmp_path / 'song.wav'}"})]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("volume", "3"), "there is no setting 'volume'; there are composer,"),
        (("transpose", "99"), "transpose cannot be '99'; give a whole number from -24 to 24"),
        (("transpose", "1", "mute"), "'mute' has no value; give NAME VALUE"),
        (("mode", "sing"), "mode must be one of echo, loop, not 'sing'"),
        (("bpm", "1000"), "'1000' is no tempo"),
        (("meter", "x"), "'x' is no meter"),
        (("channels", "x"), "no channel 'x'"),
        (("input", "file:nowhere.wav"), "no such file"),
        (("tap", "3"), "there is no setting 'tap'"),
    ],
)
def test_what_cannot_be_set_is_told_and_nothing_is_done(
    run: Run, bridge: Bridge, words: tuple[str, ...], told: str
) -> None:
    status, out, errors = run("set", *words)
    assert (status, out) == (2, "")
    assert errors.startswith("sidekeys: error: ")
    assert told in errors
    assert errors.count("\n") == 1
    assert bridge.asked == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("nudge", "much"), "'much' is no way to nudge"),
        (("nudge",), "nudge takes beats or milliseconds"),
        (("nudge", "1", "2"), "nudge takes beats or milliseconds"),
        (("tap", "3"), "unrecognized arguments: 3"),
        (("downbeat", "now"), "unrecognized arguments: now"),
    ],
)
def test_what_cannot_be_done_to_the_beats_is_told_and_nothing_is_done(
    run: Run, bridge: Bridge, words: tuple[str, ...], told: str
) -> None:
    status, out, errors = run(*words)
    assert (status, out) == (2, "")
    assert told in errors
    assert bridge.asked == []


def test_what_the_bridge_refuses_is_told_in_its_words(run: Run, bridge: Bridge) -> None:
    bridge.replies["set"] = InputError("there is no composer 'X'; there are full, ballad.")
    assert run("set", "composer", "X") == (
        2, "", "sidekeys: error: there is no composer 'X'; there are full, ballad.\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "asked", "out"),
    [
        (("panic",), ("panic", {}), "all notes are released.\n"),
        (("play",), ("play", {}), "playing.\n"),
        (("pause",), ("pause", {}), "stopped.\n"),
        (("tap",), ("tap", {}), "120.5 bpm\n"),
        (("downbeat",), ("downbeat", {}), "a bar begins here.\n"),
        (("nudge", "0.25"), ("nudge", {"beats": 0.25, "milliseconds": 0.0}), ""),
        (("nudge", "-20ms"), ("nudge", {"beats": 0.0, "milliseconds": -20.0}), ""),
    ],
)
def test_each_command_asks_for_its_own(
    run: Run, bridge: Bridge, words: tuple[str, ...], asked: tuple[str, Any], out: str
) -> None:
    bridge.replies["tap"] = {"bpm": 120.5}
    assert run(*words) == (0, out, "")
    assert bridge.asked == [asked]


def test_files_to_write_are_named_whole(run: Run, bridge: Bridge, tmp_path: Path) -> None:
    file = str(tmp_path / "take.mid")
    reply = {"file": file, "notes": 12, "bars": 4}
    bridge.replies.update(record=reply, keep=reply)
    assert run("record", "take.mid") == (0, f"{file}: 12 notes, 4 bars\n", "")
    assert run("keep", "4", "take.mid")[0] == 0
    assert bridge.asked == [("record", {"file": file}), ("keep", {"bars": 4, "file": file})]


def test_stop_waits_until_the_bridge_has_ended(run: Run, bridge: Bridge, tmp_path: Path) -> None:
    assert run("stop") == (0, "the bridge has ended.\n", "")
    assert not (tmp_path / "bridge.json").exists()
    assert run("stop")[0] == 2


def test_inputs_and_ports_come_from_the_bridge(run: Run, bridge: Bridge) -> None:
    bridge.replies["inputs"] = {"inputs": [[0, "Bus", "JACK", 2, 44100]]}
    bridge.replies["ports"] = {"ports": ["Synth"], "virtual": True}
    assert run("inputs") == (0, "  0  Bus  (JACK, 2 channels, 44100 Hz)\n", "")
    assert json.loads(run("inputs", "--json")[1]) == [
        {"index": 0, "name": "Bus", "host_api": "JACK", "channels": 2, "rate": 44100}
    ]
    assert run("ports") == (0, "Synth\n", "")


def test_watch_prints_events_a_line_each_until_the_bridge_ends(
    start: Callable[..., subprocess.Popen[str]], bridge: Bridge
) -> None:
    watching = start("watch", "--json", "notes", "window")
    assert watching.stdout is not None
    window = {"start_beats": 4.0, "result": "done"}
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.append(watching.stdout.readline()))
    reader.start()
    deadline = time.monotonic() + LONG_SECONDS
    while reader.is_alive() and time.monotonic() < deadline:
        bridge.server.publish("level", {"level_db": -3.0})
        bridge.server.publish("window", window)
        time.sleep(0.02)
    reader.join()
    told = json.loads(lines[0])
    assert (told["type"], told["content"]) == ("window", window)
    bridge.close()
    _, errors = watching.communicate(timeout=LONG_SECONDS)
    assert watching.returncode == 0
    assert errors == "sidekeys: the bridge has ended.\n"


def test_watch_refuses_events_that_there_are_not(run: Run, bridge: Bridge) -> None:
    status, _, errors = run("watch", "sunrise")
    assert status == 2
    assert "there is no event 'sunrise'; there are status, transport" in errors


def test_a_watcher_whose_reader_leaves_ends_quietly(
    start: Callable[..., subprocess.Popen[str]], bridge: Bridge
) -> None:
    watching = start("watch")
    assert watching.stdout is not None
    watching.stdout.close()
    deadline = time.monotonic() + LONG_SECONDS
    while watching.poll() is None and time.monotonic() < deadline:
        bridge.server.publish("problem", {"about": "input", "message": "x"})
        time.sleep(0.02)
    assert watching.returncode == 0
    assert watching.stderr is not None
    assert watching.stderr.read() == ""


def test_interrupting_a_watcher_leaves_no_traceback(
    start: Callable[..., subprocess.Popen[str]], bridge: Bridge
) -> None:
    watching = start("watch")
    assert watching.stdout is not None
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.append(watching.stdout.readline()))
    reader.start()
    while reader.is_alive():
        bridge.server.publish("problem", {"about": "input", "message": None})
        time.sleep(0.02)
    assert lines == ['problem about="input" message=null\n']
    watching.send_signal(signal.SIGINT)
    assert watching.wait(LONG_SECONDS) == 130
    assert watching.stderr is not None
    assert watching.stderr.read() == ""


# Rendering through the bridge


def test_render_hands_the_song_over_and_tells_the_end(
    run: Run, bridge: Bridge, tmp_path: Path
) -> None:
    (tmp_path / "song.wav").write_bytes(b"x")
    bridge.replies["render"] = {"job": "j1"}

    def work(command: str) -> None:
        if command == "render":
            bridge.server.publish("job", {"job": "other", "state": "done", "result": {}})
            bridge.server.publish("job", progress("running", done=1, total=2))
            bridge.server.publish("job", progress("done", result={"notes": 3}))

    bridge.on_asked = work
    status, out, errors = run(
        "render", "song.wav", "--engine", "--composer", "full", "--bpm", "90", "--seed", "3",
        "--half-time", "--plot", "roll.png", "--json",
    )  # fmt: skip
    assert (status, errors) == (0, "")
    assert json.loads(out) == {"songs": [{"notes": 3}]}
    command, content = bridge.asked[0]
    assert command == "render"
    assert content == {
        "song": str(tmp_path / "song.wav"), "midi": str(tmp_path / "song-piano.mid"),
        "plot": str(tmp_path / "roll.png"), "composer": "full", "bpm": 90.0, "seed": 3,
        "temperature": 1.0, "tempo_factor": 0.5, "tracker": "auto",
    }  # fmt: skip


def progress(state: str, **changes: Any) -> dict[str, Any]:
    whole = {"job": "j1", "state": state, "stage": "playing", "done": 0, "total": 0}
    return {**whole, "result": None, "message": None, **changes}


def test_a_render_that_fails_is_told(run: Run, bridge: Bridge, tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_bytes(b"x")
    bridge.replies["render"] = {"job": "j1"}
    bridge.on_asked = lambda _: bridge.server.publish(
        "job", progress("failed", message="no sound in it; give another song.")
    )
    assert run("render", "--engine", "song.wav", "-o", "out.mid") == (
        2, "", "sidekeys: error: no sound in it; give another song.\n",
    )  # fmt: skip
    assert not (tmp_path / "out.mid").exists()


def test_an_interrupted_render_is_cancelled(
    start: Callable[..., subprocess.Popen[str]], bridge: Bridge, tmp_path: Path
) -> None:
    (tmp_path / "song.wav").write_bytes(b"x")
    bridge.replies["render"] = {"job": "j1"}
    asked = threading.Event()
    cancelled = threading.Event()
    bridge.on_asked = lambda command: (asked if command == "render" else cancelled).set()
    rendering = start("render", "song.wav", "--engine")
    assert asked.wait(LONG_SECONDS)
    time.sleep(0.1)  # until the reply has come
    rendering.send_signal(signal.SIGINT)
    assert rendering.wait(LONG_SECONDS) == 130
    assert cancelled.is_set()
    assert bridge.asked[1] == ("cancel", {"job": "j1"})


def test_a_render_of_nothing_is_told_before_the_bridge_is_asked(run: Run, bridge: Bridge) -> None:
    status, _, errors = run("render", "nowhere.wav", "--engine")
    assert status == 2
    assert "no such file" in errors
    assert bridge.asked == []
