"""Calibration: a temperature fitted on dev data, and how far probabilities are from what they say.

Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017 (ECE: eq. 3, temperature: eq. 9).
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


def nll(logits: npt.ArrayLike, truth: npt.ArrayLike, temperature: float = 1.0) -> float:
    """The mean negative log-likelihood of `truth` (N,) under softmax(logits / T), in nats.

    >>> round(nll([[0.0, 0.0]], [1]), 4)
    0.6931
    """
    z, t = _checked(logits, truth)
    return float(-_log_softmax(z / temperature)[np.arange(len(t)), t].mean())


def fit_temperature(logits: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """The temperature T that minimises `nll(logits, truth, T)`, between 0.05 and 20.

    `logits` is (N, K); log-probabilities do as well. Fit it on dev data, never on test data. The loss is
    convex in 1/T, so it has one minimum over log T, which golden-section search finds (to 1e-6 in log T).

    Raises ValueError if shapes do not fit, a logit is not finite, or N is 0.
    """
    z, t = _checked(logits, truth)
    low, high = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)
    shrink = (math.sqrt(5) - 1) / 2
    a, b = high - shrink * (high - low), low + shrink * (high - low)
    loss_a, loss_b = nll(z, t, math.exp(a)), nll(z, t, math.exp(b))
    while high - low > 1e-6:
        if loss_a <= loss_b:
            high, b, loss_b = b, a, loss_a
            a = high - shrink * (high - low)
            loss_a = nll(z, t, math.exp(a))
        else:
            low, a, loss_a = a, b, loss_b
            b = low + shrink * (high - low)
            loss_b = nll(z, t, math.exp(b))
    return math.exp((low + high) / 2)


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
    index = np.clip(
        np.searchsorted(edges, sure, side="left") - 1, 0, n_bins - 1
    )  # (low, high], and 0 in the first
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
