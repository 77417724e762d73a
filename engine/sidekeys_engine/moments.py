"""The moments of a piano part: which keys go down together, and which are still down then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sidekeys_engine.notes import Note

SAME_MOMENT = 1e-6
"""What lies nearer together is one moment, in the unit of the presses."""


@dataclass(slots=True, eq=False)
class Press:
    """A key that goes down and comes up; in beats, in steps, or in any other unit of time.

    Attributes:
        onset: when it goes down.
        end: when it comes up; may be moved while a part is looked through.
        pitch: MIDI pitch.
        source: index of the note that it stands for.
    """

    onset: float
    end: float
    pitch: int
    source: int


@dataclass(frozen=True, slots=True)
class Moment:
    """What happens at one time.

    Attributes:
        onset: when.
        struck: the keys that go down, from the lowest to the highest; at least one.
        held: those that stay down from before, of other pitches.
    """

    onset: float
    struck: Sequence[Press]
    held: Sequence[Press]

    @property
    def top(self) -> Press | None:
        """The struck key that an ear follows: the highest of all; None where a higher one is held.

        A note that is struck alone under nothing counts, too.
        """
        highest = self.struck[-1]
        return highest if all(press.pitch < highest.pitch for press in self.held) else None

    @property
    def lowest(self) -> Press | None:
        """The struck key that carries the others; None where a lower one is held, or for one alone.

        The highest one is never the lowest.
        """
        lowest = self.struck[0]
        if lowest is self.top or any(press.pitch < lowest.pitch for press in self.held):
            return None
        return lowest


def presses_of(notes: Iterable[Note]) -> list[Press]:
    """The keys of notes, in beats; ``source`` is the index of the note."""
    return [
        Press(note.onset_beats, note.end_beats, note.pitch, index)
        for index, note in enumerate(notes)
    ]


def moments(presses: Iterable[Press]) -> Iterator[Moment]:
    """The moments at which keys go down, in order; ends of presses may be moved meanwhile.

    A key that goes down again while it is down comes up before: its press ends there.
    """
    ordered = sorted(presses, key=lambda press: (press.onset, press.pitch))
    held: list[Press] = []
    index = 0
    while index < len(ordered):
        onset = ordered[index].onset
        following = index
        while following < len(ordered) and ordered[following].onset <= onset + SAME_MOMENT:
            following += 1
        struck = sorted(ordered[index:following], key=lambda press: press.pitch)
        again = {press.pitch for press in struck}
        for press in held:
            if press.pitch in again:
                press.end = min(press.end, onset)
        held = [press for press in held if press.end > onset + SAME_MOMENT]
        yield Moment(onset, struck, held)
        held = held + struck
        index = following
