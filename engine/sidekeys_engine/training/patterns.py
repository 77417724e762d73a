"""What a rhythm section plays to a song's chords: drums, bass lines and comping, in beats.

A pattern is one bar written as text. Its length says how fine it is: 16 characters are sixteenths
of a bar of four beats, 12 are triplets of eighths. ``.`` is silence, ``-`` holds the note before;
everything else strikes. A shorter bar plays the beginning of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidekeys_engine.training.pop909 import Chord, Notes, Song

_BAR_BEATS = 4
_STEPS_PER_BEAT = 4
_SECTION_BARS = 8

_VELOCITY = {"X": 112, "x": 94, "o": 72, "g": 46}
_USUAL_VELOCITY = 92

# Keys of General MIDI's percussion; a voice of a groove is one of these, the same in all the song.
_KITS = {
    "kick": (35, 36),
    "snare": (38, 40),
    "clap": (39, 39, 38, 40),
    "rim": (37, 37, 31),
    "hat": (42, 42, 42, 44, 69, 70, 82),
    "open": (46, 46, 26),
    "ride": (51, 59, 53),
    "shaker": (82, 70, 69, 54),
    "high": (60, 63, 65, 76, 56, 62),
    "low": (61, 64, 66, 77, 41),
}
_CRASHES = (49, 57, 55, 52)
_TOMS = (50, 48, 47, 45, 43, 41)

_GROOVES: dict[str, dict[str, str]] = {
    "rock": {"kick": "X.......x.......", "snare": "....X.......X...", "hat": "x.o.x.o.x.o.x.o."},
    "rock busy": {
        "kick": "X.....x.x.x.....", "snare": "....X..g.g..X..g", "hat": "x.o.x.o.x.o.x.o."
    },
    "rock push": {
        "kick": "X......xx......x", "snare": "....X.......X...", "hat": "x.x.x.x.x.x.x.x."
    },
    "ride rock": {
        "kick": "X..x....x.x.....", "snare": "....X.......X...", "ride": "X.o.X.o.X.o.X.o."
    },
    "four on the floor": {
        "kick": "X...X...X...X...", "clap": "....x.......x...", "open": "..x...x...x...x."
    },
    "disco": {
        "kick": "X...X...X...X...", "snare": "....X.......X...", "hat": "x.oox.oox.oox.oo",
        "open": "..x...x...x...x.",
    },
    "house": {
        "kick": "X...X...X...X...", "clap": "....X.......X..g", "shaker": "oxoxoxoxoxoxoxox"
    },
    "half-time": {
        "kick": "X.........x.....", "snare": "........X.......", "hat": "x.o.x.o.x.o.x.o."
    },
    "trap": {"kick": "X......x..x.....", "clap": "........X.......", "hat": "x.x.x.xxx.x.xxxx"},
    "trap rolls": {
        "kick": "X..........x......x.....", "snare": "............X...........",
        "hat": "x.o.x.o.x.ooxoooxoo.x.o.",
    },
    "sixteenths": {
        "kick": "X..x....x..x....", "snare": "....X.......X...", "hat": "xgogxgogxgogxgog"
    },
    "funk": {"kick": "X..x..x...x..x..", "snare": "....X..g.g..X..g", "hat": "x.xxx.xxx.xxx.xx"},
    "shuffle": {"kick": "X.....x..x..", "snare": "...X.....X..", "hat": "x.ox.ox.ox.o"},
    "slow twelve": {"kick": "X....xx.....", "snare": "...X.....X..", "hat": "xooxooxooxoo"},
    "hip-hop": {"kick": "X..x......xx....", "snare": "....X.......X...", "hat": "x.x.x.x.x.x.x.x."},
    "breakbeat": {
        "kick": "X.x.......xx....", "snare": "....X..x.x..X..x", "hat": "x.x.x.x.x.x.x.x."
    },
    "reggae": {"kick": "........X.......", "rim": "........X.......", "hat": "x.oox.oox.oox.oo"},
    "dembow": {"kick": "X...X...X...X...", "snare": "...x..x....x..x.", "hat": "x.o.x.o.x.o.x.o."},
    "ballad rim": {
        "kick": "X.......x.......", "rim": "....x.......x...", "hat": "o.g.o.g.o.g.o.g."
    },
    "ballad brush": {
        "kick": "x...............", "snare": "g.ggogggg.ggoggg", "ride": "o...o.g.o...o.g."
    },
    "bossa": {"kick": "x..xx..xx..xx..x", "rim": "x..x..x...x..x..", "hat": "oooooooooooooooo"},
    "march": {"kick": "X...X...X...X...", "snare": "x.ggx.ggx.ggxggg"},
    "train": {"kick": "X...x...X...x...", "snare": "ggXgggXgggXgggXg"},
    "toms": {"kick": "X...x...X...x...", "low": "x.ox..x.x.ox..x.", "clap": "....x.......x..."},
    "claps only": {"clap": "....X.......X..."},
    "kick only": {"kick": "X...X...X...X..."},
    "kick and hat": {"kick": "X.......X.......", "hat": "..o...o...o...o."},
    "shaker only": {"shaker": "xgogxgogxgogxgog"},
    "congas": {"high": "..x...xx..x...x.", "low": "x...o...x.o..x..", "shaker": "o.o.o.o.o.o.o.o."},
    "tambourine": {"shaker": "..o.X.o...o.X.o.", "kick": "x.......x......."},
    "hat only": {"hat": "x...o...x...o..."},
}  # fmt: skip
_SPARSE = (
    "ballad rim", "ballad brush", "claps only", "kick only", "kick and hat", "shaker only",
    "congas", "tambourine", "hat only",
)  # fmt: skip

# r: root, 5: fifth, 8: octave, 3: third, a: a semitone away from the next bass
_BASS_LINES = {
    "long": "r---------------",
    "halves": "r-------r-------",
    "dotted": "r-----r-r-------",
    "push": "r-----r-------r-",
    "quarters": "r---r---r---r---",
    "eighths": "r-r-r-r-r-r-r-r-",
    "root and fifth": "r-------5-------",
    "country": "r---5---r---5---",
    "octaves": "r-8-r-8-r-8-r-8-",
    "disco": "r.8.r.8.r.8.r.88",
    "syncopated": "r--r--r---r--r--",
    "tresillo": "r--r--r-r--r--r-",
    "funk": "r..r..8.r.5..r8.",
    "walking": "r---3---5---a---",
    "melodic": "r-----5-8---5-3-",
    "approach": "r-------r---5-a-",
    "sub": "r-------------..",
    "short": "r.......r.......",
    "off-beats": "..r...r...r...r.",
    "sixteenths": "rrrrrrrrrrrrrrrr",
    "triplets": "r-rr-rr-rr-r",
    "reggae": "r...r-r-....5-r-",
}
_BASS_LOWEST = 28

# d, u: strummed down and up; b: all at once; digits: tones of the chord from the lowest on
_COMPING = {
    "pad": "b---------------",
    "pad halves": "b-------b-------",
    "pulse": "b---b---b---b---",
    "eighths": "b-b-b-b-b-b-b-b-",
    "power": "p-p-p-p-p-p-p-p-",
    "muted": "p.p.p.p.p.p.p.p.",
    "muted sixteenths": "p.ppp.ppp.ppp.pp",
    "strummed bars": "d---------------",
    "strummed halves": "d-------d-------",
    "campfire": "d---d-u---u-d-u-",
    "pop strum": "d-----d-u---u-d-",
    "busy strum": "d-dud-du-ud-d-du",
    "sixteenth strum": "dudududududududu",
    "ballad strum": "d-------d---d-u-",
    "funk guitar": "d.u..du..d.u.du.",
    "up arpeggio": "0-1-2-3-4-3-2-1-",
    "fast arpeggio": "0123210123432101",
    "fingerpicked": "0-2-1-3-0-2-1-3-",
    "broken": "0---2---1---2---",
    "triplet arpeggio": "012345012345",
    "rolling": "0-3-2-3-1-3-2-3-",
    "sequencer": "0.4.0.3.0.4.2.1.",
    "skank": "....b.......b...",
    "off-beats": "..b...b...b...b.",
    "stabs": "b.....b.........",
    "late stabs": "......b.......b.",
    "tresillo": "b--b--b---b--b--",
    "charleston": "b-----b-........",
    "anthem": "b--b--b-b--b--b-",
    "house piano": "b..b..b..b..b.b.",
    "triplet chords": "bbbbbbbbbbbb",
    "waltz feel": "0---b---b---b---",
}
COMPING_STYLES = tuple(_COMPING)
_STRINGS = (40, 45, 50, 55, 59, 64)  # of a guitar
_STRETCH = 5  # frets


@dataclass(frozen=True, eq=False)
class Bars:
    """The bars of a song: where each starts and how long it is, in beats, and the harmony.

    Attributes:
        starts: (bars,) in beats; before the first downbeat there are only whole bars.
        lengths: (bars,) in beats, at most four.
        chords: of the song, in order.
    """

    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]
    chords: tuple[Chord, ...]

    @classmethod
    def of(cls, song: Song) -> Bars:
        """The bars of a song; longer ones are cut into fours, or into threes if most are of six."""
        beats = song.beat_seconds.size
        marks = np.flatnonzero(song.downbeats).tolist() or [0]
        triple = len(marks) > 1 and np.median(np.diff(marks)) in (3, 6)
        longest = 3 if triple else _BAR_BEATS
        starts = [*range(marks[0] % longest, marks[0], longest)]
        for first, end in zip(marks, [*marks[1:], beats], strict=True):
            starts += range(first, end, longest)
        lengths = np.diff([*starts, beats])
        return cls(np.array(starts, dtype=np.int64), lengths.astype(np.int64), song.chords)

    @property
    def sections(self) -> npt.NDArray[np.int64]:
        """(bars,) the eight-bar section that each is in."""
        return np.arange(self.starts.size) // _SECTION_BARS

    def chord_at(self, beats: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Index of the chord that sounds at these beats, or -1."""
        if not self.chords:
            return np.full(beats.shape, -1, dtype=np.int64)
        starts = np.array([chord.start_beats for chord in self.chords])
        ends = np.array([chord.end_beats for chord in self.chords])
        index = np.searchsorted(starts, beats, side="right") - 1
        return np.where((index >= 0) & (beats < ends[index]), index, -1)


def drums(bars: Bars, rng: np.random.Generator, *, sparse: bool = False) -> Notes:
    """A drummer's part: two grooves, fills and crashes at phrases, sections of silence.

    Args:
        bars: of the song.
        rng: decides on everything.
        sparse: only what a ballad bears.

    Returns:
        Notes on General MIDI's percussion keys, half a beat long; drums ring on by themselves.
    """
    names = _SPARSE if sparse else tuple(_GROOVES)
    grooves = [_varied(_GROOVES[str(rng.choice(names))], rng) for _ in range(2)]
    keys = {voice: int(rng.choice(choices)) for voice, choices in _KITS.items()}
    sections = int(bars.sections[-1]) + 1
    plan = rng.choice(3, size=sections, p=(0.45, 0.45, 0.1))  # 2: none play
    fill_bars, fills = int(rng.choice((4, 8, 16))), rng.random() < 0.7
    crash, crashes = int(rng.choice(_CRASHES)), rng.random() < 0.6
    rows: list[tuple[float, int, float]] = []
    for bar, (start, length) in enumerate(zip(bars.starts, bars.lengths, strict=True)):
        part = plan[bars.sections[bar]]
        if part == 2:
            continue
        end = start + length
        filled = fills and (bar + 1) % fill_bars == 0 and rng.random() < 0.8
        fill_from = end - float(rng.choice((0.5, 1, 1, 2, 4))) if filled else end
        if crashes and bar % fill_bars == 0:
            rows.append((start, crash, rng.uniform(80, 120)))
        for voice, text in grooves[part].items():
            for beat, _, symbol in _struck(text, start, length):
                if beat < fill_from:
                    rows.append((beat, keys[voice], _VELOCITY[symbol]))
        if filled:
            rows += _fill(max(fill_from, start), end, keys["snare"], rng)
    notes = np.array(rows, dtype=np.float64).reshape(-1, 3)
    velocity = np.clip(notes[:, 2] + rng.normal(0, rng.uniform(1, 9), len(notes)), 12, 127)
    return np.stack([notes[:, 0], notes[:, 0] + 0.5, notes[:, 1], velocity], axis=1)


def bass(bars: Bars, rng: np.random.Generator) -> Notes:
    """A bass line: one or two patterns, in the octave above the low E or the low B."""
    names = [str(name) for name in rng.choice(list(_BASS_LINES), 2)]
    plan = rng.random(int(bars.sections[-1]) + 1) < rng.choice((0.0, 0.3))
    lowest = _BASS_LOWEST + int(rng.choice((-5, 0, 0, 3, 12), p=(0.1, 0.4, 0.3, 0.1, 0.1)))
    gate = rng.uniform(0.6, 1.0)
    rows = []
    for start, end, symbol, index in _played(bars, [_BASS_LINES[n] for n in names], plan):
        chord = bars.chords[index]
        root = lowest + (chord.bass - lowest) % 12
        pitch = root
        if symbol in "35":
            steps = [(pc - chord.bass) % 12 for pc in chord.pitch_classes[1:3]]
            pitch = root + steps[(symbol == "5") % len(steps)] if steps else root
        elif symbol == "8":
            pitch = root + 12
        elif symbol == "a" and index + 1 < len(bars.chords):
            after = lowest + (bars.chords[index + 1].bass - lowest) % 12
            if bars.chords[index + 1].start_beats <= end:
                pitch = after - 1 if after > lowest else after + 1
        rows.append((start, start + gate * (end - start), pitch, rng.uniform(78, 112)))
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def comping(bars: Bars, rng: np.random.Generator, bpm: float, style: str | None = None) -> Notes:
    """Chords in a rhythm: pads, strummed or picked guitars, arpeggios, stabs.

    Args:
        bars: of the song.
        rng: decides on what is not given.
        bpm: the tempo, so that a strum takes 10 to 25 ms from string to string.
        style: one of ``COMPING_STYLES``; without it, any.

    Raises:
        KeyError: there is no such style.
    """
    name = style or str(rng.choice(list(_COMPING)))
    text = _COMPING[name]
    other = _COMPING[str(rng.choice(list(_COMPING)))] if style is None else text
    plan = rng.random(int(bars.sections[-1]) + 1) < rng.choice((0.0, 0.4))
    spread = rng.uniform(0.010, 0.025) * bpm / 60  # beats from string to string
    together = rng.uniform(0, 0.012) * bpm / 60
    centre = int(rng.choice((52, 57, 60, 62, 64, 67, 72)))
    gate, humanity = rng.uniform(0.45, 1.05), rng.uniform(1, 10)
    rows = []
    for start, end, symbol, index in _played(bars, [text, other], plan):
        pitches = _voiced(bars.chords[index], symbol, centre)
        late = spread if symbol in "du" else together
        level = rng.normal(_USUAL_VELOCITY - 14 * (symbol == "u"), humanity)
        for order, pitch in enumerate(pitches):
            onset = start + late * order
            until = max(start + gate * (end - start), onset + 0.05)
            rows.append((onset, until, pitch, np.clip(level - 2 * order, 20, 124)))
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


# --- patterns ---


def _struck(text: str, start: float, beats: float) -> Iterator[tuple[float, float, str]]:
    """Onset and end in beats, and the symbol, of what is struck in a bar."""
    step = _BAR_BEATS / len(text)
    text = text[: round(beats / step)]
    at = 0
    while at < len(text):
        end = at + 1
        if text[at] not in ".-":
            while end < len(text) and text[end] == "-":
                end += 1
            yield start + at * step, start + end * step, text[at]
        at = end


def _played(
    bars: Bars, texts: list[str], plan: npt.NDArray[np.bool_]
) -> Iterator[tuple[float, float, str, int]]:
    """Like ``_struck`` for all bars, with the chord; what is held is struck anew at a change."""
    changes = np.array([c.start_beats for c in bars.chords] + [c.end_beats for c in bars.chords])
    changes = np.unique(np.round(changes * _STEPS_PER_BEAT) / _STEPS_PER_BEAT)
    for bar, (first, length) in enumerate(zip(bars.starts, bars.lengths, strict=True)):
        text = texts[int(plan[bars.sections[bar]])]
        for start, end, symbol in _struck(text, float(first), float(length)):
            inside = changes[(changes > start) & (changes < end)].tolist()
            edges = np.array([start, *inside, end])
            chords = bars.chord_at((edges[:-1] + edges[1:]) / 2)
            for onset, until, chord in zip(edges[:-1], edges[1:], chords, strict=True):
                if chord >= 0:
                    yield float(onset), float(until), symbol, int(chord)


def _varied(groove: dict[str, str], rng: np.random.Generator) -> dict[str, str]:
    """A groove with a few strokes added or left out; sometimes with a voice left out."""
    rate = float(rng.choice((0.0, 0.0, 0.05, 0.1)))
    varied = {}
    for voice, text in groove.items():
        if len(groove) > 1 and rng.random() < 0.07:
            continue
        strokes = [
            (("." if mark != "." else "o") if rng.random() < rate and at else mark)
            for at, mark in enumerate(text)
        ]
        varied[voice] = "".join(strokes)
    return varied


def _fill(
    start: float, end: float, snare: int, rng: np.random.Generator
) -> list[tuple[float, int, float]]:
    """A run over snare and toms, in eighths, triplets or sixteenths, growing."""
    step = float(rng.choice((0.5, 1 / 3, 0.25, 0.25)))
    beats = np.arange(start, end - 1e-6, step)
    beats = beats[rng.random(beats.size) < rng.choice((0.7, 1.0))]
    keys = [snare] * len(beats)
    if rng.random() < 0.6:
        keys = [_TOMS[len(_TOMS) * i // len(beats)] for i in range(len(beats))]
    loud = np.linspace(rng.uniform(50, 100), 115, len(beats))
    return list(zip(beats.tolist(), keys, loud.tolist(), strict=True))


# --- pitches ---


def _voiced(chord: Chord, symbol: str, centre: int) -> list[int]:
    """Pitches of a chord in the order in which they are struck."""
    if symbol in "du":
        frets = [
            (string, min((pc - string) % 12 for pc in chord.pitch_classes)) for string in _STRINGS
        ]
        strings = [string + fret for string, fret in frets if fret <= _STRETCH]
        return strings if symbol == "d" else strings[:-5:-1]
    if symbol == "p":
        root = 40 + (chord.root - 40) % 12
        return [root, root + 7]
    close = sorted(_near(pc, centre) for pc in chord.pitch_classes[:4])
    if symbol.isdigit():
        ladder = [*close, *(pitch + 12 for pitch in close)]
        return [ladder[int(symbol) % len(ladder)]]
    return close


def _near(pitch_class: int, centre: int) -> int:
    """The pitch of a class that is nearest to ``centre``."""
    return centre + (pitch_class - centre + 6) % 12 - 6
