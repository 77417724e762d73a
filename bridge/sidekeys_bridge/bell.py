"""A bell between threads: whoever waits on sockets hears that there is something to do."""

from __future__ import annotations

import contextlib
import select
import socket


class Bell:
    """Rung by any thread, heard by one, through a pair of sockets; ringing never blocks.

    Attributes:
        socket: readable once the bell was rung, for `zmq.Poller`, `select` and the like.
    """

    def __init__(self) -> None:
        self.socket, self._rope = socket.socketpair()
        self.socket.setblocking(False)
        self._rope.setblocking(False)

    def ring(self) -> None:
        """Wake whoever waits; a bell that rings already, or is closed, is left alone."""
        with contextlib.suppress(OSError):
            self._rope.send(b"\0")

    def silence(self) -> None:
        """Take notice; call it before looking at what there is to do."""
        with contextlib.suppress(OSError):
            while self.socket.recv(4096):
                pass

    def wait(self, seconds: float) -> bool:
        """Wait until it rings, at most so long; True if it did."""
        return bool(select.select([self.socket], [], [], seconds)[0])

    def close(self) -> None:
        """Give the sockets back; safe twice."""
        self.socket.close()
        self._rope.close()
