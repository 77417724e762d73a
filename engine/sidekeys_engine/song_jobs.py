"""Songs to render for clients: one after another, in turns of the model between the windows."""

from __future__ import annotations

import queue
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sidekeys_engine.audio import Audio
from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.errors import InputError
from sidekeys_engine.listening import Listener
from sidekeys_engine.messages import Message
from sidekeys_engine.model_thread import Cancelled, Loaded, ModelThread, Post
from sidekeys_engine.note_tokens import StepNote
from sidekeys_engine.notes import Meter
from sidekeys_engine.pianist import Pianist, Taste
from sidekeys_engine.render import GridChoice, Job, Position, render_song

MOST_JOBS = 16


@dataclass(frozen=True, eq=False)
class SongJob:
    """A song that a client wants covered.

    Attributes:
        job_id: what the client knows it by.
        content: the checked fields of its request.
        samples: the song, if it was sent; else its path is in the content.
        loaded: who plays.
        cancelled: set when it is not wanted any more.
    """

    job_id: str
    content: Mapping[str, Any]
    samples: npt.NDArray[np.float32] | None
    loaded: Loaded
    cancelled: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Refuse what can be told without opening a file.

        Raises:
            InputError: no song or two, no such composer, no such place.
        """
        if (self.content["song"] is None) == (self.samples is None):
            raise InputError("Give the path of a song or the samples of one, not both.")
        if (self.samples is None) != (self.content["sampling_rate"] is None):
            raise InputError("Give a sampling_rate with samples, and only with them.")
        self.loaded.composer(self.content["composer"])
        for name in ("start", "end"):
            _position(self.content[name])
        self.grid_choice()

    def grid_choice(self) -> GridChoice:
        """Where its beats come from."""
        content = self.content
        return GridChoice(
            bpm=content["bpm"],
            first_beat_seconds=content["first_beat_seconds"],
            meter=None if content["meter"] is None else read_meter(content["meter"]),
            file=_path(content["grid"]),
            tracker=content["tracker"],
            tempo_factor=content["tempo_factor"],
        )


def read_meter(text: str) -> Meter:
    """A meter such as "3/4".

    Raises:
        InputError: it is none.
    """
    try:
        upper, _, lower = text.partition("/")
        return Meter(int(upper), int(lower))
    except ValueError as problem:
        raise InputError(f"{text!r} is no meter; give one such as 4/4, 3/4 or 6/8.") from problem


class SongJobs:
    """The jobs that wait and the one that runs, in a thread of their own.

    Args:
        model: who plays.
        listener: who finds the beats.
        post: where events go.
    """

    def __init__(self, model: ModelThread, listener: Listener, post: Post) -> None:
        self._model = model
        self._listener = listener
        self._post = post
        self._jobs: dict[str, SongJob] = {}
        self._waiting: queue.SimpleQueue[SongJob | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="songs", daemon=True)
        self._thread.start()

    @property
    def ids(self) -> list[str]:
        """Jobs that run or wait."""
        return list(self._jobs)

    def add(self, job: SongJob) -> None:
        """Let a job wait for its turn."""
        self._jobs[job.job_id] = job
        self._waiting.put(job)

    def cancel(self, job_id: str) -> bool:
        """End a job; an event says when it has ended. Returns whether there was one."""
        job = self._jobs.get(job_id)
        if job is not None:
            job.cancelled.set()
        return job is not None

    def close(self, within_seconds: float = 1.0) -> None:
        """Cancel all jobs and end the thread."""
        for job in list(self._jobs.values()):
            job.cancelled.set()
        self._waiting.put(None)
        self._thread.join(within_seconds)

    def _run(self) -> None:
        while (job := self._waiting.get()) is not None:
            report_job(job.job_id, self._post, lambda job=job: self._rendered(job))  # type: ignore[misc]
            self._jobs.pop(job.job_id, None)

    def _rendered(self, job: SongJob) -> tuple[Mapping[str, Any], Sequence[bytes]]:
        """The result of a job, and the MIDI file if no path was given for it."""
        _stop_if(job.cancelled)
        self._progress(job, "listening", 0, 0)
        with tempfile.TemporaryDirectory(prefix="sidekeys-") as folder:
            song = self._song(job, Path(folder))
            midi = _path(job.content["midi"])
            pianist = _TurnTaking.of(job, self._model)

            def progress(done: int, total: int) -> None:
                _stop_if(job.cancelled)
                self._progress(job, "playing", done, total)

            rendered = render_song(
                Job(
                    song=song,
                    midi=midi or Path(folder) / "song.mid",
                    composer=job.loaded.composer(job.content["composer"]),
                    plot=_path(job.content["plot"]),
                    mix=_path(job.content["mix"]),
                    grid=_HeardElsewhere.of(job, self._listener),
                    start=_position(job.content["start"]),
                    end=_position(job.content["end"]),
                    taste=Taste(job.content["temperature"], job.content["seed"]),
                ),
                pianist,
                progress=progress,
            )
            result = rendered.to_dict()
            if job.samples is not None:
                result["song"] = None
            if midi is not None:
                return result, ()
            return {**result, "midi": None}, (Path(rendered.midi).read_bytes(),)

    def _song(self, job: SongJob, folder: Path) -> Path:
        """The path of the song, whose samples are put into a file if they were sent."""
        if job.samples is None:
            return Path(job.content["song"])
        import soundfile  # noqa: PLC0415

        path = folder / "song.wav"
        soundfile.write(path, job.samples, job.content["sampling_rate"], subtype="FLOAT")
        return path

    def _progress(self, job: SongJob, stage: str, done: int, total: int) -> None:
        content = {"job": job.job_id, "stage": stage, "done": done, "total": total}
        self._post(None, Message("progress", "", content))


def report_job(
    job_id: str, post: Post, work: Callable[[], tuple[Mapping[str, Any], Sequence[bytes]]]
) -> None:
    """Do a job's work and tell all who listen how it ended, whatever happens."""
    try:
        result, buffers = work()
    except Cancelled:
        failure = ("cancelled", "The job was cancelled.")
    except InputError as problem:
        failure = ("failed", str(problem))
    except Exception as problem:  # a job that fails must not end the engine
        failure = ("failed", f"{type(problem).__name__}: {problem}")
    else:
        content = {"job": job_id, "result": dict(result)}
        post(None, Message("finished", "", content, tuple(buffers)))
        return
    content = {"job": job_id, "code": failure[0], "message": failure[1]}
    post(None, Message("failed", "", content))


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _position(text: str | None) -> Position | None:
    return None if text is None else Position.parse(text)


def _stop_if(cancelled: threading.Event) -> None:
    if cancelled.is_set():
        raise Cancelled


@dataclass(frozen=True)
class _TurnTaking(Pianist):
    """A pianist that plays a few windows at a time, when nobody who plays along waits."""

    job: SongJob
    turns: ModelThread

    @classmethod
    def of(cls, job: SongJob, turns: ModelThread) -> _TurnTaking:
        pianist = job.loaded.pianist
        return cls(pianist.model, pianist.feature_extractor, pianist.tokenizer, job, turns)

    def play(
        self,
        audio: npt.NDArray[np.float32],
        step_seconds: npt.NDArray[np.float64],
        composer: str | Sequence[str],
        *,
        taste: Taste | None = None,
        first_window: int = 0,
    ) -> list[list[StepNote]]:
        played: list[list[StepNote]] = []
        while len(played) < len(step_seconds):
            _stop_if(self.job.cancelled)
            first = len(played)
            part = slice(first, first + self.turns.windows_per_turn())
            turn = step_seconds[part]
            composers = composer if isinstance(composer, str) else composer[part]
            played += self.turns.in_turn(
                len(turn),
                self.job.loaded.generation,
                lambda turn=turn, composers=composers, first=first: Pianist.play(  # type: ignore[misc]
                    self, audio, turn, composers, taste=taste, first_window=first_window + first
                ),
            )
        return played


@dataclass(frozen=True, slots=True)
class _HeardElsewhere(GridChoice):
    """Beats that another process finds."""

    choice: GridChoice = field(default_factory=GridChoice)
    listener: Listener = field(default_factory=Listener)
    cancelled: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of(cls, job: SongJob, listener: Listener) -> _HeardElsewhere:
        choice = job.grid_choice()
        same = {one.name: getattr(choice, one.name) for one in fields(choice)}
        return cls(**same, choice=choice, listener=listener, cancelled=job.cancelled)

    def grid(self, audio: Audio) -> BeatGrid:
        if self.bpm is not None or self.file is not None:
            return self.choice.grid(audio)
        found = self.listener.grid(audio, self.choice)
        _stop_if(self.cancelled)
        return found
