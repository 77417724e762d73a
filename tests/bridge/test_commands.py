"""The bridge's table holds whatever is sent to it, and the document says what the table does."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidekeys_bridge.commands import BRIDGE, control_changes
from sidekeys_bridge.controls import CONTROLS, Controls
from sidekeys_bridge.protocol_document import document
from sidekeys_bridge.settings import changed_controls
from sidekeys_engine.protocol import ENGINE, Message, ProtocolError, pack, unpack

ROOT = Path(__file__).parents[2]

NAMES = st.sampled_from(sorted({f.name for c in BRIDGE.commands.values() for f in c.fields}))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
CONTENTS = st.dictionaries(NAMES | st.text(max_size=6), VALUES, max_size=4)


def checked(command: str, **content: Any) -> dict[str, Any]:
    return BRIDGE.check(Message(command, "1", content))


def outcome(message: Message) -> dict[str, Any] | str:
    """What is made of a message, or the refusal in words."""
    try:
        return BRIDGE.check(message)
    except ProtocolError as refused:
        return f"{refused.code}: {refused}"


@given(st.sampled_from(sorted(BRIDGE.commands)) | st.text(max_size=8), CONTENTS)
def test_any_junk_is_taken_or_refused_in_words(command: str, content: dict[str, Any]) -> None:
    found = outcome(Message(command, "1", content))
    if isinstance(found, str):
        assert found.startswith(("unknown: ", "invalid: "))
    else:
        assert set(found) == {field.name for field in BRIDGE.commands[command].fields}


@given(st.lists(st.binary(max_size=60), max_size=4))
def test_any_frames_are_a_message_or_refused_in_words(frames: list[bytes]) -> None:
    with contextlib.suppress(ProtocolError):
        BRIDGE.check(unpack(frames))


@given(st.sampled_from(sorted(BRIDGE.commands)), CONTENTS)
def test_what_is_refused_here_is_refused_after_its_way_through_the_wire(
    command: str, content: dict[str, Any]
) -> None:
    try:
        arrived = unpack(pack(Message(command, "1", content)))
    except (ValueError, ProtocolError):
        return
    assert outcome(arrived) == outcome(Message(command, "1", content))


def test_every_control_can_be_set_within_its_own_range() -> None:
    for control in CONTROLS:
        assert control_changes(checked("set", **{control.name: control.default})) == {
            control.name: control.default
        }
        if control.high is not None:
            with pytest.raises(ProtocolError, match=f"{control.name} must be .*{control.low:g}"):
                checked("set", **{control.name: control.high + 1})
    everything = {control.name: control.default for control in CONTROLS}
    changes = control_changes(checked("set", **everything))
    assert changed_controls(Controls(), changes) == Controls()


def test_what_is_not_given_changes_nothing() -> None:
    content = checked("set", mute=False)
    assert control_changes(content) == {"mute": False}
    assert content["mode"] is None


def test_a_render_takes_what_the_engine_takes() -> None:
    """So that a bridge can hand it on."""
    content = checked("render", song="a.wav", midi="a.mid", composer="full")
    assert ENGINE.check(Message("render", "1", content))["song"] == "a.wav"
    with pytest.raises(ProtocolError, match="render needs midi"):
        checked("render", song="a.wav")


@pytest.mark.parametrize("name", ["status", "set", "panic", "play", "pause", "tap", "nudge",
    "downbeat", "push-transport", "inputs", "ports", "record", "keep", "render", "cancel",
    "load-checkpoint", "composers", "health", "shut-down"])  # fmt: skip
def test_names_of_commands_are_stable(name: str) -> None:
    assert name in BRIDGE.commands


def test_the_document_is_up_to_date() -> None:
    written = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    assert written == document(), (
        "write it anew: python -m sidekeys_bridge.protocol_document > docs/protocol.md"
    )


def test_the_document_names_every_command_event_and_field() -> None:
    text = document()
    for table in (BRIDGE, ENGINE):
        for part in (*table.commands.values(), *table.events.values()):
            assert f"### `{part.name}`" in text
            for field in part.fields:
                assert f"| `{field.name}` |" in text
