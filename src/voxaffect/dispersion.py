"""Dispersion: how far systems differ on the same utterances, and how far equally good ones would.

Members of an ensemble that were trained on different speakers score differently. Some of that is the choice of
speakers; some is chance, since a test set is finite. If all M systems were equally good on each utterance, it would be
chance alone which of them are right on it. Shuffling the k_u that are right among the M gives

    E[s^2] = sum_u w_u^2 k_u (M - k_u) / (M (M - 1)),        Q = (M - 1) s^2 / E[s^2]  ~  chi^2 with M - 1 degrees

for the variance s^2 of a measure sum_u w_u right_u. With equal weights (WA) Q is Cochran's. Source: W. G. Cochran, "The
comparison of percentages in matched samples", Biometrika 37 (1950), eq. 1; weights of 1 / (K n_c) make it that of UA.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Dispersion:
    """A measure over M systems; standard deviations with M - 1.

    `chance` is the one expected if all were equally good on these very utterances, `fresh` the one expected if each
    equally good system had a test set of this size of its own. `p` is how often chance alone would make `std` at
    least as large; 1 where no utterance tells the systems apart.
    """

    mean: float
    std: float
    low: float
    high: float
    chance: float
    fresh: float
    p: float


def dispersion(truth: npt.ArrayLike, predicted: npt.ArrayLike, n_classes: int) -> Mapping[str, Dispersion]:
    """The dispersion of WA and UA over M systems: `truth` (N,), `predicted` (M, N), classes 0 to K - 1.

    Repetitions with several seeds count as utterances of their own. Raises ValueError for fewer than two systems, no
    utterance, or shapes that do not fit.

    >>> two = dispersion([0, 0, 1, 1], [[0, 0, 1, 1], [0, 1, 1, 0]], 2)
    >>> two["WA"].mean, two["WA"].low, two["WA"].high
    (0.75, 0.5, 1.0)
    """
    t, p = np.asarray(truth, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    if t.ndim != 1 or p.ndim != 2 or p.shape[1:] != t.shape or len(p) < 2 or not t.size:
        raise ValueError(f"expected truth (N,) and predicted (M, N) with M > 1, got {t.shape} and {p.shape}")
    right = p == t  # (M, N)
    counts = np.bincount(t, minlength=n_classes)  # (K,)
    of_class = 1 / (np.count_nonzero(counts) * counts[t])  # (N,)
    return {
        "WA": _of(right, np.full(t.shape, 1 / len(t)), np.zeros_like(t)),
        "UA": _of(right, of_class, t),
    }


def expected_range(n: int) -> float:
    """The range of n independent draws of a normal distribution, expected in standard deviations.

    The integral of 1 - F^n - (1 - F)^n over the line. Source: L. H. C. Tippett, Biometrika 17 (1925).

    >>> round(expected_range(2), 4), round(expected_range(7), 3)
    (1.1284, 2.704)
    """
    x = np.linspace(-9.0, 9.0, 3601)
    F = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])
    return float(np.trapezoid(1 - F**n - (1 - F) ** n, x))


def chi_square_tail(x: float, degrees: int) -> float:
    """The probability that chi-square with `degrees` (1, 2, …) is at least x: the finite sums for whole degrees.

    Source: Abramowitz & Stegun, "Handbook of Mathematical Functions" (1964), 26.4.4 and 26.4.5.

    >>> round(chi_square_tail(3.841, 1), 3), round(chi_square_tail(12.592, 6), 3)
    (0.05, 0.05)
    """
    if degrees < 1:
        raise ValueError(f"degrees must be at least 1, got {degrees}")
    if x <= 0:
        return 1.0
    half, odd = x / 2, degrees % 2
    tail = math.erfc(math.sqrt(half)) if odd else 0.0
    for i in range(degrees // 2):
        a = i + odd / 2
        tail += math.exp(a * math.log(half) - half - math.lgamma(a + 1))
    return min(1.0, tail)


def _of(right: npt.NDArray[np.bool_], weights: Floats, strata: npt.NDArray[np.int64]) -> Dispersion:
    """`strata` (N,) says within which utterances a fresh test set would be drawn; their weights are equal."""
    M = len(right)
    values = right @ weights  # (M,)
    k = right.sum(axis=0)  # (N,)
    chance = float((weights**2 * k * (M - k)).sum()) / (M * (M - 1))
    variance = float(values.var(ddof=1))
    fresh = 0.0
    for stratum in np.unique(strata):
        rate = float(right[:, strata == stratum].mean())
        fresh += float((weights[strata == stratum] ** 2).sum()) * rate * (1 - rate)
    return Dispersion(
        mean=float(values.mean()),
        std=math.sqrt(variance),
        low=float(values.min()),
        high=float(values.max()),
        chance=math.sqrt(chance),
        fresh=math.sqrt(fresh),
        p=chi_square_tail((M - 1) * variance / chance, M - 1) if chance > 0 else 1.0,
    )
