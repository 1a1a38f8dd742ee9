"""Who votes on what: the utterances that the same trainings answer, the members' weights there, and the decision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from voxaffect.errors import UsageError
from voxaffect.member import Member
from voxaffect.member_weights import fit_weights
from voxaffect.predictions import Predictions, concat
from voxaffect.stamps import OPTIMISTIC, optimistic_reason, plain_fold
from voxaffect.trainings import Training
from voxaffect.voting import elect


@dataclass(frozen=True, eq=False)
class Electorate:
    """The utterances (`rows` of the aligned predictions) on which one training of each member votes.

    `folds` names the fold of each member, `weights` (M,) what each counts; they add up to 1.
    """

    seed: int
    folds: tuple[str, ...]
    rows: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]

    @property
    def fold(self) -> str:
        """One name for the members' folds; it says OPTIMISTIC, and why, where one of theirs does."""
        reasons = sorted({reason for fold in self.folds if (reason := optimistic_reason(fold))})
        names = dict.fromkeys(plain_fold(fold) for fold in self.folds)
        return (f"{OPTIMISTIC} {', '.join(reasons)}: " if reasons else "") + "+".join(names)


@dataclass(frozen=True, eq=False)
class Decision:
    """The ensemble's answers, in the order of the aligned members.

    `ties` counts the utterances whose most votes several classes shared, `agreement` is the mean share of the
    members that agree with the decision.
    """

    predictions: Predictions
    ties: int
    agreement: float


def electorates(members: Mapping[str, Member], vote: str) -> tuple[Electorate, ...]:
    """The electorates of aligned `members`, with equal weights unless `vote` is `weighted`.

    Raises:
        UsageError: `no_dev_predictions` where weights have nothing to be fitted on.
        CorpusError: what `fit_weights` finds.
    """
    first = next(iter(members.values())).predictions
    folds = zip(*(m.predictions.folds for m in members.values()), strict=True)
    rows: dict[tuple[int, tuple[str, ...]], list[int]] = {}
    for i, (seed, names) in enumerate(zip(first.seeds, folds, strict=True)):
        rows.setdefault((seed, names), []).append(i)
    found = []
    for (seed, names), where in rows.items():
        equal = np.full(len(members), 1 / len(members))
        tested = {first.ids[i] for i in where}
        weights = _fitted(members, seed, names, tested) if vote == "weighted" else equal
        found.append(Electorate(seed, names, np.array(where, dtype=np.int64), weights))
    return tuple(found)


def decide(members: Mapping[str, Member], parts: Sequence[Electorate], vote: str) -> Decision:
    """What the electorates `parts` of aligned `members` decide; `vote` is majority, mean or weighted."""
    every = [m.predictions for m in members.values()]
    decided, ties, agreeing = [], 0, 0
    for part in parts:
        election = elect(
            np.stack([p.predicted[part.rows] for p in every]),
            np.stack([p.probs[part.rows] for p in every]),
            rule="majority" if vote == "majority" else "mean",
            weights=part.weights if vote == "weighted" else None,
        )
        ties += int(election.tied.sum())
        agreeing += int(election.votes[np.arange(len(part.rows)), election.winners].sum())
        decided.append(
            replace(
                every[0].select(part.rows),
                speakers=tuple(_known(p.speakers[i] for p in every) for i in part.rows),
                folds=(part.fold,) * len(part.rows),
                probs=election.probs,
                decisions=election.winners,
                has_probs=all(p.has_probs for p in every),
            )
        )
    together = concat(decided)
    order = sorted(range(len(together)), key=lambda i: (together.seeds[i], together.ids[i]))
    return Decision(together.select(order), ties, agreeing / (len(every) * len(together)))


def united(members: Mapping[str, Member], part: Electorate, predictions: Predictions) -> Training:
    """Who trained and selected any of the trainings that vote in `part`, and whom they test.

    Who trained one member and selected another counts as having trained.
    """
    trainings = [
        t for m, fold in zip(members.values(), part.folds, strict=True) if (t := m.training(part.seed, fold))
    ]
    train = {speaker for t in trainings for speaker in t.train}
    dev = {speaker for t in trainings for speaker in t.dev} - train
    test = {predictions.speakers[i] for i in part.rows}
    utterances: dict[str, tuple[str, ...]] = {}
    if trainings and all(t.utterances for t in trainings):
        learned = {i for t in trainings for i in t.utterances.get("train", ())}
        chosen = {i for t in trainings for i in t.utterances.get("dev", ())} - learned
        utterances = {"train": tuple(sorted(learned)), "dev": tuple(sorted(chosen))}
        utterances["test"] = tuple(predictions.ids[i] for i in part.rows)
    trained, selected, tested = (tuple(sorted(s)) for s in (train, dev, test))
    return Training(part.seed, part.fold, trained, selected, tested, utterances)


def _fitted(
    members: Mapping[str, Member], seed: int, folds: Sequence[str], tested: set[str]
) -> npt.NDArray[np.float64]:
    truth_probs = []
    for (name, member), fold in zip(members.items(), folds, strict=True):
        dev = member.dev.get((seed, fold))
        if dev is None:
            raise UsageError(
                "no_dev_predictions",
                f"member {name!r} has no dev predictions of fold {fold!r}; weights are fitted on nothing else",
                hint="they lie in the parts/ of the run; or use --vote majority or mean",
                where=member.run,
            )
        p = dev.probs[np.arange(len(dev)), dev.truth]
        truth_probs.append({i: float(x) for i, x in zip(dev.ids, p, strict=True) if i not in tested})
    ids = sorted({i for probs in truth_probs for i in probs})
    return fit_weights(np.array([[probs.get(i, np.nan) for i in ids] for probs in truth_probs]))


def _known(speakers: Iterable[str]) -> str:
    return next((speaker for speaker in speakers if speaker), "")
