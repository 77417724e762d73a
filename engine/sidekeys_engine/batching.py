"""Windows that wait for the model: whose turn it is, what goes together, what would be late."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from sidekeys_engine.pianist import Taste

MOST_WINDOWS = 8
MOST_WAITING = 64
MOST_WAITING_OF_CLIENT = 16

_REMEMBERED = 9
# How much of a window's time another one in its batch takes, until it is measured.
_SHARE_OF_COMPANION = 0.35

Audio = npt.NDArray[np.float32]
Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class WindowRequest:
    """One window that somebody wants played.

    Attributes:
        client: who asks.
        request_id: the client's id of the request.
        composer: one of the checkpoint's.
        taste: how notes are chosen.
        window_number: of the window in its song.
        audio: (samples,) at the checkpoint's rate.
        step_seconds: (context steps + steps + 1,) moments in the audio.
        received_seconds: when it came.
        due_seconds: when its answer is of no more use.
    """

    client: bytes
    request_id: str
    composer: str
    taste: Taste
    window_number: int
    audio: Audio = field(repr=False)
    step_seconds: Seconds = field(repr=False)
    received_seconds: float
    due_seconds: float

    def may_follow(self, batch: Sequence[WindowRequest]) -> bool:
        """Whether it can share a batch with windows that are in one already.

        A batch has one taste. Its rows draw their random numbers by consecutive window numbers;
        the likeliest notes need none.
        """
        if not batch:
            return True
        return self.taste == batch[0].taste and (
            self.taste.temperature == 0 or self.window_number == batch[-1].window_number + 1
        )


class GenerationTime:
    """How long the model takes for a batch, as it took lately."""

    def __init__(self) -> None:
        self._took: dict[int, deque[float]] = {}

    def measured(self, windows: int, seconds: float) -> None:
        """Take note of a batch that was played."""
        self._took.setdefault(windows, deque(maxlen=_REMEMBERED)).append(seconds)

    @property
    def seconds(self) -> float | None:
        """The usual time of one window; None before it was measured."""
        return statistics.median(self._took[1]) if 1 in self._took else None

    def expected(self, windows: int) -> float:
        """The usual time of a batch of some windows; 0.0 before anything was measured."""
        known = max((size for size in self._took if size <= windows), default=None)
        if known is None:
            return 0.0
        companions = (
            (windows - known) * _SHARE_OF_COMPANION / (1 + (known - 1) * _SHARE_OF_COMPANION)
        )
        return statistics.median(self._took[known]) * (1 + companions)


class WindowQueue:
    """The windows that wait, the most urgent first. Time is an argument; it reads no clock.

    Args:
        generation: how long batches take.
    """

    def __init__(self, generation: GenerationTime) -> None:
        self.generation = generation
        self._waiting: list[WindowRequest] = []
        self.free_seconds = 0.0
        """When the model is expected to be free."""

    def __len__(self) -> int:
        return len(self._waiting)

    def refusal(self, request: WindowRequest, now_seconds: float) -> tuple[str, str] | None:
        """Why a window is not taken, as an error's code and text; None if it is."""
        theirs = sum(waiting.client == request.client for waiting in self._waiting)
        if len(self._waiting) >= MOST_WAITING or theirs >= MOST_WAITING_OF_CLIENT:
            return (
                "busy",
                f"{len(self._waiting)} windows wait already; ask again when some are answered.",
            )
        before = sum(waiting.due_seconds <= request.due_seconds for waiting in self._waiting)
        batches, ahead = divmod(before, MOST_WINDOWS)
        expected = (
            max(now_seconds, self.free_seconds)
            + batches * self.generation.expected(MOST_WINDOWS)
            + self.generation.expected(ahead + 1)
        )
        return late(expected - request.due_seconds) if expected > request.due_seconds else None

    def add(self, request: WindowRequest) -> None:
        """Let a window wait for its turn."""
        self._waiting.append(request)
        self._waiting.sort(key=lambda waiting: waiting.due_seconds)

    def cancel(self, client: bytes, request_id: str) -> WindowRequest | None:
        """Take out a window that waits; None if it does not."""
        for request in self._waiting:
            if (request.client, request.request_id) == (client, request_id):
                self._waiting.remove(request)
                return request
        return None

    def take(self, now_seconds: float) -> tuple[list[WindowRequest], list[WindowRequest]]:
        """The next batch, and those that have become too late to play.

        A batch grows as long as that makes none of its windows late.
        """
        hopeless = now_seconds + self.generation.expected(1)
        too_late = [request for request in self._waiting if request.due_seconds < hopeless]
        batch: list[WindowRequest] = []
        for request in self._waiting:
            if request.due_seconds < hopeless or not request.may_follow(batch):
                continue
            done = now_seconds + self.generation.expected(len(batch) + 1)
            if batch and (len(batch) == MOST_WINDOWS or done > batch[0].due_seconds):
                break
            batch.append(request)
        gone = {id(request) for request in (*batch, *too_late)}
        self._waiting = [request for request in self._waiting if id(request) not in gone]
        return batch, too_late

    def take_all(self) -> list[WindowRequest]:
        """Everything that waits, because nothing will be played any more."""
        waiting, self._waiting = self._waiting, []
        return waiting


def late(by_seconds: float) -> tuple[str, str]:
    """The error's code and text for a window that comes too late."""
    return (
        "late",
        f"The window would be answered {max(0.0, by_seconds):.2f} s too late; ask earlier, or for "
        "fewer windows at a time.",
    )


def side_by_side(requests: Sequence[WindowRequest], sampling_rate: int) -> tuple[Audio, Seconds]:
    """Windows of several songs as if they were windows of one, for `Pianist.play`.

    Each window's samples are laid after those of the one before and its moments are moved with
    them, by whole samples, so that it is heard as it would be alone.

    Returns:
        (samples,) and (windows, context steps + steps + 1) seconds.
    """
    if len(requests) == 1:
        return requests[0].audio, requests[0].step_seconds[None]
    pieces, moments, length = [], [], 0
    for request in requests:
        first, last = np.floor(request.step_seconds[[0, -1]] * sampling_rate).astype(int)
        # A sample more on either side, because rounding decides which one is the first.
        piece = _with_silence(request.audio, int(first) - 1, int(last) + 2)
        moments.append(request.step_seconds + (length - (int(first) - 1)) / sampling_rate)
        pieces.append(piece)
        length += len(piece)
    return np.concatenate(pieces), np.stack(moments)


def _with_silence(audio: Audio, start: int, end: int) -> Audio:
    """Samples start..end, with silence where there is no audio."""
    piece = np.zeros(end - start, dtype=np.float32)
    first, last = max(start, 0), min(end, len(audio))
    if first < last:
        piece[first - start : last - start] = audio[first:last]
    return piece
