"""Whether a file is sound, told by its first bytes; a program of its own.

What a page sends is not to be trusted: a library that falls over it takes this process down, not
the panel. ``python -m sidekeys_bridge.panel.sound_header FILE`` writes one line of JSON: the
seconds of the sound, null where only a decoder could tell them, or an error.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from sidekeys_bridge.panel.panel_error import PanelError

_WITHIN_SECONDS = 20.0
_UNKNOWN_FRAMES = 1 << 62  # libsndfile says so of a flac whose writer could not go back
# What libsndfile reads quietly; it reads mp3 too, but talks about slightly odd ones.
_SNDFILE_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b".snd", b"caff", b"fLaC", b"OggS")
# Containers that the engine's other decoder opens.
_OTHER_MAGIC = (
    b"ID3", b"\x1aE\xdf\xa3", b"0&\xb2u", b"MAC ", b"wvpk", b"TTA1", b"FLV", b"#!AMR", b"DSD ",
    b"\x00\x00\x01\xba", b"\x0bw",
)  # fmt: skip


def sound_seconds(file: Path) -> float | None:
    """How long a sound file is; None where its header does not tell. Takes a while.

    Raises:
        PanelError: it is no sound file.
    """
    command = [sys.executable, "-m", __name__, str(file)]
    try:
        ran = subprocess.run(  # noqa: S603 - it is our own program
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_WITHIN_SECONDS,
            check=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        told: float | None = json.loads(ran.stdout)["seconds"]
    except (subprocess.SubprocessError, OSError, ValueError, KeyError) as problem:
        raise PanelError(
            "not-sound",
            "This is no sound file that Sidekeys can read; choose a wav, flac, mp3, ogg or m4a "
            "file, or export it again.",
        ) from problem
    return told


def _look(file: Path) -> dict[str, float | None]:
    """What is to be told about a file; empty for what is no sound."""
    with file.open("rb") as opened:
        first = opened.read(12)
    if first[:4] in _SNDFILE_MAGIC:
        import soundfile  # noqa: PLC0415 - only some files need it

        try:
            found = soundfile.info(str(file))
        except (soundfile.LibsndfileError, TypeError):
            return {"seconds": None}  # another codec in it, which the other decoder may know
        is_known = 0 < found.frames < _UNKNOWN_FRAMES and found.samplerate > 0
        return {"seconds": round(found.frames / found.samplerate, 3) if is_known else None}
    is_mpeg = first[:1] == b"\xff" and first[1:2] >= b"\xe0"
    if first.startswith(_OTHER_MAGIC) or first[4:8] == b"ftyp" or is_mpeg:
        return {"seconds": None}
    return {}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_look(Path(sys.argv[1]))))
