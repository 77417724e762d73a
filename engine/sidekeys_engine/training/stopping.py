"""Ctrl-C ends the step at hand and no more, and no process outlives the one that started it."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Tell of the first Ctrl-C, so that what is saved is whole; the second one ends all at once.

    Yields:
        Whether somebody has asked so far.
    """
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            signal.default_int_handler(number, frame)
        asked = True

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def starting_deaf_processes() -> Iterator[None]:
    """Processes that are started in the block never hear Ctrl-C; who started them tells them.

    A terminal sends it to all of them, and each would end in the middle of things, with a
    traceback.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def end_with_parent(*, after_seconds: float = 0.0) -> None:
    """Let this process end once the one that started it is gone, be it killed.

    Args:
        after_seconds: it has so long to end by itself.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        raise ValueError("this process was not started by multiprocessing")

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        time.sleep(after_seconds)
        os._exit(1)

    threading.Thread(target=watch, name="end with parent", daemon=True).start()
