"""Export: torch against ONNX Runtime at other lengths and batch sizes, the digest, and refusals."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from neural_inputs import batch, save_speech, segments
from voxaffect.encoders.alexnet import AlexNetOptions
from voxaffect.encoders.bilstm import BiLstmOptions
from voxaffect.encoders.speech import SpeechEncoder, SpeechOptions
from voxaffect.encoders.vit import VitOptions
from voxaffect.encoders.waveform import WaveformOptions
from voxaffect.errors import ArtefactError
from voxaffect.export import Ensemble, export, parity
from voxaffect.model import CoAttention, ModelOptions, camser_alexnet, small
from voxaffect.modelfile import read_model

torch.set_num_threads(1)

METADATA: dict[str, Any] = {
    "schema": "voxaffect.model/1",
    "name": "tiny",
    "version": "1",
    "labels": ["angry", "happy", "sad"],
    "vote": "majority",
    "licence": "CC0-1.0",
    "features": {},
    "card": "# tiny, für den Test",
}
BILSTM = BiLstmOptions(hidden=4, layers=1, stack=3, normalise="standardise")
VIT = VitOptions(dim=16, depth=1, heads=2, stem="conv", n_channels=1)
TINY = ModelOptions(3, spectrogram=VIT, mfcc=BILSTM, speech=WaveformOptions(dim=16, depth=1), width=8)


def model(options: ModelOptions, seed: int = 0) -> CoAttention:
    torch.manual_seed(seed)
    made = CoAttention(options).eval()
    made.fit_normalisation([batch([16_000])])
    return made


def run(path: Path, inputs: dict[str, Tensor]) -> np.ndarray:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["logits"], {i.name: inputs[i.name].numpy() for i in session.get_inputs()})[0]


def assert_agrees(path: Path, members: list[CoAttention], inputs: dict[str, Tensor]) -> None:
    with torch.no_grad():
        wanted = torch.stack([member(inputs) for member in members], 1).softmax(-1)
    given = torch.from_numpy(run(path, inputs)).softmax(-1)
    torch.testing.assert_close(given, wanted, atol=1e-5, rtol=0)  # float32 sums in another order


def test_one_file_answers_like_torch_at_any_length_and_batch_size(tmp_path: Path) -> None:
    members = [model(TINY, seed) for seed in range(3)]
    written = export(members, tmp_path / "tiny.onnx", metadata=METADATA)
    assert written.difference <= 1e-5
    assert written.n_bytes == (tmp_path / "tiny.onnx").stat().st_size
    for inputs in (batch([1_600]), batch([48_000, 20_800, 1_600, 7_777]), batch([160_000], padding=999)):
        assert_agrees(written.path, members, inputs)


def test_the_file_describes_and_proves_itself(tmp_path: Path) -> None:
    export([model(TINY), model(TINY, 1)], tmp_path / "tiny.onnx", metadata=METADATA)
    read = read_model(tmp_path / "tiny.onnx")
    assert read.members == 2
    assert read.labels == ("angry", "happy", "sad")
    assert read.inputs == ("spectrogram", "mfcc", "waveform")
    assert read.card == "# tiny, für den Test"
    data = bytearray(read.data)
    data[len(data) // 2] ^= 1
    (tmp_path / "flipped.onnx").write_bytes(data)
    with pytest.raises(ArtefactError, match="model_damaged"):
        read_model(tmp_path / "flipped.onnx")


def test_the_graph_has_the_promised_signature_and_no_traces_of_its_maker(tmp_path: Path) -> None:
    export([model(TINY)], tmp_path / "tiny.onnx", metadata=METADATA)
    graph = onnx.load(tmp_path / "tiny.onnx")
    onnx.checker.check_model(graph, full_check=True)
    signature = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in [*graph.graph.input, *graph.graph.output]
    }
    assert signature == {
        "spectrogram": ["batch", "frames", 200],
        "mfcc": ["batch", "frames", 40],
        "waveform": ["batch", "samples"],
        "n_samples": ["batch"],
        "logits": ["batch", 1, 3],
    }
    assert [(opset.domain, opset.version) for opset in graph.opset_import] == [("", 18)]
    assert graph.ir_version <= 10  # what the oldest supported runtime reads
    content = (tmp_path / "tiny.onnx").read_bytes()
    assert str(Path(__file__).parents[1]).encode() not in content
    assert b"site-packages" not in content


def test_the_same_model_exports_to_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.onnx"):
        export([model(TINY)], tmp_path / name, metadata=METADATA)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


@pytest.mark.parametrize("kind", ["wav2vec2", "wav2vec2-layer", "hubert", "wavlm", "whisper"])
def test_pretrained_encoders_export(kind: str, tmp_path: Path) -> None:
    speech = SpeechOptions(str(save_speech(kind, tmp_path / kind)))
    members = [model(ModelOptions(3, mfcc=BILSTM, speech=speech, width=8))]
    export(members, tmp_path / "model.onnx", metadata=METADATA)
    assert_agrees(tmp_path / "model.onnx", members, batch([40_000, 1_600, 7_777]))


def test_members_share_one_frozen_encoder_and_stop_at_the_deepest_layer_they_need(tmp_path: Path) -> None:
    checkpoint = str(save_speech("whisper", tmp_path / "whisper"))
    first = ModelOptions(3, speech=SpeechOptions(checkpoint, mix=1), width=8)
    second = ModelOptions(3, mfcc=BILSTM, speech=SpeechOptions(checkpoint, mix=2), width=8)
    members = [model(first), model(second)]
    ensemble = Ensemble(members)
    assert ensemble.shared is members[0].speech
    assert ensemble.layers == (0, 1, 2)
    assert ensemble.features == ("mfcc", "log_mel")
    export(members, tmp_path / "model.onnx", metadata=METADATA)
    assert_agrees(tmp_path / "model.onnx", members, batch([20_000, 9_000]))
    graph = onnx.load(tmp_path / "model.onnx")
    front = [n for n in graph.graph.node if n.op_type == "Conv"]
    assert len(front) == 2  # Whisper's two, once


class Head(nn.Module):
    """A model that is not ours: it asks its encoder for all states, as a probe does."""

    def __init__(self, speech: SpeechEncoder) -> None:
        super().__init__()
        self.speech, self.inputs, self.head = speech, speech.inputs, nn.Linear(speech.dim, 3)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        states = inputs["speech_states"] if "speech_states" in inputs else self.speech.states(inputs)
        logits: Tensor = self.head(states[:, 3, 0])
        return logits


def test_any_model_with_inputs_exports(tmp_path: Path) -> None:
    speech = SpeechEncoder(SpeechOptions(str(save_speech("whisper", tmp_path / "whisper"))))
    heads = [Head(speech), Head(speech)]
    assert Ensemble(heads).layers == (0, 1, 2, 3)
    written = export(heads, tmp_path / "model.onnx", metadata=METADATA)
    assert written.difference <= 1e-5


def test_the_real_whisper_exports(shared_weights: Path, tmp_path: Path) -> None:
    speech = SpeechOptions(str(shared_weights / "whisper-tiny.en-encoder"), mix=1)
    members = [model(ModelOptions(3, speech=speech, width=8))]
    export(members, tmp_path / "model.onnx", metadata=METADATA)
    assert_agrees(tmp_path / "model.onnx", members, batch([16_000, 8_000]))


def test_batch_norm_and_a_stride_export(tmp_path: Path) -> None:
    save_speech("whisper", tmp_path / "whisper")
    speech = SpeechOptions(str(tmp_path / "whisper"), stride=4)
    made = model(ModelOptions(3, mfcc=BILSTM, speech=speech, width=8, norm="batch"))
    made.train()(batch([16_000, 8_000, 12_345]))  # so that the running statistics are not those of the start
    made.eval()
    export([made], tmp_path / "m.onnx", metadata=METADATA)
    for lengths in ([16_000], [12_345, 4_000], [160]):
        assert_agrees(tmp_path / "m.onnx", [made], batch(lengths))


def test_low_rank_updates_and_concatenated_branches_export(tmp_path: Path) -> None:
    save_speech("whisper", tmp_path / "whisper")
    speech = SpeechOptions(str(tmp_path / "whisper"), tune_last=1, lora_rank=2)
    made = model(ModelOptions(3, mfcc=BILSTM, speech=speech, width=8, fusion="concatenation"))
    with torch.no_grad():
        for name, p in made.named_parameters():
            if name.endswith(".up"):
                p.normal_()
    export([made], tmp_path / "m.onnx", metadata=METADATA)
    assert_agrees(tmp_path / "m.onnx", [made], batch([16_000, 8_000]))


def test_published_wiring_exports(tmp_path: Path) -> None:
    speech = str(save_speech("wav2vec2", tmp_path / "wav2vec2"))
    vit = VitOptions(
        patch=(16, 16), dim=16, depth=1, heads=2, resolution="224", pooling="cls", image="published"
    )
    options = dataclasses.replace(
        camser_alexnet(3, weights=None, speech=speech), spectrogram=vit, mfcc=BiLstmOptions(hidden=2), width=8
    )
    members = [model_published(options)]
    export(members, tmp_path / "model.onnx", metadata=METADATA)
    assert_agrees(tmp_path / "model.onnx", members, segments(3))


def model_published(options: ModelOptions) -> CoAttention:
    torch.manual_seed(0)
    made = CoAttention(options).eval()
    made.fit_normalisation([segments(2)])
    return made


@pytest.mark.parametrize("resolution", ["native", "256x384"])
def test_alexnet_exports(resolution: str, tmp_path: Path) -> None:
    alexnet = AlexNetOptions(resolution=resolution)  # type: ignore[arg-type]
    members = [model(ModelOptions(3, spectrogram=alexnet, width=8))]
    export(members, tmp_path / "model.onnx", metadata=METADATA)
    assert_agrees(tmp_path / "model.onnx", members, batch([16_000, 1_600]))


def test_the_small_model_exports_and_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    member = model(small(3)).train()
    export([member], tmp_path / "small.onnx", metadata=METADATA)
    assert member.training
    assert_agrees(tmp_path / "small.onnx", [member.eval()], batch([48_000, 30_000]))


class Forgetful(nn.Module):
    """A model whose trace is wrong: it bakes in the number of frames that it saw first."""

    inputs = ("mfcc",)

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(40, 3)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.head(inputs["mfcc"].sum(1) / float(inputs["mfcc"].shape[1]))
        return logits


def test_an_export_that_differs_from_torch_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    with pytest.raises(
        ArtefactError, match=r"parity: .*differ by up to 0\.\d+ .*; model.onnx was not written"
    ) as e:
        export([Forgetful()], tmp_path / "model.onnx", metadata=METADATA)
    assert e.value.exit_code == 5
    assert list(tmp_path.iterdir()) == []


class Stuck(Forgetful):
    """Worse: what it bakes in makes the graph fail at other lengths."""

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        n = int(inputs["mfcc"].shape[1])
        logits: Tensor = self.head((inputs["mfcc"] * torch.ones(n, 1)).sum(1))
        return logits


def test_an_export_that_fails_at_another_length_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        ArtefactError, match=r"parity: ONNX Runtime cannot run the exported graph: .*; model.onnx"
    ):
        export([Stuck()], tmp_path / "model.onnx", metadata=METADATA)
    assert list(tmp_path.iterdir()) == []


class Broken(Forgetful):
    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        logits: Tensor = self.head(inputs["mfcc"].sum(1)) / 0.0
        return logits * 0.0


def test_a_model_that_gives_no_numbers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"parity: .*differ by up to nan"):
        export([Broken()], tmp_path / "model.onnx", metadata=METADATA)


def test_parity_sees_another_models_file(tmp_path: Path) -> None:
    export([model(TINY)], tmp_path / "tiny.onnx", metadata=METADATA)
    content = (tmp_path / "tiny.onnx").read_bytes()
    assert parity(Ensemble([model(TINY)]), content) <= 1e-5
    assert parity(Ensemble([model(TINY, 1)]), content) > 1e-3


def test_exporting_nothing_or_metadata_with_the_digests_marker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="export needs at least one model"):
        export([], tmp_path / "model.onnx", metadata=METADATA)
    with pytest.raises(ValueError, match="the metadata holds 'voxaffect-sha256:', which only the digest may"):
        export([model(TINY)], tmp_path / "model.onnx", metadata={**METADATA, "card": "voxaffect-sha256:00"})
    with pytest.raises(ValueError, match=r"members of \[3, 4\] classes; all must have the same"):
        four = model(dataclasses.replace(TINY, n_classes=4))
        export([model(TINY), four], tmp_path / "model.onnx", metadata=METADATA)
    assert list(tmp_path.iterdir()) == []


def test_the_exporter_prints_and_warns_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings(), contextlib.nullcontext():
        warnings.simplefilter("error")
        export([model(TINY)], tmp_path / "tiny.onnx", metadata=METADATA)
    assert capfd.readouterr() == ("", "")
