"""A MIDI clock to the frame, through real JACK: a song with a tempo ramp, a locate and a wrap.

It is a process of its own, because Python threads that compute would hold its callback up. It ends
with one line of JSON: for every tick, the run, the song position in beats, the monotonic second.

    python tests/jack_clock.py "Sidekeys Sync"
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import jack

sys.path.append(str(Path(__file__).parent))

from clock_sender import TICK, ClockSender


def performance() -> ClockSender:
    """22 s: faster and faster as from 90 to 140 bpm in 30 s; 8 beats further on; round a loop."""
    sender = ClockSender(seconds=0.0)
    sender.start()
    sender.play(30, ramp)
    sender.locate(40)
    sender.play(4, ramp(30))
    sender.locate(40)
    sender.play(4, ramp(30))
    sender.stop()
    return sender


def ramp(beats: float) -> float:
    """100 bpm for 4 beats, then 50 bpm more each 30 s."""
    return (100**2 + 2 * 60 * 50 / 30 * max(beats - 4, 0.0)) ** 0.5


def main(port: str) -> None:
    """Send it once."""
    sender = performance()
    client = jack.Client("clock", no_start_server=True)
    out = client.midi_outports.register("out")
    rate = client.samplerate
    messages = [(round(seconds * rate), message) for message, seconds in sender.messages]
    sent: list[int] = []  # JACK's frames of the ticks
    clocks: list[tuple[int, float]] = []  # JACK's frame and the monotonic second, each period
    first: list[int] = []

    @client.set_process_callback
    def process(frames: int) -> None:
        out.clear_buffer()
        start = client.last_frame_time
        clocks.append((start, time.monotonic()))
        if not first:
            if not out.number_of_connections:
                return
            first.append(start + rate // 4)
        while messages and messages[0][0] + first[0] < start + frames:
            at, message = messages.pop(0)
            out.write_midi_event(at + first[0] - start, message)
            if message == TICK:
                sent.append(at + first[0])

    with client:
        target = next(each for each in client.get_ports(is_input=True) if port in each.name)
        client.connect(out, target)
        while messages:
            time.sleep(0.05)
        time.sleep(0.2)
    truth = []
    ticks = iter(sent)
    for run, positions in enumerate(sender.runs):
        for _, beats in positions:
            truth.append((run, beats, monotonic_at(next(ticks), clocks, rate)))
    print(json.dumps(truth))


def monotonic_at(frame: int, clocks: list[tuple[int, float]], rate: int) -> float:
    """When a frame sounded: callbacks come late at times, and never early."""
    near = [each for each in clocks if abs(each[0] - frame) < rate]
    return min(seconds - start / rate for start, seconds in near) + frame / rate


if __name__ == "__main__":
    main(sys.argv[1])
