"""Python, and the packages that Sidekeys is built on."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass

from sidekeys_bridge.doctor.finding import Finding, missing, warning, well
from sidekeys_bridge.doctor.machine import Machine

_OLDEST, _NEWEST = (3, 10), (3, 13)
_PACKAGES = {
    "torch": "torch", "numpy": "numpy", "scipy": "scipy", "librosa": "librosa",
    "soundfile": "soundfile", "soxr": "soxr", "av": "av", "mido": "mido",
    "pretty_midi": "pretty_midi", "safetensors": "safetensors",
    "huggingface_hub": "huggingface_hub", "matplotlib": "matplotlib", "rich": "rich",
    "zmq": "pyzmq", "rtmidi": "python-rtmidi", "sounddevice": "sounddevice",
    "starlette": "starlette", "uvicorn": "uvicorn", "websockets": "websockets",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PythonFacts:
    """What Python is.

    Attributes:
        version: of Python, such as (3, 11, 2).
        absent: packages that cannot be found, as pip calls them.
    """

    version: tuple[int, int, int]
    absent: tuple[str, ...] = ()


def probe(platform: str = sys.platform) -> PythonFacts:
    """Look for every package, without loading any."""
    version = sys.version_info
    absent = [
        package
        for module, package in needed_packages(platform, version[:2]).items()
        if importlib.util.find_spec(module) is None
    ]
    return PythonFacts(version[:3], tuple(absent))


def needed_packages(platform: str, version: tuple[int, int]) -> dict[str, str]:
    """Modules, with the packages that they come in."""
    packages = dict(_PACKAGES)
    if platform == "win32":
        packages["soundcard"] = "soundcard"
    if version < (3, 11):
        packages["tomli"] = "tomli"
    return packages


def check(facts: PythonFacts, machine: Machine) -> list[Finding]:
    """What that means."""
    version, told = facts.version[:2], ".".join(map(str, facts.version))
    if version < _OLDEST:
        install = machine.install(
            "Python 3.11", apt="python3", dnf="python3.11", pacman="python", zypper="python311",
            brew="python@3.11", winget="Python.Python.3.11",
        )  # fmt: skip
        python = missing("Python", f"{told} is too old for Sidekeys", install)
    elif version > _NEWEST:
        python = warning(
            "Python", f"{told} is newer than what Sidekeys was tried with",
            "use Python 3.11 or 3.12 if a package cannot be installed",
        )  # fmt: skip
    else:
        python = well("Python", told)
    if facts.absent:
        names = " ".join(facts.absent)
        return [python, missing("packages", f"{names} cannot be found", machine.pip(names))]
    return [python, well("packages", "all are there")]
