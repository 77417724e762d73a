"""The panel's program: `python -m sidekeys_bridge.panel`; the bridge starts it, and ends it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from sidekeys_bridge.arguments import Parser
from sidekeys_bridge.panel.address import Address, listen
from sidekeys_bridge.panel.app import Panel, application
from sidekeys_bridge.panel.live_socket import LARGEST_MESSAGE
from sidekeys_bridge.panel.scratch import make_scratch, remove_scratch
from sidekeys_bridge.panel_files import (
    Served,
    announce,
    is_alive,
    lasting_folder,
    panel_token,
    read_served,
    withdraw,
)
from sidekeys_engine.errors import InputError

_LOOK_SECONDS = 0.5
_LAST_WORDS_SECONDS = 1
_MOST_CONNECTIONS = 512


def main(arguments: Sequence[str]) -> int:
    """Serve the panel until told to end; returns the exit status.

    Writes one line of JSON to the standard output once it listens: its "url", and "notices" in
    words; or an "error".
    """
    # Ctrl-C in the terminal is for the bridge, which says when it is over.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        options = _parser().parse_args(arguments)
        _serve(options)
    except InputError as error:
        _say({"error": str(error)})
        return 2
    return 0


def _parser() -> Parser:
    parser = Parser("panel", "Serve the control panel of this user's bridge.")
    parser.add_argument("--port", type=int, help="the usual one, or the next free one, by default")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen at")
    parser.add_argument("--parent", type=int, metavar="PID", help="end when that process has ended")
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="end when the standard input does"
    )
    return parser


def _serve(options: argparse.Namespace) -> None:
    """Open everything, serve, and close it again.

    Raises:
        InputError: a port, a folder or a file cannot be had.
    """
    before = read_served()
    if before is not None and not is_alive(before.pid):
        remove_scratch(Path(before.scratch))
    with contextlib.ExitStack() as opened:
        token = panel_token()
        address = listen(options.host, options.port, is_ours=lambda: _still_serves(before))
        opened.callback(address.socket.close)
        scratch = make_scratch()
        opened.callback(remove_scratch, scratch)
        url = f"{address.url}#{token}"
        announce(Served(url, os.getpid(), str(scratch)))
        opened.callback(withdraw, os.getpid())

        panel = Panel(scratch, lasting_folder(), token)
        server = _Server(
            _config(application(panel, token, options.host)),
            lambda: _say({"url": url, "notices": address.notices}),
        )
        if options.until_stdin_closes:
            threading.Thread(target=_end_with_stdin, args=(server,), daemon=True).start()
        # ZeroMQ's sockets need a loop that watches file descriptors, which on Windows is not the
        # usual one.
        loop = asyncio.SelectorEventLoop()
        try:
            loop.run_until_complete(_run(server, panel, address, options.parent))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()


def _still_serves(before: Served | None) -> bool:
    """Whether the panel before us, whose bridge has ended, has not quite."""
    return before is not None and is_alive(before.pid) and read_served() == before


async def _run(server: _Server, panel: Panel, address: Address, parent: int | None) -> None:
    """Serve until the end; a fault of ours ends it too, for the bridge to start another panel."""
    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: server.end())
    serving = asyncio.create_task(server.serve(sockets=[address.socket]))
    beside = [asyncio.create_task(panel.run()), asyncio.create_task(_outlived(parent))]
    await asyncio.wait([serving, *beside], return_when=asyncio.FIRST_COMPLETED)
    server.end()
    await serving
    for task in beside:
        if task.done():
            task.result()
        task.cancel()
    await asyncio.gather(*beside, return_exceptions=True)


async def _outlived(parent: int | None) -> None:
    """Return when the process that started us has ended, where the system tells."""
    while parent is None or sys.platform == "win32" or os.getppid() == parent:
        await asyncio.sleep(_LOOK_SECONDS)


def _end_with_stdin(server: _Server) -> None:
    with contextlib.suppress(OSError):
        # Not through Python's own buffer, whose lock would be held while Python shuts down.
        while os.read(sys.stdin.fileno(), 1 << 10):
            pass
    server.end()


def _config(app: Any) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http="h11",
        ws="websockets-sansio",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_LAST_WORDS_SECONDS,
        ws_max_size=LARGEST_MESSAGE,
        ws_per_message_deflate=False,
    )


class _Server(uvicorn.Server):
    """A server that says when it listens, and leaves signals to us."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    def end(self) -> None:
        """End soon; from any thread."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_listening()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _say(content: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(content) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
