"""What beats by hand promise: a tempo that is given or tapped, from where one says."""

from __future__ import annotations

import pytest

from sidekeys_bridge.manual_source import ManualSource
from sidekeys_engine.errors import InputError


def position(source: ManualSource, now: float) -> float:
    playhead = source.poll(now).playhead
    assert playhead is not None
    return playhead.beats_at(now)


def test_it_plays_from_where_one_says_and_stands_where_it_stopped() -> None:
    source = ManualSource(120.0)
    assert source.poll(99.0).playhead is None
    source.play(100.0)
    assert position(source, 103.0) == pytest.approx(6.0)
    source.stop(104.0)
    reading = source.poll(105.0)
    assert (reading.playhead, reading.position_beats, reading.stopped_seconds) == (None, 8.0, 104.0)
    source.play(110.0)
    assert position(source, 111.0) == pytest.approx(10.0)
    source.play(112.0, 0.0)
    assert position(source, 112.0) == 0.0
    assert source.poll(112.0).run == 3


def test_a_second_play_changes_nothing() -> None:
    source = ManualSource(120.0)
    source.play(100.0)
    source.play(101.0)
    assert source.poll(102.0).run == 1


def test_another_tempo_keeps_the_position() -> None:
    source = ManualSource(120.0)
    source.play(100.0)
    source.set_bpm(60.0, 102.0)
    assert position(source, 103.0) == pytest.approx(5.0)
    assert source.poll(103.0).run == 1


@pytest.mark.parametrize("bpm", [29.0, 301.0, 0.0, -1.0, float("nan"), float("inf")])
def test_a_tempo_that_nobody_can_play_to_is_refused_and_the_old_one_stays(bpm: float) -> None:
    source = ManualSource(100.0)
    with pytest.raises(InputError, match="tempo"):
        source.set_bpm(bpm, 0.0)
    assert source.bpm == 100.0


def test_without_a_tempo_it_says_what_to_do() -> None:
    source = ManualSource()
    assert not source.alive(0.0)
    with pytest.raises(InputError, match="set one"):
        source.play(0.0)


def test_four_taps_make_a_tempo_that_one_bad_tap_does_not_change() -> None:
    source = ManualSource()
    taps = [100.0, 100.5, 101.0, 101.62, 102.0, 102.5]
    told = [source.tap(seconds) for seconds in taps]
    assert told[:3] == [None, None, None]
    assert told[-1] == pytest.approx(120.0)
    assert source.bpm == pytest.approx(120.0)


def test_after_a_pause_taps_count_anew() -> None:
    source = ManualSource(100.0)
    for seconds in (100.0, 100.5, 101.0, 103.2):
        assert source.tap(seconds) is None
    assert source.bpm == 100.0
    for seconds in (103.8, 104.4, 105.0):
        source.tap(seconds)
    assert source.bpm == pytest.approx(100.0)


def test_taps_before_the_last_one_do_no_harm() -> None:
    source = ManualSource(100.0)
    for seconds in (100.0, 99.0, 98.0, 98.0, 98.0, 98.0):
        source.tap(seconds)
    assert source.bpm == 100.0


@pytest.mark.parametrize("interval", [0.15, 2.05])
def test_a_tapped_tempo_beyond_what_can_be_played_is_told(interval: float) -> None:
    source = ManualSource(100.0)
    for number in range(6):
        source.tap(100 + number * interval)
    assert source.bpm == 100.0
    problem = source.poll(110.0).problem
    assert problem is not None
    assert problem.startswith("What you tap runs at")


def test_while_it_plays_beats_move_onto_the_taps() -> None:
    source = ManualSource(120.0)
    source.play(100.0)
    for number in range(8):
        source.tap(102.03 + number * 0.5)
    assert position(source, 105.53) == pytest.approx(round(position(source, 105.53)), abs=1e-6)
    assert source.poll(106.0).run == 1  # 0.06 beats are bent
    for number in range(8):
        source.tap(110.25 + number * 0.5)
    assert source.poll(114.0).run > 1  # half a beat is a jump


def test_here_is_a_beat() -> None:
    source = ManualSource(120.0)
    source.play(100.0)
    source.meet_beat(104.02)
    assert position(source, 104.02) == pytest.approx(8.0)
