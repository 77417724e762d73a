"""ReaStream in: the plugin that sends a track's sound over UDP, out of REAPER without a driver.

A packet, little endian: ``MRSR``, int32 size of all, 32 bytes of the stream's name, uint8 channels,
int32 rate, uint16 bytes of sound, and the sound: float32, all of one channel, then all of the next.
There is no sequence number, so a lost packet shows only in the time that passes.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidekeys_bridge.audio_block import Block, OnBlock
from sidekeys_engine.errors import InputError

PORT = 58710

_HEADER = struct.Struct("<4si32sBiH")
_RATES_HZ = range(8_000, 384_001)
_MOST_CHANNELS = 64
_QUIET_SECONDS = 1.0
_RECEIVE_BYTES = 1 << 20  # a second of stereo at 96 kHz and more, for when this process is held up
_LARGEST_PACKET = 2048


@dataclass(frozen=True, slots=True, eq=False)
class Packet:
    """One packet of sound.

    Attributes:
        name: of the stream.
        rate: frames a second.
        samples: (frames, channels) float32.
    """

    name: str
    rate: int
    samples: NDArray[np.float32]


def parse_packet(data: bytes) -> Packet | None:
    """Return the sound in a packet; None for MIDI, and for what is no ReaStream packet."""
    if len(data) < _HEADER.size:
        return None
    magic, _, name, channels, rate, sound_bytes = _HEADER.unpack_from(data)
    if magic != b"MRSR" or not 1 <= channels <= _MOST_CHANNELS or rate not in _RATES_HZ:
        return None
    frames = min(sound_bytes, len(data) - _HEADER.size) // (4 * channels)
    if frames == 0:
        return None
    planar = np.frombuffer(data, "<f4", frames * channels, _HEADER.size)
    return Packet(
        name=name.split(b"\0")[0].decode("utf-8", "replace"),
        rate=rate,
        samples=np.ascontiguousarray(planar.reshape(channels, frames).T, dtype=np.float32),
    )


class ReaStreamInput:
    """Listens to one stream on this machine.

    Args:
        stream: the name set in the plugin, "default" there.
        port: UDP port; 0 lets the system choose.

    Raises:
        InputError: another program listens on the port.
    """

    def __init__(self, stream: str, *, port: int = PORT) -> None:
        self.name = f"ReaStream {stream}"
        self._stream = stream
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        self._socket.settimeout(0.1)
        try:
            self._socket.bind(("127.0.0.1", port))
        except OSError as error:
            self._socket.close()
            raise InputError(
                f"UDP port {port} is taken, by another Sidekeys or a ReaStream that receives; close"
                " that one."
            ) from error
        self.port: int = self._socket.getsockname()[1]
        self._last_seconds: float | None = None
        self._other: tuple[str, float] | None = None  # another stream's name, and when it was heard
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self, on_block: OnBlock) -> None:
        """Receive from now on."""
        self._last_seconds = time.monotonic()
        self._thread = threading.Thread(
            target=self._receive, args=(on_block,), name="reastream-input", daemon=True
        )
        self._thread.start()

    def problem(self, now_seconds: float) -> str | None:
        """Say so when no packets have come for a second."""
        if self._last_seconds is None or now_seconds - self._last_seconds < _QUIET_SECONDS:
            return None
        if self._other is not None and now_seconds - self._other[1] < _QUIET_SECONDS:
            return (
                f"ReaStream sends under the name {self._other[0]!r}, not {self._stream!r}; set the"
                f" plugin's identifier to {self._stream!r}, or choose reastream:{self._other[0]}."
            )
        return (
            "No packets come: is ReaStream set to send audio to this machine (127.0.0.1), under the"
            f" identifier {self._stream!r}?"
        )

    def lost(self, now_seconds: float) -> bool:
        """Never: the socket waits for packets."""
        return False

    def ended(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Stop listening."""
        self._closing = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._socket.close()

    def _receive(self, on_block: OnBlock) -> None:
        while not self._closing:
            try:
                data = self._socket.recv(_LARGEST_PACKET)
            except TimeoutError:
                continue
            except ConnectionResetError:  # Windows: an answer of ours, of which there is none
                continue
            now = time.monotonic()
            packet = parse_packet(data)
            if packet is None:
                continue
            if packet.name != self._stream:
                self._other = (packet.name, now)
                continue
            self._last_seconds = now
            first = now - len(packet.samples) / packet.rate
            on_block(Block(packet.samples, packet.rate, first))
