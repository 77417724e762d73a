"""From a folder of songs to a checkpoint and its figures, by the commands; mistakes in a line."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from made_up_music import BANDS, write_pop909, write_windows
from sidekeys_engine.pianist import Pianist, composers_of
from sidekeys_engine.training import stages as room
from sidekeys_engine.training.arranging import COMPOSERS
from sidekeys_engine.training.dataset import renders_in
from sidekeys_engine.training.stages import main
from sidekeys_engine.training.train import STATE_FILE

TINY = ["--width", str(BANDS), "--encoder-layers", "1", "--decoder-layers", "1", "--threads", "1"]
TINY += ["--device", "cpu", "--batch-size", "4"]
ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def pop909(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One song to train on, one to be tried on."""
    return write_pop909(tmp_path_factory.mktemp("pop909"), "001", "010")


@pytest.fixture(scope="module")
def data(pop909: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rendered") / "data"
    assert main(["render", str(pop909), str(folder), "--width", str(BANDS)]) == 0
    return folder


def fit(data: Path, out: Path, steps: int, *more: str) -> int:
    return main(["fit", str(data), str(out), "--steps", str(steps), *TINY, *more])


def test_songs_become_a_checkpoint_with_figures(
    pop909: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert renders_in(data) == ["001-0"]
    run = tmp_path / "run"
    capsys.readouterr()

    assert fit(data, run, 3) == 0
    begun, done = capsys.readouterr().out.splitlines()
    assert begun.startswith("step 1 of 3, 4 windows, pass 1 over 1 renders, ")
    assert done == f"done at step 3: {run}"
    before = Pianist.from_pretrained(run, device="cpu").model.state_dict()
    assert dict(composers_of(run)) == COMPOSERS

    assert fit(data, run, 5) == 0
    again, begun, done = capsys.readouterr().out.splitlines()
    assert again == "goes on at step 3"
    assert begun.startswith("step 4 of 5, ")
    assert done == f"done at step 5: {run}"
    after = Pianist.from_pretrained(run, device="cpu").model.state_dict()
    assert not torch.equal(before["shared.weight"], after["shared.weight"])

    figures = tmp_path / "figures"
    asked = ["evaluate", str(pop909), str(figures), str(run), "--windows", "2", "--threads", "1"]
    assert main(asked) == 0
    assert capsys.readouterr().out == "010\n"
    assert f"| full | {run} |" in (figures / "report.md").read_text()
    written = json.loads((figures / "report.json").read_text())
    assert written["sixteenths"][f"{run} / stride"]["windows"] == 2


def test_a_new_run_starts_from_a_checkpoint(data: Path, tmp_path: Path) -> None:
    assert fit(data, tmp_path / "first", 1) == 0
    assert fit(data, tmp_path / "other", 1, "--seed", "7") == 0
    begun = ["--seed", "7", "--start", str(tmp_path / "first")]
    assert fit(data, tmp_path / "second", 1, *begun) == 0
    first, second, other = (
        Pianist.from_pretrained(tmp_path / name, device="cpu").model.shared.weight.detach().float()
        for name in ("first", "second", "other")
    )
    # The first steps of a run are small, and another seed is another network.
    assert float((second - first).abs().max()) < 0.1
    assert float((other - first).abs().max()) > 1


def test_a_run_tells_how_it_goes_saves_itself_and_stops_in_time(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(room, "_TELL_SECONDS", -1.0)
    monkeypatch.setattr(room, "_SAVE_SECONDS", -1.0)
    saved: list[int] = []
    save = room.Training.save

    def counted(run: room.Training, folder: Path) -> None:
        saved.append(run.progress.step)
        save(run, folder)

    monkeypatch.setattr(room.Training, "save", counted)
    run = tmp_path / "run"
    assert fit(data, run, 100, "--minutes", "0") == 0
    told, end = capsys.readouterr().out.splitlines()
    assert told.startswith("step 1 of 100, ")
    assert "pass 1 over 1 renders" in told
    assert end == f"stopped at step 1; the same command goes on: {run}"
    assert saved == [1, 1]
    assert (run / STATE_FILE).exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["render", "{tmp}/none", "{tmp}/out"], "holds no train songs; give the folder of POP909"),
        (["render", "{pop909}", "{tmp}/out", "--split", "validation"], "no validation songs"),
        (["fit", "{tmp}/none", "{tmp}/out", "--steps", "1"], "no windows; make them first: python"),
        (["fit", "{data}", "{tmp}/out", "--steps", "1", "--width", "48"], "multiple of 32, not 48"),
        (
            ["fit", "{data}", "{tmp}/out", "--steps", "1", "--width", "64"],
            "have 32 bands; give --width 32, or render others with --width 64",
        ),
        (
            ["fit", "{data}", "{tmp}/out", "--steps", "1", *TINY, "--start", "{tmp}/none"],
            "none",
        ),
        (["evaluate", "{pop909}", "{tmp}/out", "{tmp}/none"], "none"),
        (["evaluate", "{tmp}", "{tmp}/out", "builtin"], "holds no train songs"),
    ],
    ids=lambda value: "-".join(value[:1]) if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    options: list[str],
    said: str,
    pop909: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = write_windows(tmp_path / "data")
    places = {"pop909": pop909, "tmp": tmp_path, "data": data}
    assert main([option.format(**places) for option in options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("sidekeys training: ")
    assert said in err
    assert not (tmp_path / "out").exists()


def test_a_run_of_another_size_is_not_gone_on_with(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit(data, tmp_path / "run", 1) == 0
    assert fit(data, tmp_path / "run", 2, "--encoder-layers", "2") == 2
    assert "network of another size" in capsys.readouterr().err


@pytest.mark.parametrize("bad", [["--steps", "0"], ["--steps", "1", "--batch-size", "none"]])
def test_a_count_is_at_least_one(bad: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "data", "out", *bad])
    assert stopped.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


# --- several processes, and how they end ---


@contextlib.contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[str]]:
    """A step in a terminal of its own, where it has said its first line."""
    with subprocess.Popen(
        [sys.executable, "-m", "sidekeys_engine.training", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "engine", "OMP_WAIT_POLICY": "passive"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        family = []
        try:
            assert process.stdout.readline()
            family = psutil.Process(process.pid).children(recursive=True)
            yield process
        finally:
            for each in (process, *family):
                with contextlib.suppress(psutil.NoSuchProcess):
                    each.kill()


def fitting(out: Path, processes: int) -> contextlib.AbstractContextManager[subprocess.Popen[str]]:
    data = write_windows(out.parent / "data")
    return started("fit", data, out, "--steps", 1_000_000, *TINY, "--processes", processes)


def steps_done(out: Path) -> int:
    state = torch.load(out / STATE_FILE, weights_only=True)
    return int(json.loads(state["progress"])["step"])


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_saves_the_run_and_says_so(processes: int, tmp_path: Path) -> None:
    run = tmp_path / "run"
    with fitting(run, processes) as process:
        os.killpg(process.pid, signal.SIGINT)  # a terminal tells all of them
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == ""
    steps = steps_done(run)
    last = out.splitlines()[-1]
    assert last == f"stopped at step {steps}; the same command goes on: {run}"
    Pianist.from_pretrained(run, device="cpu")
    assert not [path for path in run.iterdir() if path.name.startswith(".")]


def test_nobody_trains_on_when_the_first_process_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # who is killed does not tidy up
    run = tmp_path / "run"
    with fitting(run, 2) as process:
        others = psutil.Process(process.pid).children(recursive=True)
        assert len(others) >= 2
        process.kill()
        _, alive = psutil.wait_procs(others, timeout=20)
        assert alive == []
        _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert steps_done(run) >= 1


def test_ctrl_c_while_songs_are_rendered_is_one_line_and_leaves_whole_ones(
    pop909: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    words = ("render", pop909, data, "--takes", 1000, "--processes", 2, "--width", BANDS)
    with started(*words) as process:
        others = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
        _, alive = psutil.wait_procs(others, timeout=20)
    assert process.returncode == 130
    assert err == "sidekeys training: stopped at once; what was whole before is kept.\n"
    assert alive == []
    assert renders_in(data)


def test_a_mistake_in_a_process_that_was_started_is_one_line_too(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = write_windows(tmp_path / "data")
    assert fit(data, tmp_path / "out", 1, "--processes", "2", "--start", "nowhere") == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert "nowhere" in err
    assert not (tmp_path / "out").exists()
