"""What is drawn anew at every step changes how a song sounds, and neither notes nor order."""

from __future__ import annotations

import math

import pytest
import torch

from sidekeys_engine.log_mel import LOWEST_POWER
from sidekeys_engine.training.augmentation import augmented

ROWS, FRAMES, BANDS = 200, 12, 64
SILENCE = math.log(LOWEST_POWER)


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    """Well above silence, with one quiet band and two silent frames."""
    drawn = torch.randn(ROWS, FRAMES, BANDS, generator=torch.Generator().manual_seed(0))
    drawn[:, :, 5] -= 9
    drawn[:, 7:9] = SILENCE
    return drawn


def changed(features: torch.Tensor, seed: int = 1) -> torch.Tensor:
    return augmented(features, torch.Generator().manual_seed(seed))


def test_the_generator_decides_all(features: torch.Tensor) -> None:
    before = features.clone()
    first = changed(features)
    assert torch.equal(first, changed(features))
    assert not torch.equal(first, changed(features, 2))
    assert torch.equal(features, before)


def test_shape_and_floor_are_kept(features: torch.Tensor) -> None:
    result = changed(features)
    assert result.shape == features.shape
    assert result.dtype == torch.float32
    assert float(result.min()) == pytest.approx(SILENCE)


def test_each_row_is_another_recording(features: torch.Tensor) -> None:
    alike = features[:1].expand(20, -1, -1).clone()
    gains = (changed(alike) - alike).mean((1, 2))
    assert len(set(gains.tolist())) == 20


def test_most_recordings_change_by_a_curve_that_does_not_move(features: torch.Tensor) -> None:
    """Where no noise is added, every frame of a row gets the same gain in a band."""
    difference = (changed(features) - features)[:, [0, 3, 6, 11]]
    steady = (difference - difference[:, :1]).abs().amax((1, 2)) < 1e-3
    assert 0.45 < float(steady.float().mean()) < 0.75
    curves = difference[steady, 0]
    whole = curves[(curves > SILENCE / 2).all(1)]
    bends = whole.diff(dim=1).diff(dim=1).abs()
    assert float(bends.max()) < 1, "an equalizer, not a comb"
    assert 2 < float(whole.abs().max()) < 8


def test_some_recordings_have_noise_below_their_notes(features: torch.Tensor) -> None:
    result = changed(features)
    noisy = (result[:, 7] - result[:, 8]).abs().amax(1) > 0.1
    assert 0.3 < float(noisy.float().mean()) < 0.5
    lifted = (result - features)[noisy]
    assert float(lifted[:, 7].mean()) > 5, "what was silent hisses"
    assert float(lifted[features[noisy] > 1].median().abs()) < 1, "what was loud stays"


def test_some_recordings_lose_neighbouring_bands(features: torch.Tensor) -> None:
    silent = (changed(features) <= SILENCE + 1e-4)[:, [0, 3, 6, 11]].all(1)
    lost = silent & (features[:, 0] > -5)
    widths = lost.sum(1)
    assert 0.05 < float((widths > 0).float().mean()) < 0.25
    assert 5 < int(widths.max()) < 24
