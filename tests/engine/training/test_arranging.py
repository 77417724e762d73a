"""Every composer writes something of its own that two hands can play and a window decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sidekeys_engine.training.arranging import BEYOND_TWO_HANDS, COMPOSERS, StepNotes, arrange
from sidekeys_engine.training.playability import playable_share
from sidekeys_engine.training.pop909 import Chord, Notes, Song

BEATS = 25
C, A_MINOR, G_OVER_B = (0, (0, 4, 7), 0), (9, (9, 0, 4), 9), (7, (7, 11, 2), 11)
RULE_MADE = [name for name in COMPOSERS if name not in ("full", "accompaniment")]


def a_song(
    melody: list[tuple[float, float, int]],
    chords: list[tuple[float, float, tuple[int, tuple[int, ...], int]]],
    bridge: list[tuple[float, float, int]] | None = None,
    bar: int = 4,
) -> Song:
    """A song of 24 beats whose pianist strikes two notes on each."""
    piano = [(float(b), b + 0.9, p) for b in range(BEATS - 1) for p in (48, 64)]
    return Song(
        name="001",
        beat_seconds=np.arange(BEATS) * 0.5,
        downbeats=np.arange(BEATS) % bar == 0,
        melody=notes(melody, 110),
        bridge=notes(bridge or [], 80),
        piano=notes(piano, 70),
        chords=tuple(Chord(start, end, *harmony) for start, end, harmony in chords),
    )


def notes(rows: list[tuple[float, float, int]], velocity: int) -> Notes:
    return np.array([(*row, velocity) for row in rows], dtype=np.float64).reshape(-1, 4)


TUNE = [(0.5 * i, 0.5 * i + 0.45, 67 + (5 * i) % 12) for i in range(48)]
CHORDS = [(b, b + 4.0, (C, A_MINOR, G_OVER_B)[b // 4 % 3]) for b in range(0, 24, 4)]
SONG = a_song(TUNE, CHORDS)


def struck(part: StepNotes, step: int) -> list[int]:
    return sorted(part[part[:, 0] == step, 2].tolist())


def window(part: StepNotes, first_beat: int) -> list[list[int]]:
    first = first_beat * 4
    rows = part[(part[:, 0] >= first) & (part[:, 0] < first + 16)]
    return [[o, min(e, first + 16), p, v] for o, e, p, v in rows.tolist()]


@pytest.mark.parametrize("name", COMPOSERS)
def test_every_part_is_in_order_and_playable(name: str) -> None:
    part = arrange(SONG).notes[name]
    assert len(part) > 30
    assert part[:, :3].tolist() == sorted(part[:, :3].tolist(), key=lambda n: (n[0], n[2]))
    assert (part[:, 1] > part[:, 0]).all()
    assert part[:, 1].max() <= (BEATS - 1) * 4
    assert ((part[:, 2] >= 21) & (part[:, 2] <= 108)).all()
    assert (playable_share(part) == 1.0) == (name not in BEYOND_TWO_HANDS)


@pytest.mark.parametrize("name", COMPOSERS)
def test_a_moment_has_two_velocities_at_most(name: str) -> None:
    part = arrange(SONG).notes[name]
    for onset in np.unique(part[:, 0]):
        assert len(set(part[part[:, 0] == onset, 3].tolist())) <= 2


@pytest.mark.parametrize("name", COMPOSERS)
def test_no_note_sounds_over_another_of_its_pitch(name: str) -> None:
    part = arrange(SONG).notes[name]
    for pitch in np.unique(part[:, 2]):
        same = part[part[:, 2] == pitch]
        assert (same[1:, 0] >= same[:-1, 1]).all()


def test_no_two_composers_play_the_same() -> None:
    parts = arrange(SONG).notes
    assert len({tuple(map(tuple, part[:, :3].tolist())) for part in parts.values()}) == len(parts)


def test_the_melody_is_a_single_line_on_sixteenths() -> None:
    song = a_song([(0.01, 1.3, 60), (0.0, 0.4, 67), (1.24, 2.1, 64)], [])
    assert arrange(song).melody.tolist() == [[0, 2, 67, 94], [5, 8, 64, 94]]


def test_long_notes_end_on_half_beats() -> None:
    song = a_song([(0.0, 0.75, 60), (1.25, 1.5, 64), (2.0, 2.75, 65), (2.75, 3.0, 67)], [])
    assert arrange(song).melody[:, :2].tolist() == [[0, 4], [5, 6], [8, 11], [11, 12]]


def test_the_bridge_leads_where_nobody_sings() -> None:
    song = a_song([(0.0, 1.0, 72)], CHORDS, bridge=[(0.5, 1.0, 75), (1.5, 2.0, 77), (4, 5, 79)])
    full = arrange(song).notes["full"]
    assert not (full[:, 2] == 75).any()
    assert not (full[:, 2] == 77).any()  # too soon after the voice
    assert struck(full, 16)[-1] == 79


def test_the_melody_is_louder_than_what_is_struck_with_it() -> None:
    full = arrange(SONG).notes["full"]
    assert [v for _, _, _, v in full[full[:, 0] == 0].tolist()] == [68, 68, 94]


def test_how_loud_a_track_was_recorded_does_not_matter() -> None:
    louder = replace(SONG, piano=SONG.piano + np.array([0, 0, 0, 20]))
    for name, part in arrange(louder).notes.items():
        assert (part == arrange(SONG).notes[name]).all()


def test_chords_are_struck_at_half_bars_and_changes() -> None:
    song = a_song([], [(0.0, 3.0, C), (3.0, 7.5, A_MINOR), (9.0, 12.0, C)])
    part = arrange(song).notes["lead-sheet"]
    strikes = sorted(set(map(tuple, part[:, :2].tolist())))
    assert strikes == [(0, 8), (8, 12), (12, 16), (16, 24), (24, 30), (36, 40), (40, 48)]
    assert struck(part, 0) == [48, 52, 55]
    assert struck(part, 12) == [45, 48, 52]


def test_chords_in_three_are_struck_once_a_bar() -> None:
    part = arrange(a_song([], [(0.0, 12.0, C)], bar=3)).notes["lead-sheet"]
    assert sorted(set(part[:, 0].tolist())) == [0, 12, 24, 36]


def test_an_inverted_chord_stands_on_its_bass() -> None:
    parts = arrange(a_song([], [(0.0, 4.0, G_OVER_B)])).notes
    assert struck(parts["lead-sheet"], 0) == [47, 50, 55]
    assert struck(parts["block"], 0) == [35, 50, 55, 59]
    assert parts["arpeggio"][:4, 2].tolist() == [35, 47, 50, 55]


def test_broken_chords_rise_and_fall_in_eighths() -> None:
    part = arrange(a_song([], [(0.0, 4.0, C)])).notes["arpeggio"]
    half_bar = [[0, 4, 36], [2, 4, 48], [4, 8, 52], [6, 8, 55]]
    assert part[:4, :3].tolist() == half_bar
    assert (part[4:, :3] - np.array([8, 8, 0])).tolist() == half_bar


def test_a_stride_has_its_bass_before_its_chords() -> None:
    part = arrange(a_song([], [(0.0, 2.0, C), (2.0, 3.0, A_MINOR), (3.0, 4.0, C)])).notes["stride"]
    by_step = {step: struck(part, step) for step in np.unique(part[:, 0]).tolist()}
    bass, stab, minor = [36], [52, 55, 60], [52, 57, 60]
    assert by_step == {0: bass, 4: stab, 8: [33], 10: minor, 12: bass, 14: stab}


def test_a_ballad_keeps_the_main_notes() -> None:
    tune = [(0.0, 0.25, 72), (0.25, 1.0, 74), (1.0, 1.5, 76), (1.5, 2.0, 77), (3.0, 3.5, 79)]
    part = arrange(a_song(tune, [])).notes["ballad"]
    assert part[:, :3].tolist() == [[1, 4, 74], [4, 8, 76], [12, 14, 79]]
    assert (part[:, 3] < 94).all()


def test_a_virtuoso_doubles_the_melody() -> None:
    part = arrange(SONG).notes["virtuoso"]
    assert {67, 79} <= set(struck(part, 0))


@pytest.mark.parametrize("name", RULE_MADE)
def test_a_window_and_a_beat_before_it_decide(name: str) -> None:
    """Two songs that are the same from beat 7 on have the same windows from beat 8 on."""
    tune = [(0.75 * i, 0.75 * i + 0.5, 62 + i) for i in range(9)] + [n for n in TUNE if n[0] >= 7]
    other = a_song(tune, [(0.0, 5.0, G_OVER_B), (5.0, 8.0, C), *CHORDS[2:]])
    one, two = arrange(SONG).notes[name], arrange(other).notes[name]
    assert window(one, 0) != window(two, 0)
    for first_beat in (8, 12, 16, 20):
        assert window(one, first_beat) == window(two, first_beat)


def test_a_song_of_nothing_is_an_arrangement_of_nothing() -> None:
    song = replace(a_song([], []), piano=np.empty((0, 4)))
    assert {len(part) for part in arrange(song).notes.values()} == {0}


def test_a_song_without_downbeats_has_half_bars() -> None:
    song = a_song([], [(0.0, 4.0, C)])
    song = replace(song, downbeats=np.zeros(BEATS, dtype=np.bool_))
    assert sorted(set(arrange(song).notes["lead-sheet"][:, 0].tolist())) == [0, 8]
