"""The `sidekeys` command: finds out who does the work and hands it over.

The engine's commands run in the engine's own process, because the bridge never imports torch.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version

ENGINE_COMMANDS = {
    "render": "play a piano cover of songs into .mid files",
    "composers": "list the composers of a checkpoint, a line each",
    "train": "teach a checkpoint one more composer, from songs and their covers",
}
_USER_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_help())
        return 0
    if words[0] in ("-V", "--version"):
        sys.stdout.write(f"sidekeys {_version()}\n")
        return 0
    if words[0] not in ENGINE_COMMANDS:
        sys.stderr.write(
            f"sidekeys: error: there is no command {words[0]!r}; "
            f"try {' or '.join(ENGINE_COMMANDS)}, or `sidekeys --help`.\n"
        )
        return _USER_ERROR
    return _run_engine(words)


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


def _version() -> str:
    try:
        return version("sidekeys")
    except PackageNotFoundError:
        return "(run from its source, not installed)"


def _help() -> str:
    width = max(map(len, ENGINE_COMMANDS))
    lines = (f"  {name:{width}}  {what}" for name, what in ENGINE_COMMANDS.items())
    return "\n".join(
        (
            "Sidekeys: a piano sidekick for your DAW.",
            "",
            "usage: sidekeys COMMAND ...",
            "",
            *lines,
            "",
            "`sidekeys COMMAND --help` tells more. `sidekeys --version` tells the version.",
            "",
        )
    )
