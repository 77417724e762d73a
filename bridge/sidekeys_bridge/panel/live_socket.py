"""The websocket of one page: commands in, replies and events out."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

from starlette.websockets import WebSocket, WebSocketDisconnect

from sidekeys_bridge.panel.guard import is_token
from sidekeys_bridge.panel.pages import Page, Pages, as_text
from sidekeys_bridge.panel.panel_error import PanelError

LARGEST_MESSAGE = 1 << 16
UNAUTHORIZED, TOO_SLOW, TOO_MANY, NO_TEXT = 4401, 4408, 4429, 1003
"""Codes that a websocket is closed with."""
_HELLO_SECONDS = 5.0
_CLOSE_SECONDS = 1.0
_MOST_IN_FLIGHT = 16
_LONGEST_ID = 64

Do = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
"""Does a command of a page; the content of the reply."""
Greet = Callable[[Page], None]
"""Puts what a new page must know."""


async def serve_page(socket: WebSocket, pages: Pages, token: str, greet: Greet, do: Do) -> None:
    """Be there for one page until it leaves, or reads too slowly."""
    await socket.accept()
    if not await _knows_token(socket, token):
        await socket.close(UNAUTHORIZED, "open the address that `sidekeys start` prints")
        return
    try:
        page = pages.enter()
    except PanelError as refusal:
        await socket.close(TOO_MANY, str(refusal))
        return
    greet(page)
    parts = (_send(socket, page), _receive(socket, page, do), page.overrun.wait())
    work = [asyncio.create_task(part) for part in parts]
    try:
        await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
    finally:
        pages.leave(page)
        for task in work:
            task.cancel()
        ends = await asyncio.gather(*work, return_exceptions=True)
    if page.overrun.is_set() or NO_TEXT in ends:
        # To one that does not read, this is never sent.
        with contextlib.suppress(WebSocketDisconnect, RuntimeError, asyncio.TimeoutError):
            code = TOO_SLOW if page.overrun.is_set() else NO_TEXT
            await asyncio.wait_for(socket.close(code), _CLOSE_SECONDS)


async def _knows_token(socket: WebSocket, token: str) -> bool:
    try:
        first = await asyncio.wait_for(socket.receive(), _HELLO_SECONDS)
        hello = _read(first.get("text"))
        return hello["type"] == "hello" and is_token(hello["content"].get("token"), token)
    except (asyncio.TimeoutError, PanelError):
        return False


async def _send(socket: WebSocket, page: Page) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await socket.send_text(await page.next())


async def _receive(socket: WebSocket, page: Page, do: Do) -> int | None:
    """Have the page's commands done, several at a time; the code to close with, or None."""
    in_flight: set[asyncio.Task[None]] = set()
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return None
            if message.get("text") is None:
                return NO_TEXT
            try:
                asked = _read(message["text"])
            except PanelError as refusal:
                page.put(as_text("error", refusal.content(), ""))
                continue
            if len(in_flight) >= _MOST_IN_FLIGHT:
                busy = PanelError(
                    "busy", f"{_MOST_IN_FLIGHT} wishes wait for their answers; try again."
                )
                page.put(as_text("error", busy.content(), asked["id"]))
                continue
            task = asyncio.create_task(_answer(page, asked, do))
            in_flight.add(task)
            task.add_done_callback(in_flight.discard)
    finally:
        for task in list(in_flight):
            task.cancel()


async def _answer(page: Page, asked: Mapping[str, Any], do: Do) -> None:
    try:
        content = await do(asked["type"], asked["content"])
    except PanelError as refusal:
        page.put(as_text("error", refusal.content(), asked["id"]))
    else:
        page.put(as_text("ok", content, asked["id"]))


def _read(text: str | None) -> dict[str, Any]:
    """A message of a page: its type, its id and its content.

    Raises:
        PanelError: it is none.
    """
    try:
        message = json.loads(text or "", parse_constant=_refuse)
    except (ValueError, RecursionError) as problem:
        raise PanelError("malformed", "This is no JSON.") from problem
    if not isinstance(message, dict):
        raise PanelError("malformed", "A message must be an object.")
    kind, number = message.get("type"), message.get("id", "")
    content = message.get("content", {})
    if not (isinstance(kind, str) and isinstance(number, str) and isinstance(content, dict)):
        raise PanelError("malformed", "A message needs type, id and content.")
    return {"type": kind, "id": number[:_LONGEST_ID], "content": content}


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")
