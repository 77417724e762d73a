"""A picture of a score: a piano roll, wrapped into lines like a page of sheet music."""

from __future__ import annotations

import itertools
import math
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sidekeys_engine.atomic_file import atomic_output, shown_path
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter, MeterChange, Score
from sidekeys_engine.tempo_map import seconds_at_beats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOT_SUFFIXES = (".png", ".svg", ".pdf")
"""The formats of :func:`plot_piano_roll`."""

_BEATS_PER_LINE = 36.0  # about: lines hold 8 bars of 4/4 or 12 of 3/4, as phrases do
_LEAST_BEATS_PER_LINE = 16.0  # a shorter song is drawn at this scale and ends early on the page
_MOST_LINES = 32  # longer songs get longer lines instead, so that the picture stays a picture
_LEAST_SEMITONES = 24  # height of a line, so that a few notes do not become slabs
_BLACK_KEYS = (1, 3, 6, 8, 10)

# Inches.
_WIDTH = 14.0
_LEFT, _RIGHT = 0.75, 0.25
_TOP, _BOTTOM = 0.72, 0.3
_SEMITONE = 0.056
_BETWEEN_LINES = 0.5
_KEYBOARD = 0.16
_DOTS_PER_INCH = 130

_PAPER, _INK, _FAINT_INK = "#ffffff", "#2b2f3a", "#7a8194"
_BLACK_LANE, _BAR_LINE, _BEAT_LINE, _OCTAVE_LINE = "#f3f4f8", "#a9b0c2", "#e4e7ef", "#ccd2e0"
_PEDAL = "#b9bfd0"
_COLORS = ("#27408b", "#2c7fb8", "#2aa79b", "#7fb93c", "#f0a202", "#e4572e")  # low to high pitch
_LOWEST_COLOR, _HIGHEST_COLOR = 36, 88  # pitches at which the colors end


def plot_piano_roll(
    score: Score,
    path: str | os.PathLike[str],
    *,
    title: str = "",
    bar_lines: Sequence[float] | None = None,
    first_bar: int = 1,
    start_beats: float = 0.0,
    seconds_at: Callable[[float], float] | None = None,
) -> None:
    """Draw ``score`` as a piano roll.

    Color is pitch, from blue (low) to red (high); strength of color is velocity. Below each line
    stand bar numbers, above it seconds, on its left the keyboard; a gray stripe is the pedal.

    Args:
        score: what to draw.
        path: the picture, ending in .png, .svg or .pdf.
        title: text above the picture.
        bar_lines: positions of the downbeats, in quarter notes, in rising order; by default they
            follow from ``score.meters``. Beyond the last one, bars of its length go on.
        first_bar: the number of the bar that starts at the first bar line.
        start_beats: where the picture starts, in quarter notes; earlier for an earlier note.
        seconds_at: gives the moment of a beat, rising; by default that of ``score.tempos``.

    Raises:
        InputError: another ending, or the file cannot be written.
        ValueError: bar lines that do not rise or are not finite.
    """
    check_plot_path(path)
    with atomic_output(path) as temporary:
        end = max(score.end_beats, 0.0)
        lines = _bars_from_meters(score.meters, end) if bar_lines is None else list(bar_lines)
        if not np.isfinite(lines).all() or np.any(np.diff(lines) <= 0):
            raise ValueError("bar lines must be finite and rise")
        page = _Page(
            systems=_systems(_covering(lines, first_bar, score, start_beats)),
            pitches=_pitch_range(score),
            seconds_at=seconds_at or (lambda beat: float(seconds_at_beats(score.tempos, beat))),
        )
        figure = _draw(score, page, title)
        with warnings.catch_warnings():
            # A title in a script that the font lacks shows boxes; that is no fault of the user.
            warnings.filterwarnings("ignore", message="Glyph .* missing", category=UserWarning)
            figure.savefig(temporary, format=temporary.suffix.lower()[1:], dpi=_DOTS_PER_INCH)


def check_plot_path(path: str | os.PathLike[str]) -> None:
    """Check that the name of a picture ends in one of :data:`PLOT_SUFFIXES`.

    Args:
        path: the file to be written later.

    Raises:
        InputError: another ending.
    """
    if Path(path).suffix.lower() not in PLOT_SUFFIXES:
        raise InputError(
            f"Cannot draw {shown_path(path)}: give a name that ends in .png, .svg or .pdf."
        )


# --- what goes where ---


@dataclass(frozen=True, slots=True)
class _Bar:
    """A bar from ``start`` to ``end``, in quarter notes; before the first bar line, no number."""

    start: float
    end: float
    number: int | None


@dataclass(frozen=True, slots=True)
class _Page:
    """How a score is laid out."""

    systems: tuple[tuple[_Bar, ...], ...]
    pitches: tuple[int, int]  # lowest and highest that are drawn
    seconds_at: Callable[[float], float]

    @property
    def beats_per_line(self) -> float:
        """Quarter notes across the page; shorter lines end earlier."""
        longest = max(system[-1].end - system[0].start for system in self.systems)
        return max(longest, _LEAST_BEATS_PER_LINE)


def _bars_from_meters(meters: Sequence[MeterChange], end_beats: float) -> list[float]:
    """Bar lines from beat 0 up to ``end_beats``; a change of meter starts a bar."""
    changes = sorted(meters, key=lambda change: change.onset_beats)
    if not changes or changes[0].onset_beats > 0:
        changes.insert(0, MeterChange(0.0, Meter()))
    lines: list[float] = []
    for index, change in enumerate(changes):
        last = index + 1 == len(changes)
        stop = end_beats + change.meter.beats_per_bar if last else changes[index + 1].onset_beats
        start = max(change.onset_beats, 0.0)
        bars = math.ceil(max(stop - start, 0) / change.meter.beats_per_bar - 1e-6)
        lines += [start + bar * change.meter.beats_per_bar for bar in range(bars)]
    return lines


def _covering(
    lines: Sequence[float], first_bar: int, score: Score, start_beats: float
) -> list[_Bar]:
    """Bars that cover the whole score from a start on, or from an earlier note.

    Only the first one may be shorter than its neighbor: a pickup.
    """
    first = min((start_beats, *(note.onset_beats for note in score.notes)))
    last = max(score.end_beats, first)
    lines = list(lines) or [0.0]
    lengths = np.diff(lines) if len(lines) > 1 else np.array([Meter().beats_per_bar])
    before = max(math.ceil((lines[0] - first) / lengths[0] - 1e-6), 0)
    after = max(math.ceil((last - lines[-1]) / lengths[-1] - 1e-6), 1)
    edges = [
        *(max(lines[0] - lengths[0] * (before - i), first) for i in range(before)),
        *lines,
        *(lines[-1] + lengths[-1] * (i + 1) for i in range(after)),
    ]
    bars = [
        _Bar(float(start), float(end), None if index < before else first_bar + index - before)
        for index, (start, end) in enumerate(itertools.pairwise(edges))
    ]
    seen = [bar for bar in bars if bar.end > first + 1e-6 and bar.start < last - 1e-6]
    return seen or bars[:1]


def _systems(bars: list[_Bar]) -> tuple[tuple[_Bar, ...], ...]:
    """Wrap bars into lines of four, eight, twelve... bars; a pickup joins the first line."""
    lengths = np.array([bar.end - bar.start for bar in bars])
    pickup = bars[:1] if len(bars) > 1 and lengths[0] < lengths[1] - 1e-6 else []
    whole = bars[len(pickup) :]
    beats_per_bar = float(np.median(lengths))
    bars_per_line = max(4, 4 * round(_BEATS_PER_LINE / beats_per_bar / 4))
    while len(whole) > bars_per_line * _MOST_LINES:
        bars_per_line *= 2
    systems = [
        whole[first : first + bars_per_line] for first in range(0, len(whole), bars_per_line)
    ]
    if len(systems) > 1 and len(systems[-1]) == 1:  # a last chord that rings into one more bar
        last = systems.pop()
        systems[-1] += last
    systems[0] = pickup + systems[0]
    return tuple(tuple(system) for system in systems)


def _pitch_range(score: Score) -> tuple[int, int]:
    """Lowest and highest pitch of the picture, with some air."""
    pitches = [note.pitch for note in score.notes] or [48, 72]
    low, high = min(pitches) - 2, max(pitches) + 2
    air = max(0, _LEAST_SEMITONES - (high - low))
    return max(low - air // 2, 0), min(high + air - air // 2, 127)


# --- drawing ---


def _draw(score: Score, page: _Page, title: str) -> Figure:
    from matplotlib.figure import Figure  # noqa: PLC0415

    low, high = page.pitches
    line_height = (high - low + 1) * _SEMITONE
    height = _TOP + len(page.systems) * (line_height + _BETWEEN_LINES) + _BOTTOM - _BETWEEN_LINES
    figure = Figure(figsize=(_WIDTH, height), facecolor=_PAPER)
    figure.text(
        _LEFT / _WIDTH, 1 - 0.3 / height, title, fontsize=14, fontweight="bold", color=_INK,
        va="center", parse_math=False,
    )  # fmt: skip
    for index, system in enumerate(page.systems):
        beats = system[-1].end - system[0].start
        width = (_WIDTH - _LEFT - _RIGHT) * beats / page.beats_per_line
        top = height - _TOP - index * (line_height + _BETWEEN_LINES)
        box = (_LEFT / _WIDTH, (top - line_height) / height, width / _WIDTH, line_height / height)
        axes = figure.add_axes(box)
        _draw_grid(axes, system, page)
        _draw_keyboard(axes, page, width)
        _draw_pedals(axes, score, system, page)
        _draw_notes(axes, score, system)
        _label(axes, system, page, width)
        if not score.notes:
            axes.text(
                0.5, 0.5, "no notes", transform=axes.transAxes, ha="center", va="center",
                fontsize=16, color=_FAINT_INK,
            )  # fmt: skip
    return figure


def _draw_grid(axes: Axes, system: tuple[_Bar, ...], page: _Page) -> None:
    from matplotlib.collections import PolyCollection  # noqa: PLC0415

    low, high = page.pitches
    axes.set_xlim(system[0].start, system[-1].end)
    axes.set_ylim(low - 0.5, high + 0.5)
    for side in axes.spines.values():
        side.set_visible(False)
    black = np.array([pitch for pitch in range(low, high + 1) if pitch % 12 in _BLACK_KEYS])
    lanes = _rectangles(system[0].start, system[-1].end, black - 0.5, black + 0.5)
    axes.add_collection(
        PolyCollection(lanes, facecolors=_BLACK_LANE, linewidths=0, zorder=0), autolim=False
    )
    octaves = [pitch - 0.5 for pitch in range(low, high + 1) if pitch % 12 == 0]
    axes.hlines(
        octaves, system[0].start, system[-1].end, color=_OCTAVE_LINE, linewidth=0.6, zorder=1
    )
    edges = [bar.start for bar in system] + [system[-1].end]
    if page.beats_per_line <= _BEATS_PER_LINE * 4:  # closer lines would be a gray wall
        beats = [beat for bar in system for beat in np.arange(bar.end - 1, bar.start + 1e-6, -1)]
        axes.vlines(beats, low - 0.5, high + 0.5, color=_BEAT_LINE, linewidth=0.6, zorder=1)
    axes.vlines(edges, low - 0.5, high + 0.5, color=_BAR_LINE, linewidth=0.9, zorder=1)


def _draw_keyboard(axes: Axes, page: _Page, width_inches: float) -> None:
    """A strip of keys to the left of the line, with the octaves' names."""
    from matplotlib.collections import PatchCollection  # noqa: PLC0415
    from matplotlib.patches import Rectangle  # noqa: PLC0415
    from matplotlib.transforms import blended_transform_factory  # noqa: PLC0415

    low, high = page.pitches
    strip = _KEYBOARD / width_inches
    patches = [Rectangle((-strip, low - 0.5), strip, high - low + 1)]
    colors = ["#fbfbfd"]
    for pitch in range(low, high + 1):
        if pitch % 12 in _BLACK_KEYS:
            patches.append(Rectangle((-strip, pitch - 0.5), strip * 0.62, 1))
            colors.append("#3a3f4d")
    keys = PatchCollection(
        patches, facecolors=colors, edgecolors=_OCTAVE_LINE, linewidths=0.4, clip_on=False,
        transform=blended_transform_factory(axes.transAxes, axes.transData),
    )  # fmt: skip
    axes.add_collection(keys, autolim=False)
    axes.set_yticks([pitch for pitch in range(low, high + 1) if pitch % 12 == 0])
    axes.set_yticklabels(
        [f"C{pitch // 12 - 1}" for pitch in range(low, high + 1) if pitch % 12 == 0]
    )
    axes.tick_params(axis="y", length=0, pad=_KEYBOARD * 72 + 3, labelsize=8, labelcolor=_FAINT_INK)


def _draw_notes(axes: Axes, score: Score, system: tuple[_Bar, ...]) -> None:
    from matplotlib.collections import PolyCollection  # noqa: PLC0415
    from matplotlib.colors import LinearSegmentedColormap  # noqa: PLC0415

    start, end = system[0].start, system[-1].end
    notes = [note for note in score.notes if note.end_beats > start and note.onset_beats < end]
    if not notes:
        return
    pitch = np.array([note.pitch for note in notes], dtype=np.float64)
    onset = np.array([note.onset_beats for note in notes]).clip(start, end)
    # A hairline of air at its end tells a repeated note from a long one.
    gap = np.array([min(0.06, note.duration_beats / 4) for note in notes])
    release = np.array([note.end_beats for note in notes]).clip(start, end) - gap
    release = np.maximum(release, onset + 0.02)
    strength = np.array([note.velocity for note in notes])[:, None] / 127
    scale = LinearSegmentedColormap.from_list("pitch", _COLORS)
    hue = (pitch - _LOWEST_COLOR) / (_HIGHEST_COLOR - _LOWEST_COLOR)
    rgb = scale(hue.clip(0, 1))[:, :3]
    share = 0.3 + 0.7 * np.minimum(strength * 1.3, 1)  # soft notes fade into the paper
    boxes = _rectangles(onset, release, pitch - 0.44, pitch + 0.44)
    colors = share * rgb + (1 - share)
    axes.add_collection(
        PolyCollection(boxes, facecolors=colors, edgecolors=rgb * 0.75, linewidths=0.4, zorder=3),
        autolim=False,
    )


def _rectangles(
    left: npt.ArrayLike, right: npt.ArrayLike, bottom: npt.ArrayLike, top: npt.ArrayLike
) -> list[npt.NDArray[np.float64]]:
    """Corners of boxes, each (4, 2): beat and pitch."""
    edges = np.broadcast_arrays(*(np.asarray(e, np.float64) for e in (left, right, bottom, top)))
    return list(np.stack([edges[i] for i in (0, 2, 0, 3, 1, 3, 1, 2)], axis=-1).reshape(-1, 4, 2))


def _draw_pedals(axes: Axes, score: Score, system: tuple[_Bar, ...], page: _Page) -> None:
    start, end = system[0].start, system[-1].end
    spans = [
        (max(pedal.onset_beats, start), min(pedal.onset_beats + pedal.duration_beats - 0.06, end))
        for pedal in score.pedals
    ]
    seen = [(left, right - left) for left, right in spans if right > left]
    axes.broken_barh(seen, (page.pitches[0] - 0.5, 0.7), facecolors=_PEDAL, linewidth=0, zorder=2)


def _label(axes: Axes, system: tuple[_Bar, ...], page: _Page, width_inches: float) -> None:
    """Bar numbers below, seconds above."""
    numbered = [bar for bar in system if bar.number is not None]
    every = _step(len(numbered) / width_inches / 2.2, (1, 2, 4, 8, 16, 32, 64, 128))
    shown = [bar for bar in numbered if bar.number is not None and (bar.number - 1) % every == 0]
    axes.set_xticks([bar.start for bar in shown])
    axes.set_xticklabels([str(bar.number) for bar in shown], ha="left")
    axes.tick_params(axis="x", length=0, pad=3, labelsize=8, labelcolor=_INK)

    grid = np.linspace(system[0].start, system[-1].end, 256)
    seconds = np.array([page.seconds_at(float(beat)) for beat in grid])
    span = float(seconds[-1] - seconds[0])
    every_seconds = _step(span / width_inches / 0.7, (1, 2, 5, 10, 15, 30, 60, 120, 300, 600))
    marks = np.arange(
        math.ceil(seconds[0] / every_seconds) * every_seconds, seconds[-1], every_seconds
    )
    top = axes.secondary_xaxis("top")
    top.spines["top"].set_visible(False)
    top.set_xticks(np.interp(marks, seconds, grid))
    top.set_xticklabels([_clock(float(mark)) for mark in marks])
    top.tick_params(
        axis="x", length=2.5, pad=1.5, labelsize=6.5, labelcolor=_FAINT_INK, color=_OCTAVE_LINE
    )


def _step(least: float, choices: Sequence[int]) -> int:
    return next((choice for choice in choices if choice >= least), choices[-1])


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
