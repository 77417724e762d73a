"""Favourites and presets: kept over restarts, checked, and never lost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from panel_session import RunningPanel, running_panel
from sidekeys_bridge.panel.notebook import LARGEST_BYTES, Notebook

CONTENT = {
    "favourites": ["full", "ballad"],
    "project": "Frühling",
    "projects": {"Frühling": {"soft 🎹": {"transpose": -12, "pedal": True, "composer": "ballad",
                                          "temperature": 0.7, "velocity_fixed": None}}},
}  # fmt: skip


EMPTY = {"favourites": [], "project": "", "projects": {}}


def kept(browser: httpx.Client) -> dict[str, Any]:
    """What a page would change now."""
    return dict(browser.get("/api/notebook").json())


def keep(browser: httpx.Client, content: Mapping[str, Any]) -> httpx.Response:
    """As a page does that has read what is there."""
    return browser.put("/api/notebook", json={**content, "revision": kept(browser)["revision"]})


def without_revision(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != "revision"}


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPanel]:
    with running_panel(tmp_path_factory.mktemp("notebook")) as started:
        yield started


def test_a_new_user_has_an_empty_one_and_keeps_what_is_written(tmp_path: Path):
    with running_panel(tmp_path) as panel, panel.http() as browser:
        assert without_revision(kept(browser)) == EMPTY
        assert without_revision(keep(browser, CONTENT).json()) == CONTENT
    with running_panel(tmp_path) as panel, panel.http() as browser:
        assert without_revision(kept(browser)) == CONTENT


def test_who_changed_what_is_not_there_any_more_is_given_what_is(panel: RunningPanel):
    with panel.http() as one, panel.http() as other, panel.page() as page:
        page.wait_for("bridge")
        read_by_one, read_by_other = kept(one), kept(other)
        assert read_by_one == read_by_other
        first = {**read_by_one, "favourites": ["full"]}
        told = one.put("/api/notebook", json=first).json()
        assert told == {**first, "revision": read_by_one["revision"] + 1}
        assert page.wait_for("notebook") == told
        late = other.put("/api/notebook", json={**read_by_other, "project": "night"})
        assert (late.status_code, late.json()["code"]) == (409, "conflict")
        assert late.json()["notebook"] == told == kept(other)
        merged = other.put("/api/notebook", json={**late.json()["notebook"], "project": "night"})
        assert merged.status_code == 200
        assert page.wait_for("notebook") == merged.json() == kept(one)
        assert (merged.json()["favourites"], merged.json()["project"]) == (["full"], "night")


def test_a_page_that_knows_an_earlier_panel_writes_over_nothing(tmp_path: Path):
    with running_panel(tmp_path) as panel, panel.http() as browser:
        before = keep(browser, CONTENT).json()
    with running_panel(tmp_path) as panel, panel.http() as browser:
        refused = browser.put("/api/notebook", json={**EMPTY, "revision": before["revision"]})
        assert refused.status_code == 409
        assert without_revision(kept(browser)) == CONTENT


@pytest.mark.parametrize(
    "content",
    [
        [], "x", None, 3, {"revision": None}, {"revision": "1"}, {"other": 1},
        {"favourites": "full"}, {"favourites": [1]},
        {"favourites": [""]}, {"favourites": ["x" * 121]}, {"favourites": ["x"] * 501},
        {"project": 1}, {"projects": []}, {"projects": {"a": []}}, {"projects": {"a": {"b": 1}}},
        {"projects": {"a": {"b": {"c": []}}}}, {"projects": {"": {"": {}}}},
        {"favourites": ["\ud800"]},
        {"projects": {"a": {"b": {"c": "x" * 121}}}},
    ],
)  # fmt: skip
def test_what_is_no_notebook_is_refused_and_the_one_before_stays(panel: RunningPanel, content: Any):
    with panel.http() as browser:
        assert keep(browser, CONTENT).status_code == 200
        revision = kept(browser)["revision"]
        if isinstance(content, dict):
            content = {"revision": revision, **content}
        answer = browser.put("/api/notebook", content=json.dumps(content))
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
        assert kept(browser) == {**CONTENT, "revision": revision}


def test_presets_need_no_project(panel: RunningPanel):
    content = {**CONTENT, "project": "", "projects": {"": {"soft": {"transpose": 3}}}}
    with panel.http() as browser:
        assert keep(browser, content).status_code == 200
        assert without_revision(kept(browser)) == content


def test_without_the_revision_that_was_changed_nothing_is_written(panel: RunningPanel):
    with panel.http() as browser:
        before = keep(browser, CONTENT).json()
        for content in ({}, EMPTY):
            assert browser.put("/api/notebook", json=content).status_code == 400
        assert kept(browser) == before


def test_what_is_no_json_or_too_much_is_refused(panel: RunningPanel):
    with panel.http() as browser:
        for body in (b"", b"{", b"\xff", b"[" * 50000, b'{"project": NaN}',
                     b'{"projects": {"a": {"b": {"c": 1e999}}}}'):  # fmt: skip
            assert browser.put("/api/notebook", content=body).status_code == 400, body[:40]
        content = {"project": "x", "revision": kept(browser)["revision"]}
        large = json.dumps(content).encode().ljust(LARGEST_BYTES + 1)
        assert browser.put("/api/notebook", content=large).status_code == 413
        assert browser.put("/api/notebook", content=large[:-1]).status_code == 200


@pytest.mark.parametrize("broken", [b"{", b"\xff\xfe", b"[]", b"x" * 600_000, b""])
def test_a_broken_file_is_set_aside_and_told_and_never_overwritten(tmp_path: Path, broken: bytes):
    (tmp_path / "notebook.json").write_bytes(broken)
    with running_panel(tmp_path) as panel, panel.page() as page, panel.http() as browser:
        problem = page.wait_for("problem")
        assert problem["about"] == "notebook"
        assert str(tmp_path / "notebook-broken.json") in problem["message"]
        assert kept(browser)["favourites"] == []
        assert keep(browser, CONTENT).status_code == 200
        assert page.wait_for("problem") == {"about": "notebook", "message": None}
    assert (tmp_path / "notebook-broken.json").read_bytes() == broken
    assert json.loads((tmp_path / "notebook.json").read_text()) == CONTENT


def test_a_second_broken_file_does_not_replace_the_first(tmp_path: Path):
    for broken in (b"1", b"2"):
        (tmp_path / "notebook.json").write_bytes(broken)
        assert Notebook(tmp_path).problem
    assert (tmp_path / "notebook-broken.json").read_bytes() == b"1"
    assert (tmp_path / "notebook-broken-2.json").read_bytes() == b"2"
