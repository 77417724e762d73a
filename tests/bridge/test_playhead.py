"""What a playhead promises: positions and moments that are inverse, and words for bad tempos."""

from __future__ import annotations

import math

import pytest

from sidekeys_bridge.playhead import Playhead, tempo_problem, usable_loop


def test_positions_and_moments_are_inverse() -> None:
    playhead = Playhead(100.0, 16.0, 90.0)
    assert playhead.beats_at(102.0) == pytest.approx(19.0)
    assert playhead.seconds_at(playhead.beats_at(123.4)) == pytest.approx(123.4)
    assert playhead.at(102.0, bpm=60.0).beats_at(103.0) == pytest.approx(20.0)
    assert playhead.moved(seconds=1.0, beats=2.0).beats_at(101.0) == pytest.approx(18.0)


@pytest.mark.parametrize("bpm", [30.0, 300.0, 120.5])
def test_good_tempos_have_no_problem(bpm: float) -> None:
    assert tempo_problem(bpm, "It") is None


@pytest.mark.parametrize("bpm", [29.0, 301.0, 0.0, math.nan, math.inf])
def test_other_tempos_have_one_in_words(bpm: float) -> None:
    words = tempo_problem(bpm, "The clock")
    assert words is not None
    assert words.startswith("The clock runs at")
    assert "30 to 300" in words


def test_only_a_loop_with_some_length_is_usable() -> None:
    assert usable_loop((0.0, 4.0)) == (0.0, 4.0)
    assert usable_loop(None) is None
    for loop in [(4.0, 4.0), (4.0, 0.0), (0.0, 0.1), (0.0, math.inf), (math.nan, 4.0)]:
        assert usable_loop(loop) is None
