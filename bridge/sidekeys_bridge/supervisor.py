"""Starts the engine process, watches it, and starts another one when it dies."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sidekeys_bridge.engine_client import EngineClient
from sidekeys_engine.connection import Connection
from sidekeys_engine.errors import InputError
from sidekeys_engine.protocol import Message, ProtocolError, error

_ASK_SECONDS = 1.0
_ASK_WHILE_LOADING_SECONDS = 0.1
_ANSWER_SECONDS = 2.0
# Unanswered questions in a row after which an engine is taken for hung. While it loads, Python's
# lock may be held for long by a slow disk.
_MOST_MISSES = 5
_MOST_MISSES_WHILE_LOADING = 60
_PAUSES_SECONDS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
_LIVED_WELL_SECONDS = 60.0
_POLITE_SECONDS = 1.0
_LOG_BYTES = 4096
_PREFIX = "sidekeys: "
_NOT_THERE = "The engine is just starting; try again in some seconds."
# What a description has besides the checkpoint: these change while one plays.
_PASSING = ("state", "problem", "generation_seconds")


class Supervisor:
    """One engine, kept alive. Used from one thread; only `start` and `close` take a while.

    States: "starting" until the process answers, then "loading", "warming" and "ready"; "down"
    while there is none, or one that cannot play (`problem` says why).

    Args:
        checkpoint: what the engine plays with.
        device: where it computes.
        threads: how many cores a window may use; the engine's own choice by default.
        command: what to run in place of this Python's engine; the options are added to it.
        connection_path: of an engine that others keep alive, on this machine or another one; none
            is started then, and nothing else here matters.

    Attributes:
        state: see above.
        client: for requests while the engine is ready; else None. After the engine went down the
            client that was there reports all that was open as cancelled, and is of no more use.
        description: what the engine told about itself last.
        problem: what is wrong, in words; None if nothing is.
        restarts: how many engines were started after the first.
    """

    def __init__(
        self,
        *,
        checkpoint: str = "builtin",
        device: str = "auto",
        threads: int | None = None,
        command: Sequence[str] = (),
        connection_path: Path | None = None,
    ) -> None:
        self.state = "down"
        self.client: EngineClient | None = None
        self.description: Mapping[str, Any] | None = None
        self.problem: str | None = None
        self.restarts = 0
        self._checkpoint = checkpoint
        self._options = ["--device", device]
        self._options += [] if threads is None else ["--threads", str(threads)]
        self._command = list(command) or [sys.executable, "-m", "sidekeys_engine", "engine"]
        self._is_local = connection_path is None
        self._folder: Path | None = None
        self._path = connection_path
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection | None = None
        self._watch: EngineClient | None = None
        self._question: str | None = None
        # A request to load a checkpoint, and who wants to know whether it is accepted.
        self._loading: tuple[str, Callable[[Message], None]] | None = None
        self._misses = 0
        self._ask_at_seconds = 0.0
        self._is_dying = False
        self._deaths = 0
        self._ready_since_seconds: float | None = None
        self._start_at_seconds: float | None = None
        self._events: list[str] = []

    @classmethod
    def connect(cls, connection_path: Path) -> Supervisor:
        """Watch an engine that somebody else started, and never start one.

        Args:
            connection_path: the file that it wrote, or a copy of it.
        """
        return cls(connection_path=connection_path)

    @property
    def pid(self) -> int | None:
        """The engine's process."""
        if self._connection is not None:
            return self._connection.pid
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the engine; `poll` does the rest.

        Raises:
            InputError: no process can be started.
        """
        if self._is_local:
            self._folder = Path(tempfile.mkdtemp(prefix="sidekeys-"))
            self._path = self._folder / "engine.json"
            self._start_process()
        self._become("starting")

    def poll(self, now_seconds: float) -> list[str]:
        """Look after the engine; call it many times a second.

        Returns:
            The states that it has come to since the last call, in order, and "checkpoint" where
            another checkpoint plays now.
        """
        if self._is_local:
            self._look_after_process(now_seconds)
        if self._watch is None:
            self._try_to_connect(now_seconds)
        if self._watch is not None:
            self._ask(self._watch, now_seconds)
        events, self._events = self._events, []
        return events

    def load(
        self, checkpoint: str, now_seconds: float, answered: Callable[[Message], None]
    ) -> None:
        """Let the engine play with another checkpoint; it goes on with the one before until then.

        Once it plays with it, the next engine starts with it, too. `problem` says if it cannot be
        loaded.

        Args:
            checkpoint: which.
            now_seconds: the time.
            answered: is told by `poll` whether the engine has accepted it.

        Raises:
            ProtocolError: there is no engine to ask, or it has not answered the last time yet.
        """
        if self._watch is None:
            raise ProtocolError("not-ready", _NOT_THERE)
        if self._loading is not None:
            raise ProtocolError("busy", "Another checkpoint was just asked for; try again soon.")
        request = self._watch.request(
            "load",
            {"checkpoint": checkpoint},
            now_seconds=now_seconds,
            within_seconds=_ANSWER_SECONDS,
        )
        self._loading = (request, answered)

    def close(self) -> None:
        """End the engine, if it is ours: politely, then firmly. Safe to call twice."""
        if self._is_local and self._process is not None:
            if self._watch is not None and self._process.poll() is None:
                self._watch.request(
                    "shut-down",
                    {},
                    now_seconds=time.monotonic(),
                    within_seconds=_POLITE_SECONDS,
                )
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_POLITE_SECONDS)
            _end(self._process)
            self._process = None
        self._disconnect()
        self.state = "down"
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    # The process

    def _start_process(self) -> None:
        assert self._path is not None
        self._path.unlink(missing_ok=True)
        self._start_at_seconds = None
        command = [*self._command, "--checkpoint", self._checkpoint, *self._options]
        command += ["--connection", str(self._path), "--until-stdin-closes"]
        command += ["--parent", str(os.getpid())]
        try:
            with self._log_path.open("wb") as log:
                self._process = subprocess.Popen(  # noqa: S603 - it is our own program
                    command,
                    stdin=subprocess.PIPE,  # closes when we are gone, however we went
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C is for us; we end it
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except OSError as problem:
            raise InputError(
                f"The engine cannot be started: {problem}; install Sidekeys again."
            ) from problem

    @property
    def _log_path(self) -> Path:
        assert self._folder is not None
        return self._folder / "engine.log"

    def _look_after_process(self, now_seconds: float) -> None:
        if self._process is not None:
            has_ended = self._process.poll() is not None
            if not self._is_dying and (has_ended or _has_no_memory(self._process.pid)):
                self._is_dying = True
                self.problem = "The engine died; another one is started."
                self._disconnect()
                self._become("down")
            if has_ended:
                self._bury(now_seconds)
        if (
            self._process is None
            and self._start_at_seconds is not None
            and now_seconds >= self._start_at_seconds
        ):
            self.restarts += 1
            try:
                self._start_process()
            except InputError as problem:
                self.problem = str(problem)
                self._start_at_seconds = now_seconds + _PAUSES_SECONDS[-1]
            else:
                self._become("starting")

    def _bury(self, now_seconds: float) -> None:
        """Tell what became of an engine that has ended, and when the next one starts."""
        assert self._process is not None
        status = self._process.wait()
        _end(self._process)
        self._process = None
        self._is_dying = False
        since, self._ready_since_seconds = self._ready_since_seconds, None
        if since is not None and now_seconds - since >= _LIVED_WELL_SECONDS:
            self._deaths = 0
        pause = _PAUSES_SECONDS[min(self._deaths, len(_PAUSES_SECONDS) - 1)]
        self._deaths += 1
        self._start_at_seconds = now_seconds + pause
        how = f"was killed (signal {-status})" if status < 0 else f"ended (status {status})"
        words = self._last_words()
        self.problem = f"The engine {how}{f': {words}' if words else ''}; it is started again" + (
            f" in {pause:.0f} s." if pause else "."
        )

    def _last_words(self) -> str:
        """The last line of the engine's error output, if it tells of an error."""
        with contextlib.suppress(OSError), self._log_path.open("rb") as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - _LOG_BYTES))
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
            if lines and "error" in lines[-1].lower():
                return lines[-1].removeprefix(_PREFIX).removeprefix("error: ").rstrip(".")
        return ""

    # The conversation

    def _try_to_connect(self, now_seconds: float) -> None:
        """Connect as soon as there is a connection file."""
        if self._path is None or now_seconds < self._ask_at_seconds:
            return
        if self._is_local and (self._process is None or self._is_dying):
            return  # the file, if it is there, is that of a dead engine
        try:
            connection = Connection.read(self._path)
        except InputError as problem:
            if not self._is_local:
                self.problem = str(problem)
                self._ask_at_seconds = now_seconds + _ASK_SECONDS
                self._become("down")
            return
        self._connection = connection
        self._watch = _client_of(connection)
        self._misses = 0
        self._ask_at_seconds = now_seconds

    def _disconnect(self) -> None:
        for client in (self.client, self._watch):
            if client is not None:
                client.close()
        self.client = self._watch = self._connection = self._question = None
        if self._loading is not None:
            (request, answered), self._loading = self._loading, None
            answered(error(request, "cancelled", "The engine is gone."))
        self._ask_at_seconds = 0.0

    def _ask(self, watch: EngineClient, now_seconds: float) -> None:
        """Ask the engine how it is, and take its answer."""
        for answer in watch.poll(now_seconds):
            if self._loading is not None and answer.id == self._loading[0]:
                (_, answered), self._loading = self._loading, None
                answered(answer)
            if answer.id != self._question:
                continue
            self._question = None
            if not answer.is_error:
                self._misses = 0
                self._learn(answer.content, now_seconds)
            elif answer.content["code"] == "late":
                self._misses += 1
            else:
                self.problem = str(answer.content["message"])
                self._misses = _MOST_MISSES_WHILE_LOADING
        most = _MOST_MISSES if self.state == "ready" else _MOST_MISSES_WHILE_LOADING
        if not self._is_local:
            most = _MOST_MISSES
        if self._misses >= most:
            self._give_up(now_seconds)
        elif self._question is None and now_seconds >= self._ask_at_seconds:
            is_settled = self.state in ("ready", "down")
            self._ask_at_seconds = now_seconds + (
                _ASK_SECONDS if is_settled else _ASK_WHILE_LOADING_SECONDS
            )
            self._question = watch.request(
                "describe", {}, now_seconds=now_seconds, within_seconds=_ANSWER_SECONDS
            )

    def _learn(self, description: Mapping[str, Any], now_seconds: float) -> None:
        before, self.description = self.description, description
        self.problem = description["problem"]
        # One that cannot load its checkpoint lives, but is as good as none.
        state = "down" if description["state"] == "failed" else description["state"]
        if state == "ready" and self.client is None:
            assert self._connection is not None
            self.client = _client_of(self._connection)
            self._ready_since_seconds = now_seconds
        was_ready = self.state == "ready"
        self._become(state)
        if state == "ready":
            self._checkpoint = description["checkpoint"]  # it can be loaded: the next one has it
            if was_ready and before is not None and _lasting(before) != _lasting(description):
                self._events.append("checkpoint")

    def _give_up(self, now_seconds: float) -> None:
        """Take the engine for hung: end ours, and begin anew with one of somebody else's."""
        self._misses = 0
        if self._process is not None:
            self._process.kill()  # the next poll buries it
            return
        self._disconnect()
        self._ask_at_seconds = now_seconds + _ASK_SECONDS
        self.problem = self.problem or "The engine does not answer; is it running?"
        self._become("down")

    def _become(self, state: str) -> None:
        if state != self.state:
            self.state = state
            self._events.append(state)


def _client_of(connection: Connection) -> EngineClient:
    key = connection.server_public_key
    return EngineClient(
        connection.endpoint,
        connection.token,
        events_endpoint=connection.events_endpoint,
        server_public_key=None if key is None else key.encode(),
    )


def _lasting(description: Mapping[str, Any]) -> dict[str, Any]:
    """What an engine plays with; a checkpoint may have changed under its name."""
    return {key: value for key, value in description.items() if key not in _PASSING}


def _has_no_memory(pid: int) -> bool:
    """Whether a process is being taken apart, where the system tells (Linux).

    A killed process gives its memory back first. That takes a big one a tenth of a second, in which
    it computes nothing more, but has not ended yet.
    """
    try:
        file = os.open(f"/proc/{pid}/statm", os.O_RDONLY)  # a hundred times a second: no Path
    except OSError:
        return False
    try:
        return os.read(file, 2) == b"0 "
    except OSError:
        return False
    finally:
        os.close(file)


def _end(process: subprocess.Popen[bytes]) -> None:
    """See a process off: it ends when its input closes, or is told to, or is killed."""
    if process.stdin is not None:
        with contextlib.suppress(OSError):
            process.stdin.close()
    if process.poll() is not None:
        return
    for end in (process.terminate, process.kill):
        end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLITE_SECONDS)
            return
