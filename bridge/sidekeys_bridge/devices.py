"""Sound devices, through PortAudio, in a process of their own: what there is, and what it hears.

The only room that knows sounddevice. PortAudio ends the process it is in when a JACK server dies
under it (an assertion in Debian's build), and drivers crash; the bridge's port must outlive both.
So the bridge runs this room as a program and reads blocks of sound from its output:
``list`` writes the devices; ``open CHOICE CHANNELS`` writes one line about the device or what is
wrong, waits for a line, and writes blocks until its input ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
import queue
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sidekeys_bridge.jack_watch import JackWatch
from sidekeys_engine.errors import InputError

BLOCK_HEADER = struct.Struct("<dI?")
"""Before each block: seconds of its first frame, frames, whether sound was lost before it."""

_JACK_CLIENT_NAME = b"Sidekeys In"
_MOST_LATENCY_SECONDS = 1.0  # a driver that says more says nonsense
_USUAL_CHANNELS = 2
_WRITE_SECONDS = 0.02
_LOOK_SECONDS = 0.2
_JACK = "JACK Audio Connection Kit"
# Where one device shows up under several, as on Windows: the first of these that has it.
_HOST_APIS = ("ASIO", "Windows WASAPI", "Core Audio", _JACK, "ALSA")
_MME_NAME_LENGTH = 31


@dataclass(frozen=True, slots=True)
class InputDevice:
    """An input that PortAudio lists.

    Attributes:
        index: its number, as ``--input INDEX`` takes it.
        name: as the system calls it; of a JACK client, the client's name.
        host_api: the driver family, such as "ALSA" or "JACK Audio Connection Kit".
        channels: how many it has.
        rate: its own sampling rate, frames a second.
    """

    index: int
    name: str
    host_api: str
    channels: int
    rate: int


@dataclass(frozen=True, slots=True)
class _Heard:
    """What one call of the driver brought."""

    first_frame_seconds: float
    frames: int
    overflowed: bool
    data: bytes


def find_device(choice: str, devices: Sequence[InputDevice], default: int = -1) -> InputDevice:
    """The one device that a choice means.

    Args:
        choice: "default", an index, a name, or a part of one, in any case.
        devices: those to choose from.
        default: index of the system's default input; -1 if there is none.

    Raises:
        InputError: none or several fit.
    """
    if not devices:
        raise InputError(
            "This machine has no sound input; plug one in, start JACK, or use file:PATH or"
            " reastream:ID."
        )
    if choice.lower() == "default":
        wanted = [device for device in devices if device.index == default] or list(devices[:1])
        return wanted[0]
    if choice.isdecimal():
        wanted = [device for device in devices if device.index == int(choice)]
        if wanted:
            return wanted[0]
    lowered = choice.lower()
    for fits in (
        [device for device in devices if device.name == choice],
        [device for device in devices if device.name.lower() == lowered],
        [device for device in devices if lowered in device.name.lower()],
        [device for device in devices if lowered == f"{device.name}, {device.host_api}".lower()],
    ):
        if fits and _are_one(fits):
            return min(fits, key=_host_api_rank)
        if fits:
            raise InputError(
                f"{choice!r} fits several inputs: {_names(fits)}; write more of the name, or its"
                " index."
            )
    raise InputError(f"There is no input {choice!r}; there are: {_names(devices)}.")


def main(arguments: Sequence[str]) -> int:
    """Run as a program; see above.

    Args:
        arguments: ``list``, or ``open``, the choice, and the number of channels that are needed (0
            for the usual two).
    """
    # Ctrl-C in the terminal reaches this process too; the bridge says when it is over.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        if arguments[0] == "list":
            _say({"devices": [dataclasses.asdict(device) for device in _listed(_portaudio())]})
        else:
            _capture(arguments[1], int(arguments[2]))
    except InputError as error:
        _say({"error": str(error)})
    return 0


def _say(content: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(content).encode() + b"\n")
    sys.stdout.buffer.flush()


def _capture(choice: str, channels: int) -> None:
    """Open the device and write what it hears, until the input ends or the device does."""
    sd = _portaudio()
    device = find_device(choice, _listed(sd), default=_default_index(sd))
    blocks: queue.SimpleQueue[_Heard] = queue.SimpleQueue()
    stream = _opened(sd, device, channels, blocks)
    try:
        _say({"name": device.name, "rate": device.rate, "channels": stream.channels})
        if not sys.stdin.buffer.readline():
            return
        ending = threading.Event()
        threading.Thread(target=_wait_for_end, args=(ending,), daemon=True).start()
        stream.start()
        with contextlib.suppress(BrokenPipeError), _presence(device) as is_there:
            while not ending.is_set() and stream.active and is_there():
                _write(blocks)
    except sd.PortAudioError as error:
        raise _in_words(device.name, error) from error
    finally:
        # A client that leaves without a word makes some JACK servers wait for it.
        stream.close(ignore_errors=True)


@contextlib.contextmanager
def _presence(device: InputDevice) -> Iterator[Callable[[], bool]]:
    """Whether a device is still there, where PortAudio would not tell.

    A JACK client that goes away leaves us plugged into nothing, to hear silence for ever; when it
    comes back, it must be opened again.
    """
    if device.host_api != _JACK:
        yield lambda: True
        return
    looked_seconds = time.monotonic()
    with contextlib.ExitStack() as opened:
        try:
            watch = opened.enter_context(JackWatch())
        except ConnectionError:  # a libjack that we do not know
            yield lambda: True
            return

        def is_there() -> bool:
            nonlocal looked_seconds
            now_seconds = time.monotonic()
            if now_seconds - looked_seconds < _LOOK_SECONDS:
                return True
            looked_seconds = now_seconds
            return watch.sends_audio(device.name)

        yield is_there


def _write(blocks: queue.SimpleQueue[_Heard]) -> None:
    """Write what has come in a while as one block: few large ones wake the bridge less often."""
    time.sleep(_WRITE_SECONDS)
    heard: list[_Heard] = []
    while not blocks.empty():
        block = blocks.get_nowait()
        if heard and block.overflowed:
            _write_as_one(heard)
            heard = []
        heard.append(block)
    if heard:
        _write_as_one(heard)
    sys.stdout.buffer.flush()


def _write_as_one(heard: Sequence[_Heard]) -> None:
    frames = sum(block.frames for block in heard)
    first = heard[0]
    sys.stdout.buffer.write(BLOCK_HEADER.pack(first.first_frame_seconds, frames, first.overflowed))
    for block in heard:
        sys.stdout.buffer.write(block.data)


def _wait_for_end(ending: threading.Event) -> None:
    sys.stdin.buffer.read()
    ending.set()


def _opened(sd: Any, device: InputDevice, channels: int, blocks: queue.SimpleQueue[_Heard]) -> Any:
    if channels > device.channels:
        raise InputError(
            f"{device.name!r} has {device.channels} channel{'s' if device.channels > 1 else ''}, no"
            f" channel {channels}; choose a lower one."
        )

    def copy(data: Any, frames: int, times: Any, status: Any) -> None:
        # The stream's time is read again, just before ours: a call that Python's lock held up would
        # look late otherwise.
        latency = stream.time - times.inputBufferAdcTime
        now = time.monotonic()
        if not 0.0 < latency < _MOST_LATENCY_SECONDS:
            latency = frames / device.rate
        blocks.put(_Heard(now - latency, frames, bool(status.input_overflow), bytes(data)))

    try:
        stream = sd.RawInputStream(
            samplerate=device.rate,
            device=device.index,
            channels=channels or min(_USUAL_CHANNELS, device.channels),
            dtype="float32",
            latency="high",  # the moments are known whatever it is; a dropped block is worse
            callback=copy,
        )
    except sd.PortAudioError as error:
        raise _in_words(device.name, error) from error
    return stream


def _portaudio() -> Any:
    """Import sounddevice, which starts PortAudio."""
    platform: str = sys.platform  # a variable, or mypy checks one platform's lines only
    if platform == "win32":  # sounddevice brings two PortAudios, and takes that with ASIO if told
        os.environ["SD_ENABLE_ASIO"] = "1"
    try:
        import sounddevice as sd  # noqa: PLC0415
    except OSError as error:
        raise InputError(
            "PortAudio is missing; install it: sudo apt-get install libportaudio2."
        ) from error
    try:
        name_client = ctypes.CDLL(sd._libname).PaJack_SetClientName
    except (AttributeError, OSError):  # built without JACK
        return sd
    # "PortAudio" would tell nobody in a patch bay whose port it is. It must be said before the
    # start, and importing is a start.
    sd._terminate()
    name_client(_JACK_CLIENT_NAME)
    sd._initialize()
    return sd


def _listed(sd: Any) -> tuple[InputDevice, ...]:
    host_apis = sd.query_hostapis()
    return tuple(
        InputDevice(
            index=device["index"],
            name=device["name"],
            host_api=host_apis[device["hostapi"]]["name"],
            channels=device["max_input_channels"],
            rate=round(device["default_samplerate"]),
        )
        for device in sd.query_devices()
        if device["max_input_channels"] > 0
    )


def _default_index(sd: Any) -> int:
    """The default input of the first host API that has one."""
    for host_api in sd.query_hostapis():
        if host_api["default_input_device"] >= 0:
            return int(host_api["default_input_device"])
    return -1


def _are_one(devices: Sequence[InputDevice]) -> bool:
    """Whether these are one device under several host APIs; MME cuts names short."""
    if len({device.host_api for device in devices}) < len(devices):
        return False
    return len({device.name[:_MME_NAME_LENGTH] for device in devices}) == 1


def _host_api_rank(device: InputDevice) -> int:
    known = device.host_api in _HOST_APIS
    return _HOST_APIS.index(device.host_api) if known else len(_HOST_APIS)


def _names(devices: Sequence[InputDevice]) -> str:
    return ", ".join(f"{device.index} {device.name!r} ({device.host_api})" for device in devices)


def _in_words(name: str, error: Exception) -> InputError:
    """PortAudio's reason, for a musician."""
    code = error.args[1] if len(error.args) > 1 else 0
    reasons = {
        -9998: "does not give that many channels; choose other ones",
        -9997: "does not take its own sampling rate; set another one in the system's settings",
        -9996: "is not there any more; plug it in again",
        -9985: "is in use by another program, or was unplugged; close that program",
    }
    reason = reasons.get(code, f"cannot be opened ({error.args[0]}); choose another input")
    return InputError(f"The input {name!r} {reason}.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
