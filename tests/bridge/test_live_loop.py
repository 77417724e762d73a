"""The live path in loop mode: what was heard at a place is played there, in time."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from live_rig import RATE, TICK_SECONDS, Keyboard, Rig, made_rig
from sidekeys_engine.note_tokens import StepNote
from sidekeys_engine.notes import Meter


@pytest.mark.parametrize("known", [True, False])
def test_what_a_loop_has_heard_once_is_played_in_place(known: bool):
    rig = made_rig()
    starts = rig.loop(8.0, 4, known=known)
    due = np.array([note.due_seconds for note in rig.piano.struck])
    assert not (due < starts[1] - 1e-6).any()
    for start in starts[1:]:
        within = due[(due >= start - 1e-6) & (due < start + 4 - 1e-6)]
        assert np.allclose(within, start + np.arange(8) * 0.5, atol=1e-6)


def test_a_known_loop_plays_its_first_note_before_the_song_is_there():
    rig = made_rig()
    starts = rig.loop(8.0, 3)
    firsts = [note for note in rig.piano.struck if abs(note.due_seconds - starts[2]) < 1e-6]
    assert firsts
    assert all(note.committed_seconds < note.due_seconds for note in firsts)
    assert len(rig.piano.panics) <= 1  # what was foreseen is no break
    before = [note for note in rig.piano.struck if note.due_seconds < starts[2] - 1e-6]
    assert all(note.off_seconds < starts[2] for note in before)


def test_a_loop_that_is_left_falls_silent_and_goes_on():
    rig = made_rig()
    rig.loop(8.0, 2)
    panics = len(rig.piano.panics)
    rig.run(0.2)  # the song goes on beyond the loop's end
    assert len(rig.piano.panics) == panics + 1
    late = rig.now_seconds
    rig.run(3.0)
    assert not [note for note in rig.piano.struck if note.due_seconds > late]


def test_another_composer_plays_a_loop_without_hearing_it_again():
    rig = made_rig()
    rig.loop(8.0, 2)
    rig.song.stop(rig.now_seconds)
    rig.run(1.0)
    heard = len(rig.engine.requests)
    rig.live.controls = rig.live.controls.with_change("composer", "block")
    rig.run(1.0)
    assert [content["composer"] for content in rig.engine.requests[heard:]] == ["block", "block"]
    start = rig.now_seconds
    rig.song.play(start)
    rig.run(3.0)
    assert {note.pitch for note in rig.piano.struck if note.due_seconds >= start} == {48}


def test_a_pass_refreshes_what_the_loop_plays():
    pitches = iter([60, 60, 62, 62, 64, 64, 65, 65])

    def generate(_content: Mapping[str, Any], _samples: NDArray[np.float32]) -> Sequence[StepNote]:
        return [StepNote(0, 2, next(pitches), 80)]

    rig = made_rig(generate=generate)
    rig.loop(8.0, 4)
    assert [note.pitch for note in rig.piano.struck][:6] == [60, 60, 62, 62, 64, 64]


def test_a_place_of_the_song_that_comes_back_is_played_without_delay():
    rig = made_rig()
    rig.live.choose_mode("loop")
    rig.song.play(rig.now_seconds, 0.0)
    rig.run(8.0)
    rig.song.stop(rig.now_seconds)
    rig.run(2.0)
    start = rig.now_seconds
    rig.song.play(start, 4.0)
    rig.run(2.5)
    due = [note.due_seconds for note in rig.piano.struck]
    assert due[:4] == pytest.approx(start + np.arange(4) * 0.5, abs=1e-6)


# --- loops that are no whole number of windows

UNEVEN = [("3/4", 6), ("3/4", 9), ("6/8", 6), ("5/4", 5), ("4/4", 6), ("4/4", 3), ("4/4", 1)]


def meter_of(text: str) -> Meter:
    numerator, _, denominator = text.partition("/")
    return Meter(int(numerator), int(denominator))


def beats_of_pass(rig: Rig, start_seconds: float, beats: float) -> list[float]:
    """At which beats of a pass notes were struck."""
    due = np.array([note.due_seconds for note in rig.piano.struck]) - start_seconds
    played = due * rig.song.bpm / 60
    inside = played[(played > -1e-6) & (played < beats - 1e-6)]
    return sorted(float(beat) for beat in inside.round(6))


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(("meter", "beats"), UNEVEN)
def test_every_beat_of_a_loop_is_played(meter: str, beats: int, known: bool):
    rig = made_rig()
    rig.song.meter = meter_of(meter)
    starts = rig.loop(beats, 5, known=known)
    for start in starts[2:]:
        assert beats_of_pass(rig, start, beats) == list(range(beats))


def test_a_loop_that_begins_and_ends_within_windows_is_played_from_its_first_beat_to_its_last():
    rig = made_rig()
    rig.live.choose_mode("loop")
    rig.song.loop = (2.0, 10.0)
    for _ in range(3):
        start = rig.now_seconds
        rig.song.play(start, 2.0)
        rig.run(4.0)
    assert beats_of_pass(rig, start, 8) == list(range(8))


def test_what_sounds_after_a_loop_belongs_to_no_window_of_it():
    heard: list[tuple[tuple[float, ...], NDArray[np.float32]]] = []

    def generate(content: Mapping[str, Any], samples: NDArray[np.float32]) -> Sequence[StepNote]:
        heard.append((content["step_seconds"], samples))
        return []

    rig = made_rig(generate=generate)
    rig.loop(6.0, 2)
    rig.run(0.5)
    moments, samples = heard[1]  # four beats from the fourth on, of which two were there
    end = round(moments[4 + 8] * RATE)
    assert np.abs(samples[: end - 4]).max() > 0.05
    assert not samples[end + 4 :].any()
    assert len(samples) == pytest.approx(moments[-1] * RATE, abs=2)


def test_what_was_heard_in_part_takes_nothing_from_what_was_heard_whole():
    rig = made_rig()
    rig.live.choose_mode("loop")
    rig.song.play(rig.now_seconds)
    rig.run(4.5)
    for first, seconds in ((2.5, 3.0), (0.0, 1.3)):  # comes into one window, leaves another
        rig.song.stop(rig.now_seconds)
        rig.run(1.5)
        rig.song.play(rig.now_seconds, first)
        rig.run(seconds)
    rig.song.stop(rig.now_seconds)
    rig.run(1.5)
    start = rig.now_seconds
    rig.song.play(start)
    rig.run(4.0)
    assert beats_of_pass(rig, start, 8) == list(range(8))


def test_what_a_loop_hears_of_a_window_replaces_what_was_heard_of_it_before():
    pitch = 60

    def generate(_content: Mapping[str, Any], _samples: NDArray[np.float32]) -> Sequence[StepNote]:
        return [StepNote(step, step + 2, pitch, 80) for step in (0, 4, 8, 12)]

    rig = made_rig(generate=generate)
    rig.live.choose_mode("loop")
    rig.song.play(rig.now_seconds)
    rig.run(5.0)
    pitch = 72  # the musician changed the chords, and repeats a bar and a half of them
    start = rig.loop(6.0, 3)[-1]
    late = [note for note in rig.piano.struck if note.due_seconds > start - 1e-6]
    assert {note.pitch for note in late} == {72}


# --- the end of a pass


@pytest.mark.parametrize("beats", [8.0, 6.0])
def test_what_sounds_on_beyond_a_loop_ends_with_it(beats: float):
    def generate(_content: Mapping[str, Any], _samples: NDArray[np.float32]) -> Sequence[StepNote]:
        return [StepNote(0, 16, 60, 80, is_held_after=True), StepNote(4, 16, 64, 80)]

    rig = made_rig(generate=generate)
    starts = rig.loop(beats, 4)
    for begin, end in itertools.pairwise(starts[1:]):
        notes = [note for note in rig.piano.struck if begin - 1e-6 <= note.due_seconds < end - 1e-6]
        assert len(notes) == 4
        assert all(note.off_seconds < end for note in notes)
    assert len(rig.piano.panics) <= 1
    told = [note for note in rig.sounding.values() if note.due_seconds < starts[-1] - 1e-6]
    assert all(note.off_seconds < starts[-1] for note in told)


def test_a_wrap_that_comes_early_leaves_no_pedal_down():
    def generate(content: Mapping[str, Any], _samples: NDArray[np.float32]) -> Sequence[StepNote]:
        first = content["window_number"] == 4  # only the last bar has a chord to hold
        pitches = (48, 60, 64) if first else ()
        return [StepNote(0, 16, pitch, 80) for pitch in pitches]

    rig = made_rig(generate=generate, piano=Keyboard())
    rig.loop(8.0, 1)
    rig.song.play(rig.now_seconds)
    rig.run(4.0 - 3 * TICK_SECONDS)  # the clock was a little behind
    assert rig.piano.feet
    rig.song.play(rig.now_seconds)
    rig.run(0.1)
    assert not rig.piano.feet


def test_a_pedal_of_a_loops_last_moment_is_up_at_its_end():
    def generate(content: Mapping[str, Any], _samples: NDArray[np.float32]) -> Sequence[StepNote]:
        pitches = (48, 60, 64) if content["window_number"] == 4 else ()
        return [StepNote(0, 16, pitch, 80) for pitch in pitches]

    rig = made_rig(generate=generate, piano=Keyboard())
    rig.live.choose_mode("loop")
    rig.song.repeats, rig.song.late_seconds = True, 0.07
    rig.song.loop = (0.0, 4.25)
    rig.song.play(rig.now_seconds)
    rig.run(3.0)
    while not rig.piano.feet:
        rig.tick()
    assert rig.song.stretch is not None
    stretch, end = rig.song.stretch, rig.song.stretch.seconds_at(4.25)
    while rig.now_seconds < end:
        rig.tick()
    assert rig.song.stretch is stretch  # nobody has told of the wrap yet
    assert not rig.piano.feet
    assert not rig.piano.keys


# --- the engine has peace


def rest(rig: Rig, seconds: float) -> int:
    """How many requests are sent while the song stands."""
    rig.song.stop(rig.now_seconds)
    rig.run(3.0)
    before = len(rig.engine.requests)
    rig.run(seconds)
    return len(rig.engine.requests) - before


def test_windows_that_lie_elsewhere_replace_those_before_and_the_engine_comes_to_rest():
    rig = made_rig()
    rig.loop(8.0, 2)
    assert rest(rig, 5.0) == 0
    rig.song.meter = Meter(3, 4)
    rig.loop(6.0, 2)
    assert rest(rig, 20.0) == 0
    rig.set(composer="block")
    rig.run(3.0)
    assert rest(rig, 20.0) == 0
    assert rig.engine.requests[-1]["composer"] == "block"


def test_a_place_that_failed_is_asked_for_again_when_it_is_heard_again():
    rig = made_rig()
    rig.engine.fails = True
    rig.loop(8.0, 1)
    assert rest(rig, 10.0) == 0
    assert len(rig.engine.requests) == 2
    rig.engine.fails = False
    rig.set(composer="block")  # another composer may do better
    rig.run(2.0)
    assert len(rig.engine.requests) == 4
    rig.engine.fails = True
    rig.loop(8.0, 1)
    rig.engine.fails = False
    start = rig.loop(8.0, 2)[-1]
    assert beats_of_pass(rig, start, 8) == list(range(8))


def test_another_engine_with_the_same_checkpoint_plays_on_what_the_loop_knows():
    rig = made_rig()
    rig.loop(8.0, 2)
    rig.live.lose_engine()
    rig.run(1.0)
    rig.start_engine(generation_seconds=0.35)  # never measured twice alike
    start = rig.now_seconds
    rig.song.play(start)
    rig.run(4.0)
    assert beats_of_pass(rig, start, 8) == list(range(8))


def test_another_checkpoint_hears_the_song_anew():
    rig = made_rig()
    rig.loop(8.0, 2)
    rig.start_engine(checkpoint="another")
    start = rig.now_seconds
    rig.song.play(start)
    rig.run(4.0)
    assert beats_of_pass(rig, start, 8) == []
