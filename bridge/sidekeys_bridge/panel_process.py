"""The panel's process as the bridge sees it: started, watched, started again, ended."""

from __future__ import annotations

import collections
import contextlib
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

from sidekeys_bridge.panel.scratch import remove_scratch
from sidekeys_bridge.panel_files import read_served, withdraw

_log = logging.getLogger(__name__)

_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
_LIVED_WELL_SECONDS = 60.0
_POLITE_SECONDS = 2.0
_LONGEST_LINE = 1000
_DIED = "the control panel stopped ({how}); it is started again. The music goes on."


class PanelProcess:
    """One panel, kept alive. Used from one thread; only `close` takes a while.

    Args:
        port: where it is served; the usual one, or the next that is free, for None.
        host: the address that it is served at.

    Attributes:
        url: what a browser opens, with the token; None while no panel is served.
        problem: what is wrong, in words; None if nothing is.
        notices: what its user must know, in words.
        starts: how many processes were started.
    """

    def __init__(self, *, port: int | None = None, host: str = "127.0.0.1") -> None:
        self.url: str | None = None
        self.problem: str | None = None
        self.notices: tuple[str, ...] = ()
        self.starts = 0
        self._options = ["--host", host] + ([] if port is None else ["--port", str(port)])
        self._process: subprocess.Popen[bytes] | None = None
        self._reader = threading.Thread()
        self._said: collections.deque[bytes] = collections.deque()
        self._deaths = 0
        self._served_seconds: float | None = None
        self._start_at_seconds: float | None = None

    @property
    def pid(self) -> int | None:
        """The panel's process."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the panel; `poll` does the rest."""
        self._start_at_seconds = None
        command = [sys.executable, "-m", "sidekeys_bridge.panel", *self._options]
        command += ["--until-stdin-closes", "--parent", str(os.getpid())]
        self.starts += 1
        try:
            self._process = subprocess.Popen(  # noqa: S603 - it is our own program
                command,
                stdin=subprocess.PIPE,  # closes when we are gone, however we went
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for us; we end it
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as problem:
            self._process = None
            self.problem = f"the control panel cannot be started: {problem.strerror}."
            return
        assert self._process.stdout is not None
        said = self._said = collections.deque()
        self._reader = threading.Thread(
            target=_read, args=(self._process.stdout, said), daemon=True
        )
        self._reader.start()

    def poll(self, now_seconds: float) -> None:
        """Look after the panel; call it many times a second, it never waits.

        Args:
            now_seconds: the monotonic moment.
        """
        if self._process is not None:
            status = self._process.poll()
            has_said_all = not self._reader.is_alive()
            while self._said:
                self._hear(self._said.popleft(), now_seconds)
            if status is not None and has_said_all:
                self._bury(status, now_seconds)
        elif self._start_at_seconds is not None and now_seconds >= self._start_at_seconds:
            self.start()
            if self._process is None:
                self._plan(now_seconds)

    def close(self) -> None:
        """End the panel: politely, then firmly. Safe to call twice."""
        process, self._process = self._process, None
        self.url = self._start_at_seconds = None
        if process is None:
            return
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        for end in (process.terminate, process.kill):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLITE_SECONDS)
                break
            end()
        process.wait()
        served = read_served()
        if served is not None and served.pid == process.pid:  # it was killed
            remove_scratch(Path(served.scratch))
            withdraw(process.pid)

    def _hear(self, line: bytes, now_seconds: float) -> None:
        """The line about where it is served; whatever else it says is for the log."""
        text = line.decode("utf-8", "replace").rstrip()
        try:
            told = json.loads(text)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            _log.warning("panel: %s", text[:_LONGEST_LINE])
        elif "error" in told:
            self.problem = f"no control panel: {told['error']}"
        elif "url" in told:
            self.url, self.notices = told["url"], tuple(told["notices"])
            self.problem, self._served_seconds = None, now_seconds

    def _bury(self, status: int, now_seconds: float) -> None:
        """It has ended by itself: plan another one."""
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process = None
        had_url, self.url = self.url is not None, None
        if had_url or self.problem is None:
            how = f"signal {-status}" if status < 0 else f"exit status {status}"
            self.problem = _DIED.format(how=how)
            _log.warning("%s", self.problem)
        # What it left, and where that lies, is for the next one to put away: here nothing waits.
        served_seconds, self._served_seconds = self._served_seconds, None
        if served_seconds is not None and now_seconds - served_seconds > _LIVED_WELL_SECONDS:
            self._deaths = 0
        self._plan(now_seconds)

    def _plan(self, now_seconds: float) -> None:
        pause = _PAUSES_SECONDS[min(self._deaths, len(_PAUSES_SECONDS) - 1)]
        self._deaths += 1
        self._start_at_seconds = now_seconds + pause


def _read(output: IO[bytes], said: collections.deque[bytes]) -> None:
    """Pass lines on, on a thread that waits for them; close what was read from at the end."""
    with output:
        for line in output:
            said.append(line)
            while len(said) > _LONGEST_LINE:
                said.popleft()
