"""The piano is as loud as the song is, its top voice leads, and no stretch knows the future."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from made_up_parts import CUTS, PARTS, STEP, part, stretches
from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.dynamics import LOUDEST, SOFTEST, HeardSteps, with_velocities
from sidekeys_engine.loudness import SILENCE_DECIBELS
from sidekeys_engine.notes import Note

GRID = BeatGrid.from_tempo(120)


def heard(*levels: float) -> HeardSteps:
    """So many bars of four beats, each at its level in dB."""
    return HeardSteps(0.0, STEP, np.repeat(np.array(levels, dtype=np.float64), 16))


def velocities(notes: list[Note], steps: HeardSteps) -> list[int]:
    return [note.velocity for note in with_velocities(notes, steps, GRID)[0]]


def test_a_louder_chorus_is_played_louder_and_a_quiet_bridge_softer() -> None:
    notes = part(*((4 * bar, 4 * bar + 1, 60) for bar in range(12)))
    verse, chorus, bridge = (
        np.mean(group)
        for group in np.split(
            np.array(velocities(notes, heard(*[-20] * 4, *[-14] * 4, *[-28] * 4))), 3
        )
    )
    assert bridge + 6 < verse < chorus - 4


def test_how_loud_the_whole_song_is_does_not_matter() -> None:
    notes = part(*((beat, beat + 1, 60) for beat in range(16)))
    assert velocities(notes, heard(-30, -24, -30, -24)) == velocities(
        notes, heard(-12, -6, -12, -6)
    )


def test_downbeats_are_louder() -> None:
    notes = part(*((step / 2, step / 2 + 0.5, 60) for step in range(8)))
    bar, _, beat, off, half, *_ = velocities(notes, heard(-20))
    assert bar > half > beat > off


def test_the_top_voice_leads_and_inner_voices_are_softest() -> None:
    bass, inner, top = velocities(part((0, 4, 40), (0, 4, 60), (0, 4, 76)), heard(-20))
    assert top > bass > inner
    alone, under = velocities(part((0, 4, 76), (1, 2, 60)), heard(-20))
    assert under < alone - 5


def test_velocities_stay_within_bounds_whatever_is_heard() -> None:
    notes = part(*((beat, beat + 1, 60) for beat in range(16)))
    wild = velocities(notes, heard(-69, 0, -69, 0))
    assert SOFTEST <= min(wild) < max(wild) <= LOUDEST


def test_silence_before_and_within_a_song_is_no_level() -> None:
    notes = part(*((beat, beat + 1, 60) for beat in range(12)))
    silent = SILENCE_DECIBELS
    assert (
        velocities(notes, heard(silent, -20, silent))[4:8]
        == velocities(notes, heard(silent, -20, -20))[4:8]
    )
    assert (
        velocities(notes, heard(-20, silent, -20))[8:]
        == velocities(notes, heard(-20, -20, -20))[8:]
    )


def test_notes_struck_before_the_stretch_keep_their_velocity() -> None:
    notes = [Note(-1.0, 76, 4.0, 55), Note(1.0, 60, 1.0, 55)]
    before, within = velocities(notes, heard(-20))
    assert before == 55
    assert within != 55


def test_onsets_that_are_rounded_down_belong_to_their_step() -> None:
    steps = HeardSteps(0.0, STEP, np.array([-40.0, -40.0, -20.0, -20.0]))
    exact, rounded = (velocities([Note(onset, 60, 1.0)], steps) for onset in (0.5, 0.5 - 1e-9))
    assert exact == rounded


@given(PARTS, CUTS, st.integers(0, 2**32 - 1))
def test_stretches_are_played_as_the_whole(notes: list[Note], ends: list[float], seed: int) -> None:
    levels = np.random.default_rng(seed).uniform(SILENCE_DECIBELS - 5, 0, round(ends[-1] / STEP))
    levels = np.maximum(levels, SILENCE_DECIBELS)
    whole = velocities(notes, HeardSteps(0.0, STEP, levels))
    ear = None
    told: dict[tuple[float, int], int] = {}
    for start, end, stretch in stretches(notes, ends):
        steps = HeardSteps(start, STEP, levels[round(start / STEP) : round(end / STEP)])
        played, ear = with_velocities(stretch, steps, GRID, ear)
        for note in played:
            told.setdefault((note.onset_beats, note.pitch), note.velocity)
    assert [told[note.onset_beats, note.pitch] for note in notes] == whole
