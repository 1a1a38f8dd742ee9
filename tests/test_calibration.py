"""Calibration against formulas, scikit-learn and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, special
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from voxaffect.calibration import (
    abstention_threshold,
    certainty_threshold,
    ece,
    fit_temperature,
    most_confident,
    nll,
    reliability,
    softmax,
)


def sample(temperature: float, n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Logits and truths that are drawn from softmax(logits / temperature)."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (n, 4))
    probs = special.softmax(logits / temperature, axis=1)
    truth = (probs.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return logits, truth


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_the_data_is_found(temperature: float) -> None:
    logits, truth = sample(temperature)
    fitted = fit_temperature(logits, truth)
    assert fitted == pytest.approx(temperature, rel=0.08)  # about three standard errors at 4000 draws
    oracle = optimize.minimize_scalar(lambda t: nll(logits, truth, t), bounds=(0.05, 20), method="bounded")
    assert fitted == pytest.approx(oracle.x, rel=1e-4)  # the oracle stops at 1e-5
    assert nll(logits, truth, fitted) <= nll(logits, truth) + 1e-12


def test_log_probabilities_serve_as_logits() -> None:
    logits, truth = sample(2.0, 300)
    shifted = special.log_softmax(logits, axis=1)
    assert fit_temperature(shifted, truth) == pytest.approx(fit_temperature(logits, truth), rel=1e-5)


def test_the_temperature_lowers_the_calibration_error() -> None:
    logits, truth = sample(3.0)

    def error(temperature: float) -> float:
        probs = softmax(logits, temperature)
        return ece(probs.max(axis=1), probs.argmax(axis=1) == truth)

    assert error(1.0) > 0.2
    assert error(fit_temperature(logits, truth)) < 0.03


def test_a_faultless_or_hopeless_set_stops_at_the_bounds() -> None:
    logits = np.eye(3)[[0, 1, 2] * 5]
    assert fit_temperature(logits, [0, 1, 2] * 5) == pytest.approx(0.05, rel=1e-4)
    assert fit_temperature(logits, [1, 2, 0] * 5) == pytest.approx(20, rel=1e-4)


def test_likelihood_and_softmax_agree_with_scikit_learn_and_scipy() -> None:
    logits, truth = sample(1.0, 50)
    assert nll(logits, truth, 2.0) == pytest.approx(
        log_loss(truth, special.softmax(logits / 2, axis=1)), abs=1e-9
    )
    assert softmax(logits, 2.0) == pytest.approx(special.softmax(logits / 2, axis=1), abs=1e-12)
    assert np.isfinite(softmax([[1e4, -1e4]])).all()


def test_the_bins_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(3)
    sure = rng.random(500)
    right = rng.random(500) < sure
    bins = reliability(sure, right)
    accuracy, confidence = calibration_curve(right, sure, n_bins=15, strategy="uniform")
    assert [b.accuracy for b in bins] == pytest.approx(accuracy, abs=1e-12)
    assert [b.confidence for b in bins] == pytest.approx(confidence, abs=1e-12)
    assert sum(b.n for b in bins) == 500


def test_the_calibration_error_is_the_hand_worked_one() -> None:
    # two bins: 3 at 0.9 with 2 right (gap 0.2333), 1 at 0.4 with 1 right (gap 0.6)
    assert ece([0.9, 0.9, 0.9, 0.4], [True, True, False, True]) == pytest.approx(
        (3 * (0.9 - 2 / 3) + 0.6) / 4
    )
    assert ece([1.0, 1.0], [True, True]) == 0
    assert ece([0.0], [False]) == 0
    assert math.isnan(ece([], []))


def test_a_bin_s_upper_edge_belongs_to_it() -> None:
    bins = reliability([0.2, 0.2000001], [True, True], n_bins=5)
    assert [(b.low, b.n) for b in bins] == [(0.0, 1), (0.2, 1)]


@pytest.mark.parametrize(
    ("logits", "truth", "message"),
    [
        (np.zeros((0, 3)), [], "N > 0"),
        (np.zeros((2, 3)), [0], r"got \(2, 3\) and \(1,\)"),
        (np.zeros(3), [0, 1, 2], r"logits must be \(N, K\)"),
        (np.array([[0.0, -np.inf]]), [0], "logits must be finite; clip probabilities"),
        (np.zeros((1, 2)), [2], "truth holds class 2 to 2; expected 0 to 1"),
    ],
)
def test_what_cannot_be_fitted_is_refused(logits: np.ndarray, truth: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_temperature(logits, truth)


def test_a_temperature_of_zero_and_bad_confidences_are_refused() -> None:
    with pytest.raises(ValueError, match="temperature must be above 0, got 0"):
        softmax([[0.0]], 0)
    with pytest.raises(ValueError, match="equally long"):
        ece([0.5], [True, False])
    with pytest.raises(ValueError, match="confidence must be from 0 to 1"):
        ece([1.5], [True])


# --- members that are averaged


def test_the_likelihood_of_several_members_is_that_of_their_mean() -> None:
    rng = np.random.default_rng(1)
    logits, truth = rng.normal(0, 2, (3, 20, 4)), rng.integers(0, 4, 20)
    mean = special.softmax(logits / 1.7, axis=2).mean(axis=0)
    items = np.tile(np.arange(20), 3)
    found = nll(logits.reshape(-1, 4), np.tile(truth, 3), 1.7, items=items)
    assert found == pytest.approx(log_loss(truth, mean, labels=range(4)))
    alone = nll(logits[0], truth, 1.7, items=np.arange(20))
    assert alone == pytest.approx(nll(logits[0], truth, 1.7))


def test_a_temperature_is_fitted_to_the_mean_of_members_not_to_each_of_them() -> None:
    """Members that each err in another way: their mean is right to be surer than any of them may be."""
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 3, 600)
    logits = 2.0 * np.eye(3)[truth][None] + rng.normal(0, 3, (5, 600, 3))
    flat, many, items = logits.reshape(-1, 3), np.tile(truth, 5), np.tile(np.arange(600), 5)
    each, together = fit_temperature(flat, many), fit_temperature(flat, many, items=items)
    grid = np.geomspace(0.05, 20, 400)
    oracle = grid[np.argmin([nll(flat, many, t, items=items) for t in grid])]
    assert together == pytest.approx(oracle, rel=0.02)  # the grid's step is 1.5 %

    def error(temperature: float) -> float:
        mean = special.softmax(logits / temperature, axis=2).mean(axis=0)
        return ece(mean.max(axis=1), mean.argmax(axis=1) == truth)

    assert together < 0.7 * each
    assert error(together) < 0.5 * error(each)


# --- abstaining


def test_the_most_confident_share_is_kept() -> None:
    sure = np.random.default_rng(4).random(101)
    kept = most_confident(sure, 0.8)
    assert kept.sum() == 81
    assert sure[kept].min() > sure[~kept].max()
    assert most_confident(sure, 1.0).all()
    assert most_confident([0.5, 0.5, 0.5, 0.5, 0.5], 0.6).tolist() == [True, True, True, False, False]
    assert most_confident([], 0.5).tolist() == []


def test_a_weak_model_does_not_call_everything_uncertain() -> None:
    sure = np.linspace(0.1, 0.9, 100)
    wrong_below = sure > 0.75  # a fifth is right
    assert certainty_threshold(sure, wrong_below, 0.5) == pytest.approx(0.9)
    assert abstention_threshold(sure, wrong_below, accuracy=0.5, coverage=0.8) == pytest.approx(sure[20])
    good = sure > 0.12
    for coverage in (0.5, 0.8):
        found = abstention_threshold(sure, good, accuracy=0.5, coverage=coverage)
        assert found == certainty_threshold(sure, good, 0.5) < sure[20]
    assert abstention_threshold([], [], accuracy=0.5, coverage=0.8) == 0


def test_a_coverage_of_nothing_is_refused() -> None:
    for coverage in (0.0, 1.2):
        with pytest.raises(ValueError, match=f"coverage must be above 0 and at most 1, got {coverage}"):
            most_confident([0.5], coverage)
