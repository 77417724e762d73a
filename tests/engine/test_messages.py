"""Messages: what is packed comes out the same, and what is no message is refused in words."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidekeys_engine.messages import (
    DEEPEST,
    VERSION,
    Message,
    ProtocolError,
    error,
    ok,
    pack,
    unpack,
)


def envelope(**changes: object) -> bytes:
    fields = {"v": VERSION, "type": "describe", "id": "1", "content": {}, **changes}
    return json.dumps({name: value for name, value in fields.items() if value != "no"}).encode()


def refusal(*frames: bytes, **limits: int) -> ProtocolError:
    with pytest.raises(ProtocolError) as raised:
        unpack(frames, **limits)
    return raised.value


def what_becomes_of(frame: bytes) -> str:
    try:
        unpack([frame])
    except ProtocolError as problem:
        return problem.code
    return "a message"


def test_a_message_comes_out_as_it_went_in():
    message = Message("generate", "a-1", {"x": [1, 2.5, None, "ä"]}, (b"\0\xff", b""), "secret")
    assert unpack(pack(message)) == message


def test_a_reply_repeats_the_id():
    request = Message("describe", "7", {})
    assert ok(request, {"a": 1}).id == "7"
    assert error("7", "late", "Too late.").content == {"code": "late", "message": "Too late."}


def test_an_unknown_code_is_a_programmers_mistake():
    with pytest.raises(ValueError, match="no error code"):
        error("1", "oops", "Oops.")


def test_numbers_that_are_not_finite_are_not_sent():
    with pytest.raises(ValueError, match="JSON"):
        pack(Message("describe", "1", {"x": float("nan")}))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (b"", "no JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[]", "JSON object"),
        (b"3", "JSON object"),
        (b'{"v": 1', "no JSON"),
        (b'{"v": NaN}', "NaN is no number"),
        (b'{"v": -Infinity}', "no number"),
        (b'{"v": 1e999}', "beyond all numbers"),
        (b'{"v": ' + b"9" * 5000 + b"}", "5000 digits"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"a":' * 15 + b"1" + b"}" * 15, f"deeper than {DEEPEST}"),
        (envelope(id=3), "The id"),
        (envelope(id="no"), "The id"),
        (envelope(id="x" * 65), "The id"),
        (envelope(id="a\n"), "The id"),
        (envelope(type="no"), "no name"),
        (envelope(type="Des cribe"), "no name"),
        (envelope(type=["describe"]), "no name"),
        (envelope(content="no"), "content"),
        (envelope(content=[]), "content"),
        (envelope(token=5), "token"),
        (envelope(more=5), 'no field "more"'),
    ],
)
def test_what_is_no_message_is_malformed(frame: bytes, words: str):
    problem = refusal(frame)
    assert problem.code == "malformed"
    assert words in str(problem)
    assert len(str(problem)) < 300


def test_no_frames_are_malformed():
    assert refusal().code == "malformed"


@pytest.mark.parametrize("version", [0, 2, "1", None, True, 1.5])
def test_another_version_is_named(version: object):
    problem = refusal(envelope(v=version))
    assert (problem.code, problem.request_id) == ("version", "1")
    assert f"version {json.dumps(version)}" in str(problem)


def test_what_is_too_large_is_refused_before_it_is_read():
    assert refusal(b"x" * 101, largest_json=100).code == "too-large"
    problem = refusal(envelope(), b"x" * 6, b"y" * 6, largest_buffer=10)
    assert (problem.code, problem.request_id) == ("too-large", "1")
    assert refusal(envelope(), *[b""] * 9).code == "too-large"


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_garbage_never_raises_anything_else(frames: list[bytes]):
    assert refusal(*frames).code == "malformed"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
        max_leaves=20,
    )
)
def test_any_json_is_a_message_or_refused(value: object):
    for frame in (json.dumps(value).encode(), envelope(content=value), envelope(id=value)):
        assert what_becomes_of(frame) in ("a message", "malformed", "version")
