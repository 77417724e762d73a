"""The panel as the bridge keeps it: started, known by its address, started again, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from sidekeys_bridge.connection import RUNTIME_VARIABLE, claimed
from sidekeys_bridge.panel_files import panel_url, read_served
from sidekeys_bridge.panel_process import PanelProcess
from sidekeys_engine.errors import InputError

LONG_SECONDS = 60.0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(RUNTIME_VARIABLE, str(tmp_path))
    return tmp_path


def free_port() -> int:
    with socket.socket() as asking:
        asking.bind(("127.0.0.1", 0))
        return asking.getsockname()[1]


@pytest.fixture
def panel(folder: Path) -> Iterator[PanelProcess]:
    started = PanelProcess(port=free_port())
    yield started
    started.close()


def poll_until(panel: PanelProcess, is_so: Callable[[], object], ahead_seconds: float = 0) -> None:
    deadline = time.monotonic() + LONG_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, (panel.url, panel.problem)
        panel.poll(time.monotonic() + ahead_seconds)
        time.sleep(0.005)


def test_the_bridge_loads_no_web_server():
    program = (
        "import sys, sidekeys_bridge.panel_process as _; "
        "sys.exit(bool({'starlette', 'uvicorn', 'anyio', 'websockets'} & set(sys.modules)))"
    )
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert ran.returncode == 0


def test_it_becomes_known_where_the_panel_is_and_close_ends_it(panel: PanelProcess, folder: Path):
    assert (panel.url, panel.pid, panel.problem) == (None, None, None)
    panel.start()
    poll_until(panel, lambda: panel.url)
    url = panel.url
    assert url is not None
    assert httpx.get(url, trust_env=False).status_code == 200
    assert panel.problem is None
    panel.close()
    panel.close()
    assert (panel.url, panel.pid) == (None, None)
    assert read_served() is None
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


def test_a_panel_that_was_killed_is_told_and_comes_back_at_its_address(panel: PanelProcess):
    panel.start()
    poll_until(panel, lambda: panel.url)
    url, pid = panel.url, panel.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    poll_until(panel, lambda: panel.problem)
    assert panel.url is None
    assert panel.problem is not None
    assert "signal 9" in panel.problem
    with claimed(), pytest.raises(InputError, match="serves no panel"):
        panel_url()
    poll_until(panel, lambda: panel.url)
    assert (panel.url, panel.problem, panel.starts) == (url, None, 2)
    assert panel.pid != pid


def test_a_panel_that_cannot_be_is_tried_again_with_pauses_that_grow(folder: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        panel = PanelProcess(port=taken.getsockname()[1])
        panel.start()
        try:
            poll_until(panel, lambda: panel.problem and panel.pid is None)
            assert panel.problem is not None
            assert panel.problem.startswith("no control panel: the port ")
            assert "--port" in panel.problem
            now = time.monotonic()
            panel.poll(now + 0.3)
            assert panel.starts == 1
            panel.poll(now + 0.6)
            assert panel.starts == 2
            poll_until(panel, lambda: panel.pid is None)
            panel.poll(time.monotonic() + 0.7)
            assert panel.starts == 2
            panel.poll(time.monotonic() + 1.1)
            assert panel.starts == 3
        finally:
            panel.close()


def test_looking_after_it_never_waits(panel: PanelProcess):
    panel.start()
    os.kill(panel.pid or 0, signal.SIGSTOP)
    try:
        started = time.monotonic()
        for _ in range(100):
            panel.poll(time.monotonic())
        assert time.monotonic() - started < 1.0  # of the two seconds that a wait would take
    finally:
        os.kill(panel.pid or 0, signal.SIGCONT)


def test_a_panel_that_hangs_is_ended_all_the_same(panel: PanelProcess):
    panel.start()
    poll_until(panel, lambda: panel.url)
    pid, served = panel.pid or 0, read_served()
    assert served is not None
    os.kill(pid, signal.SIGSTOP)
    panel.close()
    assert not Path(served.scratch).exists()
    assert read_served() is None
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_address_can_be_asked_for_while_a_bridge_serves_it(panel: PanelProcess, folder: Path):
    with pytest.raises(InputError, match="no bridge runs"):
        panel_url()
    with claimed():
        with pytest.raises(InputError, match="serves no panel"):
            panel_url()
        panel.start()
        poll_until(panel, lambda: panel.url)
        assert panel_url() == panel.url
        panel.close()
        with pytest.raises(InputError, match="serves no panel"):
            panel_url()
