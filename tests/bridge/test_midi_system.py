"""The right MIDI system is chosen, and the port that the user means is found."""

from __future__ import annotations

import pytest

from jack_listener import listening
from jack_server import running_jack
from sidekeys_bridge import midi_system
from sidekeys_bridge.midi_system import SYSTEMS, choose_system, find_port
from sidekeys_engine.errors import InputError

PORTS = ["Grand Piano:in", "Organ:in", "organ 2:in", "IAC Driver Bus 1"]


@pytest.mark.parametrize(
    ("platform", "key"), [("darwin", "coremidi"), ("win32", "windows")]
)  # fmt: skip
def test_each_platform_has_its_own(platform: str, key: str):
    assert choose_system(platform=platform) is SYSTEMS[key]


def test_on_linux_it_is_jack_if_a_server_runs_else_alsa(monkeypatch: pytest.MonkeyPatch, tmp_path):
    sequencer = tmp_path / "seq"
    monkeypatch.setattr(midi_system, "_ALSA_SEQUENCER", sequencer)
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "no-such-server")
    with pytest.raises(InputError, match=r"start JACK .*modprobe snd-seq"):
        choose_system(platform="linux")
    sequencer.touch()
    assert choose_system(platform="linux").key == "alsa"
    with running_jack():
        assert choose_system(platform="linux").key == "jack"
        assert choose_system("alsa", platform="linux").key == "alsa"


def test_only_windows_makes_no_ports():
    assert [key for key, system in SYSTEMS.items() if not system.makes_ports] == ["windows"]


def test_ports_of_other_programs_are_listed_by_direction():
    with running_jack(), listening("Grand Piano"):
        jack = SYSTEMS["jack"]
        assert jack.destinations() == ("Grand Piano:in",)
        assert jack.sources() == ()


@pytest.mark.parametrize(
    ("wanted", "index"),
    [("Organ:in", 1), ("organ:in", 1), ("organ 2", 2), ("iac", 3), ("grand piano", 0)],
)
def test_a_port_is_found_by_its_name_or_a_part_that_only_it_has(wanted: str, index: int):
    assert find_port(wanted, PORTS) == index


def test_a_part_that_two_ports_have_names_both():
    with pytest.raises(InputError, match="'Organ:in', 'organ 2:in'"):
        find_port("organ", PORTS)


def test_a_port_that_is_not_there_names_those_that_are():
    with pytest.raises(InputError, match=r"no MIDI port 'Harp'.*'Grand Piano:in', 'Organ:in'"):
        find_port("Harp", PORTS)
    with pytest.raises(InputError, match="there are: none"):
        find_port("Harp", [])
