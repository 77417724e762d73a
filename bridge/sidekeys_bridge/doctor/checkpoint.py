"""The checkpoint that plays: its files, and whether they are whole."""

from __future__ import annotations

import importlib.util
import json
import struct
from dataclasses import dataclass
from pathlib import Path

from sidekeys_bridge.doctor.finding import Finding, missing, warning, well
from sidekeys_bridge.doctor.machine import Machine

_SUBJECT = "checkpoint"
_BUILTIN = "builtin"
_CONFIG = "config.json"
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_LONGEST_HEADER = 100_000_000  # safetensors' own limit


@dataclass(frozen=True, slots=True)
class CheckpointFacts:
    """What lies where it should.

    Attributes:
        name: as the settings have it.
        folder: where it lies; None for one that is not on this machine's disk by that name.
        absent: files that it should have.
        is_whole: whether the weights are as long as they say.
        megabytes: of the weights.
    """

    name: str = _BUILTIN
    folder: Path | None = None
    absent: tuple[str, ...] = ()
    is_whole: bool = True
    megabytes: float = 0.0


def probe(name: str = _BUILTIN) -> CheckpointFacts:
    """Look at the files of a checkpoint.

    Args:
        name: "builtin", a folder, or a hub id.
    """
    folder = _builtin_folder() if name == _BUILTIN else Path(name).expanduser()
    if folder is None or not folder.is_dir():
        return CheckpointFacts(name)
    weights = next((folder / file for file in _WEIGHTS if (folder / file).is_file()), None)
    absent = [] if (folder / _CONFIG).is_file() else [_CONFIG]
    if weights is None:
        return CheckpointFacts(name, folder, (*absent, _WEIGHTS[0]))
    size = weights.stat().st_size
    is_whole = weights.suffix != ".safetensors" or _is_whole(weights, size)
    return CheckpointFacts(name, folder, tuple(absent), is_whole, size / 1e6)


def _builtin_folder() -> Path | None:
    spec = importlib.util.find_spec("sidekeys_engine")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]) / "weights" if places else None


def _is_whole(weights: Path, size: int) -> bool:
    """Whether a safetensors file ends where its header says."""
    try:
        with weights.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > min(size, _LONGEST_HEADER):
                return False
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
        return bool(8 + length + max(ends, default=0) == size)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        return False


def check(facts: CheckpointFacts, machine: Machine) -> list[Finding]:
    """What that means."""
    is_ours = facts.name == _BUILTIN
    if is_ours:
        mend = machine.pip("--force-reinstall --no-deps sidekeys")
    else:
        mend = f"copy or train {facts.name!r} again, or take checkpoint = {_BUILTIN!r}"
    if facts.folder is None:
        if not is_ours and facts.name.count("/") == 1 and not facts.name.startswith((".", "~")):
            return [well(_SUBJECT, f"{facts.name} of the Hugging Face Hub, fetched when it plays")]
        return [missing(_SUBJECT, f"{facts.name} is not there", mend)]
    if facts.absent:
        return [missing(_SUBJECT, f"{facts.name} lacks {', '.join(facts.absent)}", mend)]
    if not facts.is_whole:
        return [missing(_SUBJECT, f"the weights of {facts.name} are cut short or damaged", mend)]
    if facts.megabytes < 0.1:
        return [warning(_SUBJECT, f"the weights of {facts.name} are very small", mend)]
    return [well(_SUBJECT, f"{facts.name}, {facts.megabytes:.0f} MB")]
