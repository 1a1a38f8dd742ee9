"""Calibration against formulas, scikit-learn and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, special
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from voxaffect.calibration import ece, fit_temperature, nll, reliability, softmax


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
