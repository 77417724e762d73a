"""Draws the pictures of docs/quickstart, one for each DAW, and that of docs/how-it-works.md.

.venv/bin/python scripts/draw_setups.py
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

DOCS = Path(__file__).resolve().parents[1] / "docs"
WIDTH = 1000

_STYLE = """
svg{--card:#fbfaf7;--panel:#f1efe9;--box:#fff;--edge:#cfd3da;--ink:#1d2430;--faint:#59616e;
--sound:#a84a00;--beats:#23702a;--notes:#1b57b3}
@media (prefers-color-scheme:dark){svg{--card:#14181e;--panel:#1c2129;--box:#252b35;--edge:#434c5a;
--ink:#eceef2;--faint:#aab2bf;--sound:#f2a766;--beats:#83d28a;--notes:#86b6ff}}
text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
fill:var(--ink)}
.h{font-size:17px;font-weight:650}.t{font-weight:600}.f{fill:var(--faint)}.m{text-anchor:middle}.e{text-anchor:end}
.c{font:11.5px ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
.card{fill:var(--card)}.panel{fill:var(--panel)}.box{fill:var(--box);stroke:var(--edge)}
.l{fill:none;stroke-width:2.5;stroke-linecap:round}
.beats.l{stroke-dasharray:9 6}.notes.l{stroke-dasharray:.1 6.5;stroke-width:4}
.sound{stroke:var(--sound)}.beats{stroke:var(--beats)}.notes{stroke:var(--notes)}
.tip{stroke:none}.tip.sound{fill:var(--sound)}.tip.beats{fill:var(--beats)}
.tip.notes{fill:var(--notes)}
.k{stroke:var(--edge);fill:none}.dot{stroke-dasharray:3 4}
.in.sound{fill:var(--sound)}.in.notes{fill:var(--notes)}.in{stroke:var(--card)}
.w{fill-opacity:.22}
"""

# What text takes of a box, roughly; a line that is too long for its box is refused.
_LETTER, _TITLE_LETTER, _MONO_LETTER = 7.1, 8.0, 7.2


@dataclass(frozen=True)
class Box:
    """A track, a bus or a page of settings, by the DAW's own name."""

    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Setup:
    """How one DAW and Sidekeys are wired.

    Attributes:
        name: of the DAW.
        file: of the picture, without its ending.
        band: what Sidekeys hears.
        tap: how that leaves the DAW.
        sound: what carries it.
        hears: how Sidekeys is told to hear it.
        main: where all that you hear comes together.
        clock: where the DAW is told to send its beats.
        piano: the track that Sidekeys plays.
    """

    name: str
    file: str
    band: Box
    tap: Box
    sound: tuple[str, str]
    hears: tuple[str, ...]
    main: str
    clock: Box
    piano: Box


SETUPS = (
    Setup(
        name="Ableton Live",
        file="ableton-live",
        band=Box("Group “Band”", ("All tracks but the piano", "Send A turned up to 0 dB")),
        tap=Box(
            "Return track A, set to Pre",
            ("macOS: Audio To Ext. Out, 3/4", "Windows: ReaStream, To Sends Only"),
        ),
        sound=("BlackHole 2ch", "or ReaStream"),
        hears=('--input "BlackHole 2ch"', "--input reastream:sidekeys"),
        main="Main",
        clock=Box(
            "Settings, MIDI ports",
            ("Output Sidekeys Sync: Sync on", "MIDI Clock Type: Song"),
        ),
        piano=Box(
            "MIDI track “Piano”, armed",
            ("MIDI From: Sidekeys; Monitor: Auto", "Outside the group; Send A at zero"),
        ),
    ),
    Setup(
        name="REAPER",
        file="reaper",
        band=Box("Folder track “Band”", ("All tracks but the piano", "lie in this folder")),
        tap=Box(
            "FX of the folder track: ReaStream",
            ("Send audio/MIDI, IP 127.0.0.1", "Identifier: sidekeys"),
        ),
        sound=("ReaStream", "no driver needed"),
        hears=("--input reastream:sidekeys",),
        main="Master",
        clock=Box(
            "Preferences > Audio > MIDI Outputs",
            ("Sidekeys Sync: output enabled", "Send clock/SPP to this device"),
        ),
        piano=Box(
            "Track “Piano”, armed, monitoring on",
            ("Input: MIDI > Sidekeys > All channels", "Outside the folder"),
        ),
    ),
    Setup(
        name="Ardour",
        file="ardour",
        band=Box("Bus “Band”", ("Output of all tracks but", "the piano; on to Master")),
        tap=Box(
            "Window > Audio Connections",
            ("Band, left and right,", "to Sidekeys In, in_0 and in_1"),
        ),
        sound=("JACK", "or PipeWire"),
        hears=("--input ardour",),
        main="Master",
        clock=Box(
            "Preferences > Transport > Generate",
            ("Enable Mclk generator", "MIDI Clock out to Sidekeys Sync"),
        ),
        piano=Box(
            "MIDI track “Piano”, record-armed",
            ("Input: Sidekeys, with an instrument", "Output: Master, not Band"),
        ),
    ),
    Setup(
        name="Bitwig Studio",
        file="bitwig",
        band=Box("Group track “Band”", ("All tracks but the piano", "Send to the FX track up")),
        tap=Box(
            "FX track, Pre-fader (Cue) on",
            ("macOS: output to BlackHole 2ch", "Windows: ReaStream, volume down"),
        ),
        sound=("BlackHole 2ch", "or ReaStream"),
        hears=('--input "BlackHole 2ch"', "--input reastream:sidekeys"),
        main="Master",
        clock=Box(
            "Settings > Synchronization",
            ("MIDI Sync (OUT), Sidekeys Sync:", "clock, start/stop and SPP on"),
        ),
        piano=Box(
            "Instrument track “Piano”, armed",
            ("Input: MIDI Keyboard on Sidekeys", "Outside the group; its send down"),
        ),
    ),
    Setup(
        name="Logic Pro",
        file="logic",
        band=Box("Aux “Band”, on Bus 1", ("Output of all strips but", "the piano: Bus 1")),
        tap=Box(
            "Aux “To Sidekeys”, on Bus 2",
            ("From a send on the aux Band", "Output 3-4, which is BlackHole"),
        ),
        sound=("BlackHole 2ch", "in an aggregate"),
        hears=('--input "BlackHole 2ch"',),
        main="Stereo Out",
        clock=Box(
            "Project Settings > Synchronization",
            ("MIDI: Destination Sidekeys Sync", "Clock and PDC on"),
        ),
        piano=Box(
            "Software instrument track “Piano”",
            ("Selected and record-enabled", "Output: Stereo Out, not Bus 1"),
        ),
    ),
)


def pictures() -> dict[Path, str]:
    """All pictures by the file they belong in."""
    found = {DOCS / "quickstart" / f"{setup.file}.svg": setup_picture(setup) for setup in SETUPS}
    return {**found, DOCS / "how-it-works.svg": windows_picture()}


def setup_picture(setup: Setup) -> str:
    """One DAW and Sidekeys: where sound, beats and notes go."""
    height, row, rows = 484, 84, (96, 212, 328)
    left, tap, right = 40, 284, 758
    sound_y, clock_y, piano_y = (y + row / 2 for y in rows)
    hears = Box("Hears", setup.hears)
    follows = Box("Follows the beats", ("--transport clock",))
    plays = Box("Plays", ("the MIDI port Sidekeys",))
    parts = [
        _text(24, 38, f"{setup.name} and Sidekeys", "h"),
        *_panel(24, 56, 584, 374, setup.name),
        *_panel(742, 56, 234, 374, "Sidekeys"),
        *_box(left, rows[0], 200, row, setup.band),
        *_box(tap, rows[0], 308, row, setup.tap),
        *_box(
            left,
            rows[1],
            200,
            rows[2] + row - rows[1],
            Box(setup.main, ("What you hear:", "the band and the piano")),
        ),
        *_box(tap, rows[1], 308, row, setup.clock),
        *_box(tap, rows[2], 308, row, setup.piano),
        *_box(right, rows[0], 202, row, hears, code=True),
        *_box(right, rows[1], 202, row, follows, code=True),
        *_box(right, rows[2], 202, row, plays),
        *_arrow("sound", (left + 200, sound_y), (tap, sound_y)),
        *_arrow("sound", (left + 100, rows[0] + row), (left + 100, rows[1])),
        *_arrow("sound", (tap, piano_y), (left + 200, piano_y)),
        *_arrow("sound", (tap + 308, sound_y), (right, sound_y), setup.sound),
        *_arrow("beats", (tap + 308, clock_y), (right, clock_y), ("MIDI port", "Sidekeys Sync")),
        *_arrow("notes", (right, piano_y), (tap + 308, piano_y), ("MIDI port", "Sidekeys")),
        *_legend(24, height - 24),
        _text(976, height - 24, "The piano never goes where Sidekeys listens.", "f e"),
    ]
    described = (
        f"Sound: {_said(setup.band)}. It goes to {setup.main}, which you hear, and out through "
        f"{_said(setup.tap)}, by {' '.join(setup.sound)}, to Sidekeys. "
        f"Beats: {_said(setup.clock)}. "
        f"Notes: Sidekeys plays its MIDI port Sidekeys; {_said(setup.piano)}. "
        f"The piano goes to {setup.main} only, never to what Sidekeys hears."
    )
    return _svg(height, f"{setup.name} and Sidekeys: where sound, beats and notes go",
                described, parts)  # fmt: skip


def windows_picture() -> str:
    """Two processes; windows of four beats that overlap; echo and loop."""
    height, x0, beat = 656, 176, 64
    parts = [_text(24, 38, "How Sidekeys follows a song", "h")]
    parts += _processes(60)
    parts += _echo(x0, 246, beat)
    parts += _loop(x0, 522, beat)
    parts += _legend(24, height - 24)
    return _svg(
        height,
        "How Sidekeys follows a song",
        "Two processes: the DAW gives sound and beats to the bridge; the bridge gives windows of "
        "sound to the engine and gets notes in beats; it plays them into the DAW when they are "
        "due. Echo: every two beats a window of four beats is heard; of each the middle two beats "
        "are played, four beats after they were heard. Loop: the first pass of four beats is heard "
        "and silent; in every later pass the piano plays, in time, what was heard in the pass "
        "before.",
        parts,
    )


def _processes(y: float) -> Iterator[str]:
    """The DAW, the bridge and the engine."""
    row, middle = 108, y + 54
    yield from _box(24, y, 180, row, Box("Your DAW", ("the song, its beats,", "the piano track")))
    yield from _box(376, y, 232, row, Box("Bridge", ("listens, follows the beats,",
                                                     "and plays on time")))  # fmt: skip
    yield from _box(796, y, 180, row, Box("Engine", ("makes the notes;", "may take its time")))
    yield from _arrow("sound", (204, middle - 28), (376, middle - 28), ("sound", ""))
    yield from _arrow("beats", (204, middle + 6), (376, middle + 6), ("beats", ""))
    yield from _arrow("notes", (376, middle + 40), (204, middle + 40), ("notes, when due", ""))
    yield from _arrow("sound", (608, middle - 14), (796, middle - 14), ("a window of sound", ""))
    yield from _arrow("notes", (796, middle + 28), (608, middle + 28), ("notes in beats", ""))


def _echo(x0: float, y: float, beat: float) -> Iterator[str]:
    """Windows at every half bar; the middle of each is played four beats later."""
    beats = 12
    yield _text(24, y - 34, "Echo: four beats behind", "t")
    yield from _ruler(x0, y, beat, beats, y + 206)
    yield _text(24, y + 22, "Song")
    yield _bar("sound", x0, y + 6, beats * beat, 24)
    yield _text(24, y + 68, "Windows")
    yield _text(24, y + 86, "four beats each,", "f")
    yield _text(24, y + 104, "the middle is kept", "f")
    yield _text(24, y + 160, "Piano")
    for number in range(5):
        start, line = 2 * number - 1, y + 50 + number % 2 * 38
        heard, kept = max(start, 0), start + 1
        named = ", ".join(str(at + 1) for at in range(kept, start + 3))
        yield _bar("sound w", x0 + heard * beat, line, (start + 4 - heard) * beat, 28)
        yield _bar("sound", x0 + kept * beat, line, (start + 3 - kept) * beat, 28)
        yield _text(x0 + (kept + start + 3) / 2 * beat, line + 19, named, "m", white=True)
        played, end = kept + 4, min(start + 7, beats)
        if played < beats:
            yield _bar("notes", x0 + played * beat, y + 144, (end - played) * beat, 24)
            named = ", ".join(str(at - 3) for at in range(played, end))
            yield _text(x0 + (played + end) / 2 * beat, y + 161, named, "m", white=True)
    yield from _arrow("notes", (x0, y + 194), (x0 + 4 * beat, y + 194))
    yield _text(x0 + 2 * beat, y + 186, "the delay: four beats", "m f")


def _loop(x0: float, y: float, beat: float) -> Iterator[str]:
    """Three passes of a loop."""
    yield _text(24, y - 22, "Loop: in place, from the second pass on", "t")
    yield _text(24, y + 22, "Song")
    yield _text(24, y + 66, "Piano")
    for number in range(3):
        start = x0 + number * 4 * beat
        yield _bar("sound", start, y + 6, 4 * beat, 24)
        yield _text(start + 2 * beat, y + 23, f"pass {number + 1}", "m", white=True)
        if number:
            yield _bar("notes", start, y + 50, 4 * beat, 24)
            yield _text(start + 2 * beat, y + 67, f"plays pass {number}", "m", white=True)
    yield _text(x0 + 2 * beat, y + 67, "silent: it listens", "m f")


def _ruler(x0: float, y: float, beat: float, beats: int, bottom: float) -> Iterator[str]:
    """Beat numbers and bar lines."""
    for number in range(beats):
        yield _text(x0 + (number + 0.5) * beat, y - 6, f"{number + 1}", "m f")
    lines = "".join(f"M{x0 + number * beat} {y}V{bottom}" for number in range(0, beats + 1, 4))
    yield f'<path class="k" d="{lines}"/>'


def _bar(kind: str, x: float, y: float, width: float, height: float) -> str:
    return f'<rect class="in {kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="5"/>'


def _panel(x: float, y: float, width: float, height: float, title: str) -> Iterator[str]:
    """A program."""
    yield f'<rect class="panel" x="{x}" y="{y}" width="{width}" height="{height}" rx="12"/>'
    yield _text(x + 16, y + 26, title, "f")


def _box(
    x: float, y: float, width: float, height: float, box: Box, *, code: bool = False
) -> Iterator[str]:
    """A box with its words, in its middle."""
    yield f'<rect class="box" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>'
    top = y + height / 2 - 10 * len(box.lines) + 5
    yield _text(x + 12, top, _fitting(box.title, width, _TITLE_LETTER), "t")
    for number, line in enumerate(box.lines, start=1):
        text = _fitting(line, width, _MONO_LETTER if code else _LETTER)
        yield _text(x + 12, top + 20 * number, text, "c" if code else "f")


def _fitting(text: str, width: float, letter: float) -> str:
    """The text.

    Raises:
        ValueError: it is too long for a box so wide.
    """
    if len(text) * letter > width - 12:
        raise ValueError(f"{text!r} is too long for {width} pixels")
    return text


def _arrow(
    kind: str,
    start: tuple[float, float],
    end: tuple[float, float],
    words: tuple[str, str] | None = None,
) -> Iterator[str]:
    """A way of sound, beats or notes, with a word above and one below; straight."""
    (x, y), (to_x, to_y) = start, end
    across = (to_x > x) - (to_x < x)
    down = (to_y > y) - (to_y < y)
    stop_x, stop_y = to_x - 9 * across, to_y - 9 * down
    yield f'<path class="l {kind}" d="M{x + 5 * across} {y + 5 * down}L{stop_x} {stop_y}"/>'
    tip = f"M{to_x - across} {to_y - down}"
    if across:
        tip += f"l{-10 * across} -6v12z"
    else:
        tip += f"l-6 {-10 * down}h12z"
    yield f'<path class="tip {kind}" d="{tip}"/>'
    if words is not None:
        yield _text((x + to_x) / 2, y - 9, words[0], "m")
        if words[1]:
            yield _text((x + to_x) / 2, y + 20, words[1], "m")


def _legend(x: float, y: float) -> Iterator[str]:
    """What the three kinds of line are."""
    for number, (kind, word) in enumerate(
        (("sound", "sound"), ("beats", "beats"), ("notes", "notes"))
    ):
        start = x + 110 * number
        yield f'<path class="l {kind}" d="M{start} {y - 4}h34"/>'
        yield _text(start + 44, y, word, "f")


def _text(x: float, y: float, words: str, kind: str = "", *, white: bool = False) -> str:
    classes = f' class="{kind}"' if kind else ""
    fill = ' style="fill:var(--card)"' if white else ""
    return f'<text{classes} x="{x:g}" y="{y:g}"{fill}>{escape(words)}</text>'


def _said(box: Box) -> str:
    """A box in words."""
    return f"{box.title}: {', '.join(box.lines)}"


def _svg(height: int, title: str, description: str, parts: Sequence[str]) -> str:
    style = "".join(_STYLE.strip().splitlines())
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-labelledby="title desc">\n<title id="title">{escape(title)}</title>\n'
        f'<desc id="desc">{escape(description)}</desc>\n<style>{style}</style>\n'
        f'<rect class="card" width="{WIDTH}" height="{height}" rx="14"/>\n{body}\n</svg>\n'
    )


def main() -> None:
    """Write all pictures."""
    for file, picture in pictures().items():
        file.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
