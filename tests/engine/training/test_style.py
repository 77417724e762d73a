"""Features of hand-made playing, and composers told apart by them."""

from __future__ import annotations

import numpy as np
import pytest

from sidekeys_engine.training.style import (
    FEATURES,
    Confusion,
    StyleCentroids,
    confusion,
    excerpts,
    style_features,
)

EXCERPT = np.array(
    [
        (0, 4, 48, 50), (0, 4, 60, 60), (0, 8, 67, 80),  # on the beat, with an octave
        (6, 8, 69, 70),  # alone, on a half-beat, a whole tone up
        (9, 10, 57, 40), (9, 12, 72, 60),  # on a sixteenth, a third up
        (12, 16, 72, 60),  # alone, on the beat, the same again
    ]
)  # fmt: skip


def features(notes: np.ndarray, beats: int) -> dict[str, float]:
    return dict(zip(FEATURES, style_features(notes, beats).tolist(), strict=True))


def test_every_feature_of_an_excerpt_is_what_one_counts_by_hand():
    lengths = np.array([4, 4, 8, 2, 1, 3, 4]) / 4
    assert features(EXCERPT, beats=4) == pytest.approx(
        {
            "notes a beat": 7 / 4,
            "struck moments a beat": 4 / 4,
            "notes a moment": 7 / 4,
            "moments of a single note": 2 / 4,
            "moments with an octave": 1 / 4,
            "notes sounding at once": 26 / 16,
            "mean pitch": (48 + 60 + 67 + 69 + 57 + 72 + 72) / 7,
            "spread of pitches": np.std([48, 60, 67, 69, 57, 72, 72]),
            "below middle C": 2 / 7,
            "top above bass": (19 + 15) / 2,
            "widest gap in a moment": (12 + 15) / 2,
            "moments on beats": 2 / 4,
            "moments on half-beats": 1 / 4,
            "moments on sixteenths": 1 / 4,
            "moments on beats 1 and 3": 1 / 4,
            "mean beats of a note": 26 / 4 / 7,
            "spread of note lengths": np.std(lengths),
            "mean velocity": 420 / 7,
            "spread of velocities": np.std([50, 60, 80, 70, 40, 60, 60]),
            "top louder than the rest": (25 + 20) / 2,
            "steps up or down of the top": 1 / 3,
        }
    )


def test_one_note_alone_has_finite_features():
    found = features(np.array([[3, 4, 60, 64]]), beats=64)
    assert np.isfinite(list(found.values())).all()
    assert found["moments of a single note"] == 1
    assert found["top above bass"] == 0


def test_playing_twice_as_long_is_the_same_style():
    twice = np.concatenate([EXCERPT, EXCERPT + np.array([16, 16, 0, 0])])
    one, two = features(EXCERPT, 4), features(twice, 8)
    melodic = "steps up or down of the top"  # a moment more, between the two
    assert {n: v for n, v in two.items() if n != melodic} == pytest.approx(
        {n: v for n, v in one.items() if n != melodic}
    )


def test_silence_has_no_style():
    with pytest.raises(ValueError, match="silence"):
        style_features(np.empty((0, 4), dtype=np.int64))


# --- excerpts ---


def test_excerpts_follow_each_other_on_steps_of_their_own():
    song = np.array([(0, 4, 60, 64), (15, 20, 62, 64), (16, 18, 64, 64), (60, 64, 65, 64)])
    cut = excerpts(song, beats=4)
    assert [one.tolist() for one in cut] == [
        [[0, 4, 60, 64], [15, 20, 62, 64]],
        [[0, 2, 64, 64]],
        [[12, 16, 65, 64]],  # beats 8 to 11 are silent
    ]


def test_excerpts_begin_at_the_first_downbeat_and_leave_out_a_rest():
    song = np.array([(0, 2, 60, 64), (4, 6, 62, 64), (20, 24, 64, 64)])
    assert [one.tolist() for one in excerpts(song, first_beat=1, beats=4)] == [[[0, 2, 62, 64]]]


# --- telling apart ---


def blocks(rng: np.random.Generator) -> np.ndarray:
    """A triad on every other beat, in any key."""
    root = int(rng.integers(45, 57))
    rows = [(s, s + 8, root + i, 60) for s in range(0, 64, 8) for i in (0, 4, 7)]
    return np.array(rows)


def runs(rng: np.random.Generator) -> np.ndarray:
    """A note on each sixteenth, up and down, in any key."""
    root = int(rng.integers(45, 57))
    rows = [(s, s + 1, root + [0, 4, 7, 12, 7, 4][s % 6], 60) for s in range(64)]
    return np.array(rows)


def examples(seed: int, count: int = 6) -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    return {
        "block": [blocks(rng) for _ in range(count)],
        "run": [runs(rng) for _ in range(count)],
    }


def test_composers_are_told_apart_in_keys_never_heard():
    found = confusion(examples(1), examples(2), beats=16)
    assert found.counts.tolist() == [[6, 0], [0, 6]]
    assert found.accuracy == 1


def test_what_is_played_in_the_wrong_name_counts_for_whom_it_sounds_like():
    rng = np.random.default_rng(3)
    judged = {"run": [blocks(rng), runs(rng), blocks(rng), np.empty((0, 4), dtype=np.int64)]}
    found = confusion(examples(1), judged, beats=16)
    assert found.counts.tolist() == [[0, 0], [2, 1]]
    assert found.accuracy == pytest.approx(1 / 3)


def test_a_feature_that_differs_between_songs_counts_less_than_one_that_differs_between_composers():
    """A loud run in a high key is a run: keys and loudness vary within both composers."""
    train = examples(1)
    for of_one in train.values():
        for index, notes in enumerate(of_one):
            notes[:, 3] += 8 * index
    high = runs(np.random.default_rng(4)) + np.array([0, 0, 24, 0])
    assert StyleCentroids.fitted(train, beats=16).nearest(high, beats=16) == "run"


def test_a_feature_that_never_varies_tells_nobody_apart():
    centroids = StyleCentroids.fitted(examples(1), beats=16)
    assert np.isfinite(centroids.centers).all()
    assert centroids.centers[:, FEATURES.index("mean velocity")].tolist() == [0, 0]


def test_a_composer_without_examples_is_refused():
    with pytest.raises(ValueError, match="at least one excerpt"):
        StyleCentroids.fitted({"block": []})
    with pytest.raises(ValueError, match="nobody knows the style of waltz"):
        confusion(examples(1), {"waltz": []}, beats=16)


def test_the_table_gives_percents_of_each_row():
    found = Confusion(("full", "ballad", "stride"), np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]]))
    assert found.markdown() == (
        "| played as | full | ballad | stride | excerpts |\n"
        "|---|---:|---:|---:|---:|\n"
        "| full | 75 | 25 | 0 | 4 |\n"
        "| ballad | 0 | 100 | 0 | 2 |\n"
        "| stride | - | - | - | 0 |\n"
    )
    assert found.accuracy == pytest.approx((3 / 4 + 1) / 2)  # and stride is no part of it
