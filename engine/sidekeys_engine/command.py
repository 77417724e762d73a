"""`sidekeys render`, `composers`, `train` and `engine`: arguments in, files and lines out."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from sidekeys_engine.atomic_file import check_readable
from sidekeys_engine.checkpoint import BUILTIN
from sidekeys_engine.composers import find_composer
from sidekeys_engine.cover import Progress
from sidekeys_engine.errors import InputError
from sidekeys_engine.expression import Expression
from sidekeys_engine.notes import Meter
from sidekeys_engine.pianist import DEVICES, Pianist, Taste, composers_of
from sidekeys_engine.render import GridChoice, Job, Position, Rendered, render_song
from sidekeys_engine.serve_command import add_engine_command

USER_ERROR = 2
INTERRUPTED = 130
_TRACKERS = ("auto", "essentia", "librosa")
_SOUND_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".m4a", ".aac", ".aif", ".aiff", ".opus")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 2 for a user's mistake, 130 for Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()  # here, where it may fail, and not while Python shuts down
    except InputError as error:
        _say_error(str(error))
        return USER_ERROR
    except KeyboardInterrupt:
        _say("Stopped; nothing is left half-written.")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away, as `head` does; there is nobody left to tell, and
        # Python must not try to write the rest when it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


# sidekeys composers


def _composers(options: argparse.Namespace) -> int:
    composers = composers_of(options.checkpoint, on_notice=_say)
    if options.json:
        sys.stdout.write(json.dumps(dict(composers), indent=2, ensure_ascii=False) + "\n")
        return 0
    width = max((len(name) for name in composers), default=0)
    for name, description in composers.items():
        sys.stdout.write(f"{name:{width}}  {description}".rstrip() + "\n")
    return 0


# sidekeys train


def _train(options: argparse.Namespace) -> int:
    from sidekeys_engine.training.command import train  # noqa: PLC0415 - it needs torch at once

    return train(options, _say)


# sidekeys render


def _render(options: argparse.Namespace) -> int:
    jobs = _jobs(options)
    pianist = Pianist.from_pretrained(options.checkpoint, device=options.device, on_notice=_say)
    results: list[dict[str, object]] = []
    failed = False
    for job in jobs:
        try:
            with _progress_bar(job.song.name) as progress:
                rendered = render_song(job, pianist, progress=progress)
        except InputError as error:
            # One song that cannot be used must not cost the others their turn.
            line = str(error)
            if not any(path.name in line for path in (*job.inputs, *job.outputs)):
                line = f"{job.song}: {line}"
            _say_error(line)
            failed = True
            results.append({"song": str(job.song), "error": line})
            continue
        results.append(rendered.to_dict())
        for remark in rendered.remarks:
            _say(f"{job.song}: {remark}")
        if not options.json:
            sys.stdout.write(_summary(rendered) + "\n")
    if options.json:
        sys.stdout.write(json.dumps({"songs": results}, indent=2, ensure_ascii=False) + "\n")
    return USER_ERROR if failed else 0


def _summary(rendered: Rendered) -> str:
    files = ", ".join(file for file in (rendered.midi, rendered.plot, rendered.mix) if file)
    return (
        f"{files}: {_counted(rendered.notes, 'note')}, {_counted(rendered.bars, 'bar')} of "
        f"{rendered.meter} at {rendered.bpm:.1f} bpm, composer {rendered.composer}, "
        f"{rendered.took_seconds:.1f} s"
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _jobs(options: argparse.Namespace) -> list[Job]:
    """The songs to render; everything that can be checked without listening is checked here."""
    songs: list[Path] = options.songs
    if len(songs) == 1:
        check_readable(songs[0])
    composer = _composer(options)
    grid = GridChoice(
        bpm=options.bpm,
        first_beat_seconds=options.first_beat,
        meter=options.meter,
        file=options.grid,
        tracker=options.tracker,
        tempo_factor=options.tempo_factor,
    )
    if grid.file is not None:
        check_readable(grid.file)
    taste = _taste(options)
    expression = Expression(
        dynamics=options.expression, pedal=options.pedal, playable=options.playable
    )
    jobs = []
    for song in songs:
        midi = _file(options.output or song.parent, song, ".mid", len(songs) > 1)
        jobs.append(
            Job(
                song=song,
                midi=midi,
                composer=composer,
                plot=_extra(options.plot, song, midi, ".png", len(songs) > 1),
                mix=_extra(options.mix, song, midi, "-mix.wav", len(songs) > 1),
                grid=grid,
                start=options.start,
                end=options.end,
                taste=taste,
                expression=expression,
            )
        )
    written: dict[Path, Path] = {}
    for job in jobs:
        for output in job.outputs:
            if output.resolve() in written or output.resolve() in {s.resolve() for s in songs}:
                raise InputError(
                    f"{output} would be written over another file of this command; render the "
                    "songs apart, or into another folder."
                )
            written[output.resolve()] = job.song
    return jobs


def _file(path: Path, song: Path, ending: str, many: bool) -> Path:
    """An output's file: the one named or, in a folder that is named, one called like the song.

    It is called `song-piano.mid`, because a `song.mid` often lies beside a song already.
    """
    if path.is_dir():
        name = song.stem if song.suffix.lower() in _SOUND_SUFFIXES else song.name
        return path / f"{name}-piano{ending}"
    if many:
        raise InputError(f"With several songs {path} must be a folder that exists; make it first.")
    return path


def _extra(
    path: Path | bool | None, song: Path, midi: Path, ending: str, many: bool
) -> Path | None:
    """A picture or a mix: the file named, or one beside the .mid where none is named."""
    if path is None:
        return None
    if isinstance(path, bool):
        return midi.with_name(midi.stem + ending)
    return _file(path, song, ending, many)


def _composer(options: argparse.Namespace) -> str:
    known = composers_of(options.checkpoint, on_notice=_say)
    if not known:
        raise InputError(
            f"The checkpoint {options.checkpoint} names no composers in generation_config.json."
        )
    try:
        # The order of the names is all that is needed of their tokens here.
        return find_composer(options.composer or "composer1", {n: i for i, n in enumerate(known)})
    except ValueError as error:
        raise InputError(f"{error}.") from error


def _taste(options: argparse.Namespace) -> Taste:
    """Naming a seed asks for another take, so it draws even where no temperature is named."""
    temperature, seed = options.temperature, options.seed
    if temperature is None:
        temperature = 0.0 if seed is None else 1.0
    return Taste(temperature=temperature, seed=seed or 0)


@contextlib.contextmanager
def _progress_bar(title: str) -> Iterator[Progress | None]:
    """A bar with the time left, on a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - not needed where nobody watches
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("windows"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"{title}: finding the beats", total=None)

        def advance(done: int, total: int) -> None:
            stage = "playing" if done < total else "writing"
            bar.update(task, description=f"{title}: {stage}", completed=done, total=total)

        yield advance


def _say(line: str) -> None:
    sys.stderr.write(f"sidekeys: {line}\n")


def _say_error(line: str) -> None:
    _say(f"error: {line}")


# Arguments


class _Parser(argparse.ArgumentParser):
    """argparse, with errors that look like all others of ours."""

    def error(self, message: str) -> NoReturn:
        _say_error(f"{message}; see `{self.prog} --help`.")
        sys.exit(USER_ERROR)


@dataclass(frozen=True)
class _Range:
    """A number between two bounds, for argparse."""

    kind: type[float] | type[int]
    least: float
    most: float

    def __call__(self, text: str) -> float:
        try:
            number = self.kind(text)
        except ValueError:
            number = None
        if number is None or not self.least <= number <= self.most:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a number from {self.least:g} to {self.most:g}"
            )
        return number


def _position(text: str) -> Position:
    try:
        return Position.parse(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from error


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from error


def _meter(text: str) -> Meter:
    try:
        numerator, _, denominator = text.partition("/")
        return Meter(int(numerator), int(denominator))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no meter; give one such as 4/4, 3/4 or 6/8"
        ) from error


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="sidekeys", allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    render = commands.add_parser(
        "render",
        help="play a piano cover of songs into .mid files",
        description="Play a piano cover of each SONG into a .mid file that lands on a DAW's bars.",
        allow_abbrev=False,
    )
    render.set_defaults(run=_render)
    render.add_argument("songs", nargs="+", type=Path, metavar="SONG")
    render.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="OUT.mid",
        help="the MIDI file, or a folder for it; SONG-piano.mid beside the song by default",
    )
    render.add_argument("--composer", metavar="NAME", help="see `sidekeys composers`")
    for name, file, what in (
        ("--plot", "FILE.png", "draw the piano roll"),
        ("--mix", "FILE.wav", "write a mix to listen to: the song left, the piano right"),
    ):
        render.add_argument(
            name,
            nargs="?",
            const=True,
            type=Path,
            metavar=file,
            help=f"{what}; beside the .mid if no file is named",
        )
    part = render.add_argument_group(
        "part of the song",
        "in seconds (12.5, 1:02.5), or in bars (bar5) and beats (5|3) as the .mid counts them",
    )
    part.add_argument("--start", type=_position, metavar="PLACE", help="where to start")
    part.add_argument("--end", type=_position, metavar="PLACE", help="where to end")

    beats = render.add_argument_group("beats", "found by listening where nothing is said")
    beats.add_argument("--bpm", type=_number, help="the tempo, in quarter notes a minute")
    beats.add_argument(
        "--first-beat",
        type=_number,
        metavar="SECONDS",
        help="where a bar begins; 0 with --bpm, else found",
    )
    beats.add_argument("--meter", type=_meter, help="such as 3/4; 4/4 by default")
    beats.add_argument(
        "--grid",
        type=Path,
        metavar="FILE",
        help="beats from a MIDI file's tempo map, or a list of beat times (.txt, .csv, .json)",
    )
    beats.add_argument("--tracker", choices=_TRACKERS, default="auto", help="who listens")
    tempo = beats.add_mutually_exclusive_group()
    tempo.add_argument(
        "--half-time",
        dest="tempo_factor",
        action="store_const",
        const=0.5,
        default=1.0,
        help="halve the tempo that was found",
    )
    tempo.add_argument(
        "--double-time",
        dest="tempo_factor",
        action="store_const",
        const=2.0,
        help="double the tempo that was found",
    )

    playing = render.add_argument_group("playing")
    _add_checkpoint(playing)
    playing.add_argument(
        "--temperature",
        type=_Range(float, 0.0, 10.0),
        help="0 plays the likeliest notes (default); 1 is livelier, and takes differ",
    )
    playing.add_argument(
        "--seed",
        type=_Range(int, 0, 2**31 - 1),
        help="which take of the livelier notes; alone it means --temperature 1",
    )
    for name, what in (
        ("pedal", "hold the sustain pedal with the harmony"),
        ("expression", "play as loud as the song where the checkpoint's notes have no velocity"),
        ("playable", "let go, move by octaves or leave out what two hands cannot reach"),
    ):
        playing.add_argument(
            f"--{name}", action=argparse.BooleanOptionalAction, help=f"{what}; on by default"
        )
    render.set_defaults(pedal=True, expression=True, playable=True)
    playing.add_argument("--device", choices=DEVICES, default="auto", help="where to compute")
    render.add_argument("--json", action="store_true", help="print the results as JSON")

    composers = commands.add_parser(
        "composers", help="list the composers of a checkpoint, a line each", allow_abbrev=False
    )
    composers.set_defaults(run=_composers)
    _add_checkpoint(composers)
    composers.add_argument("--json", action="store_true", help="print them as JSON")
    _add_train(commands)
    add_engine_command(commands)
    return parser


def _add_train(commands: argparse._SubParsersAction[_Parser]) -> None:
    train = commands.add_parser(
        "train",
        help="teach a checkpoint one more composer, from songs and their covers",
        description="Teach a checkpoint one more composer. FOLDER holds songs (song.wav, .flac, "
        ".mp3 ...) and their piano covers (song.mid, aligned in time), and the beats of a song "
        "where you know them (song.beats or song.grid.mid).",
        allow_abbrev=False,
    )
    train.set_defaults(run=_train)
    train.add_argument("folder", type=Path, metavar="FOLDER")
    train.add_argument("--composer", metavar="NAME", help="what the new composer is called")
    train.add_argument("--description", default="", metavar="TEXT", help="a line on how it plays")
    train.add_argument("--out", type=Path, metavar="FOLDER", help="the checkpoint to write")
    train.add_argument("--check", action="store_true", help="look at the pairs and stop")
    _add_checkpoint(train)
    length = train.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=_Range(float, 0.01, 1e5), help="about how long to learn")
    length.add_argument("--steps", type=_Range(int, 1, 10**7), help="how many batches to learn")
    train.add_argument("--device", choices=DEVICES, default="auto", help="where to compute")
    train.add_argument(
        "--seed", type=_Range(int, 0, 2**31 - 1), default=0, help="decides all that is drawn"
    )


def _add_checkpoint(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--checkpoint",
        default=BUILTIN,
        metavar="NAME",
        help="builtin (default), a folder, or a hub id such as sweetcocoa/pop2piano",
    )
