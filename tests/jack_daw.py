"""A DAW for tests: a JACK client that plays a song, sends MIDI clock, and records a MIDI port.

All of it happens in JACK's own callback, to the frame: what it records needs no other clock. It
is a process of its own, because Python threads that compute would hold its callback up.

    python tests/jack_daw.py SONG.wav OUT.json --bpm 120 --record "Sidekeys" --clock "Sidekeys Sync"
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from pathlib import Path

import jack
import numpy as np
import soundfile

SONG_POSITION, CLOCK, START, STOP = 0xF2, 0xF8, 0xFA, 0xFC
TICKS_PER_BEAT = 24


def main() -> None:
    """Play once, or a loop; then write down what came."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("song", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bpm", type=float, default=120.0)
    parser.add_argument("--seconds", type=float, help="play so long; the song by default")
    parser.add_argument("--tail", type=float, default=0.0, help="go on in silence for so long")
    parser.add_argument("--loop-beats", type=float, help="jump back to 0 there, each time")
    parser.add_argument("--record", default="Sidekeys:Sidekeys")
    parser.add_argument("--clock", default="")
    parser.add_argument("--name", default="daw")
    options = parser.parse_args()
    daw = Daw(options)
    with daw.client:
        print("ready", flush=True)
        sys.stdin.readline()  # whoever started us says when
        daw.connect(options)
        daw.playing.set()
        daw.done.wait()
    options.out.write_text(json.dumps(daw.report()), encoding="utf-8")


class Daw:
    """The client and its callback."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.client = jack.Client(options.name, no_start_server=True)
        self.rate = rate = self.client.samplerate
        self.period = self.client.blocksize
        song, song_rate = soundfile.read(options.song, dtype="float32", always_2d=True)
        if song_rate != rate:
            raise SystemExit(f"the song has {song_rate} Hz, JACK {rate}")
        seconds = options.seconds or len(song) / rate
        self.song = np.repeat(song[: round(seconds * rate)].T, 3 - song.shape[1], axis=0)
        self.end_frames = round((seconds + options.tail) * rate)
        self.frames_per_tick = rate * 60 / options.bpm / TICKS_PER_BEAT
        self.loop_frames = None
        if options.loop_beats:
            self.loop_frames = round(options.loop_beats * TICKS_PER_BEAT * self.frames_per_tick)
        self.outputs = [self.client.outports.register(name) for name in ("out_1", "out_2")]
        self.clock = self.client.midi_outports.register("clock")
        self.input = self.client.midi_inports.register("in")
        self.playing, self.done = threading.Event(), threading.Event()
        self.start_frame: int | None = None
        self.position = 0
        self.tick = 0  # the next one, from where the song or the loop began
        self.pass_start = 0
        self.received: list[tuple[int, list[int]]] = []
        self.xruns: list[int] = []
        self.client.set_process_callback(self.process)
        self.client.set_xrun_callback(lambda _late: self.xruns.append(self.position))

    def connect(self, options: argparse.Namespace) -> None:
        """Plug the piano in, and the clock."""
        for port in self.client.get_ports(is_midi=True, is_output=True):
            if port.name.startswith(options.record):
                self.client.connect(port, self.input)
        for port in self.client.get_ports(is_midi=True, is_input=True):
            if options.clock and options.clock in port.name:
                self.client.connect(self.clock, port)

    def process(self, frames: int) -> None:
        now = self.client.last_frame_time
        for offset, data in self.input.incoming_midi_events():
            self.received.append((now + offset, list(bytes(data))))
        self.clock.clear_buffer()
        arrays = [port.get_array() for port in self.outputs]
        for array in arrays:
            array[:] = 0.0
        if not self.playing.is_set() or self.done.is_set():
            return
        if self.start_frame is None:
            self.start_frame = now
            self.clock.write_midi_event(0, bytes([START]))
        self.play_block(frames, arrays)
        self.position += frames
        if self.position >= self.end_frames:
            self.clock.write_midi_event(frames - 1, bytes([STOP]))
            self.done.set()

    def play_block(self, frames: int, arrays: list[np.ndarray]) -> None:
        """Ticks and sound of one period; a loop may wrap within it."""
        filled = 0
        while filled < frames:
            place = self.position + filled - self.pass_start
            if place == self.loop_frames:
                self.clock.write_midi_event(filled, bytes([SONG_POSITION, 0, 0]))
                self.pass_start += self.loop_frames
                self.tick = place = 0
            end = frames - filled
            if self.loop_frames is not None:
                end = min(end, self.loop_frames - place)
            while (tick := round(self.tick * self.frames_per_tick)) < place + end:
                self.clock.write_midi_event(filled + tick - place, bytes([CLOCK]))
                self.tick += 1
            heard = self.song[:, place : place + end]
            for array, channel in zip(arrays, heard, strict=True):
                array[filled : filled + len(channel)] = channel
            filled += end

    def report(self) -> dict[str, object]:
        return {
            "start_frame": self.start_frame,
            "rate": self.rate,
            "period": self.period,
            "frames": self.position,
            "xruns": self.xruns,
            "received": self.received,
        }


if __name__ == "__main__":
    main()
