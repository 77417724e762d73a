from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter, MeterChange, Note, Pedal, Score, TempoChange
from sidekeys_engine.piano_roll import check_plot_path, plot_piano_roll


def picture(score: Score, tmp_path: Path, **options: object) -> np.ndarray:
    plot_piano_roll(score, tmp_path / "roll.png", **options)
    return imread(tmp_path / "roll.png")


def texts(score: Score, tmp_path: Path, **options: object) -> list[str]:
    """All text in the picture, in drawing order: an SVG names each string in a comment."""
    plot_piano_roll(score, tmp_path / "roll.svg", **options)
    svg = (tmp_path / "roll.svg").read_text(encoding="utf-8")
    return [part.split(" -->")[0] for part in svg.split("<!-- ")[1:]]


def colored(image: np.ndarray) -> np.ndarray:
    """Where notes are: their colors are the only saturated ones."""
    return image[..., :3].max(axis=-1) - image[..., :3].min(axis=-1) > 0.2


def bars(labels: list[str]) -> list[int]:
    return [int(label) for label in labels if label.isdecimal()]


def test_notes_lie_where_they_sound(tmp_path: Path):
    rows, columns = {}, {}
    for name, note in {
        "low": Note(1, 40, 1),
        "high": Note(1, 80, 1),
        "late": Note(13, 40, 1),
    }.items():
        frame = (Note(0, 30, 0.05, 1), Note(15.9, 90, 0.05, 1))  # one scale for all three
        image = picture(Score((*frame, note)), tmp_path)
        mask = colored(image)
        mask[:, : mask.shape[1] // 10] = False
        ys, xs = np.nonzero(mask)
        rows[name], columns[name] = np.median(ys), np.median(xs)
    assert rows["high"] < rows["low"] == pytest.approx(rows["late"], abs=3)
    assert columns["late"] - columns["low"] > 900
    assert columns["high"] == pytest.approx(columns["low"], abs=3)


def test_a_louder_note_has_a_stronger_color(tmp_path: Path):
    ink = [
        (1 - picture(Score((Note(0, 60, 4, velocity),)), tmp_path)[..., :3].min(axis=-1)).sum()
        for velocity in (20, 60, 100)
    ]
    assert ink == sorted(ink)
    assert ink[2] > 1.02 * ink[0]


def test_the_pedal_is_drawn(tmp_path: Path):
    notes = (Note(0, 60, 1),)
    without = picture(Score(notes), tmp_path)
    with_pedal = picture(Score(notes, pedals=(Pedal(0, 4),)), tmp_path)
    assert not np.array_equal(without, with_pedal)


def test_bars_octaves_and_seconds_are_labeled(tmp_path: Path):
    score = Score((Note(0, 60, 1), Note(31, 72, 1)), tempos=(TempoChange(0, 60),))
    labels = texts(score, tmp_path, title="A song")
    assert "A song" in labels
    assert bars(labels) == list(range(1, 9))
    assert {"C4", "C5", "0:00", "0:30"} <= set(labels)
    assert "0:35" not in labels


def test_the_axis_follows_the_clock_that_is_given(tmp_path: Path):
    score = Score((Note(0, 60, 32),))
    labels = texts(score, tmp_path, seconds_at=lambda beat: 100 + 2 * beat)
    assert "1:40" in labels
    assert "2:40" in labels
    assert "0:10" not in labels


def test_bar_lines_are_taken_as_given_and_go_on_to_the_end(tmp_path: Path):
    score = Score((Note(0.5, 60, 1), Note(20, 60, 2)))
    labels = texts(score, tmp_path, bar_lines=[2.0, 5.0, 8.0], first_bar=17)
    assert bars(labels) == [17, 18, 19, 20, 21, 22, 23]


def test_a_part_of_a_song_starts_at_its_own_bar(tmp_path: Path):
    score = Score((Note(40.5, 60, 1), Note(45, 62, 1)))
    options = {"bar_lines": [40.0, 44.0, 48.0], "first_bar": 11}
    assert bars(texts(score, tmp_path, start_beats=40.0, **options)) == [11, 12]
    earlier = texts(Score((Note(39, 60, 8),)), tmp_path, start_beats=40.0, **options)
    assert bars(earlier) == [11, 12]
    assert bars(texts(Score(), tmp_path, start_beats=40.0, **options)) == [11]


def test_meters_set_the_bars(tmp_path: Path):
    meters = (MeterChange(0, Meter(4, 4)), MeterChange(8, Meter(6, 8)))
    labels = texts(Score((Note(16.5, 60, 1),), meters=meters), tmp_path)
    assert bars(labels) == [1, 2, 3, 4, 5, 6]  # 4 + 4 + 3 + 3 + 3 + 3 quarter notes


def test_a_long_song_is_wrapped_into_lines(tmp_path: Path):
    heights = []
    for beats in (30, 120, 400):
        score = Score(tuple(Note(beat, 48 + beat % 24, 1) for beat in range(beats)))
        image = picture(score, tmp_path)
        heights.append(image.shape[0])
        assert image.shape[1] == 1820
    assert heights[0] < 500
    assert 3 < heights[1] / heights[0] < 4.5
    assert 9 < heights[2] / heights[0] < 14


def test_a_very_long_song_stays_a_picture(tmp_path: Path):
    score = Score((Note(0, 55, 1), Note(30000, 60, 1)))
    image = picture(score, tmp_path)
    assert max(image.shape) < 1 << 15
    assert colored(image).any()


def test_an_empty_score_gives_a_picture_that_says_so(tmp_path: Path):
    assert "no notes" in texts(Score(), tmp_path)
    assert not colored(picture(Score(), tmp_path)).any()
    assert "no notes" not in texts(Score((Note(0, 60, 1),)), tmp_path)


@pytest.mark.parametrize("pitch", [0, 127])
def test_the_ends_of_the_range_are_drawn(tmp_path: Path, pitch: int):
    assert colored(picture(Score((Note(0, pitch, 4),)), tmp_path)).any()


def test_a_note_before_beat_0_and_a_late_first_bar_are_drawn(tmp_path: Path):
    score = Score((Note(-1, 60, 1), Note(50, 60, 1)))
    assert bars(texts(score, tmp_path, bar_lines=[40.0, 44.0])) == [1, 2, 3]
    assert colored(picture(score, tmp_path, bar_lines=[40.0, 44.0])).any()


@pytest.mark.parametrize("title", ["$\\frac{a}{b}$ 100%", "日本の歌", "a_b ^ {c}"])
def test_any_title_is_plain_text(tmp_path: Path, title: str):
    assert title in texts(Score(), tmp_path, title=title)
    picture(Score(), tmp_path, title=title)


def test_the_same_score_gives_the_same_picture(tmp_path: Path):
    score = Score((Note(0, 60, 1), Note(1, 64, 1)))
    np.testing.assert_array_equal(picture(score, tmp_path), picture(score, tmp_path))


def test_pyplot_stays_untouched(tmp_path: Path):
    import subprocess
    import sys

    program = (
        "import sys; from sidekeys_engine.piano_roll import plot_piano_roll;"
        "from sidekeys_engine.notes import Score;"
        "assert 'matplotlib' not in sys.modules;"
        f"plot_piano_roll(Score(), {str(tmp_path / 'roll.png')!r});"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    path = {
        "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "engine"),
        "HOME": str(tmp_path),
    }
    subprocess.run([sys.executable, "-c", program], check=True, env=path)


def test_another_ending_is_refused_and_leaves_nothing(tmp_path: Path):
    for name in ("roll.bmp", "roll"):
        with pytest.raises(InputError, match=r"\.png, \.svg or \.pdf"):
            plot_piano_roll(Score(), tmp_path / name)
        with pytest.raises(InputError):
            check_plot_path(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    check_plot_path("ROLL.PNG")


def test_bar_lines_that_do_not_rise_are_refused_and_an_old_picture_stays(tmp_path: Path):
    target = tmp_path / "roll.png"
    target.write_bytes(b"old")
    for lines in ([0.0, 4.0, 4.0], [0.0, float("nan")]):
        with pytest.raises(ValueError, match="bar lines"):
            plot_piano_roll(Score(), target, bar_lines=lines)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
