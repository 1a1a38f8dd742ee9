"""Adaptation to a speaker or a recording condition from unlabelled audio: what of its statistics is not emotion.

An utterance's statistics are taken to be a mean, plus what its class adds, plus what its speaker (or its recording
condition) adds, plus the rest. What the speaker adds, the offset, is the mean of the enrolled utterances less the
mean less what their classes add, shrunk while there are few seconds; it is taken away before a head answers that
was fitted on training speakers of whom it had been taken away in the same way.

The catch is the classes, which nobody tells. Taking the enrolled audio for an even mix, as standardising by speaker
does, erases the anger of one who is angry throughout; taking the plain answers for truth keeps their errors. So how
much the audio varies decides between the two: answers that vary as those of whole training speakers do come from a
mix, answers that vary no more than those of one class within one speaker come from one. The measure looks at
differences alone, so that a voice that always sounds angry does not count as one emotion.

Source: the additive model and its shrinkage follow Gauvain and Lee, "Maximum a posteriori estimation for
multivariate Gaussian mixture observations of Markov chains", IEEE Trans. Speech and Audio Processing 2(2), 1994.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

ONE, MIX = 0.2, 0.5
"""Below and above which `Gauge.variety` counts as one class and as an even mix: chosen on dev speakers of RAVDESS,
where single classes gave -0.3 to 0.4 and whole speakers 0.6 to 1.5."""
EPSILON = 1e-9


@dataclass(frozen=True, eq=False)
class Gauge:
    """How far log-probabilities vary beyond those of one class within one unit: 0, to 1 of a whole training unit.

    `whitening` (K, Q) makes that lesser variation one in every direction, `spread` is what a whole unit has beyond.
    """

    whitening: Floats
    spread: float

    def excess(self, log_probs: Floats) -> float:
        """The mean variance of whitened (N, K) log-probabilities over 1; 0 for a single utterance."""
        if len(log_probs) < 2:
            return 0.0
        return float(np.var(contrasts(log_probs) @ self.whitening, axis=0, ddof=1).mean() - 1)

    def variety(self, log_probs: Floats) -> float:
        """The excess in parts of that of a whole training unit."""
        return self.excess(log_probs) / self.spread

    def mixture(self, log_probs: Floats) -> float:
        """How far (N, K) log-probabilities count as an even mix of the classes: 0, one class, to 1."""
        return float(np.clip((self.variety(log_probs) - ONE) / (MIX - ONE), 0.0, 1.0))

    def to_dict(self) -> dict[str, Any]:
        """JSON values, as a model file keeps them."""
        return {"whitening": [[float(x) for x in row] for row in self.whitening], "spread": self.spread}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], n_classes: int) -> Gauge:
        """What `to_dict` gave; ValueError, TypeError or KeyError where it did not."""
        gauge = cls(np.array(data["whitening"], dtype=np.float64), float(data["spread"]))
        if gauge.whitening.ndim != 2 or len(gauge.whitening) != n_classes or not gauge.whitening.size:
            raise ValueError(f"whitening has shape {gauge.whitening.shape}; expected ({n_classes}, Q)")
        if not (np.isfinite(gauge.whitening).all() and np.isfinite(gauge.spread) and gauge.spread > 0):
            raise ValueError("whitening and spread must be finite, and spread above 0")
        return gauge


@dataclass(frozen=True, eq=False)
class Voice:
    """What the training units have in common: the `mean` (D,) of statistics without what classes add, the `shifts`
    (K, D) that classes add, and the `shrinkage` in seconds of speech, of which an offset counts by half."""

    mean: Floats
    shifts: Floats
    shrinkage: float

    @classmethod
    def empty(cls, n_classes: int, n_features: int, shrinkage: float) -> Voice:
        """One of zeros, for weights to be read into."""
        return cls(np.zeros(n_features), np.zeros((n_classes, n_features)), shrinkage)

    def offset(self, enrolment: Enrolment) -> Floats:
        """What the enrolled speaker or condition adds (D,)."""
        trust = enrolment.seconds / (enrolment.seconds + self.shrinkage)
        offset: Floats = trust * (enrolment.mean - self.mean - enrolment.shares @ self.shifts)
        return offset


@dataclass(frozen=True, eq=False)
class Enrolment:
    """What unlabelled audio of one speaker or condition says: `mean` (D,) of its statistics and the `shares` (K,) of
    the classes in it, both weighted by seconds; how far it counts as an even `mixture`, 0 to 1."""

    mean: Floats
    shares: Floats
    seconds: float
    mixture: float


def enrol(
    statistics: npt.ArrayLike, log_probs: npt.ArrayLike, seconds: npt.ArrayLike, gauge: Gauge
) -> Enrolment:
    """The enrolment of N pieces of audio: (N, D) statistics, (N, K) plain log-probabilities, (N,) seconds.

    Raises ValueError if there is none, or a length does not fit.
    """
    x, z, s = (np.asarray(values, dtype=np.float64) for values in (statistics, log_probs, seconds))
    if not len(x) or len(z) != len(x) or s.shape != (len(x),) or not s.sum() > 0:
        raise ValueError(f"expected one or more pieces alike, got {x.shape}, {z.shape} and {s.shape}")
    weights = s / s.sum()
    mixture = gauge.mixture(z)
    heard = weights @ np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True))
    shares = mixture / z.shape[1] + (1 - mixture) * heard
    return Enrolment(weights @ x, shares, float(s.sum()), mixture)


def fit_gauge(log_probs: Floats, targets: npt.NDArray[np.int64], units: Sequence[str]) -> Gauge:
    """The gauge of training utterances: (N, K) log-probabilities by models that did not see them, (N,) classes.

    Raises ValueError if no unit has two utterances of a class, or whole units vary no more than single classes.
    """
    z = contrasts(log_probs)
    names, numbers = np.unique(np.asarray(units), return_inverse=True)
    cells = numbers * z.shape[1] + targets
    _, of_cell = np.unique(cells, return_inverse=True)
    within = z - _means(z, of_cell)[of_cell]
    free = len(z) - (of_cell.max() + 1)
    if free < 1:
        raise ValueError("no unit has two utterances of one class to tell how far these vary")
    values, vectors = np.linalg.eigh(within.T @ within / free)
    kept = values > EPSILON * max(
        float(values.max()), EPSILON
    )  # all but the direction of what is common to a row
    gauge = Gauge(vectors[:, kept] / np.sqrt(values[kept]), 1.0)
    spread = float(np.mean([gauge.excess(log_probs[numbers == unit]) for unit in range(len(names))]))
    if not (kept.any() and spread > 0):
        raise ValueError("the answers about whole units vary no more than those about one class of them")
    return Gauge(gauge.whitening, spread)


def fit_voice(
    statistics: Floats,
    targets: npt.NDArray[np.int64],
    units: Sequence[str],
    n_classes: int,
    shrinkage: float,
) -> Voice:
    """The least-squares fit of statistics (N, D) = what the unit adds + what the class adds.

    The classes' shifts sum to zero; the mean is over units, each counted once.
    """
    _, numbers = np.unique(np.asarray(units), return_inverse=True)
    one_hot = np.eye(n_classes)[targets]
    of_unit, classes_of_unit = _means(statistics, numbers), _means(one_hot, numbers)
    # Within units only the classes differ. The solution of least norm sums to zero over classes.
    shifts, *_ = np.linalg.lstsq(
        one_hot - classes_of_unit[numbers], statistics - of_unit[numbers], rcond=None
    )
    mean = (of_unit - classes_of_unit @ shifts).mean(axis=0)
    return Voice(mean, np.asarray(shifts, dtype=np.float64), shrinkage)


def contrasts(log_probs: npt.ArrayLike) -> Floats:
    """Log-probabilities (N, K) less the mean of each row: what is left of logits and log-probabilities alike."""
    z = np.asarray(log_probs, dtype=np.float64)
    return np.asarray(z - z.mean(axis=1, keepdims=True))


def _means(values: Floats, numbers: npt.NDArray[np.int64]) -> Floats:
    """The mean of `values` (N, D) for each number from 0 on: (U, D)."""
    counts = np.bincount(numbers)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, numbers, values)
    return np.asarray(sums / counts[:, None])
