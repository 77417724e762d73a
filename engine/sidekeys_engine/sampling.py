"""From scores to tokens: what is forbidden, warping, and drawing at random."""

from __future__ import annotations

import torch
from torch import Tensor

from sidekeys_engine.config import GenerationConfig
from sidekeys_engine.grammar import NoteGrammar


def row_uniforms(seed: int, rows: range, draws: int) -> Tensor:
    """Random numbers for sampling, (rows, draws) in [0, 1) float64.

    Each row has a generator of its own, seeded by ``seed`` and its number: a window is sampled
    alike whichever batch it is in, and whatever the other windows need.
    """
    uniforms = torch.empty(len(rows), draws, dtype=torch.float64)
    for index, row in enumerate(rows):
        generator = torch.Generator().manual_seed((seed * 1_000_003 + row) % 2**63)
        uniforms[index] = torch.rand(draws, generator=generator, dtype=torch.float64)
    return uniforms


def forbid(
    scores: Tensor, settings: GenerationConfig, position: int, grammar: NoteGrammar | None
) -> None:
    """Set forbidden tokens to -inf, in place: the end too early, or against the grammar.

    Args:
        scores: (rows, vocabulary) of the token at ``position``.
        settings: the shortest lengths.
        position: index of the token in its sequence, the start token being 0.
        grammar: where the rows stand, if they keep one.
    """
    too_short = position < settings.min_length
    if settings.min_new_tokens is not None:
        too_short |= position - 1 < settings.min_new_tokens
    if grammar is not None:
        allowed = grammar.allowed()
    elif too_short:
        allowed = torch.ones_like(scores, dtype=torch.bool)
    else:
        return
    if too_short:
        longer = allowed.clone()
        longer[:, settings.eos_token_id] = False
        # Where the grammar leaves nothing but the end, the asked-for length gives way.
        allowed = torch.where(longer.any(1, keepdim=True), longer, allowed)
    scores.masked_fill_(~allowed, float("-inf"))


def warp(scores: Tensor, settings: GenerationConfig) -> Tensor:
    """Temperature, then top-k, then top-p, on scores of (rows, vocabulary)."""
    scores = scores / settings.temperature
    if settings.top_k:
        worst_kept = scores.topk(min(settings.top_k, scores.shape[1])).values[:, -1:]
        scores = scores.masked_fill(scores < worst_kept, float("-inf"))
    if settings.top_p < 1.0:
        ascending, order = scores.sort(dim=1)
        rest = ascending.softmax(1).cumsum(1) <= 1 - settings.top_p
        rest[:, -1] = False  # the likeliest token always stays
        scores = scores.masked_fill(rest.scatter(1, order, rest), float("-inf"))
    return scores


def sample(scores: Tensor, uniforms: Tensor) -> Tensor:
    """Draw a token a row by inverting the cumulative distribution.

    Args:
        scores: (rows, vocabulary), -inf where forbidden.
        uniforms: (rows,) float64 in [0, 1), on the CPU.

    Returns:
        (rows,) int64.
    """
    # In double precision, which Apple's GPUs lack, and the same on every device.
    cumulative = scores.cpu().double().softmax(1).cumsum(1)
    # Scaled by the sum that was reached, so that rounding never lands beyond the last token.
    target = uniforms[:, None] * cumulative[:, -1:]
    tokens = torch.searchsorted(cumulative, target, right=True)[:, 0]
    return tokens.clamp(max=scores.shape[1] - 1).to(scores.device)


def sample_without_replacement(scores: Tensor, count: int, uniforms: Tensor) -> Tensor:
    """Draw different columns a row by their probabilities (the Gumbel top-k trick).

    Args:
        scores: (rows, columns), log-probabilities up to a constant.
        count: columns to draw.
        uniforms: (rows,) in [0, 1); each seeds its row's noise, so that rows stay independent.

    Returns:
        (rows, count) int64.
    """
    noise = torch.empty_like(scores, device="cpu")
    for row, uniform in zip(noise, uniforms.tolist(), strict=True):
        row.exponential_(generator=torch.Generator().manual_seed(int(uniform * 2**53)))
    gumbel = -noise.to(scores.device).clamp(min=1e-20).log()
    return (scores.log_softmax(1) + gumbel).topk(count).indices


def total_length(settings: GenerationConfig) -> int:
    """The longest sequence to make, start token included."""
    if settings.max_new_tokens is not None:
        return settings.max_new_tokens + 1
    return settings.max_length
