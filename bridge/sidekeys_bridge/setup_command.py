"""`sidekeys setup`: three questions, a file of settings, and three notes to hear in the DAW."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidekeys_bridge.arguments import Parser
from sidekeys_bridge.connection import is_running
from sidekeys_bridge.daws import DAWS, Daw, find_daw, installed_daws
from sidekeys_bridge.loopback import VIRTUAL_CABLES
from sidekeys_bridge.midi_output import PORT_NAME, MidiOutput
from sidekeys_bridge.midi_system import PortLostError, choose_system
from sidekeys_bridge.settings import DEFAULT_INPUT, OPTIONS, input_of, settings_file
from sidekeys_bridge.settings_writer import Line, Old, write_settings
from sidekeys_bridge.trial_notes import play_three_notes
from sidekeys_engine.errors import InputError

DESCRIPTION = (
    "Ask the three questions that matter (which DAW, what to listen to, who tells the beats), "
    "write the settings that `sidekeys start` reads, and play three notes into your DAW."
)
_SYNC_PORT = "Sidekeys Sync"
_REASTREAM = "reastream:sidekeys"
_WINDOWS_SYNTH = "microsoft gs wavetable"
_TRANSPORTS = {
    "auto": "the best that is there: Link, MIDI clock, or the sound itself",
    "clock": "the DAW, by MIDI clock",
    "link": "the DAW, by Ableton Link",
    "audio": "nobody: find the beats in the sound",
    "manual": "I do: a tempo that I give or tap",
}
_INTERRUPTED = 130
_WIDEST = 90


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the answers.

    Attributes:
        value: what it is for the settings.
        words: what it is for a musician.
    """

    value: str
    words: str


@dataclass(frozen=True, slots=True)
class Found:
    """What this machine has.

    Attributes:
        platform: as `sys.platform`.
        daws: keys of those that are installed.
        inputs: names of the sound inputs.
        outputs: what can be listened to as `loopback:`.
        has_link: whether Ableton Link can be followed.
        ports: MIDI ports to play into where none can be made; else None.
        sync_ports: likewise, to hear a clock on.
    """

    platform: str
    daws: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    has_link: bool = False
    ports: tuple[str, ...] | None = None
    sync_ports: tuple[str, ...] = ()


class StoppedError(Exception):
    """The input ended before all was answered."""


def setup_parser() -> Parser:
    """The parser of its arguments."""
    parser = Parser("setup", DESCRIPTION)
    keys = [daw.key for daw in DAWS]
    parser.add_argument("--daw", choices=keys, help="which DAW it is")
    parser.add_argument("--input", metavar="INPUT", help=OPTIONS["input"].help)
    parser.add_argument("--transport", choices=list(_TRANSPORTS), help="who tells the beats")
    parser.add_argument("--midi-port", metavar="NAME", help=OPTIONS["midi_port"].help)
    parser.add_argument("--sync-port", metavar="NAME", help=OPTIONS["sync_port"].help)
    parser.add_argument(
        "--yes",
        action="store_true",
        help="ask nothing and play nothing: what is not given is taken as it is most likely",
    )
    return parser


def run(words: Sequence[str]) -> int:
    """Set up; returns the exit status.

    Raises:
        InputError: an argument cannot be used, or the settings cannot be written.
    """
    options = setup_parser().parse_args(words)
    if options.input is not None:
        options.input = input_of(options.input)
    file = settings_file()
    before = _content(file)
    try:
        with _ending_as_interrupt():
            if not options.yes:
                _say("Looking at this machine ...")
            daw, lines = _answers(find_here(), options)
            old = _write(file, lines)
            if not options.yes:
                now = {**old.settings, **{line.name: line.value for line in lines}}
                _let_hear(daw, {name: str(value) for name, value in now.items()})
    except (KeyboardInterrupt, StoppedError):
        _say("")
        is_as_before = _content(file) == before
        _say("Stopped; nothing was changed." if is_as_before else "Stopped; the settings stay.")
        return _INTERRUPTED
    _say("Play along with: sidekeys start")
    return 0


def find_here() -> Found:
    """Look at this machine; it takes a moment."""
    from sidekeys_bridge.doctor import sound  # noqa: PLC0415 - only this command looks at all

    heard = sound.probe()
    ports: tuple[str, ...] | None = None
    sync_ports: tuple[str, ...] = ()
    try:
        system = choose_system()
        if not system.makes_ports:
            ports, sync_ports = system.destinations(), system.sources()
    except InputError:
        pass  # told when the notes are played
    return Found(
        sys.platform,
        installed_daws(),
        heard.inputs or (),
        heard.outputs if sys.platform.startswith("linux") else ("default",),
        importlib.util.find_spec("aalink") is not None,
        ports,
        sync_ports,
    )


# The questions


def _answers(found: Found, options: Any) -> tuple[Daw, list[Line]]:
    """What is asked for, by the arguments or by the answers."""
    ask = _first if options.yes else _ask
    daw = find_daw(options.daw or ask("Which DAW do you play in?", daw_choices(found)))
    assert daw is not None
    heard = options.input or ask(
        "What should the piano hear? Send a bus without the piano there.",
        input_choices(found, daw),
        input_of,
    )
    transport = options.transport or ask("Who tells the beats?", transport_choices(found, daw))
    lines = [
        Line("input", heard, f"What to listen to ({daw.title}); `sidekeys inputs` lists more."),
        Line("transport", transport, f"Who tells the beats: {_TRANSPORTS[transport]}."),
    ]
    port, sync_port = options.midi_port, options.sync_port
    if found.ports is not None:
        port = port or ask("Which MIDI port leads into the DAW?", port_choices(found.ports))
        if transport in ("clock", "auto") and not sync_port and len(found.sync_ports) > 1:
            others = tuple(name for name in found.sync_ports if name != port)
            sync_port = ask("On which MIDI port does the clock come?", port_choices(others))
    if port:
        lines.append(Line("midi_port", port, "The MIDI port that is played into."))
    if sync_port:
        lines.append(Line("sync_port", sync_port, "The MIDI port that a clock is heard on."))
    return daw, lines


def daw_choices(found: Found) -> list[Choice]:
    """All DAWs that run on this platform, those that are installed first."""
    fitting = [daw for daw in DAWS if _runs_on(daw, found.platform)]
    fitting.sort(key=lambda daw: daw.key not in found.daws)
    return [
        Choice(daw.key, f"{daw.title} (found here)" if daw.key in found.daws else daw.title)
        for daw in fitting
    ]


def _runs_on(daw: Daw, platform: str) -> bool:
    if daw.key == "logic":
        return platform == "darwin"
    return daw.key != "live" or not platform.startswith("linux")


def input_choices(found: Found, daw: Daw) -> list[Choice]:
    """What can be heard, the most likely first."""
    own = [name for name in found.inputs if daw.key in name.lower()]
    cables = [
        name
        for name in found.inputs
        if any(cable.lower() in name.lower() for cable in VIRTUAL_CABLES)
    ]
    choices = [Choice(name, f"{name}: {daw.title} itself") for name in own]
    if daw.key == "reaper":
        words = "the plugin ReaStream on a REAPER track, sending to 127.0.0.1 as sidekeys"
        choices.append(Choice(_REASTREAM, words))
    choices += [Choice(name, f"{name}: a virtual cable") for name in cables]
    if found.platform != "darwin":
        choices += [
            Choice(f"loopback:{name}", f"all that plays on: {name}") for name in found.outputs
        ]
    choices += [Choice(name, name) for name in found.inputs]
    choices.append(Choice(DEFAULT_INPUT, "the system's default input"))
    # A cable, say, is among the inputs again; the first words for it are the better ones.
    first: dict[str, Choice] = {}
    for choice in choices:
        first.setdefault(choice.value, choice)
    return list(first.values())


def transport_choices(found: Found, daw: Daw) -> list[Choice]:
    """Who can tell the beats, the most likely first."""
    names = [name for name in _TRANSPORTS if name != "link" or found.has_link]
    names.sort(key=lambda name: name != daw.transport)
    return [Choice(name, _TRANSPORTS[name]) for name in names]


def port_choices(ports: Sequence[str]) -> list[Choice]:
    """MIDI ports of others, for a system that lets us make none.

    Raises:
        InputError: there are none.
    """
    fitting = [name for name in ports if _WINDOWS_SYNTH not in name.lower()]
    if not fitting:
        raise InputError(
            "there is no MIDI port that leads into a DAW; make two with loopMIDI (winget install "
            "TobiasErichsen.loopMIDI), then try again."
        )
    return [Choice(name, name) for name in fitting]


def _first(
    _question: str, choices: Sequence[Choice], _read: Callable[[str], str] | None = None
) -> str:
    return choices[0].value


def _ask(question: str, choices: Sequence[Choice], read: Callable[[str], str] | None = None) -> str:
    """Show numbered answers and wait for one; the first is taken for an empty line.

    Args:
        question: what to ask.
        choices: the answers.
        read: checks what is typed instead of a number; only the choices' values may be typed
            without it.

    Raises:
        StoppedError: the input has ended.
    """
    _say("")
    _say(question)
    for number, choice in enumerate(choices, start=1):
        _say(f"  {number}  {choice.words}")
    while True:
        text = _line_typed("Number, or a name [1]: " if read else "Number [1]: ")
        if not text:
            return choices[0].value
        if text.isdecimal() and 1 <= int(text) <= len(choices):
            return choices[int(text) - 1].value
        values = {choice.value.lower(): choice.value for choice in choices}
        if text.lower() in values:
            return values[text.lower()]
        if read is None or text.isdecimal():
            _say(f"{text!r} is none of them; give a number from 1 to {len(choices)}.")
            continue
        try:
            return read(text)
        except InputError as mistake:
            _say(str(mistake))


# What is done


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def _write(file: Path, lines: list[Line]) -> Old:
    old = write_settings(file, lines)
    _say("")
    _say(f"The settings are in {file}")
    if old.is_lost:
        _say(f"The old ones could not be read; they are in {old.backup}")
    elif old.backup is not None:
        _say(f"The old ones are in {old.backup}")
    return old


def _let_hear(daw: Daw, settings: dict[str, str]) -> None:
    """Play three notes until they are heard, or the musician has enough of it."""
    if is_running():
        _say("A bridge runs and has the MIDI port; for a test: sidekeys stop, then this again.")
        return
    try:
        with MidiOutput(settings.get("midi_port")) as port:
            _let_hear_on(port, daw, settings)
    except (KeyboardInterrupt, StoppedError):
        _say("")
        _say("No more notes; the settings stay.")
    except (InputError, PortLostError) as problem:
        _say("")
        _say(f"No test note: {problem} `sidekeys doctor` tells more.")


def _let_hear_on(port: MidiOutput, daw: Daw, settings: dict[str, str]) -> None:
    names = {"port": settings.get("midi_port", PORT_NAME)}
    names["sync"] = settings.get("sync_port", _SYNC_PORT)
    _say("")
    _say(f"Now in {daw.title}, while the MIDI port {port.name} is open here:")
    _say(f"  {daw.arm.format(**names)}")
    if settings["transport"] == "clock":
        _say(f"  {daw.sync.format(**names)} (that port is there once `sidekeys start` runs)")
    _say("")
    typed = _line_typed("Press Enter for three notes, or s to skip them: ")
    while not typed.lower().startswith("s"):
        play_three_notes(port)
        typed = _line_typed("Did you hear them? y, n, or a for again [y]: ")
        if typed.lower() in ("", "y", "yes"):
            _say("Good.")
            return
        if not typed.lower().startswith("a"):
            _say("Look at two things:")
            for at, look in enumerate(daw.look, start=1):
                _say(f"  {at}  {look.format(**names)}")
            typed = _line_typed("Press Enter for three notes, or s to leave it: ")


@contextmanager
def _ending_as_interrupt() -> Iterator[None]:
    """A process that is told to end does what it does for Ctrl-C: it releases its notes."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _line_typed(prompt: str) -> str:
    sys.stdout.write(prompt)
    sys.stdout.flush()
    line = sys.stdin.readline()
    if not line:
        raise StoppedError
    return line.strip()


def _say(line: str) -> None:
    """A line, wrapped under its own beginning where the terminal is narrow."""
    width = min(shutil.get_terminal_size().columns, _WIDEST) - 1
    indent = " " * (len(line) - len(line.lstrip()) + (3 if line[2:3].isdigit() else 0))
    wrapped = textwrap.wrap(
        line, max(width, 20), subsequent_indent=indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    sys.stdout.write("\n".join(wrapped) + "\n")
