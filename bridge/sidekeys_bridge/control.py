"""ZeroMQ control for panel, command line and DAW scripts: commands in, replies and events out.

A thread of its own speaks with the clients. It never waits for the conductor, nor the conductor
for it, nor either of them for a client.
"""

from __future__ import annotations

import hmac
import itertools
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sidekeys_bridge.bell import Bell
from sidekeys_bridge.control_sockets import LOCAL, ControlSockets, Endpoints
from sidekeys_engine.errors import InputError
from sidekeys_engine.protocol import Message, ProtocolError, Table, error, ok, pack, unpack

_log = logging.getLogger(__name__)

LARGEST_JSON = 1 << 18
_LARGEST_BUFFERS = 1 << 18
_WAITING_EVENTS = 2000
# What a flood may take: so many messages at a time, then a pause that the piano needs more.
_AT_A_TIME = 8
_PAUSE_SECONDS = 0.01
_JOIN_SECONDS = 5.0


class Reply:
    """Answers one command, once, from any thread; later answers are ignored."""

    def __init__(self, server: ControlServer, number: int, message: Message) -> None:
        self._server, self._number, self._message = server, number, message

    def ok(self, content: Mapping[str, Any] | None = None, buffers: Sequence[bytes] = ()) -> None:
        """It went well.

        Raises:
            ValueError: content that is no JSON.
        """
        self._server._answer(self._number, pack(ok(self._message, content or {}, buffers)))

    def error(self, code: str, text: str) -> None:
        """It was refused or went wrong.

        Args:
            code: one of the protocol's error codes.
            text: what is wrong, and what to do next.
        """
        self._server._answer(self._number, pack(error(self._message.id, code, text)))


Respond = Callable[[Message, Reply], Mapping[str, Any] | None]


class ControlServer:
    """The control sockets of a bridge.

    Commands are checked against the table; the conductor takes them with `commands` or `answer`.
    Every request carries the token; the events need it as the password of ZeroMQ's PLAIN
    mechanism. Since subscriptions take a while, a client that must not miss an event subscribes to
    a topic of its own that begins with `hello-`, last of all: that topic comes back as an event,
    and from then on nothing is missed.

    Args:
        table: of the commands and events.
        token: the secret that opens it.
        clock: monotonic seconds.
        most_in_flight: commands that may wait for their replies, of all clients together.
        answer_within_seconds: when a command without a reply is answered with "late".

    Attributes:
        bell: rings when commands wait.
        counters: commands taken ("accepted"), messages refused by error code, and "events_lost".
    """

    def __init__(
        self,
        table: Table,
        token: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        most_in_flight: int = 64,
        answer_within_seconds: float = 30.0,
    ) -> None:
        self._table, self._token, self._clock = table, token, clock
        self._most_in_flight, self._within_seconds = most_in_flight, answer_within_seconds
        self.bell = Bell()
        self.counters: Counter[str] = Counter()
        self._numbers, self._event_numbers = itertools.count(), itertools.count()
        self._taken: deque[tuple[Message, Reply]] = deque()
        self._answers: deque[tuple[int, list[bytes]]] = deque()
        self._events: deque[list[bytes]] = deque(maxlen=_WAITING_EVENTS)
        self._publishing = threading.Lock()
        self._published: dict[str, tuple[float, Mapping[str, Any]]] = {}
        self._work = Bell()
        self._thread: threading.Thread | None = None
        self._ends = False

    # --- for the conductor

    def start(self, commands: str = LOCAL, events: str = LOCAL) -> Endpoints:
        """Listen from now on.

        Raises:
            InputError: the address is not of this machine alone, or cannot be had.
        """
        sockets = ControlSockets.open(self._token, commands, events)
        self._thread = threading.Thread(
            target=self._serve, args=(sockets,), name="control", daemon=True
        )
        self._thread.start()
        return sockets.endpoints

    def commands(self) -> list[tuple[Message, Reply]]:
        """The commands that came since last time, with defaults filled in; never blocks."""
        self.bell.silence()
        return [self._taken.popleft() for _ in range(len(self._taken))]

    def answer(self, respond: Respond) -> None:
        """Have all waiting commands answered; what goes wrong becomes an error in words.

        Args:
            respond: gives the content of the reply; None if it replies itself, now or later.
        """
        for message, reply in self.commands():
            _respond(respond, message, reply)

    def publish(self, event: str, content: Mapping[str, Any]) -> None:
        """Tell whoever listens; from any thread, never blocks.

        Raises:
            ValueError: content that is no JSON.
        """
        with self._publishing:
            number = str(next(self._event_numbers))
            if len(self._events) == _WAITING_EVENTS:
                self.counters["events_lost"] += 1
            self._events.append([event.encode("ascii"), *pack(Message(event, number, content))])
        self._work.ring()

    def publish_change(
        self, event: str, content: Mapping[str, Any], *, now_seconds: float, pause_seconds: float
    ) -> bool:
        """Tell it if it is another content than last time, and that was long enough ago.

        Returns:
            Whether it was told.
        """
        told_seconds, told = self._published.get(event, (-float("inf"), None))
        if content == told or now_seconds - told_seconds < pause_seconds:
            return False
        self._published[event] = (now_seconds, content)
        self.publish(event, content)
        return True

    def close(self) -> None:
        """Answer what waits with "cancelled", and end; safe twice."""
        self._ends = True
        self._work.ring()
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)
            self._thread = None
        self._work.close()
        self.bell.close()

    # --- on the thread of the sockets

    def _serve(self, sockets: ControlSockets) -> None:
        in_flight: dict[int, _InFlight] = {}
        try:
            while not self._ends:
                sockets.wait(self._work, seconds=0.25 if in_flight else None)
                self._work.silence()
                self._send(sockets, in_flight)
                self._expire(sockets, in_flight)
                sockets.greet()
                for _ in range(_AT_A_TIME):
                    received = sockets.receive()
                    if received is None:
                        break
                    self._take(sockets, in_flight, *received)
                else:
                    time.sleep(_PAUSE_SECONDS)
            self._send(sockets, in_flight)
            for asked in in_flight.values():
                sockets.send(asked.sender, pack(error(asked.id, "cancelled", "The bridge ends.")))
        finally:
            sockets.close()

    def _take(
        self,
        sockets: ControlSockets,
        in_flight: dict[int, _InFlight],
        sender: list[bytes],
        frames: list[bytes],
    ) -> None:
        """Check a message and hand it to the conductor, or say what is wrong with it."""
        try:
            message = unpack(frames, largest_json=LARGEST_JSON, largest_buffer=_LARGEST_BUFFERS)
            given = (message.token or "").encode("utf-8", "replace")
            if not hmac.compare_digest(given, self._token.encode()):
                raise ProtocolError(
                    "unauthorized",
                    "The token is missing or wrong; it is in the connection file, which is new "
                    "with every start of the bridge.",
                    message.id,
                )
            content = self._table.check(message)
            if len(in_flight) >= self._most_in_flight:
                raise ProtocolError(
                    "busy",
                    f"{len(in_flight)} commands wait for their answers; send the next one later.",
                    message.id,
                )
        except ProtocolError as refusal:
            self.counters[refusal.code] += 1
            sockets.send(sender, pack(error(refusal.request_id, refusal.code, str(refusal))))
            return
        self.counters["accepted"] += 1
        number = next(self._numbers)
        in_flight[number] = _InFlight(sender, message.id, self._clock() + self._within_seconds)
        checked = Message(message.type, message.id, content, message.buffers)
        self._taken.append((checked, Reply(self, number, checked)))
        self.bell.ring()

    def _answer(self, number: int, frames: list[bytes]) -> None:
        self._answers.append((number, frames))
        self._work.ring()

    def _send(self, sockets: ControlSockets, in_flight: dict[int, _InFlight]) -> None:
        while self._answers:
            number, frames = self._answers.popleft()
            asked = in_flight.pop(number, None)
            if asked is not None:
                sockets.send(asked.sender, frames)
        while self._events:
            sockets.tell(self._events.popleft())

    def _expire(self, sockets: ControlSockets, in_flight: dict[int, _InFlight]) -> None:
        now_seconds = self._clock()
        overdue = [number for number, asked in in_flight.items() if asked.due_seconds < now_seconds]
        for number in overdue:
            asked = in_flight.pop(number)
            self.counters["late"] += 1
            text = f"The bridge found no answer within {self._within_seconds:g} s; try again."
            sockets.send(asked.sender, pack(error(asked.id, "late", text)))


def _respond(respond: Respond, message: Message, reply: Reply) -> None:
    try:
        content = respond(message, reply)
        if content is not None:
            reply.ok(content)
    except ProtocolError as refusal:
        reply.error(refusal.code, str(refusal))
    except InputError as mistake:
        reply.error("invalid", str(mistake))
    except Exception as failure:
        # No command may end the music.
        _log.exception("the command %s failed", message.type)
        kind = type(failure).__name__
        reply.error("failed", f"{message.type} went wrong inside the bridge: {kind}: {failure}")


@dataclass(frozen=True, slots=True)
class _InFlight:
    sender: list[bytes]
    id: str
    due_seconds: float
