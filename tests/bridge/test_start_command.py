"""`sidekeys start`: flags become settings, and mistakes are told before anything is opened."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sidekeys_bridge.cli import main
from sidekeys_bridge.controls import Controls
from sidekeys_bridge.settings import OPTIONS, Settings, settings_file
from sidekeys_bridge.start_command import settings_of
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def settings_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the file of settings of these tests would lie; it is not there."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    file = settings_file()
    file.parent.mkdir(parents=True)
    return file


def test_no_flags_are_the_defaults() -> None:
    assert settings_of([]) == Settings()


def test_flags_become_settings() -> None:
    words = (
        "--input loopback:Main --channels 1-2 --transport manual --bpm 120 --meter 3/4 --mode loop "
        "--delay 8 --composer stride --checkpoint x --device cpu --midi-port Synth --no-panel "
        "--port 8080 --host 192.168.1.2 --no-browser "
        "--quiet --json --control transpose=-12 --control velocity-curve=soft"
    )
    assert settings_of(words.split()) == Settings(
        input="loopback:Main", channels=(1, 2), transport="manual", bpm=120.0, meter=Meter(3, 4),
        mode="loop", delay_beats=8, checkpoint="x", device="cpu", midi_port="Synth", panel=False,
        port=8080, host="192.168.1.2", browser=False, quiet=True, json=True,
        controls=Controls(composer="stride", transpose=-12, velocity_curve="soft"),
    )  # fmt: skip


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "live.toml"
    file.write_text('panel = false\nquiet = true\nmode = "loop"\n', encoding="utf-8")
    found = settings_of(["--config", str(file), "--panel", "--mode", "echo"])
    assert (found.panel, found.quiet, found.mode) == (True, True, "echo")


def test_the_file_that_setup_writes_is_read_and_flags_win(settings_home: Path) -> None:
    settings_home.write_text('mode = "loop"\nquiet = true\nport = 8080\n', encoding="utf-8")
    found = settings_of(["--mode", "echo"])
    assert (found.mode, found.quiet, found.port) == ("echo", True, 8080)


def test_a_file_that_is_named_is_read_instead(settings_home: Path, tmp_path: Path) -> None:
    settings_home.write_text("this is no TOML", encoding="utf-8")
    other = tmp_path / "other.toml"
    other.write_text("quiet = true", encoding="utf-8")
    assert settings_of(["--config", str(other)]) == Settings(quiet=True)


def test_a_broken_file_of_settings_is_told_with_line_and_key(
    settings_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings_home.write_text('mode = "loop"\nbpm = 5\n', encoding="utf-8")
    assert main(["start"]) == 2
    out, errors = capsys.readouterr()
    assert out == ""
    assert errors == (
        f"sidekeys: error: '{settings_home}', line 2: bpm: '5' is no tempo; give beats a minute "
        "from 30 to 300.\n"
    )


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
        (["--port", "80"], "--port: '80' is no port; give a number from 1024 to 65535"),
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
    assert "--no-browser" in text


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
