"""A few bars by each composer of the embedded checkpoint, to see and to hear before it plays."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from sidekeys_bridge.panel.panel_error import PanelError

_FILE = "weights/previews.json"
_OTHERS = "There is no sample of this composer; play it to hear it."


def audition(composer: str, checkpoint: object) -> Mapping[str, Any]:
    """The notes of a composer's sample, in quarter notes from its first bar line.

    Args:
        composer: its name.
        checkpoint: that plays now; None if that is not known.

    Raises:
        PanelError: there is none.
    """
    found = _shipped().get(composer) if checkpoint == "builtin" else None
    if found is None:
        raise PanelError("none", _OTHERS)
    return found


@cache
def _shipped() -> Mapping[str, Mapping[str, Any]]:
    place = files("sidekeys_engine").joinpath(_FILE)
    if not place.is_file():
        return {}
    content: Mapping[str, Mapping[str, Any]] = json.loads(place.read_text(encoding="utf-8"))
    return content
