"""A sung pop lead: notes in, mono audio of an imagined singer out.

Notes become syllables, these become a course of what throat and mouth do, and that is heard.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidekeys_engine.training.singer import Singer
from sidekeys_engine.training.speech import (
    BREATH_BAND,
    CONSONANTS,
    F_BAND,
    LOCI,
    S_BAND,
    SECONDS,
    T_BAND,
    VOICING,
    VOWELS,
    WEIGHTS,
)
from sidekeys_engine.training.vocal_tract import (
    HOP,
    RATE,
    Course,
    Curve,
    Numbers,
    Samples,
    smooth,
    sounded,
)

Notes = npt.NDArray[np.float64]
_Flags = npt.NDArray[np.bool_]


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
    course = _course(syllables, -(-samples // HOP) + 1, singer, rng)
    return sounded(course, singer, rng).ravel()[:samples]


@dataclass(frozen=True)
class _Syllables:
    """What is sung, (n,) each: begin <= onset < end <= the next begin, in seconds."""

    begin: Curve  # of the consonant
    onset: Curve  # of the vowel
    end: Curve
    pitch: Curve  # with its error, in semitones
    gain: Curve
    consonant: Numbers
    vowels: Numbers  # (n, 2): at its onset and at its end
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
    lead = rng.uniform(SECONDS[consonant, 0], SECONDS[consonant, 1])
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


def _said(n: int, singer: Singer, words: np.random.Generator) -> tuple[Numbers, Numbers]:
    """Consonants, (n,), and vowels at the begin and at the end, (n, 2), of ``n`` syllables."""
    consonant = words.choice(len(CONSONANTS), n, p=WEIGHTS)
    consonant[words.random(n) >= singer.articulation] = 0
    vowels = words.integers(len(VOWELS), size=(n, 2))
    vowels[:, 1] = np.where(words.random(n) < singer.diphthongs, vowels[:, 1], vowels[:, 0])
    return consonant, vowels


def _swell(onset: Curve, phrase: _Flags) -> Curve:
    """0 where phrases begin and end, 1 in their middle; (n,)."""
    first = np.flatnonzero(np.append(phrase, True))
    which = np.cumsum(phrase) - 1
    begin, end = onset[first[which]], onset[first[which + 1] - 1]
    return np.asarray(np.sin(np.pi * (onset - begin) / (end - begin + 1e-3)))


def _course(voiced: _Syllables, frames: int, singer: Singer, rng: np.random.Generator) -> Course:
    time = np.arange(frames) * HOP / RATE
    which = np.maximum(np.searchsorted(voiced.begin, time, "right") - 1, 0)
    since = time - voiced.onset[which]
    voicing = VOICING[voiced.consonant][which]
    pitch = _pitch(voiced, time, which, singer, rng)
    hertz = 440 * 2 ** ((pitch - 69) / 12)
    thin = 1 / (1 + np.exp(-2 * (pitch - singer.falsetto_above)))  # the register breaks
    voice = _loudness(voiced, time, which, rng)
    # Behind a voiceless consonant the cords come together late, and air passes.
    aspirated = (voicing < 0.1) & (since > -0.01) & (since < 0.04) & (voice > 0)
    airy = singer.breathiness * (1 + 2 * thin) * smooth(voice, 6)
    effort = 20 * np.log10(np.maximum(voiced.gain[which], 1e-3))
    closed = (since < 0) & (voicing < 1)
    hiss, band = _hiss(voiced, frames, singer, rng)
    return Course(
        hertz=np.clip(hertz, 50, 2000),
        voice=voice,
        breath=airy + 0.1 * singer.sibilance * smooth(1.0 * aspirated, 3),
        tilt=smooth(0.25 * effort - 4 * thin - 5 * closed, 5),
        formants=_formants(voiced, time, which, hertz, singer),
        hiss=hiss,
        band=band,
    )


def _loudness(voiced: _Syllables, time: Curve, which: Numbers, rng: np.random.Generator) -> Curve:
    """Loudness of the voice, (frames,): attacks, releases, closures of the mouth, shimmer."""
    since, left = time - voiced.onset[which], voiced.end[which] - time
    attack = np.where(voiced.joined, 0.02, rng.uniform(0.02, 0.09, len(voiced.onset)))[which]
    release = np.where(voiced.leads_on, 0.001, 0.08)[which]
    fresh = ~voiced.joined & (voiced.consonant == 0)
    voicing = np.where(fresh, 0.3, VOICING[voiced.consonant])[which]
    open_share = np.clip(since / attack, 0, 1)
    loudness = voiced.gain[which] * (voicing + (1 - voicing) * open_share)
    loudness *= np.clip(left / release, 0, 1) * (1 - 0.25 * np.clip(since / 1.5, 0, 1))
    loudness *= 10 ** (smooth(rng.normal(0, 1.5, len(time)), 3) / 20)
    return smooth(loudness * (time >= voiced.begin[which]), 4)


def _pitch(
    voiced: _Syllables, time: Curve, which: Numbers, singer: Singer, rng: np.random.Generator
) -> Curve:
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
    pitch += depth * grown * np.sin(2 * np.pi * np.cumsum(hertz) * HOP / RATE)
    cents = singer.jitter_cents * (smooth(rng.normal(0, 1.3, frames), 2) + _wander(frames, 3, rng))
    return smooth(pitch, 3) + cents / 100


def _formants(
    voiced: _Syllables, time: Curve, which: Numbers, hertz: Curve, singer: Singer
) -> Curve:
    """Formants in Hz, (frames, 5): from the consonant to the vowel, and on to its end."""
    vowels = VOWELS[voiced.vowels]  # (n, 2, 5)
    locus = vowels[:, 0].copy()
    locus[1:] = np.where(voiced.joined[1:, None], vowels[:-1, 1], locus[1:])
    locus = np.where(np.isnan(LOCI[voiced.consonant]), locus, LOCI[voiced.consonant])
    since = time - voiced.onset[which]
    length = (voiced.end - voiced.onset)[which]
    reached = (1 - np.exp(-np.maximum(since, 0) / 0.03))[:, None]
    turned = np.clip((since - 0.5 * length) / np.minimum(0.5 * length, 0.25), 0, 1)[:, None]
    vowel = vowels[which, 0] * (1 - turned) + vowels[which, 1] * turned
    formants = singer.formant_scale * (locus[which] * (1 - reached) + vowel * reached)
    formants = smooth(formants, 5)
    # Singers open their mouth for high notes: a fundamental above F1 would be lost.
    formants[:, 0] = np.maximum(formants[:, 0], hertz)
    formants[:, 1] = np.maximum(formants[:, 1], formants[:, 0] + 150)
    return np.asarray(formants)


def _hiss(
    voiced: _Syllables, frames: int, singer: Singer, rng: np.random.Generator
) -> tuple[Curve, Numbers]:
    """Loudness and band of all noise made in the mouth and of breathing in, (frames,) each."""
    loudness, bands = np.zeros(frames), np.zeros(frames, dtype=np.int64)

    def add(begin: float, end: float, band: int, level: float) -> None:
        first, last = round(max(begin, 0) * RATE / HOP), round(max(end, 0) * RATE / HOP) + 1
        shape = level * np.sin(np.linspace(0, np.pi, last - first + 2)[1:-1]) ** 0.5
        loudness[first:last] = shape[: max(frames - first, 0)]
        bands[first:last] = band

    ends = np.append(-np.inf, voiced.end)
    for i, (begin, onset, end) in enumerate(
        zip(voiced.begin, voiced.onset, ends[:-1], strict=True)
    ):
        each = CONSONANTS[voiced.consonant[i]]
        pause = begin - end
        if pause > 0.3 and rng.random() < 0.4 * singer.articulation:
            band = int(
                rng.choice((S_BAND, T_BAND, F_BAND))
            )  # the last consonant of the phrase before
            add(end - 0.02, end + rng.uniform(0.02, 0.1), band, 0.2 * singer.sibilance)
        if pause > 0.5 and singer.inhales:
            length = min(rng.uniform(0.2, 0.5), pause - 0.2)
            add(
                begin - 0.05 - length,
                begin - 0.05,
                BREATH_BAND,
                singer.inhales * rng.uniform(0.5, 1),
            )
        if each.hiss:
            first = onset - each.burst_seconds if each.burst_seconds else begin
            level = each.hiss * singer.sibilance * rng.uniform(0.5, 1.2)
            add(first, onset, each.band, level * voiced.gain[i])
    return loudness, bands


def _wander(frames: int, hertz: float, rng: np.random.Generator) -> Curve:
    """A slow random curve, (frames,), of standard deviation about 1."""
    points = rng.normal(0, 1.2, int(frames * HOP / RATE * hertz) + 2)
    return np.interp(np.arange(frames) * HOP / RATE * hertz, np.arange(len(points)), points)
