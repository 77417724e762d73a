"""The supervisor: an engine is there, or another one is started, or it is said why not."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine_process import PATIENCE_SECONDS, ROOT, engine_environment, running_engine
from sidekeys_bridge.supervisor import Supervisor
from sidekeys_engine.protocol import Message, ProtocolError

BUILTIN = ROOT / "engine" / "sidekeys_engine" / "weights"
FAILING = [sys.executable, "-c", "import sys; sys.exit('sidekeys: error: no room for me.')"]


@pytest.fixture(autouse=True)
def _the_packages_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", engine_environment()["PYTHONPATH"])


def watch_until(supervisor: Supervisor, *states: str) -> list[str]:
    seen: list[str] = []
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        seen += supervisor.poll(time.monotonic())
        if supervisor.state in states:
            return seen
        time.sleep(0.005)
    raise AssertionError(f"{supervisor.state}, not {states}; {supervisor.problem}")


@pytest.fixture(scope="module")
def ready() -> Iterator[Supervisor]:
    supervisor = Supervisor(device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", engine_environment()["PYTHONPATH"])
        supervisor.start()
    try:
        seen = watch_until(supervisor, "ready")
        assert seen == ["starting", "loading", "warming", "ready"]
        yield supervisor
    finally:
        supervisor.close()


def gone(pid: int, within: float = 5.0) -> bool:
    end = time.monotonic() + within
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.01)
    return False


def test_a_ready_engine_has_a_client_and_a_description(ready: Supervisor):
    assert ready.client is not None
    assert ready.description is not None
    assert ready.description["pid"] == ready.pid
    assert ready.problem is None
    request = ready.client.request("health", {}, now_seconds=time.monotonic(), within_seconds=10)
    assert ready.client.socket.poll(10_000)
    assert [answer.id for answer in ready.client.poll(time.monotonic())] == [request]


def test_looking_after_the_engine_never_waits(ready: Supervisor):
    took = []
    for _ in range(400):
        started = time.monotonic()
        assert ready.poll(started) == []
        took.append(time.monotonic() - started)
        time.sleep(0.001)
    assert sorted(took)[len(took) // 2] < 0.002
    assert ready.state == "ready"


def test_half_a_minute_of_sleep_is_no_death(ready: Supervisor):
    pid, awake = ready.pid, time.monotonic()
    for now in (awake, awake + 30.0, awake + 30.1, awake + 60.0):
        ready.poll(now)
        time.sleep(0.3)
        ready.poll(now + 0.3)
    assert (ready.state, ready.pid, ready.restarts) == ("ready", pid, 0)
    # The clock of this test ran ahead; let the next one start from an answered question.
    end = time.monotonic() + 70
    assert ready.poll(end) in ([], ["ready"])


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_killed_engine_is_noticed_at_the_next_poll_and_replaced(ready: Supervisor):
    pid, client = ready.pid, ready.client
    assert pid is not None
    assert client is not None
    open_request = client.request("health", {}, now_seconds=0.0, within_seconds=1e9)
    os.kill(pid, signal.SIGKILL)
    started = time.monotonic()
    while "down" not in ready.poll(time.monotonic()):
        time.sleep(0.001)
    # 20 ms are promised; ten times that is for a busy machine.
    assert time.monotonic() - started < 0.2
    assert ready.client is None
    assert open_request in {answer.id for answer in client.poll(0.0)}
    watch_until(ready, "starting")
    assert ready.problem is not None
    assert "signal 9" in ready.problem
    assert watch_until(ready, "ready")[-1] == "ready"
    assert ready.restarts == 1
    assert ready.pid != pid
    assert ready.problem is None


def load(supervisor: Supervisor, checkpoint: Path) -> Message:
    """What the engine answers."""
    answers: list[Message] = []
    supervisor.load(str(checkpoint), time.monotonic(), answers.append)
    end = time.monotonic() + PATIENCE_SECONDS
    while not answers:
        supervisor.poll(time.monotonic())
        assert time.monotonic() < end
        time.sleep(0.005)
    (answer,) = answers
    return answer


def kill_and_wait(supervisor: Supervisor) -> None:
    """Until another engine is ready."""
    assert supervisor.pid is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    watch_until(supervisor, "down", "starting")
    watch_until(supervisor, "ready")


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_checkpoint_that_cannot_be_loaded_is_told_and_not_started_with(
    ready: Supervisor, tmp_path: Path
):
    assert load(ready, tmp_path / "nothing").type == "ok"
    end = time.monotonic() + 20
    while ready.problem is None:
        ready.poll(time.monotonic())
        assert time.monotonic() < end
        time.sleep(0.01)
    assert "nothing" in ready.problem
    assert ready.state == "ready"
    kill_and_wait(ready)
    assert ready.problem is None
    assert ready.description is not None
    assert ready.description["checkpoint"] == "builtin"


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_a_loaded_checkpoint_is_what_the_next_engine_starts_with(ready: Supervisor, tmp_path: Path):
    other = tmp_path / "mine"
    shutil.copytree(BUILTIN, other)
    assert load(ready, other).type == "ok"
    # The first one takes a while, so that this one comes meanwhile.
    refused = load(ready, tmp_path / "another")
    assert (refused.type, refused.content["code"]) == ("error", "busy")
    seen: list[str] = []
    end = time.monotonic() + PATIENCE_SECONDS
    while "checkpoint" not in seen:
        seen += ready.poll(time.monotonic())
        assert time.monotonic() < end, ready.problem
        time.sleep(0.005)
    assert seen == ["checkpoint"]
    assert ready.description is not None
    assert (ready.description["checkpoint"], ready.problem) == (str(other), None)
    kill_and_wait(ready)
    assert ready.description["checkpoint"] == str(other)


def test_without_an_engine_to_ask_no_checkpoint_is_loaded():
    supervisor = Supervisor(command=FAILING)
    with pytest.raises(ProtocolError, match="just starting"):
        supervisor.load("builtin", 0.0, lambda _: None)


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_who_waits_to_have_a_checkpoint_loaded_is_told_of_the_engines_death(ready: Supervisor):
    answers: list[Message] = []
    assert ready.pid is not None
    os.kill(ready.pid, signal.SIGSTOP)
    ready.load("builtin", time.monotonic(), answers.append)
    with pytest.raises(ProtocolError, match="just asked for"):
        ready.load("builtin", time.monotonic(), answers.append)
    os.kill(ready.pid, signal.SIGKILL)
    watch_until(ready, "down", "starting")
    assert [answer.content["code"] for answer in answers] == ["cancelled"]


def test_an_engine_that_never_lives_is_tried_less_and_less_often():
    supervisor = Supervisor(command=FAILING)
    supervisor.start()
    try:
        starts, now = [], 1000.0
        end = time.monotonic() + PATIENCE_SECONDS
        while len(starts) < 5 and time.monotonic() < end:
            before = supervisor.restarts
            supervisor.poll(now)
            if supervisor.restarts > before:
                starts.append(now)
            if supervisor.pid is None:
                now += 0.25
            else:
                time.sleep(0.01)  # the process is real; the pauses are the test's
        pauses = [round(later - earlier) for earlier, later in itertools.pairwise(starts)]
        assert pauses == [1, 2, 4, 8]
        while supervisor.pid is not None:
            supervisor.poll(now)
        assert supervisor.problem is not None
        assert supervisor.problem.startswith("The engine ended (status 1): no room for me; it is ")
    finally:
        supervisor.close()


def test_an_engine_without_a_checkpoint_is_down_and_says_why(tmp_path: Path):
    supervisor = Supervisor(checkpoint=str(tmp_path / "nothing"), device="cpu")
    supervisor.start()
    try:
        watch_until(supervisor, "loading", "down")
        watch_until(supervisor, "down")
        assert supervisor.problem is not None
        assert "nothing" in supervisor.problem
        assert supervisor.client is None
        assert supervisor.restarts == 0
    finally:
        supervisor.close()


def test_closing_ends_the_engine_and_leaves_nothing():
    supervisor = Supervisor(device="cpu")
    supervisor.start()
    watch_until(supervisor, "loading", "warming", "ready")
    pid, folder = supervisor.pid, supervisor._folder
    assert pid is not None
    assert folder is not None
    started = time.monotonic()
    supervisor.close()
    supervisor.close()
    assert time.monotonic() - started < 3.5
    assert not psutil.pid_exists(pid)
    assert not folder.exists()
    assert supervisor.poll(time.monotonic()) == []
    assert supervisor.state == "down"


@pytest.mark.skipif(os.name != "posix", reason="kill -9")
def test_the_engine_ends_when_the_bridge_is_killed():
    program = (
        "import sys, time\n"
        "from sidekeys_bridge.supervisor import Supervisor\n"
        "supervisor = Supervisor(device='cpu')\n"
        "supervisor.start()\n"
        "while supervisor.state not in ('loading', 'warming', 'ready'):\n"
        "    supervisor.poll(time.monotonic())\n"
        "    time.sleep(0.01)\n"
        "print(supervisor.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as bridge:
        assert bridge.stdout is not None
        pid = int(bridge.stdout.readline())
        assert psutil.pid_exists(pid)
        bridge.kill()
        bridge.wait()
        # A second is promised; more is for a busy machine.
        assert gone(pid, within=2.5)


def test_an_engine_of_somebody_elses_is_used_and_left_alone(tmp_path: Path):
    path = tmp_path / "engine.json"
    supervisor = Supervisor.connect(path)
    supervisor.start()
    try:
        watch_until(supervisor, "down")
        assert supervisor.problem is not None
        assert "engine.json" in supervisor.problem
        with running_engine(path) as first:
            watch_until(supervisor, "ready")
            assert supervisor.pid == first.process.pid
            first.process.kill()
            first.process.wait()
            watch_until(supervisor, "down")
        path.unlink()
        with running_engine(path) as second:
            watch_until(supervisor, "ready")
            assert supervisor.pid == second.process.pid
            supervisor.close()
            assert second.process.poll() is None
    finally:
        supervisor.close()
