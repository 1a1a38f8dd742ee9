"""Members into one answer: a vote on the label, and the mean of their calibrated probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxaffect.calibration import softmax


@dataclass(frozen=True)
class Answer:
    """What the members say together. `votes` holds the labels that got any, the most first."""

    label: str
    score: float
    probs: dict[str, float]
    votes: dict[str, int]
    agreement: float
    tied: bool


def vote(
    logits: npt.ArrayLike, labels: Sequence[str], *, temperature: float = 1.0, rule: str = "majority"
) -> Answer:
    """The answer of M members with `logits` (M, K) over K `labels`; log-probabilities do as well.

    Each member votes for its most likely label. By the rule "majority" the label with the most votes wins,
    and of those that tie, the one of higher mean probability; by "mean" it is the label of the highest mean
    probability whatever the votes. `probs` is the members' mean of softmax(logits / temperature), `score`
    that of the label.

    >>> answer = vote([[0.0, 1.0], [0.0, 0.5], [4.0, 0.0]], ("angry", "sad"))
    >>> answer.label, answer.votes, round(answer.agreement, 2)
    ('sad', {'sad': 2, 'angry': 1}, 0.67)
    """
    if rule not in ("majority", "mean"):
        raise ValueError(f"unknown rule {rule!r}; expected 'majority' or 'mean'")
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != len(labels) or not len(values):
        raise ValueError(f"logits has shape {values.shape}; expected (members, {len(labels)})")
    probs = softmax(values, temperature).mean(axis=0)  # (K,)
    counts = np.bincount(values.argmax(axis=1), minlength=len(labels))  # (K,)
    ahead = counts == counts.max()
    winner = int(np.where(ahead, probs, -1.0).argmax() if rule == "majority" else probs.argmax())
    order = sorted(map(int, np.flatnonzero(counts)), key=lambda k: (-counts[k], -probs[k]))
    return Answer(
        label=labels[winner],
        score=float(probs[winner]),
        probs={label: float(p) for label, p in zip(labels, probs, strict=True)},
        votes={labels[k]: int(counts[k]) for k in order},
        agreement=float(counts[winner] / len(values)),
        tied=rule == "majority" and int(ahead.sum()) > 1,
    )
