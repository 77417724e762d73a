"""Asking the system that a thread runs before all others as soon as it wakes.

Linux lets users do so who may have realtime priority (group audio or pipewire on most systems,
`ulimit -r` tells). macOS and Windows have other ways, which are not used here: their threads run
at normal priority.
"""

from __future__ import annotations

import os

PRIORITY = 10
"""Above every normal thread, below the audio server, whose thread must come first."""

COMPANION_PRIORITY = 1
"""For the other threads of a process with a realtime thread that run Python. While one of them
holds the interpreter the realtime thread waits for it, and it must not be kept waiting in turn by
a model that computes: without this, notes are up to 16 ms off on a busy machine, with it 4."""


def request_realtime(priority: int = PRIORITY) -> bool:
    """Ask for the calling thread; what it starts later runs at normal priority.

    Args:
        priority: 1-99; where the user may not have it, 1 is asked for.

    Returns:
        Whether it was granted.
    """
    if not hasattr(os, "sched_setscheduler") or not hasattr(os, "SCHED_RESET_ON_FORK"):
        return False
    for wanted in (priority, 1):
        try:
            # On Linux 0 means the calling thread, not the process.
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(wanted))
        except OSError:
            continue
        return True
    return False
