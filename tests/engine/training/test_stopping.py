"""Ctrl-C is heard once for a clean end, and nobody is left behind."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sidekeys_engine.training.stopping import (
    asked_to_stop,
    end_with_parent,
    starting_deaf_processes,
)

ROOT = Path(__file__).parents[3]


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def is_alive(pid: int) -> bool:
    """Whether a process works still; one that is dead but was not fetched does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_first_ctrl_c_asks_and_the_second_ends() -> None:
    before = signal.getsignal(signal.SIGINT)
    with asked_to_stop() as is_stopped:
        assert not is_stopped()
        ctrl_c()
        assert is_stopped()
        with pytest.raises(KeyboardInterrupt):
            ctrl_c()
    assert signal.getsignal(signal.SIGINT) is before


def test_who_is_started_deaf_survives_a_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGINT)
    ours, theirs = multiprocessing.Pipe()
    with starting_deaf_processes():
        process = multiprocessing.get_context("spawn").Process(target=_echo, args=(theirs,))
        process.start()
    assert signal.getsignal(signal.SIGINT) is before
    os.kill(process.pid or 0, signal.SIGINT)  # while it loads its modules, most likely
    ours.send("once")
    assert ours.recv() == "once"
    os.kill(process.pid or 0, signal.SIGINT)
    ours.send("twice")
    assert ours.recv() == "twice"
    process.join(30)
    assert process.exitcode == 0
    process.close()
    ours.close()
    theirs.close()


def _echo(line: multiprocessing.connection.Connection) -> None:
    for _ in range(2):
        line.send(line.recv())


def test_a_process_ends_when_the_one_that_started_it_is_killed() -> None:
    program = f"""if True:
        import multiprocessing, sys, time
        sys.path[:0] = {[str(Path(__file__).parent), str(ROOT / "engine")]!r}
        from test_stopping import _stay
        if __name__ == "__main__":
            process = multiprocessing.get_context("spawn").Process(target=_stay)
            process.start()
            print(process.pid, flush=True)
            time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert parent.stdout.readline() == "here\n"
        assert is_alive(child)
        parent.kill()
    deadline = time.monotonic() + 10
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(child)


def _stay() -> None:
    end_with_parent()
    print("here", flush=True)
    time.sleep(60)


def test_only_a_process_that_was_started_has_a_parent_to_end_with() -> None:
    with pytest.raises(ValueError, match="not started"):
        end_with_parent()
