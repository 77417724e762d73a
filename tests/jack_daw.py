"""A DAW for tests: a JACK client that plays a song, sends MIDI clock, and records a MIDI port.

All of it happens in JACK's own callback, to the frame: what it records needs no other clock. It
is a process of its own, because Python threads that compute would hold its callback up.

    python tests/jack_daw.py SONG.wav

It does what lines of JSON say, such as {"do": "play", "bpm": 120}, and answers each with one; the
methods of `Transport` are what it can do. It ends with its input.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import jack
import numpy as np
import soundfile

SONG_POSITION, CLOCK, START, STOP = 0xF2, 0xF8, 0xFA, 0xFC
TICKS_PER_BEAT = 24


def main() -> None:
    """Serve whoever started us, until they leave."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("song", type=Path)
    parser.add_argument("--name", default="daw")
    options = parser.parse_args()
    transport = Transport(options.song, options.name)
    with transport.client:
        print("{}", flush=True)
        for line in sys.stdin:
            content = json.loads(line)
            answer = getattr(transport, content.pop("do"))(**content)
            print(json.dumps(answer or {}), flush=True)


class Run:
    """A song that plays: where it is, and what comes next."""

    def __init__(
        self, rate: int, bpm: float, seconds: float, loop_beats: float | None, sends_clock: bool
    ) -> None:
        self.frames_per_tick = rate * 60 / bpm / TICKS_PER_BEAT
        self.end_frames = round(seconds * rate)
        self.loop_frames = None
        if loop_beats:
            self.loop_frames = round(loop_beats * TICKS_PER_BEAT * self.frames_per_tick)
        self.sends_clock = sends_clock
        self.start_frame: int | None = None
        self.position = 0  # frames since the start
        self.pass_starts = [0]  # of these, where each pass of the loop began
        self.tick = 0  # the next one, from where the song or the loop began
        self.is_over = self.is_stopped = False


class Transport:
    """The client and its callback; public methods are commands."""

    def __init__(self, song: Path, name: str) -> None:
        self.client = jack.Client(name, no_start_server=True)
        self._rate = self.client.samplerate
        samples, song_rate = soundfile.read(song, dtype="float32", always_2d=True)
        if song_rate != self._rate:
            raise SystemExit(f"the song has {song_rate} Hz, JACK {self._rate}")
        self._song = np.repeat(samples.T, 3 - samples.shape[1], axis=0)
        self._outputs = [self.client.outports.register(name) for name in ("out_1", "out_2")]
        self._clock = self.client.midi_outports.register("clock")
        self._input = self.client.midi_inports.register("in")
        self._run: Run | None = None
        self._to_send: deque[bytes] = deque()
        self._received: list[tuple[int, list[int], int]] = []
        self._xruns: list[int] = []
        self.client.set_process_callback(self._process)
        self.client.set_xrun_callback(lambda _late: self._xruns.append(self.client.frame_time))

    def connect(self, piano: str = "Sidekeys:", sync: str = "Sidekeys Sync") -> dict[str, Any]:
        """Plug the piano in, and the clock; how many ports there are to plug in."""
        sources = self.client.get_ports(is_midi=True, is_output=True)
        sinks = self.client.get_ports(is_midi=True, is_input=True)
        wanted = [(port, self._input) for port in sources if port.name.startswith(piano)]
        wanted += [(self._clock, port) for port in sinks if sync in port.name]
        for source, sink in wanted:
            if sink not in self.client.get_all_connections(source):
                self.client.connect(source, sink)
        return {"ports": len(wanted)}

    def play(
        self,
        bpm: float = 120.0,
        seconds: float = 600.0,
        loop_beats: float | None = None,
        clock: bool = True,
    ) -> None:
        """Play from the start, again where the song ends; forget what was recorded."""
        self._received = []
        self._run = Run(self._rate, bpm, seconds, loop_beats, clock)

    def stop(self) -> None:
        """Stop, and say so."""
        if self._run is not None:
            self._run.is_over = True

    def freeze(self) -> None:
        """Stop without a word, as a DAW that crashed."""
        self._run = None

    def send(self, message: list[int]) -> None:
        """Send a MIDI message to where the clock goes."""
        self._to_send.append(bytes(message))

    def recorded(self) -> dict[str, Any]:
        """What came since `play`, and where the song is."""
        frame, seconds = self.client.frame_time, time.monotonic()
        run = self._run
        return {
            "rate": self._rate,
            "start_frame": run.start_frame if run is not None else None,
            "pass_starts": run.pass_starts if run is not None else [],
            "is_playing": run is not None and not run.is_stopped,
            "received": self._received,
            "xruns": self._xruns,
            "frame_now": frame,
            "seconds_now": seconds,
        }

    def _process(self, frames: int) -> None:
        now = self.client.last_frame_time
        # A period that JACK lost moves the song: its position is not that of JACK's frames.
        position = self._run.position if self._run is not None else 0
        for offset, data in self._input.incoming_midi_events():
            self._received.append((now + offset, list(bytes(data)), position + offset))
        self._clock.clear_buffer()
        arrays = [port.get_array() for port in self._outputs]
        for array in arrays:
            array[:] = 0.0
        while self._to_send:
            self._clock.write_midi_event(0, self._to_send.popleft())
        run = self._run
        if run is None or run.is_stopped:
            return
        if run.start_frame is None:
            run.start_frame = now
            if run.sends_clock:
                self._clock.write_midi_event(0, bytes([START]))
        self._play_block(run, frames, arrays)
        run.position += frames
        if run.is_over or run.position >= run.end_frames:
            if run.sends_clock:
                self._clock.write_midi_event(frames - 1, bytes([STOP]))
            run.is_stopped = True

    def _play_block(self, run: Run, frames: int, arrays: list[np.ndarray]) -> None:
        """Ticks and sound of one period; a loop may wrap within it."""
        filled = 0
        while filled < frames:
            place = run.position + filled - run.pass_starts[-1]
            if place == run.loop_frames:
                if run.sends_clock:
                    self._clock.write_midi_event(filled, bytes([SONG_POSITION, 0, 0]))
                run.pass_starts.append(run.position + filled)
                run.tick = place = 0
            end = frames - filled
            if run.loop_frames is not None:
                end = min(end, run.loop_frames - place)
            while (tick := round(run.tick * run.frames_per_tick)) < place + end:
                if run.sends_clock:
                    self._clock.write_midi_event(filled + tick - place, bytes([CLOCK]))
                run.tick += 1
            heard = self._song.take(range(place, place + end), axis=1, mode="wrap")
            for array, channel in zip(arrays, heard, strict=True):
                array[filled : filled + end] = channel
            filled += end


if __name__ == "__main__":
    main()
