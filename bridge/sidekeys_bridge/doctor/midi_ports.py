"""MIDI: whether a port of our own can be made, for the DAW to find."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sidekeys_bridge.doctor.asking import NoAnswerError, json_of
from sidekeys_bridge.doctor.finding import Finding, missing, warning, well
from sidekeys_bridge.doctor.machine import Machine

_SUBJECT = "virtual MIDI"
_SEQUENCER = Path("/dev/snd/seq")
# Parts of the names of ports that Windows programs make for others to use.
_WINDOWS_CABLES = ("loopmidi", "loopback", "loopbe", "virtual", "midi yoke")
_WINDOWS_SYNTH = "microsoft gs wavetable"
_PROGRAM = """
import json
from sidekeys_bridge.midi_system import choose_system
from sidekeys_engine.errors import InputError
try:
    system = choose_system()
    told = {"system": system.title, "makes_ports": system.makes_ports,
            "destinations": system.destinations()}
except InputError as error:
    told = {"problem": str(error)}
print(json.dumps(told))
"""


@dataclass(frozen=True, slots=True)
class MidiFacts:
    """What there is to play into.

    Attributes:
        system: the MIDI system, such as "JACK"; "" without one.
        makes_ports: whether it lets us make ports.
        destinations: ports of others.
        problem: why there is no system, or "".
        wanted: the port that the settings name, or "".
        has_sequencer: whether ALSA's sequencer is loaded, on Linux.
        may_use_sequencer: whether this user may use it.
    """

    system: str = ""
    makes_ports: bool = True
    destinations: tuple[str, ...] = ()
    problem: str = ""
    wanted: str = ""
    has_sequencer: bool = False
    may_use_sequencer: bool = False


def probe(wanted: str = "") -> MidiFacts:
    """Ask the MIDI system, in a process of its own.

    Args:
        wanted: the port that the settings name, or "".
    """
    sequencer = (_SEQUENCER.exists(), os.access(_SEQUENCER, os.R_OK | os.W_OK))
    try:
        told = json_of(["-c", _PROGRAM])
    except NoAnswerError as why:
        return MidiFacts("", True, (), str(why), wanted, *sequencer)
    return MidiFacts(
        told.get("system", ""),
        told.get("makes_ports", True),
        tuple(told.get("destinations", ())),
        told.get("problem", ""),
        wanted,
        *sequencer,
    )


def check(facts: MidiFacts, machine: Machine) -> list[Finding]:
    """What that means."""
    if facts.problem:
        return [_no_system(facts, machine)]
    if facts.wanted and not any(
        facts.wanted.lower() in name.lower() for name in facts.destinations
    ):
        there = ", ".join(facts.destinations) or "none"
        return [
            missing(
                _SUBJECT, f"the settings name the port {facts.wanted!r}; there are: {there}",
                "start the program that has this port, or choose another with `sidekeys setup`",
            )
        ]  # fmt: skip
    if facts.makes_ports:
        return [well(_SUBJECT, f"{facts.system} makes the port Sidekeys")]
    ports = [name for name in facts.destinations if _WINDOWS_SYNTH not in name.lower()]
    cables = [name for name in ports if any(cable in name.lower() for cable in _WINDOWS_CABLES)]
    if not cables:
        there = f", only {', '.join(ports)}" if ports else ""
        return [
            missing(
                _SUBJECT, f"no port that leads into a DAW{there}",
                machine.install("loopMIDI", winget="TobiasErichsen.loopMIDI"),
            )
        ]  # fmt: skip
    if not facts.wanted:
        return [
            warning(
                _SUBJECT, f"{', '.join(cables)} can be used, but the settings do not name it",
                "choose it with `sidekeys setup`",
            )
        ]  # fmt: skip
    return [well(_SUBJECT, facts.wanted)]


def _no_system(facts: MidiFacts, machine: Machine) -> Finding:
    if "python-rtmidi" in facts.problem:
        return missing(_SUBJECT, "python-rtmidi is missing", machine.pip("python-rtmidi"))
    if not machine.is_linux:
        mend = machine.pip("--force-reinstall python-rtmidi")
        return missing(_SUBJECT, f"no ports can be made: {facts.problem}", mend)
    if facts.has_sequencer and not facts.may_use_sequencer:
        mend = 'sudo usermod -aG audio "$USER"; then log out and in again'
        return missing(_SUBJECT, "you may not use ALSA's sequencer", mend)
    if facts.has_sequencer:
        return missing(
            _SUBJECT, f"ALSA's sequencer does not answer: {facts.problem}", "try again, or restart"
        )
    return missing(
        _SUBJECT, "no JACK server runs, and ALSA's sequencer is not loaded", "sudo modprobe snd-seq"
    )
