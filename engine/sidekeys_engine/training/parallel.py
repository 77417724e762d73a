"""Several processes that train one network, each on its share of every batch."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed
from torch import Tensor

from sidekeys_engine.errors import InputError
from sidekeys_engine.training.stopping import end_with_parent, starting_deaf_processes

T = TypeVar("T")

_LOOK_SECONDS = 0.1  # how often somebody's wish to stop is looked for
_ORPHAN_SECONDS = 10.0  # to end the step at hand and save, when the first process is gone
_OTHER_CAUSE_SECONDS = 1.0  # one that fails takes others with it: the cause may be told late


def in_processes(
    count: int,
    work: Callable[..., T],
    *arguments: Any,
    is_stopped: Callable[[], bool] = lambda: False,
) -> T:
    """Run ``work(is_stopped, *arguments)`` in so many processes that know of each other.

    They do not hear Ctrl-C, and none of them outlives this call or this process.

    Args:
        count: processes; with 1 the work is done in this one.
        work: a function of a module. Where several work, what it is given as ``is_stopped`` comes
            true in one a little before it does in another.
        *arguments: its arguments, which go to every process.
        is_stopped: asked here all the time; once true, it is true.

    Returns:
        What the work of the first of them returned.

    Raises:
        InputError: the work raised one, or a process was killed from outside.
        RuntimeError: the work raised anything else, whose traceback this one holds.
    """
    if count == 1:
        return work(is_stopped, *arguments)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sidekeys-"))
        partners: list[_Partner] = []
        stack.callback(_end, partners)
        with starting_deaf_processes():
            for number in range(count):
                place = _Place(number, count, Path(folder) / "meeting")
                partners.append(_Partner.started(place, work, arguments))
        outcomes = _outcomes(partners, is_stopped)
        for partner in partners:
            partner.line.close()  # all are done: now they may hang up
        for partner in partners:
            partner.process.join()
    result: T = outcomes[0].result
    return result


# --- the process that starts the others ---


@dataclass(frozen=True)
class _Outcome:
    """How the work ended in one process; the lower its rank, the nearer to the cause."""

    result: Any = None
    mistake: str = ""
    killed: str = ""
    failure: str = ""

    @property
    def rank(self) -> int:
        return 0 if self.mistake else 1 if self.killed else 2

    @property
    def is_good(self) -> bool:
        return not (self.mistake or self.killed or self.failure)

    def error(self) -> Exception:
        """What the caller gets of it."""
        if self.mistake:
            return InputError(self.mistake)
        if self.killed:
            return InputError(
                f"One of the processes was ended from outside ({self.killed}), as happens where "
                "memory runs out; what was saved last is kept: run the same again, with fewer "
                "processes if need be."
            )
        return RuntimeError(f"a process failed:\n{self.failure}")


@dataclass(frozen=True)
class _Place:
    """Which process it is, of how many, and the file through which they find each other."""

    number: int
    count: int
    meeting: Path


@dataclass(frozen=True)
class _Partner:
    """A process that was started, and the line to it.

    A word through the line asks it to stop; its end lets it go. What comes back is an outcome.
    """

    process: BaseProcess
    line: Connection

    @classmethod
    def started(
        cls, place: _Place, work: Callable[..., Any], arguments: tuple[Any, ...]
    ) -> _Partner:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_join, args=(place, theirs, work, arguments), daemon=True)
        process.start()
        theirs.close()  # so that the line ends with the process
        return cls(process, ours)

    def ask_to_stop(self) -> None:
        with contextlib.suppress(OSError):  # it is gone already, which its line tells too
            self.line.send(None)

    def outcome(self) -> _Outcome:
        """Wait for it."""
        try:
            outcome: _Outcome = self.line.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode or 0
            return _Outcome(killed=signal.Signals(-code).name if code < 0 else f"status {code}")
        return outcome


def _outcomes(partners: list[_Partner], is_stopped: Callable[[], bool]) -> list[_Outcome]:
    """What came of all of them, in their order.

    Raises:
        InputError, RuntimeError: one failed; the others are not waited for.
    """
    found: dict[int, _Outcome] = {}
    is_told, until = False, float("inf")
    while len(found) < len(partners) and time.monotonic() < until:
        if is_stopped() and not is_told:
            is_told = True
            for partner in partners:
                partner.ask_to_stop()
        waiting = {p.line: n for n, p in enumerate(partners) if n not in found}
        for line in multiprocessing.connection.wait(list(waiting), _LOOK_SECONDS):
            number = waiting[line]  # type: ignore[index]
            found[number] = partners[number].outcome()
            if not found[number].is_good:
                until = min(until, time.monotonic() + _OTHER_CAUSE_SECONDS)
    bad = [outcome for outcome in found.values() if not outcome.is_good]
    if bad:
        raise min(bad, key=lambda outcome: outcome.rank).error()
    return [found[number] for number in range(len(partners))]


def _end(partners: list[_Partner]) -> None:
    for partner in partners:
        partner.line.close()
        partner.process.kill()
    for partner in partners:
        partner.process.join()


# --- the processes that are started ---


def _join(
    place: _Place, line: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    end_with_parent(after_seconds=_ORPHAN_SECONDS)
    stopped, let_go = threading.Event(), threading.Event()
    threading.Thread(target=_listen, args=(line, stopped, let_go), daemon=True).start()
    try:
        torch.distributed.init_process_group(
            "gloo",
            init_method=place.meeting.as_uri(),
            rank=place.number,
            world_size=place.count,
        )
        outcome = _Outcome(result=work(stopped.is_set, *arguments))
    except InputError as error:
        outcome = _Outcome(mistake=str(error))
    except Exception:
        outcome = _Outcome(failure=traceback.format_exc())
    with contextlib.suppress(OSError):  # nobody is left to tell
        line.send(outcome)
    # Who hangs up while another still waits for its last words makes that one fail.
    let_go.wait()
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _listen(line: Connection, stopped: threading.Event, let_go: threading.Event) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            line.recv()
            stopped.set()
    stopped.set()
    let_go.set()


# --- what they know of each other ---


def rank() -> int:
    """This process's number, from 0."""
    return torch.distributed.get_rank() if torch.distributed.is_initialized() else 0


def processes() -> int:
    """How many train together."""
    return torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1


def summed(values: Iterable[Tensor]) -> None:
    """Replace each tensor by its sum over the processes, in one exchange; alone, do nothing."""
    if processes() == 1:
        return
    tensors = list(values)
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    torch.distributed.all_reduce(flat)
    parts = torch.split(flat, [tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


def agreed(listing: Callable[[], list[str]]) -> list[str]:
    """What a listing that only ever grows says in all processes alike.

    Args:
        listing: called again until every process finds as much as the others.
    """
    while True:
        found = listing()
        # float64 holds these whole numbers exactly, so that all processes decide alike.
        counts = torch.tensor([len(found), len(found) ** 2], dtype=torch.float64)
        summed([counts])
        if float(counts[1]) * processes() == float(counts[0]) ** 2:  # all of them are equal
            return found
