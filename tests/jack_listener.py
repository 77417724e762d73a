"""A JACK client that writes down every MIDI message it gets, with the time it stands at.

It is a process of its own: a callback in Python that waits for another thread of the same process
is late, and JACK does not wait.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Heard(NamedTuple):
    """A message that came.

    Attributes:
        seconds: monotonic time of its frame.
        frame: JACK's own time of it.
        message: the MIDI bytes.
    """

    seconds: float
    frame: int
    message: bytes


class Listener:
    """What a listening process has heard so far, in order."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.heard: list[Heard] = []
        self._process = process
        assert process.stdout is not None
        self.port = process.stdout.readline().strip()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    @property
    def messages(self) -> list[bytes]:
        return [heard.message for heard in self.heard]

    def connect(self, source: str) -> None:
        """Listen to an output port, such as "Sidekeys:Sidekeys"."""
        subprocess.run(["jack_connect", source, self.port], check=True, capture_output=True)

    def wait(self, is_so: Callable[[list[bytes]], bool], seconds: float = 5.0) -> None:
        """Wait until something is so of the messages."""
        deadline = time.monotonic() + seconds
        while not is_so(self.messages):
            assert time.monotonic() < deadline, f"it did not come: {self.messages[-20:]}"
            time.sleep(0.002)

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._thread.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            seconds, frame, message = line.split()
            self.heard.append(Heard(float(seconds), int(frame), bytes.fromhex(message)))


@contextlib.contextmanager
def listening(name: str = "listener") -> Iterator[Listener]:
    """Listen under this client name on the server that `jack_server.running_jack` runs."""
    process = subprocess.Popen(
        [sys.executable, __file__, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        listener = Listener(process)
        try:
            yield listener
        finally:
            listener.end()


def main(name: str) -> None:
    """Write a line a message until the input ends."""
    import jack

    client = jack.Client(name, no_start_server=True)
    port = client.midi_inports.register("in")
    rate = client.samplerate

    def process(_frames: int) -> None:
        # One thread does it all: for another one this realtime thread would have to wait.
        for offset, data in port.incoming_midi_events():
            now_seconds, now_frame = time.monotonic(), client.frame_time
            frame = client.last_frame_time + offset
            behind = (now_frame - frame + 2**31) % 2**32 - 2**31  # JACK counts in 32 bits
            line = f"{now_seconds - behind / rate:.6f} {frame} {bytes(data).hex()}\n"
            os.write(1, line.encode())

    client.set_process_callback(process)
    with client:
        sys.stdout.write(f"{port.name}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
