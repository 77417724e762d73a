"""The five examples of Pop2Piano's documentation in transformers run here as they stand.

Only the import line and the checkpoint's name are changed, and the songs are ours. The data sets
that two of them download are replaced by one song with the same fields.
"""

# ruff: noqa: E501 - the examples stand as their authors wrote them

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import librosa
import numpy as np
import pretty_midi
import pytest
import torch

SONG = Path(__file__).parents[2] / "examples" / "paper_lanterns.ogg"

DATASET = """
from datasets import load_dataset
from transformers import Pop2PianoForConditionalGeneration, Pop2PianoProcessor
model = Pop2PianoForConditionalGeneration.from_pretrained("sweetcocoa/pop2piano")
processor = Pop2PianoProcessor.from_pretrained("sweetcocoa/pop2piano")
ds = load_dataset("sweetcocoa/pop2piano_ci", split="test")
inputs = processor(
    audio=ds["audio"][0]["array"], sampling_rate=ds["audio"][0]["sampling_rate"], return_tensors="pt"
)
model_output = model.generate(input_features=inputs["input_features"], composer="composer1")
tokenizer_output = processor.batch_decode(
    token_ids=model_output, feature_extractor_output=inputs
)["pretty_midi_objects"][0]
tokenizer_output.write("./Outputs/midi_output.mid")
"""

OWN_FILE = """
import librosa
from transformers import Pop2PianoForConditionalGeneration, Pop2PianoProcessor
audio, sr = librosa.load("<your_audio_file_here>", sr=44100)  # feel free to change the sr to a suitable value.
model = Pop2PianoForConditionalGeneration.from_pretrained("sweetcocoa/pop2piano")
processor = Pop2PianoProcessor.from_pretrained("sweetcocoa/pop2piano")
inputs = processor(audio=audio, sampling_rate=sr, return_tensors="pt")
model_output = model.generate(input_features=inputs["input_features"], composer="composer1")
tokenizer_output = processor.batch_decode(
    token_ids=model_output, feature_extractor_output=inputs
)["pretty_midi_objects"][0]
tokenizer_output.write("./Outputs/midi_output.mid")
"""

BATCH = """
import librosa
from transformers import Pop2PianoForConditionalGeneration, Pop2PianoProcessor
# feel free to change the sr to a suitable value.
audio1, sr1 = librosa.load("<your_first_audio_file_here>", sr=44100)
audio2, sr2 = librosa.load("<your_second_audio_file_here>", sr=44100)
model = Pop2PianoForConditionalGeneration.from_pretrained("sweetcocoa/pop2piano")
processor = Pop2PianoProcessor.from_pretrained("sweetcocoa/pop2piano")
inputs = processor(audio=[audio1, audio2], sampling_rate=[sr1, sr2], return_attention_mask=True, return_tensors="pt")
# Since we now generating in batch(2 audios) we must pass the attention_mask
model_output = model.generate(
    input_features=inputs["input_features"],
    attention_mask=inputs["attention_mask"],
    composer="composer1",
)
tokenizer_output = processor.batch_decode(
    token_ids=model_output, feature_extractor_output=inputs
)["pretty_midi_objects"]
# Since we now have 2 generated MIDI files
tokenizer_output[0].write("./Outputs/midi_output1.mid")
tokenizer_output[1].write("./Outputs/midi_output2.mid")
"""

BATCH_IN_PARTS = """
import librosa
from transformers import Pop2PianoForConditionalGeneration, Pop2PianoFeatureExtractor, Pop2PianoTokenizer
# feel free to change the sr to a suitable value.
audio1, sr1 = librosa.load("<your_first_audio_file_here>", sr=44100)
audio2, sr2 = librosa.load("<your_second_audio_file_here>", sr=44100)
model = Pop2PianoForConditionalGeneration.from_pretrained("sweetcocoa/pop2piano")
feature_extractor = Pop2PianoFeatureExtractor.from_pretrained("sweetcocoa/pop2piano")
tokenizer = Pop2PianoTokenizer.from_pretrained("sweetcocoa/pop2piano")
inputs = feature_extractor(
    audio=[audio1, audio2],
    sampling_rate=[sr1, sr2],
    return_attention_mask=True,
    return_tensors="pt",
)
# Since we now generating in batch(2 audios) we must pass the attention_mask
model_output = model.generate(
    input_features=inputs["input_features"],
    attention_mask=inputs["attention_mask"],
    composer="composer1",
)
tokenizer_output = tokenizer.batch_decode(
    token_ids=model_output, feature_extractor_output=inputs
)["pretty_midi_objects"]
# Since we now have 2 generated MIDI files
tokenizer_output[0].write("./Outputs/midi_output1.mid")
tokenizer_output[1].write("./Outputs/midi_output2.mid")
"""

FORWARD = """
from transformers import AutoProcessor, Pop2PianoForConditionalGeneration
from datasets import load_dataset
import torch
dataset = load_dataset("hf-internal-testing/librispeech_asr_demo", "clean", split="validation")
dataset = dataset.sort("id")
sampling_rate = dataset.features["audio"].sampling_rate
processor = AutoProcessor.from_pretrained("sweetcocoa/pop2piano")
model = Pop2PianoForConditionalGeneration.from_pretrained("sweetcocoa/pop2piano")
# audio file is decoded on the fly
inputs = processor(dataset[0]["audio"]["array"], sampling_rate=sampling_rate, return_tensors="pt")
with torch.no_grad():
    logits = model(**inputs).logits
predicted_ids = torch.argmax(logits, dim=-1)
# transcribe speech
transcription = processor.batch_decode(predicted_ids)
transcription[0]
inputs["labels"] = processor(text=dataset[0]["text"], return_tensors="pt").input_ids
# compute loss
loss = model(**inputs).loss
round(loss.item(), 2)
"""


class OneSong(list[dict[str, Any]]):
    """A data set of one row, with as much of `datasets.Dataset` as the examples use."""

    def __init__(self, samples: np.ndarray, rate: int, text: str) -> None:
        super().__init__([{"audio": {"array": samples, "sampling_rate": rate}, "text": text}])
        self.features = {"audio": type("Audio", (), {"sampling_rate": rate})}

    def sort(self, _column: str) -> OneSong:  # type: ignore[override]
        return self

    def __getitem__(self, key: Any) -> Any:
        return [row[key] for row in self] if isinstance(key, str) else super().__getitem__(key)


@pytest.fixture
def song(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> np.ndarray:
    """The example song's first 20 s; the working folder has an Outputs folder."""
    samples, rate = librosa.load(SONG, sr=44100, duration=20)
    datasets = ModuleType("datasets")
    datasets.load_dataset = lambda *_, **__: OneSong(  # type: ignore[attr-defined]
        samples, int(rate), "MISTER QUILTER 2_TOKEN_TIME 1_TOKEN_VELOCITY 60_TOKEN_NOTE"
    )
    monkeypatch.setitem(sys.modules, "datasets", datasets)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Outputs").mkdir()
    return samples


def run(example: str, checkpoint: str) -> dict[str, Any]:
    example = example.replace("from transformers import", "from sidekeys_engine import")
    example = example.replace("sweetcocoa/pop2piano", checkpoint)
    for placeholder in ("your_audio_file", "your_first_audio_file", "your_second_audio_file"):
        example = example.replace(f"<{placeholder}_here>", str(SONG))
    names: dict[str, Any] = {}
    exec(compile(example, "example", "exec"), names)
    return names


@pytest.mark.parametrize("example", [DATASET, OWN_FILE], ids=["data set", "own file"])
def test_one_song(song: np.ndarray, example: str) -> None:
    run(example, "builtin")
    written = pretty_midi.PrettyMIDI("Outputs/midi_output.mid")
    assert len(written.instruments[0].notes) > 20
    assert written.get_end_time() > 15


@pytest.mark.parametrize("example", [BATCH, BATCH_IN_PARTS], ids=["processor", "in parts"])
def test_two_songs(song: np.ndarray, example: str) -> None:
    run(example, "builtin")
    first, second = (
        pretty_midi.PrettyMIDI(f"Outputs/midi_output{number}.mid").instruments[0].notes
        for number in (1, 2)
    )
    assert len(first) > 60
    assert [(n.pitch, n.start, n.end) for n in first] == [(n.pitch, n.start, n.end) for n in second]


def test_forward_and_loss(song: np.ndarray) -> None:
    names = run(FORWARD, "builtin")
    rows, frames, _ = names["inputs"]["input_features"].shape
    assert names["logits"].shape == (rows, frames, 161)
    assert len(names["transcription"]) == rows
    assert all(isinstance(line, str) for line in names["transcription"])
    assert np.isfinite(names["loss"].item())


def test_the_original_checkpoints_layout_runs_them_too(
    song: np.ndarray, small_reference: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    for example in (OWN_FILE, BATCH, FORWARD):
        run(example, str(small_reference))
