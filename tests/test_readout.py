"""A model of kernel wiring: its branches learn from a teacher alone, its classes are a closed form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import training_corpus
from training_corpus import train, train_until_killed
from voxaffect.errors import UsageError
from voxaffect.recipe import DistillationOptions, Recipe, read_recipe

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("transformers", reason="needs the extra `train`")
torch.set_num_threads(1)

from neural_inputs import batch, save_speech, taught_batch  # noqa: E402
from voxaffect.distillation import BranchDistiller  # noqa: E402
from voxaffect.model import CoAttention, ModelOptions  # noqa: E402
from voxaffect.wiring import statistics  # noqa: E402

D = 16
STRIPS = {"kind": "vit", "patch": [200, 4], "dim": 8, "depth": 1, "heads": 2, "n_channels": 1}
BILSTM = {"kind": "bilstm", "hidden": 4, "layers": 1, "stack": 2, "normalise": "standardise"}
WAVEFORM = {"kind": "waveform", "filters": 8, "dim": 8, "depth": 1, "dropout": 0.0}
THREE = {"spectrogram": STRIPS, "mfcc": BILSTM, "speech": WAVEFORM}

RECIPE = f"""
name = "taught"{training_corpus.DATA}seeds = [1]
[features]
window = 0.5
hop = 0.25
[model]
wiring = "kernel"
[model.kernel]
anchors = 8
[model.mfcc]
kind = "bilstm"
hidden = 8
layers = 1
stack = 2
normalise = "standardise"
[distillation]
checkpoint = "tiny"
layers = [1, 2]
[training]
epochs = 2
batch_size = 8
learning_rate = 1e-2
[augmentation]
copies = 1
gain = 3.0
"""


def student(**branches: Any) -> CoAttention:
    torch.manual_seed(0)
    table = {"n_classes": 2, "wiring": "kernel", "kernel": {"anchors": 5}, **(branches or THREE)}
    return CoAttention(ModelOptions.from_dict(table)).eval()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clips and a tiny Whisper encoder of random weights."""
    folder = tmp_path_factory.mktemp("corpus")
    training_corpus.build(folder / "clips")
    save_speech("whisper", folder / "tiny")
    return folder


def recipe(folder: Path, *assignments: str, text: str = RECIPE) -> Recipe:
    (folder / "taught.toml").write_text(text, encoding="utf-8")
    return read_recipe(folder / "taught.toml", assignments)


def test_statistics_are_those_of_the_states_that_exist() -> None:
    states = torch.randn(2, 5, 3)
    mask = torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    found = statistics(states, mask)
    for row, n in enumerate((5, 2)):
        torch.testing.assert_close(found[row, :3], states[row, :n].mean(0))
        torch.testing.assert_close(found[row, 3:], states[row, :n].std(0, correction=0))


def test_the_vector_is_the_branches_statistics_side_by_side() -> None:
    model, inputs = student(), batch([8000, 4960])
    with torch.inference_mode():
        vector = model.embed(inputs)
        states = model.branch_states(inputs)
    assert list(states) == ["spectrogram", "mfcc", "speech"]
    torch.testing.assert_close(vector, torch.cat([statistics(*branch) for branch in states.values()], 1))


def test_padding_changes_neither_the_vector_nor_the_loss() -> None:
    model = student()
    made = BranchDistiller(model, D, DistillationOptions())
    short, long = (taught_batch([8000, 4960], D, padding) for padding in (0, 3200))
    with torch.no_grad():
        torch.testing.assert_close(model.embed(long), model.embed(short), atol=1e-5, rtol=1e-4)
        losses = [
            float(made(model.branch_states(b), b["teacher"], b["teacher_start"], b["n_samples"]))
            for b in (short, long)
        ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_branch_that_equals_its_teacher_has_no_loss_and_slow_ones_are_taught_means() -> None:
    model = student()
    made = BranchDistiller(model, D, DistillationOptions(frames=2.0))
    teacher = torch.randn(1, 6, D)
    mask = torch.ones(1, 6, dtype=torch.bool)
    with torch.no_grad():
        for layer in made.maps.values():
            layer.weight.copy_(torch.eye(D, layer.weight.shape[1]))  # type: ignore[operator]
            layer.bias.zero_()  # type: ignore[operator]
    assert made.joined == {"spectrogram": 2, "mfcc": 1, "speech": 1}
    # As if every branch had states as wide as the teacher's.
    made.maps = torch.nn.ModuleDict({name: torch.nn.Identity() for name in made.joined})
    means = (teacher[:, 0::2] + teacher[:, 1::2]) / 2
    right = {"spectrogram": (means, mask[:, :3]), "mfcc": (teacher, mask), "speech": (teacher, mask)}
    start, samples = torch.tensor([0]), torch.tensor([12 * 160])
    assert float(made(right, teacher, start, samples)) == pytest.approx(0.0, abs=1e-10)
    off = {**right, "speech": (teacher + 0.1, mask)}
    assert float(made(off, teacher, start, samples)) == pytest.approx(2 * 0.01, rel=1e-4)


@pytest.mark.parametrize(
    ("branches", "message"),
    [
        ({"mfcc": {**BILSTM, "stack": 1}}, "model.mfcc cannot be taught"),
        ({"mfcc": {**BILSTM, "stack": 3}}, "model.mfcc cannot be taught"),
        ({"spectrogram": {**STRIPS, "patch": [20, 20]}}, "model.spectrogram cannot be taught"),
    ],
)
def test_a_branch_whose_states_do_not_follow_time_is_refused(branches: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        BranchDistiller(student(**branches), D, DistillationOptions())


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"mfcc": BILSTM, "kernel": {"anchors": 3}},
            r"model.kernel goes with wiring = 'kernel', not with 'native'",
        ),
        (
            {"mfcc": BILSTM, "wiring": "kernel", "kernel": {"anchor": 3}},
            r"unknown key 'anchor' in \[model.kernel\]",
        ),
        ({"mfcc": BILSTM, "wiring": "kernel", "kernel": {"anchors": 0}}, "anchors must be at least 1"),
    ],
)
def test_wrong_options_of_the_kernel_are_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ModelOptions.from_dict({"n_classes": 2, **table})


def test_a_class_token_has_no_statistics() -> None:
    with pytest.raises(UsageError, match="needs the spectrogram's states, not its class token alone"):
        student(spectrogram={**STRIPS, "pooling": "cls"})


def test_options_survive_being_written() -> None:
    options = student().options
    assert ModelOptions.from_dict(options.to_dict()) == options


def test_without_a_teacher_nothing_could_be_learned(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="learns from a teacher alone, and the recipe names none"):
        train(recipe(corpus, "distillation.checkpoint=''"), tmp_path / "run")


def test_training_learns_the_classes_and_keeps_them(corpus: Path, tmp_path: Path) -> None:
    """Pitch tells the class of these clips, and the MFCCs hold it whatever the teacher says."""
    evaluation = train(recipe(corpus, "training.epochs=3"), tmp_path / "run")
    assert evaluation is not None
    assert evaluation.measures["UA"].value > 0.9
    (place, *_) = sorted((tmp_path / "run/parts").iterdir())
    done = json.loads((place / "done.json").read_text())
    assert done["penalty"] in (0.03, 0.1, 0.3, 1.0)
    history = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert {"epoch", "train_loss", "dev_loss"} <= history[0].keys()
    assert "dev_ua" not in history[0]
    assert (tmp_path / "run/curves.png").stat().st_size > 1000
    again = CoAttention.load(place / "model")
    assert again.wiring.head.dual.abs().sum() > 0  # type: ignore[union-attr, operator]
    best = min((row for row in history if row["fold"] == history[0]["fold"]), key=lambda row: row["dev_loss"])
    assert done["best_epoch"] == best["epoch"]


def test_a_killed_run_resumes_to_the_very_same_weights(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = recipe(corpus)
    train(made, tmp_path / "whole")
    train_until_killed(made, tmp_path / "run", monkeypatch)
    train(made, tmp_path / "run", resume=True)
    runs = [sorted((tmp_path / name).rglob("model.safetensors")) for name in ("run", "whole")]
    assert len(runs[0]) == 2
    for mine, other in zip(*runs, strict=True):
        assert mine.read_bytes() == other.read_bytes()


def test_a_model_file_of_it_agrees_with_torch(corpus: Path, tmp_path: Path) -> None:
    from voxaffect.release import release

    train(recipe(corpus, "protocol.folds=all-speakers"), tmp_path / "run")
    exported = release(tmp_path / "run", tmp_path / "taught.onnx")
    assert exported.difference < 1e-5
    import voxaffect

    clip = next((corpus / "clips/angry").rglob("*.wav"))
    answer = voxaffect.load(tmp_path / "taught.onnx").predict(clip, vad=False)
    assert answer.label in ("angry", "sad", None)


def test_half_precision_halves_the_file_and_hardly_moves_an_answer(tmp_path: Path) -> None:
    from voxaffect.export import export
    from voxaffect.modelfile import read_model
    from voxaffect.recogniser import open_recogniser

    model = student(mfcc={**BILSTM, "hidden": 64})
    rng = np.random.default_rng(0)
    features, targets = rng.standard_normal((60, 256)), np.arange(60) % 2
    features[targets == 1] += 1.0
    model.wiring.head.fit(features, targets, features, targets, seed=0)  # type: ignore[union-attr, operator]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    metadata = {
        "schema": "voxaffect.model/1",
        "name": "half",
        "version": "1",
        "labels": ["angry", "sad"],
        "vote": "majority",
        "licence": "none",
        "features": {"preset": "native"},
        "calibration": {"temperature": 1.0},
        "uncertain_below": 0.0,
    }
    whole = export([model], tmp_path / "whole.onnx", metadata=metadata)
    half = export([model], tmp_path / "half.onnx", metadata=metadata, half=True)
    assert half.n_bytes < 0.62 * whole.n_bytes
    assert half.difference < 1e-5  # from the rounded weights
    assert whole.rounding == 0.0 < half.rounding < 1e-2
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert read_model(tmp_path / "half.onnx").metadata["weights"] == "float16"
    tone = 0.1 * np.sin(2 * np.pi * 220 * np.arange(24_000) / 16_000).astype(np.float32)
    answers = []
    for name in ("whole", "half"):
        recogniser = open_recogniser(read_model(tmp_path / f"{name}.onnx"), device="cpu")
        answers.append(np.exp(recogniser.log_probs(recogniser.items(tone))))
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-2)
    assert not np.array_equal(answers[1], answers[0])


def test_three_branches_are_taught_together(corpus: Path, tmp_path: Path) -> None:
    text = RECIPE + (
        "[model.spectrogram]\nkind = 'vit'\npatch = [200, 4]\ndim = 8\ndepth = 1\nheads = 2\nn_channels = 1\n"
        "[model.speech]\nkind = 'waveform'\nfilters = 8\ndim = 8\ndepth = 1\n"
    )
    made = recipe(corpus, "training.epochs=1", "protocol.folds=all-speakers", text=text)
    train(made, tmp_path / "run")
    (folder,) = (tmp_path / "run/parts").glob("*/model")
    head = CoAttention.load(folder).wiring.head
    assert head.sizes == (16, 32, 16)  # type: ignore[union-attr]
    assert np.isfinite(head.dual.numpy()).all()  # type: ignore[union-attr, operator]


ADAPTING = ("model.kernel.members=2", "adaptation.unit='speaker'", "training.epochs=1")


def test_members_vote_and_a_model_file_holds_each_of_them(corpus: Path, tmp_path: Path) -> None:
    import voxaffect
    from voxaffect.modelfile import read_model
    from voxaffect.predictions import read_run
    from voxaffect.release import release

    train(recipe(corpus, *ADAPTING[:1], "training.epochs=1"), tmp_path / "run")
    (place, *_) = sorted((tmp_path / "run/parts").iterdir())
    model = CoAttention.load(place / "model")
    assert model.n_members == 2
    inputs = batch([8000, 4960])
    with torch.inference_mode():
        votes, joined = model.votes(inputs), model(inputs)
    assert votes.shape == (2, 2, 2)
    torch.testing.assert_close(joined.softmax(-1), votes.softmax(-1).mean(1))
    assert len(read_run(tmp_path / "run")) > 0
    train(
        recipe(corpus, *ADAPTING[:1], "training.epochs=1", "protocol.folds=all-speakers"), tmp_path / "final"
    )
    exported = release(tmp_path / "final", tmp_path / "taught.onnx")
    assert exported.difference < 1e-5
    file = read_model(tmp_path / "taught.onnx")
    assert file.members == 2
    assert "- members: 2, majority vote" in (tmp_path / "taught.md").read_text()
    clip = next((corpus / "clips/angry").rglob("*.wav"))
    answer = voxaffect.load(tmp_path / "taught.onnx").predict(clip, vad=False)
    assert sum((answer.votes or {}).values()) == 2


def test_it_can_adapt_to_a_voice_and_says_so_in_files_of_its_own(corpus: Path, tmp_path: Path) -> None:
    from voxaffect.adapted_kernel import load_kernel_model
    from voxaffect.predictions import read_csv
    from voxaffect.release import release

    plain, run = tmp_path / "plain", tmp_path / "run"
    train(recipe(corpus, *ADAPTING[:1], "training.epochs=1"), plain)
    train(recipe(corpus, *ADAPTING), run)
    ours, theirs = (read_csv(folder / "predictions.csv") for folder in (run, plain))
    np.testing.assert_array_equal(
        ours.probs, theirs.probs
    )  # the plain answers are those of a model that cannot
    adapted = read_csv(run / "predictions_adapted.csv")
    assert set(adapted.ids) == set(ours.ids)
    assert np.abs(adapted.probs - ours.probs).max() > 1e-3
    (place, *_) = sorted((run / "parts").iterdir())
    done = json.loads((place / "done.json").read_text())
    assert {"penalty", "dev_ua"} == done["adapted"].keys()
    model = load_kernel_model(place / "model")
    inputs = batch([8000, 4960])
    with torch.inference_mode():
        votes, statistics = model.heard(inputs)  # type: ignore[union-attr, operator]
        torch.testing.assert_close(votes, model.votes(inputs))
        assert model.score(statistics).shape == votes.shape  # type: ignore[union-attr, operator]
    train(recipe(corpus, *ADAPTING, "protocol.folds=all-speakers"), tmp_path / "final")
    assert release(tmp_path / "final", tmp_path / "taught.onnx").difference < 1e-5
    import voxaffect

    clips = sorted((corpus / "clips/angry").rglob("*.wav"))
    with_voice = voxaffect.load(tmp_path / "taught.onnx").predict(clips[0], enrol=clips[1:4], vad=False)
    without = voxaffect.load(tmp_path / "taught.onnx").predict(clips[0], vad=False)
    assert with_voice.probs != without.probs


def test_a_single_member_cannot_adapt(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a single member has no answers about training speakers"):
        train(recipe(corpus, *ADAPTING[1:]), tmp_path / "run")


@pytest.mark.parametrize("damage", ["cut", "missing", "schema", "other"])
def test_what_makes_it_adapt_is_refused_when_damaged(corpus: Path, tmp_path: Path, damage: str) -> None:
    from voxaffect.adapted_kernel import load_kernel_model
    from voxaffect.errors import ArtefactError

    train(recipe(corpus, *ADAPTING, "protocol.folds=all-speakers"), tmp_path / "run")
    (folder,) = (tmp_path / "run/parts").glob("*/model")
    weights, description = folder / "adaptation.safetensors", folder / "adaptation.json"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-5])
    elif damage == "missing":
        weights.unlink()
    elif damage == "schema":
        description.write_text(json.dumps(json.loads(description.read_text()) | {"schema": "other"}))
    else:
        table = json.loads(description.read_text())
        del table["shrinkage"]
        description.write_text(json.dumps(table))
    said = {
        "cut": r"model_damaged: .*adaptation.safetensors has sha256",
        "missing": r"model_missing: .*: no adaptation.safetensors",
        "schema": r"model_schema: .* has schema 'other'; expected 'voxaffect.adapted-kernel/1'",
        "other": r"model_damaged: what makes the model in .* adapt cannot be read: 'shrinkage'",
    }
    with pytest.raises(ArtefactError, match=said[damage]):
        load_kernel_model(folder)
