"""What the clock's filter promises: a steady line, whatever happens to single ticks."""

from __future__ import annotations

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


@pytest.mark.parametrize("jitter", [no_jitter, measured_jitter(5)])
def test_a_lost_tick_is_counted_all_the_same(jitter: Callable[[], float]) -> None:
    ticks = arrivals(200, jitter)
    del ticks[100]
    assert follow(ticks).index == 199


@pytest.mark.parametrize("jitter", [no_jitter, measured_jitter(5)])
def test_a_doubled_tick_counts_once(jitter: Callable[[], float]) -> None:
    ticks = arrivals(200, jitter)
    ticks.insert(100, ticks[100])
    assert follow(ticks).index == 199


def test_two_ticks_lost_close_to_each_other_are_both_counted() -> None:
    ticks = arrivals(200, no_jitter)
    del ticks[104], ticks[100]
    assert follow(ticks).index == 199


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
