"""Promises of the level meter."""

from __future__ import annotations

import numpy as np
import pytest

from sidekeys_bridge.level_meter import FLOOR_DB, LevelMeter

RATE = 48_000
BLOCK = 480


def _play(meter: LevelMeter, amplitude: float, start: float, seconds: float) -> float:
    """Play a sine in blocks; return when it ends."""
    frames = round(seconds * RATE)
    tone = amplitude * np.sin(2 * np.pi * 440 * np.arange(frames) / RATE)
    tone = np.repeat(tone[:, None], 2, axis=1).astype(np.float32)
    for first in range(0, frames, BLOCK):
        meter.add(tone[first : first + BLOCK], RATE, start + (first + BLOCK) / RATE)
    return start + frames / RATE


def test_a_sine_reads_as_its_level_and_peak() -> None:
    meter = LevelMeter()
    end = _play(meter, 0.5, 100.0, 2.0)
    levels = meter.levels(end)
    assert levels.level_db == pytest.approx(-9.03, abs=0.1)
    assert levels.peak_db == pytest.approx(-6.02, abs=0.1)
    assert not levels.clipped
    assert levels.silent_seconds == pytest.approx(0.0, abs=0.02)


def test_a_peak_is_held_and_then_falls() -> None:
    meter = LevelMeter()
    end = _play(meter, 1.0, 0.0, 0.5)
    end = _play(meter, 0.001, end, 1.4)
    assert meter.levels(end).peak_db == pytest.approx(0.0, abs=0.1)
    end = _play(meter, 0.001, end, 1.1)
    assert meter.levels(end).peak_db == pytest.approx(-20.0, abs=0.5)


def test_clipping_lights_for_three_seconds() -> None:
    meter = LevelMeter()
    end = _play(meter, 1.0, 0.0, 0.1)
    assert meter.levels(end).clipped
    assert meter.levels(end + 2.9).clipped
    assert not meter.levels(end + 3.1).clipped


def test_silence_is_counted_from_the_last_sound_above_the_gate() -> None:
    meter = LevelMeter(gate_db=-60.0)
    end = _play(meter, 0.1, 0.0, 1.0)
    end = _play(meter, 10 ** (-70 / 20), end, 5.0)
    assert meter.levels(end).silent_seconds == pytest.approx(5.0, abs=0.02)
    end = _play(meter, 10 ** (-50 / 20), end, 0.1)
    assert meter.levels(end).silent_seconds == pytest.approx(0.0, abs=0.02)


def test_a_source_that_is_silent_from_the_start_is_silent_since_then() -> None:
    meter = LevelMeter()
    end = _play(meter, 0.0, 50.0, 4.0)
    levels = meter.levels(end)
    assert levels.silent_seconds == pytest.approx(4.0, abs=0.02)
    assert levels.level_db == levels.peak_db == FLOOR_DB


def test_levels_fall_when_nothing_comes_any_more() -> None:
    meter = LevelMeter()
    end = _play(meter, 0.5, 0.0, 1.0)
    levels = meter.levels(end + 5.0)
    assert levels.level_db < -60
    assert levels.peak_db < -60
    assert levels.silent_seconds == pytest.approx(5.0, abs=0.02)
