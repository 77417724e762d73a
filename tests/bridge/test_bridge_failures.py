"""What a bridge that plays survives: each failure is told in words, and no note hangs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from jack_server import running_jack
from live_session import (
    Daw,
    Recorded,
    RunningBridge,
    problems_of,
    running_bridge,
    running_daw,
    write_example,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")

RATE, OTHER_RATE = 44100, 48000
PERIOD = 1024  # a shorter one is lost now and then where the DAW is written in Python
DELAY = 8  # room for a machine that is busy with other tests
BPM = 140.0  # faster than the song is, which takes less time
PATIENT_SECONDS = 60.0
# 50 ms are promised; twice that is for a machine that is busy with other tests.
RELEASED_WITHIN_SECONDS = 0.1


@dataclass
class Session:
    """A JACK server, a DAW in it that plays, and the bridge that follows it."""

    folder: Path
    bridge: RunningBridge
    server: contextlib.ExitStack
    server_name: str
    daw: Daw

    def wait_until_sounding(self, notes: int = 1) -> Recorded:
        return self.daw.wait_for(lambda recorded: len(recorded.sounding()) >= notes)

    def wait_until_heard_again(self, since: Recorded) -> Recorded:
        """Until the DAW hears a note that was not there, while it plays on."""
        before = len(since.messages)
        return self.daw.wait_for(
            lambda recorded: any(data[0] & 0xF0 == 0x90 for _, data in recorded.messages[before:]),
            PATIENT_SECONDS,
        )

    def wait_for_problem(self, words: str) -> Mapping[str, Any]:
        return self.bridge.wait_for(
            lambda status: any(words in problem for problem in status["problems"]), 15.0
        )


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("session")
    with contextlib.ExitStack() as everything:
        server = everything.enter_context(contextlib.ExitStack())
        name = server.enter_context(running_jack(period=PERIOD, rate=RATE))
        daw = server.enter_context(running_daw(write_example(folder / "song.wav", RATE)))
        bridge = everything.enter_context(
            running_bridge(
                folder, "--input", "daw", "--transport", "clock", "--delay", str(DELAY),
                "--composer", "full",
            )
        )  # fmt: skip
        bridge.wait_until_ready()
        yield Session(folder, bridge, server, name, daw)


@pytest.fixture
def playing(session: Session) -> Session:
    """The session, from the song's start."""
    if session.daw.recorded().is_playing:
        session.daw.stop()
        session.bridge.wait_for(lambda status: not status["transport"]["playing"])
    session.daw.play(BPM)
    session.wait_until_sounding(2)
    return session


def release_seconds(session: Session, moment_seconds: float) -> float:
    """How long after a monotonic moment the last note ended that sounded then."""
    recorded = session.daw.recorded()
    moment = moment_seconds - recorded.start_seconds
    sounding = Recorded(
        [message for message in recorded.messages if message[0] <= moment], [], True, 0.0
    ).sounding()
    assert sounding

    def ends(recorded: Recorded) -> dict[tuple[int, int], float]:
        found: dict[tuple[int, int], float] = {}
        for seconds, data in recorded.messages:
            key = ((data[0] & 0x0F) + 1, data[1])
            if seconds > moment and data[0] & 0xF0 == 0x80 and key in sounding:
                found.setdefault(key, seconds)
        return found

    recorded = session.daw.wait_for(lambda recorded: set(ends(recorded)) == sounding, 10.0)
    return max(ends(recorded).values()) - moment


def has_ended(pid: int, within: float = 5.0) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


# The engine


def test_a_killed_engine_leaves_no_note_and_the_music_resumes_by_itself(playing: Session):
    pid = playing.bridge.status()["engine"]["pid"]
    playing.wait_until_sounding(2)
    killed_seconds = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    playing.wait_for_problem("The engine was killed (signal 9); it is started again.")
    released = release_seconds(playing, killed_seconds)
    print(f"released after {1e3 * released:.1f} ms")
    assert released < RELEASED_WITHIN_SECONDS
    recorded = playing.daw.recorded()
    status = playing.bridge.wait_until_ready()
    assert status["engine"]["pid"] != pid
    assert problems_of(status) == []
    # The port is the same one: nobody has connected the DAW again.
    playing.wait_until_heard_again(recorded)


def test_an_engine_that_is_too_slow_means_silence_and_a_count_and_no_queue(playing: Session):
    status = playing.bridge.status()
    pid, missed = status["engine"]["pid"], status["counters"]["windows_missed"]
    os.kill(pid, signal.SIGSTOP)
    try:
        status = playing.bridge.wait_for(
            lambda status: (
                status["counters"]["windows_missed"] >= missed + 2
                and status["counters"]["sounding"] == 0
            ),
            20.0,
        )
    finally:
        os.kill(pid, signal.SIGCONT)
    recorded = playing.daw.recorded()
    done = status["counters"]["windows_done"]
    playing.wait_until_heard_again(recorded)
    status = playing.bridge.status()
    assert status["engine"]["pid"] == pid
    # What was missed is not made up for.
    assert status["counters"]["windows_done"] <= done + 4
    assert status["counters"]["late_notes_dropped"] == 0


# The song


def test_a_clock_that_stops_in_a_bar_releases_all_and_is_told(playing: Session):
    playing.wait_until_sounding(2)
    frozen_seconds = time.monotonic()
    playing.daw.do("freeze")
    status = playing.wait_for_problem("The clock stopped in the middle of the song; start the DAW")
    assert (status["state"], status["transport"]["playing"]) == ("waiting", False)
    assert status["counters"]["sounding"] == 0
    print(f"told after {time.monotonic() - frozen_seconds:.2f} s")
    playing.daw.play(BPM)
    playing.wait_until_sounding()
    assert problems_of(playing.bridge.status()) == []


@pytest.mark.parametrize("bpm", [30, 300])
def test_the_slowest_and_the_fastest_tempo_are_followed_and_played(session: Session, bpm: int):
    session.daw.stop()
    session.daw.play(bpm=bpm)
    session.bridge.wait_for(
        lambda status: (
            status["transport"]["playing"]
            and status["transport"]["bpm"] == pytest.approx(bpm, rel=0.02)
        ),
        20.0,
    )
    session.wait_until_sounding()
    session.daw.stop()
    session.bridge.wait_for(
        lambda status: not status["transport"]["playing"] and status["counters"]["sounding"] == 0
    )


@pytest.mark.parametrize("bpm", [29, 301])
def test_a_tempo_beyond_is_told_and_not_played(session: Session, bpm: int):
    words = "The MIDI clock runs at"
    before = session.bridge.said().count(words)
    session.daw.stop()
    session.daw.play(bpm=bpm)
    status = session.wait_for_problem(words)
    assert not status["transport"]["playing"]
    session.daw.stop()
    session.daw.play(BPM)
    session.bridge.wait_for(
        lambda status: status["transport"]["playing"] and problems_of(status) == []
    )
    # Not once for every figure of a tempo that settles.
    assert before < session.bridge.said().count(words) <= before + 3


# The machine


def test_a_machine_that_slept_wakes_without_a_hanging_note(playing: Session):
    pid = playing.bridge.process.pid
    playing.wait_until_sounding(2)
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(6.5)
    finally:
        os.kill(pid, signal.SIGCONT)
    woken_seconds = time.monotonic()
    released = release_seconds(playing, woken_seconds)
    print(f"released {1e3 * released:.1f} ms after it woke")
    assert released < 1.0
    playing.wait_until_heard_again(playing.daw.recorded())


def test_an_input_that_goes_away_is_told_and_heard_again_when_it_returns(playing: Session):
    song = playing.folder / "song.wav"
    playing.daw.close()
    status = playing.wait_for_problem("'daw' has stopped delivering sound")
    assert status["counters"]["sounding"] == 0
    assert not status["input"]["connected"]
    playing.bridge.wait_for(lambda status: status["state"] == "no-input", 15.0)
    playing.daw = playing.server.enter_context(running_daw(song))
    playing.bridge.wait_until_ready()
    playing.daw.play(BPM)
    playing.wait_until_sounding()
    assert problems_of(playing.bridge.status()) == []


def test_a_jack_server_that_dies_and_returns_at_another_rate(playing: Session):
    playing.server.close()
    status = playing.bridge.wait_for(lambda status: status["port"] is None, 15.0)
    status = playing.wait_for_problem("JACK")
    assert status["counters"]["sounding"] == 0
    playing.server.enter_context(running_jack(PERIOD, OTHER_RATE, name=playing.server_name))
    song = write_example(playing.folder / "other.wav", OTHER_RATE)
    playing.daw = playing.server.enter_context(running_daw(song))
    status = playing.bridge.wait_until_ready()
    playing.bridge.wait_for(lambda status: status["port"] and status["input"]["rate"] == OTHER_RATE)
    playing.daw.play(BPM)
    playing.wait_until_sounding()
    assert problems_of(playing.bridge.status()) == []


def test_a_killed_bridge_leaves_no_process(playing: Session):
    family = psutil.Process(playing.bridge.process.pid).children(recursive=True)
    assert playing.bridge.status()["engine"]["pid"] in {process.pid for process in family}
    assert len(family) >= 2  # the engine, and what listens to the device
    playing.bridge.process.kill()
    playing.bridge.process.wait()
    assert [process for process in family if not has_ended(process.pid)] == []
    ran = playing.bridge.sidekeys("status")
    assert (ran.returncode, "no bridge runs" in ran.stderr) == (2, True)


# Before it plays


def test_without_an_input_and_with_its_name_taken_it_says_so_and_waits(tmp_path: Path):
    with running_jack(period=PERIOD, rate=RATE):
        song = write_example(tmp_path / "song.wav", RATE)
        with running_daw(song, name="Sidekeys"), running_bridge(
            tmp_path, "--input", "nothing like it"
        ) as bridge:  # fmt: skip
            status = bridge.wait_for(lambda status: status["problems"], 20.0)
            assert status["port"] != "Sidekeys:Sidekeys"
            assert "There is no input 'nothing like it'; there are: " in status["problems"][0]
            said = bridge.said()
            assert "another program already has a MIDI port called 'Sidekeys'; this one" in said
            assert said.count(status["problems"][0]) == 1
            # The song may play though nothing was ever heard.
            problem = status["problems"][0]
            bridge.request("set", transport="manual", bpm=120.0)
            bridge.request("play")
            bridge.wait_for(
                lambda status: (
                    status["engine"]["state"] == "ready" and status["transport"]["beat"] > 2
                )
            )
            time.sleep(1.0)
            status = bridge.status()
            assert status["transport"]["playing"]
            assert problems_of(status) == [problem]
            engine = status["engine"]["pid"]
            bridge.process.send_signal(signal.SIGINT)
            assert bridge.process.wait(15) == 0
            assert not psutil.pid_exists(engine)
            assert not (tmp_path / "bridge.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have MIDI")
def test_without_a_midi_system_it_says_what_to_start(tmp_path: Path):
    if Path("/dev/snd/seq").exists():
        pytest.skip("this machine has ALSA's sequencer")
    ran = started(tmp_path, "-m", "sidekeys_bridge", "start", "--no-panel")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("sidekeys: error: no MIDI system runs here; start JACK")
    assert ran.stderr.count("\n") == 1


ON_WINDOWS = """
import sys
from sidekeys_bridge import cli, midi_output
choose = midi_output.choose_system
midi_output.choose_system = lambda api, platform: choose(api, platform="win32")
sys.exit(cli.main(sys.argv[1:]))
"""


def test_where_no_virtual_port_can_be_made_it_says_what_makes_one(tmp_path: Path):
    ran = started(tmp_path, "-c", ON_WINDOWS, "start", "--no-panel")
    assert (ran.returncode, ran.stdout) == (2, "")
    for words in ("loopMIDI", "Windows MIDI Services", "--midi-port"):
        assert words in ran.stderr
    assert ran.stderr.count("\n") == 1


def started(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "SIDEKEYS_RUNTIME": str(folder),
        "JACK_DEFAULT_SERVER": "nobody-runs-this",
        "JACK_NO_START_SERVER": "1",
    }
    return subprocess.run(
        [sys.executable, *words], env=environment, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
