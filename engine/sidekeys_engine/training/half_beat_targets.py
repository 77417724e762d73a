"""What four simple composers play of one window on a grid of half-beats, to compare models by.

These are the targets that small models were first trained on. Models of any grid can be measured
against them, once their notes are rounded to half-beats.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from sidekeys_engine.training.pop909 import Chord, Notes, Song

HalfBeatNotes = npt.NDArray[np.int64]
"""(notes, 3): onset half-beat, end half-beat and pitch, by onset and pitch."""

WINDOW_STEPS = 8
_STEPS_PER_BEAT = 2
_EARLY_SECONDS = 0.1  # what is struck this little before the first beat still counts
_CHORD_LATE_SECONDS = 0.02
_SAME_STEPS = 1e-6
_LOWEST, _HIGHEST = 21, 108
_LOWEST_BASS, _TRIAD_CENTER = 31, 55
_STRONG_STEPS = (0, 4)

_Line = dict[tuple[int, int], int]
"""End step of each note by its onset step and pitch."""


def half_beat_targets(song: Song, first_beat: int) -> dict[str, HalfBeatNotes]:
    """Return the targets of the four beats from one on.

    Chords and broken chords begin at the window's first and third beat and where the chord changes.

    Args:
        song: transposed, faster or doubled as it is heard.
        first_beat: of the window, from 0.

    Returns:
        (notes, 3) of ``full``, ``accompaniment``, ``block`` and ``arpeggio``, and of what is
        sung, ``melody``. Steps count from the window's first, and what lasts longer than the window
        ends with it.
    """
    parts = _song_parts(song)
    first = first_beat * _STEPS_PER_BEAT
    full, accompaniment, melody = (
        _windowed(part, first) for part in (parts.full, parts.accompaniment, parts.melody)
    )
    lead = {note: end for note, end in full.items() if note not in accompaniment}
    lead.update(melody)
    chords = [
        parts.chords[step] if 0 <= step < len(parts.chords) else None
        for step in range(first, first + WINDOW_STEPS)
    ]
    block, arpeggio = dict(lead), dict(lead)
    for start, end in _strikes(chords):
        chord = chords[start]
        assert chord is not None
        bass = _LOWEST_BASS + (chord.bass - _LOWEST_BASS) % 12
        triad = [_near(pitch_class, _TRIAD_CENTER) for pitch_class in chord.pitch_classes[:3]]
        for pitch in [bass, *triad]:
            block.setdefault((start, pitch), end)
        rising = [bass, *sorted({bass + 12, *triad})]
        pattern = rising + rising[-2:0:-1]
        for index, step in enumerate(range(start, end)):
            arpeggio.setdefault((step, pattern[index % len(pattern)]), step + 1)
    targets = {
        "full": full,
        "accompaniment": accompaniment,
        "block": block,
        "arpeggio": arpeggio,
        "melody": melody,
    }
    return {name: _rows(_cut(line)) for name, line in targets.items()}


class _SongParts:
    """A whole song's parts and chords on half-beats."""

    def __init__(self, song: Song) -> None:
        steps = 2 * song.beat_seconds.size - 1
        melody = _single_line(_on_half_beats(song, song.melody))
        bridge = _single_line(_on_half_beats(song, song.bridge))
        piano = _on_half_beats(song, song.piano)
        sung = np.zeros(steps + WINDOW_STEPS, dtype=np.bool_)
        for (onset, _), end in melody.items():
            sung[max(0, onset - 1) : end + 2] = True
        between = {note: end for note, end in bridge.items() if not sung[note[0]]}
        self.full = _cut(piano | _single_line(melody | between))
        self.accompaniment = _cut(piano)
        self.melody = _cut(melody)
        self.chords = _chords_at_steps(song, steps)


@lru_cache(maxsize=1)
def _song_parts(song: Song) -> _SongParts:
    """Of the last song asked for: its windows are asked for one after the other."""
    return _SongParts(song)


def _on_half_beats(song: Song, notes: Notes) -> _Line:
    """Notes by onset step and pitch, at least a step long; sixteenths go to the earlier step."""
    last = song.beat_seconds.size - 1
    seconds = song.seconds_at(notes[:, 0])
    inside = (seconds > song.beat_seconds[0] - _EARLY_SECONDS) & (notes[:, 0] < last)
    steps = np.ceil(notes[inside, :2] * _STEPS_PER_BEAT - 0.5 - _SAME_STEPS)
    steps = np.clip(steps, 0, last * _STEPS_PER_BEAT).astype(np.int64)
    line: _Line = {}
    for (onset, end), pitch in zip(steps.tolist(), notes[inside, 2].tolist(), strict=True):
        key = (onset, _on_keyboard(int(pitch)))
        line[key] = max(line.get(key, 0), end, onset + 1)
    return line


def _on_keyboard(pitch: int) -> int:
    """The pitch, or the nearest octave of it that a piano has."""
    if pitch < _LOWEST:
        return _LOWEST + (pitch - _LOWEST) % 12
    return min(pitch, _HIGHEST - (_HIGHEST - pitch) % 12)


def _single_line(notes: _Line) -> _Line:
    """The highest note of each step, until the next one."""
    highest: dict[int, int] = {}
    for onset, pitch in notes:
        highest[onset] = max(pitch, highest.get(onset, 0))
    onsets = sorted(highest)
    line: _Line = {}
    for index, onset in enumerate(onsets):
        end = notes[onset, highest[onset]]
        following = onsets[index + 1] if index + 1 < len(onsets) else end
        line[onset, highest[onset]] = min(end, following)
    return line


def _cut(notes: _Line) -> _Line:
    """Notes by onset and pitch, each no longer than until its pitch is struck again."""
    next_onset: dict[int, int] = {}
    cut: _Line = {}
    for onset, pitch in sorted(notes, reverse=True):
        end = notes[onset, pitch]
        cut[onset, pitch] = min(end, next_onset.get(pitch, end))
        next_onset[pitch] = onset
    return dict(sorted(cut.items()))


def _chords_at_steps(song: Song, steps: int) -> list[Chord | None]:
    """The chord of each step, which may begin a little after it."""
    latest = song.seconds_at(np.arange(steps) / _STEPS_PER_BEAT) + _CHORD_LATE_SECONDS
    chords: list[Chord | None] = [None] * steps
    for chord in song.chords:
        places = song.seconds_at([chord.start_beats, chord.end_beats])
        start, end = np.searchsorted(latest, places).tolist()
        chords[start:end] = [chord] * (end - start)
    return chords


def _windowed(notes: _Line, first: int) -> _Line:
    """Those notes that begin in a window, in steps from its first."""
    return {
        (onset - first, pitch): min(end - first, WINDOW_STEPS)
        for (onset, pitch), end in notes.items()
        if first <= onset < first + WINDOW_STEPS
    }


def _strikes(chords: list[Chord | None]) -> list[tuple[int, int]]:
    """First and end step of each chord of a window, as it is struck."""
    starts = [
        step
        for step, chord in enumerate(chords)
        if chord is not None
        and (step in _STRONG_STEPS or _harmony(chords[step - 1]) != _harmony(chord))
    ]
    silences = [step for step, chord in enumerate(chords) if chord is None]
    places = [*starts, *silences, len(chords)]
    return [(start, min(place for place in places if place > start)) for start in starts]


def _harmony(chord: Chord | None) -> tuple[int, tuple[int, ...], int] | None:
    """What of a chord tells it from the next one."""
    return None if chord is None else (chord.root, chord.pitch_classes, chord.bass)


def _near(pitch_class: int, center: int) -> int:
    """The pitch of this class from six semitones below the center to five above."""
    return center + (pitch_class - center + 6) % 12 - 6


def _rows(notes: _Line) -> HalfBeatNotes:
    rows = [(onset, end, pitch) for (onset, pitch), end in notes.items()]
    return np.array(rows, dtype=np.int64).reshape(-1, 3)
