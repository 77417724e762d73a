"""The targets on half-beats are what the rules say, in each window by itself."""

from __future__ import annotations

import numpy as np
import pytest

from sidekeys_engine.training.half_beat_targets import half_beat_targets
from sidekeys_engine.training.pop909 import Chord, Notes, Song

C, F, G = (0, (0, 4, 7), 0), (5, (5, 9, 0), 5), (7, (7, 11, 2, 5), 11)


def notes(*rows: tuple[float, float, int]) -> Notes:
    return np.array([(*row, 80) for row in rows], dtype=np.float64).reshape(-1, 4)


def a_song(**parts: Notes | tuple[Chord, ...]) -> Song:
    empty: dict[str, Notes | tuple[Chord, ...]] = {
        "melody": notes(),
        "bridge": notes(),
        "piano": notes(),
        "chords": (),
    }
    beats = np.arange(17) * 0.5
    return Song(
        name="001",
        beat_seconds=beats,
        downbeats=np.arange(17) % 4 == 0,
        **(empty | parts),  # type: ignore[arg-type]
    )


def chords(*rows: tuple[float, float, tuple[int, tuple[int, ...], int]]) -> tuple[Chord, ...]:
    return tuple(Chord(start, end, *harmony) for start, end, harmony in rows)


def test_notes_go_to_half_beats_and_last_one_at_least() -> None:
    song = a_song(piano=notes((0.0, 1.0, 60), (0.3, 0.35, 62), (1.25, 3.0, 64), (2.8, 9.0, 65)))
    assert half_beat_targets(song, 0)["accompaniment"].tolist() == [
        [0, 2, 60],
        [1, 2, 62],
        [2, 6, 64],  # halfway between two steps
        [6, 8, 65],
    ]


def test_notes_of_other_windows_are_left_out() -> None:
    song = a_song(piano=notes((0.0, 6.0, 60), (4.0, 5.0, 62), (8.0, 9.0, 64)))
    assert half_beat_targets(song, 4)["accompaniment"].tolist() == [[0, 2, 62]]


def test_a_pitch_struck_again_ends() -> None:
    song = a_song(piano=notes((0.0, 4.0, 60), (1.0, 2.0, 60)))
    assert half_beat_targets(song, 0)["accompaniment"].tolist() == [[0, 2, 60], [2, 4, 60]]


def test_the_melody_is_a_line_and_the_bridge_fills_its_rests() -> None:
    song = a_song(
        melody=notes((0.0, 2.0, 60), (0.0, 0.5, 67), (1.0, 1.5, 69)),
        bridge=notes((1.5, 2.0, 72), (3.0, 4.0, 76)),
        piano=notes((0.0, 1.0, 48)),
    )
    targets = half_beat_targets(song, 0)
    assert targets["melody"].tolist() == [[0, 1, 67], [2, 3, 69]]
    assert targets["full"].tolist() == [[0, 2, 48], [0, 1, 67], [2, 3, 69], [6, 8, 76]]
    assert targets["block"].tolist() == [[0, 1, 67], [2, 3, 69], [6, 8, 76]]


def test_chords_begin_at_the_first_and_third_beat_of_the_window_and_at_changes() -> None:
    song = a_song(chords=chords((0.0, 5.5, C), (5.5, 16.0, F)))
    block = half_beat_targets(song, 3)["block"]
    assert block.tolist() == [
        *([0, 4, p] for p in (36, 52, 55, 60)),
        *([4, 5, p] for p in (36, 52, 55, 60)),
        *([5, 8, p] for p in (41, 53, 57, 60)),
    ]


@pytest.mark.parametrize("semitones", range(12))
def test_voicings_stay_around_fixed_pitches(semitones: int) -> None:
    song = a_song(chords=chords((0.0, 4.0, G))).transposed(semitones)
    pitches = half_beat_targets(song, 0)["block"][:4, 2]
    assert 31 <= pitches[0] <= 42
    assert ((pitches[1:] >= 49) & (pitches[1:] <= 60)).all()


def test_broken_chords_rise_and_fall() -> None:
    song = a_song(chords=chords((0.0, 4.0, C)))
    assert half_beat_targets(song, 0)["arpeggio"].tolist() == [
        [step, step + 1, pitch] for step, pitch in enumerate([36, 48, 52, 55] * 2)
    ]


def test_silence_has_no_notes() -> None:
    assert {len(part) for part in half_beat_targets(a_song(), 12).values()} == {0}
