"""Our folders and files: whether we may write them, whether others may read them, and settings."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sidekeys_bridge.connection import runtime_folder
from sidekeys_bridge.doctor.finding import Finding, missing, warning, well
from sidekeys_bridge.doctor.machine import Machine
from sidekeys_bridge.panel_files import lasting_folder
from sidekeys_bridge.settings import settings_file

_LEAST_FREE_BYTES = 500 << 20
_OTHERS = 0o077
_SECRETS = ("bridge.json", "engine.json", "panel.json", "panel.token")


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """One folder.

    Attributes:
        path: where it is, or will be.
        purpose: what lies in it.
        is_file: whether something else has its name.
        is_writable: whether it, or the folder that it will be made in, may be written.
        is_foreign: whether it belongs to another user.
        exposed: of its secrets, those that others may read.
        free_bytes: how much its disk still holds.
    """

    path: Path
    purpose: str
    is_file: bool = False
    is_writable: bool = True
    is_foreign: bool = False
    exposed: tuple[Path, ...] = ()
    free_bytes: int = 1 << 40


@dataclass(frozen=True, slots=True)
class SettingsFacts:
    """The file of settings.

    Attributes:
        path: where it lies, or would.
        is_there: whether it does.
        problem: why it cannot be used, with line and key, or "".
    """

    path: Path
    is_there: bool = False
    problem: str = ""


def probe() -> list[FolderFacts]:
    """Look at every folder that Sidekeys writes to."""
    purposes = {
        runtime_folder(): "the running bridge",
        lasting_folder(): "the panel",
        settings_file().parent: "settings",
        Path(tempfile.gettempdir()): "files of the moment",
    }
    return [_look(path, purpose) for path, purpose in purposes.items()]


def _look(path: Path, purpose: str) -> FolderFacts:
    nearest = path
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    is_folder = nearest.is_dir()
    exposed: list[Path] = []
    is_foreign = False
    if sys.platform != "win32" and path.is_dir():
        is_foreign = path.stat().st_uid not in (os.getuid(), 0)
        secrets = [path / name for name in _SECRETS if (path / name).is_file()]
        exposed = [file for file in secrets if stat.S_IMODE(file.stat().st_mode) & _OTHERS]
    return FolderFacts(
        path,
        purpose,
        is_file=not is_folder,
        is_writable=is_folder and os.access(nearest, os.W_OK | os.X_OK),
        is_foreign=is_foreign,
        exposed=tuple(exposed),
        free_bytes=shutil.disk_usage(nearest).free,
    )


def check(facts: Sequence[FolderFacts], machine: Machine) -> list[Finding]:
    """What that means: one line if all is well, else one for every folder that is not."""
    findings = [found for folder in facts if (found := _check_one(folder, machine)) is not None]
    return findings or [well("folders", "all can be written, and none of our secrets be read")]


def _check_one(folder: FolderFacts, machine: Machine) -> Finding | None:
    subject, shown = f"folder of {folder.purpose}", f'"{folder.path}"'
    is_windows = machine.platform == "win32"
    if folder.is_file:
        return missing(subject, f"{shown} is in the way: a file", f"move {shown} elsewhere")
    if folder.is_foreign:
        return missing(
            subject, f"{shown} belongs to another user", f'sudo chown -R "$USER" {shown}'
        )
    if not folder.is_writable:
        mend = f"allow yourself to write {shown}" if is_windows else f"chmod -R u+rwX {shown}"
        return missing(subject, f"{shown} cannot be written", mend)
    if folder.exposed:
        names = " ".join(f'"{file}"' for file in folder.exposed)
        return warning(subject, "others on this machine may read its secrets", f"chmod 600 {names}")
    if folder.free_bytes < _LEAST_FREE_BYTES:
        return warning(
            subject, f"the disk of {shown} has only {folder.free_bytes / 1e6:.0f} MB left",
            "free some space",
        )  # fmt: skip
    return None


def check_settings(facts: SettingsFacts, machine: Machine) -> list[Finding]:
    """What the file of settings means."""
    if facts.problem:
        return [missing("settings", facts.problem, "mend that line, or run: sidekeys setup")]
    if not facts.is_there:
        return [well("settings", "none yet; `sidekeys setup` asks for them")]
    return [well("settings", str(facts.path))]
