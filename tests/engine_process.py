"""A real engine in a process of its own, for tests of whoever speaks with one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sidekeys_bridge.engine_client import EngineClient
from sidekeys_engine.connection import Connection
from sidekeys_engine.protocol import Message

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_SECONDS = 90.0


def engine_environment() -> dict[str, str]:
    """For a process that must find our packages, installed or not."""
    return {**os.environ, "PYTHONPATH": f"{ROOT / 'engine'}{os.pathsep}{ROOT / 'bridge'}"}


@dataclass
class Talk:
    """A client that waits for its answers, as tests may."""

    client: EngineClient
    seen: list[Message] = field(default_factory=list)

    def ask(
        self,
        command: str,
        content: Mapping[str, Any] | None = None,
        buffers: Sequence[bytes] = (),
        within: float = PATIENCE_SECONDS,
    ) -> Message:
        request = self.client.request(
            command, content or {}, buffers, now_seconds=time.monotonic(), within_seconds=within
        )
        return self.answer(request)

    def answer(self, request: str) -> Message:
        while True:
            self.client.socket.poll(20)
            self.seen += self.client.poll(time.monotonic())
            for message in self.seen:
                if message.id == request:
                    self.seen.remove(message)
                    return message

    def until_state(self, *states: str) -> Message:
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            answer = self.ask("describe")
            if answer.content["state"] in states:
                return answer
            time.sleep(0.05)
        raise AssertionError(f"the engine is {answer.content}, not {states}")

    def event(self, kind: str, job: str) -> Message:
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            for event in self.client.events():
                if event.type == kind and event.content.get("job") == job:
                    return event
                assert event.type not in ("failed", "finished"), event
            time.sleep(0.01)
        raise AssertionError(f"no {kind} of {job}")


@dataclass(frozen=True)
class RunningEngine:
    """An engine and how to reach it."""

    process: subprocess.Popen[bytes]
    connection: Connection
    path: Path

    @contextlib.contextmanager
    def talk(self, *, token: str | None = None) -> Iterator[Talk]:
        client = EngineClient(
            self.connection.endpoint,
            self.connection.token if token is None else token,
            events_endpoint=self.connection.events_endpoint,
            server_public_key=(self.connection.server_public_key or "").encode() or None,
        )
        try:
            yield Talk(client)
        finally:
            client.close()


@contextlib.contextmanager
def running_engine(path: Path, *options: str) -> Iterator[RunningEngine]:
    """Start an engine that writes its connection to a path; end it afterwards."""
    command = [sys.executable, "-m", "sidekeys_engine", "engine", "--connection", str(path)]
    process = subprocess.Popen(
        [*command, "--device", "cpu", "--until-stdin-closes", *options],
        stdin=subprocess.PIPE,
        env=engine_environment(),
    )
    try:
        end = time.monotonic() + PATIENCE_SECONDS
        while not path.exists():
            assert process.poll() is None, "the engine ended at its start"
            assert time.monotonic() < end
            time.sleep(0.005)
        yield RunningEngine(process, Connection.read(path), path)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(PATIENCE_SECONDS)
