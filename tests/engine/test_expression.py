"""What is added to the notes of a song, stretch by stretch too, and how to turn it off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from made_up_parts import CUTS, PARTS, STEP, part, stretches
from sidekeys_engine import render
from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.command import main
from sidekeys_engine.dynamics import HeardSteps
from sidekeys_engine.expression import Expression, express, expressed, heard_steps
from sidekeys_engine.notes import Note, Pedal, Score, read_midi
from sidekeys_engine.pianist import Pianist
from sidekeys_engine.render import GridChoice, Job, Position

SONG = Path(__file__).parents[2] / "examples" / "paper_lanterns.ogg"
GRID = BeatGrid.from_tempo(120)
NOTHING = Expression(dynamics=False, pedal=False, playable=False)
WIDE = part((0, 4, 28), (0, 4, 50), (0, 4, 72), (4, 8, 31), (4, 8, 53), (4, 8, 71))


def noise(seconds: float, *, louder_from: float) -> np.ndarray:
    audio = np.random.default_rng(0).normal(0, 0.02, round(seconds * 8000))
    audio[round(louder_from * 8000) :] *= 3
    return audio.astype(np.float32)


# --- a whole score ---


def test_everything_is_added_by_default() -> None:
    score = expressed(Score(tuple(WIDE)), GRID, Expression(), noise(4, louder_from=2), 8000)
    assert len(score.pedals) == 2
    assert [note.pitch for note in score.notes] == [28, 62, 72, 31, 65, 71]
    first, second = (np.mean([n.velocity for n in score.notes[i : i + 3]]) for i in (0, 3))
    assert second > first + 2


def test_nothing_is_added_where_all_is_off() -> None:
    score = Score(tuple(WIDE), pedals=(Pedal(1.0, 2.0),))
    assert expressed(score, GRID, NOTHING, noise(4, louder_from=2), 8000) == score


@pytest.mark.parametrize("name", ["dynamics", "pedal", "playable"])
def test_each_is_added_alone(name: str) -> None:
    score = expressed(
        Score(tuple(WIDE)),
        GRID,
        replace(NOTHING, **{name: True}),
        noise(4, louder_from=2),
        8000,
    )
    changed = {
        "dynamics": any(note.velocity != 77 for note in score.notes),
        "pedal": bool(score.pedals),
        "playable": [note.pitch for note in score.notes] != [note.pitch for note in WIDE],
    }
    assert {key for key, value in changed.items() if value} == {name}


def test_notes_that_have_velocities_keep_them() -> None:
    score = expressed(Score(tuple(WIDE)), GRID, Expression(), None, 8000)
    assert {note.velocity for note in score.notes} == {77}


def test_loudness_is_heard_in_sixteenths_of_the_grid() -> None:
    audio = noise(4, louder_from=2)
    whole = heard_steps(audio, 8000, 0.0, GRID, -1.0, 6.9)
    assert (whole.start_beats, whole.step_beats, len(whole.decibels)) == (-1.0, 0.25, 32)
    assert (np.diff(whole.decibels) > 6).nonzero()[0].tolist() == [3, 19], "beats 0 and 4"
    later = heard_steps(audio[8000:], 8000, 1.0, GRID, 2.0, 6.9)
    assert later.decibels.tolist() == whole.decibels[12:].tolist()


def test_velocities_of_a_part_are_those_of_the_whole() -> None:
    audio = noise(8, louder_from=4)
    notes = part(*((beat, beat + 1, 60) for beat in range(16)))
    only = Expression(pedal=False, playable=False)
    whole, late = (expressed(Score(tuple(n)), GRID, only, audio, 8000) for n in (notes, notes[9:]))
    assert whole.notes[9:] == late.notes


# --- stretch by stretch ---


@given(PARTS, CUTS, st.integers(0, 2**32 - 1))
def test_stretches_are_expressed_as_the_whole(
    notes: list[Note], ends: list[float], seed: int
) -> None:
    levels = np.random.default_rng(seed).uniform(-40, 0, round(ends[-1] / STEP))
    whole = express(notes, ends[-1], GRID, Expression(), heard=HeardSteps(0.0, STEP, levels))
    phrasing = None
    moves = []
    told: dict[tuple[float, int], Note] = {}
    for start, end, stretch in stretches(notes, ends):
        heard = HeardSteps(start, STEP, levels[round(start / STEP) : round(end / STEP)])
        played = express(stretch, end, GRID, Expression(), heard=heard, phrasing=phrasing)
        phrasing = played.phrasing
        moves += played.moves
        for strike, note in played.by_strike.items():
            told[strike] = replace(note, velocity=told.get(strike, note).velocity)
    assert moves == whole.moves
    assert told == whole.by_strike


def test_the_pedal_goes_up_where_it_is_turned_off() -> None:
    first = express(part((0, 4, 36), (0, 4, 60)), 4.0, GRID, Expression())
    assert [move.is_down for move in first.moves] == [True]
    second = express([], 8.0, GRID, Expression(pedal=False), phrasing=first.phrasing)
    assert [move.is_down for move in second.moves] == [False]
    third = express([], 12.0, GRID, Expression(pedal=False), phrasing=second.phrasing)
    assert third.moves == []


# --- `sidekeys render` ---


def job(folder: Path, **settings: bool) -> Job:
    return Job(
        song=SONG,
        midi=folder / "a.mid",
        composer="block",
        grid=GridChoice(bpm=104, first_beat_seconds=1.674),
        start=Position(bar=6),
        end=Position(bar=8),
        expression=Expression(**settings),
    )


def test_a_checkpoint_with_velocities_keeps_them(tmp_path: Path) -> None:
    pianist = Pianist.from_pretrained(device="cpu")
    scores = []
    for dynamics in (True, False):
        render.render_song(job(tmp_path, dynamics=dynamics), pianist)
        scores.append(read_midi(tmp_path / "a.mid"))
    assert scores[0] == scores[1]
    assert scores[0].pedals


def test_a_checkpoint_without_velocities_gets_those_of_the_song(
    tmp_path: Path, small_reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = Score(tuple(part(*((beat, beat + 1, 60) for beat in range(20)))))  # what it might play
    monkeypatch.setattr(render, "make_cover", lambda *_, **__: score)
    pianist = Pianist.from_pretrained(small_reference, device="cpu")
    played = {}
    for dynamics in (True, False):
        chosen = replace(job(tmp_path, dynamics=dynamics), composer="composer1")
        render.render_song(chosen, pianist)
        played[dynamics] = [note.velocity for note in read_midi(tmp_path / "a.mid").notes]
    assert played[False] == [77] * 20
    assert len(set(played[True])) > 3


def test_the_mix_of_a_part_sounds_with_pedal(
    tmp_path: Path, small_reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score = Score(tuple(part((9, 9.25, 40), (9, 13, 72))))
    monkeypatch.setattr(render, "make_cover", lambda *_, **__: score)
    pianist = Pianist.from_pretrained(small_reference, device="cpu")
    bass = {}
    for pedal in (True, False):
        chosen = replace(
            job(tmp_path, pedal=pedal),
            composer="composer1",
            mix=tmp_path / "a.wav",
            start=Position(seconds=5.0),
        )
        render.render_song(chosen, pianist)
        samples, rate = soundfile.read(tmp_path / "a.wav")
        spectrum = np.abs(np.fft.rfft(samples[rate : 2 * rate, 1]))  # long after the bass's key
        bass[pedal] = spectrum[70:95].max() / spectrum.max()
    assert bass[True] > 5 * bass[False]


@pytest.mark.parametrize("flag", ["--no-pedal", "--pedal"])
def test_the_command_line_turns_the_pedal_off(tmp_path: Path, flag: str) -> None:
    words = ["render", str(SONG), "-o", str(tmp_path / "a.mid"), "--bpm", "104", "--end", "8"]
    assert main([*words, flag]) == 0
    controls = [m.control for m in mido.MidiFile(tmp_path / "a.mid") if m.type == "control_change"]
    assert (64 in controls) == (flag == "--pedal")


def test_the_command_line_turns_the_hands_off(tmp_path: Path) -> None:
    words = ["render", str(SONG), "-o", str(tmp_path / "a.mid"), "--composer", "block"]
    words += ["--bpm", "104", "--first-beat", "1.674", "--end", "12"]
    parts = []
    for flag in ("--playable", "--no-playable"):
        assert main([*words, flag, "--no-expression"]) == 0
        parts.append(read_midi(tmp_path / "a.mid").notes)
    limited, free = parts
    assert limited != free
    assert len(limited) >= 0.95 * len(free)
