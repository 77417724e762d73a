"""The engine's table: it is whole, light to import, and its document can be written."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sidekeys_engine.protocol import ENGINE, Message, ProtocolError

WINDOW = {"composer": "a", "sampling_rate": 22050, "step_seconds": [0.0, 0.1, 0.2]}


def test_the_protocol_needs_neither_torch_nor_numpy():
    program = (
        "import sys, sidekeys_engine.protocol; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'zmq')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_window_is_taken_with_the_likeliest_notes_by_default():
    content = ENGINE.check(Message("generate", "1", WINDOW, (b"",)))
    assert (content["temperature"], content["seed"], content["window_number"]) == (0.0, 0, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 11}, {"temperature": -1}, {"seed": -1}, {"within_seconds": -1},
        {"within_seconds": 1e9}, {"sampling_rate": 0}, {"step_seconds": [0.0] * 5000},
        {"step_seconds": [1e9, 2e9]}, {"composer": "x" * 101}, {"composers": "x"},
    ],
)  # fmt: skip
def test_a_window_out_of_bounds_is_refused(change: dict[str, object]):
    with pytest.raises(ProtocolError) as raised:
        ENGINE.check(Message("generate", "1", {**WINDOW, **change}, (b"",)))
    assert raised.value.code == "invalid"


def test_a_window_needs_its_sound():
    with pytest.raises(ProtocolError, match="generate takes 1 buffer, not 0"):
        ENGINE.check(Message("generate", "1", WINDOW))


def test_every_command_and_event_is_in_the_document():
    text = ENGINE.markdown()
    for name in (*ENGINE.commands, *ENGINE.events):
        assert f"### `{name}`" in text
