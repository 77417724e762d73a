"""How well a checkpoint plays songs it never heard: the tables of figures, made by one command."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from sidekeys_engine.note_tokens import StepNote
from sidekeys_engine.pianist import Pianist, Taste
from sidekeys_engine.training.arranging import (
    COMPOSERS,
    STEPS_PER_BEAT,
    Arrangement,
    StepNotes,
    arrange,
)
from sidekeys_engine.training.band import perform
from sidekeys_engine.training.baselines import (
    Pattern,
    Piece,
    best_fixed_pattern,
    laid_over,
    most_common_pattern,
    triads_on_beats,
    triads_on_change,
)
from sidekeys_engine.training.dataset import songs_of
from sidekeys_engine.training.half_beat_targets import HalfBeatNotes, half_beat_targets
from sidekeys_engine.training.instruments import Orchestra
from sidekeys_engine.training.metrics import Scores, on_grid
from sidekeys_engine.training.pop909 import Song, read_song
from sidekeys_engine.training.rendering import (
    WINDOW_BEATS,
    drawn_song,
    notes_in_window,
    window_starts,
)
from sidekeys_engine.training.style import EXCERPT_BEATS, Confusion, confusion, excerpts

HALF_BEATS = 2
COMPARED = ("full", "accompaniment", "block", "arpeggio")
"""The composers that have targets on half-beats."""
Pieces = Mapping[str, Sequence[Piece]]
"""Composer -> songs and the composer's notes of each."""

_EXCERPT_WINDOWS = EXCERPT_BEATS // WINDOW_BEATS
_SEED = 20_000
_VELOCITY = 77  # of notes that tell none


@dataclass(frozen=True)
class HeldOut:
    """A song that no training saw, and the windows of it that are played.

    Attributes:
        song: as it is heard.
        arrangement: what every composer plays of it.
        audio: (samples,) its mix.
        starts: first beats of windows, each four beats after the one before.
    """

    song: Song
    arrangement: Arrangement
    audio: npt.NDArray[np.float32]
    starts: tuple[int, ...]

    def seconds(self, start: int) -> float:
        """Length of the window that begins at a beat."""
        first, last = self.song.seconds_at([start, start + WINDOW_BEATS])
        return float(last - first)

    def target(self, composer: str, start: int) -> StepNotes:
        """What a composer plays in a window, on sixteenths."""
        return as_rows(notes_in_window(self.arrangement.notes[composer], start))

    def melody(self, start: int) -> StepNotes:
        """What is sung in a window, on sixteenths."""
        return as_rows(notes_in_window(self.arrangement.melody, start))


@dataclass(frozen=True)
class Played:
    """What was played of one window.

    Attributes:
        notes: (notes, 4) on the player's grid.
        valid: whether the tokens ended by themselves.
    """

    notes: StepNotes
    valid: bool = True


Player = Callable[[HeldOut, str], list[Played] | None]
"""A held-out song and a composer -> its windows played; None for a composer it does not know."""


@dataclass
class Report:
    """All figures.

    Attributes:
        half_beats: system and composer -> scores on the half-beat targets.
        sixteenths: system and composer -> scores on the composers' own targets.
        excerpts: system and composer -> excerpts as long as `style` has them, of the systems that
            play sixteenths.
    """

    half_beats: dict[tuple[str, str], Scores] = field(default_factory=dict)
    sixteenths: dict[tuple[str, str], Scores] = field(default_factory=dict)
    excerpts: dict[tuple[str, str], list[StepNotes]] = field(default_factory=dict)


def held_out_songs(
    pop909: Path, orchestra: Orchestra, *, split: str = "test", windows: int = _EXCERPT_WINDOWS
) -> Iterator[HeldOut]:
    """Each song of a split in one mix that never changes, and its windows from a quarter on.

    Args:
        pop909: the dataset's folder.
        orchestra: its instruments.
        split: "test" or "validation".
        windows: how many of a song, one after another.

    Raises:
        InputError: there is no song of the split.
    """
    for name in songs_of(pop909, split):
        rng = np.random.default_rng([_SEED, int(name)])
        song = drawn_song(pop909, name, rng)
        bars = window_starts(song)
        first = int(bars[len(bars) // 4])
        starts = range(first, len(song.beat_seconds) - WINDOW_BEATS, WINDOW_BEATS)
        yield HeldOut(song, arrange(song), perform(song, orchestra, rng), tuple(starts[:windows]))


def checkpoint_player(pianist: Pianist) -> Player:
    """A checkpoint that plays the likeliest notes."""
    config = pianist.model.config
    known = pianist.model.generation_config.composer_to_feature_token
    settings = Taste().on(pianist.model.generation_config)

    def play(held: HeldOut, composer: str) -> list[Played] | None:
        if composer not in known:
            return None
        steps = np.arange(-config.context_steps, config.steps_per_window + 1)
        moments = held.song.seconds_at(
            np.array(held.starts)[:, None] + steps / config.steps_per_beat
        )
        heard = pianist.feature_extractor.log_mel_windows(
            held.audio, moments, device=pianist.model.device
        )
        tokens = pianist.model.generate(
            heard.input_features,
            attention_mask=heard.attention_mask,
            composer=composer,
            generation_config=settings,
            frame_steps=heard.frame_steps,
        )
        assert isinstance(tokens, torch.Tensor)
        return [
            Played(
                as_rows(
                    pianist.tokenizer.decode_window(
                        row, steps=config.steps_per_window, held_notes=config.held_notes
                    )
                ),
                config.eos_token_id in row,
            )
            for row in tokens[:, 1:].tolist()
        ]

    return play


def rule_player(rule: Callable[[Song, int], StepNotes]) -> Player:
    """A baseline that plays a rule over the true chords, whoever the composer is."""
    return lambda held, _: [Played(rule(held.song, start)) for start in held.starts]


def pattern_player(pieces: Pieces, fit: Callable[[Iterable[Piece]], Pattern]) -> Player:
    """A baseline that repeats one bar of each composer's, as it is fitted, over the true chords."""
    patterns = {composer: fit(songs) for composer, songs in pieces.items()}
    return lambda held, composer: [
        Played(laid_over(patterns[composer], held.song, start)) for start in held.starts
    ]


def evaluate(
    songs: Iterable[HeldOut],
    players: Mapping[str, tuple[Player, int]],
    *,
    on_song: Callable[[str], None] | None = None,
) -> Report:
    """Let every player play every song as every composer, and count.

    Args:
        songs: held out.
        players: name -> player and the steps per beat of its grid.
        on_song: called with the name of each song that is done.
    """
    report = Report()
    for held in songs:
        halves = [half_beat_targets(held.song, start) for start in held.starts]
        for system, (player, grid) in players.items():
            for composer in COMPOSERS:
                played = player(held, composer)
                if played is None:
                    continue
                key = (system, composer)
                if composer in COMPARED:
                    scores = report.half_beats.setdefault(key, Scores(HALF_BEATS))
                    targets = [_four_columns(half[composer]) for half in halves]
                    melodies = [_four_columns(half["melody"]) for half in halves]
                    _count(scores, held, composer, played, grid, targets, melodies)
                if grid == STEPS_PER_BEAT:
                    scores = report.sixteenths.setdefault(key, Scores(STEPS_PER_BEAT))
                    targets = [held.target(composer, start) for start in held.starts]
                    melodies = [held.melody(start) for start in held.starts]
                    _count(scores, held, composer, played, grid, targets, melodies)
                    if len(played) == _EXCERPT_WINDOWS:
                        report.excerpts.setdefault(key, []).append(_one_after_another(played))
        if on_song is not None:
            on_song(held.song.name)
    return report


def _count(
    scores: Scores,
    held: HeldOut,
    composer: str,
    played: Sequence[Played],
    grid: int,
    targets: Sequence[StepNotes],
    melodies: Sequence[StepNotes],
) -> None:
    before: StepNotes | None = None
    for start, window, target, melody in zip(held.starts, played, targets, melodies, strict=True):
        notes = on_grid(window.notes, grid, scores.steps_per_beat)
        scores.add(
            notes,
            target,
            melody=melody,
            seconds=held.seconds(start),
            composer=composer,
            before=before,
            valid=window.valid,
        )
        before = notes


def style_confusion(report: Report, system: str, pieces: Pieces) -> Confusion:
    """Who is told from whom: composers known from training songs, tried on what a system plays.

    Args:
        report: with the system's excerpts.
        system: whose playing.
        pieces: training songs, long enough for an excerpt.
    """
    known = {
        composer: [excerpt for _, notes in songs for excerpt in excerpts(notes)]
        for composer, songs in pieces.items()
    }
    tried = {composer: report.excerpts.get((system, composer), []) for composer in known}
    return confusion(known, tried)


def training_pieces(pop909: Path, songs: int) -> Pieces:
    """The first so many training songs as every composer plays them."""
    pieces: dict[str, list[Piece]] = {composer: [] for composer in COMPOSERS}
    for name in songs_of(pop909, "train")[:songs]:
        song = read_song(pop909, name)
        for composer, notes in arrange(song).notes.items():
            pieces[composer].append((song, notes))
    return pieces


def baseline_players(pieces: Pieces) -> dict[str, tuple[Player, int]]:
    """What needs no training, by name: triads of the true chords, fixed patterns over them."""
    players = {
        "true triads on every beat": rule_player(triads_on_beats),
        "true triads on change": rule_player(triads_on_change),
        "commonest pattern on true chords": pattern_player(pieces, most_common_pattern),
        "best pattern on true chords": pattern_player(pieces, best_fixed_pattern),
    }
    return {name: (player, STEPS_PER_BEAT) for name, player in players.items()}


def as_rows(notes: Iterable[StepNote]) -> StepNotes:
    """(notes, 4) of a window's notes; one that is held over from before starts at -1."""
    rows = []
    for note in notes:
        onset = -1 if note.is_held_before else note.onset_step
        rows.append((onset, note.end_step, note.pitch, note.velocity or _VELOCITY))
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def _four_columns(notes: HalfBeatNotes) -> StepNotes:
    """Half-beat notes with a velocity, which the targets leave open."""
    return np.column_stack([notes, np.full(len(notes), _VELOCITY)]).astype(np.int64)


def _one_after_another(played: Sequence[Played]) -> StepNotes:
    """Windows of sixteenths as one piece; what is held over is struck once, where it began."""
    steps = WINDOW_BEATS * STEPS_PER_BEAT
    rows: list[list[int]] = []
    open_rows: dict[int, list[int]] = {}
    for number, window in enumerate(played):
        first, held = number * steps, open_rows
        open_rows = {}
        for onset, end, pitch, velocity in window.notes.tolist():
            row = held.get(pitch) if onset < 0 else [first + onset, 0, pitch, velocity]
            if row is None:
                continue
            row[1] = first + end
            if onset >= 0:
                rows.append(row)
            if end == steps:
                open_rows[pitch] = row
    return np.array(sorted(rows), dtype=np.int64).reshape(-1, 4)
