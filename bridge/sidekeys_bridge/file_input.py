"""A sound file played in real time, as if it came from a bus: for rehearsals and tests."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np

from sidekeys_bridge.audio_block import Block, OnBlock
from sidekeys_engine.atomic_file import check_readable, shown_path
from sidekeys_engine.errors import InputError

_BLOCK_SECONDS = 0.02


class FileInput:
    """Plays a file once, and silence from then on, paced by the monotonic clock.

    The moments given with the blocks are exact: frame n is heard n / rate seconds after the start,
    however late the thread is.

    Args:
        path: any format that libsndfile reads: wav, flac, ogg, mp3, aiff and more.
        start_seconds: the moment of the first frame, monotonic; None is the call of ``start``.

    Raises:
        InputError: no such file, or no sound in it that can be read.
    """

    def __init__(self, path: str, *, start_seconds: float | None = None) -> None:
        import soundfile  # noqa: PLC0415

        shown = shown_path(path)
        check_readable(path)
        try:
            self._file = soundfile.SoundFile(path)
        except (soundfile.LibsndfileError, TypeError) as error:
            raise InputError(
                f"{shown} is no sound file that can be played; give a wav, flac, ogg or mp3 file."
            ) from error
        self.name = Path(path).name
        self._broken = (soundfile.LibsndfileError,)
        self._shown = shown
        self._start_seconds = start_seconds
        self._damage: str | None = None
        self._ended = False
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, on_block: OnBlock) -> None:
        """Play from the start moment on; a moment that has passed is caught up with at once."""
        start = self._start_seconds if self._start_seconds is not None else time.monotonic()
        self._thread = threading.Thread(
            target=self._play, args=(on_block, start), name="file-input", daemon=True
        )
        self._thread.start()

    def problem(self, now_seconds: float) -> str | None:
        """Damage that ended the file early, if any."""
        return self._damage

    def lost(self, now_seconds: float) -> bool:
        """Never: at its end, the file goes on as silence."""
        return False

    def ended(self) -> bool:
        """True once the last frame has been played."""
        return self._ended

    def close(self) -> None:
        """Stop and close the file."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self._file.close()

    def _play(self, on_block: OnBlock, start_seconds: float) -> None:
        rate = self._file.samplerate
        frames = max(1, round(rate * _BLOCK_SECONDS))
        frame = 0
        while True:
            samples = self._next(frames)
            # A block is complete when its last frame has been at the input.
            due = start_seconds + (frame + frames) / rate
            if self._closing.wait(max(0.0, due - time.monotonic())):
                return
            on_block(Block(samples, rate, start_seconds + frame / rate))
            frame += frames

    def _next(self, frames: int) -> np.ndarray:
        """(frames, channels) float32, silence beyond the end."""
        shape = (frames, self._file.channels)
        if self._ended:
            return np.zeros(shape, dtype=np.float32)
        try:
            samples: np.ndarray = self._file.read(frames, dtype="float32", always_2d=True)
        except self._broken:
            self._damage = f"{self._shown} is damaged and ended early; export or copy it again."
            samples = np.zeros((0, shape[1]), dtype=np.float32)
        if len(samples) < frames:
            self._ended = True
            samples = np.concatenate((samples, np.zeros(shape, np.float32)))[:frames]
        return samples
