"""Keeps an input open: opens it, watches it, and opens it anew when it was lost.

Opening a device can take a second and more, so that a thread of its own does it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from sidekeys_bridge.audio_block import AudioInput, Block
from sidekeys_engine.errors import InputError

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_WATCH_SECONDS = 0.1
_CLOSING_SECONDS = 5.0  # a driver that hangs in closing must not hang the program
_FAILED = (
    "The input failed in a way that was not expected ({fault!r}); it is tried again every second, "
    "or choose another one."
)


class InputKeeper:
    """Holds one input open at a time, until it is closed.

    Args:
        opener: opens the input; raises InputError while it cannot.
        on_block: takes the number of the input, which counts openings, and a block of it.
    """

    def __init__(
        self, opener: Callable[[], AudioInput], on_block: Callable[[int, Block], None]
    ) -> None:
        self._on_block = on_block
        self._lock = threading.Lock()
        self._opener = opener
        self._chosen = 0  # counts choices
        self._input: AudioInput | None = None
        self._problem: str | None = None
        self._source = 0
        self._closed = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="input-keeper", daemon=True)
        self._thread.start()

    @property
    def source(self) -> int:
        """The number of the input that is open or was opened last; 0 is none."""
        return self._source

    @property
    def name(self) -> str:
        """What the open input is called; empty while none is open."""
        current = self._input
        return current.name if current is not None else ""

    @property
    def ended(self) -> bool:
        """True when the input has come to its end."""
        current = self._input
        return current is not None and current.ended()

    def problem(self, now_seconds: float) -> str | None:
        """Why no sound comes, in words; None if it comes, or may come any moment."""
        current = self._input
        return self._problem if current is None else current.problem(now_seconds)

    def choose(self, opener: Callable[[], AudioInput]) -> None:
        """Change to another input; the one that is open is closed first."""
        with self._lock:
            self._opener = opener
            self._chosen += 1
            self._problem = None
        self._wake.set()

    def close(self) -> None:
        """Close the input and end the thread; safe to call twice."""
        self._closed = True
        self._wake.set()
        self._thread.join(_CLOSING_SECONDS)

    def _run(self) -> None:
        while not self._closed:
            self._wake.clear()
            with self._lock:
                opener, chosen = self._opener, self._chosen
            self._keep_open(opener, chosen)
            if not self._closed and chosen == self._chosen:
                self._wake.wait(_RETRY_SECONDS)

    def _keep_open(self, opener: Callable[[], AudioInput], chosen: int) -> None:
        """Open the input and stay until it is lost, or another is chosen."""
        opened = None
        try:
            opened = opener()
            self._source += 1
            source = self._source
            opened.start(lambda block: self._on_block(source, block))
            self._input = opened
            while not self._closed and chosen == self._chosen:
                if opened.lost(time.monotonic()):
                    self._tell(opened.problem(time.monotonic()), chosen)
                    break
                self._wake.wait(_WATCH_SECONDS)
        except InputError as error:
            self._tell(str(error), chosen)
        except Exception as fault:  # whatever a driver raises, the next try may do better
            _log.exception("the input failed")
            self._tell(_FAILED.format(fault=fault), chosen)
        finally:
            self._input = None
            if opened is not None:
                self._close(opened, chosen)

    def _close(self, opened: AudioInput, chosen: int) -> None:
        try:
            opened.close()
        except Exception as fault:
            _log.exception("the input could not be closed")
            self._tell(_FAILED.format(fault=fault), chosen)

    def _tell(self, problem: str | None, chosen: int) -> None:
        with self._lock:
            if chosen == self._chosen:
                self._problem = problem
