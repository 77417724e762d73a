"""A checkpoint learns one more composer from lessons, and keeps those it knows.

All composers share the weights, so learning a new one changes how the others play. What keeps them
is learning without forgetting (Li and Hoiem, arXiv 1606.09282): on the very windows that teach the
new composer, the others are taught what the checkpoint played there before.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from sidekeys_engine.atomic_file import shown_path
from sidekeys_engine.checkpoint import write_json
from sidekeys_engine.composers import in_order
from sidekeys_engine.config import Pop2PianoConfig
from sidekeys_engine.errors import InputError
from sidekeys_engine.model import Pop2PianoForConditionalGeneration
from sidekeys_engine.note_tokens import NoteTokens
from sidekeys_engine.pianist import Pianist
from sidekeys_engine.training.course import BATCH_SIZE, Course
from sidekeys_engine.training.dataset import Batch, Dataset, renders_in
from sidekeys_engine.training.metrics import Overlap
from sidekeys_engine.training.pairs import Lesson
from sidekeys_engine.training.teaching import (
    HELD_BACK,
    LESSONS,
    ROWS_AT_ONCE,
    composer_tokens,
    likeliest_tokens,
    prepare,
)
from sidekeys_engine.training.train import Progress, Training, loss_of

PASSES = 20
"""Over the windows, where nobody says how long to learn."""

_FIGURES_FILE = "training.json"
_MEASURED_WINDOWS = 64  # more would say little more, and take minutes with many composers
_PROBED_STEPS = 6
_SAVE_SECONDS = 300.0


@dataclass(frozen=True)
class Figures:
    """How near a composer's playing of the windows that were held back is to what is due there.

    Attributes:
        loss: mean cross-entropy of a token.
        onset_f1: of (step, pitch) that are struck; see ``metrics.Scores``.
    """

    loss: float
    onset_f1: float


@dataclass(frozen=True)
class Summary:
    """What came of a course; ``training.json`` in a checkpoint's folder holds it.

    Attributes:
        composer: the new one.
        description: a line on how it plays.
        checkpoint: the one that it joined.
        pairs: the songs it was learned from.
        seed: decided all that was drawn.
        steps: batches.
        windows: that taught.
        held_back: windows that did not, and that all figures are of.
        before: the new composer against the cover, before anything was learned.
        after: likewise, at the end.
        kept: the others at the end, against what they played before.
    """

    composer: str
    description: str
    checkpoint: str
    pairs: tuple[str, ...]
    seed: int
    steps: int
    windows: int
    held_back: int
    before: Figures
    after: Figures
    kept: dict[str, Figures]


def plan(
    lessons: Sequence[Lesson],
    teacher: Pianist,
    work: Path,
    *,
    composer: str,
    description: str,
    checkpoint: str,
    folder: Path,
    seed: int,
    steps: int | None = None,
    minutes: float | None = None,
    report: Callable[[int, int], None] | None = None,
) -> Course:
    """Make a work folder with windows and a course; on any error it is removed.

    Args:
        lessons: read and checked.
        teacher: the checkpoint.
        work: the folder to make.
        composer: name of the new one.
        description: a line on how it plays.
        checkpoint: the teacher's name.
        folder: of the pairs.
        seed: decides all that is drawn.
        steps: batches in all; by default `PASSES` over the windows.
        minutes: about how long to learn, instead; the speed of this machine is tried.
        report: called with the windows that are ready and the windows in all.
    """
    try:
        prepare(lessons, teacher, work, report=report)
        student = with_composer(teacher.model, composer, description)
        before = measure(student, teacher.tokenizer.encoder, work / HELD_BACK, [composer])
        data = Dataset(work / LESSONS, renders_in(work / LESSONS))
        course = Course(
            composer=composer,
            description=description,
            checkpoint=checkpoint,
            folder=str(folder.resolve()),
            pairs=tuple(lesson.name for lesson in lessons),
            seed=seed,
            steps=steps or PASSES * _batches_a_pass(data),
            windows=len(data),
            held_back=len(Dataset(work / HELD_BACK, renders_in(work / HELD_BACK))),
            loss_before=before[composer].loss,
            onset_f1_before=before[composer].onset_f1,
        )
        if minutes is not None:
            course = replace(course, steps=_steps_in(60 * minutes, course, student, work))
        course.save(work)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return course


def _batches_a_pass(data: Dataset) -> int:
    shares = np.ones(data.composers)
    return len(data.epoch(BATCH_SIZE, shares, np.random.default_rng(0)))


def _steps_in(
    seconds: float, course: Course, student: Pop2PianoForConditionalGeneration, work: Path
) -> int:
    """How many steps this machine does in a time."""
    run = _run(replace(course, steps=_PROBED_STEPS), student, work)
    moments: list[float] = []
    run.run(on_step=lambda *_: moments.append(time.monotonic()))
    # The first step is slow: memory is found, kernels are chosen.
    return max(1, round(seconds * (len(moments) - 1) / (moments[-1] - moments[0])))


def learn(
    course: Course,
    teacher: Pianist,
    work: Path,
    *,
    on_step: Callable[[Progress, float], None],
    is_stopped: Callable[[], bool] = lambda: False,
) -> Pop2PianoForConditionalGeneration | None:
    """Follow a course to its end, from where it was left.

    Args:
        course: the work folder's.
        teacher: the checkpoint that it was planned with.
        work: where it is kept.
        on_step: gets the progress and the loss of each step.
        is_stopped: asked after each step.

    Returns:
        The student; None if it was stopped, and may go on another time.
    """
    torch.manual_seed(course.seed)
    student = with_composer(teacher.model, course.composer, course.description)
    run = _run(course, student, work)
    run.resume(work)
    saved = time.monotonic()

    def after_step(progress: Progress, loss: float) -> None:
        nonlocal saved
        on_step(progress, loss)
        if time.monotonic() - saved > _SAVE_SECONDS:
            run.save(work)
            saved = time.monotonic()

    is_done = run.run(
        on_step=after_step,
        until_seconds=math.inf,
        now=lambda: math.inf if is_stopped() else -math.inf,
    )
    run.save(work)
    if not is_done:
        return None
    student.load_state_dict(run.averaged().state_dict())
    return student.eval()


def _run(course: Course, student: Pop2PianoForConditionalGeneration, work: Path) -> Training:
    device = str(student.device)
    recipe = course.recipe(device, student.config.composer_vocab_size)
    return Training(student, work / LESSONS, recipe, device=device)


def finish(
    course: Course,
    student: Pop2PianoForConditionalGeneration,
    teacher: Pianist,
    work: Path,
    out: Path,
) -> Summary:
    """Measure what was learned, write the checkpoint as a whole, and remove the work folder.

    Args:
        course: that was followed.
        student: what came of it.
        teacher: the checkpoint that it was planned with.
        work: its folder.
        out: the checkpoint's folder, which may be there if it is empty.

    Returns:
        What ``training.json`` in it tells too.

    Raises:
        InputError: the folder cannot be written; the work folder stays as it is.
    """
    kept = measure(student, teacher.tokenizer.encoder, work / HELD_BACK)
    summary = Summary(
        composer=course.composer,
        description=course.description,
        checkpoint=course.checkpoint,
        pairs=course.pairs,
        seed=course.seed,
        steps=course.steps,
        windows=course.windows,
        held_back=course.held_back,
        before=Figures(course.loss_before, course.onset_f1_before),
        after=kept.pop(course.composer),
        kept=kept,
    )
    whole = work / "checkpoint"
    longest = int(Dataset(work / LESSONS, renders_in(work / LESSONS)).token_counts.max())
    _save(student, teacher, whole, longest + 1)
    write_json(whole / _FIGURES_FILE, asdict(summary))
    try:
        if out.is_dir():
            out.rmdir()
        whole.replace(out)
    except OSError as error:
        raise InputError(
            f"Cannot write {shown_path(out)}: {error.strerror}; name another folder with --out."
        ) from error
    shutil.rmtree(work, ignore_errors=True)
    return summary


def _save(
    student: Pop2PianoForConditionalGeneration, teacher: Pianist, folder: Path, max_length: int
) -> None:
    """Write a checkpoint in half precision; it may play windows as long as those of the lessons."""
    with torch.device("meta"):
        model = Pop2PianoForConditionalGeneration(student.config)
    weights = {name: weight.half() for name, weight in student.state_dict().items()}
    model.load_state_dict(weights, assign=True)
    settings = student.generation_config
    if settings.max_new_tokens is None and settings.max_length < max_length:
        settings = settings.updated(max_length=max_length)
    model.generation_config = settings
    model.save_pretrained(folder)
    teacher.feature_extractor.save_pretrained(folder)
    teacher.tokenizer.save_pretrained(folder)


# --- the student ---


def with_composer(
    model: Pop2PianoForConditionalGeneration, name: str, description: str
) -> Pop2PianoForConditionalGeneration:
    """A copy of a model with one more composer, who plays like the mean of the others for now.

    Args:
        model: stays as it is.
        name: of the new composer.
        description: a line on how it plays.

    Raises:
        InputError: the model's composers have no names, or not one after another.
    """
    known = composer_tokens(model)
    settings = model.config.to_dict()
    settings["composer_vocab_size"] += 1
    student = Pop2PianoForConditionalGeneration(Pop2PianoConfig.from_dict(settings))
    weights = {key: weight.detach().clone() for key, weight in model.state_dict().items()}
    table = "mel_conditioner.embedding.weight"
    weights[table] = torch.cat([weights[table], weights[table].mean(0, keepdim=True)])
    student.load_state_dict(weights)
    descriptions = dict(model.generation_config.composer_descriptions)
    if description:
        descriptions[name] = description
    student.generation_config = model.generation_config.updated(
        composer_to_feature_token={**known, name: max(known.values()) + 1},
        composer_descriptions=descriptions,
    )
    return student.to(model.device).eval()


# --- what it came to ---


def measure(
    student: Pop2PianoForConditionalGeneration,
    words: dict[str, int],
    folder: Path,
    composers: Sequence[str] | None = None,
) -> dict[str, Figures]:
    """Figures of every composer: the new one against the cover, the others against the teacher.

    Args:
        student: with the new composer.
        words: the vocabulary.
        folder: of windows that taught nothing.
        composers: some of the student's; by default all.
    """
    data = Dataset(folder, renders_in(folder))
    names = in_order(student.generation_config.composer_to_feature_token)
    vocabulary = NoteTokens(words, student.config.eos_token_id)
    found = {}
    for composer in names if composers is None else composers:
        row = names.index(composer)
        losses = loss_of(student, _batches(data, row, len(data)), len(names))
        onsets = Overlap()
        for batch in _batches(data, row, _MEASURED_WINDOWS):
            played = likeliest_tokens(student, composer, batch.features, batch.frame_steps)
            for tokens, due in zip(played, batch.labels.tolist(), strict=True):
                onsets += Overlap.of(
                    *(_struck(vocabulary, ids, student.config) for ids in (tokens, due))
                )
        found[composer] = Figures(losses[row], onsets.f1)
    return found


def _batches(data: Dataset, row: int, most: int) -> Iterator[Batch]:
    """Evenly chosen windows for one composer, those of one length in frames together."""
    chosen = np.unique(np.linspace(0, len(data) - 1, min(most, len(data))).astype(np.int64))
    for frames in np.unique(data.frames[chosen]):
        alike = chosen[data.frames[chosen] == frames]
        for first in range(0, len(alike), ROWS_AT_ONCE):
            part = alike[first : first + ROWS_AT_ONCE]
            yield data.batch(part, np.full(len(part), row, dtype=np.int64))


def _struck(
    vocabulary: NoteTokens, tokens: Sequence[int], config: Pop2PianoConfig
) -> set[tuple[int, int]]:
    notes = vocabulary.decode_strictly(
        [token for token in tokens if token >= 0],
        steps=config.steps_per_window,
        held_notes=config.held_notes,
    )
    return {(note.onset_step, note.pitch) for note in notes if not note.is_held_before}
