"""Where the panel is served: the socket that listens, and the address that a browser opens."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sidekeys_bridge.panel.guard import is_any_address, is_loopback
from sidekeys_bridge.settings import PANEL_PORT
from sidekeys_engine.errors import InputError

_PORTS_TRIED = 20
_WAIT_SECONDS, _PAUSE_SECONDS = 2.0, 0.05
_BACKLOG = 64
# Addresses for documents; nothing is sent there.
_ELSEWHERE = {socket.AF_INET: ("192.0.2.1", 9), socket.AF_INET6: ("2001:db8::1", 9)}
_HERE = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
_OPEN_TO_OTHERS = (
    "the panel can be reached from the network at {host}; whoever has its address with the token "
    "can play along, and nothing is encrypted. Use it in networks that you trust."
)
_NOT_KNOWN = (
    "the address printed here works on this machine alone; look up this machine's own address in "
    "your network, and type it in place of {host}."
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a panel listens.

    Attributes:
        socket: that listens.
        host: as it was asked for.
        url: of the page, without the token.
        notices: what its user must know, in words.
    """

    socket: socket.socket
    host: str
    url: str
    notices: tuple[str, ...]


def listen(host: str, port: int | None, *, is_ours: Callable[[], bool]) -> Address:
    """Take a port.

    Args:
        host: the address to listen at.
        port: the one to take, 0 for any; the usual one or one of those after it for None.
        is_ours: whether another panel of this user still has a port, which it soon gives back.

    Raises:
        InputError: the address cannot be had.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    taken: OSError | None = None
    for number in _ports(port):
        while True:
            try:
                opened = _opened(host, number)
            except OSError as refused:
                if refused.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise InputError(
                        f"this machine cannot serve the panel at {host}: {refused.strerror}; give "
                        "one of its own addresses with --host, or leave it out."
                    ) from refused
                taken = refused
                # A page that is open looks for the panel where the one before was.
                if time.monotonic() > deadline or not is_ours():
                    break
                time.sleep(_PAUSE_SECONDS)
                continue
            return _address(opened, host, port)
    if port is None:
        last = PANEL_PORT + _PORTS_TRIED - 1
        words = f"the ports {PANEL_PORT} to {last} are all taken; name a free one with --port."
    else:
        words = f"the port {port} is taken; name another one with --port, or leave it out."
    raise InputError(words) from taken


def _ports(port: int | None) -> Iterator[int]:
    yield from range(PANEL_PORT, PANEL_PORT + _PORTS_TRIED) if port is None else (port,)


def _opened(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        OSError: it cannot.
    """
    family, kind, protocol, _, place = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    opened = socket.socket(family, kind, protocol)
    try:
        if sys.platform == "win32":
            # Else another program could listen at the same port, and be given the token.
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(place)
        opened.listen(_BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def _address(opened: socket.socket, host: str, asked: int | None) -> Address:
    port = opened.getsockname()[1]
    notices = []
    if asked is None and port != PANEL_PORT:
        notices.append(f"the port {PANEL_PORT} is taken, so the panel is at port {port}.")
    own = _own_address(opened) if is_any_address(host) else host
    shown = own or _HERE[opened.family]
    if not is_loopback(host):
        notices.append(_OPEN_TO_OTHERS.format(host=own or host))
    if own is None:
        notices.append(_NOT_KNOWN.format(host=shown))
    bracketed = f"[{shown}]" if ":" in shown else shown
    return Address(opened, host, f"http://{bracketed}:{port}/", tuple(notices))


def _own_address(opened: socket.socket) -> str | None:
    """An address of this machine that others on its network reach; None if it has none now."""
    families = [opened.family]
    if opened.family == socket.AF_INET6 and not opened.getsockopt(
        socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
    ):
        families.append(socket.AF_INET)
    for family in families:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect(_ELSEWHERE[family])
            return str(asking.getsockname()[0])
    return None
