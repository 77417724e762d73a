"""What kind of machine this is, and how something is installed on it."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass

_COMMANDS = {
    "apt": "sudo apt-get install",
    "dnf": "sudo dnf install",
    "pacman": "sudo pacman -S",
    "zypper": "sudo zypper install",
    "brew": "brew install",
    "winget": "winget install",
}
_PROGRAMS = {
    "linux": {"apt-get": "apt", "dnf": "dnf", "pacman": "pacman", "zypper": "zypper"},
    "darwin": {"brew": "brew"},
    "win32": {"winget": "winget"},
}


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of machine.

    Attributes:
        platform: as `sys.platform`: "linux", "darwin" or "win32".
        installer: "apt", "dnf", "pacman", "zypper", "brew", "winget", or "" for one that we do not
            know.
        python: the program that runs Sidekeys, for lines that install packages.
    """

    platform: str
    installer: str = ""
    python: str = "python"

    @property
    def is_linux(self) -> bool:
        """Whether it runs Linux."""
        return self.platform.startswith("linux")

    def install(self, what: str, **packages: str) -> str:
        """The line that installs something.

        Args:
            what: it is, in words, for machines whose installer we do not know.
            packages: what it is called, by installer.
        """
        if self.installer in packages:
            return f"{_COMMANDS[self.installer]} {packages[self.installer]}"
        if self.platform == "darwin" and "brew" in packages:
            return f"install Homebrew (brew.sh), then type: brew install {packages['brew']}"
        return f"install {what} with your system's package tool"

    def pip(self, packages: str) -> str:
        """The line that installs Python packages where Sidekeys finds them."""
        python = f'"{self.python}"' if " " in self.python else self.python
        return f"{python} -m pip install {packages}"


def this_machine() -> Machine:
    """The one that this runs on."""
    platform = "linux" if sys.platform.startswith("linux") else sys.platform
    programs = _PROGRAMS.get(platform, {})
    installer = next((name for program, name in programs.items() if shutil.which(program)), "")
    return Machine(platform, installer, sys.executable)
