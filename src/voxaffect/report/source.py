"""What a report is made of: a run, an ensemble, a study or anyone's predictions, read from where it lies.

Everything but the predictions is optional; what a file says is checked against what the predictions say.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voxaffect.errors import ArtefactError, VoxaffectError
from voxaffect.evaluation import evaluate
from voxaffect.predictions import Predictions, predictions_file, read_csv
from voxaffect.recipe import Recipe
from voxaffect.records import Record, damaged, read_record
from voxaffect.report import folder
from voxaffect.report.overlaps import broken_rules
from voxaffect.report.system import Member, Source, System, Vote
from voxaffect.report.votes import read_vote
from voxaffect.significance import N_BOOTSTRAP
from voxaffect.trainings import read_trainings
from voxaffect.transduction import gain

STUDY = "voxaffect.study/1"


def read_source(run: Path, *, n_bootstrap: int = N_BOOTSTRAP) -> Source:
    """What lies in `run`: the folder of a study, ensemble or run, or a predictions CSV.

    Raises:
        ArtefactError: `no_predictions`, `damaged_file`, `unknown_schema`, or `files_differ` where two files
            contradict each other.
        CorpusError: what `read_csv` and `evaluate` find.
    """
    if (run / "study.json").is_file():
        return _study(run, n_bootstrap)
    system = _system(run, run.stem if run.is_file() else run.resolve().name, n_bootstrap)
    return Source(system.title, (system,))


def _study(run: Path, n_bootstrap: int) -> Source:
    study = read_record(run / "study.json", STUDY)
    title = study.text("title", "") or study.text("name", "") or run.resolve().name
    systems = tuple(_system(run / name, name, n_bootstrap, run, title) for name in _variants(study))
    labels = sorted({s.evaluation.labels for s in systems})
    if len(labels) > 1:
        raise ArtefactError(
            "files_differ",
            f"the variants of the study have different labels: {[list(x) for x in labels]}",
            where=str(run),
        )
    return Source(title, systems)


def _variants(study: Record) -> tuple[str, ...]:
    names = study.names("variants")
    if not names:
        raise damaged(study.file, "study.json names no variants")
    for name in names:
        if not name or name in (".", "..") or Path(name).name != name:
            raise damaged(study.file, f"study.json names the variant {name!r}, which is no folder's name")
    return names


def _system(
    run: Path, name: str, n_bootstrap: int, study: Path | None = None, study_title: str = ""
) -> System:
    """The system in `run`; what it lacks is looked for in the folder of its `study`, if it is of one."""
    file = predictions_file(run)
    try:
        predictions = read_csv(file)
        evaluation = evaluate(predictions, n_bootstrap=n_bootstrap)
    except VoxaffectError as error:
        error.where = error.where or str(file)
        raise
    places = [] if run.is_file() else [run, *([study] if study else [])]
    vote = read_vote(run, predictions)
    members = [place for m in vote.members if (place := _member_run(run, m))] if vote else []
    trainings = read_trainings(run)
    recipe, digest = folder.read_recipe(places)
    baselines, left_out = folder.read_baselines(places)
    return System(
        name=name,
        title=_title(run, recipe, name).removeprefix(f"{study_title}: "),
        predictions=predictions,
        evaluation=evaluation,
        trainings=trainings,
        vote=vote,
        recipe=recipe,
        digest=digest,
        environment=folder.read_environment(places),
        epochs=_epochs(run, vote),
        baselines=baselines,
        left_out=left_out,
        facts=folder.read_facts([*places, *members], file),
        reasons=_reasons(predictions, vote) or broken_rules(trainings),
        adapted=gain(run, n_bootstrap=n_bootstrap) if run.is_dir() else None,
    )


def _title(run: Path, recipe: Recipe | None, name: str) -> str:
    """What the run calls itself: its own recipe's title, what its metrics are of, or the `name` of its folder."""
    if recipe and (run / "recipe.json").is_file():
        return recipe.title or recipe.name
    if (run / "metrics.json").is_file():
        return read_record(run / "metrics.json").text("recipe", "") or name
    return name


def _reasons(predictions: Predictions, vote: Vote | None) -> tuple[str, ...]:
    """Why the figures are better than honest ones would be, as folds and ensemble own up to it."""
    reasons = [*predictions.optimistic, *(vote.optimistic if vote else ())]
    return tuple(dict.fromkeys(reason.replace("-", " ") for reason in reasons))


def _member_run(run: Path, member: Member) -> Path | None:
    """The run of a member that lies within the folder of its ensemble."""
    place = run / member.run
    inside = member.run and not Path(member.run).is_absolute() and ".." not in Path(member.run).parts
    return place if inside and place.is_dir() else None


def _epochs(run: Path, vote: Vote | None) -> tuple[Mapping[str, Any], ...]:
    """The epochs of a run; of an ensemble, those of its members, whose names go before the folds'."""
    if not vote:
        return folder.read_epochs(run)
    rows: list[Mapping[str, Any]] = []
    for member in vote.members:
        epochs = folder.read_epochs(place) if (place := _member_run(run, member)) else ()
        several = len({row["fold"] for row in epochs}) > 1
        rows += [
            {**row, "fold": f"{member.name} {row['fold']}" if several else member.name} for row in epochs
        ]
    return tuple(rows)
