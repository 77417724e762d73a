"""Which MIDI messages are due when, and which notes sound. Reads no clock: time is an argument.

What has been handed over is committed:

- a note struck more than ``LATEST_SECONDS`` late is left out and counted, its note-off with it;
- a note-off is always sent, and before a note-on of the same instant;
- a key that is struck while it sounds is released first, and the older note's own end is void;
- a key struck twice within ``SHORTEST_SECONDS`` is struck once, at the first velocity (the louder
  one, if both are due at one instant), and rings until the later end;
- every note rings for ``SHORTEST_SECONDS`` at least, however late it was sent.

At one instant the order is: keys up, pedal up, pedal down, keys down.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

LATEST_SECONDS = 0.030
"""A note-on that is later than this is left out: heard out of time it is worse than missing."""

SHORTEST_SECONDS = 0.020
"""A note-on and its note-off reach the instrument in different periods of its audio driver."""

_NOTE_OFF, _NOTE_ON, _CONTROL_CHANGE = 0x80, 0x90, 0xB0
_SUSTAIN, _ALL_SOUND_OFF, _ALL_NOTES_OFF = 64, 120, 123
_KEY_UP, _PEDAL_UP, _PEDAL_DOWN, _KEY_DOWN = range(4)
_MOST_DROPPED_KEPT = 1024


class _Event(NamedTuple):
    """What waits; tuples compare by these fields in this order, so the heap's top is next."""

    due_seconds: float
    rank: int
    softness: int  # of two strikes at one instant the louder comes first
    number: int  # a note's handle, or only a number that keeps events apart
    channel: int


@dataclass(slots=True)
class _Note:
    """A note that waits to be struck or sounds."""

    channel: int
    pitch: int
    velocity: int
    off_seconds: float
    struck_seconds: float | None = None  # when the note-on was sent


@dataclass(frozen=True, slots=True)
class SchedulerCounters:
    """What a scheduler has done so far.

    Attributes:
        notes_struck: note-ons handed out.
        late_notes_dropped: notes left out because their time had passed.
        strikes_merged: strikes of a key that had been struck an instant before.
        sounding: notes that sound now.
        waiting: notes that are still to be struck.
    """

    notes_struck: int = 0
    late_notes_dropped: int = 0
    strikes_merged: int = 0
    sounding: int = 0
    waiting: int = 0


class Scheduler:
    """Notes and pedal that wait, and the ledger of what sounds. For one thread at a time.

    Args:
        latest_seconds: how late a note-on may be sent.
    """

    def __init__(self, *, latest_seconds: float = LATEST_SECONDS) -> None:
        self._latest_seconds = latest_seconds
        self._numbers = itertools.count(1)
        self._events: list[_Event] = []
        self._notes: dict[int, _Note] = {}
        self._sounding: dict[tuple[int, int], int] = {}  # (channel, pitch) -> handle
        self._pedals_down: set[int] = set()
        self._channels_used: set[int] = set()
        self._dropped: deque[int] = deque(maxlen=_MOST_DROPPED_KEPT)
        self._struck = self._late = self._merged = 0

    # ------------------------------------------------------------------------ handing over

    def strike(
        self, due_seconds: float, off_seconds: float, channel: int, pitch: int, velocity: int
    ) -> int:
        """Schedule a note.

        Args:
            due_seconds: when it is struck.
            off_seconds: when it is released; ``SHORTEST_SECONDS`` after the strike at the earliest.
            channel: MIDI channel, 1-16.
            pitch: MIDI note number, 0-127.
            velocity: 1-127.

        Returns:
            A handle for `extend`.

        Raises:
            ValueError: a moment that is not finite, or a channel, pitch or velocity out of range.
        """
        _check_moment(due_seconds)
        _check_moment(off_seconds)
        _check_channel(channel)
        if not (0 <= pitch <= 127 and 1 <= velocity <= 127):
            raise ValueError(f"pitch {pitch} at velocity {velocity} is no MIDI note")
        handle = next(self._numbers)
        self._notes[handle] = _Note(
            channel, pitch, velocity, max(off_seconds, due_seconds + SHORTEST_SECONDS)
        )
        heapq.heappush(self._events, _Event(due_seconds, _KEY_DOWN, -velocity, handle, channel))
        return handle

    def extend(self, handle: int, off_seconds: float) -> bool:
        """Move the end of a note that has not been released yet, to an earlier or later moment.

        Returns:
            Whether there still was such a note.

        Raises:
            ValueError: a moment that is not finite.
        """
        _check_moment(off_seconds)
        note = self._notes.get(handle)
        if note is None:
            return False
        note.off_seconds = off_seconds
        if note.struck_seconds is not None:
            self._release_later(handle, note)
        return True

    def pedal(self, due_seconds: float, down: bool, channel: int) -> None:
        """Schedule the sustain pedal of a channel (1-16); sent however late, if it changes.

        Raises:
            ValueError: a moment that is not finite, or no such channel.
        """
        _check_moment(due_seconds)
        _check_channel(channel)
        rank = _PEDAL_DOWN if down else _PEDAL_UP
        heapq.heappush(self._events, _Event(due_seconds, rank, 0, next(self._numbers), channel))

    # ------------------------------------------------------------------------- handing out

    @property
    def next_due_seconds(self) -> float | None:
        """When `due` will next have something to do; None if nothing waits."""
        while self._events and self._is_void(self._events[0]):
            heapq.heappop(self._events)
        return self._events[0].due_seconds if self._events else None

    def due(self, now_seconds: float) -> list[bytes]:
        """Take the MIDI messages that are due by now, in the order to send them."""
        messages: list[bytes] = []
        while self._events and self._events[0].due_seconds <= now_seconds:
            event = heapq.heappop(self._events)
            if self._is_void(event):
                continue
            if event.rank == _KEY_DOWN:
                messages += self._strike_now(event, now_seconds)
            elif event.rank == _KEY_UP:
                messages.append(self._release_now(event.number))
            else:
                messages += self._pedal_now(event.channel, down=event.rank == _PEDAL_DOWN)
        return messages

    def panic(self) -> list[bytes]:
        """Drop all that waits; return what silences all that sounds.

        Every sounding note gets its note-off and every held pedal goes up. Each channel that was
        ever played on gets pedal up, "all notes off" and "all sound off", however often this is
        called: who presses a panic button twice wants to hear that it does something.
        """
        messages = [self._release_now(handle) for handle in list(self._sounding.values())]
        ends = (_SUSTAIN, _ALL_NOTES_OFF, _ALL_SOUND_OFF)
        messages += [
            _control_change(channel, end, 0)
            for channel in sorted(self._channels_used)
            for end in ends
        ]
        self._events.clear()
        self._notes.clear()
        self._pedals_down.clear()
        return messages

    # --------------------------------------------------------------------------- accounts

    @property
    def counters(self) -> SchedulerCounters:
        """What has been done so far."""
        return SchedulerCounters(
            notes_struck=self._struck,
            late_notes_dropped=self._late,
            strikes_merged=self._merged,
            sounding=len(self._sounding),
            waiting=len(self._notes) - len(self._sounding),
        )

    def take_dropped(self) -> list[int]:
        """Handles of the notes left out as late since the last call, the newest 1024 at most."""
        dropped = list(self._dropped)
        self._dropped.clear()
        return dropped

    # ---------------------------------------------------------------------------- events

    def _is_void(self, event: _Event) -> bool:
        """Whether the note of an event has gone, or its end was moved."""
        if event.rank in (_PEDAL_UP, _PEDAL_DOWN):
            return False
        note = self._notes.get(event.number)
        if note is None:
            return True
        return event.rank == _KEY_UP and note.off_seconds != event.due_seconds

    def _strike_now(self, event: _Event, now_seconds: float) -> list[bytes]:
        handle, note = event.number, self._notes[event.number]
        if now_seconds - event.due_seconds > self._latest_seconds:
            del self._notes[handle]
            self._late += 1
            self._dropped.append(handle)
            return []
        key = (note.channel, note.pitch)
        messages: list[bytes] = []
        older = self._sounding.get(key)
        note.struck_seconds = now_seconds
        if older is not None:
            before = self._notes[older]
            assert before.struck_seconds is not None
            if now_seconds - before.struck_seconds < SHORTEST_SECONDS:
                # The key went down an instant ago: this strike takes the older one's place.
                note.struck_seconds = before.struck_seconds
                note.off_seconds = max(note.off_seconds, before.off_seconds)
                del self._notes[older]
                self._sounding[key] = handle
                self._merged += 1
                self._release_later(handle, note)
                return []
            messages.append(self._release_now(older))
        self._sounding[key] = handle
        self._channels_used.add(note.channel)
        self._struck += 1
        self._release_later(handle, note)
        messages.append(bytes((_NOTE_ON | note.channel - 1, note.pitch, note.velocity)))
        return messages

    def _release_later(self, handle: int, note: _Note) -> None:
        """Put the end of a sounding note on the heap; an end that stood there is void."""
        assert note.struck_seconds is not None
        note.off_seconds = max(note.off_seconds, note.struck_seconds + SHORTEST_SECONDS)
        heapq.heappush(self._events, _Event(note.off_seconds, _KEY_UP, 0, handle, note.channel))

    def _release_now(self, handle: int) -> bytes:
        note = self._notes.pop(handle)
        del self._sounding[note.channel, note.pitch]
        return bytes((_NOTE_OFF | note.channel - 1, note.pitch, 0))

    def _pedal_now(self, channel: int, *, down: bool) -> list[bytes]:
        if down == (channel in self._pedals_down):
            return []
        if down:
            self._pedals_down.add(channel)
            self._channels_used.add(channel)
        else:
            self._pedals_down.discard(channel)
        return [_control_change(channel, _SUSTAIN, 127 if down else 0)]


def _control_change(channel: int, control: int, value: int) -> bytes:
    return bytes((_CONTROL_CHANGE | channel - 1, control, value))


def _check_moment(seconds: float) -> None:
    if not math.isfinite(seconds):
        raise ValueError(f"a moment must be finite, not {seconds} s")


def _check_channel(channel: int) -> None:
    if not 1 <= channel <= 16:
        raise ValueError(f"a MIDI channel lies between 1 and 16, not at {channel}")
