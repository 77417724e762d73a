"""Where commands are answered: what each of the control protocol's table does to the bridge."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, astuple
from typing import TYPE_CHECKING, Any

from sidekeys_bridge.audio_input import input_devices
from sidekeys_bridge.commands import control_changes
from sidekeys_bridge.control import Reply
from sidekeys_bridge.midi_output import output_ports
from sidekeys_bridge.midi_system import choose_system
from sidekeys_bridge.settings import changed_controls, channels_of, delay_of, input_of, meter_of
from sidekeys_engine.bars import Bars
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Score, write_midi
from sidekeys_engine.protocol import Message, ProtocolError

if TYPE_CHECKING:
    from sidekeys_bridge.bridge import Bridge

Answer = Mapping[str, Any] | None
Later = Callable[[], Mapping[str, Any]]
_SAME_BEATS = 1e-3
_LEVELS = ("level_db", "peak_db", "clipped", "silent_seconds")
_TRANSPORT_EVENT = ("source", "playing", "bpm", "meter", "beat", "bar", "loop", "stretch")
_LOOK_SECONDS = 0.05
_SAME_BPM = 0.5  # a clock shakes; what is less is told by the status alone


class Desk:
    """Answers commands and tells how everything is.

    Args:
        bridge: whose.

    Attributes:
        ends: the bridge was told to end.
    """

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self.ends = False
        self._looked_seconds = self._told_seconds = -math.inf
        self._transport_told: tuple[object, ...] = ()
        self._bpm_told = 0.0
        self._does: dict[str, Callable[[Mapping[str, Any], float], Answer]] = {
            "status": lambda _content, now: self.status(now),
            "health": self._health,
            "set": self._set,
            "panic": self._panic,
            "play": self._play,
            "pause": self._pause,
            "tap": lambda _content, now: {"bpm": bridge.transport.tap(now)},
            "nudge": self._nudge,
            "downbeat": self._downbeat,
            "push-transport": self._push,
            "composers": self._composers,
            "render": self._render,
            "cancel": self._cancel,
            "load-checkpoint": self._load,
            "shut-down": self._shut_down,
        }
        # These ask drivers or write files; the music goes on meanwhile.
        self._does_aside: dict[str, Callable[[Mapping[str, Any], float], Later]] = {
            "inputs": lambda _content, _now: _inputs,
            "ports": lambda _content, _now: _ports,
            "record": self._record,
            "keep": self._keep,
        }

    def respond(self, message: Message, reply: Reply, now_seconds: float) -> Answer:
        """Do what a checked command says; the content of its reply, or None if it comes later."""
        aside = self._does_aside.get(message.type)
        if aside is None:
            return self._does[message.type](message.content, now_seconds)
        work = aside(message.content, now_seconds)
        threading.Thread(target=_reply_later, args=(work, reply), daemon=True).start()
        return None

    # --- how everything is

    def composers(self) -> Sequence[str]:
        """Of the checkpoint, in its order; none while it is not known."""
        return list((self._bridge.supervisor.description or {}).get("composers") or ())

    def publish(self, now_seconds: float, pause_seconds: float) -> None:
        """Tell whoever watches what changed; many calls a second cost little."""
        if 0 <= now_seconds - self._looked_seconds < _LOOK_SECONDS:
            return
        self._looked_seconds = now_seconds
        bridge = self._bridge
        self._look_for_problems(now_seconds)
        for about, message in bridge.problems.changes():
            bridge.tell("problem", {"about": about, "message": message})
            if message is not None:
                bridge.console.warn(message)
        transport = asdict(bridge.transport.state(now_seconds))
        told = tuple(transport[key] for key in ("source", "playing", "meter", "loop", "stretch"))
        is_same_tempo = abs(transport["bpm"] - self._bpm_told) < _SAME_BPM
        if told != self._transport_told or not is_same_tempo:
            self._transport_told, self._bpm_told = told, transport["bpm"]
            event = {key: transport[key] for key in _TRANSPORT_EVENT}
            event["source"] = transport["source"] or "none"
            bridge.tell("transport", event)
        if 0 <= now_seconds - self._told_seconds < pause_seconds:
            return
        self._told_seconds = now_seconds
        level = {
            key: value
            for key, value in asdict(bridge.capture.state(now_seconds)).items()
            if key in _LEVELS
        }
        bridge.control.publish_change("level", level, now_seconds=now_seconds, pause_seconds=0.0)
        status = self.status(now_seconds)
        if bridge.control.publish_change(
            "status", status, now_seconds=now_seconds, pause_seconds=0.0
        ):
            bridge.console.event("status", status)

    def status(self, now_seconds: float) -> dict[str, Any]:
        """Everything, as the command `status` has it."""
        bridge = self._bridge
        live, supervisor, player = bridge.live, bridge.supervisor, bridge.player.state()
        capture = asdict(bridge.capture.state(now_seconds))
        counters = bridge.player.counters()
        description = supervisor.description or {}
        lateness = player.lateness
        delay = live.delay
        return {
            "state": self._state(now_seconds),
            "problems": list(bridge.problems),
            "port": player.port if player.connected else None,
            "composer": live.controls.composer or None,
            "mode": live.mode,
            "delay_beats": delay.beats if delay is not None else None,
            "delay_reason": delay.reason if delay is not None else None,
            "transport": asdict(bridge.transport.state(now_seconds)),
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
                "version": bridge.version,
                "up_seconds": round(now_seconds - bridge.started_seconds, 1),
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

    def _state(self, now_seconds: float) -> str:
        bridge = self._bridge
        if self.ends:
            return "ending"
        if bridge.supervisor.state == "down":
            return "no-engine"
        if bridge.supervisor.client is None:
            return "starting"
        capture = bridge.capture.state(now_seconds)
        if not capture.connected and not capture.ended:
            return "no-input"
        return "playing" if bridge.transport.stretch is not None else "waiting"

    def _look_for_problems(self, now_seconds: float) -> None:
        bridge = self._bridge
        tell = bridge.problems.tell
        tell("engine", bridge.supervisor.problem)
        tell("input", bridge.capture.state(now_seconds).problem)
        tell("output", bridge.player.state().problem)
        tell("transport", bridge.transport.state(now_seconds).problem)
        delay = bridge.live.delay
        tell("delay", None if delay is None or delay.fits else f"{delay.reason}.")

    # --- what commands do

    def _health(self, _content: Mapping[str, Any], now_seconds: float) -> Answer:
        bridge = self._bridge
        return {
            "state": self._state(now_seconds),
            "pid": os.getpid(),
            "up_seconds": round(now_seconds - bridge.started_seconds, 1),
            "engine_state": bridge.supervisor.state,
            "requests": dict(bridge.control.counters),
        }

    def _set(self, content: Mapping[str, Any], now_seconds: float) -> Answer:
        """All that is given, or nothing: what can be refused is checked before anything changes."""
        bridge, live = self._bridge, self._bridge.live
        controls = changed_controls(live.controls, control_changes(content))
        composers = self.composers()
        if composers and controls.composer not in composers:
            raise InputError(
                f"there is no composer {controls.composer!r}; there are {', '.join(composers)}."
            )
        given = {name: value for name, value in content.items() if value is not None}
        meter = meter_of(given["meter"]) if "meter" in given else None
        source = input_of(given["input"]) if "input" in given else None
        if "delay" in given:
            live.choose_delay(delay_of(given["delay"]))
        if "transport" in given:
            bridge.transport.choose(given["transport"])
        if "bpm" in given:
            bridge.transport.set_bpm(given["bpm"], now_seconds)
        if meter is not None:
            bridge.transport.set_meter(meter, now_seconds)
        if source is not None or "channels" in given:
            channels = channels_of(given["channels"]) if "channels" in given else None
            bridge.capture.retune(
                source or bridge.capture.state(now_seconds).choice, channel=channels
            )
        if "mode" in given:
            live.choose_mode(given["mode"])
        live.controls = controls
        return {}

    def _panic(self, _content: Mapping[str, Any], _now_seconds: float) -> Answer:
        self._bridge.player.panic()
        self._bridge.live.restart()
        return {}

    def _play(self, content: Mapping[str, Any], now_seconds: float) -> Answer:
        self._bridge.transport.play(now_seconds, content["from_beats"])
        return {}

    def _pause(self, _content: Mapping[str, Any], now_seconds: float) -> Answer:
        self._bridge.transport.stop(now_seconds)
        return {}

    def _downbeat(self, _content: Mapping[str, Any], now_seconds: float) -> Answer:
        self._bridge.transport.downbeat(now_seconds)
        return {}

    def _push(self, content: Mapping[str, Any], now_seconds: float) -> Answer:
        self._bridge.transport.push(content, now_seconds)
        return {}

    def _nudge(self, content: Mapping[str, Any], _now_seconds: float) -> Answer:
        self._bridge.transport.nudge(
            beats=-content["beats"], seconds=content["milliseconds"] / 1000
        )
        return {}

    def _composers(self, _content: Mapping[str, Any], _now_seconds: float) -> Answer:
        description = self._bridge.supervisor.description or {}
        if not description.get("composers"):
            raise ProtocolError("not-ready", "The engine still loads; ask again in some seconds.")
        return {
            "composers": description["composers"],
            "composer_default": description["composer_default"],
        }

    def _record(self, content: Mapping[str, Any], _now_seconds: float) -> Later:
        recording = self._bridge.recorder.recording()
        return lambda: _write(recording.session(), content["file"])

    def _keep(self, content: Mapping[str, Any], now_seconds: float) -> Later:
        recording = self._bridge.recorder.recording()
        return lambda: _write(recording.last_bars(content["bars"], now_seconds), content["file"])

    def _render(self, content: Mapping[str, Any], now_seconds: float) -> Answer:
        bridge = self._bridge
        composer = content["composer"] or bridge.live.controls.composer
        asked = {**content, "composer": composer}
        return {"job": bridge.jobs.start(bridge.supervisor.client, "render", asked, now_seconds)}

    def _cancel(self, content: Mapping[str, Any], now_seconds: float) -> Answer:
        self._bridge.jobs.cancel(content["job"], now_seconds)
        return {}

    def _load(self, content: Mapping[str, Any], now_seconds: float) -> Answer:
        bridge = self._bridge
        bridge.supervisor.load(content["checkpoint"], now_seconds)
        return {}

    def _shut_down(self, _content: Mapping[str, Any], _now_seconds: float) -> Answer:
        self.ends = True
        return {}


def _inputs() -> Mapping[str, Any]:
    return {"inputs": [list(astuple(device)) for device in input_devices()]}


def _ports() -> Mapping[str, Any]:
    return {"ports": list(output_ports()), "virtual": choose_system().makes_ports}


def _write(score: Score, file: str) -> Mapping[str, Any]:
    write_midi(score, file)
    bars = Bars(score.meters).number_at(score.end_beats - _SAME_BEATS)
    return {"file": file, "notes": len(score.notes), "bars": bars}


def _reply_later(work: Later, reply: Reply) -> None:
    try:
        reply.ok(work())
    except InputError as mistake:
        reply.error("invalid", str(mistake))
    except Exception as failure:
        reply.error("failed", f"it went wrong inside the bridge: {failure}")
