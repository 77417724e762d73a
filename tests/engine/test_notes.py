"""Notes, pedal, tempo and meter survive the way into a MIDI file and back."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import mido
import pretty_midi
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sidekeys_engine import notes as notes_module
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import (
    TICKS_PER_BEAT,
    Meter,
    MeterChange,
    Note,
    Pedal,
    Score,
    TempoChange,
    midi_bytes,
    read_midi,
    write_midi,
)

HALF_TICK = 0.5 / TICKS_PER_BEAT + 1e-9
METERS = st.builds(Meter, st.integers(1, 64), st.sampled_from([1, 2, 4, 8, 16, 32]))


def parsed(score: Score) -> mido.MidiFile:
    return mido.MidiFile(file=io.BytesIO(midi_bytes(score)))


def timed(track: mido.MidiTrack) -> list[tuple[int, mido.Message]]:
    ticks = itertools.accumulate(message.time for message in track)
    return list(zip(ticks, track, strict=True))


def saved(path: Path, *tracks: Sequence[mido.Message], kind: int = 1, ticks: int = 480) -> Path:
    midi = mido.MidiFile(type=kind, ticks_per_beat=ticks)
    midi.tracks.extend(mido.MidiTrack(track) for track in tracks)
    midi.save(path)
    return path


def on(time: int, pitch: int = 60, velocity: int = 64, channel: int = 0) -> mido.Message:
    return mido.Message("note_on", time=time, note=pitch, velocity=velocity, channel=channel)


def off(time: int, pitch: int = 60, channel: int = 0) -> mido.Message:
    return mido.Message("note_off", time=time, note=pitch, channel=channel)


def pedal(time: int, value: int, channel: int = 0) -> mido.Message:
    return mido.Message("control_change", time=time, control=64, value=value, channel=channel)


@st.composite
def spans(draw: st.DrawFn, largest: int = 6) -> list[tuple[float, float]]:
    """Spans (onset, duration) one after the other, a tick long at least, some of them touching."""
    onset, found = 0.0, []
    for _ in range(draw(st.integers(0, largest))):
        onset += draw(st.just(0.0) | st.floats(0, 50))
        duration = draw(st.floats(2 / TICKS_PER_BEAT, 20))
        found.append((onset, duration))
        onset += duration + 1e-9
    return found


@st.composite
def scores(draw: st.DrawFn) -> Score:
    """Scores that a piano can play: no pitch is struck while it sounds."""
    notes = [
        Note(onset, pitch, duration, draw(st.integers(1, 127)))
        for pitch in draw(st.sets(st.integers(0, 127), max_size=4))
        for onset, duration in draw(spans())
    ]
    bar_lines = draw(st.lists(st.integers(1, 200), unique=True, max_size=3))
    onsets = draw(st.lists(st.integers(1, 100_000), unique=True, max_size=4))
    return Score(
        notes=tuple(sorted(notes)),
        pedals=tuple(Pedal(*span) for span in draw(spans())),
        tempos=tuple(
            TempoChange(tick / TICKS_PER_BEAT, 60_000_000 / draw(st.integers(1, 0xFFFFFF)))
            for tick in [0, *sorted(onsets)]
        ),
        meters=tuple(MeterChange(float(beat), draw(METERS)) for beat in [0, *sorted(bar_lines)]),
    )


def test_importing_notes_loads_no_other_package() -> None:
    code = f"""if True:
        import sys
        sys.path.insert(0, {str(Path(notes_module.__file__).parents[1])!r})
        import sidekeys_engine.notes
        heavy = {{"mido", "numpy", "torch", "soundfile"}} & set(sys.modules)
        assert not heavy, heavy
    """
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)


@given(scores())
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_round_trip_keeps_notes_pedals_tempos_and_meters(tmp_path: Path, score: Score) -> None:
    write_midi(score, tmp_path / "a.mid")
    back = read_midi(tmp_path / "a.mid")

    def key(note: Note) -> tuple[int, float]:
        return note.pitch, note.onset_beats

    assert len(back.notes) == len(score.notes)
    for note, other in zip(sorted(score.notes, key=key), sorted(back.notes, key=key), strict=True):
        assert (other.pitch, other.velocity) == (note.pitch, note.velocity)
        assert other.onset_beats == pytest.approx(note.onset_beats, abs=HALF_TICK)
        assert other.end_beats == pytest.approx(note.end_beats, abs=HALF_TICK)
    assert len(back.pedals) == len(score.pedals)
    for held, other_held in zip(score.pedals, back.pedals, strict=True):
        assert other_held.onset_beats == pytest.approx(held.onset_beats, abs=HALF_TICK)
        assert other_held.duration_beats == pytest.approx(held.duration_beats, abs=2 * HALF_TICK)
    assert back.tempos == score.tempos
    assert back.meters == score.meters
    # What has been through a file once is not changed by it again.
    assert midi_bytes(back) == (tmp_path / "a.mid").read_bytes()


ANY_NOTE = st.builds(
    Note,
    onset_beats=st.floats(-2, 8) | st.integers(-1, 4).map(float),
    pitch=st.integers(60, 62),
    duration_beats=st.floats(1e-9, 8) | st.integers(1, 4).map(float),
    velocity=st.integers(1, 127),
)
ANY_PEDAL = st.builds(Pedal, onset_beats=st.floats(-2, 8), duration_beats=st.floats(1e-9, 8))


@given(st.lists(ANY_NOTE, max_size=30), st.lists(ANY_PEDAL, max_size=8))
@settings(max_examples=200, deadline=None)
def test_any_notes_become_matched_pairs_of_on_and_off(
    notes: list[Note], pedals: list[Pedal]
) -> None:
    sounding: dict[int, int] = {}
    struck: set[tuple[int, int]] = set()
    down_since: int | None = None
    last_tick = 0
    for tick, message in timed(parsed(Score(tuple(notes), tuple(pedals))).tracks[1]):
        assert tick >= last_tick
        last_tick = tick
        if message.type == "note_on":
            assert message.note not in sounding, "struck while it sounds"
            sounding[message.note] = tick
            struck.add((message.note, tick))
        elif message.type == "note_off":
            assert tick > sounding.pop(message.note), "released at once"
        elif message.type == "control_change":
            assert (message.value == 127) == (down_since is None)
            down_since = tick if message.value else None
    assert not sounding
    assert down_since is None
    # Nothing that sounds after beat 0 is lost: each onset of each pitch is struck.
    for note in notes:
        if note.end_beats > 1 / TICKS_PER_BEAT:
            assert (note.pitch, max(0, round(note.onset_beats * TICKS_PER_BEAT))) in struck


def test_file_has_a_tempo_track_and_a_named_piano_track(tmp_path: Path) -> None:
    score = Score(
        notes=(Note(1.5, 64, 1.0, 90),),
        tempos=(TempoChange(0.0, 100.0), TempoChange(4.0, 50.0)),
        meters=(MeterChange(0.0, Meter(6, 8)),),
    )
    write_midi(score, tmp_path / "a.mid", track_name="Klavier ♪", program=5)
    midi = mido.MidiFile(tmp_path / "a.mid", charset="utf-8")
    assert (midi.type, midi.ticks_per_beat, len(midi.tracks)) == (1, 960, 2)
    assert [(tick, message.type) for tick, message in timed(midi.tracks[0])] == [
        (0, "time_signature"),
        (0, "set_tempo"),
        (4 * 960, "set_tempo"),
        (4 * 960, "end_of_track"),
    ]
    meter, tempo = midi.tracks[0][:2]
    assert (meter.numerator, meter.denominator, meter.clocks_per_click) == (6, 8, 36)
    assert tempo.tempo == 600_000
    assert midi.tracks[1].name == "Klavier ♪"
    assert [(tick, message.type) for tick, message in timed(midi.tracks[1])] == [
        (0, "track_name"),
        (0, "program_change"),
        (1440, "note_on"),
        (2400, "note_off"),
        (2400, "end_of_track"),
    ]
    assert midi.tracks[1][1].program == 5


@pytest.mark.parametrize(
    ("meter", "clocks"), [("4/4", 24), ("3/4", 24), ("2/2", 48), ("12/8", 36), ("7/8", 12)]
)
def test_metronome_clicks_on_the_beats_of_the_meter(meter: str, clocks: int) -> None:
    numerator, denominator = map(int, meter.split("/"))
    score = Score(meters=(MeterChange(0.0, Meter(numerator, denominator)),))
    assert parsed(score).tracks[0][0].clocks_per_click == clocks


def test_empty_score_is_a_valid_file_of_the_right_tempo(tmp_path: Path) -> None:
    empty = Score(tempos=(TempoChange(0.0, 93.75),), meters=(MeterChange(0.0, Meter(3, 4)),))
    write_midi(empty, tmp_path / "a.mid")
    assert read_midi(tmp_path / "a.mid") == empty
    assert pretty_midi.PrettyMIDI(str(tmp_path / "a.mid")).get_tempo_changes()[1].tolist() == [
        pytest.approx(93.75)
    ]
    assert empty.end_beats == 0.0


def test_notes_with_tempo_changes_and_a_pickup_bar_sound_at_the_right_seconds(
    tmp_path: Path,
) -> None:
    # One beat of pickup at 120, a bar of 3/4 at 90, then 4/4 at 60.
    score = Score(
        notes=(Note(0.5, 60, 0.25), Note(1.0, 62, 1.0), Note(3.5, 64, 1.0), Note(6.0, 65, 0.5)),
        pedals=(Pedal(1.0, 3.0),),
        tempos=(TempoChange(0.0, 120.0), TempoChange(1.0, 90.0), TempoChange(4.0, 60.0)),
        meters=(
            MeterChange(0.0, Meter(1, 4)),
            MeterChange(1.0, Meter(3, 4)),
            MeterChange(4.0, Meter(4, 4)),
        ),
    )
    write_midi(score, tmp_path / "a.mid")
    heard = pretty_midi.PrettyMIDI(str(tmp_path / "a.mid"))
    (piano,) = heard.instruments
    assert not piano.is_drum
    assert [(note.pitch, note.start, note.end) for note in piano.notes] == [
        (60, pytest.approx(0.25, abs=1e-5), pytest.approx(0.375, abs=1e-5)),
        (62, pytest.approx(0.5, abs=1e-5), pytest.approx(0.5 + 2 / 3, abs=1e-5)),
        (64, pytest.approx(0.5 + 5 / 3, abs=1e-5), pytest.approx(2.5 + 0.5, abs=1e-5)),
        (65, pytest.approx(4.5, abs=1e-5), pytest.approx(5.0, abs=1e-5)),
    ]
    assert heard.get_downbeats()[:3].tolist() == pytest.approx([0.0, 0.5, 2.5], abs=1e-5)
    down, up = piano.control_changes
    assert (down.time, up.time) == (pytest.approx(0.5, abs=1e-5), pytest.approx(2.5, abs=1e-5))


def test_at_one_tick_keys_and_pedal_go_up_before_they_go_down() -> None:
    score = Score(
        notes=(Note(0.0, 60, 1.0), Note(1.0, 60, 1.0), Note(1.0, 55, 1.0)),
        pedals=(Pedal(0.0, 1.0), Pedal(1.0, 1.0)),
    )
    at_beat = [message for tick, message in timed(parsed(score).tracks[1]) if tick == 960]
    assert [(m.type, getattr(m, "value", None)) for m in at_beat] == [
        ("note_off", None),
        ("control_change", 0),
        ("control_change", 127),
        ("note_on", None),
        ("note_on", None),
    ]


def heard_notes(tmp_path: Path, *notes: Note) -> list[tuple[float, int, float, int]]:
    write_midi(Score(notes), tmp_path / "a.mid")
    return [
        (n.onset_beats, n.pitch, n.duration_beats, n.velocity)
        for n in read_midi(tmp_path / "a.mid").notes
    ]


def test_a_restruck_pitch_cuts_the_note_before(tmp_path: Path) -> None:
    assert heard_notes(tmp_path, Note(0.0, 60, 4.0, 50), Note(1.0, 60, 1.0, 70)) == [
        (0.0, 60, 1.0, 50),
        (1.0, 60, 1.0, 70),
    ]


def test_two_strikes_of_one_pitch_on_one_tick_become_the_longer_and_louder(
    tmp_path: Path,
) -> None:
    assert heard_notes(tmp_path, Note(1.0, 60, 0.5, 90), Note(1.0, 60, 2.0, 40)) == [
        (1.0, 60, 2.0, 90)
    ]


def test_a_note_shorter_than_a_tick_lasts_one(tmp_path: Path) -> None:
    assert heard_notes(tmp_path, Note(1.0, 60, 1e-6)) == [(1.0, 60, 1 / 960, 77)]


def test_what_starts_before_beat_0_starts_there_and_what_ends_before_is_left_out(
    tmp_path: Path,
) -> None:
    before = Note(-2.0, 60, 1.0, 127), Note(-1.0, 62, 2.0, 60)
    assert heard_notes(tmp_path, *before, Note(0.0, 60, 1.0, 30)) == [
        (0.0, 60, 1.0, 30),
        (0.0, 62, 1.0, 60),
    ]


@pytest.mark.parametrize(
    ("bpm", "microseconds"), [(1e-3, 0xFFFFFF), (1e9, 1), (123.456, 486_003), (120.0, 500_000)]
)
def test_tempos_are_whole_microseconds_that_midi_can_store(bpm: float, microseconds: int) -> None:
    (tempo,) = (
        m for m in parsed(Score(tempos=(TempoChange(0.0, bpm),))).tracks[0] if m.type == "set_tempo"
    )
    assert tempo.tempo == microseconds


def test_the_last_of_several_tempos_before_beat_0_holds_from_there() -> None:
    tempos = (TempoChange(-4.0, 60.0), TempoChange(-1.0, 150.0), TempoChange(8.0, 60.0))
    events = timed(parsed(Score(tempos=tempos)).tracks[0])
    assert [(t, m.tempo) for t, m in events if m.type == "set_tempo"] == [
        (0, 400_000),
        (7680, 1_000_000),
    ]


def test_moments_and_programs_that_midi_cannot_hold_are_value_errors() -> None:
    with pytest.raises(ValueError, match="beyond the end"):
        midi_bytes(Score(notes=(Note(300_000.0, 60, 1.0),)))
    with pytest.raises(ValueError, match="program"):
        midi_bytes(Score(), program=128)


@pytest.mark.parametrize(
    "build",
    [
        lambda: TempoChange(0.0, 0.0),
        lambda: TempoChange(0.0, float("nan")),
        lambda: TempoChange(float("inf"), 120.0),
        lambda: MeterChange(float("nan"), Meter()),
        lambda: Meter(4, 3),
        lambda: Meter(0, 4),
        lambda: Note(0.0, 128, 1.0),
        lambda: Note(0.0, 60, 0.0),
        lambda: Note(0.0, 60, 1.0, 0),
        lambda: Note(float("nan"), 60, 1.0),
        lambda: Pedal(0.0, 0.0),
        lambda: Pedal(0.0, float("inf")),
    ],
)
def test_what_could_not_be_played_cannot_be_built(build: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"must|lies|is no"):
        build()


def test_end_is_where_the_last_note_or_pedal_ends() -> None:
    assert Score(notes=(Note(0.0, 60, 5.0), Note(3.0, 60, 1.0))).end_beats == 5.0
    assert Score(notes=(Note(0.0, 60, 5.0),), pedals=(Pedal(4.0, 2.0),)).end_beats == 6.0


def test_a_file_that_cannot_be_written_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        write_midi(Score(), tmp_path / "nowhere" / "a.mid")


# --- reading what other programs wrote ---


def test_notes_of_all_tracks_but_drums_are_read(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "a.mid",
        [mido.MetaMessage("set_tempo", tempo=600_000), on(480, 72, channel=3), off(240, 72, 3)],
        [on(0, 36, channel=9), off(480, 36, channel=9), mido.Message("sysex", data=(1, 2))],
        [on(0, 48), mido.MetaMessage("channel_prefix", channel=0), on(960, 48, velocity=0)],
    )
    score = read_midi(path)
    assert score.notes == (Note(0.0, 48, 2.0, 64), Note(1.0, 72, 0.5, 64))
    assert score.tempos == (TempoChange(0.0, 100.0),)
    assert score.meters == (MeterChange(0.0, Meter(4, 4)),)


def test_a_file_of_one_track_and_no_tempo_runs_at_120(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.mid", [on(96), off(96)], kind=0, ticks=96)
    score = read_midi(path)
    assert score.notes == (Note(1.0, 60, 1.0, 64),)
    assert score.tempos == (TempoChange(0.0, 120.0),)


def test_a_first_tempo_and_meter_after_the_start_leave_the_start_as_midi_has_it(
    tmp_path: Path,
) -> None:
    changes = [
        mido.MetaMessage("set_tempo", tempo=1_000_000, time=960),
        mido.MetaMessage("time_signature", numerator=3, denominator=4),
    ]
    score = read_midi(saved(tmp_path / "a.mid", changes))
    assert score.tempos == (TempoChange(0.0, 120.0), TempoChange(2.0, 60.0))
    assert score.meters == (MeterChange(0.0, Meter(4, 4)), MeterChange(2.0, Meter(3, 4)))


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([on(0), on(480), off(480)], [(0.0, 1.0), (1.0, 1.0)]),  # struck again while it sounds
        ([on(0), on(480), off(0), off(480)], [(0.0, 1.0), (1.0, 1.0)]),  # on before off
        ([on(0), off(480), on(0), off(480)], [(0.0, 1.0), (1.0, 1.0)]),  # off before on
        ([on(480), off(0), off(480)], [(1.0, 1 / 480)]),  # of no length
        ([on(480)], [(1.0, 1 / 480)]),  # never ends, and the track does at once
        ([on(0), off(480, 61)], [(0.0, 1.0)]),  # never ends
        ([off(0), off(480)], []),  # never begins
        ([on(0), on(0), off(480), off(480)], [(0.0, 1.0)]),  # struck twice
    ],
)
def test_untidy_notes_are_read_as_they_sound(
    tmp_path: Path, events: list[mido.Message], expected: list[tuple[float, float]]
) -> None:
    score = read_midi(saved(tmp_path / "a.mid", events))
    assert [(note.onset_beats, note.duration_beats) for note in score.notes] == expected


def test_the_pedal_is_down_while_any_channel_holds_it(tmp_path: Path) -> None:
    left = [pedal(0, 127), pedal(480, 0), pedal(0, 127), pedal(480, 0), pedal(0, 0)]
    right = [pedal(720, 64, channel=1), pedal(10, 90, channel=1), pedal(710, 63, channel=1)]
    held_to_the_end = [pedal(1920, 100, channel=2), on(0), off(480), pedal(0, 5, channel=3)]
    score = read_midi(saved(tmp_path / "a.mid", left, right, held_to_the_end))
    assert score.pedals == (Pedal(0.0, 1.0), Pedal(1.0, 2.0), Pedal(4.0, 1.0))


def refused(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read_midi(path)
    message = str(error.value)
    assert "\n" not in message
    return message


def assert_read_or_refused(path: Path) -> None:
    said = ""
    try:
        midi_bytes(read_midi(path))
    except InputError as error:
        said = str(error)
    assert "\n" not in said


def test_files_that_are_no_music_in_beats_are_refused_in_one_line(tmp_path: Path) -> None:
    good = midi_bytes(Score(notes=(Note(0.0, 60, 1.0),)))
    assert "no such file" in refused(tmp_path / "missing.mid")
    for name, data, words in [
        ("empty", b"", "is empty"),
        ("text", b"These are words, not music.", "not a MIDI file"),
        ("smpte", good[:12] + b"\xe7\x28" + good[14:], "time code"),
        ("zero", good[:12] + b"\x00\x00" + good[14:], "time code"),
        ("type2", good[:9] + b"\x02" + good[10:], "type 2"),
        ("cut", good[:-9], "cut-off"),
        ("tempo", good.replace(b"\xff\x51\x03\x07\xa1\x20", b"\xff\x51\x03\0\0\0"), "a tempo of 0"),
        ("meter", good.replace(b"\xff\x58\x04\x04\x02", b"\xff\x58\x04\x04\x09"), "no meter"),
    ]:
        path = tmp_path / f"{name}.mid"
        path.write_bytes(data)
        assert words in refused(path)


@given(st.data())
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_bytes_raise_anything_but_an_input_error(tmp_path: Path, data: st.DataObject) -> None:
    song = bytearray(
        midi_bytes(Score(notes=(Note(0.0, 60, 1.0), Note(2.0, 64, 1.0)), pedals=(Pedal(0.0, 2.0),)))
    )
    for _ in range(data.draw(st.integers(0, 6))):
        at = data.draw(st.integers(0, len(song) - 1))
        song[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    path = tmp_path / "a.mid"
    path.write_bytes(data.draw(st.just(bytes(song)) | st.binary(max_size=60)))
    assert_read_or_refused(path)


@given(st.binary(max_size=80))
@example(b"\xff" * 79)
@example(b"\0\xff\x59\x02\x03\x80")  # a key signature of no mode
@example(b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x90\x40\x40")
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_track_is_read_or_refused(tmp_path: Path, events: bytes) -> None:
    header = b"MThd\0\0\0\x06\0\x01\0\x01\x01\xe0MTrk" + len(events).to_bytes(4, "big")
    path = tmp_path / "a.mid"
    path.write_bytes(header + events)
    assert_read_or_refused(path)
