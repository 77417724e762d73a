"""How the piano plays: every control that may change while it does, in one table.

The command line, the control protocol and the automation of a DAW (control changes and program
changes on "Sidekeys Sync") are all made from `CONTROLS`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sidekeys_engine.errors import InputError

VELOCITY_CURVES = ("soft", "linear", "hard", "fixed")
SOFTEST, LOUDEST = 1, 127
_CURVE_EXPONENTS = {"soft": 1.5, "linear": 1.0, "hard": 1 / 1.5}

_WORDS_ON = frozenset({"on", "true", "yes", "1"})
_WORDS_OFF = frozenset({"off", "false", "no", "0"})
_LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Control:
    """One thing that can be set.

    Attributes:
        name: as it is typed, and the field of `Controls`.
        kind: "text", "choice", "switch", "integer" or "number".
        default: what it is unless set.
        doc: what it does, one line.
        cc: the MIDI controller that moves it on "Sidekeys Sync"; 102 to 119 mean nothing in MIDI
            itself. None for none.
        low: least value of a number.
        high: greatest value of a number.
        choices: what a choice may be.
        unit: of a number.
    """

    name: str
    kind: str
    default: str | float | bool
    doc: str
    cc: int | None = None
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""

    @property
    def range(self) -> str:
        """What it may be, in words."""
        if self.kind == "text":
            return "a name"
        if self.kind == "switch":
            return "on or off"
        if self.kind == "choice":
            return f"{', '.join(self.choices[:-1])} or {self.choices[-1]}"
        whole = "a whole number " if self.kind == "integer" else ""
        return f"{whole}from {self.low:g} to {self.high:g}{f' {self.unit}' if self.unit else ''}"

    def checked(self, value: Any) -> str | float | bool:
        """``value`` as this control has it; text is read as it would be typed.

        Raises:
            InputError: it may not be that; the message says what it may be.
        """
        try:
            return self._read(value)
        except (TypeError, ValueError, OverflowError):
            shown = repr(value)
            shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
            raise InputError(f"{self.name} cannot be {shown}; give {self.range}.") from None

    def from_cc(self, value: int) -> str | float | bool:
        """What a controller's value (0-127) means for this control.

        A switch is on from 64. Choices and numbers share 0 to 127 evenly, lowest first. Whole
        numbers whose range begins at 0 or 1 and that 128 values cannot cover or just cover
        (pitches, velocities, seeds) are the value itself.

        Raises:
            ValueError: for a control of text, which no number names.
        """
        value = min(max(value, 0), 127)
        if self.kind == "switch":
            return value >= 64
        if self.kind == "choice":
            return self.choices[value * len(self.choices) // 128]
        if self.low is None or self.high is None:
            raise ValueError(f"no number names a {self.name}")
        if self.kind == "number":
            return self.low + (self.high - self.low) * value / 127
        low, high = int(self.low), int(self.high)
        if low in (0, 1) and high >= 127:
            return max(value, low)
        return low + value * (high - low + 1) // 128

    def _read(self, value: Any) -> str | float | bool:
        if self.kind in ("text", "choice"):
            if not isinstance(value, str):
                raise TypeError
            text = value.strip()
            if self.kind == "text":
                if len(text) > _LONGEST_NAME or not text.isprintable():
                    raise ValueError
                return text
            if text.lower() not in self.choices:
                raise ValueError
            return text.lower()
        if self.kind == "switch":
            return _switch(value)
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError
        number = float(value)
        assert self.low is not None
        assert self.high is not None
        if not (math.isfinite(number) and self.low <= number <= self.high):
            raise ValueError
        if self.kind == "number":
            return number
        if number != int(number):
            raise ValueError
        return int(number)


def _switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str | int):
        raise TypeError
    word = str(value).strip().lower()
    if word not in _WORDS_ON | _WORDS_OFF:
        raise ValueError
    return word in _WORDS_ON


CONTROLS: tuple[Control, ...] = (
    Control("composer", "text", "", "who plays; empty for the checkpoint's own default", cc=102),
    Control(
        "temperature", "number", 0.0, "how much chance there is in the notes; 0 is none", cc=103,
        low=0.0, high=2.0,
    ),
    Control(
        "seed", "integer", 0, "which of the many ways to play, when there is chance", cc=104,
        low=0, high=2**31 - 1,
    ),
    Control(
        "transpose", "integer", 0, "how far the piano plays above what it hears", cc=105,
        low=-24, high=24, unit="semitones",
    ),
    Control(
        "velocity_curve", "choice", "linear",
        "soft plays softer, hard plays louder, fixed plays all notes alike", cc=106,
        choices=VELOCITY_CURVES,
    ),
    Control(
        "velocity_offset", "integer", 0, "added to every velocity after the curve", cc=107,
        low=-63, high=63,
    ),
    Control(
        "velocity_fixed", "integer", 80, "the velocity of all notes, for the fixed curve", cc=108,
        low=SOFTEST, high=LOUDEST,
    ),
    Control(
        "lowest_pitch", "integer", 21,
        "the lowest key; lower notes are played by octaves higher", cc=109, low=0, high=127,
    ),
    Control(
        "highest_pitch", "integer", 108,
        "the highest key; higher notes are played by octaves lower", cc=110, low=0, high=127,
    ),
    Control("pedal", "switch", True, "whether the sustain pedal is used", cc=111),
    Control(
        "expression", "switch", True,
        "velocity from the song's loudness, where the checkpoint's notes have none", cc=112,
    ),
    Control(
        "playable", "switch", True,
        "let go, move by octaves or leave out what two hands cannot reach", cc=113,
    ),
    Control(
        "channel", "integer", 1, "the MIDI channel, of the right hand if hands are split", cc=114,
        low=1, high=16,
    ),
    Control("split", "switch", False, "whether the left hand has a channel of its own", cc=115),
    Control(
        "split_pitch", "integer", 60, "the lowest key of the right hand", cc=116, low=0, high=127
    ),
    Control(
        "left_channel", "integer", 2, "the MIDI channel of the left hand", cc=117, low=1, high=16
    ),
    Control("mute", "switch", False, "whether the piano is silent", cc=118),
)  # fmt: skip
"""All controls, in the order to show them."""

_BY_NAME = {control.name: control for control in CONTROLS}
_BY_CC = {control.cc: control for control in CONTROLS if control.cc is not None}


@dataclass(frozen=True, slots=True)
class Controls:
    """The present value of each control; `CONTROLS` says what they do.

    Raises:
        InputError: a value that may not be.
    """

    composer: str = ""
    temperature: float = 0.0
    seed: int = 0
    transpose: int = 0
    velocity_curve: str = "linear"
    velocity_offset: int = 0
    velocity_fixed: int = 80
    lowest_pitch: int = 21
    highest_pitch: int = 108
    pedal: bool = True
    expression: bool = True
    playable: bool = True
    channel: int = 1
    split: bool = False
    split_pitch: int = 60
    left_channel: int = 2
    mute: bool = False

    def __post_init__(self) -> None:
        for control in CONTROLS:
            value = getattr(self, control.name)
            object.__setattr__(self, control.name, control.checked(value))
        if self.lowest_pitch > self.highest_pitch:
            raise InputError(
                f"the lowest key ({self.lowest_pitch}) lies above the highest "
                f"({self.highest_pitch}); set the other one first."
            )

    # ------------------------------------------------------------------------------ change

    def with_change(self, name: str, value: Any) -> Controls:
        """These controls but for one.

        Args:
            name: of the control; `velocity-curve` is `velocity_curve`.
            value: what it becomes; text is read as it would be typed ("on", "-12", "0.8").

        Raises:
            InputError: no such control, or a value it may not have; the message says the range.
        """
        control = _BY_NAME.get(str(name).strip().lower().replace("-", "_"))
        if control is None:
            known = ", ".join(_BY_NAME)
            raise InputError(f"there is no control {name!r:.60}; there are {known}.")
        change: dict[str, Any] = {control.name: control.checked(value)}
        return replace(self, **change)

    def with_cc(self, cc: int, value: int, composers: Sequence[str] = ()) -> Controls:
        """These controls after a control change on "Sidekeys Sync".

        Args:
            cc: controller, 0-127; those that move nothing change nothing.
            value: 0-127, see `Control.from_cc`; the composer's is as for `with_program`. A lowest
                key above the highest takes that along, and the other way round.
            composers: of the checkpoint, in their order.
        """
        control = _BY_CC.get(cc)
        if control is None:
            return self
        if control.name == "composer":
            return self.with_program(value, composers)
        change: dict[str, Any] = {control.name: control.from_cc(value)}
        if control.name == "lowest_pitch":
            change["highest_pitch"] = max(self.highest_pitch, change["lowest_pitch"])
        if control.name == "highest_pitch":
            change["lowest_pitch"] = min(self.lowest_pitch, change["highest_pitch"])
        return replace(self, **change)

    def with_program(self, program: int, composers: Sequence[str]) -> Controls:
        """These controls after program change ``program`` (0-127): the composer of that number.

        Args:
            program: 0 is the first composer; DAWs that count programs from 1 show it as 1. A
                number beyond the last one changes nothing.
            composers: of the checkpoint, in their order.
        """
        if not 0 <= program < len(composers):
            return self
        return self.with_change("composer", composers[program])

    # ------------------------------------------------------------------------------ notes

    def voices(self, pitch: int, velocity: int) -> tuple[int, int, int] | None:
        """How a note is played: its channel (1-16), pitch and velocity.

        After transposing, a note beyond the range is folded into it by octaves. Where the range
        is narrower than an octave and holds no key of that name, the note is left out.

        Args:
            pitch: MIDI note number, 0-127.
            velocity: 1-127.

        Returns:
            None if the note is not played.
        """
        if self.mute:
            return None
        sounding = _folded(pitch + self.transpose, self.lowest_pitch, self.highest_pitch)
        if sounding is None:
            return None
        is_left = self.split and sounding < self.split_pitch
        return self.left_channel if is_left else self.channel, sounding, self._velocity(velocity)

    @property
    def channels(self) -> tuple[int, ...]:
        """The MIDI channels that are played on, for the pedal: one, or right and left hand's."""
        if self.split and self.left_channel != self.channel:
            return (self.channel, self.left_channel)
        return (self.channel,)

    def _velocity(self, velocity: int) -> int:
        if self.velocity_curve == "fixed":
            curved = self.velocity_fixed
        else:
            exponent = _CURVE_EXPONENTS[self.velocity_curve]
            curved = round(LOUDEST * (velocity / LOUDEST) ** exponent)
        return min(max(curved + self.velocity_offset, SOFTEST), LOUDEST)


def _folded(pitch: int, lowest: int, highest: int) -> int | None:
    if pitch < lowest:
        pitch += 12 * math.ceil((lowest - pitch) / 12)
    elif pitch > highest:
        pitch -= 12 * math.ceil((pitch - highest) / 12)
    return pitch if lowest <= pitch <= highest else None
