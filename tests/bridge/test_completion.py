"""What a shell completes: bash really reads the script and is asked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sidekeys_bridge.cli import ENGINE_COMMANDS, LIVE_COMMANDS, SETUP_COMMANDS
from sidekeys_bridge.completion import Command, all_commands
from sidekeys_bridge.controls import CONTROLS
from sidekeys_bridge.settings import OPTIONS

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join((str(ROOT / "engine"), str(ROOT / "bridge"))),
    "COLUMNS": "40",  # help that is broken into lines must not break the script
    "FORCE_COLOR": "1",
}
# Sets what bash sets when TAB is pressed, and prints what it would offer.
ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_sidekeys sidekeys
printf '%s\\n' "${COMPREPLY[@]}"
"""


def script_for(shell: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "sidekeys_bridge", "completion", shell],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert ran.stderr == ""
    return ran.stdout


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("completion") / "sidekeys.bash"
    file.write_text(script_for("bash"))
    return file


def offered(script: Path, *words: str, folder: Path | None = None) -> list[str]:
    """What bash offers when TAB is pressed after these words, the last one unfinished."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.fail("This test needs bash; type: sudo apt-get install bash")
    ran = subprocess.run(
        [bash, "--norc", "-c", ASK, "bash", str(script), "sidekeys", *words],
        capture_output=True, text=True, timeout=60, check=True, cwd=folder,
    )  # fmt: skip
    assert ran.stderr == ""
    return [line for line in ran.stdout.splitlines() if line]


def test_commands_are_completed(script: Path) -> None:
    assert sorted(offered(script, "st")) == ["start", "status", "stop"]
    everything = {*LIVE_COMMANDS, *ENGINE_COMMANDS, *SETUP_COMMANDS, "--help", "--version"}
    assert set(offered(script, "")) == everything


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("start", "--tr"), ["--transport"]),
        (("start", "--no-br"), ["--no-browser"]),
        (("start", "--transport", ""), list(OPTIONS["transport"].choices)),
        (("start", "--quiet", "--mode", "l"), ["loop"]),
        (("start", "--bpm", ""), []),
        (("start", "--composer", ""), []),
        (("set", "velocity_c"), ["velocity_curve"]),
        (("set", "velocity_curve", "s"), ["soft"]),
        (("set", "mute", ""), ["on", "off"]),
        (("set", "mode", "loop", "mu"), ["mute"]),
        (("render", "--trac"), ["--tracker"]),
        (("render", "--device", "c"), ["cpu", "cuda"]),
        (("doctor", "--"), ["--help", "--json"]),
        (("setup", "--daw", "a"), ["ardour"]),
        (("completion", ""), ["bash", "zsh", "fish", "-h", "--help"]),
        (("fly", ""), []),
    ],
)
def test_options_names_and_choices_are_completed(
    script: Path, words: tuple[str, ...], expected: list[str]
) -> None:
    assert offered(script, *words) == expected


@pytest.mark.parametrize("words", [("render", "so"), ("start", "--config", "so"), ("record", "so")])
def test_files_are_completed_where_files_are_meant(
    script: Path, words: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "song.wav").touch()
    assert offered(script, *words, folder=tmp_path) == ["song.wav"]


@pytest.mark.parametrize("typed", ["My", "My\\ S", '"My S'])
def test_a_file_name_with_spaces_stays_one(script: Path, typed: str, tmp_path: Path) -> None:
    (tmp_path / "My Song.wav").touch()
    (tmp_path / "My Song").mkdir()
    names = offered(script, "render", typed, folder=tmp_path)
    assert sorted(names) == ["My Song", "My Song.wav"]


def test_nothing_that_can_be_typed_is_forgotten() -> None:
    commands: dict[str, Command] = {command.name: command for command in all_commands()}
    start = {argument.name for argument in commands["start"].arguments}
    assert {f"--{name.replace('_', '-')}" for name in OPTIONS} <= start
    settings = {argument.name for argument in commands["set"].arguments}
    assert {control.name for control in CONTROLS} | {"mode", "input", "bpm"} <= settings
    assert {"--json", "--help"} <= {argument.name for argument in commands["status"].arguments}


def test_the_other_shells_get_a_script_too() -> None:
    fish = script_for("fish")
    assert "complete -c sidekeys -n __fish_use_subcommand -a start -d 'listen to your DAW" in fish
    assert (
        "complete -c sidekeys -n '__fish_seen_subcommand_from start' -l mode -x -a 'echo loop'"
        in fish
    )
    zsh = script_for("zsh")
    assert zsh.splitlines()[2].endswith("bashcompinit")
    assert zsh.endswith("complete -F _sidekeys sidekeys\n")
