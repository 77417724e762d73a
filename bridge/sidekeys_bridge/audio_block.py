"""What every source of sound hands over: blocks of samples with the moment of their first frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Consecutive frames of sound.

    Attributes:
        samples: (frames, channels) float32, full scale is 1.0; nobody writes into them again.
        rate: frames a second.
        first_frame_seconds: when the first frame was at the input, on the monotonic clock.
        overflowed: the driver says that sound was lost just before this block.
    """

    samples: NDArray[np.float32]
    rate: int
    first_frame_seconds: float
    overflowed: bool = False


OnBlock = Callable[[Block], None]
"""Takes a block, in whatever thread the sound arrives; it must return at once."""


class AudioInput(Protocol):
    """A source of sound that is open.

    Attributes:
        name: what it is called, for people.
    """

    name: str

    def start(self, on_block: OnBlock) -> None:
        """Let the sound come, until ``close``; call it once.

        Raises:
            InputError: the source is gone, or cannot be used after all.
        """

    def problem(self, now_seconds: float) -> str | None:
        """What keeps sound from coming, in words with a way out; None if nothing does."""

    def lost(self, now_seconds: float) -> bool:
        """True when it will not come back by itself: close it and open it anew."""

    def ended(self) -> bool:
        """True when the sound has come to its end, and silence follows."""

    def close(self) -> None:
        """Let go of the device, file or socket; safe to call twice."""
