"""The listening process: it hears what is heard here, says what it cannot, and can be lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from sidekeys_engine.audio import Audio, load_audio
from sidekeys_engine.errors import InputError
from sidekeys_engine.listening import Listener
from sidekeys_engine.notes import Meter
from sidekeys_engine.render import GridChoice

SONG = Path(__file__).parents[2] / "examples" / "paper_lanterns.ogg"
CHOICE = GridChoice(tracker="librosa", meter=Meter(3, 4), tempo_factor=2.0)


@pytest.fixture(scope="module")
def audio() -> Audio:
    whole = load_audio(SONG, sampling_rate=22050)
    return Audio(whole.samples[: 15 * 22050], 22050)


@pytest.fixture(scope="module")
def listener() -> Iterator[Listener]:
    one = Listener()
    yield one
    one.close()


def test_it_hears_what_is_heard_here(listener: Listener, audio: Audio):
    there, here = listener.grid(audio, CHOICE), CHOICE.grid(audio)
    assert np.array_equal(there.seconds, here.seconds)
    assert np.array_equal(there.beats, here.beats)
    assert there.meters == here.meters


def test_what_cannot_be_heard_is_said_in_words(listener: Listener):
    with pytest.raises(InputError, match="silent"):
        listener.grid(Audio(np.zeros(44100, np.float32), 22050), CHOICE)


def test_a_lost_process_is_replaced(listener: Listener, audio: Audio):
    pid = process_of(listener).pid
    process_of(listener).kill()
    process_of(listener).wait()
    assert len(listener.grid(audio, CHOICE).beats) > 10
    assert process_of(listener).pid != pid


def test_it_ends_with_who_asks(audio: Audio):
    listener = Listener()
    listener.grid(audio, CHOICE)
    process = process_of(listener)
    watched = psutil.Process(process.pid)
    assert process.stdin is not None
    process.stdin.close()
    started = time.monotonic()
    process.wait(10)
    assert time.monotonic() - started < 5
    assert not watched.is_running()
    listener.close()


def process_of(listener: Listener):
    process = listener._process
    assert process is not None
    return process
