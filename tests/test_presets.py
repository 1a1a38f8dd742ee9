"""Presets of the model: both systems in both wirings, what changes them, branches that are switched off."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from neural_inputs import batch, save_alexnet, save_speech, save_vit, segments
from voxaffect.checkpoints import ALEXNET, VIT, WAV2VEC2
from voxaffect.encoders.alexnet import AlexNetOptions
from voxaffect.encoders.bilstm import BiLstmOptions
from voxaffect.encoders.speech import SpeechOptions
from voxaffect.encoders.vit import VitOptions
from voxaffect.encoders.waveform import WaveformOptions
from voxaffect.errors import UsageError
from voxaffect.feature_options import NATIVE, PUBLISHED
from voxaffect.model import PRESETS, CoAttention, ModelOptions
from voxaffect.model_options import check_features
from voxaffect.preparation import Encoders, build_model
from voxaffect.recipe import Recipe, read_recipe

torch.set_num_threads(1)

SYSTEMS = ("camser-alexnet", "camser-vit")
WIRINGS: tuple[Literal["native", "published"], ...] = ("native", "published")
BRANCHES = ("spectrogram", "mfcc", "speech")
TINY_VIT = {"dim": 32, "depth": 2, "heads": 4, "mlp_ratio": 2.0}


@pytest.fixture(scope="module")
def wav2vec2(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_speech("wav2vec2", tmp_path_factory.mktemp("wav2vec2")))


def tiny(preset: str, checkpoint: str, **changes: Any) -> dict[str, Any]:
    """A [model] table: the preset with random images' weights, a tiny BiLSTM and a tiny speech encoder."""
    table: dict[str, Any] = {
        "preset": preset,
        "width": 8,
        "spectrogram": {"weights": False} | (TINY_VIT if preset == "camser-vit" else {}),
        "mfcc": {"hidden": 4},
        "speech": {"checkpoint": checkpoint},
    }
    return {"n_classes": 4, **table, **changes}


# What they are


def test_the_published_systems_are_those_of_the_paper_and_of_the_study() -> None:
    paper, study = (
        ModelOptions.from_dict({"n_classes": 4, "preset": p}, wiring="published") for p in SYSTEMS
    )
    assert paper.spectrogram == AlexNetOptions("256x384", "published", ALEXNET)
    assert study.spectrogram == VitOptions(
        patch=(16, 16), resolution="224", pooling="cls", image="published", weights=VIT
    )
    for options in (paper, study):
        assert options.wiring == "published"
        assert options.mfcc == BiLstmOptions(hidden=256, layers=2, dropout=0.5, normalise="l2")
        assert options.speech == SpeechOptions(
            WAV2VEC2, frozen=False, mix=-1, layer_norm=False, normalise="never", masked=False
        )


def test_the_native_systems_keep_resolution_length_and_loudness() -> None:
    for preset in SYSTEMS:
        options = ModelOptions.from_dict({"n_classes": 4, "preset": preset})
        assert options.wiring == "native"
        assert options.spectrogram is not None
        assert (options.spectrogram.resolution, options.spectrogram.image) == ("native", "native")
        assert options.mfcc is not None
        assert options.mfcc.normalise == "standardise"
        assert isinstance(options.speech, SpeechOptions)
        assert options.speech == SpeechOptions(WAV2VEC2, frozen=True, mix="learned", masked=True)
    assert VitOptions().grid == (10, 15)  # 200 bins by 300 frames without a rest


@pytest.mark.parametrize("preset", SYSTEMS)
@pytest.mark.parametrize("wiring", WIRINGS)
def test_both_systems_run_in_both_wirings(preset: str, wiring: Any, wav2vec2: str) -> None:
    model = CoAttention(ModelOptions.from_dict(tiny(preset, wav2vec2), wiring=wiring)).eval()
    assert model.inputs == ("spectrogram", "mfcc", "waveform")
    with torch.no_grad():
        assert model(segments(2)).shape == (2, 4)
        if wiring == "native":
            lengths = [5_000, 48_000, 90_000]
            logits = model(batch(lengths, padding=4_000))
            for i, n in enumerate(lengths):
                torch.testing.assert_close(logits[i], model(batch([n]))[0], atol=1e-5, rtol=0)


def test_presets_start_from_the_weights_they_name(wav2vec2: str, tmp_path: Path) -> None:
    weights = save_alexnet(tmp_path / "alexnet.pth")
    loaded = [
        CoAttention(
            ModelOptions.from_dict(
                tiny("camser-alexnet", wav2vec2, spectrogram={"weights": str(weights)}), wiring=wiring
            )
        )
        for wiring in WIRINGS
    ]
    kernels = [model.spectrogram.features[0].weight for model in loaded]  # type: ignore[union-attr, operator, index]
    assert torch.equal(kernels[0], kernels[1])
    assert torch.equal(kernels[0], torch.load(weights, weights_only=True)["features.0.weight"])
    vit = tiny("camser-vit", wav2vec2)
    vit["spectrogram"] = {**TINY_VIT, "weights": str(save_vit(tmp_path / "vit"))}
    native, published = (CoAttention(ModelOptions.from_dict(vit, wiring=wiring)) for wiring in WIRINGS)
    assert torch.equal(native.spectrogram.norm.weight, published.spectrogram.norm.weight)  # type: ignore[union-attr]
    assert native.spectrogram.positions.shape == (15, 10, 32)  # type: ignore[union-attr]
    assert published.spectrogram.positions.shape == (14, 14, 32)  # type: ignore[union-attr]


# What changes them


def test_every_key_beside_the_preset_changes_something_of_it() -> None:
    options = ModelOptions.from_dict(
        {
            "n_classes": 3,
            "preset": "camser-vit",
            "width": 64,
            "spectrogram": {"dropout": 0.2, "weights": False},
            "mfcc": {"hidden": 32},
            "speech": {"kind": "waveform", "dim": 48},
        },
        wiring="published",
    )
    assert options.width == 64
    assert options.spectrogram == VitOptions(
        patch=(16, 16), resolution="224", pooling="cls", image="published", dropout=0.2
    )
    assert options.mfcc == BiLstmOptions(hidden=32)
    assert options.speech == WaveformOptions(dim=48)  # another kind has nothing of the preset's


def test_the_wiring_that_is_said_goes_before_the_features() -> None:
    table = {"n_classes": 4, "preset": "camser-vit", "wiring": "native"}
    assert ModelOptions.from_dict(table, wiring="published").wiring == "native"
    assert ModelOptions.from_dict(table, wiring="published").spectrogram == VitOptions(weights=VIT)
    without = ModelOptions.from_dict({"n_classes": 4, "mfcc": {}}, wiring="published")
    assert without.wiring == "native"  # features say nothing of a model that is no preset


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("off", BRANCHES)
@pytest.mark.parametrize("preset", SYSTEMS)
def test_each_branch_can_be_switched_off(preset: str, off: str, wiring: Any, wav2vec2: str) -> None:
    table = tiny(preset, wav2vec2, **{off: False})
    model = CoAttention(ModelOptions.from_dict(table, wiring=wiring)).eval()
    assert getattr(model, off) is None
    left = {"spectrogram": "spectrogram", "mfcc": "mfcc", "speech": "waveform"}
    del left[off]
    assert model.inputs == tuple(left.values())
    with torch.no_grad():
        inputs = {name: value for name, value in segments(2).items() if name in (*model.inputs, "n_samples")}
        assert model(inputs).shape == (2, 4)


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("on", BRANCHES)
def test_each_branch_can_stand_alone(on: str, wiring: Any, wav2vec2: str) -> None:
    table = tiny("camser-alexnet", wav2vec2, **{branch: False for branch in BRANCHES if branch != on})
    model = CoAttention(ModelOptions.from_dict(table, wiring=wiring)).eval()
    with torch.no_grad():
        assert model(segments(1)).shape == (1, 4)


def test_a_branch_without_a_table_is_as_off_as_a_false_one() -> None:
    said = {"n_classes": 3, "mfcc": {}, "speech": False, "spectrogram": False}
    assert ModelOptions.from_dict(said) == ModelOptions.from_dict({"n_classes": 3, "mfcc": {}})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"preset": "camser"},
            r"unknown_preset: unknown preset 'camser' in \[model\]; expected one of \['camser-alexnet', 'camser-vit'",
        ),
        (
            {"preset": "camser-vit", "speech": True},
            r"bad_value: model.speech must be a table, or false, got True",
        ),
        ({"speech": "whisper"}, r"model.speech must be a table, or false, got 'whisper'"),
        ({"preset": "camser-vit", "mfcc": {"size": 4}}, r"unknown key 'size' in \[model.mfcc\]"),
        ({"preset": "camser-vit", "wiring": "star"}, r"wiring 'star'; expected one of"),
        (dict.fromkeys(BRANCHES, False) | {"preset": "camser-vit"}, "all branches are off"),
        ({"preset": "small", "mfcc": {"frozen": True}}, r"unknown key 'frozen' in \[model.mfcc\]"),
        ({"preset": "small", "spectrogram": {"frozen": True}}, "vit frozen = true needs weights"),
        (
            {"preset": "camser-alexnet", "spectrogram": {"frozen": True, "weights": False}},
            "alexnet frozen = true needs weights: random ones would stay random",
        ),
    ],
)
def test_wrong_changes_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ModelOptions.from_dict({"n_classes": 3, **table})


def test_a_preset_needs_its_number_of_classes() -> None:
    with pytest.raises(UsageError, match=r"bad_value: \[model\]: .*n_classes"):
        ModelOptions.from_dict({"preset": "small"})


# In recipes


def recipe(folder: Path, features: str, model: str) -> Recipe:
    data = 'name = "x"\n[data]\ncorpora = ["folder"]\nlabels = ["angry", "sad"]\n'
    text = f"{data}[features]\n{features}\n[model]\n{model}"
    (folder / "x.toml").write_text(text)
    return read_recipe(folder / "x.toml")


def test_a_recipe_names_a_preset_and_its_features_decide_the_wiring(tmp_path: Path) -> None:
    save_speech("whisper", tmp_path / "speech")
    save_alexnet(tmp_path / "weights" / "alexnet.pth")
    model = (
        'preset = "camser-alexnet"\nwidth = 8\n[model.spectrogram]\nweights = "weights/alexnet.pth"\n'
        '[model.mfcc]\nhidden = 4\n[model.speech]\ncheckpoint = "speech"\n'
    )  # both beside the recipe
    for preset in ("native", "published"):
        built = build_model(recipe(tmp_path, f'preset = "{preset}"', model), Encoders())
        assert built.options.wiring == preset
        assert built.options.n_classes == 2
        assert built.inputs == ("spectrogram", "mfcc", "log_mel")
        assert built.options.spectrogram.weights == str(tmp_path / "weights" / "alexnet.pth")


def test_published_wiring_over_other_features_is_refused(tmp_path: Path) -> None:
    model = 'preset = "small"\nwiring = "published"\n'
    with pytest.raises(UsageError, match=r'takes segments of 3 s, .*; set features.preset = "published", or'):
        build_model(recipe(tmp_path, 'preset = "native"', model), Encoders())
    options = PRESETS["small"](2, "published")
    check_features(options, PUBLISHED)
    check_features(PRESETS["small"](2, "native"), NATIVE)
    check_features(PRESETS["small"](2, "native"), PUBLISHED)  # ours may look at theirs
