"""Promises of the map between frames and seconds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekeys_bridge.frame_clock import FrameClock

RATE = 48_000
START = 1234.5


def _ran(
    seconds: float,
    *,
    seed: int = 0,
    block: int = 256,
    off: float = 0.0,
    jitter: float = 1e-3,
    hiccups: float = 0.0,
) -> tuple[FrameClock, float]:
    """A clock after so many seconds of blocks that come late, and its worst error after 2 s."""
    rng = np.random.default_rng(seed)
    clock = FrameClock(RATE)
    worst = 0.0
    for frame in range(0, round(seconds * RATE), block):
        true = START + frame / (RATE * (1 + off))
        late = rng.exponential(jitter) + (0.05 if rng.random() < hiccups else 0.0)
        clock.add(frame, true + late)
        if frame > 2 * RATE:
            worst = max(worst, abs(clock.seconds_at(frame + block) - true - block / RATE))
    return clock, worst


@pytest.mark.parametrize("off", [-200e-6, 0.0, 200e-6])
@pytest.mark.parametrize("hiccups", [0.0, 0.05])
def test_it_is_within_a_millisecond_after_two_seconds(off: float, hiccups: float) -> None:
    for seed in range(3):
        assert _ran(12.0, seed=seed, off=off, hiccups=hiccups)[1] < 1e-3


def test_it_learns_how_far_the_device_is_off() -> None:
    clock, _ = _ran(30.0, off=200e-6)
    assert clock.rate == pytest.approx(RATE * (1 + 200e-6), rel=10e-6)


def test_exact_times_stay_exact() -> None:
    clock, worst = _ran(30.0, jitter=0.0)
    assert worst < 1e-9
    assert clock.seconds_at(0) == pytest.approx(START, abs=1e-9)


def test_bursts_of_packets_do_not_make_it_jump() -> None:
    """As from a DAW whose buffer of 2048 frames goes out as packets of 150, all at once."""
    clock = FrameClock(RATE)
    for first in range(0, 20 * RATE, 150):
        buffer_end = (first // 2048 + 1) * 2048
        clock.add(first, START + (buffer_end - 150) / RATE)
        if first > 2 * RATE:
            assert clock.seconds_at(first) - first / RATE == pytest.approx(START, abs=4e-3)


def test_a_short_loss_moves_it_within_half_a_second() -> None:
    clock = FrameClock(RATE)
    for frame in range(0, 20 * RATE, 256):
        lost = 0.01 if frame >= 10 * RATE else 0.0
        clock.add(frame, START + lost + frame / RATE)
        if frame >= 10.5 * RATE:
            assert clock.seconds_at(frame) == pytest.approx(START + 0.01 + frame / RATE, abs=1e-4)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 1000),
    block=st.sampled_from([64, 256, 1024, 4096]),
    off=st.floats(-500e-6, 500e-6),
    jitter=st.floats(0, 0.02),
    hiccups=st.floats(0, 0.2),
)
def test_later_frames_are_later_and_both_ways_agree(
    seed: int, block: int, off: float, jitter: float, hiccups: float
) -> None:
    clock, _ = _ran(3.0, seed=seed, block=block, off=off, jitter=jitter, hiccups=hiccups)
    frames = np.linspace(-RATE, 5 * RATE, 50)
    seconds = [clock.seconds_at(frame) for frame in frames]
    assert (np.diff(seconds) > 0).all()
    assert [clock.frame_at(s) for s in seconds] == pytest.approx(frames.tolist(), abs=1e-3)
