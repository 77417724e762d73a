"""The panel's application: each path and each command of a page, and the room that does it."""

from __future__ import annotations

import asyncio
import json
import mimetypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from sidekeys_bridge.panel import notebook, takes
from sidekeys_bridge.panel.auditions import audition
from sidekeys_bridge.panel.bridge_link import WITHIN_SECONDS, BridgeLink
from sidekeys_bridge.panel.covers import Covers, read_cover
from sidekeys_bridge.panel.guard import Guard, Names, TokenCheck
from sidekeys_bridge.panel.live_socket import serve_page
from sidekeys_bridge.panel.pages import Page, Pages, as_text
from sidekeys_bridge.panel.panel_error import PanelError
from sidekeys_bridge.panel.stems import Stem, Stems

COMMANDS = (
    "status", "set", "panic", "play", "pause", "tap", "nudge", "downbeat", "inputs", "ports",
    "composers", "load-checkpoint", *takes.COMMANDS,
)  # fmt: skip
"""What a page may ask of the bridge."""
_SLOW_COMMANDS = ("set", "inputs", "ports", "load-checkpoint")
_SLOW_SECONDS = 30.0
_LARGEST_WISH = 1 << 14
_BODY_SECONDS = 10.0
_TIDY_SECONDS = 60.0
_STATIC = Path(__file__).parent / "static"
# Windows lets any program decide what a .js is.
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_HTTP_CODES = {404: "not-found", 405: "method"}
_HTTP_WORDS = {404: "There is nothing here.", 405: "This cannot be done here."}


class Panel:
    """All that a panel is made of.

    Args:
        scratch: private, for files that end with it.
        lasting: a folder for what its user wants to find again.
        token: the secret that opens it.
    """

    def __init__(self, scratch: Path, lasting: Path, token: str) -> None:
        self._token = token
        self.pages = Pages()
        self.link = BridgeLink(self._hear, self._lose_bridge)
        self.covers = Covers(self.link.request, self.pages.tell)
        self.stems = Stems(scratch, self._lose_stem)
        self.takes = takes.Takes(scratch / "takes", self.link.request)
        self.notebook = notebook.Notebook(lasting)
        self._chores: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Stay with the bridge, and put away what is old, until cancelled."""
        await asyncio.gather(self.link.run(), self._tidy())

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(_TIDY_SECONDS)
            self.stems.remove_idle()

    # --- what others tell

    def _hear(self, kind: str, content: Mapping[str, Any]) -> None:
        if kind == "job":
            self.covers.take(content)
        else:
            self.pages.tell(kind, content)
        if kind == "bridge" and content["connected"]:
            # A page asks again for what it is not told of after a pause of the bridge.
            for cover in self.covers.events():
                self.pages.tell("cover", cover)

    def _lose_bridge(self) -> None:
        self.covers.lose_bridge()

    def _lose_stem(self, stem: Stem) -> None:
        for cover in self.covers.remove_of(stem):
            chore = asyncio.get_running_loop().create_task(self.covers.remove(cover))
            self._chores.add(chore)
            chore.add_done_callback(self._chores.discard)

    # --- the page's socket

    async def live(self, socket: WebSocket) -> None:
        """One page's websocket."""
        await serve_page(socket, self.pages, self._token, self._greet, self._do)

    def _greet(self, page: Page) -> None:
        link = self.link
        page.put(as_text("bridge", link.bridge()))
        if link.connected and link.composers is not None:
            page.put(as_text("composers", link.composers))
        if link.connected and link.status is not None:
            page.put(as_text("status", link.status))
        for cover in self.covers.events():
            page.put(as_text("cover", cover))
        if self.notebook.problem is not None:
            problem = {"about": "notebook", "message": self.notebook.problem}
            page.put(as_text("problem", problem))

    async def _do(self, command: str, content: Mapping[str, Any]) -> Mapping[str, Any]:
        if command not in COMMANDS:
            raise PanelError("unknown", f"A page may not ask for {command[:40]!r}.")
        if command in takes.COMMANDS:
            return await self.takes.write(command, content)
        seconds = _SLOW_SECONDS if command in _SLOW_COMMANDS else WITHIN_SECONDS
        return await self.link.request(command, content, within_seconds=seconds)

    # --- HTTP

    async def get_audition(self, request: Request) -> Response:
        """A composer's sample."""
        status = self.link.status
        checkpoint = status["engine"]["checkpoint"] if status is not None else None
        return JSONResponse(audition(request.path_params["composer"], checkpoint))

    async def post_stem(self, request: Request) -> Response:
        """Take a song."""
        announced = request.headers.get("content-length", "")
        size = int(announced) if announced.isdecimal() else None
        name = request.query_params.get("name", "")
        stem = await self.stems.add(name, request.stream(), size)
        return JSONResponse({"stem": stem.stem_id, "name": stem.name, "seconds": stem.seconds})

    async def delete_stem(self, request: Request) -> Response:
        """Delete a song and its covers."""
        self.stems.remove(self.stems.get(request.path_params["stem"]))
        return JSONResponse({})

    async def post_cover(self, request: Request) -> Response:
        """Have a cover made."""
        stem = self.stems.get(request.path_params["stem"])
        wishes = await _json(request, _LARGEST_WISH)
        if not isinstance(wishes, dict):
            raise PanelError("invalid", "A cover's wishes must be an object.")
        cover = await self.covers.start(stem, wishes)
        return JSONResponse({"cover": cover.cover_id})

    async def get_cover(self, request: Request) -> Response:
        """A cover's notes."""
        cover = self.covers.finished(request.path_params["cover"])
        self.stems.get(cover.stem.stem_id)
        content = await asyncio.to_thread(read_cover, cover.file)
        return JSONResponse({"composer": cover.composer, **content})

    async def get_cover_midi(self, request: Request) -> Response:
        """A cover's .mid."""
        cover = self.covers.finished(request.path_params["cover"])
        self.stems.get(cover.stem.stem_id)
        return _midi(cover.file, cover.download_name)

    async def delete_cover(self, request: Request) -> Response:
        """Cancel a cover, or forget it."""
        await self.covers.remove(self.covers.get(request.path_params["cover"]))
        return JSONResponse({})

    async def get_take(self, request: Request) -> Response:
        """A take's .mid."""
        take = self.takes.get(request.path_params["take"])
        return _midi(take.file, take.download_name)

    async def get_notebook(self, request: Request) -> Response:
        """Favourites and presets."""
        return JSONResponse(self.notebook.content)

    async def put_notebook(self, request: Request) -> Response:
        """Keep favourites and presets; who changed others than the present ones gets these."""
        had_problem = self.notebook.problem is not None
        content = await _json(request, notebook.LARGEST_BYTES)
        try:
            self.notebook.write(content)
        except PanelError as refusal:
            if refusal.code != "conflict":
                raise
            present = {**refusal.content(), "notebook": self.notebook.content}
            return JSONResponse(present, refusal.status)
        self.pages.tell("notebook", self.notebook.content)
        if had_problem:
            self.pages.tell("problem", {"about": "notebook", "message": None})
        return JSONResponse(self.notebook.content)


def application(panel: Panel, token: str, host: str) -> Guard:
    """What an ASGI server serves.

    Args:
        panel: what it is made of.
        token: the secret that opens it.
        host: the address that it is served at.
    """
    for suffix, kind in _TYPES.items():
        mimetypes.add_type(kind, suffix)
    static = StaticFiles(directory=_STATIC)

    async def index(request: Request) -> Response:
        return await static.get_response("index.html", request.scope)

    api: list[BaseRoute] = [
        Route("/auditions/{composer}", panel.get_audition),
        Route("/stems", panel.post_stem, methods=["POST"]),
        Route("/stems/{stem}", panel.delete_stem, methods=["DELETE"]),
        Route("/stems/{stem}/covers", panel.post_cover, methods=["POST"]),
        Route("/covers/{cover}.mid", panel.get_cover_midi),
        Route("/covers/{cover}", panel.get_cover),
        Route("/covers/{cover}", panel.delete_cover, methods=["DELETE"]),
        Route("/takes/{take}.mid", panel.get_take),
        Route("/notebook", panel.get_notebook),
        Route("/notebook", panel.put_notebook, methods=["PUT"]),
    ]
    routes = [
        Route("/", index),
        Mount("/static", static),
        Mount("/api", routes=api, middleware=[Middleware(TokenCheck, token=token)]),
        WebSocketRoute("/live", panel.live),
    ]
    handlers: Any = {
        PanelError: _tell_refusal,
        HTTPException: _tell_http,
        ClientDisconnect: _tell_nobody,
        Exception: _tell_fault,
    }
    inside = Starlette(routes=routes, exception_handlers=handlers)
    inside.router.redirect_slashes = False
    return Guard(inside, Names(host))


async def _json(request: Request, largest: int) -> Any:
    """The body of a request.

    Raises:
        PanelError: it is too large, too slow, or no JSON.
    """
    body = bytearray()

    async def read() -> None:
        async for chunk in request.stream():
            body.extend(chunk)
            if len(body) > largest:
                raise PanelError(
                    "too-large", f"This is too much; at most {largest} bytes are kept."
                )

    try:
        await asyncio.wait_for(read(), _BODY_SECONDS)
        return json.loads(bytes(body), parse_constant=_refuse_constant)
    except asyncio.TimeoutError as slow:
        raise PanelError("slow", "This did not arrive in time; try again.") from slow
    except (ValueError, RecursionError) as problem:
        raise PanelError("malformed", "This is no JSON.") from problem


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _midi(file: Path, name: str) -> Response:
    return FileResponse(file, media_type="audio/midi", filename=name)


async def _tell_refusal(request: Request, refusal: PanelError) -> Response:
    return JSONResponse(refusal.content(), refusal.status)


async def _tell_http(request: Request, problem: HTTPException) -> Response:
    code = _HTTP_CODES.get(problem.status_code, "invalid")
    words = _HTTP_WORDS.get(problem.status_code, "This cannot be done.")
    content = {"code": code, "message": words}
    return JSONResponse(content, problem.status_code, problem.headers)


async def _tell_nobody(request: Request, gone: ClientDisconnect) -> Response:
    return Response(status_code=400)


async def _tell_fault(request: Request, fault: Exception) -> Response:
    """A fault of ours; the server logs it."""
    content = PanelError("failed", "A fault of Sidekeys' own; try again, or restart it.").content()
    return JSONResponse(content, 500)
