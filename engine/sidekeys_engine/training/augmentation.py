"""Changes to log-mel frames that a listener hears and a pianist ignores, drawn anew every step."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from sidekeys_engine.log_mel import LOWEST_POWER

_EQ_KNOTS = 7
_EQ_DEVIATION = 0.7  # of a knot, in natural logarithm of power: about 3 dB
_GAIN = 2.0  # the most, either way: about 9 dB
_NOISY_SHARE = 0.4
_NOISE_LEVELS = (-9.0, 0.5)  # in the middle band
_NOISE_TILT = 3.0  # the most, either way, from the middle band to the outermost
_NOISE_FLUTTER = 0.5
_BLOTTED_SHARE = 0.15
_BLOT_BANDS = 24  # never as many


def augmented(features: Tensor, generator: torch.Generator) -> Tensor:
    """Another recording of the same notes: equalized, louder or softer, with noise below.

    Some recordings also lose a few bands, as to a codec or a filter.

    Args:
        features: (rows, frames, mels) float32, natural log of power.
        generator: on the features' device; decides all, and each row for itself.

    Returns:
        The same shape, none below `LOWEST_POWER`.
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

    level = uniform(*_NOISE_LEVELS, rows, 1, 1)
    tilt = uniform(-_NOISE_TILT, _NOISE_TILT, rows, 1, 1)
    across = torch.linspace(-1, 1, mels, device=features.device)
    noise = level + tilt * across + _NOISE_FLUTTER * normal(rows, frames, mels)
    is_noisy = uniform(0, 1, rows, 1, 1) < _NOISY_SHARE
    changed = torch.where(is_noisy, torch.logaddexp(changed, noise), changed)

    start = (uniform(0, 1, rows, 1, 1) * mels).long()
    width = (uniform(0, 1, rows, 1, 1) * _BLOT_BANDS).long()
    band = torch.arange(mels, device=features.device)
    is_lost = (band >= start) & (band < start + width)
    is_blotted = uniform(0, 1, rows, 1, 1) < _BLOTTED_SHARE
    silence = float(changed.new_tensor(LOWEST_POWER).log())
    return changed.masked_fill(is_blotted & is_lost, silence).clamp(min=silence)
