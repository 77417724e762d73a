"""The engine's client: each request is reported once, in time or as late, and nothing is left."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from sidekeys_bridge.engine_client import EngineClient
from sidekeys_engine.protocol import ENGINE, Message, error, ok, pack, unpack

HEALTH = {
    "state": "ready", "problem": None, "generation_seconds": 0.1, "up_seconds": 1.0,
    "windows_done": 1, "windows_refused": 0, "batches": 1, "waiting": 0, "jobs": [], "pid": 7,
}  # fmt: skip


class Engine:
    """A socket that answers as it is told to."""

    def __init__(self) -> None:
        self.context = zmq.Context()
        self.router = self.context.socket(zmq.ROUTER)
        port = self.router.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint = f"tcp://127.0.0.1:{port}"
        self.publisher = self.context.socket(zmq.PUB)
        port = self.publisher.bind_to_random_port("tcp://127.0.0.1")
        self.events_endpoint = f"tcp://127.0.0.1:{port}"
        self.clients: list[bytes] = []

    def receive(self) -> Message:
        assert self.router.poll(5000)
        client, *frames = self.router.recv_multipart()
        self.clients.append(client)
        return unpack(frames)

    def send(self, *frames: bytes) -> None:
        self.router.send_multipart([self.clients[-1], *frames])


@pytest.fixture
def engine() -> Iterator[Engine]:
    one = Engine()
    yield one
    one.context.destroy(linger=0)


@pytest.fixture
def client(engine: Engine) -> Iterator[EngineClient]:
    one = EngineClient(engine.endpoint, "secret", events_endpoint=engine.events_endpoint)
    yield one
    one.close()


def soon(find: Callable[[], Any]) -> Any:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        found = find()
        if found:
            return found
        time.sleep(0.002)
    raise AssertionError("it did not come")


def test_a_request_carries_the_token_and_its_answer_comes_back(
    engine: Engine, client: EngineClient
):
    request = client.request("health", {}, now_seconds=0.0, within_seconds=1.0)
    asked = engine.receive()
    assert (asked.type, asked.id, asked.token) == ("health", request, "secret")
    assert client.poll(0.5) == []
    engine.send(*pack(ok(asked, HEALTH)))
    (answer,) = soon(lambda: client.poll(0.5))
    assert (answer.type, answer.id, answer.content) == ("ok", request, HEALTH)
    assert client.poll(9.0) == []
    assert client.pending == 0


def test_a_window_tells_its_deadline(engine: Engine, client: EngineClient):
    client.request("generate", {"seed": 1}, (b"abcd",), now_seconds=0.0, within_seconds=0.75)
    client.request("generate", {"within_seconds": 9}, now_seconds=0.0, within_seconds=0.75)
    first, second = engine.receive(), engine.receive()
    assert first.content == {"seed": 1, "within_seconds": 0.75}
    assert first.buffers == (b"abcd",)
    assert second.content == {"within_seconds": 9}


def test_what_is_overdue_is_reported_late_once_and_its_answer_dropped(
    engine: Engine, client: EngineClient
):
    request = client.request("health", {}, now_seconds=0.0, within_seconds=1.0)
    asked = engine.receive()
    assert client.poll(0.99) == []
    (late,) = client.poll(1.0)
    assert (late.id, late.content["code"]) == (request, "late")
    engine.send(*pack(ok(asked, HEALTH)))
    second = client.request("health", {}, now_seconds=1.0, within_seconds=1.0)
    engine.send(*pack(ok(engine.receive(), HEALTH)))
    assert [answer.id for answer in soon(lambda: client.poll(1.5))] == [second]
    assert client.poll(9.0) == []


def test_an_engine_that_is_not_there_costs_no_time_and_no_memory():
    client = EngineClient("tcp://127.0.0.1:9", "secret")
    started = time.monotonic()
    for _ in range(500):
        client.request("health", {}, now_seconds=0.0, within_seconds=1.0)
    reports = client.poll(0.5)
    assert time.monotonic() - started < 2.0
    assert {report.content["code"] for report in reports} == {"busy"}
    assert len(reports) > 300
    assert len(reports) + len(client.poll(1.0)) == 500
    client.close()


def test_a_refusal_is_passed_on(engine: Engine, client: EngineClient):
    client.request("health", {}, now_seconds=0.0, within_seconds=1.0)
    engine.send(*pack(error(engine.receive().id, "unauthorized", "No.")))
    (answer,) = soon(lambda: client.poll(0.5))
    assert answer.is_error
    assert answer.content == {"code": "unauthorized", "message": "No."}


@pytest.mark.parametrize(
    "frames",
    [[b""], [b"\xff"], [b"{}"], pack(Message("ok", "1", {"state": "happy"})),
     pack(Message("ok", "99", HEALTH)), pack(Message("state", "1", {}))],
)  # fmt: skip
def test_nonsense_from_an_engine_harms_nobody(
    engine: Engine, client: EngineClient, frames: list[bytes]
):
    request = client.request("health", {}, now_seconds=0.0, within_seconds=1.0)
    asked = engine.receive()
    engine.send(*frames)
    second = client.request("health", {}, now_seconds=0.0, within_seconds=1.0)
    engine.send(*pack(ok(Message("health", second, {}), HEALTH)))
    del asked
    answers: list[Message] = []
    soon(lambda: answers.extend(client.poll(0.5)) or second in [one.id for one in answers])
    answers += client.poll(2.0)
    assert [(one.id, one.content.get("code")) for one in answers if one.id == request] in (
        [(request, "malformed")],
        [(request, "late")],
    )
    assert [one.type for one in answers if one.id == second] == ["ok"]


def test_the_socket_tells_when_to_poll(engine: Engine, client: EngineClient):
    assert not client.socket.poll(0)
    client.request("health", {}, now_seconds=0.0, within_seconds=1.0)
    engine.send(*pack(ok(engine.receive(), HEALTH)))
    assert client.socket.poll(5000)
    assert len(client.poll(0.5)) == 1


def test_events_are_heard_and_unreadable_ones_left_out(engine: Engine, client: EngineClient):
    event = Message("state", "", {"state": "ready", "problem": None, "checkpoint": "builtin"})

    def heard() -> list[Message]:
        for frames in ([b"nonsense"], pack(Message("state", "", {"state": 5})), pack(event)):
            engine.publisher.send_multipart(frames)  # again, until the subscription is there
        return client.events()

    assert {message.content["state"] for message in soon(heard)} == {"ready"}
    ENGINE.check_event(event)


def test_closing_reports_what_was_open_and_leaves_nothing(engine: Engine):
    client = EngineClient(engine.endpoint, "secret", events_endpoint=engine.events_endpoint)
    request = client.request("health", {}, now_seconds=0.0, within_seconds=1.0)
    client.close()
    client.close()
    (report,) = client.poll(0.0)
    assert (report.id, report.content["code"]) == (request, "cancelled")
    assert client.poll(9.0) == []
    assert client.events() == []
    assert client.socket.closed


def test_a_client_that_is_forgotten_does_not_keep_the_process():
    program = (
        "from sidekeys_bridge.engine_client import EngineClient\n"
        "client = EngineClient('tcp://127.0.0.1:9', 'x')\n"
        "client.request('health', {}, now_seconds=0.0, within_seconds=1.0)\n"
        "client.close()\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=20, check=False).returncode == 0
