"""All subjects together: every probe at once, each with its time, and what they found."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sidekeys_bridge.doctor import (
    checkpoint,
    folders,
    midi_ports,
    packages,
    panel_port,
    realtime_limits,
    running,
    sound,
    torch_device,
)
from sidekeys_bridge.doctor.finding import Finding, warning
from sidekeys_bridge.doctor.machine import Machine
from sidekeys_bridge.settings import TRIED_ON_DISK, Settings, read_settings, settings_file
from sidekeys_engine.errors import InputError

LONGEST_SECONDS = 9.0


@dataclass(frozen=True, slots=True)
class Subject:
    """Something to look at.

    Attributes:
        name: for the case that looking itself fails.
        probe: gathers facts; it may wait, and fail.
        check: what the facts mean on a machine.
    """

    name: str
    probe: Callable[[], Any]
    check: Callable[[Any, Machine], list[Finding]]


def subjects() -> list[Subject]:
    """All there are, in the order to show them."""
    settings, settings_facts = _settings()
    return [
        Subject("Python", packages.probe, packages.check),
        Subject("PyTorch", torch_device.probe, torch_device.check),
        Subject("checkpoint", lambda: checkpoint.probe(settings.checkpoint), checkpoint.check),
        Subject("sound", sound.probe, sound.check),
        Subject(
            "virtual MIDI", lambda: midi_ports.probe(settings.midi_port or ""), midi_ports.check
        ),
        Subject("realtime", realtime_limits.probe, realtime_limits.check),
        Subject("folders", folders.probe, folders.check),
        Subject("settings", lambda: settings_facts, folders.check_settings),
        Subject("panel's port", lambda: panel_port.probe(settings.port), panel_port.check),
        Subject("bridge", running.probe, running.check),
    ]


def _settings() -> tuple[Settings, folders.SettingsFacts]:
    """The settings that `sidekeys start` would take, or the defaults where they are broken."""
    file = settings_file()
    if not file.exists():
        return Settings(), folders.SettingsFacts(file)
    try:
        settings = read_settings({}, config=file, skipped=TRIED_ON_DISK)
    except InputError as mistake:
        return Settings(), folders.SettingsFacts(file, True, str(mistake))
    return settings, folders.SettingsFacts(file, True)


def examine(
    machine: Machine,
    asked: Sequence[Subject],
    *,
    within_seconds: float = LONGEST_SECONDS,
) -> list[Finding]:
    """Look at all subjects at once; what is not known by then is told as such.

    Args:
        machine: what it is done on.
        asked: the subjects.
        within_seconds: for all of them together.
    """
    found: list[list[Finding] | None] = [None] * len(asked)

    def look(at: int) -> None:
        subject = asked[at]
        try:
            found[at] = subject.check(subject.probe(), machine)
        except Exception as fault:
            found[at] = [_not_known(subject, f"{fault}".splitlines()[0] or type(fault).__name__)]

    # Daemons: a driver that never answers must not keep the command from ending.
    threads = [threading.Thread(target=look, args=(at,), daemon=True) for at in range(len(asked))]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + within_seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    late = f"it did not answer within {within_seconds:g} s"
    return [
        finding
        for subject, findings in zip(asked, found, strict=True)
        for finding in (findings or ([] if findings == [] else [_not_known(subject, late)]))
    ]


def _not_known(subject: Subject, why: str) -> Finding:
    return warning(subject.name, f"it could not be looked at: {why}", "try again")
