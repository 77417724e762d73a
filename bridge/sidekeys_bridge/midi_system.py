"""The machine's MIDI systems: which one to use, and the ports that it has.

This is the only room that knows python-rtmidi.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidekeys_bridge.jack_watch import jack_runs
from sidekeys_engine.errors import InputError

_ALSA_SEQUENCER = Path("/dev/snd/seq")
_NO_SYSTEM = (
    "no MIDI system runs here; start JACK (or PipeWire), or load ALSA's sequencer "
    "(sudo modprobe snd-seq), then try again."
)


class PortLostError(ConnectionError):
    """A port that was open is of no use any more; the message says why, in words."""


@dataclass(frozen=True, slots=True)
class MidiSystem:
    """A way to reach other programs' MIDI ports.

    Attributes:
        key: as it is typed.
        title: as it is shown.
        rtmidi_name: of python-rtmidi's constant.
        makes_ports: whether a program can make a port of its own; else it needs an existing one.
    """

    key: str
    title: str
    rtmidi_name: str
    makes_ports: bool = True

    def output(self, client_name: str) -> Any:
        """An `rtmidi.MidiOut` of this system, not open yet.

        Raises:
            InputError: the system does not run, or python-rtmidi cannot reach it.
        """
        return self._client("MidiOut", client_name)

    def input(self, client_name: str) -> Any:
        """An `rtmidi.MidiIn` of this system, not open yet.

        Raises:
            InputError: the system does not run, or python-rtmidi cannot reach it.
        """
        return self._client("MidiIn", client_name)

    def destinations(self) -> tuple[str, ...]:
        """Ports that notes can be sent to: instruments, tracks of a DAW."""
        return self._ports(self.output("Sidekeys looks for ports"))

    def sources(self) -> tuple[str, ...]:
        """Ports that send, those of this program among them."""
        return self._ports(self.input("Sidekeys looks for ports"))

    def _ports(self, client: Any) -> tuple[str, ...]:
        try:
            return tuple(client.get_ports())
        finally:
            close_port(client)

    def _client(self, kind: str, client_name: str) -> Any:
        rtmidi = _rtmidi()
        if self.key == "jack" and not jack_runs():
            raise InputError("no JACK server runs; start one (qjackctl does), then try again.")
        if self.key == "alsa" and not _ALSA_SEQUENCER.exists():
            raise InputError("ALSA's sequencer is not loaded; type: sudo modprobe snd-seq")
        api = getattr(rtmidi, self.rtmidi_name)
        if api not in rtmidi.get_compiled_api():
            raise InputError(f"this python-rtmidi cannot use {self.title}; choose another one.")
        try:
            return getattr(rtmidi, kind)(api, name=client_name)
        except rtmidi.RtMidiError as error:
            raise InputError(f"{self.title} refused a MIDI port: {error}") from error


SYSTEMS = {
    system.key: system
    for system in (
        MidiSystem("jack", "JACK", "API_UNIX_JACK"),
        MidiSystem("alsa", "ALSA", "API_LINUX_ALSA"),
        MidiSystem("coremidi", "CoreMIDI", "API_MACOSX_CORE"),
        MidiSystem("windows", "Windows MIDI", "API_WINDOWS_MM", makes_ports=False),
    )
}
"""By key."""


def choose_system(wanted: str = "auto", *, platform: str = sys.platform) -> MidiSystem:
    """The MIDI system to use: on Linux JACK if a server runs, else ALSA.

    Args:
        wanted: a key of `SYSTEMS`, or "auto".
        platform: as `sys.platform`.

    Raises:
        InputError: there is no such system, or none runs.
    """
    if wanted != "auto":
        if wanted not in SYSTEMS:
            raise InputError(
                f"there is no MIDI system {wanted!r}; give auto, {', '.join(SYSTEMS)}."
            )
        return SYSTEMS[wanted]
    if platform == "darwin":
        return SYSTEMS["coremidi"]
    if platform == "win32":
        return SYSTEMS["windows"]
    _rtmidi()  # first: it brings the libjack to ask
    if jack_runs():
        return SYSTEMS["jack"]
    if _ALSA_SEQUENCER.exists():
        return SYSTEMS["alsa"]
    raise InputError(_NO_SYSTEM)


def find_port(wanted: str, ports: Sequence[str]) -> int:
    """Index of the port that a user means: its exact name, or a part that only one has.

    Raises:
        InputError: no such port, or several; the message lists what there is.
    """
    for same in (
        [name == wanted for name in ports],
        [name.casefold() == wanted.casefold() for name in ports],
        [wanted.casefold() in name.casefold() for name in ports],
    ):
        if sum(same) == 1:
            return same.index(True)
        if any(same):
            several = ", ".join(
                repr(name) for name, is_same in zip(ports, same, strict=True) if is_same
            )
            raise InputError(f"several MIDI ports are called {wanted!r}; give one of {several}.")
    there = ", ".join(map(repr, ports)) if ports else "none"
    raise InputError(f"there is no MIDI port {wanted!r}; there are: {there}.")


def close_port(client: Any) -> None:
    """Close a MidiOut or MidiIn for good; under JACK its client would live on without delete."""
    client.close_port()
    client.delete()


def server_ended() -> PortLostError:
    """What a port of JACK that is left without its server raises."""
    return PortLostError("the JACK server has ended; start it again, the port returns with it.")


def rtmidi_error() -> type[Exception]:
    """What python-rtmidi raises."""
    error: type[Exception] = _rtmidi().RtMidiError
    return error


def _rtmidi() -> Any:
    try:
        import rtmidi  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            "python-rtmidi is not installed; type: pip install python-rtmidi"
        ) from error
    return rtmidi
