"""Beam search with the reference's scoring: ``log p / new_tokens ** length_penalty``."""

from __future__ import annotations

import torch
from torch import Tensor

from sidekeys_engine.config import GenerationConfig
from sidekeys_engine.decoding import StepDecoder
from sidekeys_engine.grammar import NoteGrammar
from sidekeys_engine.outputs import GenerateOutput
from sidekeys_engine.sampling import forbid, sample_without_replacement, total_length, warp

_NEVER = -1.0e9


def beam_search(
    decoder: StepDecoder,
    settings: GenerationConfig,
    grammar: NoteGrammar | None,
    uniforms: Tensor | None,
) -> GenerateOutput:
    """Follow the ``num_beams`` best sequences of every window; see `generate_tokens`."""
    beams = settings.num_beams
    search = _Search(decoder.rows // beams, settings, decoder.device)
    kept_scores: list[Tensor] = []
    for position in range(1, search.length):
        log_p = decoder.step(search.open[:, :, position - 1].flatten()).log_softmax(-1)
        forbid(log_p, settings, position, grammar)
        draws = None
        if settings.do_sample:
            if uniforms is None:
                raise ValueError("sampling needs `uniforms`")
            log_p = warp(log_p, settings)
            draws = uniforms[::beams, position - 1]
        if settings.output_scores:
            kept_scores.append(log_p)
        rows = search.advance(log_p, position, draws)
        if search.done:
            break
        decoder.select(rows)
        if grammar is not None:
            grammar.select(rows)
            grammar.advance(search.open[:, :, position].flatten())
    returned = settings.num_return_sequences
    longest = int(search.lengths[:, :returned].max())
    return GenerateOutput(
        sequences=search.finished[:, :returned, :longest].flatten(0, 1),
        sequences_scores=search.finished_scores[:, :returned].flatten(),
        scores=tuple(kept_scores) if settings.output_scores else None,
    )


class _Search:
    """The open and the finished beams of every window.

    Attributes:
        open: (windows, beams, length) sequences that go on.
        finished: (windows, beams, length) the best that have ended, best first.
        finished_scores: (windows, beams), very low where none has ended yet.
        lengths: (windows, beams) tokens of each finished sequence.
        done: whether no window can improve any more.
    """

    def __init__(self, windows: int, settings: GenerationConfig, device: torch.device) -> None:
        self._settings = settings
        beams = settings.num_beams
        self.length = total_length(settings)
        # After their end beams are filled with end tokens, not with padding: the reference does so
        # (its `pad or end` takes the padding token 0 for none), and outputs compare token for
        # token.
        shape = (windows, beams, self.length)
        self.open = torch.full(shape, settings.eos_token_id, device=device)
        self.open[:, :, 0] = settings.decoder_start_token_id
        self.finished = self.open.clone()
        self.finished_scores = torch.full((windows, beams), _NEVER, device=device)
        self.lengths = torch.ones(windows, beams, dtype=torch.long, device=device)
        self.done = False
        self._is_finished = torch.zeros(windows, beams, dtype=torch.bool, device=device)
        # All beams start alike: only the first may propose, or all would propose the same.
        self._open_scores = torch.full_like(self.finished_scores, _NEVER)
        self._open_scores[:, 0] = 0.0
        self._can_improve = torch.ones(windows, 1, dtype=torch.bool, device=device)
        self._first_rows = torch.arange(windows, device=device)[:, None] * beams

    def advance(self, log_p: Tensor, position: int, draws: Tensor | None) -> Tensor:
        """Extend every window's beams by one token.

        Args:
            log_p: (windows * beams, vocabulary).
            position: index of the new token.
            draws: (windows,) random numbers to sample with, or None for the best.

        Returns:
            (windows * beams,): the row of the decoder that each open beam goes on from.
        """
        windows, beams = self._open_scores.shape
        vocabulary = log_p.shape[1]
        total = (log_p.view(windows, beams, -1) + self._open_scores[:, :, None]).flatten(1)
        # Twice as many as beams, so that enough stay open when the best ones end.
        if draws is None:
            scores, chosen = total.topk(2 * beams)
        else:
            chosen = sample_without_replacement(total, 2 * beams, draws)
            scores = total.gather(1, chosen)
        beam, token = chosen // vocabulary, chosen % vocabulary
        proposed = _gather(self.open, beam)
        proposed[:, :, position] = token
        ended = token == self._settings.eos_token_id
        if position + 1 == self.length:
            ended = torch.ones_like(ended)

        staying = scores + ended * _NEVER
        best = staying.topk(beams).indices
        self.open = _gather(proposed, best)
        self._open_scores = staying.gather(1, best)
        self._finish(proposed, scores, ended, position)
        self._can_improve &= self._could_improve(position)
        all_full = self._settings.early_stopping is True and bool(self._is_finished.all())
        self.done = all_full or not self._can_improve.any() or bool(ended.all())
        return (self._first_rows + beam.gather(1, best)).flatten()

    def _finish(self, proposed: Tensor, scores: Tensor, ended: Tensor, position: int) -> None:
        """Let the sequences that just ended compete with those that ended before."""
        beams = self.open.shape[1]
        is_top = torch.arange(scores.shape[1], device=scores.device) < beams
        counts = ended & is_top
        final = scores / position**self._settings.length_penalty
        if self._settings.early_stopping is True:
            final = final + self._is_finished.all(1, keepdim=True) * _NEVER
        final = final + ~self._can_improve * _NEVER + ~counts * _NEVER
        best = torch.cat((self.finished_scores, final), 1).topk(beams)
        self.finished_scores = best.values
        self.finished = _gather(torch.cat((self.finished, proposed), 1), best.indices)
        lengths = torch.cat(
            (self.lengths, torch.full_like(ended, position + 1, dtype=torch.long)), 1
        )
        self.lengths = lengths.gather(1, best.indices)
        self._is_finished = torch.cat((self._is_finished, counts), 1).gather(1, best.indices)

    def _could_improve(self, new_tokens: int) -> Tensor:
        """Whether a window's best open beam could beat its worst finished one, (windows, 1)."""
        penalty = self._settings.length_penalty
        if self._settings.early_stopping == "never" and penalty > 0:
            new_tokens = self.length - 1
        best_open = self._open_scores[:, :1] / float(new_tokens) ** penalty
        worst = self.finished_scores.min(1, keepdim=True).values
        worst = torch.where(self._is_finished, worst, _NEVER)
        improves: Tensor = (best_open > worst).any(1, keepdim=True)
        return improves


def _gather(sequences: Tensor, beams: Tensor) -> Tensor:
    """Sequences (windows, beams, tokens) of the chosen beams (windows, chosen)."""
    return sequences.gather(1, beams[:, :, None].expand(-1, -1, sequences.shape[2]))
