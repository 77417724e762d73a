"""What the live path plays on: the player, with the recorder listening."""

from __future__ import annotations

from collections.abc import Callable

from sidekeys_bridge.player import Player
from sidekeys_bridge.recorder import Recorder


class RecordedPiano:
    """Passes notes on to the player, and tells the recorder what it must know besides the notes.

    Args:
        player: plays.
        recorder: remembers.
        clock: monotonic seconds.
    """

    def __init__(self, player: Player, recorder: Recorder, clock: Callable[[], float]) -> None:
        self._player, self._recorder, self._clock = player, recorder, clock

    def strike(
        self, due_seconds: float, off_seconds: float, channel: int, pitch: int, velocity: int
    ) -> int:
        """Commit a note; its handle."""
        return self._player.strike(due_seconds, off_seconds, channel, pitch, velocity)

    def extend(self, handle: int, off_seconds: float) -> bool:
        """Move the end of a note that sounds, or will."""
        return self._player.extend(handle, off_seconds)

    def pedal(self, due_seconds: float, down: bool, channel: int) -> None:
        """Commit a move of the sustain pedal."""
        self._player.pedal(due_seconds, down, channel)
        self._recorder.pedal(due_seconds, down)

    def panic(self) -> None:
        """Release all that sounds, drop all that waits."""
        self._player.panic()
        self._recorder.silence(self._clock())
