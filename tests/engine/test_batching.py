"""Waiting windows: urgent ones first, late ones refused at once, companions change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sidekeys_engine.audio import load_audio
from sidekeys_engine.batching import (
    MOST_WAITING_OF_CLIENT,
    MOST_WINDOWS,
    GenerationTime,
    WindowQueue,
    WindowRequest,
    side_by_side,
)
from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.pianist import Pianist, Taste

EXAMPLES = Path(__file__).parents[2] / "examples"


def window(
    name: str = "1",
    *,
    client: bytes = b"a",
    due: float = 100.0,
    taste: Taste | None = None,
    number: int = 0,
) -> WindowRequest:
    return WindowRequest(
        client, name, "full", taste or Taste(), number, np.zeros(4, np.float32), np.arange(3.0),
        received_seconds=0.0, due_seconds=due,
    )  # fmt: skip


def queue_of(*requests: WindowRequest, one_takes: float = 1.0) -> WindowQueue:
    generation = GenerationTime()
    generation.measured(1, one_takes)
    queue = WindowQueue(generation)
    for request in requests:
        queue.add(request)
    return queue


def names(requests: list[WindowRequest]) -> list[str]:
    return [request.request_id for request in requests]


# --- how long it takes ---


def test_the_usual_time_is_not_moved_by_one_slow_window():
    generation = GenerationTime()
    for took in (0.2, 0.2, 9.0, 0.2):
        generation.measured(1, took)
    assert generation.seconds == pytest.approx(0.2)


def test_a_batch_takes_longer_than_a_window_and_less_than_its_windows_alone():
    generation = GenerationTime()
    generation.measured(1, 1.0)
    assert 1.0 < generation.expected(4) < 4.0
    generation.measured(4, 3.0)
    assert generation.expected(4) == 3.0
    assert generation.expected(3) < generation.expected(4) < generation.expected(8) < 6.0


def test_nothing_is_expected_before_it_was_measured():
    assert GenerationTime().seconds is None
    assert GenerationTime().expected(3) == 0.0


# --- whose turn it is ---


def test_what_waits_together_goes_together_the_most_urgent_first():
    batch, late = queue_of(window("1", due=9), window("2", due=7), window("3", due=8)).take(0.0)
    assert (names(batch), late) == (["2", "3", "1"], [])


def test_a_batch_does_not_grow_until_its_first_window_is_late():
    queue = queue_of(window("1", due=1.5), window("2", due=9), window("3", due=9))
    assert [names(queue.take(0.0)[0]) for _ in range(2)] == [["1", "2"], ["3"]]


def test_a_batch_has_a_largest_size():
    queue = queue_of(*[window(str(name)) for name in range(MOST_WINDOWS + 2)])
    assert [len(queue.take(0.0)[0]) for _ in range(3)] == [MOST_WINDOWS, 2, 0]


def test_windows_of_two_tastes_do_not_share_a_batch():
    plain, bold = Taste(), Taste(temperature=1.0, seed=3)
    queue = queue_of(window("1", taste=plain), window("2", taste=bold), window("3", taste=plain))
    assert [names(queue.take(0.0)[0]) for _ in range(2)] == [["1", "3"], ["2"]]


def test_drawn_windows_share_a_batch_only_in_the_order_that_draws_their_numbers():
    bold = Taste(temperature=1.0)
    requests = [window(str(n), taste=bold, number=n) for n in (4, 5, 7)]
    queue = queue_of(*requests)
    assert [names(queue.take(0.0)[0]) for _ in range(2)] == [["4", "5"], ["7"]]


def test_a_window_whose_turn_comes_too_late_is_given_back():
    queue = queue_of(window("1", due=5.5), window("2", due=20.0))
    batch, late = queue.take(5.0)
    assert (names(batch), names(late), len(queue)) == (["2"], ["1"], 0)


# --- what is refused ---


def test_a_window_that_would_be_late_is_refused_at_once():
    queue = queue_of()
    code, text = queue.refusal(window(due=0.9), 0.0) or ("", "")
    assert code == "late"
    assert "0.10 s too late" in text
    assert queue.refusal(window(due=1.1), 0.0) is None


def test_a_window_waits_for_what_is_played_now_and_for_what_is_more_urgent():
    queue = queue_of()
    queue.free_seconds = 2.0
    assert queue.refusal(window(due=2.9), 0.0) is not None
    assert queue.refusal(window(due=3.1), 0.0) is None
    busy = queue_of(*[window(str(n), client=bytes([n]), due=50) for n in range(8)])
    assert busy.refusal(window(due=2.0), 0.0) is None  # it goes first
    assert busy.refusal(window(due=50.0), 47.0) is not None


def test_one_client_cannot_fill_the_queue():
    queue = queue_of(*[window(str(n)) for n in range(MOST_WAITING_OF_CLIENT)])
    code, _ = queue.refusal(window("x"), 0.0) or ("", "")
    assert code == "busy"
    assert queue.refusal(window("x", client=b"b"), 0.0) is None


def test_a_client_cancels_its_own_window_alone():
    queue = queue_of(window("1", client=b"a"), window("1", client=b"b"))
    assert queue.cancel(b"c", "1") is None
    taken = queue.cancel(b"b", "1")
    assert taken is not None
    assert taken.client == b"b"
    assert [request.client for request in queue.take_all()] == [b"a"]
    assert len(queue) == 0


# --- what a window's companions change: nothing ---


@pytest.mark.parametrize("rate", [22050, 44100])
def test_every_window_keeps_its_own_samples(rate: int):
    random = np.random.default_rng(1)
    requests = []
    for start in (-0.3, 0.0, 1 / 3, 1.7):
        sound = random.normal(size=2 * rate).astype(np.float32)
        moments = start + np.cumsum(random.uniform(0.05, 0.1, 9))
        requests.append(WindowRequest(b"", "", "full", Taste(), 0, sound, moments, 0.0, 1.0))
    audio, moments = side_by_side(requests, rate)
    for request, moved in zip(requests, moments, strict=True):
        assert np.diff(moved) == pytest.approx(np.diff(request.step_seconds), abs=1e-9)
        first, last = (round(moved[at] * rate) for at in (0, -1))
        own_first = round(request.step_seconds[0] * rate)
        for at in range(first + 1, last):
            own = own_first + at - first
            inside = 0 <= own < len(request.audio)
            assert audio[at] == (request.audio[own] if inside else 0.0)


def test_a_windows_notes_are_the_same_alone_and_in_company():
    pianist = Pianist.from_pretrained(device="cpu")
    rate = pianist.sampling_rate
    song = load_audio(EXAMPLES / "paper_lanterns.ogg", sampling_rate=rate).samples
    grid = BeatGrid.from_file(EXAMPLES / "paper_lanterns.beats")
    steps, context = pianist.steps_per_window, pianist.context_steps
    windows = list(grid.windows(0.0, len(song) / rate, window_beats=pianist.window_beats))[3:7]
    requests, alone = [], []
    for index, cut in enumerate(windows):
        moments = np.asarray(grid.seconds_at(cut.step_positions(steps, before=context)))
        first = int(moments[0] * rate) - 1000 * index  # each client keeps what it likes
        part = song[first : first + 8 * rate]
        composer = ("full", "arpeggio", "block", "ballad")[index]
        requests.append(
            WindowRequest(b"", "", composer, Taste(), 0, part, moments - first / rate, 0.0, 1.0)
        )
        alone += pianist.play(song, moments[None], composer)
    audio, moments = side_by_side(requests, rate)
    together = pianist.play(audio, moments, [request.composer for request in requests])
    assert together == alone
    assert sum(map(len, alone)) > 20
