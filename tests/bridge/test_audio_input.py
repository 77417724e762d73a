"""Promises of the choice of an input, and of devices through a real JACK server."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from audio_signals import noise, place_of, poll_until, write_wav
from jack_server import running_jack
from sidekeys_bridge.audio_input import input_devices, open_input, parse_channel, split_choice
from sidekeys_bridge.capture import Capture
from sidekeys_engine.errors import InputError

RATE = 44_100


@contextlib.contextmanager
def _listening(choice: str = "system", rate: int = RATE) -> Iterator[Capture]:
    capture = Capture(choice, rate=rate)
    try:
        yield capture
    finally:
        capture.close()


def _play(path: Path) -> subprocess.Popen[bytes]:
    """Let a player of its own send a wav to our input's ports, on the JACK server of the test."""
    ecasound = shutil.which("ecasound")
    if ecasound is None:
        pytest.fail("This test needs ecasound; type: sudo apt-get install ecasound")
    return subprocess.Popen(
        [ecasound, "-q", f"-f:f32_le,2,{RATE}", "-b:512", "-G:jack,player,notransport",
         f"-i:{path}", "-o:jack,Sidekeys In"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def _heard(capture: Capture) -> np.ndarray:
    first = capture.first_kept_frame
    return capture.audio(first, capture.frames - first)


def test_what_a_player_sends_through_jack_is_heard_bit_for_bit(tmp_path: Path) -> None:
    sent = noise(3.0, RATE)
    path = write_wav(tmp_path / "sent.wav", sent, RATE)
    with running_jack(), _listening() as capture:
        poll_until(capture, lambda: capture.state(time.monotonic()).connected)
        before = time.monotonic()
        player = _play(path)
        poll_until(capture, lambda: player.poll() is not None)
        # A busy machine may lose a period of the dummy driver; a second without loss will do.
        mono = sent.mean(axis=1)
        heard = _heard(capture)
        places = []
        for first in range(0, 2 * RATE, RATE // 2):
            with contextlib.suppress(AssertionError):
                places.append(place_of(mono[first : first + RATE], heard) - first)
        assert places
        played_seconds = capture.seconds_at(capture.first_kept_frame + places[0])
        assert before < played_seconds < time.monotonic() - 3.0


def test_the_clock_of_a_real_device_is_steady() -> None:
    with running_jack(), _listening() as capture:
        poll_until(capture, lambda: capture.frames > 3 * RATE)
        ages = []
        for _ in range(200):
            time.sleep(0.005)
            frames = capture.frames
            capture.poll(time.monotonic())
            if capture.frames > frames:
                ages.append(time.monotonic() - capture.seconds_at(capture.frames))
        # A frame is heard before it is told of, and the best case is told of at once.
        assert 0.0 < np.percentile(ages, 10) < 0.05


def test_a_server_that_dies_and_returns_at_another_rate_is_followed() -> None:
    with _listening() as capture:
        poll_until(capture, lambda: capture.state(time.monotonic()).problem is not None)
        with running_jack():
            poll_until(capture, lambda: capture.state(time.monotonic()).connected)
        poll_until(capture, lambda: not capture.state(time.monotonic()).connected)
        assert "stopped delivering sound" in (capture.state(time.monotonic()).problem or "")
        with running_jack(rate=48_000):
            poll_until(capture, lambda: capture.state(time.monotonic()).connected)
            assert capture.epoch == 2
            assert capture.state(time.monotonic()).rate == 48_000
            poll_until(capture, lambda: capture.frames - capture.epoch_first_frame > RATE // 2)
    assert threading.active_count() == 1
    assert not psutil.Process().children()


def test_devices_are_listed_and_wrong_ones_refused_in_words() -> None:
    with running_jack():
        devices = input_devices()
        assert ("system", RATE) in [(device.name, device.rate) for device in devices]
        with pytest.raises(InputError, match=r"There is no input 'none such'; there are: .*system"):
            open_input("none such")
        with pytest.raises(InputError, match="'system' has 2 channels, no channel 7"):
            open_input("system", channel=(6, 7))


def test_closing_leaves_no_process_behind() -> None:
    with running_jack():
        with _listening() as capture:
            poll_until(capture, lambda: capture.state(time.monotonic()).connected)
            ours = [child for child in psutil.Process().children() if "python" in child.name()]
            assert len(ours) == 1
        assert not ours[0].is_running()
        capture.close()


def test_a_device_process_that_is_killed_is_replaced() -> None:
    with running_jack(), _listening() as capture:
        poll_until(capture, lambda: capture.state(time.monotonic()).connected)
        next(c for c in psutil.Process().children() if "python" in c.name()).kill()
        poll_until(capture, lambda: capture.epoch == 2)
        assert capture.state(time.monotonic()).connected


@pytest.mark.parametrize(
    ("choice", "split"),
    [
        ("file:/a/b:c.wav", ("file", "/a/b:c.wav")),
        ("File:x.wav", ("file", "x.wav")),
        ("reastream:bus", ("reastream", "bus")),
        ("reastream:", ("reastream", "default")),
        ("loopback:Built-in", ("loopback", "Built-in")),
        ("hw:0,1", ("device", "hw:0,1")),
        ("3", ("device", "3")),
    ],
)
def test_a_choice_names_its_kind(choice: str, split: tuple[str, str]) -> None:
    assert split_choice(choice) == split


def test_channels_are_read() -> None:
    assert parse_channel("3") == 3
    assert parse_channel("3-4") == (3, 4)
    assert parse_channel("all") is None
    for wrong in ("0", "1-2-3", "x", "", "-1", "1-"):
        with pytest.raises(InputError, match="no channel"):
            parse_channel(wrong)
