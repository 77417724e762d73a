"""What the bridge is told to change: all of a `set`, or nothing of it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from audio_signals import noise, write_wav
from sidekeys_bridge.capture import Capture
from sidekeys_bridge.commands import BRIDGE
from sidekeys_bridge.control import Reply
from sidekeys_bridge.controls import Controls
from sidekeys_bridge.desk import Desk
from sidekeys_bridge.parts import Parts
from sidekeys_bridge.status import Status
from sidekeys_bridge.transport import Transport
from sidekeys_engine.errors import InputError
from sidekeys_engine.protocol import Message


@dataclass
class Live:
    """Remembers what was chosen; hears windows of four beats."""

    controls: Controls = field(default_factory=Controls)
    hearing: Any = field(
        default_factory=lambda: SimpleNamespace(model=SimpleNamespace(window_beats=4.0))
    )
    chosen: list[Any] = field(default_factory=list)

    def choose_delay(self, beats: int | None) -> None:
        self.chosen.append(beats)

    def choose_mode(self, mode: str) -> None:
        self.chosen.append(mode)


@dataclass
class Room:
    """A desk, and what it may change."""

    live: Live
    transport: Transport
    capture: Capture
    desk: Desk

    def set(self, **content: Any) -> None:
        message = Message("set", "1", content)
        checked = Message("set", "1", BRIDGE.check(message))
        assert self.desk.respond(checked, cast(Reply, None), time.monotonic()) == {}

    def state(self) -> tuple[object, ...]:
        transport = self.transport.state(time.monotonic())
        live, capture = self.live, self.capture
        return (
            live.controls, tuple(live.chosen), transport.choice, transport.bpm, transport.meter,
            capture.choice, capture.channel,
        )  # fmt: skip


@pytest.fixture
def song(tmp_path: Path) -> Path:
    return write_wav(tmp_path / "song.wav", noise(5.0, 44_100), 44_100)


@pytest.fixture
def room(song: Path) -> Iterator[Room]:
    live, transport = Live(), Transport("manual", bpm=100.0)
    transport.poll(time.monotonic())
    capture = Capture(f"file:{song}", rate=44_100, channel=2)
    parts = SimpleNamespace(
        live=live, transport=transport, capture=capture, composers=lambda: ["", "full"]
    )
    desk = Desk(cast(Parts, parts), cast(Status, None))
    yield Room(live, transport, capture, desk)
    capture.close()
    transport.close()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"channels": "x"}, "no channel 'x'"),
        ({"input": "file:/nowhere.wav"}, "no such file"),
        ({"meter": "x"}, "no meter"),
        ({"delay": "2"}, "a delay of 2 beats cannot be"),
        ({"delay": "many"}, "no delay"),
        ({"composer": "nobody"}, "no composer 'nobody'; there are"),
        ({"transport": "link"}, "aalink"),
    ],
)
def test_one_thing_that_cannot_be_leaves_all_as_it_is(
    room: Room, wrong: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "aalink", None)
    everything = {
        "delay": "8", "mode": "loop", "transport": "audio", "bpm": 120, "meter": "3/4",
        "channels": "1", "transpose": 3,
    }  # fmt: skip
    before = room.state()
    with pytest.raises(InputError, match=told):
        room.set(**{**everything, **wrong})
    assert room.state() == before


def test_all_that_can_be_is_done(room: Room, song: Path) -> None:
    other = song.with_name("other.wav")
    song.rename(other)
    room.set(
        delay="8", mode="loop", transport="auto", bpm=120, meter="3/4", channels="1",
        input=f"file:{other}", transpose=3,
    )  # fmt: skip
    room.transport.poll(time.monotonic())
    assert room.live.controls.transpose == 3
    assert room.live.chosen == [8, "loop"]
    transport = room.transport.state(time.monotonic())
    assert (transport.choice, transport.bpm, transport.meter) == ("auto", 120, "3/4")
    assert (room.capture.choice, room.capture.channel) == (f"file:{other}", 1)
    room.set(delay="auto")
    assert room.live.chosen[-1] is None


def test_another_input_is_heard_on_the_same_channel_and_the_same_on_another(
    room: Room, song: Path
) -> None:
    room.set(input=f"file:{song}")
    assert (room.capture.choice, room.capture.channel) == (f"file:{song}", 2)
    room.set(channels="all")
    assert (room.capture.choice, room.capture.channel) == (f"file:{song}", None)


def test_an_input_that_has_gone_keeps_nothing_else_from_being_set(room: Room, song: Path) -> None:
    song.unlink()
    room.set(transpose=2)
    assert room.live.controls.transpose == 2
    with pytest.raises(InputError, match="no such file"):
        room.set(channels="1", transpose=3)
    assert room.live.controls.transpose == 2
