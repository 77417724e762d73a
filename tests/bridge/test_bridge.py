"""The whole product on a real JACK server: what a DAW hears of it, and what it survives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jack_server import running_jack
from live_session import EXAMPLE_BPM, running_bridge, running_daw, write_example
from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.cover import make_cover
from sidekeys_engine.expression import Expression, expressed
from sidekeys_engine.pianist import Pianist
from sidekeys_engine.timeline import timeline

RATE, MODEL_RATE = 44100, 22050
PERIOD = 1024  # a shorter one is lost now and then where the DAW is written in Python
BEAT_SECONDS = 60 / EXAMPLE_BPM


@pytest.fixture(scope="module")
def jack() -> Iterator[str]:
    with running_jack(period=PERIOD, rate=RATE) as name:
        yield name


def heard(folder: Path) -> tuple[np.ndarray, BeatGrid]:
    """The sound of a run and its beats, put together from its windows."""
    windows = [np.load(path) for path in sorted(folder.glob("window-*.npz"))]
    origin = min(int(window["first_frame"]) for window in windows)
    last = max(int(window["first_frame"]) + len(window["samples"]) for window in windows)
    sound = np.zeros(last - origin, dtype=np.float32)
    beats: dict[float, float] = {}
    for window in windows:
        start = int(window["first_frame"]) - origin
        sound[start : start + len(window["samples"])] = window["samples"]
        positions = float(window["start_beats"]) + np.arange(-4, 17) / 4
        moments = window["step_seconds"] + start / MODEL_RATE
        beats.update(zip(positions.tolist(), moments.tolist(), strict=True))
    ordered = np.array(sorted(beats.items()))
    return sound, BeatGrid(ordered[:, 0], ordered[:, 1])


DELAY, LAST_BEAT = 8, 24.0


def test_what_the_daw_records_is_the_offline_cover_moved_by_the_delay(jack: str, tmp_path: Path):
    song = write_example(tmp_path / "song.wav", RATE)
    kept = tmp_path / "windows"
    with running_daw(song) as daw, running_bridge(
        tmp_path, "--input", "daw", "--transport", "clock", "--delay", str(DELAY),
        "--composer", "stride", "--keep-windows", str(kept),
    ) as bridge:  # fmt: skip
        bridge.wait_until_ready()
        daw.play(seconds=(LAST_BEAT + DELAY + 1) * BEAT_SECONDS)
        daw.wait_for(lambda recorded: not recorded.is_playing)
        status = bridge.wait_for(lambda status: not status["transport"]["playing"])
        recorded = daw.recorded()
    assert status["counters"]["windows_missed"] == 0
    assert status["counters"]["late_notes_dropped"] == 0
    assert status["counters"]["sounding"] == 0
    live = [
        note
        for note in recorded.notes()
        if note.onset_seconds / BEAT_SECONDS - DELAY < LAST_BEAT - 0.1
    ]
    assert len(live) > 40

    # The same sound on the same beats, offline.
    sound, grid = heard(kept)
    plain = make_cover(sound, grid, Pianist.from_pretrained(device="cpu"), "stride")
    anchored = timeline(grid, len(sound) / MODEL_RATE).anchored
    cover = expressed(plain, anchored, Expression(dynamics=False), None, MODEL_RATE)
    onsets = grid.beats_at(anchored.seconds_at(np.array([n.onset_beats for n in cover.notes])))
    offline = [
        (round(onset * 4) / 4, note)
        for onset, note in zip(onsets.tolist(), cover.notes, strict=True)
        if onset < LAST_BEAT - 0.1
    ]
    offline.sort(key=lambda found: (found[0], found[1].pitch))
    live.sort(key=lambda note: (round(note.onset_seconds / BEAT_SECONDS * 4), note.pitch))
    assert [(n.pitch, n.velocity) for n in live] == [(n.pitch, n.velocity) for _, n in offline]

    # And where the DAW's own beats are. Machines that run tests are busy: see the benchmarks for
    # what a quiet one reaches.
    wrong = np.array(
        [
            note.onset_seconds - (beat + DELAY) * BEAT_SECONDS
            for note, (beat, _) in zip(live, offline, strict=True)
        ]
    )
    assert abs(np.median(wrong)) < 0.010
    assert np.abs(wrong).max() < 0.100
