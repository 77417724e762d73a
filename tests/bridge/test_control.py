"""Control answers every message in words, and no client can slow the bridge or the others."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidekeys_bridge.client import ControlClient, ControlError
from sidekeys_bridge.commands import BRIDGE
from sidekeys_bridge.control import ControlServer, Reply
from sidekeys_engine.connection import Connection
from sidekeys_engine.errors import InputError
from sidekeys_engine.protocol import Message, ProtocolError, unpack

TOKEN = "the-secret"
LONG_SECONDS = 10.0


def respond(message: Message, _: Reply) -> dict[str, Any] | None:
    """What these tests' bridge does."""
    if message.type == "tap":
        return {"bpm": 120.0}
    if message.type == "panic":
        raise RuntimeError("a broken key")
    if message.type == "play":
        raise InputError("nobody plays here; go home.")
    if message.type == "pause":
        raise ProtocolError("not-ready", "the engine still loads; try again soon.")
    if message.type == "downbeat":
        return None  # an answer that never comes
    return dict(message.content)


class Bridge:
    """A server with a conductor that does what `respond` says."""

    def __init__(self, **options: Any) -> None:
        self.server = ControlServer(BRIDGE, TOKEN, **options)
        ends = self.server.start()
        self.connection = Connection(ends.commands, ends.events, TOKEN, 1, "1.0")
        self._ends = threading.Event()
        self._conductor = threading.Thread(target=self._conduct)
        self._conductor.start()

    def _conduct(self) -> None:
        while not self._ends.is_set():
            if self.server.bell.wait(0.05):
                self.server.answer(respond)

    def close(self) -> None:
        self._ends.set()
        self._conductor.join()
        self.server.close()


@contextlib.contextmanager
def running(**options: Any) -> Iterator[Bridge]:
    bridge = Bridge(**options)
    try:
        yield bridge
    finally:
        bridge.close()


@pytest.fixture(scope="module")
def bridge() -> Iterator[Bridge]:
    with running() as started:
        yield started


@pytest.fixture
def client(bridge: Bridge) -> Iterator[ControlClient]:
    with ControlClient(bridge.connection) as connected:
        yield connected


@contextlib.contextmanager
def raw_socket(bridge: Bridge, kind: int = zmq.DEALER) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(kind) as socket:
        socket.linger = 0
        socket.sndhwm = 0
        socket.rcvtimeo = round(1000 * LONG_SECONDS)
        socket.connect(bridge.connection.endpoint)
        yield socket


def envelope(**changes: Any) -> bytes:
    whole = {"v": 1, "type": "tap", "id": "7", "token": TOKEN, "content": {}, **changes}
    return json.dumps(whole).encode()


# Requests


def test_a_request_is_answered(client: ControlClient) -> None:
    assert client.request("tap") == {"bpm": 120.0}


def test_defaults_are_filled_in_before_the_conductor_sees_it(client: ControlClient) -> None:
    assert client.request("nudge", {"beats": 1}) == {"beats": 1.0, "milliseconds": 0.0}


def test_many_requests_of_one_client_are_answered_in_turn(bridge: Bridge) -> None:
    with raw_socket(bridge) as socket:
        for number in range(50):
            socket.send(envelope(id=str(number)))
        replies = [unpack(socket.recv_multipart()) for _ in range(50)]
    assert [reply.id for reply in replies] == [str(number) for number in range(50)]


def test_a_req_socket_will_do(bridge: Bridge) -> None:
    with raw_socket(bridge, zmq.REQ) as socket:
        socket.send(envelope())
        assert unpack(socket.recv_multipart()).content == {"bpm": 120.0}


@pytest.mark.parametrize(
    ("frames", "code", "words"),
    [
        ([b"\xff\xfe"], "malformed", "not UTF-8"),
        ([b"{"], "malformed", "no JSON"),
        ([b"[" * 100_000], "malformed", "no JSON"),
        ([b"[]"], "malformed", "must be a JSON object"),
        ([envelope(v=99)], "version", "same version of Sidekeys on both sides"),
        ([envelope(token="wrong")], "unauthorized", "connection file"),
        ([envelope(token=None)], "unauthorized", "connection file"),
        ([envelope(token="\u00e9")], "unauthorized", "connection file"),
        ([envelope(type="fly")], "unknown", "there are status, health, set"),
        ([envelope(type="nudge", content={"beats": 99})], "invalid", "from -16 to 16"),
        ([envelope(type="nudge", content={"beast": 1})], "invalid", "no field \"beast\""),
        ([envelope(type="set", content={"mode": "sing"})], "invalid", "one of echo, loop"),
        ([envelope(), b"sound"], "invalid", "takes no buffers"),
        ([b"{" + b" " * 300_000 + b"}"], "too-large", "send at most 262144"),
        ([envelope(), *([b"x"] * 500)], "too-large", "buffers"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_told_and_counted(
    bridge: Bridge, frames: list[bytes], code: str, words: str
) -> None:
    before = bridge.server.counters[code]
    with raw_socket(bridge) as socket:
        socket.send_multipart(frames)
        reply = unpack(socket.recv_multipart())
    assert reply.is_error
    assert reply.content["code"] == code
    assert words in reply.content["message"]
    assert bridge.server.counters[code] == before + 1


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4).filter(lambda f: f[0] != b""))
def test_any_frames_get_an_answer_and_hurt_nobody(bridge: Bridge, frames: list[bytes]) -> None:
    with raw_socket(bridge) as socket:
        socket.send_multipart(frames)
        assert unpack(socket.recv_multipart()).is_error


def test_a_message_beyond_all_measure_is_dropped_and_the_others_go_on(bridge: Bridge) -> None:
    with raw_socket(bridge) as socket, ControlClient(bridge.connection) as other:
        socket.send(b"x" * (1 << 25))
        assert other.request("tap") == {"bpm": 120.0}
        assert not socket.poll(100)


def test_refusals_of_the_conductor_become_errors_in_words(client: ControlClient) -> None:
    for command, code, words in (
        ("play", "invalid", "nobody plays here; go home."),
        ("pause", "not-ready", "the engine still loads; try again soon."),
    ):
        with pytest.raises(ControlError) as refused:
            client.request(command)
        assert (refused.value.code, str(refused.value)) == (code, words)


def test_a_failure_inside_the_conductor_is_told_and_it_lives_on(
    client: ControlClient, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ControlError, match="RuntimeError: a broken key") as refused:
        client.request("panic")
    assert refused.value.code == "failed"
    assert "the command panic failed" in caplog.text
    assert client.request("tap") == {"bpm": 120.0}


def test_a_command_that_nobody_answers_is_late_and_its_place_is_free_again() -> None:
    now = [0.0]
    with (
        running(clock=lambda: now[0], answer_within_seconds=5.0, most_in_flight=2) as slow,
        raw_socket(slow) as socket,
        ControlClient(slow.connection) as other,
    ):
        for number in range(3):
            socket.send(envelope(type="downbeat", id=str(number)))
        busy = unpack(socket.recv_multipart())
        assert (busy.id, busy.content["code"]) == ("2", "busy")
        assert "send the next one later" in busy.content["message"]
        with pytest.raises(ControlError, match="wait for their answers"):
            other.request("tap")
        now[0] = 6.0
        late = [unpack(socket.recv_multipart()) for _ in range(2)]
        assert [reply.content["code"] for reply in late] == ["late", "late"]
        assert other.request("tap") == {"bpm": 120.0}


def test_an_answer_can_come_later_from_another_thread_and_only_once() -> None:
    kept: list[Reply] = []
    server = ControlServer(BRIDGE, TOKEN)
    ends = server.start()
    with ControlClient(Connection(ends.commands, ends.events, TOKEN, 1, "1")) as client:
        got: list[dict[str, Any]] = []
        asking = threading.Thread(target=lambda: got.append(client.request("tap")))
        asking.start()
        assert server.bell.wait(LONG_SECONDS)
        (taken,) = server.commands()
        assert taken[0].type == "tap"
        kept.append(taken[1])
        assert not server.bell.wait(0)
        kept[0].ok({"bpm": 99.0})
        kept[0].ok({"bpm": 1.0})
        kept[0].error("failed", "too late to say so")
        asking.join()
        assert got == [{"bpm": 99.0}]
    server.close()


def test_what_waits_is_cancelled_when_the_bridge_ends() -> None:
    bridge = Bridge()
    with ControlClient(bridge.connection) as client, raw_socket(bridge) as socket:
        socket.send(envelope(type="downbeat"))
        while not bridge.server.counters["accepted"]:
            time.sleep(0.005)
        bridge.close()
        bridge.server.close()
        reply = unpack(socket.recv_multipart())
        assert reply.content["code"] == "cancelled"
        with pytest.raises(ControlError, match=r"did not answer within 0\.1 s"):
            client.request("tap", within_seconds=0.1)


def test_a_client_that_never_reads_its_replies_stops_nobody() -> None:
    """Its replies are dropped when too many wait; and what it may ask for a second is bounded."""
    with (
        running() as bridge,
        raw_socket(bridge) as silent,
        ControlClient(bridge.connection) as other,
    ):
        content = {"input": "x" * 4000}
        for number in range(3000):
            silent.send(envelope(type="set", id=str(number), content=content), zmq.NOBLOCK)
        for _ in range(5):
            assert other.request("tap") == {"bpm": 120.0}


@pytest.mark.parametrize(
    "address",
    ["tcp://0.0.0.0:*", "tcp://*:5555", "tcp://192.168.0.1:5555", "ipc://x", "nonsense", ""],
)
def test_other_machines_cannot_be_let_in(address: str) -> None:
    server = ControlServer(BRIDGE, TOKEN)
    with pytest.raises(InputError, match="on its own machine alone"):
        server.start(commands=address)
    with pytest.raises(InputError, match="on its own machine alone"):
        server.start(events=address)
    server.close()


def test_an_address_that_is_taken_is_told(bridge: Bridge) -> None:
    server = ControlServer(BRIDGE, TOKEN)
    with pytest.raises(InputError, match=r"Cannot listen at tcp.*in use"):
        server.start(commands=bridge.connection.endpoint)
    server.close()


# Events


def test_events_come_in_order_and_are_numbered(bridge: Bridge, client: ControlClient) -> None:
    with client.events() as events:
        for number in range(20):
            bridge.server.publish("window", {"start_beats": number, "result": "done"})
        heard = [events.wait(LONG_SECONDS) for _ in range(20)]
    assert all(event is not None for event in heard)
    assert [event.content["start_beats"] for event in heard if event] == list(range(20))
    numbers = [int(event.id) for event in heard if event]
    assert numbers == list(range(numbers[0], numbers[0] + 20))
    assert heard[0] is not None
    assert BRIDGE.check_event(heard[0])["result"] == "done"


def test_only_the_types_that_are_wanted_come(bridge: Bridge, client: ControlClient) -> None:
    with client.events("problem", "job") as events:
        bridge.server.publish("level", {"level_db": -3.0})
        bridge.server.publish("problem", {"about": "input"})
        event = events.wait(LONG_SECONDS)
        assert event is not None
        assert event.type == "problem"
        assert events.wait(0.0) is None


def test_without_the_token_nothing_is_heard(bridge: Bridge) -> None:
    with zmq.Context() as context, context.socket(zmq.SUB) as plain, context.socket(zmq.SUB) as bad:
        for socket in (plain, bad):
            socket.linger = 0
            socket.subscribe(b"")
        bad.plain_username, bad.plain_password = b"sidekeys", b"a-guess"
        for socket in (plain, bad):
            socket.connect(bridge.connection.events_endpoint)
        with ControlClient(bridge.connection) as client, client.events() as events:
            bridge.server.publish("problem", {"about": "input"})
            assert events.wait(LONG_SECONDS) is not None
        assert not plain.poll(200)
        assert not bad.poll(0)


def test_a_listener_that_never_reads_slows_neither_the_bridge_nor_the_others() -> None:
    with (
        running() as bridge,
        ControlClient(bridge.connection) as idle,
        ControlClient(bridge.connection) as keen,
        idle.events(),
        keen.events("job") as jobs,
    ):
        content = {"about": "x" * 20_000}
        started = time.monotonic()
        for _ in range(3000):  # 60 MB, of which what does not fit is dropped
            bridge.server.publish("problem", content)
        took_seconds = time.monotonic() - started
        bridge.server.publish("job", {"job": "1", "state": "done"})
        event = jobs.wait(LONG_SECONDS)
        assert event is not None
        assert event.content["job"] == "1"
        assert keen.request("tap") == {"bpm": 120.0}
    # A tenth of a second here; had it waited for the idle one, it would never have come back.
    assert took_seconds < LONG_SECONDS


def test_changes_are_told_once_and_not_too_often() -> None:
    with running() as bridge, ControlClient(bridge.connection) as client, client.events() as events:
        told = [
            bridge.server.publish_change("level", {"x": x}, now_seconds=now, pause_seconds=0.1)
            for now, x in [(0.0, 1), (0.05, 2), (0.1, 1), (0.2, 2), (0.25, 3), (0.31, 3)]
        ]
        assert told == [True, False, False, True, False, True]
        heard = [events.wait(LONG_SECONDS) for _ in range(3)]
        assert [event.content["x"] for event in heard if event] == [1, 2, 3]


def test_what_is_no_json_is_a_mistake_of_the_caller(bridge: Bridge) -> None:
    with pytest.raises(ValueError, match="JSON"):
        bridge.server.publish("level", {"level_db": float("-inf")})


def test_who_listens_hears_that_the_bridge_has_ended() -> None:
    bridge = Bridge()
    with ControlClient(bridge.connection) as client, client.events() as events:
        bridge.server.publish("ending", {})
        bridge.close()
        assert [event.type for event in events] == ["ending"]
        with pytest.raises(ControlError, match="the bridge has ended"):
            events.wait(LONG_SECONDS)


def test_a_bridge_without_events_is_told_in_words(bridge: Bridge) -> None:
    wrong = Connection(
        bridge.connection.endpoint, bridge.connection.events_endpoint, "wrong", 1, "1"
    )
    with ControlClient(wrong) as client, pytest.raises(ControlError, match="sends no events"):
        client.events()


# Clients


def test_a_client_can_be_closed_twice(bridge: Bridge) -> None:
    client = ControlClient(bridge.connection)
    stream = client.events()
    client.close()
    client.close()
    stream.close()


def test_a_late_reply_is_not_taken_for_the_next_one() -> None:
    server = ControlServer(BRIDGE, TOKEN)
    ends = server.start()
    with ControlClient(Connection(ends.commands, ends.events, TOKEN, 9, "1")) as client:
        with pytest.raises(ControlError, match=r"process 9\) did not answer within 0.05 s"):
            client.request("tap", within_seconds=0.05)
        assert server.bell.wait(LONG_SECONDS)
        server.commands()[0][1].ok({"bpm": 1.0})

        def conduct() -> None:
            assert server.bell.wait(LONG_SECONDS)
            server.commands()[0][1].ok({"bpm": 2.0})

        conductor = threading.Thread(target=conduct)
        conductor.start()
        assert client.request("tap") == {"bpm": 2.0}
        conductor.join()
    server.close()
