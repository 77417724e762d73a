"""The server's period is known, and its end noticed at once."""

from __future__ import annotations

import time

import pytest

from jack_server import running_jack
from sidekeys_bridge.jack_watch import JackWatch, jack_runs


def test_a_server_is_seen_while_it_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "no-such-server")
    assert not jack_runs()
    with running_jack():
        assert jack_runs()
    assert not jack_runs()


def test_without_a_server_there_is_nothing_to_watch(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "no-such-server")
    with pytest.raises(ConnectionError, match="no JACK server runs"):
        JackWatch()


def test_the_period_is_that_of_the_server():
    with running_jack(512, 48000), JackWatch() as watch:
        assert watch.period_seconds == pytest.approx(512 / 48000)
        assert not watch.ended


def test_a_client_that_sound_comes_from_is_seen():
    with running_jack(), JackWatch() as watch:
        assert watch.sends_audio("system")
        assert not watch.sends_audio("syst")
        assert not watch.sends_audio("Sidekeys watch")


def test_the_end_of_the_server_is_noticed():
    with running_jack():
        watch = JackWatch()
    deadline = time.monotonic() + 5
    while not watch.ended and time.monotonic() < deadline:
        time.sleep(0.005)
    assert watch.ended
    assert watch.period_seconds == 0.0
    watch.close()
    watch.close()


def test_many_may_watch():
    with running_jack(), JackWatch() as first, JackWatch() as second:
        assert first.period_seconds == second.period_seconds > 0


def test_nothing_is_opened_while_something_belongs_to_a_server_that_has_ended():
    with running_jack() as name:
        first, second = JackWatch(), JackWatch()
    with running_jack(name=name):
        assert first.ended
        assert second.ended  # whichever was told
        first.close()
        with pytest.raises(ConnectionError, match="still belongs to a JACK server that has ended"):
            JackWatch()
        second.close()
        with JackWatch() as third:
            assert not third.ended
