"""A user's pairs are found, put on beats, and refused in words where they cannot teach."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from made_up_pairs import BARS, BPM, FIRST_BEAT_SECONDS, RATE, write_pair
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Note, Score, TempoChange, read_midi, write_midi
from sidekeys_engine.training.alignment import align
from sidekeys_engine.training.pairs import Lesson, Pair, find_pairs, read_pair


def read(folder: Path) -> Lesson:
    """The one pair of a folder."""
    (pair,), complaints = find_pairs(folder)
    assert complaints == []
    return read_pair(pair, sampling_rate=RATE, window_beats=4.0)


def refusal(folder: Path) -> str:
    """The one line that the one pair of a folder gets."""
    with pytest.raises(InputError) as caught:
        read(folder)
    line = str(caught.value)
    assert "\n" not in line
    return line


# --- finding ---


def test_pairs_are_found_by_their_names_with_the_beats_beside_them(tmp_path: Path) -> None:
    names = "b.MP3 b.mid a.wav a.midi a.beats c.flac c.mid c.grid.mid .hidden.wav notes.txt"
    for name in names.split():
        (tmp_path / name).touch()
    (tmp_path / "d.wav").mkdir()
    pairs, complaints = find_pairs(tmp_path)
    assert complaints == []
    assert pairs == [
        Pair("a", tmp_path / "a.wav", tmp_path / "a.midi", tmp_path / "a.beats"),
        Pair("b", tmp_path / "b.MP3", tmp_path / "b.mid"),
        Pair("c", tmp_path / "c.flac", tmp_path / "c.mid", tmp_path / "c.grid.mid"),
    ]


def test_half_a_pair_is_told(tmp_path: Path) -> None:
    for name in ("alone.wav", "only.mid", "twice.wav", "twice.mp3", "twice.mid"):
        (tmp_path / name).touch()
    pairs, complaints = find_pairs(tmp_path)
    assert pairs == []
    assert complaints == [
        "alone.wav has no MIDI file; put its piano cover beside it as alone.mid.",
        "only.mid has no sound file; put its song beside it as only.wav.",
        "twice.mp3 and twice.wav have one name; keep one sound file of a song.",
    ]


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no folder .*nowhere"):
        find_pairs(tmp_path / "nowhere")


# --- reading ---


def test_a_pair_is_put_on_its_beats(tmp_path: Path) -> None:
    write_pair(tmp_path, "song")
    lesson = read(tmp_path)
    assert (lesson.name, lesson.sampling_rate, lesson.remarks) == ("song", RATE, ())
    assert [window.start_beats for window in lesson.windows] == list(range(0, 4 * BARS, 4))
    assert lesson.bpm == pytest.approx(BPM)
    onsets = lesson.notes[:, 0] * 2
    assert np.abs(onsets - np.round(onsets)).max() < 0.05
    assert lesson.notes[:, 0].min() == pytest.approx(0, abs=0.03)


def test_beats_are_heard_where_no_file_says_them(tmp_path: Path) -> None:
    write_pair(tmp_path, "song", beats=False)
    lesson = read(tmp_path)
    assert lesson.bpm == pytest.approx(BPM, abs=0.2)
    assert len(lesson.windows) >= BARS - 1
    onsets = lesson.notes[:, 0] * 2
    assert np.abs(onsets - np.round(onsets)).max() < 0.1


def test_windows_lie_on_the_bars_of_the_beats(tmp_path: Path) -> None:
    write_pair(tmp_path, "song")
    seconds = FIRST_BEAT_SECONDS + np.arange(4 * BARS + 1) * 60 / BPM
    lines = [f"{moment:.3f} {beat % 3 + 1}" for beat, moment in enumerate(seconds)]
    (tmp_path / "song.beats").write_text("\n".join(lines))
    windows = read(tmp_path).windows
    assert {window.kept_beats for window in windows} == {3.0}
    assert {window.length_beats for window in windows} == {4.0}


def test_windows_that_the_cover_leaves_out_teach_nothing(tmp_path: Path) -> None:
    _, midi = write_pair(tmp_path, "song")
    score = read_midi(midi)
    seconds_a_bar = 4 * 60 / BPM
    first, last = (FIRST_BEAT_SECONDS + seconds_a_bar * bar - 0.05 for bar in (2, 12))
    notes = tuple(note for note in score.notes if first < note.onset_beats < last)
    write_midi(Score(notes, tempos=score.tempos), midi)
    assert [window.start_beats for window in read(tmp_path).windows] == list(range(8, 48, 4))


def test_the_pedal_holds_notes(tmp_path: Path) -> None:
    write_pair(tmp_path / "dry", "song")
    write_pair(tmp_path / "wet", "song", pedal=True)
    dry, wet = read(tmp_path / "dry").notes, read(tmp_path / "wet").notes
    assert np.allclose(dry[:, [0, 2, 3]], wet[:, [0, 2, 3]])
    ends = wet[:, 1] % 2
    assert np.isclose(ends, 1.5, atol=0.03).mean() > 0.5  # where the pedal goes up
    assert (wet[:, 1] >= dry[:, 1] - 1e-6).all()


def test_a_faster_turntable_plays_the_same_lesson_higher(tmp_path: Path) -> None:
    write_pair(tmp_path, "song")
    lesson = read(tmp_path)
    higher = lesson.at_speed_of(2)
    assert higher.bpm == pytest.approx(lesson.bpm * 2 ** (2 / 12), rel=1e-3)
    assert len(higher.audio) == pytest.approx(len(lesson.audio) / 2 ** (2 / 12), rel=1e-3)
    assert np.array_equal(higher.notes[:, 2], lesson.notes[:, 2] + 2)
    assert lesson.at_speed_of(0) is lesson
    seconds = higher.grid.seconds_at(higher.notes[:, :2].ravel()).reshape(-1, 2)
    timed = np.column_stack([seconds, higher.notes[:, 2:]])
    found = align(timed, higher.audio, RATE, np.random.default_rng(0))
    assert found.belongs
    assert found.late_seconds == pytest.approx(0, abs=0.021)


# --- alignment ---


def test_a_little_lateness_is_put_right(tmp_path: Path) -> None:
    write_pair(tmp_path, "song", late_seconds=0.05)
    lesson = read(tmp_path)
    assert lesson.late_seconds == pytest.approx(0.05, abs=0.021)
    assert lesson.notes[:, 0].min() == pytest.approx(0, abs=0.06)


@pytest.mark.parametrize(
    ("late_seconds", "words"),
    [(0.74, "late; move its notes 0.74 s earlier"), (-0.42, "early; move its notes 0.42 s later")],
)
def test_a_cover_that_is_late_or_early_is_told_by_how_much(
    late_seconds: float, words: str, tmp_path: Path
) -> None:
    write_pair(tmp_path, "song", late_seconds=late_seconds)
    assert refusal(tmp_path) == f"song.mid is {abs(late_seconds):.2f} s {words}."


def test_a_cover_at_another_tempo_is_told(tmp_path: Path) -> None:
    write_pair(tmp_path, "song", bars=32, stretch=1.008)
    line = refusal(tmp_path)
    assert line.startswith("song.mid drifts: it is ")
    assert line.endswith("s late at the end; give it the tempo of the song.")


def test_the_cover_of_another_song_is_told(tmp_path: Path) -> None:
    write_pair(tmp_path, "song", bars=24)
    _, other = write_pair(tmp_path / "other", "song", seed=7, bars=24)
    shutil.copy(other, tmp_path / "song.mid")
    assert refusal(tmp_path).startswith("song.mid does not sound like a cover of song.wav")


# --- what cannot be used ---


def test_a_midi_file_without_notes_is_told(tmp_path: Path) -> None:
    _, midi = write_pair(tmp_path, "song")
    write_midi(Score(), midi)
    assert refusal(tmp_path).startswith("song.mid holds no notes but perhaps drums")


def test_notes_after_the_end_of_the_sound_are_told(tmp_path: Path) -> None:
    sound, _ = write_pair(tmp_path, "song")
    samples, rate = soundfile.read(sound)
    soundfile.write(sound, samples[: 20 * rate], rate)
    assert "notes after the end of song.wav (20.0 s)" in refusal(tmp_path)


def test_too_little_music_is_told(tmp_path: Path) -> None:
    write_pair(tmp_path, "song", bars=5)
    assert refusal(tmp_path) == (
        "song.wav and song.mid share 5 windows of 4 beats; give at least 8, some 20 seconds of "
        "music."
    )


def test_silence_is_told(tmp_path: Path) -> None:
    sound, _ = write_pair(tmp_path, "song")
    soundfile.write(sound, np.zeros(30 * RATE), RATE)
    assert refusal(tmp_path) == "song.wav is silent; export the song again."


def test_sound_without_a_beat_is_told(tmp_path: Path) -> None:
    sound, midi = write_pair(tmp_path, "song", beats=False)
    swell = np.sin(np.arange(30 * RATE) / 40) * np.hanning(30 * RATE)
    soundfile.write(sound, swell * 0.3, RATE)
    notes = tuple(Note(float(beat), 60, 0.5) for beat in range(28))
    write_midi(Score(notes, tempos=(TempoChange(0.0, 60.0),)), midi)
    assert "song" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["song.wav", "song.mid", "song.beats"])
def test_a_file_that_cannot_be_read_is_told(name: str, tmp_path: Path) -> None:
    write_pair(tmp_path, "song")
    (tmp_path / name).write_bytes(b"neither sound nor notes")
    assert name in refusal(tmp_path)
