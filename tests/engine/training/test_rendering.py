"""Windows hold what is heard and what is played at the same beats, and come again from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from made_up_music import write_pop909
from sidekeys_engine.grammar import NoteGrammar
from sidekeys_engine.note_tokens import join_windows
from sidekeys_engine.training.arranging import COMPOSERS, STEPS_PER_BEAT, arrange
from sidekeys_engine.training.instruments import RATE, Orchestra
from sidekeys_engine.training.pop909 import Song, read_song
from sidekeys_engine.training.rendering import (
    CONTEXT_BEATS,
    VOCABULARY_SIZE,
    WINDOW_BEATS,
    Windows,
    architecture,
    cut,
    drawn_song,
    log_mel_for,
    note_tokens,
    notes_in_window,
    render_song,
    window_seconds,
    window_starts,
)

STEPS = WINDOW_BEATS * STEPS_PER_BEAT
CONTEXT = CONTEXT_BEATS * STEPS_PER_BEAT
BANDS = 32
NOTHING = np.empty((0, 4))


@pytest.fixture(scope="module")
def pop909(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pop909(tmp_path_factory.mktemp("pop909"), "001")


@pytest.fixture(scope="module")
def song(pop909: Path) -> Song:
    return read_song(pop909, "001")


@pytest.fixture(scope="module")
def orchestra() -> Iterator[Orchestra]:
    with Orchestra.found() as found:
        yield found


def a_song(beats: int, downbeats: list[int], bpm: float = 120) -> Song:
    return Song(
        name="001",
        beat_seconds=0.3 + 60 / bpm * np.arange(beats),
        downbeats=np.isin(np.arange(beats), downbeats),
        melody=NOTHING,
        bridge=NOTHING,
        piano=NOTHING,
        chords=(),
    )


def noise(song: Song) -> np.ndarray:
    """Something to hear, from second 0 to after the last beat."""
    count = round((song.beat_seconds[-1] + 1) * RATE)
    return np.random.default_rng(0).normal(0, 0.1, count).astype(np.float32)


# --- where windows begin ---


def test_windows_begin_at_bars_and_their_halves() -> None:
    song = a_song(23, [1, 5, 9, 13, 17, 21])
    assert window_starts(song).tolist() == [1, 3, 5, 7, 9, 11, 13, 15, 17]


def test_a_bar_that_is_not_four_beats_has_no_half() -> None:
    assert window_starts(a_song(20, [0, 3, 7, 13])).tolist() == [0, 3, 5, 7, 13]


def test_no_window_reaches_beyond_the_last_beat() -> None:
    starts = window_starts(a_song(9, [0, 4]))
    assert starts.tolist() == [0, 2, 4]
    assert starts.max() + WINDOW_BEATS <= 8


def test_the_moments_of_a_windows_steps_begin_with_its_context(song: Song) -> None:
    moments = window_seconds(song, np.array([0, 6]))
    assert moments.shape == (2, CONTEXT + STEPS + 1)
    assert moments[:, CONTEXT] == pytest.approx(song.seconds_at([0, 6]))
    assert moments[:, 0] == pytest.approx(song.seconds_at([-1, 5]))
    assert moments[:, -1] == pytest.approx(song.seconds_at([4, 10]))


# --- what is played in them ---


def test_a_note_belongs_to_every_window_that_it_sounds_in() -> None:
    notes = np.array([[14, 40, 60, 70], [16, 18, 64, 80], [30, 32, 67, 90]])

    def played(first_beat: int) -> list[tuple[int, int, int, bool, bool]]:
        return [
            (n.onset_step, n.end_step, n.pitch, n.is_held_before, n.is_held_after)
            for n in notes_in_window(notes, first_beat)
        ]

    assert played(0) == [(14, 16, 60, False, True)]
    assert played(4) == [
        (0, 16, 60, True, True),
        (0, 2, 64, False, False),
        (14, 16, 67, False, False),
    ]
    assert played(8) == [(0, 8, 60, True, False)]
    assert played(12) == []


def test_windows_that_follow_each_other_give_the_song_back(song: Song) -> None:
    for name, notes in arrange(song).notes.items():
        windows = [notes_in_window(notes, beat) for beat in range(0, 24, WINDOW_BEATS)]
        again = [
            (n.onset_step, n.end_step, n.pitch, n.velocity) for n in join_windows(windows, STEPS)
        ]
        assert again == [tuple(note) for note in notes.tolist()], name


# --- windows ---


@pytest.fixture(scope="module")
def windows(song: Song) -> Windows:
    starts = np.array([0, 4, 6])
    return cut(song, arrange(song), noise(song), starts, log_mel_for(architecture(d_model=BANDS)))


def tokens_of(windows: Windows, window: int, composer: int) -> list[int]:
    index = window * len(COMPOSERS) + composer
    ends = np.concatenate([[0], windows.token_ends.ravel()])
    return windows.tokens[ends[index] : ends[index + 1]].tolist()


def test_windows_hold_every_composers_tokens(song: Song, windows: Windows) -> None:
    assert len(windows) == 3
    assert windows.token_ends.shape == (3, len(COMPOSERS))
    assert windows.token_ends[-1, -1] == len(windows.tokens)
    config = architecture()
    for window, start in enumerate([0, 4, 6]):
        for composer, notes in enumerate(arrange(song).notes.values()):
            tokens = tokens_of(windows, window, composer)
            assert tokens[-1] == config.eos_token_id
            read = note_tokens().decode_strictly(tokens, steps=STEPS, held_notes=True)
            wanted = notes_in_window(notes, start)
            assert [(n.onset_step, n.end_step, n.pitch, n.is_held_before) for n in read] == [
                (n.onset_step, n.end_step, n.pitch, n.is_held_before) for n in wanted
            ]


def test_a_window_is_heard_from_its_context_to_its_end(song: Song, windows: Windows) -> None:
    counts = np.diff(windows.frame_ends, prepend=0)
    # Four beats and one of context, at two beats a second: 2.5 s.
    assert set(counts.tolist()) == {1 + int(2.5 * RATE) // 1024}
    assert windows.features.shape == (counts.sum(), BANDS)
    assert windows.features.dtype == np.float16
    assert np.isfinite(windows.features).all()
    for end, count in zip(windows.frame_ends, counts, strict=True):
        steps = windows.frame_steps[end - count : end]
        assert steps[0] == 0
        assert steps[-1] in (CONTEXT + STEPS - 1, CONTEXT + STEPS)
        assert (np.diff(steps) >= 0).all()
        assert set(steps[:-1].tolist()) == set(range(CONTEXT + STEPS))


def test_a_sound_is_heard_at_its_step(song: Song) -> None:
    audio = np.zeros_like(noise(song))
    beat = 6 + 2.5 / STEPS_PER_BEAT  # in the middle of a step
    audio[round(float(song.seconds_at(beat)) * RATE)] = 1
    log_mel = log_mel_for(architecture(d_model=BANDS))
    for start in (3, 4, 6, 7):
        heard = cut(song, arrange(song), audio, np.array([start]), log_mel)
        loudest = heard.features.astype(float).sum(1).argmax()
        assert heard.frame_steps[loudest] == CONTEXT + (6 - start) * STEPS_PER_BEAT + 2


def test_the_context_of_the_first_window_is_silent_before_the_song(windows: Windows) -> None:
    """It begins half a beat and more before the audio's first second."""
    steps = windows.frame_steps[: windows.frame_ends[0]]
    loudness = windows.features[: windows.frame_ends[0]].astype(float).max(1)
    assert loudness[0] == loudness.min()
    assert (loudness[steps >= CONTEXT + 1] > loudness[0]).all()


def test_the_grammar_lets_a_model_play_every_target(windows: Windows) -> None:
    config = architecture()
    for window in range(3):
        for composer, name in enumerate(COMPOSERS):
            grammar = NoteGrammar(
                1,
                config.layout,
                STEPS,
                chord_order=config.chord_order,
                held_notes=config.held_notes,
            )
            for token in tokens_of(windows, window, composer):
                assert grammar.allowed()[0, token], (window, name)
                grammar.advance(torch.tensor([token]))


def test_the_vocabulary_has_no_time_beyond_the_last_moment(windows: Windows) -> None:
    config = architecture()
    assert config.vocab_size == VOCABULARY_SIZE
    assert config.layout.longest_move == STEPS - 1
    assert windows.tokens.max() < VOCABULARY_SIZE
    assert windows.tokens.min() >= 1


def test_a_song_too_short_for_a_window_has_none() -> None:
    short = a_song(5, [0])
    starts = window_starts(short)[:0]
    empty = cut(short, arrange(short), noise(short), starts, log_mel_for(architecture(d_model=8)))
    assert len(empty) == 0
    assert empty.token_ends.shape == (0, len(COMPOSERS))
    assert empty.token_ends.dtype == np.int64


# --- draws ---


def test_songs_are_drawn_in_many_keys_and_tempos_that_pop_has(pop909: Path, song: Song) -> None:
    drawn = [drawn_song(pop909, "001", np.random.default_rng(seed)) for seed in range(40)]
    keys = {int(one.melody[0, 2] - song.melody[0, 2]) for one in drawn}
    assert keys <= set(range(-5, 7))
    assert len(keys) > 8
    tempos = [one.bpm for one in drawn]
    assert 0.78 * 120 <= min(tempos) < 100
    assert 150 < max(tempos) <= 1.35 * 120


def test_a_slow_song_is_often_counted_twice_as_fast(tmp_path: Path) -> None:
    write_pop909(tmp_path, "001")
    marks = tmp_path / "001" / "beat_midi.txt"
    rows = [line.split() for line in marks.read_text().splitlines()]
    marks.write_text("\n".join(f"{float(s) * 1.6} {half} {bar}" for s, half, bar in rows))
    beats = [
        drawn_song(tmp_path, "001", np.random.default_rng(seed)).beat_seconds.size
        for seed in range(30)
    ]
    assert set(beats) == {24, 47}
    assert 5 < beats.count(47) < 25


def same(one: Windows, other: Windows) -> bool:
    pairs = [(getattr(one, field.name), getattr(other, field.name)) for field in fields(Windows)]
    return all(np.array_equal(first, second) for first, second in pairs)


def test_a_seed_is_a_take(pop909: Path, orchestra: Orchestra) -> None:
    log_mel = log_mel_for(architecture(d_model=BANDS))
    first, again, other = (
        render_song(pop909, "001", seed, orchestra, log_mel) for seed in (3, 3, 4)
    )
    assert len(first) == 10
    assert same(first, again)
    assert not same(first, other)


def test_overrides_make_another_network_for_the_same_windows() -> None:
    assert architecture() == architecture()
    small = architecture(d_model=BANDS, num_layers=1)
    assert (small.d_model, small.num_layers) == (BANDS, 1)
    assert small.heard_steps == CONTEXT + STEPS
    assert small.composer_vocab_size == len(COMPOSERS)
    assert log_mel_for(small).bands == BANDS
