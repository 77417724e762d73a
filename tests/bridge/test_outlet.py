"""Lines by a thread of its own: real pipes that nobody reads, that are closed, that are slow."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TextIO

import pytest

from sidekeys_bridge.outlet import MOST_WAITING, Outlet

LONG_SECONDS = 30.0
# Far more than a pipe holds, which is 64 KiB.
LONG_LINE = "x" * 4096 + "\n"


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    """The end to read from, and a stream into the other."""
    reading, writing = os.pipe()
    stream = io.TextIOWrapper(os.fdopen(writing, "wb"), encoding="utf-8")
    yield reading, stream
    # Closed first, so that a thread that waits to write is let go.
    with contextlib.suppress(OSError):
        os.close(reading)
    deadline = time.monotonic() + LONG_SECONDS
    while any(thread.name == "outlet" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "the writing thread still waits"
        time.sleep(0.01)
    with contextlib.suppress(BrokenPipeError):
        stream.close()


def read_all(reading: int) -> str:
    """What comes until the other end is closed, or nothing more comes."""
    data = b""
    os.set_blocking(reading, False)
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(reading, 1 << 20):
            data += piece
            time.sleep(0.02)
    return data.decode()


def test_lines_come_out_in_their_order_when_it_is_closed(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    outlet = Outlet(stream)
    for number in range(100):
        outlet.put(f"line {number}\n", passing=number % 2 == 0)
    outlet.close()
    outlet.close()
    assert read_all(reading).splitlines() == [f"line {number}" for number in range(100)]


def test_a_reader_that_does_not_read_holds_nobody_up(pipe: tuple[int, TextIO]) -> None:
    """Were a line written by whoever puts it, this would never return."""
    _, stream = pipe
    outlet = Outlet(stream)
    started = time.monotonic()
    for _ in range(3 * MOST_WAITING):
        outlet.put(LONG_LINE)
    outlet.close(within_seconds=0.1)
    assert time.monotonic() - started < LONG_SECONDS


def test_a_slow_reader_misses_what_passes_first_and_the_newest_lines_never(
    pipe: tuple[int, TextIO],
) -> None:
    reading, stream = pipe
    outlet = Outlet(stream)
    outlet.put(LONG_LINE * 100)  # more than the pipe takes: the thread waits from here on
    while len(outlet._waiting):
        time.sleep(0.01)
    for number in range(MOST_WAITING):
        outlet.put(f"passing {number}\n", passing=True)
    for number in range(10):
        outlet.put(f"kept {number}\n")
    told: list[str] = []
    reader = threading.Thread(target=lambda: told.append(drain(reading)))
    reader.start()
    outlet.close(LONG_SECONDS)
    stream.close()
    reader.join(LONG_SECONDS)
    lines = [line for line in told[0].splitlines() if "x" not in line]
    assert lines[-10:] == [f"kept {number}" for number in range(10)]
    assert lines[0] == "passing 10"
    assert len(lines) == MOST_WAITING


def drain(reading: int) -> str:
    data = b""
    while piece := os.read(reading, 1 << 20):
        data += piece
    return data.decode()


def test_a_reader_that_went_away_is_no_fault(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    outlet = Outlet(stream)
    os.close(reading)
    deadline = time.monotonic() + LONG_SECONDS
    while outlet._thread.is_alive():
        outlet.put("for nobody\n")
        assert time.monotonic() < deadline
    for _ in range(2 * MOST_WAITING):
        outlet.put("for nobody\n")
    assert not outlet._waiting  # it keeps nothing
    outlet.close()


def test_a_stream_that_does_not_wait_is_written_in_pieces(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    os.set_blocking(stream.fileno(), False)
    outlet = Outlet(stream)
    for _ in range(100):
        outlet.put(LONG_LINE)
    told: list[str] = []
    reader = threading.Thread(target=lambda: told.append(drain(reading)))
    reader.start()
    outlet.close(LONG_SECONDS)
    stream.close()
    reader.join(LONG_SECONDS)
    assert told[0] == LONG_LINE * 100


def test_text_is_composed_anew_once_a_pause_and_at_the_end(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe
    state = ["one"]
    outlet = Outlet(
        stream, lambda lines: "".join((*lines, state[0], "\n")), pause_seconds=LONG_SECONDS
    )
    outlet.refresh()
    assert os.read(reading, 100) == b"one\n"
    state[0] = "two"
    outlet.refresh()  # not now: the pause has just begun
    outlet.put("a message\n")  # but this does not wait
    assert os.read(reading, 100) == b"a message\ntwo\n"
    state[0] = "three"
    outlet.refresh()
    outlet.close()
    assert read_all(reading) == "three\n"


def test_a_picture_that_cannot_be_drawn_costs_no_message(
    pipe: tuple[int, TextIO], caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_lines: Sequence[str]) -> str:
        raise ValueError("an odd status")

    reading, stream = pipe
    outlet = Outlet(stream, fails)
    outlet.refresh()
    outlet.put("one\n")
    outlet.put("two\n")
    outlet.close()
    assert read_all(reading) == "one\ntwo\n"
    assert "an odd status" in caplog.text


def test_letters_that_the_stream_does_not_know_are_written_as_signs() -> None:
    data = io.BytesIO()
    outlet = Outlet(io.TextIOWrapper(data, encoding="ascii"))
    outlet.put("Bühne\n")
    outlet.close()
    assert data.getvalue() == b"B\\xfchne\n"
