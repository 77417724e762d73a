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
    write([resolve(python) for python in pythons])
    # Older versions have needs of their own: what is really installed now is what counts.
    write([resolve(python, "--constraint", str(CONSTRAINTS)) for python in pythons])


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
    for package, extras in (("sidekeys", ("", "dev", "essentia")), ("torch", ("",))):
        for need in map(Requirement, requires(package) or []):
            marker, need.marker = need.marker, None
            here = marker is None or any(
                marker.evaluate({"python_version": minor, "extra": extra}) for extra in extras
            )
            if here and not re.match("torch|nvidia|cuda|triton", need.name):
                wanted.append(str(need))
    return wanted


def write(found: list[tuple[str, dict[str, str]]]) -> None:
    """Write a line a package and version, with a marker where only some Pythons get it."""
    preferred = {**found[0][1], "torch": TORCH}
    lines = []
    for name in sorted({"torch"}.union(*(versions for _, versions in found))):
        pythons: dict[str, list[str]] = {}  # by version
        for minor, versions in found:
            newest, wanted = versions.get(name), preferred.get(name)
            if newest is None or (wanted is not None and Version(wanted) < Version(newest)):
                newest = wanted
            if newest is not None:
                pythons.setdefault(newest, []).append(minor)
        for version, minors in pythons.items():
            lines.append(f"{name}=={version}{marker(minors, [minor for minor, _ in found])}\n")
    CONSTRAINTS.write_text(HEADER + "".join(lines), encoding="utf-8")


def marker(minors: list[str], every: list[str]) -> str:
    """The end of a line that holds for some of all Pythons."""
    some, ordered = (sorted(versions, key=Version) for versions in (minors, every))
    if some == ordered:
        return ""
    if some == ordered[-len(some) :]:
        return f'; python_version >= "{some[0]}"'
    if some == ordered[: len(some)]:
        return f'; python_version < "{ordered[len(some)]}"'
    return "; " + " or ".join(f'python_version == "{minor}"' for minor in some)


if __name__ == "__main__":
    main()
