"""Write constraints.txt: one version of every package, for every Python we support.

Run it inside the environment, with an interpreter of each version that has a recent pip:

    .venv/bin/python scripts/pin.py python3.11 python3.10 python3.12 python3.13

The first one sets the versions; another Python gets an older one only where it must, on a line
with a marker, and at the end each is asked whether all of it fits. PyTorch is pinned by hand
below, because asking for it means downloading it.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from importlib.metadata import requires
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.version import Version

TORCH = "2.13.0"
CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"
HEADER = """\
# One version of every package, so that an installation tomorrow equals one today.
# Written by scripts/pin.py. CUDA libraries are missing here because PyTorch pins its own.
"""


def main() -> None:
    """Resolve for each Python, merge, write, and check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pythons", nargs="+", help="the first one sets the versions")
    pythons = parser.parse_args().pythons
    found = [resolve(python) for python in pythons]
    CONSTRAINTS.write_text(HEADER + "".join(constraint_lines(found)), encoding="utf-8")
    for python in pythons:
        resolve(python, "--constraint", str(CONSTRAINTS))


def resolve(python: str, *options: str) -> tuple[str, dict[str, str]]:
    """Ask the pip of one Python what it would install: its "3.x", and version by package."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    minor = subprocess.check_output([python, "-c", program], text=True).strip()
    command = [python, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    command += ["--prefer-binary", "--report", "-", *options, *requirements(minor)]
    packages = json.loads(subprocess.check_output(command, text=True))["install"]
    named = (package["metadata"] for package in packages)
    return minor, {re.sub(r"[-_.]+", "-", m["name"]).lower(): m["version"] for m in named}


def requirements(minor: str) -> list[str]:
    """All that Sidekeys and its extras need on one Python, with PyTorch's needs in its place."""
    wanted = []
    for line in [*(requires("sidekeys") or []), *(requires("torch") or [])]:
        need = Requirement(line)
        environment = {**default_environment(), "python_version": minor}
        extras = ("", "dev", "essentia") if line in (requires("sidekeys") or []) else ("",)
        here = need.marker is None or any(
            need.marker.evaluate({**environment, "extra": extra}) for extra in extras
        )
        if here and not re.match("torch|nvidia|cuda|triton", need.name):
            need.marker = None
            wanted.append(str(need))
    return wanted


def constraint_lines(found: list[tuple[str, dict[str, str]]]) -> list[str]:
    """A line a package and version, with a marker where only some Pythons get it."""
    _, base = found[0]
    oldest = {name: [version] for name, version in [*base.items(), ("torch", TORCH)]}
    lines = []
    for name in sorted({"torch", *(name for _, versions in found for name in versions)}):
        by_version: dict[str, list[str]] = {}
        for minor, versions in found:
            default = oldest.get(name, [None])[0]
            version = versions.get(name, default)
            if version is None:
                continue
            if default is not None and Version(version) > Version(default):
                version = default
            by_version.setdefault(version, []).append(minor)
        for version, minors in by_version.items():
            marker = ""
            if len(minors) < len(found):
                marker = " or ".join(f'python_version == "{minor}"' for minor in sorted(minors))
            lines.append(f"{name}=={version}{marker and '; ' + marker}\n")
    return lines


if __name__ == "__main__":
    main()
