"""The panel's port: whether it is free, and if not, who has it."""

from __future__ import annotations

import contextlib
import re
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sidekeys_bridge.doctor.asking import NoAnswerError, answer_of
from sidekeys_bridge.doctor.finding import Finding, warning, well
from sidekeys_bridge.doctor.machine import Machine
from sidekeys_bridge.panel_files import is_alive, read_served
from sidekeys_bridge.settings import PANEL_PORT

_SUBJECT = "panel's port"
_CONNECT_SECONDS = 0.5
_LISTENS = "0A"  # in /proc/net/tcp
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class PortFacts:
    """Who has the port.

    Attributes:
        port: its number.
        is_taken: whether anybody listens there.
        is_ours: whether that is the panel of a running bridge.
        holder: who it is, such as "node, process 812"; "" if that cannot be told.
        is_chosen: whether the settings name this port, so that no other is taken instead.
    """

    port: int = PANEL_PORT
    is_taken: bool = False
    is_ours: bool = False
    holder: str = ""
    is_chosen: bool = False


def probe(chosen: int | None = None) -> PortFacts:
    """Knock, and find out who opens.

    Args:
        chosen: the port that the settings name, or None.
    """
    port = chosen or PANEL_PORT
    with socket.socket() as knocking:
        knocking.settimeout(_CONNECT_SECONDS)
        is_taken = knocking.connect_ex(("127.0.0.1", port)) == 0
    if not is_taken:
        return PortFacts(port, is_chosen=chosen is not None)
    served = read_served()
    is_ours = (
        served is not None
        and urlsplit(served.url).port == port
        and (is_alive(served.pid) or sys.platform == "win32")
    )
    return PortFacts(port, True, is_ours, "" if is_ours else _holder(port), chosen is not None)


def check(facts: PortFacts, machine: Machine) -> list[Finding]:
    """What that means."""
    if not facts.is_taken:
        return [well(_SUBJECT, f"{facts.port} is free")]
    if facts.is_ours:
        return [well(_SUBJECT, f"{facts.port}, the panel of your bridge")]
    who = facts.holder or "another program"
    if facts.is_chosen:
        mend = f"end that program, or choose another: sidekeys start --port {facts.port + 1}"
        return [warning(_SUBJECT, f"{who} has {facts.port}, which your settings name", mend)]
    mend = "nothing to do: the panel takes the next free port, and says which"
    return [warning(_SUBJECT, f"{who} has {facts.port}", mend)]


def _holder(port: int) -> str:
    platform: str = sys.platform  # a variable, or mypy checks one platform's lines only
    with contextlib.suppress(NoAnswerError, OSError):
        if platform.startswith("linux"):
            return linux_holder(port)
        if platform == "darwin":
            return holder_from_lsof(
                answer_of(["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-Fpc"])
            )
        pid = pid_from_netstat(answer_of(["netstat", "-ano", "-p", "tcp"]), port)
        return f"process {pid}" if pid is not None else ""
    return ""


def linux_holder(port: int, proc: Path = _PROC) -> str:
    """Who listens on a port, among the processes that this user may look at; "" for nobody."""
    inodes = set()
    for table in ("net/tcp", "net/tcp6"):
        with contextlib.suppress(OSError):
            for line in (proc / table).read_text().splitlines()[1:]:
                row = line.split()
                if row[3] == _LISTENS and int(row[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{row[9]}]")
    for process in proc.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(str(file.readlink()) in inodes for file in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()}, process {process.name}"
    return ""


def holder_from_lsof(told: str) -> str:
    """Who listens, from what `lsof -Fpc` writes; "" for nobody."""
    fields = {line[0]: line[1:] for line in reversed(told.splitlines()) if line}
    return f"{fields['c']}, process {fields['p']}" if {"c", "p"} <= fields.keys() else ""


def pid_from_netstat(told: str, port: int) -> int | None:
    """Who listens on a port, from what `netstat -ano` writes; its words are in any language."""
    pattern = re.compile(rf"\s*TCP\s+\S+:{port}\s+(?:0\.0\.0\.0|\[::\]):0\s+\S+\s+(\d+)\s*")
    for line in told.splitlines():
        if match := pattern.fullmatch(line):
            return int(match[1])
    return None
