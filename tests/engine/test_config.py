"""The settings of a checkpoint: the reference's defaults and JSON, and bad values in words."""

from __future__ import annotations

import inspect
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekeys_engine.checkpoint import CheckpointError
from sidekeys_engine.config import GenerationConfig, Pop2PianoConfig
from sidekeys_engine.errors import InputError

SEED_ARGUMENTS = {
    "vocab_size": 2400,
    "composer_vocab_size": 21,
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 6,
    "num_decoder_layers": None,
    "num_heads": 8,
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "dropout_rate": 0.1,
    "layer_norm_epsilon": 1e-6,
    "initializer_factor": 1.0,
    "feed_forward_proj": "gated-gelu",
    "is_encoder_decoder": True,
    "use_cache": True,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "dense_act_fn": "relu",
}


# --- Pop2PianoConfig


def test_the_documented_arguments_come_in_their_order_with_their_defaults() -> None:
    arguments = inspect.signature(Pop2PianoConfig).parameters.values()
    positional = [a for a in arguments if a.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert {a.name: a.default for a in positional} == SEED_ARGUMENTS
    assert [a.name for a in positional] == list(SEED_ARGUMENTS)


def test_a_default_config_has_the_attributes_of_the_reference() -> None:
    ours, reference = Pop2PianoConfig(), transformers.Pop2PianoConfig()
    names = [*SEED_ARGUMENTS, "is_gated_act", "hidden_size", "num_hidden_layers"]
    names += ["num_attention_heads", "tie_word_embeddings", "scale_decoder_outputs"]
    names += ["output_attentions", "output_hidden_states", "return_dict", "model_type"]
    for name in names:
        assert getattr(ours, name) == getattr(reference, name), name
    assert ours.decoder_start_token_id == 0
    assert not ours.beat_positions
    assert ours.steps_per_window == 8


@pytest.mark.parametrize(
    "given_settings",
    [
        {},
        {"tie_word_embeddings": False},
        {"tie_word_embeddings": True, "scale_decoder_outputs": False},
        {"tie_word_embeddings": False, "scale_decoder_outputs": True},
    ],
)
def test_the_output_is_scaled_exactly_when_the_reference_scales_it(
    given_settings: dict[str, bool],
) -> None:
    ours = Pop2PianoConfig(**given_settings)
    reference = transformers.Pop2PianoConfig(**given_settings)
    assert ours.scale_decoder_outputs is reference.scale_decoder_outputs
    assert ours.tie_word_embeddings is reference.tie_word_embeddings is True
    assert Pop2PianoConfig.from_dict(reference.to_dict()).scale_decoder_outputs is (
        reference.scale_decoder_outputs
    )


@pytest.mark.parametrize("scaled", [True, False])
def test_our_config_json_means_the_same_to_the_reference(tmp_path: Path, scaled: bool) -> None:
    ours = Pop2PianoConfig(
        d_model=64, num_heads=2, dense_act_fn="gelu_new", scale_decoder_outputs=scaled
    )
    ours.save_pretrained(tmp_path)
    reference = transformers.Pop2PianoConfig.from_pretrained(tmp_path)
    for name in [*SEED_ARGUMENTS, "scale_decoder_outputs", "decoder_start_token_id"]:
        assert getattr(ours, name) == getattr(reference, name), name
    # Releases before 5 know tie_word_embeddings alone, with this meaning.
    assert json.loads((tmp_path / "config.json").read_text())["tie_word_embeddings"] is scaled


def test_the_references_config_json_means_the_same_to_us(tmp_path: Path) -> None:
    reference = transformers.Pop2PianoConfig(
        d_ff=96, num_layers=2, num_decoder_layers=3, feed_forward_proj="relu", dense_act_fn="silu"
    )
    reference.save_pretrained(tmp_path)
    ours = Pop2PianoConfig.from_pretrained(tmp_path)
    for name in [*SEED_ARGUMENTS, "scale_decoder_outputs", "is_gated_act"]:
        assert getattr(ours, name) == getattr(reference, name), name


def test_a_config_survives_saving_with_what_it_does_not_know(tmp_path: Path) -> None:
    config = Pop2PianoConfig(d_model=96, beat_positions=True, made_by={"who": ["a", 1]})
    config.save_pretrained(tmp_path / "new" / "folder")
    again = Pop2PianoConfig.from_pretrained(tmp_path / "new" / "folder")
    assert again == config
    assert again.made_by == {"who": ["a", 1]}  # type: ignore[attr-defined]
    assert again != Pop2PianoConfig(d_model=96, beat_positions=True)
    assert Pop2PianoConfig.from_json_file(tmp_path / "new" / "folder" / "config.json") == config


def test_a_finer_grid_with_velocities_and_held_notes_survives_saving(tmp_path: Path) -> None:
    config = Pop2PianoConfig(
        vocab_size=161,
        beat_positions=True,
        steps_per_window=16,
        steps_per_beat=4,
        context_steps=4,
        velocity_levels=12,
        held_notes=True,
    )
    assert config.heard_steps == 20
    assert (config.layout.first_time_id, config.layout.longest_move) == (145, 15)
    config.save_pretrained(tmp_path)
    assert Pop2PianoConfig.from_pretrained(tmp_path) == config


def test_without_them_a_config_means_what_pop2piano_does() -> None:
    config = Pop2PianoConfig()
    assert (config.steps_per_beat, config.context_steps, config.velocity_levels) == (2, 0, 1)
    assert not config.held_notes
    assert config.heard_steps == 8
    assert config.layout.first_time_id == 134


def test_a_dictionary_of_settings_is_a_copy() -> None:
    config = Pop2PianoConfig(extra={"a": 1})
    config.to_dict()["extra"]["a"] = 2
    assert config.extra == {"a": 1}  # type: ignore[attr-defined]


def test_aliases_name_the_same_settings() -> None:
    config = Pop2PianoConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4)
    assert (config.d_model, config.num_layers, config.num_heads) == (64, 2, 4)
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (64, 2, 4)
    assert config.num_decoder_layers == 2


def test_the_start_token_is_the_padding_unless_said_otherwise() -> None:
    assert Pop2PianoConfig(pad_token_id=3).decoder_start_token_id == 3
    assert Pop2PianoConfig(pad_token_id=3, decoder_start_token_id=2).decoder_start_token_id == 2


def test_an_end_token_in_a_list_is_read() -> None:
    assert Pop2PianoConfig(eos_token_id=[1]).eos_token_id == 1  # type: ignore[arg-type]


def test_keywords_replace_what_the_file_says() -> None:
    config = Pop2PianoConfig.from_pretrained("builtin", output_attentions=True, dropout_rate=0.0)
    assert config.output_attentions
    assert config.dropout_rate == 0.0
    assert config.d_model == 256


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"num_heads": 0}, '"num_heads" must be a whole number of at least 1, not 0'),
        ({"num_heads": -8}, "not -8"),
        ({"d_model": 512.0}, "whole number of at least 1, not 512.0"),
        ({"d_ff": True}, "not True"),
        ({"num_layers": "6"}, "not '6'"),
        ({"num_decoder_layers": 0}, '"num_decoder_layers"'),
        ({"steps_per_window": 0}, '"steps_per_window"'),
        ({"steps_per_beat": 0}, '"steps_per_beat" must be a whole number of at least 1, not 0'),
        ({"velocity_levels": 0}, '"velocity_levels" must be a whole number of at least 1, not 0'),
        ({"velocity_levels": 12.0}, "not 12.0"),
        ({"context_steps": -1}, '"context_steps" must be a whole number of at least 0, not -1'),
        ({"context_steps": True, "beat_positions": True}, "not True"),
        ({"context_steps": 4}, '"context_steps" needs "beat_positions": true'),
        ({"held_notes": 1}, '"held_notes" must be true or false, not 1'),
        ({"chord_order": "up"}, "one of any, ascending, descending, not 'up'"),
        ({"relative_attention_num_buckets": 2}, "at least 4"),
        ({"relative_attention_max_distance": 16}, "above half"),
        ({"dropout_rate": 1.0}, '"dropout_rate" must be a number at least 0 and below 1, not 1.0'),
        ({"layer_norm_epsilon": 0}, "above 0"),
        ({"layer_norm_epsilon": math.nan}, "not nan"),
        ({"initializer_factor": 10**400}, '"initializer_factor" must be a number'),
        ({"feed_forward_proj": "gated-silu"}, "one of relu, gated-gelu, not 'gated-silu'"),
        ({"dense_act_fn": "mish"}, "one of relu, gelu, gelu_new, silu, not 'mish'"),
        ({"eos_token_id": 2400}, 'below "vocab_size" (2400)'),
        ({"eos_token_id": [1, 2]}, '"eos_token_id"'),
        ({"use_cache": "yes"}, "true or false, not 'yes'"),
        ({"beat_positions": 1}, '"beat_positions" must be true or false'),
        ({"model_type": "t5"}, "give a Pop2Piano checkpoint"),
        ({"to_dict": 3}, '"to_dict" cannot be the name of a setting'),
    ],
)
def test_a_config_no_model_can_have_is_refused_in_words(bad: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as raised:
        Pop2PianoConfig(**bad)
    assert isinstance(raised.value, ValueError)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "holds no config.json"),
        (b"", "not valid JSON (line 1"),
        (b'{"d_model": 512,\n "d_kv": }', "not valid JSON (line 2"),
        (b"[1, 2]", "must hold a JSON object"),
        (b"\xff\xfe\x00", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"d_model": ' + b"9" * 10_000 + b"}", "not valid JSON"),
        (b'{"d_model": -1}', '"d_model" must be a whole number'),
        (b'{"model_type": "gpt2"}', "'gpt2'"),
    ],
)
def test_a_broken_config_json_is_told_by_name(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError) as raised:
        Pop2PianoConfig.from_pretrained(tmp_path)
    assert said in str(raised.value)
    assert str(tmp_path) in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_config_json_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b'\xef\xbb\xbf{"d_model": 64}')
    assert Pop2PianoConfig.from_pretrained(tmp_path).d_model == 64


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([Pop2PianoConfig, GenerationConfig]),
    st.dictionaries(
        st.sampled_from([*Pop2PianoConfig.defaults(), *GenerationConfig.defaults()])
        | st.sampled_from(["self", "settings", "__class__", "model_type", "hidden_size"])
        | st.text(max_size=5),
        JSON_VALUES,
        max_size=4,
    ),
)
def test_any_json_object_gives_settings_or_one_line(
    kind: type[Pop2PianoConfig] | type[GenerationConfig], anything: dict[str, Any]
) -> None:
    before = repr(anything)
    said = None
    try:
        loaded = kind.from_dict(anything)
        assert repr(kind.from_dict(loaded.to_dict())) == repr(loaded)
    except InputError as error:
        said = str(error)
    assert said is None or (len(said.splitlines()) == 1 and len(said) < 300)
    assert repr(anything) == before


# --- GenerationConfig


def test_generation_defaults_are_those_of_the_reference() -> None:
    ours = GenerationConfig()
    reference = transformers.GenerationConfig._get_default_generation_params()
    shared = set(reference) & set(GenerationConfig.defaults())
    assert shared >= {"max_length", "do_sample", "temperature", "top_k", "top_p", "num_beams"}
    for name in shared:
        assert getattr(ours, name) == reference[name], name


def test_the_references_generation_config_json_is_read(tmp_path: Path) -> None:
    composers = {f"composer{i + 1}": 2052 + i for i in range(21)}
    transformers.GenerationConfig(
        composer_to_feature_token=composers,
        decoder_start_token_id=0,
        eos_token_id=1,
        pad_token_id=0,
        max_length=256,
    ).save_pretrained(tmp_path)
    ours = GenerationConfig.from_pretrained(tmp_path)
    assert ours.composer_to_feature_token == composers
    assert ours.max_length == 256
    assert ours.temperature == 1.0


def test_nulls_of_the_reference_mean_the_defaults() -> None:
    reference = transformers.GenerationConfig().to_dict()
    assert reference["max_length"] is None
    assert GenerationConfig.from_dict(reference).max_length == 20


def test_our_generation_config_json_is_read_by_the_reference(tmp_path: Path) -> None:
    GenerationConfig(max_length=99, composer_to_feature_token={"a": 0}).save_pretrained(tmp_path)
    reference = transformers.GenerationConfig.from_pretrained(tmp_path)
    assert reference.max_length == 99
    assert reference.composer_to_feature_token == {"a": 0}


def test_a_checkpoint_without_generation_config_json_gets_its_tokens_from_config_json(
    tmp_path: Path,
) -> None:
    Pop2PianoConfig(pad_token_id=3, eos_token_id=5, max_length=77).save_pretrained(tmp_path)
    generation = GenerationConfig.from_pretrained(tmp_path, temperature=0.5)
    assert (generation.pad_token_id, generation.eos_token_id) == (3, 5)
    assert generation.decoder_start_token_id == 3
    assert generation.max_length == 77
    assert generation.temperature == 0.5


def test_overrides_never_persist() -> None:
    # The reference's generate() calls `update` on the model's own settings.
    reference = transformers.GenerationConfig(max_length=256)
    reference.update(max_length=7)
    assert reference.max_length == 7

    ours = GenerationConfig(max_length=256, composer_to_feature_token={"a": 0})
    before = ours.to_dict()
    changed = ours.updated(max_length=7, do_sample=True)
    changed.composer_to_feature_token["b"] = 1
    assert (changed.max_length, changed.do_sample) == (7, True)
    assert ours.to_dict() == before


def test_what_is_not_overridden_stays() -> None:
    ours = GenerationConfig(max_length=256, seed=4, note_from_the_makers="hello")
    changed = ours.updated(seed=None, max_length=None, temperature=None)
    assert changed.seed is None
    assert changed.max_length == 256
    assert changed.temperature == 1.0
    assert changed.note_from_the_makers == "hello"  # type: ignore[attr-defined]


def test_a_length_that_is_asked_for_wins_over_one_in_the_file() -> None:
    stored = GenerationConfig(max_new_tokens=100, min_new_tokens=10)
    assert stored.updated(max_length=50).max_new_tokens is None
    assert stored.updated(min_length=5).min_new_tokens is None
    both = stored.updated(max_length=50, max_new_tokens=20)
    assert (both.max_length, both.max_new_tokens) == (50, 20)


def test_an_unknown_setting_is_a_type_error_that_names_the_closest() -> None:
    with pytest.raises(TypeError, match="'temprature'; did you mean 'temperature'"):
        GenerationConfig().updated(temprature=1.0)
    with pytest.raises(TypeError, match=r"known are: max_length, .*grammar"):
        GenerationConfig().updated(zzz=1)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"temperature": 0}, '"temperature" must be a number above 0, not 0'),
        ({"temperature": -1.0}, "not -1.0"),
        ({"temperature": math.inf}, "not inf"),
        ({"temperature": math.nan}, "not nan"),
        ({"top_p": 0.0}, '"top_p" must be a number above 0 and at most 1, not 0.0'),
        ({"top_p": 1.01}, "not 1.01"),
        ({"top_k": -1}, '"top_k"'),
        ({"num_beams": 0}, '"num_beams" must be a whole number of at least 1'),
        ({"num_beams": 2.5}, "not 2.5"),
        ({"max_length": 0}, '"max_length"'),
        ({"max_new_tokens": 0}, '"max_new_tokens"'),
        ({"min_length": -1}, '"min_length"'),
        ({"min_length": 21}, '"min_length" (21) must not be above "max_length" (20)'),
        ({"min_new_tokens": 20}, '"min_new_tokens" (20) must not be above "max_length" (20)'),
        ({"min_new_tokens": 8, "max_new_tokens": 7}, 'above "max_new_tokens" (7)'),
        ({"num_return_sequences": 2}, "sample without beams"),
        ({"num_return_sequences": 5, "num_beams": 4, "do_sample": True}, '"num_beams" (4)'),
        ({"seed": -1}, '"seed"'),
        ({"seed": "x"}, "not 'x'"),
        ({"early_stopping": "always"}, 'true, false or "never"'),
        ({"grammar": "strict"}, 'true, false or "auto"'),
        ({"do_sample": "no"}, '"do_sample" must be true or false'),
        ({"length_penalty": "1"}, '"length_penalty" must be a number, not'),
        ({"composer_to_feature_token": {"a": -1}}, '"composer_to_feature_token.a"'),
        ({"composer_to_feature_token": [1]}, "map names to values"),
        ({"composer_descriptions": {"a": 1}}, "must be text"),
    ],
)
def test_a_setting_out_of_range_is_refused_in_words(bad: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as raised:
        GenerationConfig().updated(**bad)
    assert isinstance(raised.value, ValueError)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    "good",
    [
        {"num_return_sequences": 3, "do_sample": True},
        {"num_return_sequences": 4, "num_beams": 4},
        {"min_new_tokens": 19},
        {"min_length": 20},
        {"early_stopping": "never", "num_beams": 2},
        {"top_k": 0, "top_p": 1.0, "do_sample": True, "seed": 0},
        {"grammar": False},
        {"length_penalty": -1},
    ],
)
def test_a_setting_at_the_edge_is_taken(good: dict[str, Any]) -> None:
    changed = GenerationConfig().updated(**good)
    assert {name: getattr(changed, name) for name in good} == good


def test_a_bad_generation_config_json_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "generation_config.json").write_text('{"num_beams": 0}')
    with pytest.raises(CheckpointError, match=r'generation_config\.json: "num_beams"'):
        GenerationConfig.from_pretrained(tmp_path)


def test_each_builtin_composer_is_described_in_one_line() -> None:
    generation = GenerationConfig.from_pretrained("builtin")
    config = Pop2PianoConfig.from_pretrained("builtin")
    assert list(generation.composer_to_feature_token) == [
        "full",
        "accompaniment",
        "lead-sheet",
        "block",
        "arpeggio",
        "ballad",
        "virtuoso",
        "stride",
    ]
    assert len(generation.composer_to_feature_token) == config.composer_vocab_size
    assert list(generation.composer_descriptions) == list(generation.composer_to_feature_token)
    for line in generation.composer_descriptions.values():
        assert 20 < len(line) < 100
        assert "\n" not in line


def test_reading_settings_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from sidekeys_engine.config import GenerationConfig, Pop2PianoConfig\n"
        "Pop2PianoConfig.from_pretrained('builtin'), GenerationConfig.from_pretrained('builtin')\n"
        "print(sorted({'torch', 'numpy', 'safetensors', 'huggingface_hub'} & set(sys.modules)))\n"
    )
    source_root = Path(inspect.getfile(Pop2PianoConfig)).parents[1]
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=source_root, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"
