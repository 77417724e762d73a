from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from sidekeys_engine.outputs import (
    BaseModelOutput,
    BatchEncoding,
    BatchFeature,
    GenerateOutput,
    Seq2SeqLMOutput,
)


def test_entries_are_read_by_name_and_by_attribute() -> None:
    batch = BatchFeature({"beatsteps": [1, 2]})
    assert batch["beatsteps"] == batch.beatsteps == [1, 2]
    assert "beatsteps" in batch
    assert "beatsteps" in dir(batch)


def test_a_missing_entry_is_a_missing_attribute() -> None:
    batch = BatchFeature({"beatsteps": [1]})
    assert hasattr(batch, "beatsteps")
    assert not hasattr(batch, "attention_mask")
    with pytest.raises(KeyError):
        batch["attention_mask"]


def test_entries_are_handed_to_a_function_as_arguments() -> None:
    batch = BatchFeature({"a": 1})
    batch["b"] = 2
    assert dict(**batch) == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "twin", [copy.deepcopy, copy.copy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_copy_equals_its_original(twin: object) -> None:
    batch = BatchEncoding({"token_ids": [1, 2]})
    assert twin(batch).token_ids == [1, 2]  # type: ignore[operator]


def test_tensors_keep_their_types() -> None:
    arrays = {"x": np.zeros((2, 3), np.float32), "mask": np.ones(2, np.int64)}
    batch = BatchFeature(arrays, tensor_type="pt")
    assert batch.x.dtype == torch.float32
    assert batch.mask.dtype == torch.int64
    assert BatchFeature(batch, tensor_type="np").x.dtype == np.float32


def test_only_floating_point_tensors_change_their_type() -> None:
    batch = BatchFeature({"x": torch.zeros(1), "mask": torch.ones(1).long(), "name": "song"})
    assert batch.to(torch.float64) is batch
    assert batch.x.dtype == torch.float64
    assert batch.mask.dtype == torch.int64
    assert batch.to("cpu", dtype=torch.float16).x.dtype == torch.float16
    assert batch.name == "song"


def test_rows_of_several_lengths_are_no_tensor() -> None:
    with pytest.raises(ValueError, match="differ in length; ask for padding=True"):
        BatchFeature({"token_ids": [[1], [1, 2]]}, tensor_type="pt")


def test_unknown_kinds_of_tensors_are_refused() -> None:
    with pytest.raises(ValueError, match="'pt', 'np' or None, not 'tf'"):
        BatchFeature({"x": [1]}, tensor_type="tf")


def test_fields_without_a_value_are_left_out() -> None:
    logits, state = torch.zeros(1), torch.ones(2)
    output = Seq2SeqLMOutput(logits=logits, encoder_last_hidden_state=state)
    assert output.loss is None
    assert output[0] is logits
    assert output[1] is output[-1] is state
    assert output[:1] == (logits,)
    assert list(output) == list(output.keys()) == ["logits", "encoder_last_hidden_state"]
    assert output.to_tuple() == tuple(output.values()) == (logits, state)
    assert len(output) == 2
    assert "loss" not in output
    with pytest.raises(KeyError):
        output["loss"]


def test_fields_can_be_set_and_unknown_ones_cannot() -> None:
    output = BaseModelOutput(torch.zeros(1))
    output["hidden_states"] = (torch.ones(1),)
    assert output.hidden_states == output["hidden_states"]
    with pytest.raises(KeyError):
        output["logits"] = torch.ones(1)


def test_outputs_unpack_into_arguments_and_compare_by_identity() -> None:
    output = GenerateOutput(sequences=torch.zeros(1, 2))
    assert dict(**output)["sequences"] is output.sequences
    assert output == output
    assert output != GenerateOutput(sequences=output.sequences)


def test_importing_the_outputs_leaves_torch_out() -> None:
    code = "import sys, sidekeys_engine.outputs; sys.exit('torch' in sys.modules)"
    search = os.pathsep.join(sys.path)
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": search})
