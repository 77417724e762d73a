"""Windows of audio to log-mel frames: what the model hears (Pop2PianoFeatureExtractor)."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sidekeys_engine.audio import to_mono_float32
from sidekeys_engine.checkpoint import CheckpointError, read_json, take_checkpoint, write_json
from sidekeys_engine.errors import InputError
from sidekeys_engine.log_mel import LogMel, LogMelWindows, slice_with_silence
from sidekeys_engine.outputs import BatchFeature
from sidekeys_engine.resampling import resample_like_resampy

FloatArray = npt.NDArray[np.floating[Any]]

# The tempo of a song in which no two beats were found.
_DEFAULT_BEAT_SECONDS = 0.5


class Pop2PianoFeatureExtractor:
    """Turns songs into beat-aligned windows of log-mel frames.

    Arguments, shapes and values are those of Pop2Piano in transformers (arXiv 2211.00895, section
    3.1): beats are tracked and halved, windows of ``num_bars * 4`` half-beats are cut, and each
    becomes an HTK mel spectrogram of Hann-windowed frames, in natural logarithm.

    Args:
        sampling_rate: the rate in Hz that audio is resampled to.
        padding_value: fills up the shorter songs of a batch, frames and beats alike.
        window_size: samples in a frame.
        hop_length: samples from one frame to the next.
        min_frequency: lower edge of the lowest mel band, in Hz; the highest ends at Nyquist.
        feature_size: number of mel bands.
        num_bars: length of a window in units of four steps.
        steps_per_beat: steps a beat is divided into unless a call says otherwise.
        context_steps: steps before each window that belong to its frames.
        **kwargs: further settings of a checkpoint's JSON, kept for ``to_dict``.
    """

    model_input_names = ("input_features", "beatsteps", "extrapolated_beatstep")
    config_name = "preprocessor_config.json"

    def __init__(
        self,
        sampling_rate: int = 22050,
        padding_value: int = 0,
        window_size: int = 4096,
        hop_length: int = 1024,
        min_frequency: float = 10.0,
        feature_size: int = 512,
        num_bars: int = 2,
        steps_per_beat: int = 2,
        context_steps: int = 0,
        **kwargs: Any,
    ) -> None:
        sizes = {
            "sampling_rate": sampling_rate,
            "window_size": window_size,
            "hop_length": hop_length,
            "feature_size": feature_size,
            "num_bars": num_bars,
            "steps_per_beat": steps_per_beat,
        }
        if not (isinstance(context_steps, int) and context_steps >= 0):
            raise ValueError(f"context_steps is a whole number from zero, not {context_steps!r}")
        for name, size in sizes.items():
            if not (isinstance(size, int) and size > 0):
                raise ValueError(f"{name} is a whole number above zero, not {size!r}")
        if not 0 <= min_frequency < sampling_rate / 2:
            raise ValueError(
                f"min_frequency lies below half the sampling rate, not {min_frequency}"
            )
        self.sampling_rate = sampling_rate
        self.padding_value = padding_value
        self.window_size = window_size
        self.hop_length = hop_length
        self.min_frequency = min_frequency
        self.feature_size = feature_size
        self.num_bars = num_bars
        self.steps_per_beat = steps_per_beat
        self.context_steps = context_steps
        self._log_mel = LogMel(
            sampling_rate=sampling_rate,
            window_size=window_size,
            hop_length=hop_length,
            min_frequency=min_frequency,
            bands=feature_size,
        )
        self.mel_filters = self._log_mel.filters
        self._extra_settings = {k: v for k, v in kwargs.items() if k not in _FILE_MARKS}

    def __call__(
        self,
        audio: Any,
        sampling_rate: int | Sequence[int],
        steps_per_beat: int | None = None,
        resample: bool = True,
        return_attention_mask: bool | None = False,
        return_tensors: str | None = None,
        *,
        beat_times: Any = None,
        tracker: str = "auto",
        **kwargs: Any,
    ) -> BatchFeature:
        """Extract the features of a song or of a batch of songs.

        Beats are tracked on the audio at its own rate, which the tracker is told. A song in which
        no beat or a single one is found gets a steady 120 beats a minute.

        Args:
            audio: one song, as an array, a tensor or a list of samples; with two dimensions the
                shorter one is taken for the channels, and they are mixed to mono. Integers are
                scaled to -1..1. A batch is a list or a tuple of such arrays, tensors or lists.
            sampling_rate: of the audio, in Hz; for a batch one number or one for each song.
            steps_per_beat: steps a beat is divided into; None takes what the model was trained
                with, which is 2 for Pop2Piano.
            resample: whether audio of another rate is resampled to the extractor's own.
            return_attention_mask: whether masks are added; None adds them to batches.
            return_tensors: ``"pt"`` for torch tensors; numpy arrays otherwise.
            beat_times: the beats in seconds, instead of tracking them: an array, or for a batch a
                list of one array (or None) for each song.
            tracker: ``"auto"``, ``"essentia"`` or ``"librosa"``.
            **kwargs: ignored.

        Returns:
            ``input_features`` (windows, frames, mels) float32, ``beatsteps`` (songs, steps)
            float32, seconds in the audio, and ``extrapolated_beatstep`` (songs, further steps)
            float32, seconds from the first beat, reaching beyond the last window. With masks also
            ``attention_mask`` (windows, frames), ``attention_mask_beatsteps`` and
            ``attention_mask_extrapolated_beatstep`` int64. In a batch, and wherever there are
            masks, a row of zeros follows the windows of each song.

        Raises:
            InputError: audio that is empty, holds NaN or infinity, or is no audio; beats that do
                not rise. It is a ValueError.
            ValueError: a number of rates or beat lists that is not the number of songs.
        """
        is_batched = _is_batch(audio)
        songs = list(audio) if is_batched else [audio]
        steps_per_beat = self.steps_per_beat if steps_per_beat is None else steps_per_beat
        rates = [
            _checked_rate(r) for r in _one_for_each(sampling_rate, len(songs), "sampling_rate")
        ]
        if not is_batched:
            beat_times = [beat_times]
        beats = _one_for_each(beat_times, len(songs), "beat_times")
        if return_attention_mask is None:
            return_attention_mask = is_batched

        features, beatsteps, extrapolated = [], [], []
        for song, rate, given_beats in zip(songs, rates, beats, strict=True):
            samples = to_mono_float32(song)
            steps = self._beatsteps(samples, rate, given_beats, tracker, steps_per_beat)
            samples = self._resampled(samples, rate, resample)
            log_mel, further_steps = self._song_windows(samples, steps)
            features.append(log_mel)
            beatsteps.append(steps)
            extrapolated.append(further_steps)

        data, mask = self._stacked_windows(features)
        if not is_batched and not return_attention_mask:
            data = data[:-1]
        entries = {"input_features": data, "attention_mask": mask}
        for name, rows in (("beatsteps", beatsteps), ("extrapolated_beatstep", extrapolated)):
            entries[name], entries[f"attention_mask_{name}"] = self._padded_rows(rows)
        if not return_attention_mask:
            entries = {k: v for k, v in entries.items() if not k.startswith("attention_mask")}
        return BatchFeature(entries, tensor_type=return_tensors)

    def log_mel_windows(
        self,
        audio: FloatArray | torch.Tensor,
        step_seconds: npt.ArrayLike,
        *,
        device: torch.device | str = "cpu",
    ) -> LogMelWindows:
        """Cut windows on given steps and turn each into log-mel frames, as ``LogMel.windows``.

        Args:
            audio: (n,) mono samples at the extractor's own rate.
            step_seconds: (windows, steps + 1) rising boundaries of each window's steps.
            device: where the spectra are computed and the result lies.
        """
        return self._log_mel.windows(audio, step_seconds, device=device)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> Pop2PianoFeatureExtractor:
        """Read the settings of a checkpoint.

        Args:
            name_or_path: ``"builtin"``, a folder, or a Hugging Face id such as ``"owner/name"``.
            **kwargs: ``local_files_only``, ``revision``, ``cache_dir``, ``token`` and ``on_notice``
                as `find_checkpoint` takes them; settings that replace the checkpoint's.

        Raises:
            CheckpointError: no such checkpoint, or its settings cannot be used.
        """
        folder = take_checkpoint(name_or_path, kwargs)
        settings = _read_settings(folder)
        try:
            return cls(**{**settings, **kwargs})
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"{folder}: the settings of its features: {error}.") from error

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the settings to ``preprocessor_config.json`` in ``folder``, made if needed."""
        write_json(Path(folder) / self.config_name, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Return all settings, fit for JSON, under the names that transformers writes."""
        return {
            "feature_extractor_type": type(self).__name__,
            "sampling_rate": self.sampling_rate,
            "padding_value": self.padding_value,
            "window_size": self.window_size,
            "hop_length": self.hop_length,
            "min_frequency": self.min_frequency,
            "feature_size": self.feature_size,
            "num_bars": self.num_bars,
            **self._own_settings(),
            **copy.deepcopy(self._extra_settings),
        }

    def _own_settings(self) -> dict[str, int]:
        """The settings that the reference does not know, where they are not as it works."""
        own = {"steps_per_beat": (self.steps_per_beat, 2), "context_steps": (self.context_steps, 0)}
        return {name: value for name, (value, usual) in own.items() if value != usual}

    def _beatsteps(
        self, samples: FloatArray, rate: int, given: Any, tracker: str, steps_per_beat: int
    ) -> FloatArray:
        """The song's steps in seconds, (beats * steps_per_beat + 1,)."""
        if given is None:
            from sidekeys_engine.beat_tracking import raw_beat_times  # noqa: PLC0415

            # The reference interpolates in the single precision that essentia reports.
            given = raw_beat_times(samples, rate, tracker).astype(np.float32)
        beats = _with_two_beats(_checked_beats(given), len(samples) / rate)
        return _interpolated(beats, steps_per_beat, further=1)

    def _resampled(self, samples: FloatArray, rate: int, resample: bool) -> FloatArray:
        """The song at the extractor's rate, or as it is where the caller wants no resampling."""
        if rate != self.sampling_rate and not resample:
            warnings.warn(
                f"audio of {rate} Hz is taken as if it had {self.sampling_rate} Hz; "
                "pass resample=True to hear it at its own pitch and tempo",
                stacklevel=3,
            )
            return samples
        return resample_like_resampy(samples, rate, self.sampling_rate)

    def _song_windows(self, samples: FloatArray, beatsteps: FloatArray) -> tuple[Any, FloatArray]:
        """A song's windows, each padded to the longest before its spectrum, as transformers does.

        Returns:
            The log-mel frames, (windows, frames, mels) float32, and the steps counted from the
            first one and extrapolated beyond the last window, in seconds.
        """
        window_steps = self.num_bars * 4
        relative = beatsteps - beatsteps[0]
        further = _interpolated(relative, 1, further=(self.num_bars + 1) * 4 + 1)
        rate = self.sampling_rate
        # What comes before the first window is heard too, as far as its context reaches.
        lead = self.context_steps * float(relative[1])
        song = slice_with_silence(
            torch.from_numpy(samples), int((beatsteps[0] - lead) * rate), int(beatsteps[-1] * rate)
        )
        before = -relative[1] * np.arange(self.context_steps, 0, -1)
        heard = np.concatenate([before, further]) + lead if self.context_steps else further
        starts = range(0, len(relative), window_steps)
        ends = [min(start + window_steps, len(relative)) for start in starts]
        cuts = [
            (int(heard[start] * rate), int(heard[end + self.context_steps] * rate))
            for start, end in zip(starts, ends, strict=True)
        ]
        longest = max(end - start for start, end in cuts)
        if longest < 1:
            raise InputError("The beats lie too close together for a window; check the beat times.")
        log_mel = []
        for start, end in cuts:
            window = slice_with_silence(song, start, start + longest)
            window[end - start :] = 0
            # numpy mirrors windows that are shorter than half a frame, which torch refuses. In
            # double precision quiet bands beside loud ones come out as the reference has them.
            padded = np.pad(window.double().numpy(), self.window_size // 2, mode="reflect")
            log_mel.append(self._log_mel.frames(torch.from_numpy(padded)).numpy())
        return np.stack(log_mel), further

    def _stacked_windows(self, songs: list[Any]) -> tuple[Any, Any]:
        """All windows, each song's followed by a row of zeros; and their mask."""
        frames = max(song.shape[1] for song in songs)
        rows = sum(len(song) + 1 for song in songs)
        data = np.zeros((rows, frames, self.feature_size), dtype=np.float32)
        mask = np.zeros((rows, frames), dtype=np.int64)
        row = 0
        for song in songs:
            end = row + len(song)
            data[row:end, song.shape[1] :] = self.padding_value
            data[row:end, : song.shape[1]] = song
            mask[row:end, : song.shape[1]] = 1
            row = end + 1
        return data, mask

    def _padded_rows(self, rows: list[FloatArray]) -> tuple[Any, Any]:
        """Rows of seconds as one array (songs, longest) float32; and their mask."""
        longest = max(len(row) for row in rows)
        data = np.full((len(rows), longest), self.padding_value, dtype=np.float32)
        mask = np.zeros((len(rows), longest), dtype=np.int64)
        for index, row in enumerate(rows):
            data[index, : len(row)] = row
            mask[index, : len(row)] = 1
        return data, mask


_FILE_MARKS = ("feature_extractor_type", "processor_class", "image_processor_type")


def _read_settings(folder: Path) -> dict[str, Any]:
    """The settings in a checkpoint's folder, from either file that transformers has written."""
    path = folder / Pop2PianoFeatureExtractor.config_name
    if path.is_file():
        return read_json(path)
    path = folder / "processor_config.json"
    if path.is_file():
        settings = read_json(path).get("feature_extractor")
        if isinstance(settings, dict):
            return settings
    raise CheckpointError(
        f"{folder} has no {Pop2PianoFeatureExtractor.config_name}; "
        "copy that file from where the checkpoint comes from."
    )


def _is_batch(audio: Any) -> bool:
    kinds = (np.ndarray, torch.Tensor, list, tuple)
    return isinstance(audio, (list, tuple)) and len(audio) > 0 and isinstance(audio[0], kinds)


def _one_for_each(value: Any, songs: int, name: str) -> list[Any]:
    """A value for each song: the list that was given, or the one value for all of them."""
    if not isinstance(value, (list, tuple, np.ndarray, torch.Tensor)):
        return [value] * songs
    values = list(value)
    if len(values) != songs:
        raise ValueError(f"{name} has {len(values)} entries for {songs} songs; give one for each")
    return values


def _checked_rate(rate: Any) -> int:
    if isinstance(rate, (int, float, np.number)) and rate >= 1:
        return int(rate)
    raise InputError(f"A sampling rate is a number of hertz such as 44100, not {rate!r}.")


def _checked_beats(beat_times: Any) -> FloatArray:
    """Beat times as a float array of their own precision."""
    beats = np.asarray(beat_times)
    if beats.dtype.kind != "f":
        beats = beats.astype(np.float64)
    if beats.ndim != 1:
        raise InputError("Beat times are one row of seconds; give such a list.")
    if not (np.isfinite(beats).all() and (np.diff(beats) > 0).all()):
        raise InputError("Beat times must be finite and rise; sort them and drop doubled ones.")
    return beats


def _with_two_beats(beats: FloatArray, duration_seconds: float) -> FloatArray:
    """The beats, or a steady grid through the audio where there are fewer than two."""
    if len(beats) >= 2:
        return beats
    phase = float(beats[0]) % _DEFAULT_BEAT_SECONDS if len(beats) else 0.0
    count = max(2, int(np.ceil((duration_seconds - phase) / _DEFAULT_BEAT_SECONDS)))
    return phase + _DEFAULT_BEAT_SECONDS * np.arange(count)


def _interpolated(times: FloatArray, steps_per_beat: int, further: int) -> FloatArray:
    """Evenly divided beats, running on beyond the last one at its distance from the one before.

    Args:
        times: (n,) seconds, n > 1.
        steps_per_beat: steps in each interval.
        further: intervals beyond the last beat.

    Returns:
        (n * steps_per_beat + further,) seconds, evenly spread over n - 1 + further intervals; that
        is a step for each ``1 / steps_per_beat`` where one of the two numbers is 1.
    """
    positions = np.linspace(0, len(times) + further - 1, len(times) * steps_per_beat + further)
    before = np.clip(np.ceil(positions).astype(np.int64) - 1, 0, len(times) - 2)
    interpolated: FloatArray = np.diff(times)[before] * (positions - before) + times[before]
    return interpolated
