"""A long live session on a real JACK server, measured where the notes arrive.

A DAW (a JACK client that plays the example song over and over, sends MIDI clock, and records), the
bridge, its engine, and beside them a bare python-rtmidi client that does nothing but send a note
at known frames: what it reaches is the floor of this way into a DAW.

    .venv/bin/python benchmarks/live.py --minutes 10 --period 128

Writes docs/live-figures.md and prints it. Needs jackd2.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile
import soxr

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from jack_server import running_jack  # noqa: E402
from live_session import running_bridge, running_daw  # noqa: E402

RATE, BPM = 44100, 104.0
STEP_SECONDS = 60 / BPM / 4
FLOOR_CHANNEL, FLOOR_PITCH = 15, 1
_LAST_NOTES_SECONDS = 2.0


def main() -> None:
    """Run, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--period", type=int, default=128)
    parser.add_argument("--composer", default="full")
    parser.add_argument("--delay", default="auto")
    parser.add_argument("--keep", type=Path, help="write here what the DAW recorded, as JSON")
    parser.add_argument("--floor", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.floor:
        send_floor()
        return
    with tempfile.TemporaryDirectory() as folder, running_jack(options.period, RATE):
        measured = session(options, Path(folder))
    page = written(options, measured)
    if options.keep is not None:
        options.keep.write_text(json.dumps(measured["recorded"]), encoding="utf-8")
    (ROOT / "docs" / "live-figures.md").write_text(page, encoding="utf-8")
    sys.stdout.write(page)


def session(options: argparse.Namespace, folder: Path) -> Mapping[str, Any]:
    """Play so many minutes; what was recorded and what it cost."""
    seconds = options.minutes * 60
    with contextlib.ExitStack() as stack:
        stack.enter_context(floor_client())
        daw = stack.enter_context(running_daw(whole_bars(folder / "song.wav")))
        bridge = stack.enter_context(
            running_bridge(
                folder, "--input", "daw", "--transport", "clock",
                "--composer", options.composer, "--delay", options.delay,
            )
        )  # fmt: skip
        bridge.wait_until_ready()
        daw.do("connect", piano="floor")
        daw.play(BPM, seconds=seconds)
        playing = bridge.wait_for(lambda now: now["delay_beats"] is not None)
        processes = family(bridge.process.pid, playing["engine"]["pid"])
        before = {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}
        started = time.monotonic()
        time.sleep(max(5.0, seconds - 10))
        wall = time.monotonic() - started
        cpu = {
            name: (sum(process.cpu_times()[:2]) - before[name]) / wall
            for name, process in processes.items()
        }
        memory = {name: process.memory_full_info() for name, process in processes.items()}
        status = bridge.wait_for(lambda now: not now["transport"]["playing"])
        time.sleep(_LAST_NOTES_SECONDS)
        recorded = daw.do("recorded")
    return {
        "playing": playing,
        "status": status,
        "recorded": recorded,
        "cpu": cpu,
        "memory": {
            name: (info.uss / 2**20, info.pss / 2**20, info.rss / 2**20)
            for name, info in memory.items()
        },
    }


def whole_bars(path: Path) -> Path:
    """The example song up to its last bar line, so that it goes on when it starts again."""
    samples, rate = soundfile.read(ROOT / "examples" / "paper_lanterns.ogg", always_2d=True)
    samples = soxr.resample(samples, rate, RATE).astype(np.float32)
    bar = 4 * 60 / BPM
    whole = round(np.floor(len(samples) / RATE / bar) * bar * RATE)
    soundfile.write(path, samples[:whole], RATE)
    return path


def family(bridge: int, engine: int) -> dict[str, psutil.Process]:
    """The processes of a session by what they are."""
    children = psutil.Process(bridge).children()
    found = {"bridge": psutil.Process(bridge), "engine": psutil.Process(engine)}
    for child in children:
        if child.pid != engine:
            found["sound device"] = child
    return found


@contextlib.contextmanager
def floor_client() -> Iterator[subprocess.Popen[bytes]]:
    """The bare client, as a process."""
    process = subprocess.Popen([sys.executable, __file__, "--floor"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def send_floor() -> None:
    """Send a note every 100 ms at a frame that is a multiple of a tenth of a second."""
    import jack  # noqa: PLC0415
    import rtmidi  # noqa: PLC0415

    from sidekeys_bridge.realtime import request_realtime  # noqa: PLC0415

    port = rtmidi.MidiOut(rtmidi.API_UNIX_JACK, name="floor")
    port.open_virtual_port("floor")
    clock = jack.Client("floor clock", no_start_server=True)
    clock.activate()
    request_realtime()
    gap = RATE // 10
    due = (clock.frame_time // gap + 2) * gap
    while True:
        # As a player that knows how JACK works: half a period early.
        wait = (due - clock.blocksize / 2 - clock.frame_time) / RATE
        if wait > 0:
            time.sleep(wait)
        port.send_message([0x90 | FLOOR_CHANNEL, FLOOR_PITCH, 1])
        port.send_message([0x80 | FLOOR_CHANNEL, FLOOR_PITCH, 0])
        due += gap


def errors_of(measured: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, int]:
    """Of the piano and of the floor, in ms; how many notes of the piano arrived and ended.

    The piano is measured against the song as JACK let the DAW play it: a period that JACK lost
    moves the song, and its clock with it. The bare client knows JACK's frames.
    """
    gap = RATE // 10
    floor, errors, sounding, ended = [], [], set(), 0
    for frame, data, place in measured["recorded"]["received"]:
        kind, channel, pitch = data[0] & 0xF0, data[0] & 0x0F, data[1]
        if channel == FLOOR_CHANNEL and pitch == FLOOR_PITCH:
            if kind == 0x90:
                floor.append((frame - round(frame / gap) * gap) / RATE * 1000)
        elif kind == 0x90 and data[2] > 0:
            sounding.add((channel, pitch))
            steps = place / RATE / STEP_SECONDS
            errors.append((steps - round(steps)) * STEP_SECONDS * 1000)
        elif kind in (0x80, 0x90) and (channel, pitch) in sounding:
            sounding.remove((channel, pitch))
            ended += 1
    return np.array(errors), np.array(floor), ended


def written(options: argparse.Namespace, measured: Mapping[str, Any]) -> str:
    """The page."""
    errors, floor, arrived = errors_of(measured)
    status, playing = measured["status"], measured["playing"]
    counters = status["counters"]
    had = "had" if status["timing"]["realtime"] else "was not given"
    rows = [
        "# Figures of a live session",
        "",
        f"Written by `benchmarks/live.py`: {options.minutes:g} minutes of the example song at "
        f"{BPM:g} bpm over JACK ({options.period} frames at {RATE} Hz: "
        f"{options.period / RATE * 1000:.1f} ms), the composer `{options.composer}` of the "
        f"embedded checkpoint on {status['engine']['device']}, {os.cpu_count()} cores "
        f"({platform.machine()}), load average {os.getloadavg()[1]:.1f}; "
        f"{len(measured['recorded']['xruns'])} periods were lost by JACK itself.",
        "",
        f"Delay: {playing['delay_beats']} beats ({playing['delay_reason']}).",
        "",
        "| note onsets at the recording client, against the DAW's grid | p50 | p99 | max |",
        "|---|---|---|---|",
        f"| the piano, engine generating | {spread(errors)} |",
        f"| a bare client beside it, realtime | {spread(floor)} |",
        "",
        "Errors are absolute, in ms, constant offsets included (the piano's median is "
        f"{np.median(errors):+.2f} ms, the bare client's {np.median(floor):+.2f}). "
        f"The sender {had} realtime priority; messages left {status['timing']['p99_ms']:.2f} ms "
        "(p99) after their time.",
        "",
        "| what | count |",
        "|---|---|",
        f"| notes sent | {counters['notes_sent']} |",
        f"| notes that arrived and ended | {arrived} |",
        f"| too late, dropped | {counters['late_notes_dropped']} |",
        f"| sounding at the end | {counters['sounding']} |",
        f"| windows played | {counters['windows_done']} |",
        f"| windows missed | {counters['windows_missed']} |",
        f"| times that sound was lost | {counters['input_overflows']} |",
        "",
        "| process | of one core | memory of its own (USS) | PSS | RSS |",
        "|---|---|---|---|---|",
    ]
    for name, share in measured["cpu"].items():
        uss, pss, rss = measured["memory"][name]
        rows.append(f"| {name} | {share:.1%} | {uss:.0f} MB | {pss:.0f} MB | {rss:.0f} MB |")
    return "\n".join([*rows, ""])


def spread(errors: Sequence[float] | np.ndarray) -> str:
    """Percentiles of the absolute errors, as cells of a table."""
    absolute = np.abs(np.asarray(errors, dtype=np.float64))
    return " | ".join(f"{value:.2f}" for value in np.percentile(absolute, [50, 99, 100]))


if __name__ == "__main__":
    main()
