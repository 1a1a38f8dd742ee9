"""A study: members that train on different speakers and vote, and variants of one recipe side by side.

    RUN/study.json       {"schema": "voxaffect.study/1", "name", "title", "variants": [names], "vote",
                          "members": {NAME: {"train": [...], "dev": [...], "test": [...]}}}: members {} without any,
                          or where each fold draws its own, which the folds.json of their runs name
    RUN/VARIANT/         the variant's ensemble, a run folder as `voxaffect.ensemble` describes it; without members an
                         ordinary run
    RUN/VARIANT/runs/MEMBER/  the run of one member
    RUN/comparison.json  the variants side by side and every pair tested, as `voxaffect.comparison` describes it

A recipe of members without variants is one ensemble: RUN itself is the folder of the ensemble, and there is no
study.json. Everything is taken up where it was left; a training that is finished is never done again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voxaffect import metadata
from voxaffect.comparison import RunComparison, compare_runs
from voxaffect.ensemble import Ensemble, combine, write
from voxaffect.files import write_json
from voxaffect.member import read_member
from voxaffect.members import resolved
from voxaffect.predictions import FILE_NAME, Predictions, read_run
from voxaffect.recipe import Recipe
from voxaffect.run import RunFolder
from voxaffect.table import UtteranceTable
from voxaffect.train import (
    Machine,
    Run,
    check_machine,
    check_training_packages,
    collect,
    plan,
    read_tables,
    train_runs,
)

SCHEMA = "voxaffect.study/1"


@dataclass(frozen=True)
class System:
    """One variant, or the recipe itself where it has none (`name` ""): its folder, and the runs that train it."""

    name: str
    recipe: Recipe
    folder: RunFolder
    runs: Mapping[str, Run]
    """By member; a system without members is the single run of the name ""."""


@dataclass(frozen=True, eq=False)
class Study:
    """What a study found: the members' vote by variant, in the recipe's order, and the comparison of the variants.

    A protocol without test speakers has neither; nor has a recipe of members alone anything to compare.
    """

    title: str
    ensembles: Mapping[str, Ensemble] = field(default_factory=dict)
    comparison: RunComparison | None = None

    def render(self) -> str:
        """The members' tables, the variants side by side and their paired tests, as text for a terminal."""
        from voxaffect.study_text import render  # the text needs this class

        return render(self)


def train_study(
    recipe: Recipe,
    run: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    cache_folder: Path | None = None,
    jobs: int = 1,
    quiet: bool = False,
) -> Study:
    """Train every member and variant of `recipe` into the folder `run`, let the members vote, compare the variants.

    Raises as `voxaffect.train.train`, and what `voxaffect.members.resolved` and `voxaffect.ensemble.combine` raise.
    """
    check_training_packages()
    machine = Machine(device, jobs, cache_folder, quiet)
    check_machine(machine)
    table, unlabelled = read_tables(recipe, quiet=quiet)
    recipe = resolved(recipe, table)
    systems = systems_of(recipe, table, run)
    folder = RunFolder(run)
    folder.start(recipe, resume=resume)
    with folder.lock():
        if recipe.variants:
            write_json(run / "study.json", _record(recipe))
        for system in systems:
            if recipe.member_names:
                system.folder.start(system.recipe, resume=True)
            for member in system.runs.values():
                member.start(resume=True)
        train_runs(
            [r for system in systems for r in system.runs.values()], table, unlabelled, machine, recipe.name
        )
        return _concluded(recipe, systems, table, run)


def systems_of(recipe: Recipe, table: UtteranceTable, run: Path) -> tuple[System, ...]:
    """The systems that `recipe`, whose members are named, trains into the folder `run`."""
    variants = {name: recipe.variant(name) for name in recipe.variants} or {"": recipe}
    systems = []
    for name, variant in variants.items():
        folder = run / name
        names = recipe.members_of(name) if name else recipe.member_names
        members = {member: variant.member(member) for member in names} or {"": variant}
        runs = {
            member: Run(own, RunFolder(folder / "runs" / member if member else folder), plan(own, table))
            for member, own in members.items()
        }
        systems.append(System(name, variant, RunFolder(folder), runs))
    return tuple(systems)


def _concluded(recipe: Recipe, systems: Sequence[System], table: UtteranceTable, run: Path) -> Study:
    """Gather the runs, let members vote, compare; every file is written anew from what the parts left."""
    known = metadata.of_table(table)
    ensembles: dict[str, Ensemble] = {}
    predictions: dict[str, Predictions] = {}
    for system in systems:
        for member in system.runs.values():
            collect(member, known)
        if recipe.member_names:
            ensembles[system.name] = _vote(system, recipe.ensemble.vote)
        if (system.folder.path / FILE_NAME).is_file():
            predictions[system.name] = read_run(system.folder.path)
    comparison = None
    if len(predictions) > 1:
        comparison = compare_runs(predictions)
        write_json(run / "comparison.json", comparison.to_dict())
    return Study(recipe.title or recipe.name, ensembles, comparison)


def _vote(system: System, vote: str) -> Ensemble:
    """The members' vote, in the system's folder; members are named by where they lie in it."""
    members = {
        name: dataclasses.replace(read_member(run.folder.path), run=f"runs/{name}")
        for name, run in system.runs.items()
    }
    combined = combine(members, vote)
    write(combined, system.folder.path, system.recipe.title or system.recipe.name)
    return combined


def _record(recipe: Recipe) -> dict[str, Any]:
    test = recipe.protocol.test_speakers
    return {
        "schema": SCHEMA,
        "name": recipe.name,
        "title": recipe.title,
        "variants": list(recipe.variants),
        "vote": recipe.ensemble.vote if recipe.member_names else None,
        "members": {n: {"train": m.train, "dev": m.dev, "test": test} for n, m in recipe.members.items()},
    }
