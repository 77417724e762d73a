"""Whether notes may go out before all other work: Linux asks for permission, the others do not."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from sidekeys_bridge.doctor.asking import json_of
from sidekeys_bridge.doctor.finding import Finding, warning, well
from sidekeys_bridge.doctor.machine import Machine

_SUBJECT = "realtime"
_LEAST_LOCKED_BYTES = 64 << 20
_LIMITS = Path("/etc/security/limits.d")
_GROUPS = ("realtime", "audio", "pipewire", "jackuser")
_PROGRAM = (
    "import json; from sidekeys_bridge.realtime import request_realtime; "
    "print(json.dumps(request_realtime()))"
)
_AGAIN = "then log out and in again"


@dataclass(frozen=True, slots=True)
class RealtimeFacts:
    """What the system allows.

    Attributes:
        is_granted: whether a thread of ours may have realtime priority.
        locked_bytes: how much memory may be kept from being swapped out; -1 for all.
        group: a group of this machine whose members may have realtime priority, or "".
        is_member: whether this user belongs to it.
    """

    is_granted: bool
    locked_bytes: int = -1
    group: str = ""
    is_member: bool = False


def probe() -> RealtimeFacts | None:
    """Ask for it in a process of its own; None where no permission is needed."""
    if sys.platform == "win32" or sys.platform == "darwin":
        return None
    # Whoever may do everything is not held to this limit.
    locked = -1 if os.geteuid() == 0 else _locked_bytes()
    group, is_member = _group()
    return RealtimeFacts(bool(json_of(["-c", _PROGRAM])), locked, group, is_member)


def _locked_bytes() -> int:
    import resource  # noqa: PLC0415 - Windows has none

    return resource.getrlimit(resource.RLIMIT_MEMLOCK)[0]


def _group() -> tuple[str, bool]:
    """The first group that the system's limits know, and whether the user is in it."""
    import grp  # noqa: PLC0415 - Windows has none

    told = ""
    with contextlib.suppress(OSError):
        for file in sorted(_LIMITS.glob("*.conf")):
            told += file.read_text(encoding="utf-8", errors="replace") + "\n"
    known = [line.split() for line in told.splitlines() if not line.lstrip().startswith("#")]
    for name in _GROUPS:
        if any(words[:1] == [f"@{name}"] and "rtprio" in words for words in known):
            with contextlib.suppress(KeyError):
                return name, grp.getgrnam(name).gr_gid in {*os.getgroups(), os.getgid()}
    return "", False


def check(facts: RealtimeFacts | None, machine: Machine) -> list[Finding]:
    """What that means."""
    if facts is None:
        return []
    enough = facts.locked_bytes == -1 or facts.locked_bytes >= _LEAST_LOCKED_BYTES
    if facts.is_granted and enough:
        return [well(_SUBJECT, "notes go out before all other work")]
    if facts.is_granted:
        words = f"only {facts.locked_bytes / 2**20:.0f} MB of memory may be locked; JACK wants more"
    else:
        words = "notes must wait while the machine is busy: realtime priority is not allowed"
    return [warning(_SUBJECT, words, _mend(facts, machine))]


def _mend(facts: RealtimeFacts, machine: Machine) -> str:
    if facts.group and not facts.is_member:
        return f'sudo usermod -aG {facts.group} "$USER"; {_AGAIN}'
    if facts.group:
        return f"log out and in again: you joined the group {facts.group} after you logged in"
    if machine.installer in ("dnf", "pacman"):
        install = machine.install("", dnf="realtime-setup", pacman="realtime-privileges")
        return f'{install} && sudo usermod -aG realtime "$USER"; {_AGAIN}'
    lines = r"@audio - rtprio 95\n@audio - memlock unlimited\n"
    return (
        f"printf '{lines}' | sudo tee /etc/security/limits.d/95-audio.conf && "
        f'sudo usermod -aG audio "$USER"; {_AGAIN}'
    )
