"""What the feature extractor, the tokenizer and the model hand back: dict-like, with attributes.

The names and the access rules are those that code written for transformers expects. Nothing here
imports torch until a tensor is asked for.
"""

from __future__ import annotations

import dataclasses
from collections import UserDict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


class BatchFeature(UserDict[str, Any]):
    """Named arrays or tensors, read as ``batch["input_features"]`` or ``batch.input_features``.

    ``**batch`` hands every entry to a function as an argument of its own.

    Args:
        data: the entries.
        tensor_type: ``"pt"`` for torch tensors, ``"np"`` for numpy arrays, None for no conversion.

    Raises:
        ValueError: an entry cannot be made a tensor, because its rows differ in length.
    """

    def __init__(
        self, data: Mapping[str, Any] | None = None, tensor_type: str | None = None
    ) -> None:
        super().__init__(data or {})
        self.convert_to_tensors(tensor_type)

    def __getattr__(self, name: str) -> Any:
        # A copy or an unpickled object is asked for attributes before `data` exists.
        data = self.__dict__.get("data", {})
        if name in data:
            return data[name]
        raise AttributeError(f"{type(self).__name__} has no entry {name!r}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.data})

    def convert_to_tensors(self, tensor_type: str | None = None) -> BatchFeature:
        """Turn every entry into a tensor, in place.

        Args:
            tensor_type: ``"pt"``, ``"np"`` or None (nothing happens).

        Returns:
            This object.

        Raises:
            ValueError: an unknown tensor type, or an entry whose rows differ in length.
        """
        if tensor_type is not None:
            for name, value in self.data.items():
                self.data[name] = _as_tensor(name, value, tensor_type)
        return self

    def to(
        self,
        device: torch.device | torch.dtype | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> BatchFeature:
        """Move the tensors to a device, in place; numpy arrays and lists stay as they are.

        Args:
            device: a torch device or its name; a dtype is also accepted here, as in torch.
            dtype: the type that floating-point tensors get; integer tensors keep theirs.

        Returns:
            This object.
        """
        import torch  # noqa: PLC0415

        if isinstance(device, torch.dtype):
            device, dtype = None, device
        for name, value in self.data.items():
            if isinstance(value, torch.Tensor):
                wanted = dtype if value.is_floating_point() else None
                self.data[name] = value.to(device=device, dtype=wanted)
        return self


class BatchEncoding(BatchFeature):
    """What the tokenizer returns; the same container under the name the reference gives it."""


def _as_tensor(name: str, value: Any, tensor_type: str) -> Any:
    """One entry as a torch tensor or as a numpy array."""
    if tensor_type not in ("pt", "np"):
        raise ValueError(f"return_tensors is 'pt', 'np' or None, not {tensor_type!r}")
    import torch  # noqa: PLC0415

    if isinstance(value, torch.Tensor):
        return value if tensor_type == "pt" else value.detach().cpu().numpy()
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, dtype=object)
    if array.dtype == object:
        raise ValueError(
            f"the rows of {name!r} differ in length; ask for padding=True to make them one tensor"
        )
    return torch.as_tensor(array) if tensor_type == "pt" else array


@dataclasses.dataclass(eq=False)
class ModelOutput(Mapping[str, Any]):
    """Base of the model's outputs: fields by attribute, by name and by number.

    Fields that are None are left out of everything but attribute access: ``output["loss"]`` raises
    KeyError where there is no loss, and ``output[0]`` is then the next field. As in a dict,
    iteration gives the names.
    """

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the fields that are not None, in order."""
        return tuple(self.values())

    def __getitem__(self, key: str | int | slice) -> Any:
        if not isinstance(key, str):
            return self.to_tuple()[key]
        value = getattr(self, key, None) if key in self._field_names() else None
        if value is None:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        if key not in self._field_names():
            raise KeyError(key)
        setattr(self, key, value)

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._field_names() if getattr(self, name) is not None)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, key: object) -> bool:
        return key in tuple(self)

    # Tensors have no single truth value, so outputs compare by identity.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    @classmethod
    def _field_names(cls) -> tuple[str, ...]:
        return tuple(field.name for field in dataclasses.fields(cls))


@dataclasses.dataclass(eq=False)
class BaseModelOutput(ModelOutput):
    """What the encoder returns.

    Attributes:
        last_hidden_state: (batch, frames, d_model).
        hidden_states: one tensor of that shape for the embeddings and one for each layer.
        attentions: (batch, heads, frames, frames) for each layer, after the softmax.
    """

    last_hidden_state: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclasses.dataclass(eq=False)
class Seq2SeqLMOutput(ModelOutput):
    """What the model's ``forward`` returns.

    Attributes:
        loss: the mean cross-entropy over the labels, a scalar; None without labels.
        logits: (batch, tokens, vocabulary), before the softmax.
        past_key_values: the keys and values of past tokens, for the next call.
        decoder_hidden_states: (batch, tokens, d_model) for the embeddings and each layer.
        decoder_attentions: (batch, heads, tokens, tokens) for each layer.
        cross_attentions: (batch, heads, tokens, frames) for each layer.
        encoder_last_hidden_state: (batch, frames, d_model).
        encoder_hidden_states: (batch, frames, d_model) for the embeddings and each layer.
        encoder_attentions: (batch, heads, frames, frames) for each layer.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    past_key_values: Any = None
    decoder_hidden_states: tuple[torch.Tensor, ...] | None = None
    decoder_attentions: tuple[torch.Tensor, ...] | None = None
    cross_attentions: tuple[torch.Tensor, ...] | None = None
    encoder_last_hidden_state: torch.Tensor | None = None
    encoder_hidden_states: tuple[torch.Tensor, ...] | None = None
    encoder_attentions: tuple[torch.Tensor, ...] | None = None


@dataclasses.dataclass(eq=False)
class GenerateOutput(ModelOutput):
    """What ``generate`` returns when ``return_dict_in_generate`` is set.

    Attributes:
        sequences: (rows, tokens), the start token first, filled up after each row's end.
        sequences_scores: (rows,), the log-probability of each beam, with its length penalty; None
            without beams.
        scores: (rows, vocabulary) for each step, as the token was chosen from them; None unless
            ``output_scores`` is set. With beams, log-probabilities, a row for each beam.
    """

    sequences: torch.Tensor | None = None
    sequences_scores: torch.Tensor | None = None
    scores: tuple[torch.Tensor, ...] | None = None
