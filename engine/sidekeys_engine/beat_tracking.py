"""Audio -> BeatGrid: where the beats and the downbeats of a song are.

Two trackers: essentia (``RhythmExtractor2013``, an optional extra under the AGPL) and librosa
(``beat_track``, everywhere). Both are coarse (11.6 and 23.2 ms), late by tens of milliseconds, and
miss the first beat of a region that starts on it. So every beat they find is set on the onsets
around it, gaps are filled, and the beats are carried back to the start and on to the end.
"""

from __future__ import annotations

import importlib.util
import math

import numpy as np
from numpy.typing import NDArray

from sidekeys_engine.beat_grid import BeatGrid, pulse_beats
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter
from sidekeys_engine.onsets import BeatAudio
from sidekeys_engine.silence import SILENCE_DBFS, is_silent, sounding_at, sounding_span

Audio = NDArray[np.float32]
Times = NDArray[np.float64]

TRACKERS = ("auto", "essentia", "librosa")

MIN_TRACKED_SECONDS = 0.5
"""Audio shorter than this holds no beat to be heard."""

_ESSENTIA_RATE = 44_100  # RhythmExtractor2013 is right at this rate only
_LIBROSA_RATE = 22_050

# Measured on clicks and on synthesized songs of 55 to 170 bpm: librosa reports a beat 16 to 45 ms
# after its onset, essentia from 30 ms before to 30 ms after it.
_LATENCY_SECONDS = {"essentia": 0.01, "librosa": 0.035}
_START_VOTES = 4.0  # a region that starts on a beat, as cut in a DAW, starts on a bar
_NEAR_SECONDS = 0.06  # no tracked beat is further off than this
_ON_START_SECONDS = 0.015  # a beat so near the start of a region is the one it was cut on

_OUTER_INTERVALS = 8
_UNSETTLED_BEATS = 12
_CLEARLY = 0.25  # standard deviations of the onset curve, on average
_SHORT_SECONDS = 4.0  # below it, a search for steady beats does better than either tracker
_STEADY_STEP_SECONDS = 0.005
_STEADY_SECONDS = 8.0  # how much is searched for a steady tempo
_SLOWEST_BPM, _FASTEST_BPM, _USUAL_BPM = 60.0, 200.0, 112.0


class SilenceError(InputError):
    """There is nothing to hear."""


# ------------------------------------------------------------------------------ beats


def track_beats(
    audio: Audio, sampling_rate: int, *, tracker: str = "auto", meter: Meter | None = None
) -> BeatGrid:
    """Find beats, tempo and downbeat.

    Position 0.0 of the grid is the first downbeat; beats reach from the start of the audio to its
    end, and a first beat that sounds at the very start is found. See ``BeatGrid.from_beat_times``
    for the length of a tracked beat in compound meters.

    Args:
        audio: ``(n,)`` mono samples.
        sampling_rate: of the audio, in Hz; any.
        tracker: ``"essentia"``, ``"librosa"`` or ``"auto"`` (essentia where it is installed).
        meter: the meter throughout, 4/4 by default. Meters are not detected.

    Raises:
        SilenceError: if the audio is silent (:func:`is_silent`).
        InputError: if it is too short (``MIN_TRACKED_SECONDS``), no beat is heard, or the tracker
            is unknown or not installed.
        ValueError: if the audio is not mono or the rate not above zero.
    """
    audio = _checked(audio, sampling_rate)
    name = _installed(tracker)
    seconds = audio.size / sampling_rate
    if is_silent(audio, sampling_rate):
        raise SilenceError(
            f"the audio is silent (nothing above {SILENCE_DBFS:g} dBFS); "
            "choose another stretch or turn the track up"
        )
    if seconds < MIN_TRACKED_SECONDS:
        raise InputError(
            f"{seconds:.2f} s of audio are too short to hear the beat in; give the tempo (--bpm)"
        )
    audio = audio / np.abs(audio).max()
    heard = BeatAudio(audio, sampling_rate)
    start, end = sounding_span(audio, sampling_rate)
    beats = raw_beat_times(audio, sampling_rate, name) - _LATENCY_SECONDS[name]
    beats = beats[sounding_at(audio, sampling_rate, beats)]
    if beats.size < 2 or seconds < _SHORT_SECONDS:
        beats = _steady_beats(heard, start, min(end, start + _STEADY_SECONDS))
    if beats.size < 2:
        raise InputError("no beat is heard in the audio; give the tempo (--bpm)")
    beats = heard.aligned(_evened(beats), _NEAR_SECONDS)
    beats = _extended(_settled(heard, beats, start, end), seconds)
    sounding = sounding_at(audio, sampling_rate, beats)
    beats = np.where(sounding, heard.aligned(beats, _NEAR_SECONDS / 2), beats)
    inside = beats[(beats > -_NEAR_SECONDS) & (beats < seconds)]
    beats = _extended(inside if inside.size >= 2 else beats, seconds)
    if abs(beats[0]) <= _ON_START_SECONDS:
        beats[0] = 0.0
    meter = meter or Meter()
    downbeat = _downbeat(heard, beats, meter, start)
    return BeatGrid.from_beat_times(beats, meter=meter, first_downbeat=downbeat)


def raw_beat_times(audio: Audio, sampling_rate: int, tracker: str = "auto") -> Times:
    """What a tracker itself reports, with nothing mended: ``(beats,)`` seconds.

    Essentia's are the ``ticks`` of ``RhythmExtractor2013(method="multifeature")``, as Pop2Piano's
    reference uses them; audio of another rate than 44.1 kHz is resampled first. Librosa's are
    those of ``beat_track`` at 22.05 kHz. Audio too short for the tracker has no beats.

    Raises:
        InputError: if the tracker is unknown or not installed.
        ValueError: if the audio is not mono or the rate not above zero.
    """
    audio = _checked(audio, sampling_rate)
    name = _installed(tracker)
    if audio.size / sampling_rate < 0.1:
        return np.empty(0)
    if name == "essentia":
        return _essentia_beat_times(_resampled(audio, sampling_rate, _ESSENTIA_RATE))
    return _librosa_beat_times(_resampled(audio, sampling_rate, _LIBROSA_RATE))


def _essentia_beat_times(audio: Audio) -> Times:
    import essentia  # noqa: PLC0415

    essentia.log.infoActive = False  # it greets on stderr when its algorithms are imported
    essentia.log.warningActive = False
    from essentia.standard import RhythmExtractor2013  # noqa: PLC0415

    ticks = RhythmExtractor2013(method="multifeature")(audio)[1]
    return np.asarray(ticks, dtype=np.float64)


def _librosa_beat_times(audio: Audio) -> Times:
    import librosa  # noqa: PLC0415

    beats = librosa.beat.beat_track(y=audio, sr=_LIBROSA_RATE, units="time")[1]
    return np.asarray(beats, dtype=np.float64)


def _evened(beats: Times) -> Times:
    """Beats without doubles, and with those put in that a gap lacks."""
    beats = np.unique(beats)
    usual = _usual_intervals(np.diff(beats))
    keep = np.concatenate([[True], np.diff(beats) > 0.5 * usual])
    if keep.sum() < 2:
        return beats
    beats = beats[keep]
    intervals = np.diff(beats)
    usual = _usual_intervals(intervals)
    filled = [
        np.linspace(left, left + gap, max(1, round(gap / interval)), endpoint=False)
        for left, gap, interval in zip(beats, intervals, usual, strict=False)
    ]
    return np.concatenate([*filled, beats[-1:]])


def _usual_intervals(intervals: Times) -> Times:
    """Median of the intervals around each one."""
    reach = _OUTER_INTERVALS
    return np.array(
        [np.median(intervals[max(0, i - reach) : i + reach + 1]) for i in range(intervals.size)]
    )


def _settled(heard: BeatAudio, beats: Times, start: float, end: float) -> Times:
    """Beats without those at either end that a tracker set before it had found the tempo.

    They are left out if the tempo of the beats further in, carried back over them, meets the onsets
    clearly better.
    """
    first = _outlying(heard, beats, start)
    last = beats.size - _outlying(heard, -beats[::-1], -end, mirrored=True)
    return beats[first:last] if last - first >= _OUTER_INTERVALS else beats


def _outlying(heard: BeatAudio, beats: Times, start: float, *, mirrored: bool = False) -> int:
    """How many beats at the head to leave out."""
    best, left_out = -math.inf, 0
    for cut in range(max(1, min(_UNSETTLED_BEATS, beats.size - _OUTER_INTERVALS))):
        pace = _pace(beats[cut : cut + _OUTER_INTERVALS + 1])
        carried = np.arange(beats[cut] - pace, start - _NEAR_SECONDS, -pace)
        tried = np.concatenate([carried, beats[cut:_UNSETTLED_BEATS]])
        score = float(heard.strength(-tried if mirrored else tried).mean())
        if score > best + (_CLEARLY if cut else 0):
            best, left_out = score, cut
    return left_out


def _extended(beats: Times, seconds: float) -> Times:
    """Beats carried on, at the tempo of the outermost ones, to both ends of the audio."""
    head, tail = _pace(beats[: _OUTER_INTERVALS + 1]), _pace(beats[-_OUTER_INTERVALS - 1 :])
    before = math.floor((beats[0] + _NEAR_SECONDS / 2) / head)
    after = math.ceil((seconds - beats[-1]) / tail) - 1
    return np.concatenate(
        [
            beats[0] - head * np.arange(max(0, before), 0, -1),
            beats,
            beats[-1] + tail * np.arange(1, max(0, after) + 1),
        ]
    )


def _pace(beats: Times) -> float:
    """Seconds a beat: the slope of the line through the beats that is least bent by outliers."""
    left, right = np.triu_indices(beats.size, 1)
    return float(np.median((beats[right] - beats[left]) / (right - left)))


def _steady_beats(heard: BeatAudio, start: float, end: float) -> Times:
    """The steady beats that meet the most onsets between two moments; none if nothing starts."""
    moments: Times = np.asarray(np.arange(start, end, _STEADY_STEP_SECONDS), dtype=np.float64)
    strength = heard.strength(moments)
    best = 0.0
    found: Times = np.empty(0, dtype=np.float64)
    for bpm in np.geomspace(_SLOWEST_BPM, _FASTEST_BPM, 122):
        interval = 60 / float(bpm) / _STEADY_STEP_SECONDS
        usual = math.exp(-0.5 * math.log2(float(bpm) / _USUAL_BPM) ** 2)
        for phase in range(0, math.ceil(interval), 2):
            beats = np.asarray(np.arange(phase, strength.size, interval), dtype=np.float64)
            if beats.size >= 2:
                met = strength[beats.astype(np.int64)].sum()
                score = usual * float(met) / math.sqrt(beats.size)
                if score > best:
                    best, found = score, start + beats * _STEADY_STEP_SECONDS
    return found


# -------------------------------------------------------------------------- downbeats


def find_downbeat(
    audio: Audio, sampling_rate: int, beat_times: Times, meter: Meter | None = None
) -> int:
    """Which beat begins a bar, by ear.

    Bars begin where bass drum and bass set in and the harmony changes; what is heard at the beats
    is summed over every possible phase of the bar. The first beat that sounds has one vote more,
    which settles short regions.

    Args:
        audio: ``(n,)`` mono samples.
        sampling_rate: of the audio, in Hz.
        beat_times: ``(beats,)`` seconds, increasing, at least two.
        meter: 4/4 by default; see :func:`pulse_beats` for the beats that a bar has.

    Returns:
        The index into ``beat_times`` of the first beat that begins a bar.

    Raises:
        ValueError: if the audio is not mono, or there are fewer than two beats.
    """
    audio = _checked(audio, sampling_rate)
    beats = np.asarray(beat_times, dtype=np.float64)
    if beats.ndim != 1 or beats.size < 2:
        raise ValueError("a downbeat is found among two beats or more")
    if is_silent(audio, sampling_rate):
        return 0
    heard = BeatAudio(audio / np.abs(audio).max(), sampling_rate)
    return _downbeat(heard, beats, meter or Meter(), sounding_span(audio, sampling_rate)[0])


def _downbeat(heard: BeatAudio, beats: Times, meter: Meter, start_seconds: float) -> int:
    bar = meter.beats_per_bar / pulse_beats(meter, 60 / float(np.median(np.diff(beats))))
    votes = heard.downbeat_evidence(beats)
    first = int(np.argmin(np.abs(beats - start_seconds)))
    on_start = max(start_seconds, abs(beats[first])) < _NEAR_SECONDS
    votes[first] += _START_VOTES if on_start else 1.0
    scores = []
    for phase in range(min(math.ceil(bar), beats.size)):
        at = np.round(np.arange(phase, beats.size - 0.5, bar)).astype(np.int64)
        scores.append(votes[at[at < beats.size]].sum())
    return int(np.argmax(scores))


# ---------------------------------------------------------------------------- the edge


def _installed(tracker: str) -> str:
    """The tracker to use."""
    if tracker not in TRACKERS:
        raise InputError(f"{tracker!r} is no beat tracker; choose one of {', '.join(TRACKERS)}")
    has_essentia = importlib.util.find_spec("essentia") is not None
    if tracker == "auto":
        return "essentia" if has_essentia else "librosa"
    if tracker == "essentia" and not has_essentia:
        raise InputError(
            "the tracker essentia is not installed; run pip install 'sidekeys[essentia]', "
            "or choose --tracker librosa"
        )
    return tracker


def _checked(audio: Audio, sampling_rate: int) -> Audio:
    audio = np.ascontiguousarray(audio, dtype=np.float32)
    if audio.ndim != 1:
        raise ValueError(f"beats are tracked in mono audio (n,), not {audio.shape}")
    if sampling_rate <= 0:
        raise ValueError(f"{sampling_rate} Hz is no sampling rate")
    if not np.isfinite(audio).all():
        raise InputError("the audio holds samples that are no numbers; export it again")
    return audio


def _resampled(audio: Audio, rate: int, target: int) -> Audio:
    if rate == target:
        return audio
    import soxr  # noqa: PLC0415

    return np.asarray(soxr.resample(audio, rate, target, quality="HQ"), dtype=np.float32)
