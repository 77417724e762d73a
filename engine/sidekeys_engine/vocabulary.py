"""The token layout of Pop2Piano: special, note, velocity, time (arXiv 2211.00895, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

SPECIAL_TOKENS = 4
PITCHES = 128

PAD_ID = 0
END_ID = 1

FIRST_NOTE_ID = SPECIAL_TOKENS
NOTE_OFF_ID = FIRST_NOTE_ID + PITCHES
"""The velocity token 0: the notes that follow end."""
NOTE_ON_ID = NOTE_OFF_ID + 1
"""The velocity token 1: the notes that follow start, at the lowest level where there are more."""

_LOUDEST = 127


@dataclass(frozen=True, slots=True)
class TokenLayout:
    """Where the velocity and time tokens of a vocabulary lie.

    Attributes:
        size: number of tokens.
        velocity_levels: velocity tokens beside 0; 1 in Pop2Piano, which knows on and off alone.
    """

    size: int
    velocity_levels: int = 1

    @property
    def first_time_id(self) -> int:
        """The time token 0; ``first_time_id + n`` moves ``n`` steps ahead."""
        return NOTE_ON_ID + self.velocity_levels

    @property
    def longest_move(self) -> int:
        """The most steps that one time token moves."""
        return self.size - self.first_time_id - 1


def velocity_of_level(level: int, levels: int) -> int:
    """MIDI velocity in the middle of a level, which runs from 1 to ``levels``."""
    return round((level - 0.5) * (_LOUDEST + 1) / levels)


def level_of_velocity(velocity: int, levels: int) -> int:
    """The level that a MIDI velocity belongs to."""
    return min(levels, 1 + velocity * levels // (_LOUDEST + 1))
