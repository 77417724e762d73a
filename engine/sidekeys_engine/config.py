"""Pop2PianoConfig and GenerationConfig: the numbers of a checkpoint, read from its JSON files.

Names, arguments and defaults are those of Pop2Piano in Hugging Face transformers, so that a
checkpoint of either reads in the other. Nothing here needs torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from sidekeys_engine.checkpoint import CheckpointError
from sidekeys_engine.errors import InputError
from sidekeys_engine.json_settings import (
    JsonSettings,
    check_choice,
    check_flag,
    check_integer,
    check_number,
    shown,
)
from sidekeys_engine.vocabulary import TokenLayout

ACTIVATIONS = ("relu", "gelu", "gelu_new", "silu")
FEED_FORWARDS = ("relu", "gated-gelu")
CHORD_ORDERS = ("any", "ascending", "descending")
_COUNTS = (
    "vocab_size",
    "composer_vocab_size",
    "d_model",
    "d_kv",
    "d_ff",
    "num_layers",
    "num_decoder_layers",
    "num_heads",
    "relative_attention_max_distance",
    "steps_per_window",
    "steps_per_beat",
    "velocity_levels",
)
_FLAGS = (
    "is_encoder_decoder",
    "use_cache",
    "scale_decoder_outputs",
    "beat_positions",
    "held_notes",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
)


class Pop2PianoConfig(JsonSettings):
    """The architecture of a Pop2Piano model.

    Args:
        vocab_size: number of token ids.
        composer_vocab_size: number of composers.
        d_model: width of the encoder and decoder, and number of mel bands; alias ``hidden_size``.
        d_kv: width of the queries, keys and values of each attention head.
        d_ff: width of the feed-forward layers.
        num_layers: layers of the encoder; alias ``num_hidden_layers``.
        num_decoder_layers: layers of the decoder; None means as many as the encoder has.
        num_heads: attention heads a layer; alias ``num_attention_heads``.
        relative_attention_num_buckets: buckets of relative positions.
        relative_attention_max_distance: distance, in positions, that the last bucket begins at.
        dropout_rate: share of activations dropped in training.
        layer_norm_epsilon: added to the variance before its root is taken.
        initializer_factor: scales the random weights of a new model.
        feed_forward_proj: "gated-gelu" or "relu". It says only whether the feed-forward layers are
            gated; the activation is ``dense_act_fn``, as in the reference.
        is_encoder_decoder: always True for this model; kept for the JSON.
        use_cache: keep keys and values while decoding.
        pad_token_id: the padding token.
        eos_token_id: the end token.
        dense_act_fn: activation of the feed-forward layers: relu, gelu, gelu_new or silu.
        decoder_start_token_id: the token every output starts with; None means ``pad_token_id``.
        tie_word_embeddings: only read where ``scale_decoder_outputs`` is None. The attribute is
            always True, as in transformers 5: the encoder, the decoder and ``shared.weight`` are
            one table. It does not say whether the output head is.
        scale_decoder_outputs: multiply the decoder's output by ``d_model ** -0.5`` before the head.
            Files older than transformers 5 lack it and say it through ``tie_word_embeddings``.
        beat_positions: the model is told which step of the window each frame and token is at.
        steps_per_window: steps in a window; used with ``beat_positions``.
        steps_per_beat: steps in a beat; Pop2Piano's are half-beats.
        context_steps: steps before the window that are heard too; used with ``beat_positions``.
        velocity_levels: how loud a note can be told to be; 1 says only that it starts.
        held_notes: a window's tokens begin with the pitches that sound on from the window before,
            and notes that sound beyond its end are left open.
        chord_order: how the notes that start together are written, "ascending" or "descending" in
            pitch; the grammar of decoding keeps it, unless it is "any".
        output_attentions: return attention weights from ``forward`` unless told otherwise.
        output_hidden_states: return hidden states from ``forward`` unless told otherwise.
        return_dict: return a dictionary from ``forward``, not a tuple, unless told otherwise.
        **kwargs: kept as attributes.

    Attributes:
        is_gated_act: whether the feed-forward layers are gated.

    Raises:
        InputError: a value no model can be built from; it is a ValueError.
    """

    model_type: ClassVar[str] = "pop2piano"
    json_name = "config.json"
    _derived_names = frozenset({"model_type", "is_gated_act"})

    def __init__(
        self,
        /,
        vocab_size: int = 2400,
        composer_vocab_size: int = 21,
        d_model: int = 512,
        d_kv: int = 64,
        d_ff: int = 2048,
        num_layers: int = 6,
        num_decoder_layers: int | None = None,
        num_heads: int = 8,
        relative_attention_num_buckets: int = 32,
        relative_attention_max_distance: int = 128,
        dropout_rate: float = 0.1,
        layer_norm_epsilon: float = 1e-6,
        initializer_factor: float = 1.0,
        feed_forward_proj: str = "gated-gelu",
        is_encoder_decoder: bool = True,
        use_cache: bool = True,
        pad_token_id: int = 0,
        eos_token_id: int = 1,
        dense_act_fn: str = "relu",
        *,
        decoder_start_token_id: int | None = None,
        tie_word_embeddings: bool = True,
        scale_decoder_outputs: bool | None = None,
        beat_positions: bool = False,
        steps_per_window: int = 8,
        steps_per_beat: int = 2,
        context_steps: int = 0,
        velocity_levels: int = 1,
        held_notes: bool = False,
        chord_order: str = "any",
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        return_dict: bool = True,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.composer_vocab_size = composer_vocab_size
        self.d_model: int = kwargs.pop("hidden_size", d_model)
        self.d_kv = d_kv
        self.d_ff = d_ff
        self.num_layers: int = kwargs.pop("num_hidden_layers", num_layers)
        self.num_decoder_layers: int = (
            self.num_layers if num_decoder_layers is None else num_decoder_layers
        )
        self.num_heads: int = kwargs.pop("num_attention_heads", num_heads)
        self.relative_attention_num_buckets = relative_attention_num_buckets
        self.relative_attention_max_distance = relative_attention_max_distance
        self.dropout_rate = dropout_rate
        self.layer_norm_epsilon = layer_norm_epsilon
        self.initializer_factor = initializer_factor
        self.feed_forward_proj = feed_forward_proj
        self.is_encoder_decoder = is_encoder_decoder
        self.use_cache = use_cache
        self.pad_token_id = pad_token_id
        self.eos_token_id = _single_id(eos_token_id)
        self.decoder_start_token_id: int = (
            pad_token_id if decoder_start_token_id is None else decoder_start_token_id
        )
        self.dense_act_fn = dense_act_fn
        self.tie_word_embeddings = True
        self.scale_decoder_outputs: bool = (
            tie_word_embeddings if scale_decoder_outputs is None else scale_decoder_outputs
        )
        self.beat_positions = beat_positions
        self.steps_per_window = steps_per_window
        self.steps_per_beat = steps_per_beat
        self.context_steps = context_steps
        self.velocity_levels = velocity_levels
        self.held_notes = held_notes
        self.chord_order = chord_order
        self.output_attentions = output_attentions
        self.output_hidden_states = output_hidden_states
        self.return_dict = return_dict
        model_type = kwargs.get("model_type", self.model_type)
        if model_type != self.model_type:
            raise InputError(
                f'"model_type" is {shown(model_type)}, not "pop2piano"; give a Pop2Piano checkpoint'
            )
        self._keep_unknown(kwargs)
        self._check()

    @property
    def is_gated_act(self) -> bool:
        """Whether the feed-forward layers are gated."""
        return self.feed_forward_proj.split("-")[0] == "gated"

    @property
    def heard_steps(self) -> int:
        """Steps that a window's frames lie on: those of its context and its own."""
        return self.context_steps + self.steps_per_window

    @property
    def layout(self) -> TokenLayout:
        """Where the velocity and time tokens lie."""
        return TokenLayout(self.vocab_size, self.velocity_levels)

    @property
    def hidden_size(self) -> int:
        """Alias of ``d_model``."""
        return self.d_model

    @property
    def num_hidden_layers(self) -> int:
        """Alias of ``num_layers``."""
        return self.num_layers

    @property
    def num_attention_heads(self) -> int:
        """Alias of ``num_heads``."""
        return self.num_heads

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of all settings, fit for JSON.

        ``tie_word_embeddings`` says there what ``scale_decoder_outputs`` does, because releases of
        transformers before 5 know only the former.
        """
        settings = super().to_dict()
        settings["tie_word_embeddings"] = self.scale_decoder_outputs
        return {"model_type": self.model_type, **settings, "is_gated_act": self.is_gated_act}

    def _check(self) -> None:
        for name in _COUNTS:
            check_integer(name, getattr(self, name), least=1)
        # Four buckets are two a direction: one exact, one for all that is farther.
        check_integer("relative_attention_num_buckets", self.relative_attention_num_buckets, 4)
        if self.relative_attention_max_distance <= self.relative_attention_num_buckets // 2:
            raise InputError(
                '"relative_attention_max_distance" must be above half of '
                f'"relative_attention_num_buckets" ({self.relative_attention_num_buckets}), not '
                f"{self.relative_attention_max_distance}"
            )
        check_integer("context_steps", self.context_steps, least=0)
        if self.context_steps and not self.beat_positions:
            raise InputError('"context_steps" needs "beat_positions": true')
        check_number("dropout_rate", self.dropout_rate, least=0.0, below=1.0)
        check_number("layer_norm_epsilon", self.layer_norm_epsilon, above=0.0)
        check_number("initializer_factor", self.initializer_factor, least=0.0)
        check_choice("feed_forward_proj", self.feed_forward_proj, FEED_FORWARDS)
        check_choice("dense_act_fn", self.dense_act_fn, ACTIVATIONS)
        check_choice("chord_order", self.chord_order, CHORD_ORDERS)
        for name in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
            check_integer(name, getattr(self, name), least=0)
            if getattr(self, name) >= self.vocab_size:
                raise InputError(
                    f'"{name}" must be below "vocab_size" ({self.vocab_size}), not '
                    f"{getattr(self, name)}"
                )
        for name in _FLAGS:
            check_flag(name, getattr(self, name))


class GenerationConfig(JsonSettings):
    """How tokens are chosen from a model's scores, and the composers it knows.

    Args:
        max_length: longest output in tokens, the start token included.
        min_length: shortest output in tokens, the start token included.
        max_new_tokens: longest output without the start token; wins over ``max_length``.
        min_new_tokens: shortest output without the start token; wins over ``min_length``.
        do_sample: draw tokens at random; False takes the best one.
        temperature: above 1 more daring, below 1 more predictable; used when sampling.
        top_k: draw among this many best tokens; 0 means all.
        top_p: draw among the best tokens that together have this probability; 1.0 means all.
        num_beams: outputs followed at once; 1 means no beam search.
        num_return_sequences: outputs returned for each input.
        length_penalty: exponent of the length that a beam's score is divided by.
        early_stopping: True ends beam search at ``num_beams`` finished outputs, False when better
            ones are unlikely, "never" when they are impossible.
        seed: makes sampling repeat itself; None draws anew each time.
        return_dict_in_generate: return a dictionary, not the tokens alone.
        output_scores: put the scores of each step into that dictionary.
        use_cache: keep keys and values between steps.
        pad_token_id: fills rows after their end.
        eos_token_id: ends a row.
        decoder_start_token_id: the token every row starts with.
        composer_to_feature_token: name of each composer -> its token id.
        composer_descriptions: name of a composer -> a line that says how it plays.
        grammar: True forbids tokens that no score can follow (time past the window, an end inside a
            chord), False forbids nothing, "auto" leaves it to the model.
        **kwargs: kept as attributes.

    Raises:
        InputError: a value out of range; it is a ValueError.
    """

    json_name = "generation_config.json"

    def __init__(
        self,
        /,
        *,
        max_length: int = 20,
        min_length: int = 0,
        max_new_tokens: int | None = None,
        min_new_tokens: int | None = None,
        do_sample: bool = False,
        temperature: float = 1.0,
        top_k: int = 50,
        top_p: float = 1.0,
        num_beams: int = 1,
        num_return_sequences: int = 1,
        length_penalty: float = 1.0,
        early_stopping: bool | str = False,
        seed: int | None = None,
        return_dict_in_generate: bool = False,
        output_scores: bool = False,
        use_cache: bool = True,
        pad_token_id: int = 0,
        eos_token_id: int = 1,
        decoder_start_token_id: int = 0,
        composer_to_feature_token: Mapping[str, int] | None = None,
        composer_descriptions: Mapping[str, str] | None = None,
        grammar: bool | str = "auto",
        **kwargs: Any,
    ) -> None:
        self.max_length = max_length
        self.min_length = min_length
        self.max_new_tokens = max_new_tokens
        self.min_new_tokens = min_new_tokens
        self.do_sample = do_sample
        self.temperature = temperature
        self.top_k = top_k
        self.top_p = top_p
        self.num_beams = num_beams
        self.num_return_sequences = num_return_sequences
        self.length_penalty = length_penalty
        self.early_stopping = early_stopping
        self.seed = seed
        self.return_dict_in_generate = return_dict_in_generate
        self.output_scores = output_scores
        self.use_cache = use_cache
        self.pad_token_id = pad_token_id
        self.eos_token_id = _single_id(eos_token_id)
        self.decoder_start_token_id = decoder_start_token_id
        self.composer_to_feature_token = _map(
            "composer_to_feature_token", composer_to_feature_token
        )
        self.composer_descriptions = _map("composer_descriptions", composer_descriptions)
        self.grammar = grammar
        self._keep_unknown(kwargs)
        self._check()

    def updated(self, **overrides: Any) -> GenerationConfig:
        """Return new settings with some replaced; these stay as they are.

        A length given in one way wins over one these settings hold in the other: ``max_length``
        drops their ``max_new_tokens``, ``min_length`` their ``min_new_tokens``. None leaves a
        setting as it is, where None is not one of its values.

        Raises:
            TypeError: an unknown name; the closest known one is told.
            InputError: a value out of range; it is a ValueError.
        """
        known = self.defaults()
        for name in overrides:
            if name not in known:
                raise TypeError(_unknown_setting(name, known))
        for length in ("max", "min"):
            if overrides.get(f"{length}_length") is not None:
                overrides.setdefault(f"{length}_new_tokens", None)
        meant = {k: v for k, v in overrides.items() if v is not None or known[k] is None}
        return GenerationConfig(**{**self.to_dict(), **meant})

    @classmethod
    def _from_folder(cls, folder: Path, overrides: dict[str, Any]) -> GenerationConfig:
        if (folder / cls.json_name).exists():
            return super()._from_folder(folder, overrides)
        # Older checkpoints hold their generation settings among those of the model.
        path = folder / Pop2PianoConfig.json_name
        config = Pop2PianoConfig.from_json_file(path).to_dict()
        shared = {name: config[name] for name in cls.defaults() if name in config}
        try:
            return cls.from_dict({**shared, **overrides})
        except InputError as error:
            raise CheckpointError(f"{path}: {error}.") from error

    def _check(self) -> None:
        check_integer("max_length", self.max_length, least=1)
        check_integer("min_length", self.min_length, least=0)
        if self.max_new_tokens is not None:
            check_integer("max_new_tokens", self.max_new_tokens, least=1)
        if self.min_new_tokens is not None:
            check_integer("min_new_tokens", self.min_new_tokens, least=0)
        self._check_shortest_fits()
        check_number("temperature", self.temperature, above=0.0)
        check_integer("top_k", self.top_k, least=0)
        check_number("top_p", self.top_p, above=0.0, most=1.0)
        check_integer("num_beams", self.num_beams, least=1)
        check_integer("num_return_sequences", self.num_return_sequences, least=1)
        if self.num_return_sequences > self.num_beams and not (
            self.do_sample and self.num_beams == 1
        ):
            raise InputError(
                f'"num_return_sequences" ({self.num_return_sequences}) must not be above '
                f'"num_beams" ({self.num_beams}); raise the latter, or sample without beams'
            )
        check_number("length_penalty", self.length_penalty)
        if self.seed is not None:
            check_integer("seed", self.seed, least=0)
        if self.early_stopping != "never":
            check_flag("early_stopping", self.early_stopping, other="never")
        if self.grammar != "auto":
            check_flag("grammar", self.grammar, other="auto")
        for name in ("do_sample", "return_dict_in_generate", "output_scores", "use_cache"):
            check_flag(name, getattr(self, name))
        for name in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
            check_integer(name, getattr(self, name), least=0)
        for name, token in self.composer_to_feature_token.items():
            check_integer(f"composer_to_feature_token.{name}", token, least=0)
        for name, text in self.composer_descriptions.items():
            if not isinstance(text, str):
                raise InputError(
                    f"the description of {shown(name)} must be text, not {shown(text)}"
                )

    def _check_shortest_fits(self) -> None:
        """Refuse a shortest output above the longest; the start token counts in lengths alone."""
        shortest, shortest_name = self.min_length, "min_length"
        if self.min_new_tokens is not None:
            shortest, shortest_name = self.min_new_tokens + 1, "min_new_tokens"
        longest, longest_name = self.max_length, "max_length"
        if self.max_new_tokens is not None:
            longest, longest_name = self.max_new_tokens + 1, "max_new_tokens"
        if shortest > longest:
            raise InputError(
                f'"{shortest_name}" ({getattr(self, shortest_name)}) must not be above '
                f'"{longest_name}" ({getattr(self, longest_name)})'
            )


def _unknown_setting(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(known)}."
    return f"generate() has no setting {name!r}; {hint}"


def _single_id(token_ids: Any) -> int:
    """Return the end token; transformers allows a list of them, and Pop2Piano has one."""
    if isinstance(token_ids, (list, tuple)) and len(token_ids) == 1:
        return token_ids[0]  # type: ignore[no-any-return]
    return token_ids  # type: ignore[no-any-return]


def _map(name: str, value: Mapping[str, Any] | None) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise InputError(f'"{name}" must map names to values, not be {shown(value)}')
    return dict(value)
