"""Songs that are dropped: what is taken, how they are kept, and when they go."""

from __future__ import annotations

import asyncio
import io
import json
import resource
import stat
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile

from panel_session import RunningPanel, first_line, running_panel, start_panel
from sidekeys_bridge.connection import RUNTIME_VARIABLE
from sidekeys_bridge.panel import stems as stems_room
from sidekeys_bridge.panel.panel_error import PanelError
from sidekeys_bridge.panel.stems import IDLE_SECONDS, LARGEST_BYTES, MOST_STEMS, Stems, shown_name


def sound(seconds: float = 0.5, kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.zeros(round(8000 * seconds), np.float32), 8000, format=kind)
    return file.getvalue()


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPanel]:
    with running_panel(tmp_path_factory.mktemp("stems")) as started:
        yield started


def drop(panel: RunningPanel, data: Any, name: str = "song.wav") -> httpx.Response:
    with panel.http() as browser:
        return browser.post("/api/stems", params={"name": name}, content=data)


def files(panel: RunningPanel) -> list[Path]:
    return [path for path in panel.scratch.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("kind", "name"), [("WAV", "a.wav"), ("FLAC", "b.FLAC"), ("OGG", "c.ogg"),
                                            ("AIFF", "d"), ("WAV", "no.such.suffix")])  # fmt: skip
def test_a_song_is_kept_for_its_user_alone_until_it_is_deleted(
    panel: RunningPanel, kind: str, name: str
):
    data = sound(1.5, kind)
    answer = drop(panel, data, name)
    assert answer.status_code == 200
    assert answer.json() == {"stem": answer.json()["stem"], "name": name, "seconds": 1.5}
    (file,) = files(panel)
    assert file.read_bytes() == data
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    with panel.http() as browser:
        assert browser.delete(f"/api/stems/{answer.json()['stem']}").status_code == 200
        assert files(panel) == []
        again = browser.delete(f"/api/stems/{answer.json()['stem']}")
    assert (again.status_code, again.json()["code"]) == (404, "unknown")


@pytest.mark.parametrize("first", [b"\0\0\0\x20ftypM4A ", b"ID3\x04\0\0", b"\xff\xfb\x90\0",
                                   b"\xff\xf1\x50\x80", b"\x1aE\xdf\xa3"])  # fmt: skip
def test_what_only_a_decoder_can_measure_is_taken_without_its_length(
    panel: RunningPanel, first: bytes
):
    answer = drop(panel, first + bytes(2000), "song.m4a")
    assert (answer.status_code, answer.json()["seconds"]) == (200, None)
    with panel.http() as browser:
        browser.delete(f"/api/stems/{answer.json()['stem']}")


@pytest.mark.parametrize("data", [b"", b"x", b"%PDF-1.7 " * 100, b"\x7fELF" + bytes(100),
                                  b"<html><script>", b"PK\x03\x04"])  # fmt: skip
def test_what_is_no_sound_is_told_and_not_kept(panel: RunningPanel, data: bytes):
    answer = drop(panel, data)
    assert (answer.status_code, answer.json()["code"]) == (415, "not-sound")
    assert files(panel) == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"), ("C:\\songs\\a.wav", "a.wav"), ("", "song"),
        ("a\r\nSet-Cookie: x.wav", "aSet-Cookie: x.wav"), ("\u202egnp.wav", "gnp.wav"),
        ("<b>&\"';.wav", "<b>&\"';.wav"), ("Frühling 春.wav", "Frühling 春.wav"),
        ("..", "song"), ("/", "song"), ("a" * 500 + ".flac", "a" * 115 + ".flac"),
    ],
)  # fmt: skip
def test_a_name_is_only_for_the_eye(panel: RunningPanel, name: str, shown: str):
    assert shown_name(name) == shown
    answer = drop(panel, sound(), name)
    assert answer.json()["name"] == shown
    (file,) = files(panel)
    assert file.parent.parent == panel.scratch
    assert file.stem == "song"
    with panel.http() as browser:
        browser.delete(f"/api/stems/{answer.json()['stem']}")


def test_the_oldest_song_goes_when_there_are_too_many(panel: RunningPanel):
    dropped = [drop(panel, sound(), f"{n}.wav").json()["stem"] for n in range(MOST_STEMS)]
    with panel.http() as browser:
        # What is used is not the oldest any more.
        assert browser.post(f"/api/stems/{dropped[0]}/covers", json={}).status_code == 400
        dropped.append(drop(panel, sound(), "one more.wav").json()["stem"])
        assert len(files(panel)) == MOST_STEMS
        assert browser.delete(f"/api/stems/{dropped[1]}").status_code == 404
        for stem in (dropped[0], *dropped[2:]):
            assert browser.delete(f"/api/stems/{stem}").status_code == 200
    assert files(panel) == []


def test_a_song_that_says_it_is_too_large_is_refused_before_it_comes(panel: RunningPanel):
    import http.client

    asking = http.client.HTTPConnection("127.0.0.1", panel.port, timeout=10)
    asking.putrequest("POST", "/api/stems?name=a.wav")
    asking.putheader("Authorization", f"Bearer {panel.token}")
    asking.putheader("Content-Length", str(LARGEST_BYTES + 1))
    asking.endheaders(b"RIFF")
    answer = asking.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["code"] == "too-large"
    asking.close()
    assert files(panel) == []


def test_a_page_that_leaves_while_it_sends_leaves_nothing(panel: RunningPanel):
    import socket

    with socket.create_connection(("127.0.0.1", panel.port)) as asking:
        asking.sendall(
            f"POST /api/stems HTTP/1.1\r\nHost: {panel.address}\r\nAuthorization: Bearer "
            f"{panel.token}\r\nContent-Length: 100000\r\n\r\nRIFF".encode()
        )
        deadline = time.monotonic() + 10
        while not files(panel):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    while files(panel):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_full_disk_is_told_in_words(tmp_path: Path):
    with running_panel(tmp_path) as panel:
        soft, hard = resource.prlimit(panel.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(panel.process.pid, resource.RLIMIT_FSIZE, (300_000, hard))
        answer = drop(panel, sound(30.0))
        assert (answer.status_code, answer.json()["code"]) == (507, "disk-full")
        assert "free some space" in answer.json()["message"]
        assert files(panel) == []
        resource.prlimit(panel.process.pid, resource.RLIMIT_FSIZE, (soft, hard))
        assert drop(panel, sound(30.0)).status_code == 200


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


async def body(*chunks: bytes, pause: float = 0.0) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(pause)
        yield chunk


def test_a_song_that_nobody_uses_is_deleted_after_a_while_unless_it_is_covered(tmp_path: Path):
    async def run() -> None:
        clock, removed = Clock(), []
        kept = Stems(tmp_path, removed.append, clock=clock)
        one, two, busy = [await kept.add("a.wav", body(sound()), None) for _ in range(3)]
        busy.users = 1
        clock.seconds += IDLE_SECONDS - 1
        kept.get(two.stem_id)
        clock.seconds += 2
        kept.remove_idle()
        assert removed == [one]
        assert (one.folder.exists(), two.folder.exists(), busy.folder.exists()) == (0, 1, 1)

    asyncio.run(run())


def test_a_song_that_grows_too_large_or_comes_too_slowly_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def run() -> None:
        slow = Stems(tmp_path, lambda _: None, upload_seconds=0.2)
        with pytest.raises(PanelError) as refused:
            await slow.add("a.wav", body(*[sound()] * 100, pause=0.05), None)
        assert refused.value.status == 408
        monkeypatch.setattr(stems_room, "LARGEST_BYTES", 10_000)
        kept = Stems(tmp_path, lambda _: None)
        with pytest.raises(PanelError) as refused:
            await kept.add("a.wav", body(sound(), sound()), None)
        assert refused.value.status == 413
        assert list(tmp_path.iterdir()) == []

    asyncio.run(run())


def test_songs_that_are_all_being_covered_make_no_room(tmp_path: Path):
    async def run() -> None:
        kept = Stems(tmp_path, lambda _: None)
        for _ in range(MOST_STEMS):
            (await kept.add("a.wav", body(sound()), None)).users = 1
        with pytest.raises(PanelError) as refused:
            await kept.add("a.wav", body(sound()), None)
        assert refused.value.status == 429
        assert "sent or covered" in str(refused.value)

    asyncio.run(run())


def test_two_panels_do_not_share_their_songs(tmp_path: Path):
    with running_panel(tmp_path / "a") as one:
        process = start_panel(
            subprocess.DEVNULL, "--port", "0", **{RUNTIME_VARIABLE: str(tmp_path / "b")}
        )
        told = json.loads(first_line(process))
        stem = drop(one, sound()).json()["stem"]
        other = httpx.URL(told["url"])
        answer = httpx.delete(
            other.copy_with(path=f"/api/stems/{stem}", fragment=None), trust_env=False,
            headers={"Authorization": f"Bearer {one.token}"},
        )  # fmt: skip
        process.communicate("", timeout=20)
    assert answer.status_code == 401
