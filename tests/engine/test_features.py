from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sidekeys_engine.checkpoint import CheckpointError
from sidekeys_engine.errors import InputError
from sidekeys_engine.features import Pop2PianoFeatureExtractor
from sidekeys_engine.log_mel import LogMelWindows

RATE = 44100


def band(seconds: float, bpm: float = 120.0, first_beat: float = 0.3, rate: int = RATE) -> Any:
    """Kick, hat and chords on a steady beat, mono float32; as pop as it gets without a synth."""
    rng = np.random.default_rng(1)
    time = np.arange(int(seconds * rate)) / rate
    audio = 1e-4 * rng.standard_normal(len(time))
    period = 60 / bpm
    for beat in range(int((seconds - first_beat) / period)):
        since = time - (first_beat + beat * period)
        sounding = since >= 0
        t = since[sounding]
        root = (110.0, 87.3, 130.8, 98.0)[beat // 4 % 4]
        audio[sounding] += 0.5 * np.sin(2 * np.pi * 60 * t) * np.exp(-t * 25)
        audio[sounding] += 0.1 * rng.standard_normal(len(t)) * np.exp(-t * 60)
        for ratio in (1, 1.26, 1.5, 4):
            audio[sounding] += 0.06 * np.sin(2 * np.pi * root * ratio * t) * np.exp(-t * 4)
    return (audio / np.abs(audio).max() * 0.9).astype(np.float32)


@pytest.fixture(scope="module")
def reference() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from transformers import Pop2PianoFeatureExtractor as Reference

        return Reference()


@pytest.fixture(scope="module")
def extractor() -> Pop2PianoFeatureExtractor:
    return Pop2PianoFeatureExtractor()


@pytest.fixture(scope="module")
def songs() -> tuple[Any, Any]:
    return band(7.0), band(5.013, bpm=97)


def assert_equal(ours: Any, theirs: Any) -> None:
    """The same entries, in type, shape and value; log-mel far inside the promised 1e-2 and 1e-4."""
    assert list(ours) == list(theirs)
    for name in theirs:
        ours_array, array = np.asarray(ours[name]), np.asarray(theirs[name])
        assert (ours_array.shape, ours_array.dtype) == (array.shape, array.dtype), name
        if name == "input_features":
            difference = np.abs(ours_array - array)
            assert difference.max() < 1e-4
            assert difference.mean() < 1e-6
        else:
            np.testing.assert_array_equal(ours_array, array)


def with_beats(reference: Any, monkeypatch: pytest.MonkeyPatch, beats: Any) -> Any:
    """The reference, made to take these beats instead of tracking them."""
    monkeypatch.setattr(reference, "extract_rhythm", lambda audio: (0, beats, 0, 0, 0))
    return reference


# --- beside the reference ---


@pytest.mark.parametrize("settings", [{}, {"return_attention_mask": True}, {"steps_per_beat": 4}])
def test_one_song_equals_the_reference(
    reference: Any, extractor: Pop2PianoFeatureExtractor, songs: Any, settings: Any
) -> None:
    theirs = reference(songs[0], RATE, return_tensors="pt", **settings)
    ours = extractor(songs[0], RATE, return_tensors="pt", tracker="essentia", **settings)
    assert_equal(ours, theirs)


@pytest.mark.parametrize("masks", [True, False, None])
def test_a_batch_of_two_equals_the_reference(
    reference: Any, extractor: Pop2PianoFeatureExtractor, songs: Any, masks: bool | None
) -> None:
    theirs = reference(list(songs), [RATE, RATE], return_attention_mask=masks)
    ours = extractor(list(songs), [RATE, RATE], return_attention_mask=masks, tracker="essentia")
    assert_equal(ours, theirs)


@pytest.mark.parametrize(
    "beats",
    [
        np.arange(0.3, 8.5, 0.5),
        np.cumsum(0.5 + 0.05 * np.sin(np.arange(16))),
        np.array([0.0, 1.1]),
        np.arange(0.1, 0.9, 0.02),  # windows of less than half a frame
        np.arange(7.0, 12.0, 0.5),  # beyond the song's end
    ],
)
def test_given_beats_at_the_models_rate_equal_the_reference(
    reference: Any,
    extractor: Pop2PianoFeatureExtractor,
    monkeypatch: pytest.MonkeyPatch,
    beats: Any,
) -> None:
    audio = band(9.0, rate=22050)
    theirs = with_beats(reference, monkeypatch, beats)(audio, 22050)
    assert_equal(extractor(audio, 22050, beat_times=beats), theirs)


def test_loud_and_pure_tones_equal_the_reference(
    reference: Any, extractor: Pop2PianoFeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where rounding in the resampler is heard most: nothing beside a few loud partials."""
    seconds = np.arange(4 * RATE) / RATE
    audio = sum(0.3 * np.sin(2 * np.pi * hertz * seconds) for hertz in (55, 440, 660))
    beats = np.arange(0.0, 4.0, 0.5)
    theirs = with_beats(reference, monkeypatch, beats)(audio.astype(np.float32), RATE)
    assert_equal(extractor(audio.astype(np.float32), RATE, beat_times=beats), theirs)


# --- where the reference is wrong ---


def test_a_song_of_48_khz_keeps_its_tempo(
    reference: Any, extractor: Pop2PianoFeatureExtractor
) -> None:
    audio = band(8.0, bpm=120, rate=48000)
    theirs = np.median(np.diff(reference(audio, 48000)["beatsteps"][0]))
    assert abs(theirs - 0.25) > 0.01
    ours = extractor(audio, 48000, tracker="essentia")
    assert np.median(np.diff(ours.beatsteps[0])) == pytest.approx(0.25, abs=0.002)


def test_one_rate_serves_a_batch(
    reference: Any, extractor: Pop2PianoFeatureExtractor, songs: Any
) -> None:
    with pytest.raises(ValueError, match="sampling_rate of each audio separately"):
        reference(list(songs), RATE)
    beats = [np.arange(0.0, 4.0, 0.5), np.arange(0.0, 3.0, 0.5)]
    one, each = (extractor(list(songs), rate, beat_times=beats) for rate in (RATE, [RATE, RATE]))
    np.testing.assert_array_equal(one.input_features, each.input_features)


def test_a_clip_without_a_beat_gets_a_steady_grid(
    reference: Any, extractor: Pop2PianoFeatureExtractor
) -> None:
    clip = band(0.5)
    with pytest.raises(ValueError, match="size 0"):
        reference(clip, RATE)
    ours = extractor(clip, RATE)
    np.testing.assert_allclose(ours.beatsteps[0], np.arange(len(ours.beatsteps[0])) * 0.25)
    assert ours.input_features.shape == (1, 27, 512)  # two beats and the step after them
    assert np.isfinite(ours.input_features).all()


def test_a_single_beat_gets_a_steady_grid_through_it(
    reference: Any, extractor: Pop2PianoFeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    audio, beat = band(3.0, rate=22050), np.array([1.2])
    with_beats(reference, monkeypatch, beat)
    with np.errstate(all="ignore"), pytest.raises(ValueError, match="NaN"):
        reference(audio, 22050)
    ours = extractor(audio, 22050, beat_times=beat)
    steps = ours.beatsteps[0]
    np.testing.assert_allclose(np.diff(steps), 0.25, atol=1e-6)
    assert np.abs(steps - 1.2).min() < 1e-6
    assert steps[0] < 0.5
    assert steps[-1] >= 2.7


def test_librosa_tracks_where_it_is_asked_to(
    extractor: Pop2PianoFeatureExtractor, songs: Any
) -> None:
    ours = extractor(songs[0], RATE, tracker="librosa")
    assert np.median(np.diff(ours.beatsteps[0])) == pytest.approx(0.25, abs=0.01)


# --- what audio may be ---


@pytest.mark.parametrize(
    "form",
    [
        torch.from_numpy,
        lambda x: x.tolist(),
        lambda x: x.astype(np.float64),
        lambda x: np.stack([x, x]),
        lambda x: np.stack([x, x], axis=1),
        lambda x: torch.from_numpy(np.stack([1.5 * x, 0.5 * x])),
    ],
    ids=["tensor", "list", "float64", "channels first", "channels last", "stereo tensor"],
)
def test_every_form_of_audio_sounds_the_same(
    extractor: Pop2PianoFeatureExtractor, form: Any
) -> None:
    audio, beats = band(2.0, rate=22050), np.arange(0.0, 2.0, 0.5)
    expected = extractor(audio, 22050, beat_times=beats).input_features
    ours = extractor(form(audio), 22050, beat_times=beats).input_features
    np.testing.assert_allclose(ours, expected, atol=1e-3)


def test_16_bit_audio_sounds_like_its_floats(extractor: Pop2PianoFeatureExtractor) -> None:
    integers = (band(2.0, rate=22050) * 32767).astype(np.int16)
    beats = np.arange(0.0, 2.0, 0.5)
    expected = extractor(integers / np.float32(32768), 22050, beat_times=beats)
    ours = extractor(integers, 22050, beat_times=beats)
    np.testing.assert_allclose(ours.input_features, expected.input_features, atol=1e-5)


@pytest.mark.parametrize(
    "audio", [[], np.zeros(0), np.array([0.0, np.nan] * 50), np.array([np.inf] * 50), ["a", "b"]]
)
def test_what_is_no_audio_is_refused(extractor: Pop2PianoFeatureExtractor, audio: Any) -> None:
    with pytest.raises(InputError) as error:
        extractor(audio, 22050, beat_times=[0.0, 0.5])
    assert str(error.value).count("\n") == 0


@pytest.mark.parametrize("rate", [0, -1, None, "fast", float("nan")])
def test_what_is_no_rate_is_refused(extractor: Pop2PianoFeatureExtractor, rate: Any) -> None:
    with pytest.raises(ValueError, match="sampling rate"):
        extractor(np.ones(100), rate, beat_times=[0.0, 0.5])


@pytest.mark.parametrize("beats", [[0.5, 0.5], [1.0, 0.5], [0.0, np.nan], [[0.0, 1.0]], [0, 1e-9]])
def test_beats_that_do_not_rise_are_refused(
    extractor: Pop2PianoFeatureExtractor, beats: Any
) -> None:
    with pytest.raises(ValueError, match=r"[Bb]eat"):
        extractor(np.ones(30000), 22050, beat_times=beats)


def test_each_song_needs_its_rate_and_beats(extractor: Pop2PianoFeatureExtractor) -> None:
    songs = [np.ones(30000), np.ones(30000)]
    with pytest.raises(ValueError, match="sampling_rate has 1 entries for 2 songs"):
        extractor(songs, [22050], beat_times=[[0, 1], [0, 1]])
    with pytest.raises(ValueError, match="beat_times has 3 entries for 2 songs"):
        extractor(songs, 22050, beat_times=[[0, 1], [0, 1], [0, 1]])


def test_audio_that_is_not_resampled_is_warned_about(
    extractor: Pop2PianoFeatureExtractor,
) -> None:
    audio, beats = band(2.0, rate=22050), np.arange(0.0, 2.0, 0.5)
    with pytest.warns(UserWarning, match="44100 Hz is taken as if it had 22050 Hz"):
        ours = extractor(audio, 44100, resample=False, beat_times=beats)
    expected = extractor(audio, 22050, beat_times=beats)
    np.testing.assert_array_equal(ours.input_features, expected.input_features)


def test_beats_before_the_audio_hear_silence(extractor: Pop2PianoFeatureExtractor) -> None:
    audio = band(2.0, rate=22050)
    ours = extractor(audio, 22050, beat_times=np.arange(-8.0, 2.0, 0.5))
    alone = extractor(audio, 22050, beat_times=np.arange(0.0, 2.0, 0.5))
    assert ours.input_features[:4].max() < -13.8
    np.testing.assert_array_equal(ours.input_features[4], alone.input_features[0])


# --- the settings ---


def test_settings_survive_saving(tmp_path: Path) -> None:
    saved = Pop2PianoFeatureExtractor(feature_size=32, window_size=512, padding_side="right")
    saved.save_pretrained(tmp_path / "new")
    loaded = Pop2PianoFeatureExtractor.from_pretrained(tmp_path / "new")
    assert loaded.to_dict() == saved.to_dict()
    assert loaded.mel_filters.shape == (257, 32)
    overridden = Pop2PianoFeatureExtractor.from_pretrained(tmp_path / "new", num_bars=1)
    assert overridden.num_bars == 1


def test_settings_travel_to_transformers_and_back(tmp_path: Path, reference: Any) -> None:
    Pop2PianoFeatureExtractor(feature_size=64, num_bars=1).save_pretrained(tmp_path / "ours")
    theirs = type(reference).from_pretrained(tmp_path / "ours")
    assert (theirs.feature_size, theirs.num_bars) == (64, 1)
    theirs.save_pretrained(tmp_path / "theirs")
    assert Pop2PianoFeatureExtractor.from_pretrained(tmp_path / "theirs").feature_size == 64


def test_settings_are_found_inside_a_processors(tmp_path: Path) -> None:
    settings = {"feature_extractor": {"feature_size": 64}, "processor_class": "x"}
    (tmp_path / "processor_config.json").write_text(json.dumps(settings))
    assert Pop2PianoFeatureExtractor.from_pretrained(tmp_path).feature_size == 64


def test_the_default_checkpoint_has_its_settings() -> None:
    assert Pop2PianoFeatureExtractor.from_pretrained("builtin").feature_size == 256


@pytest.mark.parametrize(
    "content", [None, "{", "[]", '{"hop_length": 0}', '{"feature_size": "many"}']
)
def test_broken_settings_are_told_in_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "preprocessor_config.json").write_text(content)
    with pytest.raises(CheckpointError) as error:
        Pop2PianoFeatureExtractor.from_pretrained(tmp_path)
    assert str(error.value).count("\n") == 0


# --- windows on given steps ---


def even_steps(starts: Any, window_seconds: float, steps: int = 8) -> Any:
    return np.asarray(starts)[:, None] + np.arange(steps + 1) * (window_seconds / steps)


@pytest.fixture(scope="module")
def small() -> Pop2PianoFeatureExtractor:
    return Pop2PianoFeatureExtractor.from_pretrained("builtin")


def assert_same_window(one: LogMelWindows, i: int, other: LogMelWindows, j: int) -> None:
    """The same frames and steps, to the last bit, up to padding."""
    frames = int(one.attention_mask[i].sum())
    assert frames == int(other.attention_mask[j].sum())
    assert torch.equal(one.input_features[i, :frames], other.input_features[j, :frames])
    assert torch.equal(one.frame_steps[i, :frames], other.frame_steps[j, :frames])


def test_a_window_does_not_depend_on_the_others(small: Pop2PianoFeatureExtractor) -> None:
    audio = band(12.0, rate=22050)
    steps = np.concatenate(
        [even_steps([0.1, 2.17], 1.93), even_steps([3.0], 0.31), even_steps([5.0], 4.4)]
    )
    together = small.log_mel_windows(audio, steps)
    for window in range(len(steps)):
        alone = small.log_mel_windows(audio, steps[window : window + 1])
        assert_same_window(alone, 0, together, window)
        frames = alone.input_features.shape[1]
        assert (together.input_features[window, frames:] == np.float32(np.log(1e-6))).all()
        assert (together.frame_steps[window, frames:] == 8).all()
        assert (together.attention_mask[window, frames:] == 0).all()


def test_a_window_does_not_depend_on_the_audio_around_it(
    small: Pop2PianoFeatureExtractor,
) -> None:
    audio = band(6.0, rate=22050)
    whole = small.log_mel_windows(audio, even_steps([2.0], 2.0))
    cut = small.log_mel_windows(audio[44100:88200], even_steps([0.0], 2.0))
    assert_same_window(whole, 0, cut, 0)


def test_windows_have_a_frame_each_hop_and_one_more(small: Pop2PianoFeatureExtractor) -> None:
    for samples in (1, 1023, 1024, 1025, 2047, 44100):
        steps = np.linspace(0, samples / 22050, 9)[None]
        windows = small.log_mel_windows(np.ones(samples, np.float32), steps + 1e-12)
        frames = 1 + samples // 1024
        assert windows.input_features.shape == (1, frames, 256)
        assert windows.attention_mask.tolist() == [[1] * frames]


def test_outside_the_audio_there_is_silence(small: Pop2PianoFeatureExtractor) -> None:
    audio = band(2.0, rate=22050)
    windows = small.log_mel_windows(audio, even_steps([-2.5, -1.0, 1.0, 2.0], 2.0))
    loudest = windows.input_features.amax(dim=2)
    middle = loudest.shape[1] // 2
    silent = loudest < -13.8
    assert silent[0].all()
    assert silent[3].all()
    before, after = slice(middle - 3), slice(middle + 3, None)
    for window, inside, outside in ((1, after, before), (2, before, after)):
        assert silent[window, outside].all()
        assert not silent[window, inside].any()


@pytest.mark.parametrize("window_seconds", [1.37, 2.0, 3.333])
def test_frames_of_an_even_grid_know_their_step(
    small: Pop2PianoFeatureExtractor, window_seconds: float
) -> None:
    windows = small.log_mel_windows(
        np.zeros(22050, np.float32), even_steps([-0.7, 0.0, 171.3], window_seconds)
    )
    seconds = np.arange(windows.frame_steps.shape[1]) * 1024 / 22050
    expected = np.minimum(np.floor(seconds / (window_seconds / 8)), 8)
    for row in windows.frame_steps.numpy():
        np.testing.assert_array_equal(row, expected)


def test_frames_of_an_uneven_grid_know_their_step(small: Pop2PianoFeatureExtractor) -> None:
    hop = 1024 / 22050
    boundaries = np.array([[0, 3.5, 4.5, 9.5, 12.5]]) * hop + 1.0
    windows = small.log_mel_windows(np.zeros(99999, np.float32), boundaries)
    assert windows.frame_steps.tolist() == [[0] * 4 + [1] + [2] * 5 + [3] * 3]


def test_windows_equal_the_training_recipe(small: Pop2PianoFeatureExtractor) -> None:
    """The spectra the default checkpoint was trained on: torch.stft of windows padded by zeros."""
    audio = torch.from_numpy(band(4.0, rate=22050))
    start, end = 11025, 55125
    padded = torch.nn.functional.pad(audio[start:end], (0, 4096))
    spectrum = torch.stft(
        padded, 4096, 1024, window=torch.hann_window(4096), center=True, return_complex=True
    )
    filters = torch.from_numpy(small.mel_filters).float()
    expected = torch.log(torch.clamp(spectrum.abs().square().T @ filters, min=1e-6))
    windows = small.log_mel_windows(audio, even_steps([start / 22050 + 1e-9], 2.0))
    frames = windows.input_features[0]
    torch.testing.assert_close(frames, expected[: len(frames)], rtol=0, atol=5e-3)


def test_no_windows_are_no_error(small: Pop2PianoFeatureExtractor) -> None:
    windows = small.log_mel_windows(np.zeros(100, np.float32), np.zeros((0, 9)))
    assert windows.input_features.shape == (0, 0, 256)
    assert windows.frame_steps.shape == windows.attention_mask.shape == (0, 0)


@pytest.mark.parametrize("steps", [[0.0, 1.0], [[0.0]], [[1.0, 0.5]], [[0.0, np.nan]]])
def test_steps_that_do_not_rise_are_refused(small: Pop2PianoFeatureExtractor, steps: Any) -> None:
    with pytest.raises(ValueError, match="step"):
        small.log_mel_windows(np.zeros(100, np.float32), steps)
