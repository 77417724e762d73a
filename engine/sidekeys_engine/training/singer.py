"""Who sings: the means of a pop singer, and singers drawn at random."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


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
