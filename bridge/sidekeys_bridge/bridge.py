"""The bridge process: opens everything, lets one thread conduct it, and closes it again."""

from __future__ import annotations

import collections
import gc
import importlib.util
import logging
import math
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sidekeys_bridge.browser import open_page_meanwhile
from sidekeys_bridge.capture import Capture
from sidekeys_bridge.commands import BRIDGE, STATUS_PAUSE_SECONDS
from sidekeys_bridge.connection import Claim, claimed
from sidekeys_bridge.console import Console
from sidekeys_bridge.control import ControlServer
from sidekeys_bridge.desk import Desk
from sidekeys_bridge.heard import Heard
from sidekeys_bridge.jobs import Jobs
from sidekeys_bridge.link import LinkSource
from sidekeys_bridge.listening import Listening
from sidekeys_bridge.live import Live
from sidekeys_bridge.midi_input import SyncKeeper
from sidekeys_bridge.midi_output import MidiOutput
from sidekeys_bridge.own_piano import OwnPiano
from sidekeys_bridge.panel_process import PanelProcess
from sidekeys_bridge.parts import Parts
from sidekeys_bridge.performance import Sounding
from sidekeys_bridge.player import Player
from sidekeys_bridge.problems import Problems
from sidekeys_bridge.realtime import COMPANION_PRIORITY, request_realtime
from sidekeys_bridge.recorded_piano import RecordedPiano
from sidekeys_bridge.recorder import Recorder
from sidekeys_bridge.settings import Settings
from sidekeys_bridge.status import Status
from sidekeys_bridge.supervisor import Supervisor
from sidekeys_bridge.transport import Transport
from sidekeys_engine.connection import Connection
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import write_midi

_log = logging.getLogger(__name__)

MODEL_RATE = 22050
"""Of the sound that is kept: what all checkpoints so far hear."""
_TICK_SECONDS = 0.02
# Python lets a thread compute for so long before another one may; the sender must not wait.
_SWITCH_SECONDS = 0.0005
_MOST_SYNC_MESSAGES = 256
_OWN_PIANO_SECONDS = 0.2  # of sound at a time
_OWN_PIANO = (
    "our own piano comes back on the bus, so that Sidekeys covers itself; take its track out of "
    "what it hears (a bus before the master, or a pre-fader send)."
)
_STUMBLED = (
    "a fault of Sidekeys' own ({fault!r}) silenced it; it goes on by itself. Please report it, "
    "with what --log-file writes."
)
_STUMBLE_SECONDS, _STUMBLE_TOLD_SECONDS = 0.1, 10.0
_CONTROL_CHANGE, _PROGRAM_CHANGE = 0xB0, 0xC0


def run(settings: Settings) -> int:
    """Run a bridge until it is told to end; returns the exit status.

    Raises:
        InputError: another bridge runs, or there is no MIDI.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    # A thread that holds Python's lock while others compute would keep the sender waiting.
    request_realtime(COMPANION_PRIORITY)
    with ending_signals() as ending, claimed() as claim, ExitStack() as opened:
        console = Console(quiet=settings.quiet, as_json=settings.json, log_file=settings.log_file)
        opened.callback(console.close)
        bridge = Bridge(settings, claim, opened, console)
        try:
            while not (ending or bridge.parts.ending.is_set()):
                bridge.control.bell.wait(_TICK_SECONDS)
                bridge.turn(time.monotonic())
        finally:
            with suppress(Exception):  # what was played is written, come what may
                bridge.silence()
            bridge.record_session()
    return 0


@contextmanager
def ending_signals() -> Iterator[list[int]]:
    """A list that is empty until Ctrl-C or another signal asks the process to end."""
    asked: list[int] = []
    signals = [signal.SIGINT, signal.SIGTERM]
    signals += [getattr(signal, name) for name in ("SIGHUP", "SIGBREAK") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in signals}
    for number in signals:
        signal.signal(number, lambda number, _frame: asked.append(number))
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Bridge:
    """All parts, and what passes between them.

    Args:
        settings: how it starts.
        claim: to be the user's one bridge.
        opened: closes what is opened here.
        console: gets lines for the user.
    """

    def __init__(
        self, settings: Settings, claim: Claim, opened: ExitStack, console: Console
    ) -> None:
        self.settings, self.console = settings, console
        self.started_seconds = time.monotonic()
        self.version = _version()
        self.mode_name = settings.mode
        self._sync: collections.deque[bytes] = collections.deque(maxlen=_MOST_SYNC_MESSAGES)

        # The port first: it is what the DAW looks for.
        port = MidiOutput(settings.midi_port)
        self.player = opened.enter_context(Player(port))
        self.transport = Transport(
            settings.transport, bpm=settings.bpm, meter=settings.meter, link=_link(settings)
        )
        opened.callback(self.transport.close)
        self.problems = Problems()
        self._stumbled_seconds = -math.inf
        self.sync = SyncKeeper(self._receive, port=settings.sync_port, api=port.system.key)
        opened.callback(self.sync.close)
        if settings.transport == "clock" and self.sync.problem is not None:
            raise InputError(self.sync.problem)

        token = secrets.token_urlsafe(32)
        self.control = ControlServer(BRIDGE, token)
        opened.callback(self.control.close)
        endpoints = self.control.start()
        claim.announce(
            Connection(endpoints.commands, endpoints.events, token, os.getpid(), self.version)
        )

        self.supervisor = self._supervisor(settings)
        opened.callback(self.supervisor.close)
        self.supervisor.start()

        self.capture = Capture(settings.input, rate=MODEL_RATE, channel=settings.channels)
        opened.callback(self.capture.close)
        self.recorder = Recorder()
        self.live = Live(
            self.transport,
            self.capture,
            RecordedPiano(self.player, self.recorder, time.monotonic),
            settings.controls,
            tell=self.tell,
            on_note=self._note,
            kept=settings.keep_windows,
        )
        self.live.choose_mode(settings.mode)
        self.live.choose_delay(settings.delay_beats)
        self.listening = Listening(self.capture, self.transport)
        self.own_piano = OwnPiano(MODEL_RATE)
        self._heard = Heard(self.own_piano.spectrum)
        self._own_epoch, self._own_frame = 0, 0
        self.jobs = Jobs(self.tell)
        self.parts = Parts(
            version=self.version, started_seconds=self.started_seconds, console=console,
            control=self.control, problems=self.problems, player=self.player, sync=self.sync,
            transport=self.transport, supervisor=self.supervisor, capture=self.capture,
            recorder=self.recorder, live=self.live, jobs=self.jobs,
        )  # fmt: skip
        self.panel: PanelProcess | None = None
        if settings.panel:
            self.panel = PanelProcess(port=settings.port, host=settings.host)
            opened.callback(self.panel.close)
            self.panel.start()
        self._panel_url: str | None = None
        self.status = Status(self.parts, self.tell)
        self.desk = Desk(self.parts, self.status)
        self._notes: list[list[Any]] = []
        if port.notice is not None:
            console.warn(port.notice)
        console.say(f"the MIDI port {self.player.state().port!r} is open; the engine starts.")

    # --- every few milliseconds

    def turn(self, now_seconds: float) -> None:
        """Let everything that is due happen; a fault of ours costs bars, not the evening."""
        self._surviving(self.step, now_seconds)
        self._surviving(self.serve, now_seconds)
        if now_seconds > self._stumbled_seconds + _STUMBLE_TOLD_SECONDS:
            self.problems.tell("bridge", None)

    def _surviving(self, part: Callable[[float], None], now_seconds: float) -> None:
        try:
            part(now_seconds)
        except Exception as fault:
            self._stumble(fault, now_seconds)

    def _stumble(self, fault: Exception, now_seconds: float) -> None:
        """Fall silent and begin anew."""
        _log.exception("a fault of Sidekeys' own")
        self._stumbled_seconds = now_seconds
        self.problems.tell("bridge", _STUMBLED.format(fault=fault))
        for part in (self.player.panic, self.live.restart):
            with suppress(Exception):
                part()
        time.sleep(_STUMBLE_SECONDS)  # one that comes at every turn must not keep a core busy

    def step(self, now_seconds: float) -> None:
        """Hear, follow and play."""
        self.capture.poll(now_seconds)
        self._look_at_sound()
        for event in self.supervisor.poll(now_seconds):
            self._engine_became(event)
        self._automate()
        self.transport.grain_midi(self.sync.grain_seconds)
        self.transport.poll(now_seconds)
        self.recorder.follow(self.transport.stretch)
        self.recorder.drop(self.player.take_dropped())
        client = self.supervisor.client
        if client is not None:
            replies = client.poll(now_seconds)
            self.live.take(replies, now_seconds)
            self.listening.take(replies, now_seconds)
            self.jobs.take(replies, client.events(), now_seconds)
            self.listening.step(client, now_seconds)
        self.live.step(now_seconds)

    def serve(self, now_seconds: float) -> None:
        """Answer who asks, and tell who listens."""
        self.control.answer(lambda message, reply: self.desk.respond(message, reply, now_seconds))
        if self._notes:
            self.tell("notes", {"notes": self._notes})
            self._notes = []
        self.status.publish(now_seconds, STATUS_PAUSE_SECONDS)
        if self.panel is not None:
            self._look_after_panel(self.panel, now_seconds)

    def _look_after_panel(self, panel: PanelProcess, now_seconds: float) -> None:
        panel.poll(now_seconds)
        self.problems.tell("panel", panel.problem)
        if panel.url is None or panel.url == self._panel_url:
            return
        is_first, self._panel_url = self._panel_url is None, panel.url
        for notice in panel.notices:
            self.console.warn(notice)
        self.console.show_panel(panel.url)
        # With --json a program reads us, and nobody may be there to look.
        if is_first and self.settings.browser and not self.settings.json:
            open_page_meanwhile(panel.url)

    def _look_at_sound(self) -> None:
        """Tell what is heard, and warn when our piano comes back: the model would cover itself."""
        capture = self.capture
        if capture.epoch != self._own_epoch:
            self._own_epoch, self._own_frame = capture.epoch, capture.epoch_first_frame
            self.own_piano.restart()
        count = capture.frames - self._own_frame
        if count < _OWN_PIANO_SECONDS * capture.rate:
            return
        samples = capture.audio(self._own_frame, count)
        verdict = self.own_piano.hear(samples, capture.seconds_at(self._own_frame))
        self._own_frame += count
        self.problems.tell("piano-on-bus", _OWN_PIANO if verdict.heard else None)
        heard = self._heard.event(self.transport.stretch)
        if heard is not None:
            self.control.publish("heard", heard)

    def _engine_became(self, event: str) -> None:
        supervisor = self.supervisor
        if event == "down":
            self.live.lose_engine()
            self.listening.lose_engine()
            self.jobs.lose_engine()
        elif event in ("ready", "checkpoint") and supervisor.client and supervisor.description:
            description = supervisor.description
            composers = description["composers"]
            controls = self.live.controls
            if controls.composer not in composers:
                if controls.composer:
                    self.console.warn(
                        f"this checkpoint has no composer {controls.composer!r}; "
                        f"{description['composer_default']!r} plays."
                    )
                self.live.controls = controls.with_change(
                    "composer", description["composer_default"]
                )
            if event == "ready":
                # Nothing sounds yet. All that is there stays, and need not be looked through when
                # Python collects garbage, which would hold the sender up for 20 ms.
                gc.collect()
                gc.freeze()
                self.console.say(
                    f"the engine is ready on {description['device']}; a window takes "
                    f"{description['generation_seconds']:.2f} s."
                )
            self.live.use_engine(supervisor.client, description)

    def _automate(self) -> None:
        """Control changes and program changes of the DAW move our controls."""
        while self._sync:
            message = self._sync.popleft()
            kind, controls = message[0] & 0xF0, self.live.controls
            composers = self.parts.composers()
            if kind == _CONTROL_CHANGE:
                self.live.controls = controls.with_cc(message[1], message[2], composers)
            elif kind == _PROGRAM_CHANGE:
                self.live.controls = controls.with_program(message[1], composers)

    def _note(self, sounding: Sounding) -> None:
        note, (channel, pitch, velocity) = sounding.note, sounding.voice
        self.recorder.note(
            sounding.handle, note.onset_beats, note.duration_beats, pitch, velocity,
            sounding.due_seconds, sounding.off_seconds,
        )  # fmt: skip
        if not sounding.is_new:
            return
        if sounding.lag_seconds > 0:
            heard_seconds = sounding.due_seconds - sounding.lag_seconds
            self.own_piano.sent(sounding.due_seconds, pitch, heard_seconds)
        row = [note.onset_beats, note.duration_beats, pitch, velocity, channel]
        self._notes.append(row)

    def tell(self, event: str, content: Mapping[str, Any]) -> None:
        """Tell whoever watches."""
        self.control.publish(event, content)
        self.console.event(event, content)

    # --- its ends

    def silence(self) -> None:
        """Nothing sounds after this."""
        self.player.panic()
        self.tell("ending", {})

    def record_session(self) -> None:
        """Write the .mid that was asked for at the start."""
        if self.settings.record is None:
            return
        try:
            score = self.recorder.recording().session()
            write_midi(score, self.settings.record)
        except InputError as mistake:
            self.console.warn(f"nothing was recorded: {mistake}")
        else:
            self.console.say(f"{self.settings.record}: {len(score.notes)} notes.")

    def _receive(self, message: bytes, seconds: float) -> None:
        """On a thread of the MIDI system, which must not wait."""
        if message[0] >= 0xF0:
            self.transport.receive_midi(message, seconds)
        elif message[0] & 0xF0 in (_CONTROL_CHANGE, _PROGRAM_CHANGE):
            self._sync.append(message)

    def _supervisor(self, settings: Settings) -> Supervisor:
        if settings.engine is not None:
            return Supervisor.connect(settings.engine)
        return Supervisor(checkpoint=settings.checkpoint, device=settings.device)


def _link(settings: Settings) -> LinkSource | None:
    """A Link session, where Link is installed and may be followed."""
    if settings.transport not in ("auto", "link") or importlib.util.find_spec("aalink") is None:
        return None
    return LinkSource(settings.meter)


def _version() -> str:
    try:
        return version("sidekeys")
    except PackageNotFoundError:
        return "0"
