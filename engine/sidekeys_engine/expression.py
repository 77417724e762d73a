"""What a pianist adds to notes: reach, dynamics, pedal; for a whole song, or as it goes on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.dynamics import Ear, HeardSteps, with_velocities
from sidekeys_engine.hands import Reach, Strike, within_reach
from sidekeys_engine.loudness import loudness_of_steps
from sidekeys_engine.moments import SAME_MOMENT
from sidekeys_engine.notes import Note, Score
from sidekeys_engine.pedaling import Foot, PedalMove, pedal_moves, pedals_of

STEP_BEATS = 0.25
"""How finely loudness is heard: in sixteenths."""


@dataclass(frozen=True, slots=True)
class Expression:
    """What to add.

    Attributes:
        dynamics: velocities from the song's loudness, for notes that have none.
        pedal: the sustain pedal, from the harmony.
        playable: no more than two hands can play.
    """

    dynamics: bool = True
    pedal: bool = True
    playable: bool = True


@dataclass(frozen=True, slots=True)
class Phrasing:
    """Hands, ear and foot at the end of a stretch, for the one that follows."""

    reach: Reach = field(default_factory=Reach)
    ear: Ear = field(default_factory=Ear)
    foot: Foot = field(default_factory=Foot)


@dataclass(frozen=True, slots=True)
class Expressed:
    """A stretch as it is to be played.

    Attributes:
        by_strike: what became of each note, by the onset and pitch that it came with: hands may
            have moved it by octaves, and those left out are not there. Of one that was struck
            before the stretch, only the end counts.
        moves: of the pedal, in order.
        phrasing: for the next stretch.
    """

    by_strike: dict[Strike, Note]
    moves: list[PedalMove]
    phrasing: Phrasing

    @property
    def notes(self) -> list[Note]:
        """What is played, by onset and pitch."""
        return sorted(self.by_strike.values())


def express(
    notes: Iterable[Note],
    end_beats: float,
    grid: BeatGrid,
    wanted: Expression,
    *,
    heard: HeardSteps | None = None,
    phrasing: Phrasing | None = None,
) -> Expressed:
    """Play a stretch with expression: the same as that stretch of the part played at once.

    Stretches follow one another without a gap; one in which nothing is played is given, too, for
    the pedal may have to go up in it.

    Args:
        notes: all that sound in the stretch, those from before as well, each as long as it is
            known to be, none over another of its pitch.
        end_beats: where the stretch ends.
        grid: its bars.
        wanted: what to add.
        heard: the song's loudness in the stretch; None where the notes have velocities.
        phrasing: of the stretch before; None where a part begins.
    """
    before = phrasing or Phrasing()
    reach, ear, foot = before.reach, before.ear, before.foot
    by_strike = {(note.onset_beats, note.pitch): note for note in notes}
    moves: list[PedalMove] = []
    if wanted.playable:
        by_strike, reach = within_reach(by_strike.values(), reach)
    if wanted.dynamics and heard is not None:
        played, ear = with_velocities(by_strike.values(), heard, grid, ear)
        by_strike = dict(zip(by_strike, played, strict=True))
    if wanted.pedal:
        moves, foot = pedal_moves(by_strike.values(), end_beats, grid, foot)
    elif foot.is_down:  # it was wanted up to now
        moves, foot = [PedalMove(foot.until_beats, False)], Foot()
    return Expressed(by_strike, moves, Phrasing(reach, ear, foot))


def expressed(
    score: Score,
    grid: BeatGrid,
    wanted: Expression,
    song: npt.NDArray[np.float32] | None,
    rate: int,
) -> Score:
    """A whole score with expression.

    Args:
        score: its positions are those of the grid.
        grid: position 0 is the first sample of the song.
        wanted: what to add.
        song: (samples,) mono, for velocities; None where the notes have their own.
        rate: samples a second.
    """
    heard = None
    if wanted.dynamics and song is not None:
        # From the song's start, whatever part is played: what is usual for it is known there, too.
        bar, first = grid.bar_start(1), grid.beats_at(0.0)
        start = bar + math.floor((first - bar) / STEP_BEATS) * STEP_BEATS
        heard = heard_steps(song, rate, 0.0, grid, start, max(start, score.end_beats))
    without_pedal = replace(wanted, pedal=False)
    played = express(score.notes, math.inf, grid, without_pedal, heard=heard).notes
    pedals = pedals_of(played, grid) if wanted.pedal else score.pedals
    return replace(score, notes=tuple(played), pedals=pedals)


def heard_steps(
    audio: npt.NDArray[np.float32],
    rate: int,
    first_seconds: float,
    grid: BeatGrid,
    start_beats: float,
    end_beats: float,
) -> HeardSteps:
    """The loudness of a stretch, in sixteenths from where it starts.

    Args:
        audio: (samples,) mono.
        rate: samples a second.
        first_seconds: when the first sample sounds, on the grid's clock.
        grid: beats and seconds.
        start_beats: where the stretch starts; where the one before ended, if there is one.
        end_beats: where it ends; rounded up to a whole step.
    """
    steps = max(0, math.ceil((end_beats - start_beats) / STEP_BEATS - SAME_MOMENT))
    positions = np.asarray(start_beats + np.arange(steps + 1) * STEP_BEATS, dtype=np.float64)
    moments = grid.seconds_at(positions) - first_seconds
    return HeardSteps(start_beats, STEP_BEATS, loudness_of_steps(audio, rate, moments))
