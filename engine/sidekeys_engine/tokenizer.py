"""Token ids to notes and notes to token ids (Pop2PianoTokenizer)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import numpy.typing as npt

from sidekeys_engine.checkpoint import CheckpointError, read_json, take_checkpoint, write_json
from sidekeys_engine.note_tokens import (
    NO_NOTES,
    SPECIAL,
    UNKNOWN_ID,
    NoteRows,
    NoteTokens,
    StepNote,
    as_numpy,
    default_vocabulary,
    join_windows,
)
from sidekeys_engine.outputs import BatchEncoding

if TYPE_CHECKING:
    import pretty_midi

_MIDI_TICKS_PER_BEAT = 384
_PADDINGS = ("longest", "max_length", "do_not_pad")
_TRUNCATIONS = ("longest_first", "only_first", "only_second", "do_not_truncate")
_MASKS = ("attention_mask", "attention_mask_beatsteps", "attention_mask_extrapolated_beatstep")


class Pop2PianoTokenizer:
    """Translates between notes and the token ids of Pop2Piano (arXiv 2211.00895, section 3.2).

    A time token moves on by some steps (half-beats), a velocity token says whether the notes after
    it start (1) or end (0), a note token names a pitch. Arguments and results are those of
    Pop2Piano in transformers.

    Args:
        vocab: path of a vocab.json, ``{"60_TOKEN_NOTE": 64, ...}``, or the dictionary itself.
        default_velocity: MIDI velocity of every decoded note.
        num_bars: length of a window in units of four steps.
        unk_token: what ``"-1"`` stands for in the reference; kept for its files.
        eos_token: number of the special token that ends a window.
        pad_token: number of the special token that fills up a row.
        bos_token: number of the special token that begins a window.
        steps_per_beat: steps in a beat; Pop2Piano's are half-beats.
        held_notes: whether pitches before a window's first time token sound on from the window
            before, and unended notes into the next one.
        **kwargs: further settings of a checkpoint's JSON, kept for ``save_pretrained``.

    Raises:
        CheckpointError: the vocabulary cannot be read.
    """

    model_input_names = ("token_ids", "attention_mask")
    vocab_name = "vocab.json"
    config_name = "tokenizer_config.json"

    def __init__(
        self,
        vocab: str | os.PathLike[str] | Mapping[str, int],
        default_velocity: int = 77,
        num_bars: int = 2,
        unk_token: str = "-1",  # noqa: S107 (a word, no password)
        eos_token: str = "1",  # noqa: S107
        pad_token: str = "0",  # noqa: S107
        bos_token: str = "2",  # noqa: S107
        steps_per_beat: int = 2,
        held_notes: bool = False,
        **kwargs: Any,
    ) -> None:
        self.default_velocity = default_velocity
        self.num_bars = num_bars
        self.unk_token = unk_token
        self.eos_token = eos_token
        self.pad_token = pad_token
        self.bos_token = bos_token
        self.steps_per_beat = steps_per_beat
        self.held_notes = held_notes
        words = dict(vocab) if isinstance(vocab, Mapping) else read_json(Path(vocab))
        try:
            self._end_id, self._pad_id, self._begin_id = (
                int(word) for word in (eos_token, pad_token, bos_token)
            )
            self._note_tokens = NoteTokens(words, self._end_id)
        except (AttributeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"The vocabulary is not one of Pop2Piano ({error}); get its vocab.json again."
            ) from error
        self.encoder: dict[str, int] = words
        self.decoder: dict[int, str] = {index: word for word, index in words.items()}
        self._extra_settings = {k: v for k, v in kwargs.items() if k not in _FILE_MARKS}

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return len(self.encoder)

    def __len__(self) -> int:
        return len(self.encoder)

    @property
    def eos_token_id(self) -> int:
        """The id that ends a window."""
        return self._end_id

    @property
    def pad_token_id(self) -> int:
        """The id that fills up a row; inside the model's vocabulary, unlike the reference's."""
        return self._pad_id

    @property
    def bos_token_id(self) -> int:
        """The id that begins a window in training."""
        return self._begin_id

    @property
    def unk_token_id(self) -> int:
        """The id of a word that is no token: 3, which is special and means nothing to a model."""
        return UNKNOWN_ID

    def get_vocab(self) -> dict[str, int]:
        """The vocabulary, word to id."""
        return dict(self.encoder)

    def __call__(
        self,
        notes: Any = None,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
        *,
        text: str | Sequence[str] | None = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Encode the notes of one window or of several; or words, see ``encode_text``.

        Args:
            notes: (notes, 4) onset step, offset step, pitch and velocity, or a list of
                ``pretty_midi.Note`` whose times are steps. Several windows are a list of such
                lists or arrays, or an array with three dimensions.
            padding: True or ``"longest"``: to the longest row; ``"max_length"``: to
                ``max_length``; False or ``"do_not_pad"``: not at all.
            truncation: True, ``"longest_first"`` or ``"only_first"``: rows end at ``max_length``;
                False, ``"do_not_truncate"`` or ``"only_second"`` (there is no second): they do
                not. None truncates where ``max_length`` is given and there is no padding.
            max_length: most tokens in a row.
            pad_to_multiple_of: padded rows get a multiple of this length.
            return_attention_mask: whether the mask is returned; None returns it.
            return_tensors: ``"pt"``, ``"np"`` or None for lists.
            verbose: unused.
            text: words such as ``"60_TOKEN_NOTE"``, instead of notes.
            **kwargs: ignored.

        Returns:
            ``token_ids`` and ``attention_mask``; a row for a single window, a list of rows or an
            array (windows, tokens) for several. For text, ``input_ids`` (rows, tokens).

        Raises:
            ValueError: an unknown padding or truncation, notes that cannot be written down, or
                rows of several lengths for a tensor.
        """
        pad_to, cut_to = _lengths(padding, truncation, max_length)
        if text is not None:
            return self.encode_text(text, max_length=cut_to, return_tensors=return_tensors)
        if notes is None:
            raise ValueError("give notes, or text to encode words")
        if hasattr(notes, "detach"):
            notes = as_numpy(notes)
        several = _is_several(notes)
        rows = [
            self._note_tokens.encode(window)[:cut_to] for window in (notes if several else [notes])
        ]
        lengths = [len(row) for row in rows]
        if pad_to != "do_not_pad":
            goal = max(lengths, default=0) if pad_to == "longest" else max_length or 0
            if pad_to_multiple_of:
                goal = -(-goal // pad_to_multiple_of) * pad_to_multiple_of
            rows = [row + [self.pad_token_id] * (goal - len(row)) for row in rows]
        masks = [[1] * n + [0] * (len(row) - n) for row, n in zip(rows, lengths, strict=True)]
        entries: dict[str, Any] = {"token_ids": rows if several else rows[0]}
        if return_attention_mask is not False:
            entries["attention_mask"] = masks if several else masks[0]
        return BatchEncoding(entries, tensor_type=return_tensors)

    def encode_plus(
        self,
        notes: Any,
        truncation_strategy: bool | str | None = None,
        max_length: int | None = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Encode the notes of one window; ``token_ids`` is a list.

        Args:
            notes: as in ``__call__``.
            truncation_strategy: as ``truncation`` there; None truncates at ``max_length``.
            max_length: most tokens.
            **kwargs: ignored.
        """
        _, cut_to = _lengths(False, truncation_strategy, max_length)
        return BatchEncoding({"token_ids": self._note_tokens.encode(notes)[:cut_to]})

    def batch_encode_plus(
        self,
        notes: Any,
        truncation_strategy: bool | str | None = None,
        max_length: int | None = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Encode the notes of several windows; ``token_ids`` is a list of lists."""
        rows = [self.encode_plus(n, truncation_strategy, max_length) for n in notes]
        return BatchEncoding({"token_ids": [row["token_ids"] for row in rows]})

    def encode_text(
        self,
        text: str | Sequence[str],
        *,
        max_length: int | None = None,
        return_tensors: str | None = None,
    ) -> BatchEncoding:
        """Turn words into ids; the inverse of ``batch_decode`` without features.

        Args:
            text: words such as ``"2_TOKEN_TIME 1_TOKEN_VELOCITY 60_TOKEN_NOTE"`` between spaces,
                or a list of such texts. A word that is no token becomes ``unk_token_id``.
            max_length: most ids in a row.
            return_tensors: ``"pt"``, ``"np"`` or None for lists.

        Returns:
            ``input_ids`` (rows, tokens) and ``attention_mask``; one text is one row, shorter rows
            are padded.
        """
        texts = [text] if isinstance(text, str) else list(text)
        rows = [[self.encoder.get(w, UNKNOWN_ID) for w in t.split()][:max_length] for t in texts]
        longest = max(map(len, rows), default=0)
        return BatchEncoding(
            {
                "input_ids": [r + [self.pad_token_id] * (longest - len(r)) for r in rows],
                "attention_mask": [[1] * len(r) + [0] * (longest - len(r)) for r in rows],
            },
            tensor_type=return_tensors,
        )

    @overload
    def batch_decode(
        self,
        token_ids: Any,
        feature_extractor_output: None = None,
        return_midi: bool = True,
        *,
        steps_per_beat: int | None = None,
    ) -> list[str]: ...

    @overload
    def batch_decode(
        self,
        token_ids: Any,
        feature_extractor_output: Mapping[str, Any],
        return_midi: bool = True,
        *,
        steps_per_beat: int | None = None,
    ) -> BatchEncoding: ...

    def batch_decode(
        self,
        token_ids: Any,
        feature_extractor_output: Mapping[str, Any] | None = None,
        return_midi: bool = True,
        *,
        steps_per_beat: int | None = None,
    ) -> BatchEncoding | list[str]:
        """Decode the windows of a song or of a batch of songs.

        A note that never ends lasts until its window's cut, a window and a half after its start;
        one that is struck right there, or whose end comes at once, gets what the reference gives
        it, at most one step beyond. As there, once a window of a song has ended, tokens of its
        other windows beyond that length do not count.

        Args:
            token_ids: (rows, tokens) integers, an array, a tensor on any device, or a list.
            feature_extractor_output: what the feature extractor returned for the songs. Without
                it, each row is decoded to words.
            return_midi: whether ``pretty_midi_objects`` are returned too.
            steps_per_beat: what the feature extractor was called with, if anything; decides the
                tempo written to the MIDI objects.

        Returns:
            ``notes``, all songs' ``pretty_midi.Note`` in seconds in one list; ``notes_per_song``,
            a list of such lists; ``pretty_midi_objects``, one for each song, at its mean tempo.
            Without features, a list of texts, a row each, that leave out special tokens and end
            where the row does.

        Raises:
            ValueError: features that lack an entry, or belong to another number of rows.
        """
        rows = _as_rows(token_ids)
        if feature_extractor_output is None:
            return [self._text(row) for row in rows]
        midis = [
            self._song_midi(ids, beatsteps, further, steps_per_beat or self.steps_per_beat)
            for ids, beatsteps, further in _songs(rows, feature_extractor_output)
        ]
        per_song = [midi.instruments[0].notes for midi in midis]
        entries: dict[str, Any] = {
            "notes": [note for notes in per_song for note in notes],
            "notes_per_song": per_song,
        }
        if return_midi:
            entries["pretty_midi_objects"] = midis
        return BatchEncoding(entries)

    def relative_tokens_ids_to_notes(
        self, tokens: Iterable[int], start_idx: int, cutoff_time_idx: int | None = None
    ) -> NoteRows:
        """Decode one window as the reference does.

        The reference takes every note token of a silent pitch for a start, whatever the velocity
        token before it says. An id without a token is passed over here; there, it turns time back.

        Args:
            tokens: ids, up to the end token or to the last one.
            start_idx: the window's first step.
            cutoff_time_idx: the step that time stops at and unended notes last to; None lets time
                run, and unended notes last to its end, and for a step at least.

        Returns:
            (notes, 4) onset step, offset step, pitch and velocity, by onset.
        """
        return self._note_tokens.decode(tokens, start_idx, cutoff_time_idx, self.default_velocity)

    def relative_batch_tokens_ids_to_notes(
        self,
        tokens: Iterable[Iterable[int]],
        beat_offset_idx: int,
        bars_per_batch: int,
        cutoff_time_idx: int,
    ) -> NoteRows:
        """Decode a song's windows, each ``bars_per_batch * 4`` steps after the one before.

        Args:
            tokens: (windows, tokens) ids.
            beat_offset_idx: the first window's first step.
            bars_per_batch: length of a window in units of four steps.
            cutoff_time_idx: the step of a window, counted from its start, that its time stops at.

        Returns:
            (notes, 4) as from ``relative_tokens_ids_to_notes``.
        """
        windows = [NO_NOTES]
        for index, row in enumerate(tokens):
            start = beat_offset_idx + index * bars_per_batch * 4
            windows.append(self.relative_tokens_ids_to_notes(row, start, start + cutoff_time_idx))
        return np.concatenate(windows)

    def relative_batch_tokens_ids_to_midi(
        self,
        tokens: Iterable[Iterable[int]],
        beatstep: npt.ArrayLike,
        beat_offset_idx: int | None = 0,
        bars_per_batch: int = 2,
        cutoff_time_idx: int = 12,
        *,
        tempo_bpm: float | None = None,
    ) -> pretty_midi.PrettyMIDI:
        """Decode a song's windows to MIDI that starts with the first step at 0 s.

        Args:
            tokens: (windows, tokens) ids.
            beatstep: the seconds of each step, beyond the last window's cut.
            beat_offset_idx: the first window's first step.
            bars_per_batch: length of a window in units of four steps.
            cutoff_time_idx: the step of a window that its time stops at.
            tempo_bpm: as in ``notes_to_midi``.
        """
        seconds = as_numpy(beatstep)
        offset = beat_offset_idx or 0
        notes = self.relative_batch_tokens_ids_to_notes(
            tokens, offset, bars_per_batch, cutoff_time_idx
        )
        return self.notes_to_midi(notes, seconds, seconds[offset], tempo_bpm=tempo_bpm)

    def notes_to_midi(
        self,
        notes: Iterable[Sequence[int]] | NoteRows,
        beatstep: npt.ArrayLike,
        offset_sec: float = 0.0,
        *,
        tempo_bpm: float | None = None,
    ) -> pretty_midi.PrettyMIDI:
        """Put notes at their seconds, for one piano.

        Args:
            notes: (notes, 4) onset step, offset step, pitch and velocity.
            beatstep: the seconds of each step.
            offset_sec: what is taken away from every time, in seconds.
            tempo_bpm: the tempo to write; None writes the mean tempo of the steps, taken for half
                beats. The reference writes 120 whatever the tempo.

        Raises:
            ValueError: a note beyond the last step.
        """
        import pretty_midi  # noqa: PLC0415

        seconds = as_numpy(beatstep)
        if tempo_bpm is None:
            tempo_bpm = mean_tempo_bpm(seconds)
        rows = [tuple(int(value) for value in row) for row in notes]
        if rows and max(offset for _, offset, _, _ in rows) >= len(seconds):
            raise ValueError("notes reach beyond the last step; give the features of these windows")
        midi = pretty_midi.PrettyMIDI(resolution=_MIDI_TICKS_PER_BEAT, initial_tempo=tempo_bpm)
        piano = pretty_midi.Instrument(program=0)
        piano.notes = [
            pretty_midi.Note(
                velocity, pitch, seconds[onset] - offset_sec, seconds[offset] - offset_sec
            )
            for onset, offset, pitch, velocity in rows
        ]
        midi.instruments.append(piano)
        midi.remove_invalid_notes()
        return midi

    def decode_window(
        self,
        token_ids: Iterable[int],
        *,
        steps: int = 8,
        cut_step: int | None = None,
        held_notes: bool = False,
    ) -> list[StepNote]:
        """Decode one window strictly: every sequence of integers gives playable notes.

        Unlike in the reference, a note-off of a silent pitch is nothing. A note struck again ends
        where it is struck. A note-off in the step of its note-on is passed over, as in the
        original code, and an unended note lasts until the cut.

        Args:
            token_ids: integers; decoding stops at the end token.
            steps: length of the window; no note starts at it or later.
            cut_step: where notes end at the latest; None is the window's end.
            held_notes: whether pitches before the first time token sound on from the window
                before, and unended notes into the next one.

        Returns:
            The notes by onset and pitch, with ``0 <= onset < steps`` and ``onset < end <=
            cut_step``. Notes of one pitch never overlap.
        """
        return self._note_tokens.decode_strictly(
            token_ids, steps=steps, cut_step=cut_step, held_notes=held_notes
        )

    def save_vocabulary(
        self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None
    ) -> tuple[str]:
        """Write vocab.json into a folder, made if needed, and return its path in a tuple."""
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        path = Path(save_directory) / f"{prefix}{self.vocab_name}"
        write_json(path, self.encoder)
        return (str(path),)

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write vocab.json and tokenizer_config.json into ``folder``, made if needed."""
        self.save_vocabulary(folder)
        settings = {
            "tokenizer_class": type(self).__name__,
            "default_velocity": self.default_velocity,
            "num_bars": self.num_bars,
            **self._own_settings(),
            **{name: getattr(self, name) for name in _SPECIAL_NAMES},
            **self._extra_settings,
        }
        write_json(Path(folder) / self.config_name, settings)

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | os.PathLike[str], **kwargs: Any
    ) -> Pop2PianoTokenizer:
        """Read the vocabulary of a checkpoint.

        Where it has no vocab.json, the usual layout is built to the size that config.json names.

        Args:
            name_or_path: ``"builtin"``, a folder, or a Hugging Face id such as ``"owner/name"``.
            **kwargs: ``local_files_only``, ``revision``, ``cache_dir``, ``token`` and ``on_notice``
                as `find_checkpoint` takes them; settings that replace the checkpoint's.

        Raises:
            CheckpointError: no such checkpoint, or its vocabulary cannot be used.
        """
        folder = take_checkpoint(name_or_path, kwargs)
        config = folder / cls.config_name
        settings = read_json(config) if config.is_file() else {}
        for name in _SPECIAL_NAMES:
            # transformers writes a special token as a word or as {"content": word, ...}.
            if isinstance(settings.get(name), dict):
                settings[name] = settings[name].get("content")
        vocab = settings.pop("vocab", None)
        path = folder / cls.vocab_name
        if path.is_file():
            vocab = read_json(path)
        elif not isinstance(vocab, dict):
            vocab = default_vocabulary(_vocabulary_size(folder))
        return cls(vocab, **{**settings, **kwargs})

    def _own_settings(self) -> dict[str, int | bool]:
        """The settings that the reference does not know, where they are not as it works."""
        own = {"steps_per_beat": (self.steps_per_beat, 2), "held_notes": (self.held_notes, False)}
        return {name: value for name, (value, usual) in own.items() if value != usual}

    def _text(self, row: npt.NDArray[Any]) -> str:
        return " ".join(
            f"{n}_{kind}" for kind, n in self._note_tokens.spoken(row) if kind != SPECIAL
        )

    def _song_midi(
        self,
        rows: npt.NDArray[Any],
        beatsteps: npt.NDArray[Any],
        further: npt.NDArray[Any],
        steps_per_beat: int,
    ) -> pretty_midi.PrettyMIDI:
        """One song's windows at the song's own seconds."""
        tempo_bpm = mean_tempo_bpm(beatsteps, steps_per_beat)
        if self.held_notes:
            steps = self.num_bars * 4
            windows = [self.decode_window(row, steps=steps, held_notes=True) for row in rows]
            joined = [
                (n.onset_step, n.end_step, n.pitch, n.velocity or self.default_velocity)
                for n in join_windows(windows, steps)
            ]
            first = -float(beatsteps[0])
            return self.notes_to_midi(joined, further, first, tempo_bpm=tempo_bpm)
        ends = np.nonzero(rows == self.eos_token_id)[1]
        midi = self.relative_batch_tokens_ids_to_midi(
            rows[:, : ends.max() + 1] if len(ends) else rows,
            further,
            bars_per_batch=self.num_bars,
            cutoff_time_idx=(self.num_bars + 1) * 4,
            tempo_bpm=tempo_bpm,
        )
        for note in midi.instruments[0].notes:
            note.start = float(note.start + beatsteps[0])
            note.end = float(note.end + beatsteps[0])
        return midi


_SPECIAL_NAMES = ("unk_token", "eos_token", "pad_token", "bos_token")
_FILE_MARKS = ("tokenizer_class", "processor_class", "added_tokens_decoder", "backend")


def mean_tempo_bpm(beatsteps: npt.ArrayLike, steps_per_beat: int = 2) -> float:
    """Return the mean tempo of steps, in quarter notes a minute; 120 for a single step."""
    seconds = np.asarray(beatsteps, dtype=np.float64)
    if len(seconds) < 2 or not seconds[-1] > seconds[0]:
        return 120.0
    return float(60 * (len(seconds) - 1) / (steps_per_beat * (seconds[-1] - seconds[0])))


def _vocabulary_size(folder: Path) -> int:
    """The size that the model's own settings name."""
    config = folder / "config.json"
    size = read_json(config).get("vocab_size") if config.is_file() else None
    if not isinstance(size, int):
        raise CheckpointError(f"{folder} has no vocab.json; copy it from the checkpoint's source.")
    return size


def _lengths(
    padding: bool | str, truncation: bool | str | None, max_length: int | None
) -> tuple[str, int | None]:
    """How rows are padded, and the length they are cut to."""
    names: dict[Any, str] = {True: "longest", False: "do_not_pad", None: "do_not_pad"}
    pad_to = names.get(padding, str(padding))
    if pad_to not in _PADDINGS:
        raise ValueError(f"padding is True, False or one of {_PADDINGS}, not {padding!r}")
    if truncation is None:
        truncation = pad_to == "do_not_pad"
    cut = "longest_first" if truncation is True else truncation or "do_not_truncate"
    if cut not in _TRUNCATIONS:
        raise ValueError(f"truncation is True, False or one of {_TRUNCATIONS}, not {truncation!r}")
    return pad_to, max_length if cut in ("longest_first", "only_first") else None


def _is_several(notes: Any) -> bool:
    """Whether these are the notes of several windows."""
    if isinstance(notes, np.ndarray):
        return notes.ndim == 3
    if len(notes) == 0 or hasattr(notes[0], "pitch"):
        return False
    first = notes[0]
    if isinstance(first, np.ndarray):
        return first.ndim == 2
    # A note may be a row of four numbers; a window is a list of notes.
    return len(first) == 0 or hasattr(first[0], "pitch") or np.ndim(first[0]) > 0


def _as_rows(token_ids: Any) -> npt.NDArray[Any]:
    """(rows, tokens); a single row is one of its own."""
    ids = as_numpy(token_ids)
    return ids.reshape(1, -1) if ids.ndim == 1 else ids


def _songs(
    rows: npt.NDArray[Any], features: Mapping[str, Any]
) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]]:
    """Each song's rows of ids, its steps and its extrapolated steps, in seconds.

    Raises:
        ValueError: features that lack an entry, or belong to another number of rows.
    """
    if "beatsteps" not in features or "extrapolated_beatstep" not in features:
        raise ValueError("the features must hold beatsteps and extrapolated_beatstep")
    beatsteps, further = (
        as_numpy(features["beatsteps"]),
        as_numpy(features["extrapolated_beatstep"]),
    )
    songs = len(beatsteps)
    if len(further) != songs:
        raise ValueError(f"{songs} rows of beatsteps, but {len(further)} of extrapolated_beatstep")
    if not all(name in features for name in _MASKS):
        if songs != 1:
            raise ValueError(
                "several songs need their masks; call the feature extractor with "
                "return_attention_mask=True"
            )
        return [(rows, beatsteps[0], further[0])]

    mask, steps_mask, further_mask = (as_numpy(features[name]) for name in _MASKS)
    if len(mask) != len(rows):
        raise ValueError(f"{len(rows)} rows of token ids for {len(mask)} rows of features")
    # A row that is masked from its start separates two songs.
    ends = np.nonzero(mask[:, 0] == 0)[0].tolist()
    if len(ends) != songs:
        raise ValueError(f"the attention mask separates {len(ends)} songs, but there are {songs}")
    starts = [0, *(end + 1 for end in ends)]
    return [
        (rows[start:end], beatsteps[i][: steps_mask[i].sum()], further[i][: further_mask[i].sum()])
        for i, (start, end) in enumerate(zip(starts, ends, strict=False))
    ]
