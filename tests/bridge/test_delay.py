"""The delay that is chosen, and the one that is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidekeys_bridge.delay import check_delay, choose_delay, least_delay
from sidekeys_engine.errors import InputError


def test_a_delay_that_cannot_be_is_told_with_the_one_that_is_taken():
    delay = choose_delay(wanted=1, window_beats=4.0, bpm=120.0, generation_seconds=0.2)
    usual = choose_delay(wanted=None, window_beats=4.0, bpm=120.0, generation_seconds=0.2)
    assert (delay.beats, delay.cut) == (usual.beats, usual.cut)
    assert not delay.fits
    assert delay.reason == (
        "a delay of 1 beat cannot be: the piano hears 4 beats before it plays; "
        "a window takes 0.20 s, a beat 0.50 s: 4 beats are the least that holds"
    )


@given(
    st.one_of(st.none(), st.integers(-3, 40)),
    st.sampled_from([2.0, 4.0, 8.0]),
    st.floats(30.0, 300.0),
    st.floats(0.01, 30.0),
)
def test_every_delay_leaves_time_to_hear_what_it_plays(
    wanted: int | None, window_beats: float, bpm: float, generation_seconds: float
):
    delay = choose_delay(
        wanted=wanted,
        window_beats=window_beats,
        bpm=bpm,
        generation_seconds=generation_seconds,
    )
    assert delay.beats > window_beats - delay.cut.skipped_beats
    if delay.fits and delay.cut.span_beats is not None:
        assert generation_seconds < delay.cut.span_beats * 60 / bpm
    if wanted is not None and wanted >= least_delay(window_beats):
        assert delay.beats == wanted


@pytest.mark.parametrize("window_beats", [4.0, 8.0])
def test_the_least_delay_is_not_refused_and_the_one_below_is(window_beats: float):
    least = least_delay(window_beats)
    check_delay(least, window_beats)
    with pytest.raises(InputError, match=f"take {least} or more"):
        check_delay(least - 1, window_beats)
