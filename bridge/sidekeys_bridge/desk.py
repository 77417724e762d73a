"""Where commands are answered: what each of the control protocol's table does to the parts."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import astuple
from typing import Any

from sidekeys_bridge.audio_input import input_devices
from sidekeys_bridge.commands import control_changes
from sidekeys_bridge.control import Reply
from sidekeys_bridge.delay import check_delay
from sidekeys_bridge.midi_output import output_ports
from sidekeys_bridge.midi_system import choose_system
from sidekeys_bridge.parts import Parts
from sidekeys_bridge.settings import changed_controls, channels_of, delay_of, input_of, meter_of
from sidekeys_bridge.status import Status
from sidekeys_engine.bars import Bars
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Score, write_midi
from sidekeys_engine.protocol import Message, ProtocolError

Content = Mapping[str, Any]
Work = Callable[[], Mapping[str, Any]]
_SAME_BEATS = 1e-3


class Desk:
    """Answers commands.

    Args:
        parts: the bridge's.
        status: tells how they are.
    """

    def __init__(self, parts: Parts, status: Status) -> None:
        self._parts, self._status = parts, status
        self._does: dict[str, Callable[[Content, float], Content]] = {
            "status": lambda _content, now: status.everything(now),
            "health": self._health,
            "set": self._set,
            "panic": self._panic,
            "play": self._play,
            "pause": self._pause,
            "tap": lambda _content, now: {"bpm": parts.transport.tap(now)},
            "nudge": self._nudge,
            "downbeat": self._downbeat,
            "push-transport": self._push,
            "composers": self._composers,
            "render": self._render,
            "cancel": self._cancel,
            "shut-down": self._shut_down,
        }
        # These ask drivers, files or the engine; the music goes on meanwhile.
        self._does_later: dict[str, Callable[[Content, float, Reply], None]] = {
            "inputs": lambda _content, _now, reply: _aside(_inputs, reply),
            "ports": lambda _content, _now, reply: _aside(_ports, reply),
            "record": self._record,
            "keep": self._keep,
            "load-checkpoint": self._load,
        }

    def respond(self, message: Message, reply: Reply, now_seconds: float) -> Content | None:
        """Do what a checked command says; the content of its reply, or None if it comes later."""
        later = self._does_later.get(message.type)
        if later is None:
            return self._does[message.type](message.content, now_seconds)
        later(message.content, now_seconds, reply)
        return None

    def _health(self, _content: Content, now_seconds: float) -> Content:
        parts = self._parts
        return {
            "state": self._status.state(now_seconds),
            "pid": os.getpid(),
            "up_seconds": round(now_seconds - parts.started_seconds, 1),
            "engine_state": parts.supervisor.state,
            "requests": dict(parts.control.counters),
        }

    def _set(self, content: Content, now_seconds: float) -> Content:
        """All that is given, or nothing: what can be refused is checked before anything changes."""
        parts, live = self._parts, self._parts.live
        given = {name: value for name, value in content.items() if value is not None}
        controls = changed_controls(live.controls, control_changes(content))
        composers = parts.composers()
        if composers and controls.composer not in composers:
            raise InputError(
                f"there is no composer {controls.composer!r}; there are {', '.join(composers)}."
            )
        delay = delay_of(given["delay"]) if "delay" in given else None
        if delay is not None and live.hearing.model is not None:
            check_delay(delay, live.hearing.model.window_beats)
        meter = meter_of(given["meter"]) if "meter" in given else None
        capture, is_retuned = parts.capture, "input" in given or "channels" in given
        source = input_of(given["input"]) if "input" in given else capture.choice
        channel = channels_of(given["channels"]) if "channels" in given else capture.channel
        if is_retuned:
            capture.check(source)
        if "transport" in given:  # the one thing that only shows when it is done
            parts.transport.choose(given["transport"])
        if "bpm" in given:
            parts.transport.set_bpm(given["bpm"], now_seconds)
        if meter is not None:
            parts.transport.set_meter(meter, now_seconds)
        if "delay" in given:
            live.choose_delay(delay)
        if "mode" in given:
            live.choose_mode(given["mode"])
        if is_retuned:
            capture.retune(source, channel=channel)
        live.controls = controls
        return {}

    def _panic(self, _content: Content, _now_seconds: float) -> Content:
        self._parts.player.panic()
        self._parts.live.restart()
        return {}

    def _play(self, content: Content, now_seconds: float) -> Content:
        self._parts.transport.play(now_seconds, content["from_beats"])
        return {}

    def _pause(self, _content: Content, now_seconds: float) -> Content:
        self._parts.transport.stop(now_seconds)
        return {}

    def _downbeat(self, _content: Content, now_seconds: float) -> Content:
        self._parts.transport.downbeat(now_seconds)
        return {}

    def _push(self, content: Content, now_seconds: float) -> Content:
        self._parts.transport.push(content, now_seconds)
        return {}

    def _nudge(self, content: Content, _now_seconds: float) -> Content:
        self._parts.transport.nudge(beats=-content["beats"], seconds=content["milliseconds"] / 1000)
        return {}

    def _composers(self, _content: Content, _now_seconds: float) -> Content:
        description = self._parts.supervisor.description or {}
        if not description.get("composers"):
            raise ProtocolError("not-ready", "The engine still loads; ask again in some seconds.")
        return {
            "composers": description["composers"],
            "composer_default": description["composer_default"],
        }

    def _record(self, content: Content, _now_seconds: float, reply: Reply) -> None:
        recording = self._parts.recorder.recording()
        _aside(lambda: _write(recording.session(), content["file"]), reply)

    def _keep(self, content: Content, now_seconds: float, reply: Reply) -> None:
        recording = self._parts.recorder.recording()
        bars, file = content["bars"], content["file"]
        _aside(lambda: _write(recording.last_bars(bars, now_seconds), file), reply)

    def _render(self, content: Content, now_seconds: float) -> Content:
        parts = self._parts
        composer = content["composer"] or parts.live.controls.composer
        asked = {**content, "composer": composer}
        return {"job": parts.jobs.start(parts.supervisor.client, "render", asked, now_seconds)}

    def _cancel(self, content: Content, now_seconds: float) -> Content:
        self._parts.jobs.cancel(content["job"], now_seconds)
        return {}

    def _load(self, content: Content, now_seconds: float, reply: Reply) -> None:
        def answered(answer: Message) -> None:
            if answer.is_error:
                reply.error(answer.content["code"], answer.content["message"])
            else:
                reply.ok()

        self._parts.supervisor.load(content["checkpoint"], now_seconds, answered)

    def _shut_down(self, _content: Content, _now_seconds: float) -> Content:
        self._parts.ending.set()
        return {}


def _inputs() -> Mapping[str, Any]:
    return {"inputs": [list(astuple(device)) for device in input_devices()]}


def _ports() -> Mapping[str, Any]:
    return {"ports": list(output_ports()), "virtual": choose_system().makes_ports}


def _write(score: Score, file: str) -> Mapping[str, Any]:
    write_midi(score, file)
    bars = Bars(score.meters).number_at(score.end_beats - _SAME_BEATS)
    return {"file": file, "notes": len(score.notes), "bars": bars}


def _aside(work: Work, reply: Reply) -> None:
    """Have a thread of its own do it and reply."""
    threading.Thread(target=_reply_later, args=(work, reply), daemon=True).start()


def _reply_later(work: Work, reply: Reply) -> None:
    try:
        reply.ok(work())
    except InputError as mistake:
        reply.error("invalid", str(mistake))
    except Exception as failure:
        reply.error("failed", f"it went wrong inside the bridge: {failure}")
