"""Makes the samples of the embedded checkpoint's composers, from a part of the example song.

docs/composers has fifteen seconds of each, to hear and to see; weights/previews.json has four bars
of each as notes, for the panel to draw and to play.

.venv/bin/python scripts/make_previews.py
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from sidekeys_engine.bars import Bars
from sidekeys_engine.notes import Score, read_midi
from sidekeys_engine.pianist import composers_of
from sidekeys_engine.piano_sound import render_piano
from sidekeys_engine.tempo_map import seconds_at_beats

ROOT = Path(__file__).resolve().parents[1]
SONG = ROOT / "examples" / "paper_lanterns.ogg"
FOLDER = ROOT / "docs" / "composers"
AUDITIONS = ROOT / "engine" / "sidekeys_engine" / "weights" / "previews.json"
START_SECONDS, SECONDS = 8.55, 15.0
RATE = 32_000
PEAK = 0.8
AUDITION_BARS = 4
DIGITS = 4
PAGE = """# The composers of the embedded checkpoint

Fifteen seconds of the example song, *Paper Lanterns*, by each of them, on the same beats.
`scripts/make_previews.py` makes this page.
"""


def main() -> None:
    """Play, picture and record every composer of the embedded checkpoint."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    page = [PAGE]
    auditions = {}
    for composer, description in composers_of("builtin").items():
        page.append(
            f"## {composer}\n\n{description} [Listen]({composer}.ogg)\n\n"
            f"![{composer}, the same seconds]({composer}.png)\n"
        )
        score = played(composer, FOLDER / f"{composer}.png")
        soundfile.write(FOLDER / f"{composer}.ogg", sound(score), RATE, subtype="VORBIS")
        auditions[composer] = audition(score)
    (FOLDER / "README.md").write_text("\n".join(page), encoding="utf-8")
    lines = (f" {json.dumps(name)}: {json.dumps(notes)}" for name, notes in auditions.items())
    AUDITIONS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def played(composer: str, picture: Path) -> Score:
    """What a composer plays of the part, on the time line of the song."""
    with tempfile.TemporaryDirectory() as scratch:
        midi = Path(scratch) / "part.mid"
        subprocess.run(
            [
                *(sys.executable, "-m", "sidekeys_engine", "render", SONG, "-o", midi),
                *("--composer", composer, "--plot", picture),
                *("--start", str(START_SECONDS), "--end", str(START_SECONDS + SECONDS)),
                *("--grid", SONG.with_suffix(".beats")),
            ],
            check=True,
        )
        return read_midi(midi)


def sound(score: Score) -> npt.NDArray[np.float32]:
    """The part as a piano sounds it, with a soft end."""
    piano = render_piano(score, sampling_rate=RATE)
    samples = int(SECONDS * RATE)
    first = int(START_SECONDS * RATE)
    part = np.zeros(samples, dtype=np.float32)
    heard = piano[first : first + samples]
    part[: len(heard)] = heard
    part[-RATE:] *= np.linspace(1, 0, RATE, dtype=np.float32)
    part *= PEAK / max(float(np.abs(part).max()), 1e-9)
    return part


def audition(score: Score) -> dict[str, Any]:
    """The first whole bars of the part, in quarter notes from their bar line."""
    bars = Bars(score.meters)
    lines = (bars.start_of(number) for number in itertools.count(1))
    start = next(line for line in lines if seconds_at_beats(score.tempos, line) >= START_SECONDS)
    end = bars.start_of(bars.number_at(start) + AUDITION_BARS)
    bpm = [change.bpm for change in score.tempos if change.onset_beats <= start][-1]
    return {
        "bpm": round(bpm, 2),
        "beats": end - start,
        "notes": [
            [
                round(note.onset_beats - start, DIGITS),
                round(min(note.duration_beats, end - note.onset_beats), DIGITS),
                note.pitch,
                note.velocity,
            ]
            for note in score.notes
            if start <= note.onset_beats < end
        ],
    }


if __name__ == "__main__":
    main()
