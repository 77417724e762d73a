"""Promises of capture, with sources that deliver what the test says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from audio_signals import noise, poll_until, write_wav
from sidekeys_bridge.audio_block import Block, OnBlock
from sidekeys_bridge.capture import Capture
from sidekeys_engine.audio import load_audio
from sidekeys_engine.errors import InputError

START = 500.0


class Source:
    """An input whose blocks the test hands over."""

    name = "source"

    def __init__(self) -> None:
        self.started = threading.Event()
        self.gone: str | None = None
        self.closed = False
        self._on_block: OnBlock | None = None

    def start(self, on_block: OnBlock) -> None:
        self._on_block = on_block
        self.started.set()

    def problem(self, now_seconds: float) -> str | None:
        return self.gone

    def lost(self, now_seconds: float) -> bool:
        return self.gone is not None

    def ended(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    def give(
        self,
        samples: NDArray[np.float32],
        rate: int,
        first_seconds: float,
        *,
        block: int = 256,
        overflowed: bool = False,
    ) -> None:
        """Hand over samples in blocks that come on time."""
        assert self.started.wait(5)
        assert self._on_block is not None
        for first in range(0, len(samples), block):
            part = samples[first : first + block]
            flagged = overflowed and first == 0
            self._on_block(Block(part, rate, first_seconds + first / rate, flagged))


@pytest.fixture
def source() -> Source:
    return Source()


def _capture(source: Source, rate: int, **settings: Any) -> Capture:
    return Capture("source", rate=rate, open_input=lambda *_, **__: source, **settings)


@pytest.fixture
def opened() -> Iterator[list[Capture]]:
    captures: list[Capture] = []
    yield captures
    for capture in captures:
        capture.close()


def test_at_equal_rates_every_sample_is_kept(source: Source, opened: list[Capture]) -> None:
    capture = _capture(source, 48_000)
    opened.append(capture)
    played = noise(2.0, 48_000)
    source.give(played, 48_000, START)
    capture.poll(START + 2)
    assert capture.frames == len(played)
    assert (capture.audio(0, len(played)) == played.mean(axis=1)).all()
    assert capture.seconds_at(0) == pytest.approx(START, abs=1e-6)
    assert capture.frame_at(START + 1.5) == pytest.approx(72_000, abs=0.1)


@pytest.mark.parametrize("input_rate", [48_000, 44_100, 96_000])
@pytest.mark.parametrize("rate", [22_050, 44_100])
def test_the_stream_is_what_the_offline_path_reads(
    source: Source, opened: list[Capture], tmp_path: Path, input_rate: int, rate: int
) -> None:
    played = noise(3.0, input_rate)
    song = write_wav(tmp_path / "song.wav", played, input_rate)
    capture = _capture(source, rate)
    opened.append(capture)
    for first in range(0, len(played), 1000):  # a poll now and then, as in life
        source.give(played[first : first + 1000], input_rate, START + first / input_rate, block=300)
        capture.poll(START)
    whole = load_audio(song, sampling_rate=rate).samples
    assert capture.frames > 2.9 * rate
    assert np.abs(capture.audio(0, capture.frames) - whole[: capture.frames]).max() < 1e-7
    assert capture.seconds_at(2.0 * rate) == pytest.approx(START + 2.0, abs=1e-5)


def test_one_channel_or_a_pair_is_heard(source: Source, opened: list[Capture]) -> None:
    played = noise(0.5, 48_000, channels=4)
    for channel, expected, told in (
        (3, played[:, 2], "3"),
        ((3, 4), played[:, 2:].mean(axis=1), "3-4"),
        (None, played.mean(axis=1), "all"),
    ):
        capture = _capture(source, 48_000, channel=channel)
        opened.append(capture)
        source.give(played, 48_000, START)
        capture.poll(START)
        assert (capture.audio(0, len(played)) == expected).all()
        assert capture.state(START).channels == told
        source.started.clear()


def test_late_callbacks_lose_nothing(source: Source, opened: list[Capture]) -> None:
    capture = _capture(source, 48_000)
    opened.append(capture)
    played = noise(4.0, 48_000)
    rng = np.random.default_rng(1)
    for first in range(0, len(played), 480):
        late = 0.1 if rng.random() < 0.05 else 0.0
        source.give(played[first : first + 480], 48_000, START + late + first / 48_000)
        capture.poll(START)
    source.give(played[:480], 48_000, START + 4.0)
    capture.poll(START)
    assert capture.epoch == 1
    assert capture.state(START).overflows == 0
    assert (capture.audio(0, len(played)) == played.mean(axis=1)).all()


@pytest.mark.parametrize("gap", [0.03, 0.4])
@pytest.mark.parametrize("rate", [48_000, 22_050])
def test_a_little_lost_sound_is_silence_and_the_rest_stays_in_its_place(
    source: Source, opened: list[Capture], gap: float, rate: int
) -> None:
    capture = _capture(source, rate)
    opened.append(capture)
    source.give(noise(2.0, 48_000), 48_000, START)
    source.give(noise(2.0, 48_000, seed=1), 48_000, START + 2.0 + gap)
    capture.poll(START + 4.0 + gap)
    assert capture.epoch == 1
    assert capture.state(START).overflows == 1
    end = capture.frames / rate
    assert end == pytest.approx(4.0 + gap, abs=0.05)  # the resampler keeps a little back
    assert capture.seconds_at(3.5 * rate) == pytest.approx(START + 3.5, abs=2e-3)
    lost = capture.audio(round((2.0 + 0.2 * gap) * rate), round(0.6 * gap * rate))
    assert np.abs(lost).max() < 0.02
    heard = capture.audio(round((2.0 + 1.2 * gap) * rate), rate)
    assert np.abs(heard).max() > 0.1


@pytest.mark.parametrize("gap", [0.6, 30.0])
def test_lost_time_begins_an_epoch(source: Source, opened: list[Capture], gap: float) -> None:
    capture = _capture(source, 48_000)
    opened.append(capture)
    before, after = noise(2.0, 48_000), noise(2.0, 48_000, seed=1)
    source.give(before, 48_000, START)
    source.give(after, 48_000, START + 2.0 + gap)
    capture.poll(START + 4.0 + gap)
    assert capture.epoch == 2
    assert capture.epoch_first_frame == len(before)
    assert capture.frames == len(before) + len(after)
    assert capture.state(START).overflows == 1
    assert capture.seconds_at(capture.epoch_first_frame) == pytest.approx(START + 2 + gap, abs=1e-4)
    across = capture.audio(len(before) - 100, 200)
    assert (across[:100] == 0).all()
    assert (across[100:] == after.mean(axis=1)[:100]).all()


def test_a_short_overflow_is_counted_and_the_music_goes_on(
    source: Source, opened: list[Capture]
) -> None:
    capture = _capture(source, 48_000)
    opened.append(capture)
    source.give(noise(3.0, 48_000), 48_000, START)
    source.give(noise(3.0, 48_000), 48_000, START + 3.005, overflowed=True)
    capture.poll(START + 6)
    assert capture.epoch == 1
    assert capture.state(START + 6).overflows == 1
    assert capture.seconds_at(5 * 48_000) == pytest.approx(START + 5.005, abs=2e-4)


def test_another_rate_begins_an_epoch(source: Source, opened: list[Capture]) -> None:
    capture = _capture(source, 44_100)
    opened.append(capture)
    source.give(noise(1.0, 44_100), 44_100, START)
    source.give(noise(1.0, 48_000), 48_000, START + 1.0)
    capture.poll(START + 2)
    assert capture.epoch == 2
    assert capture.state(START + 2).rate == 48_000
    assert capture.seconds_at(capture.epoch_first_frame) == pytest.approx(START + 1.0, abs=1e-6)


def test_frames_that_are_not_there_are_refused(source: Source, opened: list[Capture]) -> None:
    capture = _capture(source, 48_000, history_seconds=1.0)
    opened.append(capture)
    with pytest.raises(ValueError, match="not captured yet"):
        capture.audio(0, 10)
    assert (capture.audio(-10, 10) == 0).all()
    source.give(noise(2.0, 48_000), 48_000, START)
    capture.poll(START)
    assert capture.first_kept_frame == 48_000
    assert len(capture.audio(48_000, 48_000)) == 48_000
    for first, count in ((47_999, 10), (95_999, 2), (-10, 20)):
        with pytest.raises(ValueError, match="frame"):
            capture.audio(first, count)


def test_who_does_not_poll_for_long_loses_sound_and_no_memory(
    source: Source, opened: list[Capture]
) -> None:
    capture = _capture(source, 48_000)
    opened.append(capture)
    source.give(noise(1.0, 48_000), 48_000, START)
    capture.poll(START)
    silence = np.zeros((4800, 2), dtype=np.float32)
    for second in np.arange(1.0, 60.0, 0.1):
        source.give(silence, 48_000, START + second, block=4800)
    capture.poll(START + 60)
    assert capture.frames < 12 * 48_000
    source.give(noise(1.0, 48_000), 48_000, START + 60)
    capture.poll(START + 61)
    assert capture.epoch == 2


def test_a_lost_input_is_told_released_and_opened_again() -> None:
    sources = [Source(), Source()]
    opened = iter(sources)

    def open_next(*_: Any, **__: Any) -> Source:
        source = next(opened, None)
        if source is None:
            raise InputError("The interface is unplugged; plug it in.")
        return source

    capture = Capture("source", rate=48_000, open_input=open_next)
    try:
        sources[0].give(noise(0.5, 48_000), 48_000, START)
        poll_until(capture, lambda: capture.state(START).connected)
        sources[0].gone = "It is unplugged; plug it in."
        poll_until(capture, lambda: sources[0].closed)
        state = capture.state(START)
        assert not state.connected
        assert state.problem == "It is unplugged; plug it in."
        sources[1].give(noise(0.5, 48_000), 48_000, START + 3)
        poll_until(capture, lambda: capture.state(START).connected)
        assert capture.epoch == 2
        assert capture.state(START).problem is None
        sources[1].gone = "gone again"
        poll_until(capture, lambda: "unplugged; plug" in (capture.state(START).problem or ""))
    finally:
        capture.close()


@pytest.mark.parametrize("fault", [OSError("no process"), RuntimeError("0x88890004")])
def test_whatever_a_driver_raises_is_told_and_the_input_tried_again(fault: Exception) -> None:
    good = Source()
    sources: list[Exception | Source] = [fault, fault, good]

    def open_next(*_: Any, **__: Any) -> Source:
        found = sources.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    capture = Capture("source", rate=48_000, open_input=open_next)
    try:
        poll_until(capture, lambda: str(fault) in (capture.state(START).problem or ""))
        assert "tried again every second" in (capture.state(START).problem or "")
        good.give(noise(0.5, 48_000), 48_000, START)
        poll_until(capture, lambda: capture.state(START).connected)
        assert capture.state(START).problem is None
        good.close = raising(fault)  # type: ignore[method-assign]
        good.gone = "unplugged"
        sources.append(Source())
        poll_until(capture, lambda: sources == [])
    finally:
        capture.close()


def raising(fault: Exception) -> Callable[[], None]:
    def close() -> None:
        raise fault

    return close


def test_a_choice_that_can_never_work_is_refused_at_once(tmp_path: Path) -> None:
    text = tmp_path / "song.txt"
    text.write_text("la la la")
    for choice in ("", "file:", "loopback:", f"file:{tmp_path / 'none.wav'}", f"file:{text}"):
        with pytest.raises(InputError):
            Capture(choice, rate=44_100)


def test_another_input_can_be_chosen_while_running(tmp_path: Path) -> None:
    first = write_wav(tmp_path / "a.wav", noise(5.0, 44_100), 44_100)
    second = write_wav(tmp_path / "b.wav", noise(5.0, 48_000, seed=1), 48_000)
    capture = Capture(f"file:{first}", rate=44_100)
    try:
        poll_until(capture, lambda: capture.frames > 1000)
        with pytest.raises(InputError, match=r"none\.wav"):
            capture.retune(f"file:{tmp_path / 'none.wav'}")
        assert capture.state(time.monotonic()).choice == f"file:{first}"
        capture.retune(f"file:{second}")
        poll_until(capture, lambda: capture.epoch == 2)
        assert capture.state(time.monotonic()).name == "b.wav"
        assert capture.state(time.monotonic()).rate == 48_000
    finally:
        capture.close()
        capture.close()
    assert threading.active_count() == 1


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf, 1e38])
@pytest.mark.parametrize("rate", [48_000, 22_050])
def test_samples_that_are_no_sound_are_silence_and_do_not_stay(
    source: Source, opened: list[Capture], broken: float, rate: int
) -> None:
    capture = _capture(source, rate)
    opened.append(capture)
    played = noise(8.0, 48_000)
    played[1000:1010] = broken
    source.give(played[:48_000], 48_000, START)
    capture.poll(START + 1)
    state = capture.state(START + 1)
    assert np.isfinite([state.level_db, state.peak_db, state.silent_seconds]).all()
    source.give(played[48_000:], 48_000, START + 1)
    capture.poll(START + 8)
    kept = capture.audio(0, capture.frames)
    assert np.abs(kept).max() < 1.0
    state = capture.state(START + 8)
    assert state.level_db == pytest.approx(-20.0, abs=1.0)
    assert state.peak_db < 0.0
    assert not state.clipped


def test_a_channel_count_that_changes_is_heard_on(source: Source, opened: list[Capture]) -> None:
    capture = _capture(source, 48_000)
    opened.append(capture)
    widths = (2, 4, 1, 2)
    parts = [noise(0.1, 48_000, channels=width, seed=width) for width in widths]
    for number, part in enumerate(parts):
        source.give(part, 48_000, START + 0.1 * number)
    capture.poll(START + 0.4)  # all of them at once
    assert capture.epoch == 1
    expected = np.concatenate([part.mean(axis=1) for part in parts])
    assert np.abs(capture.audio(0, len(expected)) - expected).max() < 1e-6
