"""What the piano plays at each place of the song, and the sound that it was made from."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidekeys_bridge.windows import Place, place_of
from sidekeys_engine.beat_grid import Window
from sidekeys_engine.loudness import Decibels
from sidekeys_engine.note_tokens import StepNote

# About 40 MB of sound at the embedded checkpoint's rate and 120 beats a minute.
_MOST_SOUNDS = 160
_MOST_PLACES = 4096


@dataclass(frozen=True, slots=True)
class Sound:
    """A window as it was heard: what a `generate` request needs.

    Attributes:
        samples: (samples,) mono.
        first_frame: number of the first one on the bus.
        step_seconds: moments of the steps, from the first sample on.
    """

    samples: NDArray[np.float32]
    first_frame: int
    step_seconds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Played:
    """The notes of a window.

    Attributes:
        window: where.
        notes: by onset; none where nothing was heard.
        composer: who wrote them.
        is_silent: nothing was heard.
        heard_beats: the song position where it begins to sound; before that a pianist waits, if
            nothing has sounded yet.
        loudness: of the window's sixteenths, in dB; None where notes have velocities of their own.
    """

    window: Window
    notes: tuple[StepNote, ...]
    composer: str
    is_silent: bool = False
    heard_beats: float = -math.inf
    loudness: Decibels | None = None


class SongMemory:
    """Notes by place, the latest of each; and the sounds, so that another composer can play them.

    Only so many sounds are kept: those heard or played longest ago go first.
    """

    def __init__(self, *, most_sounds: int = _MOST_SOUNDS) -> None:
        self._played: OrderedDict[Place, Played] = OrderedDict()
        self._sounds: OrderedDict[Place, tuple[Window, Sound]] = OrderedDict()
        self._most_sounds = most_sounds

    def __len__(self) -> int:
        return len(self._played)

    def hear(self, window: Window, sound: Sound) -> None:
        """Keep the sound of a window, the latest of its place."""
        place = place_of(window)
        self._sounds[place] = (window, sound)
        self._sounds.move_to_end(place)
        while len(self._sounds) > self._most_sounds:
            self._sounds.popitem(last=False)

    def learn(self, played: Played) -> None:
        """Keep the notes of a window, in place of what was there, and of what lies across it."""
        start, end = place = place_of(played.window)
        if place not in self._played:
            for other in [p for p in self._played if p[0] < end and start < p[1]]:
                del self._played[other]
        self._played[place] = played
        self._played.move_to_end(place)
        while len(self._played) > _MOST_PLACES:
            self._played.popitem(last=False)

    def at(self, window: Window) -> Played | None:
        """What is played in a window, if it is known."""
        return self._played.get(place_of(window))

    def sound_at(self, place: Place) -> tuple[Window, Sound] | None:
        """The window and the sound of a place, if they are kept."""
        return self._sounds.get(place)

    def outdated(self, composer: str) -> Iterator[Place]:
        """Places with a sound whose notes are of another composer, or not there, in song order."""
        return (
            place
            for place in sorted(self._sounds)
            if (played := self._played.get(place)) is None or played.composer != composer
        )

    def places(self) -> Sequence[Place]:
        """Where notes are known, in song order."""
        return sorted(self._played)

    def forget(self) -> None:
        """Start over."""
        self._played.clear()
        self._sounds.clear()
