"""Sound in: files and arrays become mono float32 at the asked rate; what is not audio is refused.

Files are decoded, mixed to mono and resampled block by block, so that the memory needed is that of
the mono result, whatever the file's rate, depth and channel count.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from sidekeys_engine.atomic_file import check_readable, shown_path
from sidekeys_engine.errors import InputError

if TYPE_CHECKING:
    import av
    import av.container

Float32 = npt.NDArray[np.float32]

SHORTEST_SECONDS = 0.5
"""Less sound than this holds no beat of any usual tempo, and is refused."""

_SHORTEST_REMNANT_SECONDS = 1.0  # of a damaged file, to be worth a cover
_TOLERANCE_SECONDS = 0.5  # of lengths: encoders pad, and people round
_BLOCK_SAMPLES = 1 << 15  # over all channels
_RATES = range(1_000, 1_000_001)  # Hz; a header that says otherwise is broken
_UNKNOWN_FRAMES = 1 << 62  # libsndfile says so of a flac whose writer could not go back
_LOUDEST = 2.0**32  # full scale is 1.0; some programs store 32-bit integers as floats
_MOST_CHANNELS = 64  # of an array; more are a mistake, such as a batch of windows
_FULL_SCALE = {"int8": 2.0**7, "int16": 2.0**15, "int32": 2.0**31, "uint8": 2.0**7}

# First bytes of what libsndfile reads: wav, RF64, W64, aiff, au, caf, flac, ogg. It reads mp3 too,
# but writes warnings about slightly odd files to the user's terminal, which FFmpeg does not.
_SNDFILE_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b".snd", b"caff", b"fLaC", b"OggS")
# Containers with sound that FFmpeg may open. Its playlists, which make it open other files or
# addresses, and its pictures, which have no sound, are left out.
_FFMPEG_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,matroska,webm,mov,mp4,m4a,3gp,3g2,"
    "mj2,mp3,mpeg,mpegts,ogg,tta,w64,wav,wv"
)


class AudioError(InputError):
    """Sound that cannot be used; the message says in one line why, and what to do."""


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
    for start in range(0, len(samples), _BLOCK_SAMPLES):
        buffer.add(samples[start : start + _BLOCK_SAMPLES])
    return buffer.finish()


# --- from a decoder to an Audio ---


@dataclass(frozen=True, slots=True)
class _Decoder:
    """An open file.

    ``seek`` takes the frame asked for and returns the one that the first block starts with, at or
    before it. A block is (frames, channels), float32. Damage ends the blocks early.
    """

    sampling_rate: int
    declared_seconds: float | None  # what the header says, where it is no guess
    seek: Callable[[int], int]
    blocks: Iterator[Float32]


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
    with _opened(path, shown) as decoder:
        return _load(decoder, sampling_rate, start, end, shown, downmix)


def _load(
    decoder: _Decoder,
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


# --- decoders ---


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str], shown: str) -> Iterator[_Decoder]:
    with _File(path, "rb") as file, contextlib.ExitStack() as stack:
        decoder = None
        magic = file.read(4)
        file.seek(0)
        if magic in _SNDFILE_MAGIC:
            decoder = _open_with_libsndfile(file, shown, stack)
        if decoder is None:
            file.seek(0)
            decoder = _open_with_ffmpeg(file, shown, stack)
        if decoder.sampling_rate not in _RATES:
            raise AudioError(
                f"{shown} claims a sampling rate of {decoder.sampling_rate} Hz; export it again at"
                " 44100 Hz."
            )
        yield decoder


class _File(io.FileIO):
    """A file whose seek reports failure as C does: FFmpeg tries offsets a broken header gives."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        try:
            return super().seek(offset, whence)
        except (OSError, OverflowError):
            return -1


def _open_with_libsndfile(
    opened: _File, shown: str, stack: contextlib.ExitStack
) -> _Decoder | None:
    """Return None for what libsndfile does not know, such as a wav that holds another codec."""
    try:
        # A descriptor has no name, by whose suffix libsndfile would guess a broken file's format
        # (and call on mpg123, which writes to the terminal). On Windows each library has its own.
        source = opened.fileno() if os.name == "posix" else opened.name
        file = stack.enter_context(soundfile.SoundFile(source, closefd=False))
    except (soundfile.LibsndfileError, TypeError):  # TypeError: the suffix .raw hides the rate
        return None

    def seek(frame: int) -> int:
        if frame == 0:
            return 0
        try:
            return int(file.seek(min(frame, file.frames)))
        except soundfile.LibsndfileError as error:
            raise AudioError(
                f"{shown} cannot be read from {frame / file.samplerate:g} s on: it is cut off or"
                " damaged; export or copy it again."
            ) from error

    def blocks() -> Iterator[Float32]:
        frames = max(1, _BLOCK_SAMPLES // file.channels)
        while True:
            try:
                block = file.read(frames, dtype="float32", always_2d=True)
            except soundfile.LibsndfileError:
                return
            if len(block) == 0:
                return
            yield block

    seconds = file.frames / file.samplerate if file.samplerate else None
    known = file.frames < _UNKNOWN_FRAMES
    return _Decoder(file.samplerate, seconds if known else None, seek, blocks())


def _open_with_ffmpeg(file: _File, shown: str, stack: contextlib.ExitStack) -> _Decoder:
    # An open file, because FFmpeg takes a name such as "http:song.mp3" for an address.
    import av  # noqa: PLC0415

    options = {"format_whitelist": _FFMPEG_FORMATS, "protocol_whitelist": ""}
    try:
        container = stack.enter_context(av.open(file, options=options, metadata_errors="replace"))
    except av.FFmpegError as error:
        raise AudioError(
            f"{shown} is no audio that can be read, or it is damaged; give a wav, flac, mp3, ogg or"
            " m4a file."
        ) from error
    if not container.streams.audio:
        raise AudioError(f"{shown} has no audio stream; give a file with sound.")
    frames = _ffmpeg_frames(container)
    first = next(frames, None)
    if first is None:
        raise AudioError(f"{shown} holds no sound that can be read; export it again.")
    rate = first.sample_rate

    def blocks() -> Iterator[Float32]:
        resampler, layout = None, ""
        for frame in itertools.chain([first], frames):
            if frame.sample_rate != rate:
                raise AudioError(f"{shown} changes its sampling rate midway; convert it to wav.")
            if resampler is None or frame.layout.name != layout:
                layout = frame.layout.name
                resampler = av.AudioResampler(format="fltp")  # its values alone are converted
            try:
                converted = resampler.resample(frame)
            except av.FFmpegError:  # no frame of sound, such as one of an unknown layout
                return
            for part in converted:
                yield part.to_ndarray().T

    size = os.fstat(file.fileno()).st_size
    return _Decoder(rate, _ffmpeg_declared_seconds(container, size), lambda _: 0, blocks())


def _ffmpeg_frames(container: av.container.InputContainer) -> Iterator[av.AudioFrame]:
    """Frames of the first audio stream; a damaged packet is left out."""
    import av  # noqa: PLC0415

    try:
        for packet in container.demux(container.streams.audio[0]):
            with contextlib.suppress(av.error.InvalidDataError):
                yield from packet.decode()
    except av.FFmpegError:
        return


def _ffmpeg_declared_seconds(container: av.container.InputContainer, size: int) -> float | None:
    """The length that the header states; None where it is an estimate."""
    if container.duration is None:
        return None
    seconds = container.duration / 1_000_000
    name = container.format.name
    if name in ("aac", "ac3", "eac3", "dts", "amr", "mpegts", "mpeg"):
        return None
    # An mp3 may state its length in its first frame. Where it does not, FFmpeg divides the size
    # by a bit rate; a length that the size does not bear out can only have been stated.
    bit_rate = container.streams.audio[0].codec_context.bit_rate or 0
    if name == "mp3" and seconds * bit_rate / 8 < 1.02 * size:
        return None
    return seconds


# --- samples ---


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
    if rate not in _RATES:
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
