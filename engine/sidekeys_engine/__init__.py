"""Sidekeys' engine: pop audio in, a piano cover out.

The classes of Pop2Piano are importable from here, under the names that transformers gave them.
They are loaded when they are asked for, so that rooms without torch stay light to import.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sidekeys_engine.config import GenerationConfig, Pop2PianoConfig
    from sidekeys_engine.features import Pop2PianoFeatureExtractor
    from sidekeys_engine.model import Pop2PianoForConditionalGeneration
    from sidekeys_engine.processor import AutoProcessor, Pop2PianoProcessor
    from sidekeys_engine.tokenizer import Pop2PianoTokenizer

__all__ = [
    "AutoProcessor",
    "GenerationConfig",
    "Pop2PianoConfig",
    "Pop2PianoFeatureExtractor",
    "Pop2PianoForConditionalGeneration",
    "Pop2PianoProcessor",
    "Pop2PianoTokenizer",
]

_ROOMS = {
    "AutoProcessor": "processor",
    "GenerationConfig": "config",
    "Pop2PianoConfig": "config",
    "Pop2PianoFeatureExtractor": "features",
    "Pop2PianoForConditionalGeneration": "model",
    "Pop2PianoProcessor": "processor",
    "Pop2PianoTokenizer": "tokenizer",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_ROOMS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
