"""What a report knows: systems whose answers are reported, with who trained them, who voted, and what else is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from voxaffect.evaluation import Evaluation
from voxaffect.predictions import Predictions
from voxaffect.recipe import Recipe
from voxaffect.significance import Comparison, Interval, McNemar
from voxaffect.trainings import Training

MEASURES = ("WA", "UA", "macro-F1")
"""The measures in the order in which papers of this field print them."""


@dataclass(frozen=True, eq=False)
class Member:
    """One member of an ensemble: where its `run` lies, its speakers, united over its `folds` folds, its weight, its
    answers."""

    name: str
    run: str
    train: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]
    folds: int
    weight: float
    predictions: Predictions


@dataclass(frozen=True, eq=False)
class Vote:
    """How members became one answer, and what that was worth beside the mean member."""

    rule: str
    members: tuple[Member, ...]
    ties: int
    gain: Mapping[str, Interval]
    p: Mapping[str, float]
    median_member: str
    mcnemar: McNemar
    trusted: tuple[str, ...]
    optimistic: tuple[str, ...]


@dataclass(frozen=True)
class NoAudio:
    """A guess without listening. `known` is the share of test utterances for which it had something to go by."""

    name: str
    known: float
    measures: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class System:
    """One system whose answers are reported, with everything its folder says about it."""

    name: str
    title: str
    predictions: Predictions
    evaluation: Evaluation
    trainings: tuple[Training, ...] = ()
    vote: Vote | None = None
    recipe: Recipe | None = None
    digest: str = ""
    """The recipe's digest as it was recorded."""
    environment: Mapping[str, Any] = field(default_factory=dict)
    epochs: tuple[Mapping[str, Any], ...] = ()
    baselines: tuple[NoAudio, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Guesses that could not be made, with the reason."""
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What is known of each utterance: the columns of utterances.csv, or else of the predictions."""
    reasons: tuple[str, ...] = ()
    """Why its figures are better than honest ones would be."""
    adapted: Comparison | None = None
    """Its adapted, transductive answers against the plain ones, where the run has any."""

    @property
    def by_member(self) -> bool:
        """Whether each member of a vote was trained once, so that its speakers are those of one training."""
        return self.vote is not None and all(m.folds == 1 for m in self.vote.members)

    @property
    def all_trainings(self) -> tuple[Training, ...]:
        """Each training behind the answers: those of the members if `by_member`, else what folds.json lists."""
        if self.vote and self.by_member:
            return tuple(Training(0, m.name, m.train, m.dev, m.test) for m in self.vote.members)
        return self.trainings


@dataclass(frozen=True, eq=False)
class Source:
    """What is reported: the systems of a study, or a single one."""

    title: str
    systems: tuple[System, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why any of its figures is better than an honest one would be, each once."""
        return tuple(dict.fromkeys(reason for system in self.systems for reason in system.reasons))
