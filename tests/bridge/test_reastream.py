"""Promises of ReaStream, with real packets."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from audio_signals import noise, poll_until
from sidekeys_bridge.capture import Capture
from sidekeys_bridge.reastream import ReaStreamInput, parse_packet
from sidekeys_engine.errors import InputError

RATE = 48_000
FRAMES = 150  # of stereo, as the plugin sends them


def _packet(samples: NDArray[np.float32], rate: int = RATE, name: str = "default") -> bytes:
    data = samples.T.astype("<f4").tobytes()
    header = struct.pack("<4si32sBiH", b"MRSR", 47 + len(data), name.encode(), samples.shape[1],
                         rate, len(data))  # fmt: skip
    return header + data


class Plugin:
    """Sends packets as the plugin does, at the pace of the sound."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._address = ("127.0.0.1", port)

    def send(self, samples: NDArray[np.float32], rate: int = RATE, name: str = "default") -> None:
        start = time.monotonic()
        for first in range(0, len(samples), FRAMES):
            time.sleep(max(0.0, start + first / rate - time.monotonic()))
            self.packet(_packet(samples[first : first + FRAMES], rate, name))

    def packet(self, data: bytes) -> None:
        self._socket.sendto(data, self._address)

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def listening() -> Iterator[tuple[Capture, Plugin]]:
    source = ReaStreamInput("default", port=0)
    capture = Capture("reastream:default", rate=RATE, open_input=lambda *_, **__: source)
    plugin = Plugin(source.port)
    yield capture, plugin
    capture.close()
    plugin.close()


def test_what_is_sent_is_heard_bit_for_bit(listening: tuple[Capture, Plugin]) -> None:
    capture, plugin = listening
    sent = noise(1.0, RATE)[: RATE // FRAMES * FRAMES]
    before = time.monotonic()
    plugin.send(sent)
    poll_until(capture, lambda: capture.frames >= len(sent))
    assert (capture.audio(0, len(sent)) == sent.mean(axis=1)).all()
    assert capture.epoch == 1
    assert capture.seconds_at(0) == pytest.approx(before, abs=0.02)
    state = capture.state(time.monotonic())
    assert state.connected
    assert state.rate == RATE


def test_other_streams_midi_and_rubbish_are_not_heard(listening: tuple[Capture, Plugin]) -> None:
    capture, plugin = listening
    sent = noise(0.1, RATE)[:FRAMES]
    plugin.send(sent, name="drums")
    plugin.packet(b"mRSR" + b"\0" * 60)
    plugin.packet(b"")
    plugin.packet(_packet(sent)[:30])
    plugin.send(sent)
    poll_until(capture, lambda: capture.frames > 0)
    assert capture.frames == FRAMES


def test_another_rate_begins_an_epoch(listening: tuple[Capture, Plugin]) -> None:
    capture, plugin = listening
    plugin.send(noise(0.2, RATE))
    poll_until(capture, lambda: capture.epoch == 1)
    plugin.send(noise(0.2, 44_100), rate=44_100)
    poll_until(capture, lambda: capture.epoch == 2)
    assert capture.state(time.monotonic()).rate == 44_100


def test_a_sender_may_change_how_many_channels_it_sends(listening: tuple[Capture, Plugin]) -> None:
    capture, plugin = listening
    for channels in (2, 4, 1):
        plugin.packet(_packet(noise(0.002, RATE, channels)))
    poll_until(capture, lambda: capture.frames == 3 * 96)
    plugin.send(noise(0.05, RATE))
    poll_until(capture, lambda: capture.frames > 2000)


def test_a_second_without_packets_is_told_and_mends_itself(
    listening: tuple[Capture, Plugin],
) -> None:
    capture, plugin = listening
    poll_until(capture, lambda: capture.state(time.monotonic()).problem is not None, seconds=3)
    state = capture.state(time.monotonic())
    assert "is ReaStream set to send audio to this machine" in (state.problem or "")
    assert not state.connected
    plugin.send(noise(0.05, RATE))
    poll_until(capture, lambda: capture.state(time.monotonic()).connected)


def test_the_name_that_is_sent_instead_is_told(listening: tuple[Capture, Plugin]) -> None:
    capture, plugin = listening
    deadline = time.monotonic() + 3
    while "drums" not in (capture.state(time.monotonic()).problem or ""):
        assert time.monotonic() < deadline
        plugin.send(noise(0.05, RATE), name="drums")


def test_a_taken_port_is_told() -> None:
    first = ReaStreamInput("default", port=0)
    try:
        with pytest.raises(InputError, match=f"UDP port {first.port} is taken"):
            ReaStreamInput("default", port=first.port)
    finally:
        first.close()
        first.close()


@given(st.binary(max_size=1300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for packet in (data, b"MRSR" + data):
        parsed = parse_packet(packet)
        assert parsed is None or parsed.samples.size <= len(packet) // 4


@given(st.integers(1, 64), st.integers(1, 20), st.sampled_from([44_100, 48_000, 96_000]))
def test_a_packet_is_read_as_it_was_packed(channels: int, frames: int, rate: int) -> None:
    samples = noise(1.0, frames, channels)
    parsed = parse_packet(_packet(samples, rate, "bus"))
    assert parsed is not None
    assert (parsed.samples == samples).all()
    assert (parsed.name, parsed.rate) == ("bus", rate)


def test_a_frame_that_is_torn_is_dropped() -> None:
    samples = noise(1.0, 10, 1)
    parsed = parse_packet(_packet(samples)[:-1])
    assert parsed is not None
    assert (parsed.samples == samples[:9]).all()
