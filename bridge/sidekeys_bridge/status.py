"""How everything is: the status, and what watchers are told when it changes."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from sidekeys_bridge.parts import Parts

_LEVELS = ("level_db", "peak_db", "clipped", "silent_seconds")
_TRANSPORT_EVENT = (
    "source",
    "playing",
    "bpm",
    "meter",
    "beat",
    "bar",
    "bar_start",
    "loop",
    "stretch",
)
_LOOK_SECONDS = 0.05
_FIGURES = re.compile(r"[\d.]+")  # a tempo that settles is one problem, not twenty
_SAME_BPM = 0.5  # a clock shakes; what is less is told by the status alone


class Status:
    """Looks at all parts of a bridge.

    Args:
        parts: the bridge's.
        tell: is given events for whoever watches.
    """

    def __init__(self, parts: Parts, tell: Callable[[str, Mapping[str, Any]], None]) -> None:
        self._parts, self._tell = parts, tell
        self._looked_seconds = self._told_seconds = -math.inf
        self._transport_told: tuple[object, ...] = ()
        self._bpm_told = 0.0
        self._said: dict[str, str] = {}  # on the console, by subject

    def publish(self, now_seconds: float, pause_seconds: float) -> None:
        """Tell whoever watches what changed; many calls a second cost little."""
        if 0 <= now_seconds - self._looked_seconds < _LOOK_SECONDS:
            return
        self._looked_seconds = now_seconds
        parts = self._parts
        self._look_for_problems(now_seconds)
        for about, message in parts.problems.changes():
            self._tell("problem", {"about": about, "message": message})
            words = _FIGURES.sub("", message or "")
            if message is not None and words != self._said.get(about):
                parts.console.warn(message)
            self._said[about] = words
        transport = asdict(parts.transport.state(now_seconds))
        told = tuple(transport[key] for key in ("source", "playing", "meter", "loop", "stretch"))
        is_same_tempo = abs(transport["bpm"] - self._bpm_told) < _SAME_BPM
        if told != self._transport_told or not is_same_tempo:
            self._transport_told, self._bpm_told = told, transport["bpm"]
            event = {key: transport[key] for key in _TRANSPORT_EVENT}
            event["source"] = transport["source"] or "none"
            self._tell("transport", event)
        if 0 <= now_seconds - self._told_seconds < pause_seconds:
            return
        self._told_seconds = now_seconds
        level = {
            key: value
            for key, value in asdict(parts.capture.state(now_seconds)).items()
            if key in _LEVELS
        }
        parts.control.publish_change("level", level, now_seconds=now_seconds, pause_seconds=0.0)
        status = self.everything(now_seconds)
        if parts.control.publish_change(
            "status", status, now_seconds=now_seconds, pause_seconds=0.0
        ):
            parts.console.event("status", status)

    def everything(self, now_seconds: float) -> dict[str, Any]:
        """Everything, as the command `status` has it."""
        parts = self._parts
        live, supervisor, player = parts.live, parts.supervisor, parts.player.state()
        capture = asdict(parts.capture.state(now_seconds))
        counters = parts.player.counters()
        description = supervisor.description or {}
        lateness = player.lateness
        delay = live.delay
        return {
            "state": self.state(now_seconds),
            "problems": list(parts.problems),
            "port": player.port if player.connected else None,
            "composer": live.controls.composer or None,
            "mode": live.mode,
            "delay_beats": delay.beats if delay is not None else None,
            "delay_reason": delay.reason if delay is not None else None,
            "transport": asdict(parts.transport.state(now_seconds)),
            "input": {key: value for key, value in capture.items() if key != "overflows"},
            "engine": {
                "pid": supervisor.pid,
                "state": supervisor.state,
                "device": description.get("device"),
                "checkpoint": description.get("checkpoint"),
                "generation_seconds": description.get("generation_seconds"),
                "problem": supervisor.problem,
            },
            "bridge": {
                "pid": os.getpid(),
                "version": parts.version,
                "up_seconds": round(now_seconds - parts.started_seconds, 1),
            },
            "counters": {
                "notes_sent": counters["notes_sent"],
                "late_notes_dropped": counters["late_notes_dropped"],
                "windows_done": live.hearing.windows_done,
                "windows_missed": live.hearing.windows_missed,
                "input_overflows": capture["overflows"],
                "sounding": counters["sounding"],
            },
            "timing": {
                "p50_ms": lateness.p50,
                "p99_ms": lateness.p99,
                "max_ms": lateness.max,
                "realtime": player.realtime,
            },
            "controls": asdict(live.controls),
        }

    def state(self, now_seconds: float) -> str:
        """One of the protocol's states."""
        parts = self._parts
        if parts.ending.is_set():
            return "ending"
        if parts.supervisor.state == "down":
            return "no-engine"
        if parts.supervisor.client is None:
            return "starting"
        capture = parts.capture.state(now_seconds)
        if not capture.connected and not capture.ended:
            return "no-input"
        return "playing" if parts.transport.stretch is not None else "waiting"

    def _look_for_problems(self, now_seconds: float) -> None:
        parts = self._parts
        tell = parts.problems.tell
        tell("engine", parts.supervisor.problem)
        tell("input", parts.capture.state(now_seconds).problem)
        output = parts.player.state().problem
        tell("output", output)
        tell("sync", None if output is not None else parts.sync.problem)  # not the same twice
        tell("transport", parts.transport.state(now_seconds).problem)
        delay = parts.live.delay
        tell("delay", None if delay is None or delay.fits else f"{delay.reason}.")
