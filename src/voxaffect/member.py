"""A finished run as a member of an ensemble: its answers, who it was trained on, and whether it may vote.

A member may answer only for speakers that it never saw. That is read from the `folds.json` of its run, for the very
seed and fold that gave the answer: the speakers that trained it and those on whom its epoch was chosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from voxaffect import metadata, transduction
from voxaffect.errors import CorpusError, UsageError
from voxaffect.metadata import Metadata
from voxaffect.predictions import Predictions, names_of, predictions_file, read_csv
from voxaffect.run import RunFolder
from voxaffect.stamps import optimistic_reason
from voxaffect.trainings import Training, read_trainings


@dataclass(frozen=True, eq=False)
class Member:
    """One finished run. `trainings` is empty where nothing says who trained it.

    `dev` holds its answers for dev utterances by (seed, fold), where the run still has its `parts`: what the
    training of that seed and fold said of speakers that it had not learned from.
    """

    run: str
    predictions: Predictions
    trainings: tuple[Training, ...] = ()
    dev: Mapping[tuple[int, str], Predictions] = field(default_factory=dict)
    metadata: Metadata | None = None
    """What its run knows of the utterances of its corpora; None where it keeps no utterances.csv."""
    adapted: Predictions | None = None
    """Its transductive answers about the same utterances, where its run has them (see `voxaffect.transduction`)."""

    def training(self, seed: int, fold: str) -> Training | None:
        """The training that gave the answers of `seed` and `fold`; None where that is not known."""
        return next((t for t in self.trainings if (t.seed, t.fold) == (seed, fold)), None)

    def of_seed(self, seed: int) -> Member:
        """The member that one seed of the run makes."""
        return replace(
            self,
            predictions=self.predictions.of_seed(seed),
            adapted=self.adapted and self.adapted.of_seed(seed),
            trainings=tuple(t for t in self.trainings if t.seed == seed),
            dev={key: dev for key, dev in self.dev.items() if key[0] == seed},
        )


def read_member(run: str | Path) -> Member:
    """The run folder `run` (or anyone's predictions CSV) as a member.

    Raises:
        ArtefactError: `no_predictions`, or `damaged_file` if its folds.json is not what `voxaffect train` writes.
        CorpusError: what `voxaffect.predictions.read_csv` finds.
    """
    predictions = read_csv(predictions_file(run))
    folder = Path(run)
    trainings = read_trainings(folder)
    dev = {}
    for training in trainings:
        file = RunFolder(folder).part(training.seed, training.fold) / "dev_predictions.csv"
        if file.is_file():
            dev[training.seed, training.fold] = read_csv(file)
    kept = folder / metadata.FILE_NAME
    known = metadata.read_metadata(kept) if kept.is_file() else None
    return Member(str(run), predictions, trainings, dev, known, transduction.read(folder))


def read_members(runs: Sequence[str | Path]) -> dict[str, Member]:
    """The members that `runs` make, by name; of a single run each seed is a member.

    Raises:
        UsageError: `one_member`: a single run of a single seed; `same_run`: a run is named twice.
        ArtefactError, CorpusError: what `read_member` raises.
    """
    members = [read_member(run) for run in runs]
    if len(members) == 1:
        seeds = members[0].predictions.distinct_seeds
        if len(seeds) < 2:
            raise UsageError(
                "one_member",
                "an ensemble needs two members or more, got one run of one seed",
                hint="name several runs, or one run of several seeds",
            )
        return {f"seed {seed}": members[0].of_seed(seed) for seed in seeds}
    return dict(zip(names_of(runs), members, strict=True))


def check_blind(name: str, member: Member, *, trust: bool = False) -> None:
    """Refuse a member that saw a speaker it answers for, or of which nobody can tell.

    Folds stamped OPTIMISTIC own up to it: they may vote, and stamp the ensemble. `trust` takes runs without a
    folds.json at their word.

    Raises:
        CorpusError: `member_saw_test_speaker`, `training_unknown` or `speakers_unknown`, naming the member.
    """
    p = member.predictions
    if not member.trainings and trust:
        return
    if not member.trainings:
        raise CorpusError(
            "training_unknown",
            f"member {name!r}: nothing says which speakers trained it (no folds.json)",
            hint="--trust takes it at its word, and the ensemble says so",
            where=member.run,
        )
    if not p.has_speakers:
        raise CorpusError(
            "speakers_unknown",
            f"member {name!r}: its predictions do not say whose utterances they are",
            where=member.run,
        )
    for seed, fold, speaker in sorted(set(zip(p.seeds, p.folds, p.speakers, strict=True))):
        if optimistic_reason(fold):
            continue
        training = member.training(seed, fold)
        if training is None:
            raise CorpusError(
                "training_unknown",
                f"member {name!r}: its folds.json does not say who trained fold {fold!r} of seed {seed}",
                where=member.run,
            )
        for part, seen in (("trained", training.train), ("was selected", training.dev)):
            if speaker in seen:
                raise CorpusError(
                    "member_saw_test_speaker",
                    f"member {name!r} {part} on speaker {speaker!r}, for whom it answers in fold {fold!r}",
                    hint="members must be blind to the speakers that they test",
                    where=member.run,
                )


def align(members: Mapping[str, Member]) -> dict[str, Member]:
    """The same members with their predictions in one order, by seed and id.

    Seeds are combined one by one; members of a single seed each go together whatever its number, which becomes 0
    where they differ.

    Raises:
        CorpusError: `labels_differ`, `seeds_differ`, `utterances_differ`, `truth_differs` or `speaker_differs`, with
            the names and numbers.
    """
    seeds = {name: m.predictions.distinct_seeds for name, m in members.items()}
    if len(set(seeds.values())) > 1:
        if any(len(s) > 1 for s in seeds.values()):
            given = "; ".join(f"{name}: {list(s)}" for name, s in seeds.items())
            raise CorpusError("seeds_differ", f"members have different seeds ({given})")
        members = {name: _renumbered(m) for name, m in members.items()}
    ordered = {name: replace(m, predictions=_ordered(m.predictions)) for name, m in members.items()}
    (first, a), *others = ((name, m.predictions) for name, m in ordered.items())
    for name, b in others:
        if a.labels != b.labels:
            raise CorpusError(
                "labels_differ", f"{first} knows {list(a.labels)}, {name} {list(b.labels)}; one set is needed"
            )
        keys = set(zip(a.seeds, a.ids, strict=True)), set(zip(b.seeds, b.ids, strict=True))
        if keys[0] != keys[1]:
            raise CorpusError(
                "utterances_differ",
                f"{first} gives {len(keys[0])} answers, {name} {len(keys[1])}; they share {len(keys[0] & keys[1])}",
                hint="members must answer for the same test utterances",
            )
        if (wrong := np.flatnonzero(a.truth != b.truth)).size:
            i = int(wrong[0])
            truths = f"{a.labels[a.truth[i]]!r} in {first} and {b.labels[b.truth[i]]!r} in {name}"
            raise CorpusError(
                "truth_differs", f"{wrong.size} of {len(a)} truths differ; {a.ids[i]!r} is {truths}"
            )
        for utterance, x, y in zip(a.ids, a.speakers, b.speakers, strict=True):
            if x and y and x != y:
                raise CorpusError(
                    "speaker_differs", f"{utterance!r} is of {x!r} in {first} and of {y!r} in {name}"
                )
    return ordered


def _renumbered(member: Member) -> Member:
    return replace(
        member,
        predictions=replace(member.predictions, seeds=(0,) * len(member.predictions)),
        trainings=tuple(replace(t, seed=0) for t in member.trainings),
        dev={(0, fold): dev for (_, fold), dev in member.dev.items()},
    )


def _ordered(p: Predictions) -> Predictions:
    return p.select(sorted(range(len(p)), key=lambda i: (p.seeds[i], p.ids[i])))
