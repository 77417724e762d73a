"""Promises of loopback: what the computer plays, through a real PulseAudio."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest

from audio_signals import noise, place_of, poll_until, write_wav
from pulse_server import running_pulse
from sidekeys_bridge.audio_block import Block
from sidekeys_bridge.audio_input import open_input
from sidekeys_bridge.capture import Capture
from sidekeys_bridge.loopback import SoundcardInput, loopback_device_name
from sidekeys_engine.errors import InputError

RATE = 48_000


def test_what_an_output_plays_is_heard_bit_for_bit(tmp_path: Path) -> None:
    sent = noise(2.0, RATE)
    path = write_wav(tmp_path / "sent.wav", sent, RATE)
    with running_pulse(RATE) as output:
        capture = Capture("loopback:daw bus", rate=RATE)
        try:
            # An idle output takes two seconds to wake.
            poll_until(capture, lambda: capture.state(time.monotonic()).connected)
            player = subprocess.Popen(["paplay", f"--device={output}", str(path)])
            poll_until(capture, lambda: player.poll() is not None)
            heard = capture.audio(0, capture.frames)
            part = sent.mean(axis=1)[RATE // 2 : RATE]
            assert place_of(part, heard) > 0
            assert capture.state(time.monotonic()).name == "DAW Bus"
        finally:
            capture.close()
    assert threading.active_count() == 1


def test_a_server_that_goes_and_comes_back_is_followed() -> None:
    with running_pulse():
        capture = Capture("loopback:default", rate=RATE)
        poll_until(capture, lambda: capture.state(time.monotonic()).connected)
    try:
        poll_until(capture, lambda: not capture.state(time.monotonic()).connected)
        assert "server" in (capture.state(time.monotonic()).problem or "")
        with running_pulse():
            poll_until(capture, lambda: capture.epoch == 2)
            assert capture.state(time.monotonic()).connected
    finally:
        capture.close()


def test_an_output_that_is_not_there_is_told_with_those_that_are() -> None:
    with (
        running_pulse(),
        pytest.raises(InputError, match=r"no output 'hdmi' .* 'daw_bus' \(DAW Bus\)"),
    ):
        open_input("loopback:hdmi")


def test_no_sound_server_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSE_SERVER", "unix:/nowhere/native")
    with pytest.raises(InputError, match="No PulseAudio or PipeWire server answers"):
        open_input("loopback:hdmi")


def test_without_its_tools_the_way_to_install_them_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="apt-get install pulseaudio-utils"):
        open_input("loopback:default")


def test_virtual_cables_are_found_by_name() -> None:
    inputs = ["Built-in Microphone", "BlackHole 2ch", "CABLE Output (VB-Audio Virtual Cable)"]
    assert loopback_device_name("blackhole", inputs) == "BlackHole 2ch"
    assert loopback_device_name("default", inputs) == "BlackHole 2ch"
    assert loopback_device_name("cable", inputs).startswith("CABLE Output")
    with pytest.raises(InputError, match=r"no virtual cable 'default' \(there is none\); install"):
        loopback_device_name("default", inputs[:1])


class _Microphone:
    """What soundcard gives for the loopback of an output of Windows."""

    name = "Speakers (Realtek)"
    isloopback = True

    def recorder(self, rate: int, channels: int, blocksize: int) -> _Microphone:
        return self

    def __enter__(self) -> _Microphone:
        return self

    def __exit__(self, *_: object) -> None: ...

    def record(self, numframes: int) -> np.ndarray:
        time.sleep(numframes / RATE)
        return np.full((numframes, 2), 0.5)


def test_an_output_of_windows_is_heard_through_soundcard(monkeypatch: pytest.MonkeyPatch) -> None:
    microphone = _Microphone()
    soundcard = types.SimpleNamespace(
        all_microphones=lambda include_loopback: [microphone],
        default_speaker=lambda: microphone,
    )
    monkeypatch.setitem(sys.modules, "soundcard", soundcard)
    blocks: list[Block] = []
    for name in ("realtek", "default"):
        source = SoundcardInput(name)
        source.start(blocks.append)
        time.sleep(0.1)
        source.close()
        source.close()
    assert (blocks[0].samples == 0.5).all()
    assert blocks[0].samples.dtype == np.float32
    with pytest.raises(InputError, match="there are: 'Speakers"):
        SoundcardInput("hdmi")


def test_without_soundcard_the_way_to_install_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundcard", None)
    with pytest.raises(InputError, match="pip install soundcard"):
        SoundcardInput("default")
