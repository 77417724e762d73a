"""Which token may come next, so that a window's tokens always spell playable notes."""

from __future__ import annotations

import torch
from torch import Tensor

from sidekeys_engine.vocabulary import (
    END_ID,
    FIRST_NOTE_ID,
    NOTE_OFF_ID,
    NOTE_ON_ID,
    PITCHES,
    TokenLayout,
)

_NO_GROUP, _OFF_GROUP, _ON_GROUP = 0, 1, 2


class NoteGrammar:
    """The grammar of one window's tokens, followed for a batch of rows.

    A window is a list of moments, each a time token and then the notes that end and the notes that
    start there. A note ends only if it sounds and starts only if it does not; no note starts at
    the window's end; every note has ended when the end token comes. Notes of one group are
    written in one order of pitch: those that end low to high, those that start low to high or high
    to low, as the checkpoint was trained. Velocity tokens may change inside a chord.

    Where notes are held over a window's edges, the pitches that sound on from the window before
    come first, low to high, before any time, and the end token leaves open what sounds beyond it.

    Args:
        rows: windows in the batch.
        layout: where the vocabulary's velocity and time tokens lie.
        steps: length of the window in steps.
        chord_order: how notes that start together are written, "ascending" or "descending" in
            pitch; "any" keeps no order, of those that end together neither.
        held_notes: whether notes are held over a window's edges.
        device: where the tokens lie.
    """

    def __init__(
        self,
        rows: int,
        layout: TokenLayout,
        steps: int,
        *,
        chord_order: str = "ascending",
        held_notes: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        self._layout = layout
        self._steps = steps
        self._chord_order = chord_order
        self._held_notes = held_notes
        self._pitches = torch.arange(PITCHES, device=device)
        self._levels = torch.arange(1, layout.velocity_levels + 1, device=device)
        self._moves = torch.arange(layout.longest_move + 1, device=device)
        self._time = torch.zeros(rows, dtype=torch.long, device=device)
        self._velocity = torch.zeros_like(self._time)
        self._group = torch.zeros_like(self._time)
        self._last_pitch = torch.full_like(self._time, -1)
        self._sounding = torch.zeros(rows, PITCHES, dtype=torch.bool, device=device)
        self._started = torch.zeros(rows, dtype=torch.bool, device=device)
        self._needs_note = torch.zeros_like(self._started)
        self._has_note = torch.zeros_like(self._started)
        self._moved_farthest = torch.zeros_like(self._started)

    def allowed(self) -> Tensor:
        """The tokens that may come next, (rows, vocabulary) bool; never none in a row."""
        layout, device = self._layout, self._time.device
        ok = torch.zeros(len(self._time), layout.size, dtype=torch.bool, device=device)
        last = self._last_pitch[:, None]
        starting = (self._velocity > 0)[:, None]
        started = self._started[:, None]
        inside = (self._time < self._steps)[:, None]
        any_sounds = self._sounding.any(1)
        # A window may end, or time may move, when the moment at hand is complete.
        complete = (self._has_note | ~self._started) & ~self._needs_note

        rising = self._pitches > last
        falling = (last < 0) | (self._pitches < last)
        in_order = {"ascending": rising, "descending": falling}.get(self._chord_order)
        startable = ~self._sounding & inside
        endable = self._sounding & rising
        if in_order is None:
            endable = self._sounding
        else:
            startable &= in_order
        # At the window's end every sounding note must end, so their order leaves no choice; but
        # one that may be held beyond it need not.
        lowest = self._sounding & (self._sounding.cumsum(1) == 1)
        must_end = ~inside & (not self._held_notes)
        # What sounds at the window's start was held into it, to last there for a step at least.
        passed = self._time > 0
        endable = endable & (lowest | ~must_end) & passed[:, None]
        before_time = rising if self._held_notes else torch.zeros_like(rising)
        playable = torch.where(started, torch.where(starting, startable, endable), before_time)
        ok[:, FIRST_NOTE_ID : FIRST_NOTE_ID + PITCHES] = playable

        may_switch = self._started & ~self._needs_note
        ok[:, NOTE_OFF_ID] = (
            may_switch & (self._velocity > 0) & (self._group == _NO_GROUP) & any_sounds & passed
        )
        # After a chord's last note only a lower one, or a higher one, may follow; else any.
        silent = (~self._sounding & inside).any(1)
        has_room = torch.where(self._group == _ON_GROUP, startable.any(1), silent)
        is_new = self._levels != self._velocity[:, None]
        ok[:, NOTE_ON_ID : layout.first_time_id] = (may_switch & has_room)[:, None] & is_new

        reached = self._time[:, None] + self._moves
        moves = (reached <= self._steps) & ((self._moves > 0) | ~started)
        # At the window's end notes can only end: in silence there is nothing to go there for.
        moves &= any_sounds[:, None] | (reached < self._steps)
        ok[:, layout.first_time_id :] = moves & (complete | self._moved_farthest)[:, None]
        ok[:, END_ID] = complete if self._held_notes else complete & ~any_sounds
        # After the last pitch of an order nothing may be left; the window then ends there.
        ok[:, END_ID] |= ~ok.any(1)
        return ok

    def advance(self, token_ids: Tensor) -> None:
        """Follow the chosen tokens, (rows,) int64."""
        first_time = self._layout.first_time_id
        is_note = (token_ids >= FIRST_NOTE_ID) & (token_ids < NOTE_OFF_ID)
        is_velocity = (token_ids >= NOTE_OFF_ID) & (token_ids < first_time)
        is_time = token_ids >= first_time

        pitch = (token_ids - FIRST_NOTE_ID).clamp(0, PITCHES - 1)[:, None]
        starts = self._velocity > 0
        sounds = starts | ~self._started
        now = torch.where(is_note, sounds, self._sounding.gather(1, pitch)[:, 0])
        self._sounding.scatter_(1, pitch, now[:, None])

        # A chord goes on in its order of pitch when only its loudness changes.
        new_order = (is_velocity & (self._group != _ON_GROUP)) | is_time
        group = torch.where(starts, _ON_GROUP, _OFF_GROUP)
        self._velocity = torch.where(is_velocity, token_ids - NOTE_OFF_ID, self._velocity)
        self._group = torch.where(is_note, group, self._group)
        self._group = torch.where(is_time, _NO_GROUP, self._group)
        self._last_pitch = torch.where(is_note, pitch[:, 0], self._last_pitch)
        self._last_pitch = self._last_pitch.masked_fill(new_order, -1)
        self._time = self._time + torch.where(is_time, token_ids - first_time, 0)
        self._started |= is_time
        self._has_note = (self._has_note | is_note) & ~is_time
        # One time token may not reach as far as the window does: then another one follows.
        self._moved_farthest = token_ids == self._layout.size - 1
        self._needs_note = (self._needs_note | is_velocity) & ~is_note

    def select(self, rows: Tensor) -> None:
        """Keep the given rows, in the given order."""
        for name in (
            "_time",
            "_velocity",
            "_group",
            "_last_pitch",
            "_sounding",
            "_started",
            "_needs_note",
            "_has_note",
            "_moved_farthest",
        ):
            setattr(self, name, getattr(self, name)[rows])
