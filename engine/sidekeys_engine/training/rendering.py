"""One song into training windows: the log-mel frames of a drawn mix, every composer's tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sidekeys_engine.config import Pop2PianoConfig
from sidekeys_engine.log_mel import LogMel
from sidekeys_engine.note_tokens import NoteTokens, StepNote, default_vocabulary
from sidekeys_engine.training.arranging import (
    COMPOSERS,
    STEPS_PER_BEAT,
    Arrangement,
    StepNotes,
    arrange,
)
from sidekeys_engine.training.band import perform
from sidekeys_engine.training.instruments import Orchestra
from sidekeys_engine.training.pop909 import Song, read_song
from sidekeys_engine.vocabulary import END_ID, FIRST_NOTE_ID, PITCHES

WINDOW_BEATS = 4
CONTEXT_BEATS = 1
VELOCITY_LEVELS = 12
VOCABULARY_SIZE = FIRST_NOTE_ID + PITCHES + 1 + VELOCITY_LEVELS + WINDOW_BEATS * STEPS_PER_BEAT
"""A time token moves by a window less a step at most: no moment lies at a window's end."""

# Songs are changed no further than pop goes; half the slow ones are counted twice as fast.
_SLOWEST_BPM, _FASTEST_BPM = 66.0, 168.0
_SLOW_BPM = 86.0
_SLOWEST_FACTOR, _FASTEST_FACTOR = 0.78, 1.35
_LOWEST_SEMITONES, _HIGHEST_SEMITONES = -5, 6
_HALF_BAR_BEATS = 2


@dataclass(frozen=True)
class Windows:
    """The windows of one mix of one song.

    Attributes:
        features: (frames, mels) float16, the log-mel frames of all windows, one after another.
        frame_steps: (frames,) int8, each frame's step, counted from its context's first.
        frame_ends: (windows,) where each window's frames end.
        tokens: (tokens,) int16, of all windows and composers, one after another.
        token_ends: (windows, composers) where each one's tokens end.
    """

    features: npt.NDArray[np.float16]
    frame_steps: npt.NDArray[np.int8]
    frame_ends: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int16]
    token_ends: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.frame_ends)


def architecture(**overrides: Any) -> Pop2PianoConfig:
    """The network that these windows are for: small, told where the beat is."""
    settings: dict[str, Any] = {
        "vocab_size": VOCABULARY_SIZE,
        "composer_vocab_size": len(COMPOSERS),
        "d_model": 256,
        "d_kv": 32,
        "d_ff": 512,
        "num_layers": 4,
        "num_decoder_layers": 4,
        "num_heads": 8,
        # Every distance between frames has a bucket of its own.
        "relative_attention_num_buckets": 192,
        "relative_attention_max_distance": 128,
        "dense_act_fn": "gelu_new",
        "dropout_rate": 0.0,
        "scale_decoder_outputs": True,
        "beat_positions": True,
        "steps_per_window": WINDOW_BEATS * STEPS_PER_BEAT,
        "steps_per_beat": STEPS_PER_BEAT,
        "context_steps": CONTEXT_BEATS * STEPS_PER_BEAT,
        "velocity_levels": VELOCITY_LEVELS,
        "held_notes": True,
        "chord_order": "descending",
    }
    return Pop2PianoConfig(**{**settings, **overrides})


def log_mel_for(config: Pop2PianoConfig) -> LogMel:
    """The spectra that a network of this width hears."""
    return LogMel(
        sampling_rate=22050,
        window_size=4096,
        hop_length=1024,
        min_frequency=10.0,
        bands=config.d_model,
    )


def note_tokens() -> NoteTokens:
    """The vocabulary of these windows."""
    return NoteTokens(default_vocabulary(VOCABULARY_SIZE, VELOCITY_LEVELS), END_ID)


def drawn_song(folder: Path, name: str, rng: np.random.Generator) -> Song:
    """A song of POP909 in a drawn key, at a drawn tempo; of slow ones half in half-beats."""
    song = read_song(folder, name)
    if song.bpm < _SLOW_BPM and rng.random() < 0.5:
        song = song.doubled()
    low = max(_SLOWEST_FACTOR, _SLOWEST_BPM / song.bpm)
    high = min(_FASTEST_FACTOR, _FASTEST_BPM / song.bpm)
    if low < high:
        song = song.faster(float(rng.uniform(low, high)))
    return song.transposed(int(rng.integers(_LOWEST_SEMITONES, _HIGHEST_SEMITONES + 1)))


def window_starts(song: Song) -> npt.NDArray[np.int64]:
    """First beats of windows: those of the bars, as in a cover, and of their second halves.

    What the rules of an arrangement do every half bar is then at a window's first and third beat,
    whatever the bar: a model need not guess it.
    """
    beats = np.arange(len(song.beat_seconds) - WINDOW_BEATS)
    downbeats = np.flatnonzero(song.downbeats)
    halves = downbeats[:-1][np.diff(downbeats) == 2 * _HALF_BAR_BEATS] + _HALF_BAR_BEATS
    return np.intersect1d(np.union1d(downbeats, halves), beats)


def render_song(
    folder: Path, name: str, seed: int, orchestra: Orchestra, log_mel: LogMel
) -> Windows:
    """Draw a mix of a song and cut it into windows; the same seed gives the same windows.

    Args:
        folder: POP909's.
        name: the song's, "001" to "909".
        seed: which take.
        orchestra: its instruments.
        log_mel: its spectra.
    """
    rng = np.random.default_rng([seed, int(name)])
    song = drawn_song(folder, name, rng)
    audio = perform(song, orchestra, rng)
    return cut(song, arrange(song), audio, window_starts(song), log_mel)


def cut(
    song: Song,
    arrangement: Arrangement,
    audio: npt.NDArray[np.float32],
    starts: npt.NDArray[np.int64],
    log_mel: LogMel,
) -> Windows:
    """Windows of a song, its mix and its arrangements, at given first beats.

    Args:
        song: its beats.
        arrangement: what every composer plays, in steps of the song.
        audio: (samples,) its mix.
        starts: (windows,) first beats.
        log_mel: its spectra.
    """
    heard = log_mel.windows(audio, window_seconds(song, starts))
    own = heard.attention_mask.bool().numpy()
    vocabulary = note_tokens()
    by_composer = [np.asarray(arrangement.notes[name]) for name in COMPOSERS]
    rows: list[list[int]] = []
    for start in starts.tolist():
        rows += [
            vocabulary.encode_window(notes_in_window(notes, start), descending=True)
            for notes in by_composer
        ]
    return Windows(
        features=heard.input_features.numpy()[own].astype(np.float16),
        frame_steps=heard.frame_steps.numpy()[own].astype(np.int8),
        frame_ends=own.sum(1).cumsum(),
        tokens=np.array([token for row in rows for token in row], dtype=np.int16),
        token_ends=np.cumsum([len(row) for row in rows], dtype=np.int64).reshape(
            len(starts), len(by_composer)
        ),
    )


def window_seconds(song: Song, starts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Moments of the steps of windows and their context, (windows, steps + 1)."""
    steps = np.arange(-CONTEXT_BEATS * STEPS_PER_BEAT, WINDOW_BEATS * STEPS_PER_BEAT + 1)
    return song.seconds_at(starts[:, None] + steps / STEPS_PER_BEAT)


def notes_in_window(notes: StepNotes, first_beat: int) -> list[StepNote]:
    """The part of a song's notes that one window holds, in its steps, by onset and pitch.

    Args:
        notes: (notes, 4) onset step, end step, pitch, velocity.
        first_beat: of the window.
    """
    start = first_beat * STEPS_PER_BEAT
    steps = WINDOW_BEATS * STEPS_PER_BEAT
    inside = notes[(notes[:, 0] < start + steps) & (notes[:, 1] > start)]
    return sorted(
        (
            StepNote(
                onset_step=max(0, onset - start),
                end_step=min(steps, end - start),
                pitch=pitch,
                velocity=velocity,
                is_held_before=onset < start,
                is_held_after=end > start + steps,
            )
            for onset, end, pitch, velocity in inside.tolist()
        ),
        key=lambda note: (note.onset_step, note.pitch),
    )
