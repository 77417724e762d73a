"""Write the example song: its MIDI file, its recording and its true beats.

Run from the repository root, with fluidsynth and the FluidR3_GM soundfont installed:

    python examples/make_example_song.py [--soundfont FILE] [--midi FILE]

The song is composed below, as text. Everything is deterministic: the same soundfont and
fluidsynth give the same recording.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np
import numpy.typing as npt
import scipy.signal
import soundfile

TITLE = "Paper Lanterns"
STEM = "paper_lanterns"
SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
SAMPLING_RATE = 44100
BPM = 104
BEATS_PER_BAR = 4
PICKUP_BEATS = 2
BARS = 24
LEAD_IN_SECONDS = 0.52  # silence before the pickup, so that no beat lies at 0 s
TAIL_SECONDS = 3.0
FADE_SECONDS = 2.5
PEAK = 0.89  # -1 dBFS, room for the overshoot of a lossy codec
TICKS_PER_BEAT = 480

# One entry a bar, bar 0 is the pickup. `name/bass`; two chords in a bar share it evenly.
CHORDS = (
    "A",
    *("D", "Bm", "G", "A", "D", "F#m", "G", "A"),  # verse
    *("G", "A", "F#m", "Bm", "Em", "A", "D", "D/F#"),  # chorus
    *("Bm", "G", "Em", "A"),  # bridge, half time
    *("G", "A", "G A", "D"),  # last chorus
)
VERSE, CHORUS, BRIDGE, LAST_CHORUS = range(1, 9), range(9, 17), range(17, 21), range(21, 25)

# Pitch and length in eighths, `-` is a rest; one string a bar.
MELODY = [
    "-1 A4:1 D5:1 E5:1",
    "F#5:3 E5:1 D5:2 A4:2",
    "B4:3 D5:1 D5:2 -1 A4:1",
    "B4:2 B4:1 D5:2 E5:1 D5:2",
    "E5:4 -1 A4:1 D5:1 E5:1",
    "F#5:3 E5:1 F#5:2 A5:2",
    "F#5:3 E5:1 C#5:2 -1 C#5:1",
    "D5:2 E5:1 D5:2 B4:1 D5:2",
    "E5:5 -1 F#5:1 A5:1",
    "B5:3 A5:1 G5:1 A5:1 B5:2",
    "A5:3 C#6:1 A5:2 E5:1 F#5:1",
    "A5:3 F#5:1 E5:2 C#5:2",
    "D5:3 E5:1 F#5:2 -1 F#5:1",
    "G5:2 G5:1 A5:2 G5:1 F#5:2",
    "E5:3 F#5:1 G5:1 F#5:1 E5:2",
    "F#5:3 E5:1 D5:2 A4:2",
    "D5:4 -4",
    "F#5:4 E5:2 D5:2",
    "D5:3 E5:1 B4:4",
    "E5:4 F#5:2 G5:2",
    "A5:5 -1 F#5:1 A5:1",
    "B5:3 A5:1 G5:1 A5:1 B5:2",
    "A5:3 C#6:1 D6:2 A5:2",
    "G5:3 F#5:1 E5:2 C#5:2",
    "D5:8",
]

TRIADS = {
    "D": (2, 6, 9),
    "Em": (4, 7, 11),
    "F#m": (6, 9, 1),
    "G": (7, 11, 2),
    "A": (9, 1, 4),
    "Bm": (11, 2, 6),
}
NAMES = {"C#": 1, "D": 2, "E": 4, "F#": 6, "G": 7, "A": 9, "B": 11}

# General MIDI drums.
KICK, SNARE, CLAP, HAT, OPEN_HAT, CRASH, TAMBOURINE, RIDE = 36, 38, 39, 42, 46, 49, 54, 51
LOW_TOM, MID_TOM, HIGH_TOM = 45, 47, 50


@dataclass(frozen=True)
class Part:
    """An instrument: its General MIDI program (counted from 0) and its place in the mix."""

    channel: int
    program: int
    volume: int
    pan: int
    reverb: int


PARTS = {
    "flute": Part(channel=0, program=73, volume=86, pan=64, reverb=55),
    "vibraphone": Part(channel=1, program=11, volume=112, pan=74, reverb=50),
    "nylon guitar": Part(channel=2, program=24, volume=104, pan=40, reverb=40),
    "steel guitar": Part(channel=3, program=25, volume=82, pan=92, reverb=35),
    "warm pad": Part(channel=4, program=89, volume=68, pan=64, reverb=60),
    "strings": Part(channel=5, program=48, volume=66, pan=64, reverb=60),
    "bass": Part(channel=6, program=33, volume=96, pan=64, reverb=10),
    "drums": Part(channel=9, program=0, volume=98, pan=64, reverb=20),
}


class Arrangement:
    """Collects the notes of all parts: (beat, part, pitch, length in beats, velocity)."""

    def __init__(self, seed: int) -> None:
        self.notes: list[tuple[float, str, int, float, int]] = []
        self._random = random.Random(seed)  # noqa: S311  # a drummer's touch, not a secret

    def play(self, part: str, beat: float, pitch: int, beats: float, velocity: int) -> None:
        """Add a note, its velocity up to 5 off, as a hand would."""
        touched = max(1, min(127, velocity + self._random.randint(-5, 5)))
        self.notes.append((beat, part, pitch, beats, touched))


def bar_start(bar: int) -> float:
    """The beat, from the start of the pickup, at which a bar starts."""
    return 0.0 if bar == 0 else PICKUP_BEATS + (bar - 1) * BEATS_PER_BAR


def bar_chords(bar: int) -> list[tuple[float, float, tuple[int, ...], int]]:
    """The chords of a bar: (beat, length in beats, pitch classes, bass pitch class)."""
    names = CHORDS[bar].split()
    beats = (PICKUP_BEATS if bar == 0 else BEATS_PER_BAR) / len(names)
    chords: list[tuple[float, float, tuple[int, ...], int]] = []
    for index, name in enumerate(names):
        triad, _, bass = name.partition("/")
        root = TRIADS[triad][0]
        chords.append(
            (bar_start(bar) + index * beats, beats, TRIADS[triad], NAMES[bass] if bass else root)
        )
    return chords


def voicing(pitch_classes: tuple[int, ...], lowest: int) -> list[int]:
    """The chord in close position, on or above a lowest pitch."""
    return sorted(lowest + (pitch_class - lowest) % 12 for pitch_class in pitch_classes)


def add_melody(song: Arrangement) -> None:
    """The tune: flute, with a vibraphone on top in the choruses."""
    for bar, line in enumerate(MELODY):
        beat = bar_start(bar)
        chorus = bar in CHORUS or bar in LAST_CHORUS
        for token in line.split():
            if token.startswith("-"):
                beat += int(token[1:]) / 2
                continue
            name, _, eighths = token.partition(":")
            beats = int(eighths) / 2
            pitch = NAMES[name[:-1]] + 12 * (int(name[-1]) + 1)
            accent = 6 if beat % 1 == 0 else 0
            song.play("flute", beat, pitch, beats * 0.94, (92 if chorus else 82) + accent)
            if chorus:
                song.play("vibraphone", beat, pitch, beats, 84 + accent)
            beat += beats


def add_harmony(song: Arrangement) -> None:
    """Broken chords and a pad in the verse; strummed chords and strings in the chorus."""
    for bar in range(1, BARS + 1):
        chorus = bar in CHORUS or bar in LAST_CHORUS
        for beat, beats, pitch_classes, _ in bar_chords(bar):
            low = voicing(pitch_classes, 50)
            broken = [low[0], low[1], low[2], low[1] + 12]
            if bar == BARS:  # the last chord rings
                for index, pitch in enumerate([low[0] - 12, *low, low[0] + 12]):
                    song.play("nylon guitar", beat + index * 0.03, pitch, 6.0, 62)
                    song.play("steel guitar", beat + index * 0.03, pitch, 6.0, 62)
            else:
                order = (0, 1, 2, 3, 2, 1, 2, 1)
                for eighth in range(int(beats * 2)):
                    pitch = broken[order[eighth % len(order)]]
                    velocity = (72 if eighth % 4 == 0 else 62) - (8 if chorus else 0)
                    song.play("nylon guitar", beat + eighth / 2, pitch, 0.9, velocity)
            if chorus and bar != BARS:
                for eighth in (0, 2, 3, 5, 6, 7):
                    if eighth < beats * 2:
                        strum(song, beat + eighth / 2, voicing(pitch_classes, 57), eighth % 2 == 0)
            pad = "strings" if chorus else "warm pad"
            length = 7.0 if bar == BARS else beats * 0.98
            for pitch in voicing(pitch_classes, 55):
                song.play(pad, beat, pitch, length, 74)
            if chorus:
                song.play(pad, beat, voicing(pitch_classes, 67)[0], length, 66)


def strum(song: Arrangement, beat: float, pitches: list[int], downward: bool) -> None:
    """One stroke across the strings, 12 ms from the first to the last."""
    for index, pitch in enumerate(pitches if downward else reversed(pitches)):
        song.play("steel guitar", beat + index * 0.01, pitch, 0.42, 74 if downward else 60)


def add_bass(song: Arrangement) -> None:
    """Long notes in the bridge, a lilt in the verse, eighths in the chorus."""
    for bar in range(1, BARS + 1):
        chorus = bar in CHORUS or bar in LAST_CHORUS
        for beat, beats, pitch_classes, bass in bar_chords(bar):
            root = 28 + (bass - 28) % 12
            fifth = root + 7 if pitch_classes[0] == bass else root + 3
            if bar == BARS:
                song.play("bass", beat, root, 6.0, 88)
            elif chorus:
                for eighth in range(int(beats * 2)):
                    pitch = root + 12 if eighth == 7 else root
                    song.play("bass", beat + eighth / 2, pitch, 0.42, 92 - 8 * (eighth % 2))
            elif bar in BRIDGE:
                song.play("bass", beat, root, 3.0, 82)
                song.play("bass", beat + 3, fifth, 0.9, 76)
            else:
                for start, length, pitch in ((0, 1.4, root), (1.5, 0.45, root), (2, 1.4, root)):
                    song.play("bass", beat + start, pitch, length, 86)
                song.play("bass", beat + 3.5, fifth, 0.45, 78)


# Sixteenths of a bar: the digit is how hard (9 is hardest), a dot is silence.
GROOVES: dict[str, dict[int, str]] = {
    "pickup": {SNARE: "....5.7.", HIGH_TOM: "6.6....."},
    "verse": {KICK: "9.....6.8.......", SNARE: "....8.......8...", HAT: "6.4.6.4.6.4.6.4."},
    "chorus": {
        KICK: "9.....7.9.7.....",
        SNARE: "....9.......9...",
        CLAP: "....6.......6...",
        HAT: "6...6...6...6...",
        OPEN_HAT: "..5...5...5...5.",
        TAMBOURINE: "3353335333533353",
    },
    "bridge": {KICK: "8...............", SNARE: "........7.......", RIDE: "5...5...5...5..."},
    "fill": {
        KICK: "9.....6.8.......",
        SNARE: "....8.....6.7.89",
        HAT: "6.4.6.4.........",
        MID_TOM: "........7.......",
        LOW_TOM: "...........7.7..",
    },
}


def add_drums(song: Arrangement) -> None:
    """A groove a section, a fill into each chorus and the bridge, a crash where one starts."""
    for bar in range(BARS + 1):
        start = bar_start(bar)
        if bar == BARS:
            song.play("drums", start, KICK, 0.2, 100)
            song.play("drums", start, CRASH, 4.0, 84)
            continue
        if bar == 0:
            groove = "pickup"
        elif bar in (VERSE[-1], CHORUS[-1], BRIDGE[-1]):
            groove = "fill"
        elif bar in VERSE:
            groove = "verse"
        else:
            groove = "bridge" if bar in BRIDGE else "chorus"
        for drum, line in GROOVES[groove].items():
            for sixteenth, level in enumerate(line):
                if level != ".":
                    song.play("drums", start + sixteenth / 4, drum, 0.2, 30 + 9 * int(level))
        if bar in (VERSE[0], CHORUS[0], BRIDGE[0], LAST_CHORUS[0]):
            song.play("drums", start, CRASH, 2.0, 80)


def compose() -> Arrangement:
    """The whole song."""
    song = Arrangement(seed=104)
    add_melody(song)
    add_harmony(song)
    add_bass(song)
    add_drums(song)
    return song


def write_midi(song: Arrangement, path: Path) -> None:
    """Write a standard MIDI file: a 2/4 pickup, then 4/4, a track a part."""
    midi = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_BEAT)
    conductor = midi.add_track(TITLE)
    conductor.append(mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(BPM)))
    conductor.append(mido.MetaMessage("time_signature", numerator=PICKUP_BEATS, denominator=4))
    conductor.append(
        mido.MetaMessage(
            "time_signature",
            numerator=BEATS_PER_BAR,
            denominator=4,
            time=PICKUP_BEATS * TICKS_PER_BEAT,
        )
    )
    for name, part in PARTS.items():
        track = midi.add_track(name)
        channel = part.channel
        track.append(mido.Message("program_change", channel=channel, program=part.program))
        for control, value in ((7, part.volume), (10, part.pan), (91, part.reverb), (93, 0)):
            track.append(
                mido.Message("control_change", channel=channel, control=control, value=value)
            )
        events: list[tuple[int, int, int, int]] = []  # tick, on (1) or off (0), pitch, velocity
        for beat, owner, pitch, beats, velocity in song.notes:
            if owner == name:
                events.append((round(beat * TICKS_PER_BEAT), 1, pitch, velocity))
                events.append((round((beat + beats) * TICKS_PER_BEAT), 0, pitch, 0))
        now = 0
        for tick, on, pitch, velocity in sorted(events):
            kind = "note_on" if on else "note_off"
            track.append(
                mido.Message(kind, channel=channel, note=pitch, velocity=velocity, time=tick - now)
            )
            now = tick
    midi.save(str(path))


def synthesize(midi: Path, soundfont: Path) -> npt.NDArray[np.float64]:
    """Play a MIDI file with fluidsynth: (frames, 2) samples at 44.1 kHz."""
    if not soundfont.is_file():
        raise SystemExit(
            f"{soundfont} is missing: apt-get install fluidsynth fluid-soundfont-gm, or --soundfont"
        )
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "song.wav"
        command = ["fluidsynth", "-ni", "-q", "-g", "0.4", "-r", str(SAMPLING_RATE), "-O", "s24"]
        subprocess.run(
            [*command, "-T", "wav", "-F", str(wav), str(soundfont), str(midi)], check=True
        )
        samples, _ = soundfile.read(str(wav), dtype="float64", always_2d=True)
    return np.asarray(samples, dtype=np.float64)


def master(samples: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Lead-in, ring-out and fade; a little saturation on the peaks, which end at -1 dBFS."""
    song_seconds = (PICKUP_BEATS + BARS * BEATS_PER_BAR) * 60 / BPM
    frames = round((song_seconds + TAIL_SECONDS) * SAMPLING_RATE)
    body = np.zeros((frames, 2))
    body[: len(samples)] = samples[:frames]
    # The pad of the soundfont carries a constant offset; nothing musical lies below 25 Hz.
    body = scipy.signal.sosfilt(
        scipy.signal.butter(2, 25, "highpass", fs=SAMPLING_RATE, output="sos"), body, axis=0
    )
    fade = round(FADE_SECONDS * SAMPLING_RATE)
    body[-fade:] *= np.cos(np.linspace(0, np.pi / 2, fade))[:, None] ** 2
    body = np.tanh(body / np.max(np.abs(body)))
    lead_in = np.zeros((round(LEAD_IN_SECONDS * SAMPLING_RATE), 2))
    mastered = np.concatenate([lead_in, body])
    return np.asarray(mastered * (PEAK / np.max(np.abs(mastered))), dtype=np.float64)


def beat_lines() -> list[str]:
    """The true beats: seconds, a tab, and the beat's number in its bar (1 is the downbeat)."""
    lines = []
    for index in range(PICKUP_BEATS + BARS * BEATS_PER_BAR + 1):
        seconds = LEAD_IN_SECONDS + index * 60 / BPM
        number = (index - PICKUP_BEATS) % BEATS_PER_BAR + 1
        lines.append(f"{seconds:.6f}\t{number}\n")
    return lines


def main() -> None:
    """Write the recording and the beats beside this file."""
    parser = argparse.ArgumentParser(description=f"Write {STEM}.ogg and {STEM}.beats.")
    parser.add_argument("--soundfont", type=Path, default=SOUNDFONT)
    parser.add_argument("--midi", type=Path, help="also keep the MIDI file here")
    arguments = parser.parse_args()
    folder = Path(__file__).resolve().parent
    with tempfile.TemporaryDirectory() as scratch:
        midi = arguments.midi or Path(scratch) / f"{STEM}.mid"
        write_midi(compose(), midi)
        samples = master(synthesize(midi, arguments.soundfont))
    recording = folder / f"{STEM}.ogg"
    with soundfile.SoundFile(
        str(recording), "w", SAMPLING_RATE, 2, format="OGG", subtype="VORBIS", compression_level=0.5
    ) as sound:
        for start in range(0, len(samples), SAMPLING_RATE):  # libvorbis overflows on one huge write
            sound.write(samples[start : start + SAMPLING_RATE])
    (folder / f"{STEM}.beats").write_text("".join(beat_lines()), encoding="utf-8")
    print(f"{recording}: {len(samples) / SAMPLING_RATE:.1f} s, {recording.stat().st_size} bytes")


if __name__ == "__main__":
    main()
