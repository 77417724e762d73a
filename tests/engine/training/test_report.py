"""The tables name every system and composer, and the JSON beside them holds the same figures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from made_up_music import tiny_config, write_pop909
from sidekeys_engine.errors import InputError
from sidekeys_engine.network import Pop2PianoNetwork
from sidekeys_engine.pianist import Pianist
from sidekeys_engine.training.arranging import COMPOSERS
from sidekeys_engine.training.checkpoints import save_checkpoint
from sidekeys_engine.training.evaluate import COMPARED, Report
from sidekeys_engine.training.report import write_report

BASELINES = (
    "true triads on every beat",
    "true triads on change",
    "commonest pattern on true chords",
    "best pattern on true chords",
)
SYSTEMS = ("mine", *BASELINES)


@pytest.fixture(scope="module")
def pop909(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pop909(tmp_path_factory.mktemp("pop909"), "001", "010", "020", beats=100)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("report") / "new" / "folder"


@pytest.fixture(scope="module")
def report(pop909: Path, out: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """A checkpoint that has learned nothing, beside the baselines, on one song."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(Pop2PianoNetwork(tiny_config(composer_vocab_size=len(COMPOSERS))), folder)
    songs: list[str] = []
    report = write_report(
        {"mine": Pianist.from_pretrained(folder, device="cpu")},
        pop909,
        out,
        split="test",
        windows=16,
        songs=1,
        on_song=songs.append,
    )
    assert songs == ["010"]
    return report


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading, its two head lines left out."""
    lines = text.partition(f"## {heading}")[2].strip().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    table = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        table.append([cell.strip() for cell in line.strip("|").split("|")])
    return table


@pytest.mark.parametrize(
    ("heading", "composers"),
    [
        ("On the half-beat targets", COMPARED),
        ("On each composer's own targets, in sixteenths", tuple(COMPOSERS)),
    ],
)
def test_tables_have_every_system_and_composer(
    report: Report, out: Path, heading: str, composers: tuple[str, ...]
) -> None:
    head, line, *table = rows((out / "report.md").read_text(), heading)
    assert head[:3] == ["composer", "system", "onset F1"]
    assert {len(row) for row in (line, *table)} == {len(head)}
    assert [(row[0], row[1]) for row in table] == [(c, s) for c in composers for s in SYSTEMS]


def test_shares_are_in_percent_and_numbers_are_plain(report: Report, out: Path) -> None:
    heading = "On each composer's own targets, in sixteenths"
    head, _, *table = rows((out / "report.md").read_text(), heading)
    for composer, system, *cells in table:
        shown = dict(zip(head[2:], cells, strict=True))
        figures = report.sixteenths[system, composer].summary()
        assert float(shown["onset F1"]) == pytest.approx(100 * figures["onset_f1"], abs=0.06)
        assert float(shown["notes/s"]) == pytest.approx(figures["notes_per_second"], abs=0.006)
        correlation = figures["velocity_correlation_within"]
        if math.isnan(correlation):
            assert shown["within"] == "-"
        else:
            assert float(shown["within"]) == pytest.approx(correlation, abs=0.006)


def test_the_split_and_the_windows_are_told(report: Report, out: Path) -> None:
    text = (out / "report.md").read_text()
    assert text.startswith("# Figures on the test songs\n\n16 windows of four beats each")


def test_only_checkpoints_are_asked_whose_playing_it_is(report: Report, out: Path) -> None:
    text = (out / "report.md").read_text()
    assert text.count("## Whose playing is it?") == 1
    head, _, *table = rows(text, "Whose playing is it? mine")
    assert head == ["played as", *COMPOSERS, "excerpts"]
    assert [row[0] for row in table] == list(COMPOSERS)
    assert text.rstrip().endswith("%.")


def test_the_json_holds_every_figure(report: Report, out: Path) -> None:
    figures = json.loads((out / "report.json").read_text())
    assert figures.keys() == {"half_beats", "sixteenths"}
    assert figures["sixteenths"].keys() == {f"{s} / {c}" for s in SYSTEMS for c in COMPOSERS}
    for name, value in report.sixteenths["mine", "full"].summary().items():
        written = figures["sixteenths"]["mine / full"][name]
        assert written is None if math.isnan(value) else written == pytest.approx(value, abs=1e-5)
    assert {path.name for path in out.iterdir()} == {"report.md", "report.json"}


def test_fewer_windows_than_an_excerpt_leave_the_styles_out(pop909: Path, tmp_path: Path) -> None:
    write_report({}, pop909, tmp_path, split="test", windows=2, songs=2, on_song=lambda _: None)
    text = (tmp_path / "report.md").read_text()
    assert "4 windows of four beats" in text
    assert "Whose playing" not in text


def test_a_folder_without_the_songs_is_told_before_anything_is_written(tmp_path: Path) -> None:
    pop909 = write_pop909(tmp_path / "pop909", "001")
    for folder, said in ((pop909, "no test songs"), (tmp_path / "nowhere", "no train songs")):
        with pytest.raises(InputError, match=said):
            write_report(
                {},
                folder,
                tmp_path / "out",
                split="test",
                windows=2,
                songs=None,
                on_song=lambda _: None,
            )
    assert not (tmp_path / "out").exists()
