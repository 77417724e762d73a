"""What is sound is loaded right, whatever its form; what is not is refused in one line."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soxr
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidekeys_engine import audio as audio_module
from sidekeys_engine.audio import Audio, AudioError, load_audio, resample, to_mono_float32
from sidekeys_engine.errors import InputError

ENGINE = Path(audio_module.__file__).parents[1]
PITCH_HZ = 440.0
LEVEL = 0.5  # peak of the test tone
FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def tone(seconds: float, rate: int, level: float = LEVEL) -> npt.NDArray[np.float64]:
    return level * np.sin(2 * np.pi * PITCH_HZ * np.arange(round(seconds * rate)) / rate)


def marked_song(seconds: float, rate: int) -> npt.NDArray[np.float64]:
    """Two channels of faint noise with a loud burst that starts at each whole second."""
    random = np.random.default_rng(1)
    song = 0.001 * random.standard_normal((round(seconds * rate), 2))
    for second in range(1, int(seconds)):
        burst = tone(0.2, rate)
        song[second * rate : second * rate + len(burst)] += burst[:, None]
    return song


def write_with_ffmpeg(
    path: Path, samples: npt.NDArray[np.float64], rate: int, codec: str, container: str
) -> None:
    """Encode (frames, 2) through FFmpeg's libraries, for what libsndfile does not write."""
    import av

    with av.open(str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="stereo", bit_rate=128_000)
        data = np.ascontiguousarray(samples.T, dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(data, format="fltp", layout="stereo")
        frame.sample_rate = rate
        # With its time known, the file can say how much silence the encoder puts before it.
        frame.pts, frame.time_base = 0, Fraction(1, rate)
        fifo = av.AudioFifo()
        fifo.write(frame)
        converter = av.AudioResampler(format=stream.format.name, layout="stereo", rate=rate)
        for part in fifo.read_many(1024, partial=True):
            for converted in converter.resample(part):
                output.mux(stream.encode(converted))
        output.mux(stream.encode(None))


def write_video_without_sound(path: Path) -> None:
    import av

    with av.open(str(path), "w", format="mp4") as output:
        stream = output.add_stream("mpeg4", rate=10, width=32, height=32, pix_fmt="yuv420p")
        picture = np.zeros((32, 32, 3), np.uint8)
        for _ in range(20):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))


def png_picture() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(9) * 8)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b"")]
    )


def heard_pitch_and_level(samples: npt.NDArray[np.float32], rate: int) -> tuple[float, float]:
    """Frequency (Hz, of the strongest bin, interpolated) and root-mean-square level."""
    middle = samples[len(samples) // 4 : 3 * len(samples) // 4].astype(np.float64)
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    peak = int(spectrum.argmax())
    left, top, right = np.log(spectrum[peak - 1 : peak + 2])
    offset = 0.5 * (left - right) / (left - 2 * top + right)
    return (peak + offset) * rate / len(middle), float(np.sqrt((middle**2).mean()))


def refused(
    path: str | os.PathLike[str], start_seconds: float = 0.0, end_seconds: float | None = None
) -> str:
    with pytest.raises(AudioError) as error:
        load_audio(path, start_seconds=start_seconds, end_seconds=end_seconds)
    message = str(error.value)
    assert "\n" not in message
    assert message.endswith(".")
    assert isinstance(error.value, InputError)
    return message


@dataclass(frozen=True)
class Form:
    suffix: str
    rate: int = 44100
    channels: int = 2
    subtype: str | None = None
    codec: str | None = None
    container: str = ""
    tolerance: float = 0.01  # of the level

    def write(self, path: Path, seconds: float) -> None:
        mono = tone(seconds, self.rate)
        samples = np.repeat(mono[:, None], self.channels, axis=1)
        if self.codec:
            write_with_ffmpeg(path, samples, self.rate, self.codec, self.container)
        else:
            soundfile.write(path, samples, self.rate, subtype=self.subtype)


FORMS = [
    Form("wav", 8000, 1, "PCM_U8", tolerance=0.03),
    Form("wav", 11025, 2, "PCM_16"),
    Form("wav", 48000, 2, "PCM_24"),
    Form("wav", 96000, 1, "FLOAT"),
    Form("wav", 192000, 8, "PCM_32"),
    Form("wav", 22050, 1, "DOUBLE"),
    Form("wav", 44100, 2, "MS_ADPCM", tolerance=0.03),
    Form("flac", 192000, 8, "PCM_24"),
    Form("flac", 44100, 1, "PCM_16"),
    Form("aiff", 44100, 2, "PCM_16"),
    Form("aiff", 44100, 6, "PCM_24"),
    Form("ogg", 44100, 2, "VORBIS", tolerance=0.05),
    Form("ogg", 48000, 2, "OPUS", tolerance=0.05),
    Form("mp3", 44100, 2, tolerance=0.06),
    Form("mp3", 22050, 1, tolerance=0.06),
    Form("m4a", 44100, codec="aac", container="mp4", tolerance=0.05),
    Form("m4a", 48000, codec="alac", container="mp4"),
    Form("aac", 44100, codec="aac", container="adts", tolerance=0.05),
    Form("webm", 48000, codec="libopus", container="webm", tolerance=0.05),
    Form("wma", 44100, codec="wmav2", container="asf", tolerance=0.05),
]


@pytest.mark.parametrize(
    "form", FORMS, ids=lambda f: f"{f.suffix}-{f.codec or f.subtype}-{f.rate}-{f.channels}ch"
)
def test_a_tone_keeps_pitch_level_and_length_in_every_form(tmp_path: Path, form: Form) -> None:
    path = tmp_path / f"tone.{form.suffix}"
    form.write(path, 3.0)
    for asked in (None, 22050):
        audio = load_audio(path, sampling_rate=asked)
        assert audio.sampling_rate == (asked or form.rate)
        assert audio.samples.dtype == np.float32
        assert audio.samples.ndim == 1
        pitch, level = heard_pitch_and_level(audio.samples, audio.sampling_rate)
        assert pitch == pytest.approx(PITCH_HZ, abs=0.1)
        assert level == pytest.approx(LEVEL / np.sqrt(2), rel=form.tolerance)
        padding = 0.0 if not form.codec else 0.06  # FFmpeg's encoders fill their last block
        assert audio.duration_seconds == pytest.approx(3.0, abs=padding + 1e-3)
        assert audio.remarks == ()


@pytest.fixture(scope="session")
def songs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One song of six seconds with a burst at each second, in several formats."""
    folder = tmp_path_factory.mktemp("songs")
    song = marked_song(6.0, 44100)
    paths = {suffix: folder / f"song.{suffix}" for suffix in ("wav", "flac", "ogg", "mp3", "m4a")}
    for suffix in ("wav", "flac", "ogg", "mp3"):
        soundfile.write(paths[suffix], song, 44100)
    write_with_ffmpeg(paths["m4a"], song, 44100, "aac", "mp4")
    return paths


def bursts_at(audio: Audio) -> list[float]:
    """Where the bursts start, in seconds."""
    loud = np.flatnonzero(np.abs(audio.samples) > 0.1)
    after_a_pause = np.diff(loud, prepend=-audio.sampling_rate) > audio.sampling_rate // 2
    return [float(start) / audio.sampling_rate for start in loud[after_a_pause]]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "m4a"])
def test_sound_is_where_it_is_in_the_song(songs: dict[str, Path], suffix: str) -> None:
    # An encoder's delay (25 ms for mp3, 23 ms for aac) would put every note beside its beat.
    whole = load_audio(songs[suffix], sampling_rate=22050)
    assert bursts_at(whole) == pytest.approx([1, 2, 3, 4, 5], abs=0.003)
    region = load_audio(songs[suffix], sampling_rate=22050, start_seconds=1.75, end_seconds=4.5)
    assert region.duration_seconds == pytest.approx(2.75, abs=1e-4)
    assert bursts_at(region) == pytest.approx([0.25, 1.25, 2.25], abs=0.003)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "m4a"])
def test_a_region_is_a_slice_of_the_whole(songs: dict[str, Path], suffix: str) -> None:
    whole = load_audio(songs[suffix])
    region = load_audio(songs[suffix], start_seconds=1.3, end_seconds=3.1)
    expected = whole.samples[round(1.3 * 44100) : round(3.1 * 44100)]
    np.testing.assert_allclose(region.samples, expected, atol=1e-6)
    to_the_end = load_audio(songs[suffix], start_seconds=4.0)
    np.testing.assert_allclose(to_the_end.samples, whole.samples[4 * 44100 :], atol=1e-6)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = np.full(44100, 0.5), np.full(44100, -0.25)
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), 44100, subtype="FLOAT")
    np.testing.assert_allclose(load_audio(tmp_path / "a.wav").samples, 0.125, atol=1e-7)


def test_resampling_block_by_block_equals_resampling_at_once(songs: dict[str, Path]) -> None:
    song, _ = soundfile.read(songs["wav"], dtype="float32")
    at_once = soxr.resample(song.mean(axis=1), 44100, 22050, quality="HQ")
    audio = load_audio(songs["wav"], sampling_rate=22050)
    assert len(audio.samples) == len(song) // 2
    np.testing.assert_allclose(audio.samples, at_once[: len(audio.samples)], atol=1e-6)


def test_silence_is_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(44100), 44100)
    assert not load_audio(tmp_path / "a.wav").samples.any()


def test_any_name_and_suffix_will_do(songs: dict[str, Path], tmp_path: Path) -> None:
    for name in ["concat:x|y.mp3", "http:a.m4a", "song.raw", "Bjørk, Jóga.txt", "noending"]:
        for source in ("wav", "m4a"):
            (tmp_path / name).write_bytes(songs[source].read_bytes())
            assert load_audio(tmp_path / name).duration_seconds == pytest.approx(6.0, abs=0.1)
    if sys.platform == "linux":  # names are bytes there, not always text
        for source in ("wav", "mp3"):
            odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/latin1-\xe9"))
            odd.write_bytes(songs[source].read_bytes())
            assert load_audio(odd).duration_seconds == pytest.approx(6.0, abs=0.1)


# --- what is not audio ---


def test_what_is_not_audio_is_refused_in_words(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    playlist = b"#EXTM3U\n#EXTINF:10,\nsong.aac\n#EXT-X-ENDLIST\n"
    for name, data, words in [
        ("noise.wav", random.bytes(5000), "no audio that can be read"),
        ("noise.mp3", random.bytes(5000), "no audio that can be read"),
        ("words.mp3", b"These are words, not music. " * 200, "no audio that can be read"),
        ("picture.png", png_picture(), "no audio that can be read"),
        ("list.m3u8", playlist, "no audio that can be read"),
        ("list.txt", b"ffconcat version 1.0\nfile song.wav\n", "no audio that can be read"),
        ("empty.wav", b"", "is empty"),
        ("tag.mp3", b"ID3\x03\0\0\0\0\0\x0a" + bytes(10), "no audio that can be read"),
    ]:
        (tmp_path / name).write_bytes(data)
        message = refused(tmp_path / name)
        assert words in message
        assert name in message


def test_files_that_cannot_be_opened_are_refused_in_words(tmp_path: Path) -> None:
    assert "there is no such file" in refused(tmp_path / "missing.wav")
    assert "is a folder" in refused(tmp_path)
    assert "no valid file name" in refused("a\0b.wav")


def test_no_read_permission_is_told(tmp_path: Path) -> None:
    # Root may read everything, so the process gives root up first. The path is relative, because
    # the folders above may be root's alone.
    tmp_path.chmod(0o755)
    (tmp_path / "song.wav").write_bytes(b"RIFF")
    (tmp_path / "song.wav").chmod(0o000)
    code = f"""
        import os, sys
        sys.path.insert(0, {str(ENGINE)!r})
        from sidekeys_engine.audio import AudioError, load_audio
        if os.geteuid() == 0:
            os.setgroups([])
            os.setuid(65534)
        try:
            load_audio(sys.argv[1])
        except AudioError as error:
            print(error)
    """
    said = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), "song.wav"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert said.stdout.startswith("Cannot read 'song.wav': no permission")


def test_a_video_without_sound_is_told(tmp_path: Path) -> None:
    write_video_without_sound(tmp_path / "clip.mp4")
    assert "no audio stream" in refused(tmp_path / "clip.mp4")


def test_no_samples_and_too_few_are_refused_and_3_seconds_are_not(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((0, 2)), 44100)
    assert "0 samples" in refused(path)
    soundfile.write(path, tone(0.2, 44100), 44100)
    assert "too short: 0.20 s" in refused(path)
    soundfile.write(path, tone(0.5, 44100), 44100)
    assert load_audio(path).duration_seconds == 0.5
    soundfile.write(path, tone(3.0, 44100), 44100)
    assert load_audio(path).duration_seconds == 3.0


@pytest.mark.parametrize(
    ("value", "words"),
    [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "infinite"), (1e30, "above full scale")],
)
@pytest.mark.parametrize("second", [0.0, 2.5])
def test_samples_that_are_no_sound_are_refused_with_their_second(
    tmp_path: Path, value: float, words: str, second: float
) -> None:
    samples = np.repeat(tone(3.0, 44100)[:, None], 2, axis=1).astype(np.float32)
    samples[round(second * 44100), 1] = value
    samples[-1, 0] = value
    soundfile.write(tmp_path / "a.wav", samples, 44100, subtype="FLOAT")
    message = refused(tmp_path / "a.wav")
    assert words in message
    assert f"at {second:.3f} s" in message


def test_bad_samples_outside_the_region_do_no_harm(tmp_path: Path) -> None:
    samples = tone(3.0, 44100).astype(np.float32)
    samples[round(2.5 * 44100)] = np.nan
    soundfile.write(tmp_path / "a.wav", samples, 44100, subtype="FLOAT")
    assert load_audio(tmp_path / "a.wav", end_seconds=2.0).duration_seconds == 2.0
    message = refused(tmp_path / "a.wav", start_seconds=2.0)
    assert "at 2.500 s" in message


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_regions_outside_the_song_are_refused(songs: dict[str, Path], suffix: str) -> None:
    song = songs[suffix]
    for region, words in [
        ({"start_seconds": 2.0, "end_seconds": 1.0}, "must come after the start"),
        ({"start_seconds": 2.0, "end_seconds": 2.0}, "must come after the start"),
        ({"start_seconds": 2.0, "end_seconds": 2.3}, "too short"),
        ({"start_seconds": -1.0}, "must be 0 s or later"),
        ({"start_seconds": float("nan")}, "must be 0 s or later"),
        ({"end_seconds": float("nan")}, "must come after the start"),
        ({"start_seconds": 7.0}, "which lasts 6.00 s"),
        ({"start_seconds": 7.0, "end_seconds": 9.0}, "which lasts 6.00 s"),
        ({"end_seconds": 7.0}, "which lasts 6.00 s"),
        ({"start_seconds": 5.8}, "too short"),
    ]:
        assert words in refused(song, **region)
    # The length of an mp3 is known to half a second, and people round.
    assert load_audio(song, start_seconds=3.0, end_seconds=6.4).duration_seconds == 3.0


def test_a_sampling_rate_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(1.0, 8000), 8000)
    data = bytearray(path.read_bytes())
    data[24:28] = struct.pack("<I", 3)
    path.write_bytes(data)
    assert "claims a sampling rate of 3 Hz" in refused(path)
    with pytest.raises(ValueError, match="sampling rate lies between"):
        load_audio(path, sampling_rate=0)


def cut(source: Path, target: Path, share: float) -> Path:
    data = source.read_bytes()
    target.write_bytes(data[: round(share * len(data))])
    return target


@pytest.mark.parametrize("suffix", ["mp3", "flac"])
def test_of_a_cut_off_file_the_rest_is_loaded_with_a_remark(
    songs: dict[str, Path], tmp_path: Path, suffix: str
) -> None:
    audio = load_audio(cut(songs[suffix], tmp_path / f"a.{suffix}", 0.5))
    assert 2.0 < audio.duration_seconds < 3.5
    assert bursts_at(audio)[:2] == pytest.approx([1, 2], abs=0.003)
    (remark,) = audio.remarks
    assert "cut off or damaged" in remark
    assert "of 6.0 s" in remark


@pytest.mark.parametrize("suffix", ["mp3", "flac", "m4a"])
def test_of_a_file_cut_off_at_once_nothing_is_loaded(
    songs: dict[str, Path], tmp_path: Path, suffix: str
) -> None:
    message = refused(cut(songs[suffix], tmp_path / f"a.{suffix}", 0.1))
    assert "damaged" in message


def test_an_mp3_that_states_no_length_is_not_called_cut_off(tmp_path: Path) -> None:
    # FFmpeg guesses 37 s for this one: its quiet start is coded in few bits.
    path = tmp_path / "a.mp3"
    random = np.random.default_rng(1)
    song = np.concatenate([np.zeros(3 * 44100), 0.3 * random.standard_normal(17 * 44100)])
    with soundfile.SoundFile(
        path, "w", 44100, 1, format="MP3", bitrate_mode="VARIABLE", compression_level=0.5
    ) as file:
        file.write(song)
    data = path.read_bytes()
    header = max(data.find(b"Xing"), data.find(b"Info"))
    assert header > 0, "the encoder states the length, which is taken out here"
    second_frame = data.index(data[:2], header)
    path.write_bytes(data[second_frame:])
    audio = load_audio(path)
    assert audio.duration_seconds == pytest.approx(20.0, abs=0.1)
    assert audio.remarks == ()


# --- robustness ---


@pytest.mark.parametrize(
    ("position", "value", "words"),
    [(57, 1, "no audio that can be read"), (47, 255, "holds no sound")],
    ids=["a chunk that ends before it starts", "255 channels in no known layout"],
)
def test_headers_that_mislead_ffmpeg_are_refused_in_silence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], position: int, value: int, words: str
) -> None:
    path = tmp_path / "a.caf"
    soundfile.write(path, tone(1.0, 8000), 8000, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[position] = value
    path.write_bytes(data)
    assert words in refused(path)
    assert capfd.readouterr() == ("", "")


def seeds_of(songs: dict[str, Path]) -> list[bytes]:
    return [path.read_bytes()[:40_000] for path in songs.values()]


@given(st.data())
@FUZZ
def test_broken_files_raise_nothing_but_audio_errors_and_write_nothing(
    songs: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str], data: st.DataObject
) -> None:
    content = bytearray(data.draw(st.sampled_from(seeds_of(songs)) | st.binary(max_size=200)))
    for _ in range(data.draw(st.integers(0, 8))):
        if content:
            reach = data.draw(st.sampled_from([64, 512, 40_000]))
            at = data.draw(st.integers(0, min(reach, len(content)) - 1))
            content[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content))) :]
    path = tmp_path / data.draw(st.sampled_from(["a.wav", "a.mp3", "a.flac", "a.m4a"]))
    path.write_bytes(content)
    said = ""
    try:
        audio = load_audio(path, sampling_rate=22050)
        assert np.isfinite(audio.samples).all()
        assert audio.duration_seconds >= 0.495
    except AudioError as error:
        said = str(error)
    assert "\n" not in said
    # The C libraries must not write to the user's terminal.
    assert capfd.readouterr() == ("", "")


def test_memory_is_that_of_the_mono_result(tmp_path: Path) -> None:
    path = tmp_path / "wide.flac"
    with soundfile.SoundFile(path, "w", 192000, 8, format="FLAC") as file:
        for _ in range(40):
            file.write(np.zeros((192000, 8), np.int16))
    code = f"""
        import resource, sys
        sys.path.insert(0, {str(ENGINE)!r})
        from sidekeys_engine.audio import load_audio
        load_audio(sys.argv[1], sampling_rate=22050, end_seconds=1.0)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        audio = load_audio(sys.argv[1], sampling_rate=22050)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(len(audio.samples), after - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), path],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    frames, grown = map(int, done.stdout.split())
    grown_bytes = grown if sys.platform == "darwin" else grown * 1024
    assert frames == 40 * 22050
    # The decoded file is 246 MB, the result 3.5 MB.
    assert grown_bytes < 4 * frames + 12e6


# --- arrays ---


def stereo(kind: str) -> npt.NDArray[Any]:
    both = np.stack([tone(1.0, 8000), tone(1.0, 8000, level=0.25)])
    if kind.startswith("float"):
        return both.astype(kind)
    if kind == "uint8":
        return (both * 128 + 128.5).astype(np.uint8)
    return np.round(both * float(-np.iinfo(kind).min)).astype(kind)


@pytest.mark.parametrize(
    ("kind", "atol"),
    [
        ("float64", 1e-7),
        ("float32", 1e-7),
        ("float16", 1e-3),
        ("int32", 1e-7),
        ("int16", 1e-4),
        (">i2", 1e-4),
        ("int8", 0.01),
        ("uint8", 0.01),
    ],
)
@pytest.mark.parametrize(
    "layout", [lambda a: a, lambda a: a.T, lambda a: np.asfortranarray(a.T)], ids=["2n", "n2", "f"]
)
def test_arrays_of_any_type_and_layout_become_mono_at_the_same_level(
    kind: str, atol: float, layout: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
) -> None:
    mono = to_mono_float32(layout(stereo(kind)))
    assert mono.dtype == np.float32
    assert mono.shape == (8000,)
    assert mono.flags.c_contiguous
    np.testing.assert_allclose(mono, tone(1.0, 8000, level=0.375), atol=atol)


def test_one_channel_lists_and_tensors_are_taken() -> None:
    mono = tone(1.0, 8000).astype(np.float32)
    assert np.shares_memory(to_mono_float32(mono), mono)
    for form in [
        mono.tolist(),
        mono[None, :],
        mono[:, None],
        torch.from_numpy(mono),
        torch.from_numpy(mono)[None].clone().requires_grad_(True),
        np.repeat(mono, 2)[::2],
    ]:
        np.testing.assert_array_equal(to_mono_float32(form), mono)
    half = to_mono_float32(torch.from_numpy(mono).to(torch.bfloat16))
    np.testing.assert_allclose(half, mono, atol=5e-3)
    short = to_mono_float32(torch.tensor([0, 16384, -32768], dtype=torch.int16))
    np.testing.assert_array_equal(short, np.array([0.0, 0.5, -1.0], np.float32))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        ([], "is empty"),
        (np.zeros((2, 0)), "is empty"),
        (np.zeros((2, 2, 100)), "shape"),
        (np.float32(1.0), "shape"),
        (np.zeros((100, 100)), "channels"),
        ([[0.0, 1.0], [0.0]], "rows differ"),
        (["a", "b"], "values"),
        (np.zeros(10, np.int64), "int64 values"),
        (np.zeros(10, bool), "bool values"),
        (np.zeros(10, complex), "complex128 values"),
        (None, "values"),
        ([0.0, float("nan")], "NaN) at sample 1"),
        (np.array([[0.0, 1.0, np.inf], [0.0, 1.0, -np.inf]]), "infinite sample at sample 2"),
        (np.array([0.0, 1e300]), "above full scale at sample 1"),
        (np.array([0.0, np.inf], np.float16), "infinite"),
    ],
)
def test_arrays_that_are_no_sound_are_refused_by_name(array: object, words: str) -> None:
    with pytest.raises(AudioError) as error:
        to_mono_float32(array, name="the stem")
    assert words in str(error.value)
    assert str(error.value).startswith("the stem ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("from_rate", "to_rate"), [(44100, 22050), (8000, 44100), (48000, 44100)])
def test_resampling_keeps_pitch_level_and_length(from_rate: int, to_rate: int) -> None:
    samples = tone(2.0, from_rate).astype(np.float32)
    resampled = resample(samples, from_rate, to_rate)
    assert resampled.dtype == np.float32
    assert resampled.shape == (2 * to_rate,)
    expected = tone(2.0, to_rate)
    inner = slice(to_rate // 10, -to_rate // 10)
    np.testing.assert_allclose(resampled[inner], expected[inner], atol=1e-4)


def test_resampling_to_the_same_rate_changes_nothing() -> None:
    samples = tone(1.0, 8000).astype(np.float32)
    assert resample(samples, 8000, 8000) is samples


@given(st.integers(1, 3000), st.integers(1000, 50_000), st.integers(1000, 50_000))
@settings(max_examples=50, deadline=None)
def test_resampled_length_is_exact(frames: int, from_rate: int, to_rate: int) -> None:
    resampled = resample(np.ones(frames, np.float32), from_rate, to_rate)
    assert len(resampled) == -(-frames * to_rate // from_rate)


def test_what_is_no_mono_sound_is_no_audio() -> None:
    mono = np.zeros(100, np.float32)
    builds: list[Callable[[], object]] = [
        lambda: Audio(mono[None], 44100),
        lambda: Audio(mono.astype(np.float64), 44100),
        lambda: Audio(mono, 0),
        lambda: resample(mono[None], 44100, 22050),
        lambda: resample(mono, 44100, 0),
    ]
    for build in builds:
        with pytest.raises(ValueError, match=r"mono sound|sampling rate"):
            build()


def test_sides_in_opposite_phase_are_heard(tmp_path: Path) -> None:
    rate = 44100
    left = 0.3 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)
    soundfile.write(tmp_path / "wide.wav", np.stack([0.9 * left, -left], axis=1), rate)
    loaded = load_audio(tmp_path / "wide.wav")
    assert np.abs(loaded.samples).max() == pytest.approx(0.3, abs=0.01)
    assert "channel 2 alone is heard" in loaded.remarks[0]
    soundfile.write(tmp_path / "one.wav", np.stack([left, 0 * left], axis=1), rate)
    loaded = load_audio(tmp_path / "one.wav")
    assert np.abs(loaded.samples).max() == pytest.approx(0.15, abs=0.01)
    assert not loaded.remarks
