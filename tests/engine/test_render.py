"""A song file becomes a .mid on a DAW's bars, a picture and a mix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
import pytest
import soundfile

from sidekeys_engine.audio import load_audio
from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter
from sidekeys_engine.pianist import Pianist, Taste
from sidekeys_engine.render import GridChoice, Job, Position, render_song

EXAMPLES = Path(__file__).parents[2] / "examples"
SONG = EXAMPLES / "paper_lanterns.ogg"


@pytest.fixture(scope="module")
def pianist() -> Pianist:
    return Pianist.from_pretrained(device="cpu")


@pytest.fixture
def job(tmp_path: Path) -> Any:
    def make(**changes: Any) -> Job:
        return Job(**{"song": SONG, "midi": tmp_path / "a.mid", "composer": "block", **changes})

    return make


def true_beats() -> np.ndarray:
    return np.loadtxt(EXAMPLES / "paper_lanterns.beats")


@pytest.mark.parametrize("tracker", ["essentia", "librosa"])
def test_the_mid_lands_on_the_songs_bars(tracker: str, job: Any, pianist: Pianist) -> None:
    rendered = render_song(job(grid=GridChoice(tracker=tracker)), pianist)
    midi = pretty_midi.PrettyMIDI(rendered.midi)
    beats = true_beats()
    bars = beats[beats[:, 1] == 1, 0]
    heard = midi.get_downbeats()
    for bar in bars[:22]:
        assert np.abs(heard - bar).min() < 0.06
    assert rendered.notes == len(midi.instruments[0].notes) > 150
    assert rendered.bpm == pytest.approx(104, abs=1)
    assert rendered.meter == "4/4"
    assert rendered.first_downbeat_seconds == pytest.approx(1.674, abs=0.06)


def test_picture_and_mix_are_written(job: Any, pianist: Pianist, tmp_path: Path) -> None:
    rendered = render_song(
        job(
            plot=tmp_path / "a.png",
            mix=tmp_path / "a.wav",
            start=Position(seconds=2),
            end=Position(seconds=10),
            grid=GridChoice(file=EXAMPLES / "paper_lanterns.beats"),
        ),
        pianist,
    )
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    samples, rate = soundfile.read(tmp_path / "a.wav")
    assert samples.shape[1] == 2
    assert 8 <= len(samples) / rate < 13, "the part alone, and the last note's release"
    assert np.sqrt((samples[:, 1] ** 2).mean()) > 0.01
    assert (rendered.start_seconds, rendered.end_seconds) == (2, 10)
    begins = np.flatnonzero(np.abs(samples[:, 1]) > 0.02)[0] / rate
    first = min(n.start for n in pretty_midi.PrettyMIDI(rendered.midi).instruments[0].notes)
    assert begins == pytest.approx(first - 2, abs=0.03)


def test_a_region_stays_where_it_is_in_the_song(job: Any, pianist: Pianist) -> None:
    grid = GridChoice(file=EXAMPLES / "paper_lanterns.beats")
    part = render_song(job(grid=grid, start=Position(bar=5), end=Position(bar=7)), pianist)
    assert part.bars == 2
    notes = pretty_midi.PrettyMIDI(part.midi).instruments[0].notes
    starts = [note.start for note in notes]
    assert part.start_seconds - 2e-3 <= min(starts)
    assert max(note.end for note in notes) <= part.end_seconds + 2e-3
    assert min(starts) < part.start_seconds + 0.7


def test_bars_are_counted_as_the_mid_counts_them(job: Any, pianist: Pianist) -> None:
    """The example begins with a pickup, which is bar 1."""
    grid = GridChoice(file=EXAMPLES / "paper_lanterns.beats")
    rendered = render_song(job(grid=grid, start=Position(bar=2), end=Position(bar=4)), pianist)
    bars = pretty_midi.PrettyMIDI(rendered.midi).get_downbeats()
    assert rendered.start_seconds == pytest.approx(bars[1], abs=2e-3)
    assert rendered.end_seconds == pytest.approx(bars[3], abs=2e-3)
    assert rendered.bars == 2


def test_a_take_of_a_part_is_that_part_of_the_take(job: Any, pianist: Pianist) -> None:
    grid = GridChoice(file=EXAMPLES / "paper_lanterns.beats")
    taste = Taste(temperature=1.0, seed=3)
    part = render_song(
        job(grid=grid, taste=taste, start=Position(bar=6), end=Position(bar=8)), pianist
    )
    notes = [
        (round(n.start, 3), n.pitch) for n in pretty_midi.PrettyMIDI(part.midi).instruments[0].notes
    ]
    whole = render_song(job(grid=grid, taste=taste, end=Position(bar=12)), pianist)
    same = [
        (round(n.start, 3), n.pitch)
        for n in pretty_midi.PrettyMIDI(whole.midi).instruments[0].notes
        if part.start_seconds - 2e-3 <= n.start < part.end_seconds - 2e-3
    ]
    assert sorted(notes) == sorted(same)
    assert len(notes) > 15


def test_no_note_is_played_before_the_song_sounds(job: Any, pianist: Pianist) -> None:
    grid = GridChoice(bpm=104, first_beat_seconds=1.674, meter=Meter(6, 8))
    rendered = render_song(job(grid=grid, end=Position(seconds=8)), pianist)
    notes = pretty_midi.PrettyMIDI(rendered.midi).instruments[0].notes
    assert min(note.start for note in notes) > 0.42, "its first sound is at 0.52 s"


def test_a_silent_song_gives_an_empty_mid_and_says_so(
    job: Any, pianist: Pianist, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(5 * 44100), 44100)
    for grid in (GridChoice(), GridChoice(bpm=90)):
        rendered = render_song(job(song=tmp_path / "silence.wav", grid=grid), pianist)
        assert rendered.notes == 0
        assert "silence" in rendered.remarks[0]
        assert not any(i.notes for i in pretty_midi.PrettyMIDI(rendered.midi).instruments)


@pytest.mark.parametrize(
    ("choice", "bpm", "bar"),
    [
        (GridChoice(bpm=104, first_beat_seconds=1.674), 104, 1.674),
        (GridChoice(bpm=104), 104, 0.0),
        (GridChoice(bpm=104, tempo_factor=2.0), 208, 0.0),
        (GridChoice(bpm=104, tempo_factor=0.5), 52, 0.0),
        (GridChoice(file=EXAMPLES / "paper_lanterns.beats"), 104, 1.674),
        (GridChoice(file=EXAMPLES / "paper_lanterns.beats", first_beat_seconds=2.3), 104, 2.25),
        (GridChoice(), 104, 1.674),
        (GridChoice(first_beat_seconds=2.3), 104, 2.25),
        (GridChoice(tempo_factor=0.5), 52, 1.674),
        (GridChoice(meter=Meter(3, 4)), 104, None),
    ],
    ids=str,
)
def test_the_grid_is_what_was_asked_for(choice: GridChoice, bpm: float, bar: float | None) -> None:
    grid = choice.grid(load_audio(SONG, sampling_rate=44100))
    assert grid.tempo_bpm_at(20.0) == pytest.approx(bpm, rel=0.03)
    assert grid.meters[0].meter == (choice.meter or Meter())
    if bar is not None:
        length = grid.meters[0].meter.beats_per_bar
        bars = (grid.beats_at(bar) - grid.meters[0].onset_beats) / length
        assert abs(bars - round(bars)) < 0.04


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("12.5", Position(seconds=12.5)),
        ("1:02.5", Position(seconds=62.5)),
        ("0", Position(seconds=0.0)),
        (".5", Position(seconds=0.5)),
        ("bar5", Position(bar=5)),
        ("Bar 12", Position(bar=12)),
        ("b7", Position(bar=7)),
        ("7b", Position(bar=7)),
        ("5|3", Position(bar=5, beat=3)),
    ],
)
def test_places_are_read(text: str, position: Position) -> None:
    assert Position.parse(text) == position


@pytest.mark.parametrize(
    "text", ["", "x", "-3", "bar0", "bar", "1:99", "1e3", "nan", "inf", "5|0", "5|"]
)
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no place in a song"):
        Position.parse(text)


def test_places_are_found_on_the_grid() -> None:
    grid = BeatGrid.from_tempo(120, first_beat_seconds=1.0)
    assert Position(bar=1).on(grid) == pytest.approx(1.0)
    assert Position(bar=3).on(grid) == pytest.approx(5.0)
    assert Position(bar=3, beat=2).on(grid) == pytest.approx(5.5)
    assert Position(seconds=2.5).on(grid) == 2.5
    waltz = BeatGrid.from_tempo(120, meter=Meter(6, 8))
    assert Position(bar=2, beat=4).on(waltz) == pytest.approx(2.25)
    with pytest.raises(InputError, match="has 6 beats, not 7"):
        Position(bar=2, beat=7).on(waltz)


def test_a_result_must_not_replace_its_song(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is what is read here"):
        Job(song=tmp_path / "a.wav", midi=tmp_path / "a.mid", composer="x", mix=tmp_path / "a.wav")
