"""A message between two processes: its frames, its envelope, and what is refused as none.

A message is a few ZeroMQ frames. The first is UTF-8 JSON, the *envelope*; the others are raw
buffers, such as sound as mono float32 samples, little-endian. The envelope of

- a request is ``{"v", "type", "id", "token", "content"}``: the version, one of the table's
  commands, an id of the client's choice, the secret of the connection file, and the fields;
- its reply repeats the id and is of type ``"ok"``, with the fields of the command's reply, or of
  type ``"error"``, with ``{"code", "message"}``, a code of `ERROR_CODES`;
- an event has the type of the event, and an id that tells nothing.

What is in the fields is for a `message_table` to check.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

VERSION = 1

LARGEST_JSON = 1 << 20
LARGEST_BUFFER = 1 << 26
MOST_BUFFERS = 8
DEEPEST = 12
LONGEST_TEXT = 4096
_LONGEST_ID = 64
_LONGEST_DIGITS = 18  # of whole numbers: what both doubles and machine integers nearly hold
_SHOWN = 60

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_ID = re.compile(r"[A-Za-z0-9_.:-]{0,64}")
_ENVELOPE = frozenset({"v", "type", "id", "token", "content"})

ERROR_CODES: Final[Mapping[str, str]] = {
    "malformed": "The frames are no message: not UTF-8, not JSON, no envelope.",
    "version": "The message is of another version of the protocol.",
    "unauthorized": "The token is missing or wrong.",
    "unknown": "There is no such command, job or request.",
    "invalid": "A field is missing, unknown, of another kind or out of its range.",
    "late": "The answer would come, or came, after its deadline.",
    "busy": "Too much is waiting already.",
    "too-large": "The message is larger than is taken.",
    "not-ready": "What is asked for is not there yet; try again later.",
    "failed": "It was tried and went wrong; the message says how.",
    "cancelled": "It was cancelled, or the process ends.",
}


class ProtocolError(Exception):
    """A message that cannot be taken, or a request that was refused.

    Attributes:
        code: one of `ERROR_CODES`.
        request_id: the id of the message, where it could be read; else empty.
    """

    def __init__(self, code: str, text: str, request_id: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Message:
    """One message, as `pack` writes and `unpack` reads it.

    Attributes:
        type: a command, an event, "ok" or "error".
        id: of the request that it is, or answers.
        content: the fields.
        buffers: raw frames that follow the envelope.
        token: the secret of a request.
    """

    type: str
    id: str
    content: Mapping[str, Any]
    buffers: tuple[bytes, ...] = ()
    token: str | None = field(default=None, repr=False)

    @property
    def is_error(self) -> bool:
        """Whether it says that a request was refused."""
        return self.type == "error"


def ok(request: Message, content: Mapping[str, Any], buffers: Sequence[bytes] = ()) -> Message:
    """The reply to a request that went well."""
    return Message("ok", request.id, content, tuple(buffers))


def error(request_id: str, code: str, text: str) -> Message:
    """The reply to a request that was refused or went wrong."""
    if code not in ERROR_CODES:
        raise ValueError(f"{code!r} is no error code")
    return Message("error", request_id, {"code": code, "message": text})


def pack(message: Message) -> list[bytes]:
    """The frames of a message.

    Raises:
        ValueError: content that is no JSON, such as a number that is not finite.
    """
    envelope: dict[str, Any] = {"v": VERSION, "type": message.type, "id": message.id}
    if message.token is not None:
        envelope["token"] = message.token
    envelope["content"] = dict(message.content)
    text = json.dumps(envelope, allow_nan=False, separators=(",", ":"))
    return [text.encode("ascii"), *message.buffers]


def unpack(
    frames: Sequence[bytes],
    *,
    largest_json: int = LARGEST_JSON,
    largest_buffer: int = LARGEST_BUFFER,
) -> Message:
    """The message of some frames, whoever sent them.

    Args:
        frames: the envelope and the buffers.
        largest_json: bytes that the envelope may have.
        largest_buffer: bytes that the buffers may have together.

    Raises:
        ProtocolError: malformed, version or too-large. Its `request_id` is set if it was readable.
    """
    if not frames:
        raise ProtocolError("malformed", "A message has at least one frame, the JSON envelope.")
    if len(frames[0]) > largest_json:
        raise ProtocolError(
            "too-large", f"The envelope has {len(frames[0])} bytes; send at most {largest_json}."
        )
    envelope = _json_object(frames[0])
    request_id = envelope.get("id")
    if not isinstance(request_id, str) or not _ID.fullmatch(request_id):
        raise ProtocolError(
            "malformed", f"The id must be up to {_LONGEST_ID} letters, digits, or any of _.:-"
        )
    try:
        _check_envelope(envelope)
        _check_buffers(frames[1:], largest_buffer)
    except ProtocolError as problem:
        problem.request_id = request_id
        raise
    return Message(
        type=envelope["type"],
        id=request_id,
        content=envelope["content"],
        buffers=tuple(frames[1:]),
        token=envelope.get("token"),
    )


def _json_object(frame: bytes) -> dict[str, Any]:
    try:
        value = json.loads(
            frame.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except UnicodeDecodeError as problem:
        raise ProtocolError("malformed", "The envelope is not UTF-8.") from problem
    except (ValueError, RecursionError) as problem:
        words = "nested too deep" if isinstance(problem, RecursionError) else str(problem)
        raise ProtocolError("malformed", f"The envelope is no JSON: {words}.") from problem
    if not isinstance(value, dict):
        raise ProtocolError("malformed", "The envelope must be a JSON object.")
    if any(depth > DEEPEST for depth in _depths(value)):
        raise ProtocolError("malformed", f"The envelope is nested deeper than {DEEPEST} levels.")
    return value


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:_SHOWN]} is beyond all numbers")
    return number


def _whole(text: str) -> int:
    if len(text) > _LONGEST_DIGITS:
        raise ValueError(f"a whole number has {len(text)} digits, more than {_LONGEST_DIGITS}")
    return int(text)


def _depths(value: object) -> Iterator[int]:
    """The depth of every list and object in a JSON value, outermost first."""
    waiting: list[tuple[object, int]] = [(value, 1)]
    while waiting:
        one, depth = waiting.pop()
        if isinstance(one, dict | list):
            yield depth
            inside = one.values() if isinstance(one, dict) else one
            waiting.extend((item, depth + 1) for item in inside if isinstance(item, dict | list))


def _check_envelope(envelope: Mapping[str, Any]) -> None:
    version = envelope.get("v")
    if version != VERSION or isinstance(version, bool):
        raise ProtocolError(
            "version",
            f"This is version {VERSION} of the protocol, the message is of version "
            f"{shown(version)}; use the same version of Sidekeys on both sides.",
        )
    unknown = sorted(set(envelope) - _ENVELOPE)
    if unknown:
        raise ProtocolError("malformed", f"The envelope has no field {shown(unknown[0])}.")
    kind = envelope.get("type")
    if not isinstance(kind, str) or not _NAME.fullmatch(kind):
        raise ProtocolError("malformed", f"The type is no name: {shown(kind)}.")
    if not isinstance(envelope.get("content"), dict):
        raise ProtocolError("malformed", "The content must be a JSON object.")
    token = envelope.get("token")
    if token is not None and not (isinstance(token, str) and len(token) <= LONGEST_TEXT):
        raise ProtocolError("malformed", "The token must be text.")


def _check_buffers(buffers: Sequence[bytes], largest: int) -> None:
    if len(buffers) > MOST_BUFFERS:
        raise ProtocolError(
            "too-large", f"The message has {len(buffers)} buffers; send at most {MOST_BUFFERS}."
        )
    size = sum(len(buffer) for buffer in buffers)
    if size > largest:
        raise ProtocolError("too-large", f"The buffers have {size} bytes; send at most {largest}.")


def shown(value: object) -> str:
    """A value in an error message: its JSON, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=True, default=repr)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
