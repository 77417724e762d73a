"""Windows on their way: sound that is complete goes to the engine, notes come back to a memory."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sidekeys_bridge.controls import Controls
from sidekeys_bridge.memory import Played, SongMemory, Sound
from sidekeys_bridge.windows import Model, Place, place_of
from sidekeys_engine.beat_grid import BeatGrid, Cut, Window
from sidekeys_engine.expression import STEP_BEATS
from sidekeys_engine.joining import notes_of
from sidekeys_engine.loudness import Decibels, loudness_of_steps
from sidekeys_engine.note_tokens import StepNote
from sidekeys_engine.protocol import Message
from sidekeys_engine.silence import EARLY_SECONDS, sounding_span

PATIENT_SECONDS = 20.0
"""How long the notes of a window may take that nobody waits for."""
_ASLEEP_SECONDS = 1.0  # not asked for answers for so long, and how long they took is not known
_SLOWEST_OF = 24  # windows whose times tell how long the next one may take
_LOOK_SECONDS = 0.1  # the longest pause between looks for a window's last sample
_SAME_BEATS = 1e-3
_SILENCE_PEAK = 1e-4  # below it no 50 ms can reach the engine's threshold of silence
# How far a stretch's start or end, as the transport saw it, may lie within that of a window.
_SAME_PLACE_SECONDS = 0.03

Tell = Callable[[str, dict[str, Any]], None]


class Engine(Protocol):
    """What windows are sent to: `EngineClient`."""

    def request(
        self,
        command: str,
        content: Mapping[str, Any],
        buffers: Sequence[bytes] = (),
        *,
        now_seconds: float,
        within_seconds: float,
    ) -> str:
        """Send, without waiting; the request's id."""
        ...


class Bus(Protocol):
    """Where sound is taken from: `Capture`.

    Attributes:
        rate: frames a second.
        epoch: how often its time line began; 0 until sound has come, and frames have no times.
        epoch_first_frame: of the present one.
    """

    rate: int
    epoch: int
    epoch_first_frame: int

    @property
    def frames(self) -> int:
        """Frames so far."""
        ...

    def frame_at(self, seconds: float) -> float:
        """The frame of a monotonic moment."""
        ...

    def audio(self, first_frame: int, count: int) -> NDArray[np.float32]:
        """Frames that are there."""
        ...


class Run(Protocol):
    """What a window is cut from: a stretch of the song, `Stretch`."""

    @property
    def start_beats(self) -> float:
        """The song position at which it began."""
        ...

    @property
    def end_seconds(self) -> float | None:
        """When it ended; None while it goes on."""
        ...

    @property
    def start_seconds(self) -> float:
        """When it began."""
        ...

    @property
    def loop(self) -> tuple[float, float] | None:
        """What the song repeats, in quarter notes."""
        ...

    def grid(self) -> BeatGrid:
        """Its beats in monotonic seconds."""
        ...


@dataclass(frozen=True, slots=True)
class _Asked:
    window: Window
    sound: Sound
    composer: str
    seconds: float
    within_seconds: float
    memory: SongMemory
    heard_beats: float
    loudness: Decibels | None


class Hearing:
    """Cuts windows, asks the engine for their notes, and keeps what it answers.

    Args:
        bus: the sound.
        tell: is told of each window.
        kept: a folder for the sound of each window that is sent, to find out why the piano played
            what it did: `window-00001.npz` has ``samples``, the number of the ``first_frame``,
            ``step_seconds``, and the window's ``start_beats``.

    Attributes:
        model: the checkpoint; None until an engine was ready.
        windows_done: how many got their notes.
        windows_missed: how many did not, or too late.
        missed_in_a_row: how many of these since one did.
    """

    def __init__(self, bus: Bus, tell: Tell, kept: Path | None = None) -> None:
        self._bus, self._tell, self._kept = bus, tell, kept
        self._kept_count = 0
        self.model: Model | None = None
        self.windows_done = 0
        self.windows_missed = 0
        self.missed_in_a_row = 0
        self._engine: Engine | None = None
        self._asked: dict[str, _Asked] = {}
        self._seconds: deque[float] = deque(maxlen=_SLOWEST_OF)
        self._taken_seconds = -math.inf
        # Where a window is not complete, and the frame from which on to look again.
        self._incomplete: tuple[Run, float, float] | None = None

    def use_engine(self, engine: Engine, model: Model) -> None:
        """Send windows to this engine from now on."""
        self._engine, self.model = engine, model
        self._asked.clear()
        self._seconds.clear()

    def lose_engine(self) -> None:
        """What was asked of it is gone."""
        self._engine = None
        self._asked.clear()

    @property
    def is_busy(self) -> bool:
        """Whether a window is on its way, or there is no engine to send it to."""
        return self._engine is None or bool(self._asked)

    @property
    def generation_seconds(self) -> float:
        """How long the notes of a window take: the slowest lately, or what the engine measured."""
        usual = self.model.generation_seconds if self.model is not None else 0.0
        return max(self._seconds, default=usual)

    def cut(
        self, run: Run, grid: BeatGrid, position_beats: float, cut: Cut
    ) -> tuple[Window, Sound | None] | None:
        """The window whose kept beats begin at a song position, once its last sample is here.

        Args:
            run: what sounds before its start and after its end is silent. A window that it was left
                within is cut all the same, for the place will come back.
            grid: the run's.
            position_beats: where.
            cut: how windows lie.

        Returns:
            The window with its sound, or with None where the sound was lost in part; None as long
            as there is more to come, and where the run has ended before.
        """
        assert self.model is not None
        if self._bus.epoch == 0 or self._is_too_soon(run, position_beats):
            return None
        window = self.model.window_at(grid, position_beats, cut)
        steps = window.step_positions(self.model.steps, before=self.model.context_steps)
        moments = grid.seconds_at(steps)
        last_seconds = float(moments[-1])
        until_beats = math.inf
        if run.end_seconds is not None and last_seconds > run.end_seconds + _SAME_PLACE_SECONDS:
            last_seconds = run.end_seconds
            until_beats = grid.beats_at(last_seconds - _SAME_PLACE_SECONDS)
            if place_of(window)[0] >= until_beats:
                return None
        missing = self._bus.frame_at(last_seconds) + 1 - self._bus.frames
        if missing >= 0:
            # Half of what is missing, so that a tempo that rises meanwhile does no harm.
            look = self._bus.frames + min(missing / 2, _LOOK_SECONDS * self._bus.rate)
            self._incomplete = (run, position_beats, look)
            return None
        frames = np.array([self._bus.frame_at(moment) for moment in moments.tolist()])
        samples = self._samples(
            frames, self._bus.frame_at(run.start_seconds), self._bus.frame_at(last_seconds)
        )
        if samples is None:
            return window, None
        first = math.floor(frames[0])
        step_seconds = tuple(((frames - first) / self._bus.rate).tolist())
        is_part = _is_part(run, grid, window)
        return window, Sound(samples, first, step_seconds, until_beats, is_part)

    def _is_too_soon(self, run: Run, position_beats: float) -> bool:
        if self._incomplete is None:
            return False
        same_run, same_position, look = self._incomplete
        return run is same_run and position_beats == same_position and self._bus.frames < look

    def _samples(
        self, frames: NDArray[np.float64], start_frame: float, end_frame: float
    ) -> NDArray[np.float32] | None:
        """What was heard of a window: silent where the song was elsewhere; None if it was lost."""
        first, last = math.floor(frames[0]), math.ceil(frames[-1]) + 1
        begin = max(first, math.floor(start_frame))
        end = min(last, math.ceil(end_frame) + 1)
        if self._bus.epoch > 1 and begin < self._bus.epoch_first_frame:
            return None
        samples = np.zeros(last - first, dtype=np.float32)
        try:
            samples[begin - first : end - first] = self._bus.audio(begin, end - begin)
        except ValueError:  # it is no longer kept
            return None
        return samples

    def ask(
        self,
        window: Window,
        sound: Sound,
        memory: SongMemory,
        controls: Controls,
        *,
        now_seconds: float,
        within_seconds: float,
    ) -> None:
        """Have a window's notes made; they come to the memory, or the window is missed.

        A silent window is known at once.
        """
        if memory.hear(window, sound):
            self._ask(window, sound, memory, controls, now_seconds, within_seconds)

    def ask_again(self, memory: SongMemory, place: Place, controls: Controls, now: float) -> None:
        """Have the notes of a remembered place made anew; nobody waits for them."""
        remembered = memory.sound_at(place)
        if remembered is not None:
            self._ask(*remembered, memory, controls, now, PATIENT_SECONDS)

    def _ask(
        self,
        window: Window,
        sound: Sound,
        memory: SongMemory,
        controls: Controls,
        now_seconds: float,
        within_seconds: float,
    ) -> None:
        composer = controls.composer
        if np.abs(sound.samples).max(initial=0.0) < _SILENCE_PEAK:
            memory.learn(Played(window, (), composer, is_silent=True, is_part=sound.is_part))
            return
        if self._engine is None or within_seconds <= 0:
            return
        content = {
            "composer": composer,
            "sampling_rate": self._bus.rate,
            "step_seconds": list(sound.step_seconds),
            "temperature": controls.temperature,
            "seed": controls.seed,
            "window_number": max(0, round(window.start_beats)),
            "within_seconds": within_seconds,
        }
        if self._kept is not None:
            self._keep(self._kept, window, sound)
        samples = np.ascontiguousarray(sound.samples, dtype="<f4").tobytes()
        request = self._engine.request(
            "generate", content, (samples,), now_seconds=now_seconds, within_seconds=within_seconds
        )
        self._asked[request] = _Asked(
            window, sound, composer, now_seconds, within_seconds, memory,
            self._heard_beats(window, sound), self._loudness(window, sound),
        )  # fmt: skip

    def _keep(self, folder: Path, window: Window, sound: Sound) -> None:
        self._kept_count += 1
        np.savez(
            folder / f"window-{self._kept_count:05}.npz",
            samples=sound.samples,
            first_frame=sound.first_frame,
            step_seconds=sound.step_seconds,
            start_beats=window.start_beats,
        )

    def _heard_beats(self, window: Window, sound: Sound) -> float:
        """The song position where the window begins to sound."""
        assert self.model is not None
        first, _ = sounding_span(sound.samples, self._bus.rate)
        positions = window.step_positions(self.model.steps, before=self.model.context_steps)
        return float(np.interp(first - EARLY_SECONDS, sound.step_seconds, positions))

    def _loudness(self, window: Window, sound: Sound) -> Decibels | None:
        """Of the window's sixteenths, for notes that do not tell how loud they are."""
        if self.model is None or self.model.has_velocity:
            return None
        moments = np.array(sound.step_seconds[self.model.context_steps :])
        steps = round(window.length_beats / STEP_BEATS)
        sixteenths = np.interp(
            np.arange(steps + 1) / steps, np.linspace(0, 1, len(moments)), moments
        )
        return loudness_of_steps(sound.samples, self._bus.rate, sixteenths)

    def take(self, replies: Iterable[Message], now_seconds: float) -> None:
        """Keep what the engine answered to windows; other messages are not ours."""
        was_asleep = now_seconds - self._taken_seconds > _ASLEEP_SECONDS
        self._taken_seconds = now_seconds
        for reply in replies:
            asked = self._asked.pop(reply.id, None)
            if asked is None:
                continue
            if reply.type != "ok":
                asked.memory.fail(asked.window, asked.composer)
                if reply.content.get("code") == "late" and not was_asleep:
                    # It would have taken longer than it had, however soon that was known.
                    self._seconds.append(max(now_seconds - asked.seconds, asked.within_seconds))
                continue
            content = reply.content
            if not was_asleep:
                self._seconds.append(now_seconds - asked.seconds)
            self.windows_done += 1
            self.missed_in_a_row = 0
            notes = self._begun(notes_of(content["notes"]), asked)
            heard = (asked.heard_beats, asked.loudness, asked.sound.is_part)
            asked.memory.learn(
                Played(asked.window, notes, asked.composer, content["silent"], *heard)
            )
            self._say(
                asked.window, "silent" if content["silent"] else "done", asked.composer,
                notes=len(notes), took_seconds=content["took_seconds"],
                rows=self._rows(asked.window, notes),
            )  # fmt: skip

    def _begun(self, notes: Iterable[StepNote], asked: _Asked) -> tuple[StepNote, ...]:
        """The notes that begin before the song left the window."""
        assert self.model is not None
        beats = asked.window.step_positions(self.model.steps).tolist()
        until_beats = asked.sound.until_beats
        return tuple(note for note in notes if beats[note.onset_step] < until_beats)

    def _rows(self, window: Window, notes: Iterable[StepNote]) -> list[list[Any]]:
        """For whoever watches: onset, duration, pitch and velocity of what a window plays."""
        assert self.model is not None
        first_beats, last_beats = place_of(window)
        beats = window.step_positions(self.model.steps).tolist()
        return [
            [beats[note.onset_step], beats[note.end_step] - beats[note.onset_step],
             note.pitch, note.velocity]
            for note in notes
            if first_beats <= beats[note.onset_step] + _SAME_BEATS < last_beats
        ]  # fmt: skip

    def miss(self, window: Window, controls: Controls) -> None:
        """Count a window that has no notes when they are due: silence for that window."""
        self.windows_missed += 1
        self.missed_in_a_row += 1
        reason = "its notes were not there in time" if self._engine else "there is no engine"
        self._say(window, "missed", controls.composer, reason=reason)

    def _say(self, window: Window, result: str, composer: str, **more: Any) -> None:
        start_beats = place_of(window)[0]
        content = {"start_beats": start_beats, "result": result, "composer": composer}
        self._tell("window", {**content, **more})


def _is_part(run: Run, grid: BeatGrid, window: Window) -> bool:
    """Whether a run heard less of a window's place than the song is to play of it."""
    first, last = place_of(window)
    if run.loop is not None and run.loop[0] <= run.start_beats < run.loop[1]:
        first, last = max(first, run.loop[0]), min(last, run.loop[1])
    starts_late = grid.seconds_at(first) < run.start_seconds - _SAME_PLACE_SECONDS
    ends_early = (
        run.end_seconds is not None
        and grid.seconds_at(last) > run.end_seconds + _SAME_PLACE_SECONDS
    )
    return starts_late or ends_early
