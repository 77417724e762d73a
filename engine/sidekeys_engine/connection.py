"""The connection file: where a process listens and the secret that opens it, for its user."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from sidekeys_engine.errors import InputError

_LARGEST_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a process.

    Attributes:
        endpoint: of its commands, such as "tcp://127.0.0.1:5555".
        events_endpoint: of its events.
        token: the secret that every request carries.
        pid: the process.
        version: version of Sidekeys that it runs.
        server_public_key: its CURVE key (Z85), if it speaks with strangers' machines; else None.
    """

    endpoint: str
    events_endpoint: str
    token: str
    pid: int
    version: str
    server_public_key: str | None = None

    def write(
        self, path: Path, *, way_out: str = "give a place of your own with --connection"
    ) -> None:
        """Write the file, whole or not at all, readable by its owner alone.

        Args:
            path: where.
            way_out: what a user of this process can do if it cannot be written.

        Raises:
            InputError: it cannot be written.
        """
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(self), file, indent=2)
                file.write("\n")
            temporary.replace(path)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise InputError(
                f"Cannot write the connection file {path}: {error.strerror}; {way_out}."
            ) from error

    @classmethod
    def read(cls, path: Path) -> Connection:
        """Read a file that `write` wrote.

        Raises:
            InputError: there is none, or it is something else.
        """
        try:
            with path.open(encoding="utf-8") as file:
                found = json.loads(file.read(_LARGEST_BYTES))
            return _checked(cls(**found))
        except OSError as error:
            raise InputError(
                f"Cannot read the connection file {path}: {error.strerror}; is the process that "
                "writes it running?"
            ) from error
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(
                f"{path} is no connection file of Sidekeys; give the one that the running process "
                "wrote."
            ) from error


def new_token() -> str:
    """A secret that nobody guesses."""
    return secrets.token_urlsafe(32)


def remove_connection(path: Path, pid: int) -> None:
    """Remove a process's own connection file, and nobody else's."""
    with contextlib.suppress(InputError, OSError):
        if Connection.read(path).pid == pid:
            path.unlink()


def _checked(connection: Connection) -> Connection:
    texts = (
        connection.endpoint,
        connection.events_endpoint,
        connection.token,
        connection.version,
        connection.server_public_key or "",
    )
    if not all(isinstance(text, str) for text in texts) or not isinstance(connection.pid, int):
        raise TypeError("a field of the connection file is of another kind")
    return connection
