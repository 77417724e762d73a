"""Pop2PianoForConditionalGeneration: log-mel windows and a composer in, piano tokens out.

Source: Choi and Lee, "Pop2Piano" (arXiv 2211.00895); arguments and outputs as in transformers,
whose checkpoints load here. `generate` never changes the model's own settings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import Tensor

from sidekeys_engine.checkpoint import CheckpointError, load_weights, save_weights, take_checkpoint
from sidekeys_engine.composers import find_composer
from sidekeys_engine.config import GenerationConfig, Pop2PianoConfig
from sidekeys_engine.generate import generate_tokens
from sidekeys_engine.grammar import NoteGrammar
from sidekeys_engine.network import Pop2PianoNetwork
from sidekeys_engine.outputs import GenerateOutput
from sidekeys_engine.sampling import row_uniforms, total_length


class Pop2PianoForConditionalGeneration(Pop2PianoNetwork):
    """The network with its checkpoints, its composers and its decode loop.

    Args:
        config: the architecture; weights are random until `from_pretrained` reads some.
    """

    def __init__(self, config: Pop2PianoConfig) -> None:
        super().__init__(config)
        self.generation_config = GenerationConfig(
            pad_token_id=config.pad_token_id,
            eos_token_id=config.eos_token_id,
            decoder_start_token_id=config.decoder_start_token_id,
        )

    # Loading and saving

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        **kwargs: Any,
    ) -> Pop2PianoForConditionalGeneration:
        """Load a checkpoint, ready for inference (``eval`` mode).

        Args:
            name_or_path: "builtin", a folder in Hugging Face layout, or a hub id.
            dtype: of the weights in memory; half-precision files are widened by default.
            device: where to put them.
            **kwargs: ``local_files_only``, ``revision``, ``cache_dir``, ``token``, ``on_notice``,
                as `find_checkpoint` takes them.

        Raises:
            CheckpointError: it cannot be found, is broken, or its weights do not fit its config.
        """
        folder = take_checkpoint(name_or_path, kwargs)
        if kwargs:
            raise TypeError(f"from_pretrained() has no argument {next(iter(kwargs))!r}")
        config = Pop2PianoConfig.from_pretrained(folder)
        with torch.device("meta"):
            model = cls(config)
        expected = {name: tuple(weight.shape) for name, weight in model.state_dict().items()}
        weights = load_weights(folder, expected, dtype=dtype)
        if weights.tied_head:
            model.lm_head.weight = model.shared.weight
        model.load_state_dict(weights.tensors, strict=not weights.tied_head, assign=True)
        if weights.tied_head:
            # `assign` replaced the shared table; the head must point to the new one.
            model.lm_head.weight = model.shared.weight
        if (folder / GenerationConfig.json_name).is_file():
            model.generation_config = GenerationConfig.from_pretrained(folder)
        composers = model.generation_config.composer_to_feature_token
        if composers and len(composers) != config.composer_vocab_size:
            raise CheckpointError(
                f"{folder}: {len(composers)} composers are named in generation_config.json, but "
                f"config.json says {config.composer_vocab_size}; download the checkpoint again."
            )
        return model.to(device).eval()

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write config.json, generation_config.json and model.safetensors into ``folder``."""
        self.config.save_pretrained(folder)
        self.generation_config.save_pretrained(folder)
        state = dict(self.state_dict())
        if self.lm_head.weight is self.shared.weight:
            del state["lm_head.weight"]
        save_weights(state, folder)

    # The composer

    def composer_ids(
        self, composer: str | Sequence[str], rows: int, settings: GenerationConfig | None = None
    ) -> Tensor:
        """Rows of the composer table, (rows,) int64.

        Args:
            composer: one name for all rows, or one for each.
            rows: windows in the batch.
            settings: where ``composer_to_feature_token`` is read; the model's own by default.

        Raises:
            ValueError: no such composer (the message lists them), none known, or a wrong number.
        """
        known = (settings or self.generation_config).composer_to_feature_token
        if not known:
            raise ValueError(
                "this checkpoint names no composers; its generation_config needs a "
                "`composer_to_feature_token`, such as {'composer1': 2052}"
            )
        if len(known) != self.config.composer_vocab_size:
            raise ValueError(
                f"`composer_to_feature_token` names {len(known)} composers, but the model has "
                f"{self.config.composer_vocab_size}"
            )
        names = [composer] * rows if isinstance(composer, str) else list(composer)
        if len(names) != rows:
            raise ValueError(f"{len(names)} composers were given for {rows} windows")
        first = min(known.values())
        ids = [known[find_composer(name, known)] - first for name in names]
        return torch.tensor(ids, device=self.device)

    def get_mel_conditioner_outputs(
        self,
        input_features: Tensor,
        composer: str | Sequence[str],
        generation_config: GenerationConfig,
        attention_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Put the composer's vector in front of the features, and widen the mask to match.

        Args:
            input_features: (rows, frames, d_model).
            composer: one name for all rows, or one for each.
            generation_config: where the composers are named.
            attention_mask: (rows, frames); rows that begin with 0 separate songs and become zero.

        Returns:
            (rows, 1 + frames, d_model) and, if there was a mask, (rows, 1 + frames).
        """
        ids = self.composer_ids(composer, len(input_features), generation_config)
        embeds = self.mel_conditioner(input_features, ids)
        if attention_mask is None:
            return embeds, None
        first = attention_mask[:, :1]
        embeds = embeds * (first != 0)[:, :, None]
        return embeds, torch.cat([first, attention_mask], dim=1)

    # Generation

    @torch.no_grad()
    def generate(
        self,
        input_features: Tensor,
        attention_mask: Tensor | None = None,
        composer: str | Sequence[str] = "composer1",
        generation_config: GenerationConfig | Mapping[str, Any] | None = None,
        *,
        frame_steps: Tensor | None = None,
        first_row: int = 0,
        **overrides: Any,
    ) -> Tensor | GenerateOutput:
        """Choose the piano tokens of every window.

        Args:
            input_features: log-mel windows (rows, frames, d_model) of the feature extractor.
            attention_mask: (rows, frames), 0 for padding. A row that begins with 0 separates two
                songs of a batch: it ends at once.
            composer: a name of the checkpoint's, for all rows or one for each.
            generation_config: settings in place of the model's own; a dictionary, or transformers'
                object of that name, will do.
            frame_steps: (rows, frames) each frame's step in its window, for checkpoints with beat
                positions; evenly divided by default.
            first_row: number of the first row, when a song goes through in several calls: a row's
                random numbers are drawn by its number.
            **overrides: single settings for this call alone, such as ``max_length``,
                ``do_sample``, ``temperature``, ``top_k``, ``top_p``, ``seed`` or ``num_beams``.

        Returns:
            Token ids (rows * num_return_sequences, tokens), the start token first; or a
            `GenerateOutput` with ``return_dict_in_generate``.

        Raises:
            ValueError: an unknown composer or a setting out of range.
            TypeError: an unknown setting.
        """
        settings = self._settings(generation_config).updated(**overrides)
        features = self.embed_inputs(None, None, torch.as_tensor(input_features))
        assert features is not None
        rows = len(features)
        mask = None
        if attention_mask is not None:
            mask = torch.as_tensor(attention_mask, device=self.device)
        is_song = torch.ones(rows, dtype=torch.bool) if mask is None else mask[:, 0].cpu() != 0
        kept = is_song.nonzero()[:, 0].to(self.device)

        embeds, full_mask = self.get_mel_conditioner_outputs(features, composer, settings, mask)
        steps = self.steps_of_frames(frame_steps, features, mask)
        if steps is not None:
            steps = F.pad(steps, (1, 0), value=-1)[kept]
        if full_mask is not None:
            full_mask = full_mask[kept]
        output = self._generate_songs(embeds[kept], full_mask, steps, settings, first_row=first_row)
        output = _with_separators(output, is_song, settings)
        if settings.return_dict_in_generate:
            return output
        assert output.sequences is not None
        return output.sequences

    def _settings(self, given: Any) -> GenerationConfig:
        if given is None:
            return self.generation_config
        if isinstance(given, GenerationConfig):
            return given
        return GenerationConfig.from_dict(given if isinstance(given, Mapping) else given.to_dict())

    def _generate_songs(
        self,
        embeds: Tensor,
        mask: Tensor | None,
        frame_steps: Tensor | None,
        settings: GenerationConfig,
        *,
        first_row: int,
    ) -> GenerateOutput:
        if not len(embeds):
            return GenerateOutput(sequences=torch.empty(0, 1, dtype=torch.long, device=self.device))
        encoded = self.encode(embeds, attention_mask=mask, frame_steps=frame_steps)
        copies = max(settings.num_beams, settings.num_return_sequences)
        if copies > 1:
            encoded = encoded.repeat_interleave(copies, 0)
            mask = None if mask is None else mask.repeat_interleave(copies, 0)
            if frame_steps is not None:
                frame_steps = frame_steps.repeat_interleave(copies, 0)
        decoder = self.start_decoding(
            encoded,
            max(1, total_length(settings) - 1),
            attention_mask=mask,
            frame_steps=frame_steps,
        )
        uniforms = None
        if settings.do_sample:
            seed = settings.seed
            if seed is None:
                seed = int(torch.randint(2**31, ()))
            numbers = range(first_row * copies, first_row * copies + len(encoded))
            uniforms = row_uniforms(seed, numbers, total_length(settings))
        return generate_tokens(
            decoder, settings, grammar=self._grammar(len(encoded), settings), uniforms=uniforms
        )

    def _grammar(self, rows: int, settings: GenerationConfig) -> NoteGrammar | None:
        """The grammar, for checkpoints of ours; the original was never trained to keep it."""
        wanted = settings.grammar
        if not (self.config.beat_positions if wanted == "auto" else wanted):
            return None
        return NoteGrammar(
            rows,
            self.config.layout,
            self.config.steps_per_window,
            chord_order=self.config.chord_order,
            held_notes=self.config.held_notes,
            device=self.device,
        )


def _with_separators(
    output: GenerateOutput, is_song: Tensor, settings: GenerationConfig
) -> GenerateOutput:
    """Put the separator rows back between the songs: a start token, an end token, padding."""
    if bool(is_song.all()):
        return output
    assert output.sequences is not None
    width = max(2, output.sequences.shape[1])
    separator = output.sequences.new_full((width,), settings.pad_token_id)
    separator[0] = settings.decoder_start_token_id
    separator[1] = settings.eos_token_id
    missing = width - output.sequences.shape[1]
    padded = F.pad(output.sequences, (0, missing), value=settings.pad_token_id)
    scores, step_scores = output.sequences_scores, output.scores
    return GenerateOutput(
        sequences=_spread(padded, is_song, separator),
        sequences_scores=None if scores is None else _spread(scores, is_song),
        scores=None if step_scores is None else tuple(_spread(s, is_song) for s in step_scores),
    )


def _spread(values: Tensor, is_song: Tensor, between: Tensor | float = 0.0) -> Tensor:
    """Rows of songs with rows for their separators, as many for each as a song's window has."""
    copies = max(1, len(values) // max(1, int(is_song.sum())))
    rows = is_song.repeat_interleave(copies).to(values.device)
    spread = values.new_zeros((len(rows), *values.shape[1:]))
    spread[:] = between
    spread[rows] = values
    return spread
