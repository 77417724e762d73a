"""What a user types, and what a user's mistakes get: one line, status 2, nothing half-written."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import pty
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mido
import numpy as np
import pretty_midi
import pytest
import soundfile
import torch

from sidekeys_engine.checkpoint import BUILTIN_FOLDER
from sidekeys_engine.command import main
from sidekeys_engine.pianist import composers_of

ROOT = Path(__file__).parents[2]
SONG = ROOT / "examples" / "paper_lanterns.ogg"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(("engine", "bridge"))}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Five seconds of the example song, which start on a bar."""
    samples, rate = soundfile.read(SONG, always_2d=True)
    start = int(10.905 * rate)
    soundfile.write(tmp_path / "clip.wav", samples[start : start + 5 * rate], rate)
    return tmp_path / "clip.wav"


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one line that a mistake gets."""
    try:
        status = main([str(word) for word in words])
    except SystemExit as stop:  # argparse's own way out
        status = int(stop.code or 0)
    output = capsys.readouterr()
    assert status == 2, output
    assert "Traceback" not in output.err
    lines = [line for line in output.err.splitlines() if line]
    assert len(lines) == 1, output.err
    assert lines[0].startswith("sidekeys: error: ")
    return lines[0]


def test_a_song_is_rendered(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", str(clip), "--bpm", "104"]) == 0
    written = clip.with_name("clip-piano.mid")
    assert capsys.readouterr().out.startswith(str(written))
    notes = pretty_midi.PrettyMIDI(str(written)).instruments[0].notes
    assert len(notes) > 10


def test_many_songs_go_into_a_folder_and_one_bad_one_costs_no_other(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.wav").write_bytes(b"no sound at all")
    shutil.copy(clip, tmp_path / "second song.wav")
    out = tmp_path / "out"
    out.mkdir()
    songs = [str(tmp_path / name) for name in ("clip.wav", "bad.wav", "second song.wav")]
    words = ["render", *songs, "-o", str(out), "--plot", str(out), "--mix", str(out), "--json"]
    assert main([*words, "--bpm", "104", "--composer", "block"]) == 2
    output = capsys.readouterr()
    results = json.loads(output.out)["songs"]
    assert [Path(r["song"]).name for r in results] == ["clip.wav", "bad.wav", "second song.wav"]
    assert "bad.wav" in results[1]["error"]
    assert results[0]["notes"] == results[2]["notes"] > 5
    assert sorted(path.name for path in out.iterdir()) == [
        "clip-piano-mix.wav",
        "clip-piano.mid",
        "clip-piano.png",
        "second song-piano-mix.wav",
        "second song-piano.mid",
        "second song-piano.png",
    ]


def test_a_midi_file_beside_the_song_is_not_written_over(clip: Path) -> None:
    theirs = clip.with_suffix(".mid")
    theirs.write_bytes(b"precious")
    assert main(["render", str(clip), "--bpm", "104"]) == 0
    assert theirs.read_bytes() == b"precious"


def test_what_is_read_is_never_written(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = clip.with_suffix(".mid")
    pretty_midi.PrettyMIDI(initial_tempo=104).write(str(grid))
    before = grid.read_bytes()
    assert "is what is read here" in refused(capsys, "render", clip, "-o", grid, "--grid", grid)
    assert grid.read_bytes() == before


def test_songs_of_one_name_do_not_write_over_each_other(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    shutil.copy(clip, tmp_path / "other" / "clip.flac")
    songs = [clip, tmp_path / "other" / "clip.flac"]
    for option in ("--plot", "--mix", "-o"):
        line = refused(capsys, "render", *songs, "--bpm", "104", option, tmp_path)
        assert "would be written over another file" in line


@pytest.mark.parametrize("option", ["-o", "--plot", "--mix"])
def test_a_folder_that_is_missing_is_told_before_the_work(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sidekeys_engine.command.render_song", lambda *_, **__: pytest.fail("late"))
    ending = {"-o": ".mid", "--plot": ".png", "--mix": ".wav"}[option]
    words = ["render", SONG, "-o", tmp_path / "a.mid", option, tmp_path / "no" / f"x{ending}"]
    assert f"x{ending}" in refused(capsys, *words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("song", [".", "/", ""])
def test_a_folder_is_no_song(song: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "folder" in refused(capsys, "render", song)


def test_the_name_of_a_composer_may_be_written_in_capitals(clip: Path) -> None:
    assert main(["render", str(clip), "--bpm", "104", "--composer", "Block"]) == 0


def test_picture_and_mix_stand_beside_the_mid_where_no_file_is_named(
    clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "cover.mid"
    words = ["render", str(clip), "-o", str(out), "--bpm", "104", "--plot", "--mix"]
    assert main(words) == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["clip.wav", "cover-mix.wav", "cover.mid", "cover.png"]


def test_a_seed_alone_asks_for_another_take(clip: Path, tmp_path: Path) -> None:
    def take(*words: str) -> bytes:
        out = tmp_path / "take.mid"
        assert main(["render", str(clip), "-o", str(out), "--bpm", "104", *words]) == 0
        return out.read_bytes()

    greedy = take()
    assert take() == greedy
    assert take("--temperature", "0", "--seed", "5") == greedy
    assert take("--seed", "1") == take("--temperature", "1", "--seed", "1") != greedy
    assert take("--seed", "2") != take("--seed", "1")


def test_composers_are_listed_with_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["composers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(composers_of("builtin"))
    assert all(len(line.split()) > 5 for line in lines)
    assert main(["composers", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {line.split()[0] for line in lines}


def test_a_checkpoint_of_the_original_kind_plays(
    clip: Path, small_reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["render", str(clip), "--bpm", "104", "--checkpoint", str(small_reference)]
    assert main([*words, "--composer", "composer21"]) == 0
    assert main(["composers", "--checkpoint", str(small_reference)]) == 0
    listed = capsys.readouterr().out.splitlines()[1:]
    assert listed[0] == "composer1"
    assert listed[20] == "composer21"


@pytest.mark.parametrize(
    ("samples", "rate", "subtype"),
    [
        (np.full((8000 * 4, 1), 0.1), 8000, "PCM_U8"),
        (np.full((192000 * 2, 8), 0.1), 192000, "PCM_24"),
        (np.full((44100 * 3, 2), 0.1), 44100, "FLOAT"),
    ],
    ids=["8 bit 8 kHz", "192 kHz 8 channels", "3 s"],
)
def test_unusual_sound_files_work(
    samples: np.ndarray, rate: int, subtype: str, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, samples.shape).clip(-1, 1)
    soundfile.write(tmp_path / "a.wav", samples + noise / 4, rate, subtype=subtype)
    assert main(["render", str(tmp_path / "a.wav"), "--bpm", "120"]) == 0
    assert (tmp_path / "a-piano.mid").is_file()


def broken_songs(folder: Path) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    rate = 44100
    tone = rng.normal(0, 0.1, 2 * rate)
    files: dict[str, Path] = {name: folder / f"{name}.wav" for name in ("text", "empty", "random")}
    files["text"].write_text("hello", encoding="utf-8")
    files["empty"].write_bytes(b"")
    files["random"].write_bytes(rng.bytes(5000))
    for name, samples in {
        "short": tone[: rate // 5],
        "nan": np.where(np.arange(2 * rate) == rate, np.nan, tone),
        "infinite": np.where(np.arange(2 * rate) == rate, np.inf, tone),
    }.items():
        files[name] = folder / f"{name}.wav"
        soundfile.write(files[name], samples, rate, subtype="FLOAT")
    soundfile.write(folder / "whole.mp3", tone, rate)
    files["cut"] = folder / "cut.mp3"
    files["cut"].write_bytes((folder / "whole.mp3").read_bytes()[:1500])
    files["folder"] = folder / "folder"
    files["folder"].mkdir()
    files["missing"] = folder / "missing.wav"
    return files


@pytest.mark.parametrize(
    "kind",
    ["text", "empty", "random", "short", "nan", "infinite", "cut", "folder", "missing"],
)
def test_what_is_no_song_is_refused_and_an_old_result_kept(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song = broken_songs(tmp_path)[kind]
    out = tmp_path / "old.mid"
    out.write_bytes(b"precious")
    line = refused(capsys, "render", song, "-o", out)
    assert kind in line, "the line names the file"
    assert out.read_bytes() == b"precious"


def test_silence_gives_an_empty_mid_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(3 * 44100), 44100)
    assert main(["render", str(tmp_path / "silence.wav")]) == 0
    assert "nothing but silence is heard" in capsys.readouterr().err
    assert mido.MidiFile(tmp_path / "silence-piano.mid").type == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--composer", "mozart"], "choose one of full, accompaniment, lead-sheet, block"),
        (["--bpm", "0"], "between 20 and 400"),
        (["--bpm", "10000"], "between 20 and 400"),
        (["--bpm", "fast"], "'fast' is not a number"),
        (["--bpm", "nan"], "between 20 and 400"),
        (["--start", "4", "--end", "2", "--bpm", "104"], "must lie after --start"),
        (["--start", "bar3", "--end", "bar3", "--bpm", "104"], "must lie after --start"),
        (["--start", "99"], "lies beyond the end"),
        (["--start", "soon"], "is no place in a song"),
        (["--meter", "4"], "is no meter"),
        (["--meter", "4/5"], "is no meter"),
        (["--grid", "nowhere.mid"], "nowhere.mid"),
        (["--bpm", "120", "--grid", "x.mid"], "not both"),
        (["--tracker", "ears"], "--tracker"),
        (["--device", "abacus"], "--device"),
        (["--temperature", "-1"], "not a number from 0 to 10"),
        (["--seed", "1.5"], "not a number from 0"),
        (["-o", "out.wav"], "ends in .mid"),
        (["--plot", "out.doc"], ".png"),
        (["--mix", "out.doc"], ".wav"),
        (["--mix", str(SONG)], "is what is read here"),
        (["--bpm", "300", "--double-time"], "600 beats a minute are out of range"),
        (["--first-beat", "inf"], "--first-beat"),
        (["--unknown"], "--unknown"),
        (["--checkpoint", "no/such/folder"], "no/such/folder"),
        (["-o", "/dev/null/out.mid"], "out.mid"),
        (["-o", "nowhere/at/all.mid"], "all.mid"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_wrong_options_are_refused(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song = SONG
    if "--start" in words or "-o" in words:
        samples, rate = soundfile.read(SONG, frames=5 * 44100)
        song = tmp_path / "clip.wav"
        soundfile.write(song, samples, rate)
    out = [] if "-o" in words else ["-o", tmp_path / "out.mid"]
    assert says in refused(capsys, "render", song, *out, *words)
    assert not (tmp_path / "out.mid").exists()


def test_no_cuda_is_said_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for device, available in (
        ("cuda", torch.cuda.is_available()),
        ("mps", torch.backends.mps.is_available()),
    ):
        if not available:
            line = refused(capsys, "render", SONG, "-o", tmp_path / "a.mid", "--device", device)
            assert f"no {device} device" in line


class Payload:
    """Unpickling it writes a file: proof that it was run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def broken_checkpoint(kind: str, folder: Path) -> Path:
    checkpoint = folder / "checkpoint"
    shutil.copytree(BUILTIN_FOLDER, checkpoint)
    weights = checkpoint / "model.safetensors"
    if kind == "no weights":
        weights.unlink()
    elif kind == "no config":
        (checkpoint / "config.json").unlink()
    elif kind == "truncated":
        weights.write_bytes(weights.read_bytes()[:100_000])
    elif kind == "broken config":
        (checkpoint / "config.json").write_text("{", encoding="utf-8")
    elif kind == "wrong shapes":
        config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
        config["d_ff"] = 99
        (checkpoint / "config.json").write_text(json.dumps(config), encoding="utf-8")
    elif kind == "malicious":
        weights.unlink()
        (checkpoint / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(folder / "ran")))
    return checkpoint


@pytest.mark.parametrize(
    "kind",
    ["no weights", "no config", "truncated", "broken config", "wrong shapes", "malicious"],
)
def test_a_broken_checkpoint_is_refused(
    kind: str, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = broken_checkpoint(kind, tmp_path)
    line = refused(capsys, "render", clip, "--checkpoint", checkpoint, "--bpm", "104")
    assert "checkpoint" in line
    assert not clip.with_name("clip-piano.mid").exists()
    assert not (tmp_path / "ran").exists()


def start(*words: object, **options: object) -> subprocess.Popen[str]:
    """The command as its own process, by the bridge's front door."""
    return subprocess.Popen(
        [sys.executable, "-m", "sidekeys_bridge", *map(str, words)],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


def test_ctrl_c_leaves_no_half_file(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    samples, rate = soundfile.read(SONG)
    long = tmp_path_factory.mktemp("song") / "long.wav"  # so that writing its mix takes a while
    soundfile.write(long, np.tile(samples, (5, *[1] * (samples.ndim - 1))), rate)
    out = tmp_path / "old.mid"
    out.write_bytes(b"precious")
    process = start("render", long, "-o", out, "--bpm", "104", "--mix", tmp_path / "mix.wav")
    while len(list(tmp_path.iterdir())) < 2 and process.poll() is None:
        time.sleep(0.01)  # until it has begun to write
    assert process.poll() is None, "it must still be at work"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "nothing is left half-written" in errors
    assert out.read_bytes() == b"precious"
    assert [path.name for path in tmp_path.iterdir()] == ["old.mid"]


def test_a_terminal_shows_progress_and_the_time_left(clip: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "sidekeys_bridge",
            "render",
            str(SONG),
            "-o",
            str(tmp_path / "a.mid"),
        ],
        cwd=ROOT,
        env={**ENVIRONMENT, "TERM": "xterm", "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        # Reading a terminal whose other side was closed is an error on Linux, not an end of file.
        with contextlib.suppress(OSError):
            while block := os.read(ours, 4096):
                shown += block
        assert process.wait(timeout=120) == 0
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "paper_lanterns.ogg: finding the beats" in text
    assert re.search(r"playing \S* *0/(\d+) windows", text)
    assert re.search(r"writing \S* *(\d+)/\1 windows \d:\d\d:\d\d", text)


WITHOUT_ESSENTIA = """
import sys
sys.modules["essentia"] = None
from sidekeys_engine.command import main
from sidekeys_engine.pianist import composers_of
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("tracker", "status"), [("auto", 0), ("librosa", 0), ("essentia", 2)])
def test_all_works_without_essentia(clip: Path, tracker: str, status: int) -> None:
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_ESSENTIA, "render", str(clip), "--tracker", tracker],
        cwd=ROOT,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == status, run.stderr
    assert "Traceback" not in run.stderr
    if status:
        assert "pip install" in run.stderr


def test_a_full_disk_is_said_in_words(clip: Path, tmp_path: Path) -> None:
    def at_most_4_kib() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    out = tmp_path / "mix.wav"
    out.write_bytes(b"precious")
    process = start("render", clip, "--bpm", "104", "--mix", out, preexec_fn=at_most_4_kib)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "Traceback" not in errors
    assert "mix.wav" in errors
    assert out.read_bytes() == b"precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.wav", "mix.wav"]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_nothing_is_said_when_the_reader_goes_away(unbuffered: str) -> None:
    """Whether Python writes at once, or only when it flushes at its end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sidekeys_bridge", "composers"],
        cwd=ROOT,
        env={**ENVIRONMENT, "PYTHONUNBUFFERED": unbuffered},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, errors = process.communicate(timeout=60)
    assert errors == ""
    assert process.returncode == 0
