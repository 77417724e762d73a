"""A folder of songs and their piano covers: its pairs, each one read, checked and put on beats.

A pair is ``song.wav`` (or another sound file) and ``song.mid``, aligned in time. Where the beats of
the song are known they may lie beside it, as ``song.beats`` or ``song.grid.mid``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sidekeys_engine.atomic_file import shown_path
from sidekeys_engine.audio import Audio, load_audio, resample
from sidekeys_engine.beat_grid import BeatGrid, Window
from sidekeys_engine.beat_tracking import track_beats
from sidekeys_engine.errors import InputError
from sidekeys_engine.grid_files import JSON_SUFFIXES, MIDI_SUFFIXES, TEXT_SUFFIXES
from sidekeys_engine.notes import Score, read_midi
from sidekeys_engine.silence import is_silent
from sidekeys_engine.tempo_map import seconds_at_beats
from sidekeys_engine.training.alignment import MOST_LATE_SECONDS, TimedNotes, align

BeatNotes = npt.NDArray[np.float64]
"""(n, 4): onset_beats, end_beats, pitch, velocity, on a grid, by onset."""

SOUND_SUFFIXES = (
    ".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".caf", ".wma",
    ".mp4", ".mov", ".mkv", ".webm",
)  # fmt: skip
LEAST_WINDOWS = 8
"""A pair with less music than this teaches nobody."""

_LOADED_HZ = 44100  # what the beat trackers work at, as in `sidekeys render`
_GRID_MARK = ".grid"
_GRID_SUFFIXES = (
    ".beats",
    *(_GRID_MARK + s for s in (*MIDI_SUFFIXES, *TEXT_SUFFIXES, *JSON_SUFFIXES)),
)
_LONGEST_PEDAL_SECONDS = 4.0  # a pedal that nobody lets go must not hold every note of a song
_END_SLACK_SECONDS = 0.5  # a player's last chord may fall into the end of the fade
_MOST_OUTSIDE = 0.02  # share of the notes
_EARLY_BEATS = 0.1
_LATE_SECONDS = 0.06  # half a sixteenth at 120 beats a minute
_DRIFT_SECONDS = 0.12
_LOWEST_KEY, _HIGHEST_KEY = 21, 108


@dataclass(frozen=True, slots=True)
class Pair:
    """The files of one song and its cover.

    Attributes:
        name: what both are called, without their suffixes.
        sound: the song.
        midi: its piano cover.
        grid: its beats, where a file says them.
    """

    name: str
    sound: Path
    midi: Path
    grid: Path | None = None


@dataclass(frozen=True, eq=False)
class Lesson:
    """A pair that was read and found good.

    Attributes:
        name: the pair's.
        audio: (samples,) the song, mono.
        sampling_rate: of the audio, in Hz.
        grid: its beats.
        notes: the cover, on the grid.
        windows: the windows of the song that the cover fills, in order.
        late_seconds: how late the cover's notes were, before they were put right.
        remarks: what the user should hear about the files, a line each.
    """

    name: str
    audio: npt.NDArray[np.float32]
    sampling_rate: int
    grid: BeatGrid
    notes: BeatNotes
    windows: tuple[Window, ...]
    late_seconds: float = 0.0
    remarks: tuple[str, ...] = ()

    @property
    def bpm(self) -> float:
        """Quarter notes a minute over the windows."""
        first, last = self.windows[0], self.windows[-1]
        beats = last.start_beats + last.kept_beats - first.start_beats
        seconds = np.diff(self.grid.seconds_at(np.array([0.0, beats]) + first.start_beats))
        return float(60 * beats / seconds[0])

    def at_speed_of(self, semitones: int) -> Lesson:
        """The same lesson on a turntable that runs so many semitones too fast: higher, shorter.

        Notes that the piano has no keys for are left out.
        """
        if semitones == 0:
            return self
        claimed_rate = round(self.sampling_rate * 2 ** (semitones / 12))
        speed = claimed_rate / self.sampling_rate
        notes = self.notes + np.array([0, 0, semitones, 0])
        has_key = (notes[:, 2] >= _LOWEST_KEY) & (notes[:, 2] <= _HIGHEST_KEY)
        return replace(
            self,
            audio=resample(self.audio, claimed_rate, self.sampling_rate),
            grid=BeatGrid(self.grid.beats, self.grid.seconds / speed, self.grid.meters),
            notes=notes[has_key],
        )


def find_pairs(folder: Path) -> tuple[list[Pair], list[str]]:
    """Find the pairs of a folder.

    Args:
        folder: its files alone are looked at, not those of folders in it.

    Returns:
        The pairs by name, and a line for each file that lacks its other half.

    Raises:
        InputError: no such folder.
    """
    if not folder.is_dir():
        raise InputError(
            f"There is no folder {shown_path(folder)}; give the one that holds your songs "
            "(song.wav) and their piano covers (song.mid)."
        )
    try:
        files = sorted(path for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise InputError(
            f"Cannot read the folder {shown_path(folder)}: {error.strerror}."
        ) from error
    sounds: dict[str, list[Path]] = defaultdict(list)
    midis: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        suffix = path.suffix.lower()
        if path.name.startswith(".") or path.stem.endswith(_GRID_MARK):
            continue
        if suffix in SOUND_SUFFIXES:
            sounds[path.stem].append(path)
        elif suffix in MIDI_SUFFIXES:
            midis[path.stem].append(path)
    pairs, complaints = [], []
    for name in sorted(sounds.keys() | midis.keys()):
        found = (sounds.get(name, []), midis.get(name, []))
        complaint = _incomplete(*found)
        if complaint:
            complaints.append(complaint)
        else:
            pairs.append(Pair(name, found[0][0], found[1][0], _grid_beside(found[0][0])))
    return pairs, complaints


def _incomplete(sounds: list[Path], midis: list[Path]) -> str:
    """What keeps the files of one name from being a pair; empty if nothing does."""
    for kind, paths in (("sound", sounds), ("MIDI", midis)):
        if len(paths) > 1:
            names = " and ".join(path.name for path in paths)
            return f"{names} have one name; keep one {kind} file of a song."
    if not midis:
        path = sounds[0]
        return f"{path.name} has no MIDI file; put its piano cover beside it as {path.stem}.mid."
    if not sounds:
        path = midis[0]
        return f"{path.name} has no sound file; put its song beside it as {path.stem}.wav."
    return ""


def _grid_beside(sound: Path) -> Path | None:
    names = (sound.with_name(sound.stem + suffix) for suffix in _GRID_SUFFIXES)
    return next((path for path in names if path.is_file()), None)


def read_pair(pair: Pair, *, sampling_rate: int, window_beats: float) -> Lesson:
    """Read a pair and check that the one is a cover of the other.

    Args:
        pair: its files.
        sampling_rate: the rate that the model hears at, in Hz.
        window_beats: length of the model's windows.

    Raises:
        InputError: a file cannot be read, there is too little music, or the cover does not lie on
            the song; in one line that names the file and says what to do.
    """
    score = read_midi(pair.midi)
    notes = _in_seconds(score)
    audio = load_audio(pair.sound, sampling_rate=_LOADED_HZ)
    _check_notes(pair, notes, audio)
    grid = _grid_of(pair, audio)
    _windows_of(pair, grid, notes, audio, window_beats)
    # The order of pieces of sound is shuffled to learn what chance does; alike in every run.
    found = align(notes, audio.samples, audio.sampling_rate, np.random.default_rng(0))
    _check_alignment(
        pair, found.belongs, (found.late_at_start, found.late_at_end), found.late_seconds
    )
    notes[:, :2] -= found.late_seconds
    on_grid, windows = _windows_of(pair, grid, notes, audio, window_beats)
    return Lesson(
        name=pair.name,
        audio=resample(audio.samples, audio.sampling_rate, sampling_rate),
        sampling_rate=sampling_rate,
        grid=grid,
        notes=on_grid,
        windows=windows,
        late_seconds=found.late_seconds,
        remarks=audio.remarks,
    )


def _check_notes(pair: Pair, notes: TimedNotes, audio: Audio) -> None:
    if len(notes) == 0:
        raise InputError(
            f"{pair.midi.name} holds no notes but perhaps drums; export the piano's track."
        )
    if is_silent(audio.samples, audio.sampling_rate):
        raise InputError(f"{pair.sound.name} is silent; export the song again.")
    outside = int((notes[:, 0] > audio.duration_seconds + _END_SLACK_SECONDS).sum())
    if outside > _MOST_OUTSIDE * len(notes):
        raise InputError(
            f"{pair.midi.name} has {outside} of {len(notes)} notes after the end of "
            f"{pair.sound.name} ({audio.duration_seconds:.1f} s); cut it there, or give the whole "
            "song."
        )


def _grid_of(pair: Pair, audio: Audio) -> BeatGrid:
    if pair.grid is not None:
        return BeatGrid.from_file(pair.grid)
    try:
        return track_beats(audio.samples, audio.sampling_rate)
    except InputError as error:
        raise InputError(
            f"{pair.sound.name}: no beat is heard in it; put its beat times beside it as "
            f"{pair.name}.beats."
        ) from error


def _windows_of(
    pair: Pair, grid: BeatGrid, notes: TimedNotes, audio: Audio, window_beats: float
) -> tuple[BeatNotes, tuple[Window, ...]]:
    """The cover on the grid, and the windows that it fills."""
    on_grid = notes.copy()
    on_grid[:, :2] = grid.beats_at(notes[:, :2])
    windows = tuple(_filled(grid, on_grid, audio, window_beats))
    if len(windows) < LEAST_WINDOWS:
        raise InputError(
            f"{pair.sound.name} and {pair.midi.name} share {len(windows)} windows of "
            f"{window_beats:g} beats; give at least {LEAST_WINDOWS}, some 20 seconds of music."
        )
    return on_grid, windows


def _check_alignment(
    pair: Pair, belongs: bool, thirds: tuple[float, float], late_seconds: float
) -> None:
    """Refuse notes of another song, notes that drift, and notes that are late or early."""
    if not belongs:
        raise InputError(
            f"{pair.midi.name} does not sound like a cover of {pair.sound.name} at any lag up to "
            f"{MOST_LATE_SECONDS:g} s; align it in a DAW, in the song's own key and at its tempo."
        )
    if abs(thirds[1] - thirds[0]) > _DRIFT_SECONDS:
        raise InputError(
            f"{pair.midi.name} drifts: it is {_lag(thirds[0])} at the start and {_lag(thirds[1])} "
            "at the end; give it the tempo of the song."
        )
    if abs(late_seconds) > _LATE_SECONDS:
        where = "earlier" if late_seconds > 0 else "later"
        raise InputError(
            f"{pair.midi.name} is {_lag(late_seconds)}; move its notes {abs(late_seconds):.2f} s "
            f"{where}."
        )


def _lag(seconds: float) -> str:
    return f"{abs(seconds):.2f} s {'late' if seconds >= 0 else 'early'}"


def _in_seconds(score: Score) -> TimedNotes:
    """Notes as long as they sound, (n, 4), by onset: the pedal holds those whose keys are up."""
    rows = np.array(
        [(note.onset_beats, note.end_beats, note.pitch, note.velocity) for note in score.notes],
        dtype=np.float64,
    ).reshape(-1, 4)
    rows[:, :2] = seconds_at_beats(score.tempos, rows[:, :2])
    for pedal in score.pedals:
        span = [pedal.onset_beats, pedal.onset_beats + pedal.duration_beats]
        down, up = seconds_at_beats(score.tempos, span)
        is_held = (rows[:, 1] >= down) & (rows[:, 1] < up)
        longest = np.maximum(rows[:, 1], rows[:, 0] + _LONGEST_PEDAL_SECONDS)
        rows[is_held, 1] = np.minimum(up, longest[is_held])
    return rows


def _filled(
    grid: BeatGrid, notes: BeatNotes, audio: Audio, window_beats: float
) -> Iterator[Window]:
    """The windows in which something is heard, from the cover's first note to its last."""
    # A first note that is played a hair early belongs to the window it is meant for.
    first, last = notes[:, 0].min() + _EARLY_BEATS, notes[:, 0].max()
    for window in grid.windows(0.0, audio.duration_seconds, window_beats=window_beats):
        if window.start_beats + window.kept_beats <= first or window.start_beats > last:
            continue
        ends = window.start_beats + np.array([0.0, window.length_beats])
        start, end = (grid.seconds_at(ends) * audio.sampling_rate).astype(np.int64).clip(0)
        if not is_silent(audio.samples[start:end], audio.sampling_rate):
            yield window
