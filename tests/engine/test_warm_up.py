"""Warm-up: it goes on until the time settles, ends when it does not, and plays real notes."""

from __future__ import annotations

import numpy as np

from sidekeys_engine.warm_up import warm_up, warm_up_moments, warm_up_sound


def rehearse(*one_takes: float) -> list[int]:
    played: list[int] = []
    took = iter(one_takes)

    def play(windows: int) -> float:
        played.append(windows)
        return next(took, one_takes[-1])

    warm_up(play)
    return played


def test_it_ends_when_the_time_has_settled():
    assert rehearse(3.0, 0.5, 0.21, 0.2, 0.2, 0.2) == [1, 1, 1, 1, 2, 4]
    assert rehearse(0.2, 0.4, 0.1, 0.9, 0.2, 0.2) == [1, 1, 1, 1, 1, 2, 4]


def test_a_machine_that_never_settles_is_not_kept_waiting():
    assert rehearse(*[1.5**n / 1000 for n in range(40)]).count(1) == 12
    assert len(rehearse(20.0)) == 1


def test_the_windows_follow_one_another():
    moments = warm_up_moments(context_steps=4, steps=16, window_beats=4.0, windows=3)
    assert moments.shape == (3, 21)
    assert np.allclose(np.diff(moments), 0.125)
    assert np.allclose(moments[1:, 4], moments[:-1, -1])


def test_the_sound_is_loud_and_in_range():
    sound = warm_up_sound(22050, 3.0)
    assert (sound.shape, sound.dtype) == ((66150,), np.float32)
    assert 0.2 < np.abs(sound).max() <= 0.3001
