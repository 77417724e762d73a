"""The `sidekeys` command: finds out who does the work and hands it over.

The engine's commands run in the engine's own process, because the bridge never imports torch.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from sidekeys_engine.errors import InputError

ENGINE_COMMANDS = {
    "render": "play a piano cover of songs into .mid files; --engine uses a running bridge's",
    "composers": "list the composers of a checkpoint, a line each",
    "train": "teach a checkpoint one more composer, from songs and their covers",
    "engine": "run the engine alone, for a bridge on this machine or another one",
}
LIVE_COMMANDS = {
    "start": "listen to your DAW and play along, into a virtual MIDI port",
    "status": "tell how the running bridge does",
    "set": "change the composer, a control, the mode, the input ... while it plays",
    "panic": "release every note at once",
    "play": "start the manual transport",
    "pause": "stop the manual transport",
    "tap": "a beat of the manual transport, now; four taps make a tempo",
    "nudge": "move the beats against the sound: 0.25, or -20ms",
    "downbeat": "here is the first beat of a bar",
    "record": "write all that was played in this session to a .mid",
    "keep": "write what was played in the last bars to a .mid",
    "watch": "print what happens, a line each",
    "stop": "end the bridge",
    "inputs": "list what can be listened to",
    "ports": "list the MIDI ports that can be played into",
}
SETUP_COMMANDS = {
    "setup": "ask which DAW, which input and who tells the beats, and let you hear a note",
    "doctor": "look for what is missing on this machine, and say how to mend it",
    "panel": "open the control panel of the running bridge",
    "completion": "print what lets your shell complete these commands",
}
# Which room does the work, where it is not `client_commands`.
_ROOMS = {
    "start": "start_command",
    "setup": "setup_command",
    "doctor": "doctor.command",
    "panel": "panel_command",
    "completion": "completion",
}
_USER_ERROR = 2
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_help())
        return 0
    if words[0] in ("-V", "--version"):
        sys.stdout.write(f"sidekeys {_version()}\n")
        return 0
    if words[0] in (*LIVE_COMMANDS, *SETUP_COMMANDS) or (
        words[0] == "render" and "--engine" in words
    ):
        return _run_live(words)
    if words[0] in ENGINE_COMMANDS:
        return _run_engine(words)
    _say_error(
        f"there is no command {words[0]!r}; there are "
        f"{', '.join((*LIVE_COMMANDS, *ENGINE_COMMANDS, *SETUP_COMMANDS))}; see `sidekeys --help`."
    )
    return _USER_ERROR


def _run_live(words: Sequence[str]) -> int:
    try:
        status = run_here(words)
        sys.stdout.flush()  # here, where it may fail, and not while Python shuts down
    except InputError as error:
        _say_error(str(error))
        return _USER_ERROR
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away, as `head` does; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def run_here(words: Sequence[str]) -> int:
    """Run one of the bridge's own commands in this process; returns the exit status.

    Raises:
        InputError: it cannot be done, in words.
    """
    status: int
    if words[0] in _ROOMS:
        status = _room(_ROOMS[words[0]]).run(words[1:])
    else:
        status = _room("client_commands").run(words[0], words[1:])
    return status


def _room(name: str) -> Any:
    """A room of ours, loaded only now: help must be there at once."""
    return importlib.import_module(f"sidekeys_bridge.{name}")


def _run_engine(words: Sequence[str]) -> int:
    command = [sys.executable, "-m", "sidekeys_engine", *words]
    if os.name == "posix":
        # Become the engine: one process, one exit status, and Ctrl-C needs no passing on.
        os.execv(sys.executable, command)  # noqa: S606
    with subprocess.Popen(command) as engine, _ignored_interrupts():  # noqa: S603
        return engine.wait()


@contextlib.contextmanager
def _ignored_interrupts() -> Iterator[None]:
    """Ctrl-C reaches the engine as well; it cleans up, and this process waits for it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _say_error(line: str) -> None:
    sys.stderr.write(f"sidekeys: error: {line}\n")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - it is slow

    try:
        return version("sidekeys")
    except PackageNotFoundError:
        return "(run from its source, not installed)"


def _help() -> str:
    width = max(map(len, (*ENGINE_COMMANDS, *LIVE_COMMANDS, *SETUP_COMMANDS)))

    def listed(commands: dict[str, str]) -> list[str]:
        return [f"  {name:{width}}  {what}" for name, what in commands.items()]

    return "\n".join(
        (
            "Sidekeys: a piano sidekick for your DAW.",
            "",
            "usage: sidekeys COMMAND ...",
            "",
            "The first five minutes:",
            *listed(SETUP_COMMANDS),
            "",
            "Playing along:",
            *listed(LIVE_COMMANDS),
            "",
            "Songs and checkpoints:",
            *listed(ENGINE_COMMANDS),
            "",
            "`sidekeys COMMAND --help` tells more. `sidekeys --version` tells the version.",
            "",
        )
    )
