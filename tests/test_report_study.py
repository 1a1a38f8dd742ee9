"""The page of an ensemble and of a study: members, their spread, the gain of the vote, systems side by side."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import report_runs
from html_tree import check_self_contained, section, table
from voxaffect import metrics
from voxaffect import report as reports
from voxaffect.dispersion import dispersion
from voxaffect.evaluation import evaluate
from voxaffect.predictions import Predictions, read_csv, read_run
from voxaffect.recipe import DataOptions, Recipe, recipe_to_json
from voxaffect.significance import compare

DRAWS = 200
MEMBERS = [f"m{i}" for i in range(1, 8)]


def percent(x: float, digits: int = 1) -> str:
    return f"{100 * x:.{digits}f}"


def points(x: float) -> str:
    return f"{100 * x:+.1f}".replace("-", "−")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = report_runs.study(tmp_path_factory.mktemp("report") / "study")
    report_runs.describe(folder / "utterances.csv", read_run(folder / "cnn"))
    return folder


@pytest.fixture(scope="module")
def page(study: Path) -> str:
    return reports.report(study, n_bootstrap=DRAWS)


@pytest.fixture
def ensemble(study: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(study / "vit", tmp_path / "vit"))


def members(folder: Path) -> dict[str, Predictions]:
    return {name: read_csv(folder / "members" / f"{name}.csv") for name in MEMBERS}


def figures(p: Predictions) -> list[str]:
    matrix = metrics.confusion(p.truth, p.predicted, len(p.labels))
    return [percent(float(f(matrix))) for f in (metrics.wa, metrics.ua, metrics.macro_f1)]


def test_the_page_is_whole_in_itself(page: str) -> None:
    check_self_contained(page)
    assert "<h1>The study, in form</h1>" in page


def test_the_headline_has_a_row_for_each_system_and_the_guess(page: str, study: Path) -> None:
    rows = table(page, "WA and UA in percent")
    for row, name in zip(rows[1:], ("cnn", "vit"), strict=False):
        e = evaluate(read_run(study / name), n_bootstrap=DRAWS)
        right = int(sum(r[i] for i, r in enumerate(e.confusion)))
        spans = [f"{percent(m.low)} to {percent(m.high)}" for m in (e.wa, e.ua)]
        values = [percent(m.value) for m in (e.wa, e.ua, e.macro_f1)]
        assert row == [name, values[0], spans[0], values[1], spans[1], values[2], f"{right} of 590"]
    assert rows[-1][:2] == ["always “happy”", "33.9"]


def test_what_all_systems_share_is_said_once(page: str) -> None:
    assert page.count("one speaker only: intervals resample utterances") == 1
    assert page.count("One speaker is tested, iemocap/Ses05F (female)") == 1
    assert page.count("What test utterances share") == 1
    assert section(page, "Protocol").count("590 test utterances") == 1


def test_systems_are_compared_in_pairs(page: str, study: Path) -> None:
    c = compare(read_run(study / "cnn"), read_run(study / "vit"), n_bootstrap=DRAWS)
    rows = table(page, "cnn and vit on the same utterances")
    for row, name in zip(rows[1:], ("WA", "UA", "macro-F1"), strict=True):
        d = c.difference[name]
        span = f"{points(d.low)} to {points(d.high)}"
        assert row[:5] == [name, percent(c.first[name]), percent(c.second[name]), points(d.value), span]
    m = c.mcnemar
    words = section(page, "Side by side")
    assert f"{m.only_first} are right in cnn alone and {m.only_second} in vit alone" in words
    assert "cannot be told apart" in words or "is better on these utterances" in words


def test_a_clear_difference_is_called_one(tmp_path: Path) -> None:
    members = {
        name: report_runs.predict({"c/1": 60, "c/2": 60}, a, rng=i)
        for i, (name, a) in enumerate(ROUGH.items())
    }
    trained = {name: (["c/3"], ["c/4"]) for name in members}
    study = tmp_path / "study"
    for variant, names in (("bad", ("a", "b")), ("good", ("c", "d"))):
        report_runs.ensemble(study / variant, {n: members[n] for n in names}, trained)
    report_runs.write_json(
        study / "study.json", {"schema": "voxaffect.study/1", "name": "s", "variants": ["bad", "good"]}
    )
    page = reports.report(study, n_bootstrap=DRAWS)
    assert "good is better on these utterances." in section(page, "Side by side")
    assert "<h1>s</h1>" in page


ROUGH = {"a": 0.3, "b": 0.32, "c": 0.9, "d": 0.92}


@pytest.mark.parametrize(("which", "name"), [(0, "cnn"), (1, "vit")])
def test_members_are_listed_with_who_trained_them(page: str, study: Path, which: int, name: str) -> None:
    rows = table(page, "Members and the speakers behind them", which)
    recorded = json.loads((study / name / "ensemble.json").read_text())["members"]
    for row, (member, p), m in zip(rows[1:8], members(study / name).items(), recorded, strict=True):
        trained = " ".join(s.partition("/")[2] for s in m["train"])
        assert row == [member, trained, m["dev"][0].partition("/")[2], *figures(p)]
    wa = np.array([m["WA"] for m in recorded])
    expected = [wa.mean(), wa.std(ddof=1), np.ptp(wa), evaluate(read_run(study / name)).wa.value]
    assert [row[3] for row in rows[8:]] == [percent(float(x)) for x in expected]
    assert rows[-1][0] == "majority vote"


def test_the_spread_stands_beside_what_chance_makes(page: str, study: Path) -> None:
    every = list(members(study / "cnn").values())
    found = dispersion(every[0].truth, np.stack([p.predicted for p in every]), 4)
    rows = table(page, "Spread over the members")
    for row, (name, d) in zip(rows[1:], found.items(), strict=True):
        assert row[:6] == [name, *(percent(x, 2) for x in (d.mean, d.std, d.high - d.low, d.chance, d.fresh))]
    assert "differ by more than chance" in section(page, "Members and their vote")


def test_members_that_truly_differ_are_said_to(tmp_path: Path) -> None:
    made = {
        f"m{i}": report_runs.predict({"c/1": 300, "c/2": 300}, a, rng=i)
        for i, a in enumerate((0.4, 0.6, 0.8))
    }
    trained = {name: ([f"c/{i + 3}"], ["c/9"]) for i, name in enumerate(made)}
    page = reports.report(report_runs.ensemble(tmp_path / "e", made, trained), n_bootstrap=DRAWS)
    words = section(page, "Members and their vote")
    assert (
        "these differ by more than chance by the speakers that trained them (p\u00a0&lt;\u00a00.001)" in words
    )


def test_the_gain_of_the_vote_is_that_of_the_ensemble(page: str, study: Path) -> None:
    gain = json.loads((study / "cnn" / "ensemble.json").read_text())["gain"]
    for row, name in zip(table(page, "What the vote gains")[1:], ("WA", "UA", "macro-F1"), strict=True):
        g = gain[name]
        assert row[:2] == [
            name,
            points(g["value"]).lstrip("+") if f"{100 * g['value']:.1f}" == "0.0" else points(g["value"]),
        ]
    m = gain["mcnemar"]
    assert f"median WA ({m['member']}) the vote alone is right on {m['only_vote']} utterances" in page


def test_how_many_agree_says_how_sure_the_vote_is(page: str, study: Path) -> None:
    vote, every = read_run(study / "cnn"), members(study / "cnn").values()
    agree = np.sum([p.predicted == vote.predicted for p in every], axis=0)
    rows = table(page, "How sure a vote is")[1:]
    assert sum(int(row[1]) for row in rows) == 590
    for row in rows:
        k = int(row[0].split()[0])
        right = float((vote.predicted == vote.truth)[agree == k].mean())
        assert row[1:] == [str((agree == k).sum()), percent(float((agree == k).mean())), percent(right)]


def test_members_stand_beside_their_vote_as_matrices(page: str, study: Path) -> None:
    for which, name in enumerate(("cnn", "vit")):
        every = [metrics.confusion(p.truth, p.predicted, 4) for p in members(study / name).values()]
        vote = read_run(study / name)
        matrix = metrics.confusion(vote.truth, vote.predicted, 4)
        of = {
            "the vote": (matrix, which),
            "mean of the members": (np.mean(every, axis=0), which),
            "m7": (every[6], which),
        }
        for caption, (expected, i) in of.items():
            first = table(page, caption, i)[1]
            counts = [round(float(x), 1) for x in expected[0]]
            shares = 100 * expected[0] / expected[0].sum()
            cells = [
                f"{s:.0f}{c:.{0 if c.is_integer() else 1}f}" for s, c in zip(shares, counts, strict=True)
            ]
            assert first == ["angry", *cells]


def test_of_very_many_members_only_the_mean_is_shown_as_a_matrix(tmp_path: Path) -> None:
    made = {f"m{i}": report_runs.predict({"c/1": 20}, 0.7, rng=i) for i in range(11)}
    folder = report_runs.ensemble(tmp_path / "e", made, {name: (["c/2"], ["c/3"]) for name in made})
    words = section(reports.report(folder, n_bootstrap=DRAWS), "What is taken for what")
    assert "mean of the members" in words and "m10" not in words


def test_the_printed_figures_stand_beside_ours_for_the_study_s_protocol(page: str, study: Path) -> None:
    rows = table(page, "IEMOCAP, four classes, 4:1:1 speakers")
    assert [row[1:] for row in rows[1:4]] == [
        ["printed", "62.54", "63.40", "369 of 590"],
        ["printed", "64.24", "62.21", "379 of 590"],
        ["printed", "61.53 to 64.75", "60.34 to 66.97", ""],
    ]
    ours = evaluate(read_run(study / "cnn"))
    assert rows[4][:4] == ["cnn", "ours", percent(ours.wa.value, 2), percent(ours.ua.value, 2)]
    wa = [
        float(metrics.wa(metrics.confusion(p.truth, p.predicted, 4))) for p in members(study / "cnn").values()
    ]
    assert rows[5][:3] == ["cnn, 7 single members", "ours", f"{percent(min(wa), 2)} to {percent(max(wa), 2)}"]
    # 2.704 standard deviations of sqrt(.6314 * .3686 / 590) = 1.986 points
    assert (
        "span 3.22 points of WA. As many equally good systems" in page
        and "would span 5.4 points on average" in page
    )


def test_an_ensemble_alone_is_reported_as_one_system(ensemble: Path) -> None:
    page = reports.report(ensemble, n_bootstrap=DRAWS)
    check_self_contained(page)
    assert "<h1>vit</h1>" in page and "<h2>Members and their vote</h2>" in page and "Side by side" not in page
    assert (
        "7 members; speakers of each: 4 train, 1 select the epoch or grid point, 1 test; nobody has two"
        in page
    )


def test_an_optimistic_vote_stamps_the_whole_study(study: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(study, tmp_path / "study"))
    edit(copy / "vit" / "ensemble.json", lambda e: e.update(optimistic=["validation-on-test"]))
    tree = check_self_contained(reports.report(copy, n_bootstrap=DRAWS))
    for tag in ("title", "h1", "h2", "h3", "h4", "figcaption"):
        assert all(words.startswith("OPTIMISTIC") for words in tree.texts.get(tag, [])), tag
    assert any("validation on test" in words for words in tree.texts["p"])


def test_what_sets_the_variants_apart_is_listed(study: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(study, tmp_path / "study"))
    for name, width in (("cnn", 16), ("vit", 32)):
        title = {"cnn": "The study, in form: cnn", "vit": "ViT"}[name]
        recipe = Recipe(
            "tiny", DataOptions(("iemocap",)), model={"width": width, "mfcc": {"kind": "bilstm"}}, title=title
        )
        (copy / name / "recipe.json").write_text(recipe_to_json(recipe))
    words = section(reports.report(copy, n_bootstrap=DRAWS), "Protocol")
    assert "<h3>cnn</h3>" in words and "<h3>ViT</h3>" in words  # a title of its own, else the variant's name
    own = [part for part in words.split("<h3>") if "Its own settings" in part]
    assert ["<code>model.width = 16</code>" in own[0], "<code>model.width = 32</code>" in own[1]] == [
        True,
        True,
    ]
    assert "bilstm</dd>" in words and "model.mfcc" not in words and "title = " not in words


def test_a_vote_without_a_mistake_is_reported(tmp_path: Path) -> None:
    made = {name: report_runs.predict({"c/1": 8, "c/2": 8}, 0.7, rng=i) for i, name in enumerate(("a", "b"))}
    made = {name: replace(p, probs=np.eye(4)[p.truth] * 0.97 + 0.0075) for name, p in made.items()}
    folder = report_runs.ensemble(tmp_path / "e", made, {name: (["c/3"], ["c/4"]) for name in made})
    page = reports.report(folder, n_bootstrap=DRAWS)
    check_self_contained(page)
    assert "e heard no utterance wrong." in page
    assert "these members do not differ by more than chance (p\u00a0=\u00a01.00)" in page


def test_members_that_nobody_can_vouch_for_are_named(ensemble: Path) -> None:
    edit(ensemble / "ensemble.json", lambda e: e.update(trusted=["m3"]))
    assert "never saw the test speakers: m3." in reports.report(ensemble, n_bootstrap=DRAWS)


def test_weights_have_a_column_where_they_were_fitted(ensemble: Path) -> None:
    def weigh(e: dict[str, Any]) -> None:
        e["vote"] = "weighted"
        e["members"][0]["weight"] = 0.4321

    edit(ensemble / "ensemble.json", weigh)
    rows = table(reports.report(ensemble, n_bootstrap=DRAWS), "Members and the speakers")
    assert rows[0][-1] == "weight" and rows[1][-1] == "0.43" and rows[-1][-1] == ""


def test_members_of_several_folds_say_how_many_speakers_they_had(ensemble: Path) -> None:
    def spread(e: dict[str, Any]) -> None:
        for m in e["members"]:
            m["folds"] = 5

    edit(ensemble / "ensemble.json", spread)
    page = reports.report(ensemble, n_bootstrap=DRAWS)
    assert table(page, "Members and the speakers")[1][1:3] == [
        "4 speakers over 5 folds",
        "1 speaker over 5 folds",
    ]
    assert "1 fold; speakers of it: 9 train or select some member, 1 test" in page


def test_members_runs_within_the_folder_give_their_training_curves(ensemble: Path) -> None:
    row = {"seed": 1, "fold": "Ses05F", "epoch": 1, "train_loss": 1.0, "dev_loss": 1.0, "dev_ua": 0.5}
    for name in ("m1", "m2"):
        place = ensemble / "runs" / name
        place.mkdir(parents=True)
        (place / "metrics.jsonl").write_text("".join(json.dumps({**row, "epoch": e}) + "\n" for e in (1, 2)))
    words = section(reports.report(ensemble, n_bootstrap=DRAWS), "Training")
    assert words.count("<svg") == 1 + 2 and "m1" in words and "m2" in words


def test_members_runs_elsewhere_are_not_looked_into(ensemble: Path) -> None:
    edit(ensemble / "ensemble.json", lambda e: e["members"][0].update(run="../m1"))
    (ensemble.parent / "m1").mkdir()
    (ensemble.parent / "m1" / "metrics.jsonl").write_text("not read")
    assert "<h2>Training</h2>" not in reports.report(ensemble, n_bootstrap=DRAWS)


def test_the_names_of_members_are_escaped(tmp_path: Path) -> None:
    bad = "<script>x</script>"
    made = {
        bad: report_runs.predict({"c/1": 20}, 0.7, rng=1),
        "b": report_runs.predict({"c/1": 20}, 0.6, rng=2),
    }
    folder = report_runs.ensemble(tmp_path / "e", made, {name: (["c/2"], ["c/3"]) for name in made})
    tree = check_self_contained(reports.report(folder, n_bootstrap=DRAWS))
    assert any(words == bad for words in tree.texts["th"])


def test_the_same_study_gives_the_same_bytes(study: Path, page: str) -> None:
    assert reports.report(study, n_bootstrap=DRAWS) == page


def edit(file: Path, change: Any) -> None:
    values = json.loads(file.read_text())
    change(values)
    report_runs.write_json(file, values)
