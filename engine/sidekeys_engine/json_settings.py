"""Settings that live in a checkpoint's JSON: what they share, and the checks of their values."""

from __future__ import annotations

import copy
import inspect
import json
import math
import os
import reprlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from sidekeys_engine.checkpoint import CheckpointError, read_json, take_checkpoint, write_json
from sidekeys_engine.errors import InputError

_LARGEST = sys.float_info.max

_Settings = TypeVar("_Settings", bound="JsonSettings")


class JsonSettings:
    """What both settings share: arguments that become attributes, and a JSON file to live in.

    An argument that ``__init__`` does not name is kept as an attribute and saved with the rest: a
    checkpoint's JSON may say things that only its makers' own code reads.
    """

    json_name: ClassVar[str]
    _derived_names: ClassVar[frozenset[str]] = frozenset()

    def _keep_unknown(self, unknown: Mapping[str, Any]) -> None:
        """Keep arguments of other programs as attributes."""
        for name, value in unknown.items():
            if name in self._derived_names:
                continue
            if hasattr(type(self), name):
                raise InputError(
                    f"{_quoted(name)} cannot be the name of a setting; rename or drop it"
                )
            setattr(self, name, copy.deepcopy(value))

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Return every named argument with its default."""
        arguments = inspect.signature(cls.__init__).parameters.values()
        keywords = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return {a.name: a.default for a in arguments if a.kind in keywords}

    @classmethod
    def from_dict(cls: type[_Settings], settings: Mapping[str, Any]) -> _Settings:
        """Build from a dictionary such as ``to_dict`` returns.

        Raises:
            InputError: a value cannot be used, in words.
        """
        # transformers writes null where a default holds.
        known = cls.defaults()
        return cls(**{k: v for k, v in settings.items() if v is not None or known.get(k) is None})

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of all settings, fit for JSON."""
        return copy.deepcopy(vars(self))

    @classmethod
    def from_json_file(cls: type[_Settings], path: str | os.PathLike[str]) -> _Settings:
        """Read a JSON file of settings.

        Raises:
            CheckpointError: no such file, not JSON, or a value that cannot be used, in one line.
        """
        return cls._from_json(Path(path), {})

    @classmethod
    def from_pretrained(
        cls: type[_Settings], name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> _Settings:
        """Read the settings of a checkpoint.

        Args:
            name_or_path: "builtin", a folder, or a Hugging Face id such as "owner/name".
            **kwargs: ``local_files_only``, ``revision``, ``cache_dir`` and ``token`` as in
                ``find_checkpoint``; anything else replaces a setting of the file.

        Raises:
            CheckpointError: the checkpoint cannot be found or read, in one line.
        """
        return cls._from_folder(take_checkpoint(name_or_path, kwargs), kwargs)

    @classmethod
    def _from_folder(cls: type[_Settings], folder: Path, overrides: dict[str, Any]) -> _Settings:
        return cls._from_json(folder / cls.json_name, overrides)

    @classmethod
    def _from_json(cls: type[_Settings], path: Path, overrides: dict[str, Any]) -> _Settings:
        settings = read_json(path)
        try:
            loaded = cls.from_dict(settings)
        except InputError as error:
            raise CheckpointError(f"{path}: {error}.") from error
        # Not `loaded | overrides` at once: a wrong override is not the file's fault.
        return cls.from_dict({**loaded.to_dict(), **overrides}) if overrides else loaded

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the settings into ``folder``, which is made if needed.

        Raises:
            InputError: the folder cannot be written, in one line.
        """
        write_json(Path(folder) / self.json_name, self.to_dict())

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    # Settings can be changed after they were made, so they have no stable hash.
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items())})"


def check_integer(name: str, value: object, least: int) -> None:
    """Raise InputError unless ``value`` is a whole number of at least ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(
            f"{_quoted(name)} must be a whole number of at least {least}, not {shown(value)}"
        )


def check_number(
    name: str,
    value: object,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    below: float = math.inf,
    most: float = math.inf,
) -> None:
    """Raise InputError unless ``value`` is a finite number within the bounds."""
    fits = (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and max(least, -_LARGEST) <= value <= min(most, _LARGEST)  # NaN is nowhere
        and above < value < below
    )
    if not fits:
        bounds = (("at least", least), ("above", above), ("below", below), ("at most", most))
        said = " and ".join(f"{word} {bound:g}" for word, bound in bounds if math.isfinite(bound))
        raise InputError(
            f"{_quoted(name)} must be a number{said and ' '}{said}, not {shown(value)}"
        )


def check_flag(name: str, value: object, other: str | None = None) -> None:
    """Raise InputError unless ``value`` is True or False; ``other`` is named in the message."""
    if not isinstance(value, bool):
        choices = f'true, false or "{other}"' if other else "true or false"
        raise InputError(f"{_quoted(name)} must be {choices}, not {shown(value)}")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise InputError unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise InputError(f"{_quoted(name)} must be one of {', '.join(choices)}, not {shown(value)}")


def shown(value: object) -> str:
    """Return ``value`` as a message shows it: in one line, and not too long."""
    return _clipped(reprlib.repr(value))


def _quoted(name: str) -> str:
    return _clipped(json.dumps(name))


def _clipped(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."
