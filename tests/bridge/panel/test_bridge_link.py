"""The panel and its bridge: found, lost and found again; many pages, fast ones and slow ones.

The bridge is a real control server of ten lines, which does just what a test says.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import threading
import time
import wave
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from panel_session import LONG_SECONDS, RunningPanel, running_panel
from sidekeys_bridge.commands import BRIDGE
from sidekeys_bridge.connection import claimed
from sidekeys_bridge.control import ControlServer
from sidekeys_engine.connection import Connection, new_token
from sidekeys_engine.errors import InputError
from sidekeys_engine.protocol import Message, ProtocolError

STATUS: dict[str, Any] = {
    "state": "playing", "problems": [], "port": "Sidekeys", "composer": "full", "mode": "echo",
    "delay_beats": 5, "delay_reason": "it is fast", "transport": {}, "input": {},
    "engine": {"state": "ready", "checkpoint": "builtin"}, "bridge": {"up_seconds": 0.0},
    "counters": {}, "timing": {}, "controls": {},
}  # fmt: skip
COMPOSERS = {"composers": {"full": "plays all"}, "composer_default": "full"}


class Bridge:
    """A bridge's control; what it answers is in `replies`, what it was asked in `asked`."""

    def __init__(self, folder: Path, version: str = "1") -> None:
        self._claim = contextlib.ExitStack()
        claim = self._claim.enter_context(claimed(folder))
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.replies: dict[str, Any] = {"composers": COMPOSERS}
        self.status = STATUS
        self.tells_status = True
        self.server = ControlServer(BRIDGE, token := new_token())
        ends = self.server.start()
        claim.announce(Connection(ends.commands, ends.events, token, os.getpid(), version))
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._conduct)
        self._thread.start()

    def _conduct(self) -> None:
        started = time.monotonic()
        while not self._ends.wait(0.02):
            self.server.answer(lambda message, _: self._respond(message))
            if self.tells_status:
                status = {**self.status, "bridge": {"up_seconds": time.monotonic() - started}}
                self.server.publish("status", status)

    def _respond(self, message: Message) -> Mapping[str, Any]:
        self.asked.append((message.type, message.content))
        reply = self.replies.get(message.type, {})
        if isinstance(reply, Exception):
            raise reply
        return reply

    def close(self) -> None:
        """End without a word, as a killed one does."""
        self._ends.set()
        self._thread.join()
        self.server.close()
        self._claim.close()


@contextlib.contextmanager
def running(panel: RunningPanel, version: str = "1") -> Iterator[Bridge]:
    """A bridge that the panel knows; afterwards it knows that the bridge is gone."""
    bridge = Bridge(panel.folder, version)
    try:
        with panel.page() as page:
            page.wait_for("bridge", lambda told: told["connected"])
        yield bridge
    finally:
        bridge.close()
    with panel.page() as page:
        page.wait_for("bridge", lambda told: not told["connected"])


@pytest.fixture(scope="module")
def panel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPanel]:
    with running_panel(tmp_path_factory.mktemp("linked")) as started:
        yield started


def test_a_page_is_told_all_at_once_and_everything_that_happens(panel: RunningPanel):
    with running(panel, "7.1") as bridge, panel.page() as page:
        page.wait_for("bridge", lambda told: told["connected"])
        page.wait_for("composers")
        with panel.page() as second:
            kinds = [second.next()["type"] for _ in range(3)]
            assert kinds == ["bridge", "composers", "status"]
            assert second.heard[0]["content"] == {"connected": True, "version": "7.1"}
            assert second.heard[1]["content"] == COMPOSERS
            assert second.heard[2]["content"]["engine"] == STATUS["engine"]
        for kind, content in (
            ("transport", {"source": "clock"}), ("level", {"level_db": -3.0}),
            ("notes", {"notes": [[0.0, 1.0, 60, 80, 1]]}), ("window", {"start_beats": 4.0}),
            ("run", {"mode": "echo"}), ("problem", {"about": "input", "message": "x"}),
            ("heard", {"columns": ["00ff"]}),
        ):  # fmt: skip
            bridge.server.publish(kind, content)
            assert page.wait_for(kind) == content


def test_other_composers_are_told_when_another_checkpoint_plays(panel: RunningPanel):
    with running(panel) as bridge, panel.page() as page:
        page.wait_for("composers", lambda told: "full" in told["composers"])
        bridge.replies["composers"] = {"composers": {"me": "x"}, "composer_default": "me"}
        bridge.status = {**STATUS, "engine": {"state": "ready", "checkpoint": "mine"}}
        page.wait_for("composers", lambda told: "me" in told["composers"])


def test_composers_that_are_not_known_yet_are_asked_for_again(panel: RunningPanel):
    with running(panel) as bridge, panel.page() as page:
        bridge.replies["composers"] = ProtocolError("not-ready", "The engine still loads.")
        page.wait_for("bridge", lambda told: told["connected"])
        bridge.replies["composers"] = COMPOSERS
        assert page.wait_for("composers") == COMPOSERS


def test_commands_reach_the_bridge_and_its_words_come_back(panel: RunningPanel):
    with running(panel) as bridge, panel.page() as page:
        page.wait_for("bridge", lambda told: told["connected"])
        bridge.replies["tap"] = {"bpm": 120.5}
        bridge.replies["set"] = InputError("there is no composer 'X'; there are full.")
        assert page.ask("tap")["content"] == {"bpm": 120.5}
        answer = page.ask("set", composer="X")
        assert (answer["type"], answer["content"]["code"]) == ("error", "invalid")
        assert answer["content"]["message"] == "there is no composer 'X'; there are full."
        answer = page.ask("set", volume=3)
        assert "has no field" in answer["content"]["message"]
        asked = [command for command, _ in bridge.asked if command != "composers"]
        assert asked == ["tap", "set"]
        for command in ("set", "panic", "play", "pause", "nudge", "downbeat", "inputs", "ports"):
            bridge.replies["set"] = {}
            assert page.ask(command)["type"] == "ok", command


def test_a_take_is_written_where_the_panel_chooses_and_can_be_downloaded(panel: RunningPanel):
    with running(panel) as bridge, panel.page() as page, panel.http() as browser:
        page.wait_for("bridge", lambda told: told["connected"])
        bridge.replies["keep"] = {"file": "x", "notes": 3, "bars": 2}
        answer = page.ask("keep", bars=2)
        assert answer["type"] == "ok"
        assert set(answer["content"]) == {"notes", "bars", "download"}
        asked = dict(bridge.asked)["keep"]
        file = Path(asked["file"])
        assert file.is_relative_to(panel.scratch)
        file.write_bytes(b"MThd")
        download = browser.get(answer["content"]["download"])
        assert download.content == b"MThd"
        assert download.headers["content-type"] == "audio/midi"
        named = download.headers["content-disposition"]
        assert named == 'attachment; filename="Sidekeys-2-bars.mid"'
        assert page.ask("record", file="/x.mid")["content"]["code"] == "invalid"
        assert browser.get("/api/takes/nothing.mid").status_code == 404


def test_the_next_bridge_is_found_and_the_page_stays(panel: RunningPanel):
    with panel.page() as page:
        with running(panel, "1"):
            page.wait_for("bridge", lambda told: told == {"connected": True, "version": "1"})
        page.wait_for("bridge", lambda told: not told["connected"], 5.0)
        assert page.ask("panic")["content"]["code"] == "not-ready"
        with running(panel, "2") as bridge:
            page.wait_for("bridge", lambda told: told == {"connected": True, "version": "2"})
            assert page.wait_for("status")["state"] == "playing"
            assert page.wait_for("composers") == COMPOSERS
            assert page.ask("panic")["type"] == "ok"
            assert ("panic", {}) in bridge.asked


def test_a_bridge_that_says_that_it_ends_is_let_go_at_once(panel: RunningPanel):
    with panel.page() as page, running(panel) as bridge:
        page.wait_for("bridge", lambda told: told["connected"])
        bridge.server.publish("ending", {})
        page.wait_for("ending")
        assert page.wait_for("bridge", seconds=1.0)["connected"] is False


def test_a_bridge_that_hangs_is_told_and_so_is_that_it_is_back(panel: RunningPanel):
    with panel.page() as page, running(panel) as bridge:
        page.wait_for("bridge", lambda told: told["connected"])
        bridge.tells_status = False
        page.wait_for("bridge", lambda told: not told["connected"], 5.0)
        # Nothing is lost meanwhile.
        bridge.server.publish("problem", {"about": "x", "message": "while it hung"})
        assert page.wait_for("problem")["message"] == "while it hung"
        bridge.tells_status = True
        page.wait_for("bridge", lambda told: told["connected"], 5.0)
        page.wait_for("status", seconds=5.0)


def silence() -> bytes:
    """A sound file, of a second."""
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(8000)
        written.writeframes(bytes(16000))
    return file.getvalue()


def test_a_page_is_told_its_covers_again_when_a_bridge_that_hung_is_back(panel: RunningPanel):
    with panel.page() as page, running(panel) as bridge, panel.http() as browser:
        page.wait_for("bridge", lambda told: told["connected"])
        bridge.replies["render"] = {"job": "job-1"}
        stem = browser.post("/api/stems?name=a.wav", content=silence()).json()["stem"]
        asked = browser.post(f"/api/stems/{stem}/covers", json={"composer": "full"})
        page.wait_for("cover", lambda told: told["cover"] == asked.json()["cover"])
        bridge.tells_status = False
        page.wait_for("bridge", lambda told: not told["connected"], 5.0)
        bridge.tells_status = True
        page.wait_for("bridge", lambda told: told["connected"], 5.0)
        again = page.wait_for("cover", seconds=0.8)  # as long as a page waits
        assert (again["cover"], again["state"]) == (asked.json()["cover"], "running")


def test_who_waits_for_an_answer_hears_that_the_bridge_is_gone(panel: RunningPanel):
    with panel.page() as page:
        with running(panel) as bridge:
            page.wait_for("bridge", lambda told: told["connected"])
            bridge._ends.set()  # it hears, but answers nothing
            bridge._thread.join()
            page.send("inputs", "1")
            time.sleep(0.2)
        message = page.wait_for("error", seconds=5.0)
        assert message["code"] in ("cancelled", "not-ready")


def test_twenty_pages_all_hear_everything_in_order(panel: RunningPanel):
    with running(panel) as bridge, contextlib.ExitStack() as opened:
        pages = [opened.enter_context(panel.page()) for _ in range(20)]
        for page in pages:
            page.wait_for("bridge", lambda told: told["connected"])
            page.wait_for("status")
        for number in range(300):
            bridge.server.publish("problem", {"about": str(number), "message": None})
            time.sleep(0.001)
        for page in pages:
            told = [page.wait_for("problem")["about"] for _ in range(300)]
            assert told == [str(number) for number in range(300)]


def read_to_the_end(socket: ClientConnection) -> list[str]:
    seen = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            seen.append(str(socket.recv(10)))
    return seen


def test_a_page_that_never_reads_holds_up_no_other_and_is_closed(panel: RunningPanel):
    text = "x" * 3000
    with running(panel) as bridge, panel.page() as page:
        page.wait_for("status")
        # Small buffers of the system, so that little is under way.
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        raw.connect(("127.0.0.1", panel.port))
        with panel.socket(sock=raw, max_queue=1, close_timeout=1) as slow:
            slow.send(f'{{"type": "hello", "id": "0", "content": {{"token": "{panel.token}"}}}}')
            told = 0
            for number in range(6000):
                bridge.server.publish("problem", {"about": str(number), "message": text})
                while told < number - 20:
                    page.wait_for("problem", lambda told, n=told: told["about"] == str(n))
                    told += 1
            assert page.ask("tap")["type"] == "ok"
            # What came before it was closed; the rest is not sent.
            assert len(read_to_the_end(slow)) < 5500


def test_a_slow_page_misses_levels_first(panel: RunningPanel):
    with running(panel) as bridge, panel.page() as page:
        page.wait_for("status")
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        raw.connect(("127.0.0.1", panel.port))
        with panel.socket(sock=raw, max_queue=1, close_timeout=1) as slow:
            slow.send(f'{{"type": "hello", "id": "0", "content": {{"token": "{panel.token}"}}}}')
            padding = "x" * 20000
            deadline = time.monotonic() + LONG_SECONDS
            # More than the system itself keeps for a reader.
            for number in range(900):
                bridge.server.publish("heard", {"number": number, "columns": [padding]})
                bridge.server.publish("problem", {"about": str(number), "message": "x" * 5000})
                page.wait_for("problem", lambda told, n=number: told["about"] == str(n))
            from panel_session import Page

            reader, heard, problems = Page(slow), 0, 0
            while problems < 900:
                assert time.monotonic() < deadline
                kind = reader.next()["type"]
                heard += kind == "heard"
                problems += kind == "problem"
            assert 0 < heard < 900


def test_too_many_wishes_at_a_time_are_refused_not_queued(panel: RunningPanel):
    with running(panel) as bridge, panel.page() as page:
        page.wait_for("bridge", lambda told: told["connected"])
        bridge._ends.set()  # it hears, but answers nothing
        bridge._thread.join()
        for number in range(17):
            page.send("status", str(number))
        refused = page.wait_for("error")
        assert refused["code"] == "busy"
