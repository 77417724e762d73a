"""A checkpoint that is ready to play: windows of sound in, the steps of piano notes out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sidekeys_engine.checkpoint import BUILTIN, find_checkpoint
from sidekeys_engine.composers import in_order
from sidekeys_engine.config import GenerationConfig
from sidekeys_engine.errors import InputError
from sidekeys_engine.note_tokens import StepNote
from sidekeys_engine.outputs import GenerateOutput

if TYPE_CHECKING:
    from sidekeys_engine.features import Pop2PianoFeatureExtractor
    from sidekeys_engine.model import Pop2PianoForConditionalGeneration
    from sidekeys_engine.tokenizer import Pop2PianoTokenizer

DEVICES = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True, slots=True)
class Taste:
    """How daringly notes are chosen.

    Attributes:
        temperature: 0 takes the likeliest token every time; above, tokens are drawn, the more
            evenly the higher.
        seed: which take; drawing with the same seed gives the same notes.
    """

    temperature: float = 0.0
    seed: int = 0

    def on(self, settings: GenerationConfig) -> GenerationConfig:
        """A checkpoint's generation settings, with this taste."""
        plain = settings.updated(
            num_beams=1, num_return_sequences=1, return_dict_in_generate=False, do_sample=False
        )
        if self.temperature == 0:
            return plain
        return plain.updated(do_sample=True, temperature=self.temperature, seed=self.seed)


@dataclass(frozen=True)
class Pianist:
    """A loaded checkpoint.

    Attributes:
        model: the network.
        feature_extractor: makes the log-mel frames that the network was trained on.
        tokenizer: reads the tokens that it writes.
    """

    model: Pop2PianoForConditionalGeneration
    feature_extractor: Pop2PianoFeatureExtractor
    tokenizer: Pop2PianoTokenizer

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str] = BUILTIN,
        *,
        device: str = "auto",
        on_notice: Callable[[str], None] | None = None,
    ) -> Pianist:
        """Load a checkpoint: "builtin", a folder, or a hub id.

        Args:
            name_or_path: which one.
            device: one of `DEVICES`; "auto" is the fastest there is.
            on_notice: gets the licence notice of a hub checkpoint at its first use.

        Raises:
            CheckpointError: it cannot be found or is broken.
            InputError: there is no such device.
        """
        # torch takes a second to import: what needs only names and settings goes without it.
        from sidekeys_engine.features import Pop2PianoFeatureExtractor  # noqa: PLC0415
        from sidekeys_engine.model import Pop2PianoForConditionalGeneration  # noqa: PLC0415
        from sidekeys_engine.tokenizer import Pop2PianoTokenizer  # noqa: PLC0415

        chosen = choose_device(device)
        folder = find_checkpoint(name_or_path, on_notice=on_notice)
        return cls(
            model=Pop2PianoForConditionalGeneration.from_pretrained(folder, device=chosen),
            feature_extractor=Pop2PianoFeatureExtractor.from_pretrained(folder),
            tokenizer=Pop2PianoTokenizer.from_pretrained(folder),
        )

    @property
    def sampling_rate(self) -> int:
        """Rate in Hz of the sound that `play` takes."""
        return self.feature_extractor.sampling_rate

    @property
    def steps_per_window(self) -> int:
        """Length of a window in steps."""
        return self.model.config.steps_per_window

    @property
    def context_steps(self) -> int:
        """Steps that are heard before a window."""
        return self.model.config.context_steps

    @property
    def window_beats(self) -> float:
        """Length of a window in beats."""
        return self.steps_per_window / self.model.config.steps_per_beat

    def play(
        self,
        audio: npt.NDArray[np.float32],
        step_seconds: npt.NDArray[np.float64],
        composer: str | Sequence[str],
        *,
        taste: Taste | None = None,
        first_window: int = 0,
    ) -> list[list[StepNote]]:
        """Play windows of a song; each one's notes depend on that window alone.

        Args:
            audio: (samples,) mono at `sampling_rate`.
            step_seconds: (windows, context steps + steps + 1) rising moments of each window's
                steps, those of its context before them.
            composer: one for all windows, or one for each.
            taste: how notes are chosen; the likeliest ones by default.
            first_window: number of the first window in its song, which draws its random numbers.

        Returns:
            For every window its notes, by onset and pitch, none past the window's end.

        Raises:
            ValueError: moments that are not those of the checkpoint's steps.
        """
        config = self.model.config
        if step_seconds.shape[1:] != (config.heard_steps + 1,):
            raise ValueError(
                f"step_seconds is (windows, {config.heard_steps + 1}), not {step_seconds.shape}"
            )
        heard = self.feature_extractor.log_mel_windows(
            audio, step_seconds, device=self.model.device
        )
        tokens = self.model.generate(
            heard.input_features,
            attention_mask=heard.attention_mask,
            composer=composer,
            generation_config=(taste or Taste()).on(self.model.generation_config),
            frame_steps=heard.frame_steps,
            first_row=first_window,
        )
        assert not isinstance(tokens, GenerateOutput)
        return [
            self.tokenizer.decode_window(
                row[1:], steps=config.steps_per_window, held_notes=config.held_notes
            )
            for row in tokens.tolist()
        ]


def composers_of(
    name_or_path: str | os.PathLike[str] = BUILTIN,
    *,
    on_notice: Callable[[str], None] | None = None,
) -> Mapping[str, str]:
    """The composers of a checkpoint in its own order, each with a line on how it plays.

    Raises:
        CheckpointError: the checkpoint cannot be found or read.
    """
    folder = find_checkpoint(name_or_path, on_notice=on_notice)
    settings = GenerationConfig.from_pretrained(folder)
    tokens = settings.composer_to_feature_token
    return {name: settings.composer_descriptions.get(name, "") for name in in_order(tokens)}


def choose_device(name: str) -> str:
    """The torch device for a name of `DEVICES`.

    Raises:
        InputError: unknown, or not on this machine.
    """
    import torch  # noqa: PLC0415

    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return next(device for device, available in there.items() if available)
    if name not in there:
        raise InputError(f"There is no device {name!r}; choose one of {', '.join(DEVICES)}.")
    if not there[name]:
        raise InputError(
            f"PyTorch finds no {name} device on this machine; use --device auto, or install the "
            f"PyTorch build for it."
        )
    return name
