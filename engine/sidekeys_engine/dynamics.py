"""Velocities for notes that have none: from the song's loudness, the bar, and the voices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.loudness import SILENCE_DECIBELS, Decibels
from sidekeys_engine.moments import SAME_MOMENT, moments, presses_of
from sidekeys_engine.notes import Note
from sidekeys_engine.stress import Stress, stress_at

SOFTEST, LOUDEST = 30, 110

# Least squares over 26,000 notes of 18 songs of POP909, velocity against the song's mix and bars,
# gave 1.4 by decibel, 0.9 by decibel of the step, 3 and 4 on bar lines and half bars, and a melody
# 19 above the rest. Here the melody leads by less: where nobody says which voice it is, the top
# one may be none.
_USUAL_VELOCITY = 72.0
_VELOCITY_PER_DECIBEL = 1.5
_VELOCITY_PER_DECIBEL_OF_STEP = 0.6
_STRESSED = {Stress.BAR: 4.0, Stress.HALF_BAR: 3.0, Stress.BEAT: 0.0, Stress.OFF_BEAT: -1.0}
_TOP, _LOWEST, _INNER = 9.0, 1.0, -4.0

_NOW_BEATS = 2.0
_USUAL_BEATS = 128.0
_FURTHEST_DECIBELS = 10.0
_FURTHEST_DECIBELS_OF_STEP = 5.0


@dataclass(frozen=True, slots=True)
class HeardSteps:
    """The loudness of a stretch of a song.

    Attributes:
        start_beats: where its first step starts.
        step_beats: length of a step.
        decibels: (steps,) as `loudness_of_steps` gives it.
    """

    start_beats: float
    step_beats: float
    decibels: Decibels


@dataclass(frozen=True, slots=True)
class Ear:
    """What was heard of a song so far, for the stretch that follows.

    Attributes:
        now: level of the last two beats in dB; None before anything sounded.
        usual: level of all beats so far, in dB; after two minutes, of the last ones.
        sounded_beats: how much sounded, up to where older beats are forgotten.
    """

    now: float | None = None
    usual: float = SILENCE_DECIBELS
    sounded_beats: float = 0.0


def with_velocities(
    notes: Iterable[Note], heard: HeardSteps, grid: BeatGrid, ear: Ear | None = None
) -> tuple[list[Note], Ear]:
    """Play notes as loud as the song is where they are struck.

    The piano is louder where the song is louder than it was so far, and on bar lines and half
    bars; its top voice leads, and what lies inside is softer. Velocities depend on the past and on
    a note's own step alone, so a part may be given stretch by stretch: what comes out is that of
    the part given at once, if the stretches follow one another on one raster of steps.

    Args:
        notes: all that sound in the stretch; those struck before it count as held.
        heard: the loudness of the stretch.
        grid: its bars.
        ear: of the stretch before; leave it out for a song that begins.

    Returns:
        The notes in the order they came, `SOFTEST` to `LOUDEST` where they are struck in the
        stretch and as they were elsewhere, and where the next stretch goes on.
    """
    played = list(notes)
    ears = list(_listening(heard, ear or Ear()))
    for moment in moments(presses_of(played)):
        step = math.floor((moment.onset - heard.start_beats + SAME_MOMENT) / heard.step_beats)
        if not 0 <= step < len(heard.decibels):
            continue
        loudness = _velocity_of(ears[step + 1], float(heard.decibels[step]))
        loudness += _STRESSED[stress_at(grid, moment.onset)]
        for press in moment.struck:
            voice = _INNER
            if press is moment.top:
                voice = _TOP
            elif press is moment.lowest:
                voice = _LOWEST
            velocity = min(max(round(loudness + voice), SOFTEST), LOUDEST)
            played[press.source] = replace(played[press.source], velocity=velocity)
    return played, ears[-1]


def _listening(heard: HeardSteps, ear: Ear) -> Iterator[Ear]:
    """What was heard before the first step, and after each; silence is forgotten at once."""
    yield ear
    fading = 1 - math.exp(-heard.step_beats / _NOW_BEATS)
    for decibels in heard.decibels.tolist():
        if decibels > SILENCE_DECIBELS:
            before = decibels if ear.now is None else ear.now
            sounded = min(ear.sounded_beats + heard.step_beats, _USUAL_BEATS)
            ear = Ear(
                now=before + fading * (decibels - before),
                usual=ear.usual + heard.step_beats / sounded * (decibels - ear.usual),
                sounded_beats=sounded,
            )
        yield ear


def _velocity_of(ear: Ear, decibels: float) -> float:
    """How loud a step is played that is so loud itself, before bar and voice count."""
    if ear.now is None:
        return _USUAL_VELOCITY
    louder = _within(ear.now - ear.usual, _FURTHEST_DECIBELS)
    of_step = _within(decibels - ear.now, _FURTHEST_DECIBELS_OF_STEP)
    return (
        _USUAL_VELOCITY + _VELOCITY_PER_DECIBEL * louder + _VELOCITY_PER_DECIBEL_OF_STEP * of_step
    )


def _within(value: float, furthest: float) -> float:
    return min(max(value, -furthest), furthest)
