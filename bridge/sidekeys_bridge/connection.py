"""Where a bridge that runs can be found: one connection file a user, and the lock of its bridge.

The lock ends with its process, however that ends. So whoever finds the file without the lock
knows that its bridge is dead, whatever process has that number now.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from sidekeys_engine.connection import Connection
from sidekeys_engine.errors import InputError

RUNTIME_VARIABLE = "SIDEKEYS_RUNTIME"
EVENTS_USER = b"sidekeys"
"""Who asks for events, by ZeroMQ's PLAIN mechanism; the password is the token."""
HELLO = b"hello-"
"""Topics that begin so come back to whoever subscribes to them; see `ControlServer`."""
_FILE, _LOCK = "bridge.json", "bridge.lock"
# A reader holds the lock for some microseconds, to see whether it is free.
_CLAIM_SECONDS = 0.3
_CLAIM_PAUSE_SECONDS = 0.02
NO_BRIDGE = "no bridge runs; start one with `sidekeys start`."


class Claim:
    """The right to be the bridge of this user; `claimed` gives it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """Where the bridge may keep other files of its run, such as its engine's."""

    @property
    def path(self) -> Path:
        """The connection file."""
        return self.folder / _FILE

    def announce(self, connection: Connection) -> None:
        """Write the connection file, for its user alone.

        Raises:
            InputError: it cannot be written.
        """
        connection.write(
            self.path, way_out=f"name another folder with the variable {RUNTIME_VARIABLE}"
        )


@contextlib.contextmanager
def claimed(folder: Path | None = None) -> Iterator[Claim]:
    """Be the one bridge of this user, until the block ends; its connection file ends with it.

    Args:
        folder: for the connection file; `runtime_folder` by default.

    Raises:
        InputError: another bridge runs, which is named; or the folder cannot be written.
    """
    place = runtime_folder() if folder is None else folder
    with _opened_lock(place) as lock:
        deadline = time.monotonic() + _CLAIM_SECONDS
        while not _lock(lock):
            if time.monotonic() > deadline:
                raise InputError(_runs_already(place / _FILE))
            time.sleep(_CLAIM_PAUSE_SECONDS)
        file = place / _FILE
        try:
            file.unlink(missing_ok=True)  # of a bridge that died
            yield Claim(place)
        finally:
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
            _unlock(lock)


def find_bridge(folder: Path | None = None) -> Connection:
    """The bridge that runs; the file of a dead one is removed.

    Args:
        folder: of the connection file; `runtime_folder` by default.

    Raises:
        InputError: none runs, it is still starting, or its file is not safe to trust.
    """
    place = runtime_folder() if folder is None else folder
    file = place / _FILE
    if not is_running(place):
        raise InputError(NO_BRIDGE)
    if not file.exists():
        raise InputError("the bridge is just starting or ending; try again in a second.")
    return read_private(file)


def is_running(folder: Path | None = None) -> bool:
    """Whether a bridge of this user runs; the file of a dead one is removed.

    Args:
        folder: of the connection file; `runtime_folder` by default.
    """
    place = runtime_folder() if folder is None else folder
    if not place.is_dir():
        return False
    with _opened_lock(place) as lock:
        if not _lock(lock, shared=True):
            return True
        try:
            with contextlib.suppress(OSError):
                (place / _FILE).unlink(missing_ok=True)
        finally:
            _unlock(lock)
        return False


def read_private(file: Path) -> Connection:
    """A connection file that nobody but its user could have written or read.

    Raises:
        InputError: it is not there, is no connection file, or others may read or change it.
    """
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            status = file.stat()
            if status.st_uid not in (os.getuid(), 0) or stat.S_IMODE(status.st_mode) & 0o077:
                raise InputError(
                    f"{file} can be read or changed by others, so its secret is none; stop that "
                    "bridge or engine, remove the file, and start again."
                )
    return Connection.read(file)


def runtime_folder() -> Path:
    """Where this user's connection file lies; it may not be there yet.

    $SIDEKEYS_RUNTIME, if it is set; else the platform's folder for what a user's programs keep
    while they run.
    """
    chosen = os.environ.get(RUNTIME_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    home = Path.home()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "Sidekeys"
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "Sidekeys"
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "sidekeys"
    return Path(os.environ.get("XDG_STATE_HOME") or home / ".local" / "state") / "sidekeys"


def _runs_already(file: Path) -> str:
    with contextlib.suppress(InputError):
        found = Connection.read(file)
        return (
            f"a bridge runs already: process {found.pid}, at {found.endpoint}; look at it with "
            "`sidekeys status`, or end it with `sidekeys stop`."
        )
    return "a bridge is just starting or ending; try again in a second."


@contextlib.contextmanager
def _opened_lock(folder: Path) -> Iterator[int]:
    """The lock's file, open; it stays when the bridge ends, since a lock is of a file, not a name.

    Raises:
        InputError: the folder or the file cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise InputError(
            f"Cannot use the folder {folder}: {error.strerror}; name another one in "
            f"${RUNTIME_VARIABLE}."
        ) from error
    try:
        yield lock
    finally:
        os.close(lock)


if sys.platform == "win32":
    import msvcrt

    def _lock(lock: int, *, shared: bool = False) -> bool:
        try:
            # A shared lock is not to be had here; readers may take each other for a bridge, for
            # the moment that they look.
            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(lock: int) -> None:
        msvcrt.locking(lock, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _lock(lock: int, *, shared: bool = False) -> bool:
        try:
            fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _unlock(lock: int) -> None:
        fcntl.flock(lock, fcntl.LOCK_UN)
