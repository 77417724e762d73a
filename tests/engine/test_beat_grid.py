"""What a BeatGrid promises: inverse maps, bars, windows that tile, a timeline that stays true."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidekeys_engine.bars import split_bar
from sidekeys_engine.beat_grid import MAX_BPM, MIN_BPM, BeatGrid, Cut, Window, pulse_beats
from sidekeys_engine.errors import InputError
from sidekeys_engine.grid_files import parse_meter
from sidekeys_engine.notes import Meter, MeterChange, TempoChange
from sidekeys_engine.timeline import timeline

METERS = [Meter(*m) for m in [(4, 4), (3, 4), (2, 4), (1, 4), (6, 8), (5, 4), (7, 8), (9, 8)]]
METERS += [Meter(12, 8), Meter(3, 8), Meter(7, 4), Meter(2, 2), Meter(13, 8), Meter(5, 16)]


@st.composite
def grids(draw: st.DrawFn, slowest: float = 40.0, fastest: float = 240.0) -> BeatGrid:
    """Tempo maps with a tempo for every beat or every few, and a few meters, cut bars included."""
    tempos = draw(st.lists(st.floats(slowest, fastest), min_size=1, max_size=30))
    step = draw(st.sampled_from([0.5, 1.0, 1.5, 4.0]))
    origin = draw(st.integers(-40, 40)) * 0.5
    beats = np.array([origin + step * n for n in range(len(tempos) + 1)])
    start = draw(st.floats(-20.0, 20.0))
    seconds = np.cumsum([start, *(60 * step / tempo for tempo in tempos)])
    onset = draw(st.integers(-20, 20)) * 0.5
    changes = []
    for meter in draw(st.lists(st.sampled_from(METERS), min_size=1, max_size=4)):
        changes.append(MeterChange(onset, meter))
        onset += draw(st.integers(1, 40)) * 0.5
    return BeatGrid(beats, seconds, tuple(changes))


# ------------------------------------------------------------------------------ the two maps


@given(grids(), st.lists(st.floats(-500, 500), min_size=1, max_size=20))
def test_seconds_and_beats_are_inverse_inside_and_beyond(grid: BeatGrid, at: list[float]) -> None:
    beats = np.array(at)
    assert np.allclose(grid.beats_at(grid.seconds_at(beats)), beats, rtol=0, atol=1e-9)
    assert np.allclose(grid.seconds_at(grid.beats_at(beats)), beats, rtol=0, atol=1e-9)
    order = np.sort(np.unique(beats))
    assert (np.diff(grid.seconds_at(order)) >= 0).all()
    assert np.array_equal(grid.seconds_at(grid.beats), grid.seconds)


def test_a_float_gives_a_float_and_an_array_an_array() -> None:
    grid = BeatGrid.from_tempo(120, first_beat_seconds=0.25)
    assert isinstance(grid.seconds_at(2.0), float)
    assert grid.seconds_at(2.0) == 1.25
    assert grid.beats_at(-0.25) == -1.0
    assert grid.beats_at(np.array([0.25, 100.25])).tolist() == [0.0, 200.0]


def test_one_badly_tracked_beat_at_an_end_does_not_bend_what_lies_beyond() -> None:
    times = np.arange(1, 40) * 0.5
    times[0] += 0.06
    times[-1] -= 0.06
    grid = BeatGrid.from_beat_times(times)
    assert grid.seconds_at(-20.0) == pytest.approx(times[0] - 10.0)
    assert grid.tempo_bpm_at(-20.0) == pytest.approx(120.0)
    assert grid.seconds_at(58.0) == pytest.approx(times[-1] + 10.0)


def test_the_tempo_is_that_of_the_beat_that_begins() -> None:
    grid = BeatGrid(np.array([0.0, 4.0, 8.0]), np.array([0.0, 2.0, 6.0]))
    tempos = [grid.tempo_bpm_at(beats) for beats in (0.0, 3.99, 4.0, 7.0, 100.0)]
    assert tempos == pytest.approx([120, 120, 60, 60, 60])


def test_grids_are_values() -> None:
    times = np.arange(8) * 0.5
    grid = BeatGrid.from_beat_times(times)
    same = BeatGrid.from_beat_times(times.copy())
    assert grid == same
    assert hash(grid) == hash(same)
    assert grid != BeatGrid(grid.beats, grid.seconds + 0.1, grid.meters)
    assert grid != BeatGrid.from_beat_times(times, meter=Meter(3, 4))
    assert grid != "grid"
    assert repr(grid) == "<BeatGrid: 8 beats, 0.000 s to 3.500 s, 120.0 bpm, 4/4>"
    times[0] = -9.0
    assert grid == same
    with pytest.raises(ValueError, match="read-only"):
        grid.seconds[0] = 1.0


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([], "at least two beats, not 0.*--bpm"),
        ([1.0], "at least two beats, not 1.*--bpm"),
        ([0.0, math.nan, 1.0], "beat 2 .* no finite number"),
        ([0.0, math.inf], "beat 2 .* no finite number"),
        ([0.0, 1.0, 0.9], "does not come after"),
        ([0.0, 1.0, 1.0], "does not come after"),
        ([0.0, 0.5, 0.51], r"6000 bpm.*--bpm"),
        ([0.0, 7.0], r"8\.57\d bpm"),
    ],
)
def test_beats_that_make_no_grid_are_refused_in_words(times: list[float], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        BeatGrid.from_beat_times(times)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bpm", [0, -5, 9.9, 10000, math.nan, math.inf])
def test_a_tempo_nobody_plays_at_is_refused(bpm: float) -> None:
    with pytest.raises(InputError, match=r"bpm is no tempo.* 10 to 1000"):
        BeatGrid.from_tempo(bpm)


def test_a_first_beat_that_is_no_time_is_refused() -> None:
    with pytest.raises(InputError, match="time in seconds"):
        BeatGrid.from_tempo(120, first_beat_seconds=math.nan)


@pytest.mark.parametrize("meter", [Meter(4, 4), Meter(3, 4), Meter(5, 4), Meter(6, 8)], ids=str)
def test_windows_that_overlap_keep_every_beat_once(meter: Meter) -> None:
    grid = BeatGrid.from_tempo(120, meter=meter)
    windows = grid.windows(0.0, 30.0, cut=Cut(2.0, 1.0))
    kept = [(w.start_beats + w.skipped_beats, w.start_beats + w.kept_beats) for w in windows]
    assert kept[0][0] == 0.0
    assert all(end == start for (_, end), (start, _) in itertools.pairwise(kept))
    assert all(w.length_beats == 4 and w.skipped_beats == 1 for w in windows)
    assert all(1 < w.kept_beats <= 3 for w in windows)


def test_misuse_raises_value_error() -> None:
    two = np.array([0.0, 1.0])
    with pytest.raises(ValueError, match="differ"):
        BeatGrid(two, np.array([0.0, 1.0, 2.0]))
    with pytest.raises(ValueError, match="must increase"):
        BeatGrid(two[::-1], two)
    with pytest.raises(ValueError, match="need a meter"):
        BeatGrid(two, two, ())
    with pytest.raises(ValueError, match="follow one another"):
        BeatGrid(two, two, (MeterChange(4.0, Meter()), MeterChange(4.0, Meter(3, 4))))
    with pytest.raises(ValueError, match="not among"):
        BeatGrid.from_beat_times(two, first_downbeat=2)
    grid = BeatGrid.from_tempo(120)
    with pytest.raises(ValueError, match="before it starts"):
        grid.windows(2.0, 1.0)
    with pytest.raises(ValueError, match="finite region"):
        grid.windows(0.0, math.inf)
    with pytest.raises(ValueError, match="keeps no"):
        grid.windows(0.0, 1.0, window_beats=0)
    with pytest.raises(ValueError, match="keeps no 4 beats"):
        grid.windows(0.0, 1.0, cut=Cut(4.0, 1.0))
    with pytest.raises(ValueError, match="does not end"):
        timeline(grid, -1.0)
    with pytest.raises(ValueError, match="finite stretch"):
        grid.bar_lines(0.0, math.inf)


# --------------------------------------------------------------------------- constructors


def test_tracked_beats_count_from_the_first_downbeat() -> None:
    grid = BeatGrid.from_beat_times([0.5, 1.0, 1.5, 2.0, 2.5], first_downbeat=2)
    assert grid.beats.tolist() == [-2, -1, 0, 1, 2]
    assert grid.bar_number(0.0) == 1
    assert grid.bar_number(-0.5) == 0


@pytest.mark.parametrize(
    ("meter", "interval", "expected"),
    [
        (Meter(6, 8), 1.0, 1.5),
        (Meter(6, 8), 1 / 3, 0.5),
        (Meter(12, 8), 0.9, 1.5),
        (Meter(9, 8), 0.2, 0.5),
        (Meter(7, 8), 0.5, 1.0),
        (Meter(7, 8), 0.25, 0.5),
        (Meter(4, 4), 0.3, 1.0),
        (Meter(2, 2), 0.5, 1.0),
        (Meter(6, 16), 1.0, 0.75),
    ],
)
def test_a_pulse_is_as_long_as_the_meter_says(
    meter: Meter, interval: float, expected: float
) -> None:
    grid = BeatGrid.from_beat_times(np.arange(12) * interval, meter=meter)
    assert np.allclose(np.diff(grid.beats), expected)
    assert pulse_beats(meter, 60 / interval) == expected


@pytest.mark.parametrize("bpm", [MIN_BPM, 60.0, 133.33, MAX_BPM])
def test_a_steady_tempo_stays_exact_for_hours(bpm: float) -> None:
    grid = BeatGrid.from_tempo(bpm, first_beat_seconds=1.25, meter=Meter(3, 4))
    assert grid.seconds_at(30_000.0) == pytest.approx(1.25 + 30_000 * 60 / bpm, abs=1e-7)
    assert grid.meter_at(5.0) == Meter(3, 4)


def _midi(path: Path, events: list[tuple[int, str, dict[str, int]]], **settings: int) -> Path:
    file = mido.MidiFile(**{"ticks_per_beat": 480, **settings})
    track = mido.MidiTrack()
    now = 0
    for tick, kind, values in events:
        track.append(mido.MetaMessage(kind, time=tick - now, **values))
        now = tick
    file.tracks.append(track)
    file.save(path)
    return path


def test_a_midi_file_gives_its_tempo_map_and_meters(tmp_path: Path) -> None:
    path = _midi(
        tmp_path / "map.mid",
        [
            (0, "set_tempo", {"tempo": 500_000}),
            (0, "time_signature", {"numerator": 3, "denominator": 4}),
            (1440, "time_signature", {"numerator": 3, "denominator": 4}),
            (2880, "set_tempo", {"tempo": 1_000_000}),
            (2880, "time_signature", {"numerator": 6, "denominator": 8}),
        ],
    )
    grid = BeatGrid.from_midi_file(path)
    assert grid.seconds_at(np.array([-2.0, 0.0, 6.0, 8.0, 100.0])) == pytest.approx(
        [-1.0, 0.0, 3.0, 5.0, 97.0]
    )
    assert grid.meters == (MeterChange(0.0, Meter(3, 4)), MeterChange(6.0, Meter(6, 8)))
    anchored, tempos, meters = timeline(grid, 60.0)
    assert tempos == (TempoChange(0.0, 120.0), TempoChange(6.0, 60.0))
    assert meters == grid.meters
    assert anchored.beats_at(5.0) == pytest.approx(8.0)
    assert BeatGrid.from_file(path) == grid


def test_a_midi_file_without_tempo_or_meter_has_the_default_ones(tmp_path: Path) -> None:
    grid = BeatGrid.from_midi_file(_midi(tmp_path / "plain.midi", []))
    assert grid.seconds_at(8.0) == 4.0
    assert grid.meters == (MeterChange(0.0, Meter(4, 4)),)


def _smpte(data: bytes) -> bytes:
    return data[:12] + bytes([0xE7, 0x28]) + data[14:]


def test_midi_files_that_give_no_beats_are_refused_in_words(tmp_path: Path) -> None:
    good = _midi(tmp_path / "good.mid", [(0, "set_tempo", {"tempo": 500_000})]).read_bytes()
    cases = {
        "smpte.mid": (_smpte(good), "SMPTE"),
        "cut.mid": (good[:-6], "no readable MIDI"),
        "empty.mid": (b"", "is empty"),
        "text.mid": (b"hello", "no readable MIDI"),
        "songs.mid": (good[:9] + b"\x02" + good[10:], "type 2"),
        "zero.mid": (good.replace(b"\x07\xa1\x20", b"\0\0\0"), "zero length"),
        "fast.mid": (good.replace(b"\x07\xa1\x20", b"\0\0\x09"), "bpm"),
    }
    for name, (data, words) in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(InputError, match=words) as caught:
            BeatGrid.from_file(path)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_midi_reader_fail_otherwise(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.mid"
    path.write_bytes(b"MThd\0\0\0\x06\0\x01\0\x01\0\x60MTrk\0\0\0\x40" + data)
    with contextlib.suppress(InputError):
        BeatGrid.from_file(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plain.txt", "0.5\n1.0\n1.5\n2.0\n"),
        ("comments.beats", "# made by hand\n\n0.5 # first\n1.0\n1.5\n2.0"),
        ("windows.txt", "\ufeff0.5\r\n1.0\r\n1.5\r\n2.0\r\n"),
        ("sheet.csv", "time\n0.5,\n1.0\n1.5\n2.0\n"),
        ("beats.json", '{"beats": [0.5, 1, 1.5, 2.0]}'),
    ],
)
def test_lists_of_beat_times_are_read(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    assert BeatGrid.from_file(path) == BeatGrid.from_beat_times([0.5, 1.0, 1.5, 2.0])


@pytest.mark.parametrize("separator", [" ", "\t", ",", ";", " , "])
def test_numbered_beats_give_downbeats_and_meters(tmp_path: Path, separator: str) -> None:
    numbers = [3, 4, 1, 2, 3, 4, 1, 2, 3, 1, 2, 3, 1, 2]
    lines = [f"{0.5 * i + 0.1:.3f}{separator}{n}" for i, n in enumerate(numbers)]
    path = tmp_path / "song.beats"
    path.write_text("\n".join(lines))
    grid = BeatGrid.from_file(path)
    assert grid.beats[0] == -2.0
    assert grid.meters == (MeterChange(0.0, Meter(4, 4)), MeterChange(4.0, Meter(3, 4)))
    assert grid.seconds_at(0.0) == pytest.approx(1.1)
    waltz = BeatGrid.from_file(path, meter=Meter(3, 4))
    assert waltz.meters == (MeterChange(0.0, Meter(3, 4)),)
    assert waltz.seconds_at(0.0) == pytest.approx(3.1)  # the phase most downbeats agree on


def test_a_single_marked_downbeat_counts_the_bar_to_its_highest_number(tmp_path: Path) -> None:
    path = tmp_path / "short.beats"
    path.write_text("0 2\n0.5 3\n1 1\n1.5 2\n")
    grid = BeatGrid.from_file(path)
    assert grid.beats.tolist() == [-2, -1, 0, 1]
    assert grid.meters == (MeterChange(0.0, Meter(3, 4)),)


def test_json_tells_downbeats_and_meter(tmp_path: Path) -> None:
    path = tmp_path / "song.json"
    beats = [i / 3 for i in range(20)]
    path.write_text(json.dumps({"beats": beats, "downbeats": [2 / 3, 8 / 3], "meter": "6/8"}))
    grid = BeatGrid.from_file(path)
    assert grid.beats[:3].tolist() == [-1.0, -0.5, 0.0]
    assert grid.meters == (MeterChange(0.0, Meter(6, 8)),)
    path.write_text(json.dumps({"beats": beats, "downbeats": [2 / 3, 8 / 3]}))
    assert BeatGrid.from_file(path).meters == (MeterChange(0.0, Meter(6, 4)),)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.txt", "0.5\nabc\n", "line 2.*'abc' is no number"),
        ("a.txt", "0.5\nnan\n", "line 2"),
        ("a.txt", "0.5\n\n0.4\n", "line 3.*does not come after"),
        ("a.txt", "0.5\n0.501\n", "line 2.*no tempo"),
        ("a.txt", "0.5\n60\n", "line 2.*no tempo"),
        ("a.txt", "0.5 1\n1.0\n", "line 2.*every line or on none"),
        ("a.txt", "0.5\n1.0 1\n", "line 2.*every line or on none"),
        ("a.txt", "0.5 1\n1.0 3\n", "line 2.*a beat is missing"),
        ("a.txt", "0.5 1\n1.0 1.5\n", "line 2.*no beat of a bar"),
        ("a.txt", "0.5 1\n1.0 0\n", "line 2.*no beat of a bar"),
        ("a.txt", "0.5 1 2\n", "line 1.*3 columns"),
        ("a.txt", "0.5 2\n1.0 3\n", "no beat is numbered 1"),
        ("a.txt", "# none\n", "0 beats.*--bpm"),
        ("a.txt", "0.5\n", "1 beats.*--bpm"),
        ("a.txt", "\x000.5", "line 1"),
        ("a.txt", "0.0\n8.0\n", "7.5 bpm"),
        ("a.csv", "time,beat\ntime,beat\n", "line 2"),
        ("a.json", "{", "line 1.*no valid JSON"),
        ("a.json", "[" * 100_000, "no valid JSON"),
        ("a.json", "[1, 2]", "give an object"),
        ("a.json", '{"beats": 3}', "list of times"),
        ("a.json", '{"beats": [1, "x"]}', "item 2.*no number"),
        ("a.json", '{"beats": [true, 2]}', "item 1.*no number"),
        ("a.json", '{"beats": [1, NaN]}', "item 2.*no number"),
        ("a.json", '{"beats": [2, 1]}', "beat 2.*does not come after"),
        ("a.json", '{"beats": [1, 2], "meter": "4"}', "is no meter"),
        ("a.json", '{"beats": [1, 2], "meter": "4/0"}', "no meter"),
        ("a.json", '{"beats": [1, 2], "meter": 4}', "text like"),
        ("a.json", '{"beats": [1, 2], "downbeats": [1.5]}', "not among"),
        ("a.json", '{"beats": [1, 2], "downbeats": [2, 1]}', "does not follow"),
        ("a.wav", "0.5\n1.0\n", "ending in one of"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(
    tmp_path: Path, name: str, text: str, words: str
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        BeatGrid.from_file(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        BeatGrid.from_file(tmp_path / "gone.txt")
    (tmp_path / "folder.txt").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        BeatGrid.from_file(tmp_path / "folder.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="no text file"):
        BeatGrid.from_file(tmp_path / "binary.txt")


@given(st.text(max_size=60), st.sampled_from(["txt", "csv", "json"]))
def test_no_text_makes_the_reader_fail_otherwise(
    tmp_path_factory: pytest.TempPathFactory, text: str, kind: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzz.{kind}"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(InputError):
        BeatGrid.from_file(path)


# ------------------------------------------------------------------------------------- bars


@given(grids(), st.integers(-30, 30), st.floats(-100, 100))
def test_bar_numbers_and_bar_lines_agree(grid: BeatGrid, number: int, beats: float) -> None:
    assert grid.bar_number(grid.bar_start(number)) == number
    assert grid.bar_start(number) < grid.bar_start(number + 1)
    at = grid.bar_number(beats)
    assert grid.bar_start(at) - 1e-5 <= beats <= grid.bar_start(at + 1)
    lines = grid.bar_lines(beats, beats + 40)
    assert ((lines >= beats) & (lines < beats + 40)).all()
    numbers = [grid.bar_number(line) for line in lines]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
    assert {change.onset_beats for change in grid.meters} <= set(grid.bar_lines(-100, 100))
    assert grid.bar_start(1) == grid.meters[0].onset_beats


def test_bars_follow_the_meters_and_go_on_before_the_first() -> None:
    meters = (
        MeterChange(2.0, Meter(3, 4)),
        MeterChange(8.0, Meter(4, 4)),
        MeterChange(14.0, Meter(6, 8)),
    )
    grid = BeatGrid(np.array([0.0, 1.0]), np.array([0.0, 0.5]), meters)
    assert grid.bar_lines(-4.0, 20.0).tolist() == [-4, -1, 2, 5, 8, 12, 14, 17]
    assert grid.bar_lines(3.0, 5.0).tolist() == []
    assert grid.bar_lines(5.0, 5.0).tolist() == []
    assert [grid.bar_number(b) for b in (-4.0, -0.5, 2.0, 13.9, 14.0)] == [-1, 0, 1, 4, 5]
    assert grid.meter_at(-50.0) == Meter(3, 4)
    assert grid.meter_at(7.99) == Meter(3, 4)
    assert grid.meter_at(8.0) == Meter(4, 4)


# -------------------------------------------------------------------------- half and double


def test_half_tempo_keeps_every_second_beat_with_the_downbeat() -> None:
    times = np.arange(33) * 0.25
    grid = BeatGrid.from_beat_times(times, first_downbeat=3)
    half = grid.halved()
    assert half.seconds.tolist() == times[1::2].tolist()
    assert half.seconds_at(0.0) == grid.seconds_at(0.0) == times[3]
    assert half.tempo_bpm_at(0.0) == pytest.approx(120.0)
    assert half.bar_lines(0.0, 9.0).tolist() == [0.0, 4.0, 8.0]


def test_double_tempo_puts_a_beat_between_every_two() -> None:
    grid = BeatGrid.from_beat_times([0.0, 1.0, 2.2], first_downbeat=1, meter=Meter(3, 4))
    double = grid.doubled()
    assert double.seconds == pytest.approx([0.0, 0.5, 1.0, 1.6, 2.2])
    assert double.beats.tolist() == [-2, -1, 0, 1, 2]
    assert double.seconds_at(0.0) == 1.0


@given(grids())
def test_half_tempo_undoes_double_tempo(grid: BeatGrid) -> None:
    again = grid.doubled().halved()
    assert again.beats_at(grid.seconds) == pytest.approx(grid.beats, abs=1e-6)
    assert again.meters == grid.meters


def test_a_doubled_tempo_beyond_the_limits_is_refused() -> None:
    with pytest.raises(InputError, match="1600 bpm"):
        BeatGrid.from_tempo(800).doubled()
    with pytest.raises(InputError, match=r"7\.5 bpm"):
        BeatGrid.from_tempo(15).halved()


def test_a_steady_grid_halves_and_doubles_as_if_made_so() -> None:
    grid = BeatGrid.from_tempo(120, first_beat_seconds=0.7)
    at = np.linspace(-10, 100, 23)
    for made, bpm in ((grid.halved(), 60.0), (grid.doubled(), 240.0)):
        expected = BeatGrid.from_tempo(bpm, first_beat_seconds=0.7)
        assert np.allclose(made.seconds_at(at), expected.seconds_at(at))


# ---------------------------------------------------------------------------------- windows


def _kept(meter: Meter, *, bars: int = 4, window_beats: float = 4.0) -> list[float]:
    grid = BeatGrid.from_tempo(120, first_beat_seconds=0.0, meter=meter)
    end = grid.seconds_at(bars * meter.beats_per_bar)
    return [window.kept_beats for window in grid.windows(0.0, end, window_beats=window_beats)]


@pytest.mark.parametrize(
    ("meter", "kept"),
    [
        (Meter(4, 4), [4, 4, 4, 4]),
        (Meter(3, 4), [3, 3, 3, 3]),
        (Meter(6, 8), [3, 3, 3, 3]),
        (Meter(2, 4), [4, 4]),
        (Meter(1, 4), [4]),
        (Meter(2, 2), [4, 4, 4, 4]),
        (Meter(5, 4), [3, 2] * 4),
        (Meter(12, 8), [3, 3] * 4),
        (Meter(9, 8), [3, 1.5] * 4),
        (Meter(7, 8), [3.5] * 4),
        (Meter(7, 4), [4, 3] * 4),
        (Meter(6, 4), [3, 3] * 4),
        (Meter(3, 8), [3, 3]),
        (Meter(4, 2), [4, 4] * 4),
    ],
)
def test_windows_keep_bars_or_even_splits_of_them(meter: Meter, kept: list[float]) -> None:
    assert _kept(meter) == kept


@pytest.mark.parametrize("window_beats", [0.3, 0.5, 1.0, 2.0, 3.0, 4.0, 8.0])
@pytest.mark.parametrize("meter", [*METERS, Meter(61, 16), Meter(64, 1), Meter(31, 16)])
def test_splits_fill_the_bar_and_fit_the_window(meter: Meter, window_beats: float) -> None:
    parts = split_bar(meter.beats_per_bar, meter, window_beats)
    assert sum(parts) == pytest.approx(meter.beats_per_bar)
    assert all(0 < part <= window_beats + 1e-6 for part in parts)


@given(grids(), st.floats(-60, 60), st.floats(0.0, 60), st.sampled_from([1.0, 2.0, 4.0, 8.0]))
def test_windows_tile_the_region_and_respect_the_meters(
    grid: BeatGrid, start: float, length: float, window_beats: float
) -> None:
    windows = grid.windows(start, start + length, window_beats=window_beats)
    if length > 0.003:
        assert windows
    changes = [change.onset_beats for change in grid.meters[1:]]
    for window in windows:
        assert window.length_beats == window_beats
        assert 0 < window.kept_beats <= window_beats + 1e-6
        end = window.start_beats + window.kept_beats
        assert not any(window.start_beats + 1e-5 < change < end - 1e-5 for change in changes)
        meter = grid.meter_at(window.start_beats)
        if meter.beats_per_bar <= window_beats:
            bar = grid.bar_start(grid.bar_number(window.start_beats))
            assert window.start_beats == pytest.approx(bar, abs=1e-9)
    for before, after in itertools.pairwise(windows):
        assert before.start_beats + before.kept_beats == pytest.approx(after.start_beats, abs=1e-9)
    if windows:
        last = windows[-1]
        assert grid.seconds_at(windows[0].start_beats) <= start + 0.0011
        assert grid.seconds_at(last.start_beats + last.kept_beats) >= start + length - 0.0011


@pytest.mark.parametrize("nudge", [-9e-4, 0.0, 9e-4])
@pytest.mark.parametrize("meter", [Meter(4, 4), Meter(2, 4), Meter(6, 8), Meter(12, 8)])
def test_a_region_on_a_bar_gets_its_first_window_there(meter: Meter, nudge: float) -> None:
    grid = BeatGrid.from_tempo(97.3, first_beat_seconds=0.31, meter=meter)
    bar = grid.bar_start(4)
    seconds = grid.seconds_at(bar) + nudge
    windows = grid.windows(seconds, seconds + 5.0)
    assert windows[0].start_beats == pytest.approx(bar)
    end = grid.seconds_at(grid.bar_start(7)) + nudge
    last = grid.windows(seconds, end)[-1]
    assert last.start_beats + last.kept_beats == pytest.approx(grid.bar_start(7))


def test_windows_cover_the_audio_before_the_first_and_after_the_last_beat() -> None:
    grid = BeatGrid.from_beat_times(3.3 + 0.5 * np.arange(9))
    windows = grid.windows(0.0, 12.0)
    assert [window.start_beats for window in windows] == [-8, -4, 0, 4, 8, 12, 16]
    assert windows[0] == Window(-8.0, 4.0, 4.0)
    assert grid.windows(1.0, 1.0) == ()


def test_a_meter_change_inside_a_bar_cuts_its_window() -> None:
    meters = (MeterChange(0.0, Meter(4, 4)), MeterChange(6.0, Meter(2, 4)))
    grid = BeatGrid(np.array([0.0, 1.0]), np.array([0.0, 1.0]), meters)
    kept = [(window.start_beats, window.kept_beats) for window in grid.windows(0.0, 12.0)]
    assert kept == [(0, 4), (4, 2), (6, 4), (10, 2)]  # the last bar alone: the region ends


def test_step_positions_divide_what_is_heard() -> None:
    steps = Window(3.0, 4.0, 3.0).step_positions(8)
    assert steps.tolist() == [3.0, 3.5, 4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0]


# --------------------------------------------------------------------------------- timeline


def _played_seconds(tempos: tuple[TempoChange, ...], beats: np.ndarray) -> np.ndarray:
    """When a MIDI player is at ``beats``: whole microseconds, changes at ticks of 1/480."""
    ticks = np.array([round(tempo.onset_beats * 480) for tempo in tempos]) / 480
    pace = np.array([mido.bpm2tempo(tempo.bpm) for tempo in tempos]) / 1e6
    starts = np.concatenate([[0.0], np.cumsum(np.diff(ticks) * pace[:-1])])
    at = np.maximum(0, np.searchsorted(ticks, beats, side="right") - 1)
    return starts[at] + (beats - ticks[at]) * pace[at]


@given(grids(), st.floats(0.1, 120.0))
def test_the_midi_timeline_sounds_when_the_grid_does(grid: BeatGrid, end: float) -> None:
    anchored, tempos, meters = timeline(grid, end)
    assert tempos[0].onset_beats == meters[0].onset_beats == 0.0
    assert anchored.seconds_at(0.0) == 0.0
    ticks = np.arange(0, math.floor(anchored.beats_at(end) * 480), 97) / 480
    assert np.abs(_played_seconds(tempos, ticks) - anchored.seconds_at(ticks)).max(initial=0) < 1e-3
    assert all(a.bpm != b.bpm for a, b in itertools.pairwise(tempos))
    assert all(tempo.bpm == 60e6 / round(60e6 / tempo.bpm) for tempo in tempos)
    assert all(MIN_BPM * 0.99 < tempo.bpm < MAX_BPM * 1.01 for tempo in tempos)


@given(grids(), st.floats(5.0, 60.0))
def test_bar_lines_of_the_grid_are_bar_lines_of_the_file(grid: BeatGrid, end: float) -> None:
    anchored, _, meters = timeline(grid, end)
    lines = grid.bar_lines(grid.beats_at(0.0), grid.beats_at(end))
    file = BeatGrid(
        anchored.beats, anchored.seconds, meters
    )  # bars as the file's changes make them
    for line in lines:
        mapped = anchored.beats_at(grid.seconds_at(line))
        nearest = file.bar_start(file.bar_number(mapped + 0.05))
        off_seconds = abs(file.seconds_at(nearest) - grid.seconds_at(line))
        assert off_seconds < (0.009 if line == lines[0] else 1e-6)
    for before, after in itertools.pairwise(meters):  # no bar is cut in the file
        bars = (after.onset_beats - before.onset_beats) / before.meter.beats_per_bar
        assert bars == pytest.approx(round(bars), abs=1e-6)


@pytest.mark.parametrize(
    ("first_beat", "meter", "pickup", "expected"),
    [
        (0.0, Meter(4, 4), 0.0, Meter(4, 4)),
        (0.0009, Meter(4, 4), 0.0, Meter(4, 4)),
        (-0.0009, Meter(4, 4), 0.0, Meter(4, 4)),
        (0.005, Meter(4, 4), 0.0, Meter(4, 4)),
        (0.01, Meter(4, 4), 0.125, Meter(1, 32)),
        (0.5, Meter(4, 4), 1.0, Meter(1, 4)),
        (0.24, Meter(4, 4), 0.5, Meter(1, 8)),
        (0.19, Meter(4, 4), 0.375, Meter(3, 32)),
        (0.26, Meter(4, 4), 1.0, Meter(1, 4)),
        (0.74, Meter(4, 4), 1.0, Meter(1, 4)),
        (1.45, Meter(4, 4), 3.0, Meter(3, 4)),
        (0.6, Meter(6, 8), 1.0, Meter(1, 4)),
        (1.99, Meter(4, 4), 4.0, Meter(4, 4)),
        (0.75, Meter(6, 8), 1.5, Meter(3, 8)),
        (100.0, Meter(64, 1), 200.0, Meter(50, 1)),
    ],
)
def test_what_comes_before_the_first_bar_is_a_pickup_bar(
    first_beat: float, meter: Meter, pickup: float, expected: Meter
) -> None:
    grid = BeatGrid.from_tempo(120, first_beat_seconds=first_beat, meter=meter)
    anchored, tempos, meters = timeline(grid, first_beat + 30)
    assert meters[0].meter == expected
    assert anchored.beats_at(first_beat) == pytest.approx(pickup, abs=0.02)
    assert anchored.beats_at(first_beat + 1.0) == pytest.approx(pickup + 2.0)
    assert tempos[-1].bpm == 120.0
    if pickup and expected != meter:
        assert meters[1] == MeterChange(pickup, meter)
        assert anchored.seconds_at(pickup) == pytest.approx(first_beat)


@pytest.mark.parametrize(("first_beat", "upbeats"), [(1.45, [0.45, 0.95]), (1.2, [0.7])])
def test_upbeats_stand_where_they_sound(first_beat: float, upbeats: list[float]) -> None:
    anchored, tempos, _ = timeline(BeatGrid.from_tempo(120, first_beat_seconds=first_beat), 30)
    positions = np.arange(1, len(upbeats) + 1, dtype=np.float64)
    assert anchored.seconds_at(positions) == pytest.approx(upbeats)
    assert _played_seconds(tempos, positions) == pytest.approx(upbeats, abs=1e-4)


@pytest.mark.parametrize("bpm", [133.33, 97.123456, 119.999])
def test_hours_of_one_tempo_stay_within_a_millisecond_and_change_rarely(bpm: float) -> None:
    grid = BeatGrid.from_tempo(bpm, first_beat_seconds=0.4)
    anchored, tempos, _ = timeline(grid, 4 * 3600.0)
    beats = np.linspace(0, anchored.beats_at(4 * 3600.0), 2001)
    assert np.abs(_played_seconds(tempos, beats) - anchored.seconds_at(beats)).max() < 1e-3
    assert len(tempos) < 200
    assert max(abs(tempo.bpm - bpm) for tempo in tempos[1:]) < 1e-3


def test_steady_tracked_beats_give_one_tempo() -> None:
    grid = BeatGrid.from_beat_times(0.5 * np.arange(400))
    _, tempos, meters = timeline(grid, 199.0)
    assert tempos == (TempoChange(0.0, 120.0),)
    assert meters == (MeterChange(0.0, Meter(4, 4)),)


def test_a_bar_cut_short_gets_its_own_meter_in_the_file() -> None:
    meters = (MeterChange(0.0, Meter(4, 4)), MeterChange(6.5, Meter(3, 4)))
    grid = BeatGrid(np.array([0.0, 1.0]), np.array([0.0, 0.5]), meters)
    assert timeline(grid, 30.0)[2] == (
        MeterChange(0.0, Meter(4, 4)),
        MeterChange(4.0, Meter(5, 8)),
        MeterChange(6.5, Meter(3, 4)),
    )
    assert timeline(grid, 1.0)[2] == (MeterChange(0.0, Meter(4, 4)),)


@pytest.mark.parametrize(
    ("meter", "asked", "found"), [("4/4", 1.2, 1.0), ("3/4", 1.3, 1.5), ("6/8", 1.3, 1.25)]
)
def test_a_bar_line_can_be_put_on_the_nearest_beat(meter: str, asked: float, found: float) -> None:
    grid = BeatGrid.from_tempo(120, meter=parse_meter(meter)).with_bar_at(asked)
    assert grid.seconds_at(grid.bar_start(1)) == pytest.approx(found)
    assert grid.tempo_bpm_at(0.0) == pytest.approx(120)
    assert str(grid.meter_at(0.0)) == meter
