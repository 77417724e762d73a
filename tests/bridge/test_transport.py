"""What the transport promises: the best source, a stretch per unbroken run, no surprises."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from clock_sender import ClockSender, play_into
from sidekeys_bridge.transport import ASLEEP_SECONDS, Transport
from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.errors import InputError
from sidekeys_engine.notes import Meter


def push(beat: float, playing: bool = True, **more: Any) -> dict[str, Any]:
    return {"bpm": 120.0, "beat": beat, "playing": playing, **more}


def run(transport: Transport, start: float, end: float) -> None:
    for step in range(round((end - start) * 100)):
        transport.poll(start + step / 100)


def playing(bpm: float = 120.0, **more: Any) -> Transport:
    transport = Transport("manual", bpm=bpm, **more)
    transport.poll(99.9)
    transport.play(100.0)
    transport.poll(100.0)
    return transport


# ------------------------------------------------------------------------------------ choosing


def test_nobody_tells_the_beats_at_first() -> None:
    transport = Transport()
    transport.poll(100.0)
    state = transport.state(100.0)
    assert (state.choice, state.source, state.playing) == ("auto", "audio", False)
    assert (state.bpm, state.beat, state.stretch, state.problem) == (0.0, 0.0, 0, None)
    assert transport.stretch is None
    assert transport.wants_audio(100.0) is not None


def test_auto_takes_the_best_source_that_plays() -> None:
    transport = Transport(bpm=100.0)
    run(transport, 100.0, 100.1)
    assert transport.state(100.1).source == "manual"
    assert transport.wants_audio(100.1) is None
    transport.play(100.1)
    run(transport, 100.1, 101.0)
    assert transport.state(101.0).playing
    sender = ClockSender(seconds=101.0)
    sender.start()
    sender.play(8, 120)
    play_into(transport, sender)
    assert transport.state(sender.seconds).source == "clock"
    transport.push(push(4.0), sender.seconds)
    transport.poll(sender.seconds)
    assert transport.state(sender.seconds).source == "script"


def test_a_daw_that_sends_clock_and_script_starts_one_stretch() -> None:
    transport = Transport()
    sender = ClockSender()
    sender.idle(8, 120)
    sender.start()
    sender.play(8, 120)
    started = sender.runs[0][0][0]

    def script(now: float, transport: Transport) -> None:
        # The script is 50 ms behind the clock when the song starts.
        plays = now > started + 0.05
        transport.push(push((now - started) * 2 if plays else 0.0, plays), now)

    play_into(transport, sender, script)
    assert transport.stretch is not None
    assert transport.stretch.number == 1
    assert transport.state(sender.seconds).source == "script"


def test_a_source_that_is_lost_ends_the_stretch_and_the_next_best_goes_on() -> None:
    transport = Transport(bpm=100.0)
    transport.push(push(0.0), 100.0)
    transport.poll(100.0)
    assert transport.stretch is not None
    run(transport, 100.0, 102.2)
    assert transport.stretch is None
    assert transport.finished is not None
    assert transport.finished.end_seconds == pytest.approx(102.01)  # after two seconds of silence
    assert transport.state(102.2).source == "manual"


def test_a_source_chosen_by_name_is_kept_though_a_better_one_plays() -> None:
    transport = playing()
    transport.push(push(64.0), 100.5)
    transport.poll(100.5)
    assert transport.state(100.5).source == "manual"
    transport.choose("script")
    transport.push(push(65.0), 101.0)
    transport.poll(101.0)
    assert transport.state(101.0).source == "script"
    assert transport.finished is not None
    assert transport.finished.end_seconds == 101.0
    assert transport.stretch is not None
    assert transport.stretch.start_seconds == pytest.approx(101.0, abs=0.01)


def test_a_source_chosen_by_name_that_is_not_there_says_what_to_do() -> None:
    transport = Transport("clock")
    transport.poll(100.0)
    problem = transport.state(100.0).problem
    assert problem is not None
    assert "Sidekeys Sync" in problem


def test_an_unknown_source_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match="auto, clock, link, script, manual, audio"):
        Transport("tape")


# ----------------------------------------------------------------------------------- stretches


def test_a_stretch_is_a_beat_grid_in_monotonic_seconds() -> None:
    transport = playing(meter=Meter(3, 4))
    run(transport, 100.0, 104.0)
    assert transport.stretch is not None
    grid = transport.stretch.grid()
    assert isinstance(grid, BeatGrid)
    assert grid.beats_at(103.0) == pytest.approx(6.0)
    assert grid.bar_number(6.0) == 3
    state = transport.state(103.5)
    assert (state.meter, state.bar, state.stretch) == ("3/4", 3, 1)
    assert state.beat == pytest.approx(7.0)


def test_stop_and_play_make_two_stretches_and_the_first_one_keeps_its_end() -> None:
    transport = playing()
    run(transport, 100.0, 103.0)
    transport.stop(103.0)
    transport.poll(103.01)
    assert transport.stretch is None
    assert transport.state(103.01).beat == pytest.approx(6.0)
    assert transport.finished is not None
    assert transport.finished.end_seconds == 103.0
    assert transport.finished.end_beats == pytest.approx(6.0)
    transport.play(104.0)
    transport.poll(104.0)
    assert transport.stretch is not None
    assert (transport.stretch.number, transport.stretch.start_beats) == (2, 4.0)  # a bar line


def test_a_locate_ends_one_stretch_where_the_next_begins() -> None:
    transport = playing()
    run(transport, 100.0, 103.0)
    transport.play(103.0, 32.0)
    transport.poll(103.005)
    assert transport.finished is not None
    assert transport.stretch is not None
    assert transport.finished.end_seconds == transport.stretch.start_seconds == 103.0
    assert transport.stretch.start_beats == 32.0


def test_a_laptop_that_slept_begins_another_stretch() -> None:
    transport = playing()
    run(transport, 100.0, 102.0)
    transport.poll(132.0)
    assert transport.finished is not None
    assert transport.finished.end_seconds == pytest.approx(101.99)
    assert transport.stretch is not None
    assert transport.stretch.number == 2
    assert transport.stretch.start_seconds == pytest.approx(132.0)
    transport.poll(132.0 + ASLEEP_SECONDS - 0.1)
    assert transport.stretch.number == 2


def test_time_that_goes_backwards_begins_another_stretch_and_a_little_of_it_is_ignored() -> None:
    transport = playing()
    run(transport, 100.0, 102.0)
    transport.poll(101.9)
    assert transport.stretch is not None
    assert transport.stretch.number == 1
    transport.poll(50.0)
    transport.poll(50.01)
    assert transport.stretch is not None
    assert transport.stretch.number == 2
    transport.poll(math.nan)
    transport.poll(math.inf)


# -------------------------------------------------------------------------- meter, nudge, downbeat


def test_another_meter_begins_at_the_next_bar_line_while_playing_and_at_once_before() -> None:
    transport = Transport("manual", bpm=120.0)
    transport.poll(99.0)
    transport.set_meter(Meter(3, 4), 99.0)
    transport.play(100.0)
    run(transport, 100.0, 102.0)
    transport.set_meter(Meter(2, 4), 102.0)  # at beat 4
    assert transport.stretch is not None
    assert transport.stretch.grid().bar_lines(0, 11) == pytest.approx([0, 3, 6, 8, 10])
    assert transport.state(102.0).meter == "3/4"
    assert transport.state(103.1).meter == "2/4"


def test_a_nudge_moves_the_beats_smoothly() -> None:
    transport = playing()
    run(transport, 100.0, 102.2)
    transport.nudge(seconds=0.02)
    transport.nudge(beats=-0.02)  # 10 ms
    run(transport, 102.2, 104.0)
    assert transport.stretch is not None
    assert transport.stretch.number == 1
    assert transport.stretch.seconds_at(10.0) == pytest.approx(105.03)
    assert transport.stretch.seconds_at(2.0) == pytest.approx(101.0)


def test_a_nudge_by_beats_needs_a_tempo() -> None:
    transport = Transport()
    transport.poll(100.0)
    with pytest.raises(InputError, match="nudge by seconds"):
        transport.nudge(beats=0.1)
    with pytest.raises(InputError, match="no number"):
        transport.nudge(seconds=math.nan)


def test_here_is_one_moves_the_bar_and_by_hand_the_beat_too() -> None:
    transport = playing()
    run(transport, 100.0, 103.03)
    transport.downbeat(103.03)
    assert transport.stretch is not None
    assert transport.stretch.grid().bar_lines(0, 15) == pytest.approx([0, 4, 6, 10, 14])
    assert transport.stretch.seconds_at(8.0) == pytest.approx(104.03)


def test_here_is_one_on_a_clock_moves_the_bar_alone() -> None:
    transport = Transport("clock")
    sender = ClockSender()
    sender.start()
    sender.play(9.9, 120)
    play_into(transport, sender)
    before = transport.stretch.seconds_at(12.0) if transport.stretch else 0.0
    transport.downbeat(sender.seconds)
    assert transport.stretch is not None
    assert transport.stretch.seconds_at(12.0) == before
    assert 10.0 in transport.stretch.grid().bar_lines(0, 15)


def test_while_the_song_stands_there_is_no_one() -> None:
    with pytest.raises(InputError, match="start it first"):
        Transport().downbeat(100.0)


def test_what_the_daw_starts_is_not_started_here() -> None:
    transport = Transport("clock", bpm=120.0)
    for button in (transport.play, transport.stop):
        with pytest.raises(InputError, match="the transport follows clock"):
            button(100.0)


def test_tapping_and_setting_the_tempo_reach_the_manual_source() -> None:
    transport = Transport()
    assert [transport.tap(100 + n * 0.5) for n in range(4)][-1] == pytest.approx(120.0)
    transport.play(102.0)
    transport.set_bpm(90.0, 102.0)
    transport.poll(102.0)
    assert transport.state(102.0).bpm == pytest.approx(90.0)


def test_tracked_beats_are_followed_when_nobody_else_tells() -> None:
    transport = Transport()
    transport.poll(100.0)
    assert transport.wants_audio(100.0) == 20.0
    beats = [80.0 + n * 0.5 for n in range(40)]
    transport.estimate(beats, [n for n in range(40) if n % 4 == 0], Meter(), 100.3)
    transport.poll(100.3)
    state = transport.state(100.3)
    assert (state.source, state.playing, state.meter) == ("audio", True, "4/4")
    assert state.beat == pytest.approx(0.6, abs=1e-6)


def test_whatever_comes_nothing_raises_and_passed_beats_stay() -> None:
    rng = random.Random(7)
    transport, now = Transport(bpm=120.0), 100.0
    numbers = [0]
    for _ in range(20_000):
        now += rng.choice([0.01] * 200 + [0.3, 6.0, -1.0, -0.1])
        match rng.randrange(12):
            case 0:
                transport.receive_midi(
                    rng.choice([b"\xfa", b"\xfc", b"\xf2\x10\x00", b"\xfb"]), now
                )
            case 1 | 2 | 3:
                transport.receive_midi(b"\xf8", now)
            case 4 if rng.random() < 0.3:
                playing = rng.random() < 0.8
                loop = rng.choice([None, [0, 4], [8, 4], [4, 12]])
                meter = rng.choice(["4/4", "3/4", "7/8", None])
                beat = rng.uniform(-4, 40)
                transport.push(push(beat, playing, loop=loop, meter=meter), now)
            case 5 if rng.random() < 0.02:
                transport.choose(rng.choice(["auto", "manual", "clock", "script", "audio"]))
            case 6 if rng.random() < 0.1:
                transport.set_meter(Meter(rng.choice([2, 3, 4, 5]), 4), now)
            case 7 if rng.random() < 0.1:
                transport.nudge(seconds=rng.uniform(-0.5, 0.5))
            case 8:
                transport.estimate([now - 20 + n * 0.5 for n in range(40)], [0], None, now)
            case _:
                transport.tap(now)
        transport.poll(now)
        stretch = transport.stretch
        if stretch is not None:
            assert stretch.grid().beats.size >= 2
            numbers.append(stretch.number)
            assert stretch.start_seconds <= now + 1
        assert transport.state(now).meter
    assert numbers == sorted(numbers)
    assert numbers[-1] > 100
