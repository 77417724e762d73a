"""The network equals transformers' on the same weights, and does what its documentation says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from sidekeys_engine import Pop2PianoConfig, Pop2PianoForConditionalGeneration

SIZES = ["small_reference", "full_reference"]


@pytest.fixture(params=SIZES)
def folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def load_pair(folder: Path) -> tuple[Any, Pop2PianoForConditionalGeneration]:
    theirs = transformers.Pop2PianoForConditionalGeneration.from_pretrained(
        folder, attn_implementation="eager"
    ).eval()
    return theirs, Pop2PianoForConditionalGeneration.from_pretrained(folder)


@pytest.fixture(scope="module")
def small(small_reference: Path) -> Pop2PianoForConditionalGeneration:
    return Pop2PianoForConditionalGeneration.from_pretrained(small_reference)


def windows(width: int, rows: int = 4, frames: int = 30, seed: int = 1) -> Tensor:
    return torch.randn(rows, frames, width, generator=torch.Generator().manual_seed(seed)) * 2 - 4


def labels_for(rows: int, tokens: int = 9) -> Tensor:
    labels = torch.randint(2, 200, (rows, tokens), generator=torch.Generator().manual_seed(2))
    labels[1, 5:] = -100
    return labels


def worst(ours: Any, theirs: Any) -> float:
    if isinstance(ours, Tensor):
        return float((ours - theirs).abs().max())
    assert len(ours) == len(theirs)
    return max(worst(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("masked", [False, True])
@torch.no_grad()
def test_forward_equals_the_reference(folder: Path, masked: bool) -> None:
    theirs, ours = load_pair(folder)
    features = windows(ours.config.d_model)
    mask = None
    if masked:
        mask = torch.ones(4, 30, dtype=torch.long)
        mask[1, 20:] = 0
        mask[3, 11:] = 0
    arguments = {
        "input_features": features,
        "attention_mask": mask,
        "labels": labels_for(4),
        "output_hidden_states": True,
        "output_attentions": True,
    }
    a, b = ours(**arguments), theirs(**arguments)
    assert worst(a.logits, b.logits) < 1e-4
    assert abs(a.loss - b.loss) < 1e-5
    assert worst(a.encoder_last_hidden_state, b.encoder_last_hidden_state) < 1e-4
    for name in (
        "decoder_hidden_states",
        "encoder_hidden_states",
        "decoder_attentions",
        "encoder_attentions",
        "cross_attentions",
    ):
        assert worst(a[name], b[name]) < 1e-4, name


@torch.no_grad()
def test_every_input_of_forward_equals_the_reference(small_reference: Path) -> None:
    theirs, ours = load_pair(small_reference)
    ids = torch.randint(2, 200, (2, 12), generator=torch.Generator().manual_seed(3))
    decoder_mask = torch.ones(2, 7, dtype=torch.long)
    decoder_mask[1, 4:] = 0
    embeds = torch.randn(2, 7, 64, generator=torch.Generator().manual_seed(4))
    for arguments in (
        {"input_ids": ids, "decoder_input_ids": ids[:, :7]},
        {"inputs_embeds": windows(64, 2), "decoder_input_ids": ids[:, :7]},
        {"input_features": windows(64, 2), "decoder_inputs_embeds": embeds},
        {
            "input_features": windows(64, 2),
            "decoder_input_ids": ids[:, :7],
            "decoder_attention_mask": decoder_mask,
        },
    ):
        assert worst(ours(**arguments).logits, theirs(**arguments).logits) < 1e-4


@torch.no_grad()
def test_encoder_outputs_are_taken_as_object_and_as_tuple(
    small: Pop2PianoForConditionalGeneration,
) -> None:
    features, ids = windows(64), torch.arange(4, 24).reshape(4, 5)
    whole = small(input_features=features, decoder_input_ids=ids, output_attentions=True)
    from sidekeys_engine.outputs import BaseModelOutput

    encoded = whole.encoder_last_hidden_state
    for given in (
        (encoded,),
        (encoded, None, whole.encoder_attentions),
        BaseModelOutput(last_hidden_state=encoded),
    ):
        again = small(encoder_outputs=given, decoder_input_ids=ids)
        assert torch.equal(again.logits, whole.logits)


@pytest.mark.parametrize("legacy", [False, True])
@torch.no_grad()
def test_cached_steps_equal_one_pass(
    small: Pop2PianoForConditionalGeneration, legacy: bool
) -> None:
    features, ids = windows(64), torch.randint(4, 134, (4, 40))
    whole = small(input_features=features, decoder_input_ids=ids)
    first = small(input_features=features, decoder_input_ids=ids[:, :10])
    past: Any = first.past_key_values.to_tuple() if legacy else first.past_key_values
    encoded = (first.encoder_last_hidden_state,)
    for position in range(10, 40):
        step = small(
            encoder_outputs=encoded,
            decoder_input_ids=ids[:, position : position + 1],
            past_key_values=past,
            cache_position=torch.tensor([position]),
        )
        past = step.past_key_values
        assert isinstance(past, tuple) is legacy
        assert worst(step.logits[:, 0], whole.logits[:, position]) < 1e-4
    assert past[0][0].shape == (4, 4, 40, 16)


@torch.no_grad()
def test_past_keys_equal_the_reference(small_reference: Path) -> None:
    theirs, ours = load_pair(small_reference)
    ids = torch.randint(4, 134, (4, 6), generator=torch.Generator().manual_seed(5))
    arguments = {"input_features": windows(64), "decoder_input_ids": ids, "use_cache": True}
    mine = ours(**arguments).past_key_values
    cache = theirs(**arguments).past_key_values
    assert len(mine) == 2
    for layer, own in zip(cache.self_attention_cache.layers, mine, strict=True):
        assert worst(own[0], layer.keys) < 1e-4
        assert worst(own[1], layer.values) < 1e-4
    assert ours(**{**arguments, "use_cache": False}).past_key_values is None


@torch.no_grad()
@pytest.mark.parametrize(
    ("argument", "stack", "layer", "attention"),
    [
        ("head_mask", "encoder", 0, "SelfAttention"),
        ("decoder_head_mask", "decoder", 0, "SelfAttention"),
        ("cross_attn_head_mask", "decoder", 1, "EncDecAttention"),
    ],
)
def test_a_masked_head_is_as_if_it_wrote_nothing(
    small_reference: Path, argument: str, stack: str, layer: int, attention: str
) -> None:
    """The oracle is the reference with the masked heads' output columns set to zero."""
    theirs, ours = load_pair(small_reference)
    arguments = {"input_features": windows(64), "labels": labels_for(4)}
    per_layer = torch.tensor([[1, 0, 1, 1], [1, 1, 1, 0]])
    for mask in (torch.tensor([1, 0, 1, 1]), per_layer):
        reference = transformers.Pop2PianoForConditionalGeneration.from_pretrained(small_reference)
        for index, block in enumerate(getattr(reference.eval(), stack).block):
            heads = mask if mask.dim() == 1 else mask[index]
            output = getattr(block.layer[layer], attention).o.weight
            output.mul_(heads.repeat_interleave(16))
        masked = ours(**arguments, **{argument: mask})
        assert worst(masked.logits, reference(**arguments).logits) < 1e-4
        assert worst(masked.logits, theirs(**arguments).logits) > 1e-2


@torch.no_grad()
def test_return_dict_false_gives_a_plain_tuple(small: Pop2PianoForConditionalGeneration) -> None:
    arguments = {"input_features": windows(64), "labels": labels_for(4)}
    as_dict, as_tuple = small(**arguments), small(**arguments, return_dict=False)
    assert isinstance(as_tuple, tuple)
    assert torch.equal(as_tuple[0], as_dict.loss)
    assert torch.equal(as_tuple[1], as_dict.logits)
    assert len(as_tuple) == len(as_dict.to_tuple()) == 4


@torch.no_grad()
def test_without_decoder_input_the_encoders_embeddings_are_decoded(
    small_reference: Path,
) -> None:
    """Documented for both; the reference raises instead."""
    theirs, ours = load_pair(small_reference)
    features = windows(64)
    with pytest.raises(ValueError, match="decoder_input_ids or decoder_inputs_embeds"):
        theirs(input_features=features)
    assert ours(input_features=features).logits.shape == (4, 30, 2400)
    explicit = theirs(input_features=features, decoder_inputs_embeds=features).logits
    assert worst(ours(input_features=features).logits, explicit) < 1e-4


@torch.no_grad()
def test_one_row_of_labels_serves_all_windows(small: Pop2PianoForConditionalGeneration) -> None:
    features, labels = windows(64), labels_for(4)[:1]
    shared = small(input_features=features, labels=labels)
    repeated = small(input_features=features, labels=labels.repeat(4, 1))
    assert torch.equal(shared.loss, repeated.loss)


def test_labels_train(small_reference: Path) -> None:
    model = Pop2PianoForConditionalGeneration.from_pretrained(small_reference).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(12):
        loss = model(input_features=windows(64), labels=labels_for(4)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert all(weight.grad is not None for weight in model.decoder.parameters())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "give input_features"),
        ({"input_features": windows(64), "inputs_embeds": windows(64)}, "not both"),
        ({"input_features": windows(32)}, "reads 64 mel bands, the features have 32"),
        (
            {
                "input_features": windows(64),
                "decoder_input_ids": torch.zeros(4, 1, dtype=torch.long),
                "decoder_inputs_embeds": windows(64),
            },
            "not both",
        ),
    ],
)
def test_contradictory_inputs_are_refused(
    small: Pop2PianoForConditionalGeneration, arguments: dict[str, Tensor], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        small(**arguments)
    with pytest.raises(TypeError, match="spectrogram"):
        small(input_features=windows(64), spectrogram=1)
    for shape in ((5, 4), (3,)):
        with pytest.raises(ValueError, match=r"\(4,\) or \(2, 4\)"):
            small(input_features=windows(64), head_mask=torch.ones(shape))
    with pytest.raises(TypeError, match="no argument 'torch_dtype'"):
        Pop2PianoForConditionalGeneration.from_pretrained("builtin", torch_dtype=None)


@torch.no_grad()
def test_arrays_and_every_kind_of_mask_are_taken(
    small: Pop2PianoForConditionalGeneration,
) -> None:
    features, mask = windows(64), torch.ones(4, 30)
    mask[1, 20:] = 0
    expected = small(input_features=features, attention_mask=mask, labels=labels_for(4)).logits
    for kind in (torch.bool, torch.int64, torch.float16):
        given = small(
            input_features=features.numpy(), attention_mask=mask.to(kind), labels=labels_for(4)
        )
        assert torch.equal(given.logits, expected)
    given = small(input_features=features, attention_mask=mask.numpy(), labels=labels_for(4))
    assert torch.equal(given.logits, expected)


def test_saved_weights_have_the_references_names_and_load_there(
    small_reference: Path, tmp_path: Path
) -> None:
    from safetensors import safe_open

    _, ours = load_pair(small_reference)
    ours.save_pretrained(tmp_path)
    with (
        safe_open(small_reference / "model.safetensors", "pt") as original,
        safe_open(tmp_path / "model.safetensors", "pt") as saved,
    ):
        assert set(original.keys()) == set(saved.keys())
    theirs, again = load_pair(tmp_path)
    arguments = {"input_features": windows(64), "labels": labels_for(4)}
    with torch.no_grad():
        assert worst(again(**arguments).logits, ours(**arguments).logits) == 0
        assert worst(theirs(**arguments).logits, ours(**arguments).logits) < 1e-4
    assert again.config == ours.config
    assert again.generation_config == ours.generation_config


@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_new", "silu"])
@pytest.mark.parametrize("projection", ["relu", "gated-gelu"])
@pytest.mark.parametrize("tied", [False, True])
@torch.no_grad()
def test_every_activation_and_scaling_equals_the_reference(
    tmp_path: Path, activation: str, projection: str, tied: bool
) -> None:
    from reference import SMALL, make_reference

    make_reference(
        tmp_path,
        **SMALL,
        num_decoder_layers=3,
        dense_act_fn=activation,
        feed_forward_proj=projection,
        tie_word_embeddings=tied,
    )
    theirs, ours = load_pair(tmp_path)
    assert ours.config.scale_decoder_outputs is tied
    arguments = {"input_features": windows(64), "labels": labels_for(4)}
    assert worst(ours(**arguments).logits, theirs(**arguments).logits) < 1e-4


def test_random_weights_are_drawn_as_the_reference_draws_them() -> None:
    settings = {"d_model": 128, "num_layers": 2, "num_heads": 4}
    torch.manual_seed(0)
    ours = Pop2PianoForConditionalGeneration(Pop2PianoConfig(**settings))
    theirs = transformers.Pop2PianoForConditionalGeneration(
        transformers.Pop2PianoConfig(**settings)
    )
    reference = theirs.state_dict()
    for name, weight in ours.state_dict().items():
        expected = float(reference[name].std())
        tolerance = 0.05 if weight.numel() > 10_000 else 0.3
        assert float(weight.std()) == pytest.approx(expected, rel=tolerance, abs=1e-6), name


def test_bfloat16_stays_near_float32(small_reference: Path) -> None:
    exact = Pop2PianoForConditionalGeneration.from_pretrained(small_reference)
    coarse = Pop2PianoForConditionalGeneration.from_pretrained(
        small_reference, dtype=torch.bfloat16
    )
    arguments = {"input_features": windows(64), "labels": labels_for(4)}
    with torch.no_grad():
        difference = abs(coarse(**arguments).loss - exact(**arguments).loss)
    assert 0 < difference < 0.5
