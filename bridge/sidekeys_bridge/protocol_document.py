"""The document of the protocol, docs/protocol.md, made from the tables that check messages.

`python -m sidekeys_bridge.protocol_document` prints it.
"""

from __future__ import annotations

import sys

from sidekeys_bridge.commands import BRIDGE
from sidekeys_engine.protocol import ENGINE, ERROR_CODES, VERSION

_INTRODUCTION = f"""\
# The protocol of Sidekeys, version {VERSION}

Two conversations over ZeroMQ: panel, command line and DAW scripts speak with the **bridge**, and
the bridge speaks with an **engine**. Both take requests on a ROUTER socket and tell events on a PUB
socket. This document is made from the tables that check the messages
(`python -m sidekeys_bridge.protocol_document`).

## Finding a bridge

A bridge writes `bridge.json`, which only its user can read, and removes it when it ends:
`endpoint` of the commands, `events_endpoint`, `token`, `pid` and `version`. It lies in the folder
that `$SIDEKEYS_RUNTIME` names, else in

- Linux: `$XDG_RUNTIME_DIR/sidekeys`, or `~/.local/state/sidekeys`;
- macOS: `~/Library/Application Support/Sidekeys`;
- Windows: `%LOCALAPPDATA%\\Sidekeys`.

There is one bridge for a user, which holds the lock of `bridge.lock` there as long as it runs. It
listens at 127.0.0.1 alone. In Python, `sidekeys_bridge.client.ControlClient.running()` does all of
what follows.

## Messages

A message is a few frames. The first is UTF-8 JSON, the envelope; those that follow are raw
buffers, where a command takes any. Envelopes are

| Message | Envelope |
|---|---|
| request | `{{"v": {VERSION}, "type": COMMAND, "id": ID, "token": TOKEN, "content": {{...}}}}` |
| reply | `{{"v": {VERSION}, "type": "ok", "id": ID, "content": {{...}}}}` |
| refusal | `{{"v": {VERSION}, "type": "error", "id": ID, "content": {{"code", "message"}}}}` |
| event | `{{"v": {VERSION}, "type": EVENT, "id": NUMBER, "content": {{...}}}}` |

The id of a request is of the client's choice, up to 64 letters, digits or any of `_.:-`; the reply
repeats it. Send requests with a DEALER socket, several at a time if you like, or with a REQ socket.
Fields that are not given have their default; fields that a table does not name, and numbers that
are not finite, are refused. A message says in words what is wrong and what to do.

| Code | Meaning |
|---|---|
{{codes}}

The version is raised when a client of the version before would misunderstand something. New
commands, events and fields that may be left out do not raise it, so ignore what you do not know in
a reply or an event.

## Events

An event is two frames, its type as the topic and then the envelope. Connect a SUB socket and
subscribe to types, or to everything. The events of a bridge need the token as well: set ZeroMQ's
PLAIN mechanism, with the user name `sidekeys` and the token as password. Their ids count up from 0;
where one is left out, it was dropped, because its reader was too slow, or it was not subscribed to.

A subscription takes a moment to arrive. A client that must not miss an event subscribes, last, to a
topic of its own that begins with `hello-`: it comes back with an empty frame, and from then on
nothing is missed. Ignore topics of others that begin so.
"""


def document() -> str:
    """The protocol's document: both tables, and how to speak."""
    codes = "\n".join(f"| `{code}` | {what} |" for code, what in ERROR_CODES.items())
    parts = (
        _INTRODUCTION.replace("{codes}", codes),
        "# The bridge\n",
        BRIDGE.markdown(),
        "# The engine\n",
        "Its connection file is named with `--connection`; its events need no password.\n",
        ENGINE.markdown(),
    )
    return "\n".join(parts).rstrip("\n") + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
