"""Generated tokens equal transformers' on the same weights; settings never stick."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from sidekeys_engine import GenerationConfig, Pop2PianoForConditionalGeneration
from sidekeys_engine.outputs import GenerateOutput
from sidekeys_engine.sampling import row_uniforms, sample, sample_without_replacement, warp

END = 1


def load_ours(folder: Path) -> Pop2PianoForConditionalGeneration:
    return Pop2PianoForConditionalGeneration.from_pretrained(folder)


@pytest.fixture(scope="module")
def small(small_reference: Path) -> Pop2PianoForConditionalGeneration:
    return load_ours(small_reference)


def reference_tokens(folder: Path, features: Tensor, **arguments: Any) -> Tensor:
    """A fresh model for every call: the reference keeps a call's settings for the next."""
    model = transformers.Pop2PianoForConditionalGeneration.from_pretrained(folder).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.generate(features, **arguments)


def windows(width: int, rows: int = 6, frames: int = 40, seed: int = 1) -> Tensor:
    return torch.randn(rows, frames, width, generator=torch.Generator().manual_seed(seed)) * 2 - 4


def lengths(tokens: Tensor) -> list[int]:
    """Tokens before each row's end; the row's whole length where it never ends."""
    return [row.index(END) if END in row else len(row) for row in tokens.tolist()]


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_length": 60},
        {"max_new_tokens": 30, "min_new_tokens": 9},
        {"max_length": 40, "min_length": 12},
        {"max_length": 50, "num_beams": 4},
        {"max_length": 50, "num_beams": 4, "early_stopping": True},
        {"max_length": 50, "num_beams": 3, "length_penalty": 0.3, "early_stopping": "never"},
        {"max_length": 40, "num_beams": 4, "num_return_sequences": 3},
        {"max_new_tokens": 40, "min_new_tokens": 7, "num_beams": 2, "length_penalty": 0.5},
    ],
    ids=str,
)
def test_small_model_equals_the_reference(small_reference: Path, arguments: Any) -> None:
    features = windows(64)
    expected = reference_tokens(small_reference, features, composer="composer5", **arguments)
    model = load_ours(small_reference)
    tokens = model.generate(features, composer="composer5", **arguments)
    assert torch.equal(tokens, expected)
    assert len(set(lengths(tokens))) > 1, "the windows must end at different lengths"


@pytest.mark.parametrize(
    "arguments", [{"max_length": 48}, {"max_length": 24, "num_beams": 4}], ids=str
)
def test_full_size_model_equals_the_reference(full_reference: Path, arguments: Any) -> None:
    features = windows(512, rows=4)
    expected = reference_tokens(full_reference, features, composer="composer21", **arguments)
    tokens = load_ours(full_reference).generate(features, composer="composer21", **arguments)
    assert torch.equal(tokens, expected)


@pytest.mark.parametrize("beams", [1, 4])
def test_masked_batch_equals_the_reference(small_reference: Path, beams: int) -> None:
    """Songs of a batch, separated by a zero row, which ours does not decode."""
    features = windows(64)
    mask = torch.ones(6, 40, dtype=torch.long)
    mask[1, 30:] = 0
    mask[2] = 0
    mask[5] = 0
    arguments = {"attention_mask": mask, "composer": "composer2", "max_length": 40}
    expected = reference_tokens(small_reference, features, num_beams=beams, **arguments)
    tokens = load_ours(small_reference).generate(features, num_beams=beams, **arguments)
    songs = [0, 1, 3, 4]
    for ours, theirs in zip(tokens[songs].tolist(), expected[songs].tolist(), strict=True):
        end = ours.index(END) + 1 if END in ours else len(ours)
        assert ours[:end] == theirs[:end]
    assert tokens[2].tolist()[:3] == [0, END, 0]
    only_separators = load_ours(small_reference).generate(
        features[:2], attention_mask=torch.zeros(2, 40), max_length=9
    )
    assert only_separators.tolist() == [[0, END], [0, END]]


def test_a_window_does_not_depend_on_its_batch(
    small: Pop2PianoForConditionalGeneration,
) -> None:
    features = windows(64, rows=9)
    batch = small.generate(features, max_length=60)
    assert isinstance(batch, Tensor)
    for row, tokens in enumerate(batch):
        alone = small.generate(features[row : row + 1], max_length=60)[0]
        assert tokens[: len(alone)].tolist() == alone.tolist()
        assert not tokens[len(alone) :].any()


def test_padding_is_masked_out(small: Pop2PianoForConditionalGeneration) -> None:
    features = windows(64, rows=2)
    mask = torch.ones(2, 40, dtype=torch.long)
    mask[0, 25:] = 0
    padded = small.generate(features, attention_mask=mask, max_length=40)
    alone = small.generate(features[:1, :25], max_length=40)
    assert padded[0, : alone.shape[1]].tolist() == alone[0].tolist()


def test_every_row_may_have_its_own_composer(small: Pop2PianoForConditionalGeneration) -> None:
    features = windows(64, rows=1).repeat(3, 1, 1)
    names = ["composer1", "composer9", "composer1"]
    mixed = small.generate(features, composer=names, max_length=30)
    assert torch.equal(mixed[0], mixed[2])
    assert not torch.equal(mixed[0], mixed[1])
    alone = small.generate(features[:1], composer="composer9", max_length=30)
    assert mixed[1, : alone.shape[1]].tolist() == alone[0].tolist()


def test_overrides_do_not_persist_as_they_do_in_the_reference(small_reference: Path) -> None:
    features = windows(64)
    theirs = transformers.Pop2PianoForConditionalGeneration.from_pretrained(small_reference)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs.generate(features, max_length=7)
        assert theirs.generation_config.max_length == 7
    ours = load_ours(small_reference)
    before = ours.generation_config.to_dict()
    ours.generate(features, max_length=7, do_sample=True, temperature=0.7, num_beams=2)
    assert ours.generation_config.to_dict() == before


def test_a_generation_config_can_be_given(small: Pop2PianoForConditionalGeneration) -> None:
    settings = small.generation_config.updated(max_length=11)
    assert small.generate(windows(64), generation_config=settings).shape == (6, 11)
    shorter = small.generate(windows(64), generation_config=settings, max_length=5)
    assert shorter.shape == (6, 5)
    assert settings.max_length == 11


def test_a_config_of_transformers_and_a_dictionary_will_do(
    small: Pop2PianoForConditionalGeneration, small_reference: Path
) -> None:
    theirs = transformers.GenerationConfig.from_pretrained(small_reference)
    theirs.max_length = 9
    expected = small.generate(windows(64), max_length=9)
    assert torch.equal(small.generate(windows(64), generation_config=theirs), expected)
    given = {**small.generation_config.to_dict(), "max_length": 9}
    assert torch.equal(small.generate(windows(64), generation_config=given), expected)


def test_generated_tokens_can_be_learned_from(
    small: Pop2PianoForConditionalGeneration,
) -> None:
    tokens = small.generate(windows(64), max_length=9)
    small(input_features=windows(64), labels=tokens).loss.backward()
    small.zero_grad()


def test_separators_have_rows_in_every_output(small: Pop2PianoForConditionalGeneration) -> None:
    mask = torch.ones(6, 40)
    mask[2] = mask[5] = 0
    output = small.generate(
        windows(64),
        attention_mask=mask,
        max_length=20,
        num_beams=3,
        num_return_sequences=2,
        return_dict_in_generate=True,
        output_scores=True,
    )
    assert isinstance(output, GenerateOutput)
    assert output.sequences.shape[0] == output.sequences_scores.shape[0] == 12
    assert output.sequences[4:6, :3].tolist() == [[0, END, 0]] * 2
    assert output.sequences_scores[4:6].tolist() == [0, 0]
    assert {len(scores) for scores in output.scores} == {18}


def test_sampling_repeats_with_its_seed_and_follows_torch_without(
    small: Pop2PianoForConditionalGeneration,
) -> None:
    arguments = {"do_sample": True, "max_length": 40, "top_k": 40, "top_p": 0.95}
    first = small.generate(windows(64), seed=3, **arguments)
    assert torch.equal(first, small.generate(windows(64), seed=3, **arguments))
    assert not torch.equal(first, small.generate(windows(64), seed=4, **arguments)[:, :40])
    torch.manual_seed(8)
    drawn = small.generate(windows(64), **arguments)
    torch.manual_seed(8)
    assert torch.equal(drawn, small.generate(windows(64), **arguments))


@pytest.mark.parametrize("beams", [1, 3])
def test_a_sampled_window_does_not_depend_on_its_batch(
    small: Pop2PianoForConditionalGeneration, beams: int
) -> None:
    features = windows(64)
    arguments = {"do_sample": True, "max_length": 30, "seed": 5, "num_beams": beams}
    batch = small.generate(features, **arguments)
    late = small.generate(features[4:], first_row=4, **arguments)
    for tokens, alone in zip(batch[4:].tolist(), late.tolist(), strict=True):
        end = alone.index(END) + 1 if END in alone else len(alone)
        assert tokens[:end] == alone[:end]


def test_several_samples_of_one_window_differ(small: Pop2PianoForConditionalGeneration) -> None:
    takes = small.generate(
        windows(64, rows=2), do_sample=True, seed=1, num_return_sequences=3, max_length=30
    )
    assert takes.shape[0] == 6
    assert len({tuple(row) for row in takes.tolist()}) == 6


def test_a_tiny_temperature_is_greedy(small: Pop2PianoForConditionalGeneration) -> None:
    features = windows(64)
    greedy = small.generate(features, max_length=30)
    cold = small.generate(features, max_length=30, do_sample=True, temperature=1e-4, seed=0)
    assert torch.equal(greedy, cold)
    one = small.generate(features, max_length=30, do_sample=True, top_k=1, seed=0)
    assert torch.equal(greedy, one)


def test_samples_follow_their_distribution() -> None:
    scores = torch.tensor([[0.5, -1.0, float("-inf"), 2.0]]).expand(20_000, -1)
    uniforms = torch.rand(20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    counts = torch.bincount(sample(scores, uniforms), minlength=4) / 20_000
    assert torch.allclose(counts, scores[0].softmax(0), atol=0.01)
    assert counts[2] == 0
    pairs = sample_without_replacement(scores[:2000], 2, uniforms[:2000])
    assert bool((pairs[:, 0] != pairs[:, 1]).all())
    assert not bool((pairs == 2).any())


def test_the_largest_uniform_draws_a_token_that_may_be_drawn() -> None:
    scores = torch.tensor([[1.0, 2.0, float("-inf")]])
    edge = torch.tensor([1.0 - 2**-53], dtype=torch.float64)
    assert sample(scores, edge).item() == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.6},
        {"top_k": 5},
        {"top_p": 0.7},
        {"temperature": 1.7, "top_k": 12, "top_p": 0.8},
    ],
    ids=str,
)
def test_warping_equals_the_reference(settings: Any) -> None:
    scores = torch.randn(7, 60, generator=torch.Generator().manual_seed(0))
    warpers = [transformers.TemperatureLogitsWarper(settings.get("temperature", 1.0))]
    warpers.append(transformers.TopKLogitsWarper(settings.get("top_k", 50)))
    if "top_p" in settings:
        warpers.append(transformers.TopPLogitsWarper(settings["top_p"]))
    expected = scores
    for warper in warpers:
        expected = warper(None, expected)
    assert torch.equal(warp(scores, GenerationConfig(do_sample=True, **settings)), expected)


def test_uniforms_of_a_row_depend_on_seed_and_row_alone() -> None:
    assert torch.equal(row_uniforms(3, range(10), 5)[7:], row_uniforms(3, range(7, 10), 5))
    assert not torch.equal(row_uniforms(3, range(1), 5), row_uniforms(4, range(1), 5))


def test_a_dictionary_is_returned_when_asked_for(
    small: Pop2PianoForConditionalGeneration,
) -> None:
    features = windows(64)
    plain = small.generate(features, max_length=30)
    output = small.generate(
        features, max_length=30, return_dict_in_generate=True, output_scores=True
    )
    assert isinstance(output, GenerateOutput)
    assert torch.equal(output["sequences"], plain)
    assert output.scores is not None
    assert len(output.scores) == plain.shape[1] - 1
    for position, scores in enumerate(output.scores, start=1):
        open_rows = [row for row, length in enumerate(lengths(plain)) if length >= position]
        assert torch.equal(scores.argmax(1)[open_rows], plain[open_rows, position])
    beams = small.generate(features, max_length=30, num_beams=3, return_dict_in_generate=True)
    assert beams.scores is None
    scored = small.generate(
        features, max_length=30, num_beams=3, return_dict_in_generate=True, output_scores=True
    )
    assert torch.equal(scored.sequences, beams.sequences)
    assert {scores.shape for scores in scored.scores} == {(18, 2400)}
    assert beams.sequences_scores.shape == (6,)
    assert bool((beams.sequences_scores < 0).all())


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"composer": "mozart"}, ValueError, "choose one of composer1, composer2"),
        ({"composer": ["composer1"]}, ValueError, "1 composers were given for 6 windows"),
        ({"temperatur": 1.0}, TypeError, "did you mean 'temperature'"),
        ({"temperature": 0.0}, ValueError, "temperature"),
        ({"num_beams": 0}, ValueError, "num_beams"),
        ({"top_p": 1.5}, ValueError, "top_p"),
        ({"min_length": 9, "max_length": 4}, ValueError, "min_length"),
    ],
)
def test_wrong_settings_are_refused_in_words(
    small: Pop2PianoForConditionalGeneration,
    arguments: Any,
    error: type[Exception],
    says: str,
) -> None:
    with pytest.raises(error, match=says):
        small.generate(windows(64), **arguments)


def test_a_checkpoint_without_composers_says_so(
    small: Pop2PianoForConditionalGeneration,
) -> None:
    nameless = small.generation_config.updated(composer_to_feature_token={})
    with pytest.raises(ValueError, match="composer_to_feature_token"):
        small.generate(windows(64), generation_config=nameless)
    two = small.generation_config.updated(composer_to_feature_token={"a": 0, "b": 1})
    with pytest.raises(ValueError, match="names 2 composers, but the model has 21"):
        small.generate(windows(64), composer="a", generation_config=two)
