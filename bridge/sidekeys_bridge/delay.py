"""How many beats the echo stays behind, and how windows must overlap for it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sidekeys_engine.beat_grid import WHOLE_WINDOWS, Cut
from sidekeys_engine.errors import InputError

# Between two halves of a bar the model hears as it was trained to; a beat before and a beat after
# what it plays is what makes an overlap worth having.
_HALVES = Cut(span_beats=2.0, skipped_beats=1.0)
_LATE_HALVES = Cut(span_beats=2.0, skipped_beats=2.0)
# What capture, messages and the scheduler take besides the model.
_OVERHEAD_SECONDS = 0.08
# The measured time is one of the longest lately; what follows may be longer still.
_HEADROOM = 1.15


@dataclass(frozen=True, slots=True)
class Delay:
    """What the echo does.

    Attributes:
        beats: how far behind the song the piano plays.
        cut: how windows lie over the bars.
        reason: why, in words.
        fits: whether it is what was asked for, and windows are ready in time, by what was measured.
    """

    beats: int
    cut: Cut
    reason: str
    fits: bool = True


def least_delay(window_beats: float) -> int:
    """The fewest beats that any machine could stay behind."""
    return math.floor(window_beats - _LATE_HALVES.skipped_beats) + 1


def check_delay(beats: int, window_beats: float) -> None:
    """Refuse a delay that no machine could do.

    Raises:
        InputError: in words.
    """
    if beats < least_delay(window_beats):
        raise InputError(
            f"{_cannot_be(beats, window_beats)}; take {least_delay(window_beats)} or more, `auto`, "
            "or loop mode, which has none."
        )


def _cannot_be(beats: int, window_beats: float) -> str:
    return (
        f"a delay of {beats} beat{'' if beats == 1 else 's'} cannot be: the piano hears "
        f"{window_beats:g} beats before it plays"
    )


def choose_delay(
    *, wanted: int | None, window_beats: float, bpm: float, generation_seconds: float
) -> Delay:
    """Choose the delay, or the windows for a delay that the user chose.

    A window can be played when all of it was heard and its notes are there. One after another,
    windows of four beats need five beats of delay where the notes take less than one. Windows at
    every half bar, of which only the middle is played, need four: each beat's notes then come from
    a window that heard the beat after it. Windows that play only their last half need three, but
    do not know what follows; no delay below four is chosen unasked.

    A delay that no machine could do, chosen before the checkpoint was known, is not taken.

    Args:
        wanted: the user's beats; None for the least that works.
        window_beats: what the model hears in one piece.
        bpm: the tempo.
        generation_seconds: how long a window's notes take, at worst.
    """
    if wanted is not None and wanted < least_delay(window_beats):
        least = choose_delay(
            wanted=None, window_beats=window_beats, bpm=bpm, generation_seconds=generation_seconds
        )
        reason = f"{_cannot_be(wanted, window_beats)}; {least.reason}"
        return Delay(least.beats, least.cut, reason, fits=False)
    beat_seconds = 60 / bpm
    needed = (generation_seconds * _HEADROOM + _OVERHEAD_SECONDS) / beat_seconds
    cuts = (WHOLE_WINDOWS, _HALVES) if wanted is None else (WHOLE_WINDOWS, _HALVES, _LATE_HALVES)
    best: dict[int, Cut] = {}
    for cut in cuts:
        # One window must be done before the next one is heard.
        if needed <= (cut.span_beats or window_beats):
            beats = math.floor(window_beats - cut.skipped_beats + needed) + 1
            best.setdefault(beats, cut)
    takes = f"a window takes {generation_seconds:.2f} s, a beat {beat_seconds:.2f} s"
    if wanted is None:
        if best:
            beats = min(best)
            return Delay(beats, best[beats], f"{takes}: {beats} beats are the least that holds")
        beats = math.ceil(2 * window_beats)
        return Delay(beats, WHOLE_WINDOWS, f"{takes}: too slow for this tempo", fits=False)
    holding = [beats for beats in best if beats <= wanted]
    if holding:
        # Of those that hold, the windows that know most of what follows.
        cut = next(cut for cut in cuts if any(best[beats] == cut for beats in holding))
        return Delay(wanted, cut, f"chosen by you; {takes}")
    # It will miss windows, but that is what was asked for: take what comes nearest.
    cut = next(cut for cut in cuts if wanted > window_beats - cut.skipped_beats)
    return Delay(wanted, cut, f"chosen by you; {takes}: windows will be missed", fits=False)
