"""Calibration: a temperature fitted on dev data, how far probabilities are from what they say, what abstaining buys.

Sources: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 (ECE: eq. 3, temperature: eq. 9); El-Yaniv,
Wiener, "On the foundations of noise-free selective classification", JMLR 2010 (risk and coverage).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

N_BINS = 15
"""Bins of equal width of the calibration error, as in the source."""
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""Without a single error the best temperature would be 0, without a single hit infinite: it stops here."""


@dataclass(frozen=True)
class ReliabilityBin:
    """The predictions of a confidence in (`low`, `high`]: how many, how sure on average, how often right."""

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


def softmax(logits: npt.ArrayLike, temperature: float = 1.0) -> Floats:
    """Probabilities softmax(logits / T) over the last axis.

    >>> softmax([[0.0, 0.0]]).tolist()
    [[0.5, 0.5]]
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, got {temperature}")
    return np.asarray(
        np.exp(_log_softmax(np.asarray(logits, dtype=np.float64) / temperature)), dtype=np.float64
    )


def nll(
    logits: npt.ArrayLike,
    truth: npt.ArrayLike,
    temperature: float = 1.0,
    *,
    items: npt.ArrayLike | None = None,
) -> float:
    """The mean negative log-likelihood of `truth` (N,) under softmax(logits / T), in nats.

    `items` (N,) says which rows are answers of several members about one item: their probabilities are averaged, and
    each item counts once.

    >>> round(nll([[0.0, 0.0]], [1]), 4)
    0.6931
    >>> round(nll([[9.0, 0.0], [0.0, 9.0]], [1, 1], items=[0, 0]), 4)
    0.6931
    """
    z, t = _checked(logits, truth)
    of_truth = _log_softmax(z / temperature)[np.arange(len(t)), t]
    if items is None:
        return float(-of_truth.mean())
    place = np.unique(np.asarray(items), return_inverse=True)[1]
    mean = np.bincount(place, np.exp(of_truth)) / np.bincount(place)
    return float(-np.log(np.maximum(mean, np.finfo(np.float64).tiny)).mean())


def fit_temperature(
    logits: npt.ArrayLike, truth: npt.ArrayLike, *, items: npt.ArrayLike | None = None
) -> float:
    """The temperature T that minimises `nll(logits, truth, T, items=items)`, between 0.05 and 20.

    `logits` is (N, K); log-probabilities do as well. Fit it on dev data, never on test data. The mean of members
    is less sure than each of them: a temperature that is right for one makes their mean too unsure, so members that
    are going to be averaged are given with their `items`.

    Without `items` the loss is convex in 1/T and has one minimum over log T, which golden-section search finds (to
    1e-6 in log T). With them it need not be: the search starts around the best of 60 temperatures.

    Raises ValueError if shapes do not fit, a logit is not finite, or N is 0.
    """
    z, t = _checked(logits, truth)
    low, high = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)

    def loss(log_temperature: float) -> float:
        return nll(z, t, math.exp(log_temperature), items=items)

    if items is not None:
        grid = np.linspace(low, high, 60)
        best = int(np.argmin([loss(x) for x in grid]))
        low, high = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, 59)])
    shrink = (math.sqrt(5) - 1) / 2
    a, b = high - shrink * (high - low), low + shrink * (high - low)
    loss_a, loss_b = loss(a), loss(b)
    while high - low > 1e-6:
        if loss_a <= loss_b:
            high, b, loss_b = b, a, loss_a
            a = high - shrink * (high - low)
            loss_a = loss(a)
        else:
            low, a, loss_a = a, b, loss_b
            b = low + shrink * (high - low)
            loss_b = loss(b)
    return math.exp((low + high) / 2)


def bin_of(confidence: npt.ArrayLike, n_bins: int = N_BINS) -> npt.NDArray[np.int64]:
    """The number (N,) of the bin (low, high] of each confidence; 0 is in the first."""
    edges = np.linspace(0, 1, n_bins + 1)
    return np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, n_bins - 1).astype(np.int64)


def reliability(
    confidence: npt.ArrayLike, correct: npt.ArrayLike, n_bins: int = N_BINS
) -> tuple[ReliabilityBin, ...]:
    """The bins of equal width that hold any predictions, from unsure to sure.

    `confidence` (N,) is the probability of the predicted class, `correct` (N,) whether it was right.
    Raises ValueError if lengths differ or a confidence is outside 0 to 1.
    """
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    if sure.shape != right.shape or sure.ndim != 1:
        raise ValueError(f"confidence and correct must be equally long, got {sure.shape} and {right.shape}")
    if not ((sure >= 0) & (sure <= 1 + 1e-6)).all():
        raise ValueError("confidence must be from 0 to 1")
    edges = np.linspace(0, 1, n_bins + 1)
    index = bin_of(sure, n_bins)
    bins = []
    for k in range(n_bins):
        inside = index == k
        if n := int(inside.sum()):
            mean = float(sure[inside].mean())
            bins.append(
                ReliabilityBin(float(edges[k]), float(edges[k + 1]), n, mean, float(right[inside].mean()))
            )
    return tuple(bins)


def ece(confidence: npt.ArrayLike, correct: npt.ArrayLike, n_bins: int = N_BINS) -> float:
    """Expected calibration error: sum over bins of n/N |accuracy - confidence|; NaN if there is nothing.

    >>> round(ece([0.9, 0.9, 0.9, 0.9], [True, True, True, False]), 4)
    0.15
    """
    bins = reliability(confidence, correct, n_bins)
    n = sum(b.n for b in bins)
    return sum(b.n * abs(b.accuracy - b.confidence) for b in bins) / n if n else math.nan


def certainty_threshold(confidence: npt.ArrayLike, correct: npt.ArrayLike, accuracy: float) -> float:
    """The highest confidence t such that answers of confidence up to t were right at most `accuracy` of the time.

    0 where there is none: even the least confident answers were right more often. Raises ValueError if the
    lengths differ.

    >>> certainty_threshold([0.3, 0.4, 0.5, 0.9], [False, True, False, True], 0.4)
    0.5
    >>> certainty_threshold([0.3, 0.4, 0.6, 0.9], [False, True, True, True], 0.5)
    0.4
    """
    sure, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=bool)
    if sure.shape != right.shape or sure.ndim != 1:
        raise ValueError(f"confidence {sure.shape} and correct {right.shape} must be (N,) both")
    order = np.argsort(sure, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    low = np.flatnonzero(share <= accuracy)
    return float(sure[order[low[-1]]]) if len(low) else 0.0


def most_confident(confidence: npt.ArrayLike, coverage: float) -> npt.NDArray[np.bool_]:
    """Which of the answers (N,) are the most confident `coverage` of them, rounded up; of equals the first.

    Raises ValueError for a coverage that is not above 0 and at most 1.

    >>> most_confident([0.9, 0.3, 0.5, 0.8], 0.5).tolist()
    [True, False, False, True]
    """
    if not 0 < coverage <= 1:
        raise ValueError(f"coverage must be above 0 and at most 1, got {coverage}")
    sure = np.asarray(confidence, dtype=np.float64)
    kept = np.zeros(len(sure), dtype=bool)
    kept[np.argsort(-sure, kind="stable")[: math.ceil(coverage * len(sure) - 1e-9)]] = True
    return kept


def abstention_threshold(
    confidence: npt.ArrayLike, correct: npt.ArrayLike, *, accuracy: float, coverage: float
) -> float:
    """The confidence below which an answer had better not be relied on.

    It is `certainty_threshold(confidence, correct, accuracy)`, but never so high that less than `coverage` of the
    answers reach it: a weak model would call itself uncertain throughout, its good answers with the bad.

    >>> abstention_threshold([0.3, 0.4, 0.5, 0.9], [False, False, False, True], accuracy=0.5, coverage=0.75)
    0.4
    """
    sure = np.asarray(confidence, dtype=np.float64)
    low = certainty_threshold(sure, correct, accuracy)
    return min(low, float(sure[most_confident(sure, coverage)].min())) if sure.size else low


def _checked(logits: npt.ArrayLike, truth: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.int64]]:
    z, t = np.asarray(logits, dtype=np.float64), np.asarray(truth)
    if z.ndim != 2 or t.shape != z.shape[:1] or not t.size:
        raise ValueError(f"logits must be (N, K) and truth (N,) with N > 0, got {z.shape} and {t.shape}")
    if not np.isfinite(z).all():
        raise ValueError(
            "logits must be finite; clip probabilities away from 0 before taking their logarithm"
        )
    if t.min() < 0 or t.max() >= z.shape[1]:
        raise ValueError(f"truth holds class {t.min()} to {t.max()}; expected 0 to {z.shape[1] - 1}")
    return z, t.astype(np.int64)


def _log_softmax(z: Floats) -> Floats:
    shifted = z - z.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), dtype=np.float64)
