"""How near predicted piano notes come to the true ones, counted over windows of four beats.

A note that is held over from the window before has an onset step below 0: it sounds, and nobody
strikes it. What was never to be counted is ``nan``, such as the share of right notes among none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from sidekeys_engine.training.arranging import STEPS_PER_BEAT
from sidekeys_engine.training.playability import StepNotes, playable_share

WINDOW_BEATS = 4

_ONSET, _END, _PITCH = 0, 1, 2
_COUNTS = (
    "windows", "seconds", "onsets", "chroma", "held_over", "melody", "true_melody", "playable",
    "true_playable", "repeated", "valid",
)  # fmt: skip

Struck = tuple[int, int]
"""Onset step and pitch, or onset step and pitch class."""
VelocityGroup = tuple[str, bool, bool]
"""Composer; whether the note has the melody's pitch class at that step; whether it is on top."""
_Key = TypeVar("_Key")


def on_grid(notes: StepNotes, from_steps_per_beat: int, to_steps_per_beat: int) -> StepNotes:
    """Move a window's notes to a coarser or finer grid.

    Onsets and ends go to the nearest step, and to the later one where two are equally near: so an
    odd sixteenth becomes the half-beat after it, as those of POP909 do, of which 94 % were played
    a little late. Then a note lasts a step at least, one pitch
    struck twice at one step is one note (the longer end, the louder velocity), and notes are cut
    at the end of the window. Notes that start or end outside of it are left out; what is held
    over from before stays so.

    Args:
        notes: (notes, 4) of one window.
        from_steps_per_beat: their grid.
        to_steps_per_beat: the grid wanted.

    Returns:
        (notes, 4) by onset and pitch.

    Raises:
        ValueError: a grid of less than a step a beat.
    """
    if min(from_steps_per_beat, to_steps_per_beat) < 1:
        raise ValueError("a grid has at least a step a beat")
    window_steps = WINDOW_BEATS * to_steps_per_beat
    merged: dict[Struck, tuple[int, int]] = {}
    for onset, end, pitch, velocity in notes.tolist():
        step = _moved(onset, from_steps_per_beat, to_steps_per_beat)
        if onset < 0:
            step = min(step, -1)
        end_step = max(_moved(end, from_steps_per_beat, to_steps_per_beat), step + 1)
        if step >= window_steps or end_step <= 0:
            continue
        longest, loudest = merged.get((step, pitch), (0, 0))
        end_step = min(max(longest, end_step), window_steps)
        merged[step, pitch] = (end_step, max(loudest, velocity))
    rows = [(step, end, pitch, velocity) for (step, pitch), (end, velocity) in merged.items()]
    rows.sort(key=lambda note: (note[_ONSET], note[_PITCH]))
    return np.array(rows, dtype=np.int64).reshape(-1, 4)


def _moved(step: int, from_steps: int, to_steps: int) -> int:
    """The nearest step of another grid, rounding halves up; in whole numbers, so exactly."""
    return (2 * step * to_steps + from_steps) // (2 * from_steps)


@dataclass(frozen=True)
class Share:
    """So many of so many; sums add up both."""

    part: float = 0
    whole: int = 0

    def __add__(self, other: Share) -> Share:
        return Share(self.part + other.part, self.whole + other.whole)

    @property
    def value(self) -> float:
        """The part over the whole."""
        return self.part / self.whole if self.whole else math.nan


@dataclass(frozen=True)
class Overlap:
    """What two sets share, summed over windows before anything is divided: a micro-average."""

    shared: int = 0
    predicted: int = 0
    true: int = 0

    @classmethod
    def of(cls, predicted: Set[Any], true: Set[Any]) -> Overlap:
        """Count two sets."""
        return cls(len(predicted & true), len(predicted), len(true))

    def __add__(self, other: Overlap) -> Overlap:
        return Overlap(
            self.shared + other.shared,
            self.predicted + other.predicted,
            self.true + other.true,
        )

    @property
    def precision(self) -> float:
        """Share of what is predicted that is true."""
        return Share(self.shared, self.predicted).value

    @property
    def recall(self) -> float:
        """Share of what is true that is predicted."""
        return Share(self.shared, self.true).value

    @property
    def f1(self) -> float:
        """``2 shared / (predicted + true)``, the harmonic mean of precision and recall."""
        return Share(2 * self.shared, self.predicted + self.true).value


@dataclass(frozen=True)
class Pairs:
    """Sums over pairs of whole numbers ``(x, y)``: all that Pearson's correlation needs."""

    count: int = 0
    x: int = 0
    y: int = 0
    xx: int = 0
    yy: int = 0
    xy: int = 0

    @classmethod
    def of(cls, x: int, y: int) -> Pairs:
        """One pair."""
        return cls(1, x, y, x * x, y * y, x * y)

    def __add__(self, other: Pairs) -> Pairs:
        return Pairs(
            self.count + other.count,
            self.x + other.x,
            self.y + other.y,
            self.xx + other.xx,
            self.yy + other.yy,
            self.xy + other.xy,
        )


def correlation(groups: Iterable[Pairs]) -> float:
    """Pearson's correlation of pairs of which each has lost its group's means.

    With ``S_xy`` the sum over all groups of ``sum(xy) - sum(x) sum(y) / count``, it is ``S_xy /
    sqrt(S_xx S_yy)``: the pooled within-group correlation (Snedecor and Cochran, Statistical
    Methods, on the analysis of covariance). With one group it is Pearson's own.

    Returns:
        -1 to 1; ``nan`` where one side never varies within a group.
    """
    within_xx = within_yy = within_xy = 0.0
    for pairs in groups:
        # Differences of whole numbers first: no rounding before the division.
        within_xx += (pairs.count * pairs.xx - pairs.x**2) / max(pairs.count, 1)
        within_yy += (pairs.count * pairs.yy - pairs.y**2) / max(pairs.count, 1)
        within_xy += (pairs.count * pairs.xy - pairs.x * pairs.y) / max(pairs.count, 1)
    if within_xx == 0 or within_yy == 0:
        return math.nan
    return within_xy / math.sqrt(within_xx * within_yy)


@dataclass
class Scores:
    """Counts over windows, of one composer or of many; :meth:`summary` divides them.

    Attributes:
        steps_per_beat: the grid of all notes that are added; see :func:`on_grid`.
        windows: how many were added.
        seconds: how long they are in all.
        onsets: struck (step, pitch).
        chroma: struck (step, pitch class).
        held_over: pitches that go on sounding from before the window.
        melody: melody onsets at which the top predicted note has the melody's pitch class.
        true_melody: the same of the target: what a perfect prediction reaches.
        playable: moments that two hands can play.
        true_playable: the same of the target.
        repeated: predicted notes at step 0 that strike again what sounded up to there.
        valid: windows whose tokens followed the grammar.
        velocities: predicted and true velocity of each note that is right, by group.
    """

    steps_per_beat: int = STEPS_PER_BEAT
    windows: int = 0
    seconds: float = 0.0
    onsets: Overlap = Overlap()
    chroma: Overlap = Overlap()
    held_over: Overlap = Overlap()
    melody: Share = Share()
    true_melody: Share = Share()
    playable: Share = Share()
    true_playable: Share = Share()
    repeated: Share = Share()
    valid: Share = Share()
    velocities: Mapping[VelocityGroup, Pairs] = field(default_factory=dict)

    @property
    def window_steps(self) -> int:
        """Steps of a window."""
        return WINDOW_BEATS * self.steps_per_beat

    def add(
        self,
        predicted: StepNotes,
        target: StepNotes,
        *,
        melody: StepNotes,
        seconds: float,
        composer: str = "",
        before: StepNotes | None = None,
        valid: bool = True,
    ) -> None:
        """Count one window.

        Args:
            predicted: (notes, 4) what the model plays.
            target: (notes, 4) what the composer plays.
            melody: (notes, 4) what is truly sung, one note at a time.
            seconds: how long the window is.
            composer: whose target it is; velocities are compared within a composer.
            before: (notes, 4) what the model played in the window just before, on that window's
                own steps; ``None`` if there is none, and then repetition is not counted.
            valid: whether the predicted tokens ended by themselves and broke no rule.
        """
        struck, truly_struck = self._struck(predicted), self._struck(target)
        sung = {step: pitch % 12 for step, pitch in self._struck(melody)}
        self.windows += 1
        self.seconds += seconds
        self.onsets += Overlap.of(struck.keys(), truly_struck.keys())
        self.chroma += Overlap.of(_chroma(struck), _chroma(truly_struck))
        self.held_over += Overlap.of(_held_over(predicted), _held_over(target))
        self.melody += _on_top(struck, sung)
        self.true_melody += _on_top(truly_struck, sung)
        self.playable += _playable(predicted)
        self.true_playable += _playable(target)
        self.valid += Share(int(valid), 1)
        self.velocities = _sums(
            self.velocities, _velocities(struck, truly_struck, sung, composer).items()
        )
        if before is not None:
            self.repeated += self._repeated(struck, truly_struck, before)

    def merged(self, *others: Scores) -> Scores:
        """Return the counts of this and others together, such as those of all composers.

        Raises:
            ValueError: one of them is on another grid.
        """
        if any(other.steps_per_beat != self.steps_per_beat for other in others):
            raise ValueError("scores of different grids do not add up")
        total = Scores(self.steps_per_beat)
        for one in (self, *others):
            for name in _COUNTS:
                setattr(total, name, getattr(total, name) + getattr(one, name))
            total.velocities = _sums(total.velocities, one.velocities.items())
        return total

    def summary(self) -> dict[str, float]:
        """Return all figures by name; those of a target are what a perfect prediction has.

        - ``onset_f1``, ``onset_precision``, ``onset_recall``: a note is right if one of its pitch
          is truly struck at the same step. F1 ``2 TP / (predicted + true)`` with counts summed
          over windows first, as mir_eval's onset-only transcription score (Raffel et al., ISMIR
          2014), with the grid in place of its 50 ms.
        - ``chroma_f1``: the same of (step, pitch class), each counted once.
        - ``melody_accuracy``: share of the sung melody's onsets at which the highest note struck
          has its pitch class; as the melody chroma accuracy of Pop2Piano (arXiv 2211.00895,
          section 4), with the true melody in place of an estimated one. ``melody_of_target``: the
          target's own.
        - ``notes_per_window``, ``notes_per_second``: predicted; ``notes_ratio``: over the
          target's.
        - ``velocity_correlation``: Pearson's, of predicted and true velocity over right notes.
        - ``velocity_correlation_within``: the same after taking from both sides their means over
          each composer's melody notes and other notes; see :func:`correlation`. A model that
          only knows that melodies are louder has 0.
        - ``playable``: share of moments that two hands can play; ``playable_of_target``.
        - ``repeated_at_edge``: of the notes predicted at step 0, the share whose pitch sounded at
          the end of the predicted window before, and which the target does not strike there.
        - ``held_over_f1``: F1 of the pitches that go on sounding from before the window.
        - ``valid``: share of windows whose tokens were valid.
        """
        return {
            "windows": float(self.windows),
            "onset_f1": self.onsets.f1,
            "onset_precision": self.onsets.precision,
            "onset_recall": self.onsets.recall,
            "chroma_f1": self.chroma.f1,
            "melody_accuracy": self.melody.value,
            "melody_of_target": self.true_melody.value,
            "notes_per_window": Share(self.onsets.predicted, self.windows).value,
            "notes_per_second": self.onsets.predicted / self.seconds if self.seconds else math.nan,
            "notes_ratio": Share(self.onsets.predicted, self.onsets.true).value,
            "velocity_correlation": correlation([sum(self.velocities.values(), Pairs())]),
            "velocity_correlation_within": correlation(self.velocities.values()),
            "playable": self.playable.value,
            "playable_of_target": self.true_playable.value,
            "repeated_at_edge": self.repeated.value,
            "held_over_f1": self.held_over.f1,
            "valid": self.valid.value,
        }

    def _struck(self, notes: StepNotes) -> dict[Struck, int]:
        """Velocity of each (step, pitch) that is struck within the window."""
        return {
            (onset, pitch): velocity
            for onset, _, pitch, velocity in notes.tolist()
            if 0 <= onset < self.window_steps
        }

    def _repeated(
        self, struck: Mapping[Struck, int], truly_struck: Mapping[Struck, int], before: StepNotes
    ) -> Share:
        sounding = set(before[before[:, _END] >= self.window_steps, _PITCH].tolist())
        at_edge = {pitch for step, pitch in struck if step == 0}
        wrong = {pitch for pitch in at_edge & sounding if (0, pitch) not in truly_struck}
        return Share(len(wrong), len(at_edge))


def _chroma(struck: Iterable[Struck]) -> set[Struck]:
    return {(step, pitch % 12) for step, pitch in struck}


def _held_over(notes: StepNotes) -> set[int]:
    """Pitches that sound from before the window into it."""
    return set(notes[(notes[:, _ONSET] < 0) & (notes[:, _END] > 0), _PITCH].tolist())


def _tops(struck: Iterable[Struck]) -> dict[int, int]:
    """The highest pitch at each step."""
    return dict(sorted(struck))


def _on_top(struck: Iterable[Struck], sung: Mapping[int, int]) -> Share:
    """At how many of the melody's onsets, by step, its pitch class is on top."""
    tops = _tops(struck)
    right = sum(step in tops and tops[step] % 12 == chroma for step, chroma in sung.items())
    return Share(right, len(sung))


def _playable(notes: StepNotes) -> Share:
    """Playable moments of those at which anything is struck; what is held over counts as held."""
    (before, moments_before), (all_playable, moments) = (
        (round(playable_share(some) * _moments(some)), _moments(some))
        for some in (notes[notes[:, _ONSET] < 0], notes)
    )
    return Share(all_playable - before, moments - moments_before)


def _moments(notes: StepNotes) -> int:
    return len(set(notes[:, _ONSET].tolist()))


def _velocities(
    struck: Mapping[Struck, int],
    truly_struck: Mapping[Struck, int],
    sung: Mapping[int, int],
    composer: str,
) -> dict[VelocityGroup, Pairs]:
    """Velocities of the right notes.

    Their groups are finer than melody and accompaniment: what is the melody's in the target (the
    voice on top, its octaves, an instrument's line where nobody sings) is not written there.
    """
    tops = _tops(truly_struck)
    return _sums(
        {},
        (
            (
                (composer, sung.get(step) == pitch % 12, tops[step] == pitch),
                Pairs.of(velocity, truly_struck[step, pitch]),
            )
            for (step, pitch), velocity in struck.items()
            if (step, pitch) in truly_struck
        ),
    )


def _sums(start: Mapping[_Key, Pairs], more: Iterable[tuple[_Key, Pairs]]) -> dict[_Key, Pairs]:
    total = dict(start)
    for key, pairs in more:
        total[key] = total.get(key, Pairs()) + pairs
    return total
