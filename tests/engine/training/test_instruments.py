"""What an orchestra promises, with the real fluidsynth."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sidekeys_engine.errors import InputError
from sidekeys_engine.training.instruments import (
    MAX_PARTS,
    RATE,
    Orchestra,
    Part,
    Sound,
    found_fonts,
)

PIANO, SQUARE, KIT = Sound(0, 0, 0), Sound(0, 0, 80), Sound(0, 128, 0)


@pytest.fixture(scope="module")
def orchestra() -> Iterator[Orchestra]:
    with Orchestra.found() as found:
        yield found


def notes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def loudness(audio: np.ndarray, start: float, end: float) -> float:
    heard = audio[round(start * RATE) : round(end * RATE)]
    return float(np.sqrt(np.mean(heard.astype(np.float64) ** 2)))


def test_each_font_of_the_system_is_found_once() -> None:
    fonts = found_fonts()
    assert any(font.name == "TimGM6mb.sf2" for font in fonts)
    assert len({font.resolve() for font in fonts}) == len(fonts)


def test_a_note_sounds_from_its_onset_on_and_not_before(orchestra: Orchestra) -> None:
    audio = orchestra.render([Part(PIANO, notes((0.5, 1.0, 60, 100)))], RATE)
    assert audio.shape == (RATE,)
    assert audio.dtype == np.float32
    assert np.abs(audio[: round(0.4985 * RATE)]).max() < 1e-6
    assert loudness(audio, 0.51, 0.6) > 0.005


@pytest.mark.parametrize("sound", [PIANO, KIT, Sound(0, 0, 25, release_timecents=-2400)])
def test_loud_notes_are_louder(orchestra: Orchestra, sound: Sound) -> None:
    soft, loud = (
        orchestra.render([Part(sound, notes((0.1, 0.5, 40, velocity)))], RATE // 2)
        for velocity in (40, 120)
    )
    assert loudness(loud, 0.1, 0.4) > 2 * loudness(soft, 0.1, 0.4)


def test_a_key_struck_again_sounds_although_its_first_note_had_not_ended(
    orchestra: Orchestra,
) -> None:
    twice = notes((0.1, 0.6, 60, 90), (0.5, 2.0, 60, 90))
    once = notes((0.1, 0.6, 60, 90))
    both, first = (orchestra.render([Part(SQUARE, n)], 2 * RATE) for n in (twice, once))
    assert loudness(both, 1.5, 1.9) > 20 * loudness(first, 1.5, 1.9)


def test_a_note_that_began_before_the_audio_sounds_from_its_start(orchestra: Orchestra) -> None:
    audio = orchestra.render([Part(SQUARE, notes((-0.2, 0.3, 60, 90)))], RATE)
    assert loudness(audio, 0.05, 0.2) > 0.005


def test_all_but_drums_are_detuned(orchestra: Orchestra) -> None:
    part, size = Part(PIANO, notes((0, 4, 69, 100))), 1 << 19
    peaks = []
    for cents in (-30.0, 0.0, 30.0):
        audio = orchestra.render([part], 2 * RATE, detune_cents=cents)[RATE // 2 :]
        spectrum = np.abs(np.fft.rfft(audio * np.hanning(audio.size), size))
        peaks.append(np.argmax(spectrum[: round(600 / RATE * size)]))
    np.testing.assert_allclose(1200 * np.diff(np.log2(peaks)), 30, atol=2)
    drums = Part(KIT, notes((0, 1, 38, 100)))
    straight, detuned = (orchestra.render([drums], RATE, detune_cents=c) for c in (0, 50))
    np.testing.assert_array_equal(straight, detuned)


def test_a_closed_filter_is_darker(orchestra: Orchestra) -> None:
    part = notes((0, 1, 48, 100))
    bright, dark = (
        orchestra.render([Part(Sound(0, 0, 81, darker_cents=cents), part)], RATE)
        for cents in (0, 3600)
    )
    steps = [np.abs(np.diff(audio)).mean() / np.abs(audio).mean() for audio in (bright, dark)]
    assert steps[1] < 0.8 * steps[0]


def test_what_was_played_before_leaves_no_trace(orchestra: Orchestra) -> None:
    part = [Part(PIANO, notes((0.1, 0.5, 60, 100), (0.3, 0.9, 64, 70)))]
    first = orchestra.render(part, 12_345)
    orchestra.render([Part(Sound(0, 0, 48, vibrato=90), notes((0, 3, 50, 120)))], 10_001)
    np.testing.assert_array_equal(orchestra.render(part, 12_345), first)


def test_parts_play_together(orchestra: Orchestra) -> None:
    parts = [Part(PIANO, notes((0.1, 0.4, 60, 90))), Part(KIT, notes((0.1, 0.2, 36, 90)))]
    together = orchestra.render(parts, RATE)
    apart = sum(orchestra.render([part], RATE) for part in parts)
    np.testing.assert_allclose(together, apart, atol=1e-4)


def test_without_parts_there_is_silence(orchestra: Orchestra) -> None:
    assert not orchestra.render([], 100).any()
    assert not orchestra.render([Part(PIANO, notes())], 100).any()
    with pytest.raises(ValueError, match="can play together"):
        orchestra.render([Part(PIANO, notes())] * (MAX_PARTS + 1), 100)


def test_only_what_was_asked_for_is_drawn(orchestra: Orchestra) -> None:
    rng = np.random.default_rng(0)
    drawn = [orchestra.draw((4, 25), rng) for _ in range(60)]
    assert {sound.program for sound in drawn} == {4, 25}
    assert {sound.font for sound in drawn} == set(range(orchestra.font_count))
    assert all(sound.bank != 128 for sound in drawn)
    assert {orchestra.draw_kit(rng).bank for _ in range(20)} == {128}
    with pytest.raises(ValueError, match="has this instrument"):
        orchestra.draw((200,), rng)


def test_every_drawn_sound_is_heard(orchestra: Orchestra) -> None:
    rng = np.random.default_rng(1)
    for program in (0, 5, 16, 24, 29, 38, 48, 52, 62, 73, 81, 89):
        sound = orchestra.draw((program,), rng)
        audio = orchestra.render([Part(sound, notes((0, 1, 50, 90)))], RATE)
        assert loudness(audio, 0.1, 1) > 1e-3, sound
    for _ in range(10):
        kit = orchestra.draw_kit(rng)
        audio = orchestra.render([Part(kit, notes((0, 1, 38, 90)))], RATE)
        assert loudness(audio, 0, 0.2) > 1e-3, kit


def test_a_closed_orchestra_plays_no_more() -> None:
    with Orchestra(found_fonts()[-1:]) as closed:
        assert closed.font_count == 1
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        closed.render([], 100)


def test_without_fluidsynth_or_fonts_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "broken.sf2"
    broken.write_bytes(b"no soundfont")
    for fonts in ([], [broken]):
        with pytest.raises(InputError, match="apt-get install fluid-soundfont-gm"):
            Orchestra(fonts)

    def missing(name: str) -> ctypes.CDLL:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    monkeypatch.setattr(ctypes.util, "find_library", lambda _: None)
    with pytest.raises(InputError, match="apt-get install fluidsynth"):
        Orchestra.found()
