"""The live path in echo mode, and what it does when the song or the engine leaves."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from live_rig import TICK_SECONDS, Bus, Engine, Keyboard, Rig, made_rig, noise, one_note_a_beat
from sidekeys_bridge.capture import Capture
from sidekeys_bridge.memory import Sound
from sidekeys_engine.errors import InputError
from sidekeys_engine.note_tokens import StepNote
from sidekeys_engine.notes import Meter


def test_a_note_is_committed_in_time_and_sounds_so_many_beats_later():
    rig = made_rig()
    rig.live.choose_delay(5)
    rig.song.play(rig.now_seconds)
    start = rig.now_seconds
    rig.run(12.0)
    due = [note.due_seconds for note in rig.piano.struck]
    assert np.allclose(due, start + (5 + np.arange(len(due))) * 0.5)
    assert len(due) == 20
    assert all(note.committed_seconds <= note.due_seconds for note in rig.piano.struck)


@pytest.mark.parametrize(("takes", "delay"), [(0.2, 4), (0.5, 5), (0.9, 7), (1.4, 8)])
def test_the_delay_follows_from_how_long_a_window_takes(takes: float, delay: int):
    rig = Rig(Engine(one_note_a_beat, takes), Bus(noise))
    rig.start_engine()
    rig.song.play(rig.now_seconds)
    rig.run(20.0)
    assert rig.live.delay is not None
    assert rig.live.delay.beats == delay
    assert rig.live.hearing.windows_missed == 0
    assert rig.piano.struck


def test_an_engine_that_is_too_slow_means_silence_and_a_count_not_a_queue():
    rig = Rig(Engine(one_note_a_beat, takes_seconds=3.0), Bus(noise))
    rig.start_engine()
    rig.song.play(rig.now_seconds)
    rig.run(20.0)
    assert rig.live.delay is not None
    assert not rig.live.delay.fits
    assert "too slow" in rig.live.delay.reason
    assert rig.live.hearing.windows_missed > 3
    assert not rig.piano.struck
    missed = [
        content for kind, content in rig.told if kind == "window" and content["result"] == "missed"
    ]
    assert len(missed) == rig.live.hearing.windows_missed


def test_a_machine_that_becomes_too_slow_follows_further_behind_and_says_why():
    rig = made_rig()
    rig.song.play(rig.now_seconds)
    rig.run(8.0)
    assert rig.live.delay is not None
    assert rig.live.delay.beats == 4
    rig.engine.takes_seconds = 0.9
    slow = rig.now_seconds
    rig.run(20.0)
    told = [content for kind, content in rig.told if kind == "run"]
    assert [run["delay_beats"] for run in told] == [4, rig.live.delay.beats]
    assert rig.live.delay.beats > 4
    assert "a window takes 0." in told[-1]["reason"]
    late = [note.due_seconds for note in rig.piano.struck if note.due_seconds > slow + 10.0]
    assert len(late) > 10
    missed = rig.live.hearing.windows_missed
    rig.run(10.0)
    assert rig.live.hearing.windows_missed == missed


def test_a_delay_that_was_chosen_stays_though_windows_are_missed():
    rig = made_rig()
    rig.live.choose_delay(4)
    rig.song.play(rig.now_seconds)
    rig.run(6.0)
    rig.engine.takes_seconds = 0.9
    rig.run(12.0)
    assert rig.live.delay is not None
    assert rig.live.delay.beats == 4
    assert rig.live.hearing.windows_missed > 4


def test_another_composer_plays_from_the_next_window_on():
    rig = made_rig()
    rig.live.choose_delay(5)
    rig.song.play(rig.now_seconds)
    rig.run(5.0)
    rig.live.controls = rig.live.controls.with_change("composer", "block")
    rig.run(10.0)
    pitches = [note.pitch for note in rig.piano.struck]
    assert set(pitches) == {48, 60}
    assert pitches == sorted(pitches, reverse=True)
    assert len([pitch for pitch in pitches if pitch == 60]) % 4 == 0


def test_a_stop_ends_all_and_a_start_begins_anew():
    rig = made_rig()
    rig.song.play(rig.now_seconds)
    rig.run(6.3)
    rig.song.stop(rig.now_seconds)
    rig.run(TICK_SECONDS)
    assert len(rig.piano.panics) == 1
    struck = len(rig.piano.struck)
    rig.run(3.0)
    assert len(rig.piano.struck) == struck
    start = rig.now_seconds
    rig.song.play(start, 32.0)
    rig.run(6.0)
    assert rig.live.delay is not None
    assert rig.piano.struck[struck].due_seconds == pytest.approx(start + rig.live.delay.beats * 0.5)


def test_a_laptop_that_slept_for_half_a_minute_wakes_up_silent_and_plays_on():
    rig = made_rig()
    rig.song.play(rig.now_seconds)
    rig.run(8.0)
    struck = len(rig.piano.struck)
    rig.now_seconds += 30.0  # nothing was asked to do anything meanwhile
    woke = rig.now_seconds
    rig.song.play(woke, 76.0)  # as the transport says of a clock that went on
    rig.run(8.0)
    assert len(rig.piano.panics) == 1
    assert all(note.off_seconds <= woke + TICK_SECONDS for note in rig.piano.struck[:struck])
    resumed = [note.due_seconds for note in rig.piano.struck[struck:]]
    assert rig.live.delay is not None
    assert resumed[0] == pytest.approx(woke + rig.live.delay.beats * 0.5)
    assert len(resumed) > 4


def test_windows_in_three_four_time_keep_a_bar_each():
    rig = made_rig()
    rig.song.meter = Meter(3, 4)
    rig.live.choose_delay(5)
    rig.song.play(rig.now_seconds)
    rig.run(12.0)
    done = [content["start_beats"] for kind, content in rig.told if kind == "window"]
    assert done[:4] == [0.0, 3.0, 6.0, 9.0]
    assert np.allclose(np.diff([note.due_seconds for note in rig.piano.struck]), 0.5)


def test_a_song_that_starts_within_a_bar_plays_the_rest_of_it():
    rig = made_rig()
    rig.live.choose_delay(5)
    rig.song.play(rig.now_seconds, 10.0)
    rig.run(6.0)
    played = [note.note.onset_beats - 5 for note in rig.sounding.values()]
    assert played[:3] == [10.0, 11.0, 12.0]


def test_sound_that_was_lost_means_a_window_without_notes():
    rig = made_rig()
    rig.live.choose_delay(5)
    rig.song.play(rig.now_seconds)
    rig.run(3.0)
    rig.bus.epoch, rig.bus.epoch_first_frame = 2, rig.bus.frames
    rig.run(9.0)
    assert rig.live.hearing.windows_missed == 1
    onsets = [note.note.onset_beats - 5 for note in rig.sounding.values()]
    assert 3.0 in onsets
    assert not [onset for onset in onsets if 4 <= onset < 8]
    assert 8.0 in onsets


def test_a_silent_bus_asks_nothing_of_the_engine():
    rig = made_rig(sound=lambda _first, count: np.zeros(count, np.float32))
    rig.song.play(rig.now_seconds)
    rig.run(8.0)
    assert not rig.engine.requests
    assert rig.live.hearing.windows_missed == 0


def test_a_dead_engine_releases_all_and_music_resumes_with_the_next():
    rig = made_rig()
    rig.song.play(rig.now_seconds)
    rig.run(6.0)
    rig.live.lose_engine()
    assert len(rig.piano.panics) == 1
    rig.run(4.0)
    struck = len(rig.piano.struck)
    rig.start_engine()
    rig.run(8.0)
    assert len(rig.piano.struck) > struck


@pytest.mark.parametrize("beats", [0, 2, -1])
def test_a_delay_that_cannot_be_is_refused_in_words(beats: int):
    rig = made_rig()
    with pytest.raises(InputError, match="take 3 or more"):
        rig.live.choose_delay(beats)


def test_a_delay_that_was_chosen_before_the_engine_came_gives_way_if_it_cannot_be():
    rig = Rig(Engine(one_note_a_beat), Bus(noise))
    rig.live.choose_delay(1)
    rig.start_engine()
    rig.song.play(rig.now_seconds)
    rig.run(8.0)
    assert rig.live.delay is not None
    assert rig.live.delay.beats == 4
    assert not rig.live.delay.fits
    assert "a delay of 1 beat cannot be" in rig.live.delay.reason
    assert rig.piano.struck


def test_a_delay_gives_way_to_a_checkpoint_that_hears_more_and_comes_back_with_one_that_does_not():
    rig = made_rig()
    rig.live.choose_delay(5)
    rig.song.play(rig.now_seconds)
    rig.run(2.0)
    rig.start_engine(checkpoint="wide", steps_per_window=32)
    rig.run(2.0)
    assert rig.live.delay is not None
    assert rig.live.delay.beats == 8
    assert "a delay of 5 beats cannot be" in rig.live.delay.reason
    rig.start_engine()
    rig.run(2.0)
    assert rig.live.delay.beats == 5
    assert rig.live.delay.fits


def test_a_song_that_plays_before_any_sound_has_come_is_waited_for():
    def no_input(*_args: object, **_options: object) -> None:
        raise InputError("there is no such input")

    capture = Capture("nowhere", rate=22050, open_input=no_input)  # type: ignore[arg-type]
    try:
        rig = Rig(Engine(one_note_a_beat), capture)  # type: ignore[arg-type]
        rig.start_engine()
        rig.song.play(rig.now_seconds)
        rig.run(8.0)
    finally:
        capture.close()
    assert not rig.engine.requests
    assert rig.live.hearing.windows_missed > 0


def test_the_echo_keeps_no_sound_that_nobody_asks_for_again():
    rig = made_rig()
    rig.song.play(rig.now_seconds)
    rig.run(20.0)
    assert len(rig.engine.requests) > 8
    gc.collect()  # the window that is on its way has a sound
    assert sum(type(thing) is Sound for thing in gc.get_objects()) <= 1


# --- a note is told once, and again only if its end moved


def held(_content: object, _samples: object) -> list[StepNote]:
    """A chord that is struck on the third beat, and sounds on into the next window."""
    return [
        StepNote(0, 8, 60, 80, is_held_before=True),
        StepNote(8, 16, 60, 80, is_held_after=True),
    ]


def test_a_note_is_new_once_and_told_again_when_its_end_moves():
    rig = made_rig(generate=held)
    rig.live.choose_delay(5)
    rig.song.play(rig.now_seconds)
    rig.run(9.0)
    handles = {note.handle for note in rig.notes}
    assert len(handles) > 2
    assert [note.handle for note in rig.notes if note.is_new] == sorted(handles)
    moved = [note for note in rig.notes if not note.is_new]
    assert {note.handle for note in moved} >= set(sorted(handles)[:-1])
    assert all(note.note.duration_beats == pytest.approx(4.0) for note in moved)


def test_a_note_that_was_left_out_as_late_is_not_told_of_again():
    rig = made_rig(generate=held, piano=Keyboard())
    rig.live.choose_delay(5)
    rig.song.play(rig.now_seconds)
    while not rig.notes:
        rig.tick()
    rig.tick(0.1)  # the note's moment passes meanwhile
    assert rig.piano.scheduler.take_dropped() == [rig.notes[0].handle]
    rig.run(1.5)
    assert [note.handle for note in rig.notes].count(rig.notes[0].handle) == 1
