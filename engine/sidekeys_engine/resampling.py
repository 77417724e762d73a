"""Changing the sampling rate as the reference does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sidekeys_engine.audio import resample

# resampy's filter "kaiser_best", by the numbers of its documentation (resampy.filters): a sinc that
# keeps 50 zero crossings, cut off at this part of the Nyquist frequency, under a Kaiser window.
_SINC_ZERO_CROSSINGS = 50
_SINC_ROLLOFF = 0.9173473712608761
_SINC_KAISER_BETA = 12.984585247040012
_BLOCK_SAMPLES = 1 << 14  # of the output, few enough for the processor's cache


def resample_like_resampy(
    samples: npt.NDArray[np.float32], rate: int, new_rate: int
) -> npt.NDArray[np.float32]:
    """Change the sampling rate of mono audio.

    Halving a rate, such as 44.1 to 22.05 kHz, gives what resampy's "kaiser_best" gives, to the last
    bit, because that is what the reference hears; other ratios are soxr's at high quality.

    Args:
        samples: (n,) float32.
        rate: of the samples, in Hz.
        new_rate: in Hz.

    Returns:
        (ceil(n * new_rate / rate),) float32.
    """
    if rate == 2 * new_rate:
        return _halved_rate(samples)
    return resample(samples, rate, new_rate)


def _halved_rate(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Every second sample of the low-passed audio.

    Products are added in resampy's order and rounded to float32 one by one: its own rounding error
    moves the quiet bands of loud music by more than 0.01, so a sum in any other order would too.
    """
    # The sinc's zero crossings are those of the new rate: a sample of the old one is half of one.
    lags = np.arange(2 * _SINC_ZERO_CROSSINGS)
    crossings = lags / 2
    taper = np.i0(_SINC_KAISER_BETA * np.sqrt(1 - (crossings / _SINC_ZERO_CROSSINGS) ** 2))
    taper /= np.i0(_SINC_KAISER_BETA)
    weights = 0.5 * _SINC_ROLLOFF * np.sinc(_SINC_ROLLOFF * crossings) * taper

    reach = len(lags)
    padded = np.pad(samples, reach)
    phases = [np.ascontiguousarray(padded[phase::2]) for phase in (0, 1)]
    # An odd sample at the end has no pair: resampy leaves silence there.
    whole = len(samples) // 2
    halved = np.zeros(-(-len(samples) // 2), dtype=np.float32)
    products = np.empty(min(whole, _BLOCK_SAMPLES))
    for start in range(0, whole, _BLOCK_SAMPLES):
        total = halved[start : min(start + _BLOCK_SAMPLES, whole)]
        product = products[: len(total)]
        for lag in (*-lags, *lags[1:]):
            half, phase = divmod(reach + int(lag), 2)
            heard = phases[phase][half + start : half + start + len(total)]
            np.multiply(heard, weights[abs(lag)], out=product)
            np.add(product, total, out=product)
            total[:] = product
    return halved
