"""A part is a row of moments: what is struck together, what is held, which note an ear follows."""

from __future__ import annotations

from made_up_parts import part
from sidekeys_engine.moments import Moment, moments, presses_of


def seen(*notes: tuple[float, float, int]) -> list[Moment]:
    return list(moments(presses_of(part(*notes))))


def test_notes_of_one_onset_are_one_moment_and_held_ones_are_known() -> None:
    first, second = seen((1, 3, 64), (0, 2, 60), (0, 1, 48), (1, 2, 67))
    assert [press.pitch for press in first.struck] == [48, 60]
    assert [press.pitch for press in second.struck] == [64, 67]
    assert [press.pitch for press in second.held] == [60], "48 ends where the moment is"


def test_rounding_makes_no_second_moment() -> None:
    assert len(seen((0.1 + 0.2, 1, 60), (0.3, 1, 64))) == 1


def test_a_key_that_is_struck_again_comes_up_before() -> None:
    presses = presses_of(part((0, 4, 60), (1, 2, 60), (3, 4, 64)))
    first, second, third = moments(presses)
    assert not second.held
    assert first.struck[0].end == 1
    assert not third.held


def test_the_top_voice_is_the_highest_of_all_that_sound() -> None:
    chord, under_it, alone = seen((0, 2, 48), (0, 2, 72), (1, 2, 60), (3, 4, 40))
    assert chord.top is not None
    assert chord.top.pitch == 72
    assert under_it.top is None
    assert alone.top is not None


def test_the_lowest_voice_lies_under_all_others_and_is_never_the_top() -> None:
    chord, above_it, alone = seen((0, 2, 48), (0, 2, 72), (1, 2, 60), (3, 4, 40))
    assert chord.lowest is not None
    assert chord.lowest.pitch == 48
    assert above_it.lowest is None
    assert alone.lowest is None


def test_a_note_that_is_let_go_meanwhile_is_held_no_more() -> None:
    presses = presses_of(part((0, 8, 60), (1, 2, 64), (2, 3, 67)))
    held = []
    for moment in moments(presses):
        held.append([press.pitch for press in moment.held])
        for press in moment.held:
            press.end = moment.onset
    assert held == [[], [60], []]
