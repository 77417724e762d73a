"""One song file in; a .mid and, if asked for, a picture and a mix out."""

from __future__ import annotations

import re
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sidekeys_engine.atomic_file import check_writable, shown_path
from sidekeys_engine.audio import Audio, load_audio, resample
from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.beat_tracking import track_beats
from sidekeys_engine.cover import Progress, Region, make_cover
from sidekeys_engine.errors import InputError
from sidekeys_engine.expression import Expression, expressed
from sidekeys_engine.mix import check_mix_path, write_mix
from sidekeys_engine.notes import Meter, Note, Pedal, Score, TempoChange, write_midi
from sidekeys_engine.pianist import Pianist, Taste
from sidekeys_engine.piano_roll import check_plot_path, plot_piano_roll
from sidekeys_engine.silence import is_silent
from sidekeys_engine.timeline import timeline

# Both trackers and the mix work at this rate; the model's own is below it.
_LOADED_HZ = 44100
_MIDI_SUFFIXES = (".mid", ".midi")
_BAR = re.compile(r"(?:bar\s*|b)(\d+)|(\d+)\s*b|(\d+)\|(\d+)", re.IGNORECASE)
_CLOCK = re.compile(r"(?:(\d+):)?(\d+(?:\.\d*)?|\.\d+)")
_FASTEST_BPM, _SLOWEST_BPM = 400.0, 20.0
# Two positions are one: 1/1000 of a beat is less than a MIDI tick.
_SAME_BEAT = 1e-3


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a song: seconds, or a beat of a bar (counted from 1, of the meter's own beats)."""

    seconds: float | None = None
    bar: int | None = None
    beat: int = 1

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read "12.5", "1:02.5", "bar5" (or "b5", "5b"), or "5|3", the third beat of bar 5.

        Raises:
            InputError: anything else.
        """
        bar = _BAR.fullmatch(text.strip())
        if bar:
            number, beat = int(bar[1] or bar[2] or bar[3]), int(bar[4] or 1)
            if number >= 1 and beat >= 1:
                return cls(bar=number, beat=beat)
        clock = _CLOCK.fullmatch(text.strip())
        if clock is None or (clock[1] and float(clock[2]) >= 60):
            raise InputError(
                f"{text!r} is no place in a song; give seconds (12.5), minutes and seconds "
                "(1:02.5), a bar (bar5), or a bar and a beat (5|3)."
            )
        return cls(seconds=60 * int(clock[1] or 0) + float(clock[2]))

    def on(self, grid: BeatGrid) -> float:
        """Seconds into the song.

        Args:
            grid: anchored, so that bars are numbered as in the .mid: a pickup is bar 1.

        Raises:
            InputError: the bar has no such beat.
        """
        if self.bar is None:
            assert self.seconds is not None
            return self.seconds
        start = grid.bar_start(self.bar)
        meter = grid.meter_at(start)
        if self.beat > meter.numerator:
            raise InputError(
                f"Bar {self.bar} has {meter.numerator} beats, not {self.beat}; give an earlier one."
            )
        return grid.seconds_at(start + (self.beat - 1) * 4 / meter.denominator)


@dataclass(frozen=True, slots=True)
class GridChoice:
    """Where a song's beats come from: what the user says, or else a tracker.

    Attributes:
        bpm: quarter notes a minute, steady.
        first_beat_seconds: where a bar begins.
        meter: the meter; by default the grid file's, or 4/4.
        file: a MIDI file or a list of beats.
        tracker: which one listens where nothing is said.
        tempo_factor: 0.5 halves what was found or said, 2.0 doubles it.
    """

    bpm: float | None = None
    first_beat_seconds: float | None = None
    meter: Meter | None = None
    file: Path | None = None
    tracker: str = "auto"
    tempo_factor: float = 1.0

    def __post_init__(self) -> None:
        if self.bpm is not None and not _SLOWEST_BPM <= self.bpm <= _FASTEST_BPM:
            raise InputError(
                f"A tempo of {self.bpm:g} beats a minute is out of range; give --bpm between "
                f"{_SLOWEST_BPM:g} and {_FASTEST_BPM:g}."
            )
        if self.bpm is not None and self.file is not None:
            raise InputError(
                "Give --bpm or --grid, not both: each of them says where the beats are."
            )
        if (
            self.bpm is not None
            and not _SLOWEST_BPM <= self.bpm * self.tempo_factor <= _FASTEST_BPM
        ):
            raise InputError(
                f"{self.bpm * self.tempo_factor:g} beats a minute are out of range; leave out "
                "--half-time or --double-time."
            )
        if self.first_beat_seconds is not None and not np.isfinite(self.first_beat_seconds):
            raise InputError("--first-beat must be a number of seconds.")

    def grid(self, audio: Audio) -> BeatGrid:
        """The beats of a song.

        Raises:
            InputError: the file cannot be read, or no beat is heard.
        """
        meter = self.meter or Meter()
        if self.file is not None:
            found = BeatGrid.from_file(self.file, meter=self.meter)
        elif self.bpm is not None:
            found = BeatGrid.from_tempo(
                self.bpm, first_beat_seconds=self.first_beat_seconds or 0.0, meter=meter
            )
        else:
            found = track_beats(
                audio.samples, audio.sampling_rate, tracker=self.tracker, meter=meter
            )
        if self.tempo_factor != 1.0:
            found = found.halved() if self.tempo_factor < 1 else found.doubled()
        if self.first_beat_seconds is not None and self.bpm is None:
            found = found.with_bar_at(self.first_beat_seconds)
        return found


@dataclass(frozen=True, slots=True)
class Job:
    """One song to render.

    Attributes:
        song: the sound file.
        midi: the MIDI file to write.
        composer: one of the checkpoint's.
        plot: a picture to write.
        mix: a sound file to write: the song left, the piano right.
        grid: where the beats come from.
        start: where the part to cover starts.
        end: where it ends.
        taste: how notes are chosen.
        expression: what is added to them.
    """

    song: Path
    midi: Path
    composer: str
    plot: Path | None = None
    mix: Path | None = None
    grid: GridChoice = field(default_factory=GridChoice)
    start: Position | None = None
    end: Position | None = None
    taste: Taste = field(default_factory=Taste)
    expression: Expression = field(default_factory=Expression)

    def __post_init__(self) -> None:
        if self.midi.suffix.lower() not in _MIDI_SUFFIXES:
            raise InputError(
                f"Cannot write {shown_path(self.midi)}: give a name that ends in .mid."
            )
        if self.plot is not None:
            check_plot_path(self.plot)
        if self.mix is not None:
            check_mix_path(self.mix)
        for output in self.outputs:
            if any(output.resolve() == path.resolve() for path in self.inputs):
                raise InputError(
                    f"{shown_path(output)} is what is read here; give the result another name."
                )
            check_writable(output)

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files to write, the .mid last."""
        return tuple(path for path in (self.mix, self.plot, self.midi) if path is not None)

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files to read."""
        return (self.song,) if self.grid.file is None else (self.song, self.grid.file)


@dataclass(frozen=True, slots=True)
class Rendered:
    """What came of a job."""

    song: str
    midi: str
    plot: str | None
    mix: str | None
    composer: str
    notes: int
    bars: int
    bpm: float
    meter: str
    first_downbeat_seconds: float
    start_seconds: float
    end_seconds: float
    took_seconds: float
    remarks: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def render_song(job: Job, pianist: Pianist, *, progress: Progress | None = None) -> Rendered:
    """Cover a song and write the files of its job.

    Args:
        job: what to do.
        pianist: who plays.
        progress: called with the windows played and the windows in all.

    Raises:
        InputError: the song or the grid cannot be used, or a file cannot be written. Files that
            were there before are untouched, and none is left half-written.
    """
    started = time.monotonic()
    audio = load_audio(job.song, sampling_rate=_LOADED_HZ)
    remarks = list(audio.remarks)
    silent = is_silent(audio.samples, audio.sampling_rate)
    if silent:
        # There is nothing to track; the file is empty on whatever grid was named.
        is_said = job.grid.bpm is not None or job.grid.file is not None
        grid = (job.grid if is_said else replace(job.grid, bpm=120.0)).grid(audio)
        remarks.append("nothing but silence is heard, so the .mid has no notes")
    else:
        grid = job.grid.grid(audio)
    anchored, tempos, meters = timeline(grid, audio.duration_seconds)
    region = _region(job, anchored, audio)
    if silent:
        score = Score(tempos=tempos, meters=meters)
    else:
        score = make_cover(
            _at_model_rate(audio, pianist),
            grid,
            pianist,
            job.composer,
            region=region,
            taste=job.taste,
            progress=progress,
        )
        has_velocity = pianist.model.config.velocity_levels > 1
        song = None if has_velocity else audio.samples
        score = expressed(score, anchored, job.expression, song, audio.sampling_rate)
        if not score.notes:
            remarks.append("no notes were played: the part is silent or too short for a beat")
    _write(job, score, anchored, audio, region)
    start_beats, end_beats = (
        anchored.beats_at(seconds) for seconds in (region.start_seconds, region.end_seconds)
    )
    # Of the song's own beats: those of a pickup are stretched in the file.
    beats = grid.beats_at(region.end_seconds) - grid.beats_at(region.start_seconds)
    return Rendered(
        song=str(job.song),
        midi=str(job.midi),
        plot=None if job.plot is None else str(job.plot),
        mix=None if job.mix is None else str(job.mix),
        composer=job.composer,
        notes=len(score.notes),
        bars=len(anchored.bar_lines(start_beats - _SAME_BEAT, end_beats - _SAME_BEAT)),
        bpm=round(60 * beats / (region.end_seconds - region.start_seconds), 2),
        meter=str(anchored.meter_at((start_beats + end_beats) / 2)),
        first_downbeat_seconds=round(grid.seconds_at(grid.bar_start(1)), 4),
        start_seconds=round(region.start_seconds, 4),
        end_seconds=round(region.end_seconds, 4),
        took_seconds=round(time.monotonic() - started, 3),
        remarks=tuple(remarks),
    )


def _region(job: Job, grid: BeatGrid, audio: Audio) -> Region:
    length = audio.duration_seconds
    start = 0.0 if job.start is None else max(0.0, job.start.on(grid))
    end = length if job.end is None else job.end.on(grid)
    if start >= length:
        raise InputError(
            f"--start ({start:.2f} s) lies beyond the end of {shown_path(job.song)} "
            f"({length:.2f} s); give an earlier place."
        )
    if end <= start:
        raise InputError(
            f"--end ({end:.2f} s) must lie after --start ({start:.2f} s); give a later place."
        )
    return Region(start, min(end, length))


def _at_model_rate(audio: Audio, pianist: Pianist) -> npt.NDArray[np.float32]:
    if audio.sampling_rate == pianist.sampling_rate:
        return audio.samples
    return resample(audio.samples, audio.sampling_rate, pianist.sampling_rate)


def _write(job: Job, score: Score, anchored: BeatGrid, audio: Audio, region: Region) -> None:
    """Write the files; the .mid comes last, so that it is there only if the others are."""
    if job.mix is not None:
        rate = audio.sampling_rate
        part = slice(round(region.start_seconds * rate), round(region.end_seconds * rate))
        write_mix(audio.samples[part], rate, _on_region_time(score, anchored, region), job.mix)
    if job.plot is not None:
        first, last = (
            anchored.beats_at(seconds) for seconds in (region.start_seconds, region.end_seconds)
        )
        number = anchored.bar_number(first + _SAME_BEAT)
        plot_piano_roll(
            score,
            job.plot,
            title=f"{job.song.stem}, played by {job.composer}",
            bar_lines=[
                anchored.bar_start(number),
                *anchored.bar_lines(anchored.bar_start(number) + _SAME_BEAT, last + _SAME_BEAT),
            ],
            first_bar=number,
            start_beats=anchored.bar_start(number),
            seconds_at=anchored.seconds_at,
        )
    write_midi(score, job.midi)


def _on_region_time(score: Score, anchored: BeatGrid, region: Region) -> Score:
    """The score of a part alone, for the ear: at 60 bpm, so that a beat is a second of the part."""

    def on_part(onset_beats: float, end_beats: float) -> tuple[float, float]:
        start, end = anchored.seconds_at(onset_beats), anchored.seconds_at(end_beats)
        return max(0.0, start - region.start_seconds), end - start

    notes = []
    for note in score.notes:
        onset, length = on_part(note.onset_beats, note.end_beats)
        notes.append(Note(onset, note.pitch, length, note.velocity))
    pedals = [
        Pedal(*on_part(pedal.onset_beats, pedal.onset_beats + pedal.duration_beats))
        for pedal in score.pedals
    ]
    return Score(notes=tuple(notes), pedals=tuple(pedals), tempos=(TempoChange(0.0, 60.0),))
