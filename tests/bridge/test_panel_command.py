"""`sidekeys panel`: the address of the panel that runs, for a browser."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sidekeys_bridge import panel_command
from sidekeys_bridge.cli import main
from sidekeys_bridge.connection import RUNTIME_VARIABLE, claimed
from sidekeys_bridge.panel_files import Served, announce

URL = "http://127.0.0.1:7353/#secret"


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a browser was asked to open."""
    monkeypatch.setenv(RUNTIME_VARIABLE, str(tmp_path))
    asked: list[str] = []
    monkeypatch.setattr(panel_command, "open_page", lambda url: not asked.append(url))
    return asked


def test_the_address_is_printed_and_opened(
    opened: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with claimed(tmp_path):
        announce(Served(URL, os.getpid(), ""))
        assert main(["panel"]) == 0
        assert capsys.readouterr() == (f"{URL}\n", "")
        assert opened == [URL]
        assert main(["panel", "--no-browser"]) == 0
        assert capsys.readouterr().out == f"{URL}\n"
        assert opened == [URL]


def test_where_no_browser_can_be_opened_it_says_so(
    opened: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(panel_command, "open_page", lambda _url: False)
    with claimed(tmp_path):
        announce(Served(URL, os.getpid(), ""))
        assert main(["panel"]) == 0
    assert "no browser could be opened; open this address" in capsys.readouterr().err
    assert opened == []


def test_without_a_bridge_or_its_panel_it_says_what_to_do(
    opened: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["panel"]) == 2
    assert "no bridge runs; start one with `sidekeys start`." in capsys.readouterr().err
    with claimed(tmp_path):
        assert main(["panel"]) == 2
    assert "--no-panel" in capsys.readouterr().err
    assert opened == []
