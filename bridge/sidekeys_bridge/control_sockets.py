"""The sockets of a bridge's control: requests, events, and who may hear events.

No client is ever waited for: what it does not read is dropped.
"""

from __future__ import annotations

import contextlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sidekeys_bridge.bell import Bell
from sidekeys_bridge.connection import EVENTS_USER, HELLO
from sidekeys_engine.errors import InputError

if TYPE_CHECKING:
    import zmq

LOCAL = "tcp://127.0.0.1:*"
_LARGEST_FRAME = 1 << 20  # whoever sends more is disconnected without a word
_MOST_FRAMES = 12
_WAITING_IN = 16  # messages of one client that wait to be read
_WAITING_OUT = 200  # replies or events that wait for one client; what is beyond is dropped
_LAST_WORDS_SECONDS = 0.3
_LOCAL_HOSTS = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a server listens.

    Attributes:
        commands: of the ROUTER socket.
        events: of the PUB socket.
    """

    commands: str
    events: str


class ControlSockets:
    """The sockets; after they were opened, one thread owns them.

    Attributes:
        endpoints: where they listen.
    """

    def __init__(self, context: zmq.Context[Any], token: str) -> None:
        import zmq  # noqa: PLC0415

        self._context, self._token = context, token.encode()
        self._doorman = context.socket(zmq.REP)
        self._requests = context.socket(zmq.ROUTER)
        self._events = context.socket(zmq.XPUB)
        for socket in (self._doorman, self._requests, self._events):
            socket.linger = round(1000 * _LAST_WORDS_SECONDS)
            socket.maxmsgsize = _LARGEST_FRAME
            socket.rcvhwm = _WAITING_IN
            socket.sndhwm = _WAITING_OUT
        self._events.plain_server = True
        self._events.zap_domain = EVENTS_USER
        self.endpoints = Endpoints("", "")

    @classmethod
    def open(cls, token: str, commands: str, events: str) -> ControlSockets:
        """Listen at two addresses of this machine.

        Raises:
            InputError: the address is not of this machine alone, or cannot be had.
        """
        for address in (commands, events):
            _check_local(address)
        import zmq  # noqa: PLC0415

        opened = cls(zmq.Context(), token)
        try:
            # The doorman stands there before anybody can come.
            opened._doorman.bind("inproc://zeromq.zap.01")
            for address, socket in ((commands, opened._requests), (events, opened._events)):
                socket.bind(address)
        except zmq.ZMQError as refused:
            opened.close()
            raise InputError(
                f"Cannot listen at {address}: {refused.strerror}; give another address, or none."
            ) from refused
        ends = [
            str(socket.getsockopt_string(zmq.LAST_ENDPOINT)).rstrip("\0")
            for socket in (opened._requests, opened._events)
        ]
        opened.endpoints = Endpoints(*ends)
        return opened

    def wait(self, bell: Bell, seconds: float | None) -> None:
        """Wait until somebody says something, or the bell rings."""
        import zmq  # noqa: PLC0415

        poller = zmq.Poller()
        for socket in (self._doorman, self._requests, self._events, bell.socket):
            poller.register(socket, zmq.POLLIN)
        poller.poll(None if seconds is None else round(1000 * seconds))

    def receive(self) -> tuple[list[bytes], list[bytes]] | None:
        """The next message: who sent it, and its frames; None if there is none."""
        import zmq  # noqa: PLC0415

        try:
            frames = [self._requests.recv(zmq.NOBLOCK)]
        except zmq.Again:
            return None
        while self._requests.rcvmore:
            frame = self._requests.recv()
            if len(frames) < _MOST_FRAMES:
                frames.append(frame)
        # A REQ socket puts an empty frame before its message and wants it back.
        split = 2 if len(frames) > 1 and not frames[1] else 1
        return frames[:split], frames[split:]

    def send(self, sender: list[bytes], frames: list[bytes]) -> None:
        """Reply; to a client that is gone or does not read, it is dropped."""
        import zmq  # noqa: PLC0415

        with contextlib.suppress(zmq.ZMQError):
            self._requests.send_multipart([*sender, *frames], zmq.NOBLOCK)

    def tell(self, frames: list[bytes]) -> None:
        """Tell an event; for a subscriber that does not read, it is dropped."""
        import zmq  # noqa: PLC0415

        with contextlib.suppress(zmq.ZMQError):
            self._events.send_multipart(frames, zmq.NOBLOCK)

    def greet(self) -> None:
        """Let in whoever knows the token, and greet whoever has subscribed."""
        import zmq  # noqa: PLC0415

        with contextlib.suppress(zmq.Again):
            while True:
                self._admit(self._doorman.recv_multipart(zmq.NOBLOCK))
        with contextlib.suppress(zmq.Again):
            while True:
                subscription = self._events.recv(zmq.NOBLOCK)
                if subscription.startswith(b"\x01" + HELLO):
                    self.tell([subscription[1:], b""])

    def _admit(self, asked: list[bytes]) -> None:
        """Answer ZeroMQ's question about a newcomer; see https://rfc.zeromq.org/spec/27/."""
        version, request = asked[0], asked[1]
        secret = asked[7] if len(asked) > 7 and asked[5] == b"PLAIN" else b""
        verdict = (b"200", b"OK") if hmac.compare_digest(secret, self._token) else (b"400", b"no")
        self._doorman.send_multipart([version, request, *verdict, b"", b""])

    def close(self) -> None:
        """Say what waits to be said, for a moment, and close."""
        self._doorman.close()
        self._requests.close()
        self._events.close()
        self._context.term()


def _check_local(address: str) -> None:
    """Refuse what other machines could reach."""
    host = address.removeprefix("tcp://").rpartition(":")[0]
    if not (address.startswith("tcp://") and host in _LOCAL_HOSTS):
        raise InputError(
            f"The control of a bridge listens on its own machine alone, not at {address}; use "
            f"{LOCAL}, and a tunnel such as ssh -L to reach it from elsewhere."
        )
