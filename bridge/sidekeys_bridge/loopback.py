"""What the computer plays, as an input: loopback devices of each platform, by name.

On Linux every output of PulseAudio or PipeWire has a monitor, read with ``parec``. On Windows
WASAPI gives what an output plays, through the package soundcard. On macOS, and with VB-Cable on
Windows, a virtual cable is an ordinary input.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from sidekeys_bridge.audio_block import AudioInput, Block, OnBlock
from sidekeys_engine.errors import InputError

VIRTUAL_CABLES = ("BlackHole", "CABLE Output", "VB-Cable", "Loopback", "Soundflower", "VB-Audio")
"""How virtual cables are called; ``loopback:default`` takes the first one there is."""

_RATE = 48_000
_CHANNELS = 2
_FRAMES = 480
_STALL_SECONDS = 1.0
_FIRST_BLOCK_SECONDS = 5.0  # an idle PulseAudio output takes two to wake


def open_platform_loopback(name: str) -> AudioInput | None:
    """Open the loopback of an output, where the platform has such a thing.

    Args:
        name: of the output, or a part of it, or "default".

    Returns:
        The input; None where only virtual cables can do it, which are ordinary inputs.

    Raises:
        InputError: there is no such output, or what is needed to listen to it.
    """
    platform: str = sys.platform  # a variable, or mypy checks one platform's lines only
    if platform.startswith("linux"):
        return MonitorInput(name)
    if platform == "win32" and not _is_cable(name):
        return SoundcardInput(name)
    return None


def loopback_device_name(name: str, inputs: Sequence[str]) -> str:
    """Which of the inputs is the virtual cable ``name``.

    Raises:
        InputError: none is.
    """
    cables = [found for found in inputs if _is_cable(found)]
    fitting = [
        found
        for found in (cables if name.lower() == "default" else inputs)
        if name.lower() == "default" or name.lower() in found.lower()
    ]
    if fitting:
        return fitting[0]
    advice = (
        "install BlackHole (brew install blackhole-2ch)"
        if sys.platform == "darwin"
        else "install VB-Cable"
    )
    have = ", ".join(cables) or "none"
    raise InputError(
        f"There is no virtual cable {name!r} (there is {have}); {advice} and send the bus to it."
    )


def _is_cable(name: str) -> bool:
    return any(cable.lower() in name.lower() for cable in VIRTUAL_CABLES)


class MonitorInput:
    """What an output of PulseAudio or PipeWire plays.

    Args:
        name: of the output, its description, a part of one, or "default".

    Raises:
        InputError: no server runs, there is no such output, or ``parec`` is missing.
    """

    def __init__(self, name: str) -> None:
        self._parec = _program("parec")
        self._source, self.name = _find_monitor(name)
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._last_seconds = 0.0

    def start(self, on_block: OnBlock) -> None:
        """Let ``parec`` run."""
        self._process = subprocess.Popen(  # noqa: S603
            [
                self._parec,
                f"--device={self._source}",
                "--raw",
                "--format=float32le",
                f"--rate={_RATE}",
                f"--channels={_CHANNELS}",
                "--latency-msec=10",
                "--client-name=Sidekeys",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._last_seconds = time.monotonic() + _FIRST_BLOCK_SECONDS - _STALL_SECONDS
        self._thread = threading.Thread(
            target=self._read, args=(on_block,), name="monitor-input", daemon=True
        )
        self._thread.start()

    def problem(self, now_seconds: float) -> str | None:
        """Say so when the server has gone."""
        if not self.lost(now_seconds):
            return None
        return f"The monitor of {self.name!r} is silent; is the sound server running?"

    def lost(self, now_seconds: float) -> bool:
        """True when parec ended or gives nothing."""
        if self._process is None:
            return False
        gone = self._process.poll() is not None
        return gone or now_seconds - self._last_seconds > _STALL_SECONDS

    def ended(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """End parec."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        if self._thread is not None:
            self._thread.join()
        assert process.stdout is not None
        process.stdout.close()

    def _read(self, on_block: OnBlock) -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        wanted = _FRAMES * _CHANNELS * 4
        while data := process.stdout.read(wanted):
            now = time.monotonic()
            self._last_seconds = now
            samples = np.frombuffer(data[: len(data) // 8 * 8], dtype="<f4")
            block = samples.reshape(-1, _CHANNELS).astype(np.float32, copy=False)
            if len(block):
                on_block(Block(block, _RATE, now - len(block) / _RATE))


def _find_monitor(name: str) -> tuple[str, str]:
    """Return the monitor's name for the server, and the output's for people."""
    if name.lower() == "default":
        return "@DEFAULT_MONITOR@", "the default output"
    outputs = _outputs()
    lowered = name.lower()
    for fits in (
        [pair for pair in outputs if lowered in (pair[0].lower(), pair[1].lower())],
        [pair for pair in outputs if lowered == f"{pair[0]}.monitor".lower()],
        [pair for pair in outputs if lowered in pair[0].lower() or lowered in pair[1].lower()],
    ):
        if len(fits) == 1:
            return f"{fits[0][0]}.monitor", fits[0][1]
        if fits:
            several = ", ".join(repr(pair[1]) for pair in fits)
            raise InputError(f"{name!r} fits several outputs: {several}; write more of the name.")
    there = ", ".join(f"{output!r} ({words})" for output, words in outputs) or "none"
    raise InputError(f"There is no output {name!r} to listen to; there are: {there}.")


def _outputs() -> list[tuple[str, str]]:
    """Name and description of each output."""
    pactl = _program("pactl")
    try:
        listed = subprocess.run(  # noqa: S603
            [pactl, "list", "sinks"],
            capture_output=True,
            text=True,
            timeout=5.0,
            env={**os.environ, "LC_ALL": "C"},  # its words are translated otherwise
            check=True,
        ).stdout
    except (subprocess.SubprocessError, OSError) as error:
        raise InputError(
            "No PulseAudio or PipeWire server answers; start one, or choose another input."
        ) from error
    lines = [line.strip() for line in listed.splitlines()]
    found: list[tuple[str, str]] = []
    for at, line in enumerate(lines):
        if line.startswith("Name: "):
            description = lines[at + 1].partition(": ")[2] if at + 1 < len(lines) else ""
            found.append((line.partition(": ")[2], description))
    return found


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise InputError(f"{name} is missing; install it: sudo apt-get install pulseaudio-utils.")
    return path


class SoundcardInput:
    """What an output of Windows plays, through the package soundcard.

    soundcard gives silence while nothing plays, where WASAPI itself gives nothing.

    Args:
        name: of the output, a part of it, or "default".

    Raises:
        InputError: soundcard is missing, or there is no such output.
    """

    def __init__(self, name: str) -> None:
        soundcard = _soundcard()
        outputs = [
            mic for mic in soundcard.all_microphones(include_loopback=True) if mic.isloopback
        ]
        wanted = name
        if name.lower() == "default":
            wanted = soundcard.default_speaker().name
        fitting = [mic for mic in outputs if wanted.lower() in mic.name.lower()]
        if not fitting:
            there = ", ".join(repr(mic.name) for mic in outputs) or "none"
            raise InputError(f"There is no output {name!r} to listen to; there are: {there}.")
        self._microphone = fitting[0]
        self.name: str = fitting[0].name
        self._broken: str | None = None
        self._closing = False
        self._thread: threading.Thread | None = None

    def start(self, on_block: OnBlock) -> None:
        """Record from now on."""
        self._thread = threading.Thread(
            target=self._record, args=(on_block,), name="soundcard-input", daemon=True
        )
        self._thread.start()

    def problem(self, now_seconds: float) -> str | None:
        """Say so when the output has gone."""
        return self._broken

    def lost(self, now_seconds: float) -> bool:
        """True when recording ended."""
        return self._broken is not None

    def ended(self) -> bool:
        """Never."""
        return False

    def close(self) -> None:
        """Stop recording."""
        self._closing = True
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _record(self, on_block: OnBlock) -> None:
        # soundcard raises RuntimeError for all that the system refuses.
        with contextlib.ExitStack() as stack:
            try:
                recorder = stack.enter_context(
                    self._microphone.recorder(_RATE, channels=_CHANNELS, blocksize=_FRAMES)
                )
                while not self._closing:
                    samples = np.asarray(recorder.record(numframes=_FRAMES), dtype=np.float32)
                    now = time.monotonic()
                    on_block(Block(samples, _RATE, now - len(samples) / _RATE))
            except (RuntimeError, OSError) as error:
                self._broken = f"The output {self.name!r} cannot be listened to any more: {error}."


def _soundcard() -> Any:
    try:
        import soundcard  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            "To hear what an output plays, install soundcard (pip install soundcard), or VB-Cable."
        ) from error
    return soundcard
