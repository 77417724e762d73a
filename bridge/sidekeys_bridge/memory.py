"""What the piano plays at each place of the song, and the sound that it was made from."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidekeys_bridge.windows import Place, place_of
from sidekeys_engine.beat_grid import Window
from sidekeys_engine.loudness import Decibels
from sidekeys_engine.note_tokens import StepNote

MOST_SOUND_BYTES = 24_000_000
"""Of the sounds that a loop keeps: some four minutes of a song, at the usual rate."""
_MOST_PLACES = 4096


@dataclass(frozen=True, slots=True)
class Sound:
    """A window as it was heard: what a `generate` request needs.

    Attributes:
        samples: (samples,) mono.
        first_frame: number of the first one on the bus.
        step_seconds: moments of the steps, from the first sample on.
        until_beats: the song position where the song stopped, jumped or wrapped; what the sound has
            from there on is silence, and no note begins there.
        is_part: not all of the window's place was heard, so far as the song is to play there.
    """

    samples: NDArray[np.float32]
    first_frame: int
    step_seconds: tuple[float, ...]
    until_beats: float = math.inf
    is_part: bool = False


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
        is_part: as that of the sound they were made from.
    """

    window: Window
    notes: tuple[StepNote, ...]
    composer: str
    is_silent: bool = False
    heard_beats: float = -math.inf
    loudness: Decibels | None = None
    is_part: bool = False


class SongMemory:
    """Notes by place, the latest of each; and the sounds, so that another composer can play them.

    No two places overlap: what was heard last says how the windows lie. A place that was heard in
    part takes nothing from one that was heard whole.

    Args:
        most_sound_bytes: how much sound is kept; what was heard longest ago goes first.
    """

    def __init__(self, *, most_sound_bytes: int = MOST_SOUND_BYTES) -> None:
        self._played: OrderedDict[Place, Played] = OrderedDict()
        self._sounds: OrderedDict[Place, tuple[Window, Sound]] = OrderedDict()
        self._failed: dict[Place, str] = {}  # the composer whose notes could not be made
        self._most_sound_bytes = most_sound_bytes
        self._sound_bytes = 0

    def hear(self, window: Window, sound: Sound) -> bool:
        """Keep the sound of a window, in place of what was there, and of what lies across it.

        Returns:
            Whether notes are to be made of it.
        """
        place = place_of(window)
        if sound.is_part and self._is_whole(place):
            return False
        for other in _across(self._sounds, place):
            self._forget_sound(other)
        self._sounds[place] = (window, sound)
        self._sound_bytes += sound.samples.nbytes
        while self._sound_bytes > self._most_sound_bytes:
            self._forget_sound(next(iter(self._sounds)))
        return True

    def learn(self, played: Played) -> None:
        """Keep the notes of a window, in place of what was there, and of what lies across it."""
        place = place_of(played.window)
        known = self._played.get(place)
        if played.is_part and known is not None and not known.is_part:
            return
        if any(other != place for other in _across(self._sounds, place)):
            return  # the windows lie elsewhere meanwhile
        for other in _across(self._played, place):
            del self._played[other]
        self._played[place] = played
        while len(self._played) > _MOST_PLACES:
            self._played.popitem(last=False)

    def fail(self, window: Window, composer: str) -> None:
        """The notes of a window could not be made; that is not tried again until it is heard."""
        place = place_of(window)
        if place in self._sounds:
            self._failed[place] = composer

    def at(self, window: Window) -> Played | None:
        """What is played in a window, if it is known."""
        return self._played.get(place_of(window))

    def sound_at(self, place: Place) -> tuple[Window, Sound] | None:
        """The window and the sound of a place, if they are kept."""
        return self._sounds.get(place)

    def outdated(self, composer: str) -> Iterator[Place]:
        """Places with a sound of which this composer has made no notes, in song order."""
        return (
            place
            for place in sorted(self._sounds)
            if ((played := self._played.get(place)) is None or played.composer != composer)
            and self._failed.get(place) != composer
        )

    def forget(self) -> None:
        """Start over."""
        self._played.clear()
        self._sounds.clear()
        self._failed.clear()
        self._sound_bytes = 0

    def _is_whole(self, place: Place) -> bool:
        """Whether all of a place is known."""
        played, heard = self._played.get(place), self._sounds.get(place)
        return (played is not None and not played.is_part) or (
            heard is not None and not heard[1].is_part
        )

    def _forget_sound(self, place: Place) -> None:
        _, sound = self._sounds.pop(place)
        self._failed.pop(place, None)
        self._sound_bytes -= sound.samples.nbytes


def _across(places: Iterable[Place], place: Place) -> list[Place]:
    """Those that overlap a place, itself among them."""
    start, end = place
    return [other for other in places if other[0] < end and start < other[1]]
