"""A sampled grand piano: a score in, mono audio out.

The samples are those of the General MIDI soundfont that the package ``pretty_midi`` carries. Units
of its fields (timecents, centibels, absolute cents) are those of the SoundFont 2.04 specification,
chapters 8 and 9; only what a piano needs of it is here.
"""

from __future__ import annotations

import functools
import importlib.util
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sidekeys_engine.notes import Score
from sidekeys_engine.tempo_map import seconds_at_beats

Samples = npt.NDArray[np.float32]

_SOUNDFONT = "TimGM6mb.sf2"
_GAIN = 1.25  # a key at full velocity peaks at 0.2: five such keys stay below full scale
_SILENCE_DECIBELS = -72.0  # where a ringing string is let go
_RELEASE_SECONDS = 0.6
_DAMPER_DECIBELS_PER_SECOND = 96.0  # 100 dB in the release time of these samples, 1.04 s
_RAMP_SECONDS = 0.0015  # the strike: no click, and well below what an ear calls late

# Generators of the specification, section 8.1.2.
_FILTER_CENTS = 8
_MODULATION_TO_FILTER_CENTS = 11
_MODULATION_DECAY = 28
_HOLD, _DECAY = 35, 36
_INSTRUMENT, _KEYS, _ATTENUATION, _FINE_TUNE, _SAMPLE, _ROOT = 41, 43, 48, 52, 53, 58

_PRESET_HEADER = np.dtype(
    [("name", "S20"), ("preset", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("rest", "V12")]
)
_INSTRUMENT_HEADER = np.dtype([("name", "S20"), ("bag", "<u2")])
_BAG = np.dtype([("generator", "<u2"), ("modulator", "<u2")])
_GENERATOR = np.dtype([("kind", "<u2"), ("amount", "<i2")])
_SAMPLE_HEADER = np.dtype(
    {
        "names": ["start", "end", "loop_start", "loop_end", "rate", "root", "correction"],
        "formats": ["<u4", "<u4", "<u4", "<u4", "<u4", "u1", "i1"],
        "offsets": [20, 24, 28, 32, 36, 40, 41],
        "itemsize": 46,
    }
)


def render_piano(score: Score, *, sampling_rate: int = 44100) -> Samples:
    """Play a score on the piano.

    A note sounds until its key and the pedal are up, or its string is struck again. Audio goes on
    after the last note until the strings are silent.

    Args:
        score: what to play; beat 0 is the first sample, and ``score.tempos`` gives the pace.
        sampling_rate: samples a second, at least 8000.

    Returns:
        Samples (n,), mono, not limited to -1..1 when very many keys sound; empty for an empty
        score.

    Raises:
        ValueError: the sampling rate.
    """
    if sampling_rate < 8000:
        raise ValueError(f"a sampling rate is 8000 or more, not {sampling_rate}")
    strikes = list(_strikes(score))
    if not strikes:
        return np.zeros(0, dtype=np.float32)
    length = max(strike.end_seconds for strike in strikes) + _RELEASE_SECONDS
    audio = np.zeros(round(length * sampling_rate) + 1, dtype=np.float32)
    by_pitch: dict[int, list[_Strike]] = defaultdict(list)
    for strike in strikes:
        by_pitch[strike.pitch].append(strike)
    for pitch, same_key in sorted(by_pitch.items()):
        # One key at a time: the tone is made once, as long as its longest note needs it.
        longest = max(strike.end_seconds - strike.onset_seconds for strike in same_key)
        tone = _tone(pitch, longest + _RELEASE_SECONDS, sampling_rate)
        for strike in same_key:
            _add(audio, tone, strike, sampling_rate)
    return audio


@dataclass(frozen=True, slots=True)
class _Strike:
    """A key that is struck, and the moment at which the damper falls on its string."""

    pitch: int
    onset_seconds: float
    end_seconds: float
    velocity: int


def _strikes(score: Score) -> Iterator[_Strike]:
    """Notes in seconds, with the pedal's hold, each cut where its string is struck again."""
    downs = np.array([pedal.onset_beats for pedal in score.pedals])
    ups = downs + np.array([pedal.duration_beats for pedal in score.pedals])
    by_pitch: dict[int, list[tuple[float, float, int]]] = defaultdict(list)
    for note in score.notes:
        if note.end_beats > 0:
            held = (downs < note.end_beats) & (note.end_beats < ups)
            end = np.max(ups, initial=note.end_beats, where=held)
            by_pitch[note.pitch].append((max(note.onset_beats, 0.0), float(end), note.velocity))
    for pitch, strings in sorted(by_pitch.items()):
        strings.sort()
        times = seconds_at_beats(score.tempos, [string[:2] for string in strings])  # (strikes, 2)
        next_onsets = np.append(times[1:, 0], np.inf)
        for (onset, end), again, string in zip(times, next_onsets, strings, strict=True):
            yield _Strike(pitch, float(onset), float(min(end, again)), string[2])


def _add(audio: Samples, tone: Samples, strike: _Strike, sampling_rate: int) -> None:
    """Mix one struck key into ``audio``: its tone, its loudness, its damper."""
    start = round(strike.onset_seconds * sampling_rate)
    held = round((strike.end_seconds - strike.onset_seconds) * sampling_rate)
    release = round(_RELEASE_SECONDS * sampling_rate)
    frames = min(held + release, len(tone), len(audio) - start)
    if frames <= 0:
        return
    # Loudness grows with the square of the velocity (specification, section 8.4.1).
    sound = tone[:frames] * np.float32(_GAIN * (strike.velocity / 127) ** 2)
    if held < frames:
        seconds = np.arange(frames - held, dtype=np.float32) / sampling_rate
        sound[held:] *= 10 ** (-_DAMPER_DECIBELS_PER_SECOND / 20 * seconds)
    audio[start : start + frames] += sound


def _tone(pitch: int, seconds: float, sampling_rate: int) -> Samples:
    """The sound of a key that is held, at full velocity, for ``seconds`` or until it dies away."""
    import scipy.signal  # noqa: PLC0415

    zone = _zone_of(pitch)
    audible = zone.hold_seconds - _SILENCE_DECIBELS / zone.decay_decibels_per_second
    time = np.arange(round(min(seconds, audible) * sampling_rate)) / sampling_rate  # (frames,)
    step = zone.rate * 2 ** ((pitch - zone.root) / 12)
    position = time * step  # in samples of the recording
    length = zone.loop_end - zone.loop_start
    late = position >= zone.loop_end
    position[late] = zone.loop_start + (position[late] - zone.loop_start) % length
    sound = np.interp(position, np.arange(len(zone.samples)), zone.samples)
    decibels = -np.maximum(time - zone.hold_seconds, 0) * zone.decay_decibels_per_second
    sound *= zone.gain * 10 ** (decibels / 20) * np.minimum(time / _RAMP_SECONDS, 1)
    # A string loses its upper partials first: from a bright filter over to a dull one.
    dullness = np.minimum(time / zone.dulling_seconds, 1)
    filtered = [
        scipy.signal.sosfilt(
            scipy.signal.butter(
                2, min(hertz, 0.45 * sampling_rate), fs=sampling_rate, output="sos"
            ),
            sound,
        )
        for hertz in (zone.bright_hertz, zone.dull_hertz)
    ]
    mixed = (1 - dullness) * filtered[0] + dullness * filtered[1]
    return np.asarray(mixed, dtype=np.float32)


@dataclass(frozen=True)
class _Zone:
    """A recorded string, and the keys that it stands for."""

    lowest: int
    highest: int
    samples: Samples  # (frames,), -1..1; its loop goes on for ever
    loop_start: int
    loop_end: int
    rate: int
    root: float  # the pitch at which it was recorded, in semitones
    gain: float
    hold_seconds: float
    decay_decibels_per_second: float
    bright_hertz: float
    dull_hertz: float
    dulling_seconds: float


def _zone_of(pitch: int) -> _Zone:
    """The recording for a key; beyond the 88 keys, that of the nearest."""
    return min(
        _read_zones(),
        key=lambda zone: max(zone.lowest - pitch, pitch - zone.highest, 0),
    )


@functools.cache
def _read_zones() -> tuple[_Zone, ...]:
    """The zones of preset 0, bank 0: the grand piano."""
    chunks = dict(_chunks(_soundfont_path().read_bytes()))
    presets = np.frombuffer(chunks[b"phdr"], _PRESET_HEADER)
    instruments = np.frombuffer(chunks[b"inst"], _INSTRUMENT_HEADER)
    headers = np.frombuffer(chunks[b"shdr"], _SAMPLE_HEADER)
    recording = np.frombuffer(chunks[b"smpl"], "<i2")
    first = next(i for i, p in enumerate(presets) if (p["preset"], p["bank"]) == (0, 0))
    zones: list[_Zone] = []
    for layer in _generators(chunks, b"p", presets[first]["bag"], presets[first + 1]["bag"]):
        if _INSTRUMENT not in layer:
            continue
        bags = instruments[layer[_INSTRUMENT] : layer[_INSTRUMENT] + 2]["bag"]
        shared: dict[int, int] = {}
        for generators in _generators(chunks, b"i", bags[0], bags[1]):
            if _SAMPLE in generators:
                own = shared | generators
                zones.append(_zone(own, headers[own[_SAMPLE]], recording))
            else:
                shared = generators  # the global zone: defaults of those that follow
    return tuple(zones)


def _zone(generators: dict[int, int], header: np.void, recording: npt.NDArray[np.int16]) -> _Zone:
    start, end = int(header["start"]), int(header["end"])
    keys = generators.get(_KEYS, 127 << 8)
    root = generators.get(_ROOT, int(header["root"]))
    fine = generators.get(_FINE_TUNE, 0) + int(header["correction"])
    dull = generators.get(_FILTER_CENTS, 13500)
    return _Zone(
        lowest=keys & 0xFF,
        highest=keys >> 8,
        samples=recording[start:end].astype(np.float32) / np.float32(32768),
        loop_start=int(header["loop_start"]) - start,
        loop_end=int(header["loop_end"]) - start,
        rate=int(header["rate"]),
        root=root - fine / 100,
        gain=10 ** (-generators.get(_ATTENUATION, 0) / 200),
        hold_seconds=_seconds(generators.get(_HOLD, -12000)),
        decay_decibels_per_second=100 / _seconds(generators.get(_DECAY, -12000)),
        bright_hertz=_hertz(dull + generators.get(_MODULATION_TO_FILTER_CENTS, 0)),
        dull_hertz=_hertz(dull),
        dulling_seconds=_seconds(generators.get(_MODULATION_DECAY, -12000)),
    )


def _seconds(timecents: int) -> float:
    return float(2 ** (timecents / 1200))


def _hertz(absolute_cents: int) -> float:
    return float(8.176 * 2 ** (absolute_cents / 1200))


def _generators(
    chunks: dict[bytes, bytes], level: bytes, first: int, end: int
) -> Iterator[dict[int, int]]:
    """Generator amounts of the bags from ``first`` up to ``end``, of presets or instruments."""
    bags = np.frombuffer(chunks[level + b"bag"], _BAG)["generator"]
    generators = np.frombuffer(chunks[level + b"gen"], _GENERATOR)
    for bag in range(int(first), int(end)):
        rows = generators[bags[bag] : bags[bag + 1]]
        yield {int(row["kind"]): int(row["amount"]) for row in rows}


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The leaves of a RIFF tree, by name."""
    offset = 0
    while offset + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, offset)
        body = data[offset + 8 : offset + 8 + size]
        if name in (b"RIFF", b"LIST"):
            yield from _chunks(body[4:])
        else:
            yield name, body
        offset += 8 + size + size % 2


def _soundfont_path() -> Path:
    spec = importlib.util.find_spec("pretty_midi")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pretty_midi is missing: pip install pretty_midi")
    return Path(spec.origin).with_name(_SOUNDFONT)
