"""Controls that are moved while the piano plays: what they do to its notes and its pedal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from live_rig import RATE, Keyboard, Rig, Struck, made_rig
from sidekeys_engine.joining import USUAL_VELOCITY
from sidekeys_engine.note_tokens import StepNote

CHORD = (48, 60, 64, 67)


def chords(_content: Mapping[str, Any], _samples: NDArray[np.float32]) -> Sequence[StepNote]:
    """One on each beat, long enough for a pedal; they tell no velocity."""
    return [StepNote(step, step + 4, pitch) for step in (0, 4, 8, 12) for pitch in CHORD]


def swelling(first_frame: int, count: int) -> NDArray[np.float32]:
    """A tone that is softer and louder in turn, every two seconds."""
    seconds = np.arange(first_frame, first_frame + count) / RATE
    loudness = 0.02 + 0.3 * (seconds % 2) / 2
    return np.asarray(loudness * np.sin(2 * np.pi * 440 * seconds), dtype=np.float32)


def playing(**options: Any) -> Rig:
    """A rig some windows after its start, and its delay of five beats."""
    generate = options.pop("generate", chords)
    rig = made_rig(generate, swelling, description={"has_velocity": False}, **options)
    rig.live.choose_delay(5)
    rig.song.play(rig.now_seconds)
    rig.run(9.0)
    return rig


def struck_after(rig: Rig, seconds: float = 3.0) -> list[Struck]:
    """What is struck from the next window on."""
    rig.run(2.1)
    begin = rig.now_seconds
    rig.run(seconds)
    return [note for note in rig.piano.struck if note.due_seconds >= begin]


def test_velocities_follow_the_song_until_expression_is_turned_off_and_again_when_it_is_on():
    rig = playing()
    assert len({note.velocity for note in rig.piano.struck}) > 3
    rig.set(expression=False)
    assert {note.velocity for note in struck_after(rig)} == {USUAL_VELOCITY}
    rig.set(expression=True)
    assert len({note.velocity for note in struck_after(rig)}) > 3


@pytest.mark.parametrize("bpm", [120, 240, 300])
def test_a_pedal_that_is_turned_off_comes_up_and_stays_up(bpm: float):
    rig = playing(piano=Keyboard(), bpm=bpm)
    while not rig.piano.feet:
        rig.tick()
    rig.set(pedal=False)
    rig.run(2.5)
    for _ in range(100):
        assert not rig.piano.feet
        rig.tick()
    rig.set(pedal=True)
    rig.run(3.0)
    assert rig.piano.feet


def test_hands_play_all_there_is_when_nobody_asks_for_a_playable_part():
    wide = (28, 40, 52, 64, 76, 88, 100)

    def generate(_content: Mapping[str, Any], _samples: NDArray[np.float32]) -> Sequence[StepNote]:
        return [StepNote(0, 8, pitch) for pitch in wide]

    rig = playing(generate=generate)
    two_hands = {note.pitch for note in rig.piano.struck}
    assert len(two_hands) < len(wide)
    rig.set(playable=False)
    assert {note.pitch for note in struck_after(rig)} == set(wide)
    rig.set(playable=True)
    assert {note.pitch for note in struck_after(rig)} == two_hands


@pytest.mark.parametrize(
    ("controls", "played"),
    [
        ({"channel": 5}, {(5, pitch) for pitch in CHORD}),
        ({"transpose": -3}, {(1, pitch - 3) for pitch in CHORD}),
        ({"split": True, "split_pitch": 62}, {(2, 48), (2, 60), (1, 64), (1, 67)}),
        ({"lowest_pitch": 60}, {(1, 60), (1, 64), (1, 67)}),
        ({"highest_pitch": 60}, {(1, 48), (1, 60), (1, 52), (1, 55)}),
        ({"mute": True}, set()),
    ],
)
def test_a_control_holds_for_all_notes_from_the_next_window_on(
    controls: dict[str, Any], played: set[tuple[int, int]]
):
    rig = playing()
    rig.set(**controls)
    assert {(note.channel, note.pitch) for note in struck_after(rig)} == played


def test_velocities_take_the_curve_that_is_set():
    rig = playing()
    rig.set(velocity_curve="fixed", velocity_fixed=99)
    assert {note.velocity for note in struck_after(rig)} == {99}


@pytest.mark.parametrize(
    "controls", [{"channel": 5}, {"split": True, "left_channel": 7}, {"mute": True}]
)
def test_a_pedal_comes_up_on_the_channels_where_it_went_down(controls: dict[str, Any]):
    rig = playing(piano=Keyboard())
    while not rig.piano.feet:
        rig.tick()
    rig.set(**controls)
    trodden = set()
    for _ in range(250):
        rig.tick()
        trodden |= set(rig.piano.feet.items())
        assert all(rig.now_seconds - since < 2.2 for since in rig.piano.feet.values())
    channels = {channel for channel, since in trodden if since > rig.now_seconds - 3.0}
    assert channels == (set() if rig.live.controls.mute else set(rig.live.controls.channels))
