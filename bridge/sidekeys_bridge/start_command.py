"""`sidekeys start`: flags and a TOML file in, a bridge that runs until it is told to end."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from sidekeys_bridge.arguments import Parser
from sidekeys_bridge.settings import OPTIONS, Settings, read_settings, settings_file
from sidekeys_engine.errors import InputError

DESCRIPTION = (
    "Listen to your DAW and play the piano into a virtual MIDI port, until `sidekeys stop` or "
    "Ctrl-C. All of it can be changed while it plays; see `sidekeys set --help`."
)


def run(words: Sequence[str]) -> int:
    """Start a bridge and stay until it ends; returns the exit status.

    Raises:
        InputError: settings that cannot be used, or another bridge that runs.
    """
    settings = settings_of(words)
    from sidekeys_bridge.bridge import run as run_bridge  # noqa: PLC0415 - after mistakes are told

    return run_bridge(settings)


def settings_of(words: Sequence[str]) -> Settings:
    """The settings that the arguments of `sidekeys start`, and the file of settings, ask for.

    Raises:
        InputError: they cannot be used.
    """
    given = vars(start_parser().parse_args(words))
    config, changes = given.pop("config"), given.pop("control")
    if config is None and settings_file().exists():
        config = settings_file()
    return read_settings(given, config=config, controls=dict(map(_change, changes)))


def _change(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--control takes NAME=VALUE, such as transpose=-12, not {text!r}.")
    return name, value


def start_parser() -> Parser:
    """The parser of its arguments."""
    parser = Parser("start", DESCRIPTION)
    for name, option in OPTIONS.items():
        flag = f"--{name.replace('_', '-')}"
        if option.metavar:
            choices = f" ({', '.join(option.choices)})" if option.choices else ""
            parser.add_argument(
                flag, dest=name, metavar=option.metavar, help=f"{option.help}{choices}"
            )
        else:
            parser.add_argument(
                flag,
                dest=name,
                action=argparse.BooleanOptionalAction,
                default=None,
                help=option.help,
            )
    parser.add_argument(
        "--control",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="how the piano plays, such as transpose=-12; see `sidekeys set --help`; may be "
        "given several times",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        type=Path,
        help="settings as TOML, with the names of these flags as keys and a table [controls]; "
        "flags win. By default the file that `sidekeys setup` writes, if it is there",
    )
    return parser
