"""The engine process: requests in by ROUTER, answers out, events by PUB; it never waits itself."""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import itertools
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
import zmq

from sidekeys_engine.audio import Audio
from sidekeys_engine.batching import WindowRequest
from sidekeys_engine.connection import Connection, new_token, remove_connection
from sidekeys_engine.errors import InputError
from sidekeys_engine.listening import Listener
from sidekeys_engine.model_thread import Loaded, ModelThread
from sidekeys_engine.pianist import Taste
from sidekeys_engine.protocol import ENGINE, Message, ProtocolError, error, ok, pack, unpack
from sidekeys_engine.render import GridChoice
from sidekeys_engine.silence import is_silent
from sidekeys_engine.song_jobs import MOST_JOBS, SongJob, SongJobs, read_meter, report_job

LOOPBACK = "tcp://127.0.0.1:*"

_LARGEST_FRAME = 1 << 28
_LARGEST_WINDOW_BYTES = 1 << 24
_LONGEST_WINDOW_SECONDS = 120.0
_WAITING_MESSAGES = 256
_WAKE_MILLISECONDS = 100
_SAMPLE_BYTES = 4
_ROUNDING_SAMPLES = 1e-5
_MOST_LISTENING = 8


@dataclass(frozen=True, slots=True)
class CurveKeys:
    """The server's pair of CURVE keys, in Z85; what it says is encrypted where there is one."""

    public: bytes
    secret: bytes


class Server:
    """One engine, from its sockets to its model.

    Args:
        endpoint: where to listen; a port "*" is chosen by the system.
        checkpoint: the first one to load.
        device: where to compute.
        threads: how many cores a batch may use.
        keys: needed for every endpoint that other machines can reach.
        connection_path: the file that tells clients where and how; None writes none.

    Raises:
        InputError: the endpoint cannot be used, or the file cannot be written.
    """

    def __init__(
        self,
        endpoint: str = LOOPBACK,
        *,
        checkpoint: str = "builtin",
        device: str = "auto",
        threads: int = 1,
        keys: CurveKeys | None = None,
        connection_path: Path | None = None,
    ) -> None:
        if not endpoint.startswith(("tcp://", "ipc://")):
            raise InputError(
                f"{endpoint!r} is no address; give one such as {LOOPBACK} with --endpoint."
            )
        if keys is None and not is_local(endpoint):
            raise InputError(
                f"{endpoint} can be reached from other machines; give a folder for the keys that "
                f"encrypt what is said (--curve-keys), or listen at {LOOPBACK}."
            )
        self._started_seconds = time.monotonic()
        self._connection_path = connection_path
        self._context = zmq.Context()
        self._outbox: queue.SimpleQueue[tuple[bytes | None, Message]] = queue.SimpleQueue()
        self._ending: str | None = None
        self._job_numbers = itertools.count(1)
        self._loads: dict[str, threading.Event] = {}
        self._listening = 0
        try:
            self._requests = self._bound(zmq.ROUTER, endpoint, keys)
            self._events = self._bound(zmq.PUB, _events_endpoint(endpoint), keys)
            self._wake_reader = self._context.socket(zmq.PULL)
            self._wake_reader.bind("inproc://wake")
            self._waker = self._context.socket(zmq.PUSH)
            self._waker.setsockopt(zmq.SNDHWM, 1)
            self._waker.connect("inproc://wake")
            self._waking = threading.Lock()
            self.connection = Connection(
                endpoint=_reachable(self._requests),
                events_endpoint=_reachable(self._events),
                token=new_token(),
                pid=os.getpid(),
                version=sidekeys_version(),
                server_public_key=keys.public.decode() if keys else None,
            )
            if connection_path is not None:
                self.connection.write(connection_path)
        except BaseException:
            self._context.destroy(linger=0)
            raise
        self._listener = Listener()
        self._model = ModelThread(checkpoint, device=device, threads=threads, post=self._post)
        self._songs = SongJobs(self._model, self._listener, self._post)
        self._answers: dict[str, Callable[[bytes, Message, dict[str, Any]], Message | None]] = {
            "describe": self._describe,
            "health": self._health,
            "generate": self._generate,
            "track-beats": self._track_beats,
            "render": self._render,
            "cancel": self._cancel,
            "load": self._load,
            "shut-down": self._shut_down,
        }

    def run(self, should_end: Callable[[], bool] = lambda: False) -> None:
        """Answer until asked to end.

        Args:
            should_end: asked several times a second.
        """
        self._model.start()
        poller = zmq.Poller()
        poller.register(self._requests, zmq.POLLIN)
        poller.register(self._wake_reader, zmq.POLLIN)
        while self._ending is None and not should_end():
            ready = dict(poller.poll(_WAKE_MILLISECONDS))
            if self._wake_reader in ready:
                self._wake_reader.recv()
            self._send_all()
            if self._requests in ready:
                self._receive()
            self._send_all()

    def close(self) -> bool:
        """End everything; what waits is answered. Returns whether no thread computes any more."""
        self._listener.close()
        self._songs.close(within_seconds=0.1)
        has_ended = self._model.close(within_seconds=0.3)
        self._send_all()
        if self._connection_path is not None:
            remove_connection(self._connection_path, os.getpid())
        with self._waking:
            self._waker.close(linger=0)
        for socket in (self._requests, self._events, self._wake_reader):
            socket.close(linger=200)
        self._context.term()
        return has_ended

    # Sockets

    def _bound(self, kind: int, endpoint: str, keys: CurveKeys | None) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.MAXMSGSIZE, _LARGEST_FRAME)
        socket.setsockopt(zmq.RCVHWM, _WAITING_MESSAGES)
        socket.setsockopt(zmq.SNDHWM, _WAITING_MESSAGES)
        socket.setsockopt(zmq.HEARTBEAT_IVL, 5000)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 30_000)
        if endpoint.startswith("tcp://["):
            socket.setsockopt(zmq.IPV6, 1)
        if keys is not None:
            socket.setsockopt(zmq.CURVE_SERVER, 1)
            socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as problem:
            raise InputError(
                f"Cannot listen at {endpoint}: {problem.strerror}; choose another address or port "
                "with --endpoint."
            ) from problem
        return socket

    def _post(self, client: bytes | None, message: Message) -> None:
        """Let the socket thread send something; from any thread."""
        self._outbox.put((client, message))
        with self._waking:
            if not self._waker.closed:
                with contextlib.suppress(zmq.Again):  # it is awake already
                    self._waker.send(b"", zmq.NOBLOCK)

    def _send_all(self) -> None:
        while True:
            try:
                client, message = self._outbox.get_nowait()
            except queue.Empty:
                return
            self._send(client, message)

    def _send(self, client: bytes | None, message: Message) -> None:
        socket, address = (self._events, []) if client is None else (self._requests, [client])
        try:
            frames = pack(message)
        except ValueError as problem:  # a number that is not finite
            frames = pack(error(message.id, "failed", f"The answer cannot be sent: {problem}."))
        # A client that does not read loses its answers; the others get theirs.
        with contextlib.suppress(zmq.Again):
            socket.send_multipart([*address, *frames], zmq.NOBLOCK)

    def _receive(self) -> None:
        """Answer all requests that have come, and no more than those, one after another."""
        for _ in range(_WAITING_MESSAGES):
            try:
                client, *frames = self._requests.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            answer = self._answer(client, frames)
            if answer is not None:
                self._send(client, answer)

    def _answer(self, client: bytes, frames: list[bytes]) -> Message | None:
        """The answer to a request, if there is one already. Nothing that is sent raises here."""
        request_id = ""
        try:
            request = unpack(frames, largest_buffer=_LARGEST_FRAME)
            request_id = request.id
            token = (request.token or "").encode("utf-8", "replace")
            if not hmac.compare_digest(token, self.connection.token.encode()):
                raise ProtocolError(
                    "unauthorized",
                    "The token is not that of this engine; read its connection file again.",
                )
            content = ENGINE.check(request)
            return self._answers[request.type](client, request, content)
        except ProtocolError as problem:
            return error(problem.request_id or request_id, problem.code, str(problem))
        except InputError as problem:
            return error(request_id, "invalid", str(problem))
        except Exception as problem:  # one request must not end the engine
            return error(request_id, "failed", f"{type(problem).__name__}: {problem}")

    # Requests

    def _describe(self, client: bytes, request: Message, content: Mapping[str, Any]) -> Message:
        condition, loaded = self._model.condition, self._model.loaded
        facts = loaded.facts() if loaded is not None else dict.fromkeys(_FACTS)
        return ok(
            request,
            {
                "state": condition.state,
                "problem": condition.problem,
                "checkpoint": condition.checkpoint,
                **facts,
                "generation_seconds": self._model.generation_seconds,
                "pid": self.connection.pid,
                "version": self.connection.version,
            },
        )

    def _health(self, client: bytes, request: Message, content: Mapping[str, Any]) -> Message:
        counters = self._model.counters
        return ok(
            request,
            {
                "state": self._model.condition.state,
                "problem": self._model.condition.problem,
                "generation_seconds": self._model.generation_seconds,
                "up_seconds": time.monotonic() - self._started_seconds,
                "windows_done": counters.windows_done,
                "windows_refused": counters.windows_refused,
                "batches": counters.batches,
                "waiting": self._model.waiting,
                "jobs": [*self._songs.ids, *self._loads],
                "pid": self.connection.pid,
            },
        )

    def _generate(
        self, client: bytes, request: Message, content: Mapping[str, Any]
    ) -> Message | None:
        now_seconds = time.monotonic()
        loaded = self._ready()
        rate = loaded.pianist.sampling_rate
        if content["sampling_rate"] != rate:
            raise ProtocolError(
                "invalid",
                f"{content['sampling_rate']} Hz is not the checkpoint's rate; send the window at "
                f"{rate} Hz.",
            )
        composer = loaded.composer(content["composer"])
        moments = _moments(content["step_seconds"], loaded)
        audio = _samples(request.buffers[0], _LARGEST_WINDOW_BYTES)
        if _is_silent_window(audio, moments[loaded.pianist.context_steps :], rate):
            self._model.counters.windows_done += 1
            nothing = {"notes": [], "silent": True, "took_seconds": 0.0, "queued_seconds": 0.0}
            return ok(request, nothing)
        window = WindowRequest(
            client=client,
            request_id=request.id,
            composer=composer,
            taste=Taste(content["temperature"], content["seed"]),
            window_number=content["window_number"],
            audio=audio,
            step_seconds=moments,
            received_seconds=now_seconds,
            due_seconds=now_seconds + content["within_seconds"],
        )
        self._model.submit(window, now_seconds)
        return None

    def _track_beats(
        self, client: bytes, request: Message, content: Mapping[str, Any]
    ) -> Message | None:
        audio = Audio(_samples(request.buffers[0], _LARGEST_FRAME), content["sampling_rate"])
        choice = GridChoice(meter=read_meter(content["meter"]), tracker=content["tracker"])
        if self._listening >= _MOST_LISTENING:
            raise ProtocolError("busy", "Others wait for their beats already; ask again later.")
        self._listening += 1
        threading.Thread(
            target=self._listen, args=(client, request, audio, choice), daemon=True
        ).start()
        return None

    def _listen(self, client: bytes, request: Message, audio: Audio, choice: GridChoice) -> None:
        started = time.monotonic()
        try:
            grid = self._listener.grid(audio, choice)
            lines = grid.bar_lines(grid.beats[0], np.nextafter(grid.beats[-1], np.inf))
            answer = ok(
                request,
                {
                    "beat_seconds": grid.seconds.tolist(),
                    "beats": grid.beats.tolist(),
                    "downbeat_seconds": np.asarray(grid.seconds_at(lines)).tolist(),
                    "meter": str(grid.meter_at(0.0)),
                    "bpm": float(60 * np.median(np.diff(grid.beats) / np.diff(grid.seconds))),
                    "took_seconds": time.monotonic() - started,
                },
            )
        except InputError as problem:
            answer = error(request.id, "failed", str(problem))
        finally:
            self._listening -= 1
        self._post(client, answer)

    def _render(self, client: bytes, request: Message, content: Mapping[str, Any]) -> Message:
        loaded = self._ready()
        if len(self._songs.ids) >= MOST_JOBS:
            raise ProtocolError("busy", f"{MOST_JOBS} songs wait already; ask again later.")
        samples = _samples(request.buffers[0], _LARGEST_FRAME) if request.buffers else None
        job = SongJob(f"render-{next(self._job_numbers)}", content, samples, loaded)
        self._songs.add(job)
        return ok(request, {"job": job.job_id})

    def _cancel(self, client: bytes, request: Message, content: Mapping[str, Any]) -> Message:
        target = content["target"]
        load = self._loads.get(target)
        if load is not None:
            load.set()
        elif not (self._songs.cancel(target) or self._model.cancel(client, target)):
            raise ProtocolError("unknown", f"No job and no waiting request is called {target!r}.")
        return ok(request, {})

    def _load(self, client: bytes, request: Message, content: Mapping[str, Any]) -> Message:
        if self._loads:
            raise ProtocolError("busy", "A checkpoint is being loaded already; wait for it.")
        job_id = f"load-{next(self._job_numbers)}"
        cancelled = self._loads[job_id] = threading.Event()

        def work() -> tuple[Mapping[str, Any], tuple[bytes, ...]]:
            try:
                return self._model.load(content["checkpoint"], cancelled).facts(), ()
            finally:
                self._loads.pop(job_id)

        threading.Thread(
            target=report_job, args=(job_id, self._post, work), name=job_id, daemon=True
        ).start()
        return ok(request, {"job": job_id})

    def _shut_down(self, client: bytes, request: Message, content: Mapping[str, Any]) -> Message:
        self._ending = "asked to"
        return ok(request, {})

    def _ready(self) -> Loaded:
        """The checkpoint that plays.

        Raises:
            ProtocolError: not-ready.
        """
        loaded, condition = self._model.loaded, self._model.condition
        if loaded is None:
            words = condition.problem or "the checkpoint is still being loaded; ask again soon."
            raise ProtocolError("not-ready", f"The engine cannot play yet: {words}")
        return loaded


_FACTS = tuple(
    one.name
    for one in ENGINE.commands["describe"].reply
    if one.default is None and one.name not in ("problem", "generation_seconds")
)


def is_local(endpoint: str) -> bool:
    """Whether an endpoint is out of other machines' reach."""
    parts = urlsplit(endpoint)
    if parts.scheme == "ipc":
        return True
    host = parts.netloc.rpartition(":")[0].strip("[]")
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def sidekeys_version() -> str:
    """Version of Sidekeys, "0" where it is not installed."""
    try:
        return version("sidekeys")
    except PackageNotFoundError:
        return "0"


def _events_endpoint(endpoint: str) -> str:
    """Where events are sent: the same interface, the next port, or any if any will do."""
    if not endpoint.startswith("tcp://"):
        return f"{endpoint}-events"
    host, _, port = endpoint.rpartition(":")
    return f"{host}:{int(port) + 1}" if port.isdecimal() and port != "0" else f"{host}:*"


def _reachable(socket: zmq.Socket[bytes]) -> str:
    return str(socket.getsockopt_string(zmq.LAST_ENDPOINT))


def _samples(buffer: bytes, largest: int) -> npt.NDArray[np.float32]:
    if len(buffer) > largest:
        raise ProtocolError(
            "too-large", f"The sound has {len(buffer)} bytes; send at most {largest}."
        )
    if len(buffer) % _SAMPLE_BYTES:
        raise ProtocolError(
            "invalid", f"{len(buffer)} bytes are no float32 samples, which have 4 bytes each."
        )
    samples = np.frombuffer(buffer, dtype="<f4").astype(np.float32)
    if not np.isfinite(samples).all():
        raise ProtocolError("invalid", "The sound holds samples that are no finite numbers.")
    return samples


def _moments(step_seconds: list[float], loaded: Loaded) -> npt.NDArray[np.float64]:
    pianist = loaded.pianist
    moments = np.array(step_seconds, dtype=np.float64)
    borders = pianist.context_steps + pianist.steps_per_window + 1
    if len(moments) != borders:
        raise ProtocolError(
            "invalid",
            f"step_seconds must have {borders} moments ({pianist.context_steps} steps of context, "
            f"{pianist.steps_per_window} of the window), not {len(moments)}.",
        )
    if not (np.diff(moments) > 0).all():
        raise ProtocolError("invalid", "step_seconds must rise from each moment to the next.")
    if moments[-1] - moments[0] > _LONGEST_WINDOW_SECONDS:
        raise ProtocolError(
            "invalid",
            f"The window is {moments[-1] - moments[0]:.1f} s long; send at most "
            f"{_LONGEST_WINDOW_SECONDS:g} s.",
        )
    return moments


def _is_silent_window(
    audio: npt.NDArray[np.float32], moments: npt.NDArray[np.float64], rate: int
) -> bool:
    """Whether nothing is heard in a window, as `make_cover` decides it; its context is no part."""
    start, end = (max(0, int(moments[at] * rate + _ROUNDING_SAMPLES)) for at in (0, -1))
    return is_silent(audio[start:end], rate)
