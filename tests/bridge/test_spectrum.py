"""The bus, semitone by semitone: a tone is found at its key, when it was played."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sidekeys_bridge.spectrum import BATCH, HIGHEST, HOP_SECONDS, LOWEST, Spectrum

RATE = 22_050
ZERO = 1000.0  # monotonic, of the first sample


def tone(pitch: int, seconds: float) -> NDArray[np.float32]:
    hertz = 440.0 * 2 ** ((pitch - 69) / 12)
    return np.float32(0.25) * np.sin(
        2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE, dtype=np.float32
    )


def filled(*parts: NDArray[np.float32], block: int = 4410) -> Spectrum:
    spectrum = Spectrum(RATE, 10.0)
    sound = np.concatenate(parts)
    for first in range(0, len(sound), block):
        spectrum.add(sound[first : first + block], ZERO + first / RATE)
    return spectrum


@pytest.mark.parametrize("pitch", [55, 60, 69, 81, 98])
def test_a_tone_is_loudest_at_its_own_key(pitch: int) -> None:
    # Struck strings have overtones, which is what tells a key from the one an octave above.
    sound = tone(pitch, 1.0) + np.float32(0.5) * tone(pitch + 12, 1.0)
    spectrum = filled(sound)
    middle = spectrum.powers[spectrum.columns // 2]
    assert LOWEST + int(middle.argmax()) == pitch
    assert len(middle) == HIGHEST - LOWEST + 1


def test_a_tone_is_found_when_it_was_played() -> None:
    silence = np.zeros(2 * RATE, dtype=np.float32)
    spectrum = filled(silence, tone(69, 1.0), silence)
    loud = np.flatnonzero(spectrum.powers[: spectrum.columns, 69 - LOWEST] > -10)
    assert spectrum.seconds_of(float(loud[0])) == pytest.approx(ZERO + 2.0, abs=0.06)
    assert spectrum.seconds_of(float(loud[-1])) == pytest.approx(ZERO + 3.0, abs=0.06)
    for seconds in (ZERO + 0.7, ZERO + 2.5):
        nearest = spectrum.seconds_of(spectrum.column_at(seconds))
        assert nearest == pytest.approx(seconds, abs=HOP_SECONDS)


@pytest.mark.parametrize("block", [64, 10_000])
def test_columns_do_not_depend_on_the_blocks(block: int) -> None:
    sound = tone(60, 1.5)
    one, other = filled(sound), filled(sound, block=block)
    assert one.columns == other.columns > BATCH
    assert (one.powers == other.powers).all()


def test_silence_and_a_restart_leave_nothing() -> None:
    spectrum = filled(np.zeros(RATE, dtype=np.float32))
    assert spectrum.powers[: spectrum.columns].max() < -20
    spectrum.restart()
    assert spectrum.columns == 0
    assert spectrum.add(tone(69, 0.05), ZERO) == 0  # too little for columns
