"""Three notes into the MIDI port, so that a musician hears that the way to the DAW is open."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

PITCHES = (60, 64, 67)
_VELOCITY = 80
_NOTE_SECONDS, _LAST_SECONDS, _GAP_SECONDS = 0.25, 0.8, 0.05
_NOTE_ON, _NOTE_OFF = 0x90, 0x80


class Port(Protocol):
    """What is played into."""

    def send(self, message: bytes) -> None:
        """Send one message now."""


def play_three_notes(port: Port, sleep: Callable[[float], None] = time.sleep) -> None:
    """A C major chord, note by note; each is released, whatever happens meanwhile.

    Raises:
        PortLostError: the port is gone.
    """
    for pitch in PITCHES:
        port.send(bytes((_NOTE_ON, pitch, _VELOCITY)))
        try:
            sleep(_LAST_SECONDS if pitch == PITCHES[-1] else _NOTE_SECONDS)
        finally:
            port.send(bytes((_NOTE_OFF, pitch, 0)))
        sleep(_GAP_SECONDS)
