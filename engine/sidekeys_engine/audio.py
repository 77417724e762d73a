"""Sound in: files and arrays become mono float32 at the asked rate; what is not audio is refused.

Files are decoded, mixed to mono and resampled block by block, so that the memory needed is that of
the mono result, whatever the file's rate, depth and channel count.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import soxr

from sidekeys_engine.atomic_file import check_readable, shown_path
from sidekeys_engine.audio_files import BLOCK_SAMPLES, RATES_HZ, Decoder, open_decoder
from sidekeys_engine.errors import AudioError, InputError

if TYPE_CHECKING:
    pass

Float32 = npt.NDArray[np.float32]

SHORTEST_SECONDS = 0.5
"""Less sound than this holds no beat of any usual tempo, and is refused."""

_SHORTEST_REMNANT_SECONDS = 1.0  # of a damaged file, to be worth a cover
_TOLERANCE_SECONDS = 0.5  # of lengths: encoders pad, and people round
_LOUDEST = 2.0**32  # full scale is 1.0; some programs store 32-bit integers as floats
_MOST_CHANNELS = 64  # of an array; more are a mistake, such as a batch of windows
_FULL_SCALE = {"int8": 2.0**7, "int16": 2.0**15, "int32": 2.0**31, "uint8": 2.0**7}


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """Mono sound.

    Attributes:
        samples: (frames,) float32, full scale is 1.0.
        sampling_rate: frames a second.
        remarks: what the user should hear about the file, a line each; empty for a sound one.
    """

    samples: Float32
    sampling_rate: int
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.samples.ndim != 1 or self.samples.dtype != np.float32:
            raise ValueError(
                f"mono sound is (frames,) float32, not {self.samples.shape} {self.samples.dtype}"
            )
        if self.sampling_rate <= 0:
            raise ValueError(f"a sampling rate is above zero, not {self.sampling_rate}")

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sampling_rate


def load_audio(
    path: str | os.PathLike[str],
    *,
    sampling_rate: int | None = None,
    start_seconds: float = 0.0,
    end_seconds: float | None = None,
) -> Audio:
    """Load a sound file, or a region of it, as mono float32.

    Reads wav, flac, ogg, opus, aiff, au and caf through libsndfile, and mp3, m4a and most others,
    the sound of a video included, through FFmpeg. Any rate from 1 kHz to 1 MHz, any number of
    channels; channels are averaged. Silence is sound too. Of a damaged or cut-off file, what can be
    decoded is returned if it lasts a second, with a remark.

    Args:
        path: the file.
        sampling_rate: rate of the result in Hz; None keeps the file's.
        start_seconds: where the region starts.
        end_seconds: where it ends; None is the end of the file, and up to half a second beyond the
            end means the end.

    Returns:
        The sound, ``ceil(seconds * sampling_rate)`` frames long.

    Raises:
        AudioError: no such file, a folder, no permission, an empty file, no audio, no sound in a
            video, nothing or less than 0.5 s to decode, samples that are not finite, a region
            outside the file.
        ValueError: a sampling rate outside 1 kHz to 1 MHz.
    """
    if sampling_rate is not None:
        _check_rate(sampling_rate)
    shown = shown_path(path)
    _check_region(start_seconds, end_seconds)
    try:
        check_readable(path)
        downmix = _Downmix()
        audio = _read(path, sampling_rate, start_seconds, end_seconds, downmix)
        channel = downmix.loudest_of_those_that_cancel()
        if channel is None:
            return audio
        del audio
        alone = _read(path, sampling_rate, start_seconds, end_seconds, _Downmix(channel))
        remark = f"the channels of {shown} cancel each other; channel {channel + 1} alone is heard"
        return replace(alone, remarks=(*alone.remarks, remark))
    except AudioError:
        raise
    except InputError as error:
        raise AudioError(str(error)) from error
    except OSError as error:
        reason = error.strerror or error
        raise AudioError(f"Cannot read {shown}: {reason}; copy it to another disk.") from error
    except MemoryError as error:
        raise AudioError(
            f"{shown} is too long for this machine's memory; give a region."
        ) from error


def to_mono_float32(array: Any, *, name: str = "audio") -> Float32:
    """Return samples in any usual form as mono float32.

    Args:
        array: (frames,), (frames, channels) or (channels, frames): a numpy array, a torch tensor or
            a list. The shorter axis is the channels', the last one where both are equal. Floats
            have a full scale of 1.0; int8, int16, int32 and uint8 are scaled to it.
        name: what error messages call it.

    Returns:
        (frames,) float32; channels are averaged. It may share memory with ``array``.

    Raises:
        AudioError: no samples, other shapes or types, samples that are not finite.
    """
    samples = _as_numpy(array, name)
    kind = samples.dtype.name
    if samples.dtype.kind != "f" and kind not in _FULL_SCALE:
        raise AudioError(f"{name} holds {kind} values; give floats between -1 and 1, or int16.")
    if samples.ndim not in (1, 2):
        raise AudioError(f"{name} has the shape {samples.shape}; give (frames,) or (2, frames).")
    if samples.size == 0:
        raise AudioError(f"{name} is empty, of shape {samples.shape}; give some sound.")
    if samples.ndim == 1:
        samples = samples[:, None]
    elif samples.shape[0] < samples.shape[1]:
        samples = samples.T
    if samples.shape[1] > _MOST_CHANNELS:
        raise AudioError(f"{name} has {samples.shape[1]} channels; give {_MOST_CHANNELS} at most.")
    if kind in _FULL_SCALE:
        midpoint = 128.0 if kind == "uint8" else 0.0
        samples = (samples.astype(np.float64) - midpoint) / _FULL_SCALE[kind]
    elif kind == "float16":
        samples = samples.astype(np.float32)
    bad = _first_bad_frame(samples)
    if bad is not None:
        raise AudioError(f"{name} holds {_bad_value(samples[bad])} at sample {bad}; remove it.")
    return np.ascontiguousarray(_mixed(samples))


def resample(samples: Float32, from_rate: int, to_rate: int) -> Float32:
    """Resample mono sound with soxr's high quality.

    Args:
        samples: (frames,) float32.
        from_rate: its rate in Hz.
        to_rate: the asked rate in Hz.

    Returns:
        (ceil(frames * to_rate / from_rate),) float32; ``samples`` itself where the rates are equal.

    Raises:
        ValueError: samples that are not mono, or a rate outside 1 kHz to 1 MHz.
    """
    if samples.ndim != 1:
        raise ValueError(f"mono sound is (frames,), not {samples.shape}")
    _check_rate(from_rate)
    _check_rate(to_rate)
    if from_rate == to_rate:
        return samples
    buffer = _MonoBuffer(from_rate, to_rate)
    for start in range(0, len(samples), BLOCK_SAMPLES):
        buffer.add(samples[start : start + BLOCK_SAMPLES])
    return buffer.finish()


# --- from a decoder to an Audio ---


class _Downmix:
    """Channels to mono: their mean or, on a second reading, one of them alone.

    Wide synthesizers and miswired buses have sides in opposite phase, whose mean is next to
    silence though there is much to hear.
    """

    def __init__(self, channel: int | None = None) -> None:
        self._channel = channel
        self._mean_energy = 0.0
        self._energies: npt.NDArray[np.float64] = np.zeros(0)

    def __call__(self, block: Float32) -> Float32:
        """(frames, channels) -> (frames,)."""
        if self._channel is not None:
            return block[:, min(self._channel, block.shape[1] - 1)]
        mono = _mixed(block)
        # Infinite sums are no harm: samples that large are refused or told of elsewhere.
        with np.errstate(over="ignore"):
            energies = np.einsum("fc,fc->c", block, block).astype(np.float64)
            self._mean_energy += float(np.dot(mono, mono))
        if len(energies) != len(self._energies):
            self._energies = np.resize(self._energies, len(energies))
        self._energies += energies
        return mono

    def loudest_of_those_that_cancel(self) -> int | None:
        """The loudest channel, if the mean is 20 dB or more below it."""
        if len(self._energies) < 2 or self._mean_energy >= 0.01 * self._energies.max():
            return None
        return int(self._energies.argmax())


def _read(
    path: str | os.PathLike[str],
    sampling_rate: int | None,
    start: float,
    end: float | None,
    downmix: _Downmix,
) -> Audio:
    shown = shown_path(path)
    with open_decoder(path, shown) as decoder:
        return _load(decoder, sampling_rate, start, end, shown, downmix)


def _load(
    decoder: Decoder,
    sampling_rate: int | None,
    start: float,
    end: float | None,
    shown: str,
    downmix: _Downmix,
) -> Audio:
    """Decode the region from ``start`` to ``end`` (seconds)."""
    rate = decoder.sampling_rate
    first = round(start * rate)
    last = None if end is None else round(end * rate)
    buffer = _MonoBuffer(rate, sampling_rate or rate)
    remarks: tuple[str, ...] = ()
    position = decoder.seek(first)
    for block in decoder.blocks:
        begin, position = position, position + len(block)
        wanted = block[max(0, first - begin) : None if last is None else max(0, last - begin)]
        bad = _first_bad_frame(wanted)
        if bad is not None:
            second = (max(first, begin) + bad) / rate
            raise AudioError(
                f"{shown} holds {_bad_value(wanted[bad])} at {second:.3f} s; export it again."
            )
        buffer.add(downmix(wanted))
        if last is not None and position >= last:
            break
    else:
        # Only at the end is a file's length known for sure.
        remarks = _remarks_at_end(position / rate, decoder.declared_seconds, start, end, shown)
    audio = Audio(buffer.finish(), sampling_rate or rate, remarks)
    if round(audio.duration_seconds, 2) < SHORTEST_SECONDS:
        raise AudioError(
            f"{shown} is too short: {audio.duration_seconds:.2f} s; give at least one beat"
            f" ({SHORTEST_SECONDS} s)."
        )
    return audio


def _remarks_at_end(
    total: float, declared: float | None, start: float, end: float | None, shown: str
) -> tuple[str, ...]:
    """Check the region against the length found, and the length against the header's."""
    if total == 0:
        raise AudioError(f"{shown} holds no sound (0 samples); export it again.")
    damaged = declared is not None and total < declared - _TOLERANCE_SECONDS
    if damaged and total - start < _SHORTEST_REMNANT_SECONDS:
        raise AudioError(
            f"{shown} is cut off or damaged: {total:.2f} of {declared:.1f} s can be read; export or"
            " copy it again."
        )
    if start >= total:
        raise AudioError(
            f"The start, {start:g} s, lies beyond the end of {shown}, which lasts {total:.2f} s;"
            " give an earlier one."
        )
    if end is not None and end > total + _TOLERANCE_SECONDS:
        raise AudioError(
            f"The end, {end:g} s, lies beyond the end of {shown}, which lasts {total:.2f} s; give"
            " an earlier one."
        )
    if damaged:
        return (f"{shown} is cut off or damaged: {total:.1f} of {declared:.1f} s can be read.",)
    return ()


class _MonoBuffer:
    """Mono sound that grows block by block, resampled on the way."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        self._rates = from_rate, to_rate
        self._stream = None
        if from_rate != to_rate:
            self._stream = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
        self._frames_in = 0
        # A bytearray grows in place: blocks joined at the end would take the memory twice.
        self._bytes = bytearray()

    def add(self, mono: Float32) -> None:
        self._frames_in += len(mono)
        if self._stream is not None:
            mono = self._stream.resample_chunk(mono)
        self._bytes += np.ascontiguousarray(mono).data.cast("B")

    def finish(self) -> Float32:
        """Return (ceil(frames * to_rate / from_rate),) float32; the buffer is then used up."""
        if self._stream is not None:
            rest = self._stream.resample_chunk(np.empty(0, np.float32), last=True)
            self._bytes += rest.data.cast("B")
        from_rate, to_rate = self._rates
        wanted = 4 * -(-self._frames_in * to_rate // from_rate)
        del self._bytes[wanted:]
        self._bytes += bytes(wanted - len(self._bytes))
        return np.frombuffer(self._bytes, np.float32)


def _check_region(start: float, end: float | None) -> None:
    if not (math.isfinite(start) and start >= 0):
        raise AudioError(f"The start must be 0 s or later, not {start:g} s.")
    if end is None:
        return
    if not math.isfinite(end) or end <= start:
        raise AudioError(f"The end, {end:g} s, must come after the start, {start:g} s.")
    if end - start < SHORTEST_SECONDS:
        raise AudioError(
            f"From {start:g} to {end:g} s is too short; give at least one beat"
            f" ({SHORTEST_SECONDS} s)."
        )


def _check_rate(rate: int) -> None:
    if rate not in RATES_HZ:
        raise ValueError(f"a sampling rate lies between 1000 and 1000000 Hz, not at {rate}")


def _as_numpy(array: Any, name: str) -> npt.NDArray[Any]:
    if hasattr(array, "detach"):  # a torch tensor, which this room need not import torch for
        array = array.detach().cpu()
        array = array.float() if array.is_floating_point() else array
    try:
        return np.asarray(array)
    except ValueError as error:
        raise AudioError(
            f"{name} is no array: its rows differ in length; pad or cut them."
        ) from error


def _first_bad_frame(samples: npt.NDArray[Any]) -> int | None:
    """Return the first frame of (frames, channels) that holds NaN, infinity or absurd values."""
    good = np.abs(samples) <= _LOUDEST
    return None if good.all() else int(good.argmin()) // samples.shape[1]


def _bad_value(frame: npt.NDArray[Any]) -> str:
    """Name what is wrong with a frame that :func:`_first_bad_frame` found."""
    if np.isnan(frame).any():
        return "a sample that is not a number (NaN)"
    if np.isinf(frame).any():
        return "an infinite sample"
    return "a sample billions of times above full scale"


def _mixed(block: npt.NDArray[Any]) -> Float32:
    """Average the channels of (frames, channels)."""
    mono = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
    return mono.astype(np.float32, copy=False)
