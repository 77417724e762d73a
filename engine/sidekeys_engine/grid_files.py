"""Beat files -> plain tables of beats: MIDI tempo maps, lists of beat times, JSON.

:mod:`sidekeys_engine.beat_grid` turns these tables into a ``BeatGrid``. Every fault of a file
becomes an ``InputError`` that names the file and, where it has lines, the line.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidekeys_engine.atomic_file import check_readable
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter, MeterChange

MIDI_SUFFIXES = (".mid", ".midi")
TEXT_SUFFIXES = (".txt", ".beats", ".csv", ".tsv")
JSON_SUFFIXES = (".json",)

_MAX_FILE_BYTES = 16 * 1024 * 1024
_MIN_INTERVAL_SECONDS = 0.03
_MAX_INTERVAL_SECONDS = 9.0
_DOWNBEAT_TOLERANCE_SECONDS = 0.07  # what beat trackers are scored with
_SETTLED_BEATS = 16.0  # a last tempo held this long sets the tempo after it, too
_LISTED_EXAMPLE = 'a time in seconds a line, such as "0.512 1" (1 = downbeat)'


@dataclass(frozen=True, slots=True)
class TempoMap:
    """A tempo map as corner points of a piecewise linear curve.

    Attributes:
        beats: positions in quarter notes, increasing.
        seconds: when each of them sounds.
        meters: the meters, from beat 0.
    """

    beats: tuple[float, ...]
    seconds: tuple[float, ...]
    meters: tuple[MeterChange, ...]


@dataclass(frozen=True, slots=True)
class BeatList:
    """Beats one by one, as beat trackers and annotators write them.

    Attributes:
        seconds: time of each pulse, increasing.
        downbeats: indices into ``seconds`` of the pulses that begin a bar; may be empty.
        bar_pulses: for each downbeat, how many pulses its bar has.
        meter: the meter the file states, if it states one.
    """

    seconds: tuple[float, ...]
    downbeats: tuple[int, ...] = ()
    bar_pulses: tuple[int, ...] = ()
    meter: Meter | None = None


def read_grid_file(path: Path) -> TempoMap | BeatList:
    """Read a beat file of any kind, chosen by its suffix.

    Raises:
        InputError: for a file that is missing, of another kind or malformed.
    """
    suffix = path.suffix.lower()
    if suffix in MIDI_SUFFIXES:
        return read_midi_tempo_map(path)
    if suffix in TEXT_SUFFIXES:
        return _parse_text(path, _read_text(path))
    if suffix in JSON_SUFFIXES:
        return _parse_json(path, _read_text(path))
    kinds = ", ".join((*MIDI_SUFFIXES, *TEXT_SUFFIXES, *JSON_SUFFIXES))
    raise InputError(f"{path}: a beat grid is read from a file ending in one of {kinds}")


def parse_meter(text: str) -> Meter:
    """``"6/8"`` -> ``Meter(6, 8)``.

    Raises:
        InputError: for anything that is no meter.
    """
    match = re.fullmatch(r"\s*(\d{1,3})\s*/\s*(\d{1,3})\s*", text)
    try:
        if match is None:
            raise ValueError(text)
        return Meter(int(match[1]), int(match[2]))
    except ValueError as error:
        raise InputError(f"{text!r} is no meter; write it like 4/4, 3/4 or 6/8") from error


# ---------------------------------------------------------------------------------------- MIDI


def read_midi_tempo_map(path: Path) -> TempoMap:
    """The tempo map and meters of a MIDI file; beat 0 is second 0, the file's start.

    Raises:
        InputError: if the file cannot be read, is not MIDI, or counts time in SMPTE frames.
    """
    _check_readable(path)
    ticks_per_beat, tempos, meters = _read_midi_events(path)
    beats, seconds = [0.0], [0.0]
    microseconds = tempos.pop(0, 500_000)
    first_microseconds = microseconds
    for tick, tempo in sorted(tempos.items()):
        beat = tick / ticks_per_beat
        seconds.append(seconds[-1] + (beat - beats[-1]) * microseconds / 1e6)
        beats.append(beat)
        microseconds = tempo
    beats.append(beats[-1] + _SETTLED_BEATS)
    seconds.append(seconds[-1] + _SETTLED_BEATS * microseconds / 1e6)
    beats.insert(0, -_SETTLED_BEATS)
    seconds.insert(0, -_SETTLED_BEATS * first_microseconds / 1e6)
    meters.setdefault(0, (4, 4))
    changes: list[MeterChange] = []
    for tick, (numerator, denominator) in sorted(meters.items()):
        meter = _meter(path, numerator, denominator)
        if not changes or _starts_anew(changes[-1], tick / ticks_per_beat, meter):
            changes.append(MeterChange(tick / ticks_per_beat, meter))
    return TempoMap(tuple(beats), tuple(seconds), tuple(changes))


def _read_midi_events(path: Path) -> tuple[int, dict[int, int], dict[int, tuple[int, int]]]:
    import mido  # noqa: PLC0415

    tempos: dict[int, int] = {}
    meters: dict[int, tuple[int, int]] = {}
    try:
        file = mido.MidiFile(str(path), clip=True)
        for track in file.tracks if file.type != 2 else []:
            tick = 0
            for message in track:
                tick += message.time
                if message.type == "set_tempo":
                    tempos[tick] = message.tempo
                elif message.type == "time_signature":
                    meters[tick] = (message.numerator, message.denominator)
    except Exception as error:  # mido meets a broken file with half a dozen error types
        raise InputError(f"{path}: is no readable MIDI file ({error or 'cut short'})") from error
    if file.type == 2:
        raise InputError(f"{path}: holds several songs (MIDI type 2); export it as type 0 or 1")
    if file.ticks_per_beat <= 0:
        raise InputError(
            f"{path}: counts time in SMPTE frames, not in beats; export it with ticks per quarter"
        )
    if any(tempo <= 0 for tempo in tempos.values()):
        raise InputError(f"{path}: holds a tempo of zero length; export the tempo map anew")
    return file.ticks_per_beat, tempos, meters


def _meter(path: Path, numerator: int, denominator: int) -> Meter:
    try:
        return Meter(numerator, denominator)
    except ValueError as error:
        raise InputError(
            f"{path}: {numerator}/{denominator} is no meter Sidekeys knows (1 to 64 over 1 to 32)"
        ) from error


def _starts_anew(last: MeterChange, onset_beats: float, meter: Meter) -> bool:
    """Whether a time signature changes anything: a repeated one on a bar line does not."""
    bars = (onset_beats - last.onset_beats) / meter.beats_per_bar
    return meter != last.meter or abs(bars - round(bars)) > 1e-6


# ------------------------------------------------------------------------------- text and JSON


def _parse_text(path: Path, text: str) -> BeatList:
    """Lines ``seconds [number in bar]``, as madmom, beat_this and mir_eval write them."""
    seconds: list[float] = []
    numbers: list[int] = []
    columns = 0
    for line_number, line in enumerate(text.splitlines(), 1):
        fields = re.split(r"[,;\s]+", line.partition("#")[0].strip(" \t,;"))
        if fields == [""]:
            continue
        if not seconds and not columns and path.suffix.lower() in (".csv", ".tsv"):
            columns = -1  # at most one header line
            if all(re.match(r"[A-Za-z_\"']", field) for field in fields):
                continue
        where = f"{path}, line {line_number}"
        if len(fields) > 2:
            raise InputError(f"{where}: {len(fields)} columns; give {_LISTED_EXAMPLE}")
        time = _number(fields[0], where)
        if seconds:
            _check_interval(seconds[-1], time, where)
        if columns in (1, 2) and len(fields) != columns:
            raise InputError(f"{where}: number the beats on every line or on none")
        columns = len(fields)
        seconds.append(time)
        if columns == 2:
            number = _number(fields[1], where)
            if number != int(number) or not 1 <= number <= 64:
                raise InputError(f"{where}: {fields[1]} is no beat of a bar; count 1, 2, 3 ...")
            if numbers and number not in (1, numbers[-1] + 1):
                raise InputError(
                    f"{where}: beat {int(number)} follows beat {numbers[-1]}; a beat is missing"
                )
            numbers.append(int(number))
    _check_enough(path, seconds)
    if not numbers:
        return BeatList(tuple(seconds))
    downbeats = tuple(index for index, number in enumerate(numbers) if number == 1)
    if not downbeats:
        raise InputError(f"{path}: no beat is numbered 1; mark the downbeats with 1")
    return BeatList(tuple(seconds), downbeats, _bar_pulses(downbeats, max(numbers)))


def _parse_json(path: Path, text: str) -> BeatList:
    """``{"beats": [...], "downbeats": [...], "meter": "4/4"}``; the last two may be missing."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise InputError(f"{path}{line}: is no valid JSON ({error})") from error
    if not isinstance(content, dict) or "beats" not in content:
        raise InputError(f'{path}: give an object like {{"beats": [0.5, 1.0], "meter": "4/4"}}')
    seconds = _times(path, "beats", content["beats"])
    for index in range(1, len(seconds)):
        _check_interval(seconds[index - 1], seconds[index], f"{path}, beat {index + 1}")
    _check_enough(path, seconds)
    meter = content.get("meter")
    if meter is not None and not isinstance(meter, str):
        raise InputError(f'{path}: "meter" is a text like "4/4"')
    downbeats: list[int] = []
    for time in _times(path, "downbeats", content.get("downbeats") or []):
        index = min(range(len(seconds)), key=lambda i: abs(seconds[i] - time))
        if abs(seconds[index] - time) > _DOWNBEAT_TOLERANCE_SECONDS:
            raise InputError(f'{path}: the downbeat at {time:g} s is not among the "beats"')
        if downbeats and index <= downbeats[-1]:
            raise InputError(f"{path}: the downbeat at {time:g} s does not follow the one before")
        downbeats.append(index)
    bars = _bar_pulses(tuple(downbeats), 4)
    if any(pulses > 64 for pulses in bars):
        raise InputError(f"{path}: a bar has {max(bars)} beats; some downbeats are missing")
    try:
        stated = None if meter is None else parse_meter(meter)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return BeatList(tuple(seconds), tuple(downbeats), bars, stated)


def _bar_pulses(downbeats: tuple[int, ...], default: int) -> tuple[int, ...]:
    """Pulses in each bar. The last one is open, so it is taken to be as long as the one before."""
    closed = [after - before for before, after in itertools.pairwise(downbeats)]
    if not downbeats:
        return ()
    return (*closed, closed[-1] if closed else default)


def _times(path: Path, name: str, values: Any) -> list[float]:
    if not isinstance(values, list):
        raise InputError(f'{path}: "{name}" is a list of times in seconds')
    return [
        _number(value, f'{path}, item {index} of "{name}"') for index, value in enumerate(values, 1)
    ]


def _number(value: Any, where: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{where}: {str(value)[:40]!r} is no number; give {_LISTED_EXAMPLE}")
    return number


def _check_interval(before: float, after: float, where: str) -> None:
    interval = after - before
    if interval <= 0:
        raise InputError(f"{where}: {after:g} s does not come after {before:g} s; sort the times")
    if not _MIN_INTERVAL_SECONDS <= interval <= _MAX_INTERVAL_SECONDS:
        raise InputError(
            f"{where}: {interval:.3g} s after the beat before is no tempo; "
            f"beats lie {_MIN_INTERVAL_SECONDS} to {_MAX_INTERVAL_SECONDS} s apart"
        )


def _check_enough(path: Path, seconds: list[float]) -> None:
    if len(seconds) < 2:
        raise InputError(
            f"{path}: holds {len(seconds)} beats; at least two are needed, or give --bpm instead"
        )


def _check_readable(path: Path) -> None:
    check_readable(path)
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise InputError(f"{path}: is too large for a beat grid ({_MAX_FILE_BYTES >> 20} MiB)")


def _read_text(path: Path) -> str:
    _check_readable(path)
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
