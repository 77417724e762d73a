"""Find a checkpoint: the embedded default, a folder, or the Hugging Face Hub.

What is read from its folder, and the error it all ends in, are re-exported from
``checkpoint_files``. Nothing heavy is imported before it is needed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sidekeys_engine.atomic_file import shown_path
from sidekeys_engine.checkpoint_files import (
    CheckpointError,
    Weights,
    load_weights,
    read_json,
    save_weights,
    write_json,
)
from sidekeys_engine.hub import download, tell_license_once

__all__ = [
    "BUILTIN",
    "BUILTIN_FOLDER",
    "CheckpointError",
    "Weights",
    "find_checkpoint",
    "load_weights",
    "read_json",
    "save_weights",
    "take_checkpoint",
    "write_json",
]

BUILTIN = "builtin"
BUILTIN_FOLDER = Path(__file__).parent / "weights"

_HUB_ARGUMENTS = ("local_files_only", "revision", "cache_dir", "token", "on_notice")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_HUB_ADDRESS = re.compile(r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([^/]+/[^/?#]+)")

_log = logging.getLogger("sidekeys")


def find_checkpoint(
    name_or_path: str | os.PathLike[str],
    *,
    local_files_only: bool = False,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    token: str | bool | None = None,
    on_notice: Callable[[str], None] | None = None,
) -> Path:
    """Return the folder of a checkpoint, after downloading it if need be.

    A download is cached where huggingface_hub caches, survives broken connections, and is not
    repeated. The first time a checkpoint of the Hub is used, its license is told.

    Args:
        name_or_path: "builtin" for the embedded checkpoint, an existing folder, or a Hugging Face
            id such as "sweetcocoa/pop2piano". A folder wins over an id; a Path is always a folder.
        local_files_only: use the cache and never the network; the environment variable
            ``HF_HUB_OFFLINE=1`` does the same.
        revision: branch, tag or commit of a checkpoint on the Hub.
        cache_dir: folder of the cache, instead of huggingface_hub's own.
        token: an access token for the Hub; True for the one ``hf auth login`` saved.
        on_notice: gets the line about the license; by default it is logged as a warning of the
            logger "sidekeys".

    Returns:
        A folder in Hugging Face layout.

    Raises:
        CheckpointError: there is no such checkpoint, or it cannot be downloaded, in one line.
    """
    if name_or_path == BUILTIN:
        return BUILTIN_FOLDER
    folder = _local_folder(name_or_path)
    if folder is not None:
        return folder
    name = os.fspath(name_or_path)
    if not _HUB_ID.fullmatch(name) or not isinstance(name_or_path, str):
        raise CheckpointError(_no_such_checkpoint(name_or_path))
    folder = download(
        name,
        local_files_only=local_files_only,
        revision=revision,
        cache_dir=None if cache_dir is None else Path(cache_dir).expanduser(),
        token=token,
    )
    tell_license_once(name, folder, on_notice or _log.warning)
    return folder


def take_checkpoint(name_or_path: str | os.PathLike[str], arguments: dict[str, Any]) -> Path:
    """Find a checkpoint for a ``from_pretrained``.

    Args:
        name_or_path: as `find_checkpoint` takes it.
        arguments: the keyword arguments it was given; those of `find_checkpoint` are taken out.

    Raises:
        CheckpointError: as `find_checkpoint`.
    """
    where = {name: arguments.pop(name) for name in _HUB_ARGUMENTS if name in arguments}
    return find_checkpoint(name_or_path, **where)


def _local_folder(name_or_path: str | os.PathLike[str]) -> Path | None:
    """Return the folder of that name, or None where there is none."""
    if not os.fspath(name_or_path):
        return None
    try:
        folder = Path(name_or_path).expanduser()
        return folder if folder.is_dir() else None
    except (OSError, ValueError, RuntimeError):  # too long, a null character, ~nobody
        return None


def _no_such_checkpoint(name_or_path: str | os.PathLike[str]) -> str:
    """Say what is wrong with a name that is neither a folder nor like an id of the Hub."""
    name = os.fspath(name_or_path)
    shown = shown_path(name_or_path)
    address = _HUB_ADDRESS.match(name)
    if address:
        return f"{shown} is an address; give the checkpoint's name alone: {address.group(1)}."
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        if Path(name).expanduser().is_file():
            return f"{shown} is a file; give the folder it is in."
    if not isinstance(name_or_path, str) or re.search(r"^[~.]|[/\\]", name):
        return f"There is no folder {shown}; check the path, or give {BUILTIN!r}."
    return (
        f"There is no checkpoint {shown}; give {BUILTIN!r}, a folder, or the name of a model on "
        "the Hugging Face Hub such as sweetcocoa/pop2piano."
    )
