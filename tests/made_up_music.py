"""Made-up music to train on: songs as the folders of POP909 have them, and windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi

from sidekeys_engine.config import Pop2PianoConfig
from sidekeys_engine.training.dataset import save_windows
from sidekeys_engine.training.rendering import Windows, architecture

BANDS, COMPOSERS = 32, 2
BEAT_SECONDS = 0.5
CHORDS = ("C:maj", "A:min", "F:maj", "G:maj")


def write_pop909(folder: Path, *names: str, beats: int = 24) -> Path:
    """Write songs at 120 beats a minute in bars of four: a melody, a piano, a chord a bar.

    Args:
        folder: made if needed.
        *names: of the songs, "001" to "909"; each is a semitone higher than the one before.
        beats: how many each has.

    Returns:
        The folder.
    """
    for number, name in enumerate(names):
        song = folder / name
        song.mkdir(parents=True)
        seconds = [round(0.2 + BEAT_SECONDS * beat, 3) for beat in range(beats)]
        marks = [f"{s} {float(b % 2 == 0)} {float(b % 4 == 0)}" for b, s in enumerate(seconds)]
        (song / "beat_midi.txt").write_text("\n".join(marks) + "\n")
        chords = [
            f"{seconds[bar * 4]}\t{seconds[bar * 4] + 4 * BEAT_SECONDS}\t{CHORDS[bar % 4]}"
            for bar in range(beats // 4)
        ]
        (song / "chord_midi.txt").write_text("\n".join(chords) + "\n")
        tracks = {
            "MELODY": [(b, 0.9, 72 + (0, 4, 7, 5, 2)[b % 5], 90 + b % 7) for b in range(beats - 1)],
            "BRIDGE": [],
            # Held over a bar line every other bar.
            "PIANO": [
                note
                for b in range(0, beats - 4, 2)
                for note in ((b, 3.0 if b % 8 == 2 else 2.0, 48 + b % 5, 60), (b + 0.5, 1, 55, 66))
            ],
        }
        midi = pretty_midi.PrettyMIDI(resolution=960)
        for track_name, notes in tracks.items():
            track = pretty_midi.Instrument(0, name=track_name)
            for beat, length, pitch, velocity in notes:
                start = seconds[0] + BEAT_SECONDS * beat
                end = start + BEAT_SECONDS * length
                track.notes.append(pretty_midi.Note(velocity, pitch + number, start, end))
            midi.instruments.append(track)
        midi.write(str(song / f"{name}.mid"))
    return folder


def make_windows(seed: int, count: int = 12) -> Windows:
    """Windows whose tokens repeat their composer's number, so that there is something to learn."""
    rng = np.random.default_rng(seed)
    frames = rng.choice([5, 6], count)
    lengths = rng.integers(2, 6, (count, COMPOSERS))
    tokens = [
        np.append(np.full(n - 1, 20 + composer), 1)
        for row in lengths.tolist()
        for composer, n in enumerate(row)
    ]
    return Windows(
        features=rng.normal(-4, 2, (int(frames.sum()), BANDS)).astype(np.float16),
        frame_steps=np.concatenate([np.arange(n) for n in frames]).astype(np.int8),
        frame_ends=frames.cumsum(),
        tokens=np.concatenate(tokens).astype(np.int16),
        token_ends=lengths.ravel().cumsum().reshape(lengths.shape),
    )


def write_windows(folder: Path, renders: int = 2) -> Path:
    """Write renders of made-up windows, "000-0" and on, into a new folder; return it."""
    folder.mkdir(parents=True)
    for seed in range(renders):
        save_windows(make_windows(seed), folder, f"{seed:03d}-0")
    return folder


def tiny_config(**overrides: Any) -> Pop2PianoConfig:
    """A network for made-up windows that takes no time."""
    settings = {
        "d_model": BANDS,
        "d_kv": 8,
        "d_ff": 48,
        "num_layers": 1,
        "num_decoder_layers": 1,
        "num_heads": 2,
        "composer_vocab_size": COMPOSERS,
    }
    return architecture(**{**settings, **overrides})
