"""Runs side by side: on what they share, every pair tested, p corrected over the pairs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments import predictions, write_run
from voxaffect.cli import main
from voxaffect.comparison import compare_runs
from voxaffect.errors import CorpusError, ExitCode, UsageError
from voxaffect.evaluation import evaluate
from voxaffect.predictions import Predictions
from voxaffect.significance import compare, holm


def three() -> dict[str, Predictions]:
    return {"cnn": predictions(0), "vit": predictions(1), "both": predictions(2, skill=2.5)}


def test_each_pair_gets_the_tests_of_two_systems() -> None:
    runs = three()
    c = compare_runs(runs, n_bootstrap=200)
    assert [(p.first, p.second) for p in c.pairs] == [("cnn", "vit"), ("cnn", "both"), ("vit", "both")]
    for p in c.pairs:
        assert p.tests == compare(runs[p.first], runs[p.second], n_bootstrap=200)
    for name, e in c.evaluations.items():
        assert e == evaluate(runs[name], n_bootstrap=200)
    assert c.shares_all


def test_p_is_corrected_over_the_pairs_for_each_measure() -> None:
    c = compare_runs(three(), n_bootstrap=200)
    for name in ("UA", "WA", "macro-F1"):
        assert [p.p_holm[name] for p in c.pairs] == holm([p.tests.p[name] for p in c.pairs])
    assert [p.p_holm["mcnemar"] for p in c.pairs] == holm([p.tests.mcnemar.p for p in c.pairs])
    two = compare_runs({name: three()[name] for name in ("cnn", "vit")}, n_bootstrap=200)
    assert two.pairs[0].p_holm["UA"] == two.pairs[0].tests.p["UA"]
    assert "Holm" not in two.render()


def test_only_shared_utterances_count_and_that_is_said() -> None:
    runs = three()
    runs["vit"] = runs["vit"].select(range(50))
    runs["both"] = runs["both"].select(range(20, 60))
    c = compare_runs(runs, n_bootstrap=200)
    assert (c.n_shared, c.shares_all) == (30, False)
    assert {e.n_utterances for e in c.evaluations.values()} == {30}
    assert {p.tests.n_shared for p in c.pairs} == {30}
    assert c.render().startswith(
        "  3 runs on 30 utterances that all of them predict: shared only (of 60 of cnn, 50 of vit, 40 of both)"
    )


def test_optimistic_runs_stamp_every_figure() -> None:
    runs = three()
    runs["vit"] = replace(runs["vit"], folds=("OPTIMISTIC random-split: group1",) * 60)
    c = compare_runs(runs, n_bootstrap=200)
    lines = c.render().split("\n")
    assert "  OPTIMISTIC: vit (random-split)" in lines
    assert all("OPTIMISTIC" in line for line in lines if any(ch.isdigit() for ch in line))
    assert [p.tests.optimistic for p in c.pairs] == [("", "random-split"), ("", ""), ("random-split", "")]


def test_runs_that_share_nothing_are_refused() -> None:
    a = predictions(0)
    b = replace(a, ids=tuple(f"d/{i}" for i in range(60)))
    with pytest.raises(
        CorpusError, match="no utterance is in all 2 runs; first ids: 'c/000' in a, 'd/0' in b"
    ):
        compare_runs({"a": a, "b": b})
    with pytest.raises(UsageError, match="a comparison needs two runs or more, got 1"):
        compare_runs({"a": a})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, p in three().items():
        write_run(tmp_path / name, p)
    return tmp_path


def test_the_command_prints_figures_confusions_and_tests(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["compare", *(str(folder / name) for name in ("cnn", "vit", "both")), "--bootstrap", "200"]
    assert main(words) == ExitCode.OK
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out == compare_runs(three(), n_bootstrap=200).render() + "\n"
    assert "  3 runs on 60 utterances\n" in said.out
    assert "cnn, % of the row" in said.out
    assert "  vit against cnn\n" in said.out
    assert said.out.count("exact McNemar p = ") == 3
    assert said.out.count("    Holm: p = UA ") == 3


def test_the_command_prints_json_and_draws(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = folder / "both.png"
    words = ["compare", str(folder / "cnn"), str(folder / "vit" / "predictions.csv"), "--json"]
    assert main([*words, "--plot", str(picture)]) == ExitCode.OK
    table = json.loads(capsys.readouterr().out)
    assert list(table) == ["schema", "n_shared", "runs", "pairs"]
    assert table["schema"] == "voxaffect.comparison/1"
    assert [r["name"] for r in table["runs"]] == ["cnn", "vit"]
    assert table["runs"][0]["evaluation"]["measures"]["UA"]["n_clusters"] == 6
    assert set(table["pairs"][0]) == {
        *("first", "second", "n_shared", "n_first", "n_second"),
        *("difference", "p", "mcnemar", "speakers", "optimistic", "p_holm"),
    }
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_confusions_that_do_not_fit_stand_below_each_other() -> None:
    runs = {f"run {i}": predictions(i) for i in range(5)}
    lines = compare_runs(runs, n_bootstrap=200).render().split("\n")
    heads = [line.count("% of the row") for line in lines if "% of the row" in line]
    assert sum(heads) == 5
    assert len(heads) > 1
    assert max(map(len, lines)) <= 122


def test_the_command_refuses_one_run_and_names_what_is_no_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(folder / "cnn")]) == ExitCode.USAGE
    assert "one_run" in capsys.readouterr().err
    assert main(["compare", str(folder / "cnn"), str(folder / "cnn")]) == ExitCode.USAGE
    assert "same_run" in capsys.readouterr().err
    assert main(["compare", str(folder / "cnn"), str(folder / "gone")]) == ExitCode.ARTEFACT
    assert f"{folder / 'gone'}: no_predictions" in capsys.readouterr().err
    assert main(["compare", str(folder / "cnn"), str(folder / "vit"), "--bootstrap", "9"]) == ExitCode.USAGE
    assert "an interval needs at least 100 draws" in capsys.readouterr().err
