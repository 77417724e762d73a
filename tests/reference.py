"""Checkpoints with random weights in the reference's own format, to test parity against.

The weights are random but lively: strong attention and a separate head make the tokens depend on
the audio and on what was decoded before, and `end_gain` makes windows end at different lengths.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

KNOWN_TOKENS = 234  # 4 special, 128 notes, 2 velocities, 100 times; the vocabulary is padded
SMALL = {
    "d_model": 64,
    "d_kv": 16,
    "d_ff": 96,
    "num_layers": 2,
    "num_heads": 4,
}


def make_reference(folder: Path, *, end_gain: float = 1.3, seed: int = 0, **config: Any) -> Path:
    """Write a checkpoint with transformers and return its folder."""
    torch.manual_seed(seed)
    composers = config.get("composer_vocab_size", 21)
    settings = transformers.Pop2PianoConfig(
        **{"decoder_start_token_id": 0, "tie_word_embeddings": False, **config}
    )
    model = transformers.Pop2PianoForConditionalGeneration(settings).eval()
    with torch.no_grad():
        model.lm_head.weight[KNOWN_TOKENS:] = 0
        model.lm_head.weight[1] *= end_gain
        for stack in (model.encoder, model.decoder):
            stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight.normal_(0, 1.5)
        for block in model.decoder.block:
            block.layer[0].SelfAttention.q.weight.mul_(4)
            block.layer[0].SelfAttention.o.weight.mul_(2)
            block.layer[1].EncDecAttention.q.weight.mul_(4)
        for name, weight in model.named_parameters():
            if "layer_norm" in name:
                weight.mul_(1 + 0.1 * torch.randn_like(weight))
    model.generation_config = transformers.GenerationConfig(
        composer_to_feature_token={f"composer{n + 1}": 2052 + n for n in range(composers)},
        decoder_start_token_id=0,
        eos_token_id=1,
        pad_token_id=0,
        max_length=256,
    )
    model.save_pretrained(folder)
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(
        json.dumps({_token(i): i for i in range(settings.vocab_size)}), encoding="utf-8"
    )
    transformers.Pop2PianoProcessor(
        transformers.Pop2PianoFeatureExtractor(feature_size=settings.d_model),
        transformers.Pop2PianoTokenizer(str(vocabulary)),
    ).save_pretrained(folder)
    return folder


def _token(index: int) -> str:
    for first, kind in ((134, "TIME"), (132, "VELOCITY"), (4, "NOTE"), (0, "SPECIAL")):
        if index >= first:
            return f"{index - first}_TOKEN_{kind}"
    raise AssertionError
