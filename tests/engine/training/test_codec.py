"""A codec loses what nobody would miss."""

from __future__ import annotations

import numpy as np
import pytest

from made_up_stems import SAMPLING_RATE, plucks, rng_of
from sidekeys_engine.training import codec


def test_a_codec_that_may_keep_all_loses_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(codec, "_quantized", lambda spectrum, rng: spectrum)
    for size in (1, 100, 5000):
        audio = rng_of(0).normal(0, 0.3, size).astype(np.float32)
        for seed in range(8):
            np.testing.assert_allclose(codec.coded(audio, rng_of(seed)), audio, atol=1e-5)


def test_a_codec_drops_what_lies_above_its_low_pass_and_keeps_the_melody():
    audio = rng_of(0).normal(0, 0.2, 2 * SAMPLING_RATE).astype(np.float32)
    heights = []
    for seed in range(20):
        spectrum = np.abs(np.fft.rfft(codec.coded(audio, rng_of(seed))))
        hertz = np.fft.rfftfreq(len(audio), 1 / SAMPLING_RATE)
        loud = np.sqrt(np.mean(spectrum[(hertz > 300) & (hertz < 3000)] ** 2))
        bands = np.sqrt(np.square(spectrum[: len(hertz) // 110 * 110]).reshape(110, -1).mean(1))
        heights.append(np.flatnonzero(bands > 0.05 * loud).max() * 100)
    assert min(heights) < 7000
    assert max(heights) > 10_000
    tune = plucks()
    for seed in range(20):
        assert np.corrcoef(tune, codec.coded(tune, rng_of(seed)))[0, 1] > 0.8
