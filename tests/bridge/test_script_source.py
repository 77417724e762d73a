"""What following a DAW's script promises: a steady line, exact wraps, and words for nonsense."""

from __future__ import annotations

import random
from typing import Any

import pytest

from sidekeys_bridge.script_source import STALE_SECONDS, ScriptSource
from sidekeys_bridge.transport import Transport
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter


def push(beat: float, *, bpm: float = 120.0, playing: bool = True, **more: Any) -> dict[str, Any]:
    return {"bpm": bpm, "beat": beat, "playing": playing, **more}


class Daw:
    """Plays at 120 bpm from beat 0 at 100 s, in a loop if there is one, and pushes now and then."""

    def __init__(self, seed: int, loop: tuple[float, float] | None = None) -> None:
        self.rng, self.loop = random.Random(seed), loop
        self.next_push = 100.0

    def beats_at(self, seconds: float) -> float:
        beats = (seconds - 100) * 2
        if self.loop is not None and beats >= self.loop[1]:
            start, end = self.loop
            beats = start + (beats - end) % (end - start)
        return beats

    def push_into(self, transport: Transport, now: float) -> None:
        if now >= self.next_push:
            # Told in blocks of 10 ms, each told a little after it was true.
            told = now - self.rng.uniform(0.0, 0.03)
            beat = self.beats_at(max(told - self.rng.uniform(0.0, 0.01), 100.0))
            loop = list(self.loop) if self.loop else None
            transport.push(push(beat, loop=loop, age_seconds=now - told), now)
            self.next_push = now + self.rng.uniform(0.01, 0.1)


@pytest.mark.parametrize("seed", range(4))
def test_irregular_pushes_make_a_steady_line(seed: int) -> None:
    daw, transport = Daw(seed), Transport("script")
    for step in range(1000):
        now = 100 + step * 0.01
        daw.push_into(transport, now)
        transport.poll(now)
        assert transport.stretch is not None
        assert transport.stretch.number == 1
        if step > 100:
            late = transport.stretch.seconds_at(daw.beats_at(now)) - now
            assert abs(late) < 0.01
    assert transport.state(110.0).source == "script"


@pytest.mark.parametrize("seed", range(4))
def test_a_told_loop_wraps_at_its_end_before_the_script_says_so(seed: int) -> None:
    daw, transport = Daw(seed, (4.0, 8.0)), Transport("script")
    numbers = set()
    for step in range(1000):
        now = 100 + step * 0.01
        daw.push_into(transport, now)
        transport.poll(now)
        assert transport.stretch is not None
        numbers.add(transport.stretch.number)
        into_bar = daw.beats_at(now) % 4
        if step > 100 and 0.03 < into_bar < 3.97:
            late = transport.stretch.seconds_at(daw.beats_at(now)) - now
            assert abs(late) < 0.015
        if transport.finished is not None:
            assert transport.finished.end_beats == 8.0
            assert transport.stretch.start_beats == 4.0
            assert transport.stretch.start_seconds == pytest.approx(
                transport.finished.end_seconds, abs=0.01
            )
    assert numbers == set(range(1, 5))  # 20 beats: from 0, then three times round


def test_a_jump_is_a_locate() -> None:
    source = ScriptSource()
    source.push(push(0.0), 100.0)
    source.push(push(0.15), 100.05)  # 0.05 beats off: the script is rough
    assert source.poll(100.05).run == 1
    source.push(push(64.0), 100.1)
    reading = source.poll(100.1)
    assert (reading.run, reading.run_start_beats) == (2, 64.0)
    assert reading.playhead is not None
    assert reading.playhead.beats_at(100.1) == 64.0


def test_a_change_of_tempo_keeps_the_position() -> None:
    source = ScriptSource()
    source.push(push(0.0), 100.0)
    source.push(push(2.0, bpm=90.0), 101.0)
    reading = source.poll(102.0)
    assert reading.run == 1
    assert reading.playhead is not None
    assert reading.playhead.beats_at(102.0) == pytest.approx(3.5)


def test_a_script_that_falls_silent_while_playing_is_gone() -> None:
    source = ScriptSource()
    source.push(push(0.0), 100.0)
    assert source.poll(100 + STALE_SECONDS - 0.01).playhead is not None
    reading = source.poll(100 + STALE_SECONDS + 0.01)
    assert reading.playhead is None
    assert not source.alive(100 + STALE_SECONDS + 0.01)
    assert reading.problem is not None
    assert "fell silent" in reading.problem
    source.push(push(8.0), 110.0)
    assert source.poll(110.0).problem is None


def test_stop_counts_even_if_it_was_overtaken() -> None:
    source = ScriptSource()
    source.push(push(1.0, age_seconds=0.01), 100.0)
    source.push(push(1.0, playing=False, age_seconds=0.2), 100.1)
    assert source.poll(100.1).playhead is None


@pytest.mark.parametrize("bpm", [29.0, 301.0])
def test_a_tempo_beyond_what_can_be_played_stands_and_says_so(bpm: float) -> None:
    transport = Transport("script")
    transport.push(push(0.0, bpm=bpm), 100.0)
    transport.poll(100.0)
    state = transport.state(100.0)
    assert not state.playing
    assert state.problem is not None
    assert f"{bpm:g} bpm; Sidekeys follows 30 to 300 bpm" in state.problem


def test_meter_and_bar_start_make_the_bars() -> None:
    transport = Transport("script")
    transport.push(push(33.5, meter="3/4", bar_start=33.0), 100.0)
    transport.poll(100.0)
    assert transport.stretch is not None
    assert transport.state(100.0).meter == "3/4"
    assert transport.stretch.grid().bar_lines(33, 40) == pytest.approx([33, 36, 39])


def test_a_song_in_three_begins_in_three_wherever_it_starts() -> None:
    transport = Transport("script")
    transport.push(push(33.5, meter="3/4"), 100.0)
    transport.poll(100.0)
    assert transport.stretch is not None
    assert transport.stretch.grid().bar_lines(33, 40) == pytest.approx([33, 36, 39])


def test_a_meter_that_changes_while_playing_begins_at_its_bar_line() -> None:
    transport = Transport("script")
    for step in range(800):
        now = 100 + step * 0.01
        beat = (now - 100) * 2
        meter = "4/4" if beat < 8 else "3/4"
        if step % 5 == 0:
            transport.push(push(beat, meter=meter), now)
        transport.poll(now)
    assert transport.stretch is not None
    assert transport.stretch.number == 1
    assert transport.stretch.grid().bar_lines(0, 15) == pytest.approx([0, 4, 8, 11, 14])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"beat": 0.0, "playing": True}, "bpm must be a number"),
        (push(float("nan")), "beat must be a number"),
        (push(1e12), "no song position"),
        (push(0.0, meter="4/5"), "no meter"),
        (push(0.0, loop=3), r"loop must be \[start, end\]"),
        (push(0.0, loop=[1, "x"]), "end must be a number"),
        (push(0.0, age_seconds="old"), "age_seconds must be a number"),
    ],
)
def test_nonsense_is_refused_in_words_and_counts_for_nothing(
    content: dict[str, Any], words: str
) -> None:
    source = ScriptSource()
    source.push(push(4.0), 100.0)
    with pytest.raises(InputError, match=words):
        source.push(content, 100.1)
    reading = source.poll(100.1)
    assert reading.run == 1
    assert reading.meter is None


def test_a_loop_that_cannot_be_is_no_loop() -> None:
    source = ScriptSource()
    source.push(push(0.0, loop=[8.0, 8.0], meter="6/8"), 100.0)
    reading = source.poll(100.0)
    assert reading.loop is None
    assert reading.meter == Meter(6, 8)


def test_a_clock_set_back_begins_another_run() -> None:
    source = ScriptSource()
    source.push(push(4.0), 100.0)
    source.push(push(4.2), 50.0)
    reading = source.poll(50.0)
    assert reading.playhead is not None
    assert reading.playhead.beats_at(50.0) == pytest.approx(4.2)
