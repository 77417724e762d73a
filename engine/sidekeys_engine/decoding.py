"""The decoder one token at a time: static caches, windows that leave the batch when they end."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sidekeys_engine.cache import KeyValueCache
from sidekeys_engine.config import Pop2PianoConfig
from sidekeys_engine.layers import Stack


class StepDecoder:
    """A batch of windows on its way through the decoder.

    Everything that does not depend on the tokens is computed here once: the encoder's keys and
    values, the self-attention's bias by distance, the cross-attention's bias for every step.

    Args:
        stack: the decoder.
        embed: token ids -> embeddings.
        head: hidden states -> logits.
        encoded: (rows, frames, d_model), the encoder's output.
        mask: (rows, frames) of 0 and 1, or None where every frame counts.
        frame_steps: (rows, frames) each frame's step in its window, -1 for the composer's
            position; None for a checkpoint without beat positions.
        max_tokens: the most tokens that will be fed to `step`.
    """

    def __init__(
        self,
        stack: Stack,
        embed: Callable[[Tensor], Tensor],
        head: Callable[[Tensor], Tensor],
        encoded: Tensor,
        *,
        mask: Tensor | None,
        frame_steps: Tensor | None,
        max_tokens: int,
    ) -> None:
        self._stack, self._embed, self._head = stack, embed, head
        self._max_tokens = max_tokens
        self._position = 0
        self._cache = KeyValueCache(len(stack.block), capacity=max_tokens)
        for layer, block in zip(self._cache.layers, stack.blocks, strict=True):
            layer.cross_key, layer.cross_value = block.cross_attention.project(encoded)

        # Distances run from max_tokens - 1 down to 0, so that the bias of the token at `position`
        # to all before it is the tail of one table.
        positions = torch.arange(max_tokens, device=encoded.device)
        self._self_bias = stack.relative_bias(positions[-1:], positions)
        self._cross_bias: Tensor | None = None
        if mask is not None:
            self._cross_bias = masked_bias(mask, encoded.dtype)
        # (rows, steps, heads, 1, frames): the cross-attention's bias for a token at each step.
        self._step_bias: Tensor | None = None
        self._steps = torch.full(
            (len(encoded),), stack.config.context_steps, dtype=torch.long, device=encoded.device
        )
        if frame_steps is not None:
            steps = torch.arange(stack.config.heard_steps + 2, device=encoded.device)
            bias = step_bias(stack, frame_steps, steps.expand(len(encoded), -1))
            if self._cross_bias is not None:
                bias = bias + self._cross_bias
            self._step_bias = bias.transpose(1, 2).unsqueeze(3)

    @property
    def rows(self) -> int:
        """Windows still in the batch."""
        return len(self._steps)

    @property
    def device(self) -> torch.device:
        """Where the tokens that `step` takes must lie."""
        return self._steps.device

    def step(self, token_ids: Tensor) -> Tensor:
        """Feed one token a row.

        Args:
            token_ids: (rows,) int64.

        Returns:
            Logits of the next token, (rows, vocabulary), float32.
        """
        hidden = self._embed(token_ids[:, None])
        cross_bias = self._cross_bias
        if self._step_bias is not None:
            self._steps = step_after(self._steps, token_ids, self._stack.config)
            hidden = hidden + self._stack.step_embedding(self._steps)[:, None]
            rows = torch.arange(self.rows, device=self.device)
            cross_bias = self._step_bias[rows, self._steps]
        self_bias = self._self_bias[..., self._max_tokens - 1 - self._position :]
        hidden = self._stack(hidden, self_bias=self_bias, cross_bias=cross_bias, cache=self._cache)
        self._position += 1
        return self._head(hidden)[:, 0].float()

    def select(self, rows: Tensor) -> None:
        """Keep the given rows, in the given order."""
        self._cache.select(rows)
        self._steps = self._steps[rows]
        if self._cross_bias is not None:
            self._cross_bias = self._cross_bias[rows]
        if self._step_bias is not None:
            self._step_bias = self._step_bias[rows]


def masked_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """(rows, keys) of 0 and 1 -> (rows, 1, 1, keys) added to scores, very low where 0."""
    bias = torch.zeros(mask.shape, dtype=dtype, device=mask.device)
    return bias.masked_fill_(mask == 0, torch.finfo(dtype).min)[:, None, None, :]


def step_after(steps: Tensor, token_ids: Tensor, config: Pop2PianoConfig) -> Tensor:
    """Step after reading a token: time tokens move it, to one past the window's end at most.

    Args:
        steps: int64, the step so far, counted from the context's first.
        token_ids: same shape, the token.
        config: the vocabulary's layout and the window's length.
    """
    moved = steps + (token_ids - config.layout.first_time_id).clamp(min=0)
    return moved.clamp(max=config.heard_steps + 1)


def token_steps(token_ids: Tensor, config: Pop2PianoConfig) -> Tensor:
    """Step at every token, its own time included, counted from the context's first.

    Args:
        token_ids: (rows, tokens) int64.
        config: the vocabulary's layout and the window's length.

    Returns:
        (rows, tokens) int64; one past the window's end at most.
    """
    moves = (token_ids - config.layout.first_time_id).clamp(min=0)
    return (config.context_steps + moves.cumsum(1)).clamp(max=config.heard_steps + 1)


def step_bias(stack: Stack, frame_steps: Tensor, token_steps: Tensor) -> Tensor:
    """Cross-attention bias by the distance in steps between frame and token.

    Args:
        stack: the decoder, with beat positions.
        frame_steps: (rows, frames), -1 for the composer's position.
        token_steps: (rows, tokens).

    Returns:
        (rows, heads, tokens, frames).
    """
    steps = stack.config.heard_steps
    distance = frame_steps.clamp(max=steps)[:, None, :] - token_steps[:, :, None]
    row = distance.clamp(-steps, steps) + steps
    row = row.masked_fill(frame_steps[:, None, :] < 0, 2 * steps + 1)
    bias: Tensor = stack.cross_attention_step_bias(row)
    return bias.permute(0, 3, 1, 2)
