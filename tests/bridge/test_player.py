"""The sender thread keeps time, falls silent whenever it must, and outlives its port."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jack_listener import Listener, listening
from jack_server import running_jack
from sidekeys_bridge.midi_output import MidiOutput
from sidekeys_bridge.midi_system import PortLostError
from sidekeys_bridge.player import Player
from sidekeys_bridge.scheduler import SHORTEST_SECONDS
from sidekeys_engine.errors import InputError

BRIDGE = Path(__file__).parents[2] / "bridge"


class Port:
    """Remembers what it was sent, and fails when told to."""

    name, lead_seconds = "a port", 0.0

    def __init__(self) -> None:
        self.heard: list[tuple[float, bytes]] = []
        self.error: Exception | None = None
        self.closed = 0

    def send(self, message: bytes) -> None:
        self.check()
        self.heard.append((time.monotonic(), message))

    def check(self) -> None:
        if self.error is not None:
            raise self.error

    def reopen(self) -> None:
        if self.error is not None:
            raise InputError("still gone")

    def close(self) -> None:
        self.closed += 1

    @property
    def messages(self) -> list[bytes]:
        return [message for _, message in self.heard]


@pytest.fixture
def port() -> Port:
    return Port()


@pytest.fixture
def player(port: Port) -> Iterator[Player]:
    with Player(port, realtime=False) as player:
        yield player


def wait_until(is_so: Callable[[], bool], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.002)


ON, OFF = bytes((0x90, 60, 80)), bytes((0x80, 60, 0))
SILENCE = [bytes((0xB0, control, 0)) for control in (64, 123, 120)]


def test_notes_come_in_order_when_they_are_due(player: Player, port: Port):
    start = time.monotonic() + 0.05
    due = [start + 0.02 * index for index in range(10)]
    for index in reversed(range(10)):
        player.strike(due[index], start + 1.0, 1, 60 + index, 80)
    wait_until(lambda: len(port.heard) == 10)
    assert [message[1] for message in port.messages] == list(range(60, 70))
    assert all(moment >= at for (moment, _), at in zip(port.heard, due, strict=True))
    lateness = player.state().lateness
    worst_ms = 1e3 * max(moment - at for (moment, _), at in zip(port.heard, due, strict=True))
    assert lateness.count == 10
    assert lateness.p50 <= lateness.p99 <= lateness.max <= worst_ms
    assert player.counters()["notes_sent"] == 10


def test_a_note_that_comes_before_all_others_is_not_slept_through(player: Player, port: Port):
    now = time.monotonic()
    player.strike(now + 60, now + 61, 1, 72, 80)
    time.sleep(0.05)
    player.strike(now + 0.06, now + 0.09, 1, 60, 80)
    wait_until(lambda: port.messages == [ON, OFF])


def test_a_fixed_lead_sends_everything_that_much_sooner(port: Port):
    with Player(port, realtime=False, lead_seconds=0.1) as player:
        due = time.monotonic() + 0.2
        player.strike(due, due + 0.1, 1, 60, 80)
        wait_until(lambda: len(port.heard) == 2)
    (struck, _), (released, _) = port.heard[:2]
    assert due - 0.1 <= struck < due
    assert released - struck > SHORTEST_SECONDS


def test_the_end_of_a_note_that_sounds_can_be_moved(player: Player, port: Port):
    now = time.monotonic()
    handle = player.strike(now, now + 60, 1, 60, 80)
    wait_until(lambda: port.messages == [ON])
    assert player.extend(handle, now + 0.05)
    wait_until(lambda: port.messages == [ON, OFF])
    assert not player.extend(handle, now + 1.0)


def test_a_panic_has_been_sent_when_it_returns(player: Player, port: Port):
    now = time.monotonic()
    player.strike(now, now + 60, 1, 60, 80)
    player.strike(now + 0.2, now + 60, 1, 64, 80)
    wait_until(lambda: port.messages == [ON])
    player.panic()
    assert port.messages == [ON, OFF, *SILENCE]
    assert player.counters()["sounding"] == player.counters()["waiting"] == 0
    time.sleep(0.25)
    assert port.messages == [ON, OFF, *SILENCE]


def test_late_notes_are_counted_and_their_handles_told(player: Player, port: Port):
    now = time.monotonic()
    handle = player.strike(now - 1, now + 1, 1, 60, 80)
    wait_until(lambda: player.counters()["late_notes_dropped"] == 1)
    assert player.take_dropped() == [handle]
    assert port.heard == []


def test_closing_silences_then_closes_the_port_once(port: Port):
    player = Player(port, realtime=False)
    now = time.monotonic()
    player.strike(now, now + 60, 1, 60, 80)
    wait_until(lambda: port.messages == [ON])
    player.close()
    player.close()
    assert port.messages == [ON, OFF, *SILENCE]
    assert port.closed == 1
    assert not player.state().connected
    player.strike(now, now + 60, 1, 60, 80)
    player.panic()
    assert port.messages == [ON, OFF, *SILENCE]


def test_a_lost_port_is_told_in_words_and_silenced_when_it_returns(player: Player, port: Port):
    now = time.monotonic()
    player.strike(now, now + 60, 1, 60, 80)
    wait_until(lambda: port.messages == [ON])
    port.error = PortLostError("the cable is out; plug it in.")
    player.strike(now, now + 60, 2, 72, 80)
    wait_until(lambda: not player.state().connected)
    assert player.state().problem == "the cable is out; plug it in."
    assert (player.counters()["notes_sent"], player.counters()["sounding"]) == (1, 0)
    wait_until(lambda: player.state().problem == "still gone")
    port.error = None
    wait_until(lambda: player.state().connected)
    assert player.state().problem is None
    # What sounded there sounds on until it is told.
    assert OFF in port.messages[1:]
    assert set(SILENCE) <= set(port.messages[1:])
    assert not [message for message in port.messages[1:] if message[0] & 0xF0 == 0x90]
    now = time.monotonic()
    player.strike(now, now + 60, 1, 62, 80)
    wait_until(lambda: port.messages[-1] == bytes((0x90, 62, 80)))


def test_a_port_that_is_lost_in_the_middle_of_a_panic_is_silenced_when_it_returns(
    player: Player, port: Port
):
    now = time.monotonic()
    for pitch in (60, 64, 67):
        player.strike(now, now + 60, 1, pitch, 80)
    wait_until(lambda: len(port.heard) == 3)
    port.error = PortLostError("gone")
    player.panic()
    port.error = None
    wait_until(lambda: player.state().connected)
    assert {message[1] for message in port.messages if message[0] == 0x80} == {60, 64, 67}
    assert set(SILENCE) <= set(port.messages)


def test_a_port_that_is_lost_while_nothing_plays_is_noticed(player: Player, port: Port):
    port.error = PortLostError("gone")
    wait_until(lambda: player.state().problem is not None)


def test_a_failure_that_nobody_thought_of_silences_and_the_thread_goes_on(
    player: Player, port: Port
):
    now = time.monotonic()
    player.strike(now, now + 60, 1, 60, 80)
    wait_until(lambda: port.messages == [ON])
    port.error = ZeroDivisionError("a bug")
    player.strike(now + 0.05, now + 60, 1, 64, 80)
    wait_until(lambda: "a bug" in (player.state().problem or ""))
    port.error = None
    wait_until(lambda: player.state().connected)
    now = time.monotonic()
    player.strike(now, now + 60, 1, 67, 80)
    wait_until(lambda: port.messages[-1] == bytes((0x90, 67, 80)))
    assert OFF in port.messages


def test_many_threads_may_play_at_once(player: Player, port: Port):
    def play(channel: int) -> None:
        for index in range(100):
            now = time.monotonic()
            player.strike(now, now + 0.03, channel, index, 80)
            player.extend(player.strike(now, now + 0.03, channel, index, 90), now + 0.05)
            if index % 40 == 39:
                player.panic()

    threads = [threading.Thread(target=play, args=(channel,)) for channel in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: player.counters()["sounding"] + player.counters()["waiting"] == 0)
    sounding: set[tuple[int, int]] = set()
    for status, data, _ in port.messages:
        key = status & 0x0F, data
        if status & 0xF0 == 0x90:
            assert key not in sounding
            sounding.add(key)
        elif status & 0xF0 == 0x80:
            sounding.remove(key)
    assert not sounding


def test_whether_the_thread_is_realtime_is_told(port: Port):
    with Player(port, realtime=True) as player:
        wait_until(lambda: player.state().realtime is not None)
        ids = {thread.name: thread.native_id for thread in threading.enumerate()}
        policy = os.sched_getscheduler(ids["MIDI sender"]) & ~os.SCHED_RESET_ON_FORK
        assert player.state().realtime == (policy == os.SCHED_FIFO)
        assert os.sched_getscheduler(threading.get_native_id()) == os.SCHED_OTHER
    with Player(Port(), realtime=False) as player:
        wait_until(lambda: player.state().realtime is not None)
        assert player.state().realtime is False


# --- real JACK ---


@pytest.fixture
def listener() -> Iterator[Listener]:
    with running_jack(), listening() as listener:
        yield listener


def test_every_note_arrives_over_jack_at_the_times_they_are_due(listener: Listener):
    count = 60
    with Player(MidiOutput()) as player:
        listener.connect(player.state().port)
        start = time.monotonic() + 0.1
        for index in range(count):
            due = start + 0.025 * index
            player.strike(due, due + 0.02, 1, index, 1 + index)
        listener.wait(lambda messages: len(messages) == 2 * count)
        assert player.state().lead_seconds == pytest.approx(128 / 44100)
        assert player.counters() == {
            "notes_sent": count, "late_notes_dropped": 0, "strikes_merged": 0, "sounding": 0,
            "waiting": 0,
        }  # fmt: skip
    ons = [heard for heard in listener.heard if heard.message[0] == 0x90]
    assert [heard.message for heard in ons] == [bytes((0x90, i, 1 + i)) for i in range(count)]
    errors = sorted(heard.seconds - start - 0.025 * i for i, heard in enumerate(ons))
    # Half a period either way is 2.9 ms; the rest is for other work on this machine.
    assert abs(errors[count // 2]) < 0.004


def test_an_instrument_that_was_unplugged_is_silenced_when_it_is_plugged_in_again():
    with running_jack():
        with listening("Grand Piano") as before:
            player = Player(MidiOutput("Grand Piano"))
            now = time.monotonic()
            player.strike(now, now + 60, 1, 60, 80)
            before.wait(lambda messages: messages == [ON])
        with player:
            wait_until(lambda: "'Grand Piano:in' is gone" in (player.state().problem or ""))
            with listening("Grand Piano") as after:
                wait_until(lambda: player.state().connected)
                after.wait(lambda messages: messages[:4] == [OFF, *SILENCE])


def test_closing_a_player_leaves_no_note_hanging_in_jack(listener: Listener):
    player = Player(MidiOutput())
    listener.connect(player.state().port)
    now = time.monotonic()
    for pitch in range(40, 90):
        player.strike(now, now + 60, 1, pitch, 80)
    listener.wait(lambda messages: len(messages) == 50)
    player.close()
    listener.wait(lambda messages: len(messages) == 103)
    assert {message[1] for message in listener.messages if message[0] == 0x80} == set(range(40, 90))


def test_a_program_that_ends_without_closing_leaves_no_note_hanging(listener: Listener):
    program = (
        "import sys, time\n"
        "from sidekeys_bridge.midi_output import MidiOutput\n"
        "from sidekeys_bridge.player import Player\n"
        "player = Player(MidiOutput())\n"
        "print('open', flush=True)\n"
        "sys.stdin.readline()\n"
        "now = time.monotonic()\n"
        "player.strike(now, now + 60, 1, 60, 80)\n"
        "sys.stdin.readline()\n"
        "raise RuntimeError\n"
    )
    paths = os.pathsep.join((str(BRIDGE), str(BRIDGE.parent / "engine")))
    with subprocess.Popen(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": paths}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        listener.connect("Sidekeys:Sidekeys")
        process.stdin.write("\n")
        process.stdin.flush()
        listener.wait(lambda messages: messages == [ON])
        process.stdin.write("\n")
        process.stdin.flush()
        listener.wait(lambda messages: OFF in messages)
        assert process.wait(10) == 1


def test_the_player_outlives_the_jack_server_and_plays_on_with_the_next():
    with running_jack() as name:
        player = Player(MidiOutput())
        now = time.monotonic()
        player.strike(now, now + 60, 1, 60, 80)
        wait_until(lambda: player.counters()["sounding"] == 1)
    try:
        wait_until(lambda: not player.state().connected)
        assert "JACK server has ended" in (player.state().problem or "")
        for _ in range(4000):  # RtMidi would hang with its buffer full
            player.strike(time.monotonic(), time.monotonic() + 1, 1, 60, 80)
        wait_until(lambda: "no JACK server runs" in (player.state().problem or ""))
        with running_jack() as other, listening() as listener:
            assert other != name
            wait_until(lambda: player.state().connected)
            listener.connect(player.state().port)
            now = time.monotonic()
            player.strike(now, now + 60, 1, 60, 80)
            listener.wait(lambda messages: messages == [ON])
            player.close()
    finally:
        player.close()
