"""What the live path must know of the checkpoint: its windows, and the places that they play."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sidekeys_engine.beat_grid import BeatGrid, Cut, Window

_POSITION_DIGITS = 3
_INSTANT_SECONDS = 4e-3

Place = tuple[float, float]
"""The kept beats of a window: song positions of their start and end, in quarter notes."""


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint as the live path sees it; the same one is as good on another engine.

    Attributes:
        checkpoint: its name.
        steps: length of a window in steps.
        context_steps: steps that are heard before it.
        window_beats: length of a window in beats.
        has_velocity: whether its notes tell how loud they are.
        generation_seconds: how long the notes of a window take, as the engine measured.
    """

    checkpoint: str
    steps: int
    context_steps: int
    window_beats: float
    has_velocity: bool
    generation_seconds: float = field(compare=False)

    @classmethod
    def described(cls, description: Mapping[str, Any]) -> Model:
        """From an engine's reply to `describe`."""
        steps = int(description["steps_per_window"])
        return cls(
            checkpoint=str(description["checkpoint"]),
            steps=steps,
            context_steps=int(description["context_steps"]),
            window_beats=steps / int(description["steps_per_beat"]),
            has_velocity=bool(description["has_velocity"]),
            generation_seconds=float(description["generation_seconds"]),
        )

    def window_at(self, grid: BeatGrid, position_beats: float, cut: Cut) -> Window:
        """The window whose kept beats begin at a song position, or hold it."""
        start = grid.seconds_at(position_beats)
        windows = grid.windows(
            start, start + _INSTANT_SECONDS, window_beats=self.window_beats, cut=cut
        )
        return windows[0]


def place_of(window: Window) -> Place:
    """Where a window plays."""
    return (
        round(window.start_beats + window.skipped_beats, _POSITION_DIGITS),
        round(window.start_beats + window.kept_beats, _POSITION_DIGITS),
    )
