from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sidekeys_engine
from sidekeys_engine.features import Pop2PianoFeatureExtractor
from sidekeys_engine.note_tokens import StepNote, default_vocabulary
from sidekeys_engine.processor import AutoProcessor, Pop2PianoProcessor
from sidekeys_engine.tokenizer import Pop2PianoTokenizer

BEATS = np.arange(0.0, 4.0, 0.5)
NOTES = [[0, 2, 60, 77], [4, 6, 64, 77]]


@pytest.fixture(scope="module")
def processor() -> Pop2PianoProcessor:
    """Half-beats, on and off, as the original."""
    return Pop2PianoProcessor(
        Pop2PianoFeatureExtractor(feature_size=256), Pop2PianoTokenizer(default_vocabulary(144))
    )


def audio(seconds: float = 4.0) -> Any:
    return 0.1 * np.random.default_rng(0).standard_normal(int(seconds * 22050)).astype(np.float32)


def test_the_classes_are_importable_from_the_engine() -> None:
    assert sidekeys_engine.Pop2PianoProcessor is Pop2PianoProcessor
    assert sidekeys_engine.AutoProcessor is AutoProcessor


def test_audio_becomes_the_extractors_features(processor: Pop2PianoProcessor) -> None:
    ours = processor(audio(), sampling_rate=22050, return_tensors="pt", beat_times=BEATS)
    expected = processor.feature_extractor(audio(), 22050, beat_times=BEATS, return_tensors="pt")
    assert list(ours) == list(expected)
    assert all(torch.equal(ours[name], expected[name]) for name in expected)


def test_notes_become_the_tokenizers_ids(processor: Pop2PianoProcessor) -> None:
    ours = processor(notes=NOTES, max_length=5, return_tensors="np")
    assert ours.token_ids.tolist() == processor.tokenizer(NOTES, max_length=5)["token_ids"]


def test_audio_and_notes_become_both(processor: Pop2PianoProcessor) -> None:
    ours = processor(
        audio=[audio(), audio()],
        sampling_rate=22050,
        notes=NOTES,
        beat_times=[BEATS, BEATS],
        return_attention_mask=True,
    )
    assert ours["token_ids"] == processor.tokenizer(NOTES)["token_ids"]
    assert ours.attention_mask.shape == ours.input_features.shape[:2]


def test_text_becomes_labels(processor: Pop2PianoProcessor) -> None:
    inputs = processor(audio(), sampling_rate=22050, return_tensors="pt", beat_times=BEATS)
    inputs["labels"] = processor(text="HE HOPED THERE WOULD BE STEW", return_tensors="pt").input_ids
    assert inputs.labels.tolist() == [[3] * 6]
    assert "labels" in dict(**inputs)


def test_decoded_words_become_the_ids_they_came_from(processor: Pop2PianoProcessor) -> None:
    ids = torch.tensor([[0, 136, 133, 64, 137, 132, 64, 1, 0]])
    words = processor.batch_decode(ids)
    assert isinstance(words[0], str)
    assert processor(text=words, return_tensors="pt").input_ids.tolist() == [ids[0, 1:7].tolist()]


def test_ids_become_notes_in_the_song(processor: Pop2PianoProcessor, tmp_path: Path) -> None:
    inputs = processor(audio=audio(), sampling_rate=22050, beat_times=0.25 + BEATS)
    row = [0, *processor.tokenizer(NOTES)["token_ids"], 1]
    ids = torch.tensor([row] * len(inputs["input_features"]))
    output = processor.batch_decode(token_ids=ids, feature_extractor_output=inputs)
    notes = [(n.start, n.end, n.pitch) for n in output["notes"][:2]]
    assert notes == [(0.25, 0.75, 60), (1.25, 1.75, 64)]
    midi = output["pretty_midi_objects"][0]
    assert midi.get_tempo_changes()[1] == pytest.approx([120.0])
    midi.write(str(tmp_path / "song.mid"))
    without = processor.batch_decode(ids, inputs, return_midi=False)
    assert "pretty_midi_objects" not in without


def test_the_embedded_checkpoints_windows_are_heard_and_joined_on_its_own_grid() -> None:
    """Four beats a window and one before it; a note over a window's edge is one note."""
    processor = Pop2PianoProcessor.from_pretrained("builtin")
    inputs = processor(audio=audio(), sampling_rate=22050, beat_times=0.25 + BEATS)
    windows, frames, _ = inputs["input_features"].shape
    assert windows == 3  # the last one holds the step at the song's end
    assert frames == 1 + int(2.5 * 22050) // 1024
    assert len(inputs["beatsteps"][0]) == 4 * len(BEATS) + 1
    first = [
        StepNote(2, 6, 60, 90),
        StepNote(12, 16, 67, 37, is_held_after=True),
        StepNote(14, 16, 70, 90, is_held_after=True),
    ]
    second = [StepNote(0, 4, 67, is_held_before=True), StepNote(0, 4, 72, is_held_before=True)]
    words = processor.tokenizer._note_tokens
    rows = [[0, *words.encode_window(window, descending=True)] for window in (first, second, [])]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    output = processor.batch_decode(token_ids=ids, feature_extractor_output=inputs)
    notes = [
        (round(float(n.start), 6), round(float(n.end), 6), n.pitch, n.velocity)
        for n in output["notes"]
    ]
    assert notes == [
        (0.5, 1.0, 60, 91),
        (1.75, 2.75, 67, 37),
        (2.0, 2.25, 70, 91),  # the second window does not hold it
    ]
    assert output["pretty_midi_objects"][0].get_tempo_changes()[1] == pytest.approx([120.0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give audio and its sampling_rate, notes, or text"),
        ({"audio": [0.0]}, "audio needs its sampling_rate"),
        ({"sampling_rate": 44100}, "give audio and its sampling_rate"),
        ({"audio": [0.0], "notes": NOTES}, "audio needs its sampling_rate"),
    ],
)
def test_what_is_missing_is_told(
    processor: Pop2PianoProcessor, arguments: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        processor(**arguments)


def test_a_processor_survives_saving(processor: Pop2PianoProcessor, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path / "new")
    loaded = AutoProcessor.from_pretrained(tmp_path / "new", local_files_only=True)
    assert isinstance(loaded, Pop2PianoProcessor)
    assert loaded.feature_extractor.to_dict() == processor.feature_extractor.to_dict()
    assert loaded.tokenizer.get_vocab() == processor.tokenizer.get_vocab()


def test_processors_travel_to_transformers_and_back(
    processor: Pop2PianoProcessor, tmp_path: Path
) -> None:
    from transformers import Pop2PianoProcessor as Reference

    processor.save_pretrained(tmp_path / "ours")
    theirs = Reference.from_pretrained(tmp_path / "ours")
    assert theirs.feature_extractor.feature_size == 256
    assert theirs.tokenizer.vocab_size == 144
    theirs.save_pretrained(tmp_path / "theirs")
    assert not (tmp_path / "theirs" / "preprocessor_config.json").exists()
    back = Pop2PianoProcessor.from_pretrained(tmp_path / "theirs")
    assert back.feature_extractor.feature_size == 256
    assert back.tokenizer.get_vocab() == processor.tokenizer.get_vocab()


def test_a_checkpoint_of_the_reference_is_read(small_reference: Path) -> None:
    loaded = Pop2PianoProcessor.from_pretrained(small_reference)
    assert loaded.feature_extractor.feature_size == 64
    assert loaded.tokenizer.vocab_size == 2400
