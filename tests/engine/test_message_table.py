"""Tables: every field is checked, the refusal says what would be right, the document tells all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidekeys_engine.message_table import Command, Event, Field, Table
from sidekeys_engine.messages import Message, ProtocolError

TABLE = Table(
    commands=(
        Command(
            "play",
            "Plays.",
            fields=(
                Field("pitch", "integer", "the pitch", low=0, high=127),
                Field("gain", "number", "how loud", default=0.5, low=0, high=1, unit="dB"),
                Field("mode", "text", "how", default="echo", choices=("echo", "loop")),
                Field("name", "text", "who | what", default=None, longest=5),
                Field("on", "boolean", "whether", default=False),
                Field("beats", "list", "where", default=[], items="number", low=0, longest=3),
                Field(
                    "rows",
                    "list",
                    "notes",
                    default=[],
                    columns=(
                        Field("pitch", "integer", "the pitch", low=0, high=127),
                        Field("velocity", "integer", "how hard", default=None),
                    ),
                ),
                Field("more", "object", "anything", default={}, longest=2),
            ),
            reply=(Field("id", "text", "the note"),),
            buffers="none or one",
            buffer_counts=(0, 1),
        ),
        Command("stop", "Stops."),
    ),
    events=(Event("played", "It was played.", fields=(Field("id", "text", "the note"),)),),
)


def refusal(content: dict[str, Any], kind: str = "play", buffers: tuple[bytes, ...] = ()) -> str:
    with pytest.raises(ProtocolError) as raised:
        TABLE.check(Message(kind, "5", content, buffers))
    assert raised.value.request_id == "5"
    assert raised.value.code == ("invalid" if kind == "play" else "unknown")
    return str(raised.value)


def test_what_is_not_given_has_its_default():
    assert TABLE.check(Message("play", "1", {"pitch": 60})) == {
        "pitch": 60, "gain": 0.5, "mode": "echo", "name": None, "on": False, "beats": [],
        "rows": [], "more": {},
    }  # fmt: skip


def test_values_come_out_in_the_fields_type():
    content = TABLE.check(Message("play", "1", {"pitch": 60.0, "gain": 1, "beats": [1, 2]}))
    assert isinstance(content["pitch"], int)
    assert isinstance(content["gain"], float)
    assert [type(beat) for beat in content["beats"]] == [float, float]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "play needs pitch, a whole number from 0 to 127."),
        ({"pitch": 128}, "pitch must be a whole number from 0 to 127, not 128."),
        ({"pitch": -1}, "not -1."),
        ({"pitch": 60.5}, "not 60.5."),
        ({"pitch": "60"}, 'not "60".'),
        ({"pitch": True}, "not true."),
        ({"pitch": None}, "not null."),
        ({"gain": float("nan")}, "gain must be a number from 0 to 1, in dB, not NaN."),
        ({"gain": float("inf")}, "gain must be"),
        ({"gain": False}, "gain must be"),
        ({"mode": "both"}, 'mode must be one of echo, loop, not "both".'),
        ({"mode": None}, "mode must be"),
        ({"name": "abcdef"}, "name is too long: at most 5 are taken, not 6."),
        ({"name": "a\0"}, "name must be text, or null"),
        ({"name": "\ud800"}, "name must be text, or null"),
        ({"on": 1}, "on must be true or false, not 1."),
        ({"beats": "123"}, "beats must be a list of numbers of at least 0"),
        ({"beats": [0, -1]}, "beats, item 2, must be a list of numbers of at least 0, not -1."),
        ({"beats": [None]}, "beats, item 1, must be"),
        ({"beats": [1, 2, 3, 4]}, "beats is too long: at most 3 are taken, not 4."),
        ({"rows": [[60, None], [60]]}, "rows, item 2, must be a list of rows [pitch, velocity]"),
        ({"rows": [[128, None]]}, "pitch must be a whole number from 0 to 127, not 128."),
        ({"more": []}, "more must be an object, not []."),
        ({"more": {"a": 1, "b": 2, "c": 3}}, "more is too long"),
        ({"pich": 60}, 'play has no field "pich"; its fields: pitch, gain'),
    ],
)
def test_the_refusal_names_the_field_its_range_and_what_was_given(
    given: dict[str, Any], words: str
):
    needed = {} if not given or "pich" in given else {"pitch": 60}
    assert words in refusal({**needed, **given})


def test_an_unknown_command_lists_those_there_are():
    assert refusal({}, "pause") == 'There is no command "pause"; there are play, stop.'


def test_buffers_are_counted():
    assert TABLE.check(Message("play", "1", {"pitch": 1}, (b"",)))
    assert "0 to 1 buffers, not 2" in refusal({"pitch": 1}, buffers=(b"", b""))
    with pytest.raises(ProtocolError, match="stop takes no buffers, not 1"):
        TABLE.check(Message("stop", "1", {}, (b"",)))


def test_replies_and_events_are_checked_by_the_same_table():
    assert TABLE.check_reply("play", Message("ok", "1", {"id": "a"})) == {"id": "a"}
    assert TABLE.check_event(Message("played", "", {"id": "a"})) == {"id": "a"}
    with pytest.raises(ProtocolError, match="the reply to play needs id"):
        TABLE.check_reply("play", Message("ok", "1", {}))
    with pytest.raises(ProtocolError, match="no event"):
        TABLE.check_event(Message("stopped", "", {}))


@given(
    st.dictionaries(
        st.sampled_from(["pitch", "gain", "mode", "name", "on", "beats", "rows", "more", "x"]),
        st.none() | st.booleans() | st.floats() | st.integers() | st.text()
        | st.lists(st.floats() | st.text() | st.lists(st.integers())) | st.just({}),
    )
)  # fmt: skip
def test_any_content_is_taken_or_refused_in_a_line(content: dict[str, Any]):
    try:
        pitch, text = TABLE.check(Message("play", "1", content))["pitch"], ""
    except ProtocolError as problem:
        pitch, text = 0, f"{problem.code}: {problem}"
    assert 0 <= pitch <= 127
    assert not text or text.startswith("invalid: ")
    assert len(text) < 300
    assert "\n" not in text


def test_the_document_names_everything():
    text = TABLE.markdown()
    for name in ("`play`", "`stop`", "`played`", "`pitch`", "`velocity`", "`more`"):
        assert name in text
    assert "| `gain` | number from 0 to 1, in dB | `0.5` | how loud |" in text
    assert "who \\| what" in text
    assert "Buffers: none or one" in text


def test_two_commands_of_one_name_are_a_programmers_mistake():
    with pytest.raises(ValueError, match="one name"):
        Table((Command("a", "A."), Command("a", "B.")), ())
