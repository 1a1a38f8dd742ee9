"""The evaluation gathers the right figures and says plainly where they are weak."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from voxaffect.baselines import Baselines, Guess
from voxaffect.errors import CorpusError
from voxaffect.evaluation import evaluate
from voxaffect.predictions import Predictions, concat

LABELS = ("angry", "happy", "sad")


def experiment(
    seed: int = 0, n_speakers: int = 8, n: int = 15, skill: float = 1.5, **changes: Any
) -> Predictions:
    """Predictions whose truth does not depend on `seed`; the last speaker is heard wrongly."""
    truth = np.random.default_rng(99).integers(0, 3, n_speakers * n)
    logits = np.random.default_rng(seed).normal(0, 1, (len(truth), 3))
    speakers = np.repeat(np.arange(n_speakers), n)
    logits[np.arange(len(truth)), truth] += np.where(speakers < n_speakers - 1, skill, -3)
    probs = np.exp(logits)
    fields: dict[str, Any] = {
        "ids": tuple(f"emodb/{i:03}" for i in range(len(truth))),
        "speakers": tuple(f"emodb/{s:02}" for s in speakers),
        "folds": tuple(f"f{s // 4}" for s in speakers),
        "labels": LABELS,
        "truth": truth,
        "probs": probs / probs.sum(axis=1, keepdims=True),
        "seeds": (seed,) * len(truth),
    }
    return Predictions(**{**fields, **changes})


def test_the_figures_of_one_seed_agree_with_scikit_learn() -> None:
    p = experiment()
    e = evaluate(p, n_bootstrap=200)
    assert e.wa.value == pytest.approx(sk.accuracy_score(p.truth, p.predicted))
    assert e.ua.value == pytest.approx(sk.balanced_accuracy_score(p.truth, p.predicted))
    assert e.macro_f1.value == pytest.approx(sk.f1_score(p.truth, p.predicted, average="macro"))
    precision, recall, f1, support = sk.precision_recall_fscore_support(p.truth, p.predicted)
    assert [c.precision for c in e.classes] == pytest.approx(precision)
    assert [c.recall for c in e.classes] == pytest.approx(recall)
    assert [c.f1 for c in e.classes] == pytest.approx(f1)
    assert [c.n for c in e.classes] == support.tolist()
    assert np.array(e.confusion).tolist() == sk.confusion_matrix(p.truth, p.predicted).tolist()
    assert e.n_utterances == 120
    assert e.corpora == ("emodb",)


def test_the_worst_speaker_is_named_and_folds_are_told_apart() -> None:
    p = experiment()
    e = evaluate(p, n_bootstrap=200)
    assert e.worst_speaker is not None
    assert e.worst_speaker.name == "emodb/07"
    assert [(f.name, f.n, f.n_speakers) for f in e.folds] == [("f0", 60, 4), ("f1", 60, 4)]
    second = p.select(np.array(p.folds) == "f1")
    assert e.folds[1].ua == pytest.approx(sk.balanced_accuracy_score(second.truth, second.predicted))


def test_of_several_seeds_every_figure_is_the_mean_and_the_spread_is_told() -> None:
    parts = [experiment(seed) for seed in range(3)]
    alone = [evaluate(p, n_bootstrap=200) for p in parts]
    e = evaluate(concat(parts), n_bootstrap=200)
    uas = [a.ua.value for a in alone]
    assert e.ua.value == pytest.approx(np.mean(uas))
    assert [s.measures["UA"] for s in e.seeds] == pytest.approx(uas)
    assert e.spread("UA") == pytest.approx((np.std(uas, ddof=1), min(uas), max(uas)))
    assert alone[0].spread("UA") == (0, uas[0], uas[0])
    assert e.n_utterances == 120
    assert e.ece == pytest.approx(np.mean([a.ece for a in alone]))
    assert np.array(e.confusion) == pytest.approx(np.mean([a.confusion for a in alone], axis=0))
    assert e.speakers[3].ua == pytest.approx(np.mean([a.speakers[3].ua for a in alone]))
    assert e.folds[0].n == 60
    assert e.ua.n_clusters == 8


def test_the_order_of_rows_does_not_matter() -> None:
    p = concat([experiment(0), experiment(1)])
    shuffled = p.select(np.random.default_rng(0).permutation(len(p)))
    assert evaluate(p, n_bootstrap=100) == evaluate(shuffled, n_bootstrap=100)


def test_a_seed_that_lacks_utterances_is_left_out_with_a_notice() -> None:
    p = concat([experiment(0), experiment(1).select(range(30))])
    e = evaluate(p, n_bootstrap=100)
    assert e.notices[0] == "seed 1 is left out: it has 30 of 120 utterances"
    assert e.ua == evaluate(experiment(0), n_bootstrap=100).ua


def test_seeds_that_are_no_repetitions_are_refused() -> None:
    p = concat([experiment(0).select(range(50)), experiment(1).select(range(50, 120))])
    with pytest.raises(
        CorpusError, match="no seed predicts all 120 utterances; the fullest has 70"
    ) as caught:
        evaluate(p)
    assert caught.value.hint and "drop the column seed" in caught.value.hint


def test_the_baseline_is_the_most_frequent_class() -> None:
    p = experiment(truth=np.array([0] * 60 + [1] * 40 + [2] * 20))
    baseline = evaluate(p, n_bootstrap=100).baseline
    assert baseline.label == "angry"
    assert dict(baseline.measures) == pytest.approx({"UA": 1 / 3, "WA": 0.5, "macro-F1": (2 / 3 + 0 + 0) / 3})


def test_a_guess_is_not_said_to_beat_the_baseline() -> None:
    assert "not shown to beat always answering 'happy'" in evaluate(experiment(skill=0)).notices
    assert evaluate(experiment(skill=3)).notices == ()


@pytest.mark.parametrize(
    ("changes", "notice"),
    [
        ({"speakers": ("",) * 120}, "speakers are unknown: intervals resample utterances"),
        ({"speakers": ("emodb/1",) * 120}, "one speaker only: intervals resample utterances"),
        ({"speakers": ("emodb/1", "emodb/2", "emodb/3") * 40}, "3 speakers are fewer than 5"),
        ({"truth": np.array([0, 1] * 60)}, "no utterance is truly sad"),
        ({"probs": np.eye(3)[[0, 1] * 60]}, "sad was never predicted"),
    ],
)
def test_what_weakens_the_figures_is_said(changes: dict[str, Any], notice: str) -> None:
    e = evaluate(experiment(**changes), n_bootstrap=100)
    assert any(notice in n for n in e.notices), e.notices
    assert f"note: {notice}" in e.render()
    json.dumps(e.to_dict(), allow_nan=False)


def test_without_probabilities_there_is_no_calibration_error() -> None:
    e = evaluate(experiment(has_probs=False), n_bootstrap=100)
    assert e.ece is None
    assert e.reliability == ()
    assert "ECE" not in e.render()


def test_groups_have_their_own_intervals_over_their_own_speakers() -> None:
    p = experiment()
    groups = {i: ("female" if s < "emodb/05" else "male") for i, s in zip(p.ids, p.speakers, strict=True)}
    e = evaluate(p, groups=groups, n_bootstrap=200)
    female, male = e.groups
    assert (female.name, female.n, female.n_speakers) == ("female", 75, 5)
    alone = evaluate(p.select(np.array(p.speakers) < "emodb/05"), n_bootstrap=200)
    assert female.interval == alone.ua
    assert male.interval is not None and not male.interval.reliable
    assert "95 % interval of UA" in e.render()


def test_a_prediction_without_a_group_is_refused() -> None:
    with pytest.raises(CorpusError, match="119 predictions have no group, the first is 'emodb/001'"):
        evaluate(experiment(), groups={"emodb/000": "x"})


def test_nothing_cannot_be_evaluated() -> None:
    with pytest.raises(ValueError, match="no predictions to evaluate"):
        evaluate(experiment().select([]))


def test_the_json_is_whole_and_has_no_nan() -> None:
    e = evaluate(experiment(probs=np.eye(3)[[0, 1] * 60]), n_bootstrap=100)
    again = json.loads(json.dumps(e.to_dict(), allow_nan=False))
    assert again["schema"] == "voxaffect.evaluation/1"
    assert again["classes"][2]["precision"] is None
    assert again["measures"]["UA"]["n_clusters"] == 8
    assert again["measures"]["UA"]["reliable"] is True
    assert set(again["spread"]["WA"]) == {"std", "low", "high"}
    assert again["worst_speaker"] == e.worst_speaker.name if e.worst_speaker else None


def test_the_text_is_exactly_this() -> None:
    truth = np.array([0, 0, 1, 1, 2, 2])
    p = Predictions(
        ids=tuple(f"emodb/{i}" for i in range(6)),
        speakers=("emodb/a",) * 3 + ("emodb/b",) * 3,
        folds=("f1",) * 3 + ("f2",) * 3,
        labels=LABELS,
        truth=truth,
        probs=np.eye(3)[[0, 1, 1, 1, 2, 2]],
    )
    text = evaluate(p, n_bootstrap=500).render("run")
    assert text.splitlines() == [
        "run",
        "  6 utterances of emodb; 2 speakers, 3 classes, 2 folds, 1 seed",
        "",
        "                %  95 % interval   always angry",
        "  UA         83.3  75.0 to 100.0           33.3",
        "  WA         83.3  66.7 to 100.0           33.3",
        "  macro-F1   82.2  66.7 to 100.0           16.7",
        "  ECE        16.7  how far confidence is from being right, on average",
        "  intervals resample 2 speakers",
        "",
        "  class      n  recall  precision     F1",
        "  angry      2    50.0      100.0   66.7",
        "  happy      2   100.0       66.7   80.0",
        "  sad        2   100.0      100.0  100.0",
        "",
        "  truth   heard as, % of the row",
        "         angry  happy    sad",
        "  angry   50.0   50.0    0.0",
        "  happy    0.0  100.0    0.0",
        "  sad      0.0    0.0  100.0",
        "",
        "  speaker      n      UA      WA",
        "  emodb/a      3    75.0    66.7  ###############",
        "  emodb/b      3   100.0   100.0  ####################",
        "",
        "  fold      n      UA      WA",
        "  f1        3    75.0    66.7  ###############",
        "  f2        3   100.0   100.0  ####################",
        "  mean           87.5    83.3",
        "",
        "  note: 2 speakers are fewer than 5: the intervals are not reliable",
    ]


def test_of_many_speakers_the_worst_are_shown() -> None:
    text = evaluate(experiment(n_speakers=20), n_bootstrap=100).render()
    assert "worst speakers" in text
    assert "emodb/19" in text
    assert "of 20 speakers: UA" in text
    assert len([line for line in text.splitlines() if line.startswith("  emodb/")]) == 5


def guesses(*ua: float) -> Baselines:
    names = ("text", "duration")
    made = [Guess(n, 120, 0.5, {"UA": x, "WA": x, "macro-F1": x}) for n, x in zip(names, ua, strict=False)]
    return Baselines(LABELS, tuple(made), {})


def test_guesses_without_audio_stand_beside_the_figures() -> None:
    e = evaluate(experiment(), baselines=guesses(0.5, 0.25), n_bootstrap=200)
    lines = e.render().split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith("  without audio"))
    assert lines[at].split() == ["without", "audio", "UA", "WA", "macro-F1"]
    assert lines[at + 1].split() == ["text", "50.0", "50.0", "50.0", "known", "for", "50", "%"]
    assert json.loads(json.dumps(e.to_dict()))["without_audio"][1]["name"] == "duration"
    assert evaluate(experiment(), n_bootstrap=200).without_audio == ()


def test_a_score_that_needs_no_audio_is_said_to_be_none() -> None:
    e = evaluate(experiment(), baselines=guesses(0.99, 0.1), n_bootstrap=200)
    assert "not shown to beat what needs no audio, UA by text (99.0)" in e.notices
    assert not [
        n for n in evaluate(experiment(), baselines=guesses(0.1), n_bootstrap=200).notices if "audio" in n
    ]


def test_optimistic_folds_stamp_every_line_of_figures() -> None:
    p = experiment()
    folds = tuple(f"OPTIMISTIC validation-on-test: {f}" for f in p.folds)
    e = evaluate(experiment(folds=folds), baselines=guesses(0.5, 0.5), n_bootstrap=200)
    assert e.optimistic == "validation-on-test"
    assert e.to_dict()["optimistic"] == "validation-on-test"
    assert e.titled("cnn") == "cnn OPTIMISTIC (validation-on-test)"
    text = e.render("cnn")
    assert text.startswith("cnn OPTIMISTIC (validation-on-test)\n")
    assert e.render().startswith("OPTIMISTIC (validation-on-test)\n")
    assert all("OPTIMISTIC" in line for line in text.split("\n") if any(c.isdigit() for c in line))
    assert e.measures == evaluate(p, n_bootstrap=200).measures  # a stamp changes no figure


def test_honest_folds_have_no_stamp() -> None:
    e = evaluate(experiment(), n_bootstrap=200)
    assert (e.optimistic, e.titled("cnn")) == ("", "cnn")
    assert "OPTIMISTIC" not in e.render("cnn")


def test_one_optimistic_fold_is_enough() -> None:
    p = experiment()
    folds = tuple("OPTIMISTIC random-split: f1" if f == "f1" else f for f in p.folds)
    assert evaluate(experiment(folds=folds), n_bootstrap=200).optimistic == "random-split"
