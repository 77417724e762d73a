"""What learning a song's meters promises: bars that passed stay, others begin at bar lines."""

from __future__ import annotations

import pytest

from sidekeys_bridge.song_meters import (
    bar_at,
    is_position,
    with_bar_line,
    with_meter_from_next_bar,
    with_told_bar,
    with_told_meter,
)
from sidekeys_engine.notes import Meter, MeterChange

FOUR = (MeterChange(0.0, Meter()),)
THREE = Meter(3, 4)


def test_a_bar_has_a_number_a_start_and_a_meter() -> None:
    assert bar_at(FOUR, 9.5) == (3, 8.0, Meter())
    assert bar_at(FOUR, -0.5) == (0, -4.0, Meter())


def test_another_meter_begins_at_the_next_bar_line() -> None:
    meters = with_meter_from_next_bar(FOUR, 9.5, THREE)
    assert meters == (*FOUR, MeterChange(12.0, THREE))
    assert with_meter_from_next_bar(FOUR, 8.0, THREE) == (*FOUR, MeterChange(8.0, THREE))


def test_a_change_taken_back_before_its_bar_line_never_happens() -> None:
    meters = with_meter_from_next_bar(FOUR, 9.5, THREE)
    assert with_meter_from_next_bar(meters, 10.0, Meter()) == FOUR


def test_a_bar_line_told_where_one_is_changes_nothing() -> None:
    assert with_bar_line(FOUR, 8.0005, Meter()) is FOUR
    assert with_bar_line(FOUR, 6.0, Meter()) == (*FOUR, MeterChange(6.0, Meter()))


def test_any_bar_line_of_the_meter_tells_the_present_bar() -> None:
    assert with_told_bar(FOUR, 33.5, 0.0, THREE) == (*FOUR, MeterChange(33.0, THREE))
    assert with_told_bar(FOUR, 33.5, 60.0, THREE) == (*FOUR, MeterChange(33.0, THREE))
    assert with_told_bar(FOUR, 33.5, 32.0, Meter()) is FOUR


def test_a_told_meter_holds_from_the_line_just_passed_or_else_from_the_next() -> None:
    assert with_told_meter(FOUR, 8.3, THREE, begun=False) == (*FOUR, MeterChange(8.0, THREE))
    assert with_told_meter(FOUR, 9.0, THREE, begun=False) == (*FOUR, MeterChange(12.0, THREE))
    assert with_told_meter(FOUR, 9.0, Meter(), begun=False) is FOUR


def test_a_song_that_begins_has_had_its_meter_from_the_start() -> None:
    assert with_told_meter(FOUR, 9.0, THREE, begun=True) == (MeterChange(0.0, THREE),)
    learned = (*FOUR, MeterChange(8.0, THREE))
    assert with_told_meter(learned, 15.0, Meter(), begun=True) == (
        *learned,
        MeterChange(14.0, Meter()),
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e9])
def test_some_numbers_are_no_song_position(value: float) -> None:
    assert not is_position(value)
    assert is_position(-12.5)
