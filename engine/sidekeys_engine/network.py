"""The T5 encoder-decoder of Pop2Piano: embedded windows in, token scores out.

Source: Choi and Lee, "Pop2Piano" (arXiv 2211.00895); arguments, outputs and weight names as in
transformers. What is ours: beat positions, for checkpoints that were trained with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor, nn

from sidekeys_engine.cache import KeyValueCache
from sidekeys_engine.config import Pop2PianoConfig
from sidekeys_engine.decoding import StepDecoder, masked_bias, step_bias, token_steps
from sidekeys_engine.layers import Stack, Trace, initialize
from sidekeys_engine.outputs import BaseModelOutput, Seq2SeqLMOutput

# What the feature extractor returns beside the model's own input, so that `model(**inputs)` works.
_EXTRACTOR_EXTRAS = frozenset(
    {
        "beatsteps",
        "extrapolated_beatstep",
        "attention_mask_beatsteps",
        "attention_mask_extrapolated_beatstep",
    }
)
_IGNORED_LABEL = -100


class ComposerEmbedding(nn.Module):
    """One learned vector a composer, put in front of the log-mel frames."""

    def __init__(self, config: Pop2PianoConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.composer_vocab_size, config.d_model)

    def forward(self, features: Tensor, composers: Tensor) -> Tensor:
        """(rows, frames, d_model) and (rows,) ids -> (rows, 1 + frames, d_model)."""
        return torch.cat([self.embedding(composers)[:, None].to(features.dtype), features], dim=1)


class Pop2PianoNetwork(nn.Module):
    """The encoder, the decoder and a head over the token vocabulary.

    Args:
        config: the architecture; the weights are random.
    """

    def __init__(self, config: Pop2PianoConfig) -> None:
        super().__init__()
        self.config = config
        self.shared = nn.Embedding(config.vocab_size, config.d_model)
        self.mel_conditioner = ComposerEmbedding(config)
        self.encoder = Stack(config, is_decoder=False)
        self.decoder = Stack(config, is_decoder=True)
        self.lm_head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        initialize(self, config)
        with torch.no_grad():
            for table in (self.shared, self.mel_conditioner.embedding, self.lm_head):
                table.weight.normal_(0, config.initializer_factor)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.shared.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The weights' number format."""
        return self.shared.weight.dtype

    def encode(
        self,
        inputs_embeds: Tensor,
        *,
        attention_mask: Tensor | None = None,
        frame_steps: Tensor | None = None,
        head_mask: Tensor | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """Run the encoder.

        Args:
            inputs_embeds: (rows, frames, d_model).
            attention_mask: (rows, frames) of 0 and 1.
            frame_steps: (rows, frames), each frame's step in its window, -1 for a composer.
            head_mask: (layers, heads).
            trace: filled with hidden states and attentions.

        Returns:
            (rows, frames, d_model).
        """
        if frame_steps is not None and self.config.beat_positions:
            steps = frame_steps.clamp(0, self.config.heard_steps)
            is_frame = (frame_steps >= 0)[:, :, None]
            inputs_embeds = inputs_embeds + self.encoder.step_embedding(steps) * is_frame
        positions = torch.arange(inputs_embeds.shape[1], device=inputs_embeds.device)
        bias = self.encoder.relative_bias(positions, positions)
        if attention_mask is not None:
            bias = bias + masked_bias(attention_mask, bias.dtype)
        encoded: Tensor = self.encoder(
            inputs_embeds, self_bias=bias, head_mask=head_mask, trace=trace
        )
        return encoded

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (rows, tokens, vocabulary) of the decoder's output."""
        if self.config.scale_decoder_outputs:
            hidden = hidden * self.config.d_model**-0.5
        logits: Tensor = self.lm_head(hidden)
        return logits

    def start_decoding(
        self,
        encoded: Tensor,
        max_tokens: int,
        *,
        attention_mask: Tensor | None = None,
        frame_steps: Tensor | None = None,
    ) -> StepDecoder:
        """A decoder that takes one token a row at a time; arguments as for `encode`."""
        if not self.config.beat_positions:
            frame_steps = None
        return StepDecoder(
            self.decoder,
            self.shared,
            self.head,
            encoded,
            mask=attention_mask,
            frame_steps=frame_steps,
            max_tokens=max_tokens,
        )

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        decoder_head_mask: Tensor | None = None,
        cross_attn_head_mask: Tensor | None = None,
        encoder_outputs: BaseModelOutput | Sequence[Any] | None = None,
        past_key_values: KeyValueCache | Sequence[Sequence[Tensor]] | None = None,
        inputs_embeds: Tensor | None = None,
        input_features: Tensor | None = None,
        decoder_inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        cache_position: Tensor | None = None,
        frame_steps: Tensor | None = None,
        **extractor_extras: Any,
    ) -> Seq2SeqLMOutput | tuple[Any, ...]:
        """One pass through encoder and decoder.

        Args:
            input_ids: (rows, frames) token ids for the encoder, in place of features.
            attention_mask: (rows, frames), 1 for frames that count and 0 for padding.
            decoder_input_ids: (rows, tokens). By default ``labels`` moved right by one.
            decoder_attention_mask: (rows, past + tokens), 0 for tokens to leave out.
            head_mask: (heads,) or (layers, heads) of 0 and 1, for the encoder.
            decoder_head_mask: likewise for the decoder's self-attention.
            cross_attn_head_mask: likewise for its cross-attention.
            encoder_outputs: an earlier call's encoder output, in place of the encoder's input:
                ``(last_hidden_state, hidden_states, attentions)``, the latter two optional.
            past_key_values: keys and values of the tokens before: what an earlier call returned
                (added to in place), or a tuple of (key, value) or (key, value, cross_key,
                cross_value) a layer, each (rows, heads, positions, d_kv).
            inputs_embeds: (rows, frames, d_model), in place of ``input_ids``.
            input_features: log-mel frames (rows, frames, d_model): another name of the same.
            decoder_inputs_embeds: (rows, tokens, d_model), in place of ``decoder_input_ids``. If
                neither is given and there are no labels, the encoder's embeddings are taken.
            labels: (rows, tokens) to compute a loss with; -100 is ignored. One row serves all
                windows.
            use_cache: whether to return ``past_key_values``; by default as in the config.
            output_attentions: whether to return attention weights.
            output_hidden_states: whether to return every layer's output.
            return_dict: False for a plain tuple without the fields that are None.
            cache_position: (tokens,) positions of the tokens; by default they follow the past.
            frame_steps: (rows, frames) each frame's step in its window, -1 for a composer in
                front; read by checkpoints with beat positions, which otherwise take the window as
                evenly divided.
            **extractor_extras: the feature extractor's other outputs, accepted and not needed.

        Returns:
            `Seq2SeqLMOutput`, or a tuple. ``past_key_values`` has the format it was given in.

        Raises:
            ValueError: contradictory or missing inputs.
            TypeError: an argument that does not exist.
        """
        unknown = set(extractor_extras) - _EXTRACTOR_EXTRAS
        if unknown:
            raise TypeError(f"forward() has no argument {sorted(unknown)[0]!r}")
        config = self.config
        use_cache = config.use_cache if use_cache is None else use_cache
        if attention_mask is not None:
            attention_mask = torch.as_tensor(attention_mask, device=self.device)
        wants_attentions = _or(output_attentions, config.output_attentions)
        wants_hidden = _or(output_hidden_states, config.output_hidden_states)

        embeds = self.embed_inputs(input_ids, inputs_embeds, input_features)
        is_traced = wants_attentions or wants_hidden
        encoder_trace, decoder_trace = (Trace(), Trace()) if is_traced else (None, None)
        if encoder_outputs is None:
            if embeds is None:
                raise ValueError("give input_features, inputs_embeds, input_ids or encoder_outputs")
            frame_steps = self.steps_of_frames(frame_steps, embeds, attention_mask)
            encoded = self.encode(
                embeds,
                attention_mask=attention_mask,
                frame_steps=frame_steps,
                head_mask=self._head_mask(head_mask, config.num_layers),
                trace=encoder_trace,
            )
            encoder_hidden: Any = _traced(encoder_trace, "hidden_states", wants_hidden)
            encoder_attentions: Any = _traced(encoder_trace, "attentions", wants_attentions)
        else:
            given = [*tuple(_fields(encoder_outputs)), None, None]
            encoded, encoder_hidden, encoder_attentions = given[:3]
            frame_steps = self.steps_of_frames(frame_steps, encoded, attention_mask)

        if labels is not None and labels.shape[0] == 1 < encoded.shape[0]:
            labels = labels.expand(encoded.shape[0], -1)
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            if labels is not None:
                decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
            elif embeds is not None:
                decoder_inputs_embeds = embeds
        cache = _as_cache(past_key_values, use_cache, config.num_decoder_layers)
        hidden = self._decode(
            decoder_input_ids,
            decoder_inputs_embeds,
            encoded,
            attention_mask=attention_mask,
            decoder_attention_mask=decoder_attention_mask,
            frame_steps=frame_steps,
            cache=cache,
            cache_position=cache_position,
            head_mask=self._head_mask(decoder_head_mask, config.num_decoder_layers),
            cross_head_mask=self._head_mask(cross_attn_head_mask, config.num_decoder_layers),
            trace=decoder_trace,
        )
        logits = self.head(hidden)
        loss = None
        if labels is not None:
            targets = labels.to(logits.device).flatten()
            loss = F.cross_entropy(logits.flatten(0, 1), targets, ignore_index=_IGNORED_LABEL)
        past: Any = cache
        if cache is not None and not isinstance(past_key_values, KeyValueCache | None):
            past = cache.to_tuple()
        output = Seq2SeqLMOutput(
            loss=loss,
            logits=logits,
            past_key_values=past,
            decoder_hidden_states=_traced(decoder_trace, "hidden_states", wants_hidden),
            decoder_attentions=_traced(decoder_trace, "attentions", wants_attentions),
            cross_attentions=_traced(decoder_trace, "cross_attentions", wants_attentions),
            encoder_last_hidden_state=encoded,
            encoder_hidden_states=encoder_hidden,
            encoder_attentions=encoder_attentions,
        )
        return output if _or(return_dict, config.return_dict) else output.to_tuple()

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """Labels moved right by one, the start token in front, padding for ignored ones."""
        shifted = F.pad(labels[:, :-1], (1, 0), value=self.config.decoder_start_token_id)
        return shifted.masked_fill(shifted == _IGNORED_LABEL, self.config.pad_token_id)

    def embed_inputs(
        self, input_ids: Tensor | None, inputs_embeds: Tensor | None, features: Tensor | None
    ) -> Tensor | None:
        """The encoder's input (rows, frames, d_model) from whichever is given; None from none.

        Raises:
            ValueError: more than one is given, or its width is not the model's.
        """
        if inputs_embeds is not None and features is not None:
            raise ValueError("give inputs_embeds or input_features, not both")
        embeds = features if inputs_embeds is None else inputs_embeds
        if embeds is not None:
            embeds = torch.as_tensor(embeds)
        if embeds is not None and input_ids is not None:
            raise ValueError("give input_ids or embeddings, not both")
        if input_ids is not None:
            embeds = self.shared(input_ids)
        if embeds is not None and embeds.shape[-1] != self.config.d_model:
            raise ValueError(
                f"the model reads {self.config.d_model} mel bands, the features have "
                f"{embeds.shape[-1]}; make them with the checkpoint's own feature extractor"
            )
        return None if embeds is None else embeds.to(self.device, self.dtype)

    def _head_mask(self, mask: Tensor | None, layers: int) -> Tensor | None:
        """A head mask for every layer, (layers, heads)."""
        if mask is None:
            return None
        heads = self.config.num_heads
        if tuple(mask.shape) not in ((heads,), (layers, heads)):
            raise ValueError(
                f"a head mask has the shape ({heads},) or ({layers}, {heads}), not "
                f"{tuple(mask.shape)}"
            )
        return mask.to(self.device).expand(layers, heads)

    def steps_of_frames(
        self, frame_steps: Tensor | None, frames: Tensor, mask: Tensor | None
    ) -> Tensor | None:
        """The given steps or, for a checkpoint that needs them, the window evenly divided."""
        if not self.config.beat_positions:
            return None
        if frame_steps is not None:
            if frame_steps.shape != frames.shape[:2]:
                raise ValueError(
                    f"frame_steps {tuple(frame_steps.shape)} must match the frames "
                    f"{tuple(frames.shape[:2])}, -1 standing for a composer"
                )
            return frame_steps.to(self.device)
        return self.even_frame_steps(frames.shape[0], frames.shape[1], mask)

    def even_frame_steps(self, rows: int, frames: int, mask: Tensor | None = None) -> Tensor:
        """Each frame's step if all steps of a window are equally long, (rows, frames) int64.

        A window of n samples has 1 + n // hop frames, so its last frame stands half a hop before
        its end on average.

        Args:
            rows: windows in the batch.
            frames: frames of a window, padding included.
            mask: (rows, frames), 0 for padding, which lies beyond the last step.
        """
        steps = self.config.heard_steps
        counts = torch.full((rows, 1), frames, device=self.device)
        if mask is not None:
            counts = mask.sum(1, keepdim=True).clamp(min=1)
        index = torch.arange(frames, device=self.device)
        return (index * steps / (counts - 0.5)).long().clamp(max=steps)

    def _decode(
        self,
        token_ids: Tensor | None,
        embeds: Tensor | None,
        encoded: Tensor,
        *,
        attention_mask: Tensor | None,
        decoder_attention_mask: Tensor | None,
        frame_steps: Tensor | None,
        cache: KeyValueCache | None,
        cache_position: Tensor | None,
        head_mask: Tensor | None,
        cross_head_mask: Tensor | None,
        trace: Trace | None,
    ) -> Tensor:
        """Run the decoder over given tokens; (rows, tokens, d_model)."""
        if (token_ids is None) == (embeds is None):
            raise ValueError("give decoder_input_ids or decoder_inputs_embeds, and not both")
        if token_ids is not None:
            embeds = self.shared(token_ids.to(self.device))
        assert embeds is not None
        rows, tokens = embeds.shape[:2]
        past = 0 if cache is None else cache.get_seq_length()
        keys = torch.arange(past + tokens, device=self.device)
        queries = keys[past:] if cache_position is None else cache_position.to(self.device)
        bias = self.decoder.relative_bias(queries, keys)
        lowest = torch.finfo(bias.dtype).min
        bias = bias.masked_fill(keys[None, :] > queries[:, None], lowest)
        if decoder_attention_mask is not None:
            bias = bias + masked_bias(decoder_attention_mask.to(self.device), bias.dtype)

        cross_bias = None
        if attention_mask is not None:
            cross_bias = masked_bias(attention_mask, bias.dtype)
        if frame_steps is not None:
            # Embeddings tell no time, so a decoder fed with them stays at the window's start.
            start = self.config.context_steps
            steps = torch.full((rows, tokens), start, device=self.device)
            if token_ids is not None:
                steps = token_steps(token_ids.to(self.device), self.config)
                if cache is not None:
                    steps = cache.advance_steps(steps, start, self.config.heard_steps + 1)
            embeds = embeds + self.decoder.step_embedding(steps)
            by_step = step_bias(self.decoder, frame_steps, steps)
            cross_bias = by_step if cross_bias is None else by_step + cross_bias
        hidden: Tensor = self.decoder(
            embeds,
            self_bias=bias,
            cross_bias=cross_bias,
            encoded=encoded,
            cache=cache,
            head_mask=head_mask,
            cross_head_mask=cross_head_mask,
            trace=trace,
        )
        return hidden


def _or(wanted: bool | None, default: bool) -> bool:
    return default if wanted is None else wanted


def _traced(trace: Trace | None, name: str, wanted: bool) -> tuple[Tensor, ...] | None:
    return tuple(getattr(trace, name)) if wanted else None


def _fields(encoder_outputs: BaseModelOutput | Sequence[Any]) -> tuple[Any, ...]:
    if isinstance(encoder_outputs, Mapping):
        names = ("last_hidden_state", "hidden_states", "attentions")
        return tuple(encoder_outputs.get(name) for name in names)
    return tuple(encoder_outputs)


def _as_cache(
    past: KeyValueCache | Sequence[Sequence[Tensor]] | None, use_cache: bool, layers: int
) -> KeyValueCache | None:
    if past is None:
        return KeyValueCache(layers) if use_cache else None
    return past if isinstance(past, KeyValueCache) else KeyValueCache.from_tuple(past)
