"""The MIDI port "Sidekeys Sync": a DAW sends its clock to it, and automation of our controls."""

from __future__ import annotations

import functools
import logging
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from sidekeys_bridge.jack_watch import JackWatch
from sidekeys_bridge.midi_system import (
    PortLostError,
    choose_system,
    close_port,
    find_port,
    rtmidi_error,
    server_ended,
)
from sidekeys_engine.errors import InputError

_log = logging.getLogger(__name__)

PORT_NAME = "Sidekeys Sync"
_CALLBACK_SECONDS = 0.02
_WATCH_SECONDS = 0.1
_RETRY_SECONDS = 1.0
_END_SECONDS = 5.0  # a driver that hangs in closing must not hang the program

OnMessage = Callable[[bytes, float], None]
"""Takes a message and its monotonic moment, on a thread of the MIDI system, which must not wait."""


class SyncInput:
    """A port that others send to.

    Args:
        on_message: is given every message but System Exclusive. Under JACK, which hands out all of
            a period at its start, on average half a period early, the moment is half a period
            later.
        port: name of an existing port to listen to; None makes a virtual one.
        api: which MIDI system, see `choose_system`.
        name: of the port that is made, and of this program for the MIDI system.
        platform: as `sys.platform`.
        now: the monotonic clock that tells when a message came.

    Attributes:
        name: as a DAW shows it.
        grain_seconds: a period of JACK; 0.0 in other systems, which hand out messages at once.

    Raises:
        InputError: no MIDI system runs, there is no port of that name, or this machine cannot make
            a virtual one.
    """

    def __init__(
        self,
        on_message: OnMessage,
        *,
        port: str | None = None,
        api: str = "auto",
        name: str = PORT_NAME,
        platform: str = sys.platform,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        system = choose_system(api, platform=platform)
        if port is None and not system.makes_ports:
            raise InputError(
                "Windows cannot make a virtual MIDI port for us; make one with loopMIDI or with "
                "Windows MIDI Services (a loopback endpoint), then give its name with --sync-port."
            )
        self._on_message, self._now = on_message, now
        self._wanted = port
        self._jack: JackWatch | None = None
        self.grain_seconds = 0.0
        self.name = port or name
        self._client: Any = system.input(name)
        try:
            # Clock is what we are here for; it is ignored unless asked for.
            self._client.ignore_types(sysex=True, timing=False, active_sense=True)
            self._client.set_callback(self._receive)
            if system.key == "jack":
                self._jack = JackWatch()
                self.grain_seconds = self._jack.period_seconds
            if port is None:
                self._client.open_virtual_port(name)
            else:
                ports = self._client.get_ports()
                index = find_port(port, ports)
                self.name = ports[index]
                self._client.open_port(index, name)
        except (rtmidi_error(), ConnectionError) as error:
            self.close()
            raise InputError(
                f"{system.title} refused the MIDI port {self.name!r}: {error}"
            ) from error
        except InputError:
            self.close()
            raise

    def check(self) -> None:
        """See whether the port is still there; a moment's work.

        Raises:
            PortLostError: the MIDI system has ended, or the named port is gone.
        """
        if self._jack is not None:
            if self._jack.ended:
                raise server_ended()
            self.grain_seconds = self._jack.period_seconds
        try:
            is_there = self._wanted is None or self.name in self._client.get_ports()
        except rtmidi_error() as error:
            raise PortLostError(f"the MIDI port {self.name!r} failed: {error}") from error
        if not is_there:
            raise PortLostError(
                f"the MIDI port {self.name!r} is gone; it is followed when it returns."
            )

    def close(self) -> None:
        """Close the port. Safe to call twice."""
        client, self._client = self._client, None
        jack, self._jack = self._jack, None
        if client is not None:
            client.cancel_callback()
            # A thread of JACK may wait for Python's lock in our callback. Closing cancels that
            # thread, and the lock with it.
            time.sleep(_CALLBACK_SECONDS)
            close_port(client)
        if jack is not None:
            jack.close()

    def __enter__(self) -> SyncInput:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _receive(self, event: tuple[list[int], float], _data: object) -> None:
        self._on_message(bytes(event[0]), self._now() + self.grain_seconds / 2)


class SyncKeeper:
    """Keeps the port open: tries each second while it cannot be, and opens a lost one again.

    Opening takes a tenth of a second, in which notes would wait, so that a thread of its own does
    it; only the first try is made by whoever makes this.

    Args:
        on_message: as `SyncInput` has it.
        port: name of an existing port to listen to; None makes a virtual one.
        api: which MIDI system, see `choose_system`.

    Attributes:
        problem: why the port is not open, in words; None while it is.
    """

    def __init__(
        self,
        on_message: OnMessage,
        *,
        port: str | None = None,
        api: str = "auto",
    ) -> None:
        self.problem: str | None = None
        self._opener = functools.partial(SyncInput, on_message, port=port, api=api)
        self._input: SyncInput | None = None
        self._ends = threading.Event()
        self._open()
        self._thread = threading.Thread(target=self._run, name="sync-keeper", daemon=True)
        self._thread.start()

    @property
    def grain_seconds(self) -> float:
        """The steps in which moments are told, see `SyncInput`."""
        opened = self._input
        return opened.grain_seconds if opened is not None else 0.0

    def close(self) -> None:
        """Close the port for good. Safe to call twice."""
        self._ends.set()
        self._thread.join(_END_SECONDS)

    def _run(self) -> None:
        while not self._ends.wait(_RETRY_SECONDS if self._input is None else _WATCH_SECONDS):
            if self._input is None:
                self._open()
            else:
                self._look(self._input)
        if self._input is not None:
            self._input.close()

    def _open(self) -> None:
        try:
            self._input = self._opener()
        except InputError as error:
            self.problem = str(error)
        except Exception as fault:  # of a driver; the thread must live
            _log.exception("the sync port could not be opened")
            self.problem = f"the MIDI port {PORT_NAME!r} cannot be opened ({fault!r}); it is tried "
            self.problem += "again each second."
        else:
            self.problem = None

    def _look(self, opened: SyncInput) -> None:
        try:
            opened.check()
        except PortLostError as error:
            self._input = None
            opened.close()
            self.problem = str(error)
