"""What a bridge is told to do: one frozen Settings from defaults, a TOML file and flags."""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sidekeys_bridge.controls import CONTROLS, Controls
from sidekeys_engine.atomic_file import check_readable, check_writable, shown_path
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT_INPUT = "default"
TRANSPORTS = ("auto", "clock", "link", "script", "manual", "audio")
MODES = ("echo", "loop")
DEVICES = ("auto", "cpu", "cuda", "mps")
SLOWEST_BPM, FASTEST_BPM = 30.0, 300.0
LONGEST_DELAY_BEATS = 64
PANEL_PORT = 7353
_LOWEST_PORT, _HIGHEST_PORT = 1024, 65535
_LARGEST_FILE = 1 << 20
_METER = re.compile(r"\s*(\d{1,2})\s*/\s*(\d{1,2})\s*")


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that is decided before a bridge starts. `read_settings` makes and checks one.

    Attributes:
        input: what is heard: "default", NAME, INDEX, file:PATH, reastream:ID or loopback:NAME.
        channels: one channel of the input or a pair that is mixed, counted from 1; all for None.
        transport: who tells the beats, one of `TRANSPORTS`.
        bpm: tempo of the manual transport, in quarter notes a minute.
        meter: where nobody tells another one.
        mode: "echo" follows by a delay, "loop" plays in sync what it heard before.
        delay_beats: by how many quarter notes the echo follows; the least that holds for None.
        checkpoint: "builtin", a folder, or a hub id.
        device: where the engine computes.
        midi_port: an existing MIDI port to play into, instead of a virtual one.
        sync_port: an existing MIDI port to follow, instead of a virtual one.
        panel: whether the control panel is served.
        port: where it is served; the usual one, or the next that is free, for None.
        host: the address that it is served at; others than this machine reach it only if it is not
            the loopback address.
        browser: whether it is opened in a browser at the start.
        record: a .mid to write at the end, of all that was played.
        keep_windows: a folder for the sound of every window, to find out why it was played so.
        engine: connection file of an engine that runs already, instead of one of our own.
        log_file: where the log goes.
        quiet: whether only problems are said.
        json: whether events are printed as JSON, a line each.
        controls: how the piano plays at the start.
    """

    input: str = DEFAULT_INPUT
    channels: int | tuple[int, int] | None = None
    transport: str = "auto"
    bpm: float | None = None
    meter: Meter = field(default_factory=Meter)
    mode: str = "echo"
    delay_beats: int | None = None
    checkpoint: str = "builtin"
    device: str = "auto"
    midi_port: str | None = None
    sync_port: str | None = None
    panel: bool = True
    port: int | None = None
    host: str = "127.0.0.1"
    browser: bool = True
    record: Path | None = None
    keep_windows: Path | None = None
    engine: Path | None = None
    log_file: Path | None = None
    quiet: bool = False
    json: bool = False
    controls: Controls = field(default_factory=Controls)


def read_settings(
    flags: Mapping[str, Any],
    *,
    config: Path | None = None,
    controls: Mapping[str, Any] = MappingProxyType({}),
    skipped: Collection[str] = (),
) -> Settings:
    """Settings from defaults, then the TOML file, then flags; the last one wins.

    Args:
        flags: what the command line says, by the names in `OPTIONS`; None where it says nothing.
        config: a TOML file with the same names as keys, and a table [controls].
        controls: changes of controls that the command line asks for.
        skipped: names in `OPTIONS` whose values in the file are not looked at.

    Raises:
        InputError: anything that cannot be used, with the name of the flag or key, and what it may
            be.
    """
    found: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    if config is not None:
        found, changes = _read_file(config, skipped)
    here = Path.cwd()
    for name, value in flags.items():
        if value is not None:
            option = OPTIONS[name]
            found[option.field] = option.checked(value, here, f"--{name.replace('_', '-')}")
    if "composer" in found:
        changes["composer"] = found.pop("composer")
    return Settings(**found, controls=changed_controls(Controls(), {**changes, **controls}))


def changed_controls(before: Controls, changes: Mapping[str, Any]) -> Controls:
    """Controls after several changes at once.

    Args:
        before: the controls so far.
        changes: values by name; `velocity-curve` is `velocity_curve`.

    Raises:
        InputError: no such control, or a value it may not have.
    """
    named = {name.strip().lower().replace("-", "_"): value for name, value in changes.items()}
    for name, value in named.items():
        if name not in Controls.__slots__:
            return before.with_change(name, value)  # which says what there is
    return replace(before, **named)


def settings_file(platform: str = sys.platform) -> Path:
    """The file that `sidekeys setup` writes and `sidekeys start` reads; it may not be there.

    Args:
        platform: as `sys.platform`.
    """
    home = Path.home()
    if platform == "win32":
        folder = Path(os.environ.get("APPDATA") or home / "AppData" / "Roaming") / "Sidekeys"
    elif platform == "darwin":
        folder = home / "Library" / "Application Support" / "Sidekeys"
    else:
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "sidekeys"
    return folder / "settings.toml"


def _read_file(config: Path, skipped: Collection[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings and the controls of a TOML file."""
    check_readable(config)
    shown = shown_path(config)
    if config.stat().st_size > _LARGEST_FILE:
        raise InputError(f"{shown} is too large for a file of settings; give another one.")
    try:
        text = config.read_bytes().decode("utf-8-sig")
        content = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{shown} is no TOML: {error}; mend it.") from error
    controls = content.pop("controls", {})
    if not isinstance(controls, dict):
        raise InputError(
            f"{shown}{_line_of('controls', text)}: controls must be a table, [controls]."
        )
    found = {}
    for key, value in content.items():
        where = f"{shown}{_line_of(key, text)}"
        name = key.replace("-", "_")
        if name not in OPTIONS or name == "json":
            known = ", ".join(name for name in OPTIONS if name != "json")
            raise InputError(f"{where}: there is no setting {key!r}; there are {known}.")
        option = OPTIONS[name]
        if option.field in found:
            raise InputError(f"{where}: {key} is there twice; leave one out.")
        if name in skipped:
            continue
        found[option.field] = option.checked(value, config.resolve().parent, f"{where}: {key}")
    for name, value in controls.items():
        _check_control(name, value, f"{shown}{_line_of(name, text)}")
    return found, controls


def _check_control(name: str, value: object, where: str) -> None:
    """Whether a control may be so by itself; whether all may be so together is told later."""
    known = {control.name: control for control in CONTROLS}.get(name.strip().replace("-", "_"))
    try:
        if known is None:
            Controls().with_change(name, value)  # which says what there is
        else:
            known.checked(value)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _line_of(key: str, text: str) -> str:
    """In which line of a TOML file a key is, in words; nothing where it is written unusually."""
    begins = re.compile(rf"\s*\[?\s*[\"']?{re.escape(key)}[\"']?\s*[\]=]")
    for number, line in enumerate(text.splitlines(), start=1):
        if begins.match(line):
            return f", line {number}"
    return ""


# What single values mean. Each takes text and the folder that relative paths begin in.


def input_of(text: str, folder: Path | None = None) -> str:
    """An input as `Settings.input` has it, with the file's whole path.

    Args:
        text: NAME, INDEX, file:PATH, reastream:ID or loopback:NAME.
        folder: where a relative path begins; the working folder by default.

    Raises:
        InputError: no name, or a file that is not there.
    """
    from sidekeys_bridge.audio_input import split_choice  # noqa: PLC0415 - needs numpy

    kind, rest = split_choice(text.strip())
    if kind == "device":
        return rest
    if kind == "file":
        path = (folder or Path.cwd()) / Path(rest).expanduser()
        check_readable(path)
        return f"file:{path}"
    return f"{kind}:{rest}"


def channels_of(text: str) -> int | tuple[int, int] | None:
    """Channels counted from 1: "3" -> 3, "3-4" -> (3, 4), "all" -> None.

    Raises:
        InputError: anything else.
    """
    from sidekeys_bridge.audio_input import parse_channel  # noqa: PLC0415 - needs numpy

    return parse_channel(text.strip().lower())


def meter_of(text: str) -> Meter:
    """A meter from text such as "6/8".

    Raises:
        InputError: anything else.
    """
    match = _METER.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        return Meter(int(match[1]), int(match[2]))
    except ValueError as error:
        raise InputError(f"{text!r} is no meter; give one such as 4/4, 3/4 or 6/8.") from error


def bpm_of(text: str) -> float:
    """A tempo in quarter notes a minute.

    Raises:
        InputError: no number, or one outside `SLOWEST_BPM` to `FASTEST_BPM`.
    """
    bpm = _number(text)
    if not SLOWEST_BPM <= bpm <= FASTEST_BPM:
        raise InputError(
            f"{text!r} is no tempo; give beats a minute from {SLOWEST_BPM:g} to {FASTEST_BPM:g}."
        )
    return bpm


def port_of(text: str) -> int:
    """A TCP port that any user may take.

    Raises:
        InputError: it is none.
    """
    if not text.strip().isdecimal() or not _LOWEST_PORT <= int(text) <= _HIGHEST_PORT:
        raise InputError(
            f"{text!r} is no port; give a number from {_LOWEST_PORT} to {_HIGHEST_PORT}."
        )
    return int(text)


def delay_of(text: str) -> int | None:
    """By how many beats the echo follows: "auto" -> None, "8" -> 8.

    Raises:
        InputError: no whole number, or one outside 1 to `LONGEST_DELAY_BEATS`.
    """
    if text.strip().lower() == "auto":
        return None
    beats = _number(text)
    if not 1 <= beats <= LONGEST_DELAY_BEATS or beats != int(beats):
        raise InputError(
            f"{text!r} is no delay; give auto, or whole beats from 1 to {LONGEST_DELAY_BEATS}."
        )
    return int(beats)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan  # which is in no range


# One table of all options; the command line and the TOML file take what it names.


@dataclass(frozen=True)
class Option:
    """One setting as a user gives it.

    Attributes:
        field: of `Settings`.
        help: what it does.
        metavar: what its value is called; empty for a switch.
        choices: the texts it may be; empty if it is free.
        read: its value from text and the folder that relative paths begin in.
    """

    field: str
    help: str
    metavar: str = ""
    choices: tuple[str, ...] = ()
    read: Callable[[str, Path], Any] | None = None

    def checked(self, value: object, folder: Path, where: str) -> Any:
        """The value for `Settings`.

        Args:
            value: as the command line or TOML gives it.
            folder: where relative paths begin.
            where: the flag or the key, for messages.

        Raises:
            InputError: it cannot be used.
        """
        if not self.metavar:
            if not isinstance(value, bool):
                raise InputError(f"{where} must be true or false, not {value!r}.")
            return value
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InputError(f"{where} must be text or a number, not {value!r}.")
        text = str(value)
        if self.choices and text not in self.choices:
            raise InputError(f"{where} must be one of {', '.join(self.choices)}, not {text!r}.")
        if not text.strip():
            raise InputError(f"{where} is empty; give a value or leave it out.")
        if self.read is None:
            return text
        try:
            return self.read(text, folder)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error


def _readable(text: str, folder: Path) -> Path:
    path = folder / Path(text).expanduser()
    check_readable(path)
    return path


def _folder(text: str, folder: Path) -> Path:
    path = folder / Path(text).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{path} cannot be a folder: {error.strerror}; name another.") from error
    return path


def _writable(text: str, folder: Path) -> Path:
    path = folder / Path(text).expanduser()
    check_writable(path)
    return path


def _midi_file(text: str, folder: Path) -> Path:
    if not text.lower().endswith((".mid", ".midi")):
        raise InputError(f"{text!r} is no MIDI file; give a name that ends in .mid.")
    return _writable(text, folder)


TRIED_ON_DISK = frozenset({"keep_windows", "record", "log_file"})
"""Options whose reading makes a folder, or a file for a moment."""

_OPTIONS = {
    "input": Option(
        "input",
        "what to listen to: a name or number of `sidekeys inputs`, file:PATH, reastream:ID or "
        "loopback:NAME; the system's default input by default",
        "INPUT",
        read=input_of,
    ),
    "channels": Option(
        "channels",
        "the input's channels, such as 3 or 3-4; all of them by default",
        "N[-M]",
        read=lambda text, _: channels_of(text),
    ),
    "transport": Option(
        "transport",
        "who tells the beats; auto takes the best one that is there",
        "SOURCE",
        choices=TRANSPORTS,
    ),
    "bpm": Option("bpm", "tempo of the manual transport", "BPM", read=lambda text, _: bpm_of(text)),
    "meter": Option(
        "meter",
        "where nobody tells another one; 4/4 by default",
        "METER",
        read=lambda text, _: meter_of(text),
    ),
    "mode": Option(
        "mode",
        "echo follows by a delay; loop plays in sync what it heard at this place before",
        "MODE",
        choices=MODES,
    ),
    "delay": Option(
        "delay_beats",
        "by how many beats the echo follows; auto is the least that this machine can hold",
        "auto|BEATS",
        read=lambda text, _: delay_of(text),
    ),
    # A control, too; `read_settings` puts it there.
    "composer": Option("composer", "who plays; see `sidekeys composers`", "NAME"),
    "checkpoint": Option("checkpoint", "builtin, a folder, or a hub id", "NAME"),
    "device": Option("device", "where to compute", "DEVICE", choices=DEVICES),
    "midi_port": Option("midi_port", "play into this MIDI port; see `sidekeys ports`", "NAME"),
    "sync_port": Option("sync_port", "follow the clock on this MIDI port", "NAME"),
    "panel": Option("panel", "serve the control panel"),
    "port": Option(
        "port",
        f"where the panel is served; {PANEL_PORT}, or the next one that is free, by default",
        "PORT",
        read=lambda text, _: port_of(text),
    ),
    "host": Option(
        "host",
        "serve the panel at this address, so that a tablet on the same network may reach it; "
        "127.0.0.1, this machine alone, by default",
        "ADDRESS",
    ),
    "browser": Option("browser", "open the panel in a browser"),
    "record": Option(
        "record", "write what was played into this .mid at the end", "FILE", read=_midi_file
    ),
    "keep_windows": Option(
        "keep_windows",
        "keep the sound of every window in this folder, to find out why it was played so",
        "FOLDER",
        read=_folder,
    ),
    "engine": Option(
        "engine", "connection file of an engine that runs already", "CONNECTION", read=_readable
    ),
    "log_file": Option("log_file", "write the log here", "FILE", read=_writable),
    "quiet": Option("quiet", "say only what goes wrong"),
    "json": Option("json", "print events as JSON, a line each"),
}
OPTIONS: Mapping[str, Option] = MappingProxyType(_OPTIONS)
