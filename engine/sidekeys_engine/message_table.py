"""A table of commands and events: what checks messages, and what documents them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sidekeys_engine.messages import LONGEST_TEXT, Message, ProtocolError, shown


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = _Required()

_KINDS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "number": (int, float),
    "integer": (int, float),
    "text": str,
    "boolean": bool,
    "list": list,
    "object": dict,
}


@dataclass(frozen=True)
class Field:
    """One field of a message.

    Attributes:
        name: its key.
        kind: "number", "integer", "text", "boolean", "list" or "object".
        doc: what it says.
        default: what it is when it is not given; with None it may also be null.
        low: least number, or least number in a list.
        high: greatest number, or greatest number in a list.
        choices: the texts it may be.
        unit: of its numbers.
        items: kind of a list's items; with `columns` they are lists themselves.
        columns: of a list of rows, the fields of each row in order.
        longest: most characters of a text, items of a list or keys of an object.
    """

    name: str
    kind: str
    doc: str
    default: Any = REQUIRED
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""
    items: str = ""
    columns: tuple[Field, ...] = ()
    longest: int = LONGEST_TEXT

    def __post_init__(self) -> None:
        if self.kind not in _KINDS or (self.items and self.items not in _KINDS):
            raise ValueError(f"field {self.name} has no such kind: {self.kind} {self.items}")

    @property
    def is_required(self) -> bool:
        """Whether a message without it is refused."""
        return isinstance(self.default, _Required)

    @property
    def rule(self) -> str:
        """What values it takes, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        words = {"integer": "whole number", "boolean": "true or false"}.get(self.kind, self.kind)
        if self.columns:
            words = f"list of rows [{', '.join(column.name for column in self.columns)}]"
        elif self.items:
            words = f"list of {self.items}s" if self.items != "text" else "list of texts"
        words += _range_words(self.low, self.high)
        if self.unit:
            words += f", in {self.unit}"
        return words + (", or null" if self.default is None else "")

    def checked(self, value: object) -> Any:
        """The value, in the field's own type.

        Raises:
            ProtocolError: invalid; it names the field, its range and what was given.
        """
        if value is None and self.default is None:
            return None
        found = _of_kind(self.kind, value)
        if found is None or not self._holds(found):
            raise self._refusal(value)
        if self.columns:
            return [self._row(index, row) for index, row in enumerate(found)]
        if self.items:
            return [self._item(index, item) for index, item in enumerate(found)]
        return found

    def _holds(self, value: Any) -> bool:
        """Whether a value of the right kind has the right size."""
        if isinstance(value, bool):
            return True
        if isinstance(value, str):
            return (not self.choices or value in self.choices) and len(value) <= self.longest
        if isinstance(value, list | dict):
            return len(value) <= self.longest
        return (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def _item(self, index: int, item: object) -> Any:
        found = _of_kind(self.items, item)
        if found is None or (isinstance(found, int | float) and not self._holds(found)):
            raise self._refusal(item, index)
        return found

    def _row(self, index: int, row: object) -> list[Any]:
        if not isinstance(row, list) or len(row) != len(self.columns):
            raise self._refusal(row, index)
        return [column.checked(value) for column, value in zip(self.columns, row, strict=True)]

    def _refusal(self, value: object, index: int | None = None) -> ProtocolError:
        where = self.name if index is None else f"{self.name}, item {index + 1},"
        if isinstance(value, str | list | dict) and len(value) > self.longest:
            return ProtocolError(
                "invalid",
                f"{where} is too long: at most {self.longest} are taken, not {len(value)}.",
            )
        return ProtocolError(
            "invalid", f"{where} must be {_article(self.rule)}, not {shown(value)}."
        )


def _of_kind(kind: str, value: object) -> Any:
    """The value as a number, text ... of a kind; None if it is something else."""
    if isinstance(value, bool) != (kind == "boolean") or not isinstance(value, _KINDS[kind]):
        return None
    if isinstance(value, str):
        # Half a surrogate pair is no UTF-8, and no path holds a null.
        return None if "\0" in value or not _is_unicode(value) else value
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value):
            return None
        if kind == "number":
            return float(value)
        return int(value) if value == int(value) else None
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _range_words(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" from {_plain(low)} to {_plain(high)}"
    if low is not None:
        return f" of at least {_plain(low)}"
    return "" if high is None else f" of at most {_plain(high)}"


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else f"{number:g}"


def _article(rule: str) -> str:
    is_plain = rule.startswith(("one of", "true or", "text"))
    return rule if is_plain else ("an " if rule[0] in "aeiou" else "a ") + rule


@dataclass(frozen=True)
class Command:
    """A request that a table knows.

    Attributes:
        name: its type.
        doc: what it does, in a sentence or more.
        fields: of its content.
        reply: fields of the content of its "ok".
        buffers: what the buffers behind the envelope are; empty if there are none.
        buffer_counts: how many there may be, at least and at most.
        reply_buffers: what the buffers of the reply are; empty if there are none.
    """

    name: str
    doc: str
    fields: tuple[Field, ...] = ()
    reply: tuple[Field, ...] = ()
    buffers: str = ""
    buffer_counts: tuple[int, int] = (0, 0)
    reply_buffers: str = ""


@dataclass(frozen=True)
class Event:
    """A message to whoever listens.

    Attributes:
        name: its type.
        doc: when it is sent.
        fields: of its content.
        buffers: what the buffers behind the envelope are; empty if there are none.
    """

    name: str
    doc: str
    fields: tuple[Field, ...] = ()
    buffers: str = ""


class Table:
    """Every command and event of one conversation: what checks messages and what documents them.

    Args:
        commands: the requests, each with its reply.
        events: what is sent unasked.
    """

    def __init__(self, commands: Sequence[Command], events: Sequence[Event]) -> None:
        self.commands = {command.name: command for command in commands}
        self.events = {event.name: event for event in events}
        if len(self.commands) != len(commands) or len(self.events) != len(events):
            raise ValueError("two commands or two events have one name")

    def check(self, message: Message) -> dict[str, Any]:
        """The content of a request, with the defaults of what is not given.

        Raises:
            ProtocolError: unknown for a command that is not in the table; invalid for fields or
                buffers that the command does not take. Its `request_id` is the message's.
        """
        command = self.commands.get(message.type)
        try:
            if command is None:
                known = ", ".join(self.commands)
                raise ProtocolError(
                    "unknown", f"There is no command {shown(message.type)}; there are {known}."
                )
            fewest, most = command.buffer_counts
            if not fewest <= len(message.buffers) <= most:
                raise ProtocolError(
                    "invalid",
                    f"{command.name} takes {_counts(fewest, most)}, not {len(message.buffers)}.",
                )
            return _checked(message.type, command.fields, message.content)
        except ProtocolError as problem:
            problem.request_id = message.id
            raise

    def check_reply(self, command: str, message: Message) -> dict[str, Any]:
        """The content of an "ok" that answers a command of the table.

        Raises:
            ProtocolError: invalid, if it is not what the table says.
        """
        return _checked(f"the reply to {command}", self.commands[command].reply, message.content)

    def check_event(self, message: Message) -> dict[str, Any]:
        """The content of an event.

        Raises:
            ProtocolError: unknown or invalid.
        """
        event = self.events.get(message.type)
        if event is None:
            raise ProtocolError("unknown", f"There is no event {shown(message.type)}.")
        return _checked(message.type, event.fields, message.content)

    def markdown(self) -> str:
        """The table as a document: a section for each command and event, third-level headings."""
        lines = ["## Commands", ""]
        for command in self.commands.values():
            lines += [f"### `{command.name}`", "", command.doc, ""]
            lines += _field_table(command.fields, "Field")
            if command.buffers:
                lines += [f"Buffers: {command.buffers}", ""]
            lines += _field_table(command.reply, "Reply")
            if command.reply_buffers:
                lines += [f"Buffers of the reply: {command.reply_buffers}", ""]
        if self.events:
            lines += ["## Events", ""]
        for event in self.events.values():
            lines += [f"### `{event.name}`", "", event.doc, ""]
            lines += _field_table(event.fields, "Field")
            if event.buffers:
                lines += [f"Buffers: {event.buffers}", ""]
        return "\n".join(lines)


def _counts(fewest: int, most: int) -> str:
    if fewest == most:
        return "no buffers" if most == 0 else f"{most} buffer{'s' if most > 1 else ''}"
    return f"{fewest} to {most} buffers"


def _checked(where: str, fields: Sequence[Field], content: Mapping[str, object]) -> dict[str, Any]:
    known = {one.name: one for one in fields}
    for name in content:
        if name not in known:
            there = ", ".join(known) or "none"
            raise ProtocolError(
                "invalid", f"{where} has no field {shown(name)}; its fields: {there}."
            )
    found: dict[str, Any] = {}
    for name, one in known.items():
        if name in content:
            found[name] = one.checked(content[name])
        elif one.is_required:
            raise ProtocolError("invalid", f"{where} needs {name}, {_article(one.rule)}.")
        else:
            found[name] = one.default
    return found


def _field_table(fields: Sequence[Field], title: str) -> list[str]:
    if not fields:
        return []
    lines = [f"| {title} | Value | Default | Meaning |", "|---|---|---|---|"]
    for one in fields:
        default = "" if one.is_required else f"`{json.dumps(one.default)}`"
        rule, doc = (text.replace("|", "\\|") for text in (one.rule, one.doc))
        lines.append(f"| `{one.name}` | {rule} | {default} | {doc} |")
        lines.extend(
            f"| … `{column.name}` | {column.rule} | | {column.doc} |" for column in one.columns
        )
    return [*lines, ""]
