"""The panel's files of its user: where it is served, and the token that opens it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from sidekeys_bridge.connection import RUNTIME_VARIABLE, is_running, runtime_folder
from sidekeys_engine.connection import new_token
from sidekeys_engine.errors import InputError

_FILE, _TOKEN = "panel.json", "panel.token"
_LARGEST_BYTES = 1 << 16
_SHORTEST_TOKEN = 32


@dataclass(frozen=True, slots=True)
class Served:
    """A panel that runs.

    Attributes:
        url: what a browser opens, with the token.
        pid: its process.
        scratch: its folder of files that end with it.
    """

    url: str
    pid: int
    scratch: str


def panel_url() -> str:
    """The address of this user's panel, with the token.

    Raises:
        InputError: no bridge runs, or it serves no panel.
    """
    if not is_running():
        raise InputError("no bridge runs; start one with `sidekeys start`.")
    served = read_served()
    is_gone = served is not None and sys.platform != "win32" and not is_alive(served.pid)
    if served is None or is_gone:
        raise InputError(
            "this bridge serves no panel (--no-panel), or it is just starting; try again in a "
            "second, or start the bridge without --no-panel."
        )
    return served.url


def announce(served: Served, folder: Path | None = None) -> None:
    """Write where the panel is served, for its user alone.

    Args:
        served: the panel.
        folder: of the file; `runtime_folder` by default.

    Raises:
        InputError: it cannot be written.
    """
    _write_private(_file(folder), json.dumps(asdict(served), indent=2) + "\n")


def withdraw(pid: int) -> None:
    """Remove what a panel's process announced, and nobody else's."""
    served = read_served()
    if served is not None and served.pid == pid:
        with contextlib.suppress(OSError):
            _file().unlink()


def read_served() -> Served | None:
    """What was announced last; None if nothing was, or others could have written it."""
    text = _read_private(_file())
    try:
        served = Served(**json.loads(text or ""))
    except (ValueError, TypeError, RecursionError):
        return None
    is_sound = isinstance(served.url, str) and isinstance(served.scratch, str)
    return served if is_sound and isinstance(served.pid, int) else None


def panel_token() -> str:
    """The user's token for all panels, which is made at the first; an open page needs it again.

    Raises:
        InputError: it cannot be kept.
    """
    file = lasting_folder() / _TOKEN
    kept = (_read_private(file) or "").strip()
    if len(kept) >= _SHORTEST_TOKEN and kept.isascii() and kept.isprintable():
        return kept
    token = new_token()
    _write_private(file, token + "\n")
    return token


def is_alive(pid: int) -> bool:
    """Whether a process has that number; on Windows, where asking would end it, false."""
    if sys.platform == "win32":
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid > 0


def lasting_folder() -> Path:
    """Where the panel keeps what its user wants to find again after a restart of the machine.

    The folder of $SIDEKEYS_RUNTIME, if that is set; else the platform's for a program's data.
    """
    if os.environ.get(RUNTIME_VARIABLE) or sys.platform in ("win32", "darwin"):
        return runtime_folder()
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "sidekeys"


def _file(folder: Path | None = None) -> Path:
    return (runtime_folder() if folder is None else folder) / _FILE


def _read_private(file: Path) -> str | None:
    """The text of a file that nobody but its user could have read or written."""
    try:
        with file.open(encoding="utf-8") as opened:
            status = os.fstat(opened.fileno())
            is_ours = sys.platform == "win32" or (
                status.st_uid == os.getuid() and not stat.S_IMODE(status.st_mode) & 0o077
            )
            return opened.read(_LARGEST_BYTES) if is_ours else None
    except (OSError, UnicodeDecodeError):
        return None


def _write_private(file: Path, text: str) -> None:
    """Write a file whole or not at all, for its user alone."""
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            opened.write(text)
        temporary.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise InputError(
            f"Cannot write {file}: {error.strerror}; free that folder, or name another one in "
            f"${RUNTIME_VARIABLE}."
        ) from error
