"""A sung pop lead: notes in, mono audio of an imagined singer out.

The voice is a source and a filter (Fant, *Acoustic Theory of Speech Production*, 1960): a glottal
pulse with breath in it, shaped 172 times a second by the resonances of a vocal tract that moves
from vowel to vowel, and hiss where a consonant has some.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
Notes = npt.NDArray[np.float64]
_Curve = npt.NDArray[np.float64]
_Flags = npt.NDArray[np.bool_]
_Numbers = npt.NDArray[np.int64]
_Response = npt.NDArray[np.complex64]

RATE = 22_050
_HOP, _FRAME = 128, 512  # 5.8 ms, 23 ms
_BLOCKS = _FRAME // _HOP  # a frame spans so many hops
_WINDOW = np.hanning(_FRAME + 1)[:-1].astype(np.float32)
_OVERLAP = 1.5  # what the squares of overlapping windows add up to
_HERTZ = np.arange(_FRAME // 2 + 1) * RATE / _FRAME  # (bins,)
_TABLE = 16_384  # samples of two cycles
_CHUNK_FRAMES = 512  # as many as stay in a cache
_INAUDIBLE = 1e-4
_LOUDNESS = 0.1  # RMS of what sounds

# Formants of a man's English vowels: F1 to F3 as Peterson and Barney (1952) measured them.
_VOWELS = np.array(
    [
        (730, 1090, 2440, 3400, 4400),  # father
        (660, 1720, 2410, 3450, 4450),  # hat
        (530, 1840, 2480, 3500, 4450),  # head
        (270, 2290, 3010, 3600, 4500),  # heed
        (390, 1990, 2550, 3500, 4450),  # hid
        (570, 840, 2410, 3300, 4350),  # hawed
        (440, 1020, 2240, 3250, 4300),  # hood
        (300, 870, 2240, 3250, 4300),  # who
        (640, 1190, 2390, 3350, 4400),  # hud
        (490, 1350, 1690, 3200, 4300),  # heard
    ],
    dtype=np.float64,
)
_NEUTRAL = 8
_LOWEST_FORMANT, _FORMANT_STEP, _FORMANT_ROWS = 200.0, 1.01, 350  # 200 Hz to 6.4 kHz
_TILTS = np.arange(-18.0, 6.5, 0.5)  # decibels an octave, on top of the singer's own


class _Consonant(NamedTuple):
    weight: float  # how often, about as in sung English
    seconds: tuple[float, float]
    voicing: float  # loudness of the voice meanwhile; 1 is that of a vowel
    locus: tuple[float, float, float] | None = None  # where the first formants start from
    band: int = 0  # of its hiss, in _BANDS
    hiss: float = 0.0  # loudness
    burst_seconds: float = 0.0  # the hiss comes only at the end, out of a closure


# Low and high edge in Hz.
_BANDS = ((700, 6000), (5000, 9500), (2300, 6000), (1500, 9500), (400, 2000), (3200, 8500))
_BREATH, _S, _SH, _F, _P, _T = range(6)
_CONSONANTS = (
    _Consonant(0.14, (0.0, 0.03), 1.0),  # a vowel begins
    _Consonant(0.06, (0.05, 0.10), 0.05, None, _BREATH, 0.20),  # h
    _Consonant(0.06, (0.05, 0.10), 0.40, (250, 1050, 2200)),  # m
    _Consonant(0.08, (0.05, 0.09), 0.40, (250, 1500, 2500)),  # n
    _Consonant(0.07, (0.05, 0.09), 0.55, (360, 1100, 2600)),  # l
    _Consonant(0.06, (0.06, 0.11), 0.60, (300, 700, 2200)),  # w
    _Consonant(0.06, (0.05, 0.10), 0.60, (270, 2200, 3000)),  # y
    _Consonant(0.05, (0.05, 0.10), 0.60, (330, 1150, 1600)),  # r
    _Consonant(0.07, (0.08, 0.14), 0.0, (320, 1700, 2600), _S, 0.35),  # s
    _Consonant(0.03, (0.08, 0.13), 0.0, (320, 1900, 2500), _SH, 0.35),  # sh
    _Consonant(0.04, (0.06, 0.11), 0.0, (320, 1100, 2300), _F, 0.10),  # f, th
    _Consonant(0.04, (0.05, 0.09), 0.35, (300, 1300, 2400), _F, 0.06),  # v, th
    _Consonant(0.02, (0.05, 0.09), 0.30, (300, 1700, 2500), _S, 0.15),  # z
    _Consonant(0.03, (0.06, 0.10), 0.0, (350, 900, 2200), _P, 0.35, 0.025),  # p
    _Consonant(0.07, (0.06, 0.10), 0.0, (350, 1800, 2700), _T, 0.45, 0.040),  # t
    _Consonant(0.04, (0.06, 0.10), 0.0, (350, 1900, 2200), _SH, 0.40, 0.035),  # k
    _Consonant(0.04, (0.04, 0.07), 0.15, (280, 900, 2200), _P, 0.20, 0.012),  # b
    _Consonant(0.03, (0.04, 0.07), 0.15, (280, 1700, 2600), _T, 0.20, 0.015),  # d
    _Consonant(0.01, (0.04, 0.07), 0.15, (280, 1900, 2200), _SH, 0.20, 0.018),  # g
)
_WEIGHTS = np.array([each.weight for each in _CONSONANTS])
_SECONDS = np.array([each.seconds for each in _CONSONANTS])  # (consonants, 2)
_VOICING = np.array([each.voicing for each in _CONSONANTS])
_LOCI = np.array([(*(each.locus or (np.nan,) * 3), np.nan, np.nan) for each in _CONSONANTS])


@dataclass(frozen=True)
class Singer:
    """How somebody sings; by default a clear voice that uses every means a little.

    Attributes:
        formant_scale: of the formants, against a man's; 0.85 a giant, 1.25 a child.
        tilt_decibels: fall of the glottal spectrum per octave; -5 belts, -13 whispers.
        breathiness: loudness of the breath against the voice, 0 to 1.
        roughness: how much every other pulse is weaker, 0 to 1.
        presence_decibels: lift between 2.5 and 5 kHz.
        falsetto_above: MIDI pitch above which the voice is thinner and has more breath.
        vibrato_hertz: its rate.
        vibrato_cents: its depth to either side, fully grown.
        vibrato_delay_seconds: from the vowel's begin until it grows.
        intonation_cents: standard deviation of a note's pitch.
        jitter_cents: standard deviation of the pitch from moment to moment.
        glide_seconds: time constant of the way from one note to the next.
        scoop_cents: how far below the note a phrase begins, at most twice this.
        articulation: how many syllables begin with a consonant, 0 to 1.
        sibilance: loudness of all hiss.
        diphthongs: how many vowels change on their way, 0 to 1.
        inhales: loudness of the breaths before phrases.
        dynamics_decibels: how much a phrase swells, and half of what notes differ at random.
        compression: share of all differences in loudness that a compressor takes away, 0 to 1.
        detune_cents: of all notes.
        timing_seconds: standard deviation of the onsets.
    """

    formant_scale: float = 1.0
    tilt_decibels: float = -9.0
    breathiness: float = 0.06
    roughness: float = 0.0
    presence_decibels: float = 4.0
    falsetto_above: float = 76.0
    vibrato_hertz: float = 5.5
    vibrato_cents: float = 30.0
    vibrato_delay_seconds: float = 0.35
    intonation_cents: float = 10.0
    jitter_cents: float = 6.0
    glide_seconds: float = 0.035
    scoop_cents: float = 60.0
    articulation: float = 0.8
    sibilance: float = 1.0
    diphthongs: float = 0.3
    inhales: float = 0.05
    dynamics_decibels: float = 3.0
    compression: float = 0.5
    detune_cents: float = 0.0
    timing_seconds: float = 0.010

    def __post_init__(self) -> None:
        if not 0.5 <= self.formant_scale <= 1.4:
            raise ValueError(f"formant_scale is 0.5 to 1.4, not {self.formant_scale}")
        for name in ("breathiness", "roughness", "articulation", "diphthongs", "compression"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is 0 to 1, not {getattr(self, name)}")
        if self.glide_seconds <= 0:
            raise ValueError(f"glide_seconds is above 0, not {self.glide_seconds}")

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> Singer:
        """Somebody of any size and manner: even, airy, belting, pitch-corrected, nearly rapping."""
        even = cls(
            formant_scale=rng.uniform(0.88, 1.25),
            tilt_decibels=rng.uniform(-11.0, -7.0),
            breathiness=rng.uniform(0.02, 0.12),
            roughness=max(0.0, rng.uniform(-0.2, 0.1)),
            presence_decibels=rng.uniform(0.0, 8.0),
            falsetto_above=rng.uniform(67.0, 84.0),
            vibrato_hertz=rng.uniform(4.5, 7.0),
            vibrato_cents=rng.uniform(0.0, 60.0),
            vibrato_delay_seconds=rng.uniform(0.15, 0.6),
            intonation_cents=rng.uniform(6.0, 16.0),
            jitter_cents=rng.uniform(3.0, 9.0),
            glide_seconds=rng.uniform(0.02, 0.06),
            scoop_cents=rng.uniform(0.0, 120.0),
            articulation=rng.uniform(0.55, 0.95),
            sibilance=float(np.exp(rng.normal(0.0, 0.4))),
            diphthongs=rng.uniform(0.1, 0.5),
            inhales=rng.uniform(0.0, 0.12),
            dynamics_decibels=rng.uniform(1.0, 5.0),
            compression=rng.uniform(0.3, 0.8),
            timing_seconds=rng.uniform(0.004, 0.02),
        )
        manner = rng.choice(5, p=(0.42, 0.2, 0.18, 0.12, 0.08))
        if manner == 1:  # airy
            return replace(
                even,
                tilt_decibels=rng.uniform(-14.0, -10.0),
                breathiness=rng.uniform(0.12, 0.4),
                falsetto_above=rng.uniform(62.0, 74.0),
            )
        if manner == 2:  # belting
            return replace(
                even,
                tilt_decibels=rng.uniform(-7.5, -4.5),
                breathiness=0.02,
                roughness=rng.uniform(0.0, 0.25),
                vibrato_cents=rng.uniform(20.0, 80.0),
                falsetto_above=90.0,
            )
        if manner == 3:  # pitch-corrected
            return replace(
                even,
                intonation_cents=1.0,
                glide_seconds=0.008,
                scoop_cents=0.0,
                vibrato_cents=rng.uniform(0.0, 15.0),
                jitter_cents=1.0,
            )
        if manner == 4:  # nearly rapping
            return replace(
                even,
                intonation_cents=rng.uniform(30.0, 80.0),
                vibrato_cents=0.0,
                glide_seconds=rng.uniform(0.04, 0.09),
                scoop_cents=rng.uniform(80.0, 200.0),
                articulation=0.98,
                sibilance=1.5,
            )
        return even

    def doubling(self, rng: np.random.Generator) -> Singer:
        """The same singer in another take: a few cents off, and less exactly in time."""
        return replace(
            self,
            detune_cents=self.detune_cents + rng.normal(0.0, 6.0),
            timing_seconds=rng.uniform(0.01, 0.03),
            inhales=0.0,
            sibilance=0.5 * self.sibilance,  # singers soften what would be heard twice
        )


def sing(
    notes: Notes,
    samples: int,
    singer: Singer,
    rng: np.random.Generator,
    *,
    words: int | None = None,
) -> Samples:
    """Sing a melody.

    Every note is a syllable, whose vowel begins at the onset; its consonant comes before. A note
    ends where the next begins, at the latest.

    Args:
        notes: (n, 4): onset_seconds, end_seconds, pitch (MIDI), velocity (1-127); by onset.
        samples: how many are wanted, at ``RATE``; later notes are left out.
        singer: who sings.
        rng: all that is never the same twice.
        words: a seed of what is said, 0 or more. Takes and harmonies of as many notes say the
            same with the same seed; without one, ``rng`` chooses.

    Returns:
        (samples,) mono; the RMS of what sounds is 0.1, and nothing exceeds 1. Silence without
        notes.

    Raises:
        ValueError: the shape of the notes, or a negative number of samples.
    """
    if notes.ndim != 2 or notes.shape[1] != 4:
        raise ValueError(f"notes have the shape (n, 4), not {notes.shape}")
    if samples < 0:
        raise ValueError(f"samples is 0 or more, not {samples}")
    seed = int(rng.integers(2**32)) if words is None else words
    notes = notes[notes[:, 0] < samples / RATE]
    syllables = _syllables(notes, singer, rng, np.random.default_rng(seed))
    if not len(syllables.onset):
        return np.zeros(samples, dtype=np.float32)
    course = _course(syllables, -(-samples // _HOP) + 1, singer, rng)
    blocks = _filtered(_source(course, singer, rng), course, singer, rng)  # (frames, hop)
    return _levelled(blocks, singer.compression).ravel()[:samples]


@dataclass(frozen=True)
class _Syllables:
    """What is sung, (n,) each: begin <= onset < end <= the next begin, in seconds."""

    begin: _Curve  # of the consonant
    onset: _Curve  # of the vowel
    end: _Curve
    pitch: _Curve  # with its error, in semitones
    gain: _Curve
    consonant: _Numbers
    vowels: _Numbers  # (n, 2): at its onset and at its end
    joined: _Flags  # without a pause to the syllable before
    phrase: _Flags  # a phrase begins

    @property
    def leads_on(self) -> _Flags:
        """Whether the next syllable follows without a pause, (n,)."""
        return np.append(self.joined[1:], False)


def _syllables(
    notes: Notes, singer: Singer, rng: np.random.Generator, words: np.random.Generator
) -> _Syllables:
    """Syllables for a melody, with their errors of pitch and of timing."""
    late = np.clip(rng.normal(0, singer.timing_seconds, len(notes)), -0.06, 0.06)
    onset = np.maximum.accumulate(notes[:, 0] + late)
    end = np.minimum(notes[:, 1], np.append(onset[1:], np.inf)[: len(notes)])
    consonant, vowels = _said(len(notes), singer, words)
    lasting = end - onset > 0.03
    notes, onset, end = notes[lasting], onset[lasting], end[lasting]
    consonant, vowels = consonant[lasting], vowels[lasting]

    n = len(notes)
    pauses = onset - np.append(-np.inf, end)[:n]
    joined, phrase = pauses < 0.06, pauses > 0.25
    for i in np.flatnonzero(joined & (consonant == 0)):
        vowels[i] = vowels[i - 1, 1]  # one syllable on several notes
    lead = rng.uniform(_SECONDS[consonant, 0], _SECONDS[consonant, 1])
    begin = onset - np.minimum(lead, 0.4 * np.diff(onset, prepend=-np.inf))
    next_begin = np.append(begin[1:], np.inf)[:n]
    next_joined = np.append(joined[1:], False)[:n]
    decibels = rng.normal(0, 0.5 * singer.dynamics_decibels, n)
    decibels += singer.dynamics_decibels * _swell(onset, phrase)
    cents = singer.detune_cents + rng.normal(0, singer.intonation_cents, n)
    return _Syllables(
        begin=begin,
        onset=onset,
        end=np.where(next_joined, next_begin, np.minimum(end, next_begin)),
        pitch=notes[:, 2] + cents / 100,
        gain=notes[:, 3] / 100 * 10 ** (decibels / 20),
        consonant=consonant,
        vowels=vowels,
        joined=joined,
        phrase=phrase,
    )


def _said(n: int, singer: Singer, words: np.random.Generator) -> tuple[_Numbers, _Numbers]:
    """Consonants, (n,), and vowels at the begin and at the end, (n, 2), of ``n`` syllables."""
    consonant = words.choice(len(_CONSONANTS), n, p=_WEIGHTS)
    consonant[words.random(n) >= singer.articulation] = 0
    vowels = words.integers(len(_VOWELS), size=(n, 2))
    vowels[:, 1] = np.where(words.random(n) < singer.diphthongs, vowels[:, 1], vowels[:, 0])
    return consonant, vowels


def _swell(onset: _Curve, phrase: _Flags) -> _Curve:
    """0 where phrases begin and end, 1 in their middle; (n,)."""
    first = np.flatnonzero(np.append(phrase, True))
    which = np.cumsum(phrase) - 1
    begin, end = onset[first[which]], onset[first[which + 1] - 1]
    return np.asarray(np.sin(np.pi * (onset - begin) / (end - begin + 1e-3)))


@dataclass(frozen=True)
class _Course:
    """What throat and mouth do, frame by frame, ``_HOP`` samples apart."""

    hertz: _Curve  # (frames,)
    voice: _Curve  # (frames,) loudness
    breath: _Curve  # (frames,) loudness of the noise that passes through the tract
    tilt: _Curve  # (frames,) decibels an octave
    formants: _Curve  # (frames, 5) Hz
    hiss: _Curve  # (frames,) loudness
    band: _Numbers  # (frames,) of the hiss


def _course(voiced: _Syllables, frames: int, singer: Singer, rng: np.random.Generator) -> _Course:
    time = np.arange(frames) * _HOP / RATE
    which = np.maximum(np.searchsorted(voiced.begin, time, "right") - 1, 0)
    since = time - voiced.onset[which]
    voicing = _VOICING[voiced.consonant][which]
    pitch = _pitch(voiced, time, which, singer, rng)
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    thin = 1 / (1 + np.exp(-2 * (pitch - singer.falsetto_above)))  # the register breaks
    voice = _loudness(voiced, time, which, rng)
    # Behind a voiceless consonant the cords come together late, and air passes.
    aspirated = (voicing < 0.1) & (since > -0.01) & (since < 0.04) & (voice > 0)
    airy = singer.breathiness * (1 + 2 * thin) * _smooth(voice, 6)
    effort = 20 * np.log10(np.maximum(voiced.gain[which], 1e-3))
    closed = (since < 0) & (voicing < 1)
    hiss, band = _hiss(voiced, frames, singer, rng)
    return _Course(
        hertz=np.clip(hertz, 50, 2000),
        voice=voice,
        breath=airy + 0.1 * singer.sibilance * _smooth(1.0 * aspirated, 3),
        tilt=_smooth(0.25 * effort - 4 * thin - 5 * closed, 5),
        formants=_formants(voiced, time, which, hertz, singer),
        hiss=hiss,
        band=band,
    )


def _loudness(
    voiced: _Syllables, time: _Curve, which: _Numbers, rng: np.random.Generator
) -> _Curve:
    """Loudness of the voice, (frames,): attacks, releases, closures of the mouth, shimmer."""
    since, left = time - voiced.onset[which], voiced.end[which] - time
    attack = np.where(voiced.joined, 0.02, rng.uniform(0.02, 0.09, len(voiced.onset)))[which]
    release = np.where(voiced.leads_on, 0.001, 0.08)[which]
    fresh = ~voiced.joined & (voiced.consonant == 0)
    voicing = np.where(fresh, 0.3, _VOICING[voiced.consonant])[which]
    open_share = np.clip(since / attack, 0, 1)
    loudness = voiced.gain[which] * (voicing + (1 - voicing) * open_share)
    loudness *= np.clip(left / release, 0, 1) * (1 - 0.25 * np.clip(since / 1.5, 0, 1))
    loudness *= 10 ** (_smooth(rng.normal(0, 1.5, len(time)), 3) / 20)
    return _smooth(loudness * (time >= voiced.begin[which]), 4)


def _pitch(
    voiced: _Syllables, time: _Curve, which: _Numbers, singer: Singer, rng: np.random.Generator
) -> _Curve:
    """MIDI pitch, (frames,): glides, scoops, vibrato, drift, jitter."""
    n, frames = len(voiced.pitch), len(time)
    scoop = np.where(voiced.phrase | (rng.random(n) < 0.2), rng.random(n), 0)
    start = np.where(
        voiced.joined,
        np.append(0, voiced.pitch[:-1]),
        voiced.pitch - singer.scoop_cents / 50 * scoop,
    )
    glide = np.where(voiced.joined, 1, 2.5) * singer.glide_seconds * rng.uniform(0.7, 1.4, n)
    # A glide sets out with the consonant, so that the vowel arrives in time.
    way = np.maximum(time - voiced.begin[which], 0) / glide[which]
    pitch = voiced.pitch[which] + (start - voiced.pitch)[which] * np.exp(-(way**2))
    fall = np.where((rng.random(n) < 0.3) & ~voiced.leads_on, rng.uniform(0, 2.5, n), 0)
    pitch -= fall[which] * np.clip(1 - (voiced.end[which] - time) / 0.12, 0, 1) ** 2

    hertz = singer.vibrato_hertz * (1 + 0.08 * _wander(frames, 1.0, rng))
    depth = singer.vibrato_cents / 100 * rng.uniform(0.4, 1.2, n)[which]
    grown = np.clip((time - voiced.onset[which] - singer.vibrato_delay_seconds) / 0.4, 0, 1)
    pitch += depth * grown * np.sin(2 * np.pi * np.cumsum(hertz) * _HOP / RATE)
    cents = singer.jitter_cents * (_smooth(rng.normal(0, 1.3, frames), 2) + _wander(frames, 3, rng))
    return _smooth(pitch, 3) + cents / 100


def _formants(
    voiced: _Syllables, time: _Curve, which: _Numbers, hertz: _Curve, singer: Singer
) -> _Curve:
    """Formants in Hz, (frames, 5): from the consonant to the vowel, and on to its end."""
    vowels = _VOWELS[voiced.vowels]  # (n, 2, 5)
    locus = vowels[:, 0].copy()
    locus[1:] = np.where(voiced.joined[1:, None], vowels[:-1, 1], locus[1:])
    locus = np.where(np.isnan(_LOCI[voiced.consonant]), locus, _LOCI[voiced.consonant])
    since = time - voiced.onset[which]
    length = (voiced.end - voiced.onset)[which]
    reached = (1 - np.exp(-np.maximum(since, 0) / 0.03))[:, None]
    turned = np.clip((since - 0.5 * length) / np.minimum(0.5 * length, 0.25), 0, 1)[:, None]
    vowel = vowels[which, 0] * (1 - turned) + vowels[which, 1] * turned
    formants = singer.formant_scale * (locus[which] * (1 - reached) + vowel * reached)
    formants = _smooth(formants, 5)
    # Singers open their mouth for high notes: a fundamental above F1 would be lost.
    formants[:, 0] = np.maximum(formants[:, 0], hertz)
    formants[:, 1] = np.maximum(formants[:, 1], formants[:, 0] + 150)
    return np.asarray(formants)


def _hiss(
    voiced: _Syllables, frames: int, singer: Singer, rng: np.random.Generator
) -> tuple[_Curve, _Numbers]:
    """Loudness and band of all noise made in the mouth and of breathing in, (frames,) each."""
    loudness, bands = np.zeros(frames), np.zeros(frames, dtype=np.int64)

    def add(begin: float, end: float, band: int, level: float) -> None:
        first, last = round(max(begin, 0) * RATE / _HOP), round(max(end, 0) * RATE / _HOP) + 1
        shape = level * np.sin(np.linspace(0, np.pi, last - first + 2)[1:-1]) ** 0.5
        loudness[first:last] = shape[: max(frames - first, 0)]
        bands[first:last] = band

    ends = np.append(-np.inf, voiced.end)
    for i, (begin, onset, end) in enumerate(
        zip(voiced.begin, voiced.onset, ends[:-1], strict=True)
    ):
        each = _CONSONANTS[voiced.consonant[i]]
        pause = begin - end
        if pause > 0.3 and rng.random() < 0.4 * singer.articulation:
            band = int(rng.choice((_S, _T, _F)))  # the last consonant of the phrase before
            add(end - 0.02, end + rng.uniform(0.02, 0.1), band, 0.2 * singer.sibilance)
        if pause > 0.5 and singer.inhales:
            length = min(rng.uniform(0.2, 0.5), pause - 0.2)
            add(begin - 0.05 - length, begin - 0.05, _BREATH, singer.inhales * rng.uniform(0.5, 1))
        if each.hiss:
            first = onset - each.burst_seconds if each.burst_seconds else begin
            level = each.hiss * singer.sibilance * rng.uniform(0.5, 1.2)
            add(first, onset, each.band, level * voiced.gain[i])
    return loudness, bands


def _source(course: _Course, singer: Singer, rng: np.random.Generator) -> Samples:
    """Pulses of the glottis and noise of the breath, (frames, hop); the row k begins frame k."""
    hertz = course.hertz
    cycles = np.cumsum((hertz + np.append(hertz[1:], hertz[-1])) / 2) * _HOP / RATE
    cycles = np.append(0, cycles[:-1])
    harmonics, pulses = _pulses(singer)
    table = np.minimum(np.searchsorted(-harmonics, -0.47 * RATE / hertz), len(harmonics) - 1)
    columns = np.stack([hertz, course.voice, course.breath], axis=1).astype(np.float32)
    slopes = np.diff(columns, axis=0, append=columns[-1:]) / np.float32(_HOP)
    step = np.arange(_HOP, dtype=np.float32)
    source = np.zeros((len(hertz), _HOP), dtype=np.float32)
    loud = course.voice + course.breath > _INAUDIBLE
    loud |= np.append(loud[1:], False)
    for rows in _chunks(np.flatnonzero(loud)):
        value, slope = columns[rows, :, None], slopes[rows, :, None]
        phase = (value[:, 0] * step + slope[:, 0] * (step * step / 2)) / np.float32(RATE)
        phase += np.float32(cycles[rows] % 2)[:, None]  # a table holds two cycles
        place = (phase * np.float32(_TABLE // 2)).astype(np.int32) & (_TABLE - 1)
        pulse = pulses.ravel()[place + np.int32(_TABLE) * table[rows, None].astype(np.int32)]
        noise = rng.standard_normal(phase.shape, dtype=np.float32)
        noise *= 1 + np.float32(0.4) * pulse  # air passes while the glottis is open
        source[rows] = pulse * (value[:, 1] + slope[:, 1] * step)
        source[rows] += noise * (value[:, 2] + slope[:, 2] * step)
    return source


def _filtered(
    source: Samples, course: _Course, singer: Singer, rng: np.random.Generator
) -> Samples:
    """The source heard through the vocal tract, and hiss; (frames, hop)."""
    import scipy.fft  # noqa: PLC0415
    import scipy.ndimage  # noqa: PLC0415

    resonances, rest = _tract(singer)
    tilts = np.power(10, _TILTS[:, None] / 20 * np.log2(np.maximum(_HERTZ, 400) / 400))
    tilts, bands = np.float32(tilts), _bands()
    places = _rows(course.formants)
    steep = np.int64(np.clip(np.round((course.tilt - _TILTS[0]) / 0.5), 0, len(_TILTS) - 1))
    # Frame k is centred on the first sample of row k.
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(source.ravel(), (2 * _HOP, _FRAME)), _FRAME
    )[::_HOP]
    mixed = np.zeros((len(source) + _BLOCKS, _HOP), dtype=np.float32)
    level = course.voice + course.breath + course.hiss
    heard = scipy.ndimage.maximum_filter1d(level, 2 * _BLOCKS + 1) > _INAUDIBLE
    for rows in _chunks(np.flatnonzero(heard)):
        spectra = scipy.fft.rfft(windows[rows] * _WINDOW, axis=1)
        spectra *= rest
        spectra *= tilts[steep[rows]]
        for formant in range(places.shape[1]):
            spectra *= resonances[places[rows, formant]]
        noisy = course.hiss[rows] > 0
        noise = rng.standard_normal((2, int(noisy.sum()), len(_HERTZ)), dtype=np.float32)
        # Frames of white noise that do not know of each other add up to an RMS of 1.
        gains = np.float32(course.hiss[rows][noisy, None] * np.sqrt(_FRAME * _OVERLAP / 2))
        spectra[noisy] += (noise[0] + 1j * noise[1]) * bands[course.band[rows][noisy]] * gains
        sound = scipy.fft.irfft(spectra, _FRAME, axis=1) * (_WINDOW / np.float32(_OVERLAP))
        for block in range(_BLOCKS):
            mixed[rows + block] += sound[:, block * _HOP : (block + 1) * _HOP]
    return mixed[2 : len(source) + 2]


def _levelled(blocks: Samples, compression: float) -> Samples:
    """Compressed and at the usual loudness, (frames, hop)."""
    power = _smooth(np.mean(np.square(blocks, dtype=np.float64), axis=1), 9)
    loud = power > 1e-3 * power.max()
    if not loud.any():
        return blocks
    relative = power / power[loud].mean() + 0.02  # noise and silence are not lifted far
    gain = np.float32(_smooth(relative ** (-compression / 2), 9))
    slope = np.diff(gain, append=gain[-1:])[:, None] * (np.arange(_HOP, dtype=np.float32) / _HOP)
    audio = blocks * (gain[:, None] + slope)
    audio *= _LOUDNESS / np.sqrt(np.mean(np.square(audio[loud])))
    return np.asarray(np.clip(audio, -1, 1), dtype=np.float32)


def _pulses(singer: Singer) -> tuple[_Curve, Samples]:
    """How many harmonics each table has, falling, and two cycles of each, RMS 1."""
    harmonics = np.unique(np.geomspace(5, 220, 40).astype(np.int64))[::-1]
    number = np.arange(1, harmonics[0] + 1)
    amplitude = 10 ** (singer.tilt_decibels / 20 * np.log2(number))
    tables = []
    for top in harmonics:
        spectrum = np.zeros(_TABLE // 4 + 1, dtype=np.complex128)
        spectrum[1 : top + 1] = -1j * amplitude[:top]
        cycle = np.fft.irfft(spectrum)
        cycle /= np.sqrt(np.mean(cycle**2))
        tables.append(np.concatenate([cycle, (1 - 0.6 * singer.roughness) * cycle]))
    return harmonics.astype(np.float64), np.array(tables, dtype=np.float32)


def _tract(singer: Singer) -> tuple[_Response, _Response]:
    """Responses of a formant at each frequency, (rows, bins), and of all that stands still."""
    hertz = _LOWEST_FORMANT * _FORMANT_STEP ** np.arange(_FORMANT_ROWS)
    width = (1 + 2 * singer.breathiness) * (50 + 0.035 * hertz)
    resonances = _resonance(hertz, width)
    upper = np.arange(5400.0, 10_500, 1000) * singer.formant_scale
    upper = upper[upper < 0.48 * RATE]
    rest = np.prod(_resonance(upper, 0.08 * upper), axis=0)
    lift = np.exp(-0.5 * (np.log2(_HERTZ / 3500 + 1e-9) / 0.5) ** 2)
    rest = rest * 10 ** (singer.presence_decibels * lift / 20) / (1 + (60 / (_HERTZ + 1)) ** 4)
    # At 220 Hz a neutral vowel has the loudness of its pulses.
    rows = _rows(_VOWELS[_NEUTRAL] * singer.formant_scale)
    neutral = np.abs(rest * np.prod(resonances[rows], axis=0))
    number = np.arange(1, 48)
    amplitude = 10 ** (singer.tilt_decibels / 20 * np.log2(number))
    heard = amplitude * np.interp(220.0 * number, _HERTZ, neutral)
    rest = rest * np.sqrt(np.sum(amplitude**2) / np.sum(heard**2))
    return resonances.astype(np.complex64), rest.astype(np.complex64)


def _rows(formants: _Curve) -> _Numbers:
    """Where the table of resonances has these formants, of the same shape."""
    rows = np.round(np.log(formants / _LOWEST_FORMANT) / np.log(_FORMANT_STEP))
    return np.asarray(np.clip(rows, 0, _FORMANT_ROWS - 1), dtype=np.int64)


def _resonance(
    hertz: npt.NDArray[np.floating[Any]], width: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.complex128]:
    """Responses of digital resonators, (n, bins), 1 at 0 Hz (Klatt, JASA 67, 1980, eq. 1-2)."""
    c = -np.exp(-2 * np.pi * width / RATE)
    b = 2 * np.exp(-np.pi * width / RATE) * np.cos(2 * np.pi * hertz / RATE)
    z = np.exp(-2j * np.pi * _HERTZ / RATE)
    return np.asarray((1 - b - c)[:, None] / (1 - b[:, None] * z - c[:, None] * z**2))


def _bands() -> Samples:
    """Spectra of hiss, (bands, bins), each of the loudness 1."""
    spectra = [
        1 / np.sqrt((1 + (low / (_HERTZ + 1)) ** 6) * (1 + (_HERTZ / high) ** 8))
        for low, high in _BANDS
    ]
    return np.array([s / np.sqrt(np.mean(s**2)) for s in spectra], dtype=np.float32)


def _wander(frames: int, hertz: float, rng: np.random.Generator) -> _Curve:
    """A slow random curve, (frames,), of standard deviation about 1."""
    points = rng.normal(0, 1.2, int(frames * _HOP / RATE * hertz) + 2)
    return np.interp(np.arange(frames) * _HOP / RATE * hertz, np.arange(len(points)), points)


def _smooth(curve: npt.NDArray[np.floating[Any]], width: int) -> _Curve:
    """The average of ``width`` frames around each, of the same shape."""
    import scipy.ndimage  # noqa: PLC0415

    return np.asarray(scipy.ndimage.uniform_filter1d(curve, width, axis=0))


def _chunks(rows: _Numbers) -> Iterator[_Numbers]:
    for first in range(0, len(rows), _CHUNK_FRAMES):
        yield rows[first : first + _CHUNK_FRAMES]
