"""Arguments of the bridge's commands: argparse, with mistakes told as all others of ours."""

from __future__ import annotations

import argparse
from typing import NoReturn

from sidekeys_engine.errors import InputError


class Parser(argparse.ArgumentParser):
    """A parser of one command.

    Args:
        command: its name, such as "status".
        description: what it does.
    """

    def __init__(self, command: str, description: str) -> None:
        super().__init__(prog=f"sidekeys {command}", description=description, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments.

        Raises:
            InputError: always.
        """
        raise InputError(f"{message}; see `{self.prog} --help`.")
