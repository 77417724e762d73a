"""Audio, a beat grid and a composer in; the piano cover out: the offline path."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidekeys_engine.beat_grid import WHOLE_WINDOWS, BeatGrid, Cut, Window
from sidekeys_engine.joining import song_notes
from sidekeys_engine.note_tokens import StepNote
from sidekeys_engine.notes import Note, Score
from sidekeys_engine.pianist import Pianist, Taste
from sidekeys_engine.silence import EARLY_SECONDS, is_silent, sounding_span
from sidekeys_engine.timeline import timeline

# Windows that go through the model at once: more gains little speed and costs memory.
_WINDOWS_PER_BATCH = 32
# Notes this short, cut off at a region's end, are not worth a hammer's stroke.
_SHORTEST_BEATS = 1 / 16
_SAME_MOMENT_SECONDS = 1e-3

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Region:
    """The part of a song to cover, in seconds of the song."""

    start_seconds: float
    end_seconds: float


def make_cover(
    audio: npt.NDArray[np.float32],
    grid: BeatGrid,
    pianist: Pianist,
    composer: str,
    *,
    region: Region | None = None,
    taste: Taste | None = None,
    progress: Progress | None = None,
    cut: Cut = WHOLE_WINDOWS,
) -> Score:
    """Cover a song.

    Windows start on the bars and are played one by one; a batch of them at a time goes through the
    model. A window in which nothing is heard stays silent.

    Args:
        audio: (samples,) the whole song, mono, at ``pianist.sampling_rate``.
        grid: its beats.
        pianist: the checkpoint.
        composer: one of its composers.
        region: the part to cover; the whole song by default.
        taste: how notes are chosen.
        progress: called with the windows done and the windows in all.
        cut: how windows lie over the song: one after another, or overlapping as the live piano
            may play them.

    Returns:
        The score on the song's own time line: beat 0 is second 0, whatever the region.
    """
    duration_seconds = len(audio) / pianist.sampling_rate
    region = region or Region(0.0, duration_seconds)
    windows = _windows_of(region, grid, duration_seconds, pianist.window_beats, cut)
    played = _played(audio, grid, windows, pianist, composer, taste, progress)
    notes = song_notes(played, pianist.steps_per_window)
    heard = sounding_span(audio, pianist.sampling_rate)
    kept = _joined(_inside(notes, grid, region, heard))
    return _on_song_time(kept, grid, duration_seconds)


def _windows_of(
    region: Region, grid: BeatGrid, duration_seconds: float, window_beats: float, cut: Cut
) -> list[tuple[int, Window]]:
    """The song's windows that a region touches, with their numbers in the song.

    They are numbered in the song, not in the region, so that a take of a part is that part of the
    take of the whole.
    """
    start, end = (
        grid.beats_at(seconds)
        for seconds in (
            region.start_seconds + _SAME_MOMENT_SECONDS,
            region.end_seconds - _SAME_MOMENT_SECONDS,
        )
    )
    return [
        (number, window)
        for number, window in enumerate(
            grid.windows(0.0, duration_seconds, window_beats=window_beats, cut=cut)
        )
        if window.start_beats + window.kept_beats > start
        and window.start_beats + window.skipped_beats < end
    ]


def _played(
    audio: npt.NDArray[np.float32],
    grid: BeatGrid,
    windows: list[tuple[int, Window]],
    pianist: Pianist,
    composer: str,
    taste: Taste | None,
    progress: Progress | None,
) -> Iterator[tuple[Window, list[StepNote]]]:
    """Every window with the notes played in it, in order; silent ones are left out."""
    if progress is not None:
        progress(0, len(windows))
    for first in range(0, len(windows), _WINDOWS_PER_BATCH):
        numbers, batch = zip(*windows[first : first + _WINDOWS_PER_BATCH], strict=True)
        context = pianist.context_steps
        moments = np.stack(
            [
                grid.seconds_at(w.step_positions(pianist.steps_per_window, before=context))
                for w in batch
            ]
        )
        rate = pianist.sampling_rate
        heard = [not is_silent(_slice(audio, rate, m[context], m[-1]), rate) for m in moments]
        if any(heard):
            played = pianist.play(audio, moments, composer, taste=taste, first_window=numbers[0])
            for window, steps, is_heard in zip(batch, played, heard, strict=True):
                if is_heard:
                    yield window, steps
        if progress is not None:
            progress(first + len(batch), len(windows))


def _slice(
    audio: npt.NDArray[np.float32], rate: int, start_seconds: float, end_seconds: float
) -> npt.NDArray[np.float32]:
    return audio[max(0, int(start_seconds * rate)) : max(0, int(end_seconds * rate))]


def _inside(
    notes: Iterable[Note], grid: BeatGrid, region: Region, heard: tuple[float, float]
) -> Iterator[Note]:
    """The notes that start inside the region and while the song sounds; none outlasts the region.

    A window that is silent in part may get notes there too; a pianist would wait for the song.
    """
    start = grid.beats_at(
        max(region.start_seconds - _SAME_MOMENT_SECONDS, heard[0] - EARLY_SECONDS)
    )
    end, last = grid.beats_at(region.end_seconds), grid.beats_at(heard[1])
    for note in notes:
        left = end - note.onset_beats
        if start <= note.onset_beats <= last and left >= _SHORTEST_BEATS:
            yield Note(note.onset_beats, note.pitch, min(note.duration_beats, left), note.velocity)


def _joined(notes: Iterator[Note]) -> list[Note]:
    """Notes of one pitch that overlap are cut: a key must be up before it is struck again."""
    by_pitch: dict[int, Note] = {}
    finished: list[Note] = []
    for note in sorted(notes):
        before = by_pitch.get(note.pitch)
        if before is not None:
            room = note.onset_beats - before.onset_beats
            if room <= 0:
                continue
            finished.append(
                Note(
                    before.onset_beats,
                    before.pitch,
                    min(before.duration_beats, room),
                    before.velocity,
                )
            )
        by_pitch[note.pitch] = note
    return sorted([*finished, *by_pitch.values()])


def _on_song_time(notes: list[Note], grid: BeatGrid, duration_seconds: float) -> Score:
    """Notes of the grid on the time line of a MIDI file, with its tempos and meters."""
    anchored, tempos, meters = timeline(grid, duration_seconds)

    def position(beats: float) -> float:
        return max(0.0, anchored.beats_at(grid.seconds_at(beats)))

    moved = [
        Note(
            onset_beats=position(note.onset_beats),
            pitch=note.pitch,
            duration_beats=position(note.end_beats) - position(note.onset_beats),
            velocity=note.velocity,
        )
        for note in notes
    ]
    return Score(notes=tuple(moved), tempos=tempos, meters=meters)
