"""Files the user names: an output appears whole or not at all, and what fails is said in words."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from sidekeys_engine.errors import InputError

_PROBE_BYTES = 1 << 20
_REFUSED_WRITES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


@contextlib.contextmanager
def atomic_output(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path next to ``path``; it takes that name only when the block succeeds.

    Before long work ask `check_writable`, so that it is not done in vain. The temporary file
    has the suffix of ``path``, because many libraries choose the format by it, and exists (empty)
    when the block starts. On any exception, Ctrl-C included, it is deleted and whatever ``path``
    held stays as it was. A symbolic link stays a link: the file it points to is replaced. The
    permissions of a replaced file are kept.

    Args:
        path: the file to write.

    Yields:
        The temporary path to write to.

    Raises:
        InputError: no such folder, no permission, a write-protected file, a folder or a device of
            that name, disk full, or anything else the file system refuses, in one line.
    """
    shown = shown_path(path)
    temporary: Path | None = None
    try:
        temporary, target = _created(path, shown)
        try:
            yield temporary
        except InputError:
            raise
        except Exception as error:
            cause = _cause_on_disk(error, temporary)
            if cause is None:
                raise
            raise _write_error(cause, shown) from error
        try:
            _flush_to_disk(temporary)
            temporary.replace(target)
        except OSError as error:
            raise _write_error(error, shown) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError, ValueError):
                temporary.unlink(missing_ok=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Check that `atomic_output` could write ``path`` now, without touching what it holds.

    Raises:
        InputError: as `atomic_output`, in one line.
    """
    temporary, _ = _created(path, shown_path(path))
    with contextlib.suppress(OSError):
        temporary.unlink()


def check_readable(path: str | os.PathLike[str]) -> None:
    """Check that ``path`` is a file that can be opened and is not empty.

    Args:
        path: the file to read.

    Raises:
        InputError: no such file, a folder, no permission, an empty file, in one line.
    """
    shown = shown_path(path)
    try:
        # A FIFO blocks in open() until somebody writes to it, so the kind is asked first.
        kind = os.stat(path).st_mode  # noqa: PTH116 (Path() would turn "" into the folder ".")
        if stat.S_ISDIR(kind):
            raise InputError(f"{shown} is a folder; give a file inside it.")
        if not stat.S_ISREG(kind):
            raise InputError(f"{shown} is a device or a pipe; give a file.")
        with Path(path).open("rb") as file:
            empty = not file.read(1)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise _read_error(error, shown) from error
    if empty:
        raise InputError(f"{shown} is empty (0 bytes); export or copy it again.")


def shown_path(path: str | os.PathLike[str]) -> str:
    """Return ``path`` as an error message shows it: quoted, in one printable line."""
    text = os.fspath(path)
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text).join("''")


def _created(path: str | os.PathLike[str], shown: str) -> tuple[Path, Path]:
    """An empty temporary file, and the file that it will replace."""
    try:
        target = Path(os.path.realpath(path))
        _check_replaceable(target, shown)
        temporary = target.with_name(f".sidekeys-{secrets.token_hex(6)}{target.suffix}")
        _create(temporary, like=target)
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise _write_error(error, shown) from error
    return temporary, target


def _check_replaceable(target: Path, shown: str) -> None:
    """Refuse what a rename would destroy: folders, devices and write-protected files."""
    try:
        kind = target.stat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISDIR(kind):
        raise InputError(f"Cannot write {shown}: it is a folder; give a file name inside it.")
    if not stat.S_ISREG(kind):
        raise InputError(f"Cannot write {shown}: it is a device or a pipe; give a file name.")
    if not os.access(target, os.W_OK):
        raise InputError(
            f"Cannot write {shown}: the file is write-protected; unprotect it or give another name."
        )


def _create(temporary: Path, like: Path) -> None:
    """Create the empty file, with the permissions of ``like`` or those the umask gives."""
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    with contextlib.suppress(OSError):
        shutil.copymode(like, temporary)


def _flush_to_disk(temporary: Path) -> None:
    """Write buffers out: some file systems tell only now that the disk is full."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())


def _cause_on_disk(error: Exception, temporary: Path) -> OSError | None:
    """Return what the file system refused, if that is why writing failed.

    Libraries in C often report a full disk with an exception of their own that does not say so;
    writing a little more finds out.
    """
    if isinstance(error, OSError):
        if error.errno in _REFUSED_WRITES:
            return error
        # A file of another name is another matter, such as a song that cannot be read.
        return error if error.filename == os.fspath(temporary) else None
    try:
        with temporary.open("ab") as file:
            file.write(bytes(_PROBE_BYTES))
        _flush_to_disk(temporary)
    except OSError as refused:
        return refused
    return None


def _write_error(error: OSError | ValueError, shown: str) -> InputError:
    if not isinstance(error, OSError):
        return InputError(f"Cannot write {shown}: this is no valid file name.")
    reasons: dict[int | None, str] = {
        errno.ENOENT: "there is no such folder; create it first or give another one",
        errno.ENOTDIR: "a part of its path is a file, not a folder; give another path",
        errno.EACCES: "no permission (or the file is open elsewhere); choose another folder",
        errno.EPERM: "no permission; choose another folder",
        errno.EROFS: "this disk is read-only; choose another folder",
        errno.ENOSPC: "the disk is full; free some space and try again",
        errno.EDQUOT: "your disk quota is used up; free some space and try again",
        errno.EFBIG: "it grows larger than this system allows; choose another disk",
        errno.ENAMETOOLONG: "the name is too long; give a shorter one",
        errno.ELOOP: "its links lead in a circle; give another path",
    }
    reason = reasons.get(error.errno, f"{error.strerror or error}; try another folder")
    return InputError(f"Cannot write {shown}: {reason}.")


def _read_error(error: OSError | ValueError, shown: str) -> InputError:
    if not isinstance(error, OSError):
        return InputError(f"Cannot read {shown}: this is no valid file name.")
    reasons: dict[int | None, str] = {
        errno.ENOENT: "there is no such file; check the name and the folder",
        errno.ENOTDIR: "a part of its path is a file, not a folder; check the path",
        errno.EACCES: "no permission; make it readable or copy it elsewhere",
        errno.EPERM: "no permission; make it readable or copy it elsewhere",
        errno.ENAMETOOLONG: "the name is too long; check it",
        errno.ELOOP: "its links lead in a circle; give another path",
    }
    reason = reasons.get(error.errno, f"{error.strerror or error}; copy it to another disk")
    return InputError(f"Cannot read {shown}: {reason}.")
