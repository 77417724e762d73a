"""Several processes train the network that one would have, and stop and go on together."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
import torch

from made_up_music import tiny_config, write_windows
from sidekeys_engine.errors import InputError
from sidekeys_engine.network import Pop2PianoNetwork
from sidekeys_engine.training import train
from sidekeys_engine.training.parallel import in_processes, processes, rank, summed
from sidekeys_engine.training.train import Recipe, Training

RECIPE = Recipe(steps=8, batch_size=4, warmup=2, half_precision=False)


def training(data: Path) -> Training:
    torch.manual_seed(0)
    return Training(Pop2PianoNetwork(tiny_config()), data, RECIPE)


def train_until(run: Training, steps: int) -> list[float]:
    """Train; the first process alone watches the clock, which strikes once a step."""
    losses: list[float] = []
    clock = itertools.count(run.progress.step + 1)
    run.run(
        on_step=lambda _, loss: losses.append(loss),
        until_seconds=steps if rank() == 0 else None,
        now=lambda: float(next(clock)),
    )
    return losses


def train_share(_: Callable[[], bool], data: Path, out: Path) -> tuple[int, int]:
    """What each of two processes does: four steps, without the draws that each makes for itself."""
    torch.set_num_threads(1)
    with patch.object(train, "augmented", lambda features, _: features):
        run = training(data)
        losses = train_until(run, 4)
        assert len(losses) == 4
    number = torch.tensor([float(rank()), 1.0])
    summed([number])
    assert number.tolist() == [1.0, 2.0]
    if rank() == 0:
        run.save(out)
    return rank(), processes()


def weights(run: Training) -> torch.Tensor:
    return torch.cat([w.detach().flatten() for w in run.network.parameters()])


def test_two_processes_train_as_one_and_one_goes_on_where_two_stopped(tmp_path: Path) -> None:
    data = write_windows(tmp_path / "data")
    out = tmp_path / "run"
    assert in_processes(2, train_share, data, out) == (0, 2)
    assert {path.name for path in out.iterdir()} == {train.STATE_FILE}

    with patch.object(train, "augmented", lambda features, _: features):
        alone = training(data)
        train_until(alone, 4)
        together = training(data)
        assert together.resume(out)
        assert together.progress == alone.progress
        started = weights(training(data))
        # Adam makes much of the smallest gradients, and these are sums in another order.
        moved = float((weights(alone) - started).abs().max())
        assert float((weights(together) - weights(alone)).abs().max()) < 0.02 * moved
        losses = train_until(alone, 8)
        assert train_until(together, 8) == pytest.approx(losses, rel=1e-3)
    assert together.progress.step == RECIPE.steps


def test_one_process_works_where_it_is(tmp_path: Path) -> None:
    def work(is_stopped: Callable[[], bool], number: int) -> tuple[bool, int, int]:
        return is_stopped(), os.getpid(), number

    assert in_processes(1, work, 3, is_stopped=lambda: True) == (True, os.getpid(), 3)
    assert (rank(), processes()) == (0, 1)
    assert list(tmp_path.iterdir()) == []


def test_alone_a_sum_is_what_it_is() -> None:
    numbers = torch.tensor([2.0, 3.0])
    summed([numbers])
    assert numbers.tolist() == [2.0, 3.0]


# --- how it ends ---


def sums_until_stopped(is_stopped: Callable[[], bool]) -> tuple[bool, float]:
    """Exchange numbers until any of the processes is asked to stop."""
    asked = torch.zeros(1)
    steps = 0.0
    while not asked:
        asked = torch.tensor([float(is_stopped())])
        summed([asked])
        steps += 1
    return bool(asked), steps


def test_a_wish_to_stop_reaches_those_who_hear_no_ctrl_c() -> None:
    wishes = iter([False, False])
    is_stopped, steps = in_processes(2, sums_until_stopped, is_stopped=lambda: next(wishes, True))
    assert is_stopped
    assert steps >= 1


def fails(_: Callable[[], bool], how: str) -> None:
    """The second process fails while the first one waits for it."""
    if rank() == 1:
        if how == "mistake":
            raise InputError("The folder is empty; give another.")
        if how == "bug":
            raise ZeroDivisionError("by nothing")
        os.kill(os.getpid(), signal.SIGKILL)
    summed([torch.zeros(1)])


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("mistake", InputError, "The folder is empty; give another."),
        ("killed", InputError, "ended from outside (SIGKILL), as happens where memory runs out"),
        ("bug", RuntimeError, "ZeroDivisionError: by nothing"),
    ],
)
def test_what_fails_in_one_process_is_told_and_ends_all(
    how: str, kind: type[Exception], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(kind, match=re.escape(words)) as told:
        in_processes(2, fails, how)
    assert multiprocessing.active_children() == []
    assert "Traceback" not in capfd.readouterr().err
    assert (len(str(told.value).splitlines()) == 1) == (kind is InputError)


def test_an_interrupt_here_ends_all() -> None:
    def interrupted() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        in_processes(2, sums_until_stopped, is_stopped=interrupted)
    assert multiprocessing.active_children() == []
