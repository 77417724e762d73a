"""Sound that tells where it is: noise, of which no two stretches are alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from sidekeys_bridge.capture import Capture

Float32 = NDArray[np.float32]


def noise(seconds: float, rate: int, channels: int = 2, seed: int = 0) -> Float32:
    """(frames, channels) at about -20 dBFS."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * rate)
    return np.asarray(0.1 * rng.standard_normal((frames, channels)), dtype=np.float32)


def write_wav(path: Path, samples: Float32, rate: int) -> Path:
    """Write a wav of 32-bit floats; return its path."""
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def poll_until(capture: Capture, done: Callable[[], bool], *, seconds: float = 15.0) -> None:
    """Poll until ``done``; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, capture.state(time.monotonic())
        capture.poll(time.monotonic())
        time.sleep(0.005)


def place_of(part: Float32, whole: Float32) -> int:
    """The frame of (frames,) ``whole`` at which the noise ``part`` begins, to the last bit."""
    for at in np.flatnonzero(whole[: len(whole) - len(part) + 1] == part[0]):
        if (whole[at : at + len(part)] == part).all():
            return int(at)
    raise AssertionError("what was played is not in what was heard")
