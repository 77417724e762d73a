"""A run learns, is decided by its seed, and goes on at the exact step where it was stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sidekeys_engine.config import Pop2PianoConfig
from sidekeys_engine.network import Pop2PianoNetwork
from sidekeys_engine.training.dataset import Dataset, renders_in, save_windows
from sidekeys_engine.training.rendering import Windows, architecture
from sidekeys_engine.training.train import Recipe, Training, loss_of

COMPOSERS = 2
CONFIG = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 1,
    "num_decoder_layers": 1,
    "num_heads": 2,
    "composer_vocab_size": COMPOSERS,
}
RECIPE = Recipe(steps=8, batch_size=4, warmup=2, half_precision=False)


def config() -> Pop2PianoConfig:
    return architecture(**CONFIG)


def make_windows(seed: int, count: int = 12) -> Windows:
    """Windows whose tokens repeat their composer's number, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    frames = rng.choice([5, 6], count)
    lengths = rng.integers(2, 6, (count, COMPOSERS))
    tokens = [
        np.append(np.full(n - 1, 20 + composer), 1)
        for row in lengths.tolist()
        for composer, n in enumerate(row)
    ]
    return Windows(
        features=rng.normal(-4, 2, (int(frames.sum()), 32)).astype(np.float16),
        frame_steps=np.concatenate([np.arange(n) for n in frames]).astype(np.int8),
        frame_ends=frames.cumsum(),
        tokens=np.concatenate(tokens).astype(np.int16),
        token_ends=lengths.ravel().cumsum().reshape(lengths.shape),
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for seed in range(2):
        save_windows(make_windows(seed), folder, f"{seed:03d}-0")
    return folder


def training(data: Path, recipe: Recipe = RECIPE) -> Training:
    torch.manual_seed(recipe.seed)
    return Training(Pop2PianoNetwork(config()), data, recipe)


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
    # A render that comes in between waits for the next pass.
    second = training(data)
    assert second.resume(tmp_path / "run")
    assert second.run(on_step=lambda _, loss: parts.append(loss))
    assert parts == losses
    assert torch.equal(weights(whole), weights(second))
    for ours, theirs in zip(
        whole.averaged().parameters(), second.averaged().parameters(), strict=True
    ):
        assert torch.equal(ours, theirs)


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


def test_an_epoch_has_every_window_once_in_batches_of_one_length(data: Path) -> None:
    dataset = Dataset(data, renders_in(data))
    plan = dataset.epoch(4, np.array([1.0, 3.0]), np.random.default_rng(5))
    seen = np.concatenate([windows for windows, _ in plan])
    assert sorted(seen.tolist()) == list(range(len(dataset)))
    for windows, composers in plan:
        assert len(windows) <= 4
        assert len(set(dataset.frames[windows].tolist())) == 1
        batch = dataset.batch(windows, composers)
        lengths = (batch.labels >= 0).sum(1)
        assert lengths.tolist() == dataset.token_counts[windows, composers].tolist()
        for row, composer, length in zip(batch.labels, composers, lengths, strict=True):
            assert row[: length - 1].tolist() == [20 + composer] * int(length - 1)
            assert row[length - 1] == 1


def test_the_learning_rate_rises_stays_and_falls() -> None:
    recipe = Recipe(steps=100, warmup=10, decay=0.4, learning_rate=1.0)
    rates = [recipe.rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:60] == [1.0] * 51
    assert np.all(np.diff(rates[60:]) < 0)
    assert rates[-1] == pytest.approx(1 / 40)
