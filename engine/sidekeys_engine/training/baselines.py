"""What is had for free: piano parts that know the true chords and hear nothing else of the song.

A model is worth something where it beats them on the same windows. All are deterministic.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidekeys_engine.training.arranging import STEPS_PER_BEAT
from sidekeys_engine.training.metrics import WINDOW_BEATS
from sidekeys_engine.training.playability import StepNotes
from sidekeys_engine.training.pop909 import Chord, Song

WINDOW_STEPS = WINDOW_BEATS * STEPS_PER_BEAT

_VELOCITY = 64
_LOWEST_ROOT = 44  # triads on roots from G sharp 2 to G 3: where a left hand plays them
_OCTAVE = 12
_PITCHES = 128
_MOST_TONES = 6  # five of a ninth or a thirteenth, and a bass of its own

StepChords = tuple[Chord | None, ...]
"""(steps,) the chord that sounds at each step of a window; ``None`` in silence."""
Piece = tuple[Song, StepNotes]
"""A song, and a composer's notes of all of it: step 0 is the song's first beat."""


@dataclass(frozen=True)
class Tone:
    """One note of a pattern, without the chord that gives it its pitch.

    Attributes:
        onset_step: within the window.
        end_step: after ``onset_step``; the note is cut where the window ends.
        degree: which of the chord's tones: 0 the root, 1 its third or what stands for it, and so
            on; a bass that is none of them comes after the last.
        center: the pitch is the one of that degree from ``center - 6`` to ``center + 5``.
        velocity: 1 to 127.
    """

    onset_step: int
    end_step: int
    degree: int
    center: int
    velocity: int

    def __post_init__(self) -> None:
        if not 0 <= self.onset_step < self.end_step or self.degree < 0:
            raise ValueError(f"no tone of a pattern: {self}")


Pattern = tuple[Tone, ...]


def triads_on_beats(song: Song, first_beat: int) -> StepNotes:
    """Return the triad of the true chord on every beat of a window, each a beat long.

    Args:
        song: with its true chords.
        first_beat: where the window begins.

    Returns:
        (notes, 4) by onset and pitch, in sixteenths of the window.
    """
    chords = chords_on_steps(song, first_beat)
    starts = range(0, WINDOW_STEPS, STEPS_PER_BEAT)
    return _triads((step, step + STEPS_PER_BEAT, chords[step]) for step in starts)


def triads_on_change(song: Song, first_beat: int) -> StepNotes:
    """Return the triad of each true chord, struck at the window's start and at every change.

    Each lasts until the next one, or silence. Arguments and result are those of
    :func:`triads_on_beats`.
    """
    chords = chords_on_steps(song, first_beat)
    starts = [
        step
        for step in range(WINDOW_STEPS)
        if not step or not _same(chords[step - 1], chords[step])
    ]
    ends = [*starts[1:], WINDOW_STEPS]
    return _triads((step, end, chords[step]) for step, end in zip(starts, ends, strict=True))


def most_common_pattern(pieces: Iterable[Piece]) -> Pattern:
    """Return the pattern that more bars of the training songs follow than any other.

    Two bars have the same pattern if the same degrees of their chords are struck at the same steps
    in the same octaves, up to six semitones around middle C and the Cs above and below it. Notes
    outside of their chord are no part of it. Of patterns that are equally common, the one with
    more notes wins, then the first in order.

    Args:
        pieces: songs of the training split, and a composer's notes of each.

    Returns:
        The pattern; empty if no bar has any.
    """
    counts: Counter[tuple[tuple[int, int, int], ...]] = Counter()
    strikes = _Strikes()
    for chords, notes in _bars(pieces):
        placed = list(_placed(chords, notes))
        strikes.add(placed)
        centers = {(step, degree, _nearest_c(pitch)) for step, degree, pitch, *_ in placed}
        counts[tuple(sorted(centers))] += 1
    counts.pop((), None)
    if not counts:
        return ()
    commonest, _ = min(counts.items(), key=lambda item: (-item[1], -len(item[0]), item[0]))
    return tuple(strikes.tone(*place) for place in commonest)


def best_fixed_pattern(pieces: Iterable[Piece]) -> Pattern:
    """Return the pattern that has the highest onset F1 if it is played in every training bar.

    Bars of a human pianist hardly ever repeat to the note, so their most common pattern says
    little. This one asks of each note alone how often it is struck. Every (step, degree) has
    places, each an octave of pitches, chosen greedily by how many bars strike there. With ``n_i``
    such hits, most hits first, ``b`` bars and ``N`` notes in all, the first ``k`` places have the
    micro-averaged F1 ``2 (n_1 + ... + n_k) / (k b + N)``; ``k`` is where that is highest.

    It is fitted and not only counted, so what it has on held-out songs is close to the best that
    true chords and a fixed habit can give.

    Args:
        pieces: songs of the training split, and a composer's notes of each.

    Returns:
        The pattern; empty if no bar has any notes of its chords.
    """
    bars = notes_in_all = 0
    strikes = _Strikes()
    for chords, notes in _bars(pieces):
        bars += 1
        notes_in_all += len(notes)
        strikes.add(_placed(chords, notes))
    places = sorted(strikes.places(), reverse=True)
    if not places:
        return ()
    hits = np.cumsum([count for count, *_ in places])
    f1 = 2 * hits / (np.arange(1, len(places) + 1) * bars + notes_in_all)
    chosen = places[: int(np.argmax(f1)) + 1]
    return tuple(strikes.tone(step, degree, center) for _, step, degree, center in chosen)


def laid_over(pattern: Pattern, song: Song, first_beat: int) -> StepNotes:
    """Play a pattern on the true chords of a window.

    Where no chord sounds, or one without that degree, a tone is left out.

    Args:
        pattern: from :func:`most_common_pattern` or :func:`best_fixed_pattern`.
        song: with its true chords.
        first_beat: where the window begins.

    Returns:
        (notes, 4) by onset and pitch, in sixteenths of the window.
    """
    chords = chords_on_steps(song, first_beat)
    rows: dict[tuple[int, int], tuple[int, int]] = {}
    for tone in pattern:
        chord = chords[tone.onset_step]
        tones = () if chord is None else chord_tones(chord)
        if tone.degree < len(tones):
            pitch = near(tones[tone.degree], tone.center)
            end_step = min(tone.end_step, WINDOW_STEPS)
            rows.setdefault((tone.onset_step, pitch), (end_step, tone.velocity))
    return _as_notes((step, end, pitch, v) for (step, pitch), (end, v) in rows.items())


def chords_on_steps(song: Song, first_beat: int) -> StepChords:
    """Return the true chord at each sixteenth of the window that starts at a beat.

    Chords begin and end at the nearest half-beat, as those do that the composers play.
    """
    chords: list[Chord | None] = [None] * WINDOW_STEPS
    for chord in song.chords:
        start, end = (
            round(beats * 2) * (STEPS_PER_BEAT // 2) - first_beat * STEPS_PER_BEAT
            for beats in (chord.start_beats, chord.end_beats)
        )
        for step in range(max(start, 0), min(end, WINDOW_STEPS)):
            chords[step] = chord
    return tuple(chords)


def chord_tones(chord: Chord) -> tuple[int, ...]:
    """Pitch classes from the root on, and a bass that is none of them last."""
    extra = () if chord.bass in chord.pitch_classes else (chord.bass,)
    return (*chord.pitch_classes, *extra)


def near(pitch_class: int, center: int) -> int:
    """Return its pitch from six semitones below the center to five above."""
    return center - 6 + (pitch_class - center + 6) % _OCTAVE


def _nearest_c(pitch: int) -> int:
    """The C that has this pitch around it, from six semitones below to five above."""
    return (pitch + 6) // _OCTAVE * _OCTAVE


def _same(one: Chord | None, other: Chord | None) -> bool:
    """Whether two chords are the same but for when they sound."""
    if one is None or other is None:
        return one is other
    return (one.root, one.pitch_classes, one.bass) == (other.root, other.pitch_classes, other.bass)


def _triads(strikes: Iterable[tuple[int, int, Chord | None]]) -> StepNotes:
    """Triads in root position, on given onset and end steps."""
    rows = []
    for onset, end, chord in strikes:
        if chord is not None:
            root = _LOWEST_ROOT + (chord.root - _LOWEST_ROOT) % _OCTAVE
            above = sorted((tone - chord.root) % _OCTAVE for tone in chord.pitch_classes)[:3]
            rows += [(onset, end, root + interval, _VELOCITY) for interval in above]
    return _as_notes(rows)


def _as_notes(rows: Iterable[tuple[int, int, int, int]]) -> StepNotes:
    ordered = sorted(rows, key=lambda note: (note[0], note[2]))
    return np.array(ordered, dtype=np.int64).reshape(-1, 4)


def _bars(pieces: Iterable[Piece]) -> Iterator[tuple[StepChords, StepNotes]]:
    """Chords and struck notes of the window at every downbeat, where a whole one is left."""
    for song, notes in pieces:
        for beat in np.flatnonzero(song.downbeats).tolist():
            if beat + WINDOW_BEATS > song.beat_seconds.size:
                break
            first, last = np.searchsorted(
                notes[:, 0], np.array([beat, beat + WINDOW_BEATS]) * STEPS_PER_BEAT
            )
            shift = np.array([beat, beat, 0, 0]) * STEPS_PER_BEAT
            yield chords_on_steps(song, beat), notes[first:last] - shift


def _placed(chords: StepChords, notes: StepNotes) -> Iterator[tuple[int, int, int, int, int]]:
    """Onset step, degree, pitch, length and velocity of the notes that are in their chord."""
    for onset, end, pitch, velocity in notes.tolist():
        chord = chords[onset]
        tones = () if chord is None else chord_tones(chord)
        if pitch % _OCTAVE in tones:
            yield onset, tones.index(pitch % _OCTAVE), pitch, end - onset, velocity


class _Strikes:
    """How often, how long and how loud each degree is struck, by step and pitch."""

    def __init__(self) -> None:
        # (what, steps, degrees, pitches): count, summed lengths, summed velocities
        self._sums = np.zeros((3, WINDOW_STEPS, _MOST_TONES, _PITCHES), dtype=np.int64)

    def add(self, placed: Iterable[tuple[int, int, int, int, int]]) -> None:
        for step, degree, pitch, length, velocity in placed:
            self._sums[:, step, degree, pitch] += (1, length, velocity)

    def places(self) -> Iterator[tuple[int, int, int, int]]:
        """Count, step, degree and center of octaves of pitches, none over another."""
        for step, degree in np.argwhere(self._sums[0].any(axis=-1)).tolist():
            counts = self._sums[0, step, degree].copy()
            while counts.any():
                around = _around_centers(counts)
                best = np.flatnonzero(around == around.max())
                center = int(best[best.size // 2])  # so that pitches seen lie in its middle
                yield int(around[center]), step, degree, center
                counts[max(center - 6, 0) : center + 6] = 0

    def tone(self, step: int, degree: int, center: int) -> Tone:
        """The note of this place, as long and as loud as it is on average."""
        count, length, velocity = (
            self._sums[:, step, degree, max(center - 6, 0) : center + 6].sum(axis=-1).tolist()
        )
        return Tone(step, step + round(length / count), degree, center, round(velocity / count))


def _around_centers(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(pitches,) sums from six semitones below to five above each pitch."""
    total = np.concatenate([[0], np.cumsum(counts)])
    centers = np.arange(counts.size)
    around = total[np.minimum(centers + 6, counts.size)] - total[np.maximum(centers - 6, 0)]
    return np.asarray(around, dtype=np.int64)
