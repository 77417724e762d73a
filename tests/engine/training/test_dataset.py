"""Windows come back from disk as they were, each once a pass, in batches of one length."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from made_up_music import BANDS, COMPOSERS, make_windows, write_pop909, write_windows
from sidekeys_engine.errors import InputError
from sidekeys_engine.training.dataset import (
    IGNORED_LABEL,
    Batch,
    Dataset,
    bands_in,
    load_windows,
    render_all,
    renders_in,
    save_windows,
    songs_of,
)
from sidekeys_engine.training.rendering import Windows


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_windows(tmp_path / "data")


@pytest.fixture
def dataset(data: Path) -> Dataset:
    return Dataset(data, renders_in(data))


# --- on disk ---


def test_a_render_comes_back_from_disk_as_it_was(tmp_path: Path) -> None:
    windows = make_windows(4)
    save_windows(windows, tmp_path, "004-0")
    again = load_windows(tmp_path, "004-0")
    for field in fields(Windows):
        before, after = getattr(windows, field.name), getattr(again, field.name)
        assert after.dtype == before.dtype
        assert np.array_equal(after, before)
    assert isinstance(again.features, np.memmap), "frames stay on disk until they are read"


def test_a_render_is_there_when_its_second_file_is(data: Path) -> None:
    assert renders_in(data) == ["000-0", "001-0"]
    (data / "001-0.labels.npz").unlink()
    assert renders_in(data) == ["000-0"]


def test_the_bands_of_a_folder_are_its_spectras(data: Path, tmp_path: Path) -> None:
    assert bands_in(data) == BANDS
    with pytest.raises(InputError, match="holds no windows; make them first: python -m"):
        bands_in(tmp_path)


# --- batches ---


def frames_of(windows: Windows, window: int) -> slice:
    start = 0 if window == 0 else int(windows.frame_ends[window - 1])
    return slice(start, int(windows.frame_ends[window]))


def test_a_batch_holds_the_windows_of_all_renders_by_number(dataset: Dataset) -> None:
    assert len(dataset) == 24
    assert dataset.composers == COMPOSERS
    alike = np.flatnonzero(dataset.frames == 5)[[0, 3, -1]]
    batch = dataset.batch(alike, np.array([1, 0, 1]))
    assert batch.composers.tolist() == [1, 0, 1]
    assert batch.features.shape == (3, 5, BANDS)
    assert batch.features.dtype == torch.float32
    for row, number in enumerate(alike.tolist()):
        render, window = make_windows(number // 12), number % 12
        own = frames_of(render, window)
        assert np.array_equal(batch.features[row], render.features[own].astype(np.float32))
        assert np.array_equal(batch.frame_steps[row], render.frame_steps[own])


def test_an_epoch_has_every_window_once_in_batches_of_one_length(dataset: Dataset) -> None:
    plan = dataset.epoch(4, np.array([1.0, 3.0]), np.random.default_rng(5))
    seen = np.concatenate([windows for windows, _ in plan])
    assert sorted(seen.tolist()) == list(range(len(dataset)))
    for windows, composers in plan:
        assert len(windows) <= 4
        assert len(set(dataset.frames[windows].tolist())) == 1
        batch = dataset.batch(windows, composers)
        lengths = (batch.labels >= 0).sum(1)
        assert lengths.tolist() == dataset.token_counts[windows, composers].tolist()
        for row, composer, length in zip(batch.labels, composers, lengths, strict=True):
            assert row[: length - 1].tolist() == [20 + composer] * int(length - 1)
            assert row[length - 1] == 1


def test_shares_decide_how_often_a_composer_is_drawn(dataset: Dataset) -> None:
    rng = np.random.default_rng(0)
    drawn = np.concatenate(
        [
            composers
            for _ in range(40)
            for _, composers in dataset.epoch(4, np.array([1.0, 3.0]), rng)
        ]
    )
    assert drawn.mean() == pytest.approx(0.75, abs=0.05)
    plan = dataset.epoch(4, np.array([0.0, 2.0]), rng)
    assert {int(composer) for _, composers in plan for composer in composers} == {1}


def test_a_pass_is_decided_by_its_generator(dataset: Dataset) -> None:
    def order(seed: int) -> list[list[int]]:
        plan = dataset.epoch(4, np.ones(COMPOSERS), np.random.default_rng(seed))
        return [windows.tolist() for windows, _ in plan]

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_processes_share_a_batch_between_them(dataset: Dataset) -> None:
    windows = np.flatnonzero(dataset.frames == 6)[:5]
    composers = np.array([0, 1, 0, 1, 1])
    whole = dataset.batch(windows, composers)
    for first in range(2):
        part = dataset.batch(windows, composers, slice(first, None, 2))
        assert torch.equal(part.features, whole.features[first::2])
        assert torch.equal(part.composers, whole.composers[first::2])
        longest = part.labels.shape[1]
        assert torch.equal(part.labels, whole.labels[first::2, :longest])
        assert (whole.labels[first::2, longest:] == IGNORED_LABEL).all()


def test_a_process_without_a_row_of_its_own_takes_the_batch(dataset: Dataset) -> None:
    one = dataset.batch(np.array([3]), np.array([1]), slice(1, None, 2))
    assert torch.equal(one.features, dataset.batch(np.array([3]), np.array([1])).features)


def test_a_batch_moves_whole(dataset: Dataset) -> None:
    batch = dataset.batch(np.array([3]), np.array([1]))
    moved = batch.to(torch.device("meta"))
    for field in fields(Batch):
        assert getattr(moved, field.name).device.type == "meta"
        assert getattr(moved, field.name).shape == getattr(batch, field.name).shape


def test_a_dataset_without_windows_is_an_error(data: Path) -> None:
    with pytest.raises(ValueError, match="at least one window"):
        Dataset(data, [])


# --- rendering ---


def test_songs_of_a_split_are_found(tmp_path: Path) -> None:
    write_pop909(tmp_path, "001", "010", "405", "002")
    assert songs_of(tmp_path, "train") == ["001", "002"]
    assert songs_of(tmp_path, "test") == ["010"]
    assert songs_of(tmp_path, "validation") == ["405"]
    with pytest.raises(InputError, match="holds no train songs; give the folder of POP909"):
        songs_of(tmp_path / "elsewhere", "train")


def test_what_is_rendered_already_stays(tmp_path: Path) -> None:
    pop909, folder = write_pop909(tmp_path / "pop909", "001", "010"), tmp_path / "data"
    assert list(render_all(pop909, folder, [0], bands=BANDS)) == ["001-0"]
    assert bands_in(folder) == BANDS
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(files) == {"001-0.features.npy", "001-0.labels.npz"}
    assert list(render_all(pop909, folder, [0], bands=BANDS)) == []
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert len(Dataset(folder, ["001-0"])) == 10
