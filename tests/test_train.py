"""Training whole recipes on a tiny corpus: folds kept apart, exact resume, faults told apart."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import training_corpus
from training_corpus import train, train_until_killed
from voxaffect.errors import ArtefactError, CorpusError, ResourceError, UsageError
from voxaffect.predictions import read_csv
from voxaffect.recipe import Recipe, read_recipe
from voxaffect.run import RunFolder

torch = pytest.importorskip("torch", reason="needs the extra `train`")
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corpus in clips/ and its recipe."""
    folder = tmp_path_factory.mktemp("corpus")
    training_corpus.build(folder / "clips")
    (folder / "tiny.toml").write_text(training_corpus.RECIPE, encoding="utf-8")
    return folder


def tiny(corpus: Path, *assignments: str) -> Recipe:
    return read_recipe(corpus / "tiny.toml", assignments)


@pytest.fixture(scope="module")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    run = tmp_path_factory.mktemp("finished") / "run"
    return run, train(tiny(corpus), run)


def test_a_tiny_corpus_is_learnt_and_every_speaker_tested_once(finished: tuple[Path, Any]) -> None:
    run, evaluation = finished
    assert evaluation.ua.value > 0.9
    predictions = read_csv(run / "predictions.csv")
    assert sorted(predictions.ids) == sorted(set(predictions.ids))
    assert len(predictions) == 24
    for name in ("confusion.png", "curves.png"):
        assert (run / name).read_bytes().startswith(b"\x89PNG")
    environment = json.loads((run / "environment.json").read_text())
    assert environment["versions"]["torch"]
    assert json.loads((run / "metrics.json").read_text())["evaluation"]["schema"] == "voxaffect.evaluation/1"
    assert not (run / "lock").exists()
    assert not list(run.rglob("checkpoint.pt"))


def test_no_speaker_stands_on_two_sides_of_a_fold(finished: tuple[Path, Any]) -> None:
    folds = json.loads((finished[0] / "folds.json").read_text())
    for fold in folds:
        sides = [set(fold[side]) for side in ("train", "dev", "test")]
        assert all(sides)
        assert sum(map(len, sides)) == len(set.union(*sides)) == 6


def test_the_predictions_are_of_test_speakers_only(finished: tuple[Path, Any]) -> None:
    run, _ = finished
    test_of = {f["name"]: set(f["test"]) for f in json.loads((run / "folds.json").read_text())}
    predictions = read_csv(run / "predictions.csv")
    for speaker, fold in zip(predictions.speakers, predictions.folds, strict=True):
        assert speaker in test_of[fold]


def test_the_same_seed_gives_the_same_numbers(
    corpus: Path, finished: tuple[Path, Any], tmp_path: Path
) -> None:
    train(tiny(corpus), tmp_path / "run")
    for name in ("predictions.csv", "metrics.jsonl", "folds.json"):
        assert (tmp_path / "run" / name).read_bytes() == (finished[0] / name).read_bytes()


def test_the_kept_epoch_is_the_best_on_the_dev_speakers(finished: tuple[Path, Any]) -> None:
    run, _ = finished
    parts = json.loads((run / "metrics.json").read_text())["parts"]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert len(parts) == 2
    for fold, report in zip(dict.fromkeys(r["fold"] for r in rows), parts.values(), strict=True):
        scores = [r["dev_ua"] for r in rows if r["fold"] == fold]
        assert scores.index(max(scores)) + 1 == report["best_epoch"]


def test_two_folds_side_by_side_give_the_same_numbers(
    corpus: Path, finished: tuple[Path, Any], tmp_path: Path
) -> None:
    train(tiny(corpus), tmp_path / "run", jobs=2)
    for name in ("predictions.csv", "metrics.jsonl"):
        assert (tmp_path / "run" / name).read_bytes() == (finished[0] / name).read_bytes()


def test_a_fold_that_fails_in_its_own_process_is_told_here(corpus: Path, tmp_path: Path) -> None:
    recipe = tiny(corpus, "training.learning_rate=nan", "training.batch_size=64")
    with pytest.raises(ResourceError, match="not finite for the dev speakers"):
        train(recipe, tmp_path / "run", jobs=2)


@pytest.mark.parametrize("kill_at", range(1, 8))
def test_a_killed_run_resumes_to_the_very_same_weights(
    corpus: Path, finished: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kill_at: int
) -> None:
    run = tmp_path / "run"
    train_until_killed(tiny(corpus), run, monkeypatch, checkpoint=kill_at, before=kill_at % 2 == 1)
    train(tiny(corpus), run, resume=True)
    assert (run / "predictions.csv").read_bytes() == (finished[0] / "predictions.csv").read_bytes()
    for mine, other in zip(*(sorted(r.rglob("model.safetensors")) for r in (run, finished[0])), strict=True):
        assert mine.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_a_process_killed_outright_resumes(corpus: Path, finished: tuple[Path, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "voxaffect",
        "train",
        str(corpus / "tiny.toml"),
        "-o",
        str(run),
        "--no-cache",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "--device", "cpu"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while process.poll() is None and not list(run.rglob("checkpoint.pt")):
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = subprocess.run(
        [*command, "--device", "cpu", "--resume"], env=environment, capture_output=True, text=True, check=True
    )
    assert "UA" in done.stdout
    assert (run / "predictions.csv").read_bytes() == (finished[0] / "predictions.csv").read_bytes()


def test_an_occupied_folder_is_refused(corpus: Path, finished: tuple[Path, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="already holds a run"):
        train(tiny(corpus), finished[0])
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match="is not empty and holds no run"):
        train(tiny(corpus), tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_run_of_another_recipe_is_not_resumed(corpus: Path, finished: tuple[Path, Any]) -> None:
    with pytest.raises(ArtefactError, match="was begun with another recipe"):
        train(tiny(corpus, "training.epochs=5"), finished[0], resume=True)


def test_a_finished_run_resumes_to_itself(corpus: Path, finished: tuple[Path, Any]) -> None:
    before = (finished[0] / "predictions.csv").read_bytes()
    train(tiny(corpus), finished[0], resume=True)
    assert (finished[0] / "predictions.csv").read_bytes() == before


def interrupted(corpus: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run killed after its first checkpoint; the checkpoint's path."""
    train_until_killed(tiny(corpus), run, monkeypatch)
    (checkpoint,) = run.rglob("checkpoint.pt")
    return checkpoint


@pytest.mark.parametrize("damage", ["truncated", "flipped", "text"])
def test_a_damaged_checkpoint_is_refused(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    checkpoint = interrupted(corpus, tmp_path / "run", monkeypatch)
    data = checkpoint.read_bytes()
    middle = len(data) // 2
    checkpoint.write_bytes(
        {
            "truncated": data[:middle],
            "flipped": data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :],
            "text": b"x",
        }[damage]
    )
    with pytest.raises(ArtefactError, match=r"checkpoint\.pt is damaged"):
        train(tiny(corpus), tmp_path / "run", resume=True)


def test_a_checkpoint_of_another_fold_is_refused(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = interrupted(corpus, tmp_path / "run", monkeypatch)
    from voxaffect.training_state import TrainingState

    with pytest.raises(ArtefactError, match="belongs to another recipe or fold"):
        TrainingState.load(checkpoint, "other")


def test_a_checkpoint_of_other_threads_is_refused_and_says_how_to_go_on(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(corpus, tmp_path / "run", monkeypatch)
    torch.set_num_threads(2)  # what --jobs 1 has on two cores; --jobs 2 has one thread each
    try:
        with pytest.raises(
            ArtefactError,
            match=r"was begun on cpu, threads: 1; this is cpu, threads: 2, which changes the last bits",
        ) as caught:
            train(tiny(corpus), tmp_path / "run", resume=True)
    finally:
        torch.set_num_threads(1)
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("resume with the --device and --jobs of then")
    train(tiny(corpus), tmp_path / "run", resume=True)


def test_a_checkpoint_of_another_device_is_refused(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voxaffect.training_state import TrainingState

    checkpoint = interrupted(corpus, tmp_path / "run", monkeypatch)
    begun = f"{tiny(corpus).digest}/1/group1/cpu/1"
    assert TrainingState.load(checkpoint, begun) is not None
    with pytest.raises(ArtefactError, match=r"was begun on cpu, threads: 1; this is cuda, threads: 1"):
        TrainingState.load(checkpoint, begun.replace("/cpu/", "/cuda/"))


def test_a_second_process_is_refused_and_a_dead_ones_lock_taken_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    with (
        folder.lock(),
        pytest.raises(UsageError, match=f"is in use by process {os.getpid()}") as caught,
        folder.lock(),
    ):
        pass
    assert caught.value.hint == "wait until it is done or end it, then add --resume; or choose another folder"
    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    (tmp_path / "lock").write_text(dead.stdout)
    with folder.lock():
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_what_a_killed_process_had_half_written_is_no_run_and_is_removed(
    corpus: Path, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / ".voxaffect-01.part").write_text("{")  # killed while it wrote recipe.json, the first of all
    folder.start(tiny(corpus), resume=True)
    part = folder.part(1, "group1")
    part.mkdir(parents=True)
    (part / ".voxaffect-02.part").write_text("half a checkpoint")
    with folder.lock():
        assert sorted(path.name for path in tmp_path.rglob("*.part")) == []
    assert (tmp_path / "recipe.json").is_file()


def test_memory_that_runs_out_in_a_step_is_said_with_a_smaller_batch(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voxaffect.objective import Objective

    monkeypatch.setattr(Objective, "__call__", lambda *_: torch.empty(2**50))  # a real refusal of torch's
    with pytest.raises(ResourceError) as caught:
        train(tiny(corpus), tmp_path / "run")
    assert str(caught.value) == (
        f"out_of_memory: no room for a batch of 4 in epoch 1: {2**52} bytes more were asked for; "
        "try --set training.batch_size=2"
    )


def test_a_diverging_loss_stops_and_names_the_batch(corpus: Path, tmp_path: Path) -> None:
    recipe = tiny(corpus, "training.learning_rate=nan", "training.batch_size=1")
    with pytest.raises(
        ResourceError, match=r"in epoch 1 .*not finite for 5 steps in a row, the last with folder-clips/"
    ):
        train(recipe, tmp_path / "run")


def test_weights_that_are_not_finite_are_noticed_on_the_dev_speakers(corpus: Path, tmp_path: Path) -> None:
    recipe = tiny(corpus, "training.learning_rate=nan", "training.batch_size=64")
    with pytest.raises(ResourceError, match="in epoch 1 the loss was not finite for the dev speakers"):
        train(recipe, tmp_path / "run")


@pytest.mark.parametrize(
    ("assignment", "error", "message"),
    [
        ("model.kind=svm", UsageError, "unknown model kind 'svm'"),
        ("protocol.folds=ten-fold", UsageError, "unknown folds 'ten-fold'"),
        (
            'data.labels=["angry", "happy", "sad"]',
            CorpusError,
            r"no utterance of \['folder'\] is labelled \['happy'\]",
        ),
        ("features.windw=3", UsageError, "unknown feature option 'windw'"),
        ("model.mfcc.size=3", UsageError, "unknown key 'size'"),
    ],
)
def test_a_wrong_value_is_refused(
    corpus: Path, tmp_path: Path, assignment: str, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        train(tiny(corpus, assignment), tmp_path / "run")


def test_cuda_without_a_device_is_refused(corpus: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(UsageError, match="no CUDA device"):
        train(tiny(corpus), tmp_path / "run", device="cuda")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"jobs": 0}, "bad_value: jobs is 0; expected at least 1"),
        ({"device": "gpu"}, "bad_value: device is 'gpu'; expected auto, cpu or cuda"),
    ],
)
def test_a_machine_that_cannot_be_is_refused_before_a_folder_is_made(
    corpus: Path, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        train(tiny(corpus), tmp_path / "run", **options)
    assert str(caught.value) == said
    assert not (tmp_path / "run").exists()


def test_training_without_torch_says_what_to_install(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'needs torch.*pip install "voxaffect\[train\]"'):
        train(tiny(corpus), tmp_path / "run")


def test_all_speakers_gives_a_model_and_no_figures(corpus: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert train(tiny(corpus, "protocol.folds=all-speakers", "training.epochs=1"), run) is None
    assert not (run / "predictions.csv").exists()
    assert len(list(run.rglob("model.safetensors"))) == 1


@pytest.mark.parametrize(
    "assignment",
    [
        "training.class_weights=true",
        "training.balance=corpus",
        "augmentation.mixup=0.4",
        "training.average_last=0.9",
        "training.schedule=constant",
        "training.select_by=loss",
        "training.select_by=wa+ua",
        "training.select_by=wa",
    ],
)
def test_every_training_option_still_learns(corpus: Path, tmp_path: Path, assignment: str) -> None:
    evaluation = train(tiny(corpus, assignment), tmp_path / "run")
    assert evaluation.ua.value > 0.7


def test_no_dev_or_test_audio_reaches_the_gradient(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from voxaffect.examples import ExampleStore

    seen: set[int] = set()
    stores: list[ExampleStore] = []
    original = ExampleStore.training_item

    def watching(self: ExampleStore, key: tuple[int, int], rng: np.random.Generator) -> Any:
        stores.append(self)
        seen.add(key[0])
        return original(self, key, rng)

    monkeypatch.setattr(ExampleStore, "training_item", watching)
    run = tmp_path / "run"
    train(tiny(corpus, "protocol.folds=all-speakers", "protocol.dev_speakers=2", "training.epochs=1"), run)
    (fold,) = json.loads((run / "folds.json").read_text())
    assert {stores[0].table[i].speaker for i in seen} == set(fold["train"])
