"""The engine process: right notes, prompt refusals, and nothing that a client sends ends it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq

from engine_process import RunningEngine, Talk, running_engine
from sidekeys_engine.audio import load_audio
from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.errors import InputError
from sidekeys_engine.note_tokens import StepNote
from sidekeys_engine.pianist import Pianist, Taste
from sidekeys_engine.protocol import ENGINE, VERSION, Message, pack
from sidekeys_engine.render import GridChoice, Job, render_song
from sidekeys_engine.server import Server, is_local

EXAMPLES = Path(__file__).parents[2] / "examples"
SONG = EXAMPLES / "paper_lanterns.ogg"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    with running_engine(tmp_path_factory.mktemp("engine") / "engine.json") as running:
        with running.talk() as talk:
            talk.until_state("ready")
        yield running
        assert running.process.poll() is None, "a test ended the engine"


@pytest.fixture
def talk(engine: RunningEngine) -> Iterator[Talk]:
    with engine.talk() as one:
        yield one


@pytest.fixture(scope="module")
def pianist() -> Pianist:
    return Pianist.from_pretrained(device="cpu")


@pytest.fixture(scope="module")
def song(pianist: Pianist) -> np.ndarray:
    return load_audio(SONG, sampling_rate=pianist.sampling_rate).samples


@pytest.fixture(scope="module")
def grid() -> BeatGrid:
    return BeatGrid.from_file(EXAMPLES / "paper_lanterns.beats")


@pytest.fixture(scope="module")
def moments(pianist: Pianist, song: np.ndarray, grid: BeatGrid) -> np.ndarray:
    """(windows, steps) of the whole song."""
    steps, context = pianist.steps_per_window, pianist.context_steps
    windows = grid.windows(
        0.0, len(song) / pianist.sampling_rate, window_beats=pianist.window_beats
    )
    return np.stack([grid.seconds_at(w.step_positions(steps, before=context)) for w in windows])


def window(song: np.ndarray, steps: np.ndarray, **changes: Any) -> tuple[dict[str, Any], bytes]:
    """A window's request as a bridge makes it: its own seconds of sound, and moments in them."""
    rate = 22050
    first = int(steps[0] * rate) - 100
    sound = song[max(0, first) : int(steps[-1] * rate) + 100]
    content = {
        "composer": "full",
        "sampling_rate": rate,
        "step_seconds": (steps - max(0, first) / rate).tolist(),
        "within_seconds": 60,
    }
    return {**content, **changes}, sound.astype("<f4").tobytes()


def step_notes(answer: Message) -> list[StepNote]:
    assert answer.type == "ok", answer
    return [StepNote(*row) for row in answer.content["notes"]]


def code_of(answer: Message) -> str:
    assert answer.type == "error", answer
    return str(answer.content["code"])


# --- describe and health ---


def test_it_tells_what_it_plays(talk: Talk, pianist: Pianist, engine: RunningEngine):
    found = talk.ask("describe").content
    assert found["state"] == "ready"
    assert found["checkpoint"] == "builtin"
    assert (found["sampling_rate"], found["context_steps"]) == (22050, pianist.context_steps)
    assert found["steps_per_window"] == pianist.steps_per_window
    assert found["composer_default"] == next(iter(found["composers"])) == "full"
    assert (found["device"], found["has_velocity"], found["held_notes"]) == ("cpu", True, True)
    assert 0 < found["generation_seconds"] < 60
    assert found["pid"] == engine.process.pid


def test_replies_are_what_the_table_says(talk: Talk, song: np.ndarray, moments: np.ndarray):
    # The client checks every reply; this one looks at the bare frames.
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    try:
        socket.connect(talk.client.socket.getsockopt_string(zmq.LAST_ENDPOINT))
        content, sound = window(song, moments[4])
        token = talk.client._token
        for kind, fields, buffers in (
            ("describe", {}, ()), ("health", {}, ()), ("generate", content, (sound,)),
        ):  # fmt: skip
            socket.send_multipart(pack(Message(kind, "x", fields, buffers, token)))
            reply = json.loads(socket.recv_multipart()[0])
            assert (reply["v"], reply["type"], reply["id"]) == (VERSION, "ok", "x")
            ENGINE.check_reply(kind, Message("ok", "x", reply["content"]))
    finally:
        context.destroy(linger=0)


# --- windows ---


def test_the_windows_notes_are_those_of_the_offline_path(
    talk: Talk, pianist: Pianist, song: np.ndarray, moments: np.ndarray
):
    offline = pianist.play(song, moments[:12], "full")
    requests = []
    for steps in moments[:12]:
        content, sound = window(song, steps)
        requests.append(
            talk.client.request(
                "generate", content, (sound,), now_seconds=time.monotonic(), within_seconds=60
            )
        )
    live = [step_notes(talk.answer(request)) for request in requests]
    assert live[1:] == offline[1:]
    assert live[0] == []  # nothing sounds in it
    assert sum(map(len, live)) > 100


def test_a_take_is_drawn_alike_live_and_offline(
    talk: Talk, pianist: Pianist, song: np.ndarray, moments: np.ndarray
):
    taste = Taste(temperature=1.0, seed=7)
    offline = pianist.play(song, moments[:6], "ballad", taste=taste)
    changes = {"composer": "ballad", "temperature": 1.0, "seed": 7}
    for number in (5, 3):
        content, sound = window(song, moments[number], window_number=number, **changes)
        assert step_notes(talk.ask("generate", content, (sound,))) == offline[number]


def test_windows_of_several_clients_share_batches(
    engine: RunningEngine, pianist: Pianist, song: np.ndarray, moments: np.ndarray
):
    composers = ("full", "block", "arpeggio", "stride", "virtuoso", "lead-sheet")
    alone = [
        pianist.play(song, moments[index + 2 : index + 3], name)[0]
        for index, name in enumerate(composers)
    ]
    with engine.talk() as counter:
        before = counter.ask("health").content
        found: dict[int, list[StepNote]] = {}

        def play(index: int) -> None:
            with engine.talk() as talk:
                content, sound = window(song, moments[index + 2], composer=composers[index])
                found[index] = step_notes(talk.ask("generate", content, (sound,)))

        threads = [threading.Thread(target=play, args=(index,)) for index in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = counter.ask("health").content
    assert [found[index] for index in range(6)] == alone
    assert after["windows_done"] - before["windows_done"] == 6
    assert after["batches"] - before["batches"] < 6


def test_a_silent_window_has_no_notes(talk: Talk, song: np.ndarray, moments: np.ndarray):
    content, _ = window(song, moments[4])
    for sound in (np.zeros(60_000, "<f4"), np.zeros(0, "<f4"), np.full(60_000, 1e-5, "<f4")):
        answer = talk.ask("generate", content, (sound.tobytes(),))
        assert (answer.content["notes"], answer.content["silent"]) == ([], True)


def test_the_first_window_is_as_fast_as_the_tenth(tmp_path: Path, song: np.ndarray, moments: Any):
    with running_engine(tmp_path / "engine.json") as running, running.talk() as talk:
        talk.until_state("ready")
        took = [
            talk.ask("generate", *with_buffer(window(song, moments[5]))).content["took_seconds"]
            for _ in range(10)
        ]
    # The machine is shared: a cold first window took ten times as long, noise takes three times.
    assert took[0] < 3 * float(np.median(took[1:]))


def with_buffer(request: tuple[dict[str, Any], bytes]) -> tuple[dict[str, Any], tuple[bytes]]:
    return request[0], (request[1],)


# --- deadlines ---


def test_what_would_be_late_is_refused_at_once(talk: Talk, song: np.ndarray, moments: np.ndarray):
    content, sound = window(song, moments[4], within_seconds=0.005)
    started = time.monotonic()
    assert code_of(talk.ask("generate", content, (sound,))) == "late"
    generation = talk.ask("describe").content["generation_seconds"]
    assert time.monotonic() - started < generation
    assert talk.ask("health").content["windows_refused"] > 0


def test_a_waiting_window_can_be_cancelled(talk: Talk, song: np.ndarray, moments: np.ndarray):
    content, sound = window(song, moments[4])
    now = time.monotonic()
    first, second = (
        talk.client.request(
            "generate", {**content, "seed": n, "temperature": 1}, (sound,),
            now_seconds=now, within_seconds=60,
        )
        for n in (1, 2)
    )  # fmt: skip
    assert talk.ask("cancel", {"target": second}).type == "ok"
    assert code_of(talk.answer(second)) == "cancelled"
    assert talk.answer(first).type == "ok"
    assert code_of(talk.ask("cancel", {"target": second})) == "unknown"


def test_a_client_cannot_cancel_the_window_of_another(
    engine: RunningEngine, song: np.ndarray, moments: np.ndarray
):
    content, sound = window(song, moments[4])
    with engine.talk() as one, engine.talk() as other:
        now = time.monotonic()
        requests = [
            one.client.request("generate", content, (sound,), now_seconds=now, within_seconds=60)
            for _ in range(3)
        ]
        assert code_of(other.ask("cancel", {"target": requests[-1]})) == "unknown"
        assert all(one.answer(request).type == "ok" for request in requests)


# --- songs ---


def test_a_render_is_accepted_at_once_and_equals_the_offline_one(
    talk: Talk, pianist: Pianist, tmp_path: Path
):
    midi = tmp_path / "out.mid"
    fields = {"song": str(SONG), "composer": "block", "grid": str(SONG.with_suffix(".beats"))}
    job = talk.ask("render", {**fields, "midi": str(midi)}).content["job"]
    assert talk.ask("health").content["jobs"] == [job]
    health: list[float] = []
    while talk.ask("health").content["jobs"]:
        started = time.monotonic()
        talk.ask("health")
        health.append(time.monotonic() - started)
    # Milliseconds; the machine is shared, so that one of many may wait for a core.
    assert float(np.median(health)) < 0.02
    finished = talk.event("finished", job).content["result"]
    offline = tmp_path / "offline.mid"
    choice = GridChoice(file=SONG.with_suffix(".beats"))
    cover = render_song(Job(song=SONG, midi=offline, composer="block", grid=choice), pianist)
    assert (finished["midi"], finished["notes"]) == (str(midi), cover.notes)
    assert cover.notes > 100
    assert midi.read_bytes() == offline.read_bytes()


def test_samples_are_rendered_and_the_midi_file_is_sent(
    talk: Talk, song: np.ndarray, moments: np.ndarray
):
    part = song[: 12 * 22050].astype("<f4").tobytes()
    fields = {"composer": "full", "sampling_rate": 22050, "bpm": 100, "first_beat_seconds": 0.5}
    job = talk.ask("render", fields, (part,)).content["job"]
    # Windows are answered meanwhile.
    content, sound = window(song, moments[4])
    assert step_notes(talk.ask("generate", content, (sound,)))
    event = talk.event("finished", job)
    assert event.buffers[0].startswith(b"MThd")
    assert event.content["result"]["midi"] is None
    assert event.content["result"]["bpm"] == 100


def test_a_render_can_be_cancelled(talk: Talk, tmp_path: Path):
    fields = {"song": str(SONG), "composer": "full", "bpm": 100, "midi": str(tmp_path / "x.mid")}
    job = talk.ask("render", fields).content["job"]
    assert talk.ask("cancel", {"target": job}).type == "ok"
    failed = talk.event("failed", job)
    assert failed.content["code"] == "cancelled"
    assert list(tmp_path.iterdir()) == []
    assert talk.ask("health").content["jobs"] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"composer": "nobody"}, "There is no composer 'nobody'"),
        ({"start": "somewhere"}, "no place in a song"),
        ({"meter": "4/5"}, "no meter"),
        ({"bpm": 120, "grid": "x.beats"}, "not both"),
        ({"song": None}, "path of a song or the samples"),
        ({"sampling_rate": 44100}, "only with them"),
    ],
)
def test_a_render_that_cannot_be_is_refused_at_once(talk: Talk, change: dict[str, Any], words: str):
    answer = talk.ask("render", {"song": str(SONG), "composer": "full", **change})
    assert code_of(answer) == "invalid"
    assert words in answer.content["message"]


def test_a_render_that_fails_says_why(talk: Talk, tmp_path: Path):
    job = talk.ask("render", {"song": str(tmp_path / "no.wav"), "composer": "full"}).content["job"]
    failed = talk.event("failed", job)
    assert failed.content["code"] == "failed"
    assert "no.wav" in failed.content["message"]


def test_beats_are_found(talk: Talk):
    audio = load_audio(SONG, sampling_rate=22050)
    part = audio.samples[: 20 * 22050].astype("<f4").tobytes()
    fields = {"sampling_rate": 22050, "tracker": "librosa"}
    found = talk.ask("track-beats", fields, (part,)).content
    truth = BeatGrid.from_file(SONG.with_suffix(".beats")).seconds
    beats = np.array(found["beat_seconds"])
    inside = beats[(beats > 2) & (beats < 19)]
    assert found["meter"] == "4/4"
    assert len(inside) > 20
    assert np.median(np.abs(inside[:, None] - truth).min(1)) < 0.05
    assert set(found["downbeat_seconds"]) <= set(found["beat_seconds"])
    silent = talk.ask("track-beats", fields, (bytes(4 * 44100),))
    assert code_of(silent) == "failed"
    assert "silent" in silent.content["message"]


# --- checkpoints ---


def test_another_checkpoint_is_loaded_while_windows_go_on(
    tmp_path: Path, small_reference: Path, song: np.ndarray, moments: np.ndarray
):
    with running_engine(tmp_path / "engine.json") as running, running.talk() as talk:
        talk.until_state("ready")
        missing = talk.ask("load", {"checkpoint": str(tmp_path / "nothing")}).content["job"]
        assert "nothing" in talk.event("failed", missing).content["message"]
        still = talk.ask("describe").content
        assert (still["state"], still["checkpoint"]) == ("ready", "builtin")
        assert "nothing" in still["problem"]
        job = talk.ask("load", {"checkpoint": str(small_reference)}).content["job"]
        assert code_of(talk.ask("load", {"checkpoint": "builtin"})) == "busy"
        content, sound = window(song, moments[4])
        assert step_notes(talk.ask("generate", content, (sound,)))
        talk.event("finished", job)
        now = talk.ask("describe").content
        assert (now["state"], now["checkpoint"]) == ("ready", str(small_reference))
        assert now["problem"] is None
        assert now["steps_per_window"] != len(content["step_seconds"]) - 5


def test_a_checkpoint_that_cannot_be_loaded_leaves_an_engine_that_says_so(tmp_path: Path):
    options = ("--checkpoint", str(tmp_path / "nothing"))
    with running_engine(tmp_path / "engine.json", *options) as running, running.talk() as talk:
        failed = talk.until_state("failed").content
        assert "nothing" in failed["problem"]
        refused = talk.ask("generate", {"composer": "a", "sampling_rate": 22050,
                                        "step_seconds": [0, 1]}, (b"",))  # fmt: skip
        assert code_of(refused) == "not-ready"


# --- what must not end it ---


@pytest.mark.parametrize(
    ("change", "sound", "code"),
    [
        ({"sampling_rate": 44100}, None, "invalid"),
        ({"composer": "nobody"}, None, "invalid"),
        ({"step_seconds": [0.0, 1.0]}, None, "invalid"),
        ({"step_seconds": [0.0] * 21}, None, "invalid"),
        ({"step_seconds": [0.1 * n for n in range(21, 0, -1)]}, None, "invalid"),
        ({"step_seconds": [10.0 * n for n in range(21)]}, None, "invalid"),
        ({"step_seconds": "all"}, None, "invalid"),
        ({"temperature": -1}, None, "invalid"),
        ({}, b"abc", "invalid"),
        ({}, np.array([0, np.nan, 1, 1], "<f4").tobytes(), "invalid"),
        ({}, np.array([0, np.inf, 1, 1], "<f4").tobytes(), "invalid"),
        ({}, bytes(1 << 25), "too-large"),
    ],
)
def test_a_broken_window_is_refused(
    talk: Talk, song: np.ndarray, moments: np.ndarray, change: Any, sound: Any, code: str
):
    content, good = window(song, moments[4])
    answer = talk.ask("generate", {**content, **change}, (good if sound is None else sound,))
    assert code_of(answer) == code
    assert answer.content["message"].endswith(".")
    assert "Error" not in answer.content["message"]


def test_a_wrong_token_is_refused_whatever_is_asked(engine: RunningEngine):
    for token in ("", "wrong", "é" * 40, engine.connection.token[:-1]):
        with engine.talk(token=token) as stranger:
            for command in ("describe", "shut-down", "health"):
                assert code_of(stranger.ask(command)) == "unauthorized"


def test_garbage_is_answered_or_dropped(engine: RunningEngine, talk: Talk):
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    try:
        socket.connect(engine.connection.endpoint)
        token = engine.connection.token
        huge = b'{"v":1,"type":"describe","id":"1","content":{"a":"' + b"x" * (3 << 20) + b'"}}'
        for frames, code in (
            ([b""], "malformed"),
            ([b"\xff" * 1000], "malformed"),
            ([b"[" * 500_000], "malformed"),
            ([huge], "too-large"),
            ([b"{}", *[b"x"] * 50], "malformed"),
            (pack(Message("explode", "1", {}, token=token)), "unknown"),
            (pack(Message("describe", "1", {"x": 1}, token=token)), "invalid"),
            (pack(Message("describe", "1", {}, (b"x",), token)), "invalid"),
            (pack(Message("describe", "1", {})), "unauthorized"),
        ):
            socket.send_multipart(frames)
            assert socket.poll(20_000), frames[0][:50]
            reply = json.loads(socket.recv_multipart()[0])
            assert (reply["type"], reply["content"]["code"]) == ("error", code)
        socket.send_multipart([b"x"] * 3000)
        socket.recv_multipart()
    finally:
        context.destroy(linger=0)
    assert talk.ask("health").type == "ok"


def test_a_client_that_never_reads_costs_the_others_nothing(engine: RunningEngine, talk: Talk):
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.RCVHWM, 1)
    try:
        socket.connect(engine.connection.endpoint)
        request = pack(Message("describe", "1", {}, token=engine.connection.token))
        for _ in range(3000):
            socket.send_multipart(request)
        assert talk.ask("health", within=20).type == "ok"
    finally:
        context.destroy(linger=0)


# --- where it listens ---


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        ("tcp://127.0.0.1:*", True), ("tcp://localhost:5", True), ("tcp://[::1]:5", True),
        ("ipc://engine", True), ("tcp://0.0.0.0:5", False), ("tcp://*:5", False),
        ("tcp://192.168.0.7:5", False), ("tcp://[::]:5", False), ("tcp://127.example.org:5", False),
        ("nonsense", False),
    ],
)  # fmt: skip
def test_what_other_machines_reach_needs_keys(endpoint: str, local: bool):
    assert is_local(endpoint) is local
    if not local:
        with pytest.raises(InputError, match=r"--curve-keys|no address"):
            Server(endpoint)


def test_an_endpoint_that_is_taken_is_said_in_words(engine: RunningEngine):
    with pytest.raises(InputError, match="--endpoint"):
        Server(engine.connection.endpoint)


def test_with_keys_only_who_knows_the_public_one_is_heard(tmp_path: Path):
    options = ("--curve-keys", str(tmp_path / "keys"), "--endpoint", "tcp://0.0.0.0:*")
    with running_engine(tmp_path / "engine.json", *options) as running:
        port = running.connection.endpoint.rpartition(":")[2]
        with running.talk() as talk:
            assert talk.ask("health", within=10).type == "ok"
        context = zmq.Context()
        plain = context.socket(zmq.DEALER)
        try:
            plain.connect(f"tcp://127.0.0.1:{port}")
            plain.send_multipart(pack(Message("health", "1", {}, token=running.connection.token)))
            assert not plain.poll(500)
        finally:
            context.destroy(linger=0)
    assert (tmp_path / "keys" / "engine.key_secret").stat().st_mode & 0o077 == 0
