"""A whole session with a panel: a bridge that hears a song to beats by hand, and who records it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile

from jack_server import running_jack
from live_session import (
    EXAMPLE,
    EXAMPLE_BPM,
    Daw,
    RunningBridge,
    running_bridge,
    running_daw,
    write_example,
)
from panel_session import RunningPanel, running_panel

RATE = 44100
PERIOD = 1024
STEM_SECONDS = 12


@dataclass
class Session:
    """What runs.

    Attributes:
        folder: of the bridge, and of the song.
        song: what it hears.
        bridge: by hand, at that song's tempo.
        panel: of that bridge.
        recorder: records the bridge's port.
    """

    folder: Path
    song: Path
    bridge: RunningBridge
    panel: RunningPanel
    recorder: Daw

    @property
    def url(self) -> str:
        return str(self.panel.told["url"])

    def play(self) -> None:
        """The song from its beginning, and the beats with it."""
        self.bridge.request("pause")
        self.bridge.request("set", input=f"file:{self.song}")
        self.bridge.wait_for(lambda status: status["input"]["connected"])
        self.bridge.request("play", from_beats=0.0)


@contextlib.contextmanager
def bridge_over(song: Path, folder: Path) -> Iterator[RunningBridge]:
    """A bridge by hand, with time enough for a machine that other tests keep busy."""
    with running_bridge(
        folder, "--input", f"file:{song}", "--transport", "manual", "--bpm", str(EXAMPLE_BPM),
        "--delay", "8",
    ) as bridge:  # fmt: skip
        bridge.wait_until_ready()
        yield bridge


@contextlib.contextmanager
def running_session(folder: Path) -> Iterator[Session]:
    """All of it, while the block lasts."""
    song = write_example(folder / "song.wav", RATE)
    with (
        running_jack(period=PERIOD, rate=RATE),
        running_daw(song, name="recorder") as recorder,
        bridge_over(song, folder) as bridge,
        running_panel(folder) as panel,
    ):
        recorder.do("connect")
        yield Session(folder, song, bridge, panel, recorder)


def write_stem(folder: Path) -> Path:
    """The first seconds of the example song, as a musician would drop them."""
    samples, rate = soundfile.read(EXAMPLE, always_2d=True)
    path = folder / "paper lanterns.wav"
    soundfile.write(path, samples[: STEM_SECONDS * rate], rate, subtype="PCM_16")
    return path
