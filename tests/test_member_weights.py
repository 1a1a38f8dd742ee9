"""Weights of members, against a general optimiser and cases with a known best."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from voxaffect.errors import CorpusError
from voxaffect.member_weights import fit_weights


def likelihood(weights: np.ndarray, p: np.ndarray) -> float:
    """sum_i log(sum_m w_m p_mi / sum_m w_m) over the members that have utterance i, of those that two have."""
    known = ~np.isnan(p)
    shared = known.sum(axis=0) > 1
    p, known = np.where(known, p, 0.0)[:, shared], known[:, shared]
    return float(np.log((weights @ p) / (weights @ known)).sum())


def optimum(p: np.ndarray) -> float:
    """The likelihood that scipy finds, from several starts, over weights exp(x)."""
    starts = np.random.default_rng(0).normal(0, 1, (5, len(p)))
    found = (minimize(lambda x: -likelihood(np.exp(x), p), x, method="L-BFGS-B") for x in starts)
    return max(-f.fun for f in found)


def test_members_that_share_all_utterances_get_the_weights_of_maximum_likelihood() -> None:
    p = np.random.default_rng(1).uniform(0.05, 1, (4, 60))
    p[2] **= 0.4
    w = fit_weights(p)
    assert w.sum() == pytest.approx(1)
    assert (w >= 0).all()
    assert likelihood(w, p) == pytest.approx(optimum(p), abs=1e-4)
    assert w.argmax() == 2


def test_so_do_members_with_different_dev_speakers() -> None:
    p = np.random.default_rng(2).beta(0.5, 0.5, (3, 90))
    p[0, :30] = p[1, 30:60] = p[2, 60:] = np.nan
    w = fit_weights(p)
    assert likelihood(w, p) == pytest.approx(optimum(p), abs=1e-4)
    assert w.min() > 0.1  # an optimum inside the simplex
    p[1] **= 0.1  # the best by far: the others' weights go to 0, and the last steps there are slow
    assert likelihood(fit_weights(p), p) == pytest.approx(optimum(p), abs=0.05)
    assert fit_weights(p)[1] > 0.95


def test_a_member_that_is_better_everywhere_takes_all() -> None:
    assert fit_weights([[0.9, 0.8, 0.6], [0.5, 0.4, 0.3]]) == pytest.approx([1, 0], abs=1e-6)


def test_equal_members_share_equally() -> None:
    assert fit_weights(np.full((3, 5), 0.4)) == pytest.approx([1 / 3] * 3)


def test_a_certain_error_is_not_infinitely_bad() -> None:
    w = fit_weights([[0.0, 0.9, 0.9, 0.9], [0.3, 0.2, 0.2, 0.2]])
    assert np.isfinite(w).all()
    assert 0 < w[1] < 1


def test_an_utterance_of_a_single_member_says_nothing() -> None:
    p = np.array([[0.9, 0.3, 0.6, 0.01], [0.4, 0.7, 0.5, np.nan]])
    assert fit_weights(p) == pytest.approx(fit_weights(p[:, :3]))


def test_members_that_share_nothing_cannot_be_weighed() -> None:
    with pytest.raises(CorpusError, match="the 2 members cannot be weighed: they share no dev utterance"):
        fit_weights([[0.5, np.nan], [np.nan, 0.5]])
    with pytest.raises(CorpusError, match="the 2 members cannot be weighed: they share no dev utterance"):
        fit_weights(np.zeros((2, 0)))


def test_nor_groups_of_members_that_share_nothing_with_each_other() -> None:
    p = np.full((4, 4), np.nan)
    p[0, 0] = p[1, 0] = p[2, 1] = p[3, 1] = 0.5
    with pytest.raises(CorpusError, match=r"the 4 members .* some share no dev utterance with the others"):
        fit_weights(p)
    p[1, 2] = p[2, 2] = 0.5  # a chain is enough
    assert fit_weights(p) == pytest.approx([0.25] * 4)


def test_one_member_is_no_ensemble() -> None:
    with pytest.raises(ValueError, match=r"two members or more, got \(1, 3\)"):
        fit_weights([[0.5, 0.5, 0.5]])
