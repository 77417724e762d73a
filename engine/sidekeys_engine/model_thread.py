"""The one thread that asks the model: windows first, then the turns of jobs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from typing import TypeVar

from sidekeys_engine.batching import (
    GenerationTime,
    WindowQueue,
    WindowRequest,
    late,
    side_by_side,
)
from sidekeys_engine.composers import find_composer, in_order
from sidekeys_engine.errors import InputError
from sidekeys_engine.joining import rows_of
from sidekeys_engine.messages import Message, error
from sidekeys_engine.note_tokens import StepNote
from sidekeys_engine.pianist import Pianist, Taste
from sidekeys_engine.warm_up import warm_up, warm_up_moments, warm_up_sound

# A job's turns are short while somebody plays along, so that no window waits long for one.
_WINDOWS_PER_TURN = 16
_WINDOWS_PER_SHORT_TURN = 2
_PLAYING_ALONG_SECONDS = 20.0

Post = Callable[[bytes | None, Message], None]
"""Sends a message to a client, or to all who listen if the client is None; from any thread."""

T = TypeVar("T")


class Cancelled(Exception):  # noqa: N818 - it is no error
    """The work is not wanted any more."""


@dataclass(frozen=True)
class Loaded:
    """A checkpoint that is ready to play.

    Attributes:
        name: as it was asked for.
        pianist: the checkpoint itself.
        generation: how long its batches take.
    """

    name: str
    pianist: Pianist
    generation: GenerationTime

    def composer(self, name: str) -> str:
        """The checkpoint's composer that is meant.

        Raises:
            InputError: it has none of that name.
        """
        try:
            tokens = self.pianist.model.generation_config.composer_to_feature_token
            return find_composer(name, tokens or {})
        except ValueError as problem:
            words = str(problem)
            raise InputError(f"{words[0].upper()}{words[1:]}.") from problem

    def facts(self) -> dict[str, object]:
        """What `describe` tells of it."""
        config, settings = self.pianist.model.config, self.pianist.model.generation_config
        names = in_order(settings.composer_to_feature_token or {})
        return {
            "composers": {name: settings.composer_descriptions.get(name, "") for name in names},
            "composer_default": names[0] if names else None,
            "sampling_rate": self.pianist.sampling_rate,
            "steps_per_beat": config.steps_per_beat,
            "steps_per_window": config.steps_per_window,
            "context_steps": config.context_steps,
            "has_velocity": config.velocity_levels > 1,
            "held_notes": config.held_notes,
            "device": self.pianist.model.device.type,
        }


@dataclass(frozen=True)
class Condition:
    """How far the engine has come.

    Attributes:
        state: one of the protocol's `STATES`.
        checkpoint: which one plays, or is loaded first.
        problem: what went wrong last, in words.
    """

    state: str
    checkpoint: str
    problem: str | None = None


@dataclass
class Counters:
    """What was done so far."""

    windows_done: int = 0
    windows_refused: int = 0
    batches: int = 0


@dataclass(frozen=True, eq=False)
class _Turn:
    windows: int
    work: Callable[[], None]
    generation: GenerationTime


class ModelThread:
    """Owns the model; every other thread asks it.

    Args:
        checkpoint: the first one to load.
        device: where to compute, a name of `pianist.DEVICES`.
        threads: how many cores a batch may use.
        post: where answers and events go.
    """

    def __init__(self, checkpoint: str, *, device: str, threads: int, post: Post) -> None:
        self.condition = Condition("loading", checkpoint)
        self.loaded: Loaded | None = None
        self.counters = Counters()
        self._device = device
        self._threads = threads
        self._post = post
        self._queue = WindowQueue(GenerationTime())
        self._turns: deque[_Turn] = deque()
        self._change = threading.Condition()
        self._is_closing = False
        self._last_window_seconds = -_PLAYING_ALONG_SECONDS
        self._loading = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)

    # From other threads

    def start(self) -> None:
        """Begin: the first checkpoint is loaded and warmed up, then windows are played."""
        self._thread.start()
        threading.Thread(target=self._load_first, name="loading", daemon=True).start()

    def close(self, within_seconds: float = 1.0) -> bool:
        """End; what waits is answered with "cancelled". Returns whether the thread has ended."""
        with self._change:
            self._is_closing = True
            waiting = self._queue.take_all()
            self._change.notify_all()
        for request in waiting:
            self._refuse(request, "cancelled", "The engine ends.")
        if self._thread.is_alive():
            self._thread.join(within_seconds)
        return not self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Windows that wait."""
        return len(self._queue)

    @property
    def generation_seconds(self) -> float | None:
        """How long one window takes; None before the warm-up."""
        return self.loaded.generation.seconds if self.loaded else None

    def submit(self, request: WindowRequest, now_seconds: float) -> None:
        """Let a window wait for the model, or refuse it at once."""
        with self._change:
            refusal = self._queue.refusal(request, now_seconds)
            if refusal is None:
                self._last_window_seconds = now_seconds
                self._queue.add(request)
                self._change.notify_all()
        if refusal is not None:
            self._refuse(request, *refusal)

    def cancel(self, client: bytes, request_id: str) -> bool:
        """Answer a window that waits with "cancelled"; returns whether it did wait."""
        with self._change:
            request = self._queue.cancel(client, request_id)
        if request is not None:
            self._refuse(request, "cancelled", "The request was cancelled.")
        return request is not None

    def in_turn(self, windows: int, generation: GenerationTime, work: Callable[[], T]) -> T:
        """Do something with the model when no window waits for it.

        Args:
            windows: how many it plays.
            generation: whose time is measured by it.
            work: what to do, in the model's thread.

        Raises:
            Cancelled: the engine ends.
        """
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except BaseException as problem:  # it is the caller's
                future.set_exception(problem)

        with self._change:
            if self._is_closing:
                raise Cancelled
            self._turns.append(_Turn(windows, run, generation))
            self._change.notify_all()
        while not wait([future], timeout=0.5).done:
            if self._is_closing:
                raise Cancelled
        return future.result()

    def windows_per_turn(self) -> int:
        """How many windows a job may play in one turn."""
        idle_seconds = time.monotonic() - self._last_window_seconds
        is_alone = idle_seconds > _PLAYING_ALONG_SECONDS
        return _WINDOWS_PER_TURN if is_alone else _WINDOWS_PER_SHORT_TURN

    def load(self, checkpoint: str, cancelled: threading.Event) -> Loaded:
        """Load and warm another checkpoint, then play with it; windows go on meanwhile.

        Raises:
            InputError: it cannot be loaded; the one before stays.
            Cancelled: it was cancelled, or the engine ends.
        """
        with self._loading:
            loaded = self._warmed(checkpoint, cancelled)
            with self._change:
                self.loaded = loaded
                self._queue.generation = loaded.generation
            self._become(Condition("ready", checkpoint))
            return loaded

    # Loading

    def _load_first(self) -> None:
        with contextlib.suppress(Cancelled, InputError):
            self.load(self.condition.checkpoint, threading.Event())

    def _warmed(self, checkpoint: str, cancelled: threading.Event) -> Loaded:
        try:
            pianist = Pianist.from_pretrained(checkpoint, device=self._device)
            loaded = Loaded(checkpoint, pianist, GenerationTime())
            self._become_first("warming")
            self._warm(loaded, cancelled)
        except Cancelled:
            raise
        except Exception as problem:  # whatever it is, the checkpoint before plays on
            text = str(problem) or type(problem).__name__
            state = "ready" if self.loaded else "failed"
            self._become(replace(self.condition, state=state, problem=text))
            raise InputError(text) from problem
        return loaded

    def _warm(self, loaded: Loaded, cancelled: threading.Event) -> None:
        pianist = loaded.pianist
        sound = warm_up_sound(pianist.sampling_rate, 4 * pianist.window_beats)
        composer = loaded.composer("composer1")

        def play(windows: int) -> float:
            if cancelled.is_set():
                raise Cancelled
            moments = warm_up_moments(
                pianist.context_steps, pianist.steps_per_window, pianist.window_beats, windows
            )
            started = time.monotonic()
            pianist.play(sound, moments, composer)
            return time.monotonic() - started

        # Only what was measured warm counts.
        warm_up(lambda windows: self.in_turn(windows, GenerationTime(), lambda: play(windows)))
        for windows in (1, 1, 1, 2, 4):
            self.in_turn(windows, loaded.generation, lambda count=windows: play(count))  # type: ignore[misc]

    def _become_first(self, state: str) -> None:
        """Tell how far the first checkpoint has come; a later one leaves the engine ready."""
        if self.loaded is None:
            self._become(replace(self.condition, state=state))

    def _become(self, condition: Condition) -> None:
        self.condition = condition
        content = {
            "state": condition.state,
            "problem": condition.problem,
            "checkpoint": condition.checkpoint,
        }
        self._post(None, Message("state", "", content))

    # In the model's thread

    def _run(self) -> None:
        while True:
            with self._change:
                while not (self._is_closing or self._turns or len(self._queue)):
                    self._change.wait()
                if self._is_closing:
                    return
                now_seconds = time.monotonic()
                batch, too_late = self._queue.take(now_seconds)
                turn = self._turns.popleft() if self._turns and not batch else None
                windows = turn.windows if turn else len(batch)
                expected = self._queue.generation.expected(windows) if windows else 0.0
                self._queue.free_seconds = now_seconds + expected
            for request in too_late:
                self._refuse(request, *late(now_seconds + expected - request.due_seconds))
            if batch:
                self._play(batch)
            if turn is not None:
                self._measured(turn.windows, turn.generation, turn.work)
            with self._change:
                self._queue.free_seconds = 0.0

    def _play(self, batch: list[WindowRequest]) -> None:
        loaded = self.loaded
        assert loaded is not None  # windows are taken only then
        started = time.monotonic()
        try:
            played = self._measured(len(batch), loaded.generation, lambda: _played(loaded, batch))
        except Exception as problem:  # whatever it is, the engine goes on
            if len(batch) > 1:  # the others must not suffer from one that cannot be played
                for request in batch:
                    self._play([request])
            else:
                self._refuse(batch[0], "failed", f"The window could not be played: {problem}")
            return
        ended = time.monotonic()
        self.counters.batches += 1
        for request, notes in zip(batch, played, strict=True):
            if ended > request.due_seconds:
                self._refuse(request, *late(ended - request.due_seconds))
                continue
            self.counters.windows_done += 1
            content = {
                "notes": rows_of(notes),
                "silent": False,
                "took_seconds": ended - started,
                "queued_seconds": started - request.received_seconds,
            }
            self._post(request.client, Message("ok", request.request_id, content))

    def _measured(self, windows: int, generation: GenerationTime, work: Callable[[], T]) -> T:
        import torch  # noqa: PLC0415

        if torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        started = time.monotonic()
        result = work()
        generation.measured(windows, time.monotonic() - started)
        return result

    def _refuse(self, request: WindowRequest, code: str, text: str) -> None:
        if code in ("late", "busy"):
            self.counters.windows_refused += 1
        self._post(request.client, error(request.request_id, code, text))


def _played(loaded: Loaded, batch: list[WindowRequest]) -> list[list[StepNote]]:
    audio, moments = side_by_side(batch, loaded.pianist.sampling_rate)
    taste: Taste = batch[0].taste
    return loaded.pianist.play(
        audio,
        moments,
        [request.composer for request in batch],
        taste=taste,
        first_window=batch[0].window_number,
    )
