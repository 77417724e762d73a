"""Singers are of all kinds, and none is impossible."""

from __future__ import annotations

import numpy as np
import pytest

from sidekeys_engine.training.singer import Singer


def test_singers_that_are_drawn_differ_in_size_and_manner() -> None:
    drawn = [Singer.drawn(np.random.default_rng(seed)) for seed in range(200)]
    assert len(set(drawn)) == 200
    assert min(singer.formant_scale for singer in drawn) < 0.9
    assert max(singer.formant_scale for singer in drawn) > 1.2
    assert any(singer.breathiness > 0.2 for singer in drawn)  # airy
    assert any(singer.tilt_decibels > -6 for singer in drawn)  # belting
    assert any(singer.intonation_cents == 1 for singer in drawn)  # pitch-corrected
    assert any(singer.articulation == 0.98 for singer in drawn)  # nearly rapping


def test_a_double_is_the_same_singer_a_little_off() -> None:
    singer = Singer()
    double = singer.doubling(np.random.default_rng(0))
    assert double.formant_scale == singer.formant_scale
    assert 0 < abs(double.detune_cents) < 30
    assert double.inhales == 0
    assert double.sibilance < singer.sibilance


@pytest.mark.parametrize(
    "wrong", [{"formant_scale": 2.0}, {"breathiness": -0.1}, {"glide_seconds": 0.0}]
)
def test_impossible_singers_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Singer(**wrong)
