"""Sound: what can be listened to, what the computer plays, and the servers that carry it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from dataclasses import dataclass

from sidekeys_bridge.doctor.asking import NoAnswerError, answer_of, json_of
from sidekeys_bridge.doctor.finding import Finding, missing, warning, well
from sidekeys_bridge.doctor.machine import Machine
from sidekeys_bridge.loopback import VIRTUAL_CABLES

_INPUTS, _LOOPBACK, _SERVER = "sound inputs", "loopback", "sound server"
_MOST_NAMED = 4
_DEVICES_SECONDS = 7.0
_JACK_PROGRAM = (
    "import contextlib, json, sys; from sidekeys_bridge.jack_watch import jack_runs\n"
    "with contextlib.suppress(ImportError): import rtmidi\n"
    "print(json.dumps(jack_runs()))"
)
_OTHERWISE = "or listen to reastream:NAME, loopback:NAME or file:PATH"


@dataclass(frozen=True, slots=True)
class SoundFacts:
    """What there is to hear.

    Attributes:
        inputs: names of the inputs; None if they cannot be listed.
        problem: why not, or "".
        jack: whether a JACK server runs.
        pulse: what the PulseAudio or PipeWire server calls itself; "" without one.
        absent: of parec and pactl, those that are not installed.
        outputs: what that server plays into.
        soundcard: whether Python's soundcard is there, for Windows.
        has_pipewire: whether PipeWire is installed.
    """

    inputs: tuple[str, ...] | None = ()
    problem: str = ""
    jack: bool = False
    pulse: str = ""
    absent: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    soundcard: bool = True
    has_pipewire: bool = False


def probe() -> SoundFacts:
    """Ask drivers and servers, each in a process of its own."""
    inputs: tuple[str, ...] | None = None
    problem = ""
    try:
        answer = json_of(["-m", "sidekeys_bridge.devices", "list"], within_seconds=_DEVICES_SECONDS)
        problem = answer.get("error", "")
        inputs = None if problem else tuple(found["name"] for found in answer["devices"])
    except NoAnswerError as why:
        problem = str(why)
    linux = sys.platform.startswith("linux")
    return SoundFacts(
        inputs=inputs,
        problem=problem,
        jack=linux and _jack_runs(),
        pulse=_pulse_name() if linux else "",
        absent=tuple(name for name in ("parec", "pactl") if shutil.which(name) is None),
        outputs=_outputs() if linux else (),
        soundcard=importlib.util.find_spec("soundcard") is not None,
        has_pipewire=shutil.which("pipewire") is not None,
    )


def _jack_runs() -> bool:
    try:
        return bool(json_of(["-c", _JACK_PROGRAM]))
    except NoAnswerError:  # a server that hangs is none
        return False


def _pulse_name() -> str:
    try:
        told = answer_of(["pactl", "info"], environment={"LC_ALL": "C"})
    except NoAnswerError:
        return ""
    rows = dict(line.strip().partition(": ")[::2] for line in told.splitlines())
    return rows.get("Server Name", "")


def _outputs() -> tuple[str, ...]:
    try:
        told = answer_of(["pactl", "--format=json", "list", "sinks"])
        return tuple(str(sink["description"]) for sink in json.loads(told))
    except (NoAnswerError, ValueError, KeyError, TypeError):
        return ()


def check(facts: SoundFacts, machine: Machine) -> list[Finding]:
    """What that means."""
    findings = [_inputs(facts, machine), _loopback(facts, machine)]
    return [*findings, _server(facts, machine)] if machine.is_linux else findings


def _inputs(facts: SoundFacts, machine: Machine) -> Finding:
    if facts.inputs is None:
        if "PortAudio" in facts.problem and machine.is_linux:
            mend = machine.install(
                "PortAudio", apt="libportaudio2", dnf="portaudio", pacman="portaudio",
                zypper="libportaudio2",
            )  # fmt: skip
            return missing(_INPUTS, "PortAudio is missing, which opens them", mend)
        mend = machine.pip("--force-reinstall sounddevice")
        return missing(_INPUTS, f"they cannot be listed: {facts.problem}", mend)
    if facts.inputs:
        return well(_INPUTS, _named(facts.inputs))
    where = {
        "darwin": "System Settings > Privacy & Security > Microphone: allow your terminal",
        "win32": "Settings > Privacy & security > Microphone: let desktop apps use it",
    }.get(machine.platform, "plug in an interface, or start JACK or PipeWire")
    return warning(_INPUTS, "there are none", f"{where}; {_OTHERWISE}")


def _loopback(facts: SoundFacts, machine: Machine) -> Finding:
    if machine.is_linux:
        return _monitors(facts, machine)
    cables = [
        name
        for name in facts.inputs or ()
        if any(cable.lower() in name.lower() for cable in VIRTUAL_CABLES)
    ]
    if cables:
        return well(_LOOPBACK, f"{_named(cables)} carries what your DAW plays")
    if machine.platform == "darwin":
        mend = machine.install("BlackHole", brew="blackhole-2ch")
        return warning(_LOOPBACK, "no virtual cable, so what your DAW plays cannot be heard", mend)
    if facts.soundcard:
        return well(_LOOPBACK, "any output can be listened to")
    return warning(_LOOPBACK, "what outputs play cannot be heard", machine.pip("soundcard"))


def _monitors(facts: SoundFacts, machine: Machine) -> Finding:
    """What outputs play, on Linux."""
    if facts.absent:
        mend = machine.install(
            "PulseAudio's programs", apt="pulseaudio-utils", dnf="pulseaudio-utils",
            pacman="libpulse", zypper="pulseaudio-utils",
        )  # fmt: skip
        return warning(_LOOPBACK, f"{' and '.join(facts.absent)} missing", mend)
    if not facts.pulse:
        mend = _start_server(facts, machine)
        return warning(_LOOPBACK, "no PulseAudio or PipeWire answers", mend)
    if not facts.outputs:
        mend = "choose an output in your system's sound settings"
        return warning(_LOOPBACK, "the sound server has no output to listen to", mend)
    return well(_LOOPBACK, _named(facts.outputs))


def _server(facts: SoundFacts, machine: Machine) -> Finding:
    servers = [name for name, runs in (("JACK", facts.jack), (facts.pulse, facts.pulse)) if runs]
    if servers:
        return well(_SERVER, " and ".join(servers))
    return warning(_SERVER, "none answers", _start_server(facts, machine))


def _start_server(facts: SoundFacts, machine: Machine) -> str:
    if facts.has_pipewire:
        return "systemctl --user enable --now pipewire pipewire-pulse wireplumber"
    return machine.install(
        "PipeWire", apt="pipewire-audio", dnf="pipewire-pulseaudio", pacman="pipewire-pulse",
        zypper="pipewire-pulseaudio",
    )  # fmt: skip


def _named(names: tuple[str, ...] | list[str]) -> str:
    """Names, the first few of them."""
    shown = [" ".join(name.split()) for name in names[:_MOST_NAMED]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
