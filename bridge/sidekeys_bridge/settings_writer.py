"""Writes the file of settings: with its reasons in it, whole or not at all, the old one kept."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sidekeys_bridge.settings import TRIED_ON_DISK, read_settings
from sidekeys_engine.atomic_file import atomic_output, shown_path
from sidekeys_engine.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_HEAD = """\
# How Sidekeys starts. `sidekeys setup` wrote this, and `sidekeys start` reads it; flags win.
# Every flag of `sidekeys start --help` may stand here, by its name: --midi-port is midi_port.
"""
_KEPT = "\n# From the settings before."
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Line:
    """One setting of the file.

    Attributes:
        name: as in `settings.OPTIONS`.
        value: what it is.
        comment: what it means here.
    """

    name: str
    value: str | float | bool
    comment: str


@dataclass(frozen=True)
class Old:
    """What a file has that is not asked for again.

    Attributes:
        settings: by name.
        controls: by name.
        is_lost: whether the file could not be read.
        backup: where the whole of it is kept; None if nothing of it was lost.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    controls: Mapping[str, Any] = field(default_factory=dict)
    is_lost: bool = False
    backup: Path | None = None


def backup_of(file: Path, number: int = 1) -> Path:
    """Where an old file is kept.

    Args:
        file: the file of settings.
        number: which one it is, counted from 1.
    """
    return file.with_name(f"{file.name}.bak{f'-{number}' if number > 1 else ''}")


def old_settings(file: Path) -> Old:
    """What is worth keeping of a file; nothing where there is none, or where it is broken."""
    if not file.exists():
        return Old()
    try:
        read_settings({}, config=file, skipped=TRIED_ON_DISK)
        content = tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except (InputError, OSError, ValueError):
        return Old(is_lost=True)
    controls = content.pop("controls", {})
    return Old({name.replace("-", "_"): value for name, value in content.items()}, controls)


def as_toml(lines: list[Line], old: Old) -> str:
    """The file's text: what was asked for, then what was there before."""
    asked = {line.name for line in lines}
    text = [_HEAD]
    for line in lines:
        text += [f"# {line.comment}", f"{line.name} = {_value(line.value)}", ""]
    kept = {name: value for name, value in old.settings.items() if name not in asked}
    if kept:
        text += [_KEPT.strip(), *(f"{_key(name)} = {_value(kept[name])}" for name in kept), ""]
    if old.controls:
        text += ["[controls]"]
        text += [f"{_key(name)} = {_value(value)}" for name, value in old.controls.items()]
        text += [""]
    return "\n".join(text)


def write_settings(file: Path, lines: list[Line]) -> Old:
    """Write the file; returns what was there before.

    An old file is kept beside the new one, and never in place of an older one: somebody may have
    written it by hand.

    Raises:
        InputError: it cannot be written; the old one is as it was.
    """
    old = old_settings(file)
    text = as_toml(lines, old)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"Cannot make the folder {shown_path(file.parent)}: {error.strerror}; see `sidekeys "
            "doctor`."
        ) from error
    if file.exists() and _content(file) != text.encode():
        old = replace(old, backup=_kept(file))
    with atomic_output(file) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
    return old


def _kept(file: Path) -> Path:
    """The copy of a file, which may be there already."""
    content = _content(file)
    for number in itertools.count(1):
        backup = backup_of(file, number)
        if not backup.exists():
            break
        if content is not None and _content(backup) == content:
            return backup
    with atomic_output(backup) as temporary:
        shutil.copyfile(file, temporary)
    return backup


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def _key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    # A JSON string is one of TOML's but for this sign, which TOML wants escaped.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
