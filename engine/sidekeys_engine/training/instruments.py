"""An orchestra of General MIDI soundfonts: parts in seconds in, mono audio out.

Fluidsynth plays; it is called through ``ctypes``, because a song has ten thousand events and
should sound in a second or two. Numbers of programs are those of General MIDI 1, counted from 0;
amounts of generators have the units of the SoundFont 2.04 specification, section 8.1.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from sidekeys_engine.errors import InputError

RATE = 22_050
MAX_PARTS = 32

Samples = npt.NDArray[np.float32]
TimedNotes = npt.NDArray[np.float64]  # (n, 4): onset_seconds, end_seconds, pitch, velocity
# The sample at which it is due, 1 for a key struck or 0 for one let go, channel, pitch, velocity.
_Event = tuple[int, int, int, int, int]

_LIBRARIES = ("libfluidsynth.so.3", "libfluidsynth.3.dylib", "libfluidsynth-3.dll")
_FOLDERS = tuple(
    Path("/usr") / folder / kind
    for folder in ("share/sounds", "share/soundfonts", "local/share/soundfonts")
    for kind in ("sf2", "sf3", "")
)
_SHORTEST_SECONDS = 0.03
_GAIN = 0.35
_BLOCK = 64  # samples: fluidsynth starts notes only between its blocks
_POLYPHONY = 80  # as many as a pedalled piano needs; more costs time that nobody hears
_LINEAR = 1  # interpolation between samples: nobody hears in a mix that it is not of fourth order
_DRUM_BANK = 128
# Banks and kits beyond these are those of one soundfont each, and silent without its controllers.
_LAST_BANK, _LAST_KIT = 9, 48
_VOLUME, _MODULATION, _PAN = 7, 1, 10
_FILTER_CENTS, _ATTACK, _RELEASE = 8, 34, 38
_BEND_CENTRE, _BEND_CENTS = 8192, 200  # the range of the wheel is two semitones to either side
# One sound chip of 1994 would otherwise be every fourth instrument.
_RARE_FONTS, _RARE_WEIGHT = ("opl",), 0.25


@dataclass(frozen=True)
class Sound:
    """An instrument of one of an orchestra's soundfonts, and how it is set.

    Attributes:
        font: index of the soundfont.
        bank: 128 for drum kits.
        program: 0 to 127.
        vibrato: the modulation wheel, 0 to 127.
        darker_cents: how far the low-pass filter is closed, absolute cents.
        attack_timecents: added to the time a note takes to rise.
        release_timecents: added to the time a note takes to die away.
    """

    font: int
    bank: int
    program: int
    vibrato: int = 0
    darker_cents: float = 0.0
    attack_timecents: float = 0.0
    release_timecents: float = 0.0


@dataclass(frozen=True, eq=False)
class Part:
    """Notes and the sound that plays them; ``notes`` in seconds, (n, 4), in any order."""

    sound: Sound
    notes: TimedNotes


class Orchestra:
    """Soundfonts and the synthesizer that plays them; a context manager, for it holds C memory.

    Every call of :meth:`render` has a synthesizer of its own: one that has played before starts
    its voices from where they were, so that the same notes would not be the same audio. It costs
    some 15 ms for each soundfont.

    Args:
        fonts: soundfont files. Those that do not load are left out.

    Raises:
        InputError: without fluidsynth, or when none of the fonts loads.
    """

    def __init__(self, fonts: Sequence[Path]) -> None:
        self._library = _library()
        self._settings = self._library.new_fluid_settings()
        self._configure()
        self._fonts: list[Path] = []
        self._presets: list[frozenset[tuple[int, int]]] = []
        self._weights: list[float] = []
        for font in fonts:
            self._read(font)
        if not self._fonts:
            self.close()
            raise InputError(
                "no soundfont was found; type: sudo apt-get install fluid-soundfont-gm "
                "musescore-general-soundfont-small"
            )

    @classmethod
    def found(cls) -> Orchestra:
        """The soundfonts of this system, and the one that ``pretty_midi`` brings along.

        Raises:
            InputError: without fluidsynth, or without any soundfont; says what to install.
        """
        return cls(found_fonts())

    def __enter__(self) -> Orchestra:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back; nothing can be played afterwards."""
        if self._settings:
            self._library.delete_fluid_settings(self._settings)
            self._settings = None

    @property
    def font_count(self) -> int:
        """How many soundfonts were loaded."""
        return len(self._fonts)

    def draw(self, programs: Sequence[int], rng: np.random.Generator) -> Sound:
        """One of these programs, from any soundfont, sometimes in a variant of another bank.

        Raises:
            ValueError: if no soundfont has any of them.
        """
        program = int(rng.choice(np.asarray(programs)))
        return self._drawn(lambda bank, number: bank <= _LAST_BANK and number == program, rng)

    def draw_kit(self, rng: np.random.Generator) -> Sound:
        """A drum kit of any soundfont.

        Raises:
            ValueError: if none has drums.
        """
        return self._drawn(lambda bank, number: bank == _DRUM_BANK and number <= _LAST_KIT, rng)

    def render(self, parts: Sequence[Part], samples: int, *, detune_cents: float = 0.0) -> Samples:
        """Play parts together; dry, without reverb or chorus.

        A note starts within 1.5 ms of its onset. A key struck again ends its note before.

        Args:
            parts: at most ``MAX_PARTS``.
            samples: how long the audio shall be; what rings on is cut.
            detune_cents: of all but the drums, -200 to 200.

        Returns:
            (samples,) at ``RATE``, mono. Loudness is the soundfont's: level it.

        Raises:
            ValueError: for too many parts, or after :meth:`close`.
        """
        if len(parts) > MAX_PARTS:
            raise ValueError(f"{len(parts)} parts; {MAX_PARTS} can play together")
        # Whole blocks: that is what is played.
        size = -(-samples // _BLOCK) * _BLOCK
        left, right = np.zeros(size, np.float32), np.zeros(size, np.float32)
        with self._synthesizer() as synth:
            self._seat(synth, parts, detune_cents)
            self._play(synth, _events(parts, size), left, right)
        left += right
        left *= np.float32(0.5)
        return left[:samples]

    # ------------------------------------------------------------------------------- set-up

    def _configure(self) -> None:
        numbers = {b"synth.sample-rate": float(RATE), b"synth.gain": _GAIN}
        switches = {
            b"synth.reverb.active": 0,
            b"synth.chorus.active": 0,
            b"synth.polyphony": _POLYPHONY,
            b"synth.midi-channels": MAX_PARTS,
            b"synth.dynamic-sample-loading": 1,  # else every font lies in memory as a whole
            b"synth.threadsafe-api": 0,
            b"synth.cpu-cores": 1,
        }
        for name, number in numbers.items():
            self._library.fluid_settings_setnum(self._settings, name, number)
        for name, switch in switches.items():
            self._library.fluid_settings_setint(self._settings, name, switch)

    def _read(self, font: Path) -> None:
        """Learn what a soundfont has, if it loads."""
        with self._synthesizer() as synth:
            number = self._library.fluid_synth_sfload(synth, str(font).encode(), 0)
            if number >= 0:
                self._fonts.append(font)
                self._presets.append(frozenset(self._listed(synth, number)))
                rare = any(name in font.name.lower() for name in _RARE_FONTS)
                self._weights.append(_RARE_WEIGHT if rare else 1.0)

    def _listed(self, synth: int, number: int) -> Iterator[tuple[int, int]]:
        """(bank, program) of the presets of a loaded font."""
        font = self._library.fluid_synth_get_sfont_by_id(synth, number)
        self._library.fluid_sfont_iteration_start(font)
        while preset := self._library.fluid_sfont_iteration_next(font):
            yield (
                self._library.fluid_preset_get_banknum(preset),
                self._library.fluid_preset_get_num(preset),
            )

    def _drawn(self, fits: Callable[[int, int], bool], rng: np.random.Generator) -> Sound:
        choices = [sorted(p for p in presets if fits(*p)) for presets in self._presets]
        weights = np.array([w * bool(c) for w, c in zip(self._weights, choices, strict=True)])
        if not weights.any():
            raise ValueError("no soundfont of the orchestra has this instrument")
        font = int(rng.choice(len(choices), p=weights / weights.sum()))
        # The plain one in two of three cases, whatever the number of variants.
        plain = rng.random() < 2 / 3
        bank, program = choices[font][0 if plain else int(rng.integers(len(choices[font])))]
        return Sound(font, bank, program)

    # ------------------------------------------------------------------------------- playing

    @contextmanager
    def _synthesizer(self) -> Iterator[int]:
        """A synthesizer without any font."""
        if self._settings is None:
            raise ValueError("the orchestra was closed")
        synth = self._library.new_fluid_synth(self._settings)
        try:
            yield synth
        finally:
            self._library.delete_fluid_synth(synth)

    def _seat(self, synth: int, parts: Sequence[Part], detune_cents: float) -> None:
        """Load the fonts that parts need, and give each part a channel with its sound."""
        library = self._library
        numbers = {
            font: library.fluid_synth_sfload(synth, str(self._fonts[font]).encode(), 0)
            for font in sorted({part.sound.font for part in parts})
        }
        library.fluid_synth_set_interp_method(synth, -1, _LINEAR)
        for channel, sound in enumerate(part.sound for part in parts):
            drums = sound.bank == _DRUM_BANK
            library.fluid_synth_set_channel_type(synth, channel, int(drums))
            preset = numbers[sound.font], sound.bank, sound.program
            library.fluid_synth_program_select(synth, channel, *preset)
            for control, value in ((_VOLUME, 100), (_MODULATION, sound.vibrato), (_PAN, 64)):
                library.fluid_synth_cc(synth, channel, control, value)
            for generator, amount in (
                (_FILTER_CENTS, -sound.darker_cents),
                (_ATTACK, sound.attack_timecents),
                (_RELEASE, sound.release_timecents),
            ):
                library.fluid_synth_set_gen(synth, channel, generator, amount)
            bend = 0 if drums else round(detune_cents / _BEND_CENTS * _BEND_CENTRE)
            bend = min(max(_BEND_CENTRE + bend, 0), 2 * _BEND_CENTRE - 1)
            library.fluid_synth_pitch_bend(synth, channel, bend)

    def _play(self, synth: int, events: Sequence[_Event], left: Samples, right: Samples) -> None:
        """Fill both channels, striking and letting go of keys on the way."""
        write, now = self._library.fluid_synth_write_float, 0
        at = left.ctypes.data, right.ctypes.data
        for due, struck, channel, pitch, velocity in events:
            if due > now:
                write(synth, due - now, at[0], now, 1, at[1], now, 1)
                now = due
            if struck:
                self._library.fluid_synth_noteon(synth, channel, pitch, velocity)
            else:
                self._library.fluid_synth_noteoff(synth, channel, pitch)
        if left.size > now:
            write(synth, left.size - now, at[0], now, 1, at[1], now, 1)


def found_fonts() -> list[Path]:
    """Soundfont files of this system, each once, by name; the one of ``pretty_midi`` comes last."""
    files = {
        file.resolve()
        for folder in _FOLDERS
        for suffix in ("*.sf2", "*.sf3")
        for file in folder.glob(suffix)
    }
    fonts = sorted((file for file in files if file.is_file()), key=lambda file: file.name)
    spec = importlib.util.find_spec("pretty_midi")
    if spec is not None and spec.origin is not None:
        fonts += sorted(Path(spec.origin).parent.glob("*.sf2"))
    return fonts


def _events(parts: Sequence[Part], samples: int) -> list[_Event]:
    """All that happens before the audio ends, by time."""
    tables = []
    for channel, part in enumerate(parts):
        notes = _without_overlaps(part.notes)
        due = np.round(notes[:, :2] * RATE / _BLOCK).astype(np.int64) * _BLOCK  # (n, 2)
        rest = np.clip(np.round(notes[:, 2:]), 1, 127).astype(np.int64)
        for struck in (1, 0):
            table = np.empty((len(notes), 5), dtype=np.int64)
            table[:, 0] = np.maximum(due[:, 1 - struck], 0)
            table[:, 1], table[:, 2], table[:, 3:] = struck, channel, rest
            tables.append(table)
    if not tables:
        return []
    events = np.concatenate(tables)
    events = events[events[:, 0] < samples]
    order = np.lexsort((events[:, 3], events[:, 2], events[:, 1], events[:, 0]))
    return [tuple(event) for event in events[order].tolist()]


def _without_overlaps(notes: TimedNotes) -> TimedNotes:
    """Notes of one key one after the other, none too short to be heard; those before 0 s go."""
    notes = notes[np.lexsort((notes[:, 0], notes[:, 2]))].copy()
    notes[:, 1] = np.maximum(notes[:, 1], notes[:, 0] + _SHORTEST_SECONDS)
    again = notes[1:, 2] == notes[:-1, 2]
    notes[:-1, 1] = np.where(again, np.minimum(notes[:-1, 1], notes[1:, 0]), notes[:-1, 1])
    return notes[(notes[:, 1] > notes[:, 0]) & (notes[:, 1] > 0)]


def _library() -> ctypes.CDLL:
    """Fluidsynth with the types of the functions used here.

    Raises:
        InputError: if it is not installed.
    """
    for name in (*_LIBRARIES, ctypes.util.find_library("fluidsynth")):
        try:
            library = ctypes.CDLL(name) if name else None
        except OSError:
            continue
        if library is not None:
            return _typed(library)
    raise InputError(
        "fluidsynth is missing; type: sudo apt-get install fluidsynth fluid-soundfont-gm"
    )


def _typed(library: ctypes.CDLL) -> ctypes.CDLL:
    handle, number, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    signatures: dict[str, tuple[type | None, list[type]]] = {
        "new_fluid_settings": (handle, []),
        "delete_fluid_settings": (None, [handle]),
        "fluid_settings_setnum": (number, [handle, text, ctypes.c_double]),
        "fluid_settings_setint": (number, [handle, text, number]),
        "new_fluid_synth": (handle, [handle]),
        "delete_fluid_synth": (None, [handle]),
        "fluid_synth_sfload": (number, [handle, text, number]),
        "fluid_synth_get_sfont_by_id": (handle, [handle, number]),
        "fluid_sfont_iteration_start": (None, [handle]),
        "fluid_sfont_iteration_next": (handle, [handle]),
        "fluid_preset_get_banknum": (number, [handle]),
        "fluid_preset_get_num": (number, [handle]),
        "fluid_synth_set_interp_method": (number, [handle, number, number]),
        "fluid_synth_set_channel_type": (number, [handle, number, number]),
        "fluid_synth_program_select": (number, [handle, *[number] * 4]),
        "fluid_synth_cc": (number, [handle, *[number] * 3]),
        "fluid_synth_set_gen": (number, [handle, number, number, ctypes.c_float]),
        "fluid_synth_pitch_bend": (number, [handle, number, number]),
        "fluid_synth_noteon": (number, [handle, *[number] * 3]),
        "fluid_synth_noteoff": (number, [handle, number, number]),
        "fluid_synth_write_float": (
            number,
            [handle, number, handle, number, number, handle, number, number],
        ),
        "fluid_set_log_function": (handle, [number, handle, handle]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    for level in range(5):  # a font that does not load is no news
        library.fluid_set_log_function(level, None, None)
    return library
