from __future__ import annotations

import librosa
import numpy as np
import pytest

from sidekeys_engine.resampling import resample_like_resampy


def noise(samples: int) -> np.ndarray:
    return (0.2 * np.random.default_rng(0).standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize("samples", [1, 2, 7, 199, 2 * (1 << 14), 2 * (1 << 14) + 1, 100_001])
def test_halving_the_rate_equals_resampy(samples: int) -> None:
    audio = noise(samples)
    ours = resample_like_resampy(audio, 44100, 22050)
    assert ours.shape == (-(-samples // 2),)
    assert ours.dtype == np.float32
    if samples > 1:  # resampy refuses to make less than one sample of its input
        expected = librosa.resample(audio, orig_sr=44100, target_sr=22050, res_type="kaiser_best")
        np.testing.assert_allclose(ours, expected, rtol=0, atol=6e-8)


@pytest.mark.parametrize("rate", [8000, 16000, 48000, 96000])
def test_other_ratios_keep_pitch_level_and_duration(rate: int) -> None:
    seconds = np.arange(2 * rate) / rate
    audio = np.sin(2 * np.pi * 440 * seconds).astype(np.float32)
    ours = resample_like_resampy(audio, rate, 22050)
    assert ours.shape == (2 * 22050,)
    expected = np.sin(2 * np.pi * 440 * np.arange(len(ours)) / 22050)
    np.testing.assert_allclose(ours[2000:-2000], expected[2000:-2000], atol=1e-3)


def test_audio_at_the_right_rate_stays_as_it_is() -> None:
    audio = noise(10)
    assert resample_like_resampy(audio, 22050, 22050) is audio
