"""The vote of an ensemble run: ensemble.json and the answers of each member beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from voxaffect import metrics
from voxaffect.errors import ArtefactError
from voxaffect.predictions import Predictions, read_csv
from voxaffect.records import Record, damaged, read_record
from voxaffect.report.system import MEASURES, Member, Vote
from voxaffect.significance import Interval, McNemar

ENSEMBLE = "voxaffect.ensemble/1"
AGREES = 1e-9
"""How far two files may differ about one figure."""


def read_vote(run: Path, predictions: Predictions) -> Vote | None:
    """Who voted in the ensemble `run`, whose answers are `predictions`; None if it is no ensemble.

    Raises:
        ArtefactError: `damaged_file`, `unknown_schema`, or `files_differ` where its files contradict each other.
    """
    if not (run / "ensemble.json").is_file():
        return None
    record = read_record(run / "ensemble.json", ENSEMBLE)
    confusion = metrics.confusion(predictions.truth, predictions.predicted, len(predictions.labels))
    said, found = record.record("figures").number("WA"), float(metrics.wa(confusion))
    if not abs(said - found) <= AGREES:
        raise ArtefactError(
            "files_differ",
            f"ensemble.json says WA {100 * said:.2f} %, predictions.csv gives {100 * found:.2f} %",
            hint="they are not of one run; make the ensemble again",
            where=str(run),
        )
    members = tuple(_member(run, row, predictions) for row in record.records("members"))
    if len(members) < 2:
        raise damaged(record.file, f"ensemble.json names {len(members)} members; a vote needs two or more")
    gain = record.record("gain")
    of_measure = {name: gain.record(name) for name in MEASURES}
    paired = gain.record("mcnemar")
    return Vote(
        rule=record.text("vote"),
        members=members,
        ties=record.whole("ties"),
        gain={name: _interval(row) for name, row in of_measure.items()},
        p={name: row.number("p") for name, row in of_measure.items()},
        median_member=paired.text("member"),
        mcnemar=McNemar(paired.whole("only_vote"), paired.whole("only_member"), paired.number("p")),
        trusted=record.names("trusted", ()),
        optimistic=record.names("optimistic", ()),
    )


def _interval(row: Record) -> Interval:
    value, low, high = (row.number(key) for key in ("value", "low", "high"))
    return Interval(value, low, high, row.whole("n_clusters"), row.text("clusters"))


def _member(run: Path, row: Record, vote: Predictions) -> Member:
    """A member, its answers in the order of the vote's."""
    name = row.text("name")
    file = run / "members" / f"{_file_name(name)}.csv"
    if not file.is_file():
        raise damaged(
            row.file, f"ensemble.json names the member {name!r}, but there is no members/{file.name}"
        )
    predictions = read_csv(file)
    order = {key: i for i, key in enumerate(zip(predictions.seeds, predictions.ids, strict=True))}
    keys = list(zip(vote.seeds, vote.ids, strict=True))
    if set(order) != set(keys) or predictions.labels != vote.labels:
        raise ArtefactError(
            "files_differ",
            f"the member {name!r} does not answer for the utterances and labels of predictions.csv",
            where=str(run),
        )
    return Member(
        name=name,
        run=row.text("run", ""),
        train=row.names("train"),
        dev=row.names("dev"),
        test=row.names("test"),
        folds=row.whole("folds", 1),
        weight=row.number("weight"),
        predictions=predictions.select(np.array([order[key] for key in keys], dtype=np.int64)),
    )


def _file_name(member: str) -> str:
    """What is no letter, digit, `-`, `_` or `.` is `_` in the name of a member's file."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in member)
