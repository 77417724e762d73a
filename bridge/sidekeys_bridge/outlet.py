"""Lines for whoever reads them, written by a thread of its own.

A terminal that is stopped (Ctrl-S) and a program that does not read make a writer wait for ever;
a reader who goes away makes it fail. Neither may stop the music.
"""

from __future__ import annotations

import collections
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from sidekeys_bridge.realtime import COMPANION_PRIORITY, request_realtime

_log = logging.getLogger(__name__)

MOST_WAITING = 1000
"""Lines that are kept for a slow reader; of what is beyond, the oldest are dropped."""
CLOSE_SECONDS = 1.0
_FULL_PAUSE_SECONDS = 0.05


class Outlet:
    """Writes lines to a stream, in their order. `put` and `refresh` never wait.

    Args:
        stream: such as standard error.
        compose: text to write, from the lines that have waited; called on the outlet's thread,
            just before writing.
        pause_seconds: between two texts that are composed only because of `refresh`.
        now: the clock of those pauses, monotonic.
        on_lost: told, on the outlet's thread, why nothing can be written any more.
    """

    def __init__(
        self,
        stream: TextIO,
        compose: Callable[[Sequence[str]], str] = "".join,
        *,
        pause_seconds: float = 0.0,
        now: Callable[[], float] = time.monotonic,
        on_lost: Callable[[Exception], None] = lambda _reason: None,
    ) -> None:
        self._stream = stream  # it closes when nobody holds it
        buffer: Any = stream.buffer
        # Below Python's own buffer: its lock would be held by a write that never returns.
        self._write = getattr(buffer, "raw", buffer).write
        self._encoding = stream.encoding or "utf-8"
        self._compose, self._pause_seconds, self._now = compose, pause_seconds, now
        self._on_lost = on_lost
        self._changed = threading.Condition()
        # Each with whether a later one makes it worthless.
        self._waiting: collections.deque[tuple[bool, str]] = collections.deque()
        self._stale = self._closing = self._gone = False
        self._refreshed_seconds = -math.inf
        # A daemon, since nothing ends a thread that writes to a stopped terminal.
        self._thread = threading.Thread(target=self._run, name="outlet", daemon=True)
        self._thread.start()

    def put(self, line: str, *, passing: bool = False) -> None:
        """Have a line written.

        Args:
            line: with its end.
            passing: whether one like it will follow soon; these are dropped first where a reader
                is slow.
        """
        with self._changed:
            if self._gone or self._closing:
                return
            if len(self._waiting) >= MOST_WAITING:
                self._drop_one()
            self._waiting.append((passing, line))
            self._changed.notify()

    def refresh(self) -> None:
        """Have the text composed anew, lines or not, as soon as the pause is over."""
        with self._changed:
            if not self._stale:
                self._stale = True
                self._changed.notify()

    def close(self, within_seconds: float = CLOSE_SECONDS) -> None:
        """Write what waits, if that is possible so soon; safe twice."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(within_seconds)

    @property
    def is_over(self) -> bool:
        """Whether nothing writes to the stream any more, so that it may be closed."""
        return not self._thread.is_alive()

    def _drop_one(self) -> None:
        oldest = next((at for at, (passing, _) in enumerate(self._waiting) if passing), 0)
        del self._waiting[oldest]

    def _run(self) -> None:
        request_realtime(COMPANION_PRIORITY)
        try:
            while (lines := self._next()) is not None:
                self._write_all(self._text(lines))
        except (OSError, ValueError) as reason:  # the reader is gone, or the stream is closed
            self._end()
            self._on_lost(reason)
        finally:
            self._end()

    def _end(self) -> None:
        with self._changed:
            self._gone = True
            self._waiting.clear()

    def _next(self) -> list[str] | None:
        """Lines to write, or none when it is only time to refresh; None at the end."""
        with self._changed:
            while not self._waiting:
                left_seconds = None
                if self._stale:
                    left_seconds = self._refreshed_seconds + self._pause_seconds - self._now()
                    if left_seconds <= 0 or self._closing:
                        break
                elif self._closing:
                    return None
                self._changed.wait(left_seconds)
            lines = [line for _, line in self._waiting]
            self._waiting.clear()
            self._stale = False
            self._refreshed_seconds = self._now()
            return lines

    def _text(self, lines: Sequence[str]) -> str:
        try:
            return self._compose(lines)
        except Exception:  # a fault of ours may cost the picture, and no message
            _log.exception("a picture of Sidekeys' own could not be drawn")
            self._compose = "".join
            return "".join(lines)

    def _write_all(self, text: str) -> None:
        data = memoryview(text.encode(self._encoding, "backslashreplace"))
        while data:
            written = self._write(data)
            if written is None:  # a stream that somebody made not wait, and that is full
                time.sleep(_FULL_PAUSE_SECONDS)
            else:
                data = data[written:]
