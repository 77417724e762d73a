"""Favourites and presets: kept over restarts, checked, and never lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from panel_session import RunningPanel, running_panel
from sidekeys_bridge.panel.notebook import LARGEST_BYTES, Notebook

CONTENT = {
    "favourites": ["full", "ballad"],
    "project": "Frühling",
    "projects": {"Frühling": {"soft 🎹": {"transpose": -12, "pedal": True, "composer": "ballad",
                                          "temperature": 0.7, "velocity_fixed": None}}},
}  # fmt: skip


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPanel]:
    with running_panel(tmp_path_factory.mktemp("notebook")) as started:
        yield started


def test_a_new_user_has_an_empty_one_and_keeps_what_is_written(tmp_path: Path):
    with running_panel(tmp_path) as panel, panel.http() as browser:
        empty = {"favourites": [], "project": "", "projects": {}}
        assert browser.get("/api/notebook").json() == empty
        assert browser.put("/api/notebook", json=CONTENT).json() == CONTENT
    with running_panel(tmp_path) as panel, panel.http() as browser:
        assert browser.get("/api/notebook").json() == CONTENT


@pytest.mark.parametrize(
    "content",
    [
        [], "x", None, 3, {"other": 1}, {"favourites": "full"}, {"favourites": [1]},
        {"favourites": [""]}, {"favourites": ["x" * 121]}, {"favourites": ["x"] * 501},
        {"project": 1}, {"projects": []}, {"projects": {"a": []}}, {"projects": {"a": {"b": 1}}},
        {"projects": {"a": {"b": {"c": []}}}}, {"projects": {"": {}}}, {"favourites": ["\ud800"]},
        {"projects": {"a": {"b": {"c": "x" * 121}}}},
    ],
)  # fmt: skip
def test_what_is_no_notebook_is_refused_and_the_one_before_stays(panel: RunningPanel, content: Any):
    with panel.http() as browser:
        browser.put("/api/notebook", json=CONTENT)
        answer = browser.put("/api/notebook", content=json.dumps(content))
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
        assert browser.get("/api/notebook").json() == CONTENT


def test_what_is_no_json_or_too_much_is_refused(panel: RunningPanel):
    with panel.http() as browser:
        for body in (b"", b"{", b"\xff", b"[" * 50000, b'{"project": NaN}',
                     b'{"projects": {"a": {"b": {"c": 1e999}}}}'):  # fmt: skip
            assert browser.put("/api/notebook", content=body).status_code == 400, body[:40]
        large = json.dumps({"project": "x", "favourites": []}).encode().ljust(LARGEST_BYTES + 1)
        assert browser.put("/api/notebook", content=large).status_code == 413
        assert browser.put("/api/notebook", content=large[:-1]).status_code == 200


@pytest.mark.parametrize("broken", [b"{", b"\xff\xfe", b"[]", b"x" * 600_000, b""])
def test_a_broken_file_is_set_aside_and_told_and_never_overwritten(tmp_path: Path, broken: bytes):
    (tmp_path / "notebook.json").write_bytes(broken)
    with running_panel(tmp_path) as panel, panel.page() as page, panel.http() as browser:
        problem = page.wait_for("problem")
        assert problem["about"] == "notebook"
        assert str(tmp_path / "notebook-broken.json") in problem["message"]
        assert browser.get("/api/notebook").json()["favourites"] == []
        assert browser.put("/api/notebook", json=CONTENT).status_code == 200
        assert page.wait_for("problem") == {"about": "notebook", "message": None}
    assert (tmp_path / "notebook-broken.json").read_bytes() == broken
    assert json.loads((tmp_path / "notebook.json").read_text()) == CONTENT


def test_a_second_broken_file_does_not_replace_the_first(tmp_path: Path):
    for broken in (b"1", b"2"):
        (tmp_path / "notebook.json").write_bytes(broken)
        assert Notebook(tmp_path).problem
    assert (tmp_path / "notebook-broken.json").read_bytes() == b"1"
    assert (tmp_path / "notebook-broken-2.json").read_bytes() == b"2"
