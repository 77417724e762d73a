"""Whether a JACK server runs, how long its periods are, and when it ends; asked of libjack itself.

RtMidi knows none of this. It shows: a program that finds no server prints four lines on the
user's screen, and one that goes on sending to a server that has ended hangs for ever as soon as
RtMidi's buffer is full.

What libjack calls is C alone, and no Python: it cancels its threads when a client leaves, and one
that was just waiting for Python's lock would take that with it, for good.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
import threading
import weakref
from pathlib import Path
from types import TracebackType

_MAPS = Path("/proc/self/maps")  # the files that this process has loaded; Linux alone has it
_NO_START_SERVER = 0x01  # JackNoStartServer
_IS_OUTPUT = 0x02  # JackPortIsOutput
_AUDIO = b"32 bit float mono audio"  # JACK_DEFAULT_AUDIO_TYPE


class _Server:
    """What the open clients of this process have in common: they lose it together."""

    has_ended = False


_opening = threading.Lock()


class JackWatch:
    """A JACK client without ports that looks on.

    Whoever has other clients in JACK has one of these, too, and closes it last: while one is open
    whose server has ended, no other is opened. For libjack crashes, or takes new clients away, if
    what belonged to the server before is closed after something was opened in the next one.

    Args:
        name: what the client is called; JACK appends a number where the name is taken.

    Raises:
        ConnectionError: no JACK server runs, or this machine has no libjack, or something of ours
            still belongs to a server that has ended.
    """

    def __init__(self, name: str = "Sidekeys watch") -> None:
        library = _libjack()
        if library is None:
            raise ConnectionError("this machine has no libjack")
        self._library = library
        self._ended_at = ctypes.c_int64(0)  # C's `time` writes to it when the server ends
        self._client: int | None = None
        with _opening:
            servers = [watch._server for watch in _watches if not watch.ended]
            if len(servers) < len(_watches):
                raise ConnectionError("something still belongs to a JACK server that has ended")
            self._server: _Server = servers[0] if servers else _Server()
            self._client = library.jack_client_open(
                name.encode(), _NO_START_SERVER, ctypes.byref(ctypes.c_int())
            )
            if not self._client:
                raise ConnectionError("no JACK server runs")
            ended_at = ctypes.byref(self._ended_at)
            library.jack_on_shutdown(self._client, _c_function("time"), ended_at)
            _watches.add(self)

    @property
    def ended(self) -> bool:
        """Whether the server has ended, or has thrown this program out."""
        if self._ended_at.value != 0:  # one client is told first
            self._server.has_ended = True
        return self._server.has_ended

    @property
    def period_seconds(self) -> float:
        """How much time JACK moves at once; it may change while the server runs."""
        if self._client is None or self.ended:
            return 0.0
        frames: int = self._library.jack_get_buffer_size(self._client)
        rate: int = self._library.jack_get_sample_rate(self._client)
        return frames / rate if rate else 0.0

    def sends_audio(self, client_name: str) -> bool:
        """Whether there is a client of this name with ports that sound comes out of."""
        if self._client is None or self.ended:
            return False
        ports = self._library.jack_get_ports(self._client, None, _AUDIO, _IS_OUTPUT)
        if not ports:
            return False
        try:
            start = client_name.encode() + b":"
            return any(name.startswith(start) for name in itertools.takewhile(bool, ports))
        finally:
            self._library.jack_free(ports)

    def close(self) -> None:
        """Leave the server. Safe to call twice."""
        client, self._client = self._client, None
        if client is not None:
            self._library.jack_client_close(client)
            _watches.discard(self)

    def __enter__(self) -> JackWatch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


_watches: weakref.WeakSet[JackWatch] = weakref.WeakSet()
"""Those that are open."""


def jack_runs() -> bool:
    """Whether a JACK server runs that this user can reach; `JACK_DEFAULT_SERVER` names it."""
    try:
        with JackWatch("Sidekeys probe"):
            return True
    except ConnectionError:
        return False


def _c_function(name: str) -> ctypes.c_void_p:
    """The address of a function of the C library."""
    return ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p)


@functools.cache
def _libjack() -> ctypes.CDLL | None:
    """The libjack that RtMidi brought, if it did: each copy maps all of JACK's shared memory."""
    path = "libjack.so.0"
    with contextlib.suppress(OSError):
        files = [line.split()[-1] for line in _MAPS.read_text().splitlines() if "libjack" in line]
        path = next((file for file in files if "rtmidi" in file), path)
    try:
        library = ctypes.CDLL(path)
    except OSError:
        return None
    library.jack_client_open.restype = ctypes.c_void_p
    library.jack_client_open.argtypes = [
        ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(ctypes.c_int),
    ]  # fmt: skip
    library.jack_client_close.argtypes = [ctypes.c_void_p]
    library.jack_get_ports.restype = ctypes.POINTER(ctypes.c_char_p)
    library.jack_get_ports.argtypes = [
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong,
    ]  # fmt: skip
    library.jack_free.restype = None
    library.jack_free.argtypes = [ctypes.c_void_p]
    library.jack_on_shutdown.restype = None
    library.jack_on_shutdown.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    for question in (library.jack_get_buffer_size, library.jack_get_sample_rate):
        question.restype = ctypes.c_uint32
        question.argtypes = [ctypes.c_void_p]
    for speak in (library.jack_set_error_function, library.jack_set_info_function):
        speak.restype = None
        speak.argtypes = [ctypes.c_void_p]
        speak(_c_function("strlen"))  # what libjack would print, the user is told in our words
    return library
