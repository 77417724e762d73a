from dataclasses import replace

import numpy as np
import pytest

from sidekeys_engine.training.singer import Singer
from sidekeys_engine.training.vocal_tract import RATE
from sidekeys_engine.training.voice import sing

PLAIN = Singer(articulation=0.0, inhales=0.0, diphthongs=0.0)
SECONDS = 3


def _sung(rows, singer=PLAIN, seed=0, samples=SECONDS * RATE, words=None):
    notes = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return sing(notes, samples, singer, np.random.default_rng(seed), words=words)


def _between(audio, begin_seconds, end_seconds):
    return audio[int(begin_seconds * RATE) : int(end_seconds * RATE)]


def _pitch(audio):
    """MIDI pitch of a steady tone: the lag at which its autocorrelation peaks."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(audio.size), 2 * audio.size)) ** 2
    correlation = np.fft.irfft(spectrum)[: audio.size]
    shortest, longest = RATE // 900, RATE // 90
    lag = shortest + np.argmax(correlation[shortest:longest])
    left, top, right = correlation[lag - 1 : lag + 2]
    lag += 0.5 * (left - right) / (left - 2 * top + right)
    return 69 + 12 * np.log2(RATE / lag / 440)


def _pitches(audio):
    """Of frames of 50 ms."""
    return np.array(
        [_pitch(frame) for frame in audio[: audio.size // 1102 * 1102].reshape(-1, 1102)]
    )


def _rms(audio):
    return float(np.sqrt(np.mean(audio**2)))


def _centroid(audio):
    power = np.abs(np.fft.rfft(audio)) ** 2
    return float(np.sum(np.fft.rfftfreq(audio.size, 1 / RATE) * power) / np.sum(power))


def _log_bands(audio):
    """Loudness of 16 bands every 46 ms, (frames, bands)."""
    frames = audio[: audio.size // 1024 * 1024].reshape(-1, 1024)
    power = np.abs(np.fft.rfft(frames * np.hanning(1024)))[:, 1:] ** 2
    return np.log(power.reshape(len(frames), 16, -1).sum(axis=2) + 1e-4)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("pitch", [48, 57, 69, 78])
def test_a_note_is_sung_at_its_pitch(pitch, seed):
    audio = _sung([(0.5, 2.5, pitch, 90)], replace(Singer(), intonation_cents=8), seed)
    assert _pitch(_between(audio, 1.0, 2.3)) == pytest.approx(pitch, abs=0.35)


@pytest.mark.parametrize("seed", range(8))
def test_whoever_sings_a_melody_can_be_recognised(seed):
    singer = Singer.drawn(np.random.default_rng(seed))
    pitches = [60, 64, 62, 67]
    rows = [(0.2 + 0.6 * i, 0.8 + 0.6 * i, pitch, 90) for i, pitch in enumerate(pitches)]
    audio = _sung(rows, singer, seed)
    for onset, _, pitch, _ in rows:
        octaves = (_pitch(_between(audio, onset + 0.2, onset + 0.4)) - pitch) / 12
        # A rough voice repeats itself every second cycle, which is an octave below.
        assert octaves == pytest.approx(round(octaves), abs=0.08)
        assert round(octaves) in (-1, 0)


def test_a_slur_glides_from_note_to_note():
    slow = replace(PLAIN, glide_seconds=0.1, vibrato_cents=0.0)
    pitches = _pitches(_between(_sung([(0.2, 1.0, 60, 90), (1.0, 2.0, 67, 90)], slow), 0.6, 1.6))
    assert np.any((pitches > 61) & (pitches < 66))
    assert pitches[0] == pytest.approx(60, abs=0.5)
    assert pitches[-1] == pytest.approx(67, abs=0.5)


def test_vibrato_grows_after_a_while():
    singer = replace(PLAIN, vibrato_cents=100.0, vibrato_delay_seconds=0.5, jitter_cents=2.0)
    audio = _sung([(0.1, 2.9, 60, 90)], singer)
    early = np.std(_pitches(_between(audio, 0.2, 0.6)))
    assert np.std(_pitches(_between(audio, 1.2, 2.7))) > 3 * early


def test_it_is_silent_before_between_and_after_notes():
    audio = _sung([(0.5, 1.0, 60, 90), (1.8, 2.3, 64, 90)])
    for begin, end in ((0.0, 0.4), (1.06, 1.7), (2.36, 3.0)):
        assert np.abs(_between(audio, begin, end)).max() < 1e-4
    assert _rms(_between(audio, 0.6, 0.9)) > 0.05


def test_singers_breathe_in_before_a_phrase():
    rows = [(0.1, 0.6, 60, 90), (2.0, 2.5, 64, 90)]
    inhaled = _rms(_between(_sung(rows, replace(PLAIN, inhales=0.1)), 1.3, 1.9))
    assert 0.0005 < inhaled < 0.05


def test_a_vowel_begins_at_the_onset():
    singer = replace(PLAIN, timing_seconds=0.0)
    for seed in range(4):
        audio = _sung([(1.0, 2.0, 62, 90)], singer, seed)
        loud = np.flatnonzero(np.abs(audio) > 0.3 * np.abs(audio).max())[0] / RATE
        assert loud == pytest.approx(1.0, abs=0.06)


def test_consonants_hiss_before_the_onset():
    said = replace(PLAIN, articulation=1.0, timing_seconds=0.0)
    rows = [(0.3 + 0.5 * i, 0.6 + 0.5 * i, 60, 90) for i in range(20)]
    high = []
    for singer in (PLAIN, said):
        audio = _sung(rows, singer, samples=11 * RATE)
        before = np.concatenate([_between(audio, row[0] - 0.1, row[0]) for row in rows])
        power = np.abs(np.fft.rfft(before)) ** 2
        high.append(power[np.fft.rfftfreq(before.size, 1 / RATE) > 4000].sum())
    assert high[1] > 5 * high[0]


def test_a_note_ends_where_the_next_begins():
    both = _sung([(0.2, 2.5, 60, 90), (1.2, 2.5, 67, 90)])
    assert _pitch(_between(both, 1.6, 2.3)) == pytest.approx(67, abs=0.35)
    spectrum = np.abs(np.fft.rfft(_between(both, 1.5, 2.5)))  # bins of 1 Hz
    assert spectrum[255:268].max() < 0.05 * spectrum.max()


def test_it_has_the_promised_form_and_loudness():
    for seed in range(5):
        singer = Singer.drawn(np.random.default_rng(seed))
        audio = _sung([(0.0, 3.5, 65, 20 + 20 * seed)], singer, seed, samples=50_001)
        assert audio.dtype == np.float32
        assert audio.shape == (50_001,)
        assert np.abs(audio).max() <= 1
        assert _rms(audio) == pytest.approx(0.1, abs=0.03)


def test_without_notes_it_is_silent():
    assert not _sung([]).any()
    assert not _sung([(5.0, 6.0, 60, 90)]).any()
    assert not _sung([(1.0, 1.01, 60, 90)]).any()
    assert _sung([(0.0, 1.0, 60, 90)], samples=0).shape == (0,)


def test_chords_and_notes_before_the_begin_are_sung():
    audio = _sung([(-0.5, 1.0, 60, 90), (1.0, 2.0, 60, 90), (1.0, 2.0, 64, 90)])
    assert np.isfinite(audio).all()
    assert _pitch(_between(audio, 0.3, 0.8)) == pytest.approx(60, abs=0.35)
    assert _pitch(_between(audio, 1.3, 1.8)) == pytest.approx(64, abs=0.35)


def test_the_seed_decides():
    rows = [(0.2, 1.0, 60, 90), (1.2, 2.0, 64, 90)]
    assert np.array_equal(_sung(rows, seed=1), _sung(rows, seed=1))
    assert not np.allclose(_sung(rows, seed=1), _sung(rows, seed=2), atol=1e-2)
    drawn = [Singer.drawn(np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_singers_differ():
    rows = [(0.2, 2.5, 57, 90)]
    bright = _centroid(_sung(rows, replace(PLAIN, tilt_decibels=-5.0), words=3))
    dark = _centroid(_sung(rows, replace(PLAIN, tilt_decibels=-13.0), words=3))
    assert bright > 1.5 * dark
    small = _centroid(_sung(rows, replace(PLAIN, formant_scale=1.25), words=3))
    large = _centroid(_sung(rows, replace(PLAIN, formant_scale=0.85), words=3))
    assert small > 1.1 * large


def test_a_doubling_says_the_same_words():
    rows = [(0.1 + 0.4 * i, 0.5 + 0.4 * i, 60 + i % 5, 90) for i in range(18)]
    rng = np.random.default_rng(0)
    double = Singer().doubling(rng)
    assert abs(double.detune_cents) < 30

    def bands(singer, seed, words):
        return _log_bands(_sung(rows, singer, seed, 8 * RATE, words))

    lead = bands(Singer(), 1, 7)
    same = np.mean(np.abs(bands(double, 2, 7) - lead))
    other = np.mean(np.abs(bands(double, 2, 8) - lead))
    assert 0 < same < 0.8 * other


def test_impossible_melodies_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="shape"):
        sing(np.zeros((3, 3)), 10, PLAIN, rng)
    with pytest.raises(ValueError, match="samples"):
        sing(np.zeros((0, 4)), -1, PLAIN, rng)
