"""The offline path: bars kept, regions, silence, batches that change nothing, bounded memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sidekeys_engine import cover
from sidekeys_engine.audio import load_audio
from sidekeys_engine.beat_grid import BeatGrid, Window
from sidekeys_engine.cover import Region, make_cover
from sidekeys_engine.joining import song_notes
from sidekeys_engine.note_tokens import StepNote
from sidekeys_engine.notes import Meter, Note, Score
from sidekeys_engine.pianist import Pianist, Taste
from sidekeys_engine.tempo_map import seconds_at_beats

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def pianist() -> Pianist:
    return Pianist.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def song(pianist: Pianist) -> np.ndarray:
    """The example song, 60 s at the model's rate."""
    return load_audio(EXAMPLES / "paper_lanterns.ogg", sampling_rate=pianist.sampling_rate).samples


@pytest.fixture(scope="module")
def grid() -> BeatGrid:
    return BeatGrid.from_file(EXAMPLES / "paper_lanterns.beats")


@pytest.fixture(scope="module")
def whole(song: np.ndarray, grid: BeatGrid, pianist: Pianist) -> Score:
    return make_cover(song, grid, pianist, "block")


def in_seconds(score: Score) -> list[tuple[float, float, int]]:
    return [
        (
            round(float(seconds_at_beats(score.tempos, note.onset_beats)), 3),
            round(float(seconds_at_beats(score.tempos, note.end_beats)), 3),
            note.pitch,
        )
        for note in score.notes
    ]


def test_notes_stand_on_the_sixteenths_of_the_song(whole: Score, grid: BeatGrid) -> None:
    assert len(whole.notes) > 150
    for start, end, _ in in_seconds(whole):
        for moment in (start, end):
            sixteenths = 4 * grid.beats_at(moment)
            assert abs(sixteenths - round(sixteenths)) < 0.02


def test_notes_are_not_all_equally_loud(whole: Score) -> None:
    assert len({note.velocity for note in whole.notes}) > 1


def test_the_score_has_the_songs_tempo_bars_and_first_note(whole: Score, grid: BeatGrid) -> None:
    pickup, first_bar = whole.meters[:2]
    assert str(first_bar.meter) == "4/4"
    assert seconds_at_beats(whole.tempos, first_bar.onset_beats) == pytest.approx(
        grid.seconds_at(0.0), abs=1e-3
    )
    assert pickup.onset_beats == 0
    assert whole.tempos[-1].bpm == pytest.approx(104, abs=0.1)


@pytest.mark.parametrize("bars", [(5, 9), (3, 4)])
def test_a_region_on_bars_is_that_part_of_the_whole(
    song: np.ndarray, grid: BeatGrid, pianist: Pianist, whole: Score, bars: tuple[int, int]
) -> None:
    start, end = (grid.seconds_at(grid.bar_start(bar)) for bar in bars)
    part = make_cover(song, grid, pianist, "block", region=Region(start, end))
    expected = [note for note in in_seconds(whole) if start - 1e-3 <= note[0] < end - 1e-3]
    assert in_seconds(part) == expected
    assert len(expected) > 5


def test_the_batch_size_changes_no_note(
    song: np.ndarray,
    grid: BeatGrid,
    pianist: Pianist,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for taste in (Taste(), Taste(temperature=0.9, seed=3)):
        region = Region(0.0, 25.0)
        at_once = make_cover(song, grid, pianist, "full", region=region, taste=taste)
        monkeypatch.setattr(cover, "_WINDOWS_PER_BATCH", 3)
        in_threes = make_cover(song, grid, pianist, "full", region=region, taste=taste)
        monkeypatch.undo()
        assert in_threes == at_once
        assert len(at_once.notes) > 50


def test_a_seed_is_a_take(song: np.ndarray, grid: BeatGrid, pianist: Pianist) -> None:
    def take(seed: int) -> Score:
        taste = Taste(temperature=1.0, seed=seed)
        return make_cover(song, grid, pianist, "full", region=Region(0, 12), taste=taste)

    assert take(1) == take(1)
    assert take(1) != take(2)


def test_composers_differ(song: np.ndarray, grid: BeatGrid, pianist: Pianist, whole: Score) -> None:
    other = make_cover(song, grid, pianist, "arpeggio")
    assert other != whole
    lengths = [np.mean([note.duration_beats for note in s.notes]) for s in (whole, other)]
    assert lengths[0] > 1.3 * lengths[1], "held chords last longer than broken ones"


def test_no_note_is_played_in_silence(song: np.ndarray, grid: BeatGrid, pianist: Pianist) -> None:
    gap = song.copy()
    rate = pianist.sampling_rate
    start, end = (grid.seconds_at(grid.bar_start(bar)) for bar in (4, 8))
    gap[int(start * rate) : int(end * rate)] = 0
    notes = in_seconds(make_cover(gap, grid, pianist, "block"))
    assert not [note for note in notes if start - 1e-3 <= note[0] < end - 1e-3]
    assert [note for note in notes if note[0] >= end - 1e-3]
    assert make_cover(np.zeros_like(song), grid, pianist, "full").notes == ()


@pytest.mark.parametrize("meter", ["3/4", "6/8", "5/4", "7/8", "2/4", "12/8"])
def test_other_meters_keep_their_bars(song: np.ndarray, pianist: Pianist, meter: str) -> None:
    numerator, denominator = map(int, meter.split("/"))
    steady = BeatGrid.from_tempo(
        104, first_beat_seconds=1.6738, meter=Meter(numerator, denominator)
    )
    score = make_cover(song, steady, pianist, "block", region=Region(0, 30))
    bar = steady.meters[0].meter.beats_per_bar
    assert str(score.meters[-1].meter) == meter
    assert len(score.notes) > 40
    from_bar_lines = [4 * (steady.beats_at(start) % bar) for start, _, _ in in_seconds(score)]
    assert np.abs(from_bar_lines - np.round(from_bar_lines)).max() < 0.02, "on its sixteenths"
    assert min(from_bar_lines) < 0.02, "windows start on bars, and so do notes"


@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_a_short_region_works(
    song: np.ndarray, grid: BeatGrid, pianist: Pianist, seconds: float
) -> None:
    score = make_cover(song, grid, pianist, "full", region=Region(10.0, 10.0 + seconds))
    for start, end, _ in in_seconds(score):
        assert 10.0 - 2e-3 <= start < end <= 10.0 + seconds + 2e-3


def test_a_window_gives_away_no_note_beyond_its_kept_beats() -> None:
    window = Window(start_beats=8.0, length_beats=4.0, kept_beats=3.0)
    played = [StepNote(0, 8, 60), StepNote(5, 6, 62), StepNote(6, 8, 64)]
    assert sorted(song_notes([(window, played)], 8)) == [Note(8.0, 60, 3.0), Note(10.5, 62, 0.5)]


def in_windows(*played: list[StepNote], starts: tuple[float, ...] = (0.0, 4.0, 8.0)) -> list[Note]:
    """What windows of sixteenths, each four beats long, give to a song."""
    windows = [Window(start_beats=start, length_beats=4.0, kept_beats=4.0) for start in starts]
    return sorted(song_notes(zip(windows, played, strict=False), 16))


STRUCK = StepNote(12, 16, 60, 90, is_held_after=True)
HELD_THROUGH = StepNote(0, 16, 60, is_held_before=True, is_held_after=True)
HELD = StepNote(0, 4, 60, is_held_before=True)


def test_a_note_held_over_edges_is_one_note() -> None:
    assert in_windows([STRUCK], [HELD]) == [Note(3.0, 60, 2.0, 90)]
    assert in_windows([STRUCK], [HELD_THROUGH], [HELD]) == [Note(3.0, 60, 6.0, 90)]
    # Struck again where it ends: the second note is a note of its own.
    again = StepNote(4, 8, 60, 50)
    assert in_windows([STRUCK], [HELD, again]) == [Note(3.0, 60, 2.0, 90), Note(5.0, 60, 1.0, 50)]


def test_a_note_that_the_next_window_does_not_hold_ends_at_the_edge() -> None:
    assert in_windows([STRUCK], []) == [Note(3.0, 60, 1.0, 90)]
    assert in_windows([STRUCK]) == [Note(3.0, 60, 1.0, 90)]
    other = StepNote(0, 4, 62, is_held_before=True)
    assert in_windows([STRUCK], [other]) == [Note(3.0, 60, 1.0, 90)]
    struck_there = StepNote(0, 4, 60, 70)
    assert in_windows([STRUCK], [struck_there]) == [Note(3.0, 60, 1.0, 90), Note(4.0, 60, 1.0, 70)]


def test_a_held_note_that_nobody_struck_is_dropped() -> None:
    assert in_windows([HELD_THROUGH], [HELD]) == []
    ended = StepNote(12, 16, 60, 90)
    assert in_windows([ended], [HELD]) == [Note(3.0, 60, 1.0, 90)]


def test_nothing_is_held_over_a_window_that_was_left_out() -> None:
    assert in_windows([STRUCK], [HELD], starts=(0.0, 8.0)) == [Note(3.0, 60, 1.0, 90)]


def test_a_window_that_gives_fewer_beats_hands_its_notes_on_at_its_edge() -> None:
    short = Window(start_beats=0.0, length_beats=4.0, kept_beats=3.0)
    whole = Window(start_beats=3.0, length_beats=4.0, kept_beats=4.0)
    into = StepNote(8, 14, 60, 90)
    assert list(song_notes([(short, [into]), (whole, [HELD])], 16)) == [Note(2.0, 60, 2.0, 90)]
    assert list(song_notes([(short, [into]), (whole, [])], 16)) == [Note(2.0, 60, 1.0, 90)]


def test_moments_that_are_not_the_checkpoints_steps_are_refused(
    song: np.ndarray, pianist: Pianist
) -> None:
    moments = np.arange(8) * 0.25
    with pytest.raises(ValueError, match=r"step_seconds is \(windows, 21\), not \(1, 8\)"):
        pianist.play(song, moments[None], "full")
    with pytest.raises(ValueError, match=r"step_seconds is \(windows, 21\), not \(8,\)"):
        pianist.play(song, moments, "full")


def test_progress_counts_all_windows(song: np.ndarray, grid: BeatGrid, pianist: Pianist) -> None:
    seen: list[tuple[int, int]] = []
    make_cover(
        song,
        grid,
        pianist,
        "full",
        region=Region(0, 10),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen
    assert seen[-1][0] == seen[-1][1]


MEMORY = """
import resource, sys
import numpy as np, torch
from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.cover import make_cover
from sidekeys_engine.pianist import Pianist
torch.set_num_threads(1)
pianist = Pianist.from_pretrained(device="cpu")
# Short windows of tokens: what is measured is how much is kept for the song, not the playing.
pianist.model.generation_config = pianist.model.generation_config.updated(max_length=6)
audio = np.random.default_rng(0).normal(0, 0.1, int(sys.argv[1]) * 22050).astype(np.float32)
make_cover(audio, BeatGrid.from_tempo(120), pianist, "full")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, audio.nbytes / 2**20)
"""


def test_memory_grows_by_the_audio_alone() -> None:
    def peak(seconds: int) -> tuple[float, float]:
        run = subprocess.run(
            [sys.executable, "-c", MEMORY, str(seconds)],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": "engine", "PATH": "/usr/bin:/bin"},
            cwd=Path(__file__).parents[2],
        )
        megabytes, audio = map(float, run.stdout.split())
        return megabytes, audio

    (short, short_audio), (long, long_audio) = peak(120), peak(1200)
    # The audio itself, twice: as it was made here in double precision, and in single.
    assert long - short < 3.2 * (long_audio - short_audio)
