"""The live status: what it says, and how it is drawn on a real terminal."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sidekeys_bridge.terminal import status_lines
from terminal_screen import Screen, on_a_terminal

ROOT = Path(__file__).parents[2]
PATHS = {"PYTHONPATH": os.pathsep.join((str(ROOT / "engine"), str(ROOT / "bridge")))}
PANEL = "http://127.0.0.1:7353/#secret-token"

STATUS: dict[str, Any] = {
    "state": "playing", "problems": [], "port": "Sidekeys", "composer": "full", "mode": "echo",
    "delay_beats": 4, "delay_reason": "a window takes 0.31 s, a beat 0.58 s",
    "transport": {
        "source": "clock", "choice": "auto", "playing": True, "bpm": 104.0, "meter": "4/4",
        "beat": 46.5, "bar": 12, "bar_start": 44.0, "loop": None, "stretch": 1, "problem": None,
    },
    "input": {
        "choice": "default", "name": "Drums and Bass", "rate": 48000, "connected": True,
        "ended": False, "level_db": -18.2, "peak_db": -6.0, "clipped": False,
        "silent_seconds": 0.0, "problem": None,
    },
    "engine": {
        "pid": 77, "state": "ready", "device": "cpu", "checkpoint": "builtin",
        "generation_seconds": 0.3, "problem": None,
    },
    "counters": {
        "notes_sent": 1234, "late_notes_dropped": 0, "windows_done": 48, "windows_missed": 0,
        "input_overflows": 0, "sounding": 2,
    },
    "controls": {"mute": False},
}  # fmt: skip


def changed(part: str | None = None, **values: Any) -> dict[str, Any]:
    if part is None:
        return {**STATUS, **values}
    return {**STATUS, part: {**STATUS[part], **values}}


def shown(status: dict[str, Any], width: int = 80, panel: str | None = PANEL) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO())
    for line in status_lines(status, width, panel=panel):
        line.truncate(width, overflow="ellipsis")
        console.print(line)
    return [line.rstrip() for line in console.export_text().splitlines()]


# --- what it says


def test_it_says_what_matters_in_four_lines() -> None:
    assert shown(STATUS) == [
        "  song    bar 12 | 3   104.0 bpm  4/4   MIDI clock         http://127.0.0.1:7353",
        "  piano   full   echo, 4 beats behind   a window takes 0.31 s, a beat 0.58 s",
        "  sound   ▬▬▬▬▬▬▬▬▭▭▭▭  -18 dB   Drums and Bass",
        "  engine  ready on cpu   48 windows   1,234 notes",
    ]


def test_a_narrow_terminal_gets_what_matters_most() -> None:
    lines = shown(STATUS, width=60)
    assert all(len(line) <= 60 for line in lines)
    assert lines[0] == "  song    bar 12 | 3   104.0 bpm  4/4   MIDI clock"
    assert lines[1].startswith("  piano   full   echo, 4 beats behind")
    assert lines[1].endswith("…")
    assert shown(STATUS, width=70)[0].endswith("MIDI clock      127.0.0.1:7353")


@pytest.mark.parametrize(
    ("status", "row", "words"),
    [
        (changed("transport", playing=False), 0, "stopped   MIDI clock"),
        (changed("transport", playing=False, source=""), 0, "nobody tells the beats yet"),
        (changed("transport", bar_start=None), 0, "bar 12   104.0"),
        (changed("transport", meter="6/8", beat=45.6), 0, "bar 12 | 4   104.0 bpm  6/8"),
        (changed(composer=None), 1, "nobody yet"),
        (changed(delay_beats=None, delay_reason=None), 1, "full   echo"),
        (changed(mode="loop", delay_beats=0), 1, "loop, in sync"),
        (changed("controls", mute=True), 1, "muted"),
        (changed("input", connected=False), 2, "no sound comes   Drums and Bass"),
        (changed("input", name="", connected=False), 2, "no sound comes   default"),
        (changed("input", ended=True), 2, "Drums and Bass is over"),
        (changed("input", silent_seconds=12.4, level_db=-120.0), 2, "▭  no signal for 12 s"),
        (changed("input", clipped=True, level_db=3.0), 2, "▬▬▬▬▬▬▬▬▬▬▬▬    3 dB  too loud"),
        (changed("input", name="Bus\x1b[2J"), 2, "Bus [2J"),
        (changed("engine", state="warming", device=None), 3, "warms up   48 windows"),
        (changed("engine", state="down"), 3, "is down; another one starts   48"),
        (changed("counters", windows_missed=2, late_notes_dropped=3), 3,
         "48 windows, 2 missed   1,234 notes, 3 too late"),
        (changed("counters", input_overflows=1), 3, "sound was lost 1 times"),
    ],
)  # fmt: skip
def test_each_state_has_its_words(status: dict[str, Any], row: int, words: str) -> None:
    assert words in shown(status, width=100)[row]


def test_colors_are_few_and_names_are_faint_alone() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=100)
    for line in status_lines(changed("counters", windows_missed=2), 100):
        console.print(line)
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[2m  song    \x1b[0m\x1b[1mbar 12" in drawn
    assert "\x1b[32m" in drawn  # the meter
    assert "\x1b[33m, 2 missed" in drawn
    assert " 48 windows\x1b" in drawn


# --- how it is drawn, by a program on a terminal of its own

PROGRAM = f"""
import json, os, signal, sys, threading, time
from sidekeys_bridge.console import Console
console = Console(quiet="--quiet" in sys.argv, as_json="--json" in sys.argv)
status = json.loads({json.dumps(json.dumps(STATUS))})
ending = []
signal.signal(signal.SIGTERM, lambda *_: ending.append(1))
console.say("the port is open.")
console.show_panel({PANEL!r})
number = 0
while not ending:
    number += 1
    status["transport"]["bar"] = number
    console.event("status", json.loads(json.dumps(status)))
    if number == 20:
        console.warn("the bus is silent; look at its fader. " + "More words. " * 10)
        print("what Python itself has to say", file=sys.stderr)
    time.sleep(0.02)
console.say("12 notes.")
console.close()
print("after the end", file=sys.stderr)
"""


def program(*words: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, *words]


def status_rows(screen: Screen) -> list[str]:
    return [
        line
        for line in screen.lines
        if line.startswith(("  song ", "  piano ", "  sound ", "  engine "))
    ]


def bar_beyond(number: int) -> Callable[[str], bool]:
    """The status is drawn, and the song has got so far."""

    def is_so(text: str) -> bool:
        bars = re.findall(r"bar (\d+)", text)
        return bool(bars) and int(bars[-1]) >= number and "engine" in text.splitlines()[-1]

    return is_so


@pytest.mark.parametrize("columns", [60, 100])
def test_the_status_stays_below_the_messages_and_goes_at_the_end(columns: int) -> None:
    with on_a_terminal(program(), columns=columns, environment=PATHS) as seat:
        seat.wait_for(bar_beyond(60))
        lines = seat.screen.text.splitlines()
        assert lines[0] == "sidekeys: the port is open."
        assert "More words." in seat.screen.text
        assert [line[:8].strip() for line in lines[-4:]] == ["song", "piano", "sound", "engine"]
        assert len(status_rows(seat.screen)) == 4  # nothing of an old picture is left
        assert all(len(line) < columns for line in lines[-4:])
        assert "\nwhat Python itself has to say\n" in seat.screen.text
        assert PANEL in seat.screen.links if columns == 100 else not seat.screen.links
        seat.process.terminate()
        assert seat.end() == 0
        assert seat.screen.cursor_shown
        assert status_rows(seat.screen) == []
        assert seat.screen.text.endswith("sidekeys: 12 notes.\nafter the end")


def test_it_is_drawn_a_few_times_a_second_and_without_an_empty_moment() -> None:
    with on_a_terminal(program(), environment=PATHS) as seat:
        seat.wait_for(bar_beyond(10))
        seat.written = ""
        started = time.monotonic()
        while time.monotonic() < started + 2:
            seat.read()
        seconds = time.monotonic() - started
        pictures = seat.written.count("\x1b[?2026h")
        # Two more: the one that had begun, and the one with the messages.
        assert 2 <= pictures <= seconds / 0.25 + 2
        # Only what has messages above it is erased first.
        assert seat.written.count("\x1b[J") <= 1


def test_a_terminal_that_becomes_narrower_is_left_tidy() -> None:
    """It breaks the old lines in two; so many are taken away."""
    with on_a_terminal(program(), columns=100, environment=PATHS) as seat:
        seat.wait_for(bar_beyond(30))
        seat.process.send_signal(signal.SIGSTOP)
        while not seat.is_still():
            pass
        seat.resize(50)
        seat.process.send_signal(signal.SIGCONT)
        seat.wait_for(
            lambda text: (
                len(status_rows(seat.screen)) == 4
                and all(len(line) < 50 for line in text.splitlines()[-4:])
            )
        )
        assert seat.screen.text.count("104.0 bpm") == 1
        assert "what Python itself has to say" in seat.screen.text


def test_a_stopped_terminal_holds_nobody_up() -> None:
    """Ctrl-S, and a status that is told again and again until the terminal takes no more."""
    with on_a_terminal([sys.executable, "-c", FLOOD], environment=PATHS) as seat:
        # Nothing is read here at all: the terminal is full soon.
        assert seat.process.wait(60) == 0


FLOOD = """
import sys
from sidekeys_bridge.console import Console
console = Console()
for number in range(3000):
    console.warn(f"message {number} " + "x" * 200)
console.close()
"""


@pytest.mark.parametrize("words", [("--quiet",), ("--json",)])
def test_quiet_and_json_show_no_status(words: tuple[str, ...], tmp_path: Path) -> None:
    with (
        (tmp_path / "out").open("wb") as out,
        on_a_terminal(program(*words), environment=PATHS, stdout=out.fileno()) as seat,
    ):
        seat.wait_for("the bus is silent")
        seat.process.terminate()
        assert seat.end() == 0
        assert "\x1b" not in seat.written
        assert ("the port is open" in seat.written) == (words == ("--json",))


def test_a_terminal_that_can_do_little_gets_plain_lines() -> None:
    with on_a_terminal(program(), environment={**PATHS, "TERM": "dumb"}) as seat:
        seat.wait_for("the bus is silent")
        assert "\x1b" not in seat.written
        assert f"sidekeys: the panel is at {PANEL}" in seat.screen.text.replace("\n", "")


def test_no_color_is_respected_and_ascii_is_enough() -> None:
    plain = {**PATHS, "NO_COLOR": "1", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    with on_a_terminal(program(), environment=plain) as seat:
        seat.wait_for(bar_beyond(30))
        assert "########----  -18 dB" in seat.screen.text
        assert seat.written.isascii()
        assert "\x1b[32m" not in seat.written


IN_THE_BACKGROUND = """
import os, subprocess, sys
job = subprocess.Popen(sys.argv[1:], preexec_fn=os.setpgrp)
sys.stdin.readline()
job.terminate()
sys.exit(job.wait())
"""


def test_in_the_background_the_terminal_is_left_to_the_shell() -> None:
    shell = [sys.executable, "-c", IN_THE_BACKGROUND, *program()]
    with on_a_terminal(shell, environment=PATHS) as seat:
        seat.wait_for("what Python itself has to say")
        while not seat.is_still():
            pass
        seat.type("\n")
        assert seat.end() == 0
        assert "\x1b" not in seat.written
        assert "sidekeys: 12 notes." in seat.screen.text


def test_keys_and_modes_of_the_terminal_stay_as_they_are() -> None:
    with on_a_terminal(program(), environment=PATHS) as seat:
        before = termios.tcgetattr(seat._terminal)
        seat.wait_for(bar_beyond(30))
        assert termios.tcgetattr(seat._terminal) == before
        seat.process.kill()  # nobody could tidy up after this
        seat.end()
        assert seat.screen.cursor_shown
