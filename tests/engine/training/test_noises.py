"""Noises lie under the music and go round without a seam."""

from __future__ import annotations

import numpy as np

from made_up_stems import plucks, rng_of
from sidekeys_engine.training import noises
from sidekeys_engine.training.effect_parts import loudness


def test_noise_lies_below_the_music_and_has_no_seam():
    audio = plucks()
    for seed in range(20):
        noise = noises.noisy(audio, rng_of(seed)) - audio
        below = 20 * np.log10(loudness(audio) / np.sqrt(np.mean(np.square(noise))))
        assert 9 < below < 63
    for make in (noises._hiss, noises._hum, noises._audience):
        loop = make(rng_of(0))
        assert abs(loop[0] - loop[-1]) < 6 * np.abs(np.diff(loop)).mean()
