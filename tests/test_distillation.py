"""A student that learns to predict its teacher: zero where they agree, blind to padding, exact after a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import training_corpus
from training_corpus import train, train_until_killed
from voxaffect import corpora
from voxaffect.errors import UsageError
from voxaffect.recipe import DistillationOptions, Recipe, read_recipe

torch = pytest.importorskip("torch", reason="needs the extra `train`")
pytest.importorskip("transformers", reason="needs the extra `train`")
torch.set_num_threads(1)

from neural_inputs import batch, save_speech, taught_batch  # noqa: E402
from voxaffect.distillation import Distiller, Student  # noqa: E402
from voxaffect.encoders.masking import exists, masked_mean  # noqa: E402
from voxaffect.encoders.speech import SpeechEncoder, SpeechOptions  # noqa: E402
from voxaffect.model import CoAttention, ModelOptions  # noqa: E402

D = 16
WAVEFORM = {"kind": "waveform", "filters": 8, "dim": D, "depth": 1, "dropout": 0.0}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Whisper encoder of random weights with states of D numbers."""
    return save_speech("whisper", tmp_path_factory.mktemp("whisper") / "tiny")


def student(**branches: Any) -> CoAttention:
    torch.manual_seed(0)
    table = {"n_classes": 2, "width": D, "heads": 2, "dropout": 0.0, **(branches or {"speech": WAVEFORM})}
    return CoAttention(ModelOptions.from_dict(table)).eval()


def distiller(model: CoAttention, **options: Any) -> Distiller:
    torch.manual_seed(1)
    return Distiller(model, D, DistillationOptions(**options))


def identity(layer: torch.nn.Linear) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.eye(D))
        layer.bias.zero_()


def starts(*values: int) -> torch.Tensor:
    return torch.tensor(values)


def recordings(made: Distiller, n: int = 5, length: int = 7) -> list[np.ndarray]:
    """Teacher states of whole recordings that `made` is fitted on; every position has something of its own."""
    rng = np.random.default_rng(0)
    position = 10 * rng.standard_normal((length, D))
    taught = [(position + rng.standard_normal((length, D))).astype(np.float32) for _ in range(n)]
    made.fit(taught)
    return taught


def test_the_loss_of_a_student_that_equals_its_teacher_is_zero() -> None:
    made = distiller(student())
    identity(made.frame)
    identity(made.pooled)
    teacher = torch.from_numpy(np.stack(recordings(made)[:3]))
    mask = exists(torch.tensor([7, 4, 1]), 7)
    target = teacher - made.position[:7]
    states = target / made.frame_std
    vector = (masked_mean(target, mask) - made.pooled_mean) / made.pooled_std
    at = starts(0, 0, 0)
    assert made(vector, states, mask, teacher, at).item() == pytest.approx(0.0, abs=1e-10)
    assert made(vector, states + 0.1, mask, teacher, at).item() == pytest.approx(0.01, rel=1e-4)
    assert made(vector + 0.1, states, mask, teacher, at).item() == pytest.approx(0.01, rel=1e-4)


def test_a_cut_out_is_held_against_the_positions_that_it_was_cut_from() -> None:
    made = distiller(student())
    whole = torch.from_numpy(np.stack(recordings(made)[:2]))
    states, vector = torch.zeros(2, 4, D), torch.zeros(2, D)
    mask = torch.ones(2, 4, dtype=torch.bool)
    right = made(vector, states, mask, whole[:, 3:], starts(3, 3)).item()
    assert right < 5  # the positions' own part, ten times as large, is gone
    assert made(vector, states, mask, whole[:, 3:], starts(0, 0)).item() > 10 * right


def test_each_part_of_the_loss_has_its_weight() -> None:
    model = student()
    teacher, states, vector = torch.randn(2, 5, D), torch.randn(2, 5, D), torch.randn(2, D)
    mask = torch.ones(2, 5, dtype=torch.bool)

    def loss(frames: float, pooled: float) -> float:
        made = distiller(model, frames=frames, pooled=pooled)
        return float(made(vector, states, mask, teacher, starts(0, 0)).detach())

    assert loss(0.0, 0.0) == 0.0
    assert loss(2.0, 0.5) == pytest.approx(2 * loss(1.0, 0.0) + 0.5 * loss(0.0, 1.0), rel=1e-5)


def test_standardising_is_that_of_its_formula() -> None:
    made = distiller(student())
    taught = np.stack(recordings(made))
    position = taught.mean(axis=0)
    centred = taught - position
    np.testing.assert_allclose(made.position[:7].numpy(), position, atol=1e-5)
    np.testing.assert_allclose(made.position[7:].numpy(), np.broadcast_to(position[-1], (1493, D)), atol=1e-5)
    np.testing.assert_allclose(made.frame_std.numpy(), np.sqrt((centred**2).mean(axis=(0, 1))), rtol=1e-4)
    np.testing.assert_allclose(made.pooled_mean.numpy(), centred.mean(axis=(0, 1)), atol=1e-5)
    np.testing.assert_allclose(made.pooled_std.numpy(), centred.mean(axis=1).std(axis=0), rtol=1e-4)


def test_a_position_that_few_recordings_reach_takes_the_last_that_enough_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("voxaffect.distillation.ENOUGH", 2)
    made = distiller(student())
    made.fit([np.ones((3, D), np.float32), np.full((3, D), 3, np.float32), np.full((5, D), 5, np.float32)])
    np.testing.assert_allclose(made.position[:8, 0].numpy(), 3.0)


def loss_of(model: CoAttention, made: Distiller, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    _, *seen = Student(model, made.options)(inputs)
    loss: torch.Tensor = made(*seen, inputs["teacher"], inputs["teacher_start"])
    return loss


def test_padding_does_not_change_the_loss() -> None:
    model = student()
    made = distiller(model)
    with torch.no_grad():
        alone = loss_of(model, made, taught_batch([8000, 4960], D))
        padded = loss_of(model, made, taught_batch([8000, 4960], D, padding=3200))
    torch.testing.assert_close(padded, alone, atol=1e-6, rtol=1e-5)


def test_what_the_teacher_says_beyond_an_item_does_not_count() -> None:
    model = student()
    made = distiller(model)
    inputs = taught_batch([8000, 4960], D)
    disturbed = {**inputs, "teacher": inputs["teacher"].clone()}
    disturbed["teacher"][1, 16:] = 100.0
    with torch.no_grad():
        torch.testing.assert_close(loss_of(model, made, disturbed), loss_of(model, made, inputs))
        disturbed["teacher"][1, 15:] = 100.0  # the last state that exists: this test can fail
        assert loss_of(model, made, disturbed) > 10 * loss_of(model, made, inputs)


def test_states_that_only_one_of_them_has_are_left_out() -> None:
    model = student()
    made = distiller(model)
    teacher, states, vector = torch.randn(1, 6, D), torch.randn(1, 5, D), torch.randn(1, D)
    mask = torch.ones(1, 5, dtype=torch.bool)
    with torch.no_grad():
        torch.testing.assert_close(
            made(vector, states, mask, teacher, starts(0)),
            made(vector, states, mask, teacher[:, :5], starts(0)),
        )
        torch.testing.assert_close(
            made(vector, states, mask, teacher[:, :4], starts(0)),
            made(vector, states[:, :4], mask[:, :4], teacher[:, :4], starts(0)),
        )


def test_the_gradient_reaches_the_whole_student_but_its_last_layer() -> None:
    model = student()
    made = distiller(model)
    loss_of(model, made, taught_batch([8000, 4960], D)).backward()
    unmoved = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    head = {name for name, _ in model.wiring.named_parameters(prefix="wiring") if ".head." in f".{name}"}
    assert unmoved == head | {"wiring.co_attention.key.bias"}  # it adds the same to every score of a softmax
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())


def test_some_steps_bring_the_student_nearer_to_its_teacher() -> None:
    model = student()
    made = distiller(model)
    inputs = taught_batch([8000, 4960], D)
    optimizer = torch.optim.AdamW([*model.parameters(), *made.parameters()], lr=1e-2)
    losses = []
    for _ in range(15):
        loss = loss_of(model, made, inputs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.9 * losses[0]


def test_looking_on_does_not_change_the_logits() -> None:
    model = student()
    inputs = batch([8000, 4960])
    with torch.no_grad():
        wanted = model(inputs)
        logits, vector, states, mask = Student(model, DistillationOptions())(inputs)
    torch.testing.assert_close(logits, wanted)
    assert vector.shape == (2, D)
    assert states.shape == (2, 25, D)
    assert mask.sum(1).tolist() == [25, 16]


BILSTM = {"kind": "bilstm", "hidden": 8, "layers": 1}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "distillation.branch is 'speech', which the model does not have"),
        ({"branch": "mfcc"}, "distillation needs 50 states a second: set model.mfcc.stack = 2, not 1"),
    ],
)
def test_a_branch_that_cannot_be_taught_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        distiller(student(mfcc=BILSTM), **options)


def test_the_mfcc_branch_can_be_taught() -> None:
    model = student(mfcc={**BILSTM, "stack": 2})
    made = distiller(model, branch="mfcc")
    loss_of(model, made, taught_batch([8000, 4960], D)).backward()
    assert model.mfcc is not None
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.mfcc.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"branch": "spectrogram"}, "unknown branch 'spectrogram'"),
        ({"frames": -1.0}, "must not be negative"),
        ({"layers": ()}, "layers not empty"),
    ],
)
def test_wrong_options_of_distillation_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DistillationOptions(**options)


def taught_recipe(folder: Path, checkpoint: Path, *assignments: str) -> Recipe:
    text = training_corpus.RECIPE + (
        "[model.speech]\nkind = 'waveform'\nfilters = 8\ndim = 8\ndepth = 1\n"
        f"[distillation]\ncheckpoint = '{checkpoint}'\nlayers = [1, 2]\n"
    )
    (folder / "taught.toml").write_text(text, encoding="utf-8")
    return read_recipe(folder / "taught.toml", ["training.epochs=2", "training.batch_size=16", *assignments])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    training_corpus.build(folder / "clips", clips=1)
    return folder


def test_a_killed_run_with_a_teacher_resumes_to_the_very_same_weights(
    corpus: Path, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voxaffect.training_state import TrainingState

    recipe = taught_recipe(corpus, checkpoint)
    train(recipe, tmp_path / "whole")
    train_until_killed(recipe, tmp_path / "run", monkeypatch)
    stored = TrainingState.load(*_checkpoint(tmp_path / "run", recipe))
    assert stored is not None
    assert float(stored.distiller["position"].abs().sum()) > 0
    train(recipe, tmp_path / "run", resume=True)
    runs = [sorted((tmp_path / name).rglob("model.safetensors")) for name in ("run", "whole")]
    assert len(runs[0]) == 2
    for mine, other in zip(*runs, strict=True):
        assert mine.read_bytes() == other.read_bytes()
    assert (tmp_path / "run/metrics.jsonl").read_bytes() == (tmp_path / "whole/metrics.jsonl").read_bytes()


def _checkpoint(run: Path, recipe: Recipe) -> tuple[Path, str]:
    (path,) = run.rglob("checkpoint.pt")
    seed, fold = path.parent.name.split("-", 1)
    return path, f"{recipe.digest}/{seed}/{fold}/cpu/1"


def test_a_teacher_changes_the_training_and_is_not_kept(
    corpus: Path, checkpoint: Path, tmp_path: Path
) -> None:
    assignments = ("training.epochs=1", "protocol.folds=all-speakers")
    train(taught_recipe(corpus, checkpoint, *assignments), tmp_path / "taught")
    train(taught_recipe(corpus, checkpoint, *assignments, "distillation.checkpoint=''"), tmp_path / "alone")
    from safetensors.torch import load

    taught, alone = (
        load(next((tmp_path / name).rglob("model.safetensors")).read_bytes()) for name in ("taught", "alone")
    )
    assert taught.keys() == alone.keys()
    assert any(not torch.equal(taught[name], alone[name]) for name in taught)


def test_utterances_of_other_labels_teach_but_are_never_judged(
    corpus: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """The labels are two of three; clips of the third are heard by the student of training speakers alone."""
    root = training_corpus.build(tmp_path / "clips", clips=1)
    (root / "sad").rename(root / "calm")
    training_corpus.build(root / "more", clips=1)
    for label in ("angry", "sad"):
        target = root / ("happy" if label == "angry" else label)
        (root / "more" / label).rename(target)
    (root / "more").rmdir()
    assignments = ("data.labels=['angry','happy']", "training.epochs=1")
    recipe = taught_recipe(tmp_path, checkpoint, *assignments, "distillation.unlabelled=true")
    from voxaffect.train import read_tables

    assert [table.labels for table in read_tables(recipe)] == [("angry", "happy"), ("calm", "sad")]
    with pytest.MonkeyPatch.context() as patch:
        times: list[str] = []
        read = corpora.read
        patch.setattr(corpora, "read", lambda name, *a, **kw: times.append(name) or read(name, *a, **kw))
        more = train(recipe, tmp_path / "more")
    assert times == ["folder"]  # once for both
    less = train(taught_recipe(tmp_path, checkpoint, *assignments), tmp_path / "less")
    assert more.n_utterances == less.n_utterances == 12
    assert (tmp_path / "more/folds.json").read_bytes() == (tmp_path / "less/folds.json").read_bytes()
    for name, counted in (("more", 24), ("less", 12)):
        speakers = json.loads((tmp_path / name / "folds.json").read_text())[0]["train"]
        report = json.loads((tmp_path / name / "metrics.json").read_text())["parts"]["1-group1"]
        assert report["train_utterances"] == counted // 6 * len(speakers)
    assert (tmp_path / "more/predictions.csv").read_bytes() != (
        tmp_path / "less/predictions.csv"
    ).read_bytes()


def test_utterances_of_other_labels_need_a_teacher(corpus: Path, checkpoint: Path) -> None:
    with pytest.raises(UsageError, match=r"distillation\.unlabelled needs distillation\.checkpoint"):
        taught_recipe(corpus, checkpoint, "distillation.checkpoint=''", "distillation.unlabelled=true")


def test_dev_and_test_items_carry_no_teacher(corpus: Path, checkpoint: Path) -> None:
    from voxaffect.cache import ArrayCache
    from voxaffect.preparation import Encoders, needs_of, prepare
    from voxaffect.train import read_table

    recipe = taught_recipe(corpus, checkpoint)
    table = read_table(recipe)
    encoders = Encoders()
    (store,) = prepare([recipe], [needs_of(recipe, encoders)], table, encoders, ArrayCache(None))
    rng = np.random.default_rng(0)
    encoder = SpeechEncoder(SpeechOptions(str(checkpoint))).eval()
    for index in range(len(table)):
        assert all("teacher" not in item for item in store.judged(index))
        item = store.training_item((index, 0), rng)
        assert item["teacher"].shape == (int(encoder.n_states(torch.tensor([int(item["n_samples"])]))), D)
