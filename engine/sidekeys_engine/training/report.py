"""The figures of checkpoints and baselines as tables, and as JSON beside them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

from sidekeys_engine.atomic_file import atomic_output
from sidekeys_engine.pianist import Pianist
from sidekeys_engine.training.arranging import COMPOSERS, STEPS_PER_BEAT
from sidekeys_engine.training.evaluate import (
    COMPARED,
    Player,
    Report,
    baseline_players,
    checkpoint_player,
    evaluate,
    held_out_songs,
    style_confusion,
    training_pieces,
)
from sidekeys_engine.training.instruments import Orchestra
from sidekeys_engine.training.metrics import Scores
from sidekeys_engine.training.rendering import WINDOW_BEATS
from sidekeys_engine.training.style import EXCERPT_BEATS

# Training songs that patterns and styles are fitted to: more change little and take time.
_PIECES = 60
_COLUMNS = {
    "onset F1": "onset_f1",
    "chroma F1": "chroma_f1",
    "melody": "melody_accuracy",
    "valid": "valid",
    "notes/window": "notes_per_window",
    "of target's": "notes_ratio",
    "notes/s": "notes_per_second",
}
_FINE_COLUMNS = {
    **_COLUMNS,
    "velocity r": "velocity_correlation",
    "within": "velocity_correlation_within",
    "playable": "playable",
    "struck again": "repeated_at_edge",
    "held F1": "held_over_f1",
}
_PLAIN = ("notes_per_window", "notes_ratio", "notes_per_second")


def write_report(
    pianists: Mapping[str, Pianist],
    pop909: Path,
    out: Path,
    *,
    split: str,
    windows: int,
    songs: int | None,
    on_song: Callable[[str], None],
) -> Report:
    """Evaluate checkpoints beside the baselines; write ``report.md`` and ``report.json``.

    Args:
        pianists: checkpoints by the name that the tables give them.
        pop909: the dataset's folder.
        out: the folder that gets both files.
        split: "test" or "validation".
        windows: how many of each song.
        songs: only so many songs.
        on_song: called with the name of each song that is done.

    Returns:
        What the files say.

    Raises:
        InputError: songs of the split or training songs are not there, or no instruments.
    """
    pieces = training_pieces(pop909, _PIECES)
    players: dict[str, tuple[Player, int]] = {
        name: (checkpoint_player(pianist), pianist.model.config.steps_per_beat)
        for name, pianist in pianists.items()
    }
    players |= baseline_players(pieces)
    with Orchestra.found() as orchestra:
        held_out = islice(held_out_songs(pop909, orchestra, split=split, windows=windows), songs)
        report = evaluate(held_out, players, on_song=on_song)
    text = _tables(report, list(players), split)
    if windows * WINDOW_BEATS == EXCERPT_BEATS:
        for name, pianist in pianists.items():
            if pianist.model.config.steps_per_beat == STEPS_PER_BEAT:
                told = style_confusion(report, name, pieces)
                text += f"\n## Whose playing is it? {name}\n\n{told.markdown()}\n"
                text += f"Right: {100 * told.accuracy:.0f} %.\n"
    out.mkdir(parents=True, exist_ok=True)
    with atomic_output(out / "report.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    figures = {
        "half_beats": _figures(report.half_beats),
        "sixteenths": _figures(report.sixteenths),
    }
    with atomic_output(out / "report.json") as temporary:
        temporary.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return report


def _tables(report: Report, systems: list[str], split: str) -> str:
    counted = next(iter(report.half_beats.values()))
    lines = [
        f"# Figures on the {split} songs",
        "",
        f"{counted.windows} windows of four beats each; shares in percent.",
        "",
        "## On the half-beat targets",
        "",
        *_table(report.half_beats, systems, COMPARED, _COLUMNS),
        "",
        "## On each composer's own targets, in sixteenths",
        "",
        *_table(report.sixteenths, systems, tuple(COMPOSERS), _FINE_COLUMNS),
        "",
    ]
    return "\n".join(lines)


def _table(
    scores: Mapping[tuple[str, str], Scores],
    systems: list[str],
    composers: tuple[str, ...],
    columns: Mapping[str, str],
) -> list[str]:
    lines = [
        "| composer | system | " + " | ".join(columns) + " |",
        "|---|---|" + "---:|" * len(columns),
    ]
    for composer in composers:
        for system in systems:
            if (system, composer) in scores:
                summary = scores[system, composer].summary()
                cells = (_cell(name, summary[name]) for name in columns.values())
                lines.append(f"| {composer} | {system} | " + " | ".join(cells) + " |")
    return lines


def _cell(name: str, value: float) -> str:
    if math.isnan(value):
        return "-"
    if name.startswith("velocity") or name in _PLAIN:
        return f"{value:.2f}"
    return f"{100 * value:.1f}"


def _figures(scores: Mapping[tuple[str, str], Scores]) -> dict[str, dict[str, float | None]]:
    return {
        f"{system} / {composer}": {
            name: None if math.isnan(value) else round(value, 5)
            for name, value in one.summary().items()
        }
        for (system, composer), one in scores.items()
    }
