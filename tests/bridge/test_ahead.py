"""What looking ahead promises: every position with its moment, through the wraps of a loop."""

from __future__ import annotations

import pytest

from sidekeys_bridge.ahead import LearnedLoop, segments_ahead
from sidekeys_bridge.playhead import Playhead
from sidekeys_bridge.stretch import Stretch
from sidekeys_engine.notes import Meter, MeterChange

STRETCH = Stretch(7, 0.0, Playhead(100.0, 0.0, 120.0), (MeterChange(0.0, Meter()),))


def test_without_a_loop_the_song_goes_on() -> None:
    (segment,) = segments_ahead(STRETCH, None, 101.0, 103.0)
    assert (segment.stretch, segment.start_beats, segment.end_beats) == (7, 2.0, 6.0)
    assert segment.seconds_at(4.0) == pytest.approx(102.0)
    assert segment.beats_at(102.5) == pytest.approx(5.0)


def test_a_loop_wraps_again_and_again_without_a_gap() -> None:
    segments = segments_ahead(STRETCH, (4.0, 8.0), 103.0, 109.0)
    assert [each.stretch for each in segments] == [7, 8, 9, 10]
    assert [each.start_beats for each in segments] == [6.0, 4.0, 4.0, 4.0]
    assert [each.start_seconds for each in segments] == pytest.approx([103, 104, 106, 108])
    assert [each.end_seconds for each in segments] == pytest.approx([104, 106, 108, 109])


def test_behind_its_loop_the_song_does_not_wrap() -> None:
    assert len(segments_ahead(STRETCH, (0.0, 4.0), 103.0, 109.0)) == 1


def test_nothing_lies_ahead_of_now() -> None:
    assert segments_ahead(STRETCH, (4.0, 8.0), 103.0, 103.0) == []
    assert segments_ahead(STRETCH, None, 103.0, 102.0) == []


def test_a_far_end_makes_a_bounded_list() -> None:
    assert len(segments_ahead(STRETCH, (0.0, 0.25), 100.0, 1e6)) == 256


def test_a_loop_is_learned_from_two_jumps_alike() -> None:
    learned = LearnedLoop()
    learned.jumped(8.01, 4.0)
    assert learned.loop is None
    learned.jumped(7.99, 4.0)
    assert learned.loop == (4.0, 8.0)
    learned.passed(8.05)
    assert learned.loop == (4.0, 8.0)
    learned.passed(8.2)
    assert learned.loop is None


def test_jumps_ahead_and_different_jumps_are_no_loop() -> None:
    learned = LearnedLoop()
    for from_beats, to_beats in [(4.0, 8.0), (4.0, 8.0), (8.0, 4.0), (8.0, 0.0), (12.0, 0.0)]:
        learned.jumped(from_beats, to_beats)
        assert learned.loop is None
