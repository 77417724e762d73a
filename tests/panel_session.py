"""A real panel process, and what a page does to it: HTTP, and the websocket."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from sidekeys_bridge.connection import RUNTIME_VARIABLE

LONG_SECONDS = 60.0
_END_SECONDS = 10.0


@dataclass
class RunningPanel:
    """The process of `python -m sidekeys_bridge.panel`.

    Attributes:
        told: the line that it wrote when it listened.
        output: a file of what it wrote on its standard error.
    """

    process: subprocess.Popen[str]
    folder: Path
    told: Mapping[str, Any]
    output: Path

    @property
    def port(self) -> int:
        return httpx.URL(self.told["url"]).port or 80

    @property
    def token(self) -> str:
        return httpx.URL(self.told["url"]).fragment

    @property
    def scratch(self) -> Path:
        """Its private folder."""
        return Path(json.loads((self.folder / "panel.json").read_text())["scratch"])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def http(self, *, token: str | None = "", **headers: str) -> httpx.Client:
        """A browser without a page; its own token is the right one by default, None for none."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token or self.token}"
        return httpx.Client(
            base_url=f"http://{self.address}", headers=sent, timeout=30.0, trust_env=False
        )

    @contextlib.contextmanager
    def page(self) -> Iterator[Page]:
        """An open page that knows the token."""
        with self.socket() as socket:
            page = Page(socket)
            page.send("hello", "0", token=self.token)
            yield page

    def socket(self, **options: Any) -> ClientConnection:
        """A websocket that has not said hello."""
        # A client that keeps all that comes, read or not, as a browser does.
        usual = {"origin": f"http://{self.address}", "max_queue": None, "max_size": None}
        return connect(f"ws://{self.address}/live", proxy=None, **{**usual, **options})

    def end(self) -> int:
        """Close its input, and wait for its end; the exit status."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return self.process.wait(_END_SECONDS)


class Page:
    """The websocket of a page."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.heard: list[Mapping[str, Any]] = []
        self._number = 0

    def send(self, kind: str, number: str, **content: Any) -> None:
        self.socket.send(json.dumps({"type": kind, "id": number, "content": content}))

    def next(self, seconds: float = LONG_SECONDS) -> Mapping[str, Any]:
        """The next message."""
        message = json.loads(self.socket.recv(seconds))
        self.heard.append(message)
        return message

    def wait_for(
        self,
        kind: str,
        is_so: Callable[[Mapping[str, Any]], bool] = lambda _: True,
        seconds: float = LONG_SECONDS,
    ) -> Mapping[str, Any]:
        """The content of the next message of that type of which that is so."""
        deadline = time.monotonic() + seconds
        while (left_seconds := deadline - time.monotonic()) > 0:
            try:
                message = self.next(left_seconds)
            except TimeoutError:
                break
            if message["type"] == kind and is_so(message["content"]):
                return message["content"]
        raise AssertionError(f"no such {kind} within {seconds} s")

    def ask(self, command: str, **content: Any) -> Mapping[str, Any]:
        """The answer to a command: its type and its content."""
        self._number += 1
        number = f"ask-{self._number}"
        self.send(command, number, **content)
        deadline = time.monotonic() + LONG_SECONDS
        while time.monotonic() < deadline:
            message = self.next()
            if message.get("id") == number:
                return message
        raise AssertionError(f"no answer to {command}")


@contextlib.contextmanager
def running_panel(folder: Path, *options: str, **environment: str) -> Iterator[RunningPanel]:
    """A panel of the test's own, on a free port unless told; it must end without a traceback."""
    folder.mkdir(exist_ok=True)
    output = folder / "panel.log"
    options = options if "--port" in options else ("--port", "0", *options)
    with output.open("ab") as log:
        process = start_panel(log, *options, **{RUNTIME_VARIABLE: str(folder), **environment})
    try:
        told = json.loads(first_line(process))
        yield RunningPanel(process, folder, told, output)
    finally:
        process.terminate()
        try:
            process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        assert "Traceback" not in output.read_text(), output.read_text()


def start_panel(log: Any, *options: str, **environment: str) -> subprocess.Popen[str]:
    """The program, with options and variables of its own."""
    command = [sys.executable, "-m", "sidekeys_bridge.panel", "--until-stdin-closes", *options]
    paths = os.pathsep.join(path for path in sys.path if path)
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, **environment},
    )


def first_line(process: subprocess.Popen[str]) -> str:
    """What a panel says when it listens, or cannot."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the panel has ended without a word"
    return line
