"""Notes and sounds by place: which of them stay when something else is heard."""

from __future__ import annotations

import numpy as np

from sidekeys_bridge.memory import Played, SongMemory, Sound
from sidekeys_engine.beat_grid import Window
from sidekeys_engine.note_tokens import StepNote

KILOBYTE = 1024


def window(start: float, end: float) -> Window:
    return Window(start, 4.0, end - start)


def sound(kilobytes: int = 1, *, is_part: bool = False) -> Sound:
    samples = np.zeros(kilobytes * KILOBYTE // 4, dtype=np.float32)
    return Sound(samples, 0, (), is_part=is_part)


def notes(start: float, end: float, *, composer: str = "full", is_part: bool = False) -> Played:
    return Played(window(start, end), (StepNote(0, 4, 60),), composer, is_part=is_part)


def test_what_is_kept_of_sounds_is_so_many_bytes_and_the_oldest_goes_first():
    memory = SongMemory(most_sound_bytes=3 * KILOBYTE)
    for start in (0.0, 4.0, 8.0):
        assert memory.hear(window(start, start + 4), sound())
    memory.hear(window(0.0, 4.0), sound())  # heard again: the newest now
    memory.hear(window(12.0, 16.0), sound(2))
    assert [memory.sound_at((start, start + 4)) is not None for start in (0.0, 4.0, 8.0, 12.0)] == [
        True, False, False, True,
    ]  # fmt: skip
    memory.forget()
    for start in (0.0, 4.0, 8.0):
        memory.hear(window(start, start + 4), sound())
    assert memory.sound_at((0.0, 4.0)) is not None


def test_a_memory_without_room_for_sounds_keeps_notes():
    memory = SongMemory(most_sound_bytes=0)
    assert memory.hear(window(0.0, 4.0), sound())
    memory.learn(notes(0.0, 4.0))
    assert memory.at(window(0.0, 4.0)) is not None
    assert not list(memory.outdated("block"))


def test_windows_that_lie_across_others_replace_them():
    memory = SongMemory()
    for start in (0.0, 4.0, 8.0):
        memory.hear(window(start, start + 4), sound())
        memory.learn(notes(start, start + 4))
    memory.hear(window(3.0, 6.0), sound())
    assert list(memory.outdated("full")) == [(3.0, 6.0)]
    memory.learn(notes(3.0, 6.0))
    memory.learn(notes(0.0, 4.0))  # it was asked for before, and comes late
    assert memory.at(window(3.0, 6.0)) is not None
    assert memory.at(window(0.0, 4.0)) is None
    assert memory.at(window(4.0, 8.0)) is None
    assert memory.at(window(8.0, 12.0)) is not None
    assert not list(memory.outdated("full"))
    assert list(memory.outdated("block")) == [(3.0, 6.0), (8.0, 12.0)]


def test_a_part_takes_nothing_from_the_whole_and_the_whole_replaces_a_part():
    memory = SongMemory()
    assert memory.hear(window(0.0, 4.0), sound(is_part=True))
    memory.learn(notes(0.0, 4.0, composer="block", is_part=True))
    assert memory.hear(window(0.0, 4.0), sound(is_part=True))
    assert memory.hear(window(0.0, 4.0), sound())
    assert not memory.hear(window(0.0, 4.0), sound(is_part=True))
    memory.learn(notes(0.0, 4.0))
    memory.learn(notes(0.0, 4.0, composer="block", is_part=True))
    played = memory.at(window(0.0, 4.0))
    assert played is not None
    assert played.composer == "full"


def test_a_part_does_not_replace_the_whole_of_which_the_sound_is_gone():
    memory = SongMemory(most_sound_bytes=0)
    memory.learn(notes(0.0, 4.0))
    assert not memory.hear(window(0.0, 4.0), sound(is_part=True))


def test_what_failed_is_outdated_again_when_it_is_heard_or_for_another_composer():
    memory = SongMemory()
    memory.hear(window(0.0, 4.0), sound())
    assert list(memory.outdated("full")) == [(0.0, 4.0)]
    memory.fail(window(0.0, 4.0), "full")
    assert not list(memory.outdated("full"))
    assert list(memory.outdated("block")) == [(0.0, 4.0)]
    memory.hear(window(0.0, 4.0), sound())
    assert list(memory.outdated("full")) == [(0.0, 4.0)]
