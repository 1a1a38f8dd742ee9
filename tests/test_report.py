"""The page of a run says what evaluate() says, and everything in it can be checked against a second truth."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import report_runs
from html_tree import Tree, check_self_contained, section, table
from voxaffect import report as reports
from voxaffect.evaluation import Evaluation, evaluate
from voxaffect.predictions import Predictions, read_csv, read_run
from voxaffect.report.source import read_source
from voxaffect.report.speakers import chance_spread

RESULTS = Path(__file__).resolve().parents[1] / "results"
DRAWS = 200
HEADLINE = "WA and UA in percent"


def percent(x: float, digits: int = 1) -> str:
    return f"{100 * x:.{digits}f}"


def span(m: object) -> str:
    return f"{percent(m.low)} to {percent(m.high)}"  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report_runs.run(tmp_path_factory.mktemp("report") / "tiny")


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return reports.report(run, n_bootstrap=DRAWS)


@pytest.fixture(scope="module")
def predictions(run: Path) -> Predictions:
    return read_run(run)


@pytest.fixture(scope="module")
def truth(predictions: Predictions) -> Evaluation:
    return evaluate(predictions, n_bootstrap=DRAWS)


def test_the_page_is_whole_in_itself(page: str) -> None:
    check_self_contained(page)
    assert "<title>A tiny run</title>" in page


def test_the_headline_is_that_of_the_evaluation(page: str, truth: Evaluation) -> None:
    assert table(page, HEADLINE)[1:] == [
        [name, percent(m.value), span(m), percent(truth.baseline.measures[name])]
        for name, m in ((n, truth.measures[n]) for n in ("WA", "UA", "macro-F1"))
    ]
    assert "over speakers" in page
    right = sum(row[i] for i, row in enumerate(truth.confusion))
    assert f"Right: {right:g} of {truth.n_utterances}." in page


def test_each_seed_has_its_row(page: str, truth: Evaluation) -> None:
    rows = table(page, "Repetitions")
    for row, s in zip(rows[1:], truth.seeds, strict=False):
        assert row == [f"seed {s.seed}", *(percent(s.measures[n]) for n in ("WA", "UA", "macro-F1"))]
    std, low, high = truth.spread("UA")
    assert [row[2] for row in rows[-4:]] == [
        percent(truth.ua.value),
        percent(std),
        percent(low),
        percent(high),
    ]


def test_what_to_bear_in_mind_is_what_the_evaluation_notices(tmp_path: Path) -> None:
    few = reports.report(report_runs.run(tmp_path / "few", n_speakers=4), n_bootstrap=DRAWS)
    assert "4 speakers are fewer than 5: the intervals are not reliable" in few


def test_guesses_without_audio_stand_beside_the_score(page: str, truth: Evaluation) -> None:
    rows = table(page, "Guesses without audio")
    assert rows[1] == ["majority class", "31.0", "25.0", "10.0", "100"]
    assert rows[2] == ["text", "33.4", "27.1", "18.7", "98"]
    assert rows[3][:3] == ["this system", percent(truth.wa.value), percent(truth.ua.value)]
    assert "Left out: scenario: no utterance has one." in page


def test_without_a_baselines_file_the_most_frequent_class_stands_in(tmp_path: Path) -> None:
    page = reports.report(report_runs.run(tmp_path / "run", utterances=False), n_bootstrap=DRAWS)
    assert table(page, "Guesses without audio")[1] == ["always “angry”", "25.0", "25.0", "10.0", "100"]
    assert "it has no baselines.json" in page


def test_the_protocol_is_said_in_words(page: str, run: Path) -> None:
    words = section(page, "Protocol")
    assert "120 test utterances of 6 speakers; EmoDB (emodb)" in words
    assert (
        "2 folds; speakers of each: 2 train, 1 select the epoch or grid point, 3 test; nobody has two"
        in words
    )
    assert "1, 2; figures are means over them" in words
    assert "voxaffect train &#x27;a recipe.toml&#x27; -o runs/tiny" in words
    assert "0123456789abcdef0123456789abcdef01234567" in words
    assert json.loads((run / "recipe.json").read_text())["digest"] in words
    assert "angry 30, happy 30, neutral 30, sad 30" in words


def test_the_confusion_has_row_percent_and_counts(page: str, truth: Evaluation) -> None:
    rows = table(page, "All classes")
    assert rows[0] == ["", *truth.labels]
    for row, label, counts in zip(rows[1:], truth.labels, truth.confusion, strict=True):
        n = sum(counts)
        assert row == [label, *(f"{100 * x / n:.0f}{x:.{0 if x.is_integer() else 1}f}" for x in counts)]


def test_each_class_has_its_figures(page: str, truth: Evaluation) -> None:
    assert table(page, "By class")[1:] == [
        [c.label, str(c.n), percent(c.recall), percent(c.precision), percent(c.f1)] for c in truth.classes
    ]


def test_the_worst_speaker_is_named_and_all_are_listed(page: str, truth: Evaluation) -> None:
    worst = truth.worst_speaker
    assert worst is not None
    assert f"The worst heard is <strong>{worst.name}</strong>: UA {percent(worst.ua)}\u00a0%" in page
    ranked = sorted(truth.speakers, key=lambda s: (s.ua, s.wa, s.name))
    genders = {name: "female" if name[-1] in "135" else "male" for name in (s.name for s in ranked)}
    assert table(page, "Speakers, worst first")[1:] == [
        [s.name.partition("/")[2], genders[s.name], str(s.n), percent(s.ua), percent(s.wa)] for s in ranked
    ]


def test_of_very_many_speakers_the_worst_are_shown(tmp_path: Path) -> None:
    speakers = {f"c/{i:03d}": 4 for i in range(70)}
    report_runs.write_csv(report_runs.predict(speakers, 0.7), tmp_path / "many.csv")
    rows = table(
        reports.report(tmp_path / "many.csv", n_bootstrap=DRAWS),
        "Speakers, worst first, % (the worst 30 of 70)",
    )
    assert len(rows) == 31


def test_genders_are_those_of_the_metadata_with_intervals(page: str, predictions: Predictions) -> None:
    genders = {
        i: "female" if s[-1] in "135" else "male"
        for i, s in zip(predictions.ids, predictions.speakers, strict=True)
    }
    groups = evaluate(predictions, groups=genders, n_bootstrap=DRAWS).groups
    assert table(page, "By gender")[1:] == [
        [g.name, "3", "60", percent(g.ua), f"{span(g.interval)}*", percent(g.wa)] for g in groups
    ]
    gap = abs(groups[0].ua - groups[1].ua)
    assert f"The groups are {percent(gap)} points of UA apart." in page


def test_chance_spreads_speakers_by_the_binomial_formula(run: Path, page: str) -> None:
    system = read_source(run, n_bootstrap=DRAWS).systems[0]
    recall = np.array([c.recall for c in system.evaluation.classes])
    rng = np.random.default_rng(0)
    drawn = (
        rng.binomial(5, recall, size=(20000, 6, 4)) / 5
    )  # six speakers, five utterances of each of four classes
    expected = float(np.sqrt(drawn.mean(axis=2).var(axis=1, ddof=1).mean()))
    assert chance_spread(system) == pytest.approx(expected, rel=0.02)  # 20 000 draws: about half a percent
    assert f"chance alone would make {percent(chance_spread(system))}, if all were heard alike" in page


def test_a_single_gender_is_said_in_a_sentence(tmp_path: Path) -> None:
    run = report_runs.run(tmp_path / "run")
    text = (run / "utterances.csv").read_text()
    (run / "utterances.csv").write_text(text.replace("female", "male"))
    assert "All speakers are male." in reports.report(run, n_bootstrap=DRAWS)


def test_several_corpora_are_told_apart(tmp_path: Path) -> None:
    report_runs.write_csv(report_runs.predict({"a/1": 8, "a/2": 8, "b/1": 8}, 0.7), tmp_path / "two.csv")
    page = reports.report(tmp_path / "two.csv", n_bootstrap=DRAWS)
    assert [row[:3] for row in table(page, "By corpus")[1:]] == [["a", "2", "16"], ["b", "1", "8"]]


def test_the_reliability_is_that_of_the_evaluation(page: str, truth: Evaluation) -> None:
    assert truth.ece is not None
    assert f"Calibration error (ECE): {percent(truth.ece)}\u00a0%" in page
    assert [[row[1], row[2], row[3]] for row in table(page, "Bins of confidence")[1:]] == [
        [str(b.n), percent(b.confidence), percent(b.accuracy)] for b in truth.reliability
    ]


def test_the_most_confident_mistakes_come_first(page: str, predictions: Predictions) -> None:
    wrong = np.flatnonzero(predictions.predicted != predictions.truth)
    by_id: dict[str, float] = {}
    for i in wrong:
        by_id[predictions.ids[i]] = max(by_id.get(predictions.ids[i], 0), float(predictions.confidence[i]))
    expected = sorted(by_id, key=lambda u: (-by_id[u], u))[:15]
    rows = table(page, f"The 15 most confident of {len(by_id)} utterances heard wrong")[1:]
    assert [row[0] for row in rows] == expected
    assert [row[3] for row in rows] == [percent(by_id[u]) for u in expected]
    for row in rows:
        at = [i for i in wrong if predictions.ids[i] == row[0]]
        assert row[1] == predictions.labels[predictions.truth[at[0]]]
        assert row[-1] == f"{len(at)} of 2"


def test_the_audit_finds_what_test_utterances_share(page: str) -> None:
    rows = {row[0]: row[2:] for row in table(page, "What test utterances share")[1:]}
    assert rows["speaker"] == ["none of 240", "none of 240"]
    assert rows["text"] == ["100.0 % of 240, 4 of 4 trainings"] * 2  # five texts in turn
    # sessions: 01 02, 03 04 05, 06. When 01 02 03 test, 05 06 train, 04 selects; when 04 05 06 test, 02 03 and 01
    assert rows["session"] == ["50.0 % of 240, 4 of 4 trainings", "16.7 % of 240, 2 of 4 trainings"]
    assert rows["take"] == ["none of 240", "none of 240"]
    assert "For example: session “emodb / s1”; text “emodb / text 0”." in page
    assert "Not known: dialogue (utterances.csv would say)." in page


def test_an_overlap_of_speakers_is_found_and_stamps_the_page(tmp_path: Path) -> None:
    run = report_runs.run(tmp_path / "run")
    folds = json.loads((run / "folds.json").read_text())
    folds[0]["train"].append(folds[0]["test"][0])
    (run / "folds.json").write_text(json.dumps(folds))
    page = reports.report(run, n_bootstrap=DRAWS)
    rows = {row[0]: row[2:] for row in table(page, "OPTIMISTIC What test utterances share")[1:]}
    assert rows["speaker"] == ["8.3 % of 240, 1 of 4 trainings", "none of 240"]  # 20 of 240
    assert "These figures are better than honest ones would be: test speakers are trained on." in page


def test_folds_have_their_figures_and_their_mean(page: str, truth: Evaluation) -> None:
    rows = table(page, "Folds")
    for row, fold in zip(rows[1:], truth.folds, strict=False):
        assert [row[0], *row[4:]] == [fold.name, str(fold.n), percent(fold.wa), percent(fold.ua)]
    means = [percent(float(np.mean([getattr(f, m) for f in truth.folds]))) for m in ("wa", "ua")]
    assert rows[-1][-2:] == means


def test_each_fold_has_its_training_curve(page: str) -> None:
    words = section(page, "Training")
    assert words.count("<svg") == 1 + 2
    assert "group1" in words and "group2" in words


def test_printed_figures_of_other_protocols_are_left_out_with_a_sentence(page: str) -> None:
    words = section(page, "Beside printed figures")
    assert "No printed figures are shown" in words and "<table" not in words


def test_the_same_run_gives_the_same_bytes(run: Path, page: str) -> None:
    assert reports.report(run, n_bootstrap=DRAWS) == page


@pytest.mark.parametrize("fold", ["OPTIMISTIC validation-on-test: ", "OPTIMISTIC random-split: "])
def test_optimistic_folds_stamp_every_headline_table_and_figure(tmp_path: Path, fold: str) -> None:
    page = reports.report(report_runs.run(tmp_path / "run", fold=fold), n_bootstrap=DRAWS)
    tree = check_self_contained(page)
    for tag in ("title", "h1", "h2", "h3", "figcaption"):
        assert all(words.startswith("OPTIMISTIC") for words in tree.texts[tag]), tag
    count = {tag: sum(t == tag for t, _ in tree.elements) for tag in ("figure", "figcaption", "table")}
    assert count["figure"] == count["figcaption"] > count["table"] > 8
    reason = fold.removeprefix("OPTIMISTIC ").rstrip(": ").replace("-", " ")
    assert f"These figures are better than honest ones would be: {reason}." in page
    assert [row[0] for row in table(page, "OPTIMISTIC Folds")[1:3]] == ["group1", "group2"]


def test_honest_folds_have_no_stamp(page: str) -> None:
    assert "OPTIMISTIC" not in page


def test_hostile_names_are_shown_and_never_run(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>"
    run = report_runs.run(tmp_path / "run", title=f"Title {bad}", fold=bad)
    for name in ("predictions.csv", "utterances.csv"):
        text = (run / name).read_text().replace("emodb/01", f"emodb/01{bad}").replace("female", f"f{bad}")
        (run / name).write_text(text.replace("text 1", f"text {bad}"))
    environment = {"command": ["voxaffect", bad], "commit": bad, "versions": {bad: bad}, "started": bad}
    (run / "environment.json").write_text(json.dumps(environment))
    page = reports.report(run, n_bootstrap=DRAWS)
    tree = check_self_contained(page)
    assert f"Title {bad}" in tree.texts["h1"][0]
    assert any(bad in cell for cell in tree.texts["th"])
    assert bad in tree.texts["code"][1] or bad in tree.texts["code"][2]


def test_hostile_labels_are_shown_and_never_run(tmp_path: Path) -> None:
    labels = ("<b>", "<script>x</script>", "\"'&", "ok")
    p = report_runs.predict({"c/1": 20, "c/2": 20}, 0.7, labels=tuple(sorted(labels)))
    report_runs.write_csv(p, tmp_path / "hostile.csv")
    tree = check_self_contained(reports.report(tmp_path / "hostile.csv", n_bootstrap=DRAWS))
    assert "script" not in {tag for tag, _ in tree.elements}
    assert set(labels) <= set(tree.texts["th"])


def test_anyone_s_predictions_are_reported_without_speakers_folds_or_probabilities(tmp_path: Path) -> None:
    (tmp_path / "theirs.csv").write_text("id;truth;prediction\n1;ang;ang\n2;sad;ang\n3;sad;sad\n4;ang;ang\n")
    page = reports.report(tmp_path / "theirs.csv", n_bootstrap=DRAWS)
    check_self_contained(page)
    truth = evaluate(read_csv(tmp_path / "theirs.csv"), n_bootstrap=DRAWS)
    assert table(page, HEADLINE)[1][:3] == ["WA", "75.0", span(truth.wa)]
    assert "<h1>theirs</h1>" in page
    for words in (
        "with 95\u00a0% intervals over utterances",
        "speakers are unknown",
        "The predictions do not say who speaks.",
        "Nothing says which gender the speakers have",
        "The predictions came without probabilities.",
        "no probabilities, so no mistake is more confident than another",
        "there is no folds.json",
    ):
        assert words in page, words
    assert "<h2>Training</h2>" not in page


@pytest.mark.parametrize(
    "absent",
    [
        "recipe.json",
        "environment.json",
        "folds.json",
        "metrics.json",
        "metrics.jsonl",
        "baselines.json",
        "utterances.csv",
    ],
)
def test_every_file_but_the_predictions_can_be_absent(tmp_path: Path, absent: str) -> None:
    run = report_runs.run(tmp_path / "run")
    (run / absent).unlink()
    page = reports.report(run, n_bootstrap=DRAWS)
    check_self_contained(page)
    assert table(page, HEADLINE)[1][0] == "WA"


def test_without_a_recipe_the_title_is_that_of_the_metrics_or_the_folder(tmp_path: Path) -> None:
    run = report_runs.run(tmp_path / "folder")
    (run / "recipe.json").unlink()
    assert "<h1>tiny</h1>" in reports.report(run, n_bootstrap=DRAWS)
    (run / "metrics.json").unlink()
    assert "<h1>folder</h1>" in reports.report(run, n_bootstrap=DRAWS)


@pytest.mark.parametrize("name", ["emodb-whisper", "ravdess-whisper", "bundled"])
def test_the_project_s_own_results_are_reported_as_they_were_measured(name: str) -> None:
    page = reports.report(RESULTS / name)
    check_self_contained(page)
    recorded = json.loads((RESULTS / name / "metrics.json").read_text())["evaluation"]["measures"]
    rows = table(page, HEADLINE)[1:]
    assert [row[1] for row in rows] == [percent(recorded[n]["value"]) for n in ("WA", "UA", "macro-F1")]
    assert rows[1][2] == f"{percent(recorded['UA']['low'])} to {percent(recorded['UA']['high'])}"
    assert json.loads((RESULTS / name / "environment.json").read_text())["commit"] in page
    assert json.loads((RESULTS / name / "recipe.json").read_text())["digest"] in page  # as it was then


def test_the_headings_follow_each_other_without_a_gap(page: str) -> None:
    levels = [
        int(tag[1]) for tag, _ in Tree(page).elements if len(tag) == 2 and tag[0] == "h" and tag[1].isdigit()
    ]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
