"""Members into one answer: a vote on the label, and the mean of their calibrated probabilities.

One rule for a recording's windows (`vote`) and for the test utterances of finished runs (`elect`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxaffect.calibration import softmax

RULES = ("majority", "mean")


@dataclass(frozen=True)
class Answer:
    """What the members say together. `votes` holds the labels that got any, the most first.

    `tied` where several labels had the most votes.
    """

    label: str
    score: float
    probs: dict[str, float]
    votes: dict[str, int]
    agreement: float
    tied: bool

    @property
    def contested(self) -> bool:
        """Whether no more than half of the members agree, as in any tie.

        Of the answers of seven members to 112 utterances of unseen speakers (results/ravdess-study), 14 and 15 were
        contested: 29 and 40 % of these were right, of the others 59 and 58 %.
        """
        return self.agreement <= 0.5


@dataclass(frozen=True, eq=False)
class Election:
    """What M members decide on each of N items.

    `winners` (N,) int64, `probs` (N, K) the members' (weighted) mean, `votes` (N, K) int64 how many members chose
    each class, `tied` (N,) bool where several classes had the most votes; never so by the rule "mean".
    """

    winners: npt.NDArray[np.int64]
    probs: npt.NDArray[np.float64]
    votes: npt.NDArray[np.int64]
    tied: npt.NDArray[np.bool_]


def elect(
    choices: npt.ArrayLike,
    probs: npt.ArrayLike,
    *,
    rule: str = "majority",
    weights: npt.ArrayLike | None = None,
) -> Election:
    """The decision of M members with `choices` (M, N) and `probs` (M, N, K) on each item.

    By the rule "majority" the class that most members chose wins, and of those that tie, the one of higher mean
    probability; by "mean" it is the class of the highest mean probability whatever the choices. Of classes that
    are alike in that too, the first wins. `weights` (M,) weigh the mean; a majority has none.

    >>> three = elect([[1], [1], [0]], [[[0.4, 0.6]], [[0.4, 0.6]], [[0.9, 0.1]]])
    >>> three.winners.tolist(), three.votes.tolist(), three.probs.round(2).tolist()
    ([1], [[1, 2]], [[0.57, 0.43]])

    Raises ValueError for another rule, shapes that do not fit, or weights that are negative or all 0.
    """
    if rule not in RULES:
        raise ValueError(f"unknown rule {rule!r}; expected 'majority' or 'mean'")
    chosen, p = np.asarray(choices), np.asarray(probs, dtype=np.float64)
    if p.ndim != 3 or chosen.shape != p.shape[:2] or not len(p):
        raise ValueError(f"choices must be (M, N) and probs (M, N, K), got {chosen.shape} and {p.shape}")
    mean = p.mean(axis=0) if weights is None else _weighted_mean(p, weights, rule)  # (N, K)
    votes = (chosen[..., None] == np.arange(p.shape[2])).sum(axis=0)  # (N, K)
    ahead = votes == votes.max(axis=1, keepdims=True)
    winners = (np.where(ahead, mean, -1.0) if rule == "majority" else mean).argmax(axis=1)
    tied = (ahead.sum(axis=1) > 1) & (rule == "majority")
    return Election(winners.astype(np.int64), mean, votes.astype(np.int64), tied)


def vote(
    logits: npt.ArrayLike, labels: Sequence[str], *, temperature: float = 1.0, rule: str = "majority"
) -> Answer:
    """The answer of M members with `logits` (M, K) over K `labels`; log-probabilities do as well.

    Each member votes for its most likely label; `elect` says who wins. `probs` is the members' mean of
    softmax(logits / temperature), `score` that of the label.

    >>> answer = vote([[0.0, 1.0], [0.0, 0.5], [4.0, 0.0]], ("angry", "sad"))
    >>> answer.label, answer.votes, round(answer.agreement, 2)
    ('sad', {'sad': 2, 'angry': 1}, 0.67)
    """
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != len(labels) or not len(values):
        raise ValueError(f"logits has shape {values.shape}; expected (members, {len(labels)})")
    election = elect(values.argmax(axis=1)[:, None], softmax(values, temperature)[:, None], rule=rule)
    winner, probs, counts = int(election.winners[0]), election.probs[0], election.votes[0]
    order = sorted(map(int, np.flatnonzero(counts)), key=lambda k: (-counts[k], -probs[k]))
    return Answer(
        label=labels[winner],
        score=float(probs[winner]),
        probs={label: float(p) for label, p in zip(labels, probs, strict=True)},
        votes={labels[k]: int(counts[k]) for k in order},
        agreement=float(counts[winner] / len(values)),
        tied=bool(election.tied[0]),
    )


def _weighted_mean(
    probs: npt.NDArray[np.float64], weights: npt.ArrayLike, rule: str
) -> npt.NDArray[np.float64]:
    w = np.asarray(weights, dtype=np.float64)
    if rule != "mean":
        raise ValueError(f"weights go with the rule 'mean', not with {rule!r}")
    if w.shape != probs.shape[:1] or not (w >= 0).all() or not w.sum() > 0:
        raise ValueError(f"weights must be ({len(probs)},), not negative and not all 0, got {w.tolist()}")
    return np.asarray(np.tensordot(w / w.sum(), probs, axes=1), dtype=np.float64)


def log_mean(log_probs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The logarithm of the members' mean probabilities: log-probabilities (N, M, K) to (N, K).

    What is not a number stays so, without a word: who asked looks at it.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(np.logaddexp.reduce(log_probs, axis=1) - np.log(log_probs.shape[1]))


def members_decide(log_probs: npt.NDArray[np.float64]) -> Election:
    """The majority of M members whose log-probabilities are (N, M, K)."""
    probs = np.exp(log_probs).swapaxes(0, 1)
    return elect(probs.argmax(axis=2), probs / probs.sum(axis=2, keepdims=True))
