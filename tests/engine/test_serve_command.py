"""`sidekeys engine`: it answers at once, and it ends when it should, however its parent ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from engine_process import PATIENCE_SECONDS, engine_environment, running_engine
from sidekeys_engine.command import main
from sidekeys_engine.connection import Connection
from sidekeys_engine.serve_command import curve_keys, default_threads

COMMAND = [sys.executable, "-m", "sidekeys_engine", "engine"]


def wait_for(path: Path) -> Connection:
    end = time.monotonic() + PATIENCE_SECONDS
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    return Connection.read(path)


def seconds_until_gone(pid: int) -> float:
    started = time.monotonic()
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() - started < 20, "it lives on"
        time.sleep(0.01)
    return time.monotonic() - started


def test_it_answers_while_it_loads(tmp_path: Path):
    with running_engine(tmp_path / "engine.json") as running, running.talk() as talk:
        answer = talk.ask("describe").content
        assert answer["state"] in ("loading", "warming")
        assert answer["composers"] is None
        assert answer["generation_seconds"] is None
        assert talk.ask("health").content["state"] in ("loading", "warming")
    assert not running.path.exists()


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_without_a_traceback(tmp_path: Path, number: signal.Signals):
    path = tmp_path / "engine.json"
    with subprocess.Popen(
        [*COMMAND, "--connection", str(path)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=engine_environment(),
    ) as process:
        wait_for(path)
        process.send_signal(number)
        assert process.wait(20) == 0
        assert process.stderr is not None
        said = process.stderr.read()
    assert said.count("\n") == 1
    assert "Traceback" not in said
    assert not path.exists()


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
@pytest.mark.parametrize("option", ["--parent", "--until-stdin-closes"])
def test_it_ends_within_a_second_when_its_parent_is_killed(tmp_path: Path, option: str):
    path = tmp_path / "engine.json"
    program = (
        "import os, subprocess, sys\n"
        f"option = [{option!r}] + ([str(os.getpid())] if {option!r} == '--parent' else [])\n"
        f"subprocess.Popen({COMMAND!r} + option + ['--connection', {str(path)!r}],\n"
        "                 stdin=subprocess.PIPE).wait()\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], env=engine_environment()) as parent:
        engine = wait_for(path).pid
        parent.kill()
        parent.wait()
        # A second is promised; twice that is for a busy machine.
        assert seconds_until_gone(engine) < 2.0
    assert not path.exists()


def test_shut_down_is_answered_and_done(tmp_path: Path):
    with running_engine(tmp_path / "engine.json") as running:
        with running.talk() as talk:
            assert talk.ask("shut-down").type == "ok"
        assert running.process.wait(20) == 0


@pytest.mark.skipif(not hasattr(os, "nice"), reason="POSIX priorities")
def test_it_yields_to_the_daw(tmp_path: Path):
    with running_engine(tmp_path / "engine.json") as running:
        assert psutil.Process(running.process.pid).nice() > psutil.Process().nice()


def test_a_core_is_left_to_the_daw():
    assert 1 <= default_threads() <= max(1, (os.cpu_count() or 1) - 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--endpoint", "tcp://0.0.0.0:*"], "--curve-keys"),
        (["--endpoint", "nonsense"], "no address"),
        (["--endpoint", "tcp://127.0.0.1:notaport"], "--endpoint"),
        (["--connection", os.devnull + "/x"], "--connection"),
    ],
)
def test_what_cannot_be_is_said_in_words(options: list[str], words: str, tmp_path: Path):
    if "--connection" not in options:
        options = [*options, "--connection", str(tmp_path / "engine.json")]
    result = subprocess.run(
        [*COMMAND, *options], capture_output=True, text=True, check=False, timeout=60,
        env=engine_environment(),
    )  # fmt: skip
    assert result.returncode == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_cores_are_no_number_of_threads(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["engine", "--threads", "0"])
    assert "number of cores" in capsys.readouterr().err


def test_keys_are_made_once(tmp_path: Path):
    first = curve_keys(tmp_path / "keys")
    assert curve_keys(tmp_path / "keys") == first
    assert len(first.public) == len(first.secret) == 40
