"""The ensemble decides as counted by hand, keeps who trained it, and tests what it gains."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score

from experiments import SPEAKERS, answers, predictions, write_run
from voxaffect import transduction
from voxaffect.cli import main
from voxaffect.ensemble import Ensemble, combine, ensemble, file_name
from voxaffect.errors import CorpusError, ExitCode, UsageError
from voxaffect.evaluation import evaluate
from voxaffect.member import Member, read_members
from voxaffect.member_weights import fit_weights
from voxaffect.predictions import Predictions, concat, read_csv, write_csv
from voxaffect.significance import mcnemar
from voxaffect.trainings import Training


def blind(p: Predictions, train: tuple[str, ...] = ("c/8",), **changes: object) -> Member:
    folds = sorted(set(zip(p.seeds, p.folds, strict=True)))
    trainings = tuple(Training(seed, fold, train, ("c/7",), SPEAKERS) for seed, fold in folds)
    return Member(**{"run": "run", "predictions": p, "trainings": trainings, **changes})  # type: ignore[arg-type]


def three(**changes: object) -> dict[str, Member]:
    return {f"m{i}": blind(predictions(i), (f"c/{20 + i}",), **changes) for i in range(3)}


def by_hand() -> dict[str, Member]:
    """Four utterances: a majority against the mean, a tie, unanimity, and a tie of all three."""
    rows = {
        "a": [[0.4, 0.5, 0.1], [0.6, 0.3, 0.1], [0.1, 0.1, 0.8], [0.5, 0.3, 0.2]],
        "b": [[0.4, 0.5, 0.1], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6], [0.2, 0.5, 0.3]],
        "c": [[0.9, 0.1, 0.0], [0.1, 0.2, 0.7], [0.0, 0.0, 1.0], [0.0, 0.1, 0.9]],
    }
    return {name: blind(answers(probs, [1, 1, 2, 0])) for name, probs in rows.items()}


def test_the_majority_decides_ties_go_to_the_mean_and_both_are_counted() -> None:
    e = combine(by_hand())
    assert e.predictions.predicted.tolist() == [1, 1, 2, 2]
    assert e.predictions.probs[0] == pytest.approx([1.7 / 3, 1.1 / 3, 0.2 / 3])
    assert e.ties == 2
    assert e.agreement == pytest.approx((2 + 1 + 3 + 1) / 12)
    assert combine(by_hand(), "mean").predictions.predicted.tolist() == [0, 1, 2, 2]
    assert combine(by_hand(), "mean").ties == 0


def test_every_figure_agrees_with_its_definition() -> None:
    members = three()
    e = combine(members)
    p = [m.predictions for m in members.values()]
    ua = [balanced_accuracy_score(x.truth, x.predicted) for x in p]
    wa = [float((x.predicted == x.truth).mean()) for x in p]
    assert [m.measures["UA"] for m in e.members] == pytest.approx(ua)
    assert [m.measures["WA"] for m in e.members] == pytest.approx(wa)
    s = e.spread["UA"]
    assert (s.mean, s.std, s.low, s.high) == pytest.approx(
        (np.mean(ua), np.std(ua, ddof=1), min(ua), max(ua))
    )
    vote = e.predictions
    assert e.figures["UA"] == pytest.approx(balanced_accuracy_score(vote.truth, vote.predicted))
    assert e.gain.measures["UA"].difference.value == pytest.approx(e.figures["UA"] - np.mean(ua))
    assert e.gain.measures["UA"].difference.n_clusters == 6
    assert e.agreement == pytest.approx(np.mean([x.predicted == vote.predicted for x in p]))
    for i in range(3):
        for j in range(3):
            expected = cohen_kappa_score(p[i].predicted, p[j].predicted)
            assert e.pairwise_kappa[i][j] == pytest.approx(expected)
    assert [m.weight for m in e.members] == pytest.approx([1 / 3] * 3)


def test_the_vote_is_tested_against_the_median_member() -> None:
    members = three()
    e = combine(members)
    wa = sorted((m.measures["WA"], m.name) for m in e.members)
    assert e.gain.member == wa[1][1]
    median = members[e.gain.member].predictions
    right = e.predictions.predicted == e.predictions.truth
    assert e.gain.mcnemar == mcnemar(right, median.predicted == median.truth)
    two = combine({name: members[name] for name in ("m0", "m1")})
    assert two.gain.member == min((m.measures["WA"], m.name) for m in two.members)[1]  # the lower of two


def test_members_that_are_one_and_the_same_gain_nothing() -> None:
    e = combine({name: blind(predictions(0)) for name in "ab"})
    g = e.gain.measures["WA"]
    assert (g.difference.value, g.difference.low, g.difference.high, g.p) == (0, 0, 0, 1)
    assert e.gain.mcnemar.p == 1
    assert e.pairwise_kappa == ((1.0, 1.0), (1.0, 1.0))


def test_good_members_that_err_apart_gain_by_voting() -> None:
    e = combine({f"m{i}": blind(predictions(i, n=40)) for i in range(7)})
    assert e.gain.measures["UA"].difference.low > 0
    assert e.gain.measures["UA"].p < 0.01


def test_seeds_are_combined_one_by_one() -> None:
    n = len(predictions())

    def both(i: int) -> Predictions:
        return concat([predictions(i), predictions(10 + i, seeds=(2,) * n)])

    e = combine({f"m{i}": blind(both(i)) for i in range(3)})
    for seed, shift in ((1, 0), (2, 10)):
        alone = combine({f"m{i}": blind(predictions(shift + i)) for i in range(3)})
        assert e.predictions.of_seed(seed).predicted.tolist() == alone.predictions.predicted.tolist()
    assert e.predictions.distinct_seeds == (1, 2)
    assert e.to_dict()["n_utterances"] == n


def test_weights_come_from_dev_utterances_alone() -> None:
    dev = [predictions(30 + i, speakers=["c/7"], n=40, skill=skill) for i, skill in enumerate((0, 1, 3))]
    dev = [replace(d, ids=tuple(f"dev/{x}" for x in d.ids)) for d in dev]
    members = {
        f"m{i}": blind(predictions(i), dev={(1, "f1"): d}) for i, d in enumerate(dev)
    }  # test skill is equal, dev skill is not
    e = combine(members, "weighted")
    expected = fit_weights([d.probs[np.arange(40), d.truth] for d in dev])
    assert [m.weight for m in e.members] == pytest.approx(expected)
    assert expected.argmax() == 2
    probs = np.tensordot(expected, np.stack([m.predictions.probs for m in members.values()]), axes=1)
    np.testing.assert_allclose(e.predictions.probs, probs, atol=1e-12)
    assert e.predictions.predicted.tolist() == probs.argmax(axis=1).tolist()


def test_no_test_utterance_can_reach_the_weights() -> None:
    """Even a dev file that holds the test utterances, with their truth, gives the weights nothing."""
    cheating = {name: replace(m, dev={(1, "f1"): m.predictions}) for name, m in three().items()}
    with pytest.raises(CorpusError, match="the 3 members cannot be weighed: they share no dev utterance"):
        combine(cheating, "weighted")


def test_weights_without_dev_answers_are_refused() -> None:
    with pytest.raises(UsageError, match="member 'm0' has no dev predictions of fold 'f1'") as caught:
        combine(three(), "weighted")
    assert caught.value.hint and "--vote majority" in caught.value.hint


def test_each_fold_has_weights_of_its_own() -> None:
    names = tuple("a" if s in SPEAKERS[:3] else "b" for s in predictions().speakers)
    good, bad = (
        replace(d, ids=tuple(f"dev/{x}" for x in d.ids))
        for d in (predictions(40, speakers=["c/7"], skill=3), predictions(41, speakers=["c/7"], skill=0))
    )
    members = {
        "m0": blind(predictions(0, folds=names), dev={(1, "a"): good, (1, "b"): bad}),
        "m1": blind(predictions(1, folds=names), dev={(1, "a"): bad, (1, "b"): good}),
    }
    e = combine(members, "weighted")
    assert [m.weight for m in e.members] == pytest.approx([0.5, 0.5], abs=1e-6)  # one fold each
    first = np.array(e.predictions.folds) == "a"
    better = np.where(first[:, None], *(m.predictions.probs for m in members.values()))
    assert e.predictions.predicted.tolist() == better.argmax(axis=1).tolist()


def test_a_member_that_saw_a_test_speaker_is_refused() -> None:
    members = three()
    members["m1"] = blind(predictions(1), ("c/2",))
    with pytest.raises(CorpusError, match="member 'm1' trained on speaker 'c/2'") as caught:
        combine(members)
    assert caught.value.code == "member_saw_test_speaker"


def test_optimistic_members_make_an_optimistic_ensemble() -> None:
    name = "OPTIMISTIC validation-on-test: f1"
    members = three()
    members["m1"] = Member(
        "run", predictions(1, fold=name), (Training(1, name, ("c/8",), SPEAKERS, SPEAKERS),)
    )
    e = combine(members)
    assert e.optimistic == ("validation-on-test",)
    assert e.to_dict()["optimistic"] == ["validation-on-test"]
    assert set(e.predictions.folds) == {name}
    figures = [line for line in e.render().split("\n") if any(c.isdigit() for c in line)]
    assert figures
    assert all("OPTIMISTIC" in line for line in figures)


def test_what_is_only_trusted_is_named() -> None:
    members = {**three(), "theirs": Member("theirs.csv", predictions(9))}
    with pytest.raises(CorpusError, match="nothing says which speakers trained it"):
        combine(members)
    e = combine(members, trust=True)
    assert e.trusted == ("theirs",)
    assert "note: nothing but their word says that these are blind to the speakers: theirs" in e.render()


def test_one_hot_answers_vote_but_have_no_mean() -> None:
    members = three()
    p = members["m1"].predictions
    members["m1"] = replace(
        members["m1"], predictions=replace(p, probs=np.eye(3)[p.predicted], has_probs=False)
    )
    assert not combine(members).predictions.has_probs
    with pytest.raises(UsageError, match="member 'm1' gives no probabilities, which --vote mean needs"):
        combine(members, "mean")


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(UsageError, match=r"unknown vote 'loudest'; expected one of \['majority', 'mean'"):
        combine(three(), "loudest")
    with pytest.raises(UsageError, match="an ensemble needs two members or more, got 1"):
        combine({"m0": three()["m0"]})


def test_folds_of_other_names_are_combined() -> None:
    members = {
        "a": blind(predictions(0, fold="session1")),
        "b": blind(predictions(1, fold="s1"), ("c/9",)),
    }
    e = combine(members)
    assert set(e.predictions.folds) == {"session1+s1"}
    assert e.trainings == (Training(1, "session1+s1", ("c/8", "c/9"), ("c/7",), SPEAKERS),)


def test_who_trained_one_member_is_no_dev_speaker_of_the_ensemble() -> None:
    members = {"a": blind(predictions(0), ("c/7", "c/8")), "b": blind(predictions(1))}
    (training,) = combine(members).trainings
    assert (training.train, training.dev) == (("c/7", "c/8"), ())


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    return [write_run(tmp_path / f"m{i}", predictions(i), train=(f"c/{20 + i}",)) for i in range(3)]


def written(out: Path) -> dict[str, object]:
    table: dict[str, object] = json.loads((out / "ensemble.json").read_text(encoding="utf-8"))
    return table


def test_the_run_folder_holds_all_of_it(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "votes"
    e = ensemble(read_members(runs), out)
    names = {str(f.relative_to(out)) for f in out.rglob("*") if f.is_file()}
    assert names == {
        "predictions.csv",
        "members/m0.csv",
        "members/m1.csv",
        "members/m2.csv",
        "folds.json",
        "ensemble.json",
        "metrics.json",
        "confusion.png",
    }
    read = read_csv(out / "predictions.csv")
    assert read.predicted.tolist() == e.predictions.predicted.tolist()
    assert read.decisions is not None  # a vote that the mean probabilities alone would not give
    np.testing.assert_allclose(read.probs, e.predictions.probs, rtol=1e-5)
    assert read_csv(out / "members" / "m2.csv").ids == read_csv(runs[2] / "predictions.csv").ids
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["evaluation"] == json.loads(json.dumps(evaluate(read).to_dict()))  # to the last digit
    assert metrics["recipe"] == "votes"
    assert metrics["evaluation"]["measures"]["UA"]["value"] == pytest.approx(e.figures["UA"])
    assert (out / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_ensemble_json_keeps_its_schema(runs: list[Path], tmp_path: Path) -> None:
    e = ensemble(read_members(runs), tmp_path / "votes")
    table = written(tmp_path / "votes")
    assert list(table) == [
        "schema",
        "vote",
        "labels",
        "n_utterances",
        "n_speakers",
        "seeds",
        "members",
        "figures",
        "spread",
        "agreement",
        "pairwise_kappa",
        "ties",
        "gain",
        "optimistic",
        "trusted",
    ]
    assert table["schema"] == "voxaffect.ensemble/1"
    members = table["members"]
    assert isinstance(members, list)
    assert set(members[0]) == {
        *("name", "run", "train", "dev", "test", "folds", "weight"),
        *("UA", "WA", "macro-F1"),
    }
    assert members[0]["run"] == str(runs[0])
    assert members[0]["train"] == ["c/20"]
    gain = table["gain"]
    assert isinstance(gain, dict)
    assert set(gain) == {"UA", "WA", "macro-F1", "mcnemar"}
    assert set(gain["UA"]) == {"value", "low", "high", "n_clusters", "clusters", "reliable", "p"}
    assert set(gain["mcnemar"]) == {"member", "only_vote", "only_member", "p"}
    assert gain["mcnemar"]["only_vote"] == e.gain.mcnemar.only_first
    assert json.loads(json.dumps(e.to_dict())) == table


def test_undefined_kappa_is_null() -> None:
    same = answers([[0.9, 0.1, 0.0]] * 2, [0, 1])
    e = combine({"a": blind(same), "b": blind(same)})
    assert e.to_dict()["pairwise_kappa"] == [[None, None], [None, None]]
    assert "kappa" in e.render()


def test_an_occupied_folder_is_refused(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not empty") as caught:
        ensemble(read_members(runs), runs[0])
    assert caught.value.code == "run_exists"


def test_names_become_file_names() -> None:
    assert file_name("vit/seed 1") == "vit_seed_1"


def test_names_that_no_file_can_tell_apart_are_refused(tmp_path: Path) -> None:
    members = {"m 1": blind(predictions(0)), "m_1": blind(predictions(1))}
    with pytest.raises(UsageError, match=r"members 'm 1' and 'm_1' would share the file m_1\.csv"):
        ensemble(members, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_members_metadata_give_the_ensemble_its_baselines(runs: list[Path], tmp_path: Path) -> None:
    p = predictions()
    rows = [f"{i},{s},{p.labels[t]},text{t}" for i, s, t in zip(p.ids, p.speakers, p.truth, strict=True)]
    rows += [f"c/t{k},c/2{k},{label},text{k}" for k, label in enumerate(p.labels)]
    (runs[1] / "utterances.csv").write_text("\n".join(["id,speaker,label,text", *rows]) + "\n")
    ensemble(read_members(runs), tmp_path / "votes")
    found = json.loads((tmp_path / "votes" / "baselines.json").read_text())["baselines"]
    text = next(b for b in found if b["name"] == "text")
    assert text["WA"] == 1.0  # each class has its own text, and the members' union heard all three
    assert (tmp_path / "votes" / "utterances.csv").is_file()
    assert main(["evaluate", str(tmp_path / "votes")]) == ExitCode.OK


def test_adapted_answers_of_all_members_vote_as_a_second_figure(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = ensemble(read_members(runs), tmp_path / "plain")
    assert plain.adapted is None
    for i, run in enumerate(runs[:2]):
        write_csv(predictions(10 + i), run / transduction.FILE_NAME)
    assert combine(read_members(runs)).adapted is None  # one has none
    write_csv(predictions(12), runs[2] / transduction.FILE_NAME)
    out = tmp_path / "votes"
    assert main(["ensemble", *map(str, runs), "-o", str(out)]) == ExitCode.OK
    assert "adapted, transductive: a second figure" in capsys.readouterr().out
    both = combine(read_members(runs))
    assert both.adapted is not None
    expected = combine({f"m{i}": blind(predictions(10 + i)) for i in range(3)}).predictions
    assert both.adapted.predicted.tolist() == expected.predicted.tolist()
    assert both.predictions.predicted.tolist() == plain.predictions.predicted.tolist()
    assert read_csv(out / transduction.FILE_NAME).predicted.tolist() == expected.predicted.tolist()
    figures = json.loads((out / "metrics.json").read_text())
    found = evaluate(expected).to_dict()["measures"]["UA"]["value"]
    assert figures["adapted"]["what"] == "adapted, transductive"
    assert figures["adapted"]["evaluation"]["measures"]["UA"]["value"] == pytest.approx(found, abs=1e-6)
    assert combine(read_members(runs), "mean").adapted is not None


def test_a_weighted_vote_has_no_adapted_figure() -> None:
    dev = predictions(30, speakers=["c/7"])
    members = three(dev={(1, "f1"): replace(dev, ids=tuple(f"dev/{x}" for x in dev.ids))})
    adapted = {name: replace(m, adapted=m.predictions) for name, m in members.items()}
    assert combine(adapted, "majority").adapted is not None
    assert combine(adapted, "weighted").adapted is None


def test_the_command_prints_members_vote_and_gain(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "votes"
    assert main(["ensemble", *map(str, runs), "-o", str(out)]) == ExitCode.OK
    said = capsys.readouterr()
    assert said.err == ""
    lines = said.out.split("\n")
    assert lines[0] == "  3 members on 60 utterances of 6 speakers, 1 seed"
    assert lines[2].split() == ["member", "training", "speakers", "UA", "WA", "macro-F1"]
    table: Ensemble = combine(read_members(runs))
    first = table.members[0]
    assert lines[3].split() == ["m0", "20", *(f"{100 * x:.1f}" for x in first.measures.values())]
    assert lines[10].startswith("  majority vote")
    assert lines[-2] == f"run folder: {out}"
    assert "over the mean member" in said.out
    assert "exact McNemar p = " in said.out


def test_the_command_prints_json(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "votes"
    assert main(["ensemble", *map(str, runs), "-o", str(out), "--json", "--vote", "mean"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == written(out)


def test_the_command_refuses_what_it_cannot_know(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_csv(predictions(5), tmp_path / "theirs.csv")
    words = ["ensemble", str(runs[0]), str(tmp_path / "theirs.csv"), "-o", str(tmp_path / "votes")]
    assert main(words) == ExitCode.NOTHING_USABLE
    error = capsys.readouterr().err
    assert "training_unknown: member 'theirs': nothing says which speakers trained it" in error
    assert main([*words, "--trust"]) == ExitCode.OK
    assert written(tmp_path / "votes")["trusted"] == ["theirs"]
    assert "unknown" in capsys.readouterr().out  # where the training speakers stand
