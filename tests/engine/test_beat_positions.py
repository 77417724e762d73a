"""Beat positions: as a slow computation has them, cached equals uncached, context included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from sidekeys_engine import Pop2PianoForConditionalGeneration
from sidekeys_engine.config import Pop2PianoConfig
from sidekeys_engine.decoding import step_bias, token_steps

CONTEXT, STEPS = 4, 16
HEARD = CONTEXT + STEPS
FRAMES = 25


@pytest.fixture(scope="module")
def fine() -> Pop2PianoForConditionalGeneration:
    """Small and random, and lively where it is told the step."""
    torch.manual_seed(0)
    config = Pop2PianoConfig(
        vocab_size=161,
        composer_vocab_size=3,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        dropout_rate=0.0,
        beat_positions=True,
        steps_per_window=STEPS,
        steps_per_beat=4,
        context_steps=CONTEXT,
        velocity_levels=12,
        held_notes=True,
    )
    model = Pop2PianoForConditionalGeneration(config).eval()
    with torch.no_grad():
        model.decoder.cross_attention_step_bias.weight.normal_(0, 2)
        model.decoder.step_embedding.weight.normal_(0, 1)
    return model


def spoken(config: Pop2PianoConfig) -> Tensor:
    """Two windows: held notes before any time, velocities, and one that runs past its end."""
    time = config.layout.first_time_id
    rows = [
        [0, 64, 70, time + 0, 136, 80, time + 5, 84, time + 10, 137, 60, time + 1, 132, 64, 1],
        [0, time + 3, 140, 90, 80, time + 15, 132, 90, time + 15, 80, time + 2, 133, 50, 52, 1],
    ]
    return torch.tensor(rows)


def heard(seed: int = 1) -> tuple[Tensor, Tensor]:
    """Frames with a composer in front, and their steps."""
    generator = torch.Generator().manual_seed(seed)
    embeds = torch.randn(2, 1 + FRAMES, 32, generator=generator)
    steps = torch.randint(0, HEARD + 1, (2, FRAMES), generator=generator).sort(1).values
    return embeds, pad(steps, (1, 0), value=-1)


def naive_token_steps(ids: Tensor, config: Pop2PianoConfig) -> np.ndarray:
    """Each token's step, counted from the context's first, one after the other."""
    steps = np.zeros(ids.shape, dtype=int)
    for row, tokens in enumerate(ids.tolist()):
        now = config.context_steps
        for column, token in enumerate(tokens):
            if token >= config.layout.first_time_id:
                now += token - config.layout.first_time_id
            steps[row, column] = min(now, HEARD + 1)
    return steps


def naive_bias(table: np.ndarray, frame_steps: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(rows, heads, tokens, frames): the table's row for a frame so many steps after a token."""
    rows, frames = frame_steps.shape
    bias = np.zeros((rows, table.shape[1], steps.shape[1], frames), dtype=np.float32)
    for row in range(rows):
        for token, now in enumerate(steps[row]):
            for frame, step in enumerate(frame_steps[row]):
                distance = max(-HEARD, min(HEARD, step - now))
                bias[row, :, token, frame] = table[HEARD + distance if step >= 0 else -1]
    return bias


def test_tokens_start_at_the_windows_own_first_step(
    fine: Pop2PianoForConditionalGeneration,
) -> None:
    ids = spoken(fine.config)
    steps = token_steps(ids, fine.config)
    assert steps.tolist() == naive_token_steps(ids, fine.config).tolist()
    assert steps[:, 0].tolist() == [CONTEXT, CONTEXT]
    assert int(steps[0, -1]) == HEARD
    assert int(steps[1, -1]) == HEARD + 1


@torch.no_grad()
def test_the_cross_attentions_bias_is_a_table_of_distances_in_steps(
    fine: Pop2PianoForConditionalGeneration,
) -> None:
    _, frame_steps = heard()
    steps = token_steps(spoken(fine.config), fine.config)
    table = fine.decoder.cross_attention_step_bias.weight.numpy()
    assert len(table) == 2 * HEARD + 2
    naive = naive_bias(table, frame_steps.numpy(), steps.numpy())
    assert np.array_equal(step_bias(fine.decoder, frame_steps, steps).numpy(), naive)


@torch.no_grad()
def test_the_pass_is_that_of_a_stack_told_its_steps_by_hand(
    fine: Pop2PianoForConditionalGeneration,
) -> None:
    embeds, frame_steps = heard()
    ids = spoken(fine.config)
    output = fine(inputs_embeds=embeds, frame_steps=frame_steps, decoder_input_ids=ids)

    told = embeds.clone()
    for row in range(2):
        for frame in range(1, 1 + FRAMES):
            told[row, frame] += fine.encoder.step_embedding.weight[frame_steps[row, frame]]
    positions = torch.arange(1 + FRAMES)
    encoded = fine.encoder(told, self_bias=fine.encoder.relative_bias(positions, positions))
    assert float((encoded - output.encoder_last_hidden_state).abs().max()) < 1e-5

    steps = naive_token_steps(ids, fine.config)
    spoken_at = fine.shared.weight[ids] + fine.decoder.step_embedding.weight[torch.tensor(steps)]
    positions = torch.arange(ids.shape[1])
    later = torch.full((len(positions), len(positions)), -1e9).triu(1)
    table = fine.decoder.cross_attention_step_bias.weight.numpy()
    hidden = fine.decoder(
        spoken_at,
        self_bias=fine.decoder.relative_bias(positions, positions) + later,
        cross_bias=torch.from_numpy(naive_bias(table, frame_steps.numpy(), steps)),
        encoded=encoded,
    )
    assert float((fine.head(hidden) - output.logits).abs().max()) < 1e-4


@torch.no_grad()
@pytest.mark.parametrize("masked", [False, True])
def test_cached_steps_equal_one_pass_with_a_context(
    fine: Pop2PianoForConditionalGeneration, masked: bool
) -> None:
    embeds, frame_steps = heard()
    ids = spoken(fine.config)
    mask = torch.ones(frame_steps.shape, dtype=torch.long)
    if masked:
        mask[1, 20:] = 0
    inputs = {"attention_mask": mask, "frame_steps": frame_steps}
    whole = fine(inputs_embeds=embeds, decoder_input_ids=ids, **inputs)
    first = fine(inputs_embeds=embeds, decoder_input_ids=ids[:, :4], **inputs)
    encoded, past = (first.encoder_last_hidden_state,), first.past_key_values
    decoder = fine.start_decoding(encoded[0], ids.shape[1], **inputs)
    for position in range(ids.shape[1]):
        fast = decoder.step(ids[:, position])
        assert float((fast - whole.logits[:, position]).abs().max()) < 1e-4
        if position >= 4:
            slow = fine(
                encoder_outputs=encoded,
                decoder_input_ids=ids[:, position : position + 1],
                past_key_values=past,
                **inputs,
            )
            assert float((slow.logits[:, 0] - whole.logits[:, position]).abs().max()) < 1e-4


@torch.no_grad()
def test_what_is_heard_before_the_window_changes_what_is_played(
    fine: Pop2PianoForConditionalGeneration,
) -> None:
    embeds, _ = heard()
    frame_steps = pad(fine.even_frame_steps(2, FRAMES), (1, 0), value=-1)
    other = embeds.clone()
    other[:, 1:][frame_steps[:, 1:] < CONTEXT] += 1
    ids = spoken(fine.config)
    first, second = (
        fine(inputs_embeds=frames, frame_steps=frame_steps, decoder_input_ids=ids).logits
        for frames in (embeds, other)
    )
    assert float((first - second).abs().max()) > 0.05


def test_frames_without_given_steps_cover_the_context_too(
    fine: Pop2PianoForConditionalGeneration,
) -> None:
    steps = fine.even_frame_steps(1, 4 * HEARD)[0].tolist()
    assert steps == sorted(steps)
    assert set(steps) == set(range(HEARD))
    assert {steps.count(step) for step in range(1, HEARD - 1)} <= {3, 4, 5}
    assert steps[: steps.index(CONTEXT)].count(0) in (4, 5)


def test_embeddings_tell_no_time_so_their_decoder_stays_at_the_windows_start(
    fine: Pop2PianoForConditionalGeneration,
) -> None:
    embeds, frame_steps = heard()
    with torch.no_grad():
        silent = torch.tensor([[0, 64, 70]] * 2)  # no time passes between these
        by_ids = fine(inputs_embeds=embeds, frame_steps=frame_steps, decoder_input_ids=silent)
        by_embeds = fine(
            inputs_embeds=embeds,
            frame_steps=frame_steps,
            decoder_inputs_embeds=fine.shared(silent),
        )
    assert torch.equal(by_ids.logits, by_embeds.logits)


def test_a_tuple_of_keys_and_values_does_not_tell_the_time(
    fine: Pop2PianoForConditionalGeneration,
) -> None:
    embeds, frame_steps = heard()
    ids = spoken(fine.config)
    first = fine(inputs_embeds=embeds, frame_steps=frame_steps, decoder_input_ids=ids[:, :4])
    with pytest.raises(ValueError, match="does not tell the time"):
        fine(
            encoder_outputs=(first.encoder_last_hidden_state,),
            frame_steps=frame_steps,
            decoder_input_ids=ids[:, 4:5],
            past_key_values=first.past_key_values.to_tuple(),
        )


def test_padding_lies_beyond_the_last_step(fine: Pop2PianoForConditionalGeneration) -> None:
    mask = torch.ones(1, 44, dtype=torch.long)
    mask[:, 30:] = 0
    assert torch.equal(fine.even_frame_steps(1, 44, mask)[:, :30], fine.even_frame_steps(1, 30))
    assert set(fine.even_frame_steps(1, 44, mask)[0, 30:].tolist()) == {HEARD}


def test_wrong_frame_steps_are_refused() -> None:
    model = Pop2PianoForConditionalGeneration.from_pretrained("builtin")
    with pytest.raises(ValueError, match="must match the frames"):
        model.generate(torch.zeros(3, 44, 256), composer="full", frame_steps=torch.zeros(3, 9))


def test_a_tied_head_is_saved_without_a_copy(
    fine: Pop2PianoForConditionalGeneration, tmp_path: Path
) -> None:
    tied = Pop2PianoForConditionalGeneration(fine.config).eval()
    tied.load_state_dict(fine.state_dict())
    tied.lm_head.weight = tied.shared.weight
    tied.save_pretrained(tmp_path)
    again = Pop2PianoForConditionalGeneration.from_pretrained(tmp_path)
    assert again.lm_head.weight is again.shared.weight
    embeds, frame_steps = heard()
    first, second = (
        model(inputs_embeds=embeds, frame_steps=frame_steps, decoder_input_ids=spoken(fine.config))
        for model in (tied, again)
    )
    assert torch.equal(first.logits, second.logits)
