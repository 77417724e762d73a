"""What the port "Sidekeys Sync" promises: clock comes through, to the moment, under real JACK."""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jack_server import running_jack
from sidekeys_bridge.midi_input import SyncInput, SyncKeeper
from sidekeys_bridge.midi_output import MidiOutput
from sidekeys_bridge.midi_system import SYSTEMS, close_port
from sidekeys_bridge.player import Player
from sidekeys_bridge.transport import Transport
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter

CLOCK = Path(__file__).parents[1] / "jack_clock.py"

CHANGED_BEATS = 22.0  # the user changes the meter here, in the middle of a bar
ALLOWED_SECONDS = 0.010  # is promised; half a period of JACK, 2.9 ms, is in it


def test_messages_of_every_kind_come_with_their_moment() -> None:
    got: list[tuple[bytes, float]] = []
    with running_jack(), SyncInput(lambda *message: got.append(message)) as port:
        out = SYSTEMS["jack"].output("daw")
        out.open_port(out.get_ports().index("Sidekeys Sync:Sidekeys Sync"))
        before = time.monotonic()
        sent = [b"\xfa", b"\xf8", b"\xf2\x08\x01", b"\xb0\x14\x40", b"\xc0\x02", b"\xfc"]
        for message in sent:
            out.send_message(message)
        deadline = before + 5
        while len(got) < len(sent) and time.monotonic() < deadline:
            time.sleep(0.01)
        close_port(out)
        assert port.name == "Sidekeys Sync"
    assert [message for message, _ in got] == sent
    # On average, a message lies in the middle of the period that JACK hands out.
    half_period = 128 / 44100
    assert all(before < seconds < time.monotonic() + half_period for _, seconds in got)


def test_an_existing_port_is_taken_by_name_and_a_missing_one_is_told() -> None:
    got: list[bytes] = []
    with running_jack():
        out = SYSTEMS["jack"].output("daw")
        out.open_virtual_port("clock")
        with SyncInput(lambda message, _: got.append(message), port="daw:clock") as port:
            out.send_message(b"\xf8")
            deadline = time.monotonic() + 5
            while not got and time.monotonic() < deadline:
                time.sleep(0.01)
            assert port.name == "daw:clock"
        with pytest.raises(InputError, match="no MIDI port 'nowhere'; there are: 'daw:clock'"):
            SyncInput(lambda *_: None, port="nowhere")
        close_port(out)
    assert got == [b"\xf8"]


def test_closing_twice_is_safe_and_nothing_comes_afterwards() -> None:
    with running_jack():
        port = SyncInput(lambda *_: None)
        port.close()
        port.close()
        assert not any("Sidekeys" in name for name in SYSTEMS["jack"].destinations())


class Clock:
    """Sends ticks: to a port, or from one that is called "daw:clock"."""

    def __init__(self, to: str | None = None) -> None:
        self._to = to
        self.out = SYSTEMS["jack"].output("daw")

    def __enter__(self) -> Clock:
        if self._to is None:
            self.out.open_virtual_port("clock")
        else:
            self.out.open_port(self.out.get_ports().index(self._to), "clock")
        return self

    def __exit__(self, *_: object) -> None:
        close_port(self.out)

    def until_heard(self, got: list[bytes], seconds: float = 10.0) -> None:
        deadline = time.monotonic() + seconds
        before = len(got)
        while len(got) == before:
            assert time.monotonic() < deadline, "the clock was not heard"
            self.out.send_message(b"\xf8")
            time.sleep(0.01)


def wait_for_problem(keeper: SyncKeeper, words: str | None) -> None:
    deadline = time.monotonic() + 10
    while (keeper.problem is None) != (words is None) or (words or "") not in (
        keeper.problem or ""
    ):
        assert time.monotonic() < deadline, f"{keeper.problem}, not {words}"
        time.sleep(0.01)


def test_a_named_port_is_followed_as_soon_as_it_is_there_and_again_when_it_returns() -> None:
    got: list[bytes] = []
    with running_jack():
        keeper = SyncKeeper(lambda message, _: got.append(message), port="daw:clock")
        try:
            assert "there is no MIDI port 'daw:clock'" in (keeper.problem or "")
            with Clock() as clock:
                wait_for_problem(keeper, None)
                clock.until_heard(got)
            wait_for_problem(keeper, "'daw:clock' is gone; it is followed when it returns")
            with Clock() as clock:
                wait_for_problem(keeper, None)
                clock.until_heard(got)
        finally:
            keeper.close()
            keeper.close()
        assert not any("Sidekeys" in name for name in SYSTEMS["jack"].destinations())


def test_the_port_returns_with_the_jack_server_however_often_it_ends() -> None:
    got: list[bytes] = []
    with contextlib.ExitStack() as opened:
        with running_jack() as name:
            player = opened.enter_context(Player(MidiOutput()))
            keeper = SyncKeeper(lambda message, _: got.append(message), api="jack")
            opened.callback(keeper.close)
            assert keeper.problem is None
        for _ in range(2):
            wait_for_problem(keeper, "JACK server has ended")
            wait_for_problem(keeper, "no JACK server runs")
            with running_jack(name=name):
                wait_for_problem(keeper, None)
                deadline = time.monotonic() + 10
                while not player.connected:
                    assert time.monotonic() < deadline, player.state()
                    time.sleep(0.01)
                with Clock("Sidekeys Sync:Sidekeys Sync") as clock:
                    clock.until_heard(got)


def test_windows_is_told_how_to_make_a_port() -> None:
    with pytest.raises(InputError, match=r"loopMIDI .* Windows MIDI Services .* --sync-port"):
        SyncInput(lambda *_: None, platform="win32")


def test_a_real_clock_with_jitter_a_ramp_a_locate_and_a_wrap_is_followed_within_10_ms() -> None:
    transport = Transport("clock")
    asked: list[tuple[float, int, float]] = []  # at, stretch, position
    downbeats: dict[tuple[int, float], float] = {}  # stretch, position: when it was
    with running_jack(), SyncInput(transport.receive_midi) as port:
        transport.grain_midi(port.grain_seconds)
        clock = subprocess.Popen(
            [sys.executable, str(CLOCK), "Sidekeys Sync"], stdout=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 80
        while clock.poll() is None and time.monotonic() < deadline:
            now = time.monotonic()
            transport.poll(now)
            stretch = transport.stretch
            if stretch is not None:
                here = stretch.beats_at(now)
                asked.append((now, stretch.number, here))
                for line in stretch.grid().bar_lines(max(stretch.start_beats, here - 1), here):
                    moment = stretch.seconds_at(line)
                    downbeats.setdefault((stretch.number, float(line)), moment)
                if here > CHANGED_BEATS:
                    transport.set_meter(Meter(3, 4), now)
            time.sleep(0.005)
        clock.kill()  # it has ended, unless JACK threw it out
        printed, _ = clock.communicate()
    told = json.loads(printed)
    assert {number for _, number, _ in asked} == {1, 2, 3}
    # The meter changed at the bar line that came next.
    lines = [beats for number, beats in downbeats if number == 1]
    changed = math.ceil(CHANGED_BEATS / 4) * 4
    assert lines == [*range(0, changed, 4), *range(changed, 61, 3)]

    moments: list[float] = []
    lateness: list[float] = []
    for run, (start_beats, moments_of_ticks) in enumerate(told["runs"]):
        ticks = [(start_beats + n / 24, seconds) for n, seconds in enumerate(moments_of_ticks)]
        # Two beats to lock after a start; a locate goes on at the tempo that is known.
        first, last = ticks[0][0] + (2.0 if run == 0 else 0.0), ticks[-1][0]
        moments += [
            now - seconds_at(beats, ticks)
            for now, number, beats in asked
            if number == run + 1 and first <= beats < last
        ]
        lateness += [
            seconds - seconds_at(beats, ticks)
            for (number, beats), seconds in downbeats.items()
            if number == run + 1 and first <= beats < last
        ]
    worst, worst_downbeat = (max(map(abs, errors)) for errors in (moments, lateness))
    print(
        f"{len(lateness)} downbeats, worst {1e3 * worst_downbeat:.2f} ms; {len(moments)} moments, "
        f"worst {1e3 * worst:.2f} ms, mean {1e3 * sum(moments) / len(moments):.2f} ms; "
        f"JACK lost {1e3 * told['lost_seconds']:.1f} ms"
    )
    assert len(lateness) > 15
    assert len(moments) > 500
    assert max(worst, worst_downbeat) <= ALLOWED_SECONDS + told["lost_seconds"]


def seconds_at(beats: float, ticks: list[tuple[float, float]]) -> float:
    after = next(n for n, tick in enumerate(ticks) if tick[0] > beats)
    (b0, s0), (b1, s1) = ticks[after - 1 : after + 1] if after else ticks[:2]
    return s0 + (beats - b0) / (b1 - b0) * (s1 - s0)
