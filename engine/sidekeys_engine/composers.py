"""The composers of a checkpoint, by name and by number."""

from __future__ import annotations

import re
from collections.abc import Mapping


def in_order(tokens: Mapping[str, int]) -> list[str]:
    """Names in the checkpoint's own order, that of their tokens.

    Args:
        tokens: ``composer_to_feature_token`` of its generation settings.
    """
    return sorted(tokens, key=lambda name: tokens[name])


def find_composer(name: str, tokens: Mapping[str, int]) -> str:
    """The composer that is meant.

    "composer3" is the third one of any checkpoint: the original's are called so, and code written
    for it works with the named composers of others.

    Args:
        name: as the user gave it.
        tokens: ``composer_to_feature_token`` of the checkpoint's generation settings.

    Raises:
        ValueError: there is none of that name; the message lists them.
    """
    names = in_order(tokens)
    if name in tokens:
        return name
    alike = [known for known in names if known.casefold() == name.casefold()]
    if len(alike) == 1:
        return alike[0]
    numbered = re.fullmatch(r"composer([1-9]\d*)", name)
    if numbered and int(numbered[1]) <= len(names):
        return names[int(numbered[1]) - 1]
    raise ValueError(f"there is no composer {name!r}; choose one of {', '.join(names)}")
