"""A bridge whose DAW tells the song by a script: in a loop, and with our own piano on the bus."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import jack
import pytest

from jack_server import running_jack
from live_session import (
    EXAMPLE_BPM,
    Daw,
    Note,
    RunningBridge,
    running_bridge,
    running_daw,
    write_example,
)
from sidekeys_bridge.client import ControlClient
from sidekeys_bridge.connection import find_bridge

FONT = "/usr/share/sounds/sf2/FluidR3_GM.sf2"
RATE = 44100
PERIOD = 1024  # a shorter one is lost now and then where the DAW is written in Python
BEAT_SECONDS = 60 / EXAMPLE_BPM
SIXTEENTH_SECONDS = BEAT_SECONDS / 4
LOOP_BEATS = 8
NEAR_SECONDS = 0.05  # of a busy machine
PUSH_SECONDS = 0.1


@dataclass
class Session:
    """A DAW that sends no clock, and the bridge that it tells the song by pushes."""

    daw: Daw
    bridge: RunningBridge

    @contextlib.contextmanager
    def playing(self, loop_beats: int | None = None) -> Iterator[None]:
        """The song plays from its start, and the script says where it is."""
        self.daw.play(EXAMPLE_BPM, loop_beats=loop_beats, clock=False)
        while not self.daw.recorded().start_seconds:
            time.sleep(0.01)
        time.sleep(0.1)  # it begins with JACK's next period
        ended = threading.Event()
        start_seconds = self.daw.recorded().start_seconds
        script = threading.Thread(target=self._push, args=(ended, start_seconds, loop_beats))
        script.start()
        try:
            yield
        finally:
            ended.set()
            script.join()
            self.daw.stop()
        self.bridge.wait_for(
            lambda status: (
                not status["transport"]["playing"] and status["counters"]["sounding"] == 0
            ),
            10.0,
        )
        # JACK brings the last note-off a period later.
        self.daw.wait_for(lambda recorded: not recorded.sounding(), 10.0)

    def _push(self, ended: threading.Event, start_seconds: float, loop_beats: int | None) -> None:
        with ControlClient(find_bridge(self.bridge.folder), within_seconds=30.0) as client:
            while True:
                is_over = ended.wait(PUSH_SECONDS)
                beat = (time.monotonic() - start_seconds) / BEAT_SECONDS
                content = {"playing": not is_over, "bpm": EXAMPLE_BPM, "meter": "4/4"}
                if loop_beats is not None:
                    beat %= loop_beats
                    content["loop"] = [0, loop_beats]
                client.request("push-transport", {**content, "beat": beat})
                if is_over:
                    return


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    folder = tmp_path_factory.mktemp("session")
    with running_jack(period=PERIOD, rate=RATE):
        song = write_example(folder / "song.wav", RATE)
        with running_daw(song) as daw, running_bridge(
            folder, "--input", "daw", "--transport", "script", "--mode", "loop",
            "--composer", "arpeggio",
        ) as bridge:  # fmt: skip
            bridge.wait_until_ready()
            yield Session(daw, bridge)


def test_a_loop_that_a_script_tells_of_is_played_in_place(session: Session):
    with session.playing(LOOP_BEATS):
        status = session.bridge.wait_for(lambda status: status["transport"]["playing"], 5.0)
        assert status["transport"]["source"] == "script"
        assert status["transport"]["loop"] == [0, LOOP_BEATS]
        session.daw.wait_for(
            lambda recorded: (
                len(recorded.pass_seconds) == 4
                and recorded.messages[-1][0] > recorded.pass_seconds[3] + BEAT_SECONDS
            )
        )
    recorded = session.daw.recorded()
    notes = recorded.notes()
    starts = [*recorded.pass_seconds[:4], notes[-1].onset_seconds + 1]
    passes: list[list[Note]] = [
        [note for note in notes if start <= note.onset_seconds + NEAR_SECONDS / 2 < end]
        for start, end in itertools.pairwise(starts)
    ]
    assert not passes[0]
    # The script told of the loop from the start, so that the first wrap is foreseen.
    for number in (1, 2):
        places = [note.onset_seconds - starts[number] for note in passes[number]]
        steps = [round(place / SIXTEENTH_SECONDS) for place in places]
        wrong = [
            abs(place - step * SIXTEENTH_SECONDS) for place, step in zip(places, steps, strict=True)
        ]
        print(f"pass {number}: {len(places)} notes, {1e3 * max(wrong):.1f} ms off")
        assert max(wrong) < NEAR_SECONDS
    # What the script told late of the first pass is known from the second: all of the loop is
    # played, and nothing sounds across the wrap.
    assert min(steps) == 0
    assert max(step for step in steps) >= 4 * (LOOP_BEATS - 2)
    assert all(note.end_seconds < starts[3] + NEAR_SECONDS for note in passes[2])


def test_our_own_piano_on_the_bus_is_told(session: Session):
    # Who plays much that the song does not is heard soonest.
    session.bridge.request("set", mode="echo", delay="6", composer="arpeggio")
    with fluidsynth(), session.playing():
        session.bridge.wait_for(lambda status: status["counters"]["notes_sent"] > 0)
        connect(session.bridge.status()["port"])
        started_seconds = time.monotonic()
        session.bridge.wait_for(
            lambda status: any("our own piano comes back" in p for p in status["problems"]), 120.0
        )
        print(f"told after {time.monotonic() - started_seconds:.1f} s")


@contextlib.contextmanager
def fluidsynth() -> Iterator[None]:
    """A piano in JACK, called "piano"."""
    options = {
        "audio.jack.id": "piano", "midi.jack.id": "piano", "audio.jack.autoconnect": "0",
        "synth.reverb.active": "0", "synth.chorus.active": "0", "synth.sample-rate": str(RATE),
        "synth.gain": "0.8",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    with subprocess.Popen(
        ["fluidsynth", "-a", "jack", "-m", "jack", "-q", "-i", "-s", *words, FONT],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            yield
        finally:
            process.kill()


def connect(port: str) -> None:
    """Plug our MIDI port into the piano, and the piano into what we hear."""
    with jack.Client("patch bay", no_start_server=True) as client:
        deadline = time.monotonic() + 20
        while not (keys := client.get_ports("piano", is_midi=True, is_input=True)):
            assert time.monotonic() < deadline, "fluidsynth does not come"
            time.sleep(0.05)
        client.connect(port, keys[0])
        ears = client.get_ports("Sidekeys In", is_audio=True, is_input=True)
        sounds = client.get_ports("piano", is_audio=True, is_output=True)
        assert len(ears) == 2
        for sound, ear in zip(sounds[:2], ears, strict=True):
            client.connect(sound, ear)
