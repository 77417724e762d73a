"""The thread that sends MIDI messages when they are due, and how well it keeps time."""

from __future__ import annotations

import atexit
import itertools
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from sidekeys_bridge.midi_output import MidiPort
from sidekeys_bridge.midi_system import PortLostError
from sidekeys_bridge.realtime import request_realtime
from sidekeys_bridge.scheduler import Scheduler
from sidekeys_engine.errors import InputError

_CHECK_SECONDS = 1.0  # between looks at the port, and between tries to open a lost one
_AFTER_FAILURE_SECONDS = 0.1
_END_SECONDS = 5.0
_BIN_MS = 0.05  # of the lateness histogram
_REMEMBERED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late messages were sent, in milliseconds after the moment they were to be sent at.

    Attributes:
        p50: half of them came sooner than this.
        p99: 99 % of them came sooner than this.
        max: the latest one.
        count: how many there were.
    """

    p50: float = 0.0
    p99: float = 0.0
    max: float = 0.0
    count: int = 0


@dataclass(frozen=True, slots=True)
class PlayerState:
    """How a player is.

    Attributes:
        port: name of its MIDI port.
        connected: whether the port can be played into.
        realtime: whether its thread has realtime priority; None before it has asked.
        lead_seconds: how long before its time a message is sent.
        lateness: of the messages of the last minute or two.
        problem: what is wrong and what to do, in words, or None.
    """

    port: str
    connected: bool
    realtime: bool | None
    lead_seconds: float
    lateness: Lateness
    problem: str | None


class Player:
    """Plays notes into a MIDI port when they are due. Any thread may call it.

    The port stays open as long as the player does; lost, it is opened again as soon as it can be.
    A player that is forgotten silences its port when Python ends.

    Args:
        port: an open port; the player owns it from now on.
        realtime: whether to ask for realtime priority.
        lead_seconds: how long before its time a message is sent; what suits the port for None.
        clock: monotonic seconds, the time line of all moments given to the player.
    """

    def __init__(
        self,
        port: MidiPort,
        *,
        realtime: bool = True,
        lead_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._port = port
        self._wants_realtime = realtime
        self._fixed_lead_seconds = lead_seconds
        self._clock = clock
        self._scheduler = Scheduler()
        # Re-entrant, so that a signal handler may panic in the middle of a strike.
        self._wake = threading.Condition(threading.RLock())
        self._lead_seconds = lead_seconds if lead_seconds is not None else port.lead_seconds
        self._realtime: bool | None = None
        self._problem: str | None = None
        self._connected = True
        self._closing = self._closed = False
        self._owed: list[bytes] = []  # what silences a lost port, once it is back
        self._notes_sent = 0
        # By bin, of the present minute and of the one before.
        self._late: Counter[int] = Counter()
        self._late_before: Counter[int] = Counter()
        self._forget_at_seconds = clock() + _REMEMBERED_SECONDS
        self._next_check_seconds = clock() + _CHECK_SECONDS
        self._thread = threading.Thread(target=self._run, name="MIDI sender", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    # ------------------------------------------------------------------------ for any thread

    def strike(
        self, due_seconds: float, off_seconds: float, channel: int, pitch: int, velocity: int
    ) -> int:
        """Schedule a note, see `Scheduler.strike`; returns its handle."""
        with self._wake:
            handle = self._scheduler.strike(due_seconds, off_seconds, channel, pitch, velocity)
            self._wake.notify()
        return handle

    def extend(self, handle: int, off_seconds: float) -> bool:
        """Move the end of a note; False if it has been released, see `Scheduler.extend`."""
        with self._wake:
            is_there = self._scheduler.extend(handle, off_seconds)
            self._wake.notify()
        return is_there

    def pedal(self, due_seconds: float, down: bool, channel: int) -> None:
        """Schedule the sustain pedal, see `Scheduler.pedal`."""
        with self._wake:
            self._scheduler.pedal(due_seconds, down, channel)
            self._wake.notify()

    def panic(self) -> None:
        """Drop all that waits and silence all that sounds, before this returns."""
        with self._wake:
            self._send(self._scheduler.panic())

    def take_dropped(self) -> list[int]:
        """Handles of the notes left out as late since the last call."""
        with self._wake:
            return self._scheduler.take_dropped()

    def counters(self) -> dict[str, int]:
        """`notes_sent`, `late_notes_dropped`, `strikes_merged`, `sounding` and `waiting`."""
        with self._wake:
            counters, sent = self._scheduler.counters, self._notes_sent
        return {
            "notes_sent": sent,
            "late_notes_dropped": counters.late_notes_dropped,
            "strikes_merged": counters.strikes_merged,
            "sounding": counters.sounding,
            "waiting": counters.waiting,
        }

    @property
    def connected(self) -> bool:
        """Whether the port can be played into."""
        return self._connected and not self._closed

    def state(self) -> PlayerState:
        """How the player is now."""
        with self._wake:
            return PlayerState(
                port=self._port.name,
                connected=self.connected,
                realtime=self._realtime,
                lead_seconds=self._lead_seconds,
                lateness=self._lateness(),
                problem=self._problem,
            )

    def close(self) -> None:
        """Silence the port, then close it. Safe to call twice; not for signal handlers."""
        with self._wake:
            if self._closing:
                return
            self._closing = True
            self._send(self._scheduler.panic())
            self._wake.notify()
        atexit.unregister(self.close)
        if threading.current_thread() is not self._thread:
            self._thread.join(_END_SECONDS)
        with self._wake:
            self._closed = True
            self._port.close()

    def __enter__(self) -> Player:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --------------------------------------------------------------------- the sender thread

    def _run(self) -> None:
        realtime = request_realtime() if self._wants_realtime else False
        with self._wake:
            self._realtime = realtime
            while not self._closing:
                self._step()

    def _step(self) -> None:
        try:
            self._wait()
            self._play()
            self._look_after_port()
        except Exception as error:
            # Whatever it was, nothing may ring on, and the thread must live.
            words = f"the MIDI sender failed ({error!r}) and fell silent; it goes on by itself."
            self._problem = words
            releases = self._scheduler.panic()
            try:
                self._send(releases)
            except Exception:
                self._lose(words, releases)
            self._wake.wait(_AFTER_FAILURE_SECONDS)

    def _wait(self) -> None:
        """Sleep until a message is due, or until another thread has news."""
        due_seconds = self._scheduler.next_due_seconds
        wake_seconds = self._next_check_seconds
        if due_seconds is not None:
            wake_seconds = min(wake_seconds, due_seconds - self._lead_seconds)
        pause_seconds = wake_seconds - self._clock()
        if pause_seconds > 0:
            self._wake.wait(pause_seconds)

    def _play(self) -> None:
        """Send what is due."""
        due_seconds = self._scheduler.next_due_seconds
        now_seconds = self._clock() + self._lead_seconds
        if due_seconds is None or due_seconds > now_seconds:
            return
        messages = self._scheduler.due(now_seconds)
        if messages and self._connected:
            self._count_lateness(now_seconds - due_seconds, now_seconds)
        self._send(messages)

    def _send(self, messages: list[bytes]) -> None:
        if not self._connected or self._closed:
            return
        try:
            for message in messages:
                self._port.send(message)
                self._notes_sent += message[0] & 0xF0 == 0x90
        except PortLostError as error:
            self._lose(str(error), messages)

    def _lose(self, problem: str, unsent: Sequence[bytes] = ()) -> None:
        """Go on without a port. What sounded there may sound on: it is silenced at its return."""
        self._connected = False
        self._problem = problem
        releases = filter(_is_release, (*self._owed, *unsent, *self._scheduler.panic()))
        self._owed = list(dict.fromkeys(releases))
        self._next_check_seconds = self._clock() + _CHECK_SECONDS

    def _look_after_port(self) -> None:
        """Once a second, see whether the port is there, or try to get it back."""
        now_seconds = self._clock()
        if now_seconds < self._next_check_seconds:
            return
        self._next_check_seconds = now_seconds + _CHECK_SECONDS
        if self._connected:
            try:
                self._port.check()
            except PortLostError as error:
                self._lose(str(error))
                return
        else:
            try:
                self._port.reopen()
            except InputError as error:
                self._problem = str(error)
                return
            self._connected, self._problem = True, None
            owed, self._owed = self._owed, []
            self._send([*owed, *self._scheduler.panic()])
        if self._fixed_lead_seconds is None:
            self._lead_seconds = self._port.lead_seconds

    # ------------------------------------------------------------------------------ accounts

    def _count_lateness(self, late_seconds: float, now_seconds: float) -> None:
        if now_seconds >= self._forget_at_seconds:
            self._late, self._late_before = Counter(), self._late
            self._forget_at_seconds = now_seconds + _REMEMBERED_SECONDS
        self._late[math.ceil(1e3 * late_seconds / _BIN_MS)] += 1

    def _lateness(self) -> Lateness:
        late = sorted((self._late + self._late_before).items())
        if not late:
            return Lateness()
        count = sum(number for _, number in late)
        return Lateness(
            _late_ms(late, 0.5 * count), _late_ms(late, 0.99 * count), late[-1][0] * _BIN_MS, count
        )


def _is_release(message: bytes) -> bool:
    """Whether a message ends something: a note-off, a pedal that goes up, all notes off."""
    return message[0] & 0xF0 != 0x90 and message[2] == 0


def _late_ms(late: Sequence[tuple[int, int]], rank: float) -> float:
    """What so many messages were at most late by."""
    numbers = itertools.accumulate(number for _, number in late)
    reached = (at for (at, _), seen in zip(late, numbers, strict=True) if seen >= rank)
    return next(reached) * _BIN_MS
