"""Checkpoints: found by name, downloaded once, verified, and refused in one line when broken."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import sidekeys_engine.checkpoint
from hub_server import HubModel, HubServer
from sidekeys_engine.checkpoint import (
    BUILTIN_FOLDER,
    CheckpointError,
    find_checkpoint,
    load_weights,
    save_weights,
)
from sidekeys_engine.errors import InputError

State = dict[str, torch.Tensor]
Shapes = dict[str, tuple[int, ...]]

BEAT_POSITIONS = {
    "encoder.step_embedding.weight",
    "decoder.step_embedding.weight",
    "decoder.cross_attention_step_bias.weight",
}


def shapes(state: State) -> Shapes:
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def line(raised: pytest.ExceptionInfo[InputError]) -> str:
    """The message, which is one line that ends with what to do."""
    message = str(raised.value)
    assert len(message.splitlines()) == 1
    assert message.endswith(".")
    assert ";" in message or "`" in message
    return message


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that transformers wrote."""
    torch.manual_seed(1)
    config = transformers.Pop2PianoConfig(
        vocab_size=240,
        composer_vocab_size=3,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
    )
    folder = tmp_path_factory.mktemp("reference")
    transformers.Pop2PianoForConditionalGeneration(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def state(reference: Path) -> State:
    return load_file(reference / "model.safetensors")


def assert_equal(found: State, wanted: State) -> None:
    assert set(found) == set(wanted)
    for key, tensor in wanted.items():
        torch.testing.assert_close(found[key], tensor, rtol=0, atol=0)


# --- names


def test_builtin_is_the_embedded_checkpoint() -> None:
    folder = find_checkpoint("builtin")
    assert folder == BUILTIN_FOLDER
    names = {file.name for file in folder.iterdir()}
    assert names >= {"config.json", "generation_config.json", "model.safetensors", "README.md"}


def test_a_folder_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "owner" / "name"
    folder.mkdir(parents=True)
    assert find_checkpoint(folder) == folder
    assert find_checkpoint(str(folder)) == folder
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint("owner/name") == Path("owner/name")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert find_checkpoint("~/owner") == tmp_path / "owner"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nonsense", "There is no checkpoint 'nonsense'; give 'builtin', a folder"),
        ("", "There is no checkpoint ''"),
        ("./mine", "There is no folder './mine'"),
        ("../mine", "There is no folder"),
        ("~/no/such/folder", "There is no folder"),
        ("~nobody-of-this-name/x", "There is no folder"),
        ("a/b/c", "There is no folder 'a/b/c'"),
        ("C:\\mine", "There is no folder"),
        (Path("owner/name"), "There is no folder"),
        ("https://huggingface.co/sweetcocoa/pop2piano", "give the checkpoint's name alone: sweet"),
        (__file__, "is a file; give the folder it is in"),
        ("a\0b", "There is no checkpoint"),
        ("two\nlines", "There is no checkpoint"),
        ("x" * 5000, "There is no checkpoint"),
    ],
)
def test_a_name_that_is_nothing_is_told(name: str | Path, said: str) -> None:
    with pytest.raises(CheckpointError) as raised:
        find_checkpoint(name)
    assert said in line(raised)


# --- weights


def test_builtin_weights_load_with_a_tied_head_where_the_file_has_none(tmp_path: Path) -> None:
    with safe_open(BUILTIN_FOLDER / "model.safetensors", framework="pt") as stored:
        tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
    assert set(tensors) >= BEAT_POSITIONS
    head = tensors.pop("lm_head.weight")
    save_weights(tensors, tmp_path)
    expected = shapes(tensors)
    weights = load_weights(tmp_path, {**expected, "lm_head.weight": tuple(head.shape)})
    assert weights.tied_head
    assert "lm_head.weight" not in weights.tensors
    assert shapes(weights.tensors) == expected
    assert {tensor.dtype for tensor in weights.tensors.values()} == {torch.float16}
    single = load_weights(tmp_path, expected, dtype=torch.float32)
    assert not single.tied_head
    assert {tensor.dtype for tensor in single.tensors.values()} == {torch.float32}
    torch.testing.assert_close(
        single.tensors["shared.weight"], weights.tensors["shared.weight"].float(), rtol=0, atol=0
    )


def test_weights_that_transformers_saved_load_bit_for_bit(reference: Path, state: State) -> None:
    weights = load_weights(reference, shapes(state))
    assert not weights.tied_head
    assert_equal(weights.tensors, state)


def test_shards_load_like_one_file(reference: Path, state: State, tmp_path: Path) -> None:
    model = transformers.Pop2PianoForConditionalGeneration.from_pretrained(reference)
    model.save_pretrained(tmp_path, max_shard_size="40KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    assert_equal(load_weights(tmp_path, shapes(state)).tensors, state)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_weights_load(state: State, tmp_path: Path, zipped: bool) -> None:
    torch.save(state, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    assert_equal(load_weights(tmp_path, shapes(state)).tensors, state)


def test_pickled_shards_load(state: State, tmp_path: Path) -> None:
    keys = list(state)
    halves = {"pytorch_model-1-of-2.bin": keys[::2], "pytorch_model-2-of-2.bin": keys[1::2]}
    for name, half in halves.items():
        torch.save({key: state[key] for key in half}, tmp_path / name)
    weight_map = {key: name for name, half in halves.items() for key in half}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert_equal(load_weights(tmp_path, shapes(state)).tensors, state)


def test_safetensors_are_preferred_to_a_pickle(state: State, tmp_path: Path) -> None:
    save_weights(state, tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"never opened")
    assert_equal(load_weights(tmp_path, shapes(state)).tensors, state)


def test_the_copies_in_old_checkpoints_are_dropped(state: State, tmp_path: Path) -> None:
    copies = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
    old = {**state, **{key: state["shared.weight"].clone() for key in copies}}
    torch.save(old, tmp_path / "pytorch_model.bin")
    assert_equal(load_weights(tmp_path, shapes(state)).tensors, state)
    del old["shared.weight"]
    torch.save(old, tmp_path / "pytorch_model.bin")
    assert_equal(load_weights(tmp_path, shapes(state)).tensors, state)


def test_weights_we_save_load_in_transformers(
    state: State, reference: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_bytes((reference / "config.json").read_bytes())
    copies = {"encoder.embed_tokens.weight": state["shared.weight"]}
    transposed = {key: t.t().contiguous().t() if t.dim() == 2 else t for key, t in state.items()}
    save_weights({**transposed, **copies}, tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as stored:
        assert stored.metadata() == {"format": "pt"}
        assert set(stored.keys()) == set(state)
    model, told = transformers.Pop2PianoForConditionalGeneration.from_pretrained(
        tmp_path, output_loading_info=True
    )
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    assert not told["mismatched_keys"]
    assert_equal({key: model.state_dict()[key] for key in state}, state)


def test_a_head_that_is_the_table_is_saved_once_and_read_as_tied(
    state: State, tmp_path: Path
) -> None:
    table = torch.nn.Parameter(state["shared.weight"].clone())
    save_weights({**state, "shared.weight": table, "lm_head.weight": table}, tmp_path / "new")
    weights = load_weights(tmp_path / "new", shapes(state))
    assert weights.tied_head
    assert set(weights.tensors) == set(state) - {"lm_head.weight"}
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["model.safetensors"]


def test_weights_can_be_saved_over_those_they_were_read_from(state: State, tmp_path: Path) -> None:
    save_weights(state, tmp_path)
    weights = load_weights(tmp_path, shapes(state))
    save_weights(weights.tensors, tmp_path)
    assert_equal(load_weights(tmp_path, shapes(state)).tensors, state)


def test_a_folder_that_cannot_be_made_is_told(state: State, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as raised:
        save_weights(state, tmp_path / "file" / "folder")
    assert "Cannot make the folder" in line(raised)


def test_weights_convert_to_the_asked_type(state: State, tmp_path: Path) -> None:
    save_weights({key: tensor.bfloat16() for key, tensor in state.items()}, tmp_path)
    kept = load_weights(tmp_path, shapes(state)).tensors
    assert {tensor.dtype for tensor in kept.values()} == {torch.bfloat16}
    half = load_weights(tmp_path, shapes(state), dtype=torch.float16).tensors
    assert {tensor.dtype for tensor in half.values()} == {torch.float16}


# --- weights that do not fit


def broken(change: Callable[[State], object]) -> Callable[[State, Path], None]:
    def save(state: State, folder: Path) -> None:
        changed = {key: tensor.clone() for key, tensor in state.items()}
        change(changed)
        save_file(changed, folder / "model.safetensors")

    return save


def fill_one(value: float) -> Callable[[State], object]:
    return lambda s: s["decoder.final_layer_norm.weight"].__setitem__(3, value)


@pytest.mark.parametrize(
    ("save", "said"),
    [
        (
            broken(lambda s: s.pop("encoder.final_layer_norm.weight")),
            ["encoder.final_layer_norm.weight of the shape (32,) is missing;"],
        ),
        (
            broken(lambda s: [s.pop(key) for key in list(s) if key.startswith("decoder")]),
            ["is missing (and ", " more);"],
        ),
        (
            broken(lambda s: s.update({"encoder.block.9.x": torch.zeros(2, 3)})),
            ["encoder.block.9.x of the shape (2, 3) is not in the model"],
        ),
        (
            broken(lambda s: s.update({"shared.weight": torch.zeros(240, 31)})),
            ["shared.weight has the shape (240, 31), but config.json asks for (240, 32);"],
        ),
        (
            broken(lambda s: s.update({"encoder.step_embedding.weight": torch.zeros(9, 32)})),
            ["encoder.step_embedding.weight", 'config.json should say "beat_positions": true'],
        ),
        (
            broken(lambda s: s.update({"two\nlines": torch.zeros(1)})),
            ["two\\nlines"],
        ),
        (broken(fill_one(float("nan"))), ["decoder.final_layer_norm.weight holds NaN"]),
        (broken(fill_one(float("inf"))), ["decoder.final_layer_norm.weight holds NaN or inf"]),
        (
            broken(lambda s: s.update({"shared.weight": torch.ones(240, 32, dtype=torch.int8)})),
            ["shared.weight is stored as torch.int8"],
        ),
    ],
)
def test_weights_of_another_model_are_told_by_their_first_key(
    state: State, tmp_path: Path, save: Callable[[State, Path], None], said: list[str]
) -> None:
    save(state, tmp_path)
    with pytest.raises(CheckpointError) as raised:
        load_weights(tmp_path, shapes(state))
    for part in [str(tmp_path / "model.safetensors"), *said]:
        assert part in line(raised)


def test_missing_beat_positions_point_at_config_json(state: State, tmp_path: Path) -> None:
    save_weights(state, tmp_path)
    wanted = {**shapes(state), "decoder.cross_attention_step_bias.weight": (18, 4)}
    with pytest.raises(CheckpointError) as raised:
        load_weights(tmp_path, wanted)
    assert line(raised).endswith('config.json should say "beat_positions": false.')


def test_weights_too_large_for_the_asked_type_are_refused(state: State, tmp_path: Path) -> None:
    large = {**state, "shared.weight": torch.full((240, 32), -1e30)}
    save_weights(large, tmp_path)
    assert load_weights(tmp_path, shapes(state)).tensors
    with pytest.raises(CheckpointError) as raised:
        load_weights(tmp_path, shapes(state), dtype=torch.float16)
    assert "shared.weight is too large for torch.float16; load it in float32" in line(raised)


# --- files that are damaged


def test_a_folder_without_weights_is_told(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CheckpointError) as raised:
            load_weights(folder, {})
        assert f"{folder}' holds no weights" in line(raised)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:5],
        lambda data: data[:200],
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: b"<!doctype html><title>Sign in</title>" * 9,
        lambda data: bytes(4096),
        lambda data: b"\xff" * 4096,
    ],
)
def test_a_damaged_file_is_told_by_name(
    state: State, tmp_path: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    file = tmp_path / name
    if file.suffix == ".bin":
        torch.save(state, file)
    else:
        save_file(state, file)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(CheckpointError) as raised:
        load_weights(tmp_path, shapes(state))
    assert f"{file}' is damaged or incomplete (" in line(raised) or (
        file.suffix == ".bin" and "or is damaged; it was not opened" in line(raised)
    )


def test_a_git_lfs_pointer_is_recognized(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    (tmp_path / "model.safetensors").write_text(pointer)
    with pytest.raises(CheckpointError) as raised:
        load_weights(tmp_path, {})
    assert "run `git lfs pull`" in line(raised)


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ("{}", "names no files"),
        ('{"weight_map": {}}', "names no files"),
        ('{"weight_map": {"a": 3}}', "names no files"),
        ('{"weight_map": {"a": "../elsewhere.safetensors"}}', "names no files"),
        ('{"weight_map": {"a": "model-1-of-2.safetensors"}}', "is missing, and model.safetensors"),
        ('{"weight_map": {"a": "pytorch_model.bin"}}', "holds no weights of its kind"),
        ('{"weight_map": ', "is not valid JSON"),
    ],
)
def test_a_broken_index_of_shards_is_told(tmp_path: Path, index: str, said: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    (tmp_path.parent / "elsewhere.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError) as raised:
        load_weights(tmp_path, {"a": (1,)})
    assert said in line(raised)


class Malicious:
    """What unpickling would run."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.trace),))


@pytest.mark.parametrize("kind", ["zip", "legacy", "plain pickle", "shard"])
def test_a_malicious_pickle_is_refused_and_never_runs(
    state: State, tmp_path: Path, kind: str
) -> None:
    trace = tmp_path / "it ran"
    stored = {**state, "shared.weight": Malicious(trace)}
    file = tmp_path / "pytorch_model.bin"
    if kind == "plain pickle":
        file.write_bytes(pickle.dumps(stored))
    else:
        torch.save(stored, file, _use_new_zipfile_serialization=kind != "legacy")
    if kind == "shard":
        file = file.rename(tmp_path / "pytorch_model-1-of-1.bin")
        index = {"weight_map": {"shared.weight": file.name}}
        (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError) as raised:
        load_weights(tmp_path, shapes(state))
    assert f"{file}' holds more than weights, which could run code" in line(raised)
    assert not trace.exists()
    # The payload is real: a careless reader runs it.
    if kind in ("zip", "plain pickle"):
        if kind == "zip":
            torch.load(file, weights_only=False)
        else:
            pickle.loads(file.read_bytes())
        assert trace.is_dir()


def test_a_torch_that_cannot_open_pickles_safely_opens_none(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(state, tmp_path / "pytorch_model.bin")
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(CheckpointError) as raised:
        load_weights(tmp_path, shapes(state))
    assert "install torch 2.6 or newer" in line(raised)


@pytest.mark.parametrize("stored", [[1, 2], {"model": {"a": torch.zeros(1)}}, {1: torch.zeros(1)}])
def test_a_pickle_of_something_else_is_told(tmp_path: Path, stored: object) -> None:
    torch.save(stored, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError) as raised:
        load_weights(tmp_path, {"a": (1,)})
    assert "is no table of weights by name" in line(raised)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["model.safetensors", "pytorch_model.bin"]),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=12)), min_size=1, max_size=4),
)
def test_any_damage_ends_in_one_line_or_in_weights(
    name: str, patches: list[tuple[int, bytes]]
) -> None:
    stored = {"a": torch.ones(2, 3), "b": torch.ones(4)}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        if file.suffix == ".bin":
            torch.save(stored, file)
        else:
            save_file(stored, file)
        data = bytearray(file.read_bytes())
        for position, patch in patches:
            start = position % len(data)
            data[start : start + len(patch)] = patch
        file.write_bytes(data)
        said = None
        try:
            assert shapes(load_weights(folder, shapes(stored)).tensors) == shapes(stored)
        except CheckpointError as error:
            said = str(error)
        assert said is None or len(said.splitlines()) == 1


# --- the Hub: a real one, on this machine, and a new process for each look


@dataclass
class Found:
    folder: Path | None
    error: str
    notices: list[str]
    stderr: str


LOOKS = """
import json, sys
from sidekeys_engine.checkpoint import CheckpointError, find_checkpoint
for name, settings in json.loads(sys.argv[1]):
    notices = []
    if "most_bytes" in settings:
        import resource
        most = settings.pop("most_bytes")
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    if not settings.pop("logged", False):
        settings["on_notice"] = notices.append
    folder, error = None, ""
    try:
        folder = str(find_checkpoint(name, **settings))
    except CheckpointError as refused:
        error = str(refused)
    print(json.dumps([folder, error, notices]))
assert "torch" not in sys.modules
"""


@dataclass
class Machine:
    """A user's machine: its cache, and the Hub it can reach."""

    home: Path
    hub: HubServer

    def find(self, name: str, environment: dict[str, str] | None = None, **more: Any) -> Found:
        """Find one checkpoint in a process of its own."""
        (found,) = self.find_all([(name, more)], environment)
        return found

    def find_all(
        self, looks: list[tuple[str, dict[str, Any]]], environment: dict[str, str] | None = None
    ) -> list[Found]:
        """Find checkpoints one after the other, in one process."""
        self.hub.requests.clear()
        ran = subprocess.run(
            [sys.executable, "-c", LOOKS, json.dumps(looks)],
            cwd=Path(inspect.getfile(sidekeys_engine.checkpoint)).parents[1],
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("HF_")},
                "HF_ENDPOINT": self.hub.endpoint,
                "HF_HOME": str(self.home),
                "NO_PROXY": "127.0.0.1",
                **(environment or {}),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        found = []
        for folder, error, notices in map(json.loads, ran.stdout.splitlines()):
            assert len(error.splitlines()) <= 1
            found.append(Found(folder and Path(folder), error, notices, ran.stderr))
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with HubServer() as hub:
        yield Machine(tmp_path / "home", hub)


def test_a_checkpoint_is_downloaded_once_and_then_read_from_the_cache(
    machine: Machine, reference: Path, state: State
) -> None:
    content = HubModel.from_folder(reference).files
    useless = {"pytorch_model.bin": b"x", "tf_model.h5": b"x", "model.fp16.safetensors": b"x"}
    machine.hub.models["owner/name"] = HubModel({**content, **useless})
    offline = {"HF_HUB_OFFLINE": "1"}

    before = machine.find("owner/name", offline)
    assert before.folder is None
    assert "the cache does not hold all of it" in before.error
    assert "run once with it (without HF_HUB_OFFLINE)" in before.error
    assert machine.hub.requests == []

    first = machine.find("owner/name")
    assert first.folder is not None
    assert {file.name for file in first.folder.iterdir()} == set(content)
    assert_equal(load_weights(first.folder, shapes(state)).tensors, state)
    downloaded = {request.path.rsplit("/", 1)[-1] for request in machine.hub.downloads()}
    assert downloaded == set(content)

    second = machine.find("owner/name")
    assert second.folder == first.folder
    assert machine.hub.downloads() == []
    assert second.stderr == ""

    assert machine.find("owner/name", offline).folder == first.folder
    assert machine.find("owner/name", local_files_only=True).folder == first.folder
    assert machine.hub.requests == []
    unreachable = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    assert machine.find("owner/name", unreachable).folder == first.folder
    other = machine.find("owner/other", unreachable)
    assert "the Hugging Face Hub cannot be reached to download it; check the conn" in other.error


def test_a_pickle_is_downloaded_only_where_there_is_nothing_better(
    machine: Machine, state: State, tmp_path: Path
) -> None:
    torch.save(state, tmp_path / "weights")
    machine.hub.models["owner/old"] = HubModel(
        {"config.json": b"{}", "pytorch_model.bin": (tmp_path / "weights").read_bytes()}
    )
    folder = machine.find("owner/old").folder
    assert folder is not None
    assert_equal(load_weights(folder, shapes(state)).tensors, state)
    assert machine.find("owner/old", {"HF_HUB_OFFLINE": "1"}).folder == folder


def test_a_cut_download_goes_on_where_it_stopped(machine: Machine) -> None:
    content = dict(HubModel.from_folder(BUILTIN_FOLDER).files)
    content["model.safetensors"] += bytes(4_000_000)  # larger than what is fetched at once
    machine.hub.models["owner/name"] = HubModel(content)
    machine.hub.cut_after["model.safetensors"] = 11_000_000
    folder = machine.find("owner/name").folder
    assert folder is not None
    assert (folder / "model.safetensors").read_bytes() == content["model.safetensors"]
    tries = [r for r in machine.hub.downloads() if r.path.endswith("model.safetensors")]
    assert len(tries) == 2
    assert tries[0].range_header == ""
    first_byte = int(tries[1].range_header.removeprefix("bytes=").removesuffix("-"))
    assert 10_000_000 < first_byte <= 11_000_000


def test_half_a_download_is_never_taken_for_a_checkpoint(machine: Machine) -> None:
    content = dict(HubModel.from_folder(BUILTIN_FOLDER).files)
    content["model.safetensors"] += bytes(4_000_000)  # larger than what is fetched at once
    machine.hub.models["owner/name"] = HubModel(content)
    machine.hub.cut_after["model.safetensors"] = 11_000_000
    machine.hub.down_after_cut = True
    cut = machine.find("owner/name")
    assert cut.folder is None
    assert "(status 503); run this again later" in cut.error
    assert cut.notices == []
    assert "the cache does not hold all of it" in (
        machine.find("owner/name", local_files_only=True).error
    )
    machine.hub.down = machine.hub.down_after_cut = False
    whole = machine.find("owner/name")
    assert whole.folder is not None
    assert (whole.folder / "model.safetensors").read_bytes() == content["model.safetensors"]
    assert whole.notices != []
    fetched_again = [request.path.rsplit("/", 1)[-1] for request in machine.hub.downloads()]
    assert "model.safetensors" in fetched_again
    assert "config.json" not in fetched_again


def test_the_license_is_told_at_first_use_only(machine: Machine) -> None:
    files = {"config.json": b"{}", "model.safetensors": b"x"}
    card = b"---\nlicense: cc-by-nc-4.0\ntags: [music]\n---\n# Card\n"
    other = b"---\nlicense: other\nlicense_name: my own\n---\n"
    machine.hub.models["owner/bare"] = HubModel(files)
    machine.hub.models["owner/card"] = HubModel({**files, "README.md": card})
    machine.hub.models["owner/other"] = HubModel({**files, "README.md": other})
    machine.hub.models["owner/broken"] = HubModel({**files, "README.md": b"---\nlicense: [\n---"})

    bare, again, declared, named = machine.find_all(
        [("owner/bare", {}), ("owner/bare", {}), ("owner/card", {}), ("owner/other", {})]
    )
    assert "owner/bare declares no license: ask its authors before you publish" in bare.notices[0]
    assert again.notices == []
    assert "owner/card declares the license cc-by-nc-4.0" in declared.notices[0]
    assert "declares the license my own" in named.notices[0]
    assert machine.find("owner/card", {"HF_HUB_OFFLINE": "1"}).notices == []
    logged = machine.find("owner/broken", logged=True)
    assert logged.notices == []
    assert "owner/broken declares no license" in logged.stderr


def test_what_the_hub_refuses_is_told(machine: Machine) -> None:
    files = {"config.json": b"{}", "model.safetensors": b"x"}
    machine.hub.models["owner/gated"] = HubModel(files, gated=True)
    machine.hub.models["owner/empty"] = HubModel({"notes.txt": b""})

    gated, unknown, revision, empty, allowed = machine.find_all(
        [
            ("owner/gated", {}),
            ("owner/unknown", {}),
            ("owner/empty", {"revision": "v9"}),
            ("owner/empty", {}),
            ("owner/gated", {"token": "secret"}),
        ]
    )
    assert "is gated: accept its terms at" in gated.error
    assert "`hf auth login`" in gated.error
    assert "owner/unknown is not a folder here, and the Hugging Face Hub shows you no model" in (
        unknown.error
    )
    assert "owner/empty has no revision 'v9'" in revision.error
    assert "owner/empty on the Hugging Face Hub holds no config.json and no weights" in empty.error
    assert allowed.folder is not None
    assert {request.authorization for request in machine.hub.downloads()} == {"Bearer secret"}
    assert empty.stderr == ""


def test_a_cache_without_room_or_permission_is_told(machine: Machine, tmp_path: Path) -> None:
    pytest.importorskip("resource", reason="file size limits are Unix")
    machine.hub.models["owner/name"] = HubModel(
        {"config.json": b"{}", "model.safetensors": bytes(300_000)}
    )
    full = machine.find("owner/name", most_bytes=100_000)
    assert "There is no room on the disk for owner/name; free some space" in full.error
    (tmp_path / "file").write_text("")
    refused = machine.find("owner/name", {"HF_HOME": str(tmp_path / "file")})
    assert "The cache cannot be written" in refused.error
    assert machine.find("owner/name", cache_dir=str(tmp_path / "mine")).folder is not None
    assert (tmp_path / "mine" / "models--owner--name").is_dir()
