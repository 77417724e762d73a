"""Asking another program, which may be missing, fail, or never answer."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from sidekeys_engine.errors import InputError

WITHIN_SECONDS = 5.0


class NoAnswerError(InputError):
    """There was none; the message says why."""


def answer_of(
    command: Sequence[str],
    *,
    within_seconds: float = WITHIN_SECONDS,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What a program writes on its standard output; all that it started ends with it.

    Args:
        command: the program and its arguments.
        within_seconds: how long it may take.
        environment: added to ours.

    Raises:
        NoAnswerError: it is not there, it failed, or it took longer.
    """
    try:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        raise NoAnswerError(f"{command[0]} cannot be run ({error.strerror})") from error
    try:
        output, _ = process.communicate(timeout=within_seconds)
    except subprocess.TimeoutExpired as error:
        raise NoAnswerError(f"no answer within {within_seconds:g} s") from error
    finally:
        _end(process)
    if process.returncode != 0:
        raise NoAnswerError(f"it failed (status {process.returncode})")
    return output.decode("utf-8", "replace")


def json_of(command: Sequence[str], *, within_seconds: float = WITHIN_SECONDS) -> Any:
    """As `answer_of`, for a Python program of ours whose last line is JSON.

    Args:
        command: arguments of Python.
        within_seconds: how long it may take.

    Raises:
        NoAnswerError: as there, or the line is no JSON.
    """
    lines = answer_of([sys.executable, *command], within_seconds=within_seconds).splitlines()
    try:
        return json.loads(lines[-1] if lines else "")
    except ValueError as error:
        raise NoAnswerError("its answer makes no sense") from error


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(OSError):
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
