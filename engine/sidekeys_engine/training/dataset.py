"""Windows on disk, and batches of them in an order that a seed decides."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sidekeys_engine.atomic_file import atomic_output
from sidekeys_engine.errors import InputError
from sidekeys_engine.training.instruments import Orchestra
from sidekeys_engine.training.pop909 import song_names, split_of
from sidekeys_engine.training.rendering import Windows, architecture, log_mel_for, render_song
from sidekeys_engine.training.stopping import end_with_parent, starting_deaf_processes

IGNORED_LABEL = -100
_FEATURES, _LABELS = ".features.npy", ".labels.npz"
# Windows that are sorted by length together; more means less padding and less chance.
_POOL_BATCHES = 8


@dataclass(frozen=True)
class Batch:
    """Windows of one length in frames, each for one composer.

    Attributes:
        features: (rows, frames, mels) float32.
        frame_steps: (rows, frames) int64.
        composers: (rows,) int64.
        labels: (rows, tokens) int64, `IGNORED_LABEL` after a row's end.
    """

    features: Tensor
    frame_steps: Tensor
    composers: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(
            self.features.to(device),
            self.frame_steps.to(device),
            self.composers.to(device),
            self.labels.to(device),
        )


def render_all(
    pop909: Path,
    folder: Path,
    seeds: Sequence[int],
    *,
    split: str = "train",
    processes: int = 1,
    songs: int | None = None,
    bands: int = 256,
) -> Iterator[str]:
    """Render every song of a split once a seed into a folder; what is there already stays.

    Args:
        pop909: the dataset's folder.
        folder: gets two files a render.
        seeds: the takes.
        split: "train", "validation" or "test".
        processes: how many render at once.
        songs: only so many of the split.
        bands: mel bands of the spectra; a network of this width hears them.

    Yields:
        The name of each render that is done.

    Raises:
        InputError: POP909 is not there, or there are no instruments.
    """
    names = songs_of(pop909, split)[:songs]
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [
        (pop909, folder, name, seed, bands)
        for seed in seeds
        for name in np.random.default_rng(seed).permutation(names).tolist()
        if not (folder / f"{name}-{seed}{_LABELS}").exists()
    ]
    if not jobs:
        return
    context = multiprocessing.get_context("spawn")
    with starting_deaf_processes():
        pool = context.Pool(processes, initializer=_start_renderer)
    with pool:
        yield from pool.imap_unordered(_render_job, jobs)


def songs_of(pop909: Path, split: str) -> list[str]:
    """Names of the songs of a split, "train", "validation" or "test".

    Raises:
        InputError: there are none.
    """
    names = [name for name in song_names(pop909) if split_of(name) == split]
    if not names:
        raise InputError(
            f"{pop909} holds no {split} songs; give the folder of POP909 with 001 to 909 in it."
        )
    return names


def _start_renderer() -> None:
    end_with_parent()
    torch.set_num_threads(1)
    _orchestra()


@cache
def _orchestra() -> Orchestra:
    """One for all songs of a process: loading soundfonts takes longer than playing a song."""
    return Orchestra.found()


def _render_job(job: tuple[Path, Path, str, int, int]) -> str:
    pop909, folder, name, seed, bands = job
    log_mel = log_mel_for(architecture(d_model=bands))
    windows = render_song(pop909, name, seed, _orchestra(), log_mel)
    save_windows(windows, folder, f"{name}-{seed}")
    return f"{name}-{seed}"


def save_windows(windows: Windows, folder: Path, name: str) -> None:
    """Write a render's two files, the labels last: where they are, the render is whole."""
    with atomic_output(folder / (name + _FEATURES)) as temporary, temporary.open("wb") as file:
        np.save(file, windows.features)
    with atomic_output(folder / (name + _LABELS)) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            frame_steps=windows.frame_steps,
            frame_ends=windows.frame_ends,
            tokens=windows.tokens,
            token_ends=windows.token_ends,
        )


def load_windows(folder: Path, name: str) -> Windows:
    """A render from its files; its frames stay on disk until they are read."""
    with np.load(folder / (name + _LABELS)) as labels:
        arrays = {key: labels[key] for key in labels.files}
    features = np.load(folder / (name + _FEATURES), mmap_mode="r")
    return Windows(features=features, **arrays)


def renders_in(folder: Path) -> list[str]:
    """Names of the renders that are whole, in order."""
    return sorted(path.name.removesuffix(_LABELS) for path in folder.glob("*" + _LABELS))


def bands_in(folder: Path) -> int:
    """Mel bands of a folder's renders: the width of the network that hears them.

    Raises:
        InputError: there is no render.
    """
    names = renders_in(folder)
    if not names:
        raise InputError(
            f"{folder} holds no windows; make them first: "
            f"python -m sidekeys_engine.training render POP909 {folder}"
        )
    return int(load_windows(folder, names[0]).features.shape[1])


class Dataset:
    """Renders of songs, all windows of them one after another.

    Args:
        folder: what `render_all` wrote.
        names: the renders to take, in this order.

    Raises:
        ValueError: no windows.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.names = list(names)
        self._renders = [load_windows(folder, name) for name in self.names]
        counts = [len(render) for render in self._renders]
        if not any(counts):
            raise ValueError("a dataset has at least one window")
        self._render = np.repeat(np.arange(len(counts)), counts)
        self._window = np.concatenate([np.arange(count) for count in counts])
        # (windows,) and (windows, composers)
        self.frames = np.concatenate([np.diff(r.frame_ends, prepend=0) for r in self._renders])
        self.token_counts = np.concatenate(
            [
                np.diff(r.token_ends.ravel(), prepend=0).reshape(r.token_ends.shape)
                for r in self._renders
            ]
        )

    def __len__(self) -> int:
        return len(self._render)

    @property
    def composers(self) -> int:
        """How many a window has tokens for."""
        return int(self.token_counts.shape[1])

    def batch(
        self,
        windows: npt.NDArray[np.int64],
        composers: npt.NDArray[np.int64],
        rows: slice = slice(None),
    ) -> Batch:
        """Windows, by their numbers, for one composer each; all of one length in frames.

        Args:
            windows: their numbers.
            composers: for each window one.
            rows: those to take; of a batch of one row, it is always taken.
        """
        if len(windows[rows]):
            windows, composers = windows[rows], composers[rows]
        frames = int(self.frames[windows[0]])
        longest = int(self.token_counts[windows, composers].max())
        labels = np.full((len(windows), longest), IGNORED_LABEL, dtype=np.int64)
        steps = np.empty((len(windows), frames), dtype=np.int64)
        features: list[npt.NDArray[np.float16]] = []
        for row, (number, composer) in enumerate(
            zip(windows.tolist(), composers.tolist(), strict=True)
        ):
            render, window = self._renders[self._render[number]], self._window[number]
            end = int(render.frame_ends[window])
            features.append(render.features[end - frames : end])
            steps[row] = render.frame_steps[end - frames : end]
            end, count = int(render.token_ends[window, composer]), self.token_counts[number]
            labels[row, : count[composer]] = render.tokens[end - count[composer] : end]
        return Batch(
            features=torch.from_numpy(np.stack(features).astype(np.float32)),
            frame_steps=torch.from_numpy(steps),
            composers=torch.from_numpy(composers),
            labels=torch.from_numpy(labels),
        )

    def epoch(
        self, size: int, shares: npt.NDArray[np.float64], rng: np.random.Generator
    ) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
        """Every window once, each for one composer, in batches in a drawn order.

        Args:
            size: windows in a batch.
            shares: (composers,) how likely each one is drawn.
            rng: decides all.

        Returns:
            For each batch the windows' numbers and their composers.
        """
        order = rng.permutation(len(self))
        drawn = rng.choice(self.composers, size=len(self), p=shares / shares.sum())
        batches = []
        for frames in np.unique(self.frames):
            alike = order[self.frames[order] == frames]
            for first in range(0, len(alike), size * _POOL_BATCHES):
                pool = alike[first : first + size * _POOL_BATCHES]
                lengths = self.token_counts[pool, drawn[pool]]
                pool = pool[np.argsort(lengths, kind="stable")]
                batches += [pool[at : at + size] for at in range(0, len(pool), size)]
        return [(batches[i], drawn[batches[i]]) for i in rng.permutation(len(batches)).tolist()]
