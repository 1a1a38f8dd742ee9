"""Finished runs that vote: each member blind to the speakers that it answers for, the gain tested, all of it kept.

An ensemble is a run folder of its own, which every command that takes a run takes:

predictions.csv    `prediction` is the vote, prob_* the mean of the members' probabilities (weighted by --vote weighted)
members/NAME.csv   the answers of each member, same columns and rows; what no file name may hold becomes `_`
folds.json         [{"seed", "name", "train", "dev", "test"}]: `train` are the speakers that trained any member, `dev`
                   those on whom any was selected and none was trained
ensemble.json      {"schema": "voxaffect.ensemble/1", "vote": "majority"|"mean"|"weighted", "labels": [...],
                    "n_utterances", "n_speakers", "seeds": [...],
                    "members": [{"name", "run" (path as given), "train": [...], "dev": [...], "test": [...] (speakers,
                                 united over its folds), "folds": n, "UA", "WA", "macro-F1", "weight"}],
                    "figures": {"UA", "WA", "macro-F1"} of the vote,
                    "spread": {"UA": {"mean", "std", "low", "high"}, ...} over the members,
                    "agreement": mean share of the members that agree with the vote,
                    "pairwise_kappa": (M, M) Cohen's kappa of the members' answers, null where undefined,
                    "ties": utterances (counted in each seed) whose most votes were shared by several classes,
                    "gain": {"UA": {"value", "low", "high", "p", "n_clusters", "clusters", "reliable"}, "WA": ...,
                             "macro-F1": ..., "mcnemar": {"member", "only_vote", "only_member", "p"}},
                    "optimistic": [reasons], "trusted": [names of members that nothing but their word calls blind]}
predictions_adapted.csv  the vote of the members' adapted answers, where all have some and the vote is not `weighted`
metrics.json       {"recipe": name, "evaluation": ..., "adapted": {"what", "evaluation"}}; confusion.png,
                   utterances.csv and baselines.json: like those of `voxaffect train` (the last two where a member's
                   run has them)

All figures are fractions of 1 and means over seeds; members of several seeds vote seed by seed. `gain` is the vote
minus the mean member, its interval and p from a bootstrap over speakers that draws the same speakers for both;
`mcnemar` is the exact test of the vote against the member of median WA (the lower one of an even number), in the
lowest seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from voxaffect import metrics, transduction
from voxaffect.baselines import baselines, write_baselines
from voxaffect.electorate import decide, electorates, united
from voxaffect.errors import UsageError
from voxaffect.evaluation import evaluate
from voxaffect.files import write_json
from voxaffect.member import Member, align, check_blind
from voxaffect.metadata import Metadata, write_metadata
from voxaffect.predictions import Predictions, read_csv, write_csv
from voxaffect.run import check_unused
from voxaffect.significance import MEASURES, Interval, McNemar, cluster, mcnemar, paired_difference
from voxaffect.trainings import Training

SCHEMA = "voxaffect.ensemble/1"
VOTES = ("majority", "mean", "weighted")


@dataclass(frozen=True)
class MemberFigures:
    """One member: where it comes from, its speakers (united over `folds` folds), its measures and weight."""

    name: str
    run: str
    train: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]
    folds: int
    measures: Mapping[str, float]
    weight: float


@dataclass(frozen=True)
class Spread:
    """A measure over the members; `std` with n - 1."""

    mean: float
    std: float
    low: float
    high: float


@dataclass(frozen=True)
class GainFigure:
    """The vote minus the mean member in one measure, with the two-sided p of no difference."""

    difference: Interval
    p: float


@dataclass(frozen=True)
class Gain:
    """What the vote is worth, by measure; and the vote against the member of median WA.

    Of `mcnemar`, `only_first` are utterances that the vote alone has right, `only_second` that member alone.
    """

    measures: Mapping[str, GainFigure]
    member: str
    mcnemar: McNemar


@dataclass(frozen=True, eq=False)
class Ensemble:
    """What the members decided together, and what that was worth; see the module for each field."""

    vote: str
    predictions: Predictions
    trainings: tuple[Training, ...]
    members: tuple[MemberFigures, ...]
    answers: Mapping[str, Predictions]
    figures: Mapping[str, float]
    spread: Mapping[str, Spread]
    agreement: float
    pairwise_kappa: tuple[tuple[float, ...], ...]
    ties: int
    gain: Gain
    trusted: tuple[str, ...] = ()
    metadata: Metadata | None = None
    """That of the first member whose run knows all utterances."""
    adapted: Predictions | None = None
    """The vote of the members' adapted, transductive answers, if all members have some: a second figure."""

    @property
    def optimistic(self) -> tuple[str, ...]:
        """Why the figures are better than honest ones would be; () if nothing says so."""
        return self.predictions.optimistic

    def to_dict(self) -> dict[str, object]:
        """What `ensemble.json` holds."""
        members = []
        for member in self.members:
            row = asdict(member)
            measures = row.pop("measures")
            members.append({**row, **measures})
        test = self.gain.mcnemar
        return {
            "schema": SCHEMA,
            "vote": self.vote,
            "labels": list(self.predictions.labels),
            "n_utterances": len(set(self.predictions.ids)),
            "n_speakers": len(set(self.predictions.speakers) - {""}),
            "seeds": list(self.predictions.distinct_seeds),
            "members": members,
            "figures": dict(self.figures),
            "spread": {name: asdict(s) for name, s in self.spread.items()},
            "agreement": self.agreement,
            "pairwise_kappa": [[None if math.isnan(k) else k for k in row] for row in self.pairwise_kappa],
            "ties": self.ties,
            "gain": {
                **{name: {**g.difference.to_dict(), "p": g.p} for name, g in self.gain.measures.items()},
                "mcnemar": {
                    "member": self.gain.member,
                    "only_vote": test.only_first,
                    "only_member": test.only_second,
                    "p": test.p,
                },
            },
            "optimistic": list(self.optimistic),
            "trusted": list(self.trusted),
        }

    def render(self) -> str:
        """The members' table and what the vote gains, as aligned text for a terminal."""
        from voxaffect.ensemble_text import render  # the text needs this class

        return render(self)


def ensemble(
    members: Mapping[str, Member], out: Path, vote: str = "majority", *, trust: bool = False, name: str = ""
) -> Ensemble:
    """Combine `members` and write the ensemble's run folder to `out`; `name` is its title (default: the folder's).

    Raises:
        UsageError: `run_exists` where `out` holds anything, `same_file` where two names would make one file, and what
            `combine` raises.
        CorpusError: what `combine` raises.
        ResourceError: `disk_full`, `cannot_write`.
    """
    check_unused(out)
    files: dict[str, str] = {}
    for member in members:
        if (other := files.setdefault(file_name(member).casefold(), member)) != member:
            raise UsageError(
                "same_file", f"members {other!r} and {member!r} would share the file {file_name(member)}.csv"
            )
    combined = combine(members, vote, trust=trust)
    write(combined, out, name or out.name)
    return combined


def combine(members: Mapping[str, Member], vote: str = "majority", *, trust: bool = False) -> Ensemble:
    """What `members` decide together, in memory.

    By `majority`, by the `mean` of their probabilities, or by the mean `weighted` by what `fit_weights` makes of dev
    utterances: for each seed and fold on its own, never of a test utterance.

    Raises:
        UsageError: `unknown_vote`; `one_member` for fewer than two; `no_dev_predictions` where weights have nothing to
            be fitted on; `no_probabilities` where a mean is wanted of members that give none.
        CorpusError: what `check_blind`, `align` and `fit_weights` find.
    """
    if vote not in VOTES:
        raise UsageError("unknown_vote", f"unknown vote {vote!r}; expected one of {list(VOTES)}")
    if len(members) < 2:
        raise UsageError("one_member", f"an ensemble needs two members or more, got {len(members)}")
    for name, member in members.items():
        check_blind(name, member, trust=trust)
        if vote != "majority" and not member.predictions.has_probs:
            raise UsageError(
                "no_probabilities",
                f"member {name!r} gives no probabilities, which --vote {vote} needs",
                hint="use --vote majority",
                where=member.run,
            )
    second = _adapted(members, vote, trust)
    members = align(members)
    parts = electorates(members, vote)
    decision = decide(members, parts, vote)
    predictions, answers = decision.predictions, {name: m.predictions for name, m in members.items()}
    groups, clusters, kind = cluster(predictions.speakers, predictions.ids)
    by_member = [_confusions(p, groups, len(clusters)) for p in answers.values()]  # M of (S, G, K, K)
    by_vote = _confusions(predictions, groups, len(clusters))
    measures = [_measures(c) for c in by_member]
    weights = sum((p.weights * len(p.rows) for p in parts), np.zeros(len(members))) / len(predictions)
    return Ensemble(
        vote=vote,
        predictions=predictions,
        trainings=tuple(united(members, part, predictions) for part in parts),
        members=tuple(
            _figures(name, m, row, float(w))
            for (name, m), row, w in zip(members.items(), measures, weights, strict=True)
        ),
        answers=answers,
        figures=_measures(by_vote),
        spread={name: _spread([row[name] for row in measures]) for name in MEASURES},
        agreement=decision.agreement,
        pairwise_kappa=_kappas([p.predicted for p in answers.values()], len(predictions.labels)),
        ties=decision.ties,
        gain=Gain(
            {
                name: GainFigure(
                    *paired_difference(np.concatenate(by_member), by_vote, measure, clusters=kind)
                )
                for name, measure in MEASURES.items()
            },
            *_median_test(predictions, answers, [row["WA"] for row in measures]),
        ),
        trusted=tuple(name for name, m in members.items() if not m.trainings),
        metadata=next(
            (m.metadata for m in members.values() if m.metadata and {*m.metadata.ids} >= {*predictions.ids}),
            None,
        ),
        adapted=second,
    )


def _adapted(members: Mapping[str, Member], vote: str, trust: bool) -> Predictions | None:
    adapted = {
        name: replace(m, predictions=m.adapted, dev={}, adapted=None)
        for name, m in members.items()
        if m.adapted is not None
    }
    if len(adapted) < len(members) or vote == "weighted":  # weights are those of plain answers
        return None
    return combine(adapted, vote, trust=trust).predictions


def write(combined: Ensemble, out: Path, name: str) -> None:
    """Write the run folder of `combined`; `ensemble.json` comes last."""
    from voxaffect.plots import confusion_figure, save

    known, kept = combined.metadata, _as_kept(combined.predictions)
    guesses = baselines(kept, known, combined.trainings) if known else None
    evaluation = evaluate(kept, baselines=guesses)
    panel = evaluation.titled(name), evaluation.confusion
    picture = confusion_figure([panel], evaluation.labels)  # where it cannot be drawn, nothing is written
    for member, predictions in combined.answers.items():
        write_csv(predictions, out / "members" / f"{file_name(member)}.csv")
    write_csv(combined.predictions, out / "predictions.csv")
    write_json(out / "folds.json", [t.to_dict() for t in combined.trainings])
    if known and guesses:
        write_metadata(known, out / "utterances.csv")
        write_baselines(guesses, out / "baselines.json")
    figures: dict[str, object] = {"recipe": name, "evaluation": evaluation.to_dict()}
    if combined.adapted is not None:
        second = evaluate(_as_kept(combined.adapted))
        figures["adapted"] = transduction.record(out, combined.adapted, second)
    write_json(out / "metrics.json", figures)
    save(picture, out / "confusion.png")
    write_json(out / "ensemble.json", combined.to_dict())


def _as_kept(predictions: Predictions) -> Predictions:
    """`predictions` as their file holds them, with six digits: figures are of those, so that anyone gets them again."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "predictions.csv"
        write_csv(predictions, file)
        return read_csv(file)


def file_name(member: str) -> str:
    """The file name, without its ending, of a member: what is no letter, digit, `-`, `_` or `.` becomes `_`."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in member)


def _confusions(p: Predictions, groups: npt.NDArray[np.int64], n_groups: int) -> npt.NDArray[np.int64]:
    """(S, G, K, K) of each seed and cluster."""
    seeds = np.array(p.seeds, dtype=np.int64)
    return np.stack(
        [
            metrics.grouped_confusions(
                p.truth[seeds == s], p.predicted[seeds == s], groups[seeds == s], len(p.labels), n_groups
            )
            for s in p.distinct_seeds
        ]
    )


def _measures(confusions: npt.NDArray[np.int64]) -> dict[str, float]:
    total = confusions.sum(axis=1)  # (S, K, K)
    return {name: float(measure(total).mean()) for name, measure in MEASURES.items()}


def _figures(name: str, member: Member, measures: Mapping[str, float], weight: float) -> MemberFigures:
    parts = [{s for t in member.trainings for s in getattr(t, part)} for part in ("train", "dev")]
    train, dev, test = (tuple(sorted(s)) for s in (*parts, set(member.predictions.speakers) - {""}))
    folds = len({(t.seed, t.fold) for t in member.trainings})
    return MemberFigures(name, member.run, train, dev, test, folds, measures, weight)


def _spread(values: Sequence[float]) -> Spread:
    return Spread(float(np.mean(values)), float(np.std(values, ddof=1)), min(values), max(values))


def _kappas(choices: Sequence[npt.NDArray[np.int64]], n_classes: int) -> tuple[tuple[float, ...], ...]:
    return tuple(
        tuple(float(metrics.kappa(metrics.confusion(a, b, n_classes))) for b in choices) for a in choices
    )


def _median_test(
    vote: Predictions, answers: Mapping[str, Predictions], wa: Sequence[float]
) -> tuple[str, McNemar]:
    """The member of median WA (the lower one of an even number), and the vote against it in the lowest seed."""
    names = list(answers)
    name = names[sorted(range(len(wa)), key=lambda i: (wa[i], names[i]))[(len(wa) - 1) // 2]]
    first = np.array(vote.seeds) == vote.distinct_seeds[0]
    right = [(p.predicted == p.truth)[first] for p in (vote, answers[name])]
    return name, mcnemar(*right)
