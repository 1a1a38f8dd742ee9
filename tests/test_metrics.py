"""Metrics against hand-worked cases and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from voxaffect import metrics

EXACT = 1e-12  # both sides are a few float64 divisions


def cases() -> list[tuple[np.ndarray, np.ndarray, int]]:
    rng = np.random.default_rng(0)
    return [(rng.integers(0, k, n), rng.integers(0, k, n), k) for k in (2, 4, 8) for n in (5, 60, 400)]


@pytest.mark.parametrize(("truth", "predicted", "k"), cases())
def test_every_measure_agrees_with_scikit_learn(truth: np.ndarray, predicted: np.ndarray, k: int) -> None:
    c = metrics.confusion(truth, predicted, k)
    assert np.array_equal(c, sk.confusion_matrix(truth, predicted, labels=range(k)))
    assert metrics.wa(c) == pytest.approx(sk.accuracy_score(truth, predicted), abs=EXACT)
    present = sorted(set(truth))
    recalls = sk.recall_score(truth, predicted, labels=present, average=None)
    assert metrics.recalls(c)[present] == pytest.approx(recalls, abs=EXACT)
    assert metrics.ua(c) == pytest.approx(recalls.mean(), abs=EXACT)
    assert metrics.macro_f1(c) == pytest.approx(sk.f1_score(truth, predicted, average="macro"), abs=EXACT)
    said = sorted(set(predicted))
    precisions = sk.precision_score(truth, predicted, labels=said, average=None)
    assert metrics.precisions(c)[said] == pytest.approx(precisions, abs=EXACT)


def test_ua_is_balanced_accuracy_and_wa_is_not() -> None:
    truth, predicted = [0] * 9 + [1], [0] * 10
    c = metrics.confusion(truth, predicted, 2)
    assert float(metrics.wa(c)) == 0.9
    assert float(metrics.ua(c)) == sk.balanced_accuracy_score(truth, predicted) == 0.5


def test_the_study_s_counts_give_its_percentages() -> None:
    right = np.array([[369, 221], [0, 0]])
    assert round(100 * float(metrics.wa(right)), 2) == 62.54


def test_absent_classes_are_undefined_and_do_not_count() -> None:
    c = metrics.confusion([0, 0, 1], [0, 2, 1], 4)
    assert [math.isnan(x) for x in metrics.recalls(c)] == [False, False, True, True]
    assert [math.isnan(x) for x in metrics.precisions(c)] == [False, False, False, True]
    assert float(metrics.ua(c)) == pytest.approx(0.75)
    assert float(metrics.macro_f1(c)) == pytest.approx((2 / 3 + 1 + 0) / 3)


def test_nothing_at_all_gives_nan() -> None:
    c = np.zeros((3, 3))
    assert all(math.isnan(f(c)) for f in (metrics.wa, metrics.ua, metrics.macro_f1))


def test_many_matrices_at_once_give_what_each_gives_alone() -> None:
    many = np.random.default_rng(1).integers(0, 9, (5, 7, 4, 4))
    for f in (metrics.wa, metrics.ua, metrics.macro_f1, metrics.recalls, metrics.precisions):
        alone = np.array([[f(c) for c in row] for row in many])
        assert np.array_equal(f(many), alone, equal_nan=True)


def test_grouped_confusions_are_the_confusions_of_the_groups() -> None:
    truth, predicted, k = cases()[-1]
    groups = np.random.default_rng(2).integers(0, 6, len(truth))
    grouped = metrics.grouped_confusions(truth, predicted, groups, k, 7)
    for g in range(7):
        assert np.array_equal(grouped[g], metrics.confusion(truth[groups == g], predicted[groups == g], k))
    assert np.array_equal(grouped.sum(axis=0), metrics.confusion(truth, predicted, k))


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([0, 1], [0], r"equally long, got \(2,\) and \(1,\)"),
        ([[0]], [[0]], "one-dimensional"),
        ([0.0, 1.0], [0, 1], "truth must hold whole numbers, got float64"),
        ([0, 1], [0, 2], "predicted holds class 0 to 2; expected 0 to 1"),
        ([0, -1], [0, 1], "truth holds class -1 to 0"),
    ],
)
def test_what_is_no_pair_of_class_lists_is_refused(
    truth: list[int], predicted: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        metrics.confusion(truth, predicted, 2)


def test_what_is_no_confusion_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match=r"is \(\.\.\., K, K\), got \(2, 3\)"):
        metrics.ua(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="no negative or missing counts"):
        metrics.wa([[1, -1], [0, 0]])
