"""Promises of the audio history."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidekeys_bridge.ring_buffer import RingBuffer


@given(st.integers(1, 40), st.lists(st.integers(0, 90), max_size=12), st.data())
def test_it_reads_what_an_endless_array_would_hold(
    capacity: int, sizes: list[int], data: st.DataObject
) -> None:
    ring = RingBuffer(capacity)
    everything = np.arange(1, sum(sizes) + 1, dtype=np.float32)
    written = 0
    for size in sizes:
        ring.write(everything[written : written + size])
        written += size
        assert ring.end == written
        assert ring.start == max(0, written - capacity)
        first = data.draw(st.integers(ring.start, ring.end))
        count = data.draw(st.integers(0, ring.end - first))
        read = ring.read(first, count)
        assert read.dtype == np.float32
        assert (read == everything[first : first + count]).all()


@pytest.mark.parametrize(("first", "count"), [(5, 1), (6, 11), (17, 1), (10, -1)])
def test_frames_that_are_not_there_are_refused(first: int, count: int) -> None:
    ring = RingBuffer(10)
    ring.write(np.zeros(16, dtype=np.float32))
    with pytest.raises(ValueError, match="frames"):
        ring.read(first, count)


def test_what_was_read_does_not_change_when_more_is_written() -> None:
    ring = RingBuffer(4)
    ring.write(np.array([1, 2, 3, 4], dtype=np.float32))
    read = ring.read(0, 4)
    ring.write(np.array([5, 6], dtype=np.float32))
    assert read.tolist() == [1, 2, 3, 4]


def test_a_history_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        RingBuffer(0)
