"""The embedded checkpoint's beat positions: the published vectors, and cached equals uncached."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from sidekeys_engine import Pop2PianoForConditionalGeneration
from sidekeys_engine.vocabulary import END_ID, NOTE_ON_ID

FIRST_TIME_ID = 134
VECTORS = Path(__file__).parents[1] / "data" / "small_v0_test_vectors.npz"


@pytest.fixture(scope="module")
def model() -> Pop2PianoForConditionalGeneration:
    return Pop2PianoForConditionalGeneration.from_pretrained("builtin")


@pytest.fixture(scope="module")
def vectors() -> dict[str, Tensor]:
    return {name: torch.from_numpy(array) for name, array in np.load(VECTORS).items()}


def composers(model: Pop2PianoForConditionalGeneration, vectors: dict[str, Tensor]) -> list[str]:
    names = list(model.generation_config.composer_to_feature_token)
    return [names[index] for index in vectors["composer"]]


@torch.no_grad()
def test_teacher_forced_logits_are_those_of_its_training(
    model: Pop2PianoForConditionalGeneration, vectors: dict[str, Tensor]
) -> None:
    embeds, _ = model.get_mel_conditioner_outputs(
        vectors["log_mel"], composers(model, vectors), model.generation_config
    )
    steps = pad(vectors["frame_step"], (1, 0), value=-1)
    output = model(inputs_embeds=embeds, frame_steps=steps, labels=vectors["labels"])
    assert float((output.logits - vectors["logits"]).abs().max()) < 1e-3


def test_greedy_tokens_are_those_of_its_training(
    model: Pop2PianoForConditionalGeneration, vectors: dict[str, Tensor]
) -> None:
    """Its trainer ended a window where time would pass 8, or where a note would start at 8."""
    expected = vectors["greedy"]
    free = model.generate(
        vectors["log_mel"],
        composer=composers(model, vectors),
        frame_steps=vectors["frame_step"],
        grammar=False,
        max_length=expected.shape[1] + 1,
    )
    assert isinstance(free, Tensor)
    for tokens, row in zip(free[:, 1:].tolist(), expected.tolist(), strict=True):
        time, cut = 0, []
        for token in tokens:
            time += max(0, token - FIRST_TIME_ID)
            too_late = time > 8 or (time == 8 and token == NOTE_ON_ID)
            cut.append(END_ID if too_late else token)
            if cut[-1] == END_ID:
                break
        assert cut == row[: len(cut)]
        assert not any(row[len(cut) :])


@torch.no_grad()
def test_cached_steps_equal_one_pass(
    model: Pop2PianoForConditionalGeneration, vectors: dict[str, Tensor]
) -> None:
    steps = vectors["frame_step"]
    ids = pad(vectors["labels"], (1, 0))
    features = vectors["log_mel"]
    whole = model(input_features=features, frame_steps=steps, decoder_input_ids=ids)
    first = model(input_features=features, frame_steps=steps, decoder_input_ids=ids[:, :4])
    encoded, past = (first.encoder_last_hidden_state,), first.past_key_values
    decoder = model.start_decoding(encoded[0], ids.shape[1], frame_steps=steps)
    for position in range(ids.shape[1]):
        fast = decoder.step(ids[:, position])
        assert float((fast - whole.logits[:, position]).abs().max()) < 1e-4
        if position >= 4:
            slow = model(
                encoder_outputs=encoded,
                frame_steps=steps,
                decoder_input_ids=ids[:, position : position + 1],
                past_key_values=past,
            )
            assert float((slow.logits[:, 0] - whole.logits[:, position]).abs().max()) < 1e-4
    with pytest.raises(ValueError, match="does not tell the time"):
        model(
            encoder_outputs=encoded,
            frame_steps=steps,
            decoder_input_ids=ids[:, :1],
            past_key_values=past.to_tuple(),
        )


def test_frames_without_given_steps_divide_the_window_evenly(
    model: Pop2PianoForConditionalGeneration, vectors: dict[str, Tensor]
) -> None:
    """The vectors' windows are 44 frames at 118-121 beats a minute: the guess is near."""
    guessed = model.even_frame_steps(3, 44)
    assert torch.equal(guessed[:, 0], torch.zeros(3, dtype=torch.long))
    assert float((guessed == vectors["frame_step"]).float().mean()) > 0.95
    mask = torch.ones(1, 44, dtype=torch.long)
    mask[:, 30:] = 0
    assert torch.equal(model.even_frame_steps(1, 44, mask)[:, :30], model.even_frame_steps(1, 30))
    assert set(model.even_frame_steps(1, 44, mask)[0, 30:].tolist()) == {8}


def test_wrong_frame_steps_are_refused(
    model: Pop2PianoForConditionalGeneration, vectors: dict[str, Tensor]
) -> None:
    with pytest.raises(ValueError, match="must match the frames"):
        model.generate(vectors["log_mel"], composer="full", frame_steps=torch.zeros(3, 9))


def test_the_head_is_tied_and_saved_without_a_copy(
    model: Pop2PianoForConditionalGeneration, tmp_path: Path, vectors: dict[str, Tensor]
) -> None:
    assert model.lm_head.weight is model.shared.weight
    model.save_pretrained(tmp_path)
    again = Pop2PianoForConditionalGeneration.from_pretrained(tmp_path)
    assert again.lm_head.weight is again.shared.weight
    first, second = (
        m.generate(vectors["log_mel"], composer="block", frame_steps=vectors["frame_step"])
        for m in (model, again)
    )
    assert torch.equal(first, second)
