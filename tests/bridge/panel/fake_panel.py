"""A stand-in for the panel's server: it serves the real page, and says what a test wants it to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

STATIC = Path(__file__).parents[3] / "bridge" / "sidekeys_bridge" / "panel" / "static"
TOKEN = "key-of-a-test-that-is-long-enough"
COMPOSERS = {
    "full": "The melody over the accompaniment as a pianist performed it: rich and rhythmic.",
    "ballad": "The melody's main notes over open fifths every half bar: sparse and soft.",
    "stride": "The melody over a bass and chords in turn on each beat: short and bouncing.",
}
CONTROLS: dict[str, Any] = {
    "composer": "full", "temperature": 0.0, "seed": 0, "transpose": 0, "velocity_curve": "linear",
    "velocity_offset": 0, "velocity_fixed": 80, "lowest_pitch": 21, "highest_pitch": 108,
    "pedal": True, "expression": True, "playable": True, "channel": 1, "split": False,
    "split_pitch": 60, "left_channel": 2, "mute": False,
}  # fmt: skip
STATUS: dict[str, Any] = {
    "state": "waiting", "problems": [], "port": "Sidekeys", "composer": "full", "mode": "echo",
    "delay_beats": None, "delay_reason": None,
    "transport": {
        "source": "manual", "choice": "manual", "playing": False, "bpm": 120.0, "meter": "4/4",
        "beat": 0.0, "bar": 1, "bar_start": 0.0, "loop": None, "stretch": 0, "problem": None,
    },
    "input": {
        "choice": "default", "channels": "all", "name": "Bus", "rate": 44100,
        "connected": True, "ended": False,
        "level_db": -18.0, "peak_db": -9.0, "clipped": False, "silent_seconds": 0.0,
        "problem": None,
    },
    "engine": {
        "pid": 7, "state": "ready", "device": "cpu", "checkpoint": "builtin",
        "generation_seconds": 0.4, "problem": None,
    },
    "bridge": {"pid": 6, "version": "1.2.3", "up_seconds": 9.0},
    "counters": {
        "notes_sent": 0, "late_notes_dropped": 0, "windows_done": 0, "windows_missed": 0,
        "input_overflows": 0, "sounding": 0,
    },
    "timing": {"p50_ms": 0.1, "p99_ms": 0.4, "max_ms": 1.2, "realtime": True},
    "controls": CONTROLS,
}  # fmt: skip


class FakePanel:
    """What it is asked it keeps, and everything else is told to it.

    Attributes:
        url: where the page is, with its key.
        asked: commands of the page, in their order: type and content.
        status: what it told last.
        notebook: what it keeps.
        revision: of that.
        covers: what it was asked to cover.
    """

    def __init__(self, port: int = 0) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.status: dict[str, Any] = json.loads(json.dumps(STATUS))
        self.notebook: dict[str, Any] = {"favourites": [], "project": "", "projects": {}}
        self.revision = 1000
        self.refusals: dict[str, str] = {}
        self.is_notebook_readable = True
        self.stem_seconds: float | None = 12.0
        self.covers: list[dict[str, Any]] = []
        self.waits = threading.Event()  # set: a cover that is asked for now is not answered
        self._sockets: set[WebSocket] = set()
        routes = [
            Route("/", self._index),
            Mount("/static", StaticFiles(directory=STATIC)),
            Route("/api/notebook", self._notebook, methods=["GET", "PUT"]),
            Route("/api/auditions/{composer}", self._audition),
            Route("/api/stems", self._stem, methods=["POST"]),
            Route("/api/stems/one/covers", self._cover, methods=["POST"]),
            WebSocketRoute("/live", self._live),
        ]
        config = uvicorn.Config(
            Starlette(routes=routes), port=port, log_level="error", lifespan="off",
            ws="websockets-sansio",
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        """Serve, from a thread of its own."""
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/#{TOKEN}"

    def close(self) -> None:
        """Leave every page alone."""
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join()

    def tell(self, kind: str, **content: Any) -> None:
        """Send an event to all pages."""
        asyncio.run_coroutine_threadsafe(self._tell(kind, content), self._loop).result(5)

    def tell_status(self, **parts: Any) -> None:
        """Send a status that differs in some parts; parts of parts are merged."""
        for name, part in parts.items():
            if isinstance(part, Mapping):
                self.status[name].update(part)
            else:
                self.status[name] = part
        self.tell("status", **self.status)

    def drop_pages(self) -> None:
        """Close every websocket; the pages come again."""

        async def drop() -> None:
            for socket in list(self._sockets):
                self._sockets.discard(socket)
                await socket.close()

        asyncio.run_coroutine_threadsafe(drop(), self._loop).result(5)

    def _run(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._loop.run_until_complete(self._server.serve())
        self._loop.close()

    async def _tell(self, kind: str, content: Mapping[str, Any]) -> None:
        for socket in list(self._sockets):
            await socket.send_text(json.dumps({"type": kind, "content": content}))

    async def _index(self, _request: Request) -> Response:
        return Response((STATIC / "index.html").read_bytes(), media_type="text/html")

    async def _notebook(self, request: Request) -> Response:
        if not self.is_notebook_readable:
            return JSONResponse({"code": "failed", "message": "it cannot be read."}, 500)
        if request.method == "PUT":
            content = await request.json()
            if content.pop("revision") != self.revision:
                refusal = {"code": "conflict", "message": "another page was first."}
                told = {**self.notebook, "revision": self.revision}
                return JSONResponse({**refusal, "notebook": told}, 409)
            self.notebook = content
            self.revision += 1
        return JSONResponse({**self.notebook, "revision": self.revision})

    async def _stem(self, request: Request) -> Response:
        await request.body()
        return JSONResponse({"stem": "one", "name": "x", "seconds": self.stem_seconds})

    async def _cover(self, request: Request) -> Response:
        self.covers.append(await request.json())
        while self.waits.is_set():
            await asyncio.sleep(0.02)
        return JSONResponse({"cover": f"cover-{len(self.covers)}"})

    async def _audition(self, request: Request) -> Response:
        notes = [[beat / 2, 0.5, 60 + (beat * 5) % 13, 80] for beat in range(16)]
        return JSONResponse({"bpm": 104.0, "beats": 8.0, "notes": notes})

    async def _live(self, socket: WebSocket) -> None:
        await socket.accept()
        hello = await socket.receive_json()
        if hello["content"]["token"] != TOKEN:
            await socket.close(4401)
            return
        await socket.send_json({"type": "bridge", "content": {"connected": True, "version": "1"}})
        composers = {"composers": COMPOSERS, "composer_default": "full"}
        await socket.send_json({"type": "composers", "content": composers})
        await socket.send_json({"type": "status", "content": self.status})
        self._sockets.add(socket)
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                asked = await socket.receive_json()
                await self._answer(socket, asked)
        self._sockets.discard(socket)

    async def _answer(self, socket: WebSocket, asked: Mapping[str, Any]) -> None:
        kind, content = asked["type"], asked["content"]
        self.asked.append((kind, content))
        if kind in self.refusals:
            refusal = {"code": "invalid", "message": self.refusals[kind]}
            await socket.send_json({"type": "error", "id": asked["id"], "content": refusal})
            return
        reply: dict[str, Any] = {}
        if kind == "inputs":
            reply = {"inputs": [[0, "Interface", "JACK", 4, 48000], [1, "Bus", "JACK", 2, 44100]]}
        if kind == "tap":
            reply = {"bpm": None}
        await socket.send_json({"type": "ok", "id": asked["id"], "content": reply})
        if kind == "set":
            changes = {name: value for name, value in content.items() if name in CONTROLS}
            self.status["controls"].update(changes)
            self.status["composer"] = self.status["controls"]["composer"]
            await socket.send_json({"type": "status", "content": self.status})


@contextlib.contextmanager
def fake_panel() -> Iterator[FakePanel]:
    """A stand-in, as long as the block lasts."""
    panel = FakePanel()
    panel.start()
    try:
        yield panel
    finally:
        panel.close()
