"""What is sung: vowels by their formants, and consonants by what the mouth does for them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Formants of a man's English vowels: F1 to F3 as Peterson and Barney (1952) measured them.
VOWELS = np.array(
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
NEUTRAL = 8


class Consonant(NamedTuple):
    """What a consonant does before its vowel."""

    weight: float  # how often, about as in sung English
    seconds: tuple[float, float]
    voicing: float  # loudness of the voice meanwhile; 1 is that of a vowel
    locus: tuple[float, float, float] | None = None  # where the first formants start from
    band: int = 0  # of its hiss, in BANDS
    hiss: float = 0.0  # loudness
    burst_seconds: float = 0.0  # the hiss comes only at the end, out of a closure


# Low and high edge in Hz.
BANDS = ((700, 6000), (5000, 9500), (2300, 6000), (1500, 9500), (400, 2000), (3200, 8500))
BREATH_BAND, S_BAND, SH_BAND, F_BAND, P_BAND, T_BAND = range(6)
CONSONANTS = (
    Consonant(0.14, (0.0, 0.03), 1.0),  # a vowel begins
    Consonant(0.06, (0.05, 0.10), 0.05, None, BREATH_BAND, 0.20),  # h
    Consonant(0.06, (0.05, 0.10), 0.40, (250, 1050, 2200)),  # m
    Consonant(0.08, (0.05, 0.09), 0.40, (250, 1500, 2500)),  # n
    Consonant(0.07, (0.05, 0.09), 0.55, (360, 1100, 2600)),  # l
    Consonant(0.06, (0.06, 0.11), 0.60, (300, 700, 2200)),  # w
    Consonant(0.06, (0.05, 0.10), 0.60, (270, 2200, 3000)),  # y
    Consonant(0.05, (0.05, 0.10), 0.60, (330, 1150, 1600)),  # r
    Consonant(0.07, (0.08, 0.14), 0.0, (320, 1700, 2600), S_BAND, 0.35),  # s
    Consonant(0.03, (0.08, 0.13), 0.0, (320, 1900, 2500), SH_BAND, 0.35),  # sh
    Consonant(0.04, (0.06, 0.11), 0.0, (320, 1100, 2300), F_BAND, 0.10),  # f, th
    Consonant(0.04, (0.05, 0.09), 0.35, (300, 1300, 2400), F_BAND, 0.06),  # v, th
    Consonant(0.02, (0.05, 0.09), 0.30, (300, 1700, 2500), S_BAND, 0.15),  # z
    Consonant(0.03, (0.06, 0.10), 0.0, (350, 900, 2200), P_BAND, 0.35, 0.025),  # p
    Consonant(0.07, (0.06, 0.10), 0.0, (350, 1800, 2700), T_BAND, 0.45, 0.040),  # t
    Consonant(0.04, (0.06, 0.10), 0.0, (350, 1900, 2200), SH_BAND, 0.40, 0.035),  # k
    Consonant(0.04, (0.04, 0.07), 0.15, (280, 900, 2200), P_BAND, 0.20, 0.012),  # b
    Consonant(0.03, (0.04, 0.07), 0.15, (280, 1700, 2600), T_BAND, 0.20, 0.015),  # d
    Consonant(0.01, (0.04, 0.07), 0.15, (280, 1900, 2200), SH_BAND, 0.20, 0.018),  # g
)
WEIGHTS = np.array([each.weight for each in CONSONANTS])
SECONDS = np.array([each.seconds for each in CONSONANTS])  # (consonants, 2)
VOICING = np.array([each.voicing for each in CONSONANTS])
LOCI = np.array([(*(each.locus or (np.nan,) * 3), np.nan, np.nan) for each in CONSONANTS])
