"""What facts mean: of Linux, macOS and Windows machines that this need not run on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
from sidekeys_bridge.doctor.checkpoint import CheckpointFacts
from sidekeys_bridge.doctor.finding import MISSING, OK, WARNING, Finding
from sidekeys_bridge.doctor.folders import FolderFacts, SettingsFacts
from sidekeys_bridge.doctor.machine import Machine
from sidekeys_bridge.doctor.midi_ports import MidiFacts
from sidekeys_bridge.doctor.packages import PythonFacts
from sidekeys_bridge.doctor.panel_port import PortFacts
from sidekeys_bridge.doctor.realtime_limits import RealtimeFacts
from sidekeys_bridge.doctor.running import RunningFacts
from sidekeys_bridge.doctor.sound import SoundFacts
from sidekeys_bridge.doctor.torch_device import TorchFacts

DEBIAN, FEDORA = Machine("linux", "apt"), Machine("linux", "dnf")
ARCH, SUSE = Machine("linux", "pacman"), Machine("linux", "zypper")
UNKNOWN = Machine("linux")
MAC, BARE_MAC = Machine("darwin", "brew"), Machine("darwin")
WINDOWS = Machine("win32", "winget", r"C:\Program Files\Python\python.exe")
MACHINES = (DEBIAN, FEDORA, ARCH, SUSE, UNKNOWN, MAC, BARE_MAC, WINDOWS)

FOLDER = Path("home", "sidekeys")
LIMITS = "sudo tee /etc/security/limits.d/95-audio.conf"
MICROPHONE = SoundFacts(inputs=("Built-in Microphone",))

# Room, facts, machine: the worst finding's level, words of it, and what mends it.
CASES: list[tuple[Any, Any, Machine, str, str, str | None]] = [
    (packages, PythonFacts((3, 11, 2)), DEBIAN, OK, "3.11.2", None),
    (packages, PythonFacts((3, 9, 1)), MAC, MISSING, "3.9.1 is too old",
     "brew install python@3.11"),
    (packages, PythonFacts((3, 9, 1)), WINDOWS, MISSING, "too old",
     "winget install Python.Python.3.11"),
    (packages, PythonFacts((3, 15, 0)), DEBIAN, WARNING, "newer", "use Python 3.11 or 3.12"),
    (packages, PythonFacts((3, 11, 2), ("torch", "pyzmq")), WINDOWS, MISSING, "torch pyzmq",
     r'"C:\Program Files\Python\python.exe" -m pip install torch pyzmq'),

    (torch_device, TorchFacts("2.9", threads=8), DEBIAN, OK, "2.9 on the processor, 8 threads",
     None),
    (torch_device, TorchFacts("2.9", cuda="RTX 4070"), WINDOWS, OK, "2.9 on RTX 4070", None),
    (torch_device, TorchFacts("2.9", mps=True), MAC, OK, "Apple chip", None),
    (torch_device, TorchFacts("2.9", nvidia="RTX 4070"), WINDOWS, WARNING, "not on the RTX 4070",
     "pytorch.org/get-started"),
    (torch_device, TorchFacts("2.9", nvidia="RTX", built_for_cuda="12.8"), DEBIAN, WARNING,
     "not on the RTX", "update the NVIDIA driver: PyTorch wants one for CUDA 12.8"),
    (torch_device, TorchFacts(problem="ImportError: libcudnn"), DEBIAN, MISSING, "libcudnn",
     "python -m pip install --force-reinstall torch"),
    (torch_device, TorchFacts(problem="no answer within 8 s", is_late=True), DEBIAN, WARNING,
     "longer than 8 s", "try again"),

    (checkpoint, CheckpointFacts(folder=FOLDER, megabytes=9.7), DEBIAN, OK, "builtin, 10 MB", None),
    (checkpoint, CheckpointFacts(), DEBIAN, MISSING, "builtin is not there", "pip install"),
    (checkpoint, CheckpointFacts(folder=FOLDER, absent=("config.json",)), DEBIAN, MISSING,
     "lacks config.json", "pip install --force-reinstall"),
    (checkpoint, CheckpointFacts(folder=FOLDER, is_whole=False), DEBIAN, MISSING, "cut short",
     "pip"),
    (checkpoint, CheckpointFacts("me/piano"), DEBIAN, OK, "Hugging Face Hub", None),
    (checkpoint, CheckpointFacts("./mine"), DEBIAN, MISSING, "./mine is not there", "'builtin'"),

    (sound, SoundFacts(None, "PortAudio is missing"), DEBIAN, MISSING, "PortAudio",
     "sudo apt-get install libportaudio2"),
    (sound, SoundFacts(None, "PortAudio is missing"), FEDORA, MISSING, "PortAudio",
     "sudo dnf install portaudio"),
    (sound, SoundFacts(None, "PortAudio is missing"), ARCH, MISSING, "PortAudio",
     "sudo pacman -S portaudio"),
    (sound, SoundFacts(None, "PortAudio is missing"), UNKNOWN, MISSING, "PortAudio",
     "install PortAudio with your system's package tool"),
    (sound, SoundFacts(None, "no answer within 7 s"), MAC, MISSING, "no answer within 7 s",
     "pip install --force-reinstall sounddevice"),
    (sound, MICROPHONE, MAC, WARNING, "no virtual cable", "brew install blackhole-2ch"),
    (sound, MICROPHONE, BARE_MAC, WARNING, "no virtual cable",
     "install Homebrew (brew.sh), then type: brew install blackhole-2ch"),
    (sound, SoundFacts(("BlackHole 2ch",)), MAC, OK, "BlackHole 2ch carries", None),
    (sound, SoundFacts(soundcard=True), MAC, WARNING, "there are none",
     "System Settings > Privacy & Security > Microphone"),
    (sound, SoundFacts(), WINDOWS, WARNING, "there are none", "Settings > Privacy & security"),
    (sound, SoundFacts(("Mic",), soundcard=False), WINDOWS, WARNING, "outputs play",
     "pip install soundcard"),
    (sound, SoundFacts(("Mic",)), WINDOWS, OK, "any output", None),
    (sound, SoundFacts(("a",), pulse="PipeWire", outputs=("Speakers",)), DEBIAN, OK, "Speakers",
     None),
    (sound, SoundFacts(("a",), absent=("parec", "pactl"), jack=True), ARCH, WARNING,
     "parec and pactl missing", "sudo pacman -S libpulse"),
    (sound, SoundFacts(("a",), has_pipewire=True), FEDORA, WARNING, "none answers",
     "systemctl --user enable --now pipewire"),
    (sound, SoundFacts(("a",)), DEBIAN, WARNING, "none answers",
     "sudo apt-get install pipewire-audio"),

    (midi_ports, MidiFacts("JACK"), DEBIAN, OK, "JACK makes the port Sidekeys", None),
    (midi_ports, MidiFacts("CoreMIDI"), MAC, OK, "CoreMIDI", None),
    (midi_ports, MidiFacts(problem="no MIDI system"), DEBIAN, MISSING, "not loaded",
     "sudo modprobe snd-seq"),
    (midi_ports, MidiFacts(problem="no MIDI system", has_sequencer=True), DEBIAN, MISSING,
     "you may not use", 'sudo usermod -aG audio "$USER"'),
    (midi_ports, MidiFacts(problem="python-rtmidi is not installed"), MAC, MISSING, "missing",
     "pip install python-rtmidi"),
    (midi_ports, MidiFacts("Windows MIDI", False, ("Microsoft GS Wavetable Synth 0",)), WINDOWS,
     MISSING, "no port that leads into a DAW", "winget install TobiasErichsen.loopMIDI"),
    (midi_ports, MidiFacts("Windows MIDI", False, ("loopMIDI Port 1",)), WINDOWS, WARNING,
     "loopMIDI Port 1 can be used", "sidekeys setup"),
    (midi_ports, MidiFacts("Windows MIDI", False, ("loopMIDI Port 1",), wanted="loopmidi"),
     WINDOWS, OK, "loopmidi", None),
    (midi_ports, MidiFacts("ALSA", destinations=("Synth",), wanted="Stage"), DEBIAN, MISSING,
     "the settings name the port 'Stage'; there are: Synth", "sidekeys setup"),

    (realtime_limits, RealtimeFacts(True), DEBIAN, OK, "before all other work", None),
    (realtime_limits, RealtimeFacts(False, group="audio"), DEBIAN, WARNING, "not allowed",
     'sudo usermod -aG audio "$USER"; then log out'),
    (realtime_limits, RealtimeFacts(False, group="audio", is_member=True), DEBIAN, WARNING,
     "not allowed", "log out and in again"),
    (realtime_limits, RealtimeFacts(False), DEBIAN, WARNING, "not allowed", LIMITS),
    (realtime_limits, RealtimeFacts(False), ARCH, WARNING, "not allowed",
     "sudo pacman -S realtime-privileges && sudo usermod -aG realtime"),
    (realtime_limits, RealtimeFacts(False), FEDORA, WARNING, "not allowed",
     "sudo dnf install realtime-setup"),
    (realtime_limits, RealtimeFacts(True, 8 << 20), DEBIAN, WARNING, "only 8 MB", LIMITS),

    (folders, [FolderFacts(FOLDER, "settings")], DEBIAN, OK, "all can be written", None),
    (folders, [FolderFacts(FOLDER, "settings", is_file=True)], DEBIAN, MISSING, "in the way",
     "move"),
    (folders, [FolderFacts(FOLDER, "x", is_foreign=True)], DEBIAN, MISSING, "another user",
     f'sudo chown -R "$USER" "{FOLDER}"'),
    (folders, [FolderFacts(FOLDER, "x", is_writable=False)], MAC, MISSING, "cannot be written",
     f'chmod -R u+rwX "{FOLDER}"'),
    (folders, [FolderFacts(FOLDER, "x", is_writable=False)], WINDOWS, MISSING, "cannot be written",
     "allow yourself"),
    (folders, [FolderFacts(FOLDER, "x", exposed=(FOLDER / "panel.token",))], DEBIAN, WARNING,
     "others", f'chmod 600 "{FOLDER / "panel.token"}"'),
    (folders, [FolderFacts(FOLDER, "x", free_bytes=3_000_000)], DEBIAN, WARNING, "only 3 MB",
     "free"),

    (panel_port, PortFacts(), DEBIAN, OK, "7353 is free", None),
    (panel_port, PortFacts(is_taken=True, is_ours=True), DEBIAN, OK, "your bridge", None),
    (panel_port, PortFacts(is_taken=True, holder="node, process 8"), DEBIAN, WARNING,
     "node, process 8 has 7353", "nothing to do"),
    (panel_port, PortFacts(8080, True, is_chosen=True), DEBIAN, WARNING, "another program has 8080",
     "sidekeys start --port 8081"),

    (running, RunningFacts(), DEBIAN, OK, "none runs", None),
    (running, RunningFacts(7, "playing", "ready"), DEBIAN, OK, "process 7, playing", None),
    (running, RunningFacts(7, "no-engine", "down", "it was killed."), DEBIAN, WARNING,
     "it was killed",
     "sidekeys status"),
    (running, RunningFacts(7, problem="it did not answer"), MAC, WARNING, "process 7", "kill 7"),
    (running, RunningFacts(7, problem="it did not answer"), WINDOWS, WARNING, "process 7",
     "taskkill /F /PID 7"),
    (running, RunningFacts(problem="others may read it"), DEBIAN, WARNING, "others may", "remove"),
]  # fmt: skip


@pytest.mark.parametrize(("room", "facts", "machine", "level", "words", "mend"), CASES)
def test_facts_are_told_in_words_with_the_line_that_mends_them(
    room: Any, facts: Any, machine: Machine, level: str, words: str, mend: str | None
) -> None:
    findings: list[Finding] = room.check(facts, machine)
    fitting = [found for found in findings if words in found.words and found.level == level]
    assert fitting, findings
    if mend is not None:
        assert any(mend in (found.mend or "") for found in fitting), findings
    else:
        assert all(found.level == OK for found in findings), findings


@pytest.mark.parametrize(
    "machine", MACHINES, ids=lambda machine: machine.platform + machine.installer
)
@pytest.mark.parametrize(("room", "facts"), [(case[0], case[1]) for case in CASES])
def test_every_fact_has_a_meaning_on_every_machine(room: Any, facts: Any, machine: Machine) -> None:
    """A finding that is not well and has no way out cannot be made; see `Finding`."""
    for found in room.check(facts, machine):
        assert found.words
        assert machine.is_linux or "apt" not in (found.mend or "")
        assert "  " not in (found.mend or "")


def test_realtime_limits_are_asked_of_linux_alone() -> None:
    assert realtime_limits.check(None, MAC) == []


def test_settings_are_told() -> None:
    file = FOLDER / "settings.toml"
    assert folders.check_settings(SettingsFacts(file), MAC)[0].level == OK
    assert folders.check_settings(SettingsFacts(file, True), MAC)[0].words == str(file)
    broken = folders.check_settings(SettingsFacts(file, True, "line 2: bpm"), MAC)[0]
    assert (broken.level, broken.words) == (MISSING, "line 2: bpm")


def test_a_finding_that_is_not_well_must_say_how_to_mend_it() -> None:
    with pytest.raises(ValueError, match="how to mend"):
        Finding("x", MISSING, "gone")
    with pytest.raises(ValueError, match="how to mend"):
        Finding("x", OK, "fine", "sudo")
    with pytest.raises(ValueError, match="one line"):
        Finding("x", OK, "fine\nand more")
