from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekeys_engine.checkpoint import CheckpointError
from sidekeys_engine.note_tokens import StepNote, default_vocabulary
from sidekeys_engine.outputs import BatchFeature
from sidekeys_engine.tokenizer import Pop2PianoTokenizer, mean_tempo_bpm

TIME, ON, OFF, END, PAD = 134, 133, 132, 1, 0
MASKS = ("attention_mask", "attention_mask_beatsteps", "attention_mask_extrapolated_beatstep")

any_ids = st.lists(
    st.one_of(
        st.integers(0, 180),
        st.sampled_from([END, OFF, ON, 4 + 60, 4 + 61, TIME, TIME + 1, TIME + 3]),
        st.integers(-(2**62), 2**70),
    ),
    max_size=60,
)
known_ids = st.lists(
    st.one_of(
        st.integers(0, 2399),
        st.sampled_from([OFF, ON, 4 + 60, 4 + 61, 4 + 62, TIME, TIME + 1, TIME + 3]),
    ),
    max_size=60,
)
window_notes = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 9), st.integers(0, 127)), max_size=20
)


@pytest.fixture(scope="module")
def vocab(tmp_path_factory: pytest.TempPathFactory) -> str:
    """vocab.json as the original checkpoint has it: 2400 entries, times from 134 on."""
    path = tmp_path_factory.mktemp("tokens") / "vocab.json"
    path.write_text(json.dumps(default_vocabulary(2400)))
    return str(path)


@pytest.fixture(scope="module")
def tokenizer(vocab: str) -> Pop2PianoTokenizer:
    return Pop2PianoTokenizer(vocab)


@pytest.fixture(scope="module")
def reference(vocab: str) -> Any:
    from transformers import Pop2PianoTokenizer as Reference

    return Reference(vocab)


@pytest.fixture(scope="module")
def small() -> Pop2PianoTokenizer:
    """Half-beats, on and off, as the original, in a vocabulary without unused times."""
    return Pop2PianoTokenizer(default_vocabulary(144))


def note(pitch: int, start: int = 0, steps: int = 2) -> list[int]:
    """The ids of a window of one note, its end token included."""
    return [PAD, TIME + start, ON, 4 + pitch, TIME + steps, OFF, 4 + pitch, END]


def features(windows: list[int], *, bpm: float = 90.0, masks: bool = True) -> BatchFeature:
    """What the feature extractor returns, less the audio, for songs of so many windows each."""
    period = 30 / bpm
    steps = [2.25 + period * np.arange(8 * n - 3) for n in windows]
    further = [period * np.arange(len(row) + 13) for row in steps]
    entries: dict[str, Any] = {}
    for name, rows in (("beatsteps", steps), ("extrapolated_beatstep", further)):
        longest = max(map(len, rows))
        entries[name] = np.zeros((len(rows), longest), np.float32)
        entries[f"attention_mask_{name}"] = np.zeros((len(rows), longest), np.int64)
        for i, row in enumerate(rows):
            entries[name][i, : len(row)] = row
            entries[f"attention_mask_{name}"][i, : len(row)] = 1
    rows_of_ones = [[1] * 5 if i < n else [0] * 5 for n in windows for i in range(n + 1)]
    entries["attention_mask"] = np.array(rows_of_ones, np.int64)
    if not masks:
        entries = {k: v for k, v in entries.items() if k not in MASKS}
    return BatchFeature(entries)


def for_reference(ours: BatchFeature) -> Any:
    from transformers.feature_extraction_utils import BatchFeature as ReferenceFeature

    return ReferenceFeature(dict(ours))


def heard(notes: Any) -> list[tuple[float, float, int, int]]:
    return [(n.start, n.end, n.pitch, n.velocity) for n in notes]


# --- beside the reference: decoding ---


@settings(max_examples=150, deadline=None)
@given(ids=known_ids, start=st.sampled_from([0, 8, 80]), cut=st.sampled_from([None, 12]))
def test_a_windows_notes_equal_the_reference(
    tokenizer: Pop2PianoTokenizer, reference: Any, ids: list[int], start: int, cut: int | None
) -> None:
    end = None if cut is None else start + cut
    theirs = reference.relative_tokens_ids_to_notes(np.array(ids), start, end)
    ours = tokenizer.relative_tokens_ids_to_notes(np.array(ids), start, end)
    assert ours.tolist() == np.asarray(theirs).tolist()


@settings(max_examples=40, deadline=None)
@given(data=st.data(), masks=st.booleans())
def test_a_songs_notes_equal_the_reference(
    tokenizer: Pop2PianoTokenizer, reference: Any, data: st.DataObject, masks: bool
) -> None:
    rows = data.draw(st.lists(st.lists(st.integers(0, 160), min_size=9, max_size=9), min_size=2))
    ids = np.array([*rows, [END] * 9, [PAD] * 9])
    song = features([len(ids) - 1], masks=masks)
    if not masks:
        ids = ids[:-1]
    theirs = reference.batch_decode(ids, for_reference(song))
    ours = tokenizer.batch_decode(ids, song)
    assert heard(ours["notes"]) == heard(theirs["notes"])
    assert heard(ours.pretty_midi_objects[0].instruments[0].notes) == heard(theirs["notes"])


def test_two_songs_notes_equal_the_reference(tokenizer: Pop2PianoTokenizer, reference: Any) -> None:
    ids = np.array([note(60), note(61), [PAD] * 8, note(62, 3), note(63, 2, 9), [PAD] * 8])
    songs = features([2, 2])
    theirs = reference.batch_decode(ids, for_reference(songs))
    ours = tokenizer.batch_decode(ids, songs)
    assert heard(ours["notes"]) == heard(theirs["notes"])
    assert [heard(m.instruments[0].notes) for m in ours["pretty_midi_objects"]] == [
        heard(m.instruments[0].notes) for m in theirs["pretty_midi_objects"]
    ]


def test_an_empty_song_equals_the_reference(tokenizer: Pop2PianoTokenizer, reference: Any) -> None:
    ids = np.array([[PAD, END]])
    song = features([1], masks=False)
    assert reference.batch_decode(ids, for_reference(song))["notes"] == []
    ours = tokenizer.batch_decode(ids, song)
    assert ours["notes"] == []
    assert ours["notes_per_song"] == [[]]


# --- where the reference is wrong: decoding ---


def test_three_songs_keep_all_their_notes(tokenizer: Pop2PianoTokenizer, reference: Any) -> None:
    windows = [2, 1, 3, 2]
    ids = np.array(
        [
            note(40 + 10 * s + w) if w < n else [PAD] * 8
            for s, n in enumerate(windows)
            for w in range(n + 1)
        ]
    )
    songs = features(windows)
    expected = [40, 41, 50, 60, 61, 62, 70, 71]
    with pytest.raises(ValueError, match="zero-size array"):
        reference.batch_decode(ids, for_reference(songs))
    ours = tokenizer.batch_decode(ids, songs)
    assert [n.pitch for n in ours["notes"]] == expected
    assert [len(notes) for notes in ours["notes_per_song"]] == windows
    for midi, notes in zip(ours["pretty_midi_objects"], ours["notes_per_song"], strict=True):
        assert heard(midi.instruments[0].notes) == heard(notes)
    alone = tokenizer.batch_decode(ids[5:9], features([3]))
    assert heard(alone["notes"]) == heard(ours["notes_per_song"][2])


def test_a_song_without_any_end_token_is_decoded(
    tokenizer: Pop2PianoTokenizer, reference: Any
) -> None:
    ids = np.array([note(60)[:-1], note(61)[:-1]])
    song = features([2], masks=False)
    with pytest.raises(ValueError, match="zero-size array"):
        reference.batch_decode(ids, for_reference(song))
    with_ends = tokenizer.batch_decode(np.array([note(60), note(61)]), song)
    ours = tokenizer.batch_decode(ids, song)
    assert heard(ours["notes"]) == heard(with_ends["notes"])
    assert len(ours["notes"]) == 2


def test_an_unknown_id_does_not_turn_time_back(
    tokenizer: Pop2PianoTokenizer, reference: Any
) -> None:
    ids = [TIME + 4, 2500, ON, 4 + 60, TIME + 2, OFF, 4 + 60, END]
    assert reference.relative_tokens_ids_to_notes(ids, 0, 12).tolist() == [[3, 5, 60, 77]]
    assert tokenizer.relative_tokens_ids_to_notes(ids, 0, 12).tolist() == [[4, 6, 60, 77]]


@pytest.mark.parametrize("bpm", [63.0, 120.0, 171.5])
def test_a_midi_has_the_songs_tempo(
    tokenizer: Pop2PianoTokenizer, reference: Any, bpm: float
) -> None:
    ids, song = np.array([note(60)]), features([1], bpm=bpm, masks=False)
    theirs = reference.batch_decode(ids, for_reference(song))["pretty_midi_objects"][0]
    assert theirs.get_tempo_changes()[1] == pytest.approx([120.0])
    ours = tokenizer.batch_decode(ids, song)["pretty_midi_objects"][0]
    assert ours.get_tempo_changes()[1] == pytest.approx([bpm], rel=1e-5)
    assert ours.instruments[0].notes[0].end - ours.instruments[0].notes[0].start == pytest.approx(
        60 / bpm, abs=1e-5
    )


def test_the_tempo_knows_how_many_steps_make_a_beat() -> None:
    assert mean_tempo_bpm(np.arange(9) * 0.25) == pytest.approx(120)
    assert mean_tempo_bpm(np.arange(9) * 0.125, steps_per_beat=4) == pytest.approx(120)
    assert mean_tempo_bpm([1.0]) == 120.0


# --- decoding, further ---


@pytest.mark.parametrize("kind", [np.array, torch.tensor, list, lambda x: torch.tensor(x).int()])
def test_ids_may_be_of_any_kind(tokenizer: Pop2PianoTokenizer, kind: Any) -> None:
    song = features([2], masks=False)
    rows = [note(60), note(62, 1)]
    expected = heard(tokenizer.batch_decode(np.array(rows), song)["notes"])
    assert heard(tokenizer.batch_decode(kind(rows), song)["notes"]) == expected
    song.convert_to_tensors("pt")
    assert heard(tokenizer.batch_decode(kind(rows), song)["notes"]) == expected
    assert heard(tokenizer.batch_decode(kind(rows[0]), features([1], masks=False))["notes"])


def test_notes_without_midi_objects(tokenizer: Pop2PianoTokenizer) -> None:
    ours = tokenizer.batch_decode([note(60)], features([1], masks=False), return_midi=False)
    assert list(ours) == ["notes", "notes_per_song"]


def test_midi_objects_can_be_written(tokenizer: Pop2PianoTokenizer, tmp_path: Path) -> None:
    midi = tokenizer.batch_decode([note(60)], features([1], masks=False)).pretty_midi_objects[0]
    midi.write(str(tmp_path / "out.mid"))
    read = pretty_midi.PrettyMIDI(str(tmp_path / "out.mid")).instruments[0].notes
    assert [n.pitch for n in read] == [60]
    assert read[0].start == pytest.approx(2.25, abs=2e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.pop("beatsteps"), "must hold beatsteps"),
        (lambda f: f.pop("attention_mask"), "return_attention_mask=True"),
        (lambda f: f.update(attention_mask=f["attention_mask"][1:]), "5 rows of token ids for 4"),
        (lambda f: f.update(beatsteps=f["beatsteps"][:1]), "1 rows of beatsteps, but 2"),
        (lambda f: f["attention_mask"].fill(1), "separates 0 songs, but there are 2"),
    ],
)
def test_features_of_other_songs_are_refused(
    tokenizer: Pop2PianoTokenizer, change: Any, message: str
) -> None:
    songs = features([1, 2])
    change(songs)
    with pytest.raises(ValueError, match=message):
        tokenizer.batch_decode(np.zeros((5, 3), np.int64), songs)


def test_more_windows_than_the_song_has_are_refused(tokenizer: Pop2PianoTokenizer) -> None:
    with pytest.raises(ValueError, match="beyond the last step"):
        tokenizer.batch_decode([note(60)] * 4, features([1], masks=False))


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(any_ids, min_size=1, max_size=3))
def test_any_ids_decode_to_valid_midi_notes(
    tokenizer: Pop2PianoTokenizer, rows: list[list[int]]
) -> None:
    longest = max(map(len, rows))
    ids = [
        [i if abs(i) < 2**62 else 2**62 for i in row] + [PAD] * (longest - len(row)) for row in rows
    ]
    song = features([len(ids)], bpm=120, masks=False)
    for index in range(len(ids)):
        alone = [row if i == index else [END] * longest for i, row in enumerate(ids)]
        for n in tokenizer.batch_decode(alone, song)["notes"]:
            start, end = ((seconds - 2.25) / 0.25 - 8 * index for seconds in (n.start, n.end))
            assert start > -1e-3
            # The cut is step 12; a note struck at it lasts a step, as the reference has it.
            assert end < 12 + 1e-3 or (start > 12 - 1e-3 and end < 13 + 1e-3)
            assert n.end > n.start
            assert 0 <= n.pitch <= 127


# --- decoding strictly ---


def plain(notes: list[StepNote]) -> list[tuple[int, int, int]]:
    """Notes of a vocabulary without velocities: onset, end, pitch."""
    assert all(note.velocity is None for note in notes)
    return [(note.onset_step, note.end_step, note.pitch) for note in notes]


@settings(max_examples=300, deadline=None)
@given(ids=any_ids, steps=st.integers(1, 12), cut=st.one_of(st.none(), st.integers(1, 16)))
def test_any_integers_decode_to_playable_notes(
    small: Pop2PianoTokenizer, ids: list[int], steps: int, cut: int | None
) -> None:
    notes = plain(small.decode_window(ids, steps=steps, cut_step=cut))
    ends: dict[int, int] = {}
    for onset, end, pitch in notes:
        assert 0 <= onset < steps
        assert onset < end <= (steps if cut is None else cut)
        assert 0 <= pitch <= 127
        assert ends.get(pitch, 0) <= onset
        ends[pitch] = end
    assert notes == sorted(notes, key=lambda n: (n[0], n[2]))


@pytest.mark.parametrize(
    ("ids", "notes"),
    [
        ([], []),
        (note(60, 1, 3), [(1, 4, 60)]),
        ([TIME, ON, 64, TIME + 2, ON, 64, TIME + 1, OFF, 64], [(0, 2, 60), (2, 3, 60)]),
        ([TIME + 5, ON, 64, 68, END, TIME + 1, OFF, 64], [(5, 8, 60), (5, 8, 64)]),
        ([TIME + 5, OFF, 64, TIME + 1], []),
        ([TIME + 8, ON, 64], []),
        ([TIME + 5, ON, 64, TIME + 9, ON, 64], [(5, 8, 60)]),
        ([TIME + 2, ON, 64, OFF, 64, TIME + 1, OFF, 64], [(2, 3, 60)]),
        ([TIME + 2, 64, 65], []),
    ],
    ids=[
        "nothing",
        "one note",
        "struck again",
        "never ended",
        "end of a silent pitch",
        "struck at the window's end",
        "struck beyond it",
        "ended at once",
        "no velocity",
    ],
)
def test_a_window_is_decoded_strictly(small: Pop2PianoTokenizer, ids: Any, notes: Any) -> None:
    assert plain(small.decode_window(ids)) == notes
    assert plain(small.decode_window(torch.tensor(ids, dtype=torch.int64))) == notes


def test_notes_may_ring_beyond_the_window_up_to_the_cut(small: Pop2PianoTokenizer) -> None:
    ids = [TIME + 7, ON, 64, 65, TIME + 2, OFF, 65, ON, 66]
    assert plain(small.decode_window(ids, cut_step=12)) == [(7, 12, 60), (7, 9, 61)]
    assert small.decode_window(ids, cut_step=7) == []


# --- encoding ---


def test_times_are_written_as_the_decoder_reads_them(
    tokenizer: Pop2PianoTokenizer, reference: Any
) -> None:
    notes = np.array([[0, 3, 60, 77], [4, 6, 64, 77], [9, 10, 60, 77]])
    theirs = reference(notes)["token_ids"]
    assert reference.relative_tokens_ids_to_notes(theirs, 0).tolist() != notes.tolist()
    ours = tokenizer(notes)["token_ids"]
    assert ours == [
        *(TIME, ON, 64, TIME + 3, OFF, 64, TIME + 1, ON, 68, TIME + 2, OFF, 68),
        *(TIME + 3, ON, 64, TIME + 1, OFF, 64),
    ]
    assert reference.relative_tokens_ids_to_notes(ours, 0).tolist() == notes.tolist()


@settings(max_examples=150, deadline=None)
@given(drawn=window_notes, size=st.sampled_from([144, 2400]))
def test_encoded_notes_are_decoded_again(drawn: Any, size: int) -> None:
    tokenizer = Pop2PianoTokenizer(default_vocabulary(size))
    sounding: dict[int, int] = {}
    notes = []
    for onset, steps, pitch in sorted(drawn):
        if sounding.get(pitch, 0) <= onset:
            sounding[pitch] = onset + steps
            notes.append([onset, onset + steps, pitch, 77])
    ids = tokenizer.encode_plus(np.array(notes).reshape(-1, 4))["token_ids"]
    assert all(0 <= i < size for i in ids)
    assert sorted(tokenizer.relative_tokens_ids_to_notes(ids, 0).tolist()) == sorted(notes)
    strict = plain(tokenizer.decode_window(ids, steps=40))
    assert sorted(strict) == sorted((n[0], n[1], n[2]) for n in notes)


def test_notes_over_each_other_end_where_the_pitch_is_struck_again(
    tokenizer: Pop2PianoTokenizer,
) -> None:
    ids = tokenizer([[0, 4, 60, 77], [2, 6, 60, 77], [2, 3, 60, 50], [5, 5, 61, 77]])["token_ids"]
    assert plain(tokenizer.decode_window(ids)) == [(0, 2, 60), (2, 6, 60), (5, 6, 61)]


def test_midi_notes_and_their_rows_are_written_alike(tokenizer: Pop2PianoTokenizer) -> None:
    rows = np.array([[0, 3, 60, 77], [4, 6, 64, 77]])
    objects = [pretty_midi.Note(start=a, end=b, pitch=p, velocity=v) for a, b, p, v in rows]
    expected = tokenizer(rows)["token_ids"]
    assert tokenizer(objects)["token_ids"] == expected
    assert tokenizer(rows.tolist())["token_ids"] == expected
    assert tokenizer(torch.tensor(rows))["token_ids"] == expected
    assert tokenizer([objects, objects])["token_ids"] == [expected, expected]
    assert tokenizer(np.stack([rows, rows]))["token_ids"] == [expected, expected]
    assert tokenizer([rows, rows])["token_ids"] == [expected, expected]
    assert tokenizer.batch_encode_plus([rows, objects])["token_ids"] == [expected, expected]
    assert tokenizer([])["token_ids"] == []


@pytest.mark.parametrize(
    "notes", [[[0, 1, 128, 77]], [[-1, 1, 60, 77]], [[0, 1, 60]], [[np.nan] * 4]]
)
def test_notes_without_a_token_are_refused(tokenizer: Pop2PianoTokenizer, notes: Any) -> None:
    with pytest.raises(ValueError, match=r"note is|no token"):
        tokenizer(notes)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"return_tensors": "pt"},
        {"padding": "max_length", "max_length": 20},
        {"padding": "max_length", "max_length": 3},
        {"max_length": 5},
        {"truncation": True, "max_length": 5},
        {"truncation": "only_second", "max_length": 5},
        {"truncation": False, "max_length": 5},
        {"padding": True, "truncation": True, "max_length": 5},
        {"padding": True, "pad_to_multiple_of": 8},
        {"return_attention_mask": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("several", [False, True])
def test_padding_and_truncation_equal_the_reference(
    tokenizer: Pop2PianoTokenizer, reference: Any, arguments: Any, several: bool
) -> None:
    # From two moments alone, 0 and 3, absolute and relative times are the same.
    one = [pretty_midi.Note(start=0, end=3, pitch=p, velocity=77) for p in (50, 60, 70)]
    windows = [one, one[:1]] if several else one
    if several and "return_tensors" in arguments:
        arguments = {**arguments, "padding": True}
    ours, theirs = tokenizer(windows, **arguments), reference(windows, **arguments)
    assert list(ours) == list(theirs)
    for name in theirs:
        if hasattr(theirs[name], "shape"):
            assert ours[name].shape == theirs[name].shape
            assert ours[name].dtype == theirs[name].dtype
        # The reference pads with an id that its model does not have.
        assert (reference.pad_token_id, tokenizer.pad_token_id) == (2403, 0)
        their_ids = torch.as_tensor(np.concatenate([np.ravel(row) for row in theirs[name]]))
        our_ids = np.concatenate([np.ravel(row) for row in ours[name]]).tolist()
        assert our_ids == torch.where(their_ids == 2403, 0, their_ids).tolist()


@pytest.mark.parametrize("arguments", [{"padding": "left"}, {"truncation": "some"}])
def test_unknown_paddings_and_truncations_are_refused(
    tokenizer: Pop2PianoTokenizer, arguments: Any
) -> None:
    with pytest.raises(ValueError, match="is True, False or one of"):
        tokenizer([[0, 1, 60, 77]], **arguments)


def test_rows_of_several_lengths_need_padding_for_a_tensor(tokenizer: Pop2PianoTokenizer) -> None:
    windows = [np.array([[0, 1, 60, 77]]), np.array([[0, 1, 60, 77], [2, 3, 60, 77]])]
    with pytest.raises(ValueError, match="padding=True"):
        tokenizer(windows, return_tensors="pt")


# --- words ---


def test_rows_decode_to_words_up_to_their_end(tokenizer: Pop2PianoTokenizer) -> None:
    ids = [[PAD, TIME + 2, ON, 64, END, 65], [2, 3, 99999, TIME, PAD, PAD]]
    assert tokenizer.batch_decode(torch.tensor(ids)) == [
        "2_TOKEN_TIME 1_TOKEN_VELOCITY 60_TOKEN_NOTE",
        "0_TOKEN_TIME",
    ]


@settings(max_examples=50, deadline=None)
@given(ids=st.lists(st.integers(4, 2399), max_size=30))
def test_words_are_encoded_to_the_ids_they_came_from(
    tokenizer: Pop2PianoTokenizer, ids: list[int]
) -> None:
    words = tokenizer.batch_decode([ids])[0]
    assert tokenizer.encode_text(words)["input_ids"] == [ids]


def test_words_that_are_no_tokens_become_an_id_inside_the_vocabulary(
    small: Pop2PianoTokenizer,
) -> None:
    ours = small(text="HELLO 60_TOKEN_NOTE 10_TOKEN_TIME", return_tensors="pt")
    assert ours.input_ids.tolist() == [[3, 64, 3]]
    assert small.unk_token_id == 3 < small.vocab_size
    padded = small.encode_text(["60_TOKEN_NOTE", "a b"], return_tensors="np")
    assert padded.input_ids.tolist() == [[64, 0], [3, 3]]
    assert padded.attention_mask.tolist() == [[1, 0], [1, 1]]


# --- files ---


def test_the_default_checkpoint_has_its_vocabulary() -> None:
    builtin = Pop2PianoTokenizer.from_pretrained("builtin")
    assert builtin.vocab_size == len(builtin) == 161
    assert builtin.get_vocab() == default_vocabulary(161, velocity_levels=12)
    ids = (builtin.pad_token_id, builtin.eos_token_id, builtin.bos_token_id)
    assert ids == (0, 1, 2)
    assert (builtin.steps_per_beat, builtin.num_bars, builtin.held_notes) == (4, 4, True)


def test_a_vocabulary_is_built_where_a_checkpoint_has_none(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"vocab_size": 150}')
    built = Pop2PianoTokenizer.from_pretrained(tmp_path, num_bars=1)
    assert built.get_vocab() == default_vocabulary(150)
    assert built.num_bars == 1


def test_settings_and_vocabulary_survive_saving(tmp_path: Path) -> None:
    saved = Pop2PianoTokenizer(default_vocabulary(150), default_velocity=50, num_bars=1, extra="x")
    saved.save_pretrained(tmp_path / "new")
    loaded = Pop2PianoTokenizer.from_pretrained(tmp_path / "new")
    assert loaded.get_vocab() == saved.get_vocab()
    assert (loaded.default_velocity, loaded.num_bars) == (50, 1)
    assert saved.save_vocabulary(tmp_path, "my") == (str(tmp_path / "my-vocab.json"),)


def test_vocabularies_travel_to_transformers_and_back(
    tmp_path: Path, tokenizer: Pop2PianoTokenizer, reference: Any
) -> None:
    tokenizer.save_pretrained(tmp_path / "ours")
    theirs = type(reference).from_pretrained(tmp_path / "ours")
    assert theirs.relative_tokens_ids_to_notes(note(60), 0).tolist() == [[0, 2, 60, 77]]
    theirs.save_pretrained(tmp_path / "theirs")
    back = Pop2PianoTokenizer.from_pretrained(tmp_path / "theirs")
    assert back.get_vocab() == tokenizer.get_vocab()
    assert back.eos_token_id == 1


@pytest.mark.parametrize(
    "vocab",
    [None, "{", "[]", "{}", '{"60_TOKEN_NOTE": 1}', '{"1_TOKEN_TIME": [1]}', '{"what": 1}'],
)
def test_broken_vocabularies_are_told_in_one_line(tmp_path: Path, vocab: str | None) -> None:
    if vocab is not None:
        (tmp_path / "vocab.json").write_text(vocab)
    with pytest.raises(CheckpointError) as error:
        Pop2PianoTokenizer.from_pretrained(tmp_path)
    assert str(error.value).count("\n") == 0
