"""`sidekeys train`: what a user types, what it leaves, and what a mistake gets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from made_up_pairs import write_checkpoint, write_pair
from sidekeys_engine.command import main
from sidekeys_engine.notes import Score, write_midi
from sidekeys_engine.pianist import Pianist, composers_of
from sidekeys_engine.training import fine_tuning

ROOT = Path(__file__).parents[3]
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(("engine", "bridge")),
    "OMP_NUM_THREADS": "1",
}
COMMAND = (sys.executable, "-m", "sidekeys_engine", "train")
STEPS = ("--steps", "4", "--device", "cpu")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of one pair."""
    folder = tmp_path / "covers"
    write_pair(folder, "song", bars=9)
    return folder


def run(*words: object) -> int:
    try:
        return main(["train", *map(str, words)])
    except SystemExit as stop:  # argparse's own way out
        return int(stop.code or 0)


def typed(*words: object) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it."""
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> list[str]:
    """The lines that a mistake gets."""
    assert run(*words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("sidekeys: ") for line in lines)
    assert lines[-1].startswith("sidekeys: error: ")
    return lines


def test_a_checkpoint_gets_one_more_composer_and_says_how_well_the_others_are_kept(
    folder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine"
    before = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    words = [folder, "--checkpoint", checkpoint, "--out", out, "--composer", "me", *STEPS]
    done = typed(*words, "--description", "As I play.")
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("sidekeys: ") for line in done.stderr.splitlines())
    assert "error" not in done.stderr
    assert list(composers_of(out).items()) == [
        ("plain", "Chords."),
        ("fancy", ""),
        ("me", "As I play."),
    ]
    Pianist.from_pretrained(out, device="cpu")
    told = json.loads((out / "training.json").read_text())
    assert (told["composer"], told["pairs"], told["steps"]) == ("me", ["song"], 4)
    shares = {name: figures["onset_f1"] for name, figures in told["kept"].items()}
    assert list(shares) == ["plain", "fancy"]
    joined, held_back, new, kept = done.stdout.splitlines()
    assert joined == f"{out}: me joins plain, fancy."
    assert held_back == "Of the window that was held back:"
    assert new.startswith("  me meets ")
    assert kept == "  The others strike the notes that they struck before: " + (
        f"plain {100 * shares['plain']:.0f} %, fancy {100 * shares['fancy']:.0f} %."
    )
    assert before == {path.name: path.read_bytes() for path in checkpoint.iterdir()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["covers", "mine"]


def test_a_checkpoint_that_learned_can_learn_again(
    folder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert run(folder, "--checkpoint", checkpoint, "--out", first, "--composer", "me", *STEPS) == 0
    assert run(folder, "--checkpoint", first, "--out", second, "--composer", "you", *STEPS) == 0
    assert list(composers_of(second)) == ["plain", "fancy", "me", "you"]


def test_one_bad_pair_costs_no_other(
    folder: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.wav").write_bytes(b"no sound")
    (folder / "broken.mid").write_bytes((folder / "song.mid").read_bytes())
    (folder / "alone.mid").write_bytes(b"")
    out = tmp_path / "out"
    assert run(folder, "--checkpoint", checkpoint, "--out", out, "--composer", "me", *STEPS) == 0
    errors = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(errors) == 2
    assert "alone.mid has no sound file" in errors[0]
    assert "broken.wav" in errors[1]
    assert json.loads((out / "training.json").read_text())["pairs"] == ["song"]


def test_pairs_can_be_checked_alone(
    folder: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert run(folder, "--check", "--checkpoint", checkpoint) == 0
    assert "song: 9 windows" in capsys.readouterr().err
    (folder / "alone.mp3").write_bytes(b"x")
    assert run(folder, "--check", "--checkpoint", checkpoint) == 2
    assert "alone.mp3 has no MIDI file" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == sorted([*before, folder / "alone.mp3"])


def test_what_is_wrong_with_a_pair_is_one_line_that_says_what_to_do(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "covers"
    write_pair(folder, "late", bars=9, late_seconds=0.74)
    write_pair(folder, "short", bars=3)
    write_pair(folder, "mute", bars=9)
    write_midi(Score(()), folder / "mute.mid")
    write_pair(folder, "foreign", bars=9)
    write_pair(tmp_path / "other", "other", seed=7, bars=9)
    (tmp_path / "other" / "other.mid").replace(folder / "foreign.mid")
    before = sorted(tmp_path.rglob("*"))
    lines = refused(capsys, folder, "--check", "--checkpoint", checkpoint)
    foreign, late, mute, short, last = lines
    assert "foreign.mid does not sound like a cover of foreign.wav" in foreign
    assert "late.mid is 0.74 s late; move its notes 0.74 s earlier." in late
    assert "mute.mid holds no notes but perhaps drums; export the piano's track." in mute
    assert "short.wav and short.mid share 3 windows of 4 beats; give at least" in short
    assert "There is no pair to learn from" in last
    assert sorted(tmp_path.rglob("*")) == before


def test_without_a_good_pair_nothing_is_left(
    folder: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "song.mid").write_bytes(b"")
    words = [folder, "--checkpoint", checkpoint, "--out", tmp_path / "out", "--composer", "me"]
    first, last = refused(capsys, *words)
    assert "song.mid' is empty" in first
    assert "no pair to learn from" in last
    assert [path.name for path in tmp_path.iterdir()] == ["covers"]

    (tmp_path / "empty").mkdir()
    (line,) = refused(capsys, tmp_path / "empty", *words[1:])
    assert "holds no sound files" in line
    (line,) = refused(capsys, tmp_path / "nowhere", *words[1:])
    assert "There is no folder" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["covers", "empty"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Plain", "already has a composer 'Plain' (it has plain, fancy)"),
        ("composer7", "already means a composer by number"),
        ("", "is no name for a composer"),
        (" me", "is no name for a composer"),
        ("a\nb", "is no name for a composer"),
        ("m" * 41, "is no name for a composer"),
    ],
)
def test_a_name_that_cannot_be_used_is_told(
    name: str,
    words: str,
    folder: Path,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    options = (folder, "--checkpoint", checkpoint, "--out", out, f"--composer={name}")
    (line,) = refused(capsys, *options)
    assert words in line
    assert [path.name for path in tmp_path.iterdir()] == ["covers"]


def test_an_out_folder_that_cannot_be_made_is_told_before_the_work(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").touch()
    (tmp_path / "file").touch()
    for out, words in (
        (tmp_path / "full", "is there already"),
        (tmp_path / "file", "is there already"),
        (tmp_path / "no" / "out", "there is no such folder"),
        (tmp_path / "..", "is no name for a new folder"),
        (Path("/proc/out"), "Cannot write"),  # not even root may
    ):
        (line,) = refused(capsys, folder, "--composer", "me", "--out", out)
        assert words in line
    assert (tmp_path / "full" / "precious").exists()


def test_options_that_contradict_or_lack_each_other_are_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        ["--out", tmp_path / "out"],
        ["--composer", "me"],
        ["--composer", "me", "--out", tmp_path / "out", "--steps", "3", "--minutes", "1"],
        ["--composer", "me", "--out", tmp_path / "out", "--steps", "0"],
        ["--composer", "me", "--out", tmp_path / "out", "--checkpoint", tmp_path / "nowhere"],
    ):
        assert len(refused(capsys, folder, *words)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["covers"]


def test_a_mistake_is_a_line_and_a_status_for_a_shell_too(
    folder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = typed(folder, "--checkpoint", checkpoint, "--out", out, "--composer", "plain")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("sidekeys: error: The checkpoint already has a composer 'plain'")
    assert [path.name for path in tmp_path.iterdir()] == ["covers"]


def test_ctrl_c_before_anything_is_learned_leaves_nothing(
    folder: Path,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(fine_tuning, "measure", interrupted)
    out = tmp_path / "out"
    words = [folder, "--checkpoint", checkpoint, "--out", out, "--composer", "me", *STEPS]
    assert run(*words) == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("sidekeys: Stopped; ")
    assert [path.name for path in tmp_path.iterdir()] == ["covers"]


def test_ctrl_c_stops_and_the_same_command_goes_on(
    folder: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, work = tmp_path / "out", tmp_path / "out.unfinished"
    words = [folder, "--checkpoint", checkpoint, "--composer", "me", "--out", out]
    command = [*COMMAND, *words, "--device", "cpu", "--steps", "1000000"]
    with subprocess.Popen(
        [str(word) for word in command],
        cwd=ROOT,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            lines = iter(process.stderr.readline, "")
            assert any("1000000 steps" in line for line in lines)
            time.sleep(0.5)  # Ctrl-C is heard by the step at hand from then on
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, errors
    (line,) = errors.splitlines()
    assert "the same command goes on there" in line
    assert (work / "training_state.pt").exists()
    assert not out.exists()

    (line,) = refused(capsys, *words, "--seed", "5")
    assert "holds an unfinished course for 'me'" in line
    # A million steps are too long for a test: the course is cut short where it is.
    course = json.loads((work / "course.json").read_text())
    state = torch.load(work / "training_state.pt", weights_only=True)
    done = json.loads(state["progress"])["step"]
    (work / "course.json").write_text(json.dumps({**course, "steps": done + 2}))
    assert run(*words, "--device", "cpu") == 0
    assert "going on with" in capsys.readouterr().err
    assert list(composers_of(out)) == ["plain", "fancy", "me"]
    assert not work.exists()


def test_the_command_is_in_the_bridges_list() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "sidekeys_bridge", "train", "--help"],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert shown.returncode == 0
    assert shown.stdout.startswith("usage: sidekeys train")
    assert "--composer" in shown.stdout
