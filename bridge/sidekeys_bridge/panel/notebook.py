"""What a user of the panel wants to find again: favourite composers, and presets by project."""

from __future__ import annotations

import json
import logging
import math
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sidekeys_bridge.panel.panel_error import PanelError
from sidekeys_engine.atomic_file import atomic_output
from sidekeys_engine.errors import InputError

_log = logging.getLogger(__name__)

LARGEST_BYTES = 1 << 18
_FILE = "notebook.json"
_KEYS = ("favourites", "project", "projects")
_LONGEST_NAME = 120
_MOST = 500
_MOST_BROKEN = 100
_FIRST_BITS = 40  # a browser counts exactly up to 2 ** 53


class Notebook:
    """A file of the user's, which is never lost.

    Args:
        folder: where it lies; made when something is written.

    Attributes:
        problem: in words, if the file was broken; None if all is well.
        revision: counts what was written. It begins anywhere, so that a page which knows one of an
            earlier panel never takes it for one of this.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE
        self.problem: str | None = None
        self.revision = secrets.randbits(_FIRST_BITS)
        self._content = self._read()

    @property
    def content(self) -> Mapping[str, Any]:
        """Favourites, the present project, the presets of each and of none (""), the revision."""
        return {**self._content, "revision": self.revision}

    def write(self, content: object) -> None:
        """Keep another content in place of the one before.

        Args:
            content: as `content` is; its revision is that of the content which was changed.

        Raises:
            PanelError: it is no notebook, cannot be written, or ("conflict") was made from another
                revision than the present one.
        """
        told = dict(content) if isinstance(content, dict) else {}
        revision = told.pop("revision", None)
        checked = _checked(told if isinstance(content, dict) else content)
        if not isinstance(revision, int):
            raise PanelError("invalid", "A notebook needs the revision that it was made from.")
        if revision != self.revision:
            raise PanelError("conflict", "Another page has changed your presets; try again.")
        text = json.dumps(checked, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with atomic_output(self._file) as temporary:
                temporary.write_text(text, encoding="utf-8")
        except (InputError, OSError) as problem:
            raise PanelError("failed", f"Your presets were not kept: {problem}") from problem
        self._content, self.problem = checked, None
        self.revision += 1

    def _read(self) -> Mapping[str, Any]:
        try:
            text = self._file.read_bytes()
        except FileNotFoundError:
            return _empty()
        except OSError as problem:
            self.problem = (
                f"Your presets cannot be read ({problem.strerror}); see to the file {self._file}."
            )
            return _empty()
        try:
            if len(text) > 2 * LARGEST_BYTES:
                raise PanelError("too-large", "it is too large")
            return _checked(json.loads(text))
        except (ValueError, RecursionError, PanelError):
            self._set_aside()
            return _empty()

    def _set_aside(self) -> None:
        """Keep a broken file under another name, for a person to look at."""
        numbers = ["", *(f"-{number}" for number in range(2, _MOST_BROKEN))]
        names = [self._file.with_name(f"notebook-broken{number}.json") for number in numbers]
        place = next((name for name in names if not name.exists()), names[-1])
        try:
            self._file.replace(place)
        except OSError as problem:
            self.problem = f"Your presets cannot be read, nor kept aside: {problem.strerror}."
            return
        self.problem = f"Your presets could not be read; the file is kept as {place}."
        _log.warning("%s", self.problem)


def _empty() -> dict[str, Any]:
    return {"favourites": [], "project": "", "projects": {}}


def _checked(content: object) -> dict[str, Any]:
    """A notebook, with what is missing filled in.

    Raises:
        PanelError: it is none.
    """
    if not isinstance(content, dict) or not set(content) <= set(_KEYS):
        raise PanelError("invalid", f"A notebook is an object of {', '.join(_KEYS)}.")
    found = {**_empty(), **content}
    favourites, projects = found["favourites"], found["projects"]
    if not isinstance(favourites, list) or len(favourites) > _MOST:
        raise PanelError("invalid", f"favourites must be a list of at most {_MOST} composers.")
    for name in favourites:
        _check_name(name, "a favourite")
    if found["project"] != "":
        _check_name(found["project"], "the project")
    for project, presets in _named(projects, "projects", shortest=0).items():
        for preset, controls in _named(presets, f"the presets of {project!r}").items():
            for name, value in _named(controls, f"the preset {preset!r}").items():
                if isinstance(value, str):
                    _check_name(value, name, shortest=0)
                elif value is not None and not _is_number(value):
                    raise PanelError("invalid", f"{name} of {preset!r} must be one value.")
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, bool | int | float) and math.isfinite(value)


def _named(content: object, what: str, shortest: int = 1) -> dict[str, Any]:
    if not isinstance(content, dict) or len(content) > _MOST:
        raise PanelError("invalid", f"{what} must be an object of at most {_MOST} names.")
    for name in content:
        _check_name(name, f"a name in {what}", shortest)
    return content


def _check_name(name: object, what: str, shortest: int = 1) -> None:
    if not isinstance(name, str) or not shortest <= len(name) <= _LONGEST_NAME:
        raise PanelError("invalid", f"{what} must be text of at most {_LONGEST_NAME} letters.")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as problem:
        raise PanelError("invalid", f"{what} has half a letter in it.") from problem
