"""Whether composers can be told apart: features of 16 bars of playing, and whose it sounds like.

The centroids come from what the composers truly play; what a model plays in their names is then
put to the nearest. A row of the confusion matrix says whose name it was, a column who it sounds
like.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidekeys_engine.training.arranging import STEPS_PER_BEAT
from sidekeys_engine.training.playability import StepNotes

EXCERPT_BEATS = 64
"""Sixteen bars of four: long enough that a habit shows, short enough for several a song."""

FEATURES = (
    "notes a beat",
    "struck moments a beat",
    "notes a moment",
    "moments of a single note",
    "moments with an octave",
    "notes sounding at once",
    "mean pitch",
    "spread of pitches",
    "below middle C",
    "top above bass",
    "widest gap in a moment",
    "moments on beats",
    "moments on half-beats",
    "moments on sixteenths",
    "moments on beats 1 and 3",
    "mean beats of a note",
    "spread of note lengths",
    "mean velocity",
    "spread of velocities",
    "top louder than the rest",
    "steps up or down of the top",
)
"""What each number of :func:`style_features` is."""

Features = npt.NDArray[np.float64]
Excerpts = Mapping[str, Sequence[StepNotes]]
"""Excerpts of each composer, of at least one."""

_MIDDLE_C = 60
_ONSET, _END, _PITCH, _VELOCITY = 0, 1, 2, 3
_LEAST_SPREAD = 0.05  # of that among all: a habit without exception weighs much, and not all
_NO_SPREAD = 1e-9  # the feature never varies, but for rounding: it tells nobody apart


def excerpts(notes: StepNotes, first_beat: int = 0, beats: int = EXCERPT_BEATS) -> list[StepNotes]:
    """Cut a song's notes into excerpts that follow each other; those that are silent are left out.

    Args:
        notes: (notes, 4) of a song, in sixteenths; step 0 is its first beat.
        first_beat: where the first excerpt begins; a downbeat.
        beats: how long an excerpt is. What is left at the end of the song is no excerpt.

    Returns:
        (notes, 4) each, on steps of the excerpt, with the notes struck in it.
    """
    steps = beats * STEPS_PER_BEAT
    last_end = int(notes[:, _END].max(initial=0))
    cut = []
    for start in range(first_beat * STEPS_PER_BEAT, last_end - steps + 1, steps):
        here = notes[(notes[:, _ONSET] >= start) & (notes[:, _ONSET] < start + steps)]
        if len(here):
            cut.append(here - np.array([start, start, 0, 0]))
    return cut


def style_features(notes: StepNotes, beats: int = EXCERPT_BEATS) -> Features:
    """Return what an excerpt's playing is like, whatever its song.

    A moment is a step at which anything is struck. Steps up or down are counted between the
    highest notes of moments that follow each other, at most two semitones, and no repeated note.

    Args:
        notes: (notes, 4) on steps of the excerpt, in sixteenths, with at least one note.
        beats: how long the excerpt is; its first beat is a downbeat of bars of four.

    Returns:
        (features,) as ``FEATURES`` names them.

    Raises:
        ValueError: no notes.
    """
    if not len(notes):
        raise ValueError("silence has no style")
    onsets, lengths = notes[:, _ONSET], (notes[:, _END] - notes[:, _ONSET]) / STEPS_PER_BEAT
    pitches, velocities = notes[:, _PITCH], notes[:, _VELOCITY]
    moments = [notes[onsets == step] for step in np.unique(onsets)]
    steps = np.array([moment[0, _ONSET] for moment in moments])
    sorted_pitches = [np.sort(moment[:, _PITCH]) for moment in moments]
    tops = np.array([ordered[-1] for ordered in sorted_pitches])
    leaps = np.abs(np.diff(tops))
    several = [ordered for ordered in sorted_pitches if ordered.size > 1]
    return np.array(
        [
            len(notes) / beats,
            len(moments) / beats,
            len(notes) / len(moments),
            1 - len(several) / len(moments),
            np.mean([_has_octave(ordered) for ordered in sorted_pitches]),
            lengths.sum() / beats,
            pitches.mean(),
            pitches.std(),
            (pitches < _MIDDLE_C).mean(),
            _mean([ordered[-1] - ordered[0] for ordered in several]),
            _mean([np.diff(ordered).max() for ordered in several]),
            (steps % STEPS_PER_BEAT == 0).mean(),
            (steps % STEPS_PER_BEAT == STEPS_PER_BEAT // 2).mean(),
            (steps % 2 == 1).mean(),
            (steps % (2 * STEPS_PER_BEAT) == 0).mean(),
            lengths.mean(),
            lengths.std(),
            velocities.mean(),
            velocities.std(),
            _mean([_louder_on_top(moment) for moment in moments if len(moment) > 1]),
            _mean((leaps > 0) & (leaps <= 2)),
        ],
        dtype=np.float64,
    )


@dataclass(frozen=True, eq=False)
class StyleCentroids:
    """What each composer's playing is like on average, in standard deviations within a composer.

    Attributes:
        composers: their names.
        centers: (composers, features), divided by ``spreads``.
        spreads: (features,) pooled standard deviation around each composer's own mean.
    """

    composers: tuple[str, ...]
    centers: Features
    spreads: Features

    @classmethod
    def fitted(cls, examples: Excerpts, beats: int = EXCERPT_BEATS) -> StyleCentroids:
        """Fit to excerpts of known composers.

        Dividing by the spread within composers, and not by that of all, gives most weight to what
        differs between composers and not between songs: linear discriminant analysis with a
        diagonal covariance (Hastie, Tibshirani and Friedman, The Elements of Statistical Learning,
        section 18.2), with all composers equally likely. A spread is at least 5 % of that among
        all excerpts, so that a habit without exception does not outweigh everything else.

        Raises:
            ValueError: a composer without excerpts.
        """
        if not examples or not all(examples.values()):
            raise ValueError("a style is fitted to at least one excerpt of each composer")
        points = [
            np.array([style_features(notes, beats) for notes in of_one])
            for of_one in examples.values()
        ]
        around = np.concatenate([of_one - of_one.mean(axis=0) for of_one in points])
        spreads = np.maximum(
            np.sqrt((around**2).mean(axis=0)), _LEAST_SPREAD * np.concatenate(points).std(axis=0)
        )
        spreads[spreads < _NO_SPREAD] = np.inf
        centers = np.array([of_one.mean(axis=0) for of_one in points]) / spreads
        return cls(tuple(examples), centers, spreads)

    def nearest(self, notes: StepNotes, beats: int = EXCERPT_BEATS) -> str:
        """Return the composer an excerpt sounds like; the first of those equally near."""
        point = style_features(notes, beats) / self.spreads
        distances = ((self.centers - point) ** 2).sum(axis=1)
        return self.composers[int(np.argmin(distances))]


@dataclass(frozen=True, eq=False)
class Confusion:
    """How many excerpts in each composer's name sound like each composer.

    Attributes:
        composers: the names of rows and columns.
        counts: (composers, composers); the row is whose name it was.
    """

    composers: tuple[str, ...]
    counts: npt.NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """Share of excerpts taken for their composer, on average over composers with any."""
        totals = self.counts.sum(axis=1)
        right = np.diag(self.counts)
        return float(_mean(right[totals > 0] / totals[totals > 0]))

    def markdown(self) -> str:
        """Return a Markdown table in percent of each row, with the number of excerpts."""
        lines = [
            "| played as | " + " | ".join(self.composers) + " | excerpts |",
            "|---|" + "---:|" * (len(self.composers) + 1),
        ]
        for name, row in zip(self.composers, self.counts.tolist(), strict=True):
            total = sum(row)
            cells = [f"{100 * count / total:.0f}" if total else "-" for count in row]
            lines.append(f"| {name} | " + " | ".join(cells) + f" | {total} |")
        return "\n".join(lines) + "\n"


def confusion(train: Excerpts, test: Excerpts, beats: int = EXCERPT_BEATS) -> Confusion:
    """Say whom excerpts are taken for by centroids of others.

    Args:
        train: of each composer, what it truly plays in songs of the training split.
        test: of some or all of them, what is to be judged, in other songs. Excerpts without notes
            sound like nobody, and are not counted.
        beats: how long all excerpts are.

    Raises:
        ValueError: a composer in ``test`` that is not in ``train``, or one without examples there.
    """
    strangers = test.keys() - train.keys()
    if strangers:
        raise ValueError(f"nobody knows the style of {', '.join(sorted(strangers))}")
    centroids = StyleCentroids.fitted(train, beats)
    index = {name: row for row, name in enumerate(centroids.composers)}
    counts = np.zeros((len(index), len(index)), dtype=np.int64)
    for name, of_one in test.items():
        for notes in of_one:
            if len(notes):
                counts[index[name], index[centroids.nearest(notes, beats)]] += 1
    return Confusion(centroids.composers, counts)


def _has_octave(ordered: npt.NDArray[np.int64]) -> bool:
    return bool(np.isin(ordered + 12, ordered).any())


def _louder_on_top(moment: StepNotes) -> float:
    """By how much the highest note is louder than the others on average."""
    top = int(np.argmax(moment[:, _PITCH]))
    others = np.delete(moment[:, _VELOCITY], top)
    return float(moment[top, _VELOCITY] - others.mean())


def _mean(values: npt.ArrayLike) -> float:
    """The mean, 0.0 of nothing."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()) if array.size else 0.0
