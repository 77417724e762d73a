"""A song performed by a band that never met before: its mix, each time another production.

Training wants sound that differs far more than what is pleasant, for recordings of the world
differ so, too. Only what the targets rest on is always there: the melody, the bridge, the piano's
part, though seldom on a piano.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from sidekeys_engine.training.effect_parts import loudness
from sidekeys_engine.training.effects import colour, master, pumped
from sidekeys_engine.training.instruments import (
    RATE,
    Orchestra,
    Part,
    Samples,
    Sound,
    TimedNotes,
)
from sidekeys_engine.training.patterns import Bars, bass, comping, drums
from sidekeys_engine.training.pop909 import Chord, Notes, Song
from sidekeys_engine.training.singer import Singer
from sidekeys_engine.training.voice import sing

_Values = npt.NDArray[np.float64]

_TAIL_SECONDS = 1.5
_LOWEST, _HIGHEST = 24, 103
_SHORTEST_SECONDS = 0.03
_SECTION_BEATS = 32
_RIDE_SECONDS, _RIDE_BLOCK = 8.0, 64

# Programs of General MIDI, counted from 0, by who plays them; what stands twice is drawn twice.
_PIANOS, _ELECTRIC_PIANOS = (0, 0, 1, 2, 3), (4, 4, 5, 5)
_GUITARS, _ELECTRIC_GUITARS = (24, 25, 25), (26, 27, 27, 28)
_MALLETS, _PLUCKED = (8, 9, 10, 11, 12, 13), (6, 7, 15, 45, 46, 46, 104, 106, 107, 108)
_ORGANS, _SYNTH_KEYS = (16, 17, 18, 19, 21), (62, 80, 81, 84, 86, 87, 88, 90, 98, 99, 103)
_STRINGS, _BRASS, _CHOIRS = (44, 48, 49, 50, 51), (61, 62, 63), (52, 53, 54, 85, 91)
_PADS = (*_STRINGS, *_CHOIRS, 16, 19, 88, 89, 90, 91, 92, 93, 94, 95)
_PIANO_PLAYERS = (_PIANOS, _ELECTRIC_PIANOS, _GUITARS, _ELECTRIC_GUITARS, _MALLETS, _PLUCKED,
                  _ORGANS, _SYNTH_KEYS, _STRINGS, _BRASS)  # fmt: skip
_PIANO_CHANCES = (0.36, 0.15, 0.14, 0.07, 0.05, 0.07, 0.04, 0.07, 0.03, 0.02)
_LEADS = (
    *_CHOIRS, *_CHOIRS, 80, 81, 81, 82, 83, 84, 86, 87, 65, 66, 64, 67, 68, 69, 71, 72, 73, 73, 74,
    75, 76, 77, 78, 79, 40, 40, 41, 42, 22, 21, 56, 57, 59, 60, 24, 25, 26, 27, 28, 29, 30, 0, 4, 5,
    11, 12, 46, 104, 105, 107, 110, 111,
)  # fmt: skip
_BASSES = (32, 33, 33, 34, 35, 36, 37, 38, 38, 39, 39, 43, 58, 80, 81, 87)
_COMPING = (*_PIANOS, *_ELECTRIC_PIANOS, *_GUITARS, *_GUITARS, *_ELECTRIC_GUITARS, 29, 30, *_ORGANS,
            *_MALLETS, *_PLUCKED, *_SYNTH_KEYS, *_BRASS, *_STRINGS)  # fmt: skip
_STRUMMED = (*_GUITARS, *_GUITARS, *_ELECTRIC_GUITARS, 29, 30, 15, 46, 105, 106)


def perform(song: Song, orchestra: Orchestra, rng: np.random.Generator) -> Samples:
    """Produce a song: players, arrangement, sounds, mix and master are drawn.

    Args:
        song: what is played; the melody, the bridge and the piano's part always are.
        orchestra: the instruments there are.
        rng: decides on everything; the same state gives the same mix.

    Returns:
        (samples,) mono at 22050 Hz, within -1..1; second 0 is that of ``song.beat_seconds``, and
        the last beat has time to die away.
    """
    parts = (song.melody, song.bridge, song.piano)
    last = max((float(part[:, 1].max()) for part in parts if len(part)), default=0.0)
    seconds = max(float(song.seconds_at(last)), float(song.beat_seconds[-1])) + _TAIL_SECONDS
    session = _Session(
        song=song,
        orchestra=orchestra,
        rng=rng,
        samples=round(seconds * RATE),
        bars=Bars.of(song),
        detune_cents=float(rng.uniform(-30, 30)) if rng.random() < 0.7 else 0.0,
        looseness_seconds=float(rng.choice((0.0, 0.003, 0.006, 0.010))),
    )
    mix = np.zeros(session.samples, dtype=np.float32)
    for stem, decibels in session.stems():
        level = loudness(stem)
        if level > 0:
            gain = np.float32(10 ** (decibels / 20) / level)
            mix += gain * _ridden(colour(stem, rng), rng)
    return master(mix, rng, song.beat_seconds)


@dataclass(frozen=True, eq=False)
class _Session:
    """A song in the studio: its stems, each with the level it has in the mix."""

    song: Song
    orchestra: Orchestra
    rng: np.random.Generator
    samples: int
    bars: Bars
    detune_cents: float
    looseness_seconds: float

    def stems(self) -> Iterator[tuple[Samples, float]]:
        """Audio and level in dB of each stem, one after the other to spare memory."""
        rng = self.rng
        piano_level = float(np.clip(rng.normal(-2.0, 3.5), -9, 5))
        yield from self._leads()
        if len(self.song.bridge):
            yield self._bridge(), float(np.clip(rng.normal(-3.5, 3), -10, 3))
        yield self._piano(), piano_level
        unplugged = rng.random() < 0.12
        if not unplugged and rng.random() < 0.93:
            yield self._bass(), float(np.clip(rng.normal(-2, 4), -12, 5))
        if not unplugged and rng.random() < 0.88:
            yield self._drums(), float(np.clip(rng.normal(-3, 4), -14, 4))
        for _ in range(0 if unplugged else int(rng.choice(3, p=(0.3, 0.45, 0.25)))):
            # Most of the time the piano's part leads the others: it is what shall be heard.
            level = float(np.clip(rng.normal(-9, 4), -20, 0))
            most = piano_level - 3 if rng.random() < 0.85 else piano_level + 2
            yield self._comping(), min(level, most)
        if rng.random() < 0.15:
            yield self._risers(), float(rng.uniform(-24, -8))

    # ----------------------------------------------------------------- what targets rest on

    def _leads(self) -> Iterator[tuple[Samples, float]]:
        """The melody, sung or played, and at times its doubles and harmonies."""
        rng, melody = self.rng, self.song.melody
        if not len(melody):
            return
        level = float(np.clip(rng.normal(0, 2.5), -6, 5))
        # A man sings what is written for a woman an octave lower.
        if np.median(melody[:, 2]) >= 65 and rng.random() < 0.15:
            melody = melody - np.array([0, 0, 12, 0])
        sung = rng.random() < 0.55
        player = self._lead_player(sung=sung)
        yield self._taken(player, melody), level
        if rng.random() < (0.12 if sung else 0.05):  # a second take
            yield self._taken(player, melody), level - rng.uniform(2, 12)
        if rng.random() < 0.12:
            other = player if rng.random() < 0.5 else self._lead_player(sung=sung)
            yield self._taken(other, self._harmony(melody)), level - rng.uniform(4, 14)
        if rng.random() < 0.2:  # an instrument in unison, or in octaves
            shift = np.array([0, 0, int(rng.choice((-12, 0, 0, 12))), 0])
            double = self._taken(self._lead_player(sung=False), melody + shift)
            yield double, level - rng.uniform(4, 16)

    def _lead_player(self, *, sung: bool) -> Singer | Sound:
        if sung:
            return replace(Singer.drawn(self.rng), detune_cents=self.detune_cents)
        return self._treated(self.orchestra.draw((*_LEADS, *_PIANOS), self.rng), lively=True)

    def _taken(self, player: Singer | Sound, melody: Notes) -> Samples:
        """One take of a melody."""
        if isinstance(player, Sound):
            return self._played([(player, melody)])
        notes = self._timed(melody, 0.0)  # singers bring a timing of their own
        notes = notes[np.argsort(notes[:, 0], kind="stable")]
        return sing(notes, self.samples, player, self.rng)

    def _bridge(self) -> Samples:
        """The second melody, on one instrument or two."""
        rng = self.rng
        players = (*_LEADS, *_COMPING)
        count = 1 + int(rng.random() < 0.15)
        sounds = [
            self._treated(self.orchestra.draw(players, rng), lively=True) for _ in range(count)
        ]
        return self._played([(sound, self.song.bridge) for sound in sounds])

    def _piano(self) -> Samples:
        """The piano's part, on whatever has onsets; its dynamics are kept, more or less."""
        rng, notes = self.rng, self.song.piano
        if rng.random() < 0.25:
            notes = self._pedalled(notes)
        player = _PIANO_PLAYERS[int(rng.choice(len(_PIANO_PLAYERS), p=_PIANO_CHANCES))]
        sound = self._treated(self.orchestra.draw(player, rng), quick=player in (_STRINGS, _BRASS))
        layers = [(sound, notes)]
        if rng.random() < 0.18:  # keys over a pad, or two instruments in unison
            softer = notes.copy()
            softer[:, 3] *= rng.uniform(0.3, 0.7)
            under = self.orchestra.draw((*_PADS, *_ELECTRIC_PIANOS, *_SYNTH_KEYS), rng)
            layers.append((self._treated(under), softer))
        return self._played(layers)

    def _harmony(self, melody: Notes) -> Notes:
        """The melody's second voice: a chord's tone below or above it, or the octave."""
        harmony: Notes = melody.copy()
        if self.rng.random() < 0.3:
            harmony[:, 2] -= 12
            return harmony
        direction = int(self.rng.choice((-1, -1, 1)))
        indices = self.bars.chord_at(melody[:, 0] + 0.05)
        for note, index in zip(harmony, indices, strict=True):
            if index >= 0:
                note[2] = _third_of(float(note[2]), self.song.chords[index], direction)
        return np.asarray(harmony[indices >= 0])

    def _pedalled(self, notes: Notes) -> Notes:
        """Notes that ring until the next half bar, as with the pedal down."""
        held: Notes = notes.copy()
        held[:, 1] = np.maximum(notes[:, 1], np.ceil((notes[:, 0] + 0.25) / 2) * 2)
        return held

    # ------------------------------------------------------------------------- the rhythm section

    def _bass(self) -> Samples:
        sound = self._treated(self.orchestra.draw(_BASSES, self.rng))
        notes = self._in_sections(bass(self.bars, self.rng), 0.92)
        return self._pumped(self._played([(sound, notes)]))

    def _drums(self) -> Samples:
        rng = self.rng
        layers = [drums(self.bars, rng, sparse=rng.random() < 0.22)]
        if rng.random() < 0.15:
            layers.append(drums(self.bars, rng, sparse=True))
        loose = rng.uniform(0, 0.006)
        parts = [Part(self.orchestra.draw_kit(rng), self._timed(notes, loose)) for notes in layers]
        return self.orchestra.render(parts, self.samples)

    def _comping(self) -> Samples:
        rng = self.rng
        kind = rng.choice(3, p=(0.35, 0.3, 0.35))
        if kind == 0:
            style = str(rng.choice(("pad", "pad", "pad halves", "pulse")))
            sound = self.orchestra.draw(_PADS, rng)
        elif kind == 1:
            style = str(rng.choice(_STRUM_STYLES))
            sound = self.orchestra.draw(_STRUMMED, rng)
        else:
            style = None
            sound = self.orchestra.draw(_COMPING, rng)
        notes = comping(self.bars, rng, self.song.bpm, style)
        return self._pumped(self._played([(self._treated(sound), self._in_sections(notes, 0.75))]))

    def _risers(self) -> Samples:
        """Noise that swells towards the beginnings of some sections."""
        rng = self.rng
        noise = np.zeros(self.samples, dtype=np.float32)
        for section in range(_SECTION_BEATS, self.song.beat_seconds.size, _SECTION_BEATS):
            if rng.random() < 0.4:
                length = float(rng.choice((2, 4, 8)))
                edges = self.song.seconds_at([section - length, section]) * RATE
                start, end = (int(edge) for edge in np.clip(edges, 0, self.samples))
                swell = np.linspace(0, 1, end - start, dtype=np.float32) ** 2
                noise[start:end] += swell * rng.standard_normal(end - start, dtype=np.float32)
        return noise

    def _pumped(self, stem: Samples) -> Samples:
        """A stem that makes way for the bass drum, now and then."""
        if self.rng.random() < 0.12:
            return pumped(stem, self.rng, self.song.beat_seconds)
        return stem

    def _in_sections(self, notes: Notes, share: float) -> Notes:
        """What a player plays who pauses in some sections; never in all."""
        sections = np.maximum(notes[:, 0] // _SECTION_BEATS, 0).astype(np.int64)
        playing = self.rng.random(int(sections.max(initial=0)) + 1) < share
        playing[playing.size // 2] = True
        return np.asarray(notes[playing[sections]])

    # --------------------------------------------------------------------------------- playing

    def _played(self, layers: Sequence[tuple[Sound, Notes]]) -> Samples:
        """Layers of one stem, each with timing, dynamics and articulation of its own."""
        rng = self.rng
        parts = []
        for sound, notes in layers:
            timed = self._timed(notes, self.looseness_seconds)
            timed[:, 3] = _dynamics(timed[:, 3], rng)
            timed[:, 2] = _within_range(timed[:, 2])
            parts.append(Part(sound, timed))
        return self.orchestra.render(parts, self.samples, detune_cents=self.detune_cents)

    def _timed(self, notes: Notes, looseness: float) -> TimedNotes:
        """Notes in seconds, (n, 4), each up to 15 ms off, and all of them early or late."""
        rng = self.rng
        timed: TimedNotes = notes.copy()
        timed[:, :2] = self.song.seconds_at(notes[:, :2])
        lag = float(np.clip(rng.normal(0, 0.005), -0.01, 0.01)) if looseness else 0.0
        shifts = lag + np.clip(rng.normal(0, looseness, len(notes)), -0.015, 0.015)
        timed[:, 0] += shifts
        timed[:, 1] = np.maximum(timed[:, 1] + shifts, timed[:, 0] + _SHORTEST_SECONDS)
        return timed

    def _treated(self, sound: Sound, *, lively: bool = False, quick: bool = False) -> Sound:
        """A sound with its knobs turned: vibrato, a darker tone, other attacks and releases."""
        rng = self.rng
        return replace(
            sound,
            vibrato=int(rng.choice((0, 0, 25, 60, 90))) if lively else 0,
            darker_cents=float(rng.uniform(0, 2400)) if rng.random() < 0.3 else 0.0,
            attack_timecents=float(rng.uniform(-4800, -2400)) if quick else 0.0,
            release_timecents=float(rng.uniform(-2400, 1800)) if rng.random() < 0.4 else 0.0,
        )


_STRUM_STYLES = (
    "strummed bars", "strummed halves", "campfire", "pop strum", "busy strum", "sixteenth strum",
    "ballad strum", "funk guitar", "fingerpicked", "power", "muted",
)  # fmt: skip


def _ridden(stem: Samples, rng: np.random.Generator) -> Samples:
    """A stem whose fader is moved now and then, by 2 dB or so; most faders are not."""
    if rng.random() < 0.65:
        return stem
    points = np.arange(0, stem.size + RATE * _RIDE_SECONDS, RATE * _RIDE_SECONDS)
    gains = 10 ** (rng.normal(0, 2, points.size) / 20)
    blocks = np.interp(np.arange(0, stem.size, _RIDE_BLOCK), points, gains).astype(np.float32)
    return stem * np.repeat(blocks, _RIDE_BLOCK)[: stem.size]


def _third_of(pitch: float, chord: Chord, direction: int) -> float:
    """The next tone of a chord at least a third from a pitch, above (1) or below (-1)."""
    candidates = [pitch + direction * distance for distance in range(3, 12)]
    return next((p for p in candidates if int(p) % 12 in chord.pitch_classes), pitch)


def _dynamics(velocity: _Values, rng: np.random.Generator) -> _Values:
    """Velocities spread more or less, and all louder or softer, 15 to 124."""
    if not velocity.size:
        return velocity
    centre = float(velocity.mean())
    spread = (velocity - centre) * rng.uniform(0.4, 1.3)
    loud = np.clip(centre + rng.normal(6, 12), 55, 108)
    return np.asarray(np.clip(loud + spread + rng.normal(0, 4, velocity.size), 15, 124))


def _within_range(pitch: _Values) -> _Values:
    """Pitches that instruments have, moved by octaves."""
    low = np.maximum(np.ceil((_LOWEST - pitch) / 12), 0)
    high = np.maximum(np.ceil((pitch - _HIGHEST) / 12), 0)
    return np.asarray(pitch + 12 * (low - high))
