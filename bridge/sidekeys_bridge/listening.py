"""Beats from the sound, where nobody tells them: the last seconds to the engine, beats back."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from sidekeys_bridge.capture import Capture
from sidekeys_bridge.hearing import Engine
from sidekeys_bridge.transport import Transport
from sidekeys_engine.notes import Meter
from sidekeys_engine.protocol import Message

_LEAST_SECONDS = 6.0  # of sound, to hear a beat in
_WITHIN_SECONDS = 8.0
_SAME_SECONDS = 0.02


class Listening:
    """Has beats tracked for the transport.

    Args:
        capture: the sound.
        transport: says when it wants to know, and is told.
    """

    def __init__(self, capture: Capture, transport: Transport) -> None:
        self._capture, self._transport = capture, transport
        self._asked: tuple[str, float] | None = None  # the request, when its sound begins

    def step(self, engine: Engine, now_seconds: float) -> None:
        """Ask the engine, if the transport wants to know."""
        seconds = self._transport.wants_audio(now_seconds)
        if seconds is None or self._asked is not None:
            return
        capture = self._capture
        first = max(capture.first_kept_frame, capture.frames - round(seconds * capture.rate))
        count = capture.frames - first
        if count < _LEAST_SECONDS * capture.rate:
            return
        samples = np.ascontiguousarray(capture.audio(first, count), dtype="<f4")
        request = engine.request(
            "track-beats",
            {"sampling_rate": capture.rate},
            (samples.tobytes(),),
            now_seconds=now_seconds,
            within_seconds=_WITHIN_SECONDS,
        )
        self._asked = (request, capture.seconds_at(first))

    def take(self, replies: Iterable[Message], now_seconds: float) -> None:
        """What the engine answered; other messages are not ours, and no beat is no news."""
        for reply in replies:
            if self._asked is None or reply.id != self._asked[0]:
                continue
            start_seconds, self._asked = self._asked[1], None
            if reply.type != "ok":
                continue
            beats = start_seconds + np.array(reply.content["beat_seconds"])
            downbeats = start_seconds + np.array(reply.content["downbeat_seconds"])
            marked = [
                index
                for index, beat in enumerate(beats.tolist())
                if len(downbeats) and np.abs(downbeats - beat).min() < _SAME_SECONDS
            ]
            numerator, _, denominator = str(reply.content["meter"]).partition("/")
            meter = Meter(int(numerator), int(denominator))
            self._transport.estimate(beats.tolist(), marked, meter, now_seconds)

    def lose_engine(self) -> None:
        """What was asked is gone."""
        self._asked = None
