"""`sidekeys engine`: options in, an engine process that ends with its parent."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sidekeys_engine.checkpoint import BUILTIN
from sidekeys_engine.errors import InputError
from sidekeys_engine.pianist import DEVICES

if TYPE_CHECKING:
    from types import FrameType

    from sidekeys_engine.server import CurveKeys, Server

_POLITENESS = 5
_MOST_THREADS = 8
_LAST_WORDS_SECONDS = 0.8
_BELOW_NORMAL_PRIORITY = 0x4000  # of SetPriorityClass, on Windows


_Parser = TypeVar("_Parser", bound=argparse.ArgumentParser)


def add_engine_command(subparsers: argparse._SubParsersAction[_Parser]) -> None:
    """Add `engine` to the commands of a parser."""
    parser = subparsers.add_parser(
        "engine",
        help="run the engine alone: a server that turns sound into notes",
        description="Run the engine as a server, for a bridge on this machine or another one.",
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--checkpoint",
        default=BUILTIN,
        metavar="NAME",
        help="builtin (default), a folder, or a hub id such as sweetcocoa/pop2piano",
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to compute")
    parser.add_argument(
        "--threads",
        type=_threads,
        default=default_threads(),
        metavar="N",
        help="cores that a window may use; one is left to the DAW by default",
    )
    parser.add_argument(
        "--endpoint",
        default="tcp://127.0.0.1:*",
        metavar="ADDRESS",
        help="where to listen; tcp://127.0.0.1:* by default. Events are sent from the port above",
    )
    parser.add_argument(
        "--curve-keys",
        type=Path,
        metavar="FOLDER",
        help="where the keys lie that encrypt what is said; made if there are none",
    )
    parser.add_argument(
        "--connection",
        type=Path,
        metavar="FILE",
        help="where to write how to connect; keep it to yourself, it holds the secret token",
    )
    parser.add_argument("--parent", type=int, metavar="PID", help="end when that process has ended")
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="end when the standard input does"
    )


def run(options: argparse.Namespace) -> int:
    """Serve until told to end; returns the exit status.

    Raises:
        InputError: an option cannot be used.
    """
    end = threading.Event()

    def end_soon(number: int, frame: FrameType | None) -> None:
        end.set()

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), end_soon)
    _yield_to_the_daw()
    path: Path = options.connection or default_connection_path()
    server = _server(options, path)
    if options.until_stdin_closes:
        threading.Thread(target=_end_with_stdin, args=(end,), daemon=True).start()
    sys.stderr.write(f"sidekeys: the engine listens; {path} tells how to connect.\n")
    sys.stderr.flush()
    parent: int | None = options.parent
    server.run(lambda: end.is_set() or not _is_our_parent(parent))
    server.close()
    sys.stderr.flush()
    # A batch that is computed still would make Python wait, or fall over, while it shuts down.
    os._exit(0)


def default_threads() -> int:
    """All cores but one, which the DAW and the bridge need; at most eight gain anything."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        cores = os.cpu_count() or 1
    return max(1, min(cores - 1, _MOST_THREADS))


def default_connection_path() -> Path:
    """The user's own place for what lasts as long as a process."""
    places = (os.environ.get("XDG_RUNTIME_DIR"), os.environ.get("LOCALAPPDATA"))
    folder = next((Path(place) for place in places if place), Path.home() / ".cache")
    return folder / "sidekeys" / "engine.json"


def _server(options: argparse.Namespace, path: Path) -> Server:
    from sidekeys_engine.server import Server  # noqa: PLC0415 - only this command needs zmq

    return Server(
        options.endpoint,
        checkpoint=options.checkpoint,
        device=options.device,
        threads=options.threads,
        keys=None if options.curve_keys is None else curve_keys(options.curve_keys),
        connection_path=path,
    )


def curve_keys(folder: Path) -> CurveKeys:
    """The server's keys of a folder, made there if there are none.

    Raises:
        InputError: they cannot be read or made.
    """
    import zmq.auth  # noqa: PLC0415

    from sidekeys_engine.server import CurveKeys  # noqa: PLC0415

    secret_file = folder / "engine.key_secret"
    try:
        if not secret_file.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            old = os.umask(0o077)
            try:
                zmq.auth.create_certificates(folder, "engine")
            finally:
                os.umask(old)
        public, secret = zmq.auth.load_certificate(secret_file)
    except (OSError, ValueError) as problem:
        raise InputError(
            f"Cannot use the keys in {folder}: {problem}; give another folder."
        ) from problem
    if secret is None:
        raise InputError(f"{secret_file} holds no secret key; give another folder.")
    return CurveKeys(public, secret)


def _threads(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 256):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of cores from 1 to 256")
    return int(text)


def _yield_to_the_daw() -> None:
    """Lower our own priority a little: moments of notes matter more than when they are found."""
    with contextlib.suppress(OSError, AttributeError):
        if sys.platform == "win32":
            import ctypes  # noqa: PLC0415

            kernel = ctypes.windll.kernel32
            kernel.SetPriorityClass(kernel.GetCurrentProcess(), _BELOW_NORMAL_PRIORITY)
        else:
            os.nice(_POLITENESS)


def _is_our_parent(pid: int | None) -> bool:
    """Whether we are still a child of that process; where that cannot be told, stdin tells."""
    return pid is None or os.name != "posix" or os.getppid() == pid


def _end_with_stdin(end: threading.Event) -> None:
    """Wait until whoever holds the other end of our standard input is gone, however it went."""
    with contextlib.suppress(OSError, ValueError):
        while os.read(sys.stdin.fileno(), 4096):
            pass
    end.set()
    time.sleep(_LAST_WORDS_SECONDS)
    os._exit(0)
