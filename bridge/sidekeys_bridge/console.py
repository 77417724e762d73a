"""What whoever started the bridge reads: lines on standard error, events as JSON, a log file."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_log = logging.getLogger("sidekeys_bridge")
# Told too often for a log.
_FREQUENT = ("level", "status")


class Console:
    """Tells a terminal, and a log file.

    Args:
        quiet: say only what goes wrong.
        as_json: print events on standard output, a line each.
        log_file: gets a line for everything, with its time.
    """

    def __init__(
        self, *, quiet: bool = False, as_json: bool = False, log_file: Path | None = None
    ) -> None:
        self._quiet, self._as_json = quiet, as_json
        # Without a handler, Python would print every warning a second time.
        self._handler: logging.Handler = logging.NullHandler()
        if log_file is not None:
            self._handler = logging.FileHandler(log_file, encoding="utf-8")
            self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            _log.setLevel(logging.INFO)
        _log.addHandler(self._handler)

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
        if self._as_json:
            sys.stdout.write(json.dumps({"type": kind, "content": content}) + "\n")
            sys.stdout.flush()
        if kind not in _FREQUENT and _log.isEnabledFor(logging.INFO):
            _log.info("%s %s", kind, json.dumps(content))

    def close(self) -> None:
        """Let go of the log file; safe twice."""
        _log.removeHandler(self._handler)
        self._handler.close()

    @staticmethod
    def _write(line: str) -> None:
        sys.stderr.write(f"sidekeys: {line}\n")
        sys.stderr.flush()
