"""Every control is in the table, refuses what it may not be, and does what it says."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidekeys_bridge.controls import CONTROLS, Controls
from sidekeys_engine.errors import InputError

TABLE = {control.name: control for control in CONTROLS}
junk = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(), st.integers(), max_size=2),
)  # fmt: skip


# --- the table ---


def test_the_table_and_the_controls_are_one():
    assert list(TABLE) == [field.name for field in fields(Controls)]
    assert {field.name: field.default for field in fields(Controls)} == {
        name: control.default for name, control in TABLE.items()
    }


def test_controllers_are_free_ones_and_no_two_controls_share_one():
    ccs = [control.cc for control in CONTROLS]
    assert len(set(ccs)) == len(ccs)
    assert set(ccs) <= set(range(102, 120))  # undefined in MIDI 1.0


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_every_control_says_what_it_may_be_in_words_when_refusing(control):
    refused = "x" * 300 if control.kind == "text" else "loud\nand clear"
    with pytest.raises(InputError) as refusal:
        Controls().with_change(control.name, refused)
    message = str(refusal.value)
    assert message.startswith(f"{control.name} cannot be")
    assert message.endswith(f"give {control.range}.")
    assert "\n" not in message
    assert len(message) < 200


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("transpose", 25, "a whole number from -24 to 24 semitones"),
        ("transpose", "1.5", "a whole number from -24 to 24"),
        ("temperature", 2.1, "from 0 to 2"),
        ("temperature", float("nan"), "from 0 to 2"),
        ("channel", 0, "from 1 to 16"),
        ("channel", True, "from 1 to 16"),
        ("pedal", "half", "on or off"),
        ("pedal", 2, "on or off"),
        ("velocity-curve", "steep", "soft, linear, hard or fixed"),
        ("seed", -1, "a whole number from 0"),
        ("composer", 3, "a name"),
    ],
)
def test_a_refusal_names_the_range(name: str, value: object, words: str):
    with pytest.raises(InputError, match=words):
        Controls().with_change(name, value)


def test_what_is_no_control_is_refused_with_those_there_are():
    with pytest.raises(InputError, match=r"no control 'volume'.*transpose.*mute"):
        Controls().with_change("volume", 3)


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("transpose", "-12", -12),
        ("transpose", 12.0, 12),
        ("temperature", "0.8", 0.8),
        ("pedal", "off", False),
        ("mute", "Yes", True),
        ("split", 1, True),
        ("velocity-curve", "HARD", "hard"),
        ("composer", " lyrical ", "lyrical"),
    ],
)
def test_text_is_read_as_it_is_typed(name: str, typed: object, value: object):
    changed = getattr(Controls().with_change(name, typed), name.replace("-", "_"))
    assert changed == value
    assert type(changed) is type(value)


def test_a_change_leaves_all_else_and_the_old_controls_as_they_were():
    before = Controls().with_change("seed", 7)
    after = before.with_change("transpose", 3)
    assert (before.transpose, after.transpose, after.seed) == (0, 3, 7)


def test_the_lowest_key_cannot_pass_the_highest():
    with pytest.raises(InputError, match="lies above"):
        Controls().with_change("lowest_pitch", 109)


@given(st.one_of(st.sampled_from(list(TABLE)), st.text()), junk)
def test_no_junk_does_more_than_be_refused(name: str, value: object):
    try:
        controls = Controls().with_change(name, value)
    except InputError:
        return
    assert Controls(**{field.name: getattr(controls, field.name) for field in fields(Controls)})


# --- automation ---


@given(st.integers(0, 127), st.integers(0, 127))
def test_every_control_change_leaves_controls_that_may_be(cc: int, value: int):
    controls = Controls().with_cc(cc, value, ["a", "b"])
    assert controls.lowest_pitch <= controls.highest_pitch
    if cc not in {control.cc for control in CONTROLS}:
        assert controls == Controls()


@pytest.mark.parametrize(
    ("name", "least", "greatest"),
    [
        ("transpose", -24, 24), ("temperature", 0.0, 2.0), ("velocity_curve", "soft", "fixed"),
        ("pedal", False, True), ("channel", 1, 16), ("split_pitch", 0, 127), ("seed", 0, 127),
        ("velocity_fixed", 1, 127), ("velocity_offset", -63, 63),
    ],
)  # fmt: skip
def test_a_controller_sweeps_the_whole_range(name: str, least: object, greatest: object):
    cc = TABLE[name].cc
    swept = [getattr(Controls().with_cc(cc, value), name) for value in range(128)]
    assert (swept[0], swept[-1]) == (least, greatest)
    if not isinstance(least, str):
        assert swept == sorted(swept)


@pytest.mark.parametrize("name", ["transpose", "velocity_offset"])
def test_the_middle_of_a_controller_changes_nothing(name: str):
    assert Controls().with_cc(TABLE[name].cc, 64) == Controls()


def test_a_controller_moves_one_end_of_the_range_past_the_other():
    moved = Controls().with_cc(TABLE["highest_pitch"].cc, 10)
    assert (moved.lowest_pitch, moved.highest_pitch) == (10, 10)
    moved = moved.with_cc(TABLE["lowest_pitch"].cc, 60)
    assert (moved.lowest_pitch, moved.highest_pitch) == (60, 60)


def test_program_change_chooses_the_composer_of_that_number():
    composers = ["calm", "lyrical"]
    assert Controls().with_program(1, composers).composer == "lyrical"
    assert Controls().with_cc(TABLE["composer"].cc, 1, composers).composer == "lyrical"
    assert Controls().with_program(2, composers) == Controls()
    assert Controls().with_program(0, []) == Controls()


# --- notes ---


def test_notes_are_played_as_they_are_by_default():
    for pitch in range(21, 109):
        for velocity in (1, 64, 127):
            assert Controls().voices(pitch, velocity) == (1, pitch, velocity)


def test_muted_is_silent():
    assert Controls(mute=True).voices(60, 80) is None


@given(st.integers(0, 127), st.integers(-24, 24), st.integers(0, 116), st.integers(11, 127))
def test_transposed_notes_are_folded_by_octaves_into_the_range(
    pitch: int, transpose: int, lowest: int, width: int
):
    highest = min(lowest + width, 127)
    controls = Controls(transpose=transpose, lowest_pitch=lowest, highest_pitch=highest)
    voice = controls.voices(pitch, 80)
    assert voice is not None
    assert lowest <= voice[1] <= highest
    assert (voice[1] - pitch - transpose) % 12 == 0
    if lowest <= pitch + transpose <= highest:
        assert voice[1] == pitch + transpose


def test_a_key_that_a_narrow_range_does_not_have_is_left_out():
    controls = Controls(lowest_pitch=60, highest_pitch=62)
    assert controls.voices(73, 80) == (1, 61, 80)
    assert controls.voices(64, 80) is None


@given(st.integers(1, 127), st.integers(-63, 63))
def test_a_velocity_stays_one(velocity: int, offset: int):
    for curve in ("soft", "linear", "hard", "fixed"):
        voice = Controls(velocity_curve=curve, velocity_offset=offset).voices(60, velocity)
        assert voice is not None
        assert 1 <= voice[2] <= 127


def test_soft_is_softer_and_hard_is_louder_but_for_the_ends():
    def played(curve: str) -> list[int]:
        controls = Controls(velocity_curve=curve)
        voices = [controls.voices(60, velocity) for velocity in range(1, 128)]
        return [voice[2] for voice in voices if voice is not None]

    soft, linear, hard = (played(curve) for curve in ("soft", "linear", "hard"))
    assert linear == list(range(1, 128))
    assert soft == sorted(soft)
    assert hard == sorted(hard)
    assert soft[63] < linear[63] < hard[63]
    assert soft[-1] == hard[-1] == 127


def test_fixed_plays_all_notes_alike():
    controls = Controls(velocity_curve="fixed", velocity_fixed=90)
    assert controls.voices(60, 3) == controls.voices(60, 120) == (1, 60, 90)


def test_hands_are_split_by_the_key_that_sounds():
    controls = Controls(split=True, channel=3, left_channel=5, split_pitch=60, transpose=-12)
    assert controls.voices(71, 80) == (5, 59, 80)
    assert controls.voices(72, 80) == (3, 60, 80)
    assert controls.channels == (3, 5)
    assert Controls(channel=3).channels == (3,)
