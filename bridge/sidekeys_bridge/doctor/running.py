"""The bridge that runs, if one does, and its engine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidekeys_bridge.connection import read_private, runtime_folder
from sidekeys_bridge.doctor.finding import Finding, warning, well
from sidekeys_bridge.doctor.machine import Machine
from sidekeys_bridge.panel_files import is_alive
from sidekeys_engine.errors import InputError

_BRIDGE, _ENGINE = "bridge", "engine"
_FILE = "bridge.json"
_WITHIN_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class RunningFacts:
    """What runs.

    Attributes:
        pid: the process that the connection file names, or None without a file.
        state: of the bridge, as in `sidekeys status`; "" if it does not answer.
        engine_state: likewise of the engine.
        engine_problem: in words, or "".
        problem: why the bridge cannot be asked, or "".
    """

    pid: int | None = None
    state: str = ""
    engine_state: str = ""
    engine_problem: str = ""
    problem: str = ""


def probe(folder: Path | None = None) -> RunningFacts:
    """Ask the bridge, which takes nothing away from it.

    Args:
        folder: of its connection file, if it is not the usual one.
    """
    file = (runtime_folder() if folder is None else folder) / _FILE
    if not file.exists():
        return RunningFacts()
    try:
        connection = read_private(file)
    except InputError as why:
        return RunningFacts(problem=str(why))
    from sidekeys_bridge.client import ControlClient  # noqa: PLC0415 - needs ZeroMQ

    try:
        with ControlClient(connection, within_seconds=_WITHIN_SECONDS) as client:
            status: dict[str, Any] = client.request("status")
    except InputError as why:
        if not is_alive(connection.pid):
            return RunningFacts()  # it died; the next one removes the file
        return RunningFacts(connection.pid, problem=str(why))
    engine = status["engine"]
    return RunningFacts(connection.pid, status["state"], engine["state"], engine["problem"] or "")


def check(facts: RunningFacts, machine: Machine) -> list[Finding]:
    """What that means."""
    if facts.problem:
        if facts.pid is None:
            return [warning(_BRIDGE, facts.problem, "remove that file, then start again")]
        kill = (
            f"taskkill /F /PID {facts.pid}" if machine.platform == "win32" else f"kill {facts.pid}"
        )
        return [warning(_BRIDGE, f"process {facts.pid} does not answer", kill)]
    if facts.pid is None:
        return [well(_BRIDGE, "none runs now")]
    bridge = well(_BRIDGE, f"process {facts.pid}, {facts.state}")
    if facts.engine_problem:
        return [bridge, warning(_ENGINE, facts.engine_problem, "sidekeys status")]
    return [bridge, well(_ENGINE, facts.engine_state)]
