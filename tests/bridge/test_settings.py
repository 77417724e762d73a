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
    read_settings,
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
        "keep_windows": str(tmp_path / "kept"), "record": str(tmp_path / "take.mid"),
        "engine": str(song), "log_file": str(tmp_path / "log"), "quiet": True, "json": True,
    }  # fmt: skip
    assert set(flags) == set(OPTIONS)
    assert read_settings(flags) == Settings(
        input=f"file:{song}", channels=(3, 4), transport="link", bpm=90.0, meter=Meter(6, 8),
        mode="loop", delay_beats=None, checkpoint="x", device="cpu", midi_port="p", panel=False,
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


@pytest.mark.parametrize("read", [channels_of, meter_of, bpm_of, delay_of, input_of])
@given(text=st.text(max_size=20))
def test_any_text_is_read_or_refused_in_words(read: Callable[[str], object], text: str) -> None:
    with contextlib.suppress(InputError):
        read(text)
