"""Filters lift what they name, and loudness is that of the sound."""

from __future__ import annotations

import numpy as np
import pytest

from made_up_stems import SAMPLING_RATE, rng_of
from sidekeys_engine.training.effect_parts import bell, loudness


@pytest.mark.parametrize(
    ("kind", "expected"), [("low", (6, 0, 0)), ("peak", (0, 6, 0)), ("high", (0, 0, 6))]
)
def test_equalizers_lift_the_band_they_name(kind: str, expected: tuple[float, ...]):
    from scipy.signal import sosfreqz

    gains = sosfreqz(bell(kind, 1000, 6.0, 0.7), [10, 1000, 11_000], fs=SAMPLING_RATE)[1]
    decibels = 20 * np.log10(np.abs(gains))
    np.testing.assert_allclose(decibels[[0, 2]], [expected[0], expected[2]], atol=0.05)
    assert decibels[1] == pytest.approx(6 if kind == "peak" else 3, abs=0.01)


def test_loudness_ignores_pauses():
    played = rng_of(0).normal(0, 0.1, 4 * SAMPLING_RATE).astype(np.float32)
    paused = np.concatenate([played, np.zeros(SAMPLING_RATE, np.float32)])
    assert loudness(paused) == pytest.approx(loudness(played), rel=0.05)
    assert loudness(np.zeros(0, np.float32)) == 0
