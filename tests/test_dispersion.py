"""How far systems differ, against Cochran's own formula, scipy, and shuffling itself."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from voxaffect import metrics
from voxaffect.dispersion import chi_square_tail, dispersion, expected_range

K = 4


def systems(
    rates: tuple[float, ...], n: int = 400, seed: int = 0
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Truth and the predictions of systems that share what is hard and are right at `rates` elsewhere."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(K, size=n, p=[0.1, 0.2, 0.3, 0.4])
    hard = rng.random(n) < 0.2
    wrong = (truth + rng.integers(1, K, (len(rates), n))) % K
    right = (rng.random((len(rates), n)) < np.array(rates)[:, None]) & ~hard
    return truth, np.where(right, truth, wrong)


def test_the_figures_are_those_of_the_metrics() -> None:
    truth, predicted = systems((0.6, 0.7, 0.8))
    found = dispersion(truth, predicted, K)
    for name, measure in (("WA", metrics.wa), ("UA", metrics.ua)):
        values = [float(measure(metrics.confusion(truth, p, K))) for p in predicted]
        d = found[name]
        assert (d.mean, d.low, d.high) == pytest.approx((np.mean(values), min(values), max(values)))
        assert d.std == pytest.approx(np.std(values, ddof=1))


def test_the_test_of_wa_is_cochran_s_q() -> None:
    truth, predicted = systems((0.6, 0.66, 0.7, 0.62))
    x = (predicted == truth).T  # (N, M): Cochran's blocks and treatments
    n_right, of_block, M = x.sum(axis=0), x.sum(axis=1), x.shape[1]
    q = (M - 1) * (M * (n_right**2).sum() - n_right.sum() ** 2) / (M * of_block.sum() - (of_block**2).sum())
    assert dispersion(truth, predicted, K)["WA"].p == pytest.approx(stats.chi2.sf(q, M - 1))


@pytest.mark.parametrize("name", ["WA", "UA"])
def test_chance_is_what_shuffling_the_hits_makes(name: str) -> None:
    truth, predicted = systems((0.55, 0.7, 0.6, 0.65, 0.6))
    d = dispersion(truth, predicted, K)[name]
    right = predicted == truth
    counts = np.bincount(truth)
    weights = np.full(len(truth), 1 / len(truth)) if name == "WA" else 1 / (K * counts[truth])
    rng = np.random.default_rng(1)
    stds = np.array([(rng.permuted(right, axis=0) @ weights).std(ddof=1) for _ in range(3000)])
    assert math.sqrt(float((stds**2).mean())) == pytest.approx(d.chance, rel=0.03)  # 3000 draws: about 1 %
    assert float((stds >= d.std).mean()) == pytest.approx(d.p, abs=0.03)


def test_fresh_test_sets_differ_by_the_binomial_formula() -> None:
    truth, predicted = systems((0.6, 0.7))
    found = dispersion(truth, predicted, K)
    rate = float((predicted == truth).mean())
    assert found["WA"].fresh == pytest.approx(math.sqrt(rate * (1 - rate) / len(truth)))
    recalls = [float((predicted[:, truth == k] == k).mean()) for k in range(K)]
    terms = [r * (1 - r) / int((truth == k).sum()) for k, r in enumerate(recalls)]
    assert found["UA"].fresh == pytest.approx(math.sqrt(sum(terms)) / K)


def test_equally_good_systems_are_found_different_one_time_in_twenty() -> None:
    found = [dispersion(*systems((0.7,) * 5, 300, seed), K) for seed in range(300)]
    for name in ("WA", "UA"):
        share = float(np.mean([d[name].p < 0.05 for d in found]))
        assert 0.02 <= share <= 0.09  # 300 draws of 0.05: standard deviation 0.013


def test_systems_that_never_differ_show_no_dispersion() -> None:
    d = dispersion([0, 1], [[0, 0], [0, 0], [0, 0]], 2)["WA"]
    assert (d.std, d.chance, d.p) == (0.0, 0.0, 1.0)


def test_a_class_that_does_not_occur_has_no_share_in_ua() -> None:
    d = dispersion([0, 0, 2, 2], [[0, 0, 2, 0], [0, 1, 2, 2]], 3)["UA"]
    assert d.mean == pytest.approx(0.75)


@pytest.mark.parametrize("degrees", [1, 2, 3, 6, 9, 30])
def test_the_chi_square_tail_is_scipy_s(degrees: int) -> None:
    for x in (0.0, 0.01, 1.0, 7.5, 40.0, 900.0):
        assert chi_square_tail(x, degrees) == pytest.approx(stats.chi2.sf(x, degrees), rel=1e-10, abs=1e-300)


def test_the_expected_range_is_that_of_the_tables() -> None:
    for n, d2 in ((2, 1.12838), (3, 1.69257), (7, 2.70436), (10, 3.07751)):  # Tippett's d2
        assert expected_range(n) == pytest.approx(d2, abs=1e-5)


def test_what_has_no_dispersion_is_refused() -> None:
    for truth, predicted in (([0], [[0]]), ([], [[], []]), ([0, 1], [[0], [1]]), ([[0]], [[0], [0]])):
        with pytest.raises(ValueError, match=r"expected truth \(N,\) and predicted \(M, N\) with M > 1"):
            dispersion(truth, predicted, 2)
    with pytest.raises(ValueError, match="degrees must be at least 1, got 0"):
        chi_square_tail(1.0, 0)
