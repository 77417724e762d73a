"""The input that the user chose: a device, a file, a stream over the network, or a loopback."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sidekeys_bridge.audio_block import AudioInput, Block, OnBlock
from sidekeys_bridge.devices import BLOCK_HEADER, InputDevice
from sidekeys_bridge.file_input import FileInput
from sidekeys_bridge.loopback import loopback_device_name, open_platform_loopback
from sidekeys_bridge.reastream import ReaStreamInput
from sidekeys_engine.errors import InputError

Channel = int | tuple[int, int] | None

_KINDS = ("file", "reastream", "loopback")
_STALL_SECONDS = 0.5
_FIRST_BLOCK_SECONDS = 2.0  # drivers may take a while from start to the first block
_OPEN_SECONDS = 15.0
_END_SECONDS = 1.0
_PROGRAM = (sys.executable, "-m", "sidekeys_bridge.devices")


def open_input(
    choice: str,
    *,
    channel: Channel = None,
    start_seconds: float | None = None,
) -> AudioInput:
    """Open what the user chose; sound comes once it is started.

    Args:
        choice: a device's name or a part of it, or its index, or "default"; ``file:PATH``,
            ``reastream:ID`` or ``loopback:NAME``.
        channel: which channels will be heard, from 1 on; so many are opened.
        start_seconds: when a file begins to play, monotonic; None is at its start.

    Raises:
        InputError: there is no such input, or several, or it cannot be opened.
    """
    kind, rest = split_choice(choice)
    if kind == "file":
        return FileInput(rest, start_seconds=start_seconds)
    if kind == "reastream":
        return ReaStreamInput(rest)
    if kind == "loopback":
        opened = open_platform_loopback(rest)
        if opened is not None:
            return opened
        name = loopback_device_name(rest, [device.name for device in input_devices()])
        return DeviceInput(name, channel)
    return DeviceInput(rest, channel)


def split_choice(choice: str) -> tuple[str, str]:
    """Split what the user wrote into a kind and the rest.

    Returns:
        ("file" | "reastream" | "loopback" | "device", what follows the colon or the whole).

    Raises:
        InputError: nothing where a name must be.
    """
    kind, colon, rest = choice.partition(":")
    if colon and kind.lower() in _KINDS:
        kind = kind.lower()
        if kind == "reastream" and not rest:
            rest = "default"
        if not rest:
            raise InputError(f"Nothing follows {choice!r}; write {kind}:NAME.")
        return kind, rest
    if not choice.strip():
        raise InputError(
            "No input is named; give a device's name or index, file:PATH, reastream:ID or"
            " loopback:NAME."
        )
    return "device", choice.strip()


def parse_channel(text: str) -> Channel:
    """Read a channel choice: ``3``, ``3-4`` or ``all``.

    Raises:
        InputError: anything else.
    """
    if text == "all":
        return None
    numbers = text.split("-")
    if not all(number.isdecimal() and int(number) >= 1 for number in numbers) or len(numbers) > 2:
        raise InputError(f"There is no channel {text!r}; write 3, or 3-4 for a pair, or all.")
    first, last = int(numbers[0]), int(numbers[-1])
    return first if len(numbers) == 1 else (first, last)


def as_channels(samples: NDArray[np.float32], channel: Channel) -> NDArray[np.float32]:
    """The columns of (frames, channels) that are heard; all of them for None.

    A source that has fewer channels than asked for gives its last.
    """
    if channel is None:
        return samples
    numbers = (channel,) if isinstance(channel, int) else channel
    return samples[:, [min(number, samples.shape[1]) - 1 for number in numbers]]


def input_devices() -> tuple[InputDevice, ...]:
    """The sound devices there are now; it takes half a second.

    Raises:
        InputError: PortAudio is missing, or hangs.
    """
    try:
        ran = subprocess.run(  # noqa: S603
            [*_PROGRAM, "list"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_OPEN_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _unanswered() from error
    return tuple(InputDevice(**device) for device in _answer(ran.stdout)["devices"])


class DeviceInput:
    """A sound device, heard by a process of its own.

    Args:
        choice: see :func:`sidekeys_bridge.devices.find_device`.
        channel: the channel or pair that will be heard, from 1 on; None is the first two.

    Raises:
        InputError: it is not there, is in use, has too few channels, or PortAudio is missing.
    """

    def __init__(self, choice: str, channel: Channel = None) -> None:
        channels = 0 if channel is None else channel if isinstance(channel, int) else max(channel)
        self._process = subprocess.Popen(  # noqa: S603
            [*_PROGRAM, "open", choice, str(channels)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._answered = threading.Event()
        self._line = b""
        self._on_block: OnBlock | None = None
        self._started_seconds: float | None = None
        self._last_seconds: float | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._read, name="device-input", daemon=True)
        self._thread.start()
        try:
            if not self._answered.wait(_OPEN_SECONDS):
                raise _unanswered()
            about = _answer(self._line)
        except InputError:
            self.close()
            raise
        self.name: str = about["name"]
        self._rate: int = about["rate"]
        self._channels: int = about["channels"]

    def start(self, on_block: OnBlock) -> None:
        """Let the sound come."""
        self._on_block = on_block
        self._started_seconds = time.monotonic()
        self._tell(b"start\n")

    def problem(self, now_seconds: float) -> str | None:
        """Say so when the device has stopped."""
        if not self.lost(now_seconds):
            return None
        return (
            f"{self.name!r} has stopped delivering sound; is it unplugged, or its driver or server"
            " stopped? It is tried again every second."
        )

    def lost(self, now_seconds: float) -> bool:
        """True when the stream ended, or no block has come for half a second."""
        if self._started_seconds is None:
            return False
        if self._process.poll() is not None:
            return True
        if self._last_seconds is None:
            return now_seconds - self._started_seconds > _FIRST_BLOCK_SECONDS
        return now_seconds - self._last_seconds > _STALL_SECONDS

    def ended(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Let go of the device, and end the process; safe to call twice."""
        if self._closed:
            return
        self._closed = True
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._thread.join()
        self._process.stdout.close()

    def _tell(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, and `lost` says so
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _read(self) -> None:
        """Read the line about the device, then blocks, to the end."""
        output = self._process.stdout
        assert output is not None
        self._line = output.readline()
        self._answered.set()
        while len(header := output.read(BLOCK_HEADER.size)) == BLOCK_HEADER.size:
            first_frame_seconds, frames, overflowed = BLOCK_HEADER.unpack(header)
            data = output.read(frames * self._channels * 4)
            if len(data) < frames * self._channels * 4:
                return
            self._last_seconds = time.monotonic()
            samples = np.frombuffer(data, dtype=np.float32).reshape(frames, self._channels)
            if self._on_block is not None and not self._closed:
                self._on_block(Block(samples, self._rate, first_frame_seconds, overflowed))


def _answer(output: bytes) -> dict[str, Any]:
    """What the device process said.

    Raises:
        InputError: what it said is an error, or nothing.
    """
    try:
        answer: dict[str, Any] = json.loads(output)
    except ValueError as error:
        raise _unanswered() from error
    if "error" in answer:
        raise InputError(answer["error"])
    return answer


def _unanswered() -> InputError:
    return InputError(
        "The sound system does not answer; restart its server or unplug and plug in the device, and"
        " look at what `python -m sidekeys_bridge.devices list` says."
    )
