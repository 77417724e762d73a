"""`sidekeys setup` as a musician meets it: on a terminal, with a DAW that hears three notes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jack_listener import listening
from jack_server import running_jack
from sidekeys_bridge import setup_command
from sidekeys_bridge.connection import RUNTIME_VARIABLE, claimed
from sidekeys_bridge.daws import DAWS, find_daw
from sidekeys_bridge.settings import read_settings
from sidekeys_bridge.settings_writer import Line, Old, as_toml, backup_of, write_settings
from sidekeys_bridge.setup_command import (
    Found,
    daw_choices,
    input_choices,
    port_choices,
    transport_choices,
)
from sidekeys_bridge.trial_notes import PITCHES, play_three_notes
from sidekeys_engine.errors import InputError
from terminal_screen import Seat, on_a_terminal

ROOT = Path(__file__).parents[2]
SETUP = [sys.executable, "-m", "sidekeys_bridge", "setup"]
LONG_SECONDS = 60.0
NOTES = [
    bytes((kind, pitch, 0 if kind == 0x80 else 80)) for pitch in PITCHES for kind in (0x90, 0x80)
]


@pytest.fixture(scope="module", autouse=True)
def jack() -> Iterator[str]:
    with running_jack() as server:
        yield server


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        "PYTHONPATH": os.pathsep.join((str(ROOT / "engine"), str(ROOT / "bridge"))),
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        RUNTIME_VARIABLE: str(tmp_path / "runtime"),
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the settings are written."""
    return tmp_path / "sidekeys" / "settings.toml"


def setup(environment: dict[str, str], *words: str, typed: str = "") -> tuple[int, str]:
    """Run it without a terminal; its status and all that it said."""
    ran = subprocess.run(
        [*SETUP, *words], input=typed, capture_output=True, text=True, timeout=LONG_SECONDS,
        env={**os.environ, **environment}, check=False,
    )  # fmt: skip
    return ran.returncode, ran.stdout + ran.stderr


def answer(seat: Seat, question: str, text: str) -> None:
    """Wait until that is what is asked, and type."""

    def is_asked(screen: str) -> bool:
        *_, last = screen.removesuffix("]:").split("]:")
        return screen.endswith("]:") and question in last

    seat.wait_for(is_asked)
    seat.type(f"{text}\n")


# --- on a terminal


def test_three_answers_make_settings_and_three_notes_are_heard(
    environment: dict[str, str], file: Path
) -> None:
    with listening() as listener, on_a_terminal(SETUP, environment=environment) as seat:
        answer(seat, "Which DAW", "ardour")
        answer(seat, "What should the piano hear", "file:nothing.wav")
        seat.wait_for("no such file")
        answer(seat, "no such file", "reastream:bus")
        answer(seat, "Who tells the beats", "77")
        seat.wait_for("'77' is none of them")
        answer(seat, "none of them", "manual")
        seat.wait_for("Press Enter for three notes")
        listener.connect("Sidekeys:Sidekeys")
        seat.type("\n")
        seat.wait_for("Did you hear them")
        assert listener.messages == NOTES
        seat.type("n\n")
        seat.wait_for("Is In lit on the track")
        assert "Window > MIDI Connections: is Sidekeys connected" in seat.screen.text
        seat.type("\n")
        seat.wait_for(lambda screen: screen.count("Did you hear them") == 2)
        assert listener.messages == NOTES * 2
        seat.type("y\n")
        assert seat.end() == 0
        assert seat.screen.text.endswith("Good.\nPlay along with: sidekeys start")
    found = read_settings({}, config=file)
    assert (found.input, found.transport) == ("reastream:bus", "manual")


def test_the_notes_go_to_the_port_that_the_settings_have(
    environment: dict[str, str], file: Path
) -> None:
    file.parent.mkdir()
    file.write_text('midi_port = "Stage Left"\n')
    words = ["--daw", "ardour", "--input", "default", "--transport", "audio"]
    status, told = setup(environment, *words, typed="s\n")
    assert status == 0
    assert "No test note" in told
    assert "Stage Left" in told.partition("No test note")[2]
    assert read_settings({}, config=file).midi_port == "Stage Left"


def test_ctrl_c_after_the_settings_are_written_says_that_they_stay(
    environment: dict[str, str],
    file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt() -> bool:
        raise KeyboardInterrupt

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(setup_command, "is_running", interrupt)
    words = ["--daw", "ardour", "--input", "default", "--transport", "audio"]
    assert setup_command.run(words) == 130
    assert file.exists()
    assert capsys.readouterr().out.endswith("\nStopped; the settings stay.\n")
    assert setup_command.run(words) == 130  # with the same answers
    assert capsys.readouterr().out.endswith("\nStopped; nothing was changed.\n")


def test_ctrl_c_at_a_question_leaves_everything_as_it_was(
    environment: dict[str, str], file: Path
) -> None:
    file.parent.mkdir()
    file.write_text("quiet = true\n")
    with on_a_terminal(SETUP, environment=environment) as seat:
        answer(seat, "Which DAW", "1")
        seat.wait_for("or a name [1]:")
        seat.type("\x03")
        assert seat.end() == 130
        assert "Stopped; nothing was changed." in seat.screen.text
        assert "Traceback" not in seat.screen.text
    assert file.read_text() == "quiet = true\n"
    assert not backup_of(file).exists()


@pytest.mark.parametrize("end", ["ctrl-c", "terminate"])
def test_a_note_that_sounds_is_released_when_it_is_stopped(
    environment: dict[str, str], file: Path, end: str
) -> None:
    words = ["--daw", "ardour", "--input", "default", "--transport", "audio"]
    with listening() as listener, on_a_terminal([*SETUP, *words], environment=environment) as seat:
        seat.wait_for("Press Enter")
        listener.connect("Sidekeys:Sidekeys")
        seat.type("\n")
        listener.wait(lambda messages: len(messages) > 0)
        if end == "ctrl-c":
            seat.type("\x03")
        else:
            seat.process.send_signal(signal.SIGTERM)
        assert seat.end() == 0
        assert "No more notes; the settings stay." in seat.screen.text
        listener.wait(lambda messages: len(messages) % 2 == 0)
        assert listener.messages == NOTES[: len(listener.messages)]
    assert file.exists()


# --- without one


def test_with_yes_nothing_is_asked(environment: dict[str, str], file: Path) -> None:
    words = ["--daw", "live", "--input", "My Bus", "--transport", "clock", "--yes"]
    status, told = setup(environment, *words)
    assert status == 0, told
    assert "?" not in told
    found = read_settings({}, config=file)
    assert (found.input, found.transport, found.midi_port) == ("My Bus", "clock", None)
    assert "Ableton Live" in file.read_text()


def test_yes_alone_takes_what_is_most_likely(environment: dict[str, str], file: Path) -> None:
    status, _ = setup(environment, "--yes")
    assert status == 0
    assert read_settings({}, config=file).transport in ("auto", "clock")


def test_the_end_of_the_input_leaves_everything_as_it_was(
    environment: dict[str, str], file: Path
) -> None:
    for typed in ("", "1\n", "1\n1\n"):
        status, told = setup(environment, typed=typed)
        assert status == 130
        assert told.rstrip().endswith("Stopped; nothing was changed.")
        assert not file.parent.exists()


def test_the_end_of_the_input_at_the_notes_keeps_the_settings(
    environment: dict[str, str], file: Path
) -> None:
    status, told = setup(environment, typed="1\n1\n1\n")
    assert status == 0
    assert "No more notes; the settings stay." in told
    assert file.exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--daw", "cubase"], "--daw: invalid choice: 'cubase'"),
        (["--transport", "telepathy"], "--transport: invalid choice"),
        (["--input", "file:nowhere.wav"], "no such file"),
    ],
)
def test_arguments_that_cannot_be_used_are_told(
    environment: dict[str, str], file: Path, words: list[str], told: str
) -> None:
    status, said = setup(environment, *words, "--yes")
    assert status == 2
    assert said.startswith("sidekeys: error: ")
    assert told in said
    assert not file.exists()


def test_while_a_bridge_runs_the_port_is_left_to_it(
    environment: dict[str, str], tmp_path: Path, file: Path
) -> None:
    with claimed(tmp_path / "runtime"):
        status, told = setup(environment, typed="1\n1\n1\n")
    assert status == 0
    assert "A bridge runs and has the MIDI port" in told
    assert file.exists()


# --- the file


def test_old_settings_are_kept_beside_the_new_and_what_was_not_asked_stays(file: Path) -> None:
    file.parent.mkdir()
    before = (
        'transport = "link"\nbpm = 96.5\nmidi-port = "Stage"\nquiet = true\n'
        '[controls]\ntranspose = -12\nvelocity-curve = "soft"\n'
    )
    file.write_text(before)
    assert not write_settings(file, [Line("transport", "clock", "Who tells.")]).is_lost
    assert backup_of(file).read_text() == before
    found = read_settings({}, config=file)
    assert (found.transport, found.bpm, found.midi_port, found.quiet) == (
        "clock",
        96.5,
        "Stage",
        True,
    )
    assert (found.controls.transpose, found.controls.velocity_curve) == (-12, "soft")
    assert "# Who tells.\ntransport" in file.read_text()


def test_what_was_written_by_hand_is_still_there_after_many_times(
    environment: dict[str, str], file: Path
) -> None:
    file.parent.mkdir()
    by_hand = "# The bus of the club.\nbpm = 96.5  # as on the record\n"
    file.write_text(by_hand)
    for transport in ("clock", "audio", "audio", "manual"):
        words = ["--input", "default", "--transport", transport, "--yes"]
        status, told = setup(environment, *words)
        assert status == 0, told
        assert backup_of(file).read_text() == by_hand
    assert f"The old ones are in {backup_of(file, 3)}" in " ".join(told.split())
    kept = [backup_of(file, number).read_text() for number in (2, 3)]
    assert ['transport = "clock"' in kept[0], 'transport = "audio"' in kept[1]] == [True, True]
    assert len(list(file.parent.iterdir())) == 4


def test_old_settings_that_are_broken_are_kept_beside_and_told(
    environment: dict[str, str], file: Path
) -> None:
    file.parent.mkdir()
    file.write_text("bpm = 9\n")
    status, told = setup(environment, "--yes")
    assert status == 0
    assert "The old ones could not be read" in told
    assert backup_of(file).read_text() == "bpm = 9\n"
    assert read_settings({}, config=file).bpm is None


@pytest.mark.parametrize(
    "name", ['Bus "A" \\ B', "Bühne \U0001f3b9", "tab\tand\x7fdel", "a # b = [c]"]
)
def test_any_name_survives_the_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(as_toml([Line("input", name, "x")], Old()), encoding="utf-8")
    assert read_settings({}, config=file).input == name


def test_a_folder_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "sidekeys").write_text("in the way")
    with pytest.raises(InputError, match=r"Cannot make the folder .*sidekeys doctor"):
        write_settings(tmp_path / "sidekeys" / "settings.toml", [])


# --- the answers, on any platform


def values(choices: list[object]) -> list[str]:
    return [choice.value for choice in choices]  # type: ignore[attr-defined]


def test_daws_that_are_found_come_first_and_those_that_cannot_run_are_left_out() -> None:
    linux = daw_choices(Found("linux", daws=("ardour",)))
    assert linux[0].words == "Ardour (found here)"
    assert {"live", "logic"}.isdisjoint(values(linux))
    assert values(daw_choices(Found("darwin", daws=("logic",))))[0] == "logic"
    assert "logic" not in values(daw_choices(Found("win32")))


@pytest.mark.parametrize(
    ("found", "daw", "first"),
    [
        (Found("linux", inputs=("system", "REAPER"), outputs=("Speakers",)), "reaper",
         ["REAPER", "reastream:sidekeys", "loopback:Speakers", "system", "default"]),
        (Found("darwin", inputs=("Built-in", "BlackHole 2ch")), "live",
         ["BlackHole 2ch", "Built-in", "default"]),
        (Found("win32", inputs=("Mic",), outputs=("default",)), "live",
         ["loopback:default", "Mic", "default"]),
        (Found("linux"), "other", ["default"]),
    ],
)  # fmt: skip
def test_what_is_most_likely_heard_comes_first(found: Found, daw: str, first: list[str]) -> None:
    chosen = find_daw(daw)
    assert chosen is not None
    assert values(input_choices(found, chosen)) == first


def test_link_is_offered_where_it_can_be_followed() -> None:
    live = find_daw("live")
    assert live is not None
    assert "link" not in values(transport_choices(Found("darwin"), live))
    choices = values(transport_choices(Found("darwin", has_link=True), live))
    assert choices == ["clock", "auto", "link", "audio", "manual"]


def test_where_no_port_can_be_made_one_must_be_there() -> None:
    synth = "Microsoft GS Wavetable Synth 0"
    assert values(port_choices([synth, "loopMIDI Port 1"])) == ["loopMIDI Port 1"]
    with pytest.raises(InputError, match="loopMIDI"):
        port_choices([synth])


def test_each_daw_says_what_to_do_with_the_names_of_its_ports() -> None:
    for daw in DAWS:
        for text in (daw.arm, daw.sync, *daw.look):
            assert "{" not in text.format(port="P", sync="S")
        assert "{port}" in daw.look[0]


# --- the notes


class Port:
    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, message: bytes) -> None:
        self.sent.append(message)


def test_three_notes_are_struck_and_released() -> None:
    port, pauses = Port(), []
    play_three_notes(port, pauses.append)
    assert port.sent == NOTES
    assert 0.5 < sum(pauses) < 3


def test_a_note_is_released_when_it_is_interrupted() -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    port = Port()
    with pytest.raises(KeyboardInterrupt):
        play_three_notes(port, interrupt)
    assert port.sent == NOTES[:2]
