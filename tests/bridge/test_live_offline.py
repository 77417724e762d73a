"""Streamed windows equal the offline cover: notes, ends, pedal and velocities, with the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from live_rig import RATE, Bus, Engine, Rig
from sidekeys_engine.audio import load_audio
from sidekeys_engine.beat_grid import WHOLE_WINDOWS, BeatGrid, Cut
from sidekeys_engine.cover import make_cover
from sidekeys_engine.expression import Expression, expressed
from sidekeys_engine.note_tokens import StepNote
from sidekeys_engine.notes import Score
from sidekeys_engine.pianist import Pianist

EXAMPLES = Path(__file__).parents[2] / "examples"
START_SECONDS = 101.0  # when the song begins to sound
BPM = 120.0
LAST_BEATS = 40.0  # the windows behind it were not complete


@pytest.fixture(scope="module")
def pianist() -> Pianist:
    return Pianist.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def song() -> NDArray[np.float32]:
    whole = load_audio(EXAMPLES / "paper_lanterns.ogg", sampling_rate=RATE).samples
    return np.asarray(whole[5 * RATE : 26 * RATE], dtype=np.float32)


@dataclass
class Heard:
    """What a piano played at a tempo of 120, at the song positions that it belongs to.

    Attributes:
        notes: onset and end in beats, pitch, velocity, as they were told.
        struck: the same as the piano was told, in seconds.
        pedals: when it goes down and up, in beats.
    """

    notes: list[tuple[float, float, int, int]]
    struck: list[tuple[float, float, int, int]]
    pedals: list[tuple[float, bool]]


def heard_live(
    song: NDArray[np.float32],
    pianist: Pianist,
    composer: str,
    delay: int,
    *,
    has_velocity: bool = True,
) -> Heard:
    start = round(START_SECONDS * RATE)

    def sound_at(first_frame: int, count: int) -> NDArray[np.float32]:
        padded = np.zeros(count, dtype=np.float32)
        begin, end = max(first_frame, start), min(first_frame + count, start + len(song))
        if begin < end:
            padded[begin - first_frame : end - first_frame] = song[begin - start : end - start]
        return padded

    def generate(content: Mapping[str, Any], samples: NDArray[np.float32]) -> Sequence[StepNote]:
        moments = np.array([content["step_seconds"]])
        notes = pianist.play(samples, moments, content["composer"])[0] or []
        return notes if has_velocity else [replace(note, velocity=None) for note in notes]

    rig = Rig(Engine(generate), Bus(sound_at), composer=composer, bpm=BPM)
    rig.live.choose_delay(delay)
    rig.start_engine(has_velocity=has_velocity)
    rig.run(1.0)
    rig.song.play(START_SECONDS)
    rig.run(len(song) / RATE + delay * 0.5)
    assert rig.live.hearing.windows_missed == 0
    assert not rig.piano.panics
    late_seconds = START_SECONDS + delay * 60 / BPM
    return Heard(
        sorted(
            (n.onset_beats - delay, n.end_beats - delay, n.pitch, n.velocity)
            for n in (told.note for told in rig.sounding.values())
        ),
        sorted(
            (n.due_seconds - late_seconds, n.off_seconds - late_seconds, n.pitch, n.velocity)
            for n in rig.piano.struck
        ),
        [((due - late_seconds) * BPM / 60, down) for due, down, _ in rig.piano.pedals],
    )


def check_notes(live: list[tuple[float, float, int, int]], score: Score, unit: float) -> None:
    """Compare what ends before the last beats; positions are so many of their units a beat."""
    last = LAST_BEATS * unit
    offline = sorted(
        (note.onset_beats * unit, note.end_beats * unit, note.pitch, note.velocity)
        for note in score.notes
        if note.end_beats < LAST_BEATS
    )
    live = [note for note in live if note[1] < last - 1e-6]
    assert len(offline) > 60
    assert [note[2:] for note in live] == [note[2:] for note in offline]
    assert np.allclose([n[:2] for n in live], [n[:2] for n in offline], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("delay", "cut"), [(5, WHOLE_WINDOWS), (4, Cut(2.0, 1.0)), (3, Cut(2.0, 2.0))]
)
@pytest.mark.parametrize("composer", ["full", "stride"])
def test_the_echo_is_the_offline_cover_moved_by_the_delay(
    song: NDArray[np.float32], pianist: Pianist, composer: str, delay: int, cut: Cut
):
    live = heard_live(song, pianist, composer, delay)
    grid = BeatGrid.from_tempo(BPM)
    plain = make_cover(song, grid, pianist, composer, cut=cut)
    cover = expressed(plain, grid, Expression(dynamics=False), None, RATE)
    check_notes(live.notes, cover, 1.0)
    check_notes(live.struck, cover, 60 / BPM)
    downs = [(pedal.onset_beats, True) for pedal in cover.pedals]
    ups = [(pedal.onset_beats + pedal.duration_beats, False) for pedal in cover.pedals]
    offline = [move for move in sorted(downs + ups) if move[0] < LAST_BEATS - 4]
    moved = [move for move in live.pedals if move[0] < LAST_BEATS - 4]
    assert len(offline) > 2
    assert [down for _, down in moved] == [down for _, down in offline]
    assert np.allclose([at for at, _ in moved], [at for at, _ in offline], rtol=0, atol=1e-6)


@pytest.mark.parametrize(("delay", "cut"), [(5, WHOLE_WINDOWS), (4, Cut(2.0, 1.0))])
def test_velocities_from_the_songs_loudness_are_those_of_the_offline_cover(
    song: NDArray[np.float32], pianist: Pianist, delay: int, cut: Cut
):
    swelling = np.asarray(song * np.linspace(0.2, 1.0, len(song)), dtype=np.float32)
    live = heard_live(swelling, pianist, "full", delay, has_velocity=False)
    grid = BeatGrid.from_tempo(BPM)
    plain = make_cover(swelling, grid, pianist, "full", cut=cut)
    cover = expressed(plain, grid, Expression(), swelling, RATE)
    check_notes(live.struck, cover, 60 / BPM)
    assert len({note[3] for note in live.struck}) > 8
