"""Lessons as windows of sound and tokens: the new composer's, and those of the ones there are.

What the checkpoint itself plays on the windows of a lesson stands beside the cover, so that a model
which learns the one can keep the other (Li and Hoiem, "Learning without Forgetting", arXiv
1606.09282).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from sidekeys_engine.beat_grid import Window
from sidekeys_engine.composers import in_order
from sidekeys_engine.config import Pop2PianoConfig
from sidekeys_engine.errors import InputError
from sidekeys_engine.model import Pop2PianoForConditionalGeneration
from sidekeys_engine.note_tokens import NoteTokens, StepNote
from sidekeys_engine.outputs import GenerateOutput
from sidekeys_engine.pianist import Pianist, Taste
from sidekeys_engine.training.dataset import save_windows
from sidekeys_engine.training.pairs import BeatNotes, Lesson
from sidekeys_engine.training.rendering import Windows

LESSONS, HELD_BACK = "lessons", "held-back"
"""Folders of windows: those that teach, and those that tell how well it went."""

ROWS_AT_ONCE = 32
_HELD_BACK_SHARE = 0.1
_MOST_TOKENS = 512  # of a window that anybody could play


def prepare(
    lessons: Sequence[Lesson],
    teacher: Pianist,
    folder: Path,
    *,
    semitones: Sequence[int] = (0,),
    report: Callable[[int, int], None] | None = None,
) -> None:
    """Write the windows of lessons, with what the new composer plays and what the others do.

    The last tenth of each lesson is held back; nothing that teaches reaches into it.

    Args:
        lessons: read and checked.
        teacher: the checkpoint as it is.
        folder: gets the folders `LESSONS` and `HELD_BACK`.
        semitones: each lesson is also heard at the speeds of so many, which changes its key.
        report: called with the windows that are ready and the windows in all.
    """
    done, total = 0, sum(len(lesson.windows) for lesson in lessons) * len(semitones)
    for name in (LESSONS, HELD_BACK):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number, lesson in enumerate(lessons):
        held_back = max(1, round(_HELD_BACK_SHARE * len(lesson.windows)))
        first = len(lesson.windows) - held_back
        edge = lesson.windows[first].start_beats
        teaching = [w for w in lesson.windows if w.start_beats + w.length_beats <= edge + 1e-6]
        for speed in semitones:
            heard = lesson.at_speed_of(speed)
            save_windows(
                windows_of(heard, teaching, teacher), folder / LESSONS, f"{number:03d}-{speed}"
            )
            done += len(teaching)
            if report is not None:
                report(done, total)
        held = windows_of(lesson, lesson.windows[first:], teacher)
        save_windows(held, folder / HELD_BACK, f"{number:03d}")


def windows_of(lesson: Lesson, windows: Sequence[Window], teacher: Pianist) -> Windows:
    """Windows of a lesson: their sound, the tokens of the checkpoint's composers, the new one's.

    Args:
        lesson: the song and its cover.
        windows: some of its windows.
        teacher: decides the grid and the vocabulary, and plays the other composers.
    """
    config = teacher.model.config
    vocabulary = NoteTokens(teacher.tokenizer.encoder, config.eos_token_id)
    descending = config.chord_order == "descending"
    new = [
        vocabulary.encode_window(window_notes(lesson.notes, w, config), descending=descending)
        for w in windows
    ]
    kept = [n for n, row in enumerate(new) if len(row) <= _MOST_TOKENS]
    windows, new = [windows[n] for n in kept], [new[n] for n in kept]
    moments = np.stack(
        [
            lesson.grid.seconds_at(
                w.step_positions(config.steps_per_window, before=config.context_steps)
            )
            for w in windows
        ]
    )
    heard = teacher.feature_extractor.log_mel_windows(lesson.audio, moments)
    own = heard.attention_mask.bool()
    sound = (heard.input_features, heard.frame_steps, heard.attention_mask)
    columns = [
        likeliest_tokens(teacher.model, name, *sound) for name in composer_tokens(teacher.model)
    ]
    rows = [tokens for window in zip(*columns, new, strict=True) for tokens in window]
    return Windows(
        features=heard.input_features[own].numpy().astype(np.float16),
        frame_steps=heard.frame_steps[own].numpy().astype(np.int8),
        frame_ends=own.sum(1).cumsum(0).numpy(),
        tokens=np.array([token for row in rows for token in row], dtype=np.int16),
        token_ends=np.cumsum([len(row) for row in rows]).reshape(len(windows), -1),
    )


def window_notes(notes: BeatNotes, window: Window, config: Pop2PianoConfig) -> list[StepNote]:
    """The part of a cover that one window holds, on the checkpoint's grid.

    Onsets and ends go to the nearest step. Two notes of one key that fall on one step are one; a
    note ends where its key is struck again. Where a checkpoint holds no notes over a window's
    edges, what was struck before is left out and what sounds on is cut.

    Args:
        notes: on the song's grid, in beats.
        window: of the same grid.
        config: the checkpoint's.

    Returns:
        Notes by onset and pitch.
    """
    steps = config.steps_per_window
    steps_per_beat = steps / window.length_beats
    spans = np.floor((notes[:, :2] - window.start_beats) * steps_per_beat + 0.5).astype(np.int64)
    spans[:, 1] = np.maximum(spans[:, 1], spans[:, 0] + 1)
    inside = (spans[:, 0] < steps) & (spans[:, 1] > 0)
    if not config.held_notes:
        inside &= spans[:, 0] >= 0
    by_key: dict[int, dict[int, tuple[int, int]]] = {}
    for (onset, end), (pitch, velocity) in zip(
        spans[inside].tolist(), notes[inside, 2:].astype(np.int64).tolist(), strict=True
    ):
        struck = by_key.setdefault(pitch, {})
        longest, loudest = struck.get(onset, (0, 0))
        struck[onset] = (max(longest, end), max(loudest, velocity))
    found = []
    for pitch, struck in by_key.items():
        onsets = sorted(struck)
        for onset, again in zip(onsets, [*onsets[1:], steps + 1], strict=True):
            end, velocity = struck[onset]
            end = min(end, again)
            if end > 0:
                found.append(
                    StepNote(
                        onset_step=max(0, onset),
                        end_step=min(end, steps),
                        pitch=pitch,
                        velocity=velocity,
                        is_held_before=onset < 0,
                        is_held_after=end > steps and config.held_notes,
                    )
                )
    return sorted(found, key=lambda note: (note.onset_step, note.pitch))


def likeliest_tokens(
    model: Pop2PianoForConditionalGeneration,
    composer: str,
    features: Tensor,
    frame_steps: Tensor,
    mask: Tensor | None = None,
) -> list[list[int]]:
    """What a model plays of windows, each up to and with the end token.

    Args:
        model: on any device.
        composer: one of its.
        features: (windows, frames, mels).
        frame_steps: (windows, frames).
        mask: (windows, frames), 0 for padding.
    """
    settings = Taste().on(model.generation_config)
    rows: list[list[int]] = []
    for first in range(0, len(features), ROWS_AT_ONCE):
        part = slice(first, first + ROWS_AT_ONCE)
        tokens = model.generate(
            features[part].to(model.device),
            attention_mask=None if mask is None else mask[part].to(model.device),
            composer=composer,
            generation_config=settings,
            frame_steps=frame_steps[part].to(model.device),
        )
        assert not isinstance(tokens, GenerateOutput)
        for row in tokens[:, 1:].tolist():
            end = row.index(settings.eos_token_id) + 1 if settings.eos_token_id in row else None
            rows.append(row[:end])
    return rows


def composer_tokens(model: Pop2PianoForConditionalGeneration) -> dict[str, int]:
    """The composers of a model and their tokens, in its own order.

    Raises:
        InputError: none are named, or their tokens do not follow one another.
    """
    tokens = model.generation_config.composer_to_feature_token
    names = in_order(tokens)
    if not names:
        raise InputError(
            "The checkpoint names no composers in its generation_config.json; name them there."
        )
    first = tokens[names[0]]
    if [tokens[name] for name in names] != list(range(first, first + len(names))):
        raise InputError(
            "The numbers of the checkpoint's composers in its generation_config.json do not follow "
            "one another; give another checkpoint."
        )
    return {name: tokens[name] for name in names}
