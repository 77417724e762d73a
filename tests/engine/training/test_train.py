"""A run learns, is decided by its seed, and goes on at the exact step where it was stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from made_up_music import COMPOSERS, make_windows, tiny_config, write_windows
from sidekeys_engine.errors import InputError
from sidekeys_engine.network import Pop2PianoNetwork
from sidekeys_engine.training.dataset import Dataset, renders_in, save_windows
from sidekeys_engine.training.train import Recipe, Training, loss_of

RECIPE = Recipe(steps=8, batch_size=4, warmup=2, half_precision=False)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_windows(tmp_path / "data")


def training(data: Path, recipe: Recipe = RECIPE) -> Training:
    torch.manual_seed(recipe.seed)
    return Training(Pop2PianoNetwork(tiny_config()), data, recipe)


def weights(run: Training) -> torch.Tensor:
    return torch.cat([w.detach().flatten() for w in run.network.parameters()])


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(data: Path, tmp_path: Path) -> None:
    whole = training(data)
    losses: list[float] = []
    assert whole.run(on_step=lambda _, loss: losses.append(loss))

    first = training(data)
    parts: list[float] = []
    clock = iter(range(100))
    done = first.run(
        on_step=lambda _, loss: parts.append(loss),
        until_seconds=2,
        now=lambda: float(next(clock)),
    )
    assert not done
    assert first.progress.step == 3
    first.save(tmp_path / "run")
    second = training(data)
    assert second.resume(tmp_path / "run")
    assert second.run(on_step=lambda _, loss: parts.append(loss))
    assert parts == losses
    assert torch.equal(weights(whole), weights(second))
    for ours, theirs in zip(
        whole.averaged().parameters(), second.averaged().parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_a_render_that_comes_in_between_joins_at_the_next_pass(data: Path, tmp_path: Path) -> None:
    run = training(data, replace(RECIPE, steps=20))
    passes: dict[int, list[str]] = {}
    run.run(
        on_step=lambda progress, _: passes.setdefault(progress.epoch, list(progress.renders)),
        until_seconds=0,
        now=lambda: 0.0,
    )
    assert run.progress.step == 1
    run.save(tmp_path / "run")
    save_windows(make_windows(7), data, "007-0")
    again = training(data, replace(RECIPE, steps=20))
    assert again.resume(tmp_path / "run")
    again.run(on_step=lambda progress, _: passes.setdefault(progress.epoch, list(progress.renders)))
    assert passes[0] == ["000-0", "001-0"]
    assert passes[1] == ["000-0", "001-0", "007-0"]


def test_another_networks_run_is_not_gone_on_with(data: Path, tmp_path: Path) -> None:
    training(data).save(tmp_path / "run")
    torch.manual_seed(0)
    wider = Pop2PianoNetwork(tiny_config(d_ff=64))
    with pytest.raises(InputError, match="another size; go on with the sizes"):
        Training(wider, data, RECIPE).resume(tmp_path / "run")


def test_the_seed_decides_a_run(data: Path) -> None:
    runs = [training(data), training(data), training(data, replace(RECIPE, seed=1))]
    for run in runs:
        run.run()
    assert torch.equal(weights(runs[0]), weights(runs[1]))
    assert not torch.equal(weights(runs[0]), weights(runs[2]))


def test_a_run_learns(data: Path) -> None:
    run = training(data, replace(RECIPE, steps=60, learning_rate=1e-2))
    losses: list[float] = []
    run.run(on_step=lambda _, loss: losses.append(loss))
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    dataset = Dataset(data, renders_in(data))
    plan = dataset.epoch(4, np.ones(COMPOSERS), np.random.default_rng(0))
    held_out = loss_of(run.averaged(), (dataset.batch(*b) for b in plan), COMPOSERS)
    assert max(held_out) < 0.5 * losses[0]


def test_there_is_nothing_to_resume_in_an_empty_folder(data: Path, tmp_path: Path) -> None:
    assert not training(data).resume(tmp_path)


def test_the_learning_rate_rises_stays_and_falls() -> None:
    recipe = Recipe(steps=100, warmup=10, decay=0.4, learning_rate=1.0)
    rates = [recipe.rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:60] == [1.0] * 51
    assert np.all(np.diff(rates[60:]) < 0)
    assert rates[-1] == pytest.approx(1 / 40)
