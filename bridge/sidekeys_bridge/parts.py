"""What a bridge is made of, for whoever tells of it or commands it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from sidekeys_bridge.capture import Capture
from sidekeys_bridge.console import Console
from sidekeys_bridge.control import ControlServer
from sidekeys_bridge.jobs import Jobs
from sidekeys_bridge.live import Live
from sidekeys_bridge.midi_input import SyncKeeper
from sidekeys_bridge.player import Player
from sidekeys_bridge.problems import Problems
from sidekeys_bridge.recorder import Recorder
from sidekeys_bridge.supervisor import Supervisor
from sidekeys_bridge.transport import Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a bridge, all of one thread.

    Attributes:
        version: of Sidekeys.
        started_seconds: when the bridge began, monotonic.
        ending: is set when the bridge was told to end.
    """

    version: str
    started_seconds: float
    console: Console
    control: ControlServer
    problems: Problems
    player: Player
    sync: SyncKeeper
    transport: Transport
    supervisor: Supervisor
    capture: Capture
    recorder: Recorder
    live: Live
    jobs: Jobs
    ending: threading.Event = field(default_factory=threading.Event)

    def composers(self) -> Sequence[str]:
        """Of the checkpoint, in its order; none while it is not known."""
        return list((self.supervisor.description or {}).get("composers") or ())
