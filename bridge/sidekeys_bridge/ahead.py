"""What lies ahead of the playhead: the next seconds of the song, and the loops in them."""

from __future__ import annotations

from dataclasses import dataclass

from sidekeys_bridge.playhead import Loop, usable_loop
from sidekeys_bridge.stretch import Stretch

_MOST_SEGMENTS = 256
_SAME_BEAT = 1e-6
_LOOP_STEP = 0.25  # quarter notes: loops that nobody tells of end on sixteenths
_PASSED_BEATS = 0.1


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the future without a jump.

    Attributes:
        stretch: the number of the stretch that it belongs, or will belong, to.
        start_seconds: when it begins, monotonic.
        end_seconds: when it ends.
        start_beats: the song position at its begin, in quarter notes.
        end_beats: the song position at its end.
    """

    stretch: int
    start_seconds: float
    end_seconds: float
    start_beats: float
    end_beats: float

    def seconds_at(self, beats: float) -> float:
        """When a song position comes, in monotonic seconds; on its line beyond it, too."""
        return self.start_seconds + (beats - self.start_beats) * self._pace

    def beats_at(self, seconds: float) -> float:
        """The song position at a monotonic moment; on its line beyond it, too."""
        return self.start_beats + (seconds - self.start_seconds) / self._pace

    @property
    def _pace(self) -> float:
        return (self.end_seconds - self.start_seconds) / (self.end_beats - self.start_beats)


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


def segments_ahead(
    stretch: Stretch, loop: Loop | None, now_seconds: float, until_seconds: float
) -> list[Segment]:
    """Song positions from now on, at the present tempo, for as long as nobody interferes.

    Args:
        stretch: the present one.
        loop: what the DAW repeats, if that is known.
        now_seconds: where the first segment begins.
        until_seconds: where the last one ends.
    """
    segments: list[Segment] = []
    seconds, beats, number = now_seconds, stretch.beats_at(now_seconds), stretch.number
    pace = 60 / stretch.bpm
    while seconds < until_seconds and len(segments) < _MOST_SEGMENTS:
        first = number == stretch.number
        wraps = loop is not None and beats < loop[1] - _SAME_BEAT
        end_seconds = until_seconds
        if loop is not None and wraps:
            wrap = stretch.seconds_at(loop[1]) if first else seconds + (loop[1] - beats) * pace
            end_seconds = min(until_seconds, wrap)
        if end_seconds > seconds:
            ends = (
                stretch.beats_at(end_seconds) if first else beats + (end_seconds - seconds) / pace
            )
            segments.append(Segment(number, seconds, end_seconds, beats, ends))
        if loop is None or not wraps:
            break
        seconds, beats, number = end_seconds, loop[0], number + 1
    return segments
