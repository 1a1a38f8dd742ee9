"""Reported figures: the tables are what the files under results/ say, and those what the predictions give."""

from __future__ import annotations

import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from voxaffect import metadata
from voxaffect.baselines import baselines, read_baselines
from voxaffect.evaluation import evaluate
from voxaffect.predictions import Predictions, read_csv, write_csv
from voxaffect.run import RunFolder
from voxaffect.train import read_table
from voxaffect.trainings import read_trainings

ROOT = Path(__file__).resolve().parents[1]
RUNS = sorted(path.parent for path in ROOT.glob("results/*/predictions.csv"))
WITH_BASELINES = [run for run in RUNS if (run / "baselines.json").is_file()]
needs_results = pytest.mark.skipif(
    not any(ROOT.glob("results/*/metrics.json")), reason="there are no results yet"
)


def load() -> ModuleType:
    spec = spec_from_file_location("tables", ROOT / "benchmarks" / "tables.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["tables"] = module
    spec.loader.exec_module(module)
    return module


tables = load()


@needs_results
def test_the_tables_are_exactly_what_the_results_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert tables.main(["--check"]) == 0, f"run python benchmarks/tables.py\n{capsys.readouterr()}"


@needs_results
def test_every_run_with_predictions_has_figures_and_the_other_way_round() -> None:
    with_figures = [
        file.parent
        for file in sorted(ROOT.glob("results/*/metrics.json"))
        if "evaluation" in json.loads(file.read_text(encoding="utf-8"))
    ]
    assert with_figures == RUNS


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_committed_figures_are_what_the_committed_predictions_give(run: Path) -> None:
    stored = json.loads((run / "metrics.json").read_text(encoding="utf-8"))["evaluation"]
    kept = run / "baselines.json"
    guesses = read_baselines(kept) if kept.is_file() else None
    evaluation = evaluate(read_csv(run / "predictions.csv"), baselines=guesses)
    found = json.loads(json.dumps(evaluation.to_dict()))
    assert stored.keys() == found.keys()
    for key in found:
        same(found[key], stored[key], key)


@pytest.mark.parametrize("run", WITH_BASELINES, ids=lambda run: run.name)
def test_committed_baselines_are_what_the_corpora_give(
    run: Path, shared_corpora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)  # recipe.json keeps the recipe's folder as it was given
    predictions = read_csv(run / "predictions.csv")
    table = read_table(RunFolder(run).recipe)
    found = baselines(predictions, metadata.of_table(table), read_trainings(run))
    same(found.to_dict(), read_baselines(run / "baselines.json").to_dict(), run.name)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_committed_predictions_are_of_test_speakers_of_the_committed_folds(run: Path) -> None:
    folds = json.loads((run / "folds.json").read_text(encoding="utf-8"))
    tested = {(fold["seed"], fold["name"]): fold for fold in folds}
    for fold in folds:
        sides = [set(fold[side]) for side in ("train", "dev", "test")]
        assert sum(map(len, sides)) == len(set.union(*sides))
    predictions = read_csv(run / "predictions.csv")
    for seed, fold, speaker in set(
        zip(predictions.seeds, predictions.folds, predictions.speakers, strict=True)
    ):
        assert speaker in tested[seed, fold]["test"]


def same(found: Any, stored: Any, where: str) -> None:
    """Equal, numbers to 1e-9: sums of another numpy may differ in their last bits."""
    if isinstance(found, dict):
        assert found.keys() == stored.keys(), where
        for key in found:
            same(found[key], stored[key], f"{where}.{key}")
    elif isinstance(found, list):
        assert len(found) == len(stored), where
        for i, (a, b) in enumerate(zip(found, stored, strict=True)):
            same(a, b, f"{where}[{i}]")
    elif isinstance(found, float):
        assert stored == pytest.approx(found, abs=1e-9), where
    else:
        assert found == stored, where


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with two runs of 8 utterances: one of two seeds, one without test speakers; and documents."""
    write_run(tmp_path / "results" / "b-run", hits=(8, 6))
    write_run(tmp_path / "results" / "a-run", hits=(7,), title="")
    all_speakers = tmp_path / "results" / "final"
    all_speakers.mkdir()
    (all_speakers / "metrics.json").write_text(json.dumps({"recipe": "final", "parts": {}}))
    (tmp_path / "README.md").write_text(f"before\n\n{tables.BEGIN}\nold\n{tables.END}\n\nafter\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "plain.md").write_text("no table\n")
    (tmp_path / "docs" / "figures.md").write_text(f"{tables.BEGIN}{tables.END}")
    return tmp_path


def write_run(run: Path, hits: tuple[int, ...], title: str = "EmoDB | two classes") -> None:
    """A run folder whose seeds get so many of 8 right; the first of those that are wrong are angry."""
    run.mkdir(parents=True)
    truth = np.tile([0, 1, 0, 1, 0, 1, 0, 1], len(hits))
    right = np.concatenate([np.arange(8) >= 8 - hit for hit in hits])
    predictions = Predictions(
        ids=tuple(f"x/{i}" for i in range(8)) * len(hits),
        speakers=tuple(f"x/s{i // 4}" for i in range(8)) * len(hits),
        folds=("one",) * len(truth),
        labels=("angry", "sad"),
        truth=truth,
        probs=np.eye(2)[np.where(right, truth, 1 - truth)],
        seeds=tuple(seed for seed in range(len(hits)) for _ in range(8)),
    )
    write_csv(predictions, run / "predictions.csv")
    evaluation = evaluate(predictions).to_dict()
    (run / "metrics.json").write_text(json.dumps({"recipe": run.name, "evaluation": evaluation, "parts": {}}))
    recipe = {
        "name": run.name,
        "title": title,
        "data": {"corpora": ["x"]},
        "protocol": {"folds": "speaker-groups"},
    }
    (run / "recipe.json").write_text(json.dumps(recipe))


def test_a_row_holds_the_figures_and_where_they_come_from(project: Path) -> None:
    """By hand: 7 of 8 right misses an angry one, so UA = (3/4 + 1) / 2; 6 of 8 misses one of each, UA = 3/4."""
    header, rule, *rows = tables.table(project / "results").splitlines()
    assert header.count("|") == rule.count("|") == rows[0].count("|") == rows[1].count("|") == 10
    one, two = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)
    assert one[:6] == ["`a-run`", "x, speaker-groups", "8", "2", "2", "1"]
    assert one[6] == "**87.5** [75.0, 100.0]"
    assert one[7:] == ["87.5", "one seed"]
    assert two[:6] == ["`b-run`", "EmoDB / two classes", "8", "2", "2", "2"]
    assert two[6].startswith("**87.5** [")
    assert two[7:] == ["87.5", "17.7, 75.0 to 100.0"]  # std of 1 and 3/4 with n - 1: 0.25 / sqrt(2)


def test_documents_are_rewritten_once_and_then_stay(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tables.main(["--check"], project) == 1
    said = capsys.readouterr().out
    assert "README.md differs from results/" in said
    assert "figures.md differs from results/" in said
    assert "old" in (project / "README.md").read_text()
    assert tables.main([], project) == 0
    block = tables.table(project / "results")
    assert (project / "README.md").read_text() == f"before\n\n{tables.BEGIN}\n{block}{tables.END}\n\nafter\n"
    assert (project / "docs/figures.md").read_text() == f"{tables.BEGIN}\n{block}{tables.END}"
    assert (project / "docs/plain.md").read_text() == "no table\n"
    capsys.readouterr()
    assert tables.main(["--check"], project) == 0
    assert tables.main([], project) == 0
    assert capsys.readouterr().out == ""


def test_a_changed_figure_is_noticed(project: Path) -> None:
    tables.main([], project)
    file = project / "README.md"
    file.write_text(file.read_text().replace("87.5", "97.5", 1))
    assert tables.main(["--check"], project) == 1


@pytest.mark.parametrize(
    "text", ["no markers\n", f"{tables.END}{tables.BEGIN}", 2 * f"{tables.BEGIN}{tables.END}"]
)
def test_a_readme_without_its_markers_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (project / "README.md").write_text(text)
    for arguments in ([], ["--check"]):
        assert tables.main(arguments, project) == 1
        assert f"expected {tables.BEGIN} and then {tables.END}, once each" in capsys.readouterr().err
    assert (project / "README.md").read_text() == text


def test_without_results_there_is_no_table(project: Path) -> None:
    assert tables.table(project / "nowhere") == ""


def test_what_is_undefined_is_a_dash() -> None:
    assert [tables.percent(x) for x in (0.12345, None, float("nan"), 1.0)] == ["12.3", "-", "-", "100.0"]


def test_the_comparison_of_figures_can_fail() -> None:
    same({"a": [1.0, "x", None]}, {"a": [1.0 + 1e-12, "x", None]}, "")
    for other in ({"a": [1.001, "x", None]}, {"a": [1.0, "y", None]}, {"a": [1.0, "x"]}, {"b": []}):
        with pytest.raises(AssertionError):
            same({"a": [1.0, "x", None]}, other, "")
