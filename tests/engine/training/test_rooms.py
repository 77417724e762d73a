"""Rooms ring on, after the sound."""

from __future__ import annotations

import numpy as np
import pytest

from made_up_stems import SAMPLING_RATE, rng_of
from sidekeys_engine.training import rooms


def test_rooms_ring_after_the_sound():
    audio = np.zeros(SAMPLING_RATE, dtype=np.float32)
    audio[1000] = 1
    for seed in range(10):
        changed = rooms.large_room(audio, rng_of(seed))
        assert changed[1000] == pytest.approx(1, abs=0.05)
        assert not np.abs(changed[:999]).max() > 1e-5
        assert np.abs(changed[1000 + SAMPLING_RATE // 5 :]).max() > 1e-4
