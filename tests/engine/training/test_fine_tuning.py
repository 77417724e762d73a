"""A new composer is learned from a user's pairs, and those that a checkpoint has are kept."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from made_up_pairs import COMPOSERS, RATE, write_checkpoint, write_pair
from sidekeys_engine.beat_grid import Window
from sidekeys_engine.config import GenerationConfig, Pop2PianoConfig
from sidekeys_engine.errors import InputError
from sidekeys_engine.model import Pop2PianoForConditionalGeneration
from sidekeys_engine.note_tokens import NoteTokens, StepNote
from sidekeys_engine.pianist import Pianist
from sidekeys_engine.training.course import Course
from sidekeys_engine.training.dataset import IGNORED_LABEL, Dataset, renders_in
from sidekeys_engine.training.fine_tuning import finish, learn, measure, plan, with_composer
from sidekeys_engine.training.pairs import Lesson, Pair, read_pair
from sidekeys_engine.training.rendering import architecture
from sidekeys_engine.training.teaching import (
    HELD_BACK,
    LESSONS,
    composer_tokens,
    likeliest_tokens,
    prepare,
    window_notes,
    windows_of,
)

SIXTEENTHS = architecture(d_model=32, num_heads=2)
HALF_BEATS = Pop2PianoConfig(d_model=32, num_heads=2)


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    folder = tmp_path_factory.mktemp("pairs")
    sound, midi = write_pair(folder, "song")
    pair = Pair("song", sound, midi, folder / "song.beats")
    return read_pair(pair, sampling_rate=RATE, window_beats=4.0)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Pianist:
    folder = write_checkpoint(tmp_path_factory.mktemp("checkpoint"))
    return Pianist.from_pretrained(folder, device="cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small are slower on many."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def planned(
    lesson: Lesson,
    teacher: Pianist,
    work: Path,
    *,
    composer: str = "mine",
    steps: int | None = 8,
    **wishes: float,
) -> Course:
    return plan(
        [lesson],
        teacher,
        work,
        composer=composer,
        description="Broken chords.",
        checkpoint="tiny",
        folder=work.parent,
        seed=0,
        steps=steps,
        **wishes,
    )


def no_telling(*_: object) -> None:
    pass


# --- windows ---


def notes_at(*rows: tuple[float, float, int, int]) -> np.ndarray:
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def test_notes_go_to_the_nearest_step_of_the_checkpoints_grid() -> None:
    notes = notes_at((8.0, 8.9, 60, 90), (8.27, 9.0, 64, 70), (9.49, 9.52, 67, 50))
    window = Window(8.0, 4.0, 4.0)
    assert window_notes(notes, window, SIXTEENTHS) == [
        StepNote(0, 4, 60, 90),
        StepNote(1, 4, 64, 70),
        StepNote(6, 7, 67, 50),
    ]
    assert window_notes(notes, window, HALF_BEATS) == [
        StepNote(0, 2, 60, 90),
        StepNote(1, 2, 64, 70),
        StepNote(3, 4, 67, 50),
    ]


def test_what_sounds_over_a_windows_edges_is_held_where_the_checkpoint_can() -> None:
    notes = notes_at((7.0, 9.0, 60, 90), (10.0, 13.0, 64, 70), (6.0, 14.0, 48, 60))
    window = Window(8.0, 4.0, 4.0)
    assert window_notes(notes, window, SIXTEENTHS) == [
        StepNote(0, 16, 48, 60, is_held_before=True, is_held_after=True),
        StepNote(0, 4, 60, 90, is_held_before=True),
        StepNote(8, 16, 64, 70, is_held_after=True),
    ]
    assert window_notes(notes, window, HALF_BEATS) == [StepNote(4, 8, 64, 70)]


def test_a_key_that_is_struck_again_ends_the_note_before() -> None:
    notes = notes_at((0.0, 3.0, 60, 90), (1.0, 2.0, 60, 40), (1.01, 4.0, 60, 80), (-1, 5, 60, 9))
    assert window_notes(notes, Window(0.0, 4.0, 4.0), SIXTEENTHS) == [
        StepNote(0, 4, 60, 90),
        StepNote(4, 16, 60, 80),
    ]


@pytest.mark.parametrize("config", [SIXTEENTHS, HALF_BEATS], ids=["sixteenths", "half-beats"])
def test_a_window_is_read_back_as_it_was_written(
    config: Pop2PianoConfig, lesson: Lesson, teacher: Pianist
) -> None:
    vocabulary = NoteTokens(teacher.tokenizer.encoder, config.eos_token_id)
    for window in lesson.windows:
        notes = window_notes(lesson.notes, window, config)
        assert len(notes) > 8
        tokens = vocabulary.encode_window(notes, descending=True)
        read = vocabulary.decode_strictly(
            tokens, steps=config.steps_per_window, held_notes=config.held_notes
        )
        spans = [
            [(n.onset_step, n.end_step, n.pitch, n.is_held_before) for n in some]
            for some in (notes, read)
        ]
        assert spans[0] == spans[1]


def test_the_last_tenth_is_held_back_and_nothing_that_teaches_reaches_into_it(
    lesson: Lesson, teacher: Pianist, tmp_path: Path
) -> None:
    done: list[tuple[int, int]] = []
    prepare([lesson, lesson], teacher, tmp_path, report=lambda *so_far: done.append(so_far))
    data = {
        name: Dataset(tmp_path / name, renders_in(tmp_path / name)) for name in (LESSONS, HELD_BACK)
    }
    assert len(lesson.windows) == 14
    assert (len(data[LESSONS]), len(data[HELD_BACK])) == (26, 2)
    assert done[-1][0] <= done[-1][1] == 28
    assert data[LESSONS].composers == len(COMPOSERS) + 1


def test_a_lesson_can_be_heard_at_other_speeds_too(
    lesson: Lesson, teacher: Pianist, tmp_path: Path
) -> None:
    prepare([lesson], teacher, tmp_path, semitones=(0, -2))
    assert renders_in(tmp_path / LESSONS) == ["000--2", "000-0"]
    slower, usual = (Dataset(tmp_path / LESSONS, [name]) for name in ("000--2", "000-0"))
    assert len(slower) == len(usual)
    assert slower.frames.mean() == pytest.approx(usual.frames.mean() * 2 ** (2 / 12), rel=0.02)
    lowered = slower.batch(np.array([3]), np.array([2])).labels[0]
    labels = usual.batch(np.array([3]), np.array([2])).labels[0]
    is_note = (labels >= 4) & (labels < 132)
    assert torch.equal(lowered[is_note], labels[is_note] - 2)


def test_the_kept_composers_are_to_play_what_the_checkpoint_plays(
    lesson: Lesson, teacher: Pianist, tmp_path: Path
) -> None:
    prepare([lesson], teacher, tmp_path)
    data = Dataset(tmp_path / LESSONS, renders_in(tmp_path / LESSONS))
    moments = np.stack(
        [lesson.grid.seconds_at(w.step_positions(16, before=4)) for w in lesson.windows[:3]]
    )
    for number, composer in enumerate(COMPOSERS):
        played = teacher.play(lesson.audio, moments, composer)
        for window, notes in enumerate(played):
            labels = data.batch(np.array([window]), np.array([number])).labels[0].tolist()
            assert teacher.tokenizer.decode_window(labels, steps=16, held_notes=True) == notes


def test_a_window_that_nobody_could_play_is_left_out(lesson: Lesson, teacher: Pianist) -> None:
    moments = np.arange(0, 4, 0.25)
    rows = [(moment, moment + 0.25, pitch, 90) for moment in moments for pitch in range(21, 100)]
    dense = replace(lesson, notes=notes_at(*rows))
    assert len(windows_of(dense, lesson.windows[:3], teacher)) == 2


# --- the student ---


def test_a_new_composer_starts_as_the_mean_of_the_others(teacher: Pianist) -> None:
    before = {name: weight.clone() for name, weight in teacher.model.state_dict().items()}
    student = with_composer(teacher.model, "mine", "Broken chords.")
    assert student.config.composer_vocab_size == 3
    table = student.mel_conditioner.embedding.weight
    assert torch.equal(table[:2], teacher.model.mel_conditioner.embedding.weight)
    assert torch.allclose(table[2], table[:2].mean(0))
    settings = student.generation_config
    assert settings.composer_to_feature_token == {"plain": 0, "fancy": 1, "mine": 2}
    assert settings.composer_descriptions == {"plain": "Chords.", "mine": "Broken chords."}
    student.shared.weight.data.zero_()
    assert all(torch.equal(before[name], w) for name, w in teacher.model.state_dict().items())
    assert teacher.model.config.composer_vocab_size == 2


@pytest.mark.parametrize(
    ("tokens", "words"),
    [({}, "names no composers"), ({"a": 0, "b": 2}, "do not follow one another")],
)
def test_composers_that_cannot_be_joined_are_told(
    tokens: dict[str, int], words: str, teacher: Pianist
) -> None:
    model = Pop2PianoForConditionalGeneration(teacher.model.config)
    model.generation_config = GenerationConfig(composer_to_feature_token=tokens)
    with pytest.raises(InputError, match=words):
        composer_tokens(model)


# --- learning ---


def test_the_new_composer_is_learned_and_the_others_are_kept(
    lesson: Lesson, teacher: Pianist, tmp_path: Path
) -> None:
    course = replace(planned(lesson, teacher, tmp_path / "work"), steps=60, learning_rate=5e-3)
    assert course.loss_before > 4  # bits of a network that knows nothing
    figures = {}
    for new_share in (0.5, 1.0):
        work = tmp_path / str(new_share)
        shutil.copytree(tmp_path / "work", work)
        student = learn(replace(course, new_share=new_share), teacher, work, on_step=no_telling)
        assert student is not None
        figures[new_share] = measure(student, teacher.tokenizer.encoder, work / HELD_BACK)
    for learned in figures.values():
        assert learned["mine"].loss < 0.6 * course.loss_before
    teachers = measure(
        with_composer(teacher.model, "mine", ""), teacher.tokenizer.encoder, work / HELD_BACK
    )
    for composer in COMPOSERS:
        kept, forgotten = (figures[share][composer].loss for share in (0.5, 1.0))
        assert teachers[composer].onset_f1 == 1.0
        assert kept < 0.7 * forgotten


def test_those_who_were_there_strike_nearly_the_same_notes_on_a_song_that_nobody_learned(
    lesson: Lesson, teacher: Pianist, tmp_path: Path
) -> None:
    # Random weights play by chance, which any step changes: the checkpoint learns first.
    course = replace(planned(lesson, teacher, tmp_path / "work"), steps=400, learning_rate=5e-3)
    student = learn(course, teacher, tmp_path / "work", on_step=no_telling)
    assert student is not None
    finish(course, student, teacher, tmp_path / "work", tmp_path / "checkpoint")
    trained = Pianist.from_pretrained(tmp_path / "checkpoint", device="cpu")
    lessons = []
    for seed, name in enumerate(("learned", "unheard"), start=1):
        sound, midi = write_pair(tmp_path, name, seed=seed)
        pair = Pair(name, sound, midi, tmp_path / f"{name}.beats")
        lessons.append(read_pair(pair, sampling_rate=RATE, window_beats=4.0))
    unheard, words = tmp_path / "unheard", trained.tokenizer.encoder
    prepare(lessons[1:], trained, unheard)

    def same_notes(student: Pop2PianoForConditionalGeneration) -> list[float]:
        figures = measure(student, words, unheard / LESSONS, COMPOSERS)
        return [figures[composer].onset_f1 for composer in COMPOSERS]

    assert same_notes(with_composer(trained.model, "more", "")) == [1.0, 1.0]
    course = planned(lessons[0], trained, tmp_path / "kept", composer="more", steps=60)
    shutil.copytree(tmp_path / "kept", tmp_path / "forgotten")
    kept = learn(course, trained, tmp_path / "kept", on_step=no_telling)
    course = replace(course, new_share=1.0)
    forgotten = learn(course, trained, tmp_path / "forgotten", on_step=no_telling)
    assert kept is not None
    assert forgotten is not None
    assert min(same_notes(kept)) > 0.85
    assert sum(same_notes(kept)) > sum(same_notes(forgotten)) + 0.1


def test_a_course_that_was_stopped_goes_on_as_if_it_had_not_been(
    lesson: Lesson, teacher: Pianist, tmp_path: Path
) -> None:
    course = planned(lesson, teacher, tmp_path / "whole", steps=7)
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    losses: list[float] = []
    whole = learn(course, teacher, tmp_path / "whole", on_step=lambda _, loss: losses.append(loss))
    parts: list[float] = []

    def follow() -> Pop2PianoForConditionalGeneration | None:
        again = Course.read(tmp_path / "parts")
        assert again == course
        return learn(
            again,
            teacher,
            tmp_path / "parts",
            on_step=lambda _, loss: parts.append(loss),
            is_stopped=lambda: len(parts) == 3,
        )

    assert follow() is None
    rest = follow()
    assert whole is not None
    assert rest is not None
    assert parts == losses
    for ours, theirs in zip(whole.parameters(), rest.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_length_follows_from_the_windows_or_from_the_minutes(
    lesson: Lesson, teacher: Pianist, tmp_path: Path
) -> None:
    by_windows = planned(lesson, teacher, tmp_path / "windows", steps=None)
    assert by_windows.steps % 20 == 0
    assert (by_windows.windows, by_windows.held_back) == (13, 1)
    short, long = (
        planned(lesson, teacher, tmp_path / str(minutes), steps=None, minutes=minutes).steps
        for minutes in (0.001, 10)
    )
    assert short < 20
    assert long > 500


def test_a_plan_that_fails_leaves_nothing(lesson: Lesson, teacher: Pianist, tmp_path: Path) -> None:
    def interrupted(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        planned(lesson, teacher, tmp_path / "work", report=interrupted)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_course_that_is_damaged_is_told(tmp_path: Path) -> None:
    assert Course.read(tmp_path) is None
    (tmp_path / "course.json").write_text('{"composer": "mine"}')
    with pytest.raises(InputError, match="delete the folder"):
        Course.read(tmp_path)


# --- the end ---


def test_what_was_learned_is_a_checkpoint_that_plays(
    lesson: Lesson, teacher: Pianist, tmp_path: Path
) -> None:
    work, out = tmp_path / "out.unfinished", tmp_path / "out"
    course = planned(lesson, teacher, work)
    student = learn(course, teacher, work, on_step=no_telling)
    assert student is not None
    out.mkdir()  # an empty folder is no obstacle
    summary = finish(course, student, teacher, work, out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert sorted(path.name for path in out.iterdir()) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "tokenizer_config.json",
        "training.json",
        "vocab.json",
    ]
    told = json.loads((out / "training.json").read_text())
    assert told["composer"] == "mine"
    assert told["after"]["loss"] == summary.after.loss < summary.before.loss
    assert list(told["kept"]) == list(COMPOSERS)

    pianist = Pianist.from_pretrained(out, device="cpu")
    moments = lesson.grid.seconds_at(lesson.windows[0].step_positions(16, before=4))[None]
    for composer in (*COMPOSERS, "mine"):
        pianist.play(lesson.audio, moments, composer)
    assert pianist.model.generation_config.max_length > 40  # as long as the lessons' windows


def test_an_out_folder_that_cannot_be_written_keeps_what_was_learned(
    lesson: Lesson, teacher: Pianist, tmp_path: Path
) -> None:
    work, out = tmp_path / "out.unfinished", tmp_path / "out"
    course = planned(lesson, teacher, work, steps=1)
    student = learn(course, teacher, work, on_step=no_telling)
    assert student is not None
    out.mkdir()
    (out / "precious").touch()
    with pytest.raises(InputError, match="name another folder with --out"):
        finish(course, student, teacher, work, out)
    assert [path.name for path in out.iterdir()] == ["precious"]
    assert (work / "training_state.pt").exists()


def test_a_checkpoint_of_the_originals_kind_learns_too(
    small_reference: Path, tmp_path: Path
) -> None:
    teacher = Pianist.from_pretrained(small_reference, device="cpu")
    sound, midi = write_pair(tmp_path, "song", bars=9)
    pair = Pair("song", sound, midi, tmp_path / "song.beats")
    lesson = read_pair(pair, sampling_rate=teacher.sampling_rate, window_beats=teacher.window_beats)
    teacher.model.generation_config.max_length = 20
    work = tmp_path / "work"
    course = planned(lesson, teacher, work, steps=12)
    student = learn(replace(course, learning_rate=2e-3), teacher, work, on_step=no_telling)
    assert student is not None
    summary = finish(course, student, teacher, work, tmp_path / "out")
    assert summary.after.loss < summary.before.loss
    learned = Pianist.from_pretrained(tmp_path / "out", device="cpu")
    assert learned.model.generation_config.composer_to_feature_token["mine"] == 2052 + 21
    assert not learned.model.config.beat_positions


def test_tokens_are_alike_whether_windows_come_masked_or_of_one_length(
    lesson: Lesson, teacher: Pianist, tmp_path: Path
) -> None:
    prepare([lesson], teacher, tmp_path)
    data = Dataset(tmp_path / HELD_BACK, renders_in(tmp_path / HELD_BACK))
    batch = data.batch(np.array([0]), np.array([1]))
    (tokens,) = likeliest_tokens(teacher.model, COMPOSERS[1], batch.features, batch.frame_steps)
    due = [token for token in batch.labels[0].tolist() if token != IGNORED_LABEL]
    assert tokens == due
