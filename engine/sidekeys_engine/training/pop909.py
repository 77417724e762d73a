"""Songs of the POP909 dataset, in beats: a sung melody, a piano performance, chords.

POP909: A Pop-song Dataset for Music Arrangement Generation (Wang et al., ISMIR 2020).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

Notes = npt.NDArray[np.float64]
"""(notes, 4): onset beat, end beat, pitch and velocity, by onset."""
Beats = npt.NDArray[np.float64]

_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_QUALITIES = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "min7": (0, 3, 7, 10),
    "sus4": (0, 5, 7),
    "sus2": (0, 2, 7),
    "sus4(b7)": (0, 5, 7, 10),
    "dim": (0, 3, 6),
    "hdim7": (0, 3, 6, 10),
    "dim7": (0, 3, 6, 9),
    "aug": (0, 4, 8),
    "maj6": (0, 4, 7, 9),
    "min6": (0, 3, 7, 9),
    "9": (0, 4, 7, 10, 2),
    "maj9": (0, 4, 7, 11, 2),
    "min9": (0, 3, 7, 10, 2),
    "11": (0, 7, 10, 2, 5),
    "min11": (0, 3, 7, 10, 5),
    "13": (0, 4, 7, 10, 9),
    "maj13": (0, 4, 7, 11, 9),
    "minmaj7": (0, 3, 7, 11),
}
_MAJOR_DEGREES = {"1": 0, "2": 2, "3": 4, "4": 5, "5": 7, "6": 9, "7": 11, "9": 2}
_SILENT_CHORDS = ("N", "X")
_SHORTEST_HALVED_BAR_BEATS = 6


@dataclass(frozen=True)
class Chord:
    """One harmony: its root, its pitch classes from the root on, and the lowest of them played.

    Attributes:
        start_beats: where it begins.
        end_beats: where it ends.
        root: pitch class, 0 (C) to 11.
        pitch_classes: 0 to 11 each, the root first.
        bass: pitch class, 0 to 11.
    """

    start_beats: float
    end_beats: float
    root: int
    pitch_classes: tuple[int, ...]
    bass: int

    def __post_init__(self) -> None:
        if not self.start_beats < self.end_beats:
            raise ValueError("a chord ends after it begins")
        if not all(0 <= pc < 12 for pc in (self.root, self.bass, *self.pitch_classes)):
            raise ValueError("pitch classes are 0 to 11")

    def transposed(self, semitones: int) -> Chord:
        """Return it so many semitones higher."""
        return replace(
            self,
            root=(self.root + semitones) % 12,
            pitch_classes=tuple((pc + semitones) % 12 for pc in self.pitch_classes),
            bass=(self.bass + semitones) % 12,
        )


@dataclass(frozen=True, eq=False)
class Song:
    """A song, its notes and chords in beats: beat 0 is the first of ``beat_seconds``.

    Attributes:
        name: of its folder.
        beat_seconds: (beats,) when each beat falls, rising.
        downbeats: (beats,) whether each is the first of a bar.
        melody: what is sung.
        bridge: the second melody, of an instrument.
        piano: the accompaniment, as it was performed.
        chords: in order; silence between them.
    """

    name: str
    beat_seconds: Beats
    downbeats: npt.NDArray[np.bool_]
    melody: Notes
    bridge: Notes
    piano: Notes
    chords: tuple[Chord, ...]

    def __post_init__(self) -> None:
        if self.beat_seconds.size < 2 or not (np.diff(self.beat_seconds) > 0).all():
            raise ValueError(f"{self.name}: its beats do not rise")
        if self.downbeats.shape != self.beat_seconds.shape:
            raise ValueError(f"{self.name}: not every beat is known to be a downbeat or none")

    @property
    def bpm(self) -> float:
        """Median tempo, in beats a minute."""
        return 60 / float(np.median(np.diff(self.beat_seconds)))

    def seconds_at(self, beats: npt.ArrayLike) -> Beats:
        """When these beats fall; before the first and after the last, time goes on as there."""
        return interpolated(beats, np.arange(self.beat_seconds.size), self.beat_seconds)

    def transposed(self, semitones: int) -> Song:
        """Return it so many semitones higher; pitches may then lie off the keyboard."""
        shift = np.array([0, 0, semitones, 0])
        return replace(
            self,
            melody=self.melody + shift,
            bridge=self.bridge + shift,
            piano=self.piano + shift,
            chords=tuple(chord.transposed(semitones) for chord in self.chords),
        )

    def faster(self, factor: float) -> Song:
        """Return it at so many times its tempo.

        Raises:
            ValueError: the factor is not above 0.
        """
        if not factor > 0:
            raise ValueError("a tempo is multiplied by more than 0")
        return replace(self, beat_seconds=self.beat_seconds / factor)

    def doubled(self) -> Song:
        """Return it counted twice as fast: each beat becomes two, and what sounds stays the same.

        A bar of four becomes two bars of four, as a listener who counts that fast has it.
        """
        scale = np.array([2, 2, 1, 1])
        last = self.beat_seconds.size - 1
        return replace(
            self,
            beat_seconds=self.seconds_at(np.arange(2 * last + 1) / 2),
            downbeats=_doubled_downbeats(self.downbeats),
            melody=self.melody * scale,
            bridge=self.bridge * scale,
            piano=self.piano * scale,
            chords=tuple(
                replace(c, start_beats=2 * c.start_beats, end_beats=2 * c.end_beats)
                for c in self.chords
            ),
        )


def song_names(folder: Path) -> list[str]:
    """Names of the songs in a folder of POP909, ``["001", ...]``."""
    return sorted(path.parent.name for path in folder.glob("[0-9][0-9][0-9]/beat_midi.txt"))


def split_of(name: str) -> str:
    """Which part of the dataset a song is in: ``train``, ``validation`` or ``test``."""
    number = int(name)
    if number <= 400 and number % 10 == 0:
        return "test"
    if 401 <= number <= 640 and number % 10 == 5:
        return "validation"
    return "train"


def read_song(folder: Path, name: str) -> Song:
    """Read one song.

    Args:
        folder: of POP909, with a folder for each song.
        name: of the song, such as ``"001"``.

    Raises:
        OSError: one of its files is missing.
        ValueError: its beats or chords are not written as in POP909.
    """
    import pretty_midi  # noqa: PLC0415

    table = np.loadtxt(folder / name / "beat_midi.txt", ndmin=2)
    if table.shape[1] != 3:
        raise ValueError(f"{name}: a beat has a time, a strong-beat mark and a downbeat mark")
    beat_seconds = table[:, 0]
    midi = pretty_midi.PrettyMIDI(str(folder / name / f"{name}.mid"))
    tracks = {
        track.name: np.array(
            [(note.start, note.end, note.pitch, note.velocity) for note in track.notes],
            dtype=np.float64,
        ).reshape(-1, 4)
        for track in midi.instruments
    }
    melody, bridge, piano = (
        _in_beats(tracks.get(track, np.empty((0, 4))), beat_seconds)
        for track in ("MELODY", "BRIDGE", "PIANO")
    )
    return Song(
        name=name,
        beat_seconds=beat_seconds,
        downbeats=table[:, 2] > 0.5,
        melody=melody,
        bridge=bridge,
        piano=piano,
        chords=_read_chords(folder / name / "chord_midi.txt", beat_seconds),
    )


def _in_beats(notes: Notes, beat_seconds: Beats) -> Notes:
    """Notes of seconds as notes of beats, by onset and then by pitch."""
    notes = notes[np.lexsort((notes[:, 2], notes[:, 0]))]
    beats = interpolated(notes[:, :2], beat_seconds, np.arange(beat_seconds.size))
    in_beats: Notes = np.concatenate([beats, notes[:, 2:]], axis=1)
    return in_beats


def _read_chords(path: Path, beat_seconds: Beats) -> tuple[Chord, ...]:
    chords = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            words = line.split()
            if len(words) != 3 or words[2] in _SILENT_CHORDS:
                continue
            start, end = interpolated(
                [float(words[0]), float(words[1])], beat_seconds, np.arange(beat_seconds.size)
            )
            if start < end:
                chords.append(Chord(float(start), float(end), *_parsed_chord(words[2])))
    return tuple(chords)


def _parsed_chord(symbol: str) -> tuple[int, tuple[int, ...], int]:
    """Root, pitch classes and bass of ``"Bb:min7/b3"``; unknown qualities count as major.

    The symbols are those of Harte (2005), "Symbolic representation of musical chords".
    """
    letter, _, quality = symbol.partition(":")
    quality, _, degree = quality.partition("/")
    if letter[:1] not in _LETTERS:
        raise ValueError(f"{symbol!r} is no chord")
    root = (_LETTERS[letter[0]] + letter.count("#") - letter.count("b")) % 12
    intervals = _QUALITIES.get(quality) or _QUALITIES.get(quality.split("(")[0]) or (0, 4, 7)
    pitch_classes = tuple((root + interval) % 12 for interval in intervals)
    return root, pitch_classes, (root + _degree_semitones(degree)) % 12


def _degree_semitones(degree: str) -> int:
    """Semitones from the root up to ``"b3"``; an empty or unknown degree is the root."""
    sharps = degree.count("#") - degree.count("b")
    return _MAJOR_DEGREES.get(degree.strip("#b"), -sharps) + sharps


def _doubled_downbeats(downbeats: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Downbeats of a song counted twice as fast, (2 beats - 1,): long even bars are halved."""
    doubled = np.zeros(2 * downbeats.size - 1, dtype=np.bool_)
    doubled[::2] = downbeats
    starts = np.flatnonzero(doubled)
    for start, end in zip(starts, [*starts[1:], 2 * downbeats.size], strict=True):
        if end - start >= _SHORTEST_HALVED_BAR_BEATS and (end - start) % 2 == 0:
            doubled[(start + end) // 2] = True
    return doubled


def interpolated(values: npt.ArrayLike, old: npt.ArrayLike, new: npt.ArrayLike) -> Beats:
    """Values of one rising scale on another; beyond its ends, its first and last slopes go on.

    Args:
        values: any shape.
        old: (n,) rising, on the scale of the values.
        new: (n,) the same places on the other scale.
    """
    x = np.asarray(values, dtype=np.float64)
    xs, ys = np.asarray(old, dtype=np.float64), np.asarray(new, dtype=np.float64)
    index = np.clip(np.searchsorted(xs, x, side="right") - 1, 0, xs.size - 2)
    share = (x - xs[index]) / (xs[index + 1] - xs[index])
    result: Beats = ys[index] + share * (ys[index + 1] - ys[index])
    return result
