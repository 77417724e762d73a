"""The loop of a DAW that tells of none, learned from its jumps."""

from __future__ import annotations

from sidekeys_bridge.playhead import Loop, usable_loop

_LOOP_STEP = 0.25  # quarter notes: loops that nobody tells of end on sixteenths
_PASSED_BEATS = 0.1


class LearnedLoop:
    """The loop of a source that tells of none: it was jumped back twice alike.

    Attributes:
        loop: in quarter notes; None while none is known.
    """

    def __init__(self) -> None:
        self.loop: Loop | None = None
        self._jump: Loop | None = None

    def jumped(self, from_beats: float, to_beats: float) -> None:
        """The song jumped while it played."""
        jump = usable_loop((to_beats, round(from_beats / _LOOP_STEP) * _LOOP_STEP))
        if jump is not None and jump == self._jump:
            self.loop = jump
        self._jump = jump

    def passed(self, beats: float) -> None:
        """The song plays at a position; beyond the loop, it loops no more."""
        if self.loop is not None and beats > self.loop[1] + _PASSED_BEATS:
            self.loop = None
