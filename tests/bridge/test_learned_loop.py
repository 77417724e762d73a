"""A loop that nobody tells of, known after two jumps alike."""

from __future__ import annotations

from sidekeys_bridge.learned_loop import LearnedLoop


def test_a_loop_is_learned_from_two_jumps_alike() -> None:
    learned = LearnedLoop()
    learned.jumped(8.01, 4.0)
    assert learned.loop is None
    learned.jumped(7.99, 4.0)
    assert learned.loop == (4.0, 8.0)
    learned.passed(8.05)
    assert learned.loop == (4.0, 8.0)
    learned.passed(8.2)
    assert learned.loop is None


def test_jumps_ahead_and_different_jumps_are_no_loop() -> None:
    learned = LearnedLoop()
    for from_beats, to_beats in [(4.0, 8.0), (4.0, 8.0), (8.0, 4.0), (8.0, 0.0), (12.0, 0.0)]:
        learned.jumped(from_beats, to_beats)
        assert learned.loop is None
