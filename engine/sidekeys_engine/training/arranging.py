"""What each composer plays of a song: piano arrangements on a grid of sixteenths.

A model sees four beats and one before them. So what a rule writes here follows from these alone:
patterns begin anew every half bar and at each change of the chord, and a voicing lies around a
fixed pitch, not near the chord before. A window that begins on any beat can tell half bars by the
bass and the drums; one that begins on a bar, as in a cover, knows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from sidekeys_engine.training.playability import StepNotes, made_playable
from sidekeys_engine.training.pop909 import Chord, Notes, Song

__all__ = ["COMPOSERS", "STEPS_PER_BEAT", "Arrangement", "StepNotes", "arrange"]

STEPS_PER_BEAT = 4
COMPOSERS = {
    "full": "The melody over the accompaniment as a pianist performed it: rich and rhythmic.",
    "accompaniment": "What a pianist plays to a singer: no melody.",
    "lead-sheet": "The melody over close left-hand chords every half bar: plain.",
    "block": "The melody over a deep bass and middle chords every half bar: full, for the pedal.",
    "arpeggio": "The melody over broken chords in eighths: flowing.",
    "ballad": "The melody's main notes over open fifths every half bar: sparse and soft.",
    "virtuoso": "The melody in octaves over wide broken chords in sixteenths: dense and loud.",
    "stride": "The melody over a bass and chords in turn on each beat: short and bouncing.",
}
"""The composers by name, and what a musician is to expect of each."""
BEYOND_TWO_HANDS = ("block",)
"""Composers whose chords reach further than two hands do; a pedal or a second player holds them."""

_LOWEST, _HIGHEST = 21, 108
_HALF_BEAT = 2
_HALF_BAR_BEATS = 2
_TRIPLE_BEATS = 3
_REST_BEFORE, _REST_AFTER = 2, 4  # steps around the voice that stay free of the bridge

# How loud a track was recorded says nothing about its song, and no mix tells it. So tracks are
# shifted to these mean velocities, and keep their dynamics.
_MELODY_VELOCITY, _BRIDGE_VELOCITY, _PIANO_VELOCITY = 94, 88, 68
_SOFTER, _LOUDER = -18, 14
_MELODY_LEAD = 6  # by how much the melody is louder than what is struck with it

_Note = tuple[int, int, int, int]
_Part = list[_Note]
"""Onset step, end step, pitch and velocity."""


@dataclass(frozen=True)
class Arrangement:
    """A song as every composer plays it.

    Attributes:
        notes: (notes, 4) of each of ``COMPOSERS``, playable by two hands.
        melody: (notes, 4) what is sung, one note at a time.
    """

    notes: dict[str, StepNotes]
    melody: StepNotes


@dataclass(frozen=True)
class _Strike:
    """A chord of half a bar or less, in steps, and how loud the pianist is in it."""

    onset: int
    end: int
    chord: Chord
    velocity: int


@dataclass(frozen=True)
class _Score:
    """What arrangements are made of; the lead is the melody, or the bridge where nobody sings."""

    lead: _Part
    piano: _Part
    strikes: list[_Strike]


def arrange(song: Song) -> Arrangement:
    """Return a song as every composer plays it.

    Step 0 is the song's first beat. What begins before it or with its last beat is left out.
    """
    steps = (song.beat_seconds.size - 1) * STEPS_PER_BEAT
    melody = _single_line(_on_steps(song.melody, steps, _MELODY_VELOCITY))
    bridge = _single_line(_on_steps(song.bridge, steps, _BRIDGE_VELOCITY))
    piano = _on_steps(song.piano, steps, _PIANO_VELOCITY)
    lead = _single_line(melody + _between(bridge, melody, steps))
    score = _Score(lead, piano, _strikes(song, piano, steps))
    return Arrangement(
        notes={name: _arranged(name, score) for name in COMPOSERS},
        melody=np.array(melody, dtype=np.int64).reshape(-1, 4),
    )


def _arranged(name: str, score: _Score) -> StepNotes:
    notes = _joined(*_ARRANGERS[name](score))
    return notes if name in BEYOND_TWO_HANDS else made_playable(notes)


def _full(score: _Score) -> tuple[_Part, _Part]:
    return score.lead, score.piano


def _accompaniment(score: _Score) -> tuple[_Part, _Part]:
    return [], score.piano


def _lead_sheet(score: _Score) -> tuple[_Part, _Part]:
    chords = [
        (strike.onset, strike.end, pitch, strike.velocity)
        for strike in score.strikes
        for pitch in _close_chord(strike.chord, 46)
    ]
    return score.lead, _below(chords, score.lead)


def _block(score: _Score) -> tuple[_Part, _Part]:
    chords = [
        (strike.onset, strike.end, pitch, strike.velocity)
        for strike in score.strikes
        for pitch in [_deep_bass(strike.chord), *_voicing(strike.chord, 55)]
    ]
    return score.lead, chords


def _arpeggio(score: _Score) -> tuple[_Part, _Part]:
    notes = []
    for strike in score.strikes:
        bass = _deep_bass(strike.chord)
        rising = (bass, *sorted({bass + 12, *_voicing(strike.chord, 55)}))
        notes += _broken(strike, _HALF_BEAT, rising + rising[-2:0:-1])
    return score.lead, notes


def _ballad(score: _Score) -> tuple[_Part, _Part]:
    melody = _with_velocity(_main_notes(score.lead), _SOFTER)
    sounding = _sounding(melody)
    notes: _Part = []
    for strike in score.strikes:
        bass, third, fifth = _close_chord(strike.chord, 40)[:3]
        # The third goes to the right hand, where that reaches it together with the melody.
        ceiling = sounding.get(strike.onset, 64) - 3
        tenor = ceiling - (ceiling - third) % 12
        notes += [(strike.onset, strike.end, p, strike.velocity) for p in (bass, fifth, tenor)]
    return melody, _below(_with_velocity(notes, _SOFTER), melody)


def _virtuoso(score: _Score) -> tuple[_Part, _Part]:
    chords = {step: s.chord for s in score.strikes for step in range(s.onset, s.end)}
    melody: _Part = []
    for onset, end, pitch, velocity in score.lead:
        pitches = [pitch, pitch + 12]
        if onset in chords and end - onset > 1:  # fast notes leave no time for an inner one
            inner = {pitch + (pc - pitch) % 12 for pc in chords[onset].pitch_classes}
            pitches += sorted(p for p in inner if 3 <= p - pitch <= 9)[-1:]
        melody += [(onset, end, p, velocity) for p in pitches]
    notes: _Part = []
    for strike in score.strikes:
        b, third, fifth = _close_chord(strike.chord, 36)[:3]
        rising = (b, fifth, b + 12, third + 12, fifth + 12, b + 24)
        notes += _broken(strike, 1, (*rising, fifth + 12, third + 12))
    return _with_velocity(melody, _LOUDER), _with_velocity(_below(notes, melody), _LOUDER)


def _stride(score: _Score) -> tuple[_Part, _Part]:
    melody = [(o, o + max(1, (e - o) // 2), p, v) for o, e, p, v in score.lead]
    notes: _Part = []
    for strike in score.strikes:
        bass, velocity = _near(strike.chord.bass, 38), strike.velocity
        notes.append((strike.onset, strike.onset + _HALF_BEAT, bass, velocity))
        # A chord of one beat gets its own on the second half of that beat.
        spacing = min(STEPS_PER_BEAT, (strike.end - strike.onset) // 2)
        for onset in range(strike.onset + spacing, strike.end, STEPS_PER_BEAT):
            notes += [(onset, onset + 1, p, velocity) for p in _voicing(strike.chord, 55)]
    return melody, _below(notes, score.lead)


_ARRANGERS: dict[str, Callable[[_Score], tuple[_Part, _Part]]] = {
    "full": _full,
    "accompaniment": _accompaniment,
    "lead-sheet": _lead_sheet,
    "block": _block,
    "arpeggio": _arpeggio,
    "ballad": _ballad,
    "virtuoso": _virtuoso,
    "stride": _stride,
}


def _on_steps(notes: Notes, steps: int, mean_velocity: int) -> _Part:
    """Notes of the performance on the grid, by onset and pitch, at this velocity on average.

    A note longer than a step ends on a half-beat, so that many end together: where exactly a
    pianist lets go is hardly heard, and each moment costs tokens.
    """
    shift = mean_velocity - (float(notes[:, 3].mean()) if len(notes) else 0.0)
    onsets = np.rint(notes[:, 0] * STEPS_PER_BEAT).astype(np.int64)
    ends = np.maximum(np.rint(notes[:, 1] * STEPS_PER_BEAT).astype(np.int64), onsets + 1)
    ends = np.where(ends - onsets > 1, ends + ends % _HALF_BEAT, ends)
    pitches = notes[:, 2].astype(np.int64)
    velocities = np.rint(notes[:, 3] + shift).astype(np.int64)
    inside = (onsets >= 0) & (onsets < steps)
    rows = np.stack([onsets, np.minimum(ends, steps), pitches, velocities], axis=1)[inside]
    return sorted((int(o), int(e), int(p), int(v)) for o, e, p, v in rows.tolist())


def _single_line(notes: Iterable[_Note]) -> _Part:
    """The highest note of each moment, until the next one."""
    highest: dict[int, _Note] = {}
    for note in notes:
        if note[0] not in highest or note[2] > highest[note[0]][2]:
            highest[note[0]] = note
    line = [highest[onset] for onset in sorted(highest)]
    following = [note[0] for note in line[1:]]
    cut = [(o, min(e, n), p, v) for (o, e, p, v), n in zip(line, following, strict=False)]
    return cut + line[-1:]


def _between(bridge: _Part, melody: _Part, steps: int) -> _Part:
    """Those notes of the bridge that begin where nobody sings."""
    sung = np.zeros(steps, dtype=np.bool_)
    for onset, end, _, _ in melody:
        sung[max(0, onset - _REST_BEFORE) : end + _REST_AFTER] = True
    return [note for note in bridge if not sung[note[0]]]


def _strikes(song: Song, piano: _Part, steps: int) -> list[_Strike]:
    """Every chord from the half bar or the change of chord it begins at to the next such place."""
    chords: list[Chord | None] = [None] * (steps // _HALF_BEAT)
    for chord in song.chords:
        start, end = max(0, round(chord.start_beats * 2)), max(0, round(chord.end_beats * 2))
        chords[start:end] = [chord] * len(chords[start:end])
    half_bars = _half_bars(song)
    onsets = [
        index
        for index, chord in enumerate(chords)
        if chord is not None
        and (index == 0 or index / 2 in half_bars or not _same(chords[index - 1], chord))
    ]
    silences = [index for index, chord in enumerate(chords) if chord is None]
    places = np.unique(np.array([*onsets, *silences, len(chords)], dtype=np.int64))
    ends = places[np.searchsorted(places, onsets, side="right")].tolist()
    strikes = []
    for onset, end in zip(onsets, ends, strict=True):
        struck = chords[onset]
        assert struck is not None
        strikes.append(_Strike(onset * _HALF_BEAT, end * _HALF_BEAT, struck, _PIANO_VELOCITY))
    return _as_loud_as(strikes, piano)


def _half_bars(song: Song) -> set[int]:
    """Beats that begin a half bar, of a bar of three all; before the first downbeat too."""
    beats = song.beat_seconds.size
    bars = [int(beat) for beat in np.flatnonzero(song.downbeats)] or [0]
    half_bars = set(range(bars[0], -1, -_HALF_BAR_BEATS))
    for start, end in zip(bars, [*bars[1:], beats], strict=True):
        in_threes = (end - start) % _TRIPLE_BEATS == 0 and (end - start) % 4 != 0  # 3/4 and 6/8
        spacing = _TRIPLE_BEATS if in_threes else _HALF_BAR_BEATS
        half_bars.update(range(start, end, spacing))
    return half_bars


def _same(one: Chord | None, other: Chord) -> bool:
    """Whether two chords are the same but for when they sound."""
    return one is not None and (one.root, one.pitch_classes, one.bass) == (
        other.root,
        other.pitch_classes,
        other.bass,
    )


def _as_loud_as(strikes: list[_Strike], piano: _Part) -> list[_Strike]:
    """Chords as loud as the pianist is in each on average."""
    onsets = np.array([note[0] for note in piano], dtype=np.int64)
    sums = np.concatenate([[0], np.cumsum([note[3] for note in piano])])
    first = np.searchsorted(onsets, [strike.onset for strike in strikes])
    last = np.searchsorted(onsets, [strike.end for strike in strikes])
    means = (sums[last] - sums[first]) / np.maximum(last - first, 1)
    return [
        _Strike(s.onset, s.end, s.chord, round(float(mean)) if n else _PIANO_VELOCITY)
        for s, mean, n in zip(strikes, means, last - first, strict=True)
    ]


def _near(pitch_class: int, center: int) -> int:
    """The pitch of this class from six semitones below the center to five above."""
    return center + (pitch_class - center + 6) % 12 - 6


def _deep_bass(chord: Chord) -> int:
    """The bass in the octave from G1 on."""
    return 31 + (chord.bass - 31) % 12


def _voicing(chord: Chord, center: int) -> list[int]:
    """The chord's triad around a center."""
    return sorted(_near(pitch_class, center) for pitch_class in chord.pitch_classes[:3])


def _close_chord(chord: Chord, center: int) -> list[int]:
    """The bass near a center, and the triad within an octave above: three notes or four."""
    bass = _near(chord.bass, center)
    above = {(pitch_class - chord.bass) % 12 for pitch_class in chord.pitch_classes[:3]}
    return [bass, *(bass + interval for interval in sorted(above - {0}))]


def _broken(strike: _Strike, spacing: int, pitches: tuple[int, ...]) -> _Part:
    """Pitches in turn through a chord, so many steps apart; each pair is held to its end.

    That is smoother than one after the other, and half as many moments release anything.
    """
    notes = []
    for index, onset in enumerate(range(strike.onset, strike.end, spacing)):
        end = onset + (1 + (index + 1) % 2) * spacing
        pitch = pitches[index % len(pitches)]
        notes.append((onset, min(end, strike.end), pitch, strike.velocity))
    return notes


def _main_notes(line: _Part) -> _Part:
    """The longest note of each beat, the first of several, held through those left out."""
    longest: dict[int, int] = {}
    for index, (onset, end, _, _) in enumerate(line):
        best = longest.get(onset // STEPS_PER_BEAT)
        if best is None or end - onset > line[best][1] - line[best][0]:
            longest[onset // STEPS_PER_BEAT] = index
    kept = sorted(longest.values())
    main = []
    for index, following in zip(kept, [*kept, len(line)][1:], strict=True):
        onset, end, pitch, velocity = line[index]
        for next_onset, next_end, _, _ in line[index + 1 : following]:
            if next_onset == end:
                end = next_end
        main.append((onset, end, pitch, velocity))
    return main


def _with_velocity(notes: _Part, change: int) -> _Part:
    return [(onset, end, pitch, velocity + change) for onset, end, pitch, velocity in notes]


def _sounding(line: _Part) -> dict[int, int]:
    """The lowest pitch of a line at each step that it sounds at."""
    pitches: dict[int, int] = {}
    for onset, end, pitch, _ in line:
        for step in range(onset, end):
            pitches[step] = min(pitch, pitches.get(step, pitch))
    return pitches


def _below(notes: _Part, melody: _Part) -> _Part:
    """Those notes that are struck below the melody, so that it is heard."""
    sounding = _sounding(melody)
    return [note for note in notes if note[2] < sounding.get(note[0], _HIGHEST + 1)]


def _joined(melody: _Part, accompaniment: _Part) -> StepNotes:
    """Both as one part for two hands.

    What accompanies is equally loud within a moment, and softer than the melody there, so that a
    moment has two velocities at most. A note ends where its pitch is struck again.
    """
    loudness: dict[int, int] = {}
    for onset, _, _, velocity in melody:
        loudness[onset] = min(velocity, loudness.get(onset, velocity))
    together: dict[int, list[int]] = {}
    for onset, _, _, velocity in accompaniment:
        together.setdefault(onset, []).append(velocity)
    joined: dict[tuple[int, int], tuple[int, int]] = {}
    for onset, end, pitch, _ in accompaniment:
        velocity = round(sum(together[onset]) / len(together[onset]))
        velocity = min(velocity, loudness.get(onset, 127) - _MELODY_LEAD)
        _strike_key(joined, (onset, end, pitch, velocity))
    for note in melody:
        _strike_key(joined, note)
    next_onset: dict[int, int] = {}
    for onset, pitch in sorted(joined, reverse=True):
        end, velocity = joined[onset, pitch]
        joined[onset, pitch] = (min(end, next_onset.get(pitch, end)), velocity)
        next_onset[pitch] = onset
    rows = [(onset, end, pitch, v) for (onset, pitch), (end, v) in sorted(joined.items())]
    notes = np.array(rows, dtype=np.int64).reshape(-1, 4)
    notes[:, 3] = np.clip(notes[:, 3], 20, 120)
    return notes


def _strike_key(joined: dict[tuple[int, int], tuple[int, int]], note: _Note) -> None:
    """Add a note, moved onto the keyboard; of two on one key, the longer end and the later one."""
    onset, end, pitch, velocity = note
    if pitch < _LOWEST:
        pitch += -(-(_LOWEST - pitch) // 12) * 12
    if pitch > _HIGHEST:
        pitch -= -(-(pitch - _HIGHEST) // 12) * 12
    joined[onset, pitch] = (max(end, joined.get((onset, pitch), (0, 0))[0]), velocity)
