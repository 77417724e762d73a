"""Loudness is that of an ear: in dB, deaf to rumble, and silence has a floor."""

from __future__ import annotations

import numpy as np
import pytest

from sidekeys_engine.loudness import SILENCE_DECIBELS, loudness_of_steps

RATE = 22050


def tone(hertz: float, seconds: float = 1.0, amplitude: float = 0.5) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (amplitude * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@pytest.mark.parametrize(
    ("hertz", "weight"), [(50, -30.2), (100, -19.1), (500, -3.2), (1000, 0.0), (4000, 1.0)]
)
def test_the_ear_is_the_a_curve_of_the_standard(hertz: float, weight: float) -> None:
    heard = loudness_of_steps(tone(hertz, amplitude=np.sqrt(2) / 2), RATE, [0.0, 1.0])
    assert heard == pytest.approx([-6.02 + weight], abs=0.3)


def test_twice_the_amplitude_is_six_decibels_more() -> None:
    audio = np.concatenate([tone(1000, amplitude=0.1), tone(1000, amplitude=0.2)])
    soft, loud = loudness_of_steps(audio, RATE, [0.0, 1.0, 2.0])
    assert loud - soft == pytest.approx(6.02, abs=0.05)


def test_what_lies_outside_of_the_audio_is_silent() -> None:
    audio = tone(1000)
    heard = loudness_of_steps(audio, RATE, [-2.0, -1.0, 0.0, 1.0, 2.0])
    assert heard[[0, 1, 3]].tolist() == [SILENCE_DECIBELS] * 3
    assert heard[2] > -10
    half, whole = (loudness_of_steps(audio, RATE, [0.0, end])[0] for end in (2.0, 1.0))
    assert whole - half == pytest.approx(3.01, abs=0.05)


def test_no_audio_is_silence_and_no_steps_are_none() -> None:
    silent = loudness_of_steps(np.zeros(0, dtype=np.float32), RATE, [0.0, 0.5, 1.0])
    assert silent.tolist() == [SILENCE_DECIBELS] * 2
    assert loudness_of_steps(tone(100), RATE, [0.0]).shape == (0,)


def test_steps_shorter_than_a_sample_are_silent() -> None:
    assert loudness_of_steps(tone(1000), RATE, [0.5, 0.5 + 1e-6])[0] == SILENCE_DECIBELS
