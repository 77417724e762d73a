"""The MIDI port "Sidekeys Sync": a DAW sends its clock to it, and automation of our controls."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

from sidekeys_bridge.midi_system import choose_system, close_port, find_port, rtmidi_error
from sidekeys_engine.errors import InputError

PORT_NAME = "Sidekeys Sync"
_CALLBACK_SECONDS = 0.02


class SyncInput:
    """A port that others send to.

    Args:
        on_message: is given every message but System Exclusive, and its monotonic moment. It is
            called by a thread of the MIDI system, which must not wait: copy, and leave.
        port: name of an existing port to listen to; None makes a virtual one.
        api: which MIDI system, see `choose_system`.
        name: of the port that is made, and of this program for the MIDI system.
        platform: as `sys.platform`.
        now: the monotonic clock that tells when a message came.

    Attributes:
        name: as a DAW shows it.

    Raises:
        InputError: no MIDI system runs, there is no port of that name, or this machine cannot make
            a virtual one.
    """

    def __init__(
        self,
        on_message: Callable[[bytes, float], None],
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
        self.name = port or name
        self._client: Any = system.input(name)
        try:
            # Clock is what we are here for; it is ignored unless asked for.
            self._client.ignore_types(sysex=True, timing=False, active_sense=True)
            self._client.set_callback(self._receive)
            if port is None:
                self._client.open_virtual_port(name)
            else:
                ports = self._client.get_ports()
                index = find_port(port, ports)
                self.name = ports[index]
                self._client.open_port(index, name)
        except rtmidi_error() as error:
            self.close()
            raise InputError(
                f"{system.title} refused the MIDI port {self.name!r}: {error}"
            ) from error
        except InputError:
            self.close()
            raise

    def close(self) -> None:
        """Close the port. Safe to call twice."""
        client, self._client = self._client, None
        if client is not None:
            client.cancel_callback()
            # A thread of JACK may wait for Python's lock in our callback. Closing cancels that
            # thread, and the lock with it.
            time.sleep(_CALLBACK_SECONDS)
            close_port(client)

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
        self._on_message(bytes(event[0]), self._now())
