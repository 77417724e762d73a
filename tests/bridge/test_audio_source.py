"""What following tracked beats promises: the same octave, small steps, bars that stay."""

from __future__ import annotations

import itertools
import random

import pytest

from sidekeys_bridge.audio_source import EVERY_SECONDS, HEARD_SECONDS, LOST_SECONDS, AudioSource
from sidekeys_engine.notes import Meter

FOUR = Meter()


def beats_heard(
    now: float, period: float, *, first: float = 0.0, jitter: random.Random | None = None
) -> list[float]:
    """The beats of the last 20 s, up to a second ago."""
    numbers = range(int((now - 20 - first) / period) + 1, int((now - 1 - first) / period))
    shake = jitter.gauss if jitter else lambda _mean, _deviation: 0.0
    return [first + number * period + shake(0.0, 0.01) for number in numbers]


def marked(beats: list[float], period: float, first: float = 0.0, phase: int = 0) -> list[int]:
    return [n for n, at in enumerate(beats) if round((at - first) / period) % 4 == phase]


def estimated(source: AudioSource, now: float, period: float, **more: float) -> None:
    beats = beats_heard(now, period, first=more.get("first", 0.0))
    phase = int(more.get("phase", 0))
    source.estimate(beats, marked(beats, period, more.get("first", 0.0), phase), FOUR, now)


def position(source: AudioSource, now: float) -> float:
    playhead = source.poll(now).playhead
    assert playhead is not None
    return playhead.beats_at(now)


def test_it_asks_for_audio_now_and_then() -> None:
    source = AudioSource()
    assert source.wants_audio(100.0) == HEARD_SECONDS
    assert source.wants_audio(100.0 + EVERY_SECONDS - 0.1) is None
    assert source.wants_audio(100.0 + EVERY_SECONDS + 0.1) == HEARD_SECONDS
    assert source.wants_audio(50.0) == HEARD_SECONDS  # the clock was set back


def test_positions_begin_in_the_first_bar_with_bars_on_the_downbeats() -> None:
    source = AudioSource()
    assert source.poll(100.0).playhead is None
    estimated(source, 101.3, 0.5)  # beats at whole halves, downbeats at even seconds
    assert position(source, 101.3) == pytest.approx(2.6, abs=1e-6)
    assert source.poll(101.3).meter == FOUR
    assert source.alive(101.3)


def test_rough_estimates_are_followed_within_15_ms_and_without_jumps() -> None:
    source, rng = AudioSource(), random.Random(3)
    for step in range(6000):
        now = 100 + step * 0.01
        if step % 400 == 0:
            beats = beats_heard(now, 0.5, jitter=rng)
            source.estimate(beats, marked(beats, 0.5), FOUR, now)
        off = position(source, now) * 0.5 - now
        assert abs((off + 0.25) % 0.5 - 0.25) < 0.015
    assert source.poll(now).run == 1


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_another_octave_does_not_change_the_tempo(factor: float) -> None:
    source = AudioSource()
    estimated(source, 100.3, 0.5)
    before = position(source, 104.3)
    estimated(source, 104.3, 0.5 * factor)
    reading = source.poll(104.3)
    assert reading.bpm == pytest.approx(120.0)
    assert reading.run == 1
    assert position(source, 104.3) == pytest.approx(before)


def test_a_phase_40_ms_off_is_met_little_by_little() -> None:
    source = AudioSource()
    estimated(source, 100.3, 0.5)
    source.poll(104.3)
    estimated(source, 104.3, 0.5, first=0.04)
    positions = [position(source, 104.3 + step * 0.01) for step in range(400)]
    steps = [b - a for a, b in itertools.pairwise(positions)]
    assert max(steps) == pytest.approx(0.02, abs=0.001)
    assert min(steps) == pytest.approx(0.0196, abs=0.001)
    assert positions[-1] % 1 == pytest.approx(((104.3 + 3.99 - 0.04) / 0.5) % 1, abs=1e-3)
    assert source.poll(108.3).run == 1


def test_a_phase_100_ms_off_is_another_run_in_the_same_bar() -> None:
    source = AudioSource()
    estimated(source, 100.3, 0.5)
    before = position(source, 104.3)
    estimated(source, 104.3, 0.5, first=0.1)
    assert source.poll(104.3).run == 2
    assert position(source, 104.3) == pytest.approx(before - 0.2, abs=1e-3)


def test_one_odd_downbeat_moves_no_bar_and_two_in_a_row_do() -> None:
    source = AudioSource()
    estimated(source, 100.3, 0.5)
    estimated(source, 104.3, 0.5, phase=2)
    assert source.poll(104.3).run == 1
    estimated(source, 108.3, 0.5)
    estimated(source, 112.3, 0.5, phase=2)
    assert source.poll(112.3).run == 1
    estimated(source, 116.3, 0.5, phase=2)
    assert source.poll(116.3).run == 2
    assert position(source, 116.3) == pytest.approx((116.3 / 0.5 - 2) % 4, abs=1e-3)


def test_a_missed_beat_does_not_shift_the_others() -> None:
    source = AudioSource()
    beats = beats_heard(100.3, 0.5)
    del beats[-6]
    source.estimate(beats, marked(beats, 0.5), FOUR, 100.3)
    assert source.poll(100.3).bpm == pytest.approx(120.0)
    assert position(source, 100.6) % 1 == pytest.approx(0.2, abs=1e-6)


def test_without_estimates_the_beats_are_lost_after_a_while() -> None:
    source = AudioSource()
    estimated(source, 100.3, 0.5)
    source.poll(100.3)
    source.poll(100.3 + LOST_SECONDS - 0.1)
    reading = source.poll(100.3 + LOST_SECONDS + 0.1)
    assert reading.playhead is None
    assert reading.stopped_seconds == pytest.approx(100.3 + LOST_SECONDS + 0.1)
    assert not source.alive(100.3 + LOST_SECONDS + 0.1)


@pytest.mark.parametrize(
    "beats",
    [
        [],
        [1.0, 2.0],
        [float("nan")] * 20,
        [float(n % 2) for n in range(20)],
        [n * 0.1 for n in range(40)],  # 600 bpm
        [n * 3.0 for n in range(20)],  # 20 bpm
    ],
)
def test_what_are_no_beats_is_left_out(beats: list[float]) -> None:
    source = AudioSource()
    source.estimate(beats, [0, 99, -5], None, 100.0)
    assert source.poll(100.0).playhead is None
    assert not source.alive(100.0)
