"""A user has one bridge; it is found while it lives, and not believed in when it is dead."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sidekeys_bridge.connection import (
    RUNTIME_VARIABLE,
    claimed,
    find_bridge,
    is_running,
    read_private,
    runtime_folder,
)
from sidekeys_engine.connection import Connection
from sidekeys_engine.errors import InputError

ROOT = Path(__file__).parents[2]
HERE = Connection("tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "secret", os.getpid(), "1.0")

BRIDGE = """
import os, sys, time
from pathlib import Path
from sidekeys_bridge.connection import claimed
from sidekeys_engine.connection import Connection
with claimed(Path(sys.argv[1])) as claim:
    claim.announce(Connection("tcp://127.0.0.1:7", "tcp://127.0.0.1:8", "t", os.getpid(), "1"))
    print("here", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def other_bridge(tmp_path: Path):
    """A bridge in a process of its own, at ``tmp_path``."""
    path = os.pathsep.join((str(ROOT / "engine"), str(ROOT / "bridge")))
    process = subprocess.Popen(
        [sys.executable, "-c", BRIDGE, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        yield process
        process.kill()


def test_a_bridge_is_found_until_it_ends(tmp_path: Path) -> None:
    with claimed(tmp_path) as claim:
        claim.announce(HERE)
        assert find_bridge(tmp_path) == HERE
        assert is_running(tmp_path)
    assert not claim.path.exists()
    assert not is_running(tmp_path)
    with pytest.raises(InputError, match=r"^no bridge runs; start one with `sidekeys start`\.$"):
        find_bridge(tmp_path)


def test_where_no_bridge_ever_ran_there_is_none_and_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no bridge runs"):
        find_bridge(tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_only_the_user_can_read_the_file_and_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "runtime"
    with claimed(folder) as claim:
        claim.announce(HERE)
        assert stat.S_IMODE(claim.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bridge.json"
    HERE.write(file)
    assert read_private(file) == HERE
    file.chmod(0o644)
    with pytest.raises(InputError, match="can be read or changed by others"):
        read_private(file)


def test_a_second_bridge_is_told_which_one_runs(
    tmp_path: Path, other_bridge: subprocess.Popen[str]
) -> None:
    with pytest.raises(InputError) as refused, claimed(tmp_path):
        pass
    assert f"process {other_bridge.pid}" in str(refused.value)
    assert "tcp://127.0.0.1:7" in str(refused.value)
    assert "sidekeys stop" in str(refused.value)
    assert find_bridge(tmp_path).pid == other_bridge.pid


def test_the_file_of_a_killed_bridge_is_removed_and_another_one_may_start(
    tmp_path: Path, other_bridge: subprocess.Popen[str]
) -> None:
    assert is_running(tmp_path)
    other_bridge.send_signal(signal.SIGKILL)
    other_bridge.wait(10)
    assert (tmp_path / "bridge.json").exists()
    assert not is_running(tmp_path)
    assert not (tmp_path / "bridge.json").exists()
    with claimed(tmp_path) as claim:
        claim.announce(HERE)
        assert find_bridge(tmp_path).pid == os.getpid()


def test_a_dead_bridge_is_known_even_if_its_number_runs_again(tmp_path: Path) -> None:
    """The number in the file is that of this test, which surely runs."""
    HERE.write(tmp_path / "bridge.json")
    assert not is_running(tmp_path)
    assert not (tmp_path / "bridge.json").exists()


def test_a_bridge_that_is_starting_is_not_taken_for_none_or_a_dead_one(tmp_path: Path) -> None:
    HERE.write(tmp_path / "bridge.json")
    with claimed(tmp_path), pytest.raises(InputError, match="just starting or ending"):
        find_bridge(tmp_path)


def test_many_who_look_do_not_take_each_other_for_a_bridge(tmp_path: Path) -> None:
    found: list[bool] = []

    def look() -> None:
        found.extend(is_running(tmp_path) for _ in range(200))

    with claimed(tmp_path):
        pass
    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [False] * 800


def test_who_looks_does_not_keep_a_bridge_from_starting(tmp_path: Path) -> None:
    ends = threading.Event()
    (tmp_path / "bridge.lock").touch()

    def look() -> None:
        while not ends.is_set():
            is_running(tmp_path)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(10):
            with claimed(tmp_path):
                pass
    finally:
        ends.set()
        thread.join()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"endpoint": 1}', "\0", '{"pid": "x"}', "null"])
def test_a_broken_connection_file_is_told_in_words(tmp_path: Path, text: str) -> None:
    with claimed(tmp_path) as claim:
        claim.path.write_text(text)
        claim.path.chmod(0o600)
        with pytest.raises(InputError, match="is no connection file of Sidekeys"):
            find_bridge(tmp_path)


def test_a_folder_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match=r"Cannot use the folder .*SIDEKEYS_RUNTIME"),
        claimed(tmp_path / "file" / "folder"),
    ):
        pass


def test_a_file_that_cannot_be_written_is_told_with_the_users_way_out(tmp_path: Path) -> None:
    with claimed(tmp_path) as claim:
        claim.path.mkdir()
        with pytest.raises(InputError, match=r"Cannot write .*the variable SIDEKEYS_RUNTIME\.$"):
            claim.announce(HERE)
        claim.path.rmdir()


def test_the_variable_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUNTIME_VARIABLE, str(tmp_path / "here"))
    assert runtime_folder() == tmp_path / "here"
    monkeypatch.delenv(RUNTIME_VARIABLE)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    if sys.platform.startswith("linux"):
        assert runtime_folder() == tmp_path / "sidekeys"
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "gone"))
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        assert runtime_folder() == tmp_path / "state" / "sidekeys"
