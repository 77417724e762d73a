"""The layers of T5 as Pop2Piano uses them; module names are the checkpoints' key names.

Sources: Raffel et al., "Exploring the Limits of Transfer Learning" (arXiv 1910.10683); the gated
feed-forward layer of Shazeer, "GLU Variants Improve Transformer" (arXiv 2002.05202).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor, nn

from sidekeys_engine.cache import KeyValueCache, LayerCache
from sidekeys_engine.config import Pop2PianoConfig

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_new": partial(F.gelu, approximate="tanh"),
    "silu": F.silu,
}


class LayerNorm(nn.Module):
    """Root mean square norm: a scale, no shift, no mean (arXiv 1910.07467)."""

    def __init__(self, config: Pop2PianoConfig) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(config.d_model))
        self.eps = config.layer_norm_epsilon

    def forward(self, hidden: Tensor) -> Tensor:
        """Any shape that ends in d_model, kept."""
        return F.rms_norm(hidden, self.weight.shape, self.weight, self.eps)


class Attention(nn.Module):
    """Multi-head attention without scaling: T5 folds it into the initialization."""

    def __init__(self, config: Pop2PianoConfig, *, relative_bias: bool = False) -> None:
        super().__init__()
        inner = config.num_heads * config.d_kv
        self.heads = config.num_heads
        self.dropout = config.dropout_rate
        self.q = nn.Linear(config.d_model, inner, bias=False)
        self.k = nn.Linear(config.d_model, inner, bias=False)
        self.v = nn.Linear(config.d_model, inner, bias=False)
        self.o = nn.Linear(inner, config.d_model, bias=False)
        if relative_bias:
            self.relative_attention_bias = nn.Embedding(
                config.relative_attention_num_buckets, config.num_heads
            )

    def split(self, projected: Tensor) -> Tensor:
        """(rows, positions, heads * d_kv) -> (rows, heads, positions, d_kv)."""
        return projected.view(*projected.shape[:2], self.heads, -1).transpose(1, 2)

    def forward(
        self,
        hidden: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Tensor | None,
        head_mask: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Attend from ``hidden`` to keys and values that are split already.

        Args:
            hidden: (rows, queries, d_model).
            key: (rows, heads, keys, d_kv).
            value: (rows, heads, keys, d_kv).
            bias: added to the scores; broadcasts to (rows, heads, queries, keys).
            head_mask: (heads,) of 0 and 1.

        Returns:
            The output (rows, queries, d_model) and the weights (rows, heads, queries, keys).
        """
        scores = self.split(self.q(hidden)) @ key.transpose(2, 3)
        if bias is not None:
            scores = scores + bias
        weights = F.dropout(scores.softmax(-1), self.dropout, self.training)
        if head_mask is not None:
            weights = weights * head_mask.view(-1, 1, 1)
        output: Tensor = self.o((weights @ value).transpose(1, 2).flatten(2))
        return output, weights


class FeedForward(nn.Module):
    """Two linear layers around an activation, the first one gated or not."""

    def __init__(self, config: Pop2PianoConfig) -> None:
        super().__init__()
        self.gated = config.is_gated_act
        if self.gated:
            self.wi_0 = nn.Linear(config.d_model, config.d_ff, bias=False)
            self.wi_1 = nn.Linear(config.d_model, config.d_ff, bias=False)
        else:
            self.wi = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.wo = nn.Linear(config.d_ff, config.d_model, bias=False)
        self.activation = ACTIVATIONS[config.dense_act_fn]
        self.dropout = config.dropout_rate

    def forward(self, hidden: Tensor) -> Tensor:
        """(rows, positions, d_model), kept."""
        if self.gated:
            inner = self.activation(self.wi_0(hidden)) * self.wi_1(hidden)
        else:
            inner = self.activation(self.wi(hidden))
        output: Tensor = self.wo(F.dropout(inner, self.dropout, self.training))
        return output


class SelfAttentionLayer(nn.Module):
    """Norm, self-attention, residual."""

    def __init__(self, config: Pop2PianoConfig, *, relative_bias: bool) -> None:
        super().__init__()
        self.SelfAttention = Attention(config, relative_bias=relative_bias)
        self.layer_norm = LayerNorm(config)
        self.dropout = config.dropout_rate

    def forward(
        self,
        hidden: Tensor,
        bias: Tensor,
        head_mask: Tensor | None,
        cache: LayerCache | None,
        capacity: int,
    ) -> tuple[Tensor, Tensor]:
        """The layer's output and its attention weights; ``cache`` grows by these positions."""
        attention = self.SelfAttention
        normed = self.layer_norm(hidden)
        key, value = attention.split(attention.k(normed)), attention.split(attention.v(normed))
        if cache is not None:
            key, value = cache.append(key, value, capacity)
        output, weights = attention(normed, key, value, bias, head_mask)
        return hidden + F.dropout(output, self.dropout, self.training), weights


class CrossAttentionLayer(nn.Module):
    """Norm, attention to the encoder's output, residual."""

    def __init__(self, config: Pop2PianoConfig) -> None:
        super().__init__()
        self.EncDecAttention = Attention(config)
        self.layer_norm = LayerNorm(config)
        self.dropout = config.dropout_rate

    def project(self, encoded: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (rows, heads, frames, d_kv) of the encoder's output."""
        attention = self.EncDecAttention
        return attention.split(attention.k(encoded)), attention.split(attention.v(encoded))

    def forward(
        self,
        hidden: Tensor,
        encoded: Tensor | None,
        bias: Tensor | None,
        head_mask: Tensor | None,
        cache: LayerCache | None,
    ) -> tuple[Tensor, Tensor]:
        """The layer's output and its attention weights; ``cache`` keeps the projections."""
        if cache is not None and cache.cross_key is not None and cache.cross_value is not None:
            key, value = cache.cross_key, cache.cross_value
        else:
            if encoded is None:
                raise ValueError("the decoder needs the encoder's output, or a cache that holds it")
            key, value = self.project(encoded)
            if cache is not None:
                cache.cross_key, cache.cross_value = key, value
        output, weights = self.EncDecAttention(self.layer_norm(hidden), key, value, bias, head_mask)
        return hidden + F.dropout(output, self.dropout, self.training), weights


class FeedForwardLayer(nn.Module):
    """Norm, feed-forward, residual."""

    def __init__(self, config: Pop2PianoConfig) -> None:
        super().__init__()
        self.DenseReluDense = FeedForward(config)
        self.layer_norm = LayerNorm(config)
        self.dropout = config.dropout_rate

    def forward(self, hidden: Tensor) -> Tensor:
        """(rows, positions, d_model), kept."""
        output = self.DenseReluDense(self.layer_norm(hidden))
        return hidden + F.dropout(output, self.dropout, self.training)


class Block(nn.Module):
    """One layer of the encoder (self-attention, feed-forward) or the decoder (cross too)."""

    def __init__(self, config: Pop2PianoConfig, *, is_decoder: bool, relative_bias: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [SelfAttentionLayer(config, relative_bias=relative_bias)]
        if is_decoder:
            layers.append(CrossAttentionLayer(config))
        layers.append(FeedForwardLayer(config))
        self.layer = nn.ModuleList(layers)

    @property
    def self_attention(self) -> SelfAttentionLayer:
        """The first layer."""
        return cast(SelfAttentionLayer, self.layer[0])

    @property
    def cross_attention(self) -> CrossAttentionLayer:
        """The decoder's second layer."""
        return cast(CrossAttentionLayer, self.layer[1])

    @property
    def feed_forward(self) -> FeedForwardLayer:
        """The last layer."""
        return cast(FeedForwardLayer, self.layer[-1])


@dataclass(slots=True)
class Trace:
    """What a stack computed on its way, when it was asked to keep it."""

    hidden_states: list[Tensor] = field(default_factory=list)
    attentions: list[Tensor] = field(default_factory=list)
    cross_attentions: list[Tensor] = field(default_factory=list)


class Stack(nn.Module):
    """The encoder or the decoder: blocks and a last norm.

    With ``config.beat_positions`` it also owns an embedding of each position's step in the window,
    and the decoder a bias of its cross-attention by the distance in steps.
    """

    def __init__(self, config: Pop2PianoConfig, *, is_decoder: bool) -> None:
        super().__init__()
        self.config = config
        self.is_decoder = is_decoder
        count = config.num_decoder_layers if is_decoder else config.num_layers
        self.block = nn.ModuleList(
            Block(config, is_decoder=is_decoder, relative_bias=index == 0) for index in range(count)
        )
        self.final_layer_norm = LayerNorm(config)
        if config.beat_positions:
            steps = config.heard_steps
            # The encoder knows steps 0..steps (the last: beyond the window); the decoder one more,
            # for a token sequence that runs past the window's end.
            rows = steps + 2 if is_decoder else steps + 1
            self.step_embedding = nn.Embedding(rows, config.d_model)
            if is_decoder:
                self.cross_attention_step_bias = nn.Embedding(2 * steps + 2, config.num_heads)

    @property
    def blocks(self) -> list[Block]:
        """The blocks in order."""
        return [cast(Block, block) for block in self.block]

    def relative_bias(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Bias of self-attention by distance, (1, heads, queries, keys).

        Args:
            queries: (queries,) positions.
            keys: (keys,) positions.
        """
        buckets = relative_buckets(
            keys[None, :] - queries[:, None],
            bidirectional=not self.is_decoder,
            buckets=self.config.relative_attention_num_buckets,
            max_distance=self.config.relative_attention_max_distance,
        )
        table = self.blocks[0].self_attention.SelfAttention.relative_attention_bias
        bias: Tensor = table(buckets).permute(2, 0, 1).unsqueeze(0)
        return bias

    def forward(
        self,
        hidden: Tensor,
        *,
        self_bias: Tensor,
        cross_bias: Tensor | None = None,
        encoded: Tensor | None = None,
        cache: KeyValueCache | None = None,
        head_mask: Tensor | None = None,
        cross_head_mask: Tensor | None = None,
        trace: Trace | None = None,
    ) -> Tensor:
        """Run all blocks.

        Args:
            hidden: (rows, positions, d_model), embedded.
            self_bias: relative bias and mask, broadcast to (rows, heads, positions, keys).
            cross_bias: bias and mask of the cross-attention, broadcast likewise.
            encoded: (rows, frames, d_model), the encoder's output.
            cache: the decoder's keys and values so far; this call adds to it.
            head_mask: (layers, heads) of 0 and 1.
            cross_head_mask: (layers, heads) of 0 and 1.
            trace: filled with the hidden states and attention weights.

        Returns:
            (rows, positions, d_model).
        """
        dropout = self.config.dropout_rate
        hidden = F.dropout(hidden, dropout, self.training)
        for index, block in enumerate(self.blocks):
            if trace is not None:
                trace.hidden_states.append(hidden)
            layer_cache = None if cache is None else cache.layers[index]
            capacity = 0 if cache is None else cache.capacity
            mask = None if head_mask is None else head_mask[index]
            hidden, weights = block.self_attention(hidden, self_bias, mask, layer_cache, capacity)
            if trace is not None:
                trace.attentions.append(weights)
            if self.is_decoder:
                mask = None if cross_head_mask is None else cross_head_mask[index]
                hidden, weights = block.cross_attention(
                    hidden, encoded, cross_bias, mask, layer_cache
                )
                if trace is not None:
                    trace.cross_attentions.append(weights)
            hidden = block.feed_forward(hidden)
        hidden = F.dropout(self.final_layer_norm(hidden), dropout, self.training)
        if trace is not None:
            trace.hidden_states.append(hidden)
        return hidden


def relative_buckets(
    distance: Tensor, *, bidirectional: bool, buckets: int, max_distance: int
) -> Tensor:
    """Bucket of a distance between positions: exact when near, logarithmic when far.

    Source: Raffel et al., section 2.1; T5's ``_relative_position_bucket``.

    Args:
        distance: any shape, int64: key position minus query position.
        bidirectional: whether keys after the query have buckets of their own.
        buckets: their number.
        max_distance: all distances from here on share the last bucket.

    Returns:
        Same shape, int64, in [0, buckets).
    """
    if bidirectional:
        buckets //= 2
        offset = (distance > 0).long() * buckets
        distance = distance.abs()
    else:
        offset = torch.zeros_like(distance)
        distance = (-distance).clamp(min=0)
    exact = buckets // 2
    # In float32 and in this order, because a bucket's edge must fall where the reference's falls.
    far = (
        exact
        + (
            torch.log(distance.float() / exact) / math.log(max_distance / exact) * (buckets - exact)
        ).long()
    )
    near = distance < exact
    return offset + torch.where(near, distance, far.clamp(max=buckets - 1))


@torch.no_grad()
def initialize(module: nn.Module, config: Pop2PianoConfig) -> None:
    """Random weights as T5 draws them, for training from scratch and for tests."""
    factor, d_model = config.initializer_factor, config.d_model
    inner = config.num_heads * config.d_kv
    for child in module.modules():
        if isinstance(child, Attention):
            child.q.weight.normal_(0, factor * (d_model * config.d_kv) ** -0.5)
            child.k.weight.normal_(0, factor * d_model**-0.5)
            child.v.weight.normal_(0, factor * d_model**-0.5)
            child.o.weight.normal_(0, factor * inner**-0.5)
            if hasattr(child, "relative_attention_bias"):
                child.relative_attention_bias.weight.normal_(0, factor * d_model**-0.5)
        elif isinstance(child, FeedForward):
            gates = (child.wi_0, child.wi_1) if child.gated else (child.wi,)
            for gate in gates:
                gate.weight.normal_(0, factor * d_model**-0.5)
            child.wo.weight.normal_(0, factor * config.d_ff**-0.5)
        elif isinstance(child, LayerNorm):
            child.weight.fill_(factor)
        elif isinstance(child, Stack) and config.beat_positions:
            child.step_embedding.weight.normal_(0, 0.5)
            if child.is_decoder:
                child.cross_attention_step_bias.weight.copy_(_step_slopes(config))


def _step_slopes(config: Pop2PianoConfig) -> Tensor:
    """Cross-attention bias that prefers frames of the token's own step, sharper in some heads."""
    steps = config.heard_steps
    # Slopes for half-beats; a finer step is a shorter distance.
    slopes = torch.tensor([4.0, 2.0, 1.0, 0.5, 0.25])[: config.num_heads]
    slopes = slopes * 2 / config.steps_per_beat
    slopes = F.pad(slopes, (0, config.num_heads - len(slopes)))
    distance = (torch.arange(2 * steps + 1) - steps).abs()
    bias = -distance[:, None] * slopes
    return F.pad(bias, (0, 0, 0, 1))  # the last row: the composer's position
