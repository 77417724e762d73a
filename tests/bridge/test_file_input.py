"""Promises of the file that is played in real time."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from audio_signals import noise, poll_until, write_wav
from sidekeys_bridge.audio_block import Block
from sidekeys_bridge.capture import Capture
from sidekeys_bridge.file_input import FileInput
from sidekeys_engine.errors import InputError

RATE = 44_100


def _played(source: FileInput, seconds: float) -> list[tuple[float, Block]]:
    """Blocks, each with the moment it came."""
    blocks: list[tuple[float, Block]] = []
    source.start(lambda block: blocks.append((time.monotonic(), block)))
    time.sleep(seconds)
    source.close()
    return blocks


def test_every_sample_comes_once_never_early_with_its_exact_time(tmp_path: Path) -> None:
    samples = noise(0.5, RATE)
    start = time.monotonic() + 0.1
    path = write_wav(tmp_path / "a.wav", samples, RATE)
    blocks = _played(FileInput(str(path), start_seconds=start), 1.0)
    frame = 0
    for came, block in blocks:
        assert block.first_frame_seconds == pytest.approx(start + frame / RATE, abs=1e-9)
        frame += len(block.samples)
        assert came >= start + frame / RATE - 1e-4
    together = np.concatenate([block.samples for _, block in blocks])
    assert (together[: len(samples)] == samples).all()
    assert (together[len(samples) :] == 0).all()
    assert len(together) > 0.7 * RATE


def test_it_says_when_it_has_ended_and_goes_on_as_silence(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", noise(0.3, RATE), RATE)
    capture = Capture(f"file:{path}", rate=RATE)
    try:
        poll_until(capture, lambda: capture.frames > 1000)
        assert not capture.state(time.monotonic()).ended
        poll_until(capture, lambda: capture.frames > 0.6 * RATE)
        state = capture.state(time.monotonic())
        assert state.ended
        assert state.connected
        assert state.problem is None
        assert capture.epoch == 1
    finally:
        capture.close()


@pytest.mark.parametrize(("suffix", "subtype"), [("flac", None), ("ogg", "VORBIS"), ("mp3", None)])
def test_it_plays_what_libsndfile_reads(tmp_path: Path, suffix: str, subtype: str | None) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, 0.5 * noise(0.3, RATE), RATE, subtype=subtype)
    blocks = _played(FileInput(str(path)), 0.3)
    assert max(float(np.abs(block.samples).max()) for _, block in blocks) > 0.05


def test_what_is_no_sound_is_refused_in_words(tmp_path: Path) -> None:
    text = tmp_path / "a.wav"
    text.write_text("no sound")
    for path in (text, tmp_path / "missing.wav", tmp_path):
        with pytest.raises(InputError) as refused:
            FileInput(str(path))
        assert path.name in str(refused.value)


def test_closing_twice_is_safe_and_needs_no_start(tmp_path: Path) -> None:
    source = FileInput(str(write_wav(tmp_path / "a.wav", noise(0.1, RATE), RATE)))
    source.close()
    source.close()
