"""The live status on a terminal: a few calm lines that stay below all messages.

The only room that knows rich. All of it runs on the outlet's thread.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO
from urllib.parse import urlsplit

from sidekeys_bridge.outlet import Outlet

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

PAUSE_SECONDS = 0.25
"""Between two drawings: what moves faster is not calm."""

_QUIETEST_DB, _LOUDEST_DB = -60.0, 0.0
_HOT_DB = -3.0
_METER_CELLS = 12
_SILENT_SECONDS = 3.0
_SOURCES = {
    "clock": "MIDI clock",
    "link": "Ableton Link",
    "script": "the DAW's script",
    "manual": "by hand",
    "audio": "heard in the sound",
}
_ENGINE_STATES = {
    "starting": "starts",
    "loading": "loads its checkpoint",
    "warming": "warms up",
    "ready": "ready",
    "down": "is down; another one starts",
}
_FAINT, _GOOD, _WARNING, _STRONG = "dim", "green", "yellow", "bold"
_GAP = "   "

# A whole picture appears at once where the terminal knows how (synchronized output), and the
# cursor is away only while it is drawn, so that it is there however this process ends.
_BEGIN, _END = "\x1b[?2026h\x1b[?25l", "\x1b[?25h\x1b[?2026l"
_ERASE_RIGHT, _ERASE_BELOW = "\x1b[K", "\x1b[J"


def can_show(stream: TextIO) -> bool:
    """Whether lines can be drawn again where they are: not in a pipe, nor on a plain terminal."""
    if not stream.isatty() or os.environ.get("TERM", "") in ("dumb", "unknown"):
        return False
    if os.name == "nt":
        from rich.console import detect_legacy_windows  # noqa: PLC0415 - only where it is shown

        return not detect_legacy_windows()
    return True


class Terminal:
    """Messages, and below them the status as it is now.

    Args:
        stream: the terminal.

    Attributes:
        outlet: where messages go.
        errors: in the place of standard error, so that nothing is written over the status.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._status: Mapping[str, Any] | None = None
        self._panel: str | None = None
        self._ending = False
        self._console: Console | None = None
        self._shown: list[str] = []
        self._widths: list[int] = []  # of the shown lines, in cells
        self.outlet = Outlet(stream, self._composed, pause_seconds=PAUSE_SECONDS)
        self.errors = _Lines(self.outlet)

    def show(self, status: Mapping[str, Any]) -> None:
        """Draw this from now on; the control protocol's `status`."""
        self._status = status
        self.outlet.refresh()

    def show_panel(self, url: str | None) -> None:
        """Where the panel is served, with its token."""
        self._panel = url
        self.outlet.refresh()

    def close(self) -> None:
        """Take the status away; messages stay. Safe twice."""
        self._ending = True
        self.outlet.refresh()
        self.outlet.close()

    def _composed(self, messages: Sequence[str]) -> str:
        """What to write now: the old lines away, messages, the new lines."""
        if not self._is_in_front():
            self._shown, self._widths = [], []  # these lines are the shell's now
            return "".join(messages)
        columns, rows = self._size()
        picture = [] if self._ending or self._status is None else self._picture(columns)
        picture = picture[: rows - 1]
        lines = [line for line, _ in picture]
        if lines == self._shown and not messages:
            return ""
        # A terminal that became narrower has broken the old lines.
        old_rows = sum(max(1, -(-width // columns)) for width in self._widths)
        is_over = not messages and old_rows == len(lines)
        self._shown, self._widths = lines, [width for _, width in picture]
        up = f"\r\x1b[{old_rows}A" if old_rows else ""
        if is_over:  # each line over its old one: nothing is empty in between
            drawn = "".join(f"{line}{_ERASE_RIGHT}\n" for line in lines)
            return f"{_BEGIN}{up}{drawn}{_END}"
        text = "".join((*messages, *(f"{line}\n" for line in lines)))
        if not old_rows and not lines:
            return text
        return f"{_BEGIN}{up}{_ERASE_BELOW}{text}{_END}"

    def _picture(self, columns: int) -> list[tuple[str, int]]:
        """Each line as it is written, and its width in cells."""
        if self._console is None:
            from rich.console import Console  # noqa: PLC0415 - only where it is shown

            self._console = Console(file=self._stream, force_terminal=True)
        assert self._status is not None
        console = self._console
        is_plain = not console.encoding.startswith("utf")
        # The last column stays free: some terminals break a line that fills it.
        width = max(1, columns - 1)
        picture = []
        for line in status_lines(self._status, width, panel=self._panel, is_plain=is_plain):
            line.truncate(width, overflow="crop" if is_plain else "ellipsis")
            with console.capture() as captured:
                console.print(line, no_wrap=True, overflow="ignore", crop=False, end="")
            picture.append((captured.get(), line.cell_len))
        return picture

    def _is_in_front(self) -> bool:
        """Whether the terminal is ours, and not a shell's that put us in the background."""
        if os.name != "posix":
            return True
        try:
            return os.tcgetpgrp(self._stream.fileno()) == os.getpgrp()
        except OSError:  # a terminal that is not the one that controls us
            return True

    def _size(self) -> tuple[int, int]:
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):
            size = shutil.get_terminal_size()
        return size.columns or 80, size.lines or 24


class _Lines(io.TextIOBase):
    """What Python itself would write on standard error, line by line."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet, self._begun = outlet, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._outlet.put(f"{line}\n")
        return len(text)


def status_lines(
    status: Mapping[str, Any], width: int, *, panel: str | None = None, is_plain: bool = False
) -> list[Text]:
    """The status for a musician, in four lines; in each the first words matter most.

    Args:
        status: the control protocol's.
        width: of the terminal, in cells.
        panel: address of the panel, with its token.
        is_plain: whether the terminal knows ASCII alone.
    """
    return [
        _song_line(status["transport"], width, panel),
        _piano_line(status),
        _sound_line(status["input"], is_plain),
        _engine_line(status["engine"], status["counters"]),
    ]


def _song_line(transport: Mapping[str, Any], width: int, panel: str | None) -> Text:
    line = _line("song")
    source = _SOURCES.get(transport["source"])
    if transport["playing"]:
        line.append(f"bar {transport['bar']}{_beat(transport)}", _STRONG)
        line.append(f"{_GAP}{transport['bpm']:.1f} bpm  {transport['meter']}")
    else:
        line.append("stopped")
    line.append(f"{_GAP}{source or 'nobody tells the beats yet'}", _FAINT)
    return _with_address(line, width, panel)


def _beat(transport: Mapping[str, Any]) -> str:
    """The beat of the bar, where it is known."""
    bar_start = transport.get("bar_start")
    if bar_start is None:
        return ""
    unit = int(transport["meter"].partition("/")[2])
    return f" | {int((transport['beat'] - bar_start) * unit / 4) + 1}"


def _with_address(line: Text, width: int, panel: str | None) -> Text:
    """The panel's address at the right, where there is room; what it links to has the token."""
    if panel is None:
        return line
    address = urlsplit(panel).netloc
    for shown in (f"http://{address}", address):
        room = width - line.cell_len - len(shown)
        if room >= len(_GAP):
            return line.append(" " * room).append(shown, f"{_FAINT} link {panel}")
    return line


def _piano_line(status: Mapping[str, Any]) -> Text:
    line = _line("piano").append(_clean(status["composer"] or "nobody yet"), _STRONG)
    delay = status["delay_beats"]
    if status["mode"] == "loop":
        line.append(f"{_GAP}loop, in sync")
    elif delay is None:
        line.append(f"{_GAP}echo")
    else:
        line.append(f"{_GAP}echo, {_counted(delay, 'beat')} behind")
        if status["delay_reason"]:
            line.append(f"{_GAP}{_clean(status['delay_reason'])}", _FAINT)
    if status["controls"].get("mute"):
        line.append(f"{_GAP}muted", _WARNING)
    return line


def _sound_line(heard: Mapping[str, Any], is_plain: bool) -> Text:
    line = _line("sound")
    name = _clean(heard["name"] or heard["choice"])
    if heard["ended"]:
        return line.append(f"{name} is over")
    if not heard["connected"]:
        return line.append("no sound comes", _WARNING).append(f"{_GAP}{name}", _FAINT)
    share = (heard["level_db"] - _QUIETEST_DB) / (_LOUDEST_DB - _QUIETEST_DB)
    full = round(_METER_CELLS * min(max(share, 0.0), 1.0))
    lit, unlit = ("#", "-") if is_plain else ("\N{BLACK RECTANGLE}", "\N{WHITE RECTANGLE}")
    is_hot = heard["clipped"] or heard["peak_db"] > _HOT_DB
    line.append(lit * full, _WARNING if is_hot else _GOOD)
    line.append(unlit * (_METER_CELLS - full), _FAINT)
    if heard["silent_seconds"] >= _SILENT_SECONDS:
        line.append(f"  no signal for {heard['silent_seconds']:.0f} s", _WARNING)
    else:
        line.append(f" {max(heard['level_db'], _QUIETEST_DB):4.0f} dB")
    if heard["clipped"]:
        line.append("  too loud", _WARNING)
    return line.append(f"{_GAP}{name}", _FAINT)


def _engine_line(engine: Mapping[str, Any], counters: Mapping[str, Any]) -> Text:
    state = engine["state"]
    line = _line("engine")
    line.append(_ENGINE_STATES.get(state, state), "" if state == "ready" else _WARNING)
    if state == "ready" and engine["device"]:
        line.append(f" on {engine['device']}")
    line.append(f"{_GAP}{_counted(counters['windows_done'], 'window')}")
    if counters["windows_missed"]:
        line.append(f", {counters['windows_missed']} missed", _WARNING)
    line.append(f"{_GAP}{_counted(counters['notes_sent'], 'note')}")
    if counters["late_notes_dropped"]:
        line.append(f", {counters['late_notes_dropped']} too late", _WARNING)
    if counters["input_overflows"]:
        line.append(f"{_GAP}sound was lost {counters['input_overflows']} times", _WARNING)
    return line


def _line(subject: str) -> Text:
    from rich.text import Text  # noqa: PLC0415 - only where it is shown

    return Text().append(f"  {subject:8}", _FAINT)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _clean(text: str) -> str:
    """A name as it may be written on a terminal, which obeys what is no letter."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
