"""What whoever started the bridge reads, and that nothing they do or leave undone stops it."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sidekeys_bridge.console import Console

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join((str(ROOT / "engine"), str(ROOT / "bridge"))),
}
LONG_SECONDS = 60.0


def test_lines_go_to_standard_error_and_events_to_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = Console(as_json=True)
    console.say("all is well.")
    console.warn("not any more.")
    console.event("run", {"number": 1})
    console.event("status", {"state": "playing"})
    console.close()
    console.close()
    told = capsys.readouterr()
    assert told.err == "sidekeys: all is well.\nsidekeys: not any more.\n"
    assert [json.loads(line) for line in told.out.splitlines()] == [
        {"type": "run", "content": {"number": 1}},
        {"type": "status", "content": {"state": "playing"}},
    ]


def test_quiet_tells_only_what_goes_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=True)
    console.say("all is well.")
    console.show_panel("http://127.0.0.1:7353/#secret")
    console.event("run", {"number": 1})
    console.warn("not any more.")
    console.close()
    assert capsys.readouterr() == ("", "sidekeys: not any more.\n")


def test_the_panel_is_told_with_its_token_but_not_to_the_log(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    console = Console(log_file=tmp_path / "log")
    console.show_panel("http://127.0.0.1:7353/#secret")
    console.close()
    assert capsys.readouterr().err == ("sidekeys: the panel is at http://127.0.0.1:7353/#secret\n")
    assert "secret" not in (tmp_path / "log").read_text()


def test_a_name_with_line_ends_and_escapes_stays_one_harmless_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    console = Console()
    console.warn("the bus 'A\x1b[2J\nB' is gone.")
    console.close()
    assert capsys.readouterr().err == "sidekeys: the bus 'A [2J B' is gone.\n"


def test_the_log_has_all_but_what_is_told_ten_times_a_second(tmp_path: Path) -> None:
    console = Console(quiet=True, log_file=tmp_path / "log")
    console.say("all is well.")
    console.event("run", {"number": 1})
    for often in ("status", "level", "heard"):
        console.event(often, {"a": 1})
    console.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        "INFO all is well.",
        'INFO run {"number": 1}',
    ]
    assert not [h for h in logging.getLogger("sidekeys_bridge").handlers if h.name != ""]


WRITES_A_LOG = """
import sys
from pathlib import Path
from sidekeys_bridge.console import Console
console = Console(quiet=True, log_file=Path(sys.argv[1]))
for number in range(1_000):
    console.event("run", {"text": "x" * 1_000})
console.close()
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_disk_that_does_not_take_the_log_holds_nobody_up(tmp_path: Path) -> None:
    """A pipe that is open and never read stands for the disk; it holds far less than is logged."""
    os.mkfifo(tmp_path / "log")
    held = os.open(tmp_path / "log", os.O_RDWR)
    try:
        subprocess.run(
            [sys.executable, "-c", WRITES_A_LOG, str(tmp_path / "log")],
            env=ENVIRONMENT, timeout=LONG_SECONDS, check=True,
        )  # fmt: skip
    finally:
        os.close(held)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_log_that_cannot_be_written_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(log_file=Path("/dev/full"))
    for _ in range(3):
        console.say("all is well.")
    console.close()
    errors = capsys.readouterr().err
    assert errors.count("cannot be written any more (No space left on device)") == 1
    assert "Traceback" not in errors
    assert errors.count("all is well") == 3


# --- in a process of its own, with real pipes

TELLS = """
import sys, time
from sidekeys_bridge.console import Console
console = Console(as_json="--json" in sys.argv)
started = time.monotonic()
for number in range(20_000):
    console.event("status", {"number": number, "text": "x" * 200})
    console.warn(f"message {number}")
console.event("ending", {})
seconds = time.monotonic() - started
console.close()
open(sys.argv[1], "w").write(f"{seconds}")
"""


def test_a_program_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    """Neither of the pipes is read at all; both hold far less than is told."""
    process = subprocess.Popen(
        [sys.executable, "-c", TELLS, str(tmp_path / "done"), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip
    try:
        assert process.wait(LONG_SECONDS) == 0
        assert (tmp_path / "done").exists()
    finally:
        process.kill()
        process.communicate()


def test_a_program_that_went_away_is_no_fault(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", TELLS, str(tmp_path / "done"), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(LONG_SECONDS) == 0
    assert (tmp_path / "done").exists()
    assert "Traceback" not in errors
    assert "BrokenPipe" not in errors


def test_a_slow_reader_gets_whole_lines_and_the_last_of_them(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", TELLS, str(tmp_path / "done"), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=ENVIRONMENT,
    )  # fmt: skip
    assert process.stdout is not None
    time.sleep(1.0)  # by then much was dropped
    with process.stdout:
        events = [json.loads(line) for line in process.stdout]
    assert process.wait(LONG_SECONDS) == 0
    assert events[-1]["type"] == "ending"
    numbers = [event["content"]["number"] for event in events[:-1]]
    assert numbers == sorted(numbers)
    assert numbers[0] == 0
