"""A MIDI clock to the frame, through real JACK: jitter, a tempo ramp, a locate and a wrap.

It is a process of its own, because Python threads that compute would hold its callback up. It ends
with one line of JSON: `runs`, for each the song position at which it began, and the monotonic
seconds at which its ticks truly were; and `lost_seconds`, periods that JACK lost, which move the
song.

    python tests/jack_clock.py "Sidekeys Sync"
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jack

sys.path.append(str(Path(__file__).parent))

from clock_sender import TICK, ClockSender

RAMP_BEATS = 57  # in which it comes from 90 to 140 bpm
_JITTER_SECONDS = 0.001


class Event(NamedTuple):
    """A message, and the frames from the start at which it is sent, and at which it truly was."""

    frame: int
    true_frame: int
    message: bytes


def performance() -> ClockSender:
    """40 s: from 90 to 140 bpm in 30 s; 8 beats further on; round a loop."""
    jitter = random.Random(1)
    sender = ClockSender(lambda: jitter.expovariate(1 / _JITTER_SECONDS), seconds=0.0)
    sender.start()
    sender.play(4 + RAMP_BEATS, ramp)
    sender.locate(72)
    sender.play(8, 140.0)
    sender.locate(72)
    sender.play(8, 140.0)
    sender.stop()
    return sender


def ramp(beats: float) -> float:
    """90 bpm for 4 beats, then 50 bpm more each 30 s."""
    return min((90**2 + 2 * 60 * 50 / 30 * max(beats - 4, 0.0)) ** 0.5, 140.0)


def events(sender: ClockSender, rate: int) -> Iterator[Event]:
    """What is sent, in order."""
    moments = iter([seconds for run in sender.runs for seconds, _ in run])
    for message, seconds in sender.messages:
        true_seconds = next(moments) if message == TICK else seconds
        yield Event(round(seconds * rate), round(true_seconds * rate), message)


def main(port: str) -> None:
    """Send it once."""
    sender = performance()
    client = jack.Client("clock", no_start_server=True)
    out = client.midi_outports.register("out")
    rate, period = client.samplerate, client.blocksize
    waiting = list(events(sender, rate))
    ticks: list[int] = []  # JACK's frames at which they truly were
    clocks: list[tuple[int, float]] = []  # JACK's frame and the monotonic second, each period
    position = [-rate // 4]  # frames of the song that were played, whatever JACK lost

    @client.set_process_callback
    def process(frames: int) -> None:
        out.clear_buffer()
        start = client.last_frame_time
        clocks.append((start, time.monotonic()))
        if not out.number_of_connections:
            return
        while waiting and waiting[0].frame < position[0] + frames:
            event = waiting.pop(0)
            out.write_midi_event(max(event.frame - position[0], 0), event.message)
            if event.message == TICK:
                ticks.append(start + event.true_frame - position[0])
        position[0] += frames

    with client:
        target = next(each for each in client.get_ports(is_input=True) if port in each.name)
        client.connect(out, target)
        while waiting:
            time.sleep(0.05)
        time.sleep(0.2)
        played = [start for start, _ in clocks]
    lost = sum(late - soon - period for soon, late in itertools.pairwise(played))
    frames = iter(ticks)
    runs = [
        (run[0][1], [round(monotonic_at(next(frames), clocks, rate), 6) for _ in run])
        for run in sender.runs
    ]
    print(json.dumps({"runs": runs, "lost_seconds": lost / rate}))


def monotonic_at(frame: int, clocks: list[tuple[int, float]], rate: int) -> float:
    """When a frame sounded: callbacks come late at times, and never early."""
    near = [each for each in clocks if abs(each[0] - frame) < rate]
    return min(seconds - start / rate for start, seconds in near) + frame / rate


if __name__ == "__main__":
    main(sys.argv[1])
