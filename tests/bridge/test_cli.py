"""The `sidekeys` command hands over to the engine and never imports torch itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sidekeys_bridge.cli import ENGINE_COMMANDS, LIVE_COMMANDS, SETUP_COMMANDS, main

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(("engine", "bridge"))}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sidekeys_bridge", *words],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("words", [[], ["--help"], ["help"]])
def test_help_names_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    text = capsys.readouterr().out
    for command in (*ENGINE_COMMANDS, *LIVE_COMMANDS, *SETUP_COMMANDS):
        assert f"\n  {command} " in text


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fly"]) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "'fly'" in errors
    assert "render" in errors


def test_the_engine_runs_and_its_status_is_ours() -> None:
    listed = run("composers")
    assert listed.returncode == 0
    assert listed.stdout.startswith("full")
    refused = run("render", "nowhere.wav")
    assert refused.returncode == 2
    assert refused.stderr.startswith("sidekeys: error: Cannot read 'nowhere.wav': there is no such")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "command", ["render", "composers", "engine", *LIVE_COMMANDS, *SETUP_COMMANDS]
)
def test_every_command_explains_itself(command: str) -> None:
    shown = run(command, "--help")
    assert shown.returncode == 0
    assert shown.stdout.startswith(f"usage: sidekeys {command}")


def test_the_version_is_told() -> None:
    shown = run("--version")
    assert shown.returncode == 0
    assert shown.stdout.startswith("sidekeys ")
    assert not shown.stderr
