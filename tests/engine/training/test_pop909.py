"""Songs are read into beats, and stay the same music however they are changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pretty_midi
import pytest

from sidekeys_engine.training.pop909 import (
    Chord,
    Song,
    interpolated,
    read_song,
    song_names,
    split_of,
)

BEATS = 0.5 + 0.5 * np.arange(9)  # 120 beats a minute; bars begin at beats 0, 4 and 8


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One song: a scale that is sung, a piano chord, two chords."""
    song = tmp_path / "007"
    song.mkdir()
    marks = [f"{t} {float(i % 2 == 0)} {float(i % 4 == 0)}" for i, t in enumerate(BEATS)]
    (song / "beat_midi.txt").write_text("\n".join(marks))
    chords = ["0.5\t1.5\tN", "1.5\t2.5\tBb:min7/b3", "2.5\t4.5\tC#:maj"]
    (song / "chord_midi.txt").write_text("\n".join(chords) + "\n")
    midi = pretty_midi.PrettyMIDI(resolution=960)
    for name, notes in {
        "MELODY": [(1.0, 1.5, 64, 100), (0.5, 1.0, 60, 101)],
        "BRIDGE": [],
        "PIANO": [(0.25, 5.0, 55, 60), (0.25, 5.0, 48, 62)],
    }.items():
        track = pretty_midi.Instrument(0, name=name)
        track.notes = [pretty_midi.Note(v, p, start, end) for start, end, p, v in notes]
        midi.instruments.append(track)
    midi.write(str(song / "007.mid"))
    return tmp_path


@pytest.fixture
def song(folder: Path) -> Song:
    return read_song(folder, "007")


def test_notes_are_in_beats_by_onset(song: Song) -> None:
    assert song.melody == pytest.approx(np.array([[0, 1, 60, 101], [1, 2, 64, 100]]), abs=0.01)


def test_time_goes_on_beyond_the_beats(song: Song) -> None:
    assert song.piano == pytest.approx(np.array([[-0.5, 9, 48, 62], [-0.5, 9, 55, 60]]), abs=0.01)
    assert song.seconds_at([-1.0, 4.5, 10.0]) == pytest.approx([0.0, 2.75, 5.5])


def test_an_empty_track_has_no_notes(song: Song) -> None:
    assert song.bridge.shape == (0, 4)


def test_chords_are_parsed(song: Song) -> None:
    assert song.chords == (
        Chord(2.0, 4.0, root=10, pitch_classes=(10, 1, 5, 8), bass=1),
        Chord(4.0, 8.0, root=1, pitch_classes=(1, 5, 8), bass=1),
    )


def test_downbeats_and_tempo_are_read(song: Song) -> None:
    assert np.flatnonzero(song.downbeats).tolist() == [0, 4, 8]
    assert song.bpm == pytest.approx(120)


def test_a_missing_song_is_an_error(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_song(folder, "008")


def test_a_symbol_that_is_no_chord_is_an_error(folder: Path) -> None:
    (folder / "007" / "chord_midi.txt").write_text("0.5 1.5 H:maj\n")
    with pytest.raises(ValueError, match="no chord"):
        read_song(folder, "007")


def test_a_transposed_song_moves_notes_and_chords(song: Song) -> None:
    higher = song.transposed(3)
    assert (higher.melody[:, 2] == song.melody[:, 2] + 3).all()
    assert (higher.melody[:, [0, 1, 3]] == song.melody[:, [0, 1, 3]]).all()
    assert higher.chords[0].pitch_classes == (1, 4, 8, 11)
    assert higher.chords[0].bass == 4


def test_a_faster_song_changes_seconds_alone(song: Song) -> None:
    faster = song.faster(1.25)
    assert faster.bpm == pytest.approx(150)
    assert (faster.piano == song.piano).all()
    with pytest.raises(ValueError, match="more than 0"):
        song.faster(0)


def test_a_doubled_song_sounds_the_same(song: Song) -> None:
    doubled = song.doubled()
    assert doubled.bpm == pytest.approx(240)
    for one, two in ((song.melody, doubled.melody), (song.piano, doubled.piano)):
        assert doubled.seconds_at(two[:, :2]) == pytest.approx(song.seconds_at(one[:, :2]))
    assert doubled.chords[1].start_beats == 8.0


def test_a_doubled_bar_becomes_two(song: Song) -> None:
    assert np.flatnonzero(song.doubled().downbeats).tolist() == [0, 4, 8, 12, 16]


def test_songs_are_listed_and_each_is_in_one_split(folder: Path) -> None:
    assert song_names(folder) == ["007"]
    splits = [split_of(f"{number:03d}") for number in range(1, 910)]
    assert {part: splits.count(part) for part in set(splits)} == {
        "train": 845,
        "validation": 24,
        "test": 40,
    }
    assert split_of("400") == "test"
    assert split_of("405") == "validation"
    assert split_of("410") == "train"


def test_beats_must_rise(song: Song) -> None:
    with pytest.raises(ValueError, match="rise"):
        Song("x", BEATS[::-1], song.downbeats, song.melody, song.bridge, song.piano, ())


def test_what_lies_on_a_place_gets_its_value() -> None:
    assert interpolated([0, 1, 3], [0, 1, 3], [5, 6, 10]).tolist() == [5, 6, 10]
