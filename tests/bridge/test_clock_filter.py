"""What the clock's filter promises: a steady line, whatever happens to single ticks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest

from clock_sender import measured_jitter, no_jitter
from sidekeys_bridge.clock_filter import ClockFilter

PERIOD = 60 / 120 / 24


def follow(arrivals: Iterable[float]) -> ClockFilter:
    clock = ClockFilter()
    for seconds in arrivals:
        clock.tick(seconds)
    return clock


def arrivals(count: int, jitter: Callable[[], float], period: float = PERIOD) -> list[float]:
    latest, found = 0.0, []
    for number in range(count):
        latest = max(latest, 100 + number * period + jitter())
        found.append(latest)
    return found


def test_it_locks_on_eight_ticks_and_not_before() -> None:
    assert not follow(arrivals(7, no_jitter)).locked
    clock = follow(arrivals(8, no_jitter))
    assert clock.locked
    assert clock.index == 7
    assert clock.seconds == pytest.approx(100 + 7 * PERIOD)
    assert clock.period_seconds == pytest.approx(PERIOD)


def test_before_it_is_locked_there_is_no_period_to_ask_for() -> None:
    with pytest.raises(ValueError, match="not locked"):
        _ = follow(arrivals(3, no_jitter)).period_seconds


@pytest.mark.parametrize("bpm", [30, 90, 120, 300])
@pytest.mark.parametrize("seed", range(4))
def test_after_two_beats_jitter_moves_the_line_by_a_few_milliseconds(bpm: int, seed: int) -> None:
    period = 60 / bpm / 24
    clock = ClockFilter()
    for number, seconds in enumerate(arrivals(2000, measured_jitter(seed), period)):
        clock.tick(seconds)
        if number >= 48:
            late = clock.seconds - (100 + clock.index * period)
            assert -0.003 < late < 0.008, number  # ticks are 2.5 ms late on average, never early
    assert clock.period_seconds == pytest.approx(period, rel=0.01)


def test_one_late_tick_does_not_move_the_line_at_all() -> None:
    ticks = arrivals(100, no_jitter)
    ticks[-1] += 0.015
    assert follow(ticks).seconds == pytest.approx(100 + 99 * PERIOD, abs=1e-9)


def small_jitter(seed: int) -> Callable[[], float]:
    """Of a JACK server with short periods, at whose starts ticks arrive."""
    rng = random.Random(seed)
    return lambda: rng.uniform(0.0, 0.0029)


def without(ticks: list[float], lost: list[int]) -> list[float]:
    return [seconds for number, seconds in enumerate(ticks) if number not in lost]


@pytest.mark.parametrize("lost", [[200], [200, 201]])
def test_lost_ticks_of_a_steady_clock_are_counted(lost: list[int]) -> None:
    assert follow(without(arrivals(300, no_jitter), lost)).index == 299
    # Some jitter leaves a doubt now and then.
    counts = [follow(without(arrivals(300, small_jitter(seed)), lost)).index for seed in range(40)]
    assert counts.count(299) >= 30


@pytest.mark.parametrize("periods", [0, 1, 2])
def test_where_jack_drops_a_period_the_ticks_lost_with_it_are_counted(periods: int) -> None:
    grain = 128 / 44100
    counts = []
    for seed in range(40):
        clock = ClockFilter(grain)
        ticks = arrivals(500, small_jitter(seed))
        for number, seconds in enumerate(ticks):
            if number != 250:
                clock.tick(seconds + (periods * grain if number > 250 else 0.0))
        counts.append(clock.index)
    assert counts.count(499) >= 32  # jitter leaves a doubt now and then


def test_a_stall_of_several_periods_of_jack_loses_no_tick() -> None:
    grain = 128 / 44100
    for periods in range(1, 7):  # a seventh comes near a tick of this tempo
        clock = ClockFilter(grain)
        for number, seconds in enumerate(arrivals(500, small_jitter(periods))):
            clock.tick(seconds + (periods * grain if number > 250 else 0.0))
        assert clock.index == 499


@pytest.mark.parametrize(
    ("jitter", "stall_ms"),
    [(no_jitter, 9.0), (no_jitter, 1000 * PERIOD + 1.0), (no_jitter, 1000 * PERIOD - 0.8)]
    + [(small_jitter(seed), 1000 * PERIOD + 3.0) for seed in range(5)]
    + [(measured_jitter(5), ms) for ms in (9.0, 1000 * PERIOD, 23.2, 3000 * PERIOD)],
)
def test_a_sender_that_stalls_is_late_from_then_on_and_no_tick_is_taken_for_lost(
    jitter: Callable[[], float], stall_ms: float
) -> None:
    ticks = arrivals(200, jitter)
    stalled = [*ticks[:100], *(seconds + stall_ms / 1000 for seconds in ticks[100:])]
    before, after = follow(ticks[:124]), follow(stalled[:124])
    assert after.index == 123
    assert after.seconds - before.seconds == pytest.approx(stall_ms / 1000, abs=0.003)
    assert follow(stalled).index == 199


@pytest.mark.parametrize("after_bpm", [60, 90, 110, 126, 140, 240])
@pytest.mark.parametrize("seed", range(3))
def test_a_sudden_change_of_tempo_is_followed_within_two_beats(after_bpm: int, seed: int) -> None:
    before = arrivals(240, measured_jitter(seed))
    period = 60 / after_bpm / 24
    jitter = measured_jitter(seed + 10)
    after = [100 + 240 * PERIOD + number * period + jitter() for number in range(240)]
    clock = follow(before)
    for number, seconds in enumerate(sorted(after)):
        clock.tick(seconds)
        if number >= 48:
            true_seconds = 100 + 240 * PERIOD + (clock.index - 240) * period
            assert abs(clock.seconds - true_seconds) < 0.01, number
    assert clock.index == 479


def test_a_phase_that_starts_anew_keeps_the_tempo() -> None:
    clock = follow(arrivals(100, no_jitter))
    assert not clock.expects(110.0)
    clock.restart_phase(110.0)
    clock.tick(110.0)
    assert clock.index == 100
    assert clock.seconds == pytest.approx(110.0)
    assert clock.period_seconds == pytest.approx(PERIOD)
    assert clock.expects(110.0 + PERIOD)


def test_a_burst_after_a_pause_does_not_become_a_tempo() -> None:
    clock = follow(arrivals(100, no_jitter))
    for _ in range(40):
        clock.tick(110.0)
    assert clock.period_seconds == pytest.approx(PERIOD)
