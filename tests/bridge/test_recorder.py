"""What was played comes out on the bars of the song, every pass over them, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekeys_bridge.recorder import Recorder
from sidekeys_bridge.recording import STEADY_SECONDS, steady_corners
from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter, MeterChange, Note, Pedal, Score, read_midi, write_midi

FOUR = (MeterChange(0.0, Meter(4, 4)),)


@dataclass
class Line:
    """A run of the song at one tempo."""

    start_beats: float = 0.0
    start_seconds: float = 100.0
    bpm: float = 120.0
    meters: tuple[MeterChange, ...] = FOUR
    end_seconds: float | None = None
    end_beats: float | None = None
    made: BeatGrid | None = field(default=None, repr=False)

    def grid(self) -> BeatGrid:
        if self.made is None:
            beats = self.start_beats + np.arange(3) * 64.0
            seconds = self.start_seconds + np.arange(3) * 64.0 * 60 / self.bpm
            self.made = BeatGrid(beats, seconds, self.meters)
        return self.made

    def end(self, beats: float) -> None:
        self.end_beats, self.end_seconds = beats, float(self.grid().seconds_at(beats))


class Session:
    """A recorder, and a song that it follows."""

    def __init__(self, **keywords: int) -> None:
        self.recorder = Recorder(**keywords)
        self.handle = 0

    def begin(self, line: Line) -> None:
        self.line = line
        self.recorder.follow(line)

    def play(self, onset: float, length: float = 1.0, pitch: int = 60) -> int:
        self.handle += 1
        self.say(self.handle, onset, length, pitch)
        return self.handle

    def say(self, handle: int, onset: float, length: float, pitch: int = 60) -> None:
        grid = self.line.grid()
        due, off = float(grid.seconds_at(onset)), float(grid.seconds_at(onset + length))
        self.recorder.note(handle, onset, length, pitch, 80, due, off)

    def stop(self, beats: float) -> None:
        self.line.end(beats)
        self.recorder.silence(self.line.end_seconds or 0.0)
        self.recorder.follow(None)

    def session(self) -> Score:
        return self.recorder.recording().session()

    def last(self, bars: int, beats: float) -> Score:
        now_seconds = float(self.line.grid().seconds_at(beats))
        return self.recorder.recording().last_bars(bars, now_seconds)


def onsets(score: Score) -> list[float]:
    return [note.onset_beats for note in score.notes]


def test_notes_stand_where_they_were_in_the_song():
    session = Session()
    session.begin(Line())
    session.play(0.0, 1.5, 60)
    session.play(2.25, 0.5, 64)
    assert session.session().notes == (Note(0.0, 60, 1.5, 80), Note(2.25, 64, 0.5, 80))


def test_a_song_that_is_entered_at_bar_nine_begins_the_file_with_that_bar():
    session = Session()
    session.begin(Line(start_beats=33.5))
    session.play(34.0)
    score = session.session()
    assert onsets(score) == [2.0]
    assert score.meters == FOUR
    assert [(tempo.onset_beats, tempo.bpm) for tempo in score.tempos] == [(0.0, 120.0)]


def test_a_start_a_hair_before_a_bar_line_is_on_it():
    session = Session()
    session.begin(Line(start_beats=15.99))
    session.play(16.0)
    assert onsets(session.session()) == [0.0]


def test_each_pass_of_a_loop_follows_the_one_before_on_its_own_bars():
    session = Session()
    for index in range(3):
        session.begin(Line(start_beats=4.0, start_seconds=100 + 4 * index))
        session.play(4.0, pitch=60 + index)
        session.play(11.0, pitch=60 + index)
        session.stop(12.0 + 0.01 * index)
    score = session.session()
    assert onsets(score) == [0.0, 7.0, 8.0, 15.0, 16.0, 23.0]
    assert [note.pitch for note in score.notes] == [60, 60, 61, 61, 62, 62]
    assert len(score.tempos) == len(score.meters) == 1


def test_a_run_that_stops_in_a_bar_leaves_the_rest_of_it_empty():
    session = Session()
    session.begin(Line())
    session.play(5.0)
    session.stop(6.5)
    session.begin(Line(start_beats=20.0, start_seconds=200.0))
    session.play(20.0)
    assert onsets(session.session()) == [5.0, 8.0]


def test_a_run_in_which_nothing_is_played_is_not_there():
    session = Session()
    for index in range(5):
        session.begin(Line(start_seconds=100.0 + 50 * index))
        if index in (1, 3):
            session.play(0.0)
        session.stop(4.0)
    assert onsets(session.session()) == [0.0, 4.0]


def test_a_note_struck_at_a_jump_belongs_to_the_run_that_was_there_then():
    session = Session()
    session.begin(Line(start_beats=0.0, start_seconds=100.0))
    session.play(7.5, 0.5)
    before = session.line
    after = Line(start_beats=0.0, start_seconds=104.0)
    session.line = after  # what follows a loop's end is played before the song is there
    session.play(0.0, pitch=72)
    before.end(8.0)
    session.begin(after)
    score = session.session()
    assert [(note.onset_beats, note.pitch) for note in score.notes] == [(7.5, 60), (8.0, 72)]


def test_the_end_of_a_note_may_be_told_again():
    session = Session()
    session.begin(Line())
    handle = session.play(0.0, 4.0)
    session.say(handle, 0.0, 6.5)
    assert session.session().notes == (Note(0.0, 60, 6.5, 80),)


def test_a_note_that_was_cut_off_ends_there_and_one_that_waited_is_not_there():
    session = Session()
    session.begin(Line())
    session.play(0.0, 8.0)
    session.play(3.5, 1.0, 72)
    session.stop(3.0)
    (note,) = session.session().notes
    assert (note.onset_beats, note.pitch) == (0.0, 60)
    assert note.duration_beats == pytest.approx(3.0)


def test_notes_that_came_too_late_to_be_played_are_not_there():
    session = Session()
    session.begin(Line())
    handle = session.play(0.0)
    session.play(1.0)
    session.recorder.drop([handle, 999])
    assert onsets(session.session()) == [1.0]


def test_the_pedal_is_there_and_goes_up_where_the_song_stops():
    session = Session()
    session.begin(Line())
    session.play(0.0, 8.0)
    for beats, down in ((0.0, True), (2.0, False), (2.0, True)):
        session.recorder.pedal(float(session.line.grid().seconds_at(beats)), down)
    session.stop(3.0)
    pedals = session.session().pedals
    assert [pedal.onset_beats for pedal in pedals] == pytest.approx([0.0, 2.0])
    assert [pedal.duration_beats for pedal in pedals] == pytest.approx([2.0, 1.0])


def test_tempo_and_meter_of_each_run_are_in_the_file():
    session = Session()
    meters = (MeterChange(0.0, Meter(4, 4)), MeterChange(8.0, Meter(3, 4)))
    session.begin(Line(meters=meters))
    session.play(0.0)
    session.play(13.0)
    session.stop(14.0)
    session.begin(Line(start_seconds=300.0, bpm=90.0, meters=FOUR))
    session.play(0.0)
    score = session.session()
    assert [(change.onset_beats, str(change.meter)) for change in score.meters] == [
        (0.0, "4/4"), (8.0, "3/4"), (14.0, "4/4"),
    ]  # fmt: skip
    assert [tempo.onset_beats for tempo in score.tempos] == [0.0, 14.0]
    assert [tempo.bpm for tempo in score.tempos] == pytest.approx([120.0, 90.0], rel=1e-5)
    assert onsets(score) == [0.0, 13.0, 14.0]


def test_a_clock_that_shakes_makes_no_tempo_map_that_does():
    session = Session()
    chance = np.random.default_rng(3)
    beats = np.arange(200.0)
    shaken = 100 + beats * 0.5 + chance.uniform(-0.002, 0.002, beats.size)
    session.begin(Line(made=BeatGrid(beats, shaken, FOUR)))
    session.play(0.0)
    session.play(150.0)
    assert len(session.session().tempos) == 1


def test_a_tempo_ramp_is_kept():
    session = Session()
    beats = np.arange(130.0)
    seconds = 100 + np.cumsum(60 / np.linspace(90, 140, beats.size))
    session.begin(Line(made=BeatGrid(beats, seconds, FOUR)))
    session.play(0.0)
    session.play(127.0)
    tempos = session.session().tempos
    assert tempos[0].bpm == pytest.approx(90, abs=3)
    assert tempos[-1].bpm == pytest.approx(140, abs=3)
    clock, before = 0.0, tempos[0]
    for tempo in tempos[1:]:
        clock += (tempo.onset_beats - before.onset_beats) * 60 / before.bpm
        before = tempo
        assert clock == pytest.approx(np.interp(tempo.onset_beats, beats, seconds - seconds[0]),
                                      abs=2 * STEADY_SECONDS)  # fmt: skip


def test_beats_that_a_stretch_forgets_stay_in_the_recording():
    session = Session()
    line = Line(made=BeatGrid(np.arange(0.0, 101.0), 100 + np.arange(101) * 1.0, FOUR))
    session.begin(line)
    session.play(4.0)
    line.made = BeatGrid(np.arange(50.0, 201.0), 150 + np.arange(151) * 1.0, FOUR)
    session.recorder.follow(line)
    line.made = BeatGrid(np.arange(100.0, 301.0), 200 + np.arange(201) * 0.5, FOUR)
    session.play(120.0)
    score = session.session()
    assert onsets(score) == [4.0, 120.0]
    assert [(tempo.onset_beats, tempo.bpm) for tempo in score.tempos] == [(0, 60), (100, 120)]


# --- the last bars ---


def test_the_last_bars_end_at_the_bar_line_nearest_to_now():
    session = Session()
    session.begin(Line())
    for bar in range(6):
        session.play(4.0 * bar, pitch=60 + bar)
    assert [note.pitch for note in session.last(2, 20.5).notes] == [63, 64]
    assert [note.pitch for note in session.last(2, 23.0).notes] == [64, 65]
    assert onsets(session.last(2, 23.0)) == [0.0, 4.0]


def test_the_last_bars_reach_back_over_a_jump():
    session = Session()
    for index in range(3):
        session.begin(Line(start_beats=8.0, start_seconds=100 + 4 * index))
        session.play(8.0, pitch=60 + index)
        session.play(13.0, pitch=70 + index)
        if index < 2:
            session.stop(16.01)
    score = session.last(3, 12.2)
    assert [(note.onset_beats, note.pitch) for note in score.notes] == [
        (0.0, 61), (5.0, 71), (8.0, 62),
    ]  # fmt: skip


def test_after_a_stop_the_last_bars_are_those_before_it():
    session = Session()
    session.begin(Line())
    session.play(1.0)
    session.play(5.0)
    session.stop(8.1)
    assert onsets(session.last(1, 500.0)) == [1.0]


def test_fewer_bars_come_if_no_more_were_played():
    session = Session()
    session.begin(Line())
    session.play(1.0)
    session.play(5.0)
    assert onsets(session.last(100, 8.0)) == [1.0, 5.0]
    assert onsets(session.last(4, 1.2)) == [1.0, 5.0]


def test_a_note_across_the_first_line_is_left_out_and_one_across_the_last_ends_there():
    session = Session()
    session.begin(Line())
    session.play(3.0, 4.0)
    session.play(7.0, 4.0)
    score = session.last(1, 8.0)
    assert score.notes == (Note(3.0, 60, 1.0, 80),)


@pytest.mark.parametrize("count", [0, -3])
def test_no_bars_are_refused(count: int):
    session = Session()
    session.begin(Line())
    session.play(1.0)
    with pytest.raises(InputError, match="give 1 or more"):
        session.last(count, 8.0)


def test_where_nothing_was_played_words_say_so():
    session = Session()
    session.begin(Line())
    with pytest.raises(InputError, match="nothing has been played yet"):
        session.session()
    with pytest.raises(InputError, match="nothing has been played yet"):
        session.last(1, 4.0)


# --- bounds, files, any use ---


def test_only_the_newest_notes_are_kept():
    session = Session(most_notes=50)
    for index in range(40):
        session.begin(Line(start_seconds=100.0 + 2 * index))
        for beat in range(4):
            session.play(float(beat))
        session.recorder.pedal(session.line.start_seconds, True)
        session.stop(4.0)
    recording = session.recorder.recording()
    assert len(recording.notes) == 50
    assert len(recording.takes) <= 14
    assert len(recording.pedals) <= 40
    assert len(recording.session().notes) == 50


def test_a_recording_is_written_and_read_as_it_is(tmp_path):
    session = Session()
    session.begin(Line(bpm=100.0))
    session.play(0.0, 2.0, 48)
    session.play(1.25, 0.5, 64)
    session.recorder.pedal(100.0, True)
    session.stop(8.0)
    score = session.session()
    write_midi(score, tmp_path / "take.mid")
    read = read_midi(tmp_path / "take.mid")
    assert read.notes == score.notes
    assert read.pedals == (Pedal(0.0, 8.0),)
    assert read.tempos[0].bpm == pytest.approx(100.0)


def test_what_is_played_after_a_recording_was_taken_does_not_change_it():
    session = Session()
    session.begin(Line())
    session.play(0.0)
    recording = session.recorder.recording()
    session.play(1.0)
    session.stop(2.0)
    assert onsets(recording.session()) == [0.0]


beat = st.integers(0, 64).map(lambda quarter: quarter / 4)


@given(
    st.lists(st.tuples(beat, st.lists(st.tuples(beat, beat), max_size=6), beat), min_size=1,
             max_size=6),
    st.integers(1, 8),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_whatever_is_played_every_note_is_there_once_and_on_its_beat(
    runs: list[tuple[float, list[tuple[float, float]], float]], bars: int
):
    session, moment, count = Session(), 100.0, 0
    for start, notes, length in runs:
        line = Line(start_beats=start, start_seconds=moment)
        session.begin(line)
        for wait, duration in notes:
            if wait < length:
                session.play(start + wait, duration + 0.25)
                count += 1
        session.stop(start + length)
        moment += length / 2 + 1.0
    if count == 0:
        return
    score = session.session()
    assert len(score.notes) == count
    phases = sorted(
        (start + wait) % 4 for start, notes, length in runs for wait, _ in notes if wait < length
    )
    assert sorted(onset % 4 for onset in onsets(score)) == pytest.approx(phases)
    last = session.recorder.recording().last_bars(bars, moment)
    assert all(0 <= onset < 4 * bars for onset in onsets(last))
    assert last.end_beats <= 4 * bars + 1e-6


@given(st.lists(st.floats(0.1, 2.0), min_size=1, max_size=200), st.floats(0.001, 0.1))
@settings(max_examples=60, deadline=None)
def test_steady_corners_meet_every_beat_within_the_tolerance(paces: list[float], tolerance: float):
    beats = np.arange(len(paces) + 1.0)
    seconds = np.concatenate([[0.0], np.cumsum(paces)])
    kept = steady_corners(beats, seconds, tolerance)
    assert kept[0] == 0
    assert kept[-1] == len(paces)
    met = np.interp(beats, beats[kept], seconds[kept])
    assert np.abs(met - seconds).max() <= tolerance + 1e-9
