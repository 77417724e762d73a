"""How well notes keep time over JACK: the player beside a bare client, on one server, in one run.

    python benchmarks/midi_timing.py [--seconds 12] [--period 256]

Each sender is a process; all send to one listening client, 25 notes a second each, at moments that
have nothing to do with JACK's periods. The error is the time of a note's frame at the listener
less the moment it was due. The floor is the bare client: python-rtmidi and a sleep, nothing else.
Needs what the tests need: jackd, JACK-Client, pytest.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("engine", "bridge", "tests")]

from jack_listener import Heard, listening  # noqa: E402
from jack_server import running_jack  # noqa: E402
from sidekeys_bridge.midi_output import MidiOutput  # noqa: E402
from sidekeys_bridge.player import Player  # noqa: E402
from sidekeys_bridge.realtime import COMPANION_PRIORITY, request_realtime  # noqa: E402

NOTES_A_SECOND = 25
SENDERS = {
    "bare client": "bare",
    "bare client, realtime": "bare realtime",
    "player": "player",
    "player, realtime": "player realtime",
    "player, realtime, no lead": "player realtime punctual",
    "player, busy bridge": "player busy",
    "player, realtime, busy bridge": "player realtime busy",
    "player, all realtime, busy bridge": "player realtime busy companion",
}
LOADS = {"": 0, "2 processes computing": 2}


def main() -> None:
    """Run all senders, at rest and under load, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=12.0, help="of each half of the run")
    parser.add_argument("--period", type=int, default=256, help="frames, at 44.1 kHz")
    parser.add_argument("--send", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.send:
        how, channel = options.send
        send(how, int(channel), options.seconds)
        return
    period_ms = 1e3 * options.period / 44100
    print(
        f"JACK: {options.period} frames at 44.1 kHz, a period of {period_ms:.1f} ms. Errors in ms:"
    )
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores before the run\n")
    print("| load | sender | notes | mean | p50 of size | p99 of size | largest |")
    print("|---|---|---|---|---|---|---|")
    with running_jack(options.period), listening() as listener:
        for load, processes in LOADS.items():
            with computing(processes):
                first = len(listener.heard)
                start_seconds = run(listener.port, options.seconds)
                for channel, sender in enumerate(SENDERS, 1):
                    heard = listener.heard[first:]
                    print(row(load, sender, channel, heard, start_seconds, options.seconds))


def run(listener_port: str, seconds: float) -> float:
    """Let all senders play at once; returns the moment they began at."""
    senders = [
        subprocess.Popen(
            [sys.executable, __file__, "--seconds", str(seconds), "--send", how, str(channel)],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )
        for channel, how in enumerate(SENDERS.values(), 1)
    ]
    for sender in senders:
        assert sender.stdout is not None
        source = sender.stdout.readline().strip()
        subprocess.run(["jack_connect", source, listener_port], check=True)
    start_seconds = time.monotonic() + 1.0
    for sender in senders:
        assert sender.stdin is not None
        sender.stdin.write(f"{start_seconds}\n")
        sender.stdin.flush()
    for sender in senders:
        sender.communicate()
    time.sleep(0.2)
    return start_seconds


def schedule(channel: int, start_seconds: float, seconds: float) -> list[float]:
    """When a sender's notes are due; the same whoever asks."""
    chance = random.Random(channel)  # noqa: S311
    count = round(seconds * NOTES_A_SECOND)
    return [start_seconds + (i + chance.random() / 2) / NOTES_A_SECOND for i in range(count)]


def row(
    load: str, sender: str, channel: int, heard: list[Heard], start_seconds: float, seconds: float
) -> str:
    """A sender's line of the table."""
    due = schedule(channel, start_seconds, seconds)
    # The number of the note is in its pitch and velocity, so that a lost one moves no other.
    came = {
        (message[1], message[2]): moment
        for moment, _, message in heard
        if message[0] == 0x8F + channel
    }
    errors = [1e3 * (came[number(i)] - due[i]) for i in range(len(due)) if number(i) in came]
    sizes = sorted(map(abs, errors))
    figures = [sum(errors) / len(errors), sizes[len(sizes) // 2], sizes[int(0.99 * len(sizes))]]
    shown = " | ".join(f"{figure:.2f}" for figure in [*figures, sizes[-1]])
    return f"| {load or 'none'} | {sender} | {len(errors)}/{len(due)} | {shown} |"


def number(index: int) -> tuple[int, int]:
    """Pitch and velocity of a sender's note."""
    return index % 128, 1 + index // 128


def send(how: str, channel: int, seconds: float) -> None:
    """A sender's process: open a port, name it, be told when to begin, play."""
    words = how.split()
    port = MidiOutput(name=f"sender {channel}")
    print(port.name, flush=True)
    due = schedule(channel, float(sys.stdin.readline()), seconds)
    if "busy" in words:
        companion = "companion" in words
        threading.Thread(target=work_like_a_bridge, args=(companion,), daemon=True).start()
    if "bare" in words:
        if "realtime" in words:
            request_realtime()
        for index, moment in enumerate(due):
            time.sleep(max(0.0, moment - time.monotonic()))
            port.send(bytes((0x8F + channel, *number(index))))
        port.close()
        return
    lead_seconds = 0.0 if "punctual" in words else None
    with Player(port, realtime="realtime" in words, lead_seconds=lead_seconds) as player:
        for index, moment in enumerate(due):
            time.sleep(max(0.0, moment - 0.03 - time.monotonic()))
            player.strike(moment, moment + 0.1, channel, *number(index))
        time.sleep(0.3)


def work_like_a_bridge(companion: bool) -> None:
    """Python code that holds the interpreter a tenth of the time, in pieces of 2 ms."""
    if companion:
        request_realtime(COMPANION_PRIORITY)
    while True:
        end_seconds = time.monotonic() + 0.002
        while time.monotonic() < end_seconds:
            pass
        time.sleep(0.018)


@contextlib.contextmanager
def computing(processes: int) -> Iterator[None]:
    """Keep so many cores busy, at the priority that an engine has."""
    busy = "import os\nos.nice(5)\nwhile True: sum(range(10000))"
    running = [subprocess.Popen([sys.executable, "-c", busy]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
