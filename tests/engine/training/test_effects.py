"""Effects change how a song sounds, and never where its notes begin."""

from __future__ import annotations

import numpy as np
import pytest

from made_up_stems import BEATS, SAMPLING_RATE, clicks, plucks, rng_of
from sidekeys_engine.training import effects
from sidekeys_engine.training.codec import coded
from sidekeys_engine.training.effect_parts import Audio, Effect, loudness
from sidekeys_engine.training.noises import noisy
from sidekeys_engine.training.rooms import echoed, large_room, small_room

LATE_SECONDS = 0.005
HOP = 32  # samples between two looks at what begins
SINGLE = [
    effects.equalized, effects.combed, effects.phoned, effects.driven, effects.decimated,
    effects.modulated, effects.tremolo, effects.wobbled, effects.compressed, effects.maximised,
    echoed, small_room, large_room, noisy, coded,
]  # fmt: skip
ALL = [*SINGLE, effects.colour, effects.master]
every_effect = pytest.mark.parametrize("effect", ALL, ids=lambda effect: effect.__name__)


def growth(audio: Audio) -> np.ndarray:
    """How much the amplitude grows, every 1.5 ms: where an impulse begins."""
    amplitude = np.sqrt(np.square(windows(audio)).mean(axis=1))
    return np.maximum(amplitude[2:] - amplitude[:-2], 0)


def flux(audio: Audio) -> np.ndarray:
    """How much begins over all frequencies, every 1.5 ms: where a note begins among others."""
    magnitudes = np.abs(np.fft.rfft(windows(audio, 256) * np.hanning(256)))
    levels = np.log1p(10 * magnitudes / magnitudes.mean())
    return np.maximum(levels[4:] - levels[:-4], 0).mean(axis=1)


def windows(audio: Audio, size: int = 64) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(audio, size)[::HOP]


def lag_seconds(before: np.ndarray, after: np.ndarray) -> float:
    """By how much the second of two onset curves is late, from their cross-correlation."""
    reach = round(0.05 * SAMPLING_RATE / HOP)
    lags = range(-reach, reach + 1)
    middle = before[reach:-reach]
    scores = [np.dot(middle, after[reach + lag : len(after) - reach + lag]) for lag in lags]
    return float(lags[np.argmax(scores)] * HOP / SAMPLING_RATE)


# --- what holds for all ---


@every_effect
def test_onsets_stay_in_place(effect: Effect):
    for seed in range(16):
        for audio, curve in ((clicks(), growth), (plucks(), flux)):
            late = lag_seconds(curve(audio), curve(effect(audio, rng_of(seed))))
            assert abs(late) <= LATE_SECONDS, (seed, late)


@every_effect
def test_every_single_click_stays_in_place(effect: Effect):
    audio = clicks()
    for seed in range(16):
        changed = np.abs(effect(audio, rng_of(seed)))
        for beat in BEATS:
            # The first moment that is about as loud as the loudest within 40 ms.
            start = round((beat - 0.02) * SAMPLING_RATE)
            around = changed[start : start + round(0.04 * SAMPLING_RATE)]
            first = np.argmax(around >= 0.5 * around.max()) + start
            assert abs(first / SAMPLING_RATE - beat) <= LATE_SECONDS, (seed, beat)


@every_effect
def test_sound_stays_finite_and_as_long_as_it_was(effect: Effect):
    for size in (1, 2, 63, 64, 65, 1000, 40_000):
        audio = rng_of(0).normal(0, 0.1, size).astype(np.float32)
        for seed in range(8):
            changed = effect(audio, rng_of(seed))
            assert changed.dtype == np.float32
            assert changed.shape == audio.shape
            assert np.isfinite(changed).all()


@every_effect
@pytest.mark.parametrize("size", [0, 1, 5000])
def test_silence_stays_silent(effect: Effect, size: int):
    silence = np.zeros(size, dtype=np.float32)
    for seed in range(8):
        changed = effect(silence, rng_of(seed))
        assert changed.dtype == np.float32
        np.testing.assert_array_equal(changed, silence)


@every_effect
def test_almost_silence_does_no_harm(effect: Effect):
    audio = (1e-20 * rng_of(0).normal(size=5000)).astype(np.float32)
    assert all(np.isfinite(effect(audio, rng_of(seed))).all() for seed in range(8))


@every_effect
def test_the_same_seed_makes_the_same_sound(effect: Effect):
    audio = plucks()
    first, again = effect(audio, rng_of(3)), effect(audio, rng_of(3))
    np.testing.assert_array_equal(first, again)
    assert any(not np.array_equal(first, effect(audio, rng_of(seed))) for seed in range(4, 8))


@every_effect
def test_effects_do_not_depend_on_how_loud_the_audio_comes_in(effect: Effect):
    audio = plucks()
    for seed in range(6):
        loud, soft = effect(audio, rng_of(seed)), effect(audio / 64, rng_of(seed))
        loud, soft = loud / loudness(loud), soft / loudness(soft)
        assert np.sqrt(np.mean(np.square(loud - soft))) < 0.01, seed


# --- the two chains ---


def test_colour_keeps_the_loudness_of_a_stem():
    stem = plucks()
    for seed in range(30):
        coloured = effects.colour(stem, rng_of(seed))
        assert loudness(coloured) == pytest.approx(loudness(stem), rel=1e-3)


def test_some_stems_keep_their_sound():
    stem = plucks()
    kept = sum(np.array_equal(effects.colour(stem, rng_of(seed)), stem) for seed in range(60))
    assert 2 <= kept <= 30


def test_some_mixes_are_only_turned_up_or_down():
    mix = plucks()
    unit = mix / np.linalg.norm(mix)
    alike = [
        np.dot(unit, (m := effects.master(mix, rng_of(seed))) / np.linalg.norm(m)) > 0.99999
        for seed in range(60)
    ]
    assert 1 <= sum(alike) <= 20


def test_masters_are_of_many_levels_and_never_overshoot():
    mix = plucks()
    levels = []
    for seed in range(60):
        record = effects.master(mix, rng_of(seed), BEATS)
        assert np.abs(record).max() <= 1
        levels.append(10 * np.log10(np.mean(np.square(record, dtype=np.float64))))
    assert min(levels) >= -32.01
    assert max(levels) <= -7.99
    assert min(levels) < -22
    assert max(levels) > -12


def test_masters_pump_only_where_beats_are_given():
    mix, pumping = plucks(), []
    for seed in range(40):
        without, given = effects.master(mix, rng_of(seed)), effects.master(mix, rng_of(seed), BEATS)
        pumping.append(not np.array_equal(without, given))
        assert abs(lag_seconds(flux(mix), flux(given))) <= LATE_SECONDS
    assert any(pumping)


# --- what single effects do ---


def test_pumping_ducks_after_the_beat_and_not_on_it():
    tone = np.ones(4 * SAMPLING_RATE, dtype=np.float32)
    beats = np.array([1.0, 2.0, 3.0])
    for seed in range(10):
        gain = effects.pumped(tone, rng_of(seed), beats)
        assert gain[: SAMPLING_RATE // 2].min() == 1
        for beat in beats:
            at = round(beat * SAMPLING_RATE)
            duck = gain[at : at + SAMPLING_RATE // 2]
            assert gain[at + round(0.01 * SAMPLING_RATE)] > 0.95 * gain[at - 100]
            assert 0.02 < np.argmin(duck) / SAMPLING_RATE < 0.06
            assert duck.min() <= 0.85


@pytest.mark.parametrize("beats", [[], [0.5], [-3.0, 99.0]])
def test_pumping_takes_any_beats(beats: list[float]):
    changed = effects.pumped(plucks(), rng_of(0), np.array(beats))
    assert np.isfinite(changed).all()
    assert effects.pumped(np.zeros(0, np.float32), rng_of(0), np.array(beats)).size == 0


def test_a_limiter_leaves_no_peak_and_little_distortion():
    tone = np.sin(2 * np.pi * 440 * np.arange(SAMPLING_RATE) / SAMPLING_RATE).astype(np.float32)
    limited = effects._limited(4 * tone, 100.0)
    assert np.abs(limited).max() <= 1
    np.testing.assert_allclose(limited[200:-200], tone[200:-200], atol=0.01)
