"""Settings: defaults, then the TOML file, then flags; and words for what cannot be used."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidekeys_bridge.controls import Controls
from sidekeys_bridge.settings import (
    OPTIONS,
    Settings,
    bpm_of,
    channels_of,
    delay_of,
    input_of,
    meter_of,
    port_of,
    read_settings,
    settings_file,
)
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter


def written(folder: Path, text: str) -> Path:
    file = folder / "settings.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_nothing_said_gives_the_defaults() -> None:
    assert read_settings({}) == Settings()
    assert read_settings(dict.fromkeys(OPTIONS)) == Settings()
    assert Settings().delay_beats is None
    assert Settings().panel
    assert Settings().browser
    assert Settings().host == "127.0.0.1"
    assert Settings().port is None


def test_the_file_beats_the_defaults_and_flags_beat_the_file(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        """
        bpm = 96
        meter = "3/4"
        delay = 8
        midi-port = "Piano In"
        panel = false
        composer = "ballad"
        [controls]
        transpose = -12
        velocity-curve = "soft"
        """,
    )
    found = read_settings(
        {"bpm": "120", "composer": "stride"}, config=file, controls={"transpose": "5"}
    )
    assert found.bpm == 120.0
    assert found.meter == Meter(3, 4)
    assert found.delay_beats == 8
    assert found.midi_port == "Piano In"
    assert not found.panel
    assert found.controls == Controls(composer="stride", transpose=5, velocity_curve="soft")


def test_every_flag_reaches_its_setting(tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    song.write_bytes(b"x")
    flags = {
        "input": f"file:{song}", "channels": "3-4", "transport": "link", "bpm": "90",
        "meter": "6/8", "mode": "loop", "delay": "auto", "composer": "full", "checkpoint": "x",
        "device": "cpu", "midi_port": "p", "sync_port": "q", "panel": False,
        "port": "8080", "host": "192.168.1.2", "browser": False,
        "keep_windows": str(tmp_path / "kept"), "record": str(tmp_path / "take.mid"),
        "engine": str(song), "log_file": str(tmp_path / "log"), "quiet": True, "json": True,
    }  # fmt: skip
    assert set(flags) == set(OPTIONS)
    assert read_settings(flags) == Settings(
        input=f"file:{song}", channels=(3, 4), transport="link", bpm=90.0, meter=Meter(6, 8),
        mode="loop", delay_beats=None, checkpoint="x", device="cpu", midi_port="p", panel=False,
        port=8080, host="192.168.1.2", browser=False,
        sync_port="q", keep_windows=tmp_path / "kept", record=tmp_path / "take.mid",
        engine=song, log_file=tmp_path / "log", quiet=True,
        json=True, controls=Controls(composer="full"),
    )  # fmt: skip
    assert not (tmp_path / "take.mid").exists()


def test_paths_in_a_file_begin_where_the_file_lies(tmp_path: Path) -> None:
    (tmp_path / "song.wav").write_bytes(b"x")
    file = written(tmp_path, 'input = "file:song.wav"\nrecord = "take.mid"')
    found = read_settings({}, config=file)
    assert found.input == f"file:{tmp_path / 'song.wav'}"
    assert found.record == tmp_path / "take.mid"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"transport": "telepathy"}, "--transport must be one of auto, clock, link, script"),
        ({"mode": "both"}, "--mode must be one of echo, loop, not 'both'"),
        ({"device": "gpu"}, "--device must be one of auto, cpu, cuda, mps"),
        ({"bpm": "29"}, "--bpm: '29' is no tempo; give beats a minute from 30 to 300"),
        ({"bpm": "nan"}, "--bpm: 'nan' is no tempo"),
        ({"meter": "4"}, "--meter: '4' is no meter; give one such as 4/4"),
        ({"meter": "4/5"}, "--meter: '4/5' is no meter"),
        ({"delay": "2.5"}, "--delay: '2.5' is no delay; give auto, or whole beats from 1 to 64"),
        ({"delay": "0"}, "--delay: '0' is no delay"),
        ({"channels": "0"}, "--channels: There is no channel '0'"),
        ({"input": "file:nowhere.wav"}, "--input: Cannot read .*nowhere.wav.*no such file"),
        ({"input": "file:"}, "--input: Nothing follows"),
        ({"record": "take.txt"}, "--record: 'take.txt' is no MIDI file"),
        ({"record": "nowhere/take.mid"}, "--record: Cannot write .*no such folder"),
        ({"engine": "nowhere.json"}, "--engine: Cannot read"),
        ({"midi_port": " "}, "--midi-port is empty"),
        ({"port": "80"}, "--port: '80' is no port; give a number from 1024 to 65535"),
        ({"port": "65536"}, "--port: '65536' is no port"),
        ({"port": "many"}, "--port: 'many' is no port"),
        ({"host": " "}, "--host is empty"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_flag(flags: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        read_settings(flags)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bpm = ", "settings.toml' is no TOML"),
        ("tempo = 3", "there is no setting 'tempo'; there are input, channels"),
        ("json = true", "there is no setting 'json'"),
        ("panel = 1", "panel must be true or false, not 1"),
        ("bpm = [1]", "bpm must be text or a number, not"),
        ("bpm = true", "bpm must be text or a number, not True"),
        ("midi-port = 'a'\nmidi_port = 'b'", "midi_port is there twice"),
        ("controls = 3", "controls must be a table"),
        ("[controls]\nvolume = 3", "no control 'volume'; there are composer"),
        ("[controls]\ntranspose = 99", "transpose cannot be 99; give .*from -24 to 24"),
        ("[controls]\ntranspose = [1]", "transpose cannot be"),
        ("[controls]\nlowest_pitch = 90\nhighest_pitch = 50", "lowest key .90. lies above"),
    ],
)
def test_what_is_wrong_in_a_file_is_told(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        read_settings({}, config=written(tmp_path, text))
    assert str(refused.value).count("\n") == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# mine\n\nbpm = \n", "is no TOML: .*line 3"),
        ("# mine\nmode = 'loop'\ntempo = 3", "settings.toml', line 3: there is no setting 'tempo'"),
        ("mode = 'both'", "settings.toml', line 1: mode must be one of"),
        ("\nport = 7", "settings.toml', line 2: port: '7' is no port"),
        ('"midi-port" = ""', "settings.toml', line 1: midi-port is empty"),
        ("\ncontrols = 3", "settings.toml', line 2: controls must be"),
        ("[controls]\nvolume = 3", "settings.toml', line 2: there is no control 'volume'"),
        ("mode = 'loop'\n[controls]\n velocity-curve = 9", "line 3: velocity_curve cannot be 9"),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_settings({}, config=written(tmp_path, text))


@pytest.mark.parametrize(
    ("platform", "variables", "place"),
    [
        ("linux", {"XDG_CONFIG_HOME": "{home}/cfg"}, "cfg/sidekeys/settings.toml"),
        ("linux", {}, ".config/sidekeys/settings.toml"),
        ("darwin", {}, "Library/Application Support/Sidekeys/settings.toml"),
        ("win32", {"APPDATA": "{home}/Roaming"}, "Roaming/Sidekeys/settings.toml"),
        ("win32", {}, "AppData/Roaming/Sidekeys/settings.toml"),
    ],
)
def test_each_platform_has_its_place_for_the_file(
    platform: str, variables: dict[str, str], place: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    for name in ("XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(home=tmp_path))
    assert settings_file(platform) == tmp_path / place


def test_a_file_that_is_no_text_or_huge_or_missing_is_told(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    with pytest.raises(InputError, match="no such file"):
        read_settings({}, config=file)
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is no TOML"):
        read_settings({}, config=file)
    file.write_bytes(b"#" * (1 << 21))
    with pytest.raises(InputError, match="too large"):
        read_settings({}, config=file)


def test_two_controls_may_move_together() -> None:
    """One after the other, the lowest key would pass the highest on its way."""
    found = read_settings({}, controls={"lowest_pitch": 109, "highest-pitch": 120})
    assert (found.controls.lowest_pitch, found.controls.highest_pitch) == (109, 120)


def test_single_values_are_read() -> None:
    assert channels_of("3") == 3
    assert channels_of("3-4") == (3, 4)
    assert channels_of("all") is None
    assert meter_of(" 12/8 ") == Meter(12, 8)
    assert bpm_of("92.5") == 92.5
    assert delay_of("Auto") is None
    assert delay_of("8.0") == 8
    assert input_of(" Loopback:Main ") == "loopback:Main"
    assert input_of("2") == "2"
    assert port_of(" 7353 ") == 7353


@pytest.mark.parametrize("read", [channels_of, meter_of, bpm_of, delay_of, input_of, port_of])
@given(text=st.text(max_size=20))
def test_any_text_is_read_or_refused_in_words(read: Callable[[str], object], text: str) -> None:
    with contextlib.suppress(InputError):
        read(text)
