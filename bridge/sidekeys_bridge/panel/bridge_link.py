"""The bridge as the panel sees it: found, asked, listened to, and found again after it ended."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Any

import zmq
import zmq.asyncio

from sidekeys_bridge.connection import EVENTS_USER, HELLO, find_bridge
from sidekeys_bridge.panel.panel_error import PanelError
from sidekeys_engine.connection import Connection
from sidekeys_engine.errors import InputError
from sidekeys_engine.protocol import Message, ProtocolError, pack, unpack

_log = logging.getLogger(__name__)

NOT_CONNECTED = "The bridge does not run; start it with `sidekeys start`."
WITHIN_SECONDS = 5.0
_LOOK_SECONDS = 0.25
# A bridge tells its status ten times a second; a machine may be busy for a moment.
_SILENT_SECONDS = 2.0
_GREET_SECONDS = 3.0
_ASK_AGAIN_SECONDS = 1.0
_WAITING_IN = 1000

Told = Callable[[str, Mapping[str, Any]], None]
"""Gets the type and the content of an event."""


class BridgeLink:
    """Speaks with whatever bridge its user has, in one event loop.

    Args:
        told: gets the events of the bridge, and "bridge" and "composers" as the panel's pages know
            them.
        ended: called when a bridge is gone for good, with all that it was asked to do.
        clock: monotonic seconds.

    Attributes:
        connected: whether a bridge answers now.
        status: what it told last; None without one.
        composers: the content of its "composers"; None while they are not known.
    """

    def __init__(
        self,
        told: Told,
        ended: Callable[[], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._told, self._ended = told, ended
        self._clock = clock
        self.connected = False
        self.status: Mapping[str, Any] | None = None
        self.composers: Mapping[str, Any] | None = None
        self._connection: Connection | None = None
        self._requests: zmq.asyncio.Socket | None = None
        self._open: dict[str, asyncio.Future[Message]] = {}
        self._numbers = itertools.count(1)
        self._status_seconds = 0.0
        self._checkpoint: object = None
        self._asked_seconds = -_ASK_AGAIN_SECONDS
        self._asking: asyncio.Task[None] | None = None

    def bridge(self) -> dict[str, Any]:
        """The content of a "bridge" message."""
        version = self._connection.version if self._connection is not None else ""
        return {"connected": self.connected, "version": version}

    async def request(
        self, command: str, content: Mapping[str, Any], *, within_seconds: float = WITHIN_SECONDS
    ) -> dict[str, Any]:
        """Ask the bridge for something; the content of its reply.

        Raises:
            PanelError: it was refused, in the bridge's words, there was no answer, or no bridge.
        """
        if self._requests is None or self._connection is None:
            raise PanelError("not-ready", NOT_CONNECTED)
        number = str(next(self._numbers))
        try:
            frames = pack(Message(command, number, content, token=self._connection.token))
        except ValueError as problem:
            raise PanelError("invalid", f"{command} cannot be sent: {problem}.") from problem
        reply: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._open[number] = reply
        try:
            await self._requests.send_multipart(frames)
            answer = await asyncio.wait_for(reply, within_seconds)
        except asyncio.TimeoutError as late:
            raise PanelError(
                "late", f"The bridge did not answer within {within_seconds:g} s; try again."
            ) from late
        finally:
            self._open.pop(number, None)
        if answer.is_error:
            text = str(answer.content.get("message"))
            raise PanelError(str(answer.content.get("code")), text)
        return dict(answer.content)

    async def run(self) -> None:
        """Stay with the user's bridge, and with the next one, until cancelled."""
        context = zmq.asyncio.Context()
        gone: str | None = None  # the token of a bridge that said that it ends
        try:
            while True:
                connection = self._found()
                if connection is None or connection.token == gone:
                    await asyncio.sleep(_LOOK_SECONDS)
                    continue
                if await self._stay(context, connection):
                    gone = connection.token
        finally:
            context.destroy(linger=0)

    def _found(self) -> Connection | None:
        try:
            return find_bridge()
        except InputError:
            return None

    async def _stay(self, context: zmq.asyncio.Context, connection: Connection) -> bool:
        """Be with one bridge as long as it lives; whether it said goodbye."""
        requests, events = context.socket(zmq.DEALER), context.socket(zmq.SUB)
        work: list[asyncio.Task[Any]] = []
        try:
            requests.linger = events.linger = 0
            requests.connect(connection.endpoint)
            if not await _subscribed(events, connection):
                return False
            self._connection, self._requests = connection, requests
            self._status_seconds = self._clock()
            parts = (self._listen(events), self._take(requests), self._watch(connection))
            work += [asyncio.create_task(part) for part in parts]
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            said_goodbye = {task.result() for task in done}  # raises what went wrong in any
            return True in said_goodbye
        finally:
            if self._asking is not None:
                work.append(self._asking)
                self._asking = None
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)
            requests.close()
            events.close()
            self._lose()

    async def _listen(self, events: zmq.asyncio.Socket) -> bool:
        """Pass events on until the bridge says that it ends."""
        while True:
            frames = await events.recv_multipart()
            if frames[0].startswith(HELLO):
                continue
            try:
                event = unpack(frames[1:])
            except ProtocolError as problem:
                _log.warning("the bridge said what is no message: %s", problem)
                continue
            if event.type == "status":
                self._hear_status(event.content)
            self._told(event.type, event.content)
            if event.type == "ending":
                return True

    async def _take(self, requests: zmq.asyncio.Socket) -> bool:
        """Hand replies to whoever waits for them."""
        while True:
            frames = await requests.recv_multipart()
            try:
                reply = unpack(frames)
            except ProtocolError as problem:
                _log.warning("the bridge said what is no message: %s", problem)
                continue
            waiting = self._open.get(reply.id)
            if waiting is not None and not waiting.done():
                waiting.set_result(reply)

    async def _watch(self, connection: Connection) -> bool:
        """Return when this bridge is no more; say so while it is silent."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            found = self._found()
            if found is None or found.token != connection.token:
                return False
            if self.connected and self._clock() > self._status_seconds + _SILENT_SECONDS:
                self._become(False)

    def _hear_status(self, status: Mapping[str, Any]) -> None:
        self.status, self._status_seconds = status, self._clock()
        if not self.connected:
            self._become(True)
            if self.composers is not None:
                self._told("composers", self.composers)
        engine = status["engine"]
        is_news = self.composers is None or engine["checkpoint"] != self._checkpoint
        if (
            engine["state"] == "ready"
            and is_news
            and self._clock() >= self._asked_seconds + _ASK_AGAIN_SECONDS
        ):
            self._asked_seconds = self._clock()
            self._asking = asyncio.create_task(self._ask_composers(engine["checkpoint"]))

    async def _ask_composers(self, checkpoint: object) -> None:
        try:
            composers = await self.request("composers", {})
        except PanelError:  # it still loads; the next status asks again
            return
        self.composers, self._checkpoint = composers, checkpoint
        self._told("composers", composers)

    def _become(self, connected: bool) -> None:
        self.connected = connected
        self._told("bridge", self.bridge())

    def _lose(self) -> None:
        """This bridge is over: whoever waits for its answers waits in vain."""
        was_known = self._connection is not None
        was_connected, self.connected = self.connected, False
        self._connection = self._requests = None
        self.status = self.composers = self._checkpoint = None
        self._asked_seconds = self._clock() - _ASK_AGAIN_SECONDS
        cancelled = Message("error", "", {"code": "cancelled", "message": NOT_CONNECTED})
        for waiting in self._open.values():
            if not waiting.done():
                waiting.set_result(cancelled)
        if was_connected:
            self._told("bridge", self.bridge())
        if was_known:
            self._ended()


async def _subscribed(events: zmq.asyncio.Socket, connection: Connection) -> bool:
    """Listen to all events; whether the bridge has heard so, so that none is missed from now on."""
    events.rcvhwm = _WAITING_IN
    events.plain_username = EVENTS_USER
    events.plain_password = connection.token.encode()
    greeting = HELLO + secrets.token_hex(8).encode()
    events.subscribe(b"")
    events.subscribe(greeting)
    events.connect(connection.events_endpoint)
    deadline = time.monotonic() + _GREET_SECONDS
    while (left_seconds := deadline - time.monotonic()) > 0:
        try:
            frames = await asyncio.wait_for(events.recv_multipart(), left_seconds)
        except asyncio.TimeoutError:
            break
        if frames[0] == greeting:
            events.unsubscribe(greeting)
            return True
    return False
