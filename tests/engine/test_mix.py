from __future__ import annotations

import io
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

from sidekeys_engine.errors import InputError
from sidekeys_engine.mix import active_loudness, check_mix_path, write_mix
from sidekeys_engine.notes import Note, Pedal, Score, TempoChange, midi_bytes
from sidekeys_engine.piano_sound import render_piano
from sidekeys_engine.tempo_map import seconds_at_beats

RATE = 44100


def onset_of(samples: np.ndarray, rate: int) -> float:
    """Seconds at which the sound first rises above a twentieth of its peak."""
    loud = np.abs(samples) > 0.05 * np.abs(samples).max()
    return float(np.argmax(loud) / rate)


def level(samples: np.ndarray, at_seconds: float, rate: int = RATE) -> float:
    start = round(at_seconds * rate)
    return float(np.sqrt(np.mean(samples[start : start + round(0.05 * rate)] ** 2)))


def pitch_in_cents(samples: np.ndarray, pitch: int, rate: int) -> float:
    """How far the fundamental lies from equal temperament, by the peak of a long spectrum."""
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    window = samples[round(0.1 * rate) : round(1.6 * rate)]
    size = 1 << 21
    spectrum = np.abs(np.fft.rfft(window * np.hanning(len(window)), size))
    low, high = (round(hertz * factor * size / rate) for factor in (0.94, 1.06))
    return float(1200 * np.log2((low + spectrum[low:high].argmax()) * rate / size / hertz))


def sine(seconds: float, rate: int, amplitude: float = 0.3) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return (amplitude * np.sin(2 * np.pi * 440 * time)).astype(np.float32)


# --- tempo map ---


def test_beats_become_seconds_as_a_midi_player_counts_them():
    tempos = (TempoChange(0, 120), TempoChange(4, 60), TempoChange(6.5, 240), TempoChange(9, 93.7))
    beats = [0.0, 1.5, 4.0, 5.25, 6.5, 8.0, 9.0, 20.0]
    notes = tuple(Note(beat, 60 + i, 0.1) for i, beat in enumerate(beats))
    midi = mido.MidiFile(file=io.BytesIO(midi_bytes(Score(notes, tempos=tempos))))
    now, heard = 0.0, []
    for message in midi:
        now += message.time
        if message.type == "note_on" and message.velocity:
            heard.append(now)
    np.testing.assert_allclose(seconds_at_beats(tempos, beats), heard, atol=2e-3)


def test_beats_before_the_first_tempo_run_at_120():
    assert seconds_at_beats((TempoChange(4, 60),), 6.0) == pytest.approx(2.0 + 2.0)
    assert seconds_at_beats((), [[2.0], [-2.0]]).tolist() == [[1.0], [-1.0]]


def test_a_tempo_before_beat_0_holds_at_0():
    assert seconds_at_beats((TempoChange(-3, 60),), 2.0) == pytest.approx(2.0)


# --- piano ---


@pytest.mark.parametrize("rate", [22050, 44100, 48000])
def test_a_note_starts_within_10_ms_of_its_moment(rate: int):
    for pitch in (24, 60, 96):
        audio = render_piano(Score((Note(3, pitch, 1, 90),)), sampling_rate=rate)
        assert 0 <= onset_of(audio, rate) - 1.5 < 0.01


def test_tempo_changes_move_the_notes():
    tempos = (TempoChange(0, 120), TempoChange(4, 60))
    audio = render_piano(Score((Note(6, 60, 1, 90),), tempos=tempos))
    assert onset_of(audio, RATE) == pytest.approx(4.0, abs=0.01)


@pytest.mark.parametrize("pitch", [33, 45, 57, 60, 69, 81, 93, 105])
def test_keys_are_in_tune(pitch: int):
    audio = render_piano(Score((Note(0, pitch, 6, 100),)))
    assert abs(pitch_in_cents(audio, pitch, RATE)) < 12


def test_all_128_pitches_sound():
    for pitch in (*range(0, 128, 9), 127):
        assert np.abs(render_piano(Score((Note(0, pitch, 1, 100),)))).max() > 1e-3


def test_velocity_sets_the_level():
    levels = [np.abs(render_piano(Score((Note(0, 60, 1, v),)))).max() for v in (1, 30, 77, 127)]
    assert levels == sorted(levels)
    assert levels[3] / levels[2] == pytest.approx((127 / 77) ** 2, rel=1e-3)
    assert 0.1 < levels[3] < 0.4


def test_the_last_release_is_not_cut():
    audio = render_piano(Score((Note(0, 60, 1, 127),)))
    assert len(audio) / RATE > 1.0
    assert np.abs(audio[-50:]).max() < 1e-3 * np.abs(audio).max()


def test_the_damper_ends_a_note_and_the_pedal_holds_it():
    note = Note(0, 60, 1, 100)  # released at 0.5 s
    dry = render_piano(Score((note,)))
    held = render_piano(Score((note,), pedals=(Pedal(0.5, 3.5),)))  # up at 2.0 s
    assert len(held) > len(dry)
    assert level(held, 0.9) > 30 * level(dry, 0.9)
    assert level(held, 2.4) < 0.05 * level(held, 1.9)


def test_a_string_struck_again_does_not_sound_twice():
    once = render_piano(Score((Note(2, 60, 1, 100),)))
    again = render_piano(Score((Note(0, 60, 8, 100), Note(2, 60, 1, 100))))
    assert level(again, 1.5 - 0.06) < 1.2 * level(once, 1.5 - 0.06)


def test_notes_are_sums_of_their_sounds():
    low, high = Note(0, 48, 2, 90), Note(1, 67, 2, 60)
    both = render_piano(Score((low, high)))
    alone = [render_piano(Score((note,))) for note in (low, high)]
    total = np.zeros_like(both)
    for part in alone:
        total[: len(part)] += part
    np.testing.assert_allclose(both, total, atol=1e-6)


def test_a_note_before_beat_0_starts_at_0_and_one_that_ended_is_silent():
    early = render_piano(Score((Note(-1, 60, 2, 90),)))
    np.testing.assert_array_equal(early, render_piano(Score((Note(0, 60, 1, 90),))))
    assert len(render_piano(Score((Note(-2, 60, 1, 90),)))) == 0


def test_an_empty_score_has_no_sound():
    assert render_piano(Score()).shape == (0,)


def test_a_rate_of_nothing_is_refused():
    with pytest.raises(ValueError, match="sampling rate"):
        render_piano(Score(), sampling_rate=0)


# --- mix ---


def song_and_score() -> tuple[np.ndarray, Score]:
    notes = tuple(Note(i / 2, 48 + 5 * (i % 7), 0.5, 80) for i in range(16))
    return sine(5.0, RATE), Score(notes)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_song_is_left_and_piano_is_right(tmp_path: Path, suffix: str):
    song, score = song_and_score()
    write_mix(song, RATE, score, tmp_path / f"mix{suffix}")
    mix, rate = soundfile.read(tmp_path / f"mix{suffix}", dtype="float32")
    piano = render_piano(score)
    assert rate == RATE
    assert mix.shape == (max(len(song), len(piano)), 2)
    for channel, source in enumerate((song, piano)):
        heard = mix[: len(source), channel]
        assert np.corrcoef(heard, source)[0, 1] > 0.99


def test_sides_are_equally_loud_and_nothing_clips(tmp_path: Path):
    _, score = song_and_score()
    for amplitude in (0.001, 0.3, 4.0):
        write_mix(sine(5.0, RATE, amplitude), RATE, score, tmp_path / "mix.wav")
        mix, _ = soundfile.read(tmp_path / "mix.wav", dtype="float32")
        left, right = (active_loudness(mix[:, c], RATE) for c in (0, 1))
        assert 20 * np.log10(left / right) == pytest.approx(0, abs=0.1)
        assert np.abs(mix).max() == pytest.approx(0.89, abs=1e-3)


def test_silence_between_notes_does_not_count_as_quiet():
    sparse = np.concatenate([sine(1, RATE), np.zeros(9 * RATE, np.float32)])
    assert active_loudness(sparse, RATE) == pytest.approx(active_loudness(sine(1, RATE), RATE))


@pytest.mark.parametrize(("song_rate", "mix_rate"), [(8000, 44100), (48000, 48000), (96000, 44100)])
def test_the_mix_has_a_rate_that_players_play(tmp_path: Path, song_rate: int, mix_rate: int):
    write_mix(sine(1.0, song_rate), song_rate, Score((Note(0, 60, 1),)), tmp_path / "mix.wav")
    info = soundfile.info(tmp_path / "mix.wav")
    assert info.samplerate == mix_rate
    assert info.duration == pytest.approx(1.1, abs=0.01)


def test_an_empty_score_leaves_the_song_and_a_silent_song_the_piano(tmp_path: Path):
    write_mix(sine(1.0, RATE), RATE, Score(), tmp_path / "song.wav")
    mix, _ = soundfile.read(tmp_path / "song.wav")
    assert np.abs(mix).max(axis=0).tolist() == [pytest.approx(0.89, abs=1e-3), 0.0]
    write_mix(np.zeros(RATE), RATE, Score((Note(0, 60, 1),)), tmp_path / "piano.wav")
    mix, _ = soundfile.read(tmp_path / "piano.wav")
    assert np.abs(mix).max(axis=0).tolist() == [0.0, pytest.approx(0.89, abs=1e-3)]
    write_mix(np.zeros(0), RATE, Score(), tmp_path / "nothing.wav")
    assert soundfile.info(tmp_path / "nothing.wav").frames == 0


def test_another_ending_is_refused_and_leaves_nothing(tmp_path: Path):
    song, score = song_and_score()
    for name in ("mix.mp3", "mix"):
        with pytest.raises(InputError, match=r"\.wav, \.flac or \.ogg"):
            write_mix(song, RATE, score, tmp_path / name)
        with pytest.raises(InputError):
            check_mix_path(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    check_mix_path("MIX.WAV")


def test_a_song_that_is_no_song_is_refused_and_an_old_mix_stays(tmp_path: Path):
    target = tmp_path / "mix.wav"
    target.write_bytes(b"old")
    for song, message in ((np.full(9, np.nan), "finite"), (np.zeros((9, 2)), "mono")):
        with pytest.raises(ValueError, match=message):
            write_mix(song, RATE, Score(), target)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
