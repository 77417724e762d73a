"""Held-out songs never change, perfect players score perfectly, and pieces join at their edges."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from made_up_music import tiny_config, write_pop909
from sidekeys_engine.errors import InputError
from sidekeys_engine.network import Pop2PianoNetwork
from sidekeys_engine.note_tokens import StepNote
from sidekeys_engine.pianist import Pianist
from sidekeys_engine.training import evaluate as room
from sidekeys_engine.training.arranging import COMPOSERS, STEPS_PER_BEAT, arrange
from sidekeys_engine.training.checkpoints import save_checkpoint
from sidekeys_engine.training.evaluate import (
    COMPARED,
    HALF_BEATS,
    HeldOut,
    Played,
    Report,
    as_rows,
    baseline_players,
    checkpoint_player,
    evaluate,
    held_out_songs,
    style_confusion,
    training_pieces,
)
from sidekeys_engine.training.half_beat_targets import half_beat_targets
from sidekeys_engine.training.instruments import Orchestra
from sidekeys_engine.training.pop909 import read_song
from sidekeys_engine.training.rendering import WINDOW_BEATS, window_seconds

STEPS = WINDOW_BEATS * STEPS_PER_BEAT
SILENCE = np.empty((0, 4), dtype=np.int64)


@pytest.fixture(scope="module")
def pop909(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pop909(tmp_path_factory.mktemp("pop909"), "001", "002", "010", "405", beats=72)


@pytest.fixture(scope="module")
def orchestra() -> Iterator[Orchestra]:
    with Orchestra.found() as found:
        yield found


@pytest.fixture(scope="module")
def held(pop909: Path) -> HeldOut:
    """A song whose sound nobody here listens to."""
    song = read_song(pop909, "010")
    starts = tuple(range(4, 4 + 16 * WINDOW_BEATS, WINDOW_BEATS))
    return HeldOut(song, arrange(song), np.zeros(0, dtype=np.float32), starts)


def plays_the_target(held: HeldOut, composer: str) -> list[Played]:
    return [Played(held.target(composer, start)) for start in held.starts]


def plays_the_half_beat_target(held: HeldOut, composer: str) -> list[Played] | None:
    if composer not in COMPARED:
        return None
    targets = [half_beat_targets(held.song, start)[composer] for start in held.starts]
    return [Played(np.column_stack([notes, np.full(len(notes), 64)])) for notes in targets]


def plays_nothing(held: HeldOut, _: str) -> list[Played]:
    return [Played(SILENCE, valid=False) for _ in held.starts]


# --- songs ---


def test_held_out_songs_are_of_their_split_and_never_change(
    pop909: Path, orchestra: Orchestra, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_draw(song: object, _: Orchestra, rng: np.random.Generator) -> np.ndarray:
        return rng.normal(size=3)

    monkeypatch.setattr(room, "perform", first_draw)
    for split, name in (("test", "010"), ("validation", "405")):
        (first,) = held_out_songs(pop909, orchestra, split=split, windows=5)
        (again,) = held_out_songs(pop909, orchestra, split=split, windows=5)
        assert first.song.name == again.song.name == name
        assert np.array_equal(first.audio, again.audio)
        assert np.array_equal(first.song.beat_seconds, again.song.beat_seconds)
        assert np.array_equal(first.song.melody, again.song.melody)
        assert first.starts == again.starts
        assert len(first.starts) == 5
        assert set(np.diff(first.starts).tolist()) == {WINDOW_BEATS}
        assert first.song.downbeats[first.starts[0]]
    (longer,) = held_out_songs(pop909, orchestra, split="test")
    assert longer.starts[0] >= len(longer.song.beat_seconds) // 5
    assert longer.starts[-1] + WINDOW_BEATS < len(longer.song.beat_seconds)


def test_a_mix_is_what_a_held_out_song_sounds_like(pop909: Path, orchestra: Orchestra) -> None:
    (held,) = held_out_songs(pop909, orchestra, windows=1)
    assert np.abs(held.audio).max() > 0.05
    assert len(held.audio) / 22050 > held.song.beat_seconds[-1]
    assert held.seconds(held.starts[0]) == pytest.approx(4 * 60 / held.song.bpm, rel=1e-3)


def test_a_split_without_songs_is_told(tmp_path: Path, orchestra: Orchestra) -> None:
    write_pop909(tmp_path, "001")
    with pytest.raises(InputError, match="no test songs"):
        next(held_out_songs(tmp_path, orchestra))


# --- scores ---


def test_who_plays_the_target_scores_perfectly(held: HeldOut) -> None:
    done: list[str] = []
    players = {"perfect": (plays_the_target, STEPS_PER_BEAT), "mute": (plays_nothing, 4)}
    report = evaluate([held], players, on_song=done.append)
    assert done == ["010"]
    for composer in COMPOSERS:
        perfect = report.sixteenths["perfect", composer].summary()
        assert perfect["windows"] == 16
        for name in ("onset_f1", "chroma_f1", "notes_ratio", "velocity_correlation", "valid"):
            assert perfect[name] == pytest.approx(1), (composer, name)
        assert perfect["repeated_at_edge"] == 0
        assert perfect["melody_accuracy"] == perfect["melody_of_target"]
        mute = report.sixteenths["mute", composer].summary()
        assert (mute["onset_f1"], mute["valid"], mute["notes_per_window"]) == (0, 0, 0)
    held_over = report.sixteenths["perfect", "accompaniment"].summary()["held_over_f1"]
    assert held_over == pytest.approx(1), "the made-up piano is held over bar lines"


def test_who_plays_half_beats_is_compared_where_there_are_targets(held: HeldOut) -> None:
    report = evaluate([held], {"perfect": (plays_the_half_beat_target, HALF_BEATS)})
    assert report.half_beats.keys() == {("perfect", composer) for composer in COMPARED}
    assert report.sixteenths == {}
    assert report.excerpts == {}
    for scores in report.half_beats.values():
        assert scores.summary()["onset_f1"] == pytest.approx(1)
        assert scores.summary()["valid"] == 1


def test_a_checkpoint_plays_what_its_pianist_plays(held: HeldOut, tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_checkpoint(Pop2PianoNetwork(tiny_config(composer_vocab_size=len(COMPOSERS))), tmp_path)
    pianist = Pianist.from_pretrained(tmp_path, device="cpu")
    noise = np.random.default_rng(0).normal(0, 0.1, 20 * 22050).astype(np.float32)
    short = replace(held, audio=noise, starts=(4, 8, 12))
    player = checkpoint_player(pianist)
    played = player(short, "stride")
    assert played is not None
    moments = window_seconds(short.song, np.array(short.starts))
    for one, notes in zip(played, pianist.play(noise, moments, "stride"), strict=True):
        assert one.notes.tolist() == as_rows(notes).tolist()
    assert player(short, "somebody else") is None


def test_songs_add_up(held: HeldOut) -> None:
    report = evaluate([held, held], {"perfect": (plays_the_target, STEPS_PER_BEAT)})
    assert report.sixteenths["perfect", "full"].windows == 32
    assert len(report.excerpts["perfect", "full"]) == 2


def test_baselines_play_every_composer(pop909: Path, held: HeldOut) -> None:
    players = baseline_players(training_pieces(pop909, 1))
    report = evaluate([held], players)
    assert report.sixteenths.keys() == {(name, c) for name in players for c in COMPOSERS}
    for scores in report.sixteenths.values():
        assert scores.valid.value == 1
    # The made-up songs differ in nothing but their key, so a fixed pattern goes far.
    best = report.sixteenths["best pattern on true chords", "block"].onsets.f1
    assert best > report.sixteenths["true triads on every beat", "block"].onsets.f1
    assert best > 0.3


def test_training_pieces_are_of_training_songs(pop909: Path) -> None:
    pieces = training_pieces(pop909, 5)
    assert list(pieces) == list(COMPOSERS)
    for composer, songs in pieces.items():
        assert [song.name for song, _ in songs] == ["001", "002"]
        assert np.array_equal(songs[0][1], arrange(songs[0][0]).notes[composer])
    assert [len(songs) for songs in training_pieces(pop909, 1).values()] == [1] * len(COMPOSERS)


# --- styles ---


def test_the_targets_own_styles_are_told_apart(pop909: Path, held: HeldOut) -> None:
    report = evaluate([held], {"perfect": (plays_the_target, STEPS_PER_BEAT)})
    told = style_confusion(report, "perfect", training_pieces(pop909, 2))
    assert told.composers == tuple(COMPOSERS)
    assert told.counts.sum() == len(COMPOSERS)
    assert told.accuracy > 0.8


def test_a_composer_that_nobody_played_is_not_judged(pop909: Path) -> None:
    told = style_confusion(Report(), "mute", training_pieces(pop909, 1))
    assert told.counts.sum() == 0


# --- windows as rows ---


def test_rows_say_what_is_held_over_from_before() -> None:
    rows = as_rows(
        [
            StepNote(0, 16, 40, is_held_before=True, is_held_after=True),
            StepNote(0, 4, 60, 90),
            StepNote(8, 16, 64),
        ]
    )
    assert rows.tolist() == [[-1, 16, 40, 77], [0, 4, 60, 90], [8, 16, 64, 77]]
    assert as_rows([]).shape == (0, 4)


def test_windows_one_after_another_are_the_song(held: HeldOut) -> None:
    for composer, notes in held.arrangement.notes.items():
        first = held.starts[0] * STEPS_PER_BEAT
        last = first + len(held.starts) * STEPS
        inside = notes[(notes[:, 0] >= first) & (notes[:, 0] < last)]
        wanted = np.column_stack(
            [inside[:, 0] - first, np.minimum(inside[:, 1], last) - first, inside[:, 2:]]
        )
        joined = room._one_after_another(plays_the_target(held, composer))
        assert joined.tolist() == sorted(wanted.tolist())


def test_a_held_note_joins_only_what_was_struck_and_held_up_to_the_edge() -> None:
    def window(*rows: tuple[int, int, int, int]) -> Played:
        return Played(np.array(rows, dtype=np.int64).reshape(-1, 4))

    joined = room._one_after_another(
        [
            window((-1, 16, 30, 50), (4, 16, 60, 80), (4, 15, 62, 81)),
            window((-1, 16, 60, 77), (-1, 8, 62, 77), (-1, 16, 64, 77)),
            window((-1, 3, 60, 77), (5, 7, 60, 90)),
            window(),
            window((-1, 3, 60, 77)),
        ]
    )
    assert joined.tolist() == [[4, 15, 62, 81], [4, 35, 60, 80], [37, 39, 60, 90]]
    assert room._one_after_another([]).shape == (0, 4)
