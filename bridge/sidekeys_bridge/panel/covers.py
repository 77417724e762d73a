"""Covers of the songs on the page: asked of the bridge, followed, read, and handed out."""

from __future__ import annotations

import itertools
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sidekeys_bridge.panel.panel_error import PanelError
from sidekeys_bridge.panel.stems import Stem
from sidekeys_engine.bars import Bars
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Score, read_midi

MOST_COVERS = 64
WISHES = ("composer", "bpm", "meter", "temperature", "seed", "start", "end")
"""What a page may ask of a cover; the fields of the bridge's `render`."""
_MOST_EARLY = 64
_ASK_SECONDS = 15.0
_BRIDGE_ENDED = "The bridge ended before this cover was done; make it again."

Request = Callable[..., Awaitable[Mapping[str, Any]]]
"""`BridgeLink.request`."""
Told = Callable[[str, Mapping[str, Any]], None]


@dataclass(slots=True, eq=False)
class Cover:
    """One composer's cover of one song.

    Attributes:
        cover_id: what pages know it by.
        stem: the song.
        composer: who plays.
        file: the .mid, once it is done.
        job: what the bridge knows it by; empty until it is accepted.
        state: running, done, failed or cancelled.
        stage: what is done now.
        done: windows played.
        total: windows in all; 0 while it is not known.
        message: what went wrong, and what to do.
        is_unwanted: it was cancelled, and is forgotten when it has ended.
    """

    cover_id: str
    stem: Stem
    composer: str
    file: Path
    job: str = ""
    state: str = "running"
    stage: str | None = None
    done: int = 0
    total: int = 0
    message: str | None = None
    is_unwanted: bool = False

    def event(self) -> dict[str, Any]:
        """As pages are told."""
        return {
            "cover": self.cover_id,
            "stem": self.stem.stem_id,
            "composer": self.composer,
            "state": self.state,
            "stage": self.stage,
            "done": self.done,
            "total": self.total,
            "message": self.message,
        }

    @property
    def download_name(self) -> str:
        """What its user may call the .mid."""
        return f"{Path(self.stem.name).stem}-{self.composer}.mid"


class Covers:
    """All covers that are made, or kept.

    Args:
        request: asks the bridge.
        told: gets an event when one goes on.
    """

    def __init__(self, request: Request, told: Told) -> None:
        self._request, self._told = request, told
        self._covers: dict[str, Cover] = {}
        # What was told of jobs before their numbers were known here: replies and events race.
        self._early: OrderedDict[str, Mapping[str, Any]] = OrderedDict()
        self._numbers = itertools.count(1)

    async def start(self, stem: Stem, wishes: Mapping[str, Any]) -> Cover:
        """Have a cover made.

        Args:
            stem: the song.
            wishes: some of `WISHES`; at least the composer.

        Raises:
            PanelError: it cannot be.
        """
        unknown = sorted(set(wishes) - set(WISHES))
        composer = wishes.get("composer")
        if unknown or not isinstance(composer, str) or not composer:
            named = f"there is no {unknown[0]!r}; " if unknown else ""
            raise PanelError(
                "invalid", f"{named}a cover takes {', '.join(WISHES)}, and needs a composer."
            )
        self._make_room()
        file = stem.folder / f"cover-{next(self._numbers)}.mid"
        cover = Cover(secrets.token_urlsafe(9), stem, composer, file)
        given = {name: value for name, value in wishes.items() if value is not None}
        asked = {**given, "song": str(stem.file), "midi": str(file)}
        self._covers[cover.cover_id] = cover
        stem.users += 1
        try:
            reply = await self._request("render", asked, within_seconds=_ASK_SECONDS)
        except BaseException:
            self._covers.pop(cover.cover_id, None)
            stem.users -= 1
            raise
        cover.job = str(reply["job"])
        self._told("cover", cover.event())
        early = self._early.pop(cover.job, None)
        if early is not None:
            self._follow(cover, early)
        if cover.is_unwanted:
            await self._cancel(cover)
        return cover

    def get(self, cover_id: str) -> Cover:
        """A cover, done or not.

        Raises:
            PanelError: there is none of that id.
        """
        cover = self._covers.get(cover_id)
        if cover is None or cover.is_unwanted:
            raise PanelError("unknown", "This cover is not here any more; make it again.")
        return cover

    def finished(self, cover_id: str) -> Cover:
        """A cover that is done.

        Raises:
            PanelError: there is none, or it is not done.
        """
        cover = self.get(cover_id)
        if cover.state == "running":
            raise PanelError("not-ready", "This cover is still being made; wait until it is done.")
        if cover.state != "done":
            raise PanelError("none", cover.message or "This cover was not made; make it again.")
        return cover

    def events(self) -> list[dict[str, Any]]:
        """How all of them are, for a page that is new."""
        return [cover.event() for cover in self._covers.values() if not cover.is_unwanted]

    async def remove(self, cover: Cover) -> None:
        """Cancel a cover that is being made, or forget one that is not."""
        if cover.state != "running":
            self._forget(cover)
            return
        cover.is_unwanted = True
        if cover.job:
            await self._cancel(cover)

    def remove_of(self, stem: Stem) -> list[Cover]:
        """Forget all of a song; those to be cancelled still."""
        ours = [cover for cover in self._covers.values() if cover.stem is stem]
        running = [cover for cover in ours if cover.state == "running"]
        for cover in ours:
            if cover not in running:
                self._forget(cover)
        return running

    def take(self, job: Mapping[str, Any]) -> None:
        """What the bridge tells about a job, ours or not."""
        for cover in self._covers.values():
            if cover.job == job["job"]:
                self._follow(cover, job)
                return
        self._early[job["job"]] = job
        while len(self._early) > _MOST_EARLY:
            self._early.popitem(last=False)

    def lose_bridge(self) -> None:
        """The bridge ended, and all that it did."""
        self._early.clear()
        for cover in list(self._covers.values()):
            if cover.state == "running" and cover.job:
                self._follow(cover, {"state": "failed", "message": _BRIDGE_ENDED})

    def _follow(self, cover: Cover, job: Mapping[str, Any]) -> None:
        if cover.state != "running":
            return
        cover.state = job["state"]
        cover.stage = job.get("stage")
        if cover.state == "running":
            cover.done, cover.total = job.get("done", 0), job.get("total", 0)
        else:
            cover.job = ""
            cover.stem.users -= 1
        if cover.state == "done":
            cover.done = cover.total
        message = job.get("message")
        if message is not None:
            # Where the file lies means nothing to its user.
            cover.message = str(message).replace(str(cover.stem.file), cover.stem.name)
        if cover.is_unwanted and cover.state == "done":
            cover.state = "cancelled"
        self._told("cover", cover.event())
        if cover.is_unwanted and cover.state != "running":
            self._forget(cover)

    async def _cancel(self, cover: Cover) -> None:
        try:
            await self._request("cancel", {"job": cover.job})
        except PanelError:  # it has ended, or the bridge has
            self._follow(cover, {"state": "cancelled"})

    def _forget(self, cover: Cover) -> None:
        self._covers.pop(cover.cover_id, None)
        cover.file.unlink(missing_ok=True)

    def _make_room(self) -> None:
        """Forget the oldest that is not being made.

        Raises:
            PanelError: all are.
        """
        while len(self._covers) >= MOST_COVERS:
            old = next((one for one in self._covers.values() if one.state != "running"), None)
            if old is None:
                raise PanelError(
                    "busy", f"{MOST_COVERS} covers are being made; wait until one is done."
                )
            self._forget(old)


def read_cover(file: Path) -> dict[str, Any]:
    """A .mid as the page draws and plays it: notes, pedal and bar lines in seconds. Takes a while.

    Raises:
        PanelError: it cannot be read.
    """
    try:
        score = read_midi(file)
    except InputError as problem:
        raise PanelError(
            "failed", f"This cover cannot be read; make it again. ({problem})"
        ) from None
    return cover_content(score)


def cover_content(score: Score) -> dict[str, Any]:
    """Notes [onset_seconds, duration_seconds, pitch, velocity], pedals and bars of a score."""
    from sidekeys_engine.tempo_map import seconds_at_beats  # noqa: PLC0415 - needs numpy

    def moments(beats: list[float]) -> list[float]:
        return [round(seconds, 4) for seconds in seconds_at_beats(score.tempos, beats).tolist()]

    onsets = moments([note.onset_beats for note in score.notes])
    ends = moments([note.end_beats for note in score.notes])
    downs = moments([pedal.onset_beats for pedal in score.pedals])
    ups = moments([pedal.onset_beats + pedal.duration_beats for pedal in score.pedals])
    bars = Bars(score.meters)
    count = max(1, bars.number_at(score.end_beats)) + 1
    return {
        "notes": [
            [onset, round(end - onset, 4), note.pitch, note.velocity]
            for onset, end, note in zip(onsets, ends, score.notes, strict=True)
        ],
        "pedals": sorted(
            [[seconds, True] for seconds in downs] + [[seconds, False] for seconds in ups]
        ),
        "bars": moments([bars.start_of(number) for number in range(1, count + 1)]),
    }
