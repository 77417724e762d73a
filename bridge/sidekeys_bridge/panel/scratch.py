"""A private folder for what ends with the panel: songs that were dropped, covers, takes."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

from sidekeys_engine.errors import InputError

_PREFIX = "sidekeys-panel-"


def make_scratch() -> Path:
    """A new folder that its user alone can look into.

    Raises:
        InputError: there is no room for one.
    """
    try:
        return Path(tempfile.mkdtemp(prefix=_PREFIX))  # of mode 0700
    except OSError as error:
        raise InputError(
            f"Cannot make a temporary folder: {error.strerror}; free some space, or name another "
            "place in $TMPDIR."
        ) from error


def remove_scratch(folder: Path) -> None:
    """Remove a folder that `make_scratch` made, and nothing else, whoever named it."""
    if not folder.is_absolute() or not folder.name.startswith(_PREFIX):
        return
    try:
        found = os.lstat(folder)
    except OSError:
        return
    is_ours = sys.platform == "win32" or found.st_uid == os.getuid()
    if stat.S_ISDIR(found.st_mode) and is_ours:
        shutil.rmtree(folder, ignore_errors=True)
