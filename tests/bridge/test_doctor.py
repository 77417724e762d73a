"""`sidekeys doctor` on this machine: real probes of real servers, sockets and files."""

from __future__ import annotations

import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jack_server import running_jack
from pulse_server import running_pulse
from sidekeys_bridge.connection import RUNTIME_VARIABLE
from sidekeys_bridge.doctor import (
    checkpoint,
    folders,
    midi_ports,
    packages,
    panel_port,
    realtime_limits,
    running,
    sound,
    torch_device,
)
from sidekeys_bridge.doctor.asking import NoAnswerError, answer_of, json_of
from sidekeys_bridge.doctor.command import as_text
from sidekeys_bridge.doctor.examination import Subject, examine
from sidekeys_bridge.doctor.finding import missing, warning, well
from sidekeys_bridge.doctor.machine import Machine, this_machine
from sidekeys_engine.connection import Connection

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
LONG_SECONDS = 60.0


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Everything of this user's that Sidekeys looks at."""
    for name, folder in (
        ("HOME", ""), ("XDG_CONFIG_HOME", "config"), ("XDG_DATA_HOME", "data"),
        (RUNTIME_VARIABLE, "runtime"),
    ):  # fmt: skip
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(ROOT / "engine"), str(ROOT / "bridge"))))
    return tmp_path


def doctor(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sidekeys_bridge", "doctor", *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONG_SECONDS, check=False,
    )  # fmt: skip


def files_in(folder: Path) -> dict[str, float]:
    """Each with its time, but for what PulseAudio's own program keeps."""
    return {
        str(file): file.stat().st_mtime
        for file in folder.rglob("*")
        if "pulse" not in str(file) and file.is_file()
    }


# --- the command


def test_with_a_midi_system_sidekeys_works_here_and_nothing_is_changed(home: Path) -> None:
    before = files_in(home)
    with running_jack():
        told = doctor("--json")
    assert told.returncode == 0, told.stdout
    answer = json.loads(told.stdout)
    assert answer["works"] is True
    subjects = {found["subject"]: found for found in answer["findings"]}
    for subject in ("Python", "packages", "PyTorch", "checkpoint", "virtual MIDI", "settings"):
        assert subjects[subject]["level"] == "ok", subjects[subject]
    assert "JACK" in subjects["sound server"]["words"]
    assert set(subjects["Python"]) == {"subject", "level", "words", "mend"}
    assert files_in(home) == before
    assert told.stderr == ""


def test_settings_that_stop_the_start_are_a_reason_for_status_1(home: Path) -> None:
    file = home / "config" / "sidekeys" / "settings.toml"
    file.parent.mkdir(parents=True)
    file.write_text('mode = "loop"\nbpm = 9\nkeep_windows = "kept"\n', encoding="utf-8")
    with running_jack():
        told = doctor()
    assert told.returncode == 1
    assert "line 2: bpm: '9' is no tempo" in " ".join(told.stdout.split())
    assert "sidekeys setup" in told.stdout
    assert not (file.parent / "kept").exists()


def test_arguments_that_are_none_are_refused(home: Path) -> None:
    told = doctor("--mend")
    assert told.returncode == 2
    assert told.stderr.startswith("sidekeys: error: unrecognized arguments: --mend")


def test_the_text_tells_each_subject_and_never_breaks_what_mends() -> None:
    line = "sudo apt-get install " + "x" * 100
    findings = [
        well("Python", "3.11"),
        warning("sound inputs", "words " * 20, line),
        missing("MIDI", "none", "sudo modprobe snd-seq"),
    ]
    text = as_text(findings, 60)
    assert text[1] == "  ✓ Python        3.11"
    assert text[2].startswith("  ! sound inputs  words words")
    assert any(row.strip() == line for row in text)
    assert all(len(row) < 60 for row in text if "apt-get" not in row)
    assert text[-2] == "One thing is in the way; the line below mends it."
    assert "\n".join(as_text(findings, 60, can_sign=False)).isascii()
    assert "\x1b[31m" in "\n".join(as_text(findings, 60, colored=True))
    assert as_text(findings[:1], 60)[-2] == "All is well."
    assert "makes it better" in as_text(findings[:2], 60)[-2]


# --- looking at all at once


def test_a_subject_that_hangs_or_fails_costs_the_others_nothing() -> None:
    def fails() -> None:
        raise RuntimeError("the driver is\nodd")

    found = examine(
        Machine("linux"),
        [
            Subject("slow", lambda: time.sleep(5), lambda _, __: []),
            Subject("odd", fails, lambda _, __: []),
            Subject("none", lambda: None, lambda _, __: []),
            Subject("good", lambda: "fine", lambda facts, _: [well("good", facts)]),
        ],
        within_seconds=0.3,
    )
    assert [(finding.subject, finding.level) for finding in found] == [
        ("slow", "warning"), ("odd", "warning"), ("good", "ok"),
    ]  # fmt: skip
    assert "within 0.3 s" in found[0].words
    assert "the driver is" in found[1].words


def test_programs_that_hang_fail_or_are_not_there_are_no_answer() -> None:
    started = time.monotonic()
    with pytest.raises(NoAnswerError, match=r"within 0\.2 s"):
        answer_of([sys.executable, "-c", "import time; time.sleep(60)"], within_seconds=0.2)
    assert time.monotonic() - started < 30
    with pytest.raises(NoAnswerError, match="status 3"):
        answer_of([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(NoAnswerError, match="cannot be run"):
        answer_of(["no-such-program"])
    with pytest.raises(NoAnswerError, match="no sense"):
        json_of(["-c", "print('hello')"])
    assert json_of(["-c", "print('noise'); print('[1]')"], within_seconds=LONG_SECONDS) == [1]


# --- probes


def test_the_packages_are_those_that_the_project_asks_for() -> None:
    assert packages.probe().absent == ()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = {need.split(">")[0] for need in project["dependencies"]}
    windows = packages.needed_packages("win32", (3, 10))
    assert set(windows.values()) == asked
    assert "soundcard" not in packages.needed_packages("linux", (3, 11))


def test_torch_is_asked_in_a_process_of_its_own() -> None:
    facts = torch_device.probe()
    assert facts.version
    assert facts.threads >= 1
    assert "torch" not in packages.__dict__


def test_the_embedded_checkpoint_is_whole_and_one_that_is_cut_short_is_not(tmp_path: Path) -> None:
    builtin = checkpoint.probe()
    assert (builtin.absent, builtin.is_whole) == ((), True)
    assert builtin.megabytes > 1
    header = json.dumps({"a": {"data_offsets": [0, 100]}}).encode()
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(struct.pack("<Q", len(header)) + header + bytes(100))
    assert checkpoint.probe(str(tmp_path)).absent == ("config.json",)
    assert checkpoint.probe(str(tmp_path)).is_whole
    for damaged in (weights.read_bytes()[:-1], b"version https://git-lfs", b"", bytes(8) + b"x"):
        weights.write_bytes(damaged)
        assert not checkpoint.probe(str(tmp_path)).is_whole
    weights.unlink()
    assert "model.safetensors" in checkpoint.probe(str(tmp_path)).absent
    assert checkpoint.probe("some/where").folder is None


def test_servers_of_sound_and_midi_are_found() -> None:
    with running_jack(), running_pulse():
        found = sound.probe()
        midi = midi_ports.probe("Stage")
    assert found.jack
    assert "pulseaudio" in found.pulse.lower()
    assert found.outputs == ("DAW Bus",)
    assert found.inputs is not None
    assert (midi.system, midi.makes_ports, midi.wanted) == ("JACK", True, "Stage")


def test_realtime_priority_is_asked_for_in_truth() -> None:
    facts = realtime_limits.probe()
    if sys.platform.startswith("linux"):
        assert facts is not None
        assert isinstance(facts.is_granted, bool)


@pytest.fixture
def listening() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_who_has_the_port_is_told(listening: int, home: Path) -> None:
    found = panel_port.probe(listening)
    assert found.is_taken
    assert not found.is_ours
    assert found.holder.endswith(f"process {os.getpid()}")
    (home / "runtime").mkdir()
    served = home / "runtime" / "panel.json"
    url = f"http://127.0.0.1:{listening}/#token"
    served.write_text(json.dumps({"url": url, "pid": os.getpid(), "scratch": ""}))
    served.chmod(0o600)
    assert panel_port.probe(listening).is_ours


def test_a_port_that_nobody_has_is_free(listening: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        free = other.getsockname()[1]
    assert not panel_port.probe(free).is_taken
    assert panel_port.linux_holder(free) == ""


def test_what_lsof_and_netstat_write_is_understood() -> None:
    assert panel_port.holder_from_lsof("p812\ncnode\nf23\n") == "node, process 812"
    assert panel_port.holder_from_lsof("") == ""
    netstat = (
        "\nAktive Verbindungen\n\n  Proto  Lokale Adresse  Remoteadresse  Status  PID\n"
        "  TCP    127.0.0.1:17353  0.0.0.0:0  ABHÖREN  9\n"
        "  TCP    127.0.0.1:7353   127.0.0.1:55000  HERGESTELLT  8\n"
        "  TCP    127.0.0.1:7353   0.0.0.0:0  ABHÖREN  812\n"
        "  TCP    [::]:8080        [::]:0  ABHÖREN  813\n"
    )
    assert panel_port.pid_from_netstat(netstat, 7353) == 812
    assert panel_port.pid_from_netstat(netstat, 8080) == 813
    assert panel_port.pid_from_netstat(netstat, 80) is None


def test_secrets_that_others_may_read_and_folders_that_are_none_are_seen(home: Path) -> None:
    runtime = home / "runtime"
    runtime.mkdir()
    (runtime / "panel.token").write_text("secret")
    (runtime / "panel.token").chmod(0o644)
    (runtime / "bridge.json").write_text("{}")
    (runtime / "bridge.json").chmod(0o600)
    (home / "config").write_text("a file where a folder should be")
    found = {folder.purpose: folder for folder in folders.probe()}
    assert found["the panel"].exposed == (runtime / "panel.token",)
    assert found["settings"].is_file
    assert found["files of the moment"].is_writable


def test_a_bridge_that_died_is_none_and_one_that_does_not_answer_is_told(home: Path) -> None:
    runtime = home / "runtime"
    assert running.probe(runtime) == running.RunningFacts()
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        endpoint = f"tcp://127.0.0.1:{deaf.getsockname()[1]}"
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait()
        Connection(endpoint, endpoint, "t", ended.pid, "1").write(runtime / "bridge.json")
        assert running.probe(runtime) == running.RunningFacts()
        Connection(endpoint, endpoint, "t", os.getpid(), "1").write(runtime / "bridge.json")
        found = running.probe(runtime)
    assert found.pid == os.getpid()
    assert "did not answer" in found.problem
    assert (runtime / "bridge.json").exists()
    (runtime / "bridge.json").chmod(0o644)
    assert "can be read or changed by others" in running.probe(runtime).problem


def test_this_machine_knows_its_installer() -> None:
    machine = this_machine()
    assert machine.python == sys.executable
    assert machine.platform == ("linux" if sys.platform.startswith("linux") else sys.platform)
