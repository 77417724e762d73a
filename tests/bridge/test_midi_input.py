"""What the port "Sidekeys Sync" promises: clock comes through, to the moment, under real JACK."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jack_server import running_jack
from sidekeys_bridge.midi_input import SyncInput
from sidekeys_bridge.midi_system import SYSTEMS, close_port
from sidekeys_bridge.transport import Transport
from sidekeys_engine.errors import InputError

CLOCK = Path(__file__).parents[1] / "jack_clock.py"

# The issue allows 10 ms. Under JACK a message comes at the start of its period, up to 5.8 ms early.
ALLOWED_SECONDS = 0.010


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
    assert all(before <= seconds <= time.monotonic() for _, seconds in got)


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


def test_windows_is_told_how_to_make_a_port() -> None:
    with pytest.raises(InputError, match=r"loopMIDI .* Windows MIDI Services .* --sync-port"):
        SyncInput(lambda *_: None, platform="win32")


def test_a_real_clock_with_a_ramp_a_locate_and_a_wrap_is_followed_within_10_ms() -> None:
    transport = Transport("clock")
    expected: list[tuple[float, int, float]] = []  # asked at, stretch, position
    with running_jack(), SyncInput(transport.receive_midi):
        clock = subprocess.Popen(
            [sys.executable, str(CLOCK), "Sidekeys Sync"], stdout=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 60
        while clock.poll() is None and time.monotonic() < deadline:
            now = time.monotonic()
            transport.poll(now)
            if transport.stretch is not None:
                number = transport.stretch.number
                expected.append((now, number, transport.stretch.beats_at(now)))
            time.sleep(0.005)
        printed, _ = clock.communicate(timeout=10)
    truth = json.loads(printed)
    assert {number for _, number, _ in expected} == {1, 2, 3}
    errors = []
    for run in range(3):
        ticks = [(beats, seconds) for number, beats, seconds in truth if number == run]
        for now, number, beats in expected:
            # Two beats to lock after a start; a locate goes on at the tempo that is known.
            settled = 2.0 if run == 0 else 0.0
            if number == run + 1 and ticks[0][0] + settled <= beats < ticks[-1][0]:
                errors.append(now - seconds_at(beats, ticks))
    worst = max(errors, key=abs)
    print(f"{len(errors)} moments, worst {worst * 1e3:.2f} ms, mean {mean_ms(errors):.2f} ms")
    assert len(errors) > 500
    assert abs(worst) <= ALLOWED_SECONDS


def seconds_at(beats: float, ticks: list[tuple[float, float]]) -> float:
    after = next(n for n, tick in enumerate(ticks) if tick[0] > beats)
    (b0, s0), (b1, s1) = ticks[after - 1 : after + 1] if after else ticks[:2]
    return s0 + (beats - b0) / (b1 - b0) * (s1 - s0)


def mean_ms(errors: list[float]) -> float:
    return sum(errors) / len(errors) * 1e3
