"""What a Stretch promises: the past stays, the future follows, and it is a BeatGrid all along."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidekeys_bridge.playhead import Playhead
from sidekeys_bridge.stretch import KEPT_ANCHORS, Stretch
from sidekeys_engine.notes import Meter, MeterChange

METERS = (MeterChange(0.0, Meter()),)


def stretch_from(playhead: Playhead, start_beats: float = 0.0) -> Stretch:
    return Stretch(1, start_beats, playhead, METERS)


def test_a_steady_line_is_its_grid() -> None:
    playhead = Playhead(100.0, 8.0, 120.0)
    stretch = stretch_from(playhead, 8.0)
    assert stretch.start_seconds == 100.0
    assert stretch.follow(playhead, 103.2)
    assert stretch.beats_at(103.2) == pytest.approx(14.4)
    assert stretch.seconds_at(1000.0) == pytest.approx(100 + 992 / 2)
    assert stretch.grid().tempo_bpm_at(500.0) == pytest.approx(120.0)


@given(
    st.floats(-1000, 1000),
    st.lists(st.tuples(st.floats(30, 300), st.floats(-0.03, 0.03)), min_size=1, max_size=80),
    st.floats(0.01, 2.0),
)
def test_whatever_the_line_does_beats_that_passed_stay_where_they_were(
    start_beats: float, changes: list[tuple[float, float]], pause: float
) -> None:
    now = 50.0
    playhead = Playhead(now, start_beats, changes[0][0])
    stretch = stretch_from(playhead, start_beats)
    settled: dict[float, float] = {}
    for bpm, jitter in changes:
        now += pause
        playhead = playhead.at(now, bpm=bpm).moved(seconds=jitter)
        if not stretch.follow(playhead, now):
            break  # told, and not changed
        grid = stretch.grid()
        here = stretch.beats_at(now)
        first = math.floor(start_beats + 1e-6) + 1
        for beat in range(first, math.floor(here - 1e-9) + 1):
            seconds = settled.setdefault(beat, grid.seconds_at(float(beat)))
            assert grid.seconds_at(float(beat)) == seconds
        # Where the present beat has begun, the line is met at the next one at the latest.
        after = math.floor(here) + 2.0
        assert grid.seconds_at(after) == pytest.approx(playhead.seconds_at(after), abs=2e-4)


def test_where_it_began_is_found_out_until_its_first_beat_has_passed() -> None:
    playhead = Playhead(100.0, 0.0, 120.0)
    stretch = stretch_from(playhead)
    better = playhead.moved(seconds=-0.01)
    assert stretch.follow(better, 100.2)
    assert stretch.start_seconds == pytest.approx(99.99)
    assert stretch.follow(better, 100.6)
    assert stretch.follow(playhead, 100.7)
    assert stretch.start_seconds == pytest.approx(99.99)


def test_a_jump_is_no_bend() -> None:
    playhead = Playhead(100.0, 0.0, 120.0)
    stretch = stretch_from(playhead)
    assert stretch.follow(playhead, 105.1)
    before = stretch.grid()
    assert not stretch.follow(playhead.moved(beats=1.0), 105.2)
    assert not stretch.follow(playhead.moved(beats=-1.5), 105.2)
    assert stretch.grid() is before


def test_the_grid_is_made_anew_only_when_something_changed() -> None:
    playhead = Playhead(100.0, 0.0, 120.0)
    stretch = stretch_from(playhead)
    grid = stretch.grid()
    assert stretch.follow(playhead.at(100.3), 100.3)
    assert stretch.grid() is grid
    assert stretch.follow(playhead.at(100.6), 100.6)  # a beat has passed
    assert stretch.grid() is not grid


def test_an_hour_of_beats_stays_a_small_grid() -> None:
    playhead = Playhead(0.0, 0.0, 120.0)
    stretch = stretch_from(playhead)
    assert stretch.follow(playhead, 3600.0)
    assert stretch.grid().beats.size == KEPT_ANCHORS + 2
    assert stretch.beats_at(3600.0) == pytest.approx(7200.0)


def test_an_end_keeps_its_moment_and_snaps_to_the_loop_it_wrapped_in() -> None:
    playhead = Playhead(100.0, 0.0, 120.0)
    stretch = Stretch(1, 0.0, playhead, METERS, (0.0, 4.0))
    assert stretch.follow(playhead, 101.9)
    stretch.end(102.01)
    stretch.end(105.0)
    assert stretch.end_seconds == 102.01
    assert stretch.end_beats == 4.0


def test_meters_can_change_in_the_future() -> None:
    stretch = stretch_from(Playhead(100.0, 0.0, 120.0))
    stretch.set_meters((*METERS, MeterChange(8.0, Meter(3, 4))))
    assert stretch.grid().bar_lines(0, 15) == pytest.approx([0, 4, 8, 11, 14])
