"""What whoever started the bridge reads: lines and a live status, events as JSON, a log file."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sidekeys_bridge.outlet import Outlet
from sidekeys_bridge.terminal import Terminal, can_show

_log = logging.getLogger("sidekeys_bridge")
# Told too often for a log.
_FREQUENT = ("level", "status", "heard")


class Console:
    """Tells a terminal, and a log file; no call ever waits for a reader.

    On a terminal the status stays in view below the messages. In a pipe, on a terminal that cannot
    do that, and beside JSON, there are only messages.

    Args:
        quiet: say only what goes wrong.
        as_json: print events on standard output, a line each.
        log_file: gets a line for everything, with its time.
    """

    def __init__(
        self, *, quiet: bool = False, as_json: bool = False, log_file: Path | None = None
    ) -> None:
        self._quiet = quiet
        self._opened = contextlib.ExitStack()
        # Without a handler, Python would print every warning a second time.
        handler: logging.Handler = logging.NullHandler()
        if log_file is not None:
            handler = _LogFile(log_file, self.warn)
            _log.setLevel(logging.INFO)

        self._events = Outlet(sys.stdout) if as_json else None
        self._terminal: Terminal | None = None
        if quiet or as_json or not can_show(sys.stderr):
            self._messages = Outlet(sys.stderr)
            self._opened.callback(self._messages.close)
        else:
            self._terminal = Terminal(sys.stderr)
            self._messages = self._terminal.outlet
            self._opened.callback(self._terminal.close)
            self._opened.enter_context(contextlib.redirect_stderr(self._terminal.errors))
        if self._events is not None:
            self._opened.callback(self._events.close)
        _log.addHandler(handler)
        self._opened.callback(_log.removeHandler, handler)
        # Before the messages: it may still have to say there that it could not be written.
        self._opened.callback(handler.close)

    def say(self, line: str) -> None:
        """What is good to know."""
        _log.info("%s", line)
        if not self._quiet:
            self._write(line)

    def warn(self, line: str) -> None:
        """What went wrong, and what to do."""
        _log.warning("%s", line)
        self._write(line)

    def event(self, kind: str, content: Mapping[str, Any]) -> None:
        """What the control protocol's events tell."""
        if self._events is not None:
            line = json.dumps({"type": kind, "content": content}) + "\n"
            self._events.put(line, passing=kind in _FREQUENT)
        if self._terminal is not None and kind == "status":
            self._terminal.show(content)
        if kind not in _FREQUENT and _log.isEnabledFor(logging.INFO):
            _log.info("%s %s", kind, json.dumps(content))

    def show_panel(self, url: str) -> None:
        """Where the control panel is served, with its token; the log does not get it."""
        if not self._quiet:
            self._write(f"the panel is at {url}")
        if self._terminal is not None:
            self._terminal.show_panel(url)

    def close(self) -> None:
        """Take the live status away and let go of the log file; safe twice."""
        self._opened.close()

    def _write(self, line: str) -> None:
        # One line, whatever a name in it holds: a terminal obeys what is no letter.
        shown = "".join(letter if letter.isprintable() else " " for letter in line)
        self._messages.put(f"sidekeys: {shown}\n")


class _LogFile(logging.Handler):
    """A log that keeps nobody waiting, and says once, in words, that it cannot be written.

    Args:
        path: the file, which is added to.
        warn: told what went wrong; called from a thread of its own.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._warn = warn
        self._file = path.open("a", encoding="utf-8")
        self._outlet = Outlet(self._file, on_lost=self._lose)

    def emit(self, record: logging.LogRecord) -> None:
        """Have a line written; it never waits for the disk."""
        try:
            line = self.format(record)
        except Exception:  # a line of ours that cannot be put together must not stop the music
            self.handleError(record)
        else:
            self._outlet.put(f"{line}\n")

    def close(self) -> None:
        """Let go of the file, full disk or not."""
        self._outlet.close()
        if self._outlet.is_over:
            with contextlib.suppress(OSError):
                self._file.close()
        super().close()

    def _lose(self, error: Exception) -> None:
        reason = getattr(error, "strerror", None) or error
        self._warn(f"the log cannot be written any more ({reason}); is the disk full?")
