"""A bridge that no DAW tells anything: it hears a file, to beats by hand or from the sound."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import jack
import pytest

from jack_server import running_jack
from live_session import EXAMPLE_BPM, Daw, RunningBridge, running_bridge, running_daw, write_example

RATE = 44100
PERIOD = 1024  # a shorter one is lost now and then where the DAW is written in Python


# `sidekeys` with a fault in it, that shows once when a file is laid down.
FAULTY = """
import pathlib, sys
from sidekeys_bridge import own_piano
from sidekeys_bridge.cli import main

def hear(self, *sound, sane=own_piano.OwnPiano.hear):
    if FAULT.exists():
        FAULT.unlink()
        raise ZeroDivisionError("laid down by a test")
    return sane(self, *sound)

own_piano.OwnPiano.hear = hear
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_example(tmp_path_factory.mktemp("song") / "song.wav", RATE)


@pytest.fixture(scope="module")
def recorder(song: Path) -> Iterator[Daw]:
    """Whatever records the port; it plays nothing."""
    with running_jack(period=PERIOD, rate=RATE), running_daw(song, name="recorder") as daw:
        yield daw


@pytest.fixture(scope="module")
def bridge(
    recorder: Daw, song: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningBridge]:
    folder = tmp_path_factory.mktemp("bridge")
    with running_bridge(
        folder, "--input", f"file:{song}", "--transport", "manual", "--bpm", str(EXAMPLE_BPM),
        "--delay", "6", "--record", str(folder / "session.mid"),
        "--log-file", str(folder / "log.txt"),
        program=("-c", FAULTY.replace("FAULT", f"pathlib.Path({str(folder / 'fault')!r})")),
    ) as started:  # fmt: skip
        started.wait_until_ready()
        recorder.do("connect")
        yield started


def test_the_port_is_there_in_a_second(recorder: Daw, tmp_path: Path):
    with jack.Client("looks on", no_start_server=True) as client:
        started_seconds = time.monotonic()
        with running_bridge(tmp_path, "--input", "nothing like it"):
            while not client.get_ports("Sidekeys:Sidekeys", is_midi=True, is_output=True):
                assert time.monotonic() < started_seconds + 30
                time.sleep(0.002)
            took_seconds = time.monotonic() - started_seconds
    print(f"the port was there after {took_seconds:.2f} s")
    assert took_seconds < 3.0  # 1 s is promised; the rest is for a busy machine


def test_beats_by_hand_need_no_daw(bridge: RunningBridge, recorder: Daw):
    assert bridge.status()["state"] == "waiting"
    assert bridge.sidekeys("play").returncode == 0
    status = bridge.wait_for(lambda status: status["counters"]["notes_sent"] > 4)
    assert (status["transport"]["source"], status["state"]) == ("manual", "playing")
    assert status["transport"]["bpm"] == EXAMPLE_BPM
    assert bridge.sidekeys("nudge", "-20ms").returncode == 0
    assert bridge.sidekeys("downbeat").returncode == 0
    assert bridge.sidekeys("tap").stdout == "tap on\n"
    ran = bridge.sidekeys("set", "bpm", "301")
    assert (ran.returncode, "301" in ran.stderr) == (2, True)
    assert bridge.sidekeys("pause").returncode == 0
    bridge.wait_for(lambda status: status["counters"]["sounding"] == 0, 5.0)
    # JACK brings the last note-off a period later.
    recorder.wait_for(lambda recorded: not recorded.sounding() and bool(recorded.notes()), 5.0)


def test_beats_are_found_in_the_sound_when_nobody_tells_them(
    bridge: RunningBridge, recorder: Daw, song: Path
):
    bridge.request("set", transport="audio", input=f"file:{song}")
    sent = bridge.status()["counters"]["notes_sent"]
    status = bridge.wait_for(lambda status: status["counters"]["notes_sent"] > sent + 4, 60.0)
    assert (status["transport"]["source"], status["state"]) == ("audio", "playing")
    assert status["transport"]["bpm"] == pytest.approx(EXAMPLE_BPM, rel=0.03)


def test_a_fault_of_ours_silences_it_and_the_music_goes_on(bridge: RunningBridge, recorder: Daw):
    recorder.wait_for(lambda recorded: bool(recorded.sounding()))
    (bridge.folder / "fault").touch()
    status = bridge.wait_for(lambda status: status["problems"] != [], 5.0)
    assert "laid down by a test" in status["problems"][0]
    sent = status["counters"]["notes_sent"]
    recorder.wait_for(lambda recorded: not recorded.sounding(), 2.0)
    bridge.wait_for(lambda status: status["counters"]["notes_sent"] > sent)
    bridge.wait_for(lambda status: status["problems"] == [], 15.0)
    assert "Traceback" in (bridge.folder / "log.txt").read_text()
    assert "Traceback" not in bridge.said()


def test_a_bridge_that_is_told_to_end_releases_all_and_writes_what_was_played(
    bridge: RunningBridge, recorder: Daw
):
    recorder.wait_for(lambda recorded: bool(recorded.sounding()))
    bridge.process.send_signal(signal.SIGTERM)
    assert bridge.process.wait(15) == 0
    assert not recorder.recorded().sounding()
    assert (bridge.folder / "session.mid").stat().st_size > 100
    assert not (bridge.folder / "bridge.json").exists()
    assert "session.mid: " in bridge.said()
