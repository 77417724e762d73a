"""What a user may do to a bridge that plays: one session, commanded while the music goes on."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import zmq

from jack_server import running_jack
from live_session import (
    EXAMPLE,
    Daw,
    Recorded,
    RunningBridge,
    problems_of,
    running_bridge,
    running_daw,
    write_example,
)
from sidekeys_bridge.client import ControlClient, ControlError
from sidekeys_bridge.commands import BRIDGE
from sidekeys_bridge.connection import RUNTIME_VARIABLE, find_bridge
from sidekeys_bridge.controls import CONTROLS
from sidekeys_engine.notes import read_midi
from sidekeys_engine.protocol import Message, pack

EMBEDDED = Path(__file__).parents[2] / "engine" / "sidekeys_engine" / "weights"
RATE = 44100
PERIOD = 1024  # a shorter one is lost now and then where the DAW is written in Python
BPM = 140.0  # faster than the song is, which takes less time
BEAT_SECONDS = 60 / BPM
SIXTEENTH_SECONDS = BEAT_SECONDS / 4
DELAY = 8  # room for a machine that is busy with other tests
WINDOW_BEATS = 4
PATIENT_SECONDS = 60.0
NEAR_SECONDS = 0.1  # of a busy machine; see the benchmarks for what a quiet one reaches


@dataclass
class Session:
    """A DAW that plays, and the bridge that follows it."""

    daw: Daw
    bridge: RunningBridge
    folder: Path

    def counter(self, name: str) -> int:
        return int(self.bridge.status()["counters"][name])

    def stop_song(self) -> None:
        """Stop the song, until all that the piano played has ended at the DAW."""
        self.daw.stop()
        self.bridge.wait_for(lambda status: not status["transport"]["playing"])
        self.daw.wait_for(lambda recorded: not recorded.sounding(), 10.0)

    def wait_for_more(self, name: str = "notes_sent", more: int = 8) -> None:
        """Until a counter has gone on."""
        wanted = self.counter(name) + more
        self.bridge.wait_for(lambda status: status["counters"][name] >= wanted, PATIENT_SECONDS)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("session")
    with running_jack(period=PERIOD, rate=RATE):
        song = write_example(folder / "song.wav", RATE)
        with running_daw(song) as daw, running_bridge(
            folder, "--input", "daw", "--transport", "clock", "--delay", str(DELAY),
            "--composer", "full",
        ) as bridge:  # fmt: skip
            bridge.wait_until_ready()
            daw.play(BPM)
            yield Session(daw, bridge, folder)


@pytest.fixture
def playing(session: Session) -> Session:
    """The session, once the piano is heard, or again."""
    if not session.daw.recorded().is_playing:
        session.daw.play(BPM)
    session.wait_for_more(more=1)
    return session


def windows_of(
    session: Session, is_enough: Callable[[list[dict[str, Any]]], bool]
) -> list[dict[str, Any]]:
    """What becomes of windows from now on, until that is enough."""
    told: list[dict[str, Any]] = []
    with ControlClient(find_bridge(session.bridge.folder)) as client:
        events = client.events("window")
        deadline = time.monotonic() + PATIENT_SECONDS
        while time.monotonic() < deadline:
            if is_enough(told):
                return told
            event = events.wait(1.0)
            if event is not None:
                told.append(dict(event.content))
    raise AssertionError(f"not within {PATIENT_SECONDS} s: {told}")


# How it is


def test_the_status_tells_what_is_promised(playing: Session):
    ran = playing.bridge.sidekeys("status", "--json")
    assert ran.returncode == 0
    status = json.loads(ran.stdout)
    assert {field.name for field in BRIDGE.commands["status"].reply} == set(status)
    assert (status["state"], status["composer"]) == ("playing", "full")
    assert status["port"].startswith("Sidekeys:")
    assert (status["mode"], status["delay_beats"], status["problems"]) == ("echo", DELAY, [])
    transport = status["transport"]
    assert (transport["source"], transport["playing"], transport["beat"] > 0) == (
        "clock", True, True,
    )  # fmt: skip
    assert transport["bpm"] == pytest.approx(BPM, abs=0.5)
    assert (status["engine"]["state"], status["engine"]["device"]) == ("ready", "cpu")
    assert status["engine"]["pid"] != status["bridge"]["pid"] == playing.bridge.process.pid
    assert set(status["counters"]) >= {
        "notes_sent", "late_notes_dropped", "windows_done", "windows_missed", "input_overflows",
        "sounding",
    }  # fmt: skip
    assert set(status["controls"]) == {control.name for control in CONTROLS}
    assert "bpm in 4/4, bar" in playing.bridge.sidekeys("status").stdout


def test_a_watcher_is_told_what_happens_a_line_each(playing: Session):
    with subprocess.Popen(
        [sys.executable, "-m", "sidekeys_bridge", "watch", "--json", "notes", "status"],
        env={**os.environ, RUNTIME_VARIABLE: str(playing.bridge.folder)},
        stdout=subprocess.PIPE,
        text=True,
    ) as watcher:
        assert watcher.stdout is not None
        kinds: set[str] = set()
        while len(kinds) < 2:
            event = json.loads(watcher.stdout.readline())
            kinds.add(event["type"])
            if event["type"] == "notes":
                assert len(event["content"]["notes"][0]) == 5
        watcher.terminate()


def test_a_watcher_is_told_what_was_heard_and_what_was_made_of_it(playing: Session):
    told: dict[str, list[dict[str, Any]]] = {"heard": [], "window": [], "notes": []}
    with ControlClient(find_bridge(playing.bridge.folder)) as client:
        events = client.events(*told)
        deadline = time.monotonic() + PATIENT_SECONDS
        first_beats: float | None = None
        # Until what the first window told of has been handed to the piano.
        while first_beats is None or not any(
            row[0] > first_beats + DELAY + WINDOW_BEATS
            for event in told["notes"]
            for row in event["notes"]
        ):
            assert time.monotonic() < deadline
            event = events.wait(1.0)
            if event is not None:
                told[event.type].append(dict(event.content))
            if first_beats is None and told["window"]:
                first_beats = told["window"][0]["start_beats"]
    rows = [row for window in told["window"] for row in window["rows"]]
    for window in told["window"]:
        assert len(window["rows"]) > 0
        for onset, duration, _, velocity in window["rows"]:
            assert window["start_beats"] - 0.01 <= onset < window["start_beats"] + WINDOW_BEATS
            assert duration > 0
            assert velocity is None or 1 <= velocity <= 127
    # What is played is what was told, so many beats later; hands may leave some out.
    told_keys = {(round(4 * onset), pitch) for onset, _, pitch, _ in rows}
    played_keys = {
        (round(4 * (row[0] - DELAY)), row[2])
        for event in told["notes"]
        for row in event["notes"]
        if row[0] > first_beats + DELAY + 0.1
    }
    assert played_keys
    assert played_keys <= told_keys
    # A picture without gaps, of the sound before each of these moments.
    assert len(told["heard"]) > 5
    for before, after in itertools.pairwise(told["heard"]):
        end_beats = before["start_beats"] + before["beats_per_column"] * len(before["columns"])
        assert after["start_beats"] == pytest.approx(end_beats, abs=0.05)
    assert max(max(bytes.fromhex(column)) for column in told["heard"][-1]["columns"]) > 100


# What changes while it plays


def test_another_composer_plays_from_the_next_window_on(playing: Session):
    assert playing.bridge.sidekeys("set", "composer", "stride").returncode == 0
    assert playing.bridge.status()["composer"] == "stride"
    told = windows_of(playing, lambda told: len(told) >= 3)
    # At most the one that was on its way has the old one.
    assert [window["composer"] for window in told[1:]] == ["stride", "stride"]
    assert {window["result"] for window in told} == {"done"}


def test_a_composer_that_there_is_not_is_refused_with_those_there_are(playing: Session):
    ran = playing.bridge.sidekeys("set", "composer", "nobody", "transpose", "5")
    assert ran.returncode == 2
    assert "there is no composer 'nobody'; there are" in ran.stderr
    status = playing.bridge.status()
    assert (status["composer"], status["controls"]["transpose"]) == ("stride", 0)


def test_the_daw_automates_composers_and_controls(playing: Session):
    composers = list(playing.bridge.request("composers")["composers"])
    playing.daw.do("send", message=[0xC0, composers.index("full")])
    playing.bridge.wait_for(lambda status: status["composer"] == "full", 5.0)
    transpose = next(control for control in CONTROLS if control.name == "transpose")
    playing.daw.do("send", message=[0xB0, transpose.cc, 127])
    playing.bridge.wait_for(lambda status: status["controls"]["transpose"] == 24, 5.0)
    playing.bridge.request("set", transpose=0)
    playing.daw.do("send", message=[0xC0, 127])  # there are not so many
    playing.wait_for_more()
    assert playing.bridge.status()["composer"] == "full"


def test_a_panic_releases_all_at_once_and_the_piano_goes_on(playing: Session):
    ran = playing.bridge.sidekeys("panic")
    assert ran.returncode == 0
    before = playing.daw.recorded()
    playing.wait_for_more()
    messages = playing.daw.recorded().messages
    silenced = [seconds for seconds, data in messages if data[0] & 0xF0 == 0xB0 and data[1] == 123]
    assert silenced
    at_panic = Recorded(
        [message for message in messages if message[0] <= silenced[-1]], [], True, 0.0
    )
    assert not at_panic.sounding()
    assert before.is_playing


def test_another_checkpoint_plays_once_it_is_warm_and_one_that_is_none_is_told(
    playing: Session, tmp_path: Path
):
    other = tmp_path / "mine"
    shutil.copytree(EMBEDDED, other)
    playing.bridge.request("load-checkpoint", checkpoint=str(other))
    with pytest.raises(ControlError, match="is being loaded already"):
        playing.bridge.request("load-checkpoint", checkpoint="builtin")
    playing.bridge.wait_for(lambda status: status["engine"]["checkpoint"] == str(other))
    playing.wait_for_more()
    assert problems_of(playing.bridge.status()) == []
    playing.bridge.request("load-checkpoint", checkpoint=str(tmp_path / "nothing"))
    status = playing.bridge.wait_for(lambda status: problems_of(status) != [])
    assert "nothing" in problems_of(status)[0]
    assert status["engine"]["checkpoint"] == str(other)
    playing.wait_for_more()
    playing.bridge.request("load-checkpoint", checkpoint="builtin")
    playing.bridge.wait_for(
        lambda status: status["engine"]["checkpoint"] == "builtin" and problems_of(status) == []
    )


# What others do to it


def test_what_is_no_command_is_answered_in_words_and_the_music_goes_on(playing: Session):
    connection = find_bridge(playing.bridge.folder)
    missed = playing.counter("windows_missed")
    dropped = playing.counter("late_notes_dropped")
    huge = Message("set", "3", {"input": "x" * 1_000_000}, token=connection.token)
    wrong = Message("panic", "4", {}, token="guessed")
    unknown = Message("explode", "5", {}, token=connection.token)
    beyond = Message("set", "6", {"transpose": 99}, token=connection.token)
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(connection.endpoint)
        for frames in ([b"\xff\x00{", b"x" * 1000], pack(wrong), pack(unknown), pack(beyond)):
            socket.send_multipart(frames)
        replies = []
        for _ in range(4):
            assert socket.poll(10_000)
            replies.append(json.loads(socket.recv_multipart()[0]))
        codes = [reply["content"]["code"] for reply in replies]
        assert codes == ["malformed", "unauthorized", "unknown", "invalid"]
        assert all(len(reply["content"]["message"]) > 20 for reply in replies)
        socket.send_multipart(pack(huge))
        socket.send_multipart([b"x" * 1000] * 5000)
        for _ in range(3000):
            socket.send_multipart(pack(wrong))
    playing.wait_for_more()
    refused = playing.bridge.request("health")["requests"]
    assert refused["unauthorized"] > 1
    assert playing.counter("windows_missed") == missed
    assert playing.counter("late_notes_dropped") == dropped


def test_clients_that_never_read_slow_nobody(playing: Session):
    connection = find_bridge(playing.bridge.folder)
    missed = playing.counter("windows_missed")
    with zmq.Context() as context, context.socket(zmq.DEALER) as asks, context.socket(
        zmq.SUB
    ) as listens:  # fmt: skip
        for socket in (asks, listens):
            socket.linger, socket.rcvhwm = 0, 1
        asks.connect(connection.endpoint)
        listens.plain_username = b"sidekeys"
        listens.plain_password = connection.token.encode()
        listens.connect(connection.events_endpoint)
        listens.subscribe(b"")
        for number in range(1500):
            asks.send_multipart(pack(Message("status", str(number), {}, token=connection.token)))
        playing.wait_for_more()
        started = time.monotonic()
        playing.bridge.status()
        assert time.monotonic() - started < 2.0
    assert playing.counter("windows_missed") == missed


def test_a_second_bridge_is_told_which_one_runs(playing: Session):
    ran = playing.bridge.sidekeys("start", "--no-panel")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert f"a bridge runs already: process {playing.bridge.process.pid}" in ran.stderr
    assert "sidekeys stop" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert playing.bridge.status()["state"] == "playing"


def test_a_song_can_be_rendered_beside_the_music(playing: Session, tmp_path: Path):
    file = tmp_path / "cover.mid"
    ran = playing.bridge.sidekeys(
        "render", str(EXAMPLE), "--engine", "--end", "0:25", "-o", str(file), seconds=120
    )
    assert ran.returncode == 0, ran.stderr
    assert len(read_midi(file).notes) > 50
    # The windows that are heard meanwhile come first; on a busy machine one may be late.
    playing.wait_for_more()


# What was played


def test_what_is_kept_is_what_the_daw_recorded(playing: Session, tmp_path: Path):
    playing.stop_song()
    playing.daw.play(BPM)
    beats = DELAY + 3 * WINDOW_BEATS
    playing.daw.wait_for(lambda recorded: last_seconds(recorded) > beats * BEAT_SECONDS)
    playing.stop_song()
    kept, session = tmp_path / "kept.mid", tmp_path / "session.mid"
    assert playing.bridge.sidekeys("record", str(session)).returncode == 0
    ran = playing.bridge.sidekeys("keep", "2", str(kept))
    assert ran.returncode == 0, ran.stderr
    assert "2 bars" in ran.stdout
    live = [
        (round(note.onset_seconds / BEAT_SECONDS, 1), note.pitch, note.velocity)
        for note in playing.daw.recorded().notes()
    ]
    score = read_midi(session)
    last_run = score.end_beats - max(beat for beat, *_ in live)
    written = [(note.onset_beats, note.pitch, note.velocity) for note in score.notes]
    # The session has all runs one after another, this one last.
    assert [note[1:] for note in written[-len(live) :]] == [note[1:] for note in sorted(live)]
    assert last_run > 0
    notes = read_midi(kept).notes
    assert notes
    assert {(n.pitch, n.velocity) for n in notes} <= {note[1:] for note in live}


def last_seconds(recorded: Recorded) -> float:
    return recorded.messages[-1][0] if recorded.messages else 0.0


# Loops


def test_a_loop_is_played_in_place_from_its_second_pass_on(session: Session):
    session.stop_song()
    assert session.bridge.sidekeys("set", "mode", "loop").returncode == 0
    session.daw.play(BPM, loop_beats=8)
    recorded = session.daw.wait_for(
        lambda recorded: (
            len(recorded.pass_seconds) == 4
            and last_seconds(recorded) > recorded.pass_seconds[3] + BEAT_SECONDS
        )
    )
    session.stop_song()
    assert session.bridge.status()["mode"] == "loop"
    notes = session.daw.recorded().notes()
    starts = [*recorded.pass_seconds, notes[-1].onset_seconds + 1]
    passes = [
        [note for note in notes if start <= note.onset_seconds + NEAR_SECONDS / 2 < end]
        for start, end in itertools.pairwise(starts)
    ]
    assert not passes[0]
    # The second pass told that it is a loop; from the third on its start is foreseen.
    for number in (2, 3):
        places = [note.onset_seconds - starts[number] for note in passes[number]]
        steps = [round(place / SIXTEENTH_SECONDS) for place in places]
        wrong = [
            place - step * SIXTEENTH_SECONDS for place, step in zip(places, steps, strict=True)
        ]
        print(f"pass {number}: {len(places)} notes, {1e3 * max(map(abs, wrong)):.1f} ms off")
        assert max(map(abs, wrong)) < NEAR_SECONDS / 2
        assert 0 in steps
    # Nothing sounds across the wrap.
    assert all(note.end_seconds < starts[3] + NEAR_SECONDS for note in passes[2])
    session.bridge.request("set", mode="echo")


# Other inputs


def test_another_input_is_heard_while_it_runs(session: Session):
    other = write_example(session.folder / "other.wav", 48000)
    ran = session.bridge.sidekeys("set", "input", f"file:{other}")
    assert ran.returncode == 0
    session.bridge.wait_for(
        lambda status: status["input"]["connected"] and status["input"]["rate"] == 48000, 10.0
    )
    session.daw.play(BPM)
    session.wait_for_more()
    with pytest.raises(ControlError, match="no such file"):
        session.bridge.request("set", input="file:/nowhere.wav", mode="loop")
    status = session.bridge.status()
    assert (status["mode"], status["input"]["rate"]) == ("echo", 48000)
    assert session.bridge.sidekeys("set", "input", "daw").returncode == 0
    session.bridge.wait_for(lambda status: status["input"]["name"] == "daw", 10.0)
    session.wait_for_more()


# Its end: last of all


def test_stop_releases_all_and_leaves_nothing(playing: Session):
    status = playing.bridge.status()
    playing.daw.wait_for(lambda recorded: bool(recorded.sounding()))
    ran = playing.bridge.sidekeys("stop")
    assert (ran.returncode, ran.stdout) == (0, "the bridge has ended.\n")
    assert playing.bridge.process.wait(10) == 0
    assert not playing.daw.recorded().sounding()
    assert not (playing.bridge.folder / "bridge.json").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(status["engine"]["pid"], 0)
    assert playing.bridge.sidekeys("status").returncode == 2
