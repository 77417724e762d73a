"""Every figure counted by hand, on windows of a few notes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sidekeys_engine.training.metrics import Pairs, Scores, Share, correlation, on_grid

NOTHING = np.empty((0, 4), dtype=np.int64)


def notes(*rows: tuple[int, ...]) -> np.ndarray:
    """Onset step, end step, pitch and, if it matters, velocity."""
    return np.array([(*row, 64)[:4] for row in rows], dtype=np.int64).reshape(-1, 4)


def scored(
    predicted: np.ndarray, target: np.ndarray, melody: np.ndarray = NOTHING, **more: object
) -> dict[str, float]:
    scores = Scores()
    scores.add(predicted, target, melody=melody, seconds=2.0, **more)
    return scores.summary()


# --- grids ---


def test_an_odd_sixteenth_becomes_the_half_beat_after_it():
    fine = notes((0, 1, 60), (3, 6, 62), (6, 9, 64), (13, 16, 65), (15, 16, 67))
    assert on_grid(fine, 4, 2).tolist() == [
        [0, 1, 60, 64],
        [2, 3, 62, 64],
        [3, 5, 64, 64],
        [7, 8, 65, 64],  # and the last one belongs to the next window
    ]


def test_a_pitch_struck_twice_at_one_half_beat_is_one_note_as_long_and_loud_as_either():
    fine = notes((3, 4, 60, 90), (4, 10, 60, 40), (4, 6, 67, 50))
    assert on_grid(fine, 4, 2).tolist() == [[2, 5, 60, 90], [2, 3, 67, 50]]


def test_a_finer_grid_and_back_changes_nothing():
    coarse = notes((0, 1, 60), (3, 8, 62), (7, 8, 60))
    assert on_grid(coarse, 2, 4).tolist() == [[0, 2, 60, 64], [6, 16, 62, 64], [14, 16, 60, 64]]
    assert on_grid(on_grid(coarse, 2, 4), 4, 2).tolist() == coarse.tolist()


def test_notes_are_cut_at_the_end_of_the_window_and_left_out_beyond_it():
    fine = notes((14, 20, 60), (16, 18, 62))
    assert on_grid(fine, 4, 4).tolist() == [[14, 16, 60, 64]]


def test_what_is_held_over_stays_held_over_and_is_no_onset():
    fine = notes((-1, 6, 60), (-5, 0, 62), (-9, -1, 64))
    assert on_grid(fine, 4, 2).tolist() == [[-1, 3, 60, 64]]
    assert on_grid(notes((-1, 8, 60)), 4, 1).tolist() == [[-1, 2, 60, 64]]


def test_no_notes_are_none_on_any_grid():
    assert on_grid(NOTHING, 4, 2).shape == (0, 4)
    with pytest.raises(ValueError, match="at least a step"):
        on_grid(NOTHING, 4, 0)


# --- notes ---


def test_a_note_is_right_at_its_step_and_pitch_however_long():
    target = notes((0, 4, 60), (4, 8, 64), (8, 12, 67), (8, 12, 48))
    predicted = notes((0, 1, 60), (4, 8, 76), (8, 9, 67))
    found = scored(predicted, target)
    assert found["onset_f1"] == pytest.approx(2 * 2 / (3 + 4))
    assert found["onset_precision"] == pytest.approx(2 / 3)
    assert found["onset_recall"] == pytest.approx(2 / 4)
    assert found["chroma_f1"] == pytest.approx(2 * 3 / (3 + 4))  # the 76 is a 64 an octave up


def test_octaves_at_one_step_are_one_pitch_class():
    found = scored(notes((0, 4, 48), (0, 4, 60)), notes((0, 4, 72)))
    assert found["onset_f1"] == 0
    assert found["chroma_f1"] == 1


def test_windows_are_weighed_by_their_notes():
    scores = Scores()
    ten = notes(*((step, step + 1, 60) for step in range(10)))
    scores.add(ten, ten, melody=NOTHING, seconds=1.0)
    scores.add(notes((0, 1, 61)), notes((0, 1, 60)), melody=NOTHING, seconds=1.0)
    assert scores.summary()["onset_f1"] == pytest.approx(20 / 22)  # and not the mean of 1 and 0


def test_density_counts_struck_notes_once_and_held_ones_never():
    predicted = notes((-2, 8, 50), (0, 4, 60), (0, 2, 60), (6, 8, 62), (15, 19, 64))
    found = scored(predicted, notes((0, 4, 60), (2, 4, 60)))
    assert found["notes_per_window"] == 3
    assert found["notes_per_second"] == pytest.approx(1.5)
    assert found["notes_ratio"] == pytest.approx(1.5)


def test_what_was_never_to_be_counted_is_no_number():
    found = scored(NOTHING, NOTHING)
    assert found["windows"] == found["valid"] == 1
    assert found["notes_per_window"] == 0
    undefined = ("onset_f1", "melody_accuracy", "playable", "repeated_at_edge", "held_over_f1")
    assert all(math.isnan(found[name]) for name in undefined)
    assert math.isnan(Scores().summary()["notes_per_second"])


# --- melody ---


def test_the_melody_is_heard_where_its_pitch_class_is_on_top():
    melody = notes((0, 4, 72), (4, 8, 74), (8, 12, 76), (12, 16, 77))
    predicted = notes(
        (0, 4, 60), (0, 4, 55),  # an octave down, and on top: right
        (4, 8, 74), (4, 8, 79),  # there, but below another note: wrong
        (7, 8, 76), (8, 12, 52), (9, 12, 88),  # on top is what is struck at its step: right
    )  # fmt: skip
    target = notes((0, 4, 72), (4, 8, 74), (8, 12, 76), (12, 16, 53))
    found = scored(predicted, target, melody)
    assert found["melody_accuracy"] == pytest.approx(2 / 4)
    assert found["melody_of_target"] == 1


def test_a_melody_note_from_before_the_window_is_not_asked_for():
    found = scored(notes((0, 4, 72)), NOTHING, notes((-2, 3, 71), (4, 8, 72)))
    assert found["melody_accuracy"] == 0
    assert Scores().merged().melody == Share(0, 0)


# --- velocities ---


def test_one_group_has_the_correlation_of_pearson():
    x, y = [30, 50, 80, 90, 20], [40, 45, 100, 70, 35]
    pairs = [Pairs.of(*pair) for pair in zip(x, y, strict=True)]
    assert correlation([sum(pairs, Pairs())]) == pytest.approx(np.corrcoef(x, y)[0, 1])


def test_only_right_notes_have_their_velocities_compared():
    target = notes((0, 4, 60, 40), (4, 8, 60, 80), (8, 12, 60, 60))
    predicted = notes((0, 4, 60, 80), (4, 8, 60, 40), (8, 12, 61, 127))
    assert scored(predicted, target)["velocity_correlation"] == pytest.approx(-1)


def test_a_model_that_only_knows_that_melodies_are_louder_has_no_correlation_within():
    rng = np.random.default_rng(1)
    steps = range(16)
    melody = notes(*((step, step + 1, 72) for step in steps))
    true_velocities = rng.integers(90, 110, 16), rng.integers(40, 60, 16)
    target = notes(
        *((step, step + 1, 72, true_velocities[0][step]) for step in steps),
        *((step, step + 1, 52, true_velocities[1][step]) for step in steps),
    )
    flat = target.copy()
    flat[:, 3] = np.where(flat[:, 2] == 72, 100, 50)
    found = scored(flat, target, melody)
    assert found["velocity_correlation"] > 0.95
    assert math.isnan(found["velocity_correlation_within"])  # within both, it never varies

    drawn = flat.copy()
    drawn[:, 3] += rng.integers(-8, 9, len(drawn))
    found = scored(drawn, target, melody)
    assert found["velocity_correlation"] > 0.9
    assert abs(found["velocity_correlation_within"]) < 0.35  # 32 pairs by chance: sigma is 0.18


def test_loud_and_soft_composers_together_show_no_skill_within():
    loud = notes((0, 4, 60, 100), (4, 8, 60, 110), (8, 12, 60, 100), (12, 16, 60, 110))
    soft = loud - np.array([0, 0, 0, 60])
    played_loud, played_soft = loud.copy(), soft.copy()
    played_loud[:, 3] = [110, 110, 100, 100]  # as loud on the whole, and no more than that
    played_soft[:, 3] = [50, 50, 40, 40]
    scores = Scores()
    scores.add(played_loud, loud, melody=NOTHING, seconds=2.0, composer="virtuoso")
    scores.add(played_soft, soft, melody=NOTHING, seconds=2.0, composer="ballad")
    found = scores.summary()
    assert found["velocity_correlation"] > 0.95
    assert found["velocity_correlation_within"] == pytest.approx(0)


def test_dynamics_that_are_right_within_composer_and_role_correlate_fully():
    melody = notes((0, 4, 72), (8, 12, 74))
    target = notes((0, 4, 72, 90), (0, 4, 48, 50), (8, 12, 74, 110), (8, 12, 48, 58))
    quiet = target.copy()
    quiet[:, 3] = (quiet[:, 3] + 10) // 2
    assert scored(quiet, target, melody)["velocity_correlation_within"] == pytest.approx(1)


# --- hands, edges, tokens ---


def test_playable_moments_are_weighed_by_how_many_there_are():
    scores = Scores()
    two_good = notes((0, 2, 60), (2, 4, 62))
    one_bad = notes((0, 2, 30), (0, 2, 60), (0, 2, 90))  # three hands
    scores.add(two_good, two_good, melody=NOTHING, seconds=2.0)
    scores.add(one_bad, two_good, melody=NOTHING, seconds=2.0)
    assert scores.summary()["playable"] == pytest.approx(2 / 3)
    assert scores.summary()["playable_of_target"] == 1


def test_a_note_held_over_needs_a_finger_but_is_no_moment_itself():
    held = notes((-4, 2, 30), (-3, 2, 90))
    found = scored(np.concatenate([held, notes((0, 4, 60), (4, 8, 60))]), NOTHING)
    assert found["playable"] == pytest.approx(1 / 2)  # at step 4 nothing else is held
    assert math.isnan(scored(held, NOTHING)["playable"])


def test_a_note_struck_again_at_the_edge_counts_unless_the_target_strikes_it():
    before = notes((8, 16, 60), (12, 20, 64), (12, 15, 67), (0, 16, 48))
    predicted = notes((0, 4, 60), (0, 4, 64), (0, 4, 67), (0, 4, 72), (4, 8, 48))
    target = notes((0, 8, 64))
    found = scored(predicted, target, before=before)
    # 60 is repeated; 64 rightly so; 67 had ended; 72 never sounded; 48 is not at the edge.
    assert found["repeated_at_edge"] == pytest.approx(1 / 4)
    assert math.isnan(scored(predicted, target)["repeated_at_edge"])
    assert scored(predicted, target, before=NOTHING)["repeated_at_edge"] == 0


def test_held_over_pitches_are_compared_apart_from_struck_ones():
    target = notes((-3, 4, 60), (-1, 8, 64), (-9, -2, 40), (0, 4, 72))
    predicted = notes((-1, 2, 60), (-1, 2, 67), (-1, 2, 65), (0, 4, 64), (0, 4, 72))
    found = scored(predicted, target)
    assert found["held_over_f1"] == pytest.approx(2 * 1 / (3 + 2))
    assert found["onset_f1"] == pytest.approx(2 * 1 / (2 + 1))


def test_the_share_of_valid_windows_is_what_the_caller_says():
    scores = Scores()
    for valid in (True, False, True, True):
        scores.add(NOTHING, NOTHING, melody=NOTHING, seconds=1.0, valid=valid)
    assert scores.summary()["valid"] == 0.75


# --- sums ---


def random_notes(rng: np.random.Generator) -> np.ndarray:
    onsets = rng.integers(-2, 16, 12)
    rows = [onsets, onsets + rng.integers(1, 6, 12), rng.integers(55, 62, 12)]
    return np.stack([*rows, rng.integers(1, 128, 12)], axis=1)


def test_scores_of_parts_merge_to_the_scores_of_the_whole():
    rng = np.random.default_rng(7)
    whole, parts = Scores(), [Scores(), Scores(), Scores()]
    for index in range(12):
        predicted, target, melody, before = (random_notes(rng) for _ in range(4))
        for scores in (whole, parts[index % 3]):
            scores.add(
                predicted,
                target,
                melody=melody,
                seconds=2.0,
                composer="ab"[index % 2],
                before=before if index % 4 else None,
                valid=index != 5,
            )
    merged = parts[0].merged(*parts[1:])
    assert merged == whole
    assert merged.summary() == whole.summary()
    assert 0 < merged.summary()["onset_f1"] < 1
    assert sum(part.windows for part in parts) == 12  # the parts themselves are left alone


def test_scores_of_different_grids_do_not_merge():
    with pytest.raises(ValueError, match="different grids"):
        Scores(4).merged(Scores(2))


def test_on_half_beats_a_window_has_eight_steps():
    scores = Scores(2)
    scores.add(notes((7, 8, 60), (8, 9, 62)), notes((7, 8, 60)), melody=NOTHING, seconds=2.0)
    assert scores.summary()["onset_f1"] == 1
