"""Long work that the engine does beside the music."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sidekeys_bridge.engine_client import EngineClient
from sidekeys_engine.protocol import Message, ProtocolError

_ACCEPTED_WITHIN_SECONDS = 10.0
_MOST_JOBS = 32
_NO_ENGINE = "The engine is not ready yet; try again when `sidekeys status` says that it is."

Tell = Callable[[str, dict[str, Any]], None]


@dataclass(slots=True)
class _Job:
    name: str
    client: EngineClient
    request: str
    engine_job: str | None = None
    is_cancelled: bool = False


class Jobs:
    """Passes jobs on to the engine and what becomes of them back, under names of our own.

    Args:
        tell: gets the events.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._numbers = itertools.count(1)
        self._jobs: dict[str, _Job] = {}

    def start(
        self, client: EngineClient | None, command: str, content: Mapping[str, Any], now: float
    ) -> str:
        """Ask the engine for a job.

        Returns:
            The job's name.

        Raises:
            ProtocolError: there is no engine, or too many jobs wait.
        """
        if client is None:
            raise ProtocolError("not-ready", _NO_ENGINE)
        if len(self._jobs) >= _MOST_JOBS:
            raise ProtocolError("busy", f"{_MOST_JOBS} jobs are under way; wait for one to end.")
        name = f"job-{next(self._numbers)}"
        request = client.request(
            command, content, now_seconds=now, within_seconds=_ACCEPTED_WITHIN_SECONDS
        )
        self._jobs[name] = _Job(name, client, request)
        return name

    def cancel(self, name: str, now: float) -> None:
        """End a job.

        Raises:
            ProtocolError: there is none of that name.
        """
        job = self._jobs.get(name)
        if job is None:
            raise ProtocolError("unknown", f"There is no job {name!r} under way.")
        job.is_cancelled = True
        if job.engine_job is not None:
            self._cancel(job, now)

    def take(self, replies: Iterable[Message], events: Iterable[Message], now: float) -> None:
        """What the engine answered and told; messages about other things are not ours."""
        by_request = {job.request: job for job in self._jobs.values()}
        for reply in replies:
            job = by_request.get(reply.id)
            if job is None:
                continue
            if reply.type != "ok":
                self._end(job, "failed", message=str(reply.content["message"]))
                continue
            job.engine_job = str(reply.content["job"])
            if job.is_cancelled:
                self._cancel(job, now)
        by_job = {job.engine_job: job for job in self._jobs.values()}
        for event in events:
            job = by_job.get(event.content.get("job"))
            if job is None or job.engine_job is None:
                continue
            content = event.content
            if event.type == "progress":
                told = {key: content[key] for key in ("stage", "done", "total")}
                self._tell("job", {"job": job.name, "state": "running", **told})
            elif event.type == "finished":
                self._end(job, "done", result=content["result"])
            elif event.type == "failed":
                is_cancelled = content["code"] == "cancelled"
                state = "cancelled" if is_cancelled else "failed"
                self._end(job, state, message=content["message"])

    def lose_engine(self) -> None:
        """The engine died, and all jobs with it."""
        for job in list(self._jobs.values()):
            self._end(job, "failed", message="The engine died on it; start it again.")

    def _cancel(self, job: _Job, now: float) -> None:
        job.client.request(
            "cancel",
            {"target": job.engine_job},
            now_seconds=now,
            within_seconds=_ACCEPTED_WITHIN_SECONDS,
        )

    def _end(self, job: _Job, state: str, **content: Any) -> None:
        self._jobs.pop(job.name, None)
        self._tell("job", {"job": job.name, "state": state, **content})
