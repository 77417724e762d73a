"""Audio -> BeatGrid: where the beats and the downbeats of a song are.

Two trackers: essentia (``RhythmExtractor2013``, an optional extra under the AGPL) and librosa
(``beat_track``, everywhere). Both are coarse (11.6 and 23.2 ms), late by tens of milliseconds, and
miss the first beat of a region that starts on it. So what they find is carried back to the start
and on to the end, gaps are filled, and every beat is set on the onsets around it.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from sidekeys_engine.beat_grid import BeatGrid, pulse_beats
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter

Audio = NDArray[np.float32]
Times = NDArray[np.float64]

TRACKERS = ("auto", "essentia", "librosa")

SILENCE_DBFS = -60.0
"""Audio whose loudest 50 ms stay below this level (RMS, full scale = 1.0) is silent."""

MIN_TRACKED_SECONDS = 0.5
"""Audio shorter than this holds no beat to be heard."""

_ESSENTIA_RATE = 44_100  # RhythmExtractor2013 is right at this rate only
_RATE = 22_050
_BLOCK_SECONDS = 0.05

# Measured on clicks and on synthesized songs of 55 to 170 bpm: librosa reports a beat 16 to 45 ms
# after its onset, essentia 30 ms before to 30 ms after.
_LATENCY_SECONDS = {"essentia": 0.01, "librosa": 0.035}

_FRAME = 512  # 23 ms
_HOP = 64  # 2.9 ms
_LAG = 3
_CHUNK_FRAMES = 4096
_ONSET_LATENCY_SECONDS = -0.006  # the onset curve peaks this much after a click (before: minus)
_SHIFT_SECONDS = 0.06  # trackers are never further off than this
_LOCAL_SHIFT_SECONDS = 0.02
_SHIFT_BEATS = 8  # beats to either side that share a shift

_SLOWEST_BPM, _FASTEST_BPM, _USUAL_BPM = 60.0, 200.0, 115.0


class SilenceError(InputError):
    """There is nothing to hear."""


# --------------------------------------------------------------------------------- the way


def track_beats(
    audio: Audio, sampling_rate: int, *, tracker: str = "auto", meter: Meter | None = None
) -> BeatGrid:
    """Find beats, tempo and downbeat.

    The grid's position 0.0 is the first downbeat; beats reach from the start of the audio to its
    end. A first beat that sounds at the very start is found. See
    :meth:`BeatGrid.from_beat_times` for the length of a tracked beat in compound meters.

    Args:
        audio: ``(n,)`` mono samples.
        sampling_rate: of the audio, in Hz; any.
        tracker: ``"essentia"``, ``"librosa"`` or ``"auto"`` (essentia where it is installed).
        meter: the meter throughout, 4/4 by default. Meters are not detected.

    Raises:
        SilenceError: if the audio is silent (:func:`is_silent`).
        InputError: if it is too short (``MIN_TRACKED_SECONDS``), no beat is heard, or the tracker
            is unknown or not installed.
        ValueError: if the audio is not mono or not finite.
    """
    audio = _checked(audio, sampling_rate)
    name = _installed(tracker)
    meter = meter or Meter()
    seconds = audio.size / sampling_rate
    if is_silent(audio, sampling_rate):
        raise SilenceError(
            f"the audio is silent (nothing above {SILENCE_DBFS:g} dBFS); "
            "choose another stretch or turn the track up"
        )
    if seconds < MIN_TRACKED_SECONDS:
        raise InputError(
            f"{seconds:.2f} s of audio are too short to hear the beat; give the tempo with --bpm"
        )
    onsets = OnsetCurve.of(audio, sampling_rate)
    start, end = _sounding_span(audio, sampling_rate)
    beats = raw_beat_times(audio, sampling_rate, name) - _LATENCY_SECONDS[name]
    beats = beats[(beats > start - _SHIFT_SECONDS) & (beats < end + _SHIFT_SECONDS)]
    if beats.size < 4 and seconds < 4.0:
        beats = _steady_beats(onsets, start, min(end, seconds))
    if beats.size < 2:
        raise InputError("no beat is heard in the audio; give the tempo with --bpm")
    beats = _extended(_without_gaps(beats), seconds)
    beats = onsets.aligned(beats)
    beats = beats[(beats > -_SHIFT_SECONDS) & (beats < seconds)]
    downbeat = find_downbeat(audio, sampling_rate, beats, meter)
    return BeatGrid.from_beat_times(beats, meter=meter, first_downbeat=downbeat)
