"""Sound files opened: libsndfile and FFmpeg behind one decoder, block by block."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import soundfile

from sidekeys_engine.errors import AudioError

if TYPE_CHECKING:
    import av
    import av.container

Float32 = npt.NDArray[np.float32]

BLOCK_SAMPLES = 1 << 15  # over all channels
RATES_HZ = range(1_000, 1_000_001)  # Hz; a header that says otherwise is broken
_UNKNOWN_FRAMES = 1 << 62  # libsndfile says so of a flac whose writer could not go back
# First bytes of what libsndfile reads: wav, RF64, W64, aiff, au, caf, flac, ogg. It reads mp3 too,
# but writes warnings about slightly odd files to the user's terminal, which FFmpeg does not.
_SNDFILE_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b".snd", b"caff", b"fLaC", b"OggS")
# Containers with sound that FFmpeg may open. Its playlists, which make it open other files or
# addresses, and its pictures, which have no sound, are left out.
_FFMPEG_FORMATS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,matroska,webm,mov,mp4,m4a,3gp,3g2,"
    "mj2,mp3,mpeg,mpegts,ogg,tta,w64,wav,wv"
)


@dataclass(frozen=True, slots=True)
class Decoder:
    """An open file.

    ``seek`` takes the frame asked for and returns the one that the first block starts with, at or
    before it. A block is (frames, channels), float32. Damage ends the blocks early.
    """

    sampling_rate: int
    declared_seconds: float | None  # what the header says, where it is no guess
    seek: Callable[[int], int]
    blocks: Iterator[Float32]


@contextlib.contextmanager
def open_decoder(path: str | os.PathLike[str], shown: str) -> Iterator[Decoder]:
    """Open a sound file.

    Args:
        path: the file.
        shown: its name in messages.

    Raises:
        AudioError: it holds no sound that can be read.
    """
    with _File(path, "rb") as file, contextlib.ExitStack() as stack:
        decoder = None
        magic = file.read(4)
        file.seek(0)
        if magic in _SNDFILE_MAGIC:
            decoder = _open_with_libsndfile(file, shown, stack)
        if decoder is None:
            file.seek(0)
            decoder = _open_with_ffmpeg(file, shown, stack)
        if decoder.sampling_rate not in RATES_HZ:
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


def _open_with_libsndfile(opened: _File, shown: str, stack: contextlib.ExitStack) -> Decoder | None:
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
        frames = max(1, BLOCK_SAMPLES // file.channels)
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
    return Decoder(file.samplerate, seconds if known else None, seek, blocks())


def _open_with_ffmpeg(file: _File, shown: str, stack: contextlib.ExitStack) -> Decoder:
    # An open file, because FFmpeg takes a name such as "http:song.mp3" for an address.
    import av  # noqa: PLC0415

    options = {"format_whitelist": _FFMPEG_FORMATS, "protocol_whitelist": ""}
    container: Any  # PyAV's releases differ in what they say `open` returns
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
                yield np.asarray(part.to_ndarray().T, dtype=np.float32)

    size = os.fstat(file.fileno()).st_size
    return Decoder(rate, _ffmpeg_declared_seconds(container, size), lambda _: 0, blocks())


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
