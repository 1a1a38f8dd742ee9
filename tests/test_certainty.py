"""What confidence is worth: against figures worked out from the predictions one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from experiments import predictions
from voxaffect.calibration import ece
from voxaffect.certainty import (
    COVERAGE,
    COVERAGES,
    SHOWN,
    Certainty,
    certainty,
    read_temperatures,
    with_temperatures,
)
from voxaffect.evaluation import evaluate
from voxaffect.predictions import Predictions, concat


def found(p: Predictions, **options: Any) -> Certainty:
    result = certainty(p, n_bootstrap=300, **options)
    assert result is not None
    return result


def test_the_error_is_that_of_the_evaluation_and_lies_in_its_interval() -> None:
    p = predictions(n=30)
    e = found(p).ece
    assert e.value == pytest.approx(evaluate(p, n_bootstrap=100).ece)
    assert 0 <= e.low < e.value < e.high
    assert (e.n_clusters, e.clusters) == (6, "speakers")


def test_the_draws_of_the_error_are_those_of_speakers_taken_whole() -> None:
    """A draw worked out the long way: the speakers' predictions put together, and their calibration error."""
    from voxaffect.certainty import _gaps
    from voxaffect.significance import cluster

    p = predictions(n=12)
    groups, names, _ = cluster(p.speakers, p.ids)
    gaps = _gaps(p, groups, len(names))
    times = np.array([2, 0, 1, 3, 0, 0])
    rows = np.concatenate([np.tile(np.flatnonzero(groups == g), n) for g, n in enumerate(times)])
    wanted = ece(p.confidence[rows], (p.predicted == p.truth)[rows])
    assert np.abs(times @ gaps).sum() / len(rows) == pytest.approx(wanted)


def test_the_gain_is_the_ua_of_the_surest_answers_over_that_of_all() -> None:
    p = predictions(n=30)
    result = found(p)
    order = np.argsort(-p.confidence, kind="stable")[: round(COVERAGE * len(p))]
    kept = balanced_accuracy_score(p.truth[order], p.predicted[order])
    every = balanced_accuracy_score(p.truth, p.predicted)
    assert result.gain.value == pytest.approx(kept - every)
    assert result.gain.low < result.gain.value < result.gain.high
    assert 0 < result.p <= 1
    assert result.at(COVERAGE).ua == pytest.approx(kept)
    assert result.at(COVERAGE).confidence == pytest.approx(p.confidence[order].min())
    assert result.at(1.0).wa == pytest.approx(float((p.predicted == p.truth).mean()))


def test_the_curve_covers_less_and_less_with_more_and_more_confidence() -> None:
    curve = found(predictions(n=30)).curve
    assert [point.coverage for point in curve] == list(COVERAGES)
    assert set(SHOWN) <= set(COVERAGES)
    sure = [point.confidence for point in curve]
    assert sure == sorted(sure)
    assert curve[-4].wa > curve[0].wa


def test_seeds_are_averaged_and_one_that_lacks_utterances_is_left_out() -> None:
    one, two = predictions(1), predictions(2, seeds=(2,) * 60)
    both = found(concat([one, two]))
    assert both.ece.value == pytest.approx((found(one).ece.value + found(two).ece.value) / 2)
    assert both.at(0.5).ua == pytest.approx((found(one).at(0.5).ua + found(two).at(0.5).ua) / 2)
    part = two.select(np.arange(50))
    assert found(concat([one, part])).ece.value == pytest.approx(found(one).ece.value)


def test_confidence_without_meaning_gains_nothing() -> None:
    p = predictions(n=60, skill=1.0)
    shuffled = np.random.default_rng(5).random(len(p)) * 0.5 + 0.5
    probs = np.full((len(p), 3), 0.0)
    for i, (k, sure) in enumerate(zip(p.predicted, shuffled, strict=True)):
        probs[i] = (1 - sure) / 2
        probs[i, k] = sure
    blind = found(predictions(n=60, probs=probs))
    assert blind.gain.low < 0 < blind.gain.high
    assert found(p).gain.low > 0


def test_the_text_is_exactly_this() -> None:
    probs = np.full((6, 3), 0.1) + 0.7 * np.eye(3)[[0, 1, 2, 0, 1, 2]]
    probs[0] = (0.5, 0.3, 0.2)
    p = Predictions(
        ids=tuple(f"c/{i}" for i in range(6)),
        speakers=("c/1",) * 3 + ("c/2",) * 3,
        folds=("f1",) * 6,
        labels=("angry", "happy", "sad"),
        truth=np.array([1, 1, 2, 0, 1, 2]),
        probs=probs,
    )
    lines = found(p).render().splitlines()
    assert lines[0] == "  confidence                 %  95 % interval"
    assert lines[1].startswith("  ECE                     25.0  ")
    assert lines[2].startswith("  UA gained at 80 %      +11.1  ")
    assert lines[4:] == [
        "  surest, % of answers      100     90     80     70     60     50",
        "  UA                       88.9   88.9  100.0  100.0  100.0  100.0",
        "  WA                       83.3   83.3  100.0  100.0  100.0  100.0",
        "  confidence at least      50.0   50.0   80.0   80.0   80.0   80.0",
    ]


def test_json_is_free_of_nan_and_a_flattering_fold_is_stamped() -> None:
    p = predictions(fold="OPTIMISTIC validation-on-test: f1")
    result = found(p)
    again = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert again["schema"] == "voxaffect.certainty/1"
    assert len(again["curve"]) == len(COVERAGES)
    assert again["gain"]["n_clusters"] == 6
    assert result.optimistic == "validation-on-test"
    assert all(line.endswith("OPTIMISTIC") for line in result.render().splitlines() if "ECE" in line)


def test_without_probabilities_there_is_no_certainty() -> None:
    assert certainty(predictions(has_probs=False)) is None


def test_each_fold_s_temperature_is_applied_before_confidence_is_judged(tmp_path: Path) -> None:
    one, two = predictions(1, n=30, fold="f/1"), predictions(2, n=30, fold="f 2", seeds=(2,) * 180)
    p = concat([one, two])
    (tmp_path / "metrics.json").write_text(
        json.dumps({"parts": {"1-f_1": {"temperature": 2.0}, "2-f_2": {"temperature": 0.5}}})
    )
    temperatures = read_temperatures(tmp_path)
    scaled = with_temperatures(p, temperatures)
    assert scaled is not None
    for row, t in ((0, 2.0), (200, 0.5)):
        powers = p.probs[row] ** (1 / t)
        assert scaled.probs[row] == pytest.approx(powers / powers.sum())
    assert np.array_equal(scaled.predicted, p.predicted)
    result = found(p, temperatures=temperatures)
    assert result.calibrated
    assert result.ece.value == pytest.approx(found(scaled).ece.value)
    assert "after the temperature of each fold's dev speakers" in result.render()
    assert not found(p, temperatures={"1-f_1": 2.0}).calibrated  # of one fold only
    assert read_temperatures(tmp_path / "gone") == {}
    for other in ("[1]", "{", '{"parts": [2]}', "{}"):
        (tmp_path / "metrics.json").write_text(other)
        assert read_temperatures(tmp_path) == {}
