"""Several processes that train one network, each on its share of every batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import Tensor
from torch.multiprocessing.spawn import spawn


def in_processes(count: int, meeting: Path, work: Callable[..., None], *arguments: Any) -> None:
    """Run ``work(*arguments)`` in so many processes that know of each other.

    Args:
        count: processes; with 1 the work is done in this one.
        meeting: a path that no file has, through which they find each other.
        work: a function of a module.
        *arguments: its arguments, which go to every process.
    """
    if count == 1:
        work(*arguments)
        return
    meeting.parent.mkdir(parents=True, exist_ok=True)
    meeting.unlink(missing_ok=True)
    try:
        spawn(_join, (count, meeting.resolve(), work, arguments), count)  # type: ignore[no-untyped-call]
    finally:
        meeting.unlink(missing_ok=True)


def _join(
    rank: int, count: int, meeting: Path, work: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    torch.distributed.init_process_group(
        "gloo", init_method=meeting.as_uri(), rank=rank, world_size=count
    )
    try:
        work(*arguments)
    finally:
        torch.distributed.destroy_process_group()


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
