from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sidekeys_engine
from sidekeys_engine.processor import AutoProcessor, Pop2PianoProcessor

BEATS = np.arange(0.0, 4.0, 0.5)
NOTES = [[0, 2, 60, 77], [4, 6, 64, 77]]


@pytest.fixture(scope="module")
def processor() -> Pop2PianoProcessor:
    return Pop2PianoProcessor.from_pretrained("builtin")


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
