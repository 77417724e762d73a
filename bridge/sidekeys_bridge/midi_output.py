"""The MIDI port that the piano plays into: a virtual one called "Sidekeys", or a named one."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any, Protocol

from sidekeys_bridge.jack_watch import JackWatch
from sidekeys_bridge.midi_system import (
    MidiSystem,
    PortLostError,
    choose_system,
    close_port,
    find_port,
    rtmidi_error,
    server_ended,
)
from sidekeys_engine.errors import InputError

PORT_NAME = "Sidekeys"


class MidiPort(Protocol):
    """What a player plays into. For one thread at a time."""

    @property
    def name(self) -> str:
        """As a DAW shows it."""

    @property
    def lead_seconds(self) -> float:
        """How long before its time a message is best sent."""

    def send(self, message: bytes) -> None:
        """Send one message now; raises `PortLostError` where that is in vain."""

    def check(self) -> None:
        """Raise `PortLostError` if sending would."""

    def reopen(self) -> None:
        """Open a lost port again; raises `InputError` while that fails."""

    def close(self) -> None:
        """Close it for good. Safe to call twice."""


class MidiOutput:
    """A port of the machine's MIDI system.

    Args:
        port: name of an existing port to play into; None makes a virtual one.
        api: which MIDI system, see `choose_system`.
        name: of the port that is made, and of this program for the MIDI system.
        platform: as `sys.platform`.

    Attributes:
        name: as a DAW shows it, such as "Sidekeys:Sidekeys" under JACK.
        notice: what the user should know of it, in words, or None.

    Raises:
        InputError: no MIDI system runs, there is no port of that name, or this machine cannot make
            a virtual one.
    """

    def __init__(
        self,
        port: str | None = None,
        *,
        api: str = "auto",
        name: str = PORT_NAME,
        platform: str = sys.platform,
    ) -> None:
        self._system = choose_system(api, platform=platform)
        self._wanted = port
        self._own_name = name
        self._client: Any = None
        self._jack: JackWatch | None = None
        self.name = port or name
        self.notice: str | None = None
        self._open()

    @property
    def system(self) -> MidiSystem:
        """The MIDI system that it is a port of."""
        return self._system

    @property
    def lead_seconds(self) -> float:
        """Half a period under JACK, else 0.0.

        RtMidi gives JACK a message at the start of the next period, so it comes 0 to 1 period
        late; sent half a period early, it is off by half a period at most, either way.
        """
        return self._jack.period_seconds / 2 if self._jack is not None else 0.0

    def send(self, message: bytes) -> None:
        """Send one MIDI message now.

        Raises:
            PortLostError: the MIDI system has ended, or the port was closed.
        """
        # RtMidi would wait for ever for a JACK server that has ended.
        if self._client is None or (self._jack is not None and self._jack.ended):
            raise self._lost()
        try:
            self._client.send_message(message)
        except rtmidi_error() as error:
            raise PortLostError(f"the MIDI port {self.name!r} failed: {error}") from error

    def check(self) -> None:
        """See whether the port is still there; a millisecond's work.

        Raises:
            PortLostError: it is not.
        """
        if self._client is None or (self._jack is not None and self._jack.ended):
            raise self._lost()
        if self._wanted is not None and self.name not in self._client.get_ports():
            raise PortLostError(f"the MIDI port {self.name!r} is gone; it is used when it returns.")

    def reopen(self) -> None:
        """Open the port again, in the same MIDI system as before.

        Raises:
            InputError: as at first.
        """
        self.close()
        self._open()

    def close(self) -> None:
        """Close the port, when all that was sent has gone out. Safe to call twice."""
        client, self._client = self._client, None
        jack, self._jack = self._jack, None
        if client is not None:
            close_port(client)
        if jack is not None:
            jack.close()

    def __enter__(self) -> MidiOutput:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> None:
        if self._wanted is None and not self._system.makes_ports:
            raise InputError(_no_virtual_ports(self._system))
        client = self._system.output(self._own_name)
        try:
            if self._wanted is not None:
                ports = client.get_ports()
                index = find_port(self._wanted, ports)
                client.open_port(index, self._own_name)
                self.name = ports[index]
            else:
                self._make_port(client)
            if self._system.key == "jack":
                self._jack = JackWatch()
        except (rtmidi_error(), ConnectionError) as error:
            close_port(client)
            raise InputError(
                f"{self._system.title} refused the MIDI port {self.name!r}: {error}"
            ) from error
        except InputError:
            close_port(client)
            raise
        self._client = client

    def _make_port(self, client: Any) -> None:
        before = self._system.sources()
        client.open_virtual_port(self._own_name)
        mine = [name for name in self._system.sources() if name not in before]
        mine = [name for name in mine if self._own_name in name]
        self.name = mine[0] if mine else self._own_name
        self.notice = None
        if any(name.partition(":")[0] == self._own_name for name in before):
            self.notice = (
                f"another program already has a MIDI port called {self._own_name!r}; "
                f"this one is {self.name!r}. Choose it in your DAW, or end the other program."
            )

    def _lost(self) -> PortLostError:
        if self._client is None:
            return PortLostError(f"the MIDI port {self.name!r} is closed.")
        return server_ended()


def output_ports(api: str = "auto", *, platform: str = sys.platform) -> tuple[str, ...]:
    """Names of the ports that a piano could play into.

    Raises:
        InputError: no MIDI system runs.
    """
    return choose_system(api, platform=platform).destinations()


def _no_virtual_ports(system: MidiSystem) -> str:
    try:
        ports = system.destinations()
    except InputError:
        ports = ()
    there = f" There are: {', '.join(map(repr, ports))}." if ports else ""
    return (
        "Windows cannot make a virtual MIDI port for us; make one with loopMIDI or with Windows "
        f"MIDI Services (a loopback endpoint), then give its name with --midi-port.{there}"
    )
