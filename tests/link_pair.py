"""Two Link peers, each in its own process: a DAW that plays, and our transport that follows.

Run it inside a network of its own, so that no session in the house hears of it:

    unshare -n bash -c 'ip link set lo up; exec python tests/link_pair.py'

It prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import Any

from sidekeys_bridge.link import LinkSource
from sidekeys_bridge.transport import Transport, TransportState
from sidekeys_engine.notes import Meter

SECONDS = 6.0


def daw(share_start: bool) -> None:
    """120 bpm, playing after 2 s, 133 bpm after 4 s; tells where it is all the while."""
    import aalink

    async def opened() -> Any:
        return aalink.Link(120.0)

    link = asyncio.run(opened())
    link.quantum = 3.0
    link.start_stop_sync_enabled = share_start
    link.enabled = True
    begun = time.monotonic()
    while (elapsed := time.monotonic() - begun) < SECONDS:
        if elapsed > 2 and not link.playing:
            link.playing = True
        if elapsed > 4 and link.tempo != 133.0:
            link.tempo = 133.0
        before = time.monotonic()
        beat = link.beat
        if time.monotonic() - before < 1e-3:
            print(json.dumps((before, beat)), flush=True)
        time.sleep(0.02)


def main() -> None:
    """Follow two DAWs, one after the other: one shares its start, one does not."""
    results = {}
    for name in ("shared", "silent"):
        transport = Transport("auto", meter=Meter(3, 4), link=LinkSource(Meter(3, 4)))
        results["alone"] = state_of(transport)
        results[name] = follow(transport, name == "shared")
        results["left"] = state_of(transport)
        transport.close()
        transport.close()
    print(json.dumps(results))


def state_of(transport: Transport) -> dict[str, Any]:
    now = time.monotonic()
    transport.poll(now)
    state: TransportState = transport.state(now)
    return {name: getattr(state, name) for name in state.__slots__}


def follow(transport: Transport, share_start: bool) -> dict[str, Any]:
    peer = subprocess.Popen(
        [sys.executable, __file__, "daw" if share_start else "daw-alone"],
        stdout=subprocess.PIPE,
        text=True,
    )
    seen = []
    state: dict[str, Any] = {}
    begun = time.monotonic()
    while peer.poll() is None:
        now = time.monotonic()
        transport.poll(now)
        if transport.stretch is not None:
            stretch = transport.stretch
            seen.append((now, stretch.number, stretch.beats_at(now), stretch.bpm))
        started_here = not share_start and now > begun + SECONDS - 1
        if transport.state(now).source == "link" and not started_here:
            state = state_of(transport)
        elif transport.state(now).source == "link":
            transport.play(now)
        time.sleep(0.005)
    printed, _ = peer.communicate()
    truth = [json.loads(line) for line in printed.splitlines()]
    return {"seen": seen, "truth": truth, "begun": begun, **state}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        daw(sys.argv[1] == "daw")
    else:
        main()
