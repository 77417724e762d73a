"""The commands that speak with a running bridge: `sidekeys status`, `set`, `panic`, `stop` ..."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sidekeys_bridge.arguments import Parser
from sidekeys_bridge.client import ControlClient, ControlError
from sidekeys_bridge.connection import is_running
from sidekeys_engine.errors import InputError

_END_SECONDS = 15.0
_LOOK_SECONDS = 0.05
_SLOW_SECONDS = 30.0  # what must look for devices or write a file
_NUDGE_HELP = """\
usage: sidekeys nudge BEATS | MILLISECONDSms

Move the beats against the sound: 0.25 is a quarter of a beat later, -20ms is 20 ms earlier."""


def run(command: str, words: Sequence[str]) -> int:
    """Run one command; returns the exit status.

    Raises:
        InputError: no bridge runs, or it refused; or arguments that cannot be used.
    """
    if command == "render":
        from sidekeys_bridge.render_client import render  # noqa: PLC0415 - seldom asked for

        return render(words)
    return _COMMANDS[command](words)


# What tells


def _status(words: Sequence[str]) -> int:
    options = _with_json("status", "Tell how the running bridge does.").parse_args(words)
    with ControlClient.running() as client:
        status = client.request("status")
    _write(json.dumps(status, indent=2) if options.json else "\n".join(_in_words(status)))
    return 0


def _in_words(status: Mapping[str, Any]) -> list[str]:
    """The status for a musician, a line a subject."""
    transport, heard = status["transport"], status["input"]
    engine, counters = status["engine"], status["counters"]
    song = f"{transport['source']}, {'playing' if transport['playing'] else 'stopped'}"
    if transport["playing"]:
        song += (
            f", {transport['bpm']:.1f} bpm in {transport['meter']}, bar {transport['bar']}, "
            f"beat {transport['beat']:.2f}"
        )
    delay = status["delay_beats"]
    behind = f"{delay} beats behind" if delay else "in sync"
    if delay is None:
        behind = "delay not known yet"
    reason = f" ({status['delay_reason']})" if status["delay_reason"] else ""
    sound = "no sound comes" if not heard["connected"] else f"{heard['level_db']:.0f} dB"
    lines = [
        f"state   {status['state']}, process {status['bridge']['pid']}",
        f"song    {song}",
        f"piano   {status['composer'] or 'nobody'} into {status['port'] or 'no port'}, "
        f"{status['mode']}, {behind}{reason}",
        f"input   {heard['name'] or heard['choice']}, {sound}",
        f"engine  {engine['state']} on {engine['device'] or 'an unknown device'}, "
        f"process {engine['pid'] or 'none'}",
        f"notes   {counters['notes_sent']} sent, {counters['late_notes_dropped']} too late, "
        f"{counters['sounding']} sounding",
        f"windows {counters['windows_done']} done, {counters['windows_missed']} missed; "
        f"{counters['input_overflows']} times sound was lost",
    ]
    return [*lines, *(f"problem {problem}" for problem in status["problems"])]


def _watch(words: Sequence[str]) -> int:
    parser = _with_json("watch", "Print the events of the running bridge, a line each.")
    parser.add_argument("types", nargs="*", metavar="EVENT", help="such as notes; all by default")
    options = parser.parse_args(words)
    known = _events()
    for name in options.types:
        if name not in known:
            raise InputError(f"there is no event {name!r}; there are {', '.join(known)}.")
    with ControlClient.running() as client:
        for event in client.events(*options.types):
            if options.json:
                _write(json.dumps({"type": event.type, "id": event.id, "content": event.content}))
            else:
                told = (f"{name}={json.dumps(value)}" for name, value in event.content.items())
                _write(" ".join((event.type, *told)))
            sys.stdout.flush()
    sys.stderr.write("sidekeys: the bridge has ended.\n")
    return 0


def _events() -> tuple[str, ...]:
    from sidekeys_bridge.commands import BRIDGE  # noqa: PLC0415 - the others need no table

    return tuple(BRIDGE.events)


def _inputs(words: Sequence[str]) -> int:
    options = _with_json("inputs", "List what can be listened to.").parse_args(words)
    if is_running():
        with ControlClient.running(within_seconds=_SLOW_SECONDS) as client:
            rows = client.request("inputs")["inputs"]
    else:
        from sidekeys_bridge.audio_input import input_devices  # noqa: PLC0415 - needs numpy

        rows = [[d.index, d.name, d.host_api, d.channels, d.rate] for d in input_devices()]
    if options.json:
        names = ("index", "name", "host_api", "channels", "rate")
        _write(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2))
        return 0
    for index, name, host_api, channels, rate in rows:
        _write(f"{index:3}  {name}  ({host_api}, {channels} channels, {rate} Hz)")
    if not rows:
        _write("no sound device; file:PATH, reastream:ID and loopback:NAME may do")
    return 0


def _ports(words: Sequence[str]) -> int:
    options = _with_json("ports", "List the MIDI ports that can be played into.").parse_args(words)
    if is_running():
        with ControlClient.running(within_seconds=_SLOW_SECONDS) as client:
            names = list(client.request("ports")["ports"])
    else:
        from sidekeys_bridge.midi_output import output_ports  # noqa: PLC0415 - seldom asked for

        names = list(output_ports())
    if options.json:
        _write(json.dumps(names, indent=2))
        return 0
    for name in names or ["no MIDI port; the bridge makes its own where the system can"]:
        _write(name)
    return 0


# What changes something


def _set(words: Sequence[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        _write(_set_help())
        return 0
    if len(words) % 2:
        raise InputError(f"{words[-1]!r} has no value; give NAME VALUE, as often as you like.")
    content: dict[str, Any] = {}
    for name, value in zip(words[::2], words[1::2], strict=True):
        content[name.strip().lower().replace("-", "_")] = value
    content = {name: _setting(name, value) for name, value in content.items()}
    with ControlClient.running() as client:
        client.request("set", content, within_seconds=_SLOW_SECONDS)
    return 0


def _setting(name: str, text: str) -> Any:
    """A value as the protocol has it, checked as far as it can be here.

    Raises:
        InputError: it is no such setting, or not one of its values.
    """
    from sidekeys_bridge import settings  # noqa: PLC0415 - the other commands need none
    from sidekeys_bridge.controls import CONTROLS  # noqa: PLC0415

    for control in CONTROLS:
        if control.name == name:
            return control.checked(text)
    read: dict[str, Callable[[str], Any]] = {
        "mode": lambda text: settings.OPTIONS["mode"].checked(text, Path.cwd(), name),
        "transport": lambda text: settings.OPTIONS["transport"].checked(text, Path.cwd(), name),
        "delay": lambda text: str(settings.delay_of(text) or "auto"),
        "meter": lambda text: str(settings.meter_of(text)),
        "bpm": settings.bpm_of,
        "input": settings.input_of,
        "channels": lambda text: text if settings.channels_of(text) else "all",
    }
    if name not in read:
        known = ", ".join((*(control.name for control in CONTROLS), *read))
        raise InputError(f"there is no setting {name!r}; there are {known}.")
    return read[name](text)


def _tap(words: Sequence[str]) -> int:
    Parser("tap", "A beat of the manual transport, now; four taps make a tempo.").parse_args(words)
    with ControlClient.running() as client:
        bpm = client.request("tap")["bpm"]
    _write("tap on" if bpm is None else f"{bpm:.1f} bpm")
    return 0


def _nudge(words: Sequence[str]) -> int:
    if list(words) in (["-h"], ["--help"]):
        _write(_NUDGE_HELP)
        return 0
    if len(words) != 1:  # argparse would take -20ms for an option
        raise InputError("nudge takes beats or milliseconds: nudge 0.25, nudge -20ms.")
    unit = "milliseconds" if words[0].endswith("ms") else "beats"
    try:
        content = {unit: float(words[0].removesuffix("ms"))}
    except ValueError as error:
        raise InputError(
            f"{words[0]!r} is no way to nudge; give beats or milliseconds: 0.25, -20ms."
        ) from error
    with ControlClient.running() as client:
        client.request("nudge", content)
    return 0


def _set_help() -> str:
    from sidekeys_bridge.controls import CONTROLS  # noqa: PLC0415
    from sidekeys_bridge.settings import MODES, TRANSPORTS  # noqa: PLC0415

    rows = [(control.name, f"{control.doc}: {control.range}") for control in CONTROLS]
    rows += [
        ("mode", f"how it plays: {' or '.join(MODES)}"),
        ("delay", "how far behind the echo is: auto or whole beats"),
        ("input", "what to listen to: NAME, INDEX, file:PATH, reastream:ID or loopback:NAME"),
        ("channels", "of the input: such as 3, a pair 3-4, or all"),
        ("transport", f"who tells the beats: {', '.join(TRANSPORTS)}"),
        ("bpm", "tempo of the manual transport"),
        ("meter", "where nobody tells another one, such as 3/4"),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(
        (
            "usage: sidekeys set NAME VALUE [NAME VALUE ...]",
            "",
            "Change what the running bridge does; controls hold from the next window on.",
            "",
            *(f"  {name:{width}}  {doc}" for name, doc in rows),
        )
    )


def _plain(command: str, description: str, done: str) -> Callable[[Sequence[str]], int]:
    """A command without arguments that asks for just one thing."""

    def asked(words: Sequence[str]) -> int:
        Parser(command, description).parse_args(words)
        with ControlClient.running() as client:
            client.request(command)
        _write(done)
        return 0

    return asked


def _record(words: Sequence[str]) -> int:
    parser = Parser("record", "Write all that was played in this session, on the DAW's bars.")
    parser.add_argument("file", metavar="FILE.mid", type=Path)
    options = parser.parse_args(words)
    return _written("record", {"file": str(Path.cwd() / options.file)})


def _keep(words: Sequence[str]) -> int:
    parser = Parser("keep", "Write what was played in the last N bars, from a bar line on.")
    parser.add_argument("bars", metavar="N", type=int)
    parser.add_argument("file", metavar="FILE.mid", type=Path)
    options = parser.parse_args(words)
    return _written("keep", {"bars": options.bars, "file": str(Path.cwd() / options.file)})


def _written(command: str, content: Mapping[str, Any]) -> int:
    with ControlClient.running() as client:
        reply = client.request(command, content, within_seconds=_SLOW_SECONDS)
    _write(f"{reply['file']}: {reply['notes']} notes, {reply['bars']} bars")
    return 0


def _stop(words: Sequence[str]) -> int:
    Parser("stop", "End the bridge, with all notes released.").parse_args(words)
    with ControlClient.running() as client:
        pid = client.connection.pid
        client.request("shut-down")
        deadline = time.monotonic() + _END_SECONDS
        while is_running():
            if time.monotonic() > deadline:
                raise ControlError(
                    "late",
                    f"the bridge (process {pid}) said that it ends but has not after "
                    f"{_END_SECONDS:g} s; end that process by hand.",
                )
            time.sleep(_LOOK_SECONDS)
    _write("the bridge has ended.")
    return 0


_COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "status": _status,
    "set": _set,
    "panic": _plain("panic", "Release every note at once.", "all notes are released."),
    "play": _plain("play", "Start the manual transport, now.", "playing."),
    "pause": _plain("pause", "Stop the manual transport.", "stopped."),
    "tap": _tap,
    "nudge": _nudge,
    "downbeat": _plain("downbeat", "Here is the first beat of a bar.", "a bar begins here."),
    "record": _record,
    "keep": _keep,
    "watch": _watch,
    "stop": _stop,
    "inputs": _inputs,
    "ports": _ports,
}


def _with_json(command: str, description: str) -> Parser:
    parser = Parser(command, description)
    parser.add_argument("--json", action="store_true", help="as JSON, for a program")
    return parser


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
