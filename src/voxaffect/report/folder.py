"""The files of a run folder that a report can do without, each read on its own: () or None where it is absent.

`places` are the folders in which a file may lie, the nearest first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from voxaffect.corpora.sheet import read_sheet
from voxaffect.errors import UsageError
from voxaffect.recipe import Recipe, recipe_from_json
from voxaffect.records import damaged, read_record
from voxaffect.report.system import MEASURES, NoAudio

BASELINES = "voxaffect.baselines/1"
LOSSES = ("epoch", "train_loss", "dev_loss")


def find(places: Sequence[Path], name: str) -> Path | None:
    """The nearest file of that name."""
    return next((place / name for place in places if (place / name).is_file()), None)


def read_recipe(places: Sequence[Path]) -> tuple[Recipe | None, str]:
    """The recipe and its digest as it was recorded. Raises ArtefactError `damaged_file` where it cannot be read."""
    file = find(places, "recipe.json")
    if file is None:
        return None, ""
    record = read_record(file)  # says what is wrong with a file that is no JSON object
    try:
        return recipe_from_json(file.read_text(encoding="utf-8")), record.text("digest", "")
    except UsageError as error:
        raise damaged(file, f"recipe.json is no recipe of this edition: {error.message}") from error


def read_environment(places: Sequence[Path]) -> Mapping[str, Any]:
    """Command, commit, versions; {} if nothing says."""
    file = find(places, "environment.json")
    return read_record(file).values if file else {}


def read_epochs(run: Path) -> tuple[Mapping[str, Any], ...]:
    """Every epoch of metrics.jsonl: `fold`, `seed`, the numbers of `LOSSES`, and `dev_ua` where it was judged."""
    file = run / "metrics.jsonl"
    if not file.is_file():
        return ()
    rows = []
    for i, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        try:
            values = json.loads(line)
            judged = ("dev_ua",) if "dev_ua" in values else ()
            numbers = {key: float(values[key]) for key in (*LOSSES, *judged)}
            rows.append({**numbers, "fold": str(values["fold"]), "seed": int(values.get("seed", 0))})
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(file, f"{file.name} line {i} is no epoch of a training") from error
    return tuple(rows)


def read_facts(places: Sequence[Path], predictions: Path) -> Mapping[str, Mapping[str, str]]:
    """What is known of each utterance: the columns of utterances.csv, or else those of the predictions."""
    file = find(places, "utterances.csv") or predictions
    return {row["id"]: row.cells for row in read_sheet(file, ("id",))}


def read_baselines(places: Sequence[Path]) -> tuple[tuple[NoAudio, ...], Mapping[str, str]]:
    """The guesses without audio, and the reason for each that could not be made."""
    file = find(places, "baselines.json")
    if file is None:
        return (), {}
    record = read_record(file, BASELINES)
    rows = tuple(
        NoAudio(row.text("name"), row.number("known"), {m: row.number(m) for m in MEASURES})
        for row in record.records("baselines")
    )
    left_out = record.records("left_out") if "left_out" in record.values else ()
    return rows, {row.text("name"): row.text("reason") for row in left_out}
