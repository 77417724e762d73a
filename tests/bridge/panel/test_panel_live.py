"""The real panel at a real bridge with its real engine, which hears a file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
import soundfile

from jack_server import running_jack
from live_session import EXAMPLE_BPM, RunningBridge, running_bridge, write_example
from panel_session import Page, RunningPanel, running_panel
from sidekeys_engine.notes import read_midi

RATE = 22050
STEM_SECONDS = 14.0


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("song") / "song.wav", RATE)


@pytest.fixture(scope="module")
def stem(song: Path) -> bytes:
    """The first bars, as a flac."""
    samples, rate = soundfile.read(song, frames=round(STEM_SECONDS * RATE))
    file = song.with_name("stem.flac")
    soundfile.write(file, samples, rate)
    return file.read_bytes()


@contextlib.contextmanager
def played(song: Path, folder: Path) -> Iterator[RunningBridge]:
    with running_bridge(
        folder, "--input", f"file:{song}", "--transport", "manual", "--bpm", str(EXAMPLE_BPM)
    ) as bridge:
        bridge.wait_until_ready()
        yield bridge


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with running_jack():
        yield tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def panel(folder: Path) -> Iterator[RunningPanel]:
    with running_panel(folder) as started:
        yield started


@pytest.fixture(scope="module")
def bridge(song: Path, panel: RunningPanel) -> Iterator[RunningBridge]:
    with played(song, panel.folder) as started:
        yield started


@pytest.fixture
def page(bridge: RunningBridge, panel: RunningPanel) -> Iterator[Page]:
    with panel.page() as opened:
        opened.wait_for("bridge", lambda told: told["connected"])
        yield opened


def drop(panel: RunningPanel, data: bytes, name: str) -> str:
    with panel.http() as browser:
        answer = browser.post("/api/stems", params={"name": name}, content=data)
    assert answer.status_code == 200, answer.text
    assert answer.json()["seconds"] == STEM_SECONDS
    return str(answer.json()["stem"])


def cover(panel: RunningPanel, stem: str, **wishes: Any) -> httpx.Response:
    with panel.http() as browser:
        return browser.post(f"/api/stems/{stem}/covers", json=wishes)


def ended(page: Page, cover_id: str) -> Mapping[str, Any]:
    return page.wait_for(
        "cover", lambda told: told["cover"] == cover_id and told["state"] != "running"
    )


def test_what_is_set_is_done_and_told(page: Page):
    assert page.wait_for("composers")["composer_default"] == "full"
    assert page.ask("set", composer="block", transpose=-12)["type"] == "ok"
    told = page.wait_for("status", lambda status: status["composer"] == "block")
    assert told["controls"]["transpose"] == -12
    refused = page.ask("set", composer="nobody")
    assert (refused["type"], refused["content"]["code"]) == ("error", "invalid")
    assert "there is no composer 'nobody'" in refused["content"]["message"]
    page.ask("set", composer="full", transpose=0)


def test_music_reaches_the_page_and_a_take_of_it_can_be_downloaded(
    page: Page, panel: RunningPanel, tmp_path: Path
):
    assert page.ask("play")["type"] == "ok"
    assert page.wait_for("transport", lambda told: told["playing"])["source"] == "manual"
    assert page.wait_for("level")["level_db"] < 0
    assert page.wait_for("window", lambda told: told["notes"] > 0)["rows"]
    assert page.wait_for("heard")["columns"]
    assert page.wait_for("notes")["notes"]
    page.wait_for("status", lambda status: status["counters"]["notes_sent"] > 8)
    taken = page.ask("record")
    assert taken["type"] == "ok", taken
    with panel.http() as browser:
        answer = browser.get(taken["content"]["download"])
    (tmp_path / "take.mid").write_bytes(answer.content)
    assert len(read_midi(tmp_path / "take.mid").notes) == taken["content"]["notes"] > 0
    kept = page.ask("keep", bars=1)
    assert (kept["type"], kept["content"]["bars"]) == ("ok", 1)
    assert page.ask("pause")["type"] == "ok"


def test_an_audition_is_there_for_every_composer_of_the_embedded_checkpoint(
    page: Page, panel: RunningPanel
):
    composers = page.wait_for("composers")["composers"]
    with panel.http() as browser:
        for name in composers:
            sample = browser.get(f"/api/auditions/{name}").json()
            assert sample["bpm"] == EXAMPLE_BPM
            assert 0 < sample["beats"] <= 32
            assert len(sample["notes"]) > 8
            for onset, duration, pitch, velocity in sample["notes"]:
                assert 0 <= onset < onset + duration <= sample["beats"]
                assert (21 <= pitch <= 108, 1 <= velocity <= 127) == (True, True)
        answer = browser.get("/api/auditions/nobody")
    assert (answer.status_code, answer.json()["code"]) == (404, "none")


def test_several_composers_cover_one_stem_and_each_can_be_read_and_downloaded(
    page: Page, panel: RunningPanel, stem: bytes, tmp_path: Path
):
    stem_id = drop(panel, stem, 'My "Söng"; a.flac')
    asked = {
        name: cover(panel, stem_id, composer=name, bpm=EXAMPLE_BPM).json()["cover"]
        for name in ("full", "block")
    }
    with panel.http() as browser:
        waiting = browser.get(f"/api/covers/{asked['block']}")
        assert (waiting.status_code, waiting.json()["code"]) == (503, "not-ready")
        for name, cover_id in asked.items():
            end = ended(page, cover_id)
            assert (end["state"], end["composer"], end["stem"]) == ("done", name, stem_id), end
            assert end["done"] == end["total"] > 0
            told = browser.get(f"/api/covers/{cover_id}").json()
            midi = browser.get(f"/api/covers/{cover_id}.mid")
            named = unquote(midi.headers["content-disposition"])
            assert named == f"attachment; filename*=utf-8''My \"Söng\"; a-{name}.mid"
            assert '"' not in midi.headers["content-disposition"]
            (tmp_path / "cover.mid").write_bytes(midi.content)
            score = read_midi(tmp_path / "cover.mid")
            assert len(told["notes"]) == len(score.notes) > 10
            assert told["composer"] == name
            onset, duration, pitch, velocity = told["notes"][0]
            assert 0 <= onset < 3
            assert (duration > 0, score.notes[0].pitch) == (True, pitch)
            assert velocity == score.notes[0].velocity
            assert max(onset for onset, *_ in told["notes"]) < STEM_SECONDS
            assert [down for _, down in told["pedals"]][:2] == [True, False]
            steps = [b - a for a, b in zip(told["bars"], told["bars"][1:], strict=False)]
            assert steps == pytest.approx([240 / EXAMPLE_BPM] * len(steps), abs=1e-3)
            assert told["bars"][-1] >= max(onset for onset, *_ in told["notes"])
    told = [message["content"] for message in page.heard if message["type"] == "cover"]
    assert {"running", "done"} == {event["state"] for event in told}
    assert {"playing"} <= {event["stage"] for event in told}
    with panel.page() as later:
        again = [later.wait_for("cover") for _ in asked]
        assert {event["cover"] for event in again} == set(asked.values())
    with panel.http() as browser:
        assert browser.delete(f"/api/covers/{asked['full']}").status_code == 200
        assert browser.get(f"/api/covers/{asked['full']}").status_code == 404
        assert browser.delete(f"/api/stems/{stem_id}").status_code == 200
        assert browser.get(f"/api/covers/{asked['block']}.mid").status_code == 404
    assert [path for path in panel.scratch.rglob("*.mid") if "takes" not in path.parts] == []


def test_a_cover_can_be_cancelled(page: Page, panel: RunningPanel, stem: bytes):
    stem_id = drop(panel, stem, "a.flac")
    first, second = (
        cover(panel, stem_id, composer="full", bpm=EXAMPLE_BPM, seed=seed, temperature=1)
        .json()["cover"]
        for seed in (1, 2)
    )  # fmt: skip
    with panel.http() as browser:
        assert browser.delete(f"/api/covers/{second}").status_code == 200
        assert ended(page, second)["state"] == "cancelled"
        assert browser.get(f"/api/covers/{second}").status_code == 404
        # A stem that is deleted takes those with it that are being made.
        assert browser.delete(f"/api/stems/{stem_id}").status_code == 200
        assert browser.get(f"/api/covers/{first}").status_code == 404


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({}, "needs a composer"), ({"composer": 3}, "needs a composer"),
        ({"composer": "full", "midi": "/x.mid"}, "there is no 'midi'"),
        ({"composer": "full", "song": "/etc/passwd"}, "there is no 'song'"),
        ({"composer": "full", "bpm": 1000}, "bpm must be"),
        ({"composer": "full", "seed": "x"}, "seed must be"),
        ({"composer": "full", "start": [1]}, "start must be"),
    ],
)  # fmt: skip
def test_wishes_that_cannot_be_are_told_and_nothing_is_made(
    page: Page, panel: RunningPanel, stem: bytes, wishes: Mapping[str, Any], words: str
):
    stem_id = drop(panel, stem, "a.flac")
    answer = cover(panel, stem_id, **wishes)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid")
    assert words in answer.json()["message"]
    with panel.http() as browser:
        assert browser.delete(f"/api/stems/{stem_id}").status_code == 200
    assert cover(panel, stem_id, composer="full").status_code == 404


def test_what_the_engine_refuses_is_told_without_our_paths(
    page: Page, panel: RunningPanel, stem: bytes
):
    whole = drop(panel, stem, "Lanterns.flac")
    with panel.http() as browser:
        answer = browser.post("/api/stems?name=odd.m4a", content=b"ID3" + bytes(5000))
        assert answer.status_code == 200
        broken = answer.json()["stem"]
        for stem_id, wishes, words in (
            (broken, {"composer": "full"}, "'odd.m4a'"),
            (whole, {"composer": "nobody"}, "nobody"),
            (whole, {"composer": "full", "start": "99:00", "bpm": 104}, "'Lanterns.flac'"),
        ):
            end = ended(page, cover(panel, stem_id, **wishes).json()["cover"])
            assert end["state"] == "failed"
            assert words in end["message"]
            assert str(panel.scratch) not in end["message"]
            assert "\n" not in end["message"]
            answer = browser.get(f"/api/covers/{end['cover']}.mid")
            assert (answer.status_code, answer.json()["code"]) == (404, "none")
        for stem_id in (whole, broken):
            browser.delete(f"/api/stems/{stem_id}")


def test_a_killed_bridge_is_noticed_and_the_next_one_found(
    song: Path, stem: bytes, panel: RunningPanel, bridge: RunningBridge
):
    with panel.page() as page:
        page.wait_for("bridge", lambda told: told["connected"])
        stem_id = drop(panel, stem, "a.flac")
        cover_id = cover(panel, stem_id, composer="full", bpm=EXAMPLE_BPM).json()["cover"]
        bridge.process.kill()
        assert page.wait_for("bridge", seconds=5.0) == {"connected": False, "version": ""}
        failed = ended(page, cover_id)
        assert (failed["state"], "make it again" in failed["message"]) == ("failed", True)
        refused = cover(panel, stem_id, composer="full")
        assert (refused.status_code, refused.json()["code"]) == (503, "not-ready")
        with played(song, panel.folder):
            page.wait_for("bridge", lambda told: told["connected"])
            page.wait_for("composers")
            again = cover(panel, stem_id, composer="full", bpm=EXAMPLE_BPM).json()["cover"]
            assert ended(page, again)["state"] == "done"
