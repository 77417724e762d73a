"""A trained network becomes a checkpoint that plays, and a checkpoint becomes a network again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from made_up_music import BANDS, tiny_config
from sidekeys_engine import Pop2PianoForConditionalGeneration
from sidekeys_engine.checkpoint import CheckpointError
from sidekeys_engine.errors import InputError
from sidekeys_engine.network import Pop2PianoNetwork
from sidekeys_engine.pianist import Pianist, Taste, composers_of
from sidekeys_engine.training.arranging import COMPOSERS
from sidekeys_engine.training.checkpoints import save_checkpoint, start_from
from sidekeys_engine.training.rendering import VELOCITY_LEVELS, VOCABULARY_SIZE
from sidekeys_engine.vocabulary import velocity_of_level


def network(seed: int = 0, **overrides: int) -> Pop2PianoNetwork:
    torch.manual_seed(seed)
    config = tiny_config(composer_vocab_size=len(COMPOSERS), **overrides)
    return Pop2PianoNetwork(config).eval()


def halved(one: Pop2PianoNetwork) -> dict[str, torch.Tensor]:
    return {name: weight.half().float() for name, weight in one.state_dict().items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    save_checkpoint(network(), folder)
    return folder


@pytest.fixture(scope="module")
def pianist(folder: Path) -> Pianist:
    return Pianist.from_pretrained(folder, device="cpu")


def test_the_weights_are_those_of_the_network_in_half_precision(pianist: Pianist) -> None:
    loaded = pianist.model.state_dict()
    expected = halved(network())
    assert loaded.keys() == expected.keys()
    for name, weight in expected.items():
        assert torch.equal(loaded[name].float(), weight), name


def test_the_composers_come_with_their_descriptions(folder: Path) -> None:
    assert dict(composers_of(folder)) == COMPOSERS


def test_the_vocabulary_and_the_spectra_are_those_of_the_windows(pianist: Pianist) -> None:
    assert pianist.model.config == network().config
    assert len(pianist.tokenizer) == VOCABULARY_SIZE
    assert pianist.feature_extractor.feature_size == BANDS
    assert pianist.window_beats == 4
    assert pianist.context_steps == 4


def test_the_checkpoint_plays(pianist: Pianist) -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, 5 * 22050).astype(np.float32)
    moments = 0.125 * np.arange(21) + np.array([[0.0], [2.0]])
    played = pianist.play(audio, moments, "stride", taste=Taste(temperature=1.0, seed=2))
    notes = [note for window in played for note in window]
    assert len(played) == 2
    assert notes
    assert all(0 <= note.onset_step < note.end_step <= 16 for note in notes)
    struck = {note.velocity for note in notes if not note.is_held_before}
    levels = range(1, VELOCITY_LEVELS + 1)
    assert len(struck) > 1
    assert struck <= {velocity_of_level(level, VELOCITY_LEVELS) for level in levels}
    with pytest.raises(ValueError, match=r"step_seconds is \(windows, 21\)"):
        pianist.play(audio, moments[:, 4:], "stride")


def test_an_older_checkpoint_is_replaced(tmp_path: Path) -> None:
    save_checkpoint(network(seed=1), tmp_path)
    files = {path.name for path in tmp_path.iterdir()}
    save_checkpoint(network(seed=2), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == files
    loaded = Pop2PianoForConditionalGeneration.from_pretrained(tmp_path).state_dict()
    for name, weight in halved(network(seed=2)).items():
        assert torch.equal(loaded[name].float(), weight), name


def test_a_network_starts_from_a_checkpoint(folder: Path) -> None:
    started = network(seed=5)
    start_from(started, folder)
    for name, weight in started.state_dict().items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, halved(network())[name]), name


def test_a_network_does_not_start_from_another_architecture(folder: Path) -> None:
    with pytest.raises(InputError, match="differs from the network in d_ff, num_layers; start"):
        start_from(network(d_ff=64, num_layers=2), folder)
    with pytest.raises(CheckpointError):
        start_from(network(), folder / "nowhere")


def test_where_no_folder_can_be_there_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as raised:
        save_checkpoint(network(), tmp_path / "file" / "run")
    assert "\n" not in str(raised.value)
