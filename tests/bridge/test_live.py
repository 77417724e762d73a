"""The live path against the offline one, and what it does when the song or the engine leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from live_rig import RATE, TICK_SECONDS, Bus, Engine, Rig
from sidekeys_engine.audio import load_audio
from sidekeys_engine.beat_grid import WHOLE_WINDOWS, BeatGrid, Cut
from sidekeys_engine.cover import make_cover
from sidekeys_engine.errors import InputError
from sidekeys_engine.expression import Expression, expressed
from sidekeys_engine.note_tokens import StepNote
from sidekeys_engine.notes import Meter
from sidekeys_engine.pianist import Pianist

EXAMPLES = Path(__file__).parents[2] / "examples"
START_SECONDS = 101.0  # when the song begins to sound
BPM = 120.0


def noise(first_frame: int, count: int) -> NDArray[np.float32]:
    """A bus that always sounds, the same at the same moment."""
    frames = np.arange(first_frame, first_frame + count)
    return (0.1 * np.sin(frames * 0.05)).astype(np.float32)


def one_note_a_beat(
    content: Mapping[str, Any], _samples: NDArray[np.float32]
) -> Sequence[StepNote]:
    """The composer decides the pitch, the window's place nothing."""
    pitch = {"full": 60, "block": 48}[content["composer"]]
    return [StepNote(step, step + 2, pitch, 80) for step in (0, 4, 8, 12)]


def made_rig(**options: Any) -> Rig:
    rig = Rig(Engine(options.pop("generate", one_note_a_beat)), Bus(noise), **options)
    rig.start_engine()
    return rig


# --- streamed windows equal the offline cover


@pytest.fixture(scope="module")
def pianist() -> Pianist:
    return Pianist.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def song() -> NDArray[np.float32]:
    whole = load_audio(EXAMPLES / "paper_lanterns.ogg", sampling_rate=RATE).samples
    return np.asarray(whole[5 * RATE : 26 * RATE], dtype=np.float32)


def heard_live(
    song: NDArray[np.float32], pianist: Pianist, composer: str, delay: int
) -> list[tuple[float, float, int, int]]:
    """The notes of a run at a tempo of 120, at the song positions that they belong to."""
    start = round(START_SECONDS * RATE)

    def sound_at(first_frame: int, count: int) -> NDArray[np.float32]:
        padded = np.zeros(count, dtype=np.float32)
        begin, end = max(first_frame, start), min(first_frame + count, start + len(song))
        if begin < end:
            padded[begin - first_frame : end - first_frame] = song[begin - start : end - start]
        return padded

    def generate(content: Mapping[str, Any], samples: NDArray[np.float32]) -> Sequence[StepNote]:
        moments = np.array([content["step_seconds"]])
        return pianist.play(samples, moments, content["composer"])[0]

    rig = Rig(Engine(generate), Bus(sound_at), composer=composer, bpm=BPM)
    rig.live.choose_delay(delay)
    rig.start_engine()
    rig.run(1.0)
    rig.song.play(START_SECONDS)
    rig.run(len(song) / RATE + delay * 0.5)
    assert rig.live.hearing.windows_missed == 0
    assert not rig.piano.panics
    return sorted(
        (
            note.note.onset_beats - delay,
            note.note.duration_beats,
            note.note.pitch,
            note.note.velocity,
        )
        for note in rig.sounding.values()
    )


@pytest.mark.parametrize(
    ("delay", "cut"), [(5, WHOLE_WINDOWS), (4, Cut(2.0, 1.0)), (3, Cut(2.0, 2.0))]
)
@pytest.mark.parametrize("composer", ["full", "stride"])
def test_the_echo_is_the_offline_cover_moved_by_the_delay(
    song: NDArray[np.float32], pianist: Pianist, composer: str, delay: int, cut: Cut
):
    live = heard_live(song, pianist, composer, delay)
    grid = BeatGrid.from_tempo(BPM)
    plain = make_cover(song, grid, pianist, composer, cut=cut)
    cover = expressed(plain, grid, Expression(dynamics=False), None, RATE)
    last = 40.0  # the windows behind it were not complete
    offline = sorted(
        (note.onset_beats, note.duration_beats, note.pitch, note.velocity)
        for note in cover.notes
        if note.end_beats < last
    )
    live = [note for note in live if note[0] + note[1] < last]
    assert len(offline) > 60
    assert [note[2:] for note in live] == [note[2:] for note in offline]
    assert np.allclose([n[:2] for n in live], [n[:2] for n in offline], rtol=0, atol=1e-6)


# --- echo


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
    rig = Rig(Engine(one_note_a_beat), Bus(lambda _first, count: np.zeros(count, np.float32)))
    rig.start_engine()
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


# --- loop


def looped(rig: Rig, beats: float, passes: int, *, known: bool) -> list[float]:
    """Play a loop from 0; the moments at which its passes began."""
    rig.live.choose_mode("loop")
    rig.song.loop = (0.0, beats) if known else None
    starts = []
    for _ in range(passes):
        starts.append(rig.now_seconds)
        rig.song.play(rig.now_seconds)
        rig.run(beats * 60 / rig.song.bpm)
    return starts


@pytest.mark.parametrize("known", [True, False])
def test_what_a_loop_has_heard_once_is_played_in_place(known: bool):
    rig = made_rig()
    starts = looped(rig, 8.0, 4, known=known)
    due = np.array([note.due_seconds for note in rig.piano.struck])
    assert not (due < starts[1] - 1e-6).any()
    for start in starts[1:]:
        within = due[(due >= start - 1e-6) & (due < start + 4 - 1e-6)]
        assert np.allclose(within, start + np.arange(8) * 0.5, atol=1e-6)


def test_a_known_loop_plays_its_first_note_before_the_song_is_there():
    rig = made_rig()
    starts = looped(rig, 8.0, 3, known=True)
    firsts = [note for note in rig.piano.struck if abs(note.due_seconds - starts[2]) < 1e-6]
    assert firsts
    assert all(note.committed_seconds < note.due_seconds for note in firsts)
    assert len(rig.piano.panics) <= 1  # what was foreseen is no break
    before = [note for note in rig.piano.struck if note.due_seconds < starts[2] - 1e-6]
    assert all(note.off_seconds < starts[2] for note in before)


def test_a_loop_that_is_left_falls_silent_and_goes_on():
    rig = made_rig()
    looped(rig, 8.0, 2, known=True)
    panics = len(rig.piano.panics)
    rig.run(0.2)  # the song goes on beyond the loop's end
    assert len(rig.piano.panics) == panics + 1
    late = rig.now_seconds
    rig.run(3.0)
    assert not [note for note in rig.piano.struck if note.due_seconds > late]


def test_another_composer_plays_a_loop_without_hearing_it_again():
    rig = made_rig()
    looped(rig, 8.0, 2, known=True)
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
    looped(rig, 8.0, 4, known=True)
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
