"""What was played live, kept as .mid files that a page may download."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidekeys_bridge.panel.panel_error import PanelError

COMMANDS = ("keep", "record")
MOST_TAKES = 16
_ASK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Take:
    """A .mid of what was played.

    Attributes:
        file: where it lies.
        download_name: what its user may call it.
    """

    file: Path
    download_name: str


class Takes:
    """The latest takes.

    Args:
        folder: private, for their files; made at the first.
        request: asks the bridge.
    """

    def __init__(self, folder: Path, request: Callable[..., Awaitable[Mapping[str, Any]]]) -> None:
        self._folder, self._request = folder, request
        self._takes: OrderedDict[str, Take] = OrderedDict()

    async def write(self, command: str, content: Mapping[str, Any]) -> dict[str, Any]:
        """Have the bridge write one.

        Args:
            command: one of `COMMANDS`.
            content: its fields, but for the file.

        Returns:
            What the bridge replied, with where to download in place of the file.

        Raises:
            PanelError: the bridge could not, in its words.
        """
        if "file" in content:
            raise PanelError("invalid", f"{command} chooses its file itself here.")
        self._folder.mkdir(mode=0o700, exist_ok=True)
        take_id = secrets.token_urlsafe(9)
        file = self._folder / f"{secrets.token_hex(8)}.mid"
        asked = {**content, "file": str(file)}
        reply = dict(await self._request(command, asked, within_seconds=_ASK_SECONDS))
        reply.pop("file", None)
        bars = reply.get("bars")
        name = "Sidekeys-session.mid" if command == "record" else f"Sidekeys-{bars}-bars.mid"
        self._takes[take_id] = Take(file, name)
        while len(self._takes) > MOST_TAKES:
            _, old = self._takes.popitem(last=False)
            old.file.unlink(missing_ok=True)
        return {**reply, "download": f"/api/takes/{take_id}.mid"}

    def get(self, take_id: str) -> Take:
        """One of them.

        Raises:
            PanelError: it is not kept.
        """
        take = self._takes.get(take_id)
        if take is None:
            raise PanelError("unknown", "This take is not here any more; keep it again.")
        return take
