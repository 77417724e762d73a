"""A client of a bridge's control: requests, and the events that it tells."""

from __future__ import annotations

import itertools
import math
import secrets
import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sidekeys_bridge.connection import EVENTS_USER, HELLO, find_bridge
from sidekeys_engine.connection import Connection
from sidekeys_engine.errors import InputError
from sidekeys_engine.protocol import Message, ProtocolError, pack, unpack

if TYPE_CHECKING:
    from pathlib import Path

    import zmq

WITHIN_SECONDS = 5.0
_CONNECT_SECONDS = 3.0
_WAITING_IN = 1000  # events that wait to be read; what is beyond is dropped


class ControlError(InputError):
    """A bridge that refused a request, or did not answer.

    Attributes:
        code: one of the protocol's error codes.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class ControlClient:
    """Speaks with a bridge, from one thread.

    Args:
        connection: of the bridge; `running` finds it.
        within_seconds: how long to wait for a reply.
    """

    def __init__(self, connection: Connection, *, within_seconds: float = WITHIN_SECONDS) -> None:
        import zmq  # noqa: PLC0415

        self.connection = connection
        self._within_seconds = within_seconds
        self._ids = itertools.count(1)
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.connect(connection.endpoint)
        self._streams: list[EventStream] = []

    @classmethod
    def running(
        cls, folder: Path | None = None, *, within_seconds: float = WITHIN_SECONDS
    ) -> ControlClient:
        """A client of this user's bridge.

        Args:
            folder: of its connection file, if it is not the usual one.
            within_seconds: how long to wait for a reply.

        Raises:
            InputError: no bridge runs.
        """
        return cls(find_bridge(folder), within_seconds=within_seconds)

    def request(
        self,
        type: str,  # noqa: A002 - the protocol's word
        content: Mapping[str, Any] | None = None,
        *,
        within_seconds: float | None = None,
    ) -> dict[str, Any]:
        """Ask for something and wait for the reply.

        Args:
            type: a command of the protocol.
            content: its fields.
            within_seconds: how long to wait, if not as long as for all.

        Returns:
            The fields of the reply.

        Raises:
            ControlError: it was refused, in the bridge's words, or there was no answer.
            ValueError: content that is no JSON.
        """
        wait_seconds = self._within_seconds if within_seconds is None else within_seconds
        request = Message(type, str(next(self._ids)), content or {}, token=self.connection.token)
        self._socket.send_multipart(pack(request))
        deadline = time.monotonic() + wait_seconds
        while True:
            if not self._socket.poll(_milliseconds_to(deadline)):
                raise ControlError(
                    "late",
                    f"the bridge (process {self.connection.pid}) did not answer within "
                    f"{wait_seconds:g} s; try again, or end that process and start another one.",
                )
            reply = _unpacked(self._socket.recv_multipart())
            if reply.id != request.id and reply.id:  # of a request that was given up
                continue
            if reply.is_error:
                raise ControlError(str(reply.content.get("code")), str(reply.content["message"]))
            return dict(reply.content)

    def events(self, *types: str) -> EventStream:
        """Listen to events; from the return on, none is missed.

        Args:
            types: of the events; all of them if none is named.

        Raises:
            ControlError: the bridge does not let us listen.
        """
        stream = EventStream(self._context, self.connection, types)
        self._streams.append(stream)
        return stream

    def close(self) -> None:
        """Give all sockets back; safe twice."""
        for stream in self._streams:
            stream.close()
        self._socket.close()
        self._context.term()

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class EventStream:
    """The events of a bridge, as they come; `ControlClient.events` makes one."""

    def __init__(
        self, context: zmq.Context[Any], connection: Connection, types: tuple[str, ...]
    ) -> None:
        import zmq  # noqa: PLC0415

        self._socket = context.socket(zmq.SUB)
        self._socket.linger = 0
        self._socket.rcvhwm = _WAITING_IN
        self._socket.plain_username = EVENTS_USER
        self._socket.plain_password = connection.token.encode()
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._monitor.linger = 0
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        self._closed = False
        for name in types or ("",):
            self._socket.subscribe(name)
        greeting = HELLO + secrets.token_hex(8).encode()
        self._socket.subscribe(greeting)
        self._socket.connect(connection.events_endpoint)
        self._meet(greeting, connection)
        self._socket.unsubscribe(greeting)

    def _meet(self, greeting: bytes, connection: Connection) -> None:
        """Wait until the bridge has heard what we listen to."""
        deadline = time.monotonic() + _CONNECT_SECONDS
        while self._socket.poll(_milliseconds_to(deadline)):
            if self._socket.recv_multipart()[0] == greeting:
                return
        self.close()
        raise ControlError(
            "late",
            f"the bridge (process {connection.pid}) sends no events; try again, or end that "
            "process and start another one.",
        )

    def wait(self, seconds: float | None = None) -> Message | None:
        """The next event; None if none came so long.

        Raises:
            ControlError: the bridge has ended.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            ready = dict(
                self._poller.poll(None if deadline is None else _milliseconds_to(deadline))
            )
            if self._socket in ready:
                frames = self._socket.recv_multipart()
                if not frames[0].startswith(HELLO):
                    return _unpacked(frames[1:])
            elif self._monitor in ready:
                raise ControlError("cancelled", "the bridge has ended.")
            else:
                return None

    def __iter__(self) -> Iterator[Message]:
        """All events until the bridge ends."""
        while True:
            try:
                event = self.wait()
            except ControlError:
                return
            if event is not None:
                yield event

    def __enter__(self) -> EventStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Listen no more; safe twice."""
        if not self._closed:
            self._closed = True
            self._socket.disable_monitor()
            self._monitor.close()
            self._socket.close()


def _milliseconds_to(deadline_seconds: float) -> int:
    return max(0, math.ceil(1000 * (deadline_seconds - time.monotonic())))


def _unpacked(frames: list[bytes]) -> Message:
    try:
        return unpack(frames)
    except ProtocolError as problem:
        raise ControlError(
            problem.code, f"the bridge said what is no message: {problem}"
        ) from problem
