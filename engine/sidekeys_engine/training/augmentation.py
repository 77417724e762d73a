"""Changes to log-mel frames that a listener hears and a pianist ignores, drawn anew every step."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from sidekeys_engine.log_mel import LOWEST_POWER

_EQ_KNOTS = 7
_EQ_DEVIATION = 0.7  # of a knot, in natural logarithm of power: about 3 dB
_GAIN = 2.0  # half the range: about 9 dB
_NOISE_SHARE = 0.4
_NOISE_LEVELS = (-9.0, 0.5)
_NOISE_TILT = 3.0
_NOISE_FLUTTER = 0.5
_BLOTTED_SHARE = 0.15
_BLOT_BANDS = 24


def augmented(features: Tensor, generator: torch.Generator) -> Tensor:
    """Another recording of the same notes: equalized, louder or softer, with noise below.

    Args:
        features: (rows, frames, mels) float32, natural log of power.
        generator: on the features' device; decides all.

    Returns:
        The same shape.
    """
    rows, frames, mels = features.shape

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=features.device)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        drawn = torch.rand(shape, generator=generator, device=features.device)
        return low + (high - low) * drawn

    knots = normal(rows, 1, _EQ_KNOTS) * _EQ_DEVIATION
    curve = F.interpolate(knots, size=mels, mode="linear", align_corners=True)
    changed = features + curve + uniform(-_GAIN, _GAIN, rows, 1, 1)

    tilt = torch.linspace(-1, 1, mels, device=features.device)
    level = uniform(*_NOISE_LEVELS, rows, 1, 1) + uniform(-_NOISE_TILT, _NOISE_TILT, rows, 1, 1) * tilt
    noise = level + _NOISE_FLUTTER * normal(rows, frames, mels)
    is_noisy = uniform(0, 1, rows, 1, 1) < _NOISE_SHARE
    changed = torch.where(is_noisy, torch.logaddexp(changed, noise), changed)

    # A band that a codec or a filter took away.
    floor = changed.new_tensor(LOWEST_POWER).log()
    start = (uniform(0, 1, rows, 1, 1) * mels).long()
    band = torch.arange(mels, device=features.device)
    width = (uniform(0, 1, rows, 1, 1) * _BLOT_BANDS).long()
    is_blotted = (uniform(0, 1, rows, 1, 1) < _BLOTTED_SHARE) & (band >= start) & (band < start + width)
    return changed.masked_fill(is_blotted, float(floor)).clamp(min=float(floor))
