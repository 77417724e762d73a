"""What may be said to a bridge, and what it says: the table of its commands and events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sidekeys_bridge.controls import CONTROLS, Control
from sidekeys_bridge.settings import (
    FASTEST_BPM,
    LONGEST_DELAY_BEATS,
    MODES,
    SLOWEST_BPM,
    TRANSPORTS,
)
from sidekeys_engine.protocol import (
    ENGINE,
    REQUIRED,
    Command,
    Event,
    Field,
    Table,
)

STATES = {
    "starting": "the engine loads or warms up for the first time",
    "waiting": "all is ready, and the song stands still",
    "playing": "the song runs, and the piano follows",
    "no-input": "no sound can come in; the input is looked for",
    "no-engine": "the engine died or is out of reach; another one is started",
    "ending": "the bridge ends",
}
SOURCES = ("none", *(source for source in TRANSPORTS if source != "auto"))
WINDOW_RESULTS = ("done", "silent", "missed")
JOB_STATES = ("running", "done", "failed", "cancelled")
STATUS_PAUSE_SECONDS = 0.1
MOST_BARS = 10_000
_MOST_ROWS = 10_000
_BPM_UNIT = "quarter notes a minute"
_KINDS = {"choice": "text", "switch": "boolean"}


def control_changes(content: Mapping[str, Any]) -> dict[str, Any]:
    """Those fields of a checked `set` that are controls, without those that were not given."""
    names = [control.name for control in CONTROLS]
    return {name: content[name] for name in names if content.get(name) is not None}


def _control_field(control: Control) -> Field:
    return Field(
        control.name,
        _KINDS.get(control.kind, control.kind),
        control.doc,
        default=None,
        low=control.low,
        high=control.high,
        choices=control.choices,
        unit=control.unit,
    )


def _object(field: str, doc: str, /, **keys: str) -> Field:
    """A field that is an object, with what its keys are."""
    told = "; ".join(f"`{key}` {what}" for key, what in keys.items())
    return Field(field, "object", f"{doc}: {told}")


_FILE = Field("file", "text", "whole path of the .mid to write")
_JOB = Field("job", "text", "id of the job", longest=64)
_WRITTEN = (
    _FILE,
    Field("notes", "integer", "notes in it", low=0),
    Field("bars", "integer", "bars in it", low=0),
)
_STATE = Field(
    "state",
    "text",
    "; ".join(f"{name}: {what}" for name, what in STATES.items()),
    choices=tuple(STATES),
)

_STATUS = (
    _STATE,
    Field("problems", "list", "what is wrong now, and what to do, a line each", items="text"),
    Field("port", "text", "the MIDI port that is played into; null without one", None),
    Field("composer", "text", "who plays", None),
    Field("mode", "text", "echo follows by a delay, loop plays in sync", choices=MODES),
    Field(
        "delay_beats",
        "integer",
        "by how much the piano follows; null until it is known, 0 in loop mode",
        None,
        low=0,
        unit="quarter notes",
    ),
    Field("delay_reason", "text", "why it is so long", None),
    _object(
        "transport",
        "where the song is",
        source=f"who tells ({', '.join(SOURCES)})",
        choice=f"what was asked for ({', '.join(TRANSPORTS)})",
        playing="whether it runs",
        bpm="tempo in quarter notes a minute",
        meter="such as 4/4",
        beat="song position in quarter notes",
        bar="number of the bar, from 1",
        bar_start="where it begins, in quarter notes",
        loop="[start, end] in quarter notes, or null",
        stretch="counts the unbroken runs of the song; 0 when stopped",
        problem="in words, or null",
    ),
    _object(
        "input",
        "what is heard",
        choice="as asked for",
        channels="as chosen, such as 3, 3-4 or all",
        name="of what was found",
        rate="of the input, in Hz",
        connected="whether sound comes",
        ended="whether a file is over",
        level_db="loudness in dBFS",
        peak_db="highest sample lately, in dBFS",
        clipped="whether it was too loud lately",
        silent_seconds="since anything was heard",
        problem="in words, or null",
    ),
    _object(
        "engine",
        "who makes the notes",
        pid="its process, or null",
        state="starting, loading, warming, ready or down",
        device="cpu, cuda or mps; null until it is known",
        checkpoint="what it plays from, or null",
        generation_seconds="how long a window takes, or null",
        problem="in words, or null",
    ),
    _object("bridge", "this process", pid="of it", version="of Sidekeys", up_seconds="of its run"),
    _object(
        "counters",
        "what happened since the start",
        notes_sent="notes played",
        late_notes_dropped="notes that were too late to be played",
        windows_done="windows of the song that became notes",
        windows_missed="windows whose notes were not there in time",
        input_overflows="times that sound was lost on its way in",
        sounding="notes that sound now",
    ),
    _object(
        "timing",
        "how late notes leave, against their moments",
        p50_ms="half of them are better",
        p99_ms="99 of 100 are better",
        max_ms="the worst",
        realtime="whether the sender has realtime priority",
    ),
    Field("controls", "object", "the value of every control, by name; see `set`"),
)

_ENGINE_RENDER = {field.name: field for field in ENGINE.commands["render"].fields}
_RENDER = (
    replace(_ENGINE_RENDER["song"], default=REQUIRED, doc="whole path of a sound file"),
    replace(_ENGINE_RENDER["midi"], default=REQUIRED, doc="whole path of the .mid to write"),
    replace(_ENGINE_RENDER["composer"], default=None, doc="who plays; null for who plays now"),
    *(
        field
        for name, field in _ENGINE_RENDER.items()
        if name not in ("song", "midi", "composer", "sampling_rate")
    ),
)

BRIDGE = Table(
    commands=(
        Command("status", "How everything is.", reply=_STATUS),
        Command(
            "health",
            "Whether the bridge answers, and what the control sockets have seen.",
            reply=(
                _STATE,
                Field("pid", "integer", "the bridge's process"),
                Field("up_seconds", "number", "since its start", unit="seconds"),
                Field("engine_state", "text", "as in `status`"),
                Field("requests", "object", "requests accepted, and refused by error code"),
            ),
        ),
        Command(
            "set",
            "Changes settings while the piano plays; all that are given, or none if one cannot be. "
            "Controls hold from the next window on. Null leaves a setting as it is.",
            fields=(
                *(_control_field(control) for control in CONTROLS),
                Field("mode", "text", "echo or loop", None, choices=MODES),
                Field(
                    "delay", "text", f"auto, or whole beats from 1 to {LONGEST_DELAY_BEATS}", None
                ),
                Field(
                    "input",
                    "text",
                    "what to listen to: NAME, INDEX, file:PATH, reastream:ID or loopback:NAME",
                    None,
                ),
                Field("channels", "text", "of the input: such as 3, a pair 3-4, or all", None),
                Field("transport", "text", "who tells the beats", None, choices=TRANSPORTS),
                Field(
                    "bpm",
                    "number",
                    "tempo of the manual transport",
                    None,
                    low=SLOWEST_BPM,
                    high=FASTEST_BPM,
                    unit=_BPM_UNIT,
                ),
                Field("meter", "text", "where nobody tells another one, such as 3/4", None),
            ),
        ),
        Command("panic", "Releases every note at once; the piano goes on with the next window."),
        Command(
            "play",
            "Starts the manual transport, now.",
            fields=(
                Field(
                    "from_beats",
                    "number",
                    "song position to start at; null for where it stands",
                    None,
                    low=-1e6,
                    high=1e6,
                    unit="quarter notes",
                ),
            ),
        ),
        Command("pause", "Stops the manual transport."),
        Command(
            "tap",
            "A beat, now: four taps or more make a tempo for the manual transport.",
            reply=(Field("bpm", "number", "what the taps say; null yet", None, unit=_BPM_UNIT),),
        ),
        Command(
            "nudge",
            "Moves the beats of the manual transport; later ones for numbers above zero.",
            fields=(
                Field("beats", "number", "how far", 0.0, -16, 16, unit="quarter notes"),
                Field("milliseconds", "number", "and how far", 0.0, -2000, 2000, unit="ms"),
            ),
        ),
        Command("downbeat", "Here is the first beat of a bar, for the manual transport."),
        Command(
            "push-transport",
            "What a DAW's script knows of the song; send it when it changes, and at least every "
            "second while it plays.",
            fields=(
                Field("playing", "boolean", "whether the song runs"),
                Field("bpm", "number", "tempo", low=1, high=10_000, unit=_BPM_UNIT),
                Field("beat", "number", "song position", low=-1e6, high=1e6, unit="quarter notes"),
                Field("meter", "text", "such as 4/4; null if it is not known", None, longest=8),
                Field(
                    "bar_start",
                    "number",
                    "song position where the bar at `beat` begins; null if it is not known",
                    None,
                    low=-1e6,
                    high=1e6,
                    unit="quarter notes",
                ),
                Field(
                    "loop",
                    "list",
                    "[start, end] that the DAW repeats; null if it repeats nothing",
                    None,
                    low=-1e6,
                    high=1e6,
                    unit="quarter notes",
                    items="number",
                    longest=2,
                ),
                Field(
                    "age_seconds",
                    "number",
                    "how old this is when it is sent",
                    0.0,
                    low=0,
                    high=10,
                    unit="seconds",
                ),
            ),
        ),
        Command(
            "inputs",
            "What can be listened to.",
            reply=(
                Field(
                    "inputs",
                    "list",
                    "sound inputs",
                    columns=(
                        Field("index", "integer", "its number", low=0),
                        Field("name", "text", "its name"),
                        Field("host_api", "text", "the driver family"),
                        Field("channels", "integer", "how many it has", low=0),
                        Field("rate", "integer", "its own rate", low=0, unit="Hz"),
                    ),
                ),
            ),
        ),
        Command(
            "ports",
            "Which MIDI ports could be played into.",
            reply=(
                Field("ports", "list", "names of the ports", items="text"),
                Field("virtual", "boolean", "whether ports of our own can be made here"),
            ),
        ),
        Command(
            "composers",
            "Who could play.",
            reply=(
                Field("composers", "object", "each composer with a line on how it plays"),
                Field("composer_default", "text", "who plays unless told", None),
            ),
        ),
        Command(
            "record",
            "Writes all that was played in this session, on the DAW's bars.",
            fields=(_FILE,),
            reply=_WRITTEN,
        ),
        Command(
            "keep",
            "Writes what was played in the last bars.",
            fields=(Field("bars", "integer", "how many", low=1, high=MOST_BARS), _FILE),
            reply=_WRITTEN,
        ),
        Command(
            "render",
            "Covers a song file with the running engine. Accepted at once; events `job` follow.",
            fields=_RENDER,
            reply=(_JOB,),
        ),
        Command(
            "cancel",
            "Ends a job.",
            fields=(_JOB,),
        ),
        Command(
            "load-checkpoint",
            "Plays from another checkpoint, once it is warm, and from then on after every start of "
            "the engine. Accepted at once, or refused as busy while another one is loaded; until "
            "then the one before plays on, and if it cannot be loaded a `problem` says why.",
            fields=(Field("checkpoint", "text", '"builtin", a folder, or a hub id'),),
        ),
        Command("shut-down", "Releases all notes and ends the bridge, once this is answered."),
    ),
    events=(
        Event(
            "status",
            "Something in the status changed; at most ten times a second.",
            fields=_STATUS,
        ),
        Event(
            "transport",
            "The song started, stopped, jumped, or changed its tempo, meter or source.",
            fields=(
                Field("source", "text", "who tells", choices=SOURCES),
                Field("playing", "boolean", "whether it runs"),
                Field("bpm", "number", "tempo", low=0, unit=_BPM_UNIT),
                Field("meter", "text", "such as 4/4"),
                Field("beat", "number", "song position", unit="quarter notes"),
                Field("bar", "integer", "number of the bar, from 1"),
                Field("bar_start", "number", "where it begins", unit="quarter notes"),
                Field(
                    "loop",
                    "list",
                    "[start, end] that is repeated",
                    None,
                    unit="quarter notes",
                    items="number",
                    longest=2,
                ),
                Field("stretch", "integer", "counts unbroken runs; 0 when stopped", low=0),
            ),
        ),
        Event(
            "level",
            "How loud the input is; at most ten times a second.",
            fields=(
                Field("level_db", "number", "loudness", unit="dBFS"),
                Field("peak_db", "number", "highest sample lately", unit="dBFS"),
                Field("clipped", "boolean", "it was too loud lately"),
                Field(
                    "silent_seconds", "number", "since anything was heard", low=0, unit="seconds"
                ),
            ),
        ),
        Event(
            "notes",
            "Notes were handed to the piano.",
            fields=(
                Field(
                    "notes",
                    "list",
                    "the notes",
                    longest=_MOST_ROWS,
                    columns=(
                        Field("onset_beats", "number", "song position where it sounds"),
                        Field("duration_beats", "number", "how long", low=0),
                        Field("pitch", "integer", "MIDI pitch", low=0, high=127),
                        Field("velocity", "integer", "MIDI velocity", low=1, high=127),
                        Field("channel", "integer", "MIDI channel", low=1, high=16),
                    ),
                ),
            ),
        ),
        Event(
            "window",
            "A window of the song became notes, or was missed.",
            fields=(
                Field("start_beats", "number", "where it begins", unit="quarter notes"),
                Field("result", "text", "what came of it", choices=WINDOW_RESULTS),
                Field("composer", "text", "who plays", None),
                Field("notes", "integer", "how many notes", 0, low=0),
                Field("took_seconds", "number", "in the engine", None, low=0, unit="seconds"),
                Field("reason", "text", "why it was missed", None),
                Field(
                    "rows",
                    "list",
                    "the notes, before hands, pedal and controls",
                    [],
                    longest=_MOST_ROWS,
                    columns=(
                        Field(
                            "onset_beats",
                            "number",
                            "song position where it was heard; it sounds so many beats of delay "
                            "later",
                        ),
                        Field("duration_beats", "number", "how long", low=0),
                        Field("pitch", "integer", "MIDI pitch", low=0, high=127),
                        Field("velocity", "integer", "if it is known", None, low=1, high=127),
                    ),
                ),
            ),
        ),
        Event(
            "heard",
            "What the input sounded like, while the song runs; a few times a second.",
            fields=(
                Field(
                    "start_beats",
                    "number",
                    "song position of the first column",
                    unit="quarter notes",
                ),
                Field("beats_per_column", "number", "how long one is", unit="quarter notes"),
                Field("lowest_pitch", "integer", "MIDI pitch of the first number of a column"),
                Field(
                    "columns",
                    "list",
                    "for each semitone two hex digits: how loud it was, from 00 to ff",
                    items="text",
                    longest=_MOST_ROWS,
                ),
            ),
        ),
        Event(
            "run",
            "The piano begins to follow the song.",
            fields=(
                Field("mode", "text", "echo or loop", choices=MODES),
                Field("delay_beats", "integer", "how far behind", low=0, unit="quarter notes"),
                Field("reason", "text", "why so far"),
            ),
        ),
        Event(
            "problem",
            "Something went wrong, or is well again.",
            fields=(
                Field("about", "text", "engine, input, transport, output, piano-on-bus ..."),
                Field("message", "text", "what is wrong and what to do; null: it is well", None),
            ),
        ),
        Event(
            "job",
            "A render went on.",
            fields=(
                _JOB,
                Field("state", "text", "how it is", choices=JOB_STATES),
                Field("stage", "text", "what is done now", None),
                Field("done", "integer", "windows played", 0, low=0),
                Field("total", "integer", "windows in all; 0 while it is not known", 0, low=0),
                Field("result", "object", "what came of it", None),
                Field("message", "text", "what went wrong, and what to do", None),
            ),
        ),
        Event("ending", "The bridge ends now."),
    ),
)
