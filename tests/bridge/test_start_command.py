"""`sidekeys start`: flags become settings, and mistakes are told before anything is opened."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sidekeys_bridge.cli import main
from sidekeys_bridge.controls import Controls
from sidekeys_bridge.settings import OPTIONS, Settings
from sidekeys_bridge.start_command import settings_of
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter

ROOT = Path(__file__).parents[2]


def test_no_flags_are_the_defaults() -> None:
    assert settings_of([]) == Settings()


def test_flags_become_settings() -> None:
    words = (
        "--input loopback:Main --channels 1-2 --transport manual --bpm 120 --meter 3/4 --mode loop "
        "--delay 8 --composer stride --checkpoint x --device cpu --midi-port Synth --no-panel "
        "--quiet --json --control transpose=-12 --control velocity-curve=soft"
    )
    assert settings_of(words.split()) == Settings(
        input="loopback:Main", channels=(1, 2), transport="manual", bpm=120.0, meter=Meter(3, 4),
        mode="loop", delay_beats=8, checkpoint="x", device="cpu", midi_port="Synth", panel=False,
        quiet=True, json=True,
        controls=Controls(composer="stride", transpose=-12, velocity_curve="soft"),
    )  # fmt: skip


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "live.toml"
    file.write_text('panel = false\nquiet = true\nmode = "loop"\n', encoding="utf-8")
    found = settings_of(["--config", str(file), "--panel", "--mode", "echo"])
    assert (found.panel, found.quiet, found.mode) == (True, True, "echo")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--transport", "x"], "--transport must be one of auto, clock"),
        (["--bpm"], "expected one argument; see `sidekeys start --help`"),
        (["--tempo", "3"], "unrecognized arguments: --tempo 3; see `sidekeys start --help`"),
        (["--trans", "link"], "unrecognized arguments"),
        (["--control", "mute"], "--control takes NAME=VALUE, such as transpose=-12, not 'mute'"),
        (["--control", "mute=x"], "mute cannot be 'x'; give on or off"),
        (["--config", "nowhere.toml"], "no such file"),
        (["--input", "file:nowhere.wav"], "no such file"),
    ],
)
def test_mistakes_are_told_in_one_line(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError):
        settings_of(words)
    assert main(["start", *words]) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors.startswith("sidekeys: error: ")
    assert told in errors
    assert errors.count("\n") == 1


def test_help_names_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["start", "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for name in (*OPTIONS, "control", "config"):
        assert f"--{name.replace('_', '-')}" in text
    assert "--no-panel" in text


@pytest.mark.parametrize("room", ["cli", "client_commands", "client", "connection", "arguments"])
def test_what_answers_at_once_loads_little(room: str) -> None:
    """Numbers, sound and MIDI are for those who need them."""
    heavy = ("numpy", "zmq", "rtmidi", "sounddevice", "soxr", "mido", "torch", "scipy")
    program = (
        f"import sys, sidekeys_bridge.{room}; print(*(m for m in {heavy} if m in sys.modules))"
    )
    paths = f"{ROOT / 'engine'}:{ROOT / 'bridge'}"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "\n"
