"""Connection files: for the user's eyes alone, whole or not there, and never trusted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sidekeys_engine.connection import Connection, new_token, remove_connection
from sidekeys_engine.errors import InputError

CONNECTION = Connection("tcp://127.0.0.1:1", "tcp://127.0.0.1:2", "secret", 12, "1.0")


def test_what_was_written_is_read(tmp_path: Path):
    path = tmp_path / "new folder" / "engine.json"
    CONNECTION.write(path)
    assert Connection.read(path) == CONNECTION
    assert [file.name for file in path.parent.iterdir()] == ["engine.json"]


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_only_the_user_can_read_it(tmp_path: Path):
    path = tmp_path / "engine.json"
    path.write_text("old")
    path.chmod(0o644)
    CONNECTION.write(path)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "nonsense", '{"endpoint": 5}', "[" * 50_000, "x" * 100_000,
     '{"endpoint": 1, "events_endpoint": 2, "token": 3, "pid": 4, "version": 5}'],
)  # fmt: skip
def test_something_else_is_refused_in_words(tmp_path: Path, text: str):
    path = tmp_path / "engine.json"
    path.write_text(text)
    with pytest.raises(InputError, match="no connection file"):
        Connection.read(path)


def test_a_missing_file_says_that_nothing_runs(tmp_path: Path):
    with pytest.raises(InputError, match="running"):
        Connection.read(tmp_path / "engine.json")


def test_a_folder_in_the_way_is_said_in_words(tmp_path: Path):
    with pytest.raises(InputError, match="--connection"):
        CONNECTION.write(tmp_path)


def test_only_the_owner_removes_its_file(tmp_path: Path):
    path = tmp_path / "engine.json"
    CONNECTION.write(path)
    remove_connection(path, pid=13)
    assert path.exists()
    remove_connection(path, pid=12)
    assert not path.exists()
    remove_connection(path, pid=12)


def test_no_token_is_like_another():
    assert len({new_token() for _ in range(100)}) == 100
