"""Frozen spectrogram encoders: one answer with and without the states that were computed before, as for speech."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import training_corpus
from neural_inputs import batch, save_alexnet, save_speech, save_vit, segments
from voxaffect.encoders import Fitted
from voxaffect.encoders.alexnet import AlexNet, AlexNetOptions
from voxaffect.encoders.spectrogram import SpectrogramEncoder
from voxaffect.encoders.vit import VisionTransformer, VitOptions
from voxaffect.errors import ArtefactError
from voxaffect.export import Ensemble, export
from voxaffect.fit import to_tensors
from voxaffect.model import CoAttention, ModelOptions
from voxaffect.modelfile import read_model
from voxaffect.recipe import read_recipe
from voxaffect.train import train

torch.set_num_threads(1)

WIRINGS: tuple[Literal["native", "published"], ...] = ("native", "published")
TINY_VIT: dict[str, Any] = {"dim": 32, "depth": 2, "heads": 4, "mlp_ratio": 2.0}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        "alexnet": str(save_alexnet(folder / "alexnet.pth")),
        "vit": str(save_vit(folder / "vit")),
        "speech": str(save_speech("whisper", folder / "speech")),
    }


def encoders(checkpoints: dict[str, str]) -> dict[str, SpectrogramEncoder]:
    vit = VitOptions(**TINY_VIT, weights=checkpoints["vit"], frozen=True)
    square = dataclasses.replace(vit, patch=(16, 16), resolution="224", pooling="cls", image="published")
    alexnet = AlexNetOptions(weights=checkpoints["alexnet"], frozen=True)
    native = dataclasses.replace(alexnet, resolution="native", image="native")
    return {
        "vit": VisionTransformer(vit),
        "vit, one state": VisionTransformer(vit, pooled=True),
        "vit with class token": VisionTransformer(dataclasses.replace(vit, pooling="cls")),
        "published vit": VisionTransformer(square, pooled=True),
        "alexnet": AlexNet(native),
        "published alexnet": AlexNet(alexnet, pooled=True),
    }


NAMES = ("vit", "vit, one state", "vit with class token", "published vit", "alexnet", "published alexnet")


def cached(encoder: SpectrogramEncoder, lengths: list[int]) -> dict[str, torch.Tensor]:
    """A padded batch of the states of single items, as training sees it."""
    items = []
    for n in lengths:
        item = {name: value[0].numpy() for name, value in batch([n]).items()}
        states = encoder.numpy_states(item)
        assert states.dtype == np.float16
        items.append({"spectrogram_states": states, "n_samples": np.array(n, np.int64)})
    return to_tensors(items)


@pytest.mark.parametrize("name", NAMES)
def test_cached_states_give_the_same_answer(name: str, checkpoints: dict[str, str]) -> None:
    encoder = encoders(checkpoints)[name].eval()
    lengths = [8_000, 48_000, 70_000]
    with torch.no_grad():
        wanted, mask = encoder(batch(lengths))
        given, cached_mask = encoder(cached(encoder, lengths))
    assert torch.equal(mask[:, : cached_mask.shape[1]], cached_mask)
    assert not mask[:, cached_mask.shape[1] :].any()
    assert given.shape[2] == encoder.dim
    for i in range(3):
        torch.testing.assert_close(
            given[i, cached_mask[i]], wanted[i, mask[i]], atol=2e-3, rtol=2e-3
        )  # float16


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_encoder_takes_no_part_in_training(name: str, checkpoints: dict[str, str]) -> None:
    encoder = encoders(checkpoints)[name].train()
    assert encoder.cacheable
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not any(module.training for module in encoder.modules())
    assert not any(isinstance(module, Fitted) for module in encoder.modules())


def test_an_encoder_that_trains_is_fitted_and_not_cached() -> None:
    encoder = VisionTransformer(VitOptions(**TINY_VIT)).train()
    assert not encoder.cacheable
    assert encoder.training
    assert all(parameter.requires_grad for parameter in encoder.parameters())
    assert isinstance(encoder.image, Fitted)


def test_what_decides_the_states_is_in_their_key(checkpoints: dict[str, str], tmp_path: Path) -> None:
    made = encoders(checkpoints)
    assert len({encoder.states_key for encoder in made.values()}) == len(made)
    moved = Path(checkpoints["alexnet"]).read_bytes()
    (tmp_path / "moved.pth").write_bytes(moved)
    same = AlexNetOptions(weights=str(tmp_path / "moved.pth"), frozen=True)
    assert AlexNet(same, pooled=True).states_key == made["published alexnet"].states_key


def model_options(
    checkpoints: dict[str, str], preset: str, wiring: Literal["native", "published"]
) -> ModelOptions:
    vit = preset == "camser-vit"
    return ModelOptions.from_dict(
        {
            "n_classes": 3,
            "preset": preset,
            "width": 8,
            "spectrogram": {"weights": checkpoints["vit" if vit else "alexnet"], "frozen": True}
            | (TINY_VIT if vit else {}),
            "mfcc": {"hidden": 4},
            "speech": {"checkpoint": checkpoints["speech"], "frozen": True},
        },
        wiring=wiring,
    )


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("preset", ["camser-alexnet", "camser-vit"])
def test_a_model_over_cached_states_of_both_branches_answers_the_same(
    preset: str, wiring: Any, checkpoints: dict[str, str]
) -> None:
    model = CoAttention(model_options(checkpoints, preset, wiring)).eval()
    assert [encoder.states_name for encoder in model.frozen_encoders] == [
        "spectrogram_states",
        "speech_states",
    ]
    inputs = segments(2)
    inputs["n_samples"] = torch.tensor([48_000, 48_000])
    items = []
    for i in range(2):
        item = {name: value[i].numpy() for name, value in inputs.items()}
        states = {encoder.states_name: encoder.numpy_states(item) for encoder in model.frozen_encoders}
        items.append({"mfcc": item["mfcc"], "n_samples": item["n_samples"], **states})
    with torch.no_grad():
        torch.testing.assert_close(model(to_tensors(items)), model(inputs), atol=5e-3, rtol=0)  # float16
    F.cross_entropy(model.train()(to_tensors(items)), torch.tensor([0, 2])).backward()
    heads = [p for name, p in model.named_parameters() if name.startswith(("wiring.", "mfcc."))]
    idle = {name for name, p in model.named_parameters() if id(p) in {*map(id, heads)} and p.grad is None}
    assert idle <= {"wiring.co_attention.key.bias"}  # it adds the same to every score of a softmax
    assert {id(p) for p in model.parameters() if p.requires_grad} - {id(p) for p in heads} == (
        {id(model.speech.mix)} if wiring == "native" else set()  # type: ignore[union-attr]
    )


def test_normalisation_asks_a_frozen_encoder_for_nothing(checkpoints: dict[str, str]) -> None:
    model = CoAttention(model_options(checkpoints, "camser-alexnet", "native"))
    model.fit_normalisation([{name: batch([16_000])[name] for name in ("mfcc", "n_samples")}])
    assert float(model.spectrogram.image.mean[0]) == -80.0  # type: ignore[union-attr]


# Saving


def test_a_frozen_encoder_is_saved_by_name_and_digest(checkpoints: dict[str, str], tmp_path: Path) -> None:
    weights = save_alexnet(tmp_path / "alexnet.pth")
    own = {**checkpoints, "alexnet": str(weights)}
    model = CoAttention(model_options(own, "camser-alexnet", "native")).eval()
    inputs = batch([9_000])
    model.save(tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").stat().st_size < 1_000_000  # AlexNet has 10 MB
    moved = weights.rename(tmp_path / "moved.pth")
    with pytest.raises(ArtefactError, match=r"model_missing: looked in .*alexnet.pth"):
        CoAttention.load(tmp_path / "run")
    loaded = CoAttention.load(tmp_path / "run", spectrogram_weights=str(moved))
    with torch.no_grad():
        assert torch.equal(loaded(inputs), model(inputs))
    state = torch.load(moved, weights_only=True)
    state["features.0.bias"] += 1
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(
        ArtefactError, match=r"model_mismatch: the spectrogram encoder .*other.pth is not the one"
    ):
        CoAttention.load(tmp_path / "run", spectrogram_weights=str(tmp_path / "other.pth"))


def test_members_share_a_frozen_spectrogram_encoder(checkpoints: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="exporting needs onnx")
    options = dataclasses.replace(model_options(checkpoints, "camser-vit", "native"), speech=None)
    members = [CoAttention(options).eval() for _ in range(3)]
    assert Ensemble(members).shared_image is members[0].spectrogram
    assert Ensemble(members[:1]).shared_image is None
    other = dataclasses.replace(options, spectrogram=VitOptions(**TINY_VIT))
    assert Ensemble([*members, CoAttention(other)]).shared_image is None
    metadata = {
        "schema": "voxaffect.model/1",
        "name": "x",
        "version": "1",
        "labels": ["angry", "neutral", "sad"],
        "vote": "majority",
        "licence": "x",
        "features": {"preset": "native"},
    }
    sizes = []
    for number, models in enumerate((members[:1], members)):
        exported = export(models, tmp_path / f"{number}.onnx", metadata=metadata)
        assert exported.difference < 1e-5
        sizes.append(exported.n_bytes)
    assert read_model(tmp_path / "1.onnx").members == 3
    own = sum(p.numel() for p in members[0].parameters() if p.requires_grad) * 4
    assert sizes[1] - sizes[0] < 2 * own + 150_000  # the graph of two more heads; the encoder has 150 kB


# Training


def test_training_computes_the_states_of_both_encoders_once(
    checkpoints: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training_corpus.build(tmp_path / "clips", clips=1)
    text = training_corpus.RECIPE.split("[model]")[0].replace(
        "window = 0.5\nhop = 0.25", 'preset = "published"'
    )
    text += f"""
[model]
preset = "camser-alexnet"
width = 8
[model.spectrogram]
weights = "{checkpoints["alexnet"]}"
frozen = true
[model.mfcc]
hidden = 4
[model.speech]
checkpoint = "{checkpoints["speech"]}"
frozen = true
[training]
epochs = 2
batch_size = 8
"""
    (tmp_path / "recipe.toml").write_text(text)
    runs = []
    real = AlexNet.encode

    def counted(self: AlexNet, image: torch.Tensor, n_columns: torch.Tensor) -> Any:
        runs.append(len(image))
        return real(self, image, n_columns)

    monkeypatch.setattr(AlexNet, "encode", counted)
    recipe = read_recipe(tmp_path / "recipe.toml")
    first = train(recipe, tmp_path / "one", device="cpu", cache_folder=tmp_path / "cache", quiet=True)
    assert runs == [1] * 12  # each clip once, whatever the folds and epochs
    second = train(recipe, tmp_path / "two", device="cpu", cache_folder=tmp_path / "cache", quiet=True)
    assert len(runs) == 12
    assert first is not None
    assert second is not None
    assert first.to_dict() == second.to_dict()
