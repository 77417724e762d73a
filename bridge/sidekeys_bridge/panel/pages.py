"""The pages that are open, and what waits to be sent to each: a slow one never holds up another."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from typing import Any

from sidekeys_bridge.panel.panel_error import PanelError

MOST_PAGES = 64
MOST_WAITING = 1000
"""Messages that may wait for one page; one that lets more pile up is closed."""
_FEW_WAITING = 20
# Told many times a second, and soon told again: a slow page misses these first.
_FREQUENT = ("level", "heard", "status")


def as_text(kind: str, content: Mapping[str, Any], number: str | None = None) -> str:
    """A message to a page: its type, its content, and the id of what it answers.

    Raises:
        ValueError: content that is no JSON.
    """
    message: dict[str, Any] = {"type": kind, "content": content}
    if number is not None:
        message["id"] = number
    return json.dumps(message, allow_nan=False, separators=(",", ":"))


class Page:
    """One open page.

    Attributes:
        overrun: set when more piled up than it may.
    """

    def __init__(self) -> None:
        self.overrun = asyncio.Event()
        self._waiting: deque[str] = deque()
        self._comes = asyncio.Event()

    def put(self, text: str, *, is_frequent: bool = False) -> None:
        """Let a message wait its turn, or be missed."""
        if is_frequent and len(self._waiting) >= _FEW_WAITING:
            return
        if len(self._waiting) >= MOST_WAITING:
            self.overrun.set()
            return
        self._waiting.append(text)
        self._comes.set()

    async def next(self) -> str:
        """The next message to send."""
        while not self._waiting:
            self._comes.clear()
            await self._comes.wait()
        return self._waiting.popleft()


class Pages:
    """All open pages."""

    def __init__(self) -> None:
        self._open: set[Page] = set()

    def enter(self) -> Page:
        """Another page.

        Raises:
            PanelError: there are too many.
        """
        if len(self._open) >= MOST_PAGES:
            raise PanelError("busy", f"{MOST_PAGES} panels are open; close one of them.")
        page = Page()
        self._open.add(page)
        return page

    def leave(self, page: Page) -> None:
        """That page is closed; safe twice."""
        self._open.discard(page)

    def tell(self, kind: str, content: Mapping[str, Any]) -> None:
        """Send an event to all."""
        if not self._open:
            return
        text = as_text(kind, content)
        for page in self._open:
            page.put(text, is_frequent=kind in _FREQUENT)
