"""Every note ends, nothing comes early, and one key is one string."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidekeys_bridge.scheduler import LATEST_SECONDS, SHORTEST_SECONDS, Scheduler

DOWN, UP = bytes((0xB0, 64, 127)), bytes((0xB0, 64, 0))
FOREVER = 1e6


def on(pitch: int, velocity: int = 80, channel: int = 1) -> bytes:
    return bytes((0x8F + channel, pitch, velocity))


def off(pitch: int, channel: int = 1) -> bytes:
    return bytes((0x7F + channel, pitch, 0))


def test_a_note_comes_when_it_is_due_and_no_sooner():
    scheduler = Scheduler()
    scheduler.strike(1.0, 2.0, 1, 60, 80)
    assert scheduler.next_due_seconds == 1.0
    assert scheduler.due(0.9999) == []
    assert scheduler.due(1.0) == [on(60)]
    assert scheduler.next_due_seconds == 2.0
    assert scheduler.due(1.9999) == []
    assert scheduler.due(2.0) == [off(60)]
    assert scheduler.next_due_seconds is None


def test_the_channel_is_in_the_message():
    scheduler = Scheduler()
    scheduler.strike(1.0, 2.0, 16, 60, 80)
    assert scheduler.due(1.0) == [bytes((0x9F, 60, 80))]
    assert scheduler.due(2.0) == [bytes((0x8F, 60, 0))]


def test_a_note_that_is_too_late_is_left_out_with_its_end_and_counted():
    scheduler = Scheduler()
    handle = scheduler.strike(1.0, 2.0, 1, 60, 80)
    assert scheduler.due(1.0 + LATEST_SECONDS + 0.001) == []
    assert scheduler.due(FOREVER) == []
    assert scheduler.counters.late_notes_dropped == 1
    assert scheduler.counters.notes_struck == 0
    assert scheduler.take_dropped() == [handle]
    assert scheduler.take_dropped() == []
    assert not scheduler.extend(handle, 3.0)


def test_a_note_that_is_a_little_late_is_played():
    scheduler = Scheduler()
    scheduler.strike(1.0, 2.0, 1, 60, 80)
    assert scheduler.due(1.0 + LATEST_SECONDS * 0.9) == [on(60)]


def test_an_end_is_sent_however_late():
    scheduler = Scheduler()
    scheduler.strike(1.0, 2.0, 1, 60, 80)
    scheduler.due(1.0)
    assert scheduler.due(1000.0) == [off(60)]


def test_a_note_that_came_late_still_rings_for_a_while():
    scheduler = Scheduler()
    scheduler.strike(1.0, 1.02, 1, 60, 80)
    now = 1.0 + LATEST_SECONDS * 0.9
    assert scheduler.due(now) == [on(60)]
    assert scheduler.next_due_seconds == pytest.approx(now + SHORTEST_SECONDS)
    assert scheduler.due(FOREVER) == [off(60)]


@pytest.mark.parametrize("length", [0.0, -1.0])
def test_a_note_of_no_length_gets_one(length: float):
    scheduler = Scheduler()
    scheduler.strike(1.0, 1.0 + length, 1, 60, 80)
    assert scheduler.due(1.0) == [on(60)]
    assert scheduler.due(FOREVER) == [off(60)]


def test_one_key_goes_up_before_it_goes_down_again_at_one_instant():
    scheduler = Scheduler()
    scheduler.strike(2.0, 3.0, 1, 60, 90)
    scheduler.strike(1.0, 2.0, 1, 60, 80)
    assert scheduler.due(1.0) == [on(60)]
    assert scheduler.due(2.0) == [off(60), on(60, 90)]
    assert scheduler.due(FOREVER) == [off(60)]


def test_a_key_that_still_sounds_is_released_first_and_its_old_end_is_void():
    scheduler = Scheduler()
    first = scheduler.strike(1.0, 5.0, 1, 60, 80)
    scheduler.strike(2.0, 7.0, 1, 60, 90)
    scheduler.due(1.0)
    assert scheduler.due(2.0) == [off(60), on(60, 90)]
    assert not scheduler.extend(first, 8.0)
    assert scheduler.due(6.9) == []
    assert scheduler.due(7.0) == [off(60)]


def test_the_same_key_on_two_channels_is_two_keys():
    scheduler = Scheduler()
    scheduler.strike(1.0, 3.0, 1, 60, 80)
    scheduler.strike(2.0, 3.0, 2, 60, 80)
    scheduler.due(1.0)
    assert scheduler.due(2.0) == [on(60, channel=2)]
    assert sorted(scheduler.due(3.0)) == [off(60), off(60, channel=2)]


@pytest.mark.parametrize("louder_first", [True, False])
def test_of_two_strikes_of_one_key_at_one_instant_one_is_heard_at_the_louder_velocity(
    louder_first: bool,
):
    scheduler = Scheduler()
    strikes = [(2.0, 90), (4.0, 50)]
    for end, velocity in strikes if louder_first else strikes[::-1]:
        scheduler.strike(1.0, end, 1, 60, velocity)
    assert scheduler.due(1.0) == [on(60, 90)]
    assert scheduler.due(3.9) == []
    assert scheduler.due(4.0) == [off(60)]
    assert scheduler.counters.strikes_merged == 1


def test_an_end_can_be_moved_before_the_note_and_while_it_sounds():
    scheduler = Scheduler()
    handle = scheduler.strike(1.0, 2.0, 1, 60, 80)
    assert scheduler.extend(handle, 3.0)
    assert scheduler.due(1.0) == [on(60)]
    assert scheduler.extend(handle, 4.0)
    assert scheduler.due(3.5) == []
    assert scheduler.extend(handle, 3.8)
    assert scheduler.next_due_seconds == 3.8
    assert scheduler.due(3.8) == [off(60)]
    assert not scheduler.extend(handle, 5.0)
    assert scheduler.due(FOREVER) == []


def test_an_end_moved_into_the_past_is_due_at_once():
    scheduler = Scheduler()
    handle = scheduler.strike(1.0, 9.0, 1, 60, 80)
    scheduler.due(1.0)
    assert scheduler.extend(handle, -5.0)
    assert scheduler.due(2.0) == [off(60)]


def test_at_one_instant_keys_and_pedal_go_up_then_pedal_and_keys_go_down():
    scheduler = Scheduler()
    scheduler.strike(2.0, 3.0, 1, 64, 80)
    scheduler.pedal(2.0, True, 1)
    scheduler.pedal(2.0, False, 1)
    scheduler.pedal(1.0, True, 1)
    scheduler.strike(1.0, 2.0, 1, 60, 80)
    assert scheduler.due(1.0) == [DOWN, on(60)]
    assert scheduler.due(2.0) == [off(60), UP, DOWN, on(64)]


def test_a_pedal_that_is_down_is_not_put_down_again():
    scheduler = Scheduler()
    scheduler.pedal(1.0, True, 1)
    scheduler.pedal(1.5, True, 1)
    scheduler.pedal(2.0, False, 1)
    scheduler.pedal(2.5, False, 1)
    assert scheduler.due(FOREVER) == [DOWN, UP]


def test_panic_releases_what_sounds_and_drops_what_waits():
    scheduler = Scheduler()
    scheduler.pedal(0.5, True, 1)
    handles = [scheduler.strike(1.0, 9.0, 1, pitch, 80) for pitch in (60, 64)]
    scheduler.strike(1.0, 9.0, 3, 40, 80)
    scheduler.strike(5.0, 9.0, 5, 72, 80)
    scheduler.due(1.0)
    messages = scheduler.panic()
    assert set(messages[:3]) == {off(60), off(64), off(40, channel=3)}
    assert messages[3:] == [
        bytes((0xB0 | channel, control, 0)) for channel in (0, 2) for control in (64, 123, 120)
    ]
    assert scheduler.due(FOREVER) == []
    assert scheduler.next_due_seconds is None
    assert not any(scheduler.extend(handle, 10.0) for handle in handles)
    assert (scheduler.counters.sounding, scheduler.counters.waiting) == (0, 0)


def test_a_second_panic_releases_no_note_twice_but_silences_again():
    scheduler = Scheduler()
    scheduler.strike(1.0, 9.0, 1, 60, 80)
    scheduler.due(1.0)
    scheduler.panic()
    assert scheduler.panic() == [bytes((0xB0, control, 0)) for control in (64, 123, 120)]


def test_a_panic_before_the_first_note_says_nothing():
    assert Scheduler().panic() == []


@pytest.mark.parametrize(
    "arguments",
    [
        (math.nan, 1.0, 1, 60, 80),
        (0.0, math.inf, 1, 60, 80),
        (0.0, 1.0, 0, 60, 80),
        (0.0, 1.0, 17, 60, 80),
        (0.0, 1.0, 1, 128, 80),
        (0.0, 1.0, 1, -1, 80),
        (0.0, 1.0, 1, 60, 0),
        (0.0, 1.0, 1, 60, 128),
    ],
)
def test_what_is_no_note_is_refused_before_it_is_kept(arguments: tuple):
    scheduler = Scheduler()
    with pytest.raises(ValueError, match=r"moment|channel|note"):
        scheduler.strike(*arguments)
    assert scheduler.next_due_seconds is None


def test_a_moment_that_is_not_finite_is_refused_everywhere():
    scheduler = Scheduler()
    handle = scheduler.strike(0.0, 1.0, 1, 60, 80)
    with pytest.raises(ValueError, match="finite"):
        scheduler.extend(handle, math.nan)
    with pytest.raises(ValueError, match="finite"):
        scheduler.pedal(math.inf, True, 1)


# --- any use of it ---

moments = st.floats(min_value=-1.0, max_value=3.0).map(lambda seconds: round(seconds, 2))


class AnyUse(RuleBasedStateMachine):
    """An instrument listens: it knows what a synthesizer would sound."""

    @initialize()
    def begin(self):
        self.scheduler = Scheduler()
        self.now = 10.0
        self.sounding: dict[tuple[int, int], float] = {}
        self.pedals: set[int] = set()
        self.handles: list[int] = []
        self.due_moments: dict[tuple[int, int, int], set[float]] = {}
        self.struck = 0

    def hear(self, messages: list[bytes]):
        for status, data, value in messages:
            channel = status & 0x0F
            if status & 0xF0 == 0x90:
                due = self.due_moments[channel + 1, data, value]
                assert any(-1e-9 <= self.now - moment <= LATEST_SECONDS + 1e-9 for moment in due)
                assert (channel, data) not in self.sounding, "struck while it sounds"
                self.sounding[channel, data] = self.now
                self.struck += 1
            elif status & 0xF0 == 0x80:
                assert (channel, data) in self.sounding, "an end without a beginning"
                del self.sounding[channel, data]
            elif data == 64:
                (self.pedals.add if value else self.pedals.discard)(channel)

    @rule(
        wait=moments, length=moments, channel=st.integers(1, 2), pitch=st.integers(60, 62),
        velocity=st.integers(1, 3),
    )  # fmt: skip
    def strike(self, wait: float, length: float, channel: int, pitch: int, velocity: int):
        due = self.now + wait
        self.due_moments.setdefault((channel, pitch, velocity), set()).add(due)
        self.handles.append(self.scheduler.strike(due, due + length, channel, pitch, velocity))

    @precondition(lambda self: self.handles)
    @rule(data=st.data(), wait=moments)
    def extend(self, data: st.DataObject, wait: float):
        self.scheduler.extend(data.draw(st.sampled_from(self.handles)), self.now + wait)

    @rule(wait=moments, down=st.booleans(), channel=st.integers(1, 2))
    def pedal(self, wait: float, down: bool, channel: int):
        self.scheduler.pedal(self.now + wait, down, channel)

    @rule(seconds=st.sampled_from([0.0, 0.001, 0.01, 0.02, 0.1, 1.0]))
    def time_goes_by(self, seconds: float):
        self.now += seconds
        self.hear(self.scheduler.due(self.now))

    @rule()
    def next_thing(self):
        due = self.scheduler.next_due_seconds
        if due is not None and due > self.now:
            self.now = due
            messages = self.scheduler.due(self.now)
            before = dict(self.sounding)
            self.hear(messages)
            for key, since in before.items():
                ended = bytes((0x80 | key[0], key[1], 0)) in messages
                assert not ended or self.now - since > SHORTEST_SECONDS - 1e-9

    @rule()
    def panic(self):
        self.hear(self.scheduler.panic())
        assert not self.sounding
        assert not self.pedals
        assert self.scheduler.next_due_seconds is None

    @invariant()
    def the_ledger_is_what_sounds(self):
        assert self.scheduler.counters.sounding == len(self.sounding)
        assert self.scheduler.counters.notes_struck == self.struck

    def teardown(self):
        if hasattr(self, "scheduler"):
            self.now = FOREVER
            self.hear(self.scheduler.due(self.now))
            assert not self.sounding
            assert self.scheduler.counters.waiting == 0


TestAnyUse = AnyUse.TestCase
TestAnyUse.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@given(
    st.lists(st.tuples(moments, moments, st.integers(60, 64)), max_size=30),
    st.floats(min_value=0.001, max_value=0.02),
)
@settings(max_examples=60, deadline=None)
def test_asked_often_enough_it_plays_every_note_that_is_not_on_top_of_another(
    strikes: list[tuple[float, float, int]], step: float
):
    scheduler = Scheduler()
    for due, length, pitch in strikes:
        scheduler.strike(due, due + length, 1, pitch, 80)
    heard, now = [], -1.0
    while now < 7.0:
        heard += scheduler.due(now)
        now += step
    counters = scheduler.counters
    assert counters.late_notes_dropped == 0
    assert counters.notes_struck + counters.strikes_merged == len(strikes)
    struck = sum(message[0] == 0x90 for message in heard)
    assert struck == len(heard) - struck == counters.notes_struck
