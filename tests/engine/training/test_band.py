"""What a band promises: its patterns in beats, and mixes played by the real fluidsynth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from sidekeys_engine.training.band import perform
from sidekeys_engine.training.instruments import RATE, Orchestra
from sidekeys_engine.training.patterns import COMPING_STYLES, Bars, bass, comping, drums
from sidekeys_engine.training.pop909 import Chord, Song

C_MAJOR, A_MINOR = (0, 4, 7), (9, 0, 4)
NONE = np.empty((0, 4))


def a_song(bars: int = 8, beats_in_bar: int = 4, upbeat: int = 0) -> Song:
    """Two chords in turn, a melody in quarters, a bridge, a piano in eighths; 120 a minute."""
    beats = upbeat + bars * beats_in_bar
    chords = [
        Chord(float(start), float(start + beats_in_bar), pcs[0], pcs, pcs[0])
        for start, pcs in zip(
            range(upbeat, beats, beats_in_bar), [C_MAJOR, A_MINOR] * bars, strict=False
        )
    ]
    return Song(
        name="001",
        beat_seconds=0.1 + 0.5 * np.arange(beats),
        downbeats=(np.arange(beats) - upbeat) % beats_in_bar == 0,
        melody=np.array([(b, b + 0.9, 60 + 2 * (b % 5), 90) for b in range(0, beats, 2)], float),
        bridge=np.array([(b, b + 0.5, 72, 80) for b in range(1, beats, 8)], float),
        piano=np.array([(b / 2, b / 2 + 0.5, 48 + b % 12, 70) for b in range(2 * beats)], float),
        chords=tuple(chords),
    )


@pytest.fixture(scope="module")
def orchestra() -> Iterator[Orchestra]:
    with Orchestra.found() as found:
        yield found


# --- mixes ---


def test_a_mix_is_finite_audible_and_as_long_as_the_song(orchestra: Orchestra) -> None:
    song = a_song()
    for seed in range(4):
        mix = perform(song, orchestra, np.random.default_rng(seed))
        assert mix.dtype == np.float32
        assert np.isfinite(mix).all()
        assert np.abs(mix).max() <= 1
        assert np.sqrt(np.mean(mix**2)) > 0.01
        assert len(mix) / RATE > song.beat_seconds[-1] + 1


def test_the_same_seed_makes_the_same_mix_and_another_seed_another(orchestra: Orchestra) -> None:
    song = a_song(bars=4)
    first = perform(song, orchestra, np.random.default_rng(3))
    other = perform(song, orchestra, np.random.default_rng(4))
    again = perform(song, orchestra, np.random.default_rng(3))
    np.testing.assert_array_equal(again, first)
    assert np.abs(other - first).max() > 0.01


@pytest.mark.parametrize("part", ["piano", "melody", "bridge"])
def test_each_part_that_targets_rest_on_is_heard_at_its_onset(
    orchestra: Orchestra, part: str
) -> None:
    onsets = np.array([3.25, 8.75, 14.25])  # in beats, where no groove of the drums is alone
    played = np.stack([onsets, onsets + 1, np.full(3, 64.0), np.full(3, 90.0)], axis=1)
    silent = replace(a_song(), melody=NONE, bridge=NONE, piano=NONE, chords=())
    alone = replace(silent, **{part: played})
    heard = 0
    for seed in range(8):
        mix = perform(alone, orchestra, np.random.default_rng(seed))
        rises = []
        for second in alone.seconds_at(onsets):
            at = round(float(second) * RATE)
            before, after = mix[at - 2205 : at - 220], mix[at : at + 5512]
            rises.append(np.mean(after**2) / (np.mean(before**2) + 1e-9) > 1.3)
        heard += np.mean(rises) > 0.5
    assert heard >= 6


def test_a_song_without_any_note_or_chord_is_no_error(orchestra: Orchestra) -> None:
    empty = replace(a_song(2), melody=NONE, bridge=NONE, piano=NONE, chords=())
    for seed in range(3):
        assert np.isfinite(perform(empty, orchestra, np.random.default_rng(seed))).all()


def test_notes_off_the_keyboard_and_before_the_first_beat_are_no_error(
    orchestra: Orchestra,
) -> None:
    far = np.array([(-0.5, 0.5, 5, 90), (1, 2, 125, 90), (30, 60, 60, 1)], dtype=np.float64)
    song = replace(a_song(2), melody=far, piano=far)
    mix = perform(song, orchestra, np.random.default_rng(0))
    assert len(mix) / RATE > 0.1 + 0.5 * 60
    assert np.isfinite(mix).all()


# --- bars ---


def test_bars_follow_the_downbeats() -> None:
    bars = Bars.of(a_song(4))
    assert bars.starts.tolist() == [0, 4, 8, 12]
    assert bars.lengths.tolist() == [4, 4, 4, 4]


def test_nothing_is_patterned_in_an_upbeat_shorter_than_a_bar() -> None:
    assert Bars.of(a_song(2, upbeat=3)).starts.tolist() == [3, 7]
    assert Bars.of(a_song(2, upbeat=5)).starts.tolist() == [1, 5, 9]


def test_long_bars_are_cut_into_fours_or_threes() -> None:
    assert Bars.of(a_song(2, beats_in_bar=8)).lengths.tolist() == [4] * 4
    assert Bars.of(a_song(2, beats_in_bar=5)).lengths.tolist() == [4, 1] * 2
    assert Bars.of(a_song(2, beats_in_bar=6)).lengths.tolist() == [3] * 4
    without = replace(a_song(2), downbeats=np.zeros(8, dtype=np.bool_))
    assert Bars.of(without).starts.tolist() == [0, 4]


def test_chords_are_known_by_beat() -> None:
    bars = Bars.of(a_song(2, upbeat=1))
    assert bars.chord_at(np.array([0.5, 1.0, 4.9, 5.1, 9.5])).tolist() == [-1, 0, 0, 1, -1]
    assert Bars.of(replace(a_song(2), chords=())).chord_at(np.array([1.0])).tolist() == [-1]


# --- patterns ---


@pytest.mark.parametrize("beats_in_bar", [2, 3, 4, 6])
def test_players_stay_inside_the_song_and_play_what_instruments_have(beats_in_bar: int) -> None:
    song = a_song(24, beats_in_bar)
    bars = Bars.of(song)
    for seed in range(40):
        rng = np.random.default_rng(seed)
        for notes in (drums(bars, rng), bass(bars, rng), comping(bars, rng, song.bpm)):
            assert (notes[:, 0] >= 0).all()
            assert (notes[:, 0] < song.beat_seconds.size).all()
            assert (notes[:, 1] > notes[:, 0]).all()
            assert ((notes[:, 2] >= 20) & (notes[:, 2] <= 100)).all()
            assert ((notes[:, 3] >= 1) & (notes[:, 3] <= 127)).all()


@pytest.mark.parametrize("style", COMPING_STYLES)
def test_every_way_to_play_chords_plays_the_song_s_chords(style: str) -> None:
    song = a_song(8)
    notes = comping(Bars.of(song), np.random.default_rng(0), song.bpm, style)
    for index, chord in enumerate(song.chords):
        inside = (notes[:, 0] >= chord.start_beats) & (notes[:, 0] < chord.end_beats)
        played = set((notes[inside, 2] % 12).astype(int))
        assert played, (style, index)
        # Power chords have the root and the fifth, which is in every chord here.
        assert played <= set(chord.pitch_classes), (style, index)


def test_the_bass_plays_the_bass_where_a_chord_begins() -> None:
    song = a_song(16)
    at_change = 0
    for seed in range(30):
        notes = bass(Bars.of(song), np.random.default_rng(seed))
        for chord in song.chords:
            first = notes[notes[:, 0] == chord.start_beats]
            assert all(pitch % 12 == chord.bass for pitch in first[:, 2])
            at_change += len(first)
        assert notes[:, 2].max() <= 64
    assert at_change > 0.8 * 30 * 16


def test_a_held_chord_is_struck_anew_where_the_harmony_changes() -> None:
    song = replace(a_song(1), chords=(Chord(0, 2.5, 0, C_MAJOR, 0), Chord(2.5, 4, 9, A_MINOR, 9)))
    pad = comping(Bars.of(song), np.random.default_rng(0), 1e-9, "pad")
    assert set(np.round(pad[:, 0], 3)) == {0.0, 2.5}


def test_a_strum_takes_ten_to_twentyfive_milliseconds_a_string() -> None:
    song = a_song(8)
    for seed in range(10):
        strum = comping(Bars.of(song), np.random.default_rng(seed), song.bpm, "strummed bars")
        chord = strum[strum[:, 0] < 2]
        spread = np.diff(song.seconds_at(chord[:, 0]))
        assert (spread > 0.0099).all()
        assert (spread < 0.0251).all()


def test_drummers_differ_and_some_rest_for_a_section() -> None:
    bars = Bars.of(a_song(64))
    takes = [drums(bars, np.random.default_rng(seed)) for seed in range(30)]
    assert len({take.tobytes() for take in takes}) == 30
    sections = [set((take[:, 0] // 32).astype(int)) for take in takes]
    assert any(len(played) < 8 for played in sections)
    assert any(len(played) == 8 for played in sections)
