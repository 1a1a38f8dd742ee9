"""The temperature of a vote and the score below which its answers are uncertain, from answers whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxaffect.calibration import abstention_threshold, ece, fit_temperature, softmax
from voxaffect.predictions import Predictions
from voxaffect.voting import elect

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

UNCERTAIN_ACCURACY, LEAST_COVERAGE = 0.5, 0.8
"""An answer is called uncertain where answers of its confidence or less were right at most this often, but never more
than the least confident fifth of them."""
LINE_START = "- temperature "
"""How the line of a card begins that `Calibration.line` makes."""


@dataclass(frozen=True)
class Calibration:
    """What makes a model's probabilities mean something, and what they were worth on the dev utterances it is from.

    `answers_each` is how many members answered for a dev utterance on average, `certain` the share of answers that
    reach `uncertain_below`.
    """

    temperature: float
    uncertain_below: float
    dev_utterances: int
    answers_each: float
    ece: float
    certain: float

    def line(self, fitted_on: str) -> str:
        """What a model's card says of it; `fitted_on` says what answers it is from."""
        return (
            f"{LINE_START}{self.temperature:g}, fitted on {fitted_on}; an answer below {self.uncertain_below:.2f}, or "
            "one on which no more than half of the members agree, is called uncertain: of the answers that this was "
            f"fitted on {100 * (1 - self.certain):.0f} % were below"
        )


@dataclass(frozen=True, eq=False)
class Said:
    """What members said of utterances of known truth, an answer a row: `logits` (R, K), `truth` and `choices` (R,).

    `groups` are the rows of each utterance, those that vote on it together.
    """

    logits: Floats
    truth: Ints
    choices: Ints
    groups: Sequence[Ints]

    @classmethod
    def of(cls, predictions: Sequence[Predictions], *, n_members: int) -> Said:
        """Of a vote of `n_members`: all predictions of an utterance, but no more than will vote, go together.

        Of a single one each prediction is by itself.
        """
        ids = np.concatenate([p.ids for p in predictions])
        logits = np.concatenate([p.log_probs for p in predictions])
        truth = np.concatenate([p.truth for p in predictions])
        choices = np.concatenate([p.predicted for p in predictions])
        items = np.unique(ids, return_inverse=True)[1] if n_members > 1 else np.arange(len(ids))
        order = np.argsort(items, kind="stable")
        groups = np.split(order, np.flatnonzero(np.diff(items[order])) + 1)
        return cls(logits, truth, choices, [rows[:n_members] for rows in groups])

    @classmethod
    def by_all(cls, log_probs: Floats, truth: Ints) -> Said:
        """Of all members about each of N utterances: `log_probs` (N, M, K), `truth` (N,)."""
        n, n_members, n_classes = log_probs.shape
        logits = log_probs.reshape(-1, n_classes)
        groups = np.arange(n * n_members).reshape(n, n_members)
        return cls(logits, np.repeat(truth, n_members), logits.argmax(axis=1), [*groups])

    def voted(self, temperature: float) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """How sure the vote is of each utterance at a `temperature`, and whether it is right."""
        probs = softmax(self.logits, temperature)
        sure, right = np.empty(len(self.groups)), np.empty(len(self.groups), dtype=bool)
        for i, rows in enumerate(self.groups):
            decided = elect(self.choices[rows][:, None], probs[rows][:, None])
            winner = int(decided.winners[0])
            sure[i], right[i] = decided.probs[0, winner], winner == self.truth[rows[0]]
        return sure, right

    def ece(self, temperature: float) -> float:
        """The calibration error of the vote at a `temperature`."""
        return ece(*self.voted(temperature))


def calibrated(said: Said) -> Calibration:
    """Temperature and threshold of the vote.

    Answers about one utterance are averaged as the model file will average them. A temperature fitted to single
    answers would make the vote too unsure: on the two votes of results/ravdess-study ECE is 0.10 and 0.14 with it,
    0.06 and 0.10 with the vote's own (both fitted on the utterances that they are judged on).
    """
    kept = np.concatenate(said.groups)
    items = np.repeat(np.arange(len(said.groups)), [len(rows) for rows in said.groups])
    temperature = round(fit_temperature(said.logits[kept], said.truth[kept], items=items), 4)
    sure, right = said.voted(temperature)
    threshold = abstention_threshold(sure, right, accuracy=UNCERTAIN_ACCURACY, coverage=LEAST_COVERAGE)
    return Calibration(
        temperature=temperature,
        uncertain_below=round(threshold, 4),
        dev_utterances=len(said.groups),
        answers_each=round(len(kept) / len(said.groups), 2),
        ece=round(ece(sure, right), 4),
        certain=round(float((sure >= threshold).mean()), 4),
    )
