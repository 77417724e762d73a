"""What a user of the panel wants to find again: favourite composers, and presets by project."""

from __future__ import annotations

import json
import logging
import math
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


class Notebook:
    """A file of the user's, which is never lost.

    Args:
        folder: where it lies; made when something is written.

    Attributes:
        problem: in words, if the file was broken; None if all is well.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE
        self.problem: str | None = None
        self._content = self._read()

    @property
    def content(self) -> Mapping[str, Any]:
        """Favourites, the present project and the presets of each."""
        return self._content

    def write(self, content: object) -> None:
        """Keep another content in place of the one before.

        Raises:
            PanelError: it is no notebook, or cannot be written.
        """
        checked = _checked(content)
        text = json.dumps(checked, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with atomic_output(self._file) as temporary:
                temporary.write_text(text, encoding="utf-8")
        except (InputError, OSError) as problem:
            raise PanelError("failed", f"Your presets were not kept: {problem}") from problem
        self._content, self.problem = checked, None

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
    for project, presets in _named(projects, "projects").items():
        for preset, controls in _named(presets, f"the presets of {project!r}").items():
            for name, value in _named(controls, f"the preset {preset!r}").items():
                if isinstance(value, str):
                    _check_name(value, name, shortest=0)
                elif value is not None and not _is_number(value):
                    raise PanelError("invalid", f"{name} of {preset!r} must be one value.")
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, bool | int | float) and math.isfinite(value)


def _named(content: object, what: str) -> dict[str, Any]:
    if not isinstance(content, dict) or len(content) > _MOST:
        raise PanelError("invalid", f"{what} must be an object of at most {_MOST} names.")
    for name in content:
        _check_name(name, f"a name in {what}")
    return content


def _check_name(name: object, what: str, shortest: int = 1) -> None:
    if not isinstance(name, str) or not shortest <= len(name) <= _LONGEST_NAME:
        raise PanelError("invalid", f"{what} must be text of at most {_LONGEST_NAME} letters.")
    try:
        name.encode("utf-8")
    except UnicodeEncodeError as problem:
        raise PanelError("invalid", f"{what} has half a letter in it.") from problem
