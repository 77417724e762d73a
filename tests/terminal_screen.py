"""What a terminal shows, from what was written to it: as much of one as a live status needs.

And a program on a terminal of its own, whose screen this is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

_SEQUENCE = re.compile(
    r"\x1b\[(?P<private>\??)(?P<numbers>[\d;]*)(?P<code>[A-Za-z])|\x1b\]8;[^;]*;(?P<link>[^\x1b]*)\x1b\\"
)


class Screen:
    """Lines of text and a cursor; what scrolled away above is kept.

    Attributes:
        lines: all that was ever shown and not drawn over.
        cursor_shown: whether the cursor is.
        links: addresses that text was linked to.
    """

    def __init__(self, columns: int = 80) -> None:
        self.columns = columns
        self.lines: list[str] = [""]
        self.cursor_shown = True
        self.links: list[str] = []
        self._row = self._column = 0
        self._rest = ""

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines).rstrip("\n")

    def write(self, text: str) -> None:
        text, at = self._rest + text, 0
        self._rest = ""
        while at < len(text):
            if text[at] == "\x1b":
                match = _SEQUENCE.match(text, at)
                if match is None:
                    assert len(text) - at < 200, (
                        f"no sequence that is known: {text[at : at + 20]!r}"
                    )
                    self._rest = text[at:]
                    return
                self._obey(match)
                at = match.end()
            else:
                self._put(text[at])
                at += 1

    def break_lines(self, columns: int) -> None:
        """Become narrower, with the cursor at the end of all that is there."""
        assert self._row == len(self.lines) - 1
        broken = []
        for line in self.lines:
            broken += [line[at : at + columns] for at in range(0, len(line), columns)] or [""]
        self.lines, self._row, self.columns = broken, len(broken) - 1, columns

    def _put(self, letter: str) -> None:
        if letter == "\r":
            self._column = 0
        elif letter == "\n":
            self._go_down()
        else:
            assert letter.isprintable(), repr(letter)
            if self._column == self.columns:
                self._column = 0
                self._go_down()
            line = self.lines[self._row].ljust(self._column)
            self.lines[self._row] = line[: self._column] + letter + line[self._column + 1 :]
            self._column += 1

    def _go_down(self) -> None:
        self._row += 1
        if self._row == len(self.lines):
            self.lines.append("")

    def _obey(self, match: re.Match[str]) -> None:
        if match["code"] is None:
            if match["link"]:
                self.links.append(match["link"])
            return
        code, number = match["code"], match["numbers"]
        if match["private"]:
            assert code in "hl"
            assert number in ("25", "2026")
            if number == "25":
                self.cursor_shown = code == "h"
        elif code == "A":
            assert self._row >= int(number or 1), "up and off the screen"
            self._row -= int(number or 1)
        elif code == "K":
            self.lines[self._row] = self.lines[self._row][: self._column]
        elif code == "J":
            self.lines[self._row] = self.lines[self._row][: self._column]
            del self.lines[self._row + 1 :]
        else:
            assert code == "m", match[0]


class Seat:
    """A program on a terminal of its own."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int, columns: int) -> None:
        self.process = process
        self.screen = Screen(columns)
        self.written = ""
        self._terminal = terminal

    def type(self, text: str) -> None:
        """Press these keys; "\\x03" is Ctrl-C, "\\x04" the end of the input."""
        os.write(self._terminal, text.encode())

    def read(self, seconds: float = 0.1) -> bool:
        """Take in what comes within that time; False once the program is gone."""
        ready, _, _ = select.select([self._terminal], [], [], seconds)
        if not ready:
            return True
        try:
            data = os.read(self._terminal, 1 << 16)
        except OSError:  # how Linux tells that nobody has the terminal open any more
            return False
        text = data.decode("utf-8", "replace")
        self.written += text
        self.screen.write(text)
        return bool(data)

    def wait_for(self, is_so: Callable[[str], bool] | str, seconds: float = 60.0) -> None:
        """Wait until the screen is so, or has these words."""
        deadline = time.monotonic() + seconds
        while not (
            is_so in self.screen.text if isinstance(is_so, str) else is_so(self.screen.text)
        ):
            assert time.monotonic() < deadline, self.screen.text
            if not self.read():
                assert (
                    is_so in self.screen.text if isinstance(is_so, str) else is_so(self.screen.text)
                ), f"it ended: {self.screen.text}"
                return

    def end(self, seconds: float = 60.0) -> int:
        """Wait until the program ends; its exit status."""
        deadline = time.monotonic() + seconds
        while self.read():
            assert time.monotonic() < deadline, self.screen.text
        return self.process.wait(max(1.0, deadline - time.monotonic()))

    def is_still(self, seconds: float = 0.5) -> bool:
        """Whether nothing comes for so long."""
        before = len(self.written)
        self.read(seconds)
        return len(self.written) == before

    def resize(self, columns: int, rows: int = 24) -> None:
        """Make the window narrower, which breaks the lines that are there."""
        self.screen.break_lines(columns)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))


@contextlib.contextmanager
def on_a_terminal(
    command: Sequence[str],
    *,
    columns: int = 80,
    rows: int = 24,
    environment: Mapping[str, str] | None = None,
    stdout: int | None = None,
) -> Iterator[Seat]:
    """Run a program on a terminal of its own, which it can be typed at.

    Args:
        command: the program and its arguments.
        columns: how wide the terminal is.
        rows: how high it is.
        environment: added to ours.
        stdout: where standard output goes instead.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
    process = subprocess.Popen(
        command,
        stdin=theirs, stdout=theirs if stdout is None else stdout, stderr=theirs,
        env={**os.environ, "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", **(environment or {})},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - for Ctrl-C
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Seat(process, ours, columns)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)
