"""The token layout of Pop2Piano: special, note, velocity, time (arXiv 2211.00895, section 3.2)."""

from __future__ import annotations

SPECIAL_TOKENS = 4
PITCHES = 128
VELOCITIES = 2

PAD_ID = 0
END_ID = 1

FIRST_NOTE_ID = SPECIAL_TOKENS
NOTE_OFF_ID = FIRST_NOTE_ID + PITCHES
"""The velocity token 0: the notes that follow end."""
NOTE_ON_ID = NOTE_OFF_ID + 1
"""The velocity token 1: the notes that follow start."""
FIRST_TIME_ID = NOTE_OFF_ID + VELOCITIES
"""The time token 0; ``FIRST_TIME_ID + n`` moves ``n`` steps ahead."""
