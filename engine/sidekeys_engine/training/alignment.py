"""Whether a piano part belongs to a song and lies on it: how late its notes are, by ear.

What starts in the sound is compared with what starts in the notes, and the harmony of the one with
that of the other, at every lag of two seconds to either side. Rhythm alone would find the lag of a
piece that only shares the song's tempo; harmony tells whether it is the same piece.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidekeys_engine.onsets import BeatAudio

Curve = npt.NDArray[np.float64]
TimedNotes = npt.NDArray[np.float64]  # (n, 4): onset_seconds, end_seconds, pitch, velocity

MOST_LATE_SECONDS = 2.0
"""Lags are sought this far to either side."""

_RATE = 50  # frames a second of all curves
_STRONGEST_ONSET = 4.0  # standard deviations; a crash cymbal should not outweigh a bar
_SPECTRUM = 4096  # samples of a frame of harmony
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 2000.0
_HELD_SECONDS = 1.5  # a piano note is heard no longer below others
_LOCAL_SECONDS = 16.0  # harmony is what differs from the mean of so much around
_FULL_VELOCITY = 127
_ONSET_BLUR = np.array([1, 4, 6, 4, 1]) / 16  # as exactly as anybody plays
# Harmony is heard over a beat or two: off-beats must not look like a delay.
_HARMONY_BLUR = np.hanning(62) / np.hanning(62).sum()
_SHUFFLES = 16
_PIECE_SECONDS = 2.0
_CHUNK_FRAMES = 256
# Measured on synthesized pop songs of 64 to 104 bpm, whole and cut to 20 s. Their own piano parts:
# a correlation of harmony of 0.15 to 0.47. Parts of other songs, set on the song's own beats in
# whichever key fits best: 0.03 to 0.12, and 2.2 deviations above shuffled pieces of 20 s.
_LEAST_HARMONY = 0.1
_LEAST_DEVIATIONS = 2.0
_THIRD_SECONDS = 15.0  # shorter thirds tell no lag of their own
# Of the same songs with eight piano parts each: aligned ones fit within 0.06 s of no lag at least
# 0.96 times as well as anywhere, chords on off-beats alone 0.88 times; those a beat off 0.76 times,
# such chords 0.87 times; of those half a beat off every other one is told.
_ONSETS_WEIGHT, _HARMONY_WEIGHT = 1.0, 4.0
_AS_GOOD = 0.85
_NEAR_FRAMES = 3
_LOUDNESS = 5.0  # so that a chord weighs more than a note, but not as much as its notes


@dataclass(frozen=True, slots=True)
class Alignment:
    """How notes lie on a song.

    Attributes:
        late_seconds: how late the notes are; below zero they are early.
        late_at_start: how late they are over the song's first third.
        late_at_end: how late they are over its last third.
        harmony: correlation of the harmony of both at that lag.
        chance: what the harmony of another piece may well reach.
    """

    late_seconds: float
    late_at_start: float
    late_at_end: float
    harmony: float
    chance: float

    @property
    def belongs(self) -> bool:
        """Whether the notes are of this song at all."""
        return self.harmony >= self.chance


def align(
    notes: TimedNotes,
    audio: npt.NDArray[np.float32],
    sampling_rate: int,
    rng: np.random.Generator,
) -> Alignment:
    """Find how late notes are.

    Args:
        notes: (n, 4) onset and end in seconds, pitch, velocity; at least one before the end.
        audio: (samples,) mono, not silent, of several seconds.
        sampling_rate: of the audio, in Hz.
        rng: shuffles the song, to learn what chance reaches.
    """
    heard = _heard(audio, sampling_rate)
    written = _written(notes, len(heard[0]))
    by_lag = _by_lag(heard, written)
    best = _best(by_lag, near=_reach())
    thirds = [best, best]
    length = len(heard[0]) // 3
    if length >= _THIRD_SECONDS * _RATE:
        for at, start in enumerate((0, len(heard[0]) - length)):
            part = slice(start, start + length)
            thirds[at] = _best(_by_lag(_cut(heard, part), _cut(written, part)), near=best)
    return Alignment(
        _late_seconds(best),
        _late_seconds(thirds[0]),
        _late_seconds(thirds[1]),
        float(by_lag[1, best]),
        max(_LEAST_HARMONY, _by_chance(heard[1], written[1], rng)),
    )


def _best(by_lag: Curve, near: int) -> int:
    """The lag that fits best; music repeats, so one near another that fits nearly as well is it."""
    fits = _ONSETS_WEIGHT * by_lag[0] + _HARMONY_WEIGHT * by_lag[1]
    first = max(0, near - _NEAR_FRAMES)
    around = fits[first : near + _NEAR_FRAMES + 1]
    if around.max() >= _AS_GOOD * fits.max():
        return first + int(np.argmax(around))
    return int(np.argmax(fits))


def _by_chance(heard: Curve, written: Curve, rng: np.random.Generator) -> float:
    """The correlation that the same sounds in another order do not reach."""
    reached = []
    for _ in range(_SHUFFLES):
        count = max(3, round(len(heard) / (_PIECE_SECONDS * _RATE)))
        cuts = np.sort(rng.choice(np.arange(1, len(heard)), count, replace=False))
        pieces = np.split(heard, cuts)
        shuffled = np.concatenate([pieces[i] for i in rng.permutation(len(pieces))])
        reached.append(_correlation(shuffled, written).max())
    return float(np.mean(reached) + _LEAST_DEVIATIONS * np.std(reached))


def _by_lag(heard: tuple[Curve, Curve], written: tuple[Curve, Curve]) -> Curve:
    """Correlations of onsets and of harmony, (2, lags), from the earliest notes to the latest."""
    return np.stack([_correlation(a, b) for a, b in zip(heard, written, strict=True)])


def _correlation(heard: Curve, written: Curve) -> Curve:
    """Pearson's correlation of two curves (frames, columns) at every lag, (lags,)."""
    heard, written = heard - heard.mean(0), written - written.mean(0)
    frames, reach = len(heard), _reach()
    spectra = [np.fft.rfft(curve, 2 * frames, axis=0) for curve in (written, heard)]
    shifted = np.fft.irfft(spectra[0] * np.conj(spectra[1]), axis=0).sum(1)
    norm = np.sqrt(np.square(heard).sum() * np.square(written).sum()) + 1e-9
    return np.asarray(np.roll(shifted, reach)[: 2 * reach + 1] / norm, dtype=np.float64)


def _late_seconds(lag: int) -> float:
    return (lag - _reach()) / _RATE


def _reach() -> int:
    return round(MOST_LATE_SECONDS * _RATE)


def _cut(curves: tuple[Curve, Curve], part: slice) -> tuple[Curve, Curve]:
    return curves[0][part], curves[1][part]


def _heard(audio: npt.NDArray[np.float32], rate: int) -> tuple[Curve, Curve]:
    """Onsets (frames, 1) and harmony (frames, 12) of a song."""
    audio = audio / max(float(np.abs(audio).max()), 1e-9)
    frames = max(2, int(len(audio) / rate * _RATE))
    moments = np.arange(frames) / _RATE
    onsets = np.clip(BeatAudio(audio, rate).strength(moments), 0, _STRONGEST_ONSET)
    hertz = np.arange(1, _SPECTRUM // 2 + 1) * rate / _SPECTRUM
    classes = np.round(12 * np.log2(hertz / 440) + 9).astype(np.int64) % 12  # C is 0
    is_heard = (hertz > _LOWEST_HZ) & (hertz < _HIGHEST_HZ)
    fold = ((classes[:, None] == np.arange(12)) & is_heard[:, None]).astype(np.float32)
    window = np.hanning(_SPECTRUM).astype(np.float32)
    padded = np.pad(audio, (_SPECTRUM // 2, _SPECTRUM))
    starts = np.round(moments * rate).astype(np.int64)
    framed = np.lib.stride_tricks.sliding_window_view(padded, _SPECTRUM)
    chroma = [
        np.log1p(np.abs(np.fft.rfft(framed[starts[at : at + _CHUNK_FRAMES]] * window))[:, 1:])
        @ fold
        for at in range(0, frames, _CHUNK_FRAMES)
    ]
    return onsets[:, None], _without_key(np.concatenate(chroma).astype(np.float64))


def _written(notes: TimedNotes, frames: int) -> tuple[Curve, Curve]:
    """Onsets (frames, 1) and harmony (frames, 12) of notes."""
    chroma = np.zeros((frames, 12))
    ends = np.minimum(notes[:, 1], notes[:, 0] + _HELD_SECONDS)
    spans = np.round(np.column_stack([notes[:, 0], ends]) * _RATE).astype(np.int64)
    for (start, end), pitch in zip(spans.tolist(), notes[:, 2].tolist(), strict=True):
        if 0 <= start < frames:
            chroma[start : max(end, start + 5), int(pitch) % 12] += 1
    # An onset between two frames is shared by them.
    whole = np.floor(notes[:, 0] * _RATE).astype(np.int64)
    share = notes[:, 0] * _RATE - whole
    onsets = np.zeros(frames)
    for index, weight in ((whole, 1 - share), (whole + 1, share)):
        inside = (index >= 0) & (index < frames)
        np.add.at(onsets, index[inside], (weight * notes[:, 3])[inside] / _FULL_VELOCITY)
    return np.log1p(_LOUDNESS * _blurred(onsets[:, None], _ONSET_BLUR)), _without_key(
        np.log1p(chroma)
    )


def _blurred(curve: Curve, kernel: npt.NDArray[np.float64]) -> Curve:
    """A curve (frames, columns), smoothed."""
    columns = [np.convolve(column, kernel, mode="same") for column in curve.T]
    return np.stack(columns, axis=1)


def _without_key(chroma: Curve) -> Curve:
    """Harmony smoothed, less its mean around: a key is no evidence, its chords are."""
    chroma = _blurred(chroma, _HARMONY_BLUR)
    half = round(_LOCAL_SECONDS * _RATE / 2)
    total = np.concatenate([np.zeros((1, 12)), np.cumsum(chroma, axis=0)])
    index = np.arange(len(chroma))
    first, last = np.maximum(index - half, 0), np.minimum(index + half, len(chroma))
    return np.asarray(chroma - (total[last] - total[first]) / (last - first)[:, None])
