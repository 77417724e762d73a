"""The panel's process: its one line, its ends, its ports, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from panel_session import LONG_SECONDS, first_line, running_panel, start_panel
from sidekeys_bridge.connection import RUNTIME_VARIABLE
from sidekeys_bridge.panel import address
from sidekeys_bridge.panel_files import Served
from sidekeys_bridge.settings import PANEL_PORT
from sidekeys_engine.errors import InputError


def free_port() -> int:
    with socket.socket() as asking:
        asking.bind(("127.0.0.1", 0))
        return asking.getsockname()[1]


def served_in(folder: Path) -> Served:
    return Served(**json.loads((folder / "panel.json").read_text()))


def is_served(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


def test_it_tells_where_it_is_served_and_only_its_user_may_know(tmp_path: Path):
    with running_panel(tmp_path) as panel:
        assert set(panel.told) == {"url", "notices"}
        assert panel.told["url"].startswith("http://127.0.0.1:")
        served = served_in(tmp_path)
        assert (served.url, served.pid) == (panel.told["url"], panel.process.pid)
        for name in ("panel.json", "panel.token"):
            assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        assert stat.S_IMODE(panel.scratch.stat().st_mode) == 0o700
        assert httpx.get(panel.told["url"], trust_env=False).status_code == 200


def test_the_token_outlives_the_panel_so_that_an_open_page_finds_the_next(tmp_path: Path):
    tokens = []
    for _ in range(2):
        with running_panel(tmp_path) as panel:
            tokens.append(panel.token)
    assert tokens[0] == tokens[1]
    assert len(tokens[0]) > 40


@pytest.mark.parametrize("others", [0o640, 0o604, 0o620])
def test_a_token_that_others_could_know_is_replaced(tmp_path: Path, others: int):
    (tmp_path / "panel.token").write_text("x" * 43)
    (tmp_path / "panel.token").chmod(others)
    with running_panel(tmp_path) as panel:
        assert panel.token != "x" * 43


def test_it_ends_with_its_input_and_leaves_nothing(tmp_path: Path):
    with running_panel(tmp_path) as panel:
        scratch, port = panel.scratch, panel.port
        (scratch / "song").write_text("left")
        with panel.page() as page:
            assert page.wait_for("bridge") == {"connected": False, "version": ""}
            assert panel.end() == 0
        assert not scratch.exists()
        assert not (tmp_path / "panel.json").exists()
        assert not is_served(port)
    assert panel.output.read_text() == ""


def test_it_ends_with_its_parent_even_if_its_input_stays_open(tmp_path: Path):
    # The shell in between ends; its child keeps the pipe that we hold.
    program = (
        "import os, subprocess, sys; subprocess.Popen([sys.executable, '-m', "
        "'sidekeys_bridge.panel', '--port', '0', '--until-stdin-closes', '--parent', "
        "str(os.getpid())]); sys.stdin.readline()"
    )
    between = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path),
             RUNTIME_VARIABLE: str(tmp_path)},
    )  # fmt: skip
    port = httpx.URL(json.loads(first_line(between))["url"]).port
    assert port is not None
    assert is_served(port)
    between.kill()
    between.wait()
    deadline = time.monotonic() + LONG_SECONDS
    while is_served(port):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    between.communicate()


def test_ctrl_c_is_for_the_bridge_and_a_signal_to_end_ends_it(tmp_path: Path):
    with running_panel(tmp_path) as panel:
        panel.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        with panel.http() as browser:
            assert browser.get("/").status_code == 200
        scratch = panel.scratch
        panel.process.send_signal(signal.SIGTERM)
        assert panel.process.wait(LONG_SECONDS) == 0
        assert not scratch.exists()


def test_what_a_killed_panel_left_is_removed_by_the_next(tmp_path: Path):
    with running_panel(tmp_path) as panel:
        scratch = panel.scratch
        panel.process.kill()
        panel.process.wait()
    assert scratch.is_dir()
    with running_panel(tmp_path) as panel:
        assert not scratch.exists()
        assert panel.scratch.is_dir()


def test_a_file_that_names_another_folder_has_nothing_removed(tmp_path: Path):
    precious = tmp_path / "precious"
    precious.mkdir()
    told = {"url": "http://127.0.0.1:1/#x", "pid": 2**22 - 1, "scratch": str(precious)}
    (tmp_path / "panel.json").write_text(json.dumps(told))
    (tmp_path / "panel.json").chmod(0o600)
    with running_panel(tmp_path):
        assert precious.is_dir()


def test_a_port_of_the_users_choice_that_is_taken_is_told_in_words(tmp_path: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start_panel(
            subprocess.DEVNULL, "--port", str(port), **{RUNTIME_VARIABLE: str(tmp_path)}
        )
        out, _ = process.communicate("", timeout=LONG_SECONDS)
    assert process.returncode == 2
    assert json.loads(out) == {
        "error": f"the port {port} is taken; name another one with --port, or leave it out."
    }


def test_without_a_choice_the_next_free_port_is_taken_and_told(tmp_path: Path):
    with socket.socket() as taken:
        if taken.connect_ex(("127.0.0.1", PANEL_PORT)):  # else somebody has it already
            taken.bind(("127.0.0.1", PANEL_PORT))
            taken.listen()
        process = start_panel(subprocess.DEVNULL, **{RUNTIME_VARIABLE: str(tmp_path)})
        told = json.loads(first_line(process))
        process.communicate("", timeout=LONG_SECONDS)
    port = httpx.URL(told["url"]).port
    assert port in range(PANEL_PORT + 1, PANEL_PORT + 20)
    assert told["notices"] == [f"the port {PANEL_PORT} is taken, so the panel is at port {port}."]


def test_the_next_panel_waits_for_the_port_of_the_one_before(tmp_path: Path):
    port = free_port()
    with running_panel(tmp_path, "--port", str(port)) as before, before.page() as page:
        page.wait_for("bridge")
        assert before.process.stdin is not None
        before.process.stdin.close()
        with running_panel(tmp_path, "--port", str(port)) as panel:
            assert panel.port == port
            assert before.process.wait(LONG_SECONDS) == 0
            served = served_in(tmp_path)
            assert served.pid == panel.process.pid
            assert panel.scratch.is_dir()


def own_address() -> str | None:
    """An address of this machine that is not its loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return asking.getsockname()[0]


def test_other_machines_reach_it_only_if_it_is_asked_for_and_that_is_told(tmp_path: Path):
    own = own_address()
    if own is None:
        pytest.skip("this machine has no address but its loopback's")
    with running_panel(tmp_path) as panel:
        assert panel.told["notices"] == []
        with socket.socket() as asking:
            assert asking.connect_ex((own, panel.port)) != 0
    with running_panel(tmp_path, "--host", "0.0.0.0") as panel:
        assert panel.told["url"].startswith(f"http://{own}:{panel.port}/#")
        assert len(panel.told["notices"]) == 1
        assert "can be reached from the network" in panel.told["notices"][0]
        assert httpx.get(panel.told["url"], trust_env=False).status_code == 200
        for host, status in ((own, 200), ("203.0.113.9", 200), ("evil.example", 403)):
            with panel.http(host=f"{host}:{panel.port}") as browser:
                assert browser.get("/").status_code == status


def test_an_address_that_is_printed_is_one_for_others_or_is_said_not_to_be(tmp_path: Path):
    if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with running_panel(tmp_path, "--host", "::") as panel:
        assert httpx.get(panel.told["url"], trust_env=False).status_code == 200
        words = " ".join(panel.told["notices"])
        is_for_all = httpx.URL(panel.told["url"]).host not in ("::1", "127.0.0.1")
        assert is_for_all != ("look up this machine's own address" in words)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_machine_without_a_network_says_that_its_address_is_to_be_looked_up(
    host: str, monkeypatch: pytest.MonkeyPatch
):
    refused = {socket.AF_INET: ("255.255.255.255", 9), socket.AF_INET6: ("::g", 9)}
    monkeypatch.setattr(address, "_ELSEWHERE", refused)
    try:
        found = address.listen(host, 0, is_ours=lambda: False)
    except InputError:
        pytest.skip(f"this machine cannot listen at {host}")
    found.socket.close()
    assert found.url.startswith(("http://127.0.0.1:", "http://[::1]:"))
    assert f"reached from the network at {host}" in found.notices[0]
    assert "look up this machine's own address" in found.notices[1]


def test_an_address_of_another_machine_is_refused_in_words(tmp_path: Path):
    for host in ("192.0.2.1", "no.such.name.invalid"):
        process = start_panel(
            subprocess.DEVNULL, "--host", host, "--port", "0", **{RUNTIME_VARIABLE: str(tmp_path)}
        )
        out, _ = process.communicate("", timeout=LONG_SECONDS)
        assert process.returncode == 2
        assert f"cannot serve the panel at {host}" in json.loads(out)["error"]
