"""Reported figures: the tables are what the files under results/ say, and those what the predictions give."""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from voxaffect import metadata
from voxaffect.baselines import baselines, read_baselines
from voxaffect.comparison import compare_runs
from voxaffect.evaluation import evaluate
from voxaffect.predictions import Predictions, read_csv, write_csv
from voxaffect.recipe import recipe_from_json
from voxaffect.run import RunFolder
from voxaffect.significance import compare
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
BEGIN, END = tables.markers("results")
OTHERS = "".join("".join(tables.markers(name)) for name in ("studies", "shortcuts"))
STUDIES = sorted({path.parents[1] for path in ROOT.glob("results/*/*/ensemble.json")})
ABLATIONS = sorted({path.parent for path in ROOT.glob("results/*/study.json")} - {*STUDIES})
CHEATS = sorted(path.parent for path in ROOT.glob("results/*/cheat_cost.json"))


@needs_results
def test_the_tables_are_exactly_what_the_results_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert tables.main(["--check"]) == 0, f"run python benchmarks/tables.py\n{capsys.readouterr()}"


@needs_results
def test_recorded_digests_are_those_of_their_recipes() -> None:
    for file in sorted(ROOT.glob("results/*/recipe.json")):
        text = file.read_text(encoding="utf-8")
        table = json.loads(text)
        digest = table.pop("digest")
        if "distillation" in table:
            assert recipe_from_json(text).digest == digest, file
        else:  # before there was such a table; results/README.md says so
            assert file.parent.name == "ravdess-whisper"
            kept = {key: value for key, value in table.items() if key not in ("folder", "title", "card")}
            assert hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest() == digest


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
    (tmp_path / "README.md").write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter {OTHERS}\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "plain.md").write_text("no table\n")
    (tmp_path / "docs" / "figures.md").write_text(f"{BEGIN}{END}")
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


def test_what_the_command_changed_of_the_recipe_stands_in_its_row(project: Path) -> None:
    command = ["voxaffect", "train", "a.toml", "--set", "protocol.folds=other", "--jobs", "2"]
    (project / "results/a-run/environment.json").write_text(json.dumps({"command": command}))
    _, _, one, two = tables.table(project / "results").splitlines()
    assert "| x, speaker-groups; `protocol.folds=other` |" in one
    assert ";" not in two


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
    empty = "".join("\n".join(tables.markers(name)) for name in ("studies", "shortcuts"))
    assert (project / "README.md").read_text() == f"before\n\n{BEGIN}\n{block}{END}\n\nafter {empty}\n"
    assert (project / "docs/figures.md").read_text() == f"{BEGIN}\n{block}{END}"
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


@pytest.mark.parametrize("text", ["no markers\n", f"{END}{BEGIN}", 2 * f"{BEGIN}{END}"])
def test_a_readme_without_its_markers_is_refused(
    project: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (project / "README.md").write_text(text)
    for arguments in ([], ["--check"]):
        assert tables.main(arguments, project) == 1
        assert f"expected {BEGIN} and then {END}, once each" in capsys.readouterr().err
    assert (project / "README.md").read_text() == text


def test_without_results_there_is_no_table(project: Path) -> None:
    assert tables.table(project / "nowhere") == ""


def test_a_study_s_rows_hold_vote_members_and_gain(tmp_path: Path) -> None:
    folder = tmp_path / "one" / "vit"
    folder.mkdir(parents=True)
    (tmp_path / "one" / "study.json").write_text(json.dumps({"name": "s", "variants": ["vit"]}))
    gain = {"value": 0.031, "low": -0.01, "high": 0.07, "p": 0.1234}
    vote = {
        "members": [{}, {}, {}],
        "figures": {"WA": 0.71},
        "spread": {"UA": {"mean": 0.6, "low": 0.5, "high": 0.7}},
        "gain": {"UA": gain},
    }
    (folder / "ensemble.json").write_text(json.dumps(vote))
    measures = {"UA": {"value": 0.631, "low": 0.55, "high": 0.72}}
    (folder / "metrics.json").write_text(json.dumps({"evaluation": {"measures": measures}}))
    header, rule, row = tables.studies(tmp_path).splitlines()
    assert header.count("|") == rule.count("|") == row.count("|")
    assert (
        row
        == "| `s` | vit | 3 | **63.1** [55.0, 72.0] | 71.0 | 60.0, 50.0 to 70.0 | +3.1 [-1.0, +7.0], 0.123 |"
    )


def test_an_ablation_s_rows_are_set_beside_another_variant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["all", "less", "other"]
    monkeypatch.setattr(tables, "AGAINST", {"s": {"other": "less"}})
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "study.json").write_text(json.dumps({"name": "s", "variants": names}))
    pair = {"difference": {"UA": {"value": -0.02, "low": -0.05, "high": 0.01}}, "p": {"UA": 0.25}}
    pairs = [{"first": a, "second": b, **pair} for a, b in combinations(names, 2)]
    (tmp_path / "s" / "comparison.json").write_text(json.dumps({"pairs": pairs}))
    for name in names:
        folder = tmp_path / "s" / name
        folder.mkdir()
        measures = {"UA": {"value": 0.631, "low": 0.55, "high": 0.72}, "WA": {"value": 0.7}}
        (folder / "metrics.json").write_text(json.dumps({"evaluation": {"measures": measures}}))
        (folder / "recipe.json").write_text(json.dumps({"title": f"the {name}"}))
    assert tables.studies(tmp_path) == ""
    header, rule, *rows = tables.ablations(tmp_path).splitlines()
    assert {line.count("|") for line in (header, rule, *rows)} == {7}
    assert rows == [
        "| `all`: the all | **63.1** [55.0, 72.0] | 70.0 |  |  |  |",
        "| `less`: the less | **63.1** [55.0, 72.0] | 70.0 | `all` | -2.0 [-5.0, +1.0] | 0.250 |",
        "| `other`: the other | **63.1** [55.0, 72.0] | 70.0 | `less` | -2.0 [-5.0, +1.0] | 0.250 |",
    ]


def test_a_shortcut_s_row_holds_both_figures_and_the_difference(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "recipe.json").write_text(json.dumps({"name": "r"}))
    price = {
        "shortcut": "validation on test",
        "first": {"UA": 0.9},
        "second": {"UA": 0.95},
        "difference": {"UA": {"value": 0.05, "low": 0.01, "high": 0.08}},
        "p": {"UA": 0.001},
    }
    (tmp_path / "one" / "cheat_cost.json").write_text(json.dumps({"prices": [price]}))
    header, rule, row = tables.shortcuts(tmp_path).splitlines()
    assert header.count("|") == rule.count("|") == row.count("|")
    assert row == "| `r` | validation on test | 90.0 | 95.0 | +5.0 [+1.0, +8.0] | 0.001 |"


@pytest.mark.parametrize("study", STUDIES, ids=lambda path: path.name)
def test_a_committed_study_is_what_its_members_answers_give(study: Path) -> None:
    """The vote of the committed members, counted here by hand, and the comparison of the committed votes."""
    votes = {}
    for name in json.loads((study / "study.json").read_text())["variants"]:
        folder = study / name
        stored = json.loads((folder / "ensemble.json").read_text())
        members = [read_csv(folder / "members" / f"{m['name']}.csv") for m in stored["members"]]
        votes[name] = vote = read_csv(folder / "predictions.csv")
        assert len(members) == 7
        for member, figures in zip(members, stored["members"], strict=True):
            assert member.ids == vote.ids
            assert not set(member.speakers) & {*figures["train"], *figures["dev"]}
            assert evaluate(member, n_bootstrap=100).ua.value == pytest.approx(figures["UA"], abs=1e-9)
        ballots = np.stack([m.predicted for m in members])
        counts = np.stack([(ballots == k).sum(axis=0) for k in range(len(vote.labels))], axis=1)
        probs = np.mean([m.probs for m in members], axis=0)
        decided = np.where(counts == counts.max(axis=1, keepdims=True), probs, -1).argmax(axis=1)
        assert (decided == vote.predicted).all()
        same(
            evaluate(vote).to_dict()["measures"],
            json.loads((folder / "metrics.json").read_text())["evaluation"]["measures"],
            name,
        )
    same(
        json.loads(json.dumps(compare_runs(votes).to_dict()["pairs"])),
        json.loads((study / "comparison.json").read_text())["pairs"],
        study.name,
    )


@pytest.mark.parametrize("study", ABLATIONS, ids=lambda path: path.name)
def test_a_committed_ablation_is_what_its_variants_answers_give(study: Path) -> None:
    names = json.loads((study / "study.json").read_text())["variants"]
    answers = {name: read_csv(study / name / "predictions.csv") for name in names}
    pairs = {
        (p["first"], p["second"]): p for p in json.loads((study / "comparison.json").read_text())["pairs"]
    }
    against = tables.AGAINST.get(study.name, {})
    assert {*against, *against.values()} <= {*names}
    for name, vote in answers.items():
        figures = json.loads((study / name / "metrics.json").read_text())["evaluation"]["measures"]
        same(evaluate(vote).to_dict()["measures"], figures, name)
        other = against.get(name, names[0])
        if other != name:
            found, stored = compare(answers[other], vote), pairs[other, name]
            for key in ("value", "low", "high"):
                expected = stored["difference"]["UA"][key]
                assert getattr(found.difference["UA"], key) == pytest.approx(expected, abs=1e-9)
            assert found.p["UA"] == pytest.approx(stored["p"]["UA"], abs=1e-9)


@pytest.mark.parametrize("run", CHEATS, ids=lambda path: path.name)
def test_committed_prices_are_what_the_committed_predictions_give(run: Path) -> None:
    for price in json.loads((run / "cheat_cost.json").read_text())["prices"]:
        arms = [read_csv(run / price[key] / "predictions.csv") for key in ("without", "with")]
        found = compare(*arms)
        assert found.difference["UA"].value == pytest.approx(price["difference"]["UA"]["value"], abs=1e-9)
        assert found.difference["UA"].low == pytest.approx(price["difference"]["UA"]["low"], abs=1e-9)
        assert found.p["UA"] == pytest.approx(price["p"]["UA"], abs=1e-9)


def test_the_readme_s_training_steps_are_those_that_were_measured() -> None:
    file = ROOT / "results" / "benchmarks" / "training-step.json"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    measured = json.loads(file.read_text(encoding="utf-8"))["rows"]
    assert len(measured) == 5
    for row in measured:
        assert f"| {row['core_ms_per_segment']:.1f} | {row['ratio']:.1f}x |" in readme


def test_what_is_undefined_is_a_dash() -> None:
    assert [tables.percent(x) for x in (0.12345, None, float("nan"), 1.0)] == ["12.3", "-", "-", "100.0"]


def test_the_comparison_of_figures_can_fail() -> None:
    same({"a": [1.0, "x", None]}, {"a": [1.0 + 1e-12, "x", None]}, "")
    for other in ({"a": [1.001, "x", None]}, {"a": [1.0, "y", None]}, {"a": [1.0, "x"]}, {"b": []}):
        with pytest.raises(AssertionError):
            same({"a": [1.0, "x", None]}, other, "")


def test_adapted_figures_have_a_row_of_their_own_after_the_plain_ones() -> None:
    rows = [line for line in tables.table(ROOT / "results").splitlines() if "`ravdess-adapted`" in line]
    assert len(rows) == 2
    assert [("transductive" in row) for row in rows] == [False, True]
    for row, file in zip(rows, ("predictions.csv", "predictions_adapted.csv"), strict=True):
        evaluation = evaluate(read_csv(ROOT / "results/ravdess-adapted" / file))
        assert f"**{100 * evaluation.ua.value:.1f}**" in row


def test_what_the_server_holds_is_what_the_benchmarks_wrote(tmp_path: Path) -> None:
    assert tables.serving(tmp_path) == ""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    for n in (200, 50):
        streams = {
            "streams": n,
            "seconds": 300.0,
            "cores": 2,
            "late p50, ms": 120.4,
            "late p99, ms": 340.6,
            "server's share of a core": 0.514,
            "generator's share of a core": 0.05,
        }
        (folder / f"streams-{n}.json").write_text(json.dumps(streams))
    http = {
        "unloaded p50, ms": 38.4,
        "peak, requests/s": 33.04,
        "at 70 % of peak: p99, ms": 85.3,
        "at 70 % of peak: p99 over unloaded p50": 2.222,
        "at 70 % of peak, evenly: p99, ms": 61.4,
        "at 70 % of peak, evenly: p99 over unloaded p50": 1.6,
        "overload: goodput over peak, %": 79.95,
        "overload: refusals p50, ms": 45.0,
        "overload: refusals p99, ms": 60.3,
        "overload: without an answer": 0,
    }
    (folder / "server.json").write_text(json.dumps(http))
    stops = {"SIGTERM: times": 15, "SIGTERM: answered": 421, "SIGTERM: accepted and lost": 0}
    (folder / "sigterm.json").write_text(json.dumps(stops))
    memory = {"memory: requests": 10000, "memory: at first, MB": 554.46, "memory: grown, MB": 2.572}
    (folder / "memory.json").write_text(json.dumps(memory))
    header, rule, *rows = tables.serving(tmp_path).splitlines()
    assert {line.count("|") for line in (header, rule, *rows)} == {3}
    assert rows[0] == "| 50 live streams for 300 s, a result a second: late, p50 and p99, ms | 120 and 341 |"
    assert rows[1] == "| the same: cores of 2 taken by the server and by the load generator | 0.51 and 0.05 |"
    assert rows[2].startswith("| 200 live streams")
    assert [row.split("|")[2].strip() for row in rows[4:]] == [
        "38",
        "33.0",
        "85 and 2.22",
        "61 and 1.60",
        "80.0",
        "45 and 60",
        "0",
        "421",
        "0",
        "554 and 2.6",
    ]
