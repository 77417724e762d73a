"""What whoever watches is told of the sound: the keys that it has, where the song was then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from sidekeys_bridge.commands import BRIDGE
from sidekeys_bridge.heard import Heard
from sidekeys_bridge.spectrum import LOWEST, Spectrum
from sidekeys_engine.protocol import Message

RATE = 22_050
ZERO = 1000.0  # monotonic, of the first sample
BPM = 120.0


@dataclass
class Song:
    """A song at a steady tempo."""

    start_seconds: float
    start_beats: float = 0.0

    def beats_at(self, seconds: float) -> float:
        return self.start_beats + (seconds - self.start_seconds) * BPM / 60


def tone(hertz: float, seconds: float) -> NDArray[np.float32]:
    phase = 2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE
    return np.asarray(0.25 * np.sin(phase) + 0.1 * np.sin(2 * phase), dtype=np.float32)


class Bus:
    """Sound that comes in, and what is told of it."""

    def __init__(self) -> None:
        self.spectrum = Spectrum(RATE, 10.0)
        self.heard = Heard(self.spectrum)
        self._frames = 0

    def play(self, sound: NDArray[np.float32]) -> None:
        self.spectrum.add(sound, ZERO + self._frames / RATE)
        self._frames += len(sound)


def levels(content: dict[str, object]) -> NDArray[np.uint8]:
    """(columns, pitches)"""
    columns = content["columns"]
    assert isinstance(columns, list)
    return np.array([list(bytes.fromhex(column)) for column in columns], dtype=np.uint8)


def test_a_tone_lights_up_its_key_and_silence_none() -> None:
    bus = Bus()
    bus.play(tone(440.0, 1.0))
    content = bus.heard.event(Song(ZERO))
    assert content is not None
    BRIDGE.check_event(Message("heard", "1", content))
    assert content["lowest_pitch"] == LOWEST
    shown = levels(content)
    assert (LOWEST + shown.argmax(axis=1) == 69).all()
    assert shown[:, 69 - LOWEST].min() > 150
    assert shown[:, 72 - LOWEST].max() < 100
    bus.play(np.zeros(RATE, dtype=np.float32))
    bus.heard.event(Song(ZERO))
    bus.play(np.zeros(RATE, dtype=np.float32))
    content = bus.heard.event(Song(ZERO))
    assert content is not None
    assert levels(content).max() == 0


def test_columns_lie_where_the_song_was_and_follow_one_another() -> None:
    bus, song = Bus(), Song(ZERO - 10.0, 4.0)
    silence = np.zeros(RATE, dtype=np.float32)
    end_beats = None
    found: list[float] = []
    for sound in (silence, tone(440.0, 1.0), silence, silence):
        bus.play(sound)
        content = bus.heard.event(song)
        assert content is not None
        if end_beats is not None:
            assert content["start_beats"] == pytest.approx(end_beats)
        width = content["beats_per_column"]
        assert width == pytest.approx(0.02 * BPM / 60, rel=0.01)
        end_beats = content["start_beats"] + width * len(content["columns"])
        loud = np.flatnonzero(levels(content)[:, 69 - LOWEST] > 100)
        found += (content["start_beats"] + width * (loud + 0.5)).tolist()
    # It sounded from 1 to 2 s, which is from beat 26 to beat 28 of this song.
    assert min(found) == pytest.approx(26.0, abs=0.12)
    assert max(found) == pytest.approx(28.0, abs=0.12)


def test_nothing_is_told_while_the_song_stands_nor_made_up_for_later() -> None:
    bus = Bus()
    bus.play(tone(440.0, 1.0))
    assert bus.heard.event(None) is None
    assert bus.heard.event(Song(ZERO)) is None  # nothing new came
    bus.play(tone(440.0, 1.0))
    content = bus.heard.event(Song(ZERO))
    assert content is not None
    assert content["start_beats"] > 1.5


def test_what_was_heard_before_a_jump_is_not_told_where_the_song_is_now() -> None:
    bus = Bus()
    bus.play(tone(440.0, 1.0))
    content = bus.heard.event(Song(ZERO + 0.5, 64.0))
    assert content is not None
    assert content["start_beats"] == pytest.approx(64.0, abs=0.05)
    assert bus.heard.event(Song(ZERO + 5.0)) is None


def test_sound_that_begins_anew_is_told_from_its_start() -> None:
    bus = Bus()
    bus.play(tone(440.0, 2.0))
    bus.heard.event(Song(ZERO))
    bus.spectrum.restart()
    bus.spectrum.add(tone(440.0, 1.0), ZERO + 50.0)
    content = bus.heard.event(Song(ZERO))
    assert content is not None
    assert content["start_beats"] == pytest.approx(100.0, abs=0.2)
