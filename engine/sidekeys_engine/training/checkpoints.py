"""A trained network to a checkpoint's folder that `sidekeys` plays, and back to go on from."""

from __future__ import annotations

from pathlib import Path

import torch

from sidekeys_engine.config import GenerationConfig
from sidekeys_engine.errors import InputError
from sidekeys_engine.features import Pop2PianoFeatureExtractor
from sidekeys_engine.model import Pop2PianoForConditionalGeneration
from sidekeys_engine.network import Pop2PianoNetwork
from sidekeys_engine.note_tokens import default_vocabulary
from sidekeys_engine.tokenizer import Pop2PianoTokenizer
from sidekeys_engine.training.arranging import COMPOSERS
from sidekeys_engine.vocabulary import END_ID, PAD_ID

# The longest window of the most restless composer has some 170 tokens.
_MAX_LENGTH = 224


def save_checkpoint(network: Pop2PianoNetwork, folder: Path) -> None:
    """Write weights in half precision, settings and vocabulary; an existing checkpoint is replaced.

    Args:
        network: trained on the windows of `rendering`.
        folder: made if needed.

    Raises:
        InputError: the folder cannot be written.
    """
    config = network.config
    with torch.device("meta"):
        model = Pop2PianoForConditionalGeneration(config)
    weights = {name: weight.half() for name, weight in network.state_dict().items()}
    model.load_state_dict(weights, assign=True)
    model.generation_config = GenerationConfig(
        composer_to_feature_token={name: index for index, name in enumerate(COMPOSERS)},
        composer_descriptions=COMPOSERS,
        max_length=_MAX_LENGTH,
        eos_token_id=END_ID,
        pad_token_id=PAD_ID,
        decoder_start_token_id=PAD_ID,
    )
    model.save_pretrained(folder)
    bars = config.steps_per_window // 4
    Pop2PianoFeatureExtractor(
        feature_size=config.d_model,
        num_bars=bars,
        steps_per_beat=config.steps_per_beat,
        context_steps=config.context_steps,
    ).save_pretrained(folder)
    Pop2PianoTokenizer(
        default_vocabulary(config.vocab_size, config.velocity_levels),
        num_bars=bars,
        steps_per_beat=config.steps_per_beat,
        held_notes=config.held_notes,
    ).save_pretrained(folder)


def start_from(network: Pop2PianoNetwork, folder: Path) -> None:
    """Give a network the weights of a checkpoint of the same architecture.

    Raises:
        InputError: it is of another one.
    """
    other = Pop2PianoForConditionalGeneration.from_pretrained(folder)
    mine, theirs = network.config.to_dict(), other.config.to_dict()
    different = sorted(key for key in mine if mine[key] != theirs.get(key))
    if different:
        raise InputError(
            f"The checkpoint differs from the network in {', '.join(different)}; "
            "start from one of the same architecture."
        )
    network.load_state_dict(other.state_dict())
