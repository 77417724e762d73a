"""`sidekeys render SONG --engine`: a cover made by the engine of the running bridge."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sidekeys_bridge.arguments import Parser
from sidekeys_bridge.client import ControlClient, ControlError, EventStream
from sidekeys_engine.atomic_file import check_readable, check_writable

_ACCEPT_SECONDS = 15.0


def render(words: Sequence[str]) -> int:
    """Have one song rendered, and tell how it goes; returns the exit status.

    Raises:
        InputError: no bridge runs, the song cannot be used, or the engine failed.
    """
    options = vars(_parser().parse_args(words))
    as_json = options.pop("json")
    content = _content(options)
    with ControlClient.running() as client, client.events("job", "ending") as events:
        job = client.request("render", content, within_seconds=_ACCEPT_SECONDS)["job"]
        try:
            result = _followed(events, job)
        except KeyboardInterrupt:
            client.request("cancel", {"job": job})
            raise
    if as_json:
        sys.stdout.write(json.dumps({"songs": [result]}, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(f"{content['midi']}: done\n")
    return 0


def _content(options: dict[str, Any]) -> dict[str, Any]:
    """The fields of the command: what is given, with whole paths."""
    options.pop("engine")
    here = Path.cwd()
    song = here / options.pop("song")
    check_readable(song)
    output = here / (options.pop("output") or song.parent)
    midi = output / f"{song.stem}-piano.mid" if output.is_dir() else output
    check_writable(midi)
    for name in ("grid", "plot", "mix"):
        if options[name] is not None:
            options[name] = str(here / options[name])
    if options["temperature"] is None and options["seed"] is not None:
        options["temperature"] = 1.0  # naming a seed asks for another take
    given = {name: value for name, value in options.items() if value is not None}
    return {**given, "song": str(song), "midi": str(midi)}


def _followed(events: EventStream, job: str) -> dict[str, Any]:
    """Wait for the end of a job; its result.

    Raises:
        ControlError: it failed, or the bridge ended.
    """
    watched = sys.stderr.isatty()
    for event in events:
        if event.type == "ending":
            break
        told = event.content
        if told["job"] != job:
            continue
        if told["state"] == "done":
            return dict(told["result"] or {})
        if told["state"] in ("failed", "cancelled"):
            words = told["message"] or f"the render was {told['state']}."
            raise ControlError(told["state"], words)
        if watched:
            total = f" {told['done']}/{told['total']} windows" if told["total"] else ""
            sys.stderr.write(f"\r\x1b[K{told['stage'] or 'waiting'}{total}")
    raise ControlError("cancelled", "the bridge ended before the song was done; start it again.")


def _parser() -> Parser:
    parser = Parser("render", "Cover SONG with the engine of the running bridge.")
    parser.add_argument("song", type=Path, metavar="SONG")
    parser.add_argument("--engine", action="store_true", help="the running bridge's")
    parser.add_argument("-o", "--output", type=Path, metavar="OUT.mid", help="or a folder for it")
    parser.add_argument("--composer", metavar="NAME", help="who plays; who plays now by default")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the piano roll")
    parser.add_argument("--mix", type=Path, metavar="FILE.wav", help="write a mix to listen to")
    parser.add_argument("--start", metavar="PLACE", help="where to start: 12.5, 1:02.5, bar5, 5|3")
    parser.add_argument("--end", metavar="PLACE", help="where to end")
    parser.add_argument("--bpm", type=float, help="the tempo, in quarter notes a minute")
    parser.add_argument("--first-beat", dest="first_beat_seconds", type=float, metavar="SECONDS")
    parser.add_argument("--meter", help="such as 3/4")
    parser.add_argument("--grid", type=Path, metavar="FILE", help="beats from a file")
    parser.add_argument("--tracker", help="who listens for beats: auto, essentia or librosa")
    tempo = parser.add_mutually_exclusive_group()
    for flag, factor in (("--half-time", 0.5), ("--double-time", 2.0)):
        tempo.add_argument(flag, dest="tempo_factor", action="store_const", const=factor)
    parser.add_argument("--temperature", type=float, help="0 plays the likeliest notes")
    parser.add_argument("--seed", type=int, help="which take")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser
