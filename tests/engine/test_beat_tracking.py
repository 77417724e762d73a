"""What beat tracking promises, on songs synthesized with drums, bass, chords and a lead."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.beat_tracking import (
    SilenceError,
    find_downbeat,
    raw_beat_times,
    track_beats,
)
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter
from sidekeys_engine.silence import is_silent

RATE = 44_100
SECONDS = 22.0
SOUND_FONT = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"
# The extra has wheels for these alone; where it can be installed, it must be.
CAN_HAVE_ESSENTIA = sys.platform == "darwin" or (
    sys.platform == "linux" and platform.machine() == "x86_64"
)
TRACKERS = [
    pytest.param(
        "essentia",
        marks=pytest.mark.skipif(
            not CAN_HAVE_ESSENTIA, reason="essentia has no wheels for this system"
        ),
    ),
    "librosa",
]
PROGRESSIONS = [(0, 7, 9, 5), (9, 5, 0, 7), (0, 5, 7, 5)]


@dataclass(frozen=True)
class Plan:
    """A song to make."""

    bpm: float
    beats_per_bar: int = 4
    first_seconds: float = 0.5
    pickup_beats: int = 0
    four_on_the_floor: bool = False
    compound: bool = False  # three eighths to a beat


@dataclass(frozen=True)
class Song:
    audio: NDArray[np.float32]
    beats: NDArray[np.float64]
    downbeats: NDArray[np.float64]

    def cut(self, start: float, seconds: float) -> NDArray[np.float32]:
        return self.audio[round(start * RATE) : round((start + seconds) * RATE)]


ROCK = {bpm: Plan(bpm) for bpm in (90, 120, 140)}
WALTZ = Plan(110, beats_per_bar=3, first_seconds=0.9, pickup_beats=1)
DISCO = Plan(124, first_seconds=1.3, pickup_beats=2, four_on_the_floor=True)
JIG = Plan(60, beats_per_bar=2, compound=True, pickup_beats=1)


def _compose(plan: Plan) -> tuple[pretty_midi.PrettyMIDI, Song]:
    random = np.random.default_rng(round(plan.bpm))
    programs = {"drums": 0, "bass": 33, "chords": 0, "lead": 80, "pad": 48}
    parts = {k: pretty_midi.Instrument(p, is_drum=k == "drums") for k, p in programs.items()}

    def play(part: str, pitch: int, start: float, length: float, velocity: int) -> None:
        parts[part].notes.append(pretty_midi.Note(velocity, pitch, start, start + length))

    beat = 60 / plan.bpm
    bar = plan.beats_per_bar
    count = int((SECONDS - 1 - plan.first_seconds) / beat)
    starts = np.array([plan.first_seconds + beat * number for number in range(count)])
    progression = PROGRESSIONS[round(plan.bpm) % 3]
    division = 3 if plan.compound else 2
    for number, start in enumerate(starts.tolist(), -plan.pickup_beats):
        for k in range(division):
            if number < 0 or random.random() < 0.7:
                pitch = 72 + (0, 2, 4, 7, 9, 12)[random.integers(6)]
                play("lead", pitch, start + k * beat / division, 0.9 * beat / division, 85)
        if number < 0:
            continue
        root = progression[number // bar % 4]
        kick = number % bar == 0 if bar == 3 else number % 2 == 0
        play("drums", 36 if kick or plan.four_on_the_floor else 38, start, 0.1, 110)
        if plan.four_on_the_floor and number % 2:
            play("drums", 38, start, 0.1, 90)
        for k in range(division):
            play("drums", 42, start + k * beat / division, 0.05, 70)
        play("bass", 36 + root, start, 0.9 * beat, 95)
        if number % 2 == 0 or bar == 3:
            for interval in (0, 3 if root == 9 else 4, 7):
                play("chords", 60 + root + interval, start, 0.9 * beat, 75)
        if number % bar == 0:
            for interval in (0, 7):
                play("pad", 48 + root + interval, start, bar * beat, 50)
    midi = pretty_midi.PrettyMIDI(initial_tempo=plan.bpm)
    midi.instruments = list(parts.values())
    return midi, Song(np.empty(0, np.float32), starts, starts[plan.pickup_beats :: bar])


def _synthesize(midi: pretty_midi.PrettyMIDI, folder: Path) -> NDArray[np.float32]:
    fluidsynth = shutil.which("fluidsynth")
    if fluidsynth is None:
        pytest.fail("fluidsynth makes the songs; type: sudo apt-get install fluidsynth")
    song, wave = folder / "song.mid", folder / "song.wav"
    midi.write(str(song))
    command = [fluidsynth, "-niq", "-r", str(RATE), "-F", str(wave), str(SOUND_FONT), str(song)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    audio = soundfile.read(wave, dtype="float32")[0].mean(axis=1)
    audio = np.pad(audio, (0, round(SECONDS * RATE)))[: round(SECONDS * RATE)]
    return np.asarray(0.9 * audio / np.abs(audio).max(), dtype=np.float32)


@pytest.fixture(scope="session")
def song_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Plan], Song]:
    made: dict[Plan, Song] = {}

    def make(plan: Plan) -> Song:
        if plan not in made:
            midi, song = _compose(plan)
            audio = _synthesize(midi, tmp_path_factory.mktemp("song"))
            made[plan] = Song(audio, song.beats, song.downbeats)
        return made[plan]

    return make


def f_measure(found: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """As in MIREX, within 70 ms: every true beat is found once, and no other is."""
    free = list(found)
    hits = 0
    for beat in true:
        near = [other for other in free if abs(other - beat) <= 0.07]
        if near:
            free.remove(min(near, key=lambda other: abs(other - beat)))
            hits += 1
    return 2 * hits / (len(found) + len(true))


def in_song(times: NDArray[np.float64], song: Song) -> NDArray[np.float64]:
    """Without those in the silence around the music."""
    inside: NDArray[np.float64] = times[
        (times > song.beats[0] - 0.1) & (times < song.beats[-1] + 0.1)
    ]
    return inside


def bar_times(grid: BeatGrid, seconds: float) -> NDArray[np.float64]:
    bars: NDArray[np.float64] = grid.bar_lines(grid.beats_at(-0.1), grid.beats_at(seconds))
    return grid.seconds_at(bars)


def clicks(bpm: float, first: float, seconds: float) -> NDArray[np.float32]:
    audio = np.zeros(round(seconds * RATE), np.float32)
    decay = np.arange(round(0.03 * RATE)) / RATE
    click = np.sin(2 * np.pi * 1000 * decay) * np.exp(-decay / 0.01)
    for start in np.arange(first, seconds - 0.03, 60 / bpm):
        at = round(start * RATE)
        audio[at : at + click.size] += click.astype(np.float32)
    return audio


# ------------------------------------------------------------------------------------ beats


@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.parametrize("plan", [*ROCK.values(), WALTZ, DISCO], ids=str)
def test_beats_and_bars_of_a_song_are_found(
    song_of: Callable[[Plan], Song], plan: Plan, tracker: str
) -> None:
    song = song_of(plan)
    meter = Meter(plan.beats_per_bar, 4)
    grid = track_beats(song.audio, RATE, tracker=tracker, meter=meter)
    found = in_song(grid.seconds, song)
    assert f_measure(found, song.beats) >= 0.95
    assert f_measure(in_song(bar_times(grid, SECONDS), song), song.downbeats) >= 0.95
    errors = [np.abs(found - beat).min() for beat in song.beats]
    assert np.median(errors) < 0.012  # finer than either tracker alone
    assert grid.seconds[0] < 0.7
    assert grid.seconds[-1] > SECONDS - 0.7
    assert grid.meters[0].meter == meter


@pytest.mark.parametrize("tracker", TRACKERS)
def test_a_jig_keeps_its_bars_whatever_pulse_is_heard(
    song_of: Callable[[Plan], Song], tracker: str
) -> None:
    song = song_of(JIG)
    grid = track_beats(song.audio, RATE, tracker=tracker, meter=Meter(6, 8))
    assert set(np.diff(grid.beats)) <= {0.5, 1.5}
    assert f_measure(in_song(bar_times(grid, SECONDS), song), song.downbeats) >= 0.95


@pytest.mark.parametrize("tracker", TRACKERS)
def test_the_sampling_rate_does_not_matter(song_of: Callable[[Plan], Song], tracker: str) -> None:
    song = song_of(ROCK[120])
    audio = soxr.resample(song.audio, RATE, 48_000)
    grid = track_beats(audio, 48_000, tracker=tracker)
    assert f_measure(in_song(grid.seconds, song), song.beats) >= 0.95
    assert 119 < grid.tempo_bpm_at(20.0) < 121


@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.parametrize("seconds", [1.0, 2.0, 3.0, 6.0, 12.0])
def test_a_region_that_starts_on_a_downbeat_begins_with_it(
    song_of: Callable[[Plan], Song], tracker: str, seconds: float
) -> None:
    for plan, bar in ((ROCK[90], 1), (ROCK[120], 2), (WALTZ, 3)):
        song = song_of(plan)
        start = song.downbeats[bar]
        meter = Meter(plan.beats_per_bar, 4)
        grid = track_beats(song.cut(start, seconds), RATE, tracker=tracker, meter=meter)
        assert grid.seconds_at(0.0) == 0.0
        assert grid.beats[0] == 0.0
        true = song.beats[song.beats >= start - 1e-6] - start
        for beat in true[true < seconds - 0.05]:  # all are met, even at twice the tempo
            assert np.abs(grid.seconds - beat).min() < 0.07
        assert grid.windows(0.0, seconds)[0].start_beats == 0.0


@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.parametrize(("bpm", "first", "seconds"), [(113, 0.2, 12), (70, 0.5, 12), (120, 0, 3)])
def test_clicks_are_met_to_the_hundredth_of_a_second(
    tracker: str, bpm: float, first: float, seconds: float
) -> None:
    grid = track_beats(clicks(bpm, first, seconds), RATE, tracker=tracker)
    expected = np.arange(first, seconds - 0.03, 60 / bpm)
    assert np.abs(grid.seconds[: expected.size] - expected).max() < 0.01


@pytest.mark.parametrize("tracker", TRACKERS)
def test_silence_around_and_amid_the_music_is_filled_with_its_beats(
    song_of: Callable[[Plan], Song], tracker: str
) -> None:
    song = song_of(ROCK[120])
    silence = np.zeros(6 * RATE, np.float32)
    piece = song.cut(0.5, 8.0)
    grid = track_beats(
        np.concatenate([silence, piece, silence, piece, silence]), RATE, tracker=tracker
    )
    assert f_measure(grid.seconds, np.arange(0, 34, 0.5)) >= 0.9
    assert np.diff(grid.seconds).min() > 0.4


# ------------------------------------------------------------------- what cannot be tracked


@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.parametrize("level", [0.0, 5e-4])
def test_silence_is_told_by_its_level(tracker: str, level: float) -> None:
    hum = (level * np.sin(2 * np.pi * 50 * np.arange(5 * RATE) / RATE)).astype(np.float32)
    assert is_silent(hum, RATE)
    with pytest.raises(SilenceError, match="silent"):
        track_beats(hum, RATE, tracker=tracker)


def test_a_short_sound_in_silence_is_no_silence() -> None:
    audio = np.zeros(RATE, np.float32)
    assert is_silent(audio)
    assert is_silent(np.empty(0, np.float32))
    audio[1000:4000] = 0.01
    assert not is_silent(audio)


@pytest.mark.parametrize("tracker", TRACKERS)
def test_audio_without_a_beat_is_refused_in_words(
    song_of: Callable[[Plan], Song], tracker: str
) -> None:
    with pytest.raises(InputError, match=r"too short.*--bpm"):
        track_beats(song_of(ROCK[120]).cut(0.5, 0.3), RATE, tracker=tracker)
    one = np.zeros(6 * RATE, np.float32)
    one[2 * RATE] = 0.9
    with pytest.raises(InputError, match=r"no beat.*--bpm"):
        track_beats(one, RATE, tracker=tracker)


@pytest.mark.parametrize("tracker", TRACKERS)
@pytest.mark.parametrize("kind", ["noise", "whistle", "offset"])
def test_sounds_without_rhythm_give_a_grid_at_a_usual_tempo(tracker: str, kind: str) -> None:
    time = np.arange(5 * RATE) / RATE
    sound = {
        "noise": 0.1 * np.random.default_rng(0).standard_normal(time.size),
        "whistle": np.sin(2763 * time),
        "offset": np.full(time.size, 0.5),
    }[kind]
    grid = track_beats(sound.astype(np.float32), RATE, tracker=tracker)
    assert 30 < grid.tempo_bpm_at(0.0) < 300


def test_unknown_and_missing_trackers_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    audio = clicks(120, 0, 3)
    with pytest.raises(InputError, match="choose one of auto, essentia, librosa"):
        track_beats(audio, RATE, tracker="madmom")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'sidekeys\[essentia\]'"):
        track_beats(audio, RATE, tracker="essentia")
    assert track_beats(audio, RATE) == track_beats(audio, RATE, tracker="librosa")


def test_misuse_raises_and_broken_samples_are_told() -> None:
    with pytest.raises(ValueError, match="mono"):
        track_beats(np.zeros((2, RATE), np.float32), RATE)
    with pytest.raises(ValueError, match="sampling rate"):
        track_beats(np.zeros(RATE, np.float32), 0)
    with pytest.raises(InputError, match="no numbers"):
        track_beats(np.full(RATE, np.nan, np.float32), RATE)
    with pytest.raises(ValueError, match="two beats"):
        find_downbeat(clicks(120, 0, 3), RATE, np.array([0.5]))


# ---------------------------------------------------------------------- trackers' own beats


@pytest.mark.skipif(not CAN_HAVE_ESSENTIA, reason="essentia has no wheels for this system")
def test_raw_beats_of_essentia_are_its_ticks(song_of: Callable[[Plan], Song]) -> None:
    audio = song_of(ROCK[120]).audio
    found = raw_beat_times(audio, RATE, "essentia")
    from essentia.standard import RhythmExtractor2013

    ticks = RhythmExtractor2013(method="multifeature")(audio)[1]
    assert found.dtype == np.float64
    assert np.array_equal(found, ticks.astype(np.float64))
    at_48k = raw_beat_times(soxr.resample(audio, RATE, 48_000), 48_000, "essentia")
    assert 60 / np.median(np.diff(at_48k)) == pytest.approx(120, abs=1)


def test_raw_beats_of_librosa_are_its_beats(song_of: Callable[[Plan], Song]) -> None:
    import librosa

    audio = soxr.resample(song_of(ROCK[120]).audio, RATE, 22_050)
    expected = librosa.beat.beat_track(y=audio, sr=22_050, units="time")[1]
    assert np.array_equal(raw_beat_times(audio, 22_050, "librosa"), expected)


@pytest.mark.parametrize("tracker", TRACKERS)
def test_too_little_audio_has_no_raw_beats(tracker: str) -> None:
    for size in (0, 1, 2000):
        assert raw_beat_times(np.ones(size, np.float32), RATE, tracker).shape == (0,)


@pytest.mark.skipif(not CAN_HAVE_ESSENTIA, reason="essentia has no wheels for this system")
def test_essentia_says_nothing_on_the_terminal() -> None:
    code = (
        "import numpy as np; from sidekeys_engine.beat_tracking import raw_beat_times;"
        "raw_beat_times(np.random.default_rng(0).random(88200, np.float32), 44100, 'essentia')"
    )
    engine = Path(sys.modules["sidekeys_engine"].__path__[0]).parent
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=engine, check=True
    )
    assert answer.stdout + answer.stderr == ""


# --------------------------------------------------------------------------------- downbeats


@pytest.mark.parametrize("plan", [ROCK[120], WALTZ, DISCO], ids=str)
@pytest.mark.parametrize("skipped", [0, 1, 2, 3])
def test_the_downbeat_is_found_wherever_the_beats_begin(
    song_of: Callable[[Plan], Song], plan: Plan, skipped: int
) -> None:
    song = song_of(plan)
    beats = song.beats[plan.pickup_beats + skipped :]
    found = find_downbeat(song.audio, RATE, beats, Meter(plan.beats_per_bar, 4))
    assert found == -skipped % plan.beats_per_bar


def test_an_uneven_bar_of_seven_eighths_does_not_fail(song_of: Callable[[Plan], Song]) -> None:
    song = song_of(ROCK[90])
    assert 0 <= find_downbeat(song.audio, RATE, song.beats, Meter(7, 8)) <= 3
    grid = track_beats(song.audio, RATE, tracker="librosa", meter=Meter(7, 8))
    assert len(grid.windows(0.0, 10.0)) >= 4


def test_silence_has_no_downbeat_to_find() -> None:
    assert find_downbeat(np.zeros(RATE, np.float32), RATE, np.array([0.1, 0.6])) == 0
