"""`sidekeys train`: a folder of pairs in, a checkpoint with one more composer out."""

from __future__ import annotations

import argparse
import math
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sidekeys_engine.atomic_file import check_writable, shown_path
from sidekeys_engine.errors import InputError
from sidekeys_engine.pianist import Pianist
from sidekeys_engine.training.course import Course
from sidekeys_engine.training.fine_tuning import Summary, finish, learn, plan
from sidekeys_engine.training.pairs import Lesson, find_pairs, read_pair
from sidekeys_engine.training.stopping import asked_to_stop
from sidekeys_engine.training.teaching import composer_tokens
from sidekeys_engine.training.train import Progress

USER_ERROR, INTERRUPTED = 2, 130
_TELL_SECONDS = 20.0
_LONGEST_NAME = 40
_NUMBERED = re.compile(r"composer\d+", re.IGNORECASE)

Say = Callable[[str], None]


def train(options: argparse.Namespace, say: Say) -> int:
    """Run the command.

    Args:
        options: folder, composer, description, checkpoint, out, minutes, steps, device, seed,
            check.
        say: writes a line for the user to stderr.

    Returns:
        The exit status: 0; 2 where a pair that was only to be checked cannot be used; 130 where
        Ctrl-C stopped it.

    Raises:
        InputError: nothing can be learned, in one line.
    """
    if options.check:
        teacher = Pianist.from_pretrained(options.checkpoint, device="cpu", on_notice=say)
        _, complaints = _lessons(options.folder, teacher, say)
        return USER_ERROR if complaints else 0
    out, composer = _outputs(options)
    work = out.with_name(out.name + ".unfinished")
    course = _course_there_is(work, options)
    teacher = Pianist.from_pretrained(options.checkpoint, device=options.device, on_notice=say)
    if course is None:
        _check_name(composer, list(composer_tokens(teacher.model)))
        course = _planned(options, work, teacher, say)
    else:
        say(f"going on with {shown_path(work)}")
    telling = _Telling(course, say)
    with asked_to_stop() as is_stopped:
        student = learn(course, teacher, work, on_step=telling, is_stopped=is_stopped)
    if student is None:
        say(
            f"Stopped at step {telling.step} of {course.steps}; the same command goes on there "
            f"(what it needs is in {shown_path(work)})."
        )
        return INTERRUPTED
    say("comparing with the windows that were held back")
    sys.stdout.write(_told(finish(course, student, teacher, work, out), out))
    return 0


# --- before ---


def _outputs(options: argparse.Namespace) -> tuple[Path, str]:
    """The folder to make and the composer to learn, checked before anything long is done."""
    if options.out is None or options.composer is None:
        raise InputError(
            "Give the new composer's name with --composer and the folder to write with --out; "
            "--check alone looks at the pairs."
        )
    out: Path = options.out
    # `a/b/` and `a/..` have names that nothing can be put beside.
    if not out.name or out.name == "..":
        raise InputError(f"{shown_path(out)} is no name for a new folder; give another --out.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"{shown_path(out)} is there already; name a new folder with --out, or delete it."
        )
    check_writable(out.parent / f"{out.name}.unfinished.json")
    return out, options.composer


def _check_name(name: str, known: list[str]) -> None:
    if not (name.isprintable() and name == name.strip() and 0 < len(name) <= _LONGEST_NAME):
        raise InputError(
            f"{name!r} is no name for a composer; give 1 to {_LONGEST_NAME} letters in one line."
        )
    if _NUMBERED.fullmatch(name):
        raise InputError(
            f"{name!r} already means a composer by number; give the new one another name."
        )
    if name.casefold() in {other.casefold() for other in known}:
        raise InputError(
            f"The checkpoint already has a composer {name!r} (it has {', '.join(known)}); give the "
            "new one another name, or start from a checkpoint without it."
        )


def _course_there_is(work: Path, options: argparse.Namespace) -> Course | None:
    """The course that was stopped before; None for a new one.

    Raises:
        InputError: it was another one.
    """
    course = Course.read(work)
    if course is None:
        return None
    asked = (options.composer, options.checkpoint, str(options.folder.resolve()), options.seed)
    if asked != (course.composer, course.checkpoint, course.folder, course.seed):
        raise InputError(
            f"{shown_path(work)} holds an unfinished course for {course.composer!r} from "
            f"{course.checkpoint} and {course.folder}; finish it with the same words, delete it, "
            "or name another --out."
        )
    return course


def _planned(options: argparse.Namespace, work: Path, teacher: Pianist, say: Say) -> Course:
    lessons, _ = _lessons(options.folder, teacher, say)
    say("writing down what the checkpoint's own composers play there, so that none is forgotten")
    course = plan(
        lessons,
        teacher,
        work,
        composer=options.composer,
        description=options.description,
        checkpoint=options.checkpoint,
        folder=options.folder,
        seed=options.seed,
        steps=options.steps,
        minutes=options.minutes,
        report=_every_so_often(lambda done, total: say(f"{done} of {total} windows")),
    )
    say(
        f"learning {course.composer!r} from {course.windows} windows of {len(lessons)} songs, "
        f"{course.held_back} more are held back; {course.steps} steps"
    )
    return course


def _lessons(folder: Path, teacher: Pianist, say: Say) -> tuple[list[Lesson], int]:
    """The pairs that can be used, each with a line, and how many files cannot.

    Raises:
        InputError: none can.
    """
    pairs, complaints = find_pairs(folder)
    for complaint in complaints:
        say(f"error: {complaint}")
    refused, lessons = len(complaints), []
    for pair in pairs:
        try:
            lesson = read_pair(
                pair, sampling_rate=teacher.sampling_rate, window_beats=teacher.window_beats
            )
        except InputError as error:
            line = str(error)
            files = [path for path in (pair.sound, pair.midi, pair.grid) if path is not None]
            if not any(path.name in line for path in files):
                line = f"{pair.sound.name}: {line}"
            say(f"error: {line}")
            refused += 1
            continue
        for remark in lesson.remarks:
            say(remark)
        say(
            f"{lesson.name}: {len(lesson.windows)} windows, {len(lesson.notes)} notes, "
            f"{lesson.bpm:.1f} bpm, the MIDI is {lesson.late_seconds:+.2f} s late"
        )
        lessons.append(lesson)
    if not lessons:
        what = "the lines above say what is wrong" if refused else "it holds no sound files"
        raise InputError(
            f"There is no pair to learn from in {shown_path(folder)}: {what}; a pair is song.wav "
            "(or .flac, .mp3 ...) and song.mid, the piano cover of it, aligned in time."
        )
    return lessons, refused


# --- during ---


class _Telling:
    """Says now and then where a course is.

    Attributes:
        step: the last one that was done.
    """

    def __init__(self, course: Course, say: Say) -> None:
        self.step = 0
        self._course, self._say = course, say
        self._losses: list[float] = []
        self._first: tuple[int, float] | None = None
        self._told = time.monotonic()

    def __call__(self, progress: Progress, loss: float) -> None:
        self.step, now = progress.step, time.monotonic()
        self._losses.append(loss)
        if self._first is None:
            self._first = (self.step, now)
        if now - self._told < _TELL_SECONDS:
            return
        first_step, started = self._first
        left = self._course.steps - self.step
        seconds = left * (now - started) / max(1, self.step - first_step)
        mean = sum(self._losses) / len(self._losses)
        self._say(
            f"step {self.step} of {self._course.steps}, loss {mean:.3f}, {_about(seconds)} left"
        )
        self._losses.clear()
        self._told = now


def _about(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} minutes"
    return f"about {seconds / 3600:.1f} hours"


def _every_so_often(tell: Callable[[int, int], None]) -> Callable[[int, int], None]:
    told = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told > _TELL_SECONDS:
            told = time.monotonic()
            tell(done, total)

    return report


# --- after ---


def _told(summary: Summary, out: Path) -> str:
    """What came of it, in words."""
    before, after = summary.before, summary.after
    kept = ", ".join(f"{name} {_percent(f.onset_f1)}" for name, f in summary.kept.items())
    lines = (
        f"{out}: {summary.composer} joins {', '.join(summary.kept)}.",
        "Of the window that was held back:"
        if summary.held_back == 1
        else f"Of the {summary.held_back} windows that were held back:",
        f"  {summary.composer} meets {_percent(after.onset_f1)} of the cover's notes "
        f"({_percent(before.onset_f1)} before), at a loss of {after.loss:.2f} ({before.loss:.2f}).",
        f"  The others strike the notes that they struck before: {kept}.",
    )
    return "\n".join(lines) + "\n"


def _percent(share: float) -> str:
    """A share in words; there is none of no notes at all."""
    return "none" if math.isnan(share) else f"{100 * share:.0f} %"
