"""Requests to an engine and its answers, with deadlines; used from one thread, and never waits."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import zmq

from sidekeys_engine.protocol import (
    ENGINE,
    LARGEST_BUFFER,
    Message,
    ProtocolError,
    error,
    pack,
    unpack,
)

_LARGEST_ANSWER_JSON = 1 << 23
_WAITING_MESSAGES = 64


@dataclass(frozen=True, slots=True)
class _Pending:
    command: str
    due_seconds: float


class EngineClient:
    """One client of an engine. Close it; whatever it was asked for is then lost.

    Args:
        endpoint: of the engine's commands.
        token: the engine's secret.
        events_endpoint: of its events; without it `events` finds none.
        server_public_key: the engine's CURVE key, if it has one.
    """

    def __init__(
        self,
        endpoint: str,
        token: str,
        *,
        events_endpoint: str | None = None,
        server_public_key: bytes | None = None,
    ) -> None:
        self._token = token
        self._numbers = itertools.count(1)
        self._pending: dict[str, _Pending] = {}
        self._reports: list[Message] = []
        self._context = zmq.Context()
        self._socket = self._connected(zmq.DEALER, endpoint, server_public_key)
        self._events: zmq.Socket[bytes] | None = None
        if events_endpoint is not None:
            self._events = self._connected(zmq.SUB, events_endpoint, server_public_key)
            self._events.setsockopt(zmq.SUBSCRIBE, b"")

    @property
    def socket(self) -> zmq.Socket[bytes]:
        """For a `zmq.Poller`: readable when `poll` will find an answer."""
        return self._socket

    @property
    def pending(self) -> int:
        """Requests that are not answered yet."""
        return len(self._pending)

    def request(
        self,
        type: str,  # noqa: A002 - the word of the protocol
        content: Mapping[str, Any],
        buffers: Sequence[bytes] = (),
        *,
        now_seconds: float,
        within_seconds: float,
    ) -> str:
        """Ask for something.

        Args:
            type: a command of the engine.
            content: its fields. Where the command takes `within_seconds` and the content does not
                say it, the engine is told this one's.
            buffers: what follows it.
            now_seconds: the time.
            within_seconds: after that long an answer is of no use any more.

        Returns:
            The request's id, which its answer repeats.
        """
        request_id = str(next(self._numbers))
        fields = dict(content)
        if any(field.name == "within_seconds" for field in ENGINE.commands[type].fields):
            fields.setdefault("within_seconds", within_seconds)
        frames = pack(Message(type, request_id, fields, tuple(buffers), self._token))
        self._pending[request_id] = _Pending(type, now_seconds + within_seconds)
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            self._report(error(request_id, "busy", "The engine does not read its messages."))
        return request_id

    def poll(self, now_seconds: float) -> list[Message]:
        """The answers that have come, and an error "late" for each that is overdue.

        Every request is reported once; what comes later is dropped. After `close` all that were
        open are reported as cancelled.
        """
        while _has_news(self._socket):
            self._receive(self._socket.recv_multipart())
        overdue = [
            request_id
            for request_id, pending in self._pending.items()
            if pending.due_seconds <= now_seconds
        ]
        for request_id in overdue:
            self._report(error(request_id, "late", "The engine did not answer in time."))
        reports, self._reports = self._reports, []
        return reports

    def events(self) -> list[Message]:
        """The events that have come since the last call; unreadable ones are left out."""
        found: list[Message] = []
        while self._events is not None and _has_news(self._events):
            try:
                message = _unpacked(self._events.recv_multipart())
                ENGINE.check_event(message)
            except ProtocolError:
                continue
            found.append(message)
        return found

    def close(self) -> None:
        """Close the sockets; safe to call twice."""
        if self._socket.closed:
            return
        for request_id in list(self._pending):
            self._report(error(request_id, "cancelled", "The engine is gone."))
        self._context.destroy(linger=0)

    def _connected(self, kind: int, endpoint: str, key: bytes | None) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, _WAITING_MESSAGES)
        socket.setsockopt(zmq.RCVHWM, _WAITING_MESSAGES)
        socket.setsockopt(zmq.MAXMSGSIZE, LARGEST_BUFFER)
        socket.setsockopt(zmq.RECONNECT_IVL, 50)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 2000)
        if endpoint.startswith("tcp://["):
            socket.setsockopt(zmq.IPV6, 1)
        if key is not None:
            public, secret = zmq.curve_keypair()
            socket.setsockopt(zmq.CURVE_SERVERKEY, key)
            socket.setsockopt(zmq.CURVE_PUBLICKEY, public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
        socket.connect(endpoint)
        return socket

    def _receive(self, frames: list[bytes]) -> None:
        try:
            message = _unpacked(frames)
        except ProtocolError:
            return  # what it answers, if anything, becomes late
        pending = self._pending.get(message.id)
        if pending is None:
            return  # late, and reported already
        if message.type == "ok":
            try:
                content = ENGINE.check_reply(pending.command, message)
                message = Message("ok", message.id, content, message.buffers)
            except ProtocolError as problem:
                message = error(message.id, "malformed", str(problem))
        elif message.type != "error":
            return
        self._report(message)

    def _report(self, message: Message) -> None:
        self._pending.pop(message.id, None)
        self._reports.append(message)


def _has_news(socket: zmq.Socket[bytes]) -> bool:
    """Whether a whole message waits; asked at every turn of the bridge, and therefore cheap."""
    return not socket.closed and bool(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)


def _unpacked(frames: Sequence[bytes]) -> Message:
    return unpack(frames, largest_json=_LARGEST_ANSWER_JSON)
