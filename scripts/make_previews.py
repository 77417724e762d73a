"""Makes docs/composers: fifteen seconds of the example song by every composer, to hear and to see.

.venv/bin/python scripts/make_previews.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from sidekeys_engine.notes import read_midi
from sidekeys_engine.pianist import composers_of
from sidekeys_engine.piano_sound import render_piano

ROOT = Path(__file__).resolve().parents[1]
SONG = ROOT / "examples" / "paper_lanterns.ogg"
FOLDER = ROOT / "docs" / "composers"
START_SECONDS, SECONDS = 8.55, 15.0
RATE = 32_000
PEAK = 0.8
PAGE = """# The composers of the embedded checkpoint

Fifteen seconds of the example song, *Paper Lanterns*, by each of them, on the same beats.
`scripts/make_previews.py` makes this page.
"""


def main() -> None:
    """Play, picture and record every composer of the embedded checkpoint."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    page = [PAGE]
    for composer, description in composers_of("builtin").items():
        page.append(
            f"## {composer}\n\n{description} [Listen]({composer}.ogg)\n\n"
            f"![{composer}, the same seconds]({composer}.png)\n"
        )
        with tempfile.TemporaryDirectory() as scratch:
            midi = Path(scratch) / "part.mid"
            subprocess.run(
                [
                    *(sys.executable, "-m", "sidekeys_engine", "render", SONG, "-o", midi),
                    *("--composer", composer, "--plot", FOLDER / f"{composer}.png"),
                    *("--start", str(START_SECONDS), "--end", str(START_SECONDS + SECONDS)),
                    *("--grid", SONG.with_suffix(".beats")),
                ],
                check=True,
            )
            piano = render_piano(read_midi(midi), sampling_rate=RATE)
        samples = int(SECONDS * RATE)
        first = int(START_SECONDS * RATE)
        part = np.zeros(samples, dtype=np.float32)
        heard = piano[first : first + samples]
        part[: len(heard)] = heard
        part[-RATE:] *= np.linspace(1, 0, RATE, dtype=np.float32)
        part *= PEAK / max(float(np.abs(part).max()), 1e-9)
        soundfile.write(FOLDER / f"{composer}.ogg", part, RATE, subtype="VORBIS")
    (FOLDER / "README.md").write_text("\n".join(page), encoding="utf-8")


if __name__ == "__main__":
    main()
