"""Songs that were dropped on the page: written to a private folder, and deleted after a while."""

from __future__ import annotations

import asyncio
import errno
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from sidekeys_bridge.panel.panel_error import PanelError
from sidekeys_bridge.panel.sound_header import sound_seconds

LARGEST_BYTES = 500_000_000
MOST_STEMS = 8
IDLE_SECONDS = 2 * 3600.0
_UPLOAD_SECONDS = 300.0
_WRITE_BYTES = 1 << 20
_LONGEST_NAME = 120
_SUFFIX = re.compile(r"\.[a-z0-9]{1,5}")
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)
_TOO_LARGE = (
    "This file is larger than 500 MB; export it as flac, or drop the part of it that you need."
)
_DISK_FULL = "The disk is full, so the song was not kept; free some space and drop it again."
_GONE = "This song is not here any more; drop the file again."


@dataclass(slots=True, eq=False)
class Stem:
    """One song.

    Attributes:
        stem_id: what pages know it by.
        name: what its user calls it; only for the eye.
        folder: of it and its covers.
        file: the sound.
        seconds: how long it is; None where its header does not tell.
        used_seconds: when it was used last, monotonic.
        users: how many covers of it are being made.
    """

    stem_id: str
    name: str
    folder: Path
    file: Path
    seconds: float | None = None
    used_seconds: float = 0.0
    users: int = 0


class Stems:
    """All songs that are kept.

    Args:
        folder: private, for their files.
        on_removed: called with each that is deleted.
        clock: monotonic seconds.
        upload_seconds: how long an upload may take.
    """

    def __init__(
        self,
        folder: Path,
        on_removed: Callable[[Stem], None],
        *,
        clock: Callable[[], float] = time.monotonic,
        upload_seconds: float = _UPLOAD_SECONDS,
    ) -> None:
        self._folder, self._on_removed = folder, on_removed
        self._clock, self._upload_seconds = clock, upload_seconds
        self._stems: dict[str, Stem] = {}
        self._uploads = 0

    def get(self, stem_id: str) -> Stem:
        """A song that is used now.

        Raises:
            PanelError: there is none of that id.
        """
        stem = self._stems.get(stem_id)
        if stem is None:
            raise PanelError("unknown", _GONE)
        stem.used_seconds = self._clock()
        return stem

    async def add(self, name: str, body: AsyncIterator[bytes], announced_bytes: int | None) -> Stem:
        """Write a song as it comes.

        Args:
            name: what its user calls it.
            body: its bytes.
            announced_bytes: how many they say that they are.

        Raises:
            PanelError: it is too large, no sound, too slow, or there is no room for it.
        """
        if announced_bytes is not None and announced_bytes > LARGEST_BYTES:
            raise PanelError("too-large", _TOO_LARGE)
        self._make_room()
        self._uploads += 1
        label = shown_name(name)
        stem_id = secrets.token_urlsafe(9)
        folder = self._folder / f"stem-{secrets.token_hex(8)}"
        suffix = Path(label).suffix.lower()
        file = folder / f"song{suffix if _SUFFIX.fullmatch(suffix) else ''}"
        stem = Stem(stem_id, label, folder, file)
        is_kept = False
        try:
            if announced_bytes is not None and _free_bytes(self._folder) < announced_bytes:
                raise PanelError("disk-full", _DISK_FULL)
            folder.mkdir(mode=0o700)
            await asyncio.wait_for(_write(file, body), self._upload_seconds)
            stem.seconds = await asyncio.to_thread(sound_seconds, file)
            is_kept = True
        except asyncio.TimeoutError as slow:
            raise PanelError(
                "slow",
                f"The song did not arrive within {self._upload_seconds / 60:g} minutes; try again, "
                "or drop a smaller file.",
            ) from slow
        except OSError as problem:
            if problem.errno in _FULL:
                raise PanelError("disk-full", _DISK_FULL) from problem
            raise PanelError(
                "failed", f"The song cannot be written: {problem.strerror}; try again."
            ) from problem
        finally:
            self._uploads -= 1
            if not is_kept:
                shutil.rmtree(folder, ignore_errors=True)
        stem.used_seconds = self._clock()
        self._stems[stem_id] = stem
        return stem

    def remove(self, stem: Stem) -> None:
        """Delete a song and all that came of it."""
        self._stems.pop(stem.stem_id, None)
        self._on_removed(stem)
        shutil.rmtree(stem.folder, ignore_errors=True)

    def remove_idle(self) -> None:
        """Delete what nobody has used for long."""
        latest = self._clock() - IDLE_SECONDS
        for stem in list(self._stems.values()):
            if stem.used_seconds < latest and not stem.users:
                self.remove(stem)

    def _make_room(self) -> None:
        """Let the oldest idle song go, if there are as many as may be.

        Raises:
            PanelError: none of them is idle.
        """
        while len(self._stems) + self._uploads >= MOST_STEMS:
            idle = [stem for stem in self._stems.values() if not stem.users]
            if not idle:
                raise PanelError(
                    "busy", f"{MOST_STEMS} songs are being sent or covered; wait until one is done."
                )
            self.remove(min(idle, key=lambda stem: stem.used_seconds))


def shown_name(name: str) -> str:
    """A file's name as it can be shown, whatever somebody put into it."""
    last = re.split(r"[/\\]", name)[-1]
    clean = "".join(letter for letter in last if letter.isprintable()).strip(" .")
    if len(clean) > _LONGEST_NAME:
        suffix = Path(clean).suffix[:8]
        clean = clean[: _LONGEST_NAME - len(suffix)] + suffix
    return clean or "song"


async def _write(file: Path, body: AsyncIterator[bytes]) -> None:
    """Write a body to a new file; the event loop never waits for the disk."""
    size = 0
    buffer = bytearray()
    with file.open("xb") as opened:
        async for chunk in body:
            size += len(chunk)
            if size > LARGEST_BYTES:
                raise PanelError("too-large", _TOO_LARGE)
            buffer += chunk
            if len(buffer) >= _WRITE_BYTES:
                await asyncio.to_thread(opened.write, bytes(buffer))
                buffer.clear()
        await asyncio.to_thread(opened.write, bytes(buffer))
        await asyncio.to_thread(opened.flush)
    if size == 0:
        raise PanelError("not-sound", "This file is empty; export it again.")


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free
