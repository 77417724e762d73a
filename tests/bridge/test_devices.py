"""Promises of how a device is chosen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sidekeys_bridge import devices
from sidekeys_bridge.devices import InputDevice, find_device
from sidekeys_engine.errors import InputError

DEVICES = (
    InputDevice(0, "Scarlett 2i2 USB", "ALSA", 2, 44_100),
    InputDevice(1, "Scarlett 18i20 USB", "ALSA", 18, 48_000),
    InputDevice(3, "BlackHole 2ch", "Core Audio", 2, 48_000),
    InputDevice(4, "2", "JACK Audio Connection Kit", 2, 48_000),
    InputDevice(7, "CABLE Output (VB-Audio Virtual ", "MME", 2, 44_100),
    InputDevice(8, "CABLE Output (VB-Audio Virtual Cable)", "Windows DirectSound", 2, 44_100),
    InputDevice(9, "CABLE Output (VB-Audio Virtual Cable)", "Windows WASAPI", 2, 48_000),
)


@pytest.mark.parametrize(
    ("choice", "index"),
    [
        ("BlackHole 2ch", 3),
        ("blackhole 2CH", 3),
        ("hole", 3),
        ("18i20", 1),
        ("1", 1),
        ("2", 4),  # no device 2, but one of that name
        ("cable output", 9),  # one device under three drivers: the best of them
        ("Scarlett 2i2 USB, ALSA", 0),
        ("default", 3),
    ],
)
def test_a_choice_means_one_device(choice: str, index: int) -> None:
    assert find_device(choice, DEVICES, default=3).index == index


def test_several_that_fit_are_listed() -> None:
    with pytest.raises(InputError, match="fits several inputs: 0 'Scarlett 2i2 USB'") as refused:
        find_device("scarlett", DEVICES)
    assert "BlackHole" not in str(refused.value)


def test_none_that_fits_lists_what_there_is() -> None:
    with pytest.raises(InputError, match="There is no input 'Focusrite'; there are: 0 'Scarlett"):
        find_device("Focusrite", DEVICES)


def test_a_machine_without_inputs_is_told_the_other_ways() -> None:
    with pytest.raises(InputError, match="no sound input; plug one in, start JACK, or use file:"):
        find_device("default", ())


def test_the_process_that_hears_devices_stays_light() -> None:
    code = (
        "import sys, sidekeys_bridge.devices as d; d.main(['list']);"
        "print({'numpy', 'torch'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "devices" in json.loads(ran[0])
    assert ran[1] == "set()"


@pytest.mark.parametrize(("platform", "told"), [("win32", "1"), ("linux", None)])
def test_asio_is_asked_for_before_portaudio_is_loaded_where_it_may_be_there(
    platform: str, told: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "sounddevice.py").write_text(
        "import os\nasio = os.environ.get('SD_ENABLE_ASIO')\n_libname = 'none'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("SD_ENABLE_ASIO", "")
    monkeypatch.delenv("SD_ENABLE_ASIO")
    try:
        assert devices._portaudio().asio == told
    finally:
        sys.modules.pop("sounddevice", None)
