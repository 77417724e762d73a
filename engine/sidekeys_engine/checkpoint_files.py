"""What lies in a checkpoint's folder: weights (safetensors or pickles) and JSON, checked as read.

Nothing heavy is imported before it is needed: not torch, not safetensors.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sidekeys_engine.atomic_file import atomic_output, shown_path
from sidekeys_engine.errors import InputError

if TYPE_CHECKING:
    import torch

SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

_SHARED = "shared.weight"
_HEAD = "lm_head.weight"
# Old conversion scripts store the one embedding table three times.
_COPIES_OF_SHARED = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
_BEAT_POSITIONS = (
    "encoder.step_embedding.weight",
    "decoder.step_embedding.weight",
    "decoder.cross_attention_step_bias.weight",
)
# Before 2.6, a crafted pickle could run code in spite of weights_only (CVE-2025-32434).
_SAFE_PICKLE_TORCH = (2, 6)


class CheckpointError(InputError):
    """A checkpoint cannot be found, read or used; the message says which file, and what to do."""


@dataclass(frozen=True)
class Weights:
    """The weights of a model, complete and of the expected shapes.

    Attributes:
        tensors: key -> tensor on the CPU. It may be backed by the file: copy it before writing to
            it.
        tied_head: True where the file has no ``lm_head.weight``, so that the output head is
            ``shared.weight``; ``tensors`` then lacks the key too.
    """

    tensors: dict[str, torch.Tensor]
    tied_head: bool


def load_weights(
    folder: str | os.PathLike[str],
    expected: Mapping[str, tuple[int, ...]],
    *,
    dtype: torch.dtype | None = None,
) -> Weights:
    """Read the weights of a model and check each against what the model expects.

    Reads ``model.safetensors``, its shards by ``model.safetensors.index.json``, or else
    ``pytorch_model.bin`` (whole or in shards), whose pickle is not allowed to run anything.

    Args:
        folder: a folder that ``find_checkpoint`` returned.
        expected: key -> shape of every weight of the model, by the names of the reference. With
            ``lm_head.weight`` among them, a file without it is a model with a tied head. The copies
            of ``shared.weight`` that old files hold are dropped.
        dtype: convert to this type; None keeps each as stored.

    Raises:
        CheckpointError: no weights, a damaged file, a missing or unexpected key, a wrong shape, a
            value that is no number, in one line that names the file and the first key.
    """
    folder = Path(folder)
    source = _weights_source(folder)
    files = _shards(source) if source.name.endswith(".index.json") else (source,)
    tensors: dict[str, torch.Tensor] = {}
    for file in files:
        read = _read_pickle if file.suffix == ".bin" else _read_safetensors
        tensors.update(read(file))
    # Some old files hold a copy in place of the table itself.
    for copy in _COPIES_OF_SHARED:
        if copy not in expected and copy in tensors:
            tensors.setdefault(_SHARED, tensors[copy])
            del tensors[copy]
    tied_head = _HEAD in expected and _HEAD not in tensors
    wanted = {key: tuple(shape) for key, shape in expected.items() if key != _HEAD or not tied_head}
    _check_keys_and_shapes(source, {k: tuple(t.shape) for k, t in tensors.items()}, wanted)
    return Weights({key: _checked(source, key, tensors[key], dtype) for key in wanted}, tied_head)


def save_weights(state: Mapping[str, torch.Tensor], folder: str | os.PathLike[str]) -> None:
    """Write ``model.safetensors`` into ``folder``, which is made if needed.

    Copies of ``shared.weight`` are left out, and so is a head that shares its memory; reading it
    back gives ``tied_head``.

    Args:
        state: key -> tensor, by the names of the reference.
        folder: the checkpoint's folder.

    Raises:
        InputError: the folder cannot be written, in one line; an existing file stays as it was.
    """
    from safetensors.torch import save_file  # noqa: PLC0415

    kept = {key: tensor for key, tensor in state.items() if key not in _COPIES_OF_SHARED}
    if _HEAD in kept and _SHARED in kept and kept[_HEAD].data_ptr() == kept[_SHARED].data_ptr():
        del kept[_HEAD]
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in kept.items()}
    with atomic_output(_in_new_folder(Path(folder) / SAFETENSORS[0])) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file of a checkpoint.

    Raises:
        CheckpointError: no such file, not JSON, or not a JSON object, in one line.
    """
    shown = shown_path(path)
    try:
        settings = json.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{shown_path(path.parent)} holds no {path.name}; give the folder of a Pop2Piano "
            "checkpoint."
        ) from error
    except OSError as error:
        raise CheckpointError(f"Cannot read {shown}: {error.strerror}; mend that first.") from error
    except json.JSONDecodeError as error:
        raise CheckpointError(
            f"{shown} is not valid JSON (line {error.lineno}: {error.msg}); copy it again."
        ) from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{shown} is not valid JSON; copy it again.") from error
    if not isinstance(settings, dict):
        raise CheckpointError(f"{shown} must hold a JSON object, in braces; copy it again.")
    return settings


def write_json(path: Path, settings: Mapping[str, Any]) -> None:
    """Write a JSON file of a checkpoint, into a folder that is made if needed.

    Raises:
        InputError: the file cannot be written, in one line; an existing one stays as it was.
    """
    text = json.dumps(settings, indent=2) + "\n"
    with atomic_output(_in_new_folder(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _in_new_folder(path: Path) -> Path:
    """Return ``path`` after making the folder it lies in."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"Cannot make the folder {shown_path(path.parent)}: {error.strerror}; give another one."
        ) from error
    return path


def _weights_source(folder: Path) -> Path:
    """Return the file, or the index of shards, that a folder's weights are in."""
    for name in (*SAFETENSORS, *PICKLES):
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(
        f"{shown_path(folder)} holds no weights ({SAFETENSORS[0]} or {PICKLES[0]}); give the "
        "folder of a Pop2Piano checkpoint, or download it again."
    )


def _shards(index: Path) -> tuple[Path, ...]:
    """Return the files that an index of shards names."""
    weight_map = read_json(index).get("weight_map")
    names = list(weight_map.values()) if isinstance(weight_map, dict) else []
    # A name with a folder in it could point outside the checkpoint.
    if not names or not all(isinstance(n, str) and n == Path(n).name for n in names):
        raise CheckpointError(f"{shown_path(index)} names no files; download the checkpoint again.")
    files = tuple(index.parent / name for name in sorted(set(names)))
    for file in files:
        if file.suffix != Path(index.name.removesuffix(".index.json")).suffix:
            raise CheckpointError(
                f"{shown_path(index)} names {file.name}, which holds no weights of its kind; "
                "download the checkpoint again."
            )
        if not file.is_file():
            raise CheckpointError(
                f"{shown_path(file)} is missing, and {index.name} names it; download the "
                "checkpoint again."
            )
    return files


def _read_safetensors(file: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    try:
        with safe_open(file, framework="pt", device="cpu") as weights:
            return {key: weights.get_tensor(key) for key in weights.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise _damaged(file, error) from error
    except OSError as error:
        raise CheckpointError(
            f"Cannot read {shown_path(file)}: {error}; mend that first."
        ) from error


def _read_pickle(file: Path) -> dict[str, torch.Tensor]:
    import torch  # noqa: PLC0415

    shown = shown_path(file)
    numbers = re.findall(r"\d+", torch.__version__)
    if tuple(int(n) for n in numbers[:2]) < _SAFE_PICKLE_TORCH:
        raise CheckpointError(
            f"{shown} cannot be opened safely with torch {torch.__version__}; install torch 2.6 or "
            f"newer, or get the checkpoint as {SAFETENSORS[0]}."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle's age, which harms nothing
            stored = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"Cannot read {shown}: {error.strerror}; mend that first.") from error
    except pickle.UnpicklingError as error:
        # torch's own message advises to open the file unsafely.
        raise CheckpointError(
            f"{shown} holds more than weights, which could run code on this machine, or is "
            f"damaged; it was not opened: get the checkpoint as {SAFETENSORS[0]} from its authors."
        ) from error
    except Exception as error:  # a damaged pickle ends in any exception there is
        raise _damaged(file, error) from error
    if not isinstance(stored, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in stored.items()
    ):
        raise CheckpointError(
            f"{shown} is no table of weights by name; save the model's state_dict() alone."
        )
    return stored


def _damaged(file: Path, error: Exception) -> CheckpointError:
    """Say that a file of weights cannot be read, and the likely reason."""
    shown = shown_path(file)
    with contextlib.suppress(OSError), file.open("rb") as opened:
        if opened.read(12) == b"version http":
            return CheckpointError(
                f"{shown} is a Git LFS pointer, not the weights; run `git lfs pull` in its folder."
            )
    reason = _shown_text(" ".join(str(error).split())) or type(error).__name__
    return CheckpointError(
        f"{shown} is damaged or incomplete ({reason}); download or copy it again."
    )


def _check_keys_and_shapes(
    source: Path, found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]
) -> None:
    """Refuse a set of weights that is not the model's; shapes first, for they say most."""
    misshapen = [key for key in wanted if key in found and found[key] != wanted[key]]
    if misshapen:
        key = misshapen[0]
        raise CheckpointError(
            f"{_at(source, key)} has the shape {found[key]}, but config.json asks for {wanted[key]}"
            f"{_others(misshapen)}; the two files are not of one checkpoint."
        )
    missing = [key for key in wanted if key not in found]
    if missing:
        key = missing[0]
        raise CheckpointError(
            f"{_at(source, key)} of the shape {wanted[key]} is missing{_others(missing)}; "
            + _beat_position_hint(key, "false", "the file is not of the model in config.json.")
        )
    unexpected = [key for key in found if key not in wanted]
    if unexpected:
        key = unexpected[0]
        raise CheckpointError(
            f"{_at(source, key)} of the shape {found[key]} is not in the model that config.json "
            f"describes{_others(unexpected)}; "
            + _beat_position_hint(key, "true", "the two files are not of one checkpoint.")
        )


def _at(source: Path, key: str) -> str:
    """Name a weight of a file, by a key that may hold anything."""
    return f"{shown_path(source)}: {_shown_text(key)}"


def _shown_text(text: str) -> str:
    """Return foreign text in one line, printable and not too long."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:120])


def _others(keys: Sequence[str]) -> str:
    count = len(keys) - 1
    return f" (and {count} more)" if count else ""


def _beat_position_hint(key: str, setting: str, otherwise: str) -> str:
    if key in _BEAT_POSITIONS:
        return f'config.json should say "beat_positions": {setting}.'
    return otherwise


def _checked(
    source: Path, key: str, tensor: torch.Tensor, dtype: torch.dtype | None
) -> torch.Tensor:
    """Return a weight in ``dtype``, if all its values are numbers."""
    import torch  # noqa: PLC0415

    if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.is_meta:
        stored = "a shape alone" if tensor.is_meta else tensor.dtype
        raise CheckpointError(
            f"{_at(source, key)} is stored as {stored}; get the checkpoint in float32 or float16."
        )
    # NaN passes through minimum and maximum, so two numbers tell about all of them.
    lowest, highest = torch.aminmax(tensor.float() if tensor.dtype.itemsize < 2 else tensor)
    if not (torch.isfinite(lowest) and torch.isfinite(highest)):
        raise CheckpointError(
            f"{_at(source, key)} holds NaN or infinity; its training failed or the file is damaged."
        )
    if dtype is None or dtype == tensor.dtype:
        return tensor
    if max(-lowest.item(), highest.item()) > torch.finfo(dtype).max:
        raise CheckpointError(f"{_at(source, key)} is too large for {dtype}; load it in float32.")
    return tensor.to(dtype)
