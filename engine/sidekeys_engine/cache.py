"""Keys and values of the decoder's attention, kept between steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(slots=True)
class LayerCache:
    """One decoder layer's keys and values.

    Attributes:
        key, value: (rows, heads, capacity, d_kv), of which the first ``length`` positions hold.
        length: tokens stored so far.
        cross_key, cross_value: (rows, heads, frames, d_kv) once the encoder's output was seen.
    """

    key: Tensor | None = None
    value: Tensor | None = None
    length: int = 0
    cross_key: Tensor | None = None
    cross_value: Tensor | None = None

    def append(self, key: Tensor, value: Tensor, capacity: int) -> tuple[Tensor, Tensor]:
        """Store new positions; return views of all that are stored.

        The buffers are allocated once at ``capacity`` and double when they are outgrown, so that a
        step of decoding copies one position and not the past.
        """
        end = self.length + key.shape[2]
        self.key = _room_for(self.key, key, self.length, end, capacity)
        self.value = _room_for(self.value, value, self.length, end, capacity)
        self.key[:, :, self.length : end] = key
        self.value[:, :, self.length : end] = value
        self.length = end
        return self.key[:, :, :end], self.value[:, :, :end]

    def select(self, rows: Tensor) -> None:
        """Keep the given rows, in the given order (beams reordered, finished windows dropped)."""
        if self.key is not None and self.value is not None:
            key = self.key.new_empty((len(rows), *self.key.shape[1:]))
            value = torch.empty_like(key)
            # Positions beyond `length` hold nothing: copying them would be wasted memory traffic.
            key[:, :, : self.length] = self.key[rows, :, : self.length]
            value[:, :, : self.length] = self.value[rows, :, : self.length]
            self.key, self.value = key, value
        if self.cross_key is not None and self.cross_value is not None:
            self.cross_key, self.cross_value = self.cross_key[rows], self.cross_value[rows]


class KeyValueCache:
    """The keys and values of all decoder layers.

    Reads as the tuple that the reference documents: ``cache[layer]`` is ``(key, value, cross_key,
    cross_value)``, each (rows, heads, positions, d_kv).

    Args:
        layers: number of decoder layers.
        capacity: positions to allocate at first use.
    """

    def __init__(self, layers: int, capacity: int = 32) -> None:
        self.layers = [LayerCache() for _ in range(layers)]
        self.capacity = capacity
        self._steps: Tensor | None = None

    @classmethod
    def from_tuple(cls, layers: Sequence[Sequence[Tensor]]) -> KeyValueCache:
        """From a tuple of (key, value) or (key, value, cross_key, cross_value) a layer.

        Raises:
            ValueError: for a layer with another number of tensors.
        """
        cache = cls(len(layers))
        for layer, tensors in zip(cache.layers, layers, strict=True):
            if len(tensors) not in (2, 4):
                raise ValueError(
                    f"a layer of past_key_values holds 2 or 4 tensors, not {len(tensors)}"
                )
            layer.append(tensors[0], tensors[1], tensors[0].shape[2] + cache.capacity)
            if len(tensors) == 4:
                layer.cross_key, layer.cross_value = tensors[2], tensors[3]
        return cache

    def to_tuple(self) -> tuple[tuple[Tensor, ...], ...]:
        """The stored tensors, layer by layer."""
        return tuple(self)

    def get_seq_length(self) -> int:
        """Number of tokens stored."""
        return self.layers[0].length if self.layers else 0

    def advance_steps(self, steps: Tensor, start: int, last: int) -> Tensor:
        """Steps of new tokens counted on from those of the tokens before.

        Args:
            steps: (rows, tokens) int64, counted from a window's start.
            start: the step of a window's start.
            last: the largest step there is.

        Raises:
            ValueError: the tokens before came as a tuple, which does not tell their steps.
        """
        if self._steps is not None:
            steps = (steps - start + self._steps).clamp(max=last)
        elif self.get_seq_length():
            raise ValueError(
                "a checkpoint with beat positions goes on from the KeyValueCache that it returned; "
                "a tuple of keys and values does not tell the time"
            )
        self._steps = steps[:, -1:]
        return steps

    def select(self, rows: Tensor) -> None:
        """Keep the given rows, in the given order."""
        if self._steps is not None:
            self._steps = self._steps[rows]
        for layer in self.layers:
            layer.select(rows)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        layer = self.layers[index]
        stored = [
            None if tensor is None else tensor[:, :, : layer.length]
            for tensor in (layer.key, layer.value)
        ]
        return tuple(
            tensor for tensor in (*stored, layer.cross_key, layer.cross_value) if tensor is not None
        )


def _room_for(buffer: Tensor | None, new: Tensor, length: int, end: int, capacity: int) -> Tensor:
    if buffer is not None and end <= buffer.shape[2]:
        return buffer
    size = max(capacity, end if buffer is None else 2 * end)
    grown = new.new_zeros((new.shape[0], new.shape[1], size, new.shape[3]))
    if buffer is not None:
        grown[:, :, :length] = buffer[:, :, :length]
    return grown
