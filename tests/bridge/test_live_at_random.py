"""Whatever song, engine and musician do: nothing hangs, and the engine comes to rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import given, note, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from live_rig import Keyboard, Rig, made_rig
from sidekeys_engine.note_tokens import StepNote
from sidekeys_engine.notes import Meter

SLOWEST_BPM = 60.0
LONGEST_BEATS = 8.0  # of the notes below: a window, and a part of the next one
SLACK_SECONDS = 0.2
METERS = [(4, 4), (3, 4), (6, 8), (5, 4), (7, 8), (2, 4)]

Move = Callable[[Rig], None]


def music(content: Mapping[str, Any], _samples: NDArray[np.float32]) -> Sequence[StepNote]:
    """Chords of many lengths; some sound on into the next window."""
    root = {"full": 60, "block": 41}[content["composer"]] + content["window_number"] % 5
    return [
        StepNote(0, 5, root - 12, 80, is_held_before=True),
        StepNote(0, 4, root, 80),
        StepNote(2, 6, root + 4, 80),
        StepNote(6, 16, root - 12, 80, is_held_after=True),
        *(StepNote(6, 14, root + step, 80) for step in (-5, 0, 4, 7)),
        StepNote(14, 16, root, 80),
        StepNote(15, 16, root + 12, 80),
    ]


def playing(
    first: float, bpm: float, meter: tuple[int, int], loop: tuple[float, float] | None
) -> Move:
    def play(rig: Rig) -> None:
        rig.song.bpm, rig.song.meter, rig.song.loop = bpm, Meter(*meter), loop
        rig.song.play(rig.now_seconds, first)

    return play


def from_its_loop(play: Move) -> Move:
    def play_loop(rig: Rig) -> None:
        play(rig)
        if rig.song.loop is not None:
            rig.song.play(rig.now_seconds, rig.song.loop[0])

    return play_loop


def setting(name: str, value: Any) -> Move:
    return lambda rig: rig.set(**{name: value})


def another_engine(rig: Rig) -> None:
    rig.live.lose_engine()
    rig.run(0.5)
    rig.start_engine(generation_seconds=rig.engine.takes_seconds)


QUARTERS = st.integers(0, 48).map(lambda count: count / 4)
LOOPS = st.tuples(QUARTERS, st.sampled_from([1, 1.5, 2, 3, 4, 5, 6, 7.75, 8, 12])).map(
    lambda loop: (loop[0], loop[0] + loop[1])
)
PLAYS = st.builds(
    playing,
    QUARTERS,
    st.sampled_from([SLOWEST_BPM, 104.0, 120.0, 240.0, 300.0]),
    st.sampled_from(METERS),
    st.one_of(st.none(), LOOPS),
)
MOVES = st.one_of(
    PLAYS,
    PLAYS.map(from_its_loop),
    st.just(lambda rig: rig.song.stop(rig.now_seconds)),
    st.sampled_from(["echo", "loop", "loop"]).map(
        lambda mode: lambda rig: rig.live.choose_mode(mode)
    ),
    st.sampled_from([None, 3, 5, 7]).map(lambda delay: lambda rig: rig.live.choose_delay(delay)),
    st.just(another_engine),
    st.sampled_from(
        [
            ("composer", "full"), ("composer", "block"), ("pedal", True), ("pedal", False),
            ("playable", True), ("playable", False), ("channel", 1), ("channel", 4),
            ("split", True), ("split", False), ("transpose", 7), ("transpose", 0),
        ]
    ).map(lambda change: setting(*change)),
    st.booleans().map(lambda fails: lambda rig: setattr(rig.engine, "fails", fails)),
)  # fmt: skip


def check(rig: Rig) -> None:
    """Nothing is down for longer than anything could be meant to be."""
    piano: Keyboard = rig.piano
    longest_seconds = LONGEST_BEATS * 60 / SLOWEST_BPM + SLACK_SECONDS
    assert all(rig.now_seconds - since < longest_seconds for since in piano.keys.values())
    touched = max(piano.touched_seconds.values(), default=0.0)
    for since in piano.feet.values():
        assert rig.now_seconds - max(since, touched) < longest_seconds
    if rig.song.stretch is None:
        assert not piano.keys
        assert not piano.feet
        assert piano.scheduler.counters.waiting == 0


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(MOVES, st.floats(0.1, 16.0)), min_size=4, max_size=12),
    st.sampled_from([0.0, 0.03, 0.06]),
    st.sampled_from([0.05, 0.3, 1.2]),
    st.floats(0.02, 0.3),
)
def test_nothing_hangs_and_the_engine_comes_to_rest(
    moves: list[tuple[Move, float]], late: float, takes: float, latency: float
):
    rig = made_rig(music, piano=Keyboard())
    rig.song.repeats, rig.song.late_seconds = True, late
    rig.engine.takes_seconds, rig.bus.latency_seconds = takes, latency
    rig.live.choose_mode("loop")
    for move, seconds in moves:
        move(rig)
        for _ in range(round(seconds / 0.02)):
            rig.tick()
            check(rig)
    rig.song.stop(rig.now_seconds)
    rig.tick()
    check(rig)
    rig.engine.fails = False
    outdated = len(list(rig.live.memory.outdated(rig.live.controls.composer)))
    rig.run(2.0 + (outdated + 1) * (takes + 0.1))
    asked = len(rig.engine.requests)
    rig.run(5.0)
    note(f"{asked} requests, {outdated} outdated at the end")
    assert len(rig.engine.requests) == asked
    check(rig)
    assert rig.piano.scheduler.counters.strikes_merged == 0
