"""Piano parts from true chords alone, note by note."""

from __future__ import annotations

import numpy as np
import pytest

from sidekeys_engine.training import baselines
from sidekeys_engine.training.baselines import (
    Tone,
    best_fixed_pattern,
    chords_on_steps,
    laid_over,
    most_common_pattern,
    near,
    triads_on_beats,
    triads_on_change,
)
from sidekeys_engine.training.metrics import Overlap
from sidekeys_engine.training.pop909 import Chord, Song

C, D_MINOR, F, G7 = (0, 4, 7), (2, 5, 9), (5, 9, 0), (7, 11, 2, 5)
EMPTY = np.empty((0, 4))


def song(*chords: tuple[float, float, tuple[int, ...]], beats: int = 33) -> Song:
    """A song in four at 120 bpm, of chords in root position."""
    return Song(
        name="001",
        beat_seconds=np.arange(beats) / 2,
        downbeats=np.arange(beats) % 4 == 0,
        melody=EMPTY,
        bridge=EMPTY,
        piano=EMPTY,
        chords=tuple(Chord(start, end, pcs[0], pcs, pcs[0]) for start, end, pcs in chords),
    )


def notes(*rows: tuple[int, int, int, int]) -> np.ndarray:
    return np.array(sorted(rows, key=lambda row: (row[0], row[2])), dtype=np.int64).reshape(-1, 4)


def shapes(found: np.ndarray) -> list[list[int]]:
    """Onset step, end step and pitch."""
    return found[:, :3].tolist()


# --- chords ---


def test_chords_begin_at_the_nearest_half_beat_of_the_window():
    chords = chords_on_steps(song((3.0, 5.2, C), (5.2, 6.8, F)), first_beat=4)
    roots = [None if chord is None else chord.root for chord in chords]
    assert roots == [0] * 4 + [5] * 8 + [None] * 4


def test_the_pitch_of_a_class_is_the_nearest_to_a_center():
    assert [near(pitch_class, 55) for pitch_class in (0, 1, 6, 7)] == [60, 49, 54, 55]
    assert {near(pitch_class, 36) for pitch_class in range(12)} == set(range(30, 42))


# --- triads ---


def test_a_triad_falls_on_every_beat_where_a_chord_sounds():
    found = triads_on_beats(song((0, 1, C), (1, 3, G7)), 0)
    assert shapes(found) == [
        [0, 4, 48], [0, 4, 52], [0, 4, 55],
        [4, 8, 55], [4, 8, 59], [4, 8, 62],  # without its seventh
        [8, 12, 55], [8, 12, 59], [8, 12, 62],
    ]  # fmt: skip


def test_a_triad_on_change_lasts_until_the_next_chord_or_silence():
    found = triads_on_change(song((0, 2, C), (2, 4, C), (4, 5, F), (5, 6.5, D_MINOR)), 2)
    assert shapes(found) == [
        [0, 8, 48], [0, 8, 52], [0, 8, 55],  # the same chord, written twice, does not change
        [8, 12, 53], [8, 12, 57], [8, 12, 60],
        [12, 16, 50], [12, 16, 53], [12, 16, 57],
    ]  # fmt: skip
    found = triads_on_change(song((0, 2, C), (2, 4, C), (4, 5, F), (5, 6.5, D_MINOR)), 4)
    assert found[-1].tolist()[:3] == [4, 10, 57]


def test_silence_has_no_triads():
    assert triads_on_beats(song(), 0).shape == (0, 4)
    assert triads_on_change(song(), 0).shape == (0, 4)


# --- patterns ---


def test_the_most_common_pattern_is_found_in_any_key_and_laid_over_any_chord():
    """Bass, then third and fifth: twice so, over C and D minor, and once otherwise."""
    piece = song((0, 4, C), (4, 8, D_MINOR), (8, 12, F))
    played = notes(
        (0, 8, 48, 70), (8, 12, 64, 50), (8, 12, 55, 50),
        (16, 24, 50, 72), (24, 28, 65, 52), (24, 28, 57, 52), (28, 30, 71, 90),
        (32, 40, 53, 71), (33, 40, 57, 90),
    )  # fmt: skip
    pattern = most_common_pattern([(piece, played)])
    # The 71 is no tone of D minor; lengths and velocities are means.
    assert pattern == (
        Tone(0, 8, 0, 48, 71), Tone(8, 12, 1, 60, 51), Tone(8, 12, 2, 60, 51),
    )  # fmt: skip
    found = laid_over(pattern, song((16, 20, G7)), 16)
    assert found.tolist() == [[0, 8, 43, 71], [8, 12, 59, 51], [8, 12, 62, 51]]


def test_equally_common_patterns_give_way_to_the_one_with_more_notes():
    piece = song((0, 8, C))
    played = notes((0, 4, 60, 64), (16, 20, 60, 64), (20, 24, 64, 64))
    assert len(most_common_pattern([(piece, played)])) == 2


def test_the_best_fixed_pattern_keeps_what_is_struck_often_enough():
    """Of four bars all strike the root at 0, three the fifth at 8, one each another note."""
    piece = song((0, 16, C))
    roots = [(16 * bar, 16 * bar + 4, 48, 60) for bar in range(4)]
    fifths = [(16 * bar + 8, 16 * bar + 12, 55, 60) for bar in range(3)]
    rare = [(16 * bar + 1 + 2 * bar, 16 * bar + 16, 64, 60) for bar in range(4)]
    pattern = best_fixed_pattern([(piece, notes(*roots, *fifths, *rare))])
    # F1 of one place: 8 / (4 + 11); of two: 14 / (8 + 11); of three: 16 / (12 + 11).
    assert [(tone.onset_step, tone.degree) for tone in pattern] == [(0, 0), (8, 2)]
    assert shapes(laid_over(pattern, piece, 0)) == [[0, 4, 48], [8, 12, 55]]


def test_a_voicing_around_any_center_is_found_whole():
    """Triads around G 3 in all keys: octaves counted from a C would cut every one of them."""
    keys = [tuple((pc + key) % 12 for pc in C) for key in range(12)]
    piece = song(*((4 * bar, 4 * bar + 4, pcs) for bar, pcs in enumerate(keys)), beats=49)
    rows = [
        (16 * bar, 16 * bar + 8, near(pc, 55), 60) for bar, pcs in enumerate(keys) for pc in pcs
    ]
    pattern = best_fixed_pattern([(piece, notes(*rows))])
    assert {tone.center for tone in pattern} == {55}
    for bar in range(12):
        expected = [[0, 8, pitch] for pitch in sorted(near(pc, 55) for pc in keys[bar])]
        assert shapes(laid_over(pattern, piece, 4 * bar)) == expected


def test_no_pattern_of_the_training_bars_beats_the_best_fixed_one_there():
    rng = np.random.default_rng(3)
    piece = song(*((2 * n, 2 * n + 2, [C, F, G7, D_MINOR][n % 4]) for n in range(64)), beats=129)
    weights = np.arange(16, 0, -1) / 136
    rows = {
        (16 * bar + int(rng.choice(16, p=weights)), int(rng.choice([43, 48, 52, 55, 60, 65])))
        for bar in range(32)
        for _ in range(6)
    }
    played = notes(*((onset, onset + 1, pitch, 64) for onset, pitch in rows))

    def f1(pattern: baselines.Pattern) -> float:
        total = Overlap()
        for bar in range(32):
            here = {(onset - 16 * bar, pitch) for onset, pitch in rows if onset // 16 == bar}
            total += Overlap.of({(s, p) for s, _, p, _ in laid_over(pattern, piece, 4 * bar)}, here)
        return total.f1

    best = best_fixed_pattern([(piece, played)])
    assert len(best) > 5
    assert f1(best) >= f1(most_common_pattern([(piece, played)]))
    assert all(f1(best[:count]) <= f1(best) for count in range(len(best)))


def test_bars_that_the_song_does_not_finish_teach_nothing():
    piece = song((0, 8, C), beats=7)  # a bar, and three beats of another
    played = notes((0, 4, 60, 64), (16, 20, 64, 64), (20, 24, 64, 64))
    assert [tone.degree for tone in most_common_pattern([(piece, played)])] == [0]


def test_a_tone_that_the_chord_lacks_is_left_out():
    seventh = Tone(0, 4, 3, 60, 64)
    piece = song((0, 4, G7), (4, 8, C))
    assert shapes(laid_over((seventh,), piece, 0)) == [[0, 4, 65]]
    assert laid_over((seventh,), piece, 4).shape == (0, 4)
    assert laid_over((seventh,), piece, 8).shape == (0, 4)


def test_a_bass_of_its_own_comes_after_the_tones_of_the_chord():
    over_d = Chord(0.0, 4.0, 0, C, 2)
    assert baselines.chord_tones(over_d) == (0, 4, 7, 2)
    assert baselines.chord_tones(Chord(0.0, 4.0, 0, C, 4)) == C


def test_nothing_teaches_no_pattern():
    piece = song((0, 8, C))
    for fitted in (most_common_pattern, best_fixed_pattern):
        assert fitted([]) == ()
        assert fitted([(piece, notes((0, 4, 61, 64)))]) == ()


def test_a_tone_that_ends_before_it_begins_is_refused():
    with pytest.raises(ValueError, match="no tone"):
        Tone(4, 4, 0, 60, 64)
