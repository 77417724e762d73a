"""Promises of the warning that our own piano is on the bus, with a real song, cover and piano."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from sidekeys_bridge.own_piano import OwnPiano, Verdict
from sidekeys_engine.audio import load_audio
from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.cover import make_cover
from sidekeys_engine.pianist import Pianist
from sidekeys_engine.tempo_map import seconds_at_beats

RATE = 22_050
SONG = Path(__file__).parents[2] / "examples" / "paper_lanterns"
FONT = "/usr/share/sounds/sf2/FluidR3_GM.sf2"
DELAY_BEATS = 6.0
LATENCY_SECONDS = 0.04  # of the DAW's piano, and of our ear
ZERO = 1000.0  # monotonic, when the song starts


@dataclass(frozen=True, eq=False)
class Take:
    """A song, what was struck to it, and how that sounds."""

    song: NDArray[np.float32]
    onsets: NDArray[np.float64]  # seconds of the song, rising
    pitches: NDArray[np.int64]
    delay_seconds: float
    piano: NDArray[np.float32]


@pytest.fixture(scope="module")
def take(tmp_path_factory: pytest.TempPathFactory) -> Take:
    """The example song's cover in echo mode, played by fluidsynth."""
    song = load_audio(SONG.with_suffix(".ogg"), sampling_rate=RATE).samples
    grid = BeatGrid.from_file(SONG.with_suffix(".beats"))
    score = make_cover(song, grid, Pianist.from_pretrained(device="cpu"), "arpeggio")
    notes = sorted(score.notes, key=lambda note: note.onset_beats)
    onsets = np.asarray(seconds_at_beats(score.tempos, [note.onset_beats for note in notes]))
    ends = seconds_at_beats(score.tempos, [n.onset_beats + n.duration_beats for n in notes])
    delay = float(DELAY_BEATS * 60 / grid.tempo_bpm_at(20.0))
    folder = tmp_path_factory.mktemp("piano")
    events = [(start + delay, "note_on", n.pitch) for start, n in zip(onsets, notes, strict=True)]
    events += [(end + delay, "note_off", n.pitch) for end, n in zip(ends, notes, strict=True)]
    midi = mido.MidiFile(ticks_per_beat=1000)
    track = midi.add_track()
    track.append(mido.MetaMessage("set_tempo", tempo=1_000_000))
    at = 0
    for seconds, kind, pitch in sorted(events):
        tick = round(1000 * seconds)
        track.append(mido.Message(kind, note=pitch, velocity=80, time=tick - at))
        at = tick
    midi.save(folder / "piano.mid")
    subprocess.run(
        ["fluidsynth", "-ni", "-q", "-R", "0", "-C", "0", "-r", str(RATE),
         "-F", str(folder / "piano.wav"), FONT, str(folder / "piano.mid")],
        check=True, capture_output=True,
    )  # fmt: skip
    played, _ = soundfile.read(folder / "piano.wav", dtype="float32", always_2d=True)
    late = round(LATENCY_SECONDS * RATE)
    piano = np.zeros(len(song) + len(played) + late, dtype=np.float32)
    piano[late : late + len(played)] = played.mean(axis=1)
    pitches = np.array([note.pitch for note in notes])
    return Take(song, onsets, pitches, delay, piano[: len(song)])


def _mixed(take: Take, decibels: float | None) -> NDArray[np.float32]:
    """The bus, with the piano so much louder than the song; None is without it."""
    if decibels is None:
        return take.song
    loudness = np.sqrt(np.mean(take.song**2) / np.mean(take.piano**2))
    return take.song + np.float32(10 ** (decibels / 20) * loudness) * take.piano


def _verdicts(take: Take, bus: NDArray[np.float32]) -> list[Verdict]:
    """What is found every tenth of a second."""
    detector = OwnPiano(RATE)
    strikes = iter(zip(take.onsets, take.pitches, strict=True))
    strike = next(strikes, None)
    verdicts = []
    step = RATE // 10
    for first in range(0, len(bus) - step, step):
        now = first / RATE
        while strike is not None and strike[0] + take.delay_seconds < now + 0.3:
            source = ZERO + strike[0]
            detector.sent(source + take.delay_seconds, int(strike[1]), source)
            strike = next(strikes, None)
        verdicts.append(detector.hear(bus[first : first + step], ZERO + now))
    return verdicts


def test_the_song_that_we_cover_is_not_us(take: Take) -> None:
    verdicts = _verdicts(take, _mixed(take, None))
    assert max(verdict.notes for verdict in verdicts) >= 10  # it was judged
    assert not any(verdict.heard for verdict in verdicts)


@pytest.mark.parametrize("decibels", [-10.0, 0.0])
def test_our_piano_on_the_bus_is_noticed_within_20_seconds_of_playing(
    take: Take, decibels: float
) -> None:
    verdicts = _verdicts(take, _mixed(take, decibels))
    heard = [index / 10 for index, verdict in enumerate(verdicts) if verdict.heard]
    assert heard[0] < take.onsets[0] + take.delay_seconds + 20.0
    found = verdicts[round(10 * heard[0])]
    assert found.latency_seconds == pytest.approx(LATENCY_SECONDS, abs=0.05)


def test_the_warning_goes_when_the_piano_leaves_the_bus(take: Take) -> None:
    bus = _mixed(take, 0.0)
    bus[30 * RATE :] = take.song[30 * RATE :]
    verdicts = _verdicts(take, bus)
    assert verdicts[290].heard
    assert not verdicts[-1].heard


def test_the_piano_that_follows_late_is_not_us_before_it_could_be(take: Take) -> None:
    """Notes with no latency in the range we look at, such as a take played back much later."""
    shifted = np.roll(take.piano, RATE)
    loudness = np.sqrt(np.mean(take.song**2) / np.mean(take.piano**2))
    verdicts = _verdicts(take, take.song + np.float32(loudness / 3) * shifted)
    assert not any(verdict.heard for verdict in verdicts)


def test_a_restart_forgets_what_was_heard(take: Take) -> None:
    detector = OwnPiano(RATE)
    detector.hear(take.song[: 5 * RATE], ZERO)
    detector.restart()
    verdict = detector.hear(take.song[: 5 * RATE], ZERO + 100)
    assert verdict == Verdict(
        heard=False, latency_seconds=verdict.latency_seconds, score=0, notes=0
    )


@pytest.mark.parametrize("block", [64, 44_100])
def test_the_verdict_does_not_depend_on_the_blocks(take: Take, block: int) -> None:
    bus = _mixed(take, -6.0)[: 25 * RATE]
    verdicts = []
    for step in (441, block):
        detector = OwnPiano(RATE)
        for onset, pitch in zip(take.onsets, take.pitches, strict=True):
            detector.sent(ZERO + onset + take.delay_seconds, int(pitch), ZERO + onset)
        for first in range(0, len(bus), step):
            verdict = detector.hear(bus[first : first + step], ZERO + first / RATE)
        verdicts.append(verdict)
    assert verdicts[0].notes == verdicts[1].notes >= 10
    assert verdicts[0].latency_seconds == verdicts[1].latency_seconds
