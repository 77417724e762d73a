"""Checkpoints on the Hugging Face Hub: download once, tell the license, say what went wrong."""

from __future__ import annotations

import contextlib
import errno
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sidekeys_engine.checkpoint_files import PICKLES, SAFETENSORS, CheckpointError

_SETTINGS_PATTERNS = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "vocab.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "README.md",
)
_SAFETENSORS_PATTERNS = (*SAFETENSORS, "model-*-of-*.safetensors")
_PICKLES_PATTERNS = (*PICKLES, "pytorch_model-*-of-*.bin")

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR)


def download(
    name: str,
    *,
    local_files_only: bool,
    revision: str | None,
    cache_dir: Path | None,
    token: str | bool | None,
) -> Path:
    """Return the cached folder of a checkpoint on the Hub, complete.

    A connection that breaks is taken up again where it stopped, several times; a file that is
    complete is never fetched twice.

    Args:
        name: an id such as "owner/name".
        local_files_only: use the cache and never the network.
        revision: branch, tag or commit; None for the main branch.
        cache_dir: folder of the cache; None for huggingface_hub's own.
        token: an access token; True for the saved one.

    Raises:
        CheckpointError: it cannot be downloaded, or is no checkpoint, in one line.
    """
    from huggingface_hub import constants, snapshot_download  # noqa: PLC0415
    from huggingface_hub.utils.tqdm import tqdm  # noqa: PLC0415

    class LateProgressBar(tqdm):
        """Appears after a second: a look into the cache needs no bar."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "delay": 1.0})  # type: ignore[no-untyped-call]

    def fetch(weights: tuple[str, ...]) -> Path:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                cache_dir=cache_dir,
                token=token,
                local_files_only=local_files_only,
                allow_patterns=[*_SETTINGS_PATTERNS, *weights],
                tqdm_class=LateProgressBar,
            )
        )

    offline = local_files_only or constants.HF_HUB_OFFLINE
    try:
        with _quiet_hub_log():
            folder = fetch(_SAFETENSORS_PATTERNS)
            # A pickle is fetched only where there is nothing better.
            if not any((folder / file).exists() for file in SAFETENSORS):
                folder = fetch(_PICKLES_PATTERNS)
    except Exception as error:
        message = _hub_failure(name, revision, error, offline=offline)
        if message is None:
            raise
        raise CheckpointError(message) from error
    missing = [] if (folder / "config.json").exists() else ["config.json"]
    if not any((folder / file).exists() for file in (*SAFETENSORS, *PICKLES)):
        missing.append(f"weights ({SAFETENSORS[0]} or {PICKLES[0]})")
    if missing and offline:
        raise CheckpointError(
            f"The cache holds only a part of {name}, and no network is to be used; run once with "
            "it to fetch the rest."
        )
    if missing:
        raise CheckpointError(
            f"{name} on the Hugging Face Hub holds no {' and no '.join(missing)}; give a Pop2Piano "
            "checkpoint such as sweetcocoa/pop2piano."
        )
    return folder


@contextlib.contextmanager
def _quiet_hub_log() -> Iterator[None]:
    """Keep huggingface_hub's own warnings back: what matters of them is said in our words."""
    log = logging.getLogger("huggingface_hub")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _hub_failure(name: str, revision: str | None, error: Exception, *, offline: bool) -> str | None:
    """Say in one line why a download failed; None where it is no failure of the download."""
    from huggingface_hub import constants, errors  # noqa: PLC0415

    status = getattr(getattr(error, "response", None), "status_code", None)
    number = error.errno if isinstance(error, OSError) else None
    # Which library carries the bytes, and so the kind of exception, changes between releases.
    broke_off = isinstance(error, (OSError, RuntimeError)) or "http" in type(error).__module__
    no_folder = f"{name} is not a folder here, and"
    cases = (
        (
            isinstance(error, errors.GatedRepoError),
            f"{name} is gated: accept its terms at {constants.ENDPOINT}/{name}, then run "
            "`hf auth login`.",
        ),
        (
            isinstance(error, errors.RepositoryNotFoundError),
            f"{no_folder} the Hugging Face Hub shows you no model of that name; check the "
            "spelling, or run `hf auth login` if it is private.",
        ),
        (
            isinstance(error, errors.RevisionNotFoundError),
            f"{name} has no revision {revision!r}; leave it out, or give a branch, tag or commit.",
        ),
        (
            isinstance(error, errors.LocalTokenNotFoundError),
            "No access token is saved on this machine; run `hf auth login`.",
        ),
        (
            isinstance(error, errors.HFValidationError),
            f"{no_folder} it cannot be the name of a model on the Hugging Face Hub; check the "
            "spelling.",
        ),
        (
            number in _NO_ROOM,
            f"There is no room on the disk for {name}; free some space, or set HF_HOME to a folder "
            "on another disk.",
        ),
        (
            number in _NOT_WRITABLE,
            f"The cache cannot be written, so {name} could not be downloaded; set HF_HOME to a "
            "folder of yours.",
        ),
        (
            offline and isinstance(error, errors.LocalEntryNotFoundError),
            f"{no_folder} the cache does not hold all of it, while no network is to be used; run "
            "once with it (without HF_HUB_OFFLINE) to download the checkpoint, or use 'builtin'.",
        ),
        (
            isinstance(error, errors.LocalEntryNotFoundError),
            f"{no_folder} the Hugging Face Hub cannot be reached to download it; check the "
            "connection and run this again, or use 'builtin'.",
        ),
        (
            status is not None and 400 <= status < 500,
            f"The Hugging Face Hub refused {name} (status {status}); check your access token, or "
            "try again later.",
        ),
        (
            status is not None,
            f"The Hugging Face Hub is in trouble (status {status}); run this again later to "
            f"download {name} (files that are complete are kept).",
        ),
        (
            broke_off,
            f"The download of {name} broke off; check the connection and run this again (files "
            "that are complete are kept).",
        ),
    )
    return next((message for holds, message in cases if holds), None)


def tell_license_once(name: str, folder: Path, on_notice: Callable[[str], None]) -> None:
    """Tell the license of a checkpoint of the Hub, unless the same was told before.

    Args:
        name: the checkpoint's id.
        folder: where ``download`` put it, its model card included.
        on_notice: gets one line.
    """
    from huggingface_hub import cached_assets_path, constants  # noqa: PLC0415

    page = f"{constants.ENDPOINT}/{name}"
    declared = _declared_license(folder / "README.md")
    if declared is None:
        notice = (
            f"{name} declares no license: ask its authors before you publish what it makes ({page})"
        )
    else:
        notice = f"{name} declares the license {declared}: see {page} for what it allows"
    # Where the cache cannot be written, it is told every time.
    with contextlib.suppress(OSError, ValueError):
        told = cached_assets_path("sidekeys", "licenses", name) / "told.txt"
        if told.is_file() and told.read_text(encoding="utf-8") == notice:
            return
        told.write_text(notice, encoding="utf-8")
    on_notice(notice)


def _declared_license(card: Path) -> str | None:
    """Return the license in the front matter of a model card, None where there is none."""
    from huggingface_hub import metadata_load  # noqa: PLC0415

    try:
        metadata = metadata_load(card) or {}
    except Exception:  # any error of a YAML parser: nobody can read this card
        return None
    declared = metadata.get("license")
    if declared == "other":
        declared = metadata.get("license_name") or declared
    names = declared if isinstance(declared, list) else [declared]
    shown = ", ".join(" ".join(str(n).split()) for n in names if n)
    return shown[:80] or None
