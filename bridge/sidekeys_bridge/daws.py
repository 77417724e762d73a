"""DAWs: which are on this machine, and how each is set up to play along."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Daw:
    """One DAW, or "other".

    Attributes:
        key: as it is typed.
        title: as it is shown.
        transport: who best tells its beats.
        arm: how its track hears Sidekeys; "{port}" stands for the MIDI port.
        sync: how it sends its beats where that is MIDI clock; "{sync}" stands for the MIDI port.
        look: the two things to look at when nothing is heard.
        programs: what it is called on Linux.
        applications: what it begins with in the folders of programs of macOS and Windows.
    """

    key: str
    title: str
    transport: str
    arm: str
    sync: str
    look: tuple[str, str]
    programs: tuple[str, ...] = ()
    applications: tuple[str, ...] = ()


DAWS = (
    Daw(
        "live", "Ableton Live", "clock",
        "Settings > Link, Tempo & MIDI: switch Track on for the input {port}. Put a piano on a "
        "MIDI track, choose {port} in MIDI From, and arm it.",
        "Settings > Link, Tempo & MIDI: switch Sync on for the output {sync}.",
        (
            "Settings > Link, Tempo & MIDI: is Track on for the input {port}?",
            "Is the track armed, with {port} in MIDI From, and a piano on it?",
        ),
        applications=("Ableton",),
    ),
    Daw(
        "bitwig", "Bitwig Studio", "clock",
        "Settings > Controllers > Add controller > Generic > MIDI Keyboard, with {port} as its "
        "input. Put a piano on an instrument track and arm it.",
        "Settings > Synchronization: send MIDI clock to {sync}.",
        (
            "Settings > Controllers: is there a MIDI Keyboard with {port} as its input?",
            "Is the track armed, with All Inputs or {port}, and a piano on it?",
        ),
        programs=("bitwig-studio",),
        applications=("Bitwig",),
    ),
    Daw(
        "logic", "Logic Pro", "clock",
        "Put a piano on a software instrument track and select it; Logic hears every MIDI input.",
        "File > Project Settings > Synchronization > MIDI: transmit MIDI clock to {sync}.",
        (
            "Logic Pro > Settings > MIDI > Inputs: is {port} ticked?",
            "Is the track with the piano selected, or armed?",
        ),
        applications=("Logic",),
    ),
    Daw(
        "reaper", "REAPER", "clock",
        "Preferences > MIDI Inputs: enable {port}. On a track with a piano choose Input: MIDI > "
        "{port} > All channels, arm it, and switch record monitoring on.",
        "Preferences > MIDI Outputs: for {sync} choose Send clock/SPP.",
        (
            "Preferences > MIDI Inputs: is {port} enabled?",
            "Is the track armed with this input, and record monitoring on?",
        ),
        programs=("reaper",),
        applications=("REAPER",),
    ),
    Daw(
        "ardour", "Ardour", "clock",
        "Add a MIDI track with a piano. Window > MIDI Connections: connect {port} to it, and press "
        "In on the track to hear it.",
        "Preferences > Transport > Generate: send MIDI clock; connect it to {sync}.",
        (
            "Window > MIDI Connections: is {port} connected to the track?",
            "Is In lit on the track, and a piano on it?",
        ),
        programs=("ardour", "ardour9", "ardour8", "ardour7", "ardour6"),
        applications=("Ardour",),
    ),
    Daw(
        "other", "another one", "auto",
        "Put a piano on a MIDI track, choose {port} as its input, and arm it.",
        "Let it send MIDI clock to {sync}.",
        (
            "Is {port} switched on among the MIDI inputs in the DAW's settings?",
            "Is the track armed with this input, and a piano on it?",
        ),
    ),
)  # fmt: skip


def find_daw(key: str) -> Daw | None:
    """The DAW that is typed so, in any case."""
    return next((daw for daw in DAWS if daw.key == key.strip().lower()), None)


def installed_daws() -> tuple[str, ...]:
    """Keys of those that are found where programs usually are."""
    if sys.platform == "win32" or sys.platform == "darwin":
        names = _applications()
        return tuple(daw.key for daw in DAWS if names and _begins(names, daw.applications))
    return tuple(daw.key for daw in DAWS if any(map(shutil.which, daw.programs)))


def _begins(names: list[str], starts: tuple[str, ...]) -> bool:
    return any(name.lower().startswith(start.lower()) for name in names for start in starts)


def _applications() -> list[str]:
    """Names of programs and of their makers' folders."""
    variables = ("PROGRAMFILES", "PROGRAMDATA", "LOCALAPPDATA")
    places = [Path(os.environ[name]) for name in variables if name in os.environ]
    if sys.platform == "darwin":
        places = [Path("/Applications"), Path.home() / "Applications"]
    names: list[str] = []
    for place in places:
        if place.is_dir():
            names += [entry.name for entry in place.iterdir()]
    return names
