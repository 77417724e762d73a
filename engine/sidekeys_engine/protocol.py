"""What may be said to an engine, and what it says: the table of its commands and events.

How messages are packed is in `messages`, how a table checks them in `message_table`; their names
are here, too, for whoever speaks the protocol.
"""

from __future__ import annotations

from sidekeys_engine.message_table import REQUIRED, Command, Event, Field, Table
from sidekeys_engine.messages import (
    ERROR_CODES,
    LARGEST_BUFFER,
    LARGEST_JSON,
    VERSION,
    Message,
    ProtocolError,
    error,
    ok,
    pack,
    unpack,
)

__all__ = [
    "ENGINE",
    "ERROR_CODES",
    "LARGEST_BUFFER",
    "LARGEST_JSON",
    "REQUIRED",
    "VERSION",
    "Command",
    "Event",
    "Field",
    "Message",
    "ProtocolError",
    "Table",
    "error",
    "ok",
    "pack",
    "unpack",
]

STATES = ("loading", "warming", "ready", "failed")
MOST_STEPS = 4096
LONGEST_WITHIN_SECONDS = 600.0

_MOST_BEATS = 100_000
_RATE = Field("sampling_rate", "integer", "rate of the samples", low=8000, high=192_000, unit="Hz")
_METER = Field("meter", "text", "meter, such as 4/4, 3/4 or 6/8", default="4/4", longest=8)
_TRACKER = Field(
    "tracker",
    "text",
    "who listens for the beats",
    default="auto",
    choices=("auto", "essentia", "librosa"),
)
_TEMPERATURE = Field(
    "temperature",
    "number",
    "0 plays the likeliest notes; 1 is livelier, and takes differ",
    default=0.0,
    low=0,
    high=10,
)
_SEED = Field("seed", "integer", "which take", default=0, low=0, high=2**31 - 1)
_JOB = Field("job", "text", "id of the job", longest=64)
_COMPOSER = Field("composer", "text", "one of the checkpoint's composers", longest=100)
_STATE = Field(
    "state",
    "text",
    "loading and warming last until the first checkpoint is there; failed says that it cannot be",
    choices=STATES,
)
_CHECKPOINT = Field("checkpoint", "text", 'the checkpoint: "builtin", a folder or a hub id')
_PROBLEM = Field("problem", "text", "what went wrong last, and what to do", default=None)
_SAMPLES = "mono float32 samples, little-endian"


def _about_checkpoint(doc: str) -> tuple[Field, ...]:
    """What is known once a checkpoint is loaded; null before."""
    return (
        Field("composers", "object", f"each composer with a line on how it plays{doc}", None),
        Field("composer_default", "text", "the first of them", None),
        Field("sampling_rate", "integer", "rate of the sound that it hears", None, unit="Hz"),
        Field("steps_per_beat", "integer", "steps in a beat", None),
        Field("steps_per_window", "integer", "steps in a window", None),
        Field("context_steps", "integer", "steps that are heard before a window", None),
        Field("has_velocity", "boolean", "whether its notes have velocities", None),
        Field("held_notes", "boolean", "whether notes are held over a window's edge", None),
        Field("device", "text", "where it computes: cpu, cuda or mps", None),
    )


_GENERATION = Field(
    "generation_seconds",
    "number",
    "how long one window takes, as measured last; null before the warm-up",
    default=None,
    unit="seconds",
)

ENGINE = Table(
    commands=(
        Command(
            "describe",
            "What the engine is and plays. Answered at once, also while it loads.",
            reply=(
                _STATE,
                _PROBLEM,
                _CHECKPOINT,
                *_about_checkpoint("; null while the first checkpoint loads, like what follows"),
                _GENERATION,
                Field("pid", "integer", "the engine's process"),
                Field("version", "text", "version of Sidekeys"),
            ),
        ),
        Command(
            "health",
            "How the engine does. Answered at once, whatever it computes.",
            reply=(
                _STATE,
                _PROBLEM,
                _GENERATION,
                Field("up_seconds", "number", "since its start", unit="seconds"),
                Field("windows_done", "integer", "windows answered"),
                Field("windows_refused", "integer", "windows that would have been late, or were"),
                Field("batches", "integer", "times that the model was asked"),
                Field("waiting", "integer", "windows that wait for the model now"),
                Field("jobs", "list", "ids of the jobs that run or wait", items="text"),
                Field("pid", "integer", "the engine's process"),
            ),
        ),
        Command(
            "generate",
            "Plays one window of sound. Windows that wait together share a batch. A window that "
            "would be answered too late is refused at once with the code late.",
            fields=(
                _COMPOSER,
                _RATE,
                Field(
                    "step_seconds",
                    "list",
                    "rising moments of the borders of the window's steps, those of the context "
                    "before them (context_steps + steps_per_window + 1 in all), from the first "
                    "sample of the buffer; before and beyond it there is silence",
                    low=-600,
                    high=1200,
                    unit="seconds",
                    items="number",
                    longest=MOST_STEPS,
                ),
                _TEMPERATURE,
                _SEED,
                Field(
                    "window_number",
                    "integer",
                    "number of the window in its song, which draws its random numbers",
                    default=0,
                    low=0,
                    high=2**31 - 1,
                ),
                Field(
                    "within_seconds",
                    "number",
                    "when the answer is due, from now",
                    default=60.0,
                    low=0,
                    high=LONGEST_WITHIN_SECONDS,
                    unit="seconds",
                ),
            ),
            buffers=f"one, {_SAMPLES}, at the checkpoint's sampling rate",
            buffer_counts=(1, 1),
            reply=(
                Field(
                    "notes",
                    "list",
                    "the notes, by onset and pitch",
                    longest=100_000,
                    columns=(
                        Field("onset_step", "integer", "where it starts", low=0),
                        Field("end_step", "integer", "where it ends", low=1),
                        Field("pitch", "integer", "MIDI pitch", low=0, high=127),
                        Field(
                            "velocity",
                            "integer",
                            "MIDI velocity; null where the checkpoint knows none",
                            default=None,
                            low=1,
                            high=127,
                        ),
                        Field("held_before", "boolean", "it sounds on from the window before"),
                        Field("held_after", "boolean", "it sounds on into the next window"),
                    ),
                ),
                Field("silent", "boolean", "nothing is heard in the window, so nothing is played"),
                Field("took_seconds", "number", "in the model", low=0, unit="seconds"),
                Field("queued_seconds", "number", "waiting for the model", low=0, unit="seconds"),
            ),
        ),
        Command(
            "track-beats",
            "Finds the beats of some sound. Answered when they are found.",
            fields=(_RATE, _TRACKER, _METER),
            buffers=f"one, {_SAMPLES}",
            buffer_counts=(1, 1),
            reply=(
                Field(
                    "beat_seconds",
                    "list",
                    "moments of the beats, from the first sample",
                    items="number",
                    unit="seconds",
                    longest=_MOST_BEATS,
                ),
                Field(
                    "beats",
                    "list",
                    "their positions in quarter notes; a bar starts at 0",
                    items="number",
                    longest=_MOST_BEATS,
                ),
                Field(
                    "downbeat_seconds",
                    "list",
                    "moments of the bar lines",
                    items="number",
                    unit="seconds",
                    longest=_MOST_BEATS,
                ),
                _METER,
                Field("bpm", "number", "the median tempo", unit="quarter notes a minute"),
                Field("took_seconds", "number", "to find them", low=0, unit="seconds"),
            ),
        ),
        Command(
            "render",
            "Covers a whole song: a file of the engine's machine, or samples. Accepted at once; "
            "progress, finished or failed follow as events.",
            fields=(
                Field("song", "text", "path of a sound file; null if samples are sent", None),
                Field("midi", "text", "path of the .mid to write; null to have it sent", None),
                Field("plot", "text", "path of a picture to write", None),
                Field("mix", "text", "path of a mix to write", None),
                Field("sampling_rate", "integer", "of the samples", None, 8000, 192_000, unit="Hz"),
                _COMPOSER,
                Field(
                    "bpm",
                    "number",
                    "the tempo; null to listen for the beats",
                    default=None,
                    low=20,
                    high=400,
                    unit="quarter notes a minute",
                ),
                Field(
                    "first_beat_seconds",
                    "number",
                    "where a bar begins",
                    default=None,
                    low=-1e5,
                    high=1e5,
                    unit="seconds",
                ),
                Field("meter", "text", "such as 3/4; null for the grid's or 4/4", None, longest=8),
                Field("grid", "text", "path of a grid file: a MIDI file or a list of beats", None),
                _TRACKER,
                Field(
                    "tempo_factor",
                    "number",
                    "0.5 halves the tempo that was found, 2 doubles it",
                    default=1.0,
                    low=0.5,
                    high=2.0,
                ),
                Field("start", "text", "where to start: 12.5, 1:02.5, bar5 or 5|3", None),
                Field("end", "text", "where to end", None),
                _TEMPERATURE,
                _SEED,
            ),
            buffers=f"none, or one, {_SAMPLES}",
            buffer_counts=(0, 1),
            reply=(_JOB,),
        ),
        Command(
            "cancel",
            "Ends a job, or a request of the same client that still waits; that one is answered "
            "with the error cancelled.",
            fields=(Field("target", "text", "id of the job or of the request", longest=64),),
        ),
        Command(
            "load",
            "Loads another checkpoint. Accepted at once; windows go on with the one before until "
            "the new one is warm. Events: state, and finished or failed.",
            fields=(_CHECKPOINT,),
            reply=(_JOB,),
        ),
        Command("shut-down", "Ends the engine, once this is answered."),
    ),
    events=(
        Event(
            "state",
            "The engine's state, problem or checkpoint changed.",
            fields=(_STATE, _PROBLEM, _CHECKPOINT),
        ),
        Event(
            "progress",
            "A job went on.",
            fields=(
                _JOB,
                Field("stage", "text", "what is done now", choices=("listening", "playing")),
                Field("done", "integer", "windows played", low=0),
                Field("total", "integer", "windows in all; 0 while listening", low=0),
            ),
        ),
        Event(
            "finished",
            "A job is done.",
            fields=(_JOB, Field("result", "object", "what came of it")),
            buffers="of a render without a path for its .mid: one, that MIDI file",
        ),
        Event(
            "failed",
            "A job went wrong, or was cancelled.",
            fields=(
                _JOB,
                Field("code", "text", "an error code", choices=tuple(ERROR_CODES)),
                Field("message", "text", "what is wrong, and what to do next"),
            ),
        ),
    ),
)
