"""Made-up songs and piano covers, as a user's folder holds them, and a checkpoint to teach."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import torch

from sidekeys_engine.config import GenerationConfig
from sidekeys_engine.model import Pop2PianoForConditionalGeneration
from sidekeys_engine.notes import Note, Pedal, Score, TempoChange, write_midi
from sidekeys_engine.piano_sound import render_piano
from sidekeys_engine.training.checkpoints import save_checkpoint
from sidekeys_engine.training.rendering import architecture

RATE = 22_050
BPM = 120.0
BARS = 14
FIRST_BEAT_SECONDS = 0.5
COMPOSERS = ("plain", "fancy")
_TRIADS = ((0, 4, 7), (0, 3, 7))


def write_pair(
    folder: Path,
    name: str,
    *,
    seed: int = 0,
    bars: int = BARS,
    late_seconds: float = 0.0,
    stretch: float = 1.0,
    beats: bool = True,
    pedal: bool = False,
) -> tuple[Path, Path]:
    """Write a song, chords with a hi-hat on each beat, and a cover of it in broken chords.

    Args:
        folder: made if needed.
        name: of both files.
        seed: decides the chords.
        bars: of four beats at `BPM`.
        late_seconds: how late the cover is.
        stretch: how much slower the cover is than the song.
        beats: whether the song's beats lie beside it.
        pedal: whether the cover's pedal is down over each bar but its last beat.

    Returns:
        The sound and the MIDI file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    chords = [
        np.array(_TRIADS[rng.integers(2)]) + rng.integers(48, 60) for _ in range(2 * bars)
    ]  # one every half bar
    sound, midi = folder / f"{name}.wav", folder / f"{name}.mid"
    soundfile.write(sound, song(chords, rng), RATE)
    write_midi(cover(chords, late_seconds, stretch, pedal=pedal), midi)
    if beats:
        moments = FIRST_BEAT_SECONDS + np.arange(4 * bars + 1) * 60 / BPM
        lines = [f"{moment:.4f} {beat % 4 + 1}" for beat, moment in enumerate(moments)]
        (folder / f"{name}.beats").write_text("\n".join(lines) + "\n")
    return sound, midi


def song(chords: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Two beats of every chord, (samples,), with a hi-hat."""
    first = FIRST_BEAT_SECONDS * BPM / 60
    notes = [
        Note(first + 2 * at + beat, int(pitch), 0.9, 80)
        for at, chord in enumerate(chords)
        for beat in (0, 1)
        for pitch in chord
    ]
    audio = render_piano(Score(tuple(notes), tempos=(TempoChange(0.0, BPM),)), sampling_rate=RATE)
    hat = rng.normal(0, 0.1, RATE // 20) * np.linspace(1, 0, RATE // 20) ** 2
    for beat in range(2 * len(chords)):
        at = round((FIRST_BEAT_SECONDS + beat * 60 / BPM) * RATE)
        audio[at : at + len(hat)] += hat.astype(np.float32)
    return audio[: round((FIRST_BEAT_SECONDS + 2 * len(chords) * 60 / BPM) * RATE)] / 2


def cover(
    chords: list[np.ndarray],
    late_seconds: float = 0.0,
    stretch: float = 1.0,
    *,
    pedal: bool = False,
) -> Score:
    """Every chord broken into half-beats, at 60 beats a minute, so that a beat is a second."""
    half = 30 / BPM
    moment = FIRST_BEAT_SECONDS + late_seconds
    notes, pedals = [], []
    for at, chord in enumerate(chords):
        start = moment + 4 * at * half
        if pedal:
            pedals.append(Pedal(start * stretch, 3 * half * stretch))
        for number, step in enumerate((0, 2, 1, 2)):
            onset = (start + number * half) * stretch
            notes.append(Note(onset, int(chord[step]) + 12, 0.9 * half, 90))
        notes.append(Note(start * stretch, int(chord[0]) - 12, 3.9 * half, 70))
    return Score(tuple(notes), tuple(pedals), (TempoChange(0.0, 60.0),))


def write_checkpoint(folder: Path, seed: int = 0, **settings: object) -> Path:
    """Write a tiny checkpoint with random weights that plays a few notes a window."""
    torch.manual_seed(seed)
    config = architecture(
        **{
            "d_model": 32,
            "d_kv": 8,
            "d_ff": 48,
            "num_layers": 1,
            "num_decoder_layers": 1,
            "num_heads": 2,
            "composer_vocab_size": len(COMPOSERS),
            **settings,
        }
    )
    model = Pop2PianoForConditionalGeneration(config)
    save_checkpoint(model, folder)
    GenerationConfig(
        composer_to_feature_token={name: index for index, name in enumerate(COMPOSERS)},
        composer_descriptions={"plain": "Chords."},
        max_length=24,
    ).save_pretrained(folder)
    return folder
