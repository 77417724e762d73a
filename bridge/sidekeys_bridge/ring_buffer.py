"""Audio history addressed by absolute frame number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]


class RingBuffer:
    """The last ``capacity`` frames of a mono signal.

    A frame keeps its number for good: the first one ever written is 0. One thread writes and reads;
    all memory is taken at the start.

    Args:
        capacity: frames kept, at least 1.

    Raises:
        ValueError: a capacity below 1.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a history holds at least one frame, not {capacity}")
        self._frames: Float32 = np.zeros(capacity, dtype=np.float32)
        self._end = 0

    @property
    def end(self) -> int:
        """Number of the next frame to be written."""
        return self._end

    @property
    def start(self) -> int:
        """Number of the oldest frame still kept."""
        return max(0, self._end - len(self._frames))

    def write(self, samples: Float32) -> None:
        """Append (frames,) samples; the oldest ones make room."""
        kept = samples[-len(self._frames) :]
        at = (self._end + len(samples) - len(kept)) % len(self._frames)
        first = min(len(kept), len(self._frames) - at)
        self._frames[at : at + first] = kept[:first]
        self._frames[: len(kept) - first] = kept[first:]
        self._end += len(samples)

    def read(self, first_frame: int, count: int) -> Float32:
        """Copy ``count`` frames from ``first_frame`` on.

        Returns:
            (count,) float32.

        Raises:
            ValueError: frames that are not written yet, or no longer kept.
        """
        if count < 0:
            raise ValueError(f"a count of frames is not negative: {count}")
        if first_frame < self.start or first_frame + count > self._end:
            raise ValueError(
                f"frames {first_frame} to {first_frame + count} are asked for; {self.start} to"
                f" {self._end} are kept"
            )
        at = first_frame % len(self._frames)
        first = min(count, len(self._frames) - at)
        return np.concatenate((self._frames[at : at + first], self._frames[: count - first]))
