"""The port is there under the name a user looks for, and where it cannot be, words say why."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jack_listener import listening
from jack_server import running_jack
from sidekeys_bridge.midi_output import MidiOutput, output_ports
from sidekeys_bridge.midi_system import PortLostError
from sidekeys_engine.errors import InputError

ROOT = Path(__file__).parents[2]
ON = bytes((0x90, 60, 80))


@pytest.fixture
def jack() -> Iterator[str]:
    with running_jack() as name:
        yield name


def ports() -> list[str]:
    return subprocess.run(["jack_lsp"], check=True, capture_output=True, text=True).stdout.split(
        "\n"
    )


@pytest.mark.usefixtures("jack")
def test_the_port_is_called_sidekeys_and_goes_away_when_closed():
    with MidiOutput() as port:
        assert port.name == "Sidekeys:Sidekeys"
        assert port.notice is None
        assert port.system.title == "JACK"
        assert "Sidekeys:Sidekeys" in ports()
        port.check()
    port.close()
    assert not [name for name in ports() if "Sidekeys" in name]


@pytest.mark.usefixtures("jack")
def test_what_is_sent_arrives_in_order():
    messages = [bytes((0x90, pitch, 80)) for pitch in range(128)]
    with MidiOutput() as port, listening() as listener:
        listener.connect(port.name)
        for message in messages:
            port.send(message)
        listener.wait(lambda heard: heard == messages)


@pytest.mark.usefixtures("jack")
def test_what_was_sent_just_before_closing_arrives():
    with MidiOutput() as port, listening() as listener:
        listener.connect(port.name)
        port.send(ON)
        port.close()
        listener.wait(lambda heard: heard == [ON])


@pytest.mark.usefixtures("jack")
def test_a_name_that_is_taken_gets_a_number_and_the_user_is_told():
    with MidiOutput() as first, MidiOutput() as second:
        assert first.name == "Sidekeys:Sidekeys"
        assert second.name == "Sidekeys-01:Sidekeys"
        assert second.name in ports()
        assert first.notice is None
        assert "'Sidekeys-01:Sidekeys'" in (second.notice or "")


@pytest.mark.usefixtures("jack")
def test_a_named_port_is_played_into():
    with listening("Grand Piano") as listener:
        assert listener.port in output_ports()
        for wanted in ("Grand Piano:in", "grand piano"):
            before = len(listener.heard)
            with MidiOutput(wanted) as port:
                assert port.name == "Grand Piano:in"
                port.check()
                port.send(ON)
                listener.wait(lambda heard, count=before + 1: len(heard) == count)


@pytest.mark.usefixtures("jack")
def test_a_named_port_that_is_not_there_is_told_with_those_that_are():
    with listening("Grand Piano"), pytest.raises(InputError, match=r"'Organ'.*'Grand Piano:in'"):
        MidiOutput("Organ")
    assert not [name for name in ports() if "Sidekeys" in name]


@pytest.mark.usefixtures("jack")
def test_a_name_that_several_ports_have_is_refused():
    with listening("Piano A"), listening("Piano B"):
        with pytest.raises(InputError, match=r"several.*'Piano A:in', 'Piano B:in'"):
            MidiOutput("piano")
        with MidiOutput("piano b") as port:
            assert port.name == "Piano B:in"


@pytest.mark.usefixtures("jack")
def test_a_named_port_that_goes_away_is_noticed_and_found_again():
    with listening("Grand Piano"):
        port = MidiOutput("Grand Piano")
    with port:
        with pytest.raises(PortLostError, match="'Grand Piano:in' is gone"):
            port.check()
        with pytest.raises(InputError, match="no MIDI port"):
            port.reopen()
        with listening("Grand Piano") as listener:
            port.reopen()
            port.send(ON)
            listener.wait(lambda heard: heard == [ON])


@pytest.mark.parametrize(("period", "rate"), [(64, 48000), (1024, 44100)])
def test_under_jack_a_message_is_best_sent_half_a_period_early(period: int, rate: int):
    with running_jack(period, rate), MidiOutput() as port:
        assert port.lead_seconds == pytest.approx(period / rate / 2)


def test_a_server_that_ends_makes_sending_fail_instead_of_hanging():
    with running_jack():
        port = MidiOutput()
    deadline = time.monotonic() + 5
    with port:
        while time.monotonic() < deadline:
            try:
                port.check()
            except PortLostError:
                break
            time.sleep(0.01)
        with pytest.raises(PortLostError, match="JACK server has ended"):
            port.send(ON)
        with pytest.raises(InputError, match="no JACK server runs"):
            port.reopen()
        with pytest.raises(PortLostError, match="closed"):
            port.send(ON)


def test_without_a_midi_system_words_say_so_and_nothing_else_is_printed():
    program = (
        "from sidekeys_bridge.midi_output import MidiOutput\n"
        "from sidekeys_engine.errors import InputError\n"
        "for api in ('auto', 'jack', 'alsa', 'coremidi'):\n"
        "    try:\n"
        "        MidiOutput(api=api)\n"
        "    except InputError as error:\n"
        "        print(error)\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join((str(ROOT / "bridge"), str(ROOT / "engine"))),
        "JACK_DEFAULT_SERVER": "no-such-server",
        "JACK_NO_START_SERVER": "1",
    }
    ran = subprocess.run(
        [sys.executable, "-c", program], check=True, env=environment, capture_output=True, text=True
    )
    assert ran.stderr == ""
    words = ran.stdout.splitlines()
    if not Path("/dev/snd/seq").exists():
        assert "no MIDI system runs here" in words.pop(0)
        assert "modprobe snd-seq" in words.pop(1)
    assert "no JACK server runs" in words[0]
    assert "cannot use CoreMIDI" in words[1]


def test_windows_is_told_how_to_get_a_port():
    with pytest.raises(InputError, match=r"loopMIDI.*Windows MIDI Services.*--midi-port"):
        MidiOutput(platform="win32")


def test_a_midi_system_that_is_none_is_refused():
    with pytest.raises(InputError, match=r"'oss'.*jack, alsa"):
        MidiOutput(api="oss")


def test_importing_it_loads_neither_rtmidi_nor_libjack():
    program = (
        "import sys, sidekeys_bridge.player\n"
        "assert not {'rtmidi', 'torch', 'scipy', 'zmq'} & set(sys.modules)\n"
        "assert 'libjack' not in open('/proc/self/maps').read()\n"
    )
    paths = os.pathsep.join((str(ROOT / "bridge"), str(ROOT / "engine")))
    subprocess.run(
        [sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": paths}
    )
