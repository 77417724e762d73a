"""`sidekeys completion`: what lets a shell complete our commands, made from their own help."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sidekeys_bridge.arguments import Parser
from sidekeys_bridge.cli import ENGINE_COMMANDS, LIVE_COMMANDS, SETUP_COMMANDS, run_here
from sidekeys_bridge.controls import CONTROLS
from sidekeys_bridge.settings import OPTIONS
from sidekeys_engine.errors import InputError

DESCRIPTION = (
    "Print what lets your shell complete `sidekeys` and its options. For bash put it into a file "
    "that your .bashrc reads (source), for zsh likewise with .zshrc, for fish into "
    "~/.config/fish/completions/sidekeys.fish."
)
_HELP_SECONDS = 30.0
_FLAG = re.compile(r"(--?[\w-]+)(?: \[?(\S+?)\]?)?")
_CHOICES = re.compile(r"\{([^}]*)\}")
_FILE_NAMES = ("FILE", "FOLDER", "PATH", "CONNECTION", "OUT", "SONG", "PAIRS")
# Help in one piece, however narrow or colorful the terminal is.
_WIDE = {"COLUMNS": "1000", "NO_COLOR": "1", "PYTHON_COLORS": "0"}


@dataclass(frozen=True, slots=True)
class Argument:
    """A flag, or the name of a setting that a value follows.

    Attributes:
        name: such as "--bpm"; "" for what needs no name.
        takes_value: whether a value follows.
        is_file: whether that is a file or a folder.
        choices: what it may be; empty if nobody knows.
    """

    name: str
    takes_value: bool = False
    is_file: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """What can follow a command.

    Attributes:
        name: of the command.
        about: a line on what it does.
        arguments: its flags, and its named settings.
        own: what it takes without a name, or None.
    """

    name: str
    about: str
    arguments: tuple[Argument, ...]
    own: Argument | None = None


def completion_parser() -> Parser:
    """The parser of its arguments."""
    parser = Parser("completion", DESCRIPTION)
    parser.add_argument("shell", choices=tuple(_SCRIPTS))
    return parser


def run(words: Sequence[str]) -> int:
    """Print the script for a shell; returns the exit status.

    Raises:
        InputError: no such shell, or an installation that is broken.
    """
    shell = completion_parser().parse_args(words).shell
    sys.stdout.write(_SCRIPTS[shell](all_commands()))
    sys.stdout.flush()
    return 0


# What there is


def all_commands() -> list[Command]:
    """Every command, as its own help describes it."""
    here, there = {**SETUP_COMMANDS, **LIVE_COMMANDS}, ENGINE_COMMANDS
    with _wide_help():
        asked = {name: _asked_of_engine(name) for name in there}
        texts = {name: _help_here(name) for name in here}
        texts |= {name: _answer_of_engine(name, asked[name]) for name in there}
    return [_described(name, about, texts[name]) for name, about in {**here, **there}.items()]


@contextlib.contextmanager
def _wide_help() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _WIDE}
    os.environ.update(_WIDE)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _help_here(command: str) -> str:
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.suppress(SystemExit):
        run_here([command, "--help"])
    return told.getvalue()


def _asked_of_engine(command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "sidekeys_engine", command, "--help"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _answer_of_engine(command: str, asked: subprocess.Popen[str]) -> str:
    try:
        told, _ = asked.communicate(timeout=_HELP_SECONDS)
    except subprocess.TimeoutExpired:
        asked.kill()
        told, _ = asked.communicate()
    if asked.returncode != 0:
        raise InputError(f"`sidekeys {command} --help` does not work; see `sidekeys doctor`.")
    return told


def _described(name: str, about: str, told: str) -> Command:
    """A command from its help."""
    arguments: dict[str, Argument] = {}
    own: Argument | None = None
    section = ""
    for line in told.splitlines():
        if line and not line.startswith(" "):
            section = line.rstrip(":")
        elif line.startswith("  -"):
            arguments |= {found.name: found for found in _flags(line, name)}
        elif section == "positional arguments" and line.startswith("  ") and line[2] != " ":
            found = _value("", line.split()[0])
            own = found if found.is_file or found.choices else own
    if name == "set":
        arguments |= {found.name: found for found in _settings(told)}
    return Command(name, about, tuple(arguments.values()), own)


def _flags(line: str, command: str) -> Iterator[Argument]:
    """All names of one flag, from its line such as "  -o FILE, --output FILE  what it is"."""
    shown = line.strip().split("  ")[0]
    matches = [match for match in map(_FLAG.fullmatch, shown.split(", ")) if match is not None]
    metavar = next((match[2] for match in matches if match[2]), "")
    for match in matches:
        found = _value(match[1], metavar) if metavar else Argument(match[1])
        option = OPTIONS.get(match[1].lstrip("-").replace("-", "_"))
        if command == "start" and option is not None and option.choices:
            found = Argument(match[1], True, choices=option.choices)
        yield found


def _value(name: str, metavar: str) -> Argument:
    choices = _CHOICES.fullmatch(metavar)
    if choices is not None:
        return Argument(name, True, choices=tuple(choices[1].split(",")))
    return Argument(name, True, is_file=metavar.strip("[]").upper().startswith(_FILE_NAMES))


def _settings(told: str) -> Iterator[Argument]:
    """What `set` takes: every name of its help, with the choices of those that have some."""
    choices = {control.name: control.choices for control in CONTROLS}
    choices |= {control.name: ("on", "off") for control in CONTROLS if control.kind == "switch"}
    choices |= {name: OPTIONS[name].choices for name in ("mode", "transport")}
    for line in told.splitlines():
        match = re.match(r"  ([a-z_]+)  ", line)
        if match is not None:
            yield Argument(match[1], True, choices=choices.get(match[1], ()))


# Scripts


def _bash(commands: Sequence[Command]) -> str:
    answers: dict[str, list[str]] = {}
    for command in commands:
        for argument in command.arguments:
            if argument.takes_value:
                place = f"{command.name}:{argument.name}"
                answers.setdefault(_bash_value(argument), []).append(place)
    values = [f"{'|'.join(places)}) {answer} ;;" for answer, places in answers.items()]
    words = [f"{command.name}) {_bash_words(command)} ;;" for command in commands]
    return _BASH.format(
        commands=" ".join(command.name for command in commands),
        values="\n            ".join(values),
        words="\n            ".join(words),
    )


def _bash_value(argument: Argument) -> str:
    if argument.is_file:
        return "files=1"
    return f"known=1; words='{' '.join(argument.choices)}'"


def _bash_words(command: Command) -> str:
    names = [argument.name for argument in command.arguments]
    if command.own is None:
        return f"words='{' '.join(names)}'"
    files = "; own=1" if command.own.is_file else ""
    return f"words='{' '.join((*command.own.choices, *names))}'{files}"


_BASH = """\
# Completion of sidekeys for bash.
_sidekeys() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    local words= files= known= own=
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        words='{commands} --help --version'
    else
        case "${{COMP_WORDS[1]}}:$before" in
            {values}
        esac
        if [ -z "$files$known" ]; then
            case "${{COMP_WORDS[1]}}" in
            {words}
            esac
            case "$word" in -*) ;; *) files=$own ;; esac
        fi
    fi
    if [ -n "$files" ]; then
        local IFS=$'\\n'
        word=${{word#[\\"\\']}} word=${{word//\\\\/}}
        compopt -o filenames 2>/dev/null
        COMPREPLY=($(compgen -f -- "$word"))
    else
        COMPREPLY=($(compgen -W "$words" -- "$word"))
    fi
}}
complete -F _sidekeys sidekeys
"""


def _zsh(commands: Sequence[Command]) -> str:
    load = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"
    return _bash(commands).replace("for bash.\n", f"for zsh.\n{load}")


def _fish(commands: Sequence[Command]) -> str:
    lines = ["# Completion of sidekeys for fish.", "complete -c sidekeys -f"]
    for command in commands:
        about = command.about.replace("'", r"\'")
        lines.append(
            f"complete -c sidekeys -n __fish_use_subcommand -a {command.name} -d '{about}'"
        )
        here = f"complete -c sidekeys -n '__fish_seen_subcommand_from {command.name}'"
        lines += [f"{here} {_fish_argument(argument)}" for argument in command.arguments]
        if command.own is not None:
            own = command.own
            lines.append(f"{here} -F" if own.is_file else f"{here} -a '{' '.join(own.choices)}'")
    return "\n".join(lines) + "\n"


def _fish_argument(argument: Argument) -> str:
    name = argument.name
    if not name.startswith("-"):
        return f"-a '{name}'"
    flag = f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
    if argument.is_file:
        return f"{flag} -r -F"
    if argument.choices:
        return f"{flag} -x -a '{' '.join(argument.choices)}'"
    return f"{flag} -x" if argument.takes_value else flag


_SCRIPTS: Mapping[str, Callable[[Sequence[Command]], str]] = {
    "bash": _bash,
    "zsh": _zsh,
    "fish": _fish,
}
