"""Feature extractor and tokenizer as one object (Pop2PianoProcessor, AutoProcessor)."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from sidekeys_engine.checkpoint import take_checkpoint
from sidekeys_engine.features import Pop2PianoFeatureExtractor
from sidekeys_engine.outputs import BatchEncoding, BatchFeature
from sidekeys_engine.tokenizer import Pop2PianoTokenizer


class Pop2PianoProcessor:
    """Prepares songs for the model, and turns what it generates into notes.

    Arguments and results are those of Pop2Piano in transformers.

    Args:
        feature_extractor: what hears the songs.
        tokenizer: what reads and writes the tokens.
    """

    def __init__(
        self, feature_extractor: Pop2PianoFeatureExtractor, tokenizer: Pop2PianoTokenizer
    ) -> None:
        self.feature_extractor = feature_extractor
        self.tokenizer = tokenizer

    def __call__(
        self,
        audio: Any = None,
        sampling_rate: int | Sequence[int] | None = None,
        steps_per_beat: int | None = None,
        resample: bool = True,
        notes: Any = None,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        verbose: bool = True,
        text: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Extract the features of songs, encode notes or words, or both.

        Args:
            audio: a song or a batch of songs, see ``Pop2PianoFeatureExtractor``.
            sampling_rate: of the audio, in Hz; one number, or one for each song.
            steps_per_beat: steps a beat is divided into; None takes what the model was trained
                with.
            resample: whether audio of another rate is resampled to the extractor's own.
            notes: notes of a window or of several, see ``Pop2PianoTokenizer``.
            padding: how rows of tokens are padded.
            truncation: how rows of tokens are cut.
            max_length: most tokens in a row.
            pad_to_multiple_of: padded rows get a multiple of this length.
            verbose: unused.
            text: words such as ``"60_TOKEN_NOTE"``, see ``Pop2PianoTokenizer.encode_text``.
            **kwargs: for both, such as ``return_tensors`` and ``return_attention_mask``.

        Returns:
            The feature extractor's output, the tokenizer's, or with audio the former with the
            latter's ``token_ids`` or ``input_ids`` added.

        Raises:
            ValueError: neither audio with its sampling rate, nor notes, nor text; and whatever
                the two parts raise.
        """
        hears = audio is not None
        writes = notes is not None or text is not None
        if hears and sampling_rate is None:
            raise ValueError("audio needs its sampling_rate, such as sampling_rate=44100")
        if not (hears or writes):
            raise ValueError("give audio and its sampling_rate, notes, or text")
        encoded = BatchEncoding()
        if writes:
            encoded = self.tokenizer(
                notes=notes,
                padding=padding,
                truncation=truncation,
                max_length=max_length,
                pad_to_multiple_of=pad_to_multiple_of,
                verbose=verbose,
                text=text,
                **kwargs,
            )
        if sampling_rate is None or not hears:
            return encoded
        features = self.feature_extractor(
            audio=audio,
            sampling_rate=sampling_rate,
            steps_per_beat=steps_per_beat,
            resample=resample,
            **kwargs,
        )
        # The tokens' own attention mask would overwrite that of the frames.
        features.update({name: ids for name, ids in encoded.items() if name != "attention_mask"})
        return features

    def batch_decode(
        self,
        token_ids: Any,
        feature_extractor_output: Mapping[str, Any] | None = None,
        return_midi: bool = True,
        *,
        steps_per_beat: int | None = None,
    ) -> BatchEncoding | list[str]:
        """Decode generated ids to notes; or to words, where no features are given.

        Arguments, results and errors are those of ``Pop2PianoTokenizer.batch_decode``.
        """
        if feature_extractor_output is None:
            return self.tokenizer.batch_decode(token_ids)
        return self.tokenizer.batch_decode(
            token_ids, feature_extractor_output, return_midi, steps_per_beat=steps_per_beat
        )

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the settings of both parts and the vocabulary into ``folder``, made if needed."""
        self.feature_extractor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> Pop2PianoProcessor:
        """Read both parts from a checkpoint.

        Args:
            name_or_path: ``"builtin"``, a folder, or a Hugging Face id such as ``"owner/name"``.
            **kwargs: ``local_files_only``, ``revision``, ``cache_dir``, ``token`` and ``on_notice``
                as `find_checkpoint` takes them.

        Raises:
            CheckpointError: no such checkpoint, or a file of it cannot be used.
        """
        folder = take_checkpoint(name_or_path, kwargs)
        if kwargs:
            raise TypeError(f"from_pretrained() has no argument {next(iter(kwargs))!r}")
        return cls(
            Pop2PianoFeatureExtractor.from_pretrained(folder),
            Pop2PianoTokenizer.from_pretrained(folder),
        )


class AutoProcessor:
    """Finds the processor of a checkpoint; every checkpoint here is a Pop2Piano."""

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> Pop2PianoProcessor:
        """Same as ``Pop2PianoProcessor.from_pretrained``."""
        return Pop2PianoProcessor.from_pretrained(name_or_path, **kwargs)
