"""The decode loop: greedy, sampling, beams; finished windows leave the batch.

The network is behind `StepDecoder`, the rules of the token language behind `NoteGrammar`; this
room only chooses tokens. Nothing here changes the settings it is given.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sidekeys_engine.beam_search import beam_search
from sidekeys_engine.config import GenerationConfig
from sidekeys_engine.decoding import StepDecoder
from sidekeys_engine.grammar import NoteGrammar
from sidekeys_engine.outputs import GenerateOutput
from sidekeys_engine.sampling import forbid, sample, total_length, warp

# Rows that have ended are dropped when they make up this share of the batch: dropping copies the
# caches, keeping computes tokens that nobody reads.
_DROP_SHARE = 0.25


def generate_tokens(
    decoder: StepDecoder,
    settings: GenerationConfig,
    *,
    grammar: NoteGrammar | None = None,
    uniforms: Tensor | None = None,
) -> GenerateOutput:
    """Decode every row until its end token.

    Args:
        decoder: fresh, its rows the windows (times ``num_beams`` for a beam search, each window's
            beams side by side).
        settings: lengths, sampling, beams.
        grammar: forbids tokens, row by row, where given.
        uniforms: (rows, tokens) in [0, 1), the randomness of sampling, so that a row's notes do
            not depend on the rows beside it. Needed when ``settings.do_sample``.

    Returns:
        ``sequences`` (rows, tokens) int64: the start token, the chosen ones up to and with the end
        token, then padding.
    """
    if settings.num_beams > 1:
        return beam_search(decoder, settings, grammar, uniforms)
    return _one_by_one(decoder, settings, grammar, uniforms)


def _one_by_one(
    decoder: StepDecoder,
    settings: GenerationConfig,
    grammar: NoteGrammar | None,
    uniforms: Tensor | None,
) -> GenerateOutput:
    device, rows = decoder.device, decoder.rows
    pad = settings.pad_token_id
    length = total_length(settings)
    sequences = torch.full((rows, length), pad, dtype=torch.long, device=device)
    sequences[:, 0] = settings.decoder_start_token_id
    kept_scores: list[Tensor] = []

    alive = torch.arange(rows, device=device)  # which window each row of the decoder is
    ended = torch.zeros(rows, dtype=torch.bool, device=device)
    tokens = sequences[:, 0]
    position = 1
    while position < length:
        scores = decoder.step(tokens)
        forbid(scores, settings, position, grammar)
        if settings.do_sample:
            if uniforms is None:
                raise ValueError("sampling needs `uniforms`")
            scores = warp(scores, settings)
            tokens = sample(scores, uniforms[alive.cpu(), position - 1])
        else:
            tokens = scores.argmax(1)
        if settings.output_scores:
            full = scores.new_full((rows, scores.shape[1]), float("-inf"))
            full[alive] = scores
            kept_scores.append(full)
        tokens = tokens.masked_fill(ended, pad)
        sequences[alive, position] = tokens
        position += 1
        if grammar is not None:
            grammar.advance(tokens)
        ended = ended | (tokens == settings.eos_token_id)
        finished = int(ended.sum())
        if finished == len(alive):
            break
        if finished > _DROP_SHARE * len(alive):
            keep = (~ended).nonzero()[:, 0]
            decoder.select(keep)
            if grammar is not None:
                grammar.select(keep)
            alive, tokens, ended = alive[keep], tokens[keep], ended[keep]
    return GenerateOutput(
        sequences=sequences[:, :position],
        scores=tuple(kept_scores) if settings.output_scores else None,
    )
