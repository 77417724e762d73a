"""How loud the input is: levels for a meter, a clip light, and how long there has been silence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FLOOR_DB = -120.0
"""What digital silence is shown as."""

_RMS_SECONDS = 0.3  # time constant, as of a VU meter
_HOLD_SECONDS = 1.5
_FALL_DB_A_SECOND = 20.0
_CLIP_LIGHT_SECONDS = 3.0
_CLIPPED = 0.9999  # 16-bit sound ends just below 1.0


@dataclass(frozen=True, slots=True)
class Levels:
    """What a meter shows.

    Attributes:
        level_db: root mean square over the last 0.3 s, dBFS.
        peak_db: the highest sample, held for 1.5 s, then falling by 20 dB a second; dBFS.
        clipped: full scale was reached in the last 3 s.
        silent_seconds: since a sample was above the gate.
    """

    level_db: float
    peak_db: float
    clipped: bool
    silent_seconds: float


class LevelMeter:
    """Follows the level of a signal.

    Args:
        gate_db: what stays below counts as silence, dBFS.
    """

    def __init__(self, gate_db: float = -60.0) -> None:
        self._gate = 10 ** (gate_db / 20)
        self._power = 0.0
        self._heard_seconds: float | None = None
        self._peak = 0.0
        self._peak_seconds = -math.inf
        self._clip_seconds = -math.inf
        self._sound_seconds: float | None = None

    def add(self, samples: NDArray[np.float32], rate: int, now_seconds: float) -> None:
        """Take in what came last.

        Args:
            samples: (frames,) or (frames, channels) float32, finite; the loudest channel's peak
                counts.
            rate: frames a second.
            now_seconds: monotonic.
        """
        if samples.size == 0:
            return
        flat = samples.reshape(-1)
        power = float(np.dot(flat, flat)) / flat.size
        forget = math.exp(-len(samples) / rate / _RMS_SECONDS)
        self._power = forget * self._power + (1 - forget) * power
        self._heard_seconds = now_seconds
        peak = float(max(flat.max(), -flat.min()))
        if peak >= self._peak_at(now_seconds):
            self._peak, self._peak_seconds = peak, now_seconds
        if peak >= _CLIPPED:
            self._clip_seconds = now_seconds
        if peak > self._gate or self._sound_seconds is None:
            self._sound_seconds = now_seconds

    def levels(self, now_seconds: float) -> Levels:
        """What to show at ``now_seconds``; both levels fall while nothing comes."""
        idle = now_seconds - self._heard_seconds if self._heard_seconds is not None else 0.0
        power = self._power * math.exp(-max(0.0, idle - 0.1) / _RMS_SECONDS)
        since = now_seconds - self._sound_seconds if self._sound_seconds is not None else 0.0
        return Levels(
            level_db=_decibels(math.sqrt(power)),
            peak_db=_decibels(self._peak_at(now_seconds)),
            clipped=now_seconds - self._clip_seconds < _CLIP_LIGHT_SECONDS,
            silent_seconds=max(0.0, since),
        )

    def _peak_at(self, now_seconds: float) -> float:
        falling = now_seconds - self._peak_seconds - _HOLD_SECONDS
        if falling <= 0:
            return self._peak
        return float(self._peak * 10 ** (-_FALL_DB_A_SECOND * falling / 20))


def _decibels(amplitude: float) -> float:
    return max(FLOOR_DB, 20 * math.log10(amplitude)) if amplitude > 0 else FLOOR_DB
