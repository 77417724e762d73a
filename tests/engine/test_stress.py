"""Bar lines are felt most, then half bars, then beats; each meter has its own."""

from __future__ import annotations

import numpy as np
import pytest

from sidekeys_engine.beat_grid import BeatGrid
from sidekeys_engine.notes import Meter, MeterChange
from sidekeys_engine.stress import Stress, stress_at


@pytest.mark.parametrize(
    ("meter", "step", "expected"),
    [
        (Meter(4, 4), 0.5, "30102010" * 2),
        (Meter(3, 4), 0.5, "301010" * 2),
        (Meter(2, 4), 0.5, "3020"),
        (Meter(6, 8), 0.5, "300200" * 2),
        (Meter(9, 8), 0.5, "300100100"),
        (Meter(12, 8), 0.5, "300100200100"),
        (Meter(5, 4), 1.0, "31111"),
        (Meter(2, 2), 1.0, "3020"),
    ],
    ids=str,
)
def test_each_meter_has_its_stresses(meter: Meter, step: float, expected: str) -> None:
    grid = BeatGrid.from_tempo(100, meter=meter)
    places = [stress_at(grid, index * step) for index in range(len(expected))]
    assert "".join(str(int(place)) for place in places) == expected


def test_sixteenths_lie_between_the_beats() -> None:
    grid = BeatGrid.from_tempo(100)
    assert stress_at(grid, 0.25) == stress_at(grid, 3.75) == Stress.OFF_BEAT


def test_bars_count_from_where_the_meter_changes_and_rounding_does_not_matter() -> None:
    meters = (MeterChange(0.0, Meter(4, 4)), MeterChange(6.0, Meter(3, 4)))
    grid = BeatGrid(np.array([0.0, 20.0]), np.array([0.0, 10.0]), meters)
    assert stress_at(grid, 6.0) == stress_at(grid, 9.0 - 1e-9) == Stress.BAR
    assert stress_at(grid, 8.0 + 1e-9) == Stress.BEAT
