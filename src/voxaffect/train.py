"""Train a recipe: every fold of every seed, then the run's predictions, figures and pictures.

Each (seed, fold) is one part: it is trained on its training speakers, its epoch or grid point is chosen on its dev
speakers, and only then does it answer for its test speakers, once. A part that is finished is never done again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from voxaffect import corpora, metadata, protocols, transduction
from voxaffect.baselines import baselines, write_baselines
from voxaffect.cache import LIMIT_VARIABLE, ArrayCache, cache_limit
from voxaffect.errors import CorpusError, UsageError, missing_extra
from voxaffect.evaluation import Evaluation, evaluate
from voxaffect.files import write_json, write_text
from voxaffect.labels import NAMED_MAPPINGS
from voxaffect.loose_folds import SelectedOnTest
from voxaffect.members import FOLD, fold_members, member_fold, resolved
from voxaffect.options import to_table
from voxaffect.parallel import Progress, run_parts
from voxaffect.part import Part, epochs_of, place_of, train_part
from voxaffect.plots import confusion_figure, save, training_figure
from voxaffect.predictions import concat, read_csv, write_csv
from voxaffect.preparation import Encoders, needs_of, prepare, together
from voxaffect.protocol_options import ProtocolOptions
from voxaffect.recipe import Recipe
from voxaffect.run import RunFolder
from voxaffect.splits import AnyFold, Fold, genders_of
from voxaffect.table import UtteranceTable
from voxaffect.trainings import read_trainings

if TYPE_CHECKING:
    from voxaffect.examples import ExampleStore


@dataclass(frozen=True)
class Machine:
    """On what is trained: the device, `jobs` parts side by side on the CPU, and where states of encoders are kept."""

    device: str = "auto"
    jobs: int = 1
    cache_folder: Path | None = None
    quiet: bool = False


@dataclass(frozen=True)
class Run:
    """One run to be trained: a recipe, the folder that it leaves its results in, and its parts."""

    recipe: Recipe
    folder: RunFolder
    parts: tuple[Part, ...]

    def start(self, *, resume: bool) -> None:
        """Make the folder or take it up, as `RunFolder.start`, and say who has which part in each fold."""
        self.folder.start(self.recipe, resume=resume)
        write_json(
            self.folder.path / "folds.json", [{"seed": p.seed, **p.fold.to_dict()} for p in self.parts]
        )

    @property
    def unfinished(self) -> tuple[Part, ...]:
        """The parts that are not done yet."""
        return tuple(p for p in self.parts if not (place_of(self.folder, p) / "done.json").is_file())


def train(
    recipe: Recipe,
    run: Path,
    *,
    resume: bool = False,
    device: str = "auto",
    cache_folder: Path | None = None,
    jobs: int = 1,
    quiet: bool = False,
) -> Evaluation | None:
    """Train everything that `recipe` asks for into the folder `run`; the evaluation, or None without test speakers.

    `jobs` parts are trained side by side on the CPU, each with one thread; a single job uses all threads.

    A recipe of members or variants is for `voxaffect.study.train_study` (ValueError).

    Raises:
        UsageError: a wrong recipe, an occupied folder, training packages not installed.
        CorpusError: a corpus that is not there or not what the recipe needs.
        ArtefactError: an encoder that is missing, or a checkpoint of another recipe.
        ResourceError: disk or memory ran out, or the loss diverged.
    """
    if recipe.is_study:
        raise ValueError(f"the recipe {recipe.name!r} is a study; train_study trains it")
    check_training_packages()
    table, unlabelled = read_tables(recipe, quiet=quiet)
    one = Run(recipe, RunFolder(run), plan(recipe, table))
    machine = Machine(device, jobs, cache_folder, quiet)
    check_machine(machine)
    one.folder.start(recipe, resume=resume)
    with one.folder.lock():
        one.start(resume=True)
        train_runs([one], table, unlabelled, machine, recipe.name)
        return collect(one, metadata.of_table(table))


def train_runs(
    runs: Sequence[Run], table: UtteranceTable, unlabelled: UtteranceTable, machine: Machine, title: str
) -> None:
    """Train all unfinished parts of `runs`, whose folders are started; what they share is prepared once.

    Recipes that want it also hear the `unlabelled` utterances, of which a teacher may speak. Runs that one store of
    examples serves are trained together, `machine.jobs` parts side by side.
    """
    encoders = Encoders()
    unfinished = [run for run in runs if run.unfinished]
    needs = [needs_of(run.recipe, encoders) for run in unfinished]
    device = check_machine(machine)
    silent = _silent(machine.quiet)
    for group in together(needs):
        members = [unfinished[i] for i in group]
        cache = ArrayCache(machine.cache_folder, cache_limit())
        stores = prepare(
            [run.recipe for run in members],
            [needs[i] for i in group],
            table + unlabelled if members[0].recipe.distillation.unlabelled else table,
            encoders,
            cache,
            lambda rows: _progress(rows, silent),
        )
        if not machine.quiet:
            _report(cache)
        tasks = [
            (run, store, part) for run, store in zip(members, stores, strict=True) for part in run.unfinished
        ]
        # The first seed of all members and variants comes first.
        tasks.sort(key=lambda task: task[0].recipe.protocol.seeds.index(task[2].seed))
        n_epochs = sum(epochs_of(run.recipe) for run, _, _ in tasks)
        with tqdm(total=n_epochs, unit="epoch", disable=silent, desc=title) as bar:

            def progress(steps: int, text: str, bar: tqdm[None] = bar) -> None:
                bar.update(steps)
                bar.set_postfix_str(text)

            def work(task: tuple[Run, ExampleStore, Part], progress: Progress) -> None:
                run, store, part = task
                train_part(run.recipe, part, store, encoders, run.folder, device, progress)

            run_parts(tasks, work, machine.jobs, progress)


def read_table(recipe: Recipe, *, quiet: bool = False) -> UtteranceTable:
    """The first of `read_tables`."""
    return read_tables(recipe, quiet=quiet)[0]


def read_tables(recipe: Recipe, *, quiet: bool = False) -> tuple[UtteranceTable, UtteranceTable]:
    """The recipe's utterances, corpora read, filtered and labels mapped: those of its label set, and the others.

    A corpus that does not hold just what its official release holds gets a line on stderr, unless `quiet`.

    Raises:
        UsageError: `unknown_corpus`, `unknown_property`, `no_match`.
        CorpusError: as `voxaffect.corpora.read`, `incomplete_corpus` where the recipe accepts none, `absent_label`.
    """
    every = _read_corpora(recipe, quiet)
    kept = every.where(lambda u: u.label in recipe.data.labels)
    absent = sorted(set(recipe.data.labels) - set(kept.labels))
    if absent:
        raise CorpusError("absent_label", f"no utterance of {list(recipe.data.corpora)} is labelled {absent}")
    return kept, every.where(lambda u: u.label not in recipe.data.labels)


def _read_corpora(recipe: Recipe, quiet: bool) -> UtteranceTable:
    """Everything that the recipe's filter lets through, labels mapped."""
    table = UtteranceTable(())
    for name in recipe.data.corpora:
        root = recipe.resolve(recipe.data.roots.get(name, f"{recipe.data.root}/{name}"))
        found = corpora.read(name, root, allow_missing=recipe.data.missing_ok)
        differs = corpora.difference(name, found)
        if differs and recipe.data.complete:
            raise CorpusError(
                "incomplete_corpus",
                differs,
                hint="to train on it all the same: --set data.complete=false",
                where=str(root),
            )
        if differs and not quiet:
            print(  # noqa: T201
                f"voxaffect: warning: {differs}; see: voxaffect corpus check {name} {root}", file=sys.stderr
            )
        table = table + found
    return table.matching(recipe.data.where).relabelled(NAMED_MAPPINGS[recipe.data.mapping])


def plan(recipe: Recipe, table: UtteranceTable) -> tuple[Part, ...]:
    """All parts of the recipe, in order; of several members, one fold each that is named after its member.

    Raises:
        UsageError: `bad_value` where test speakers cannot select, and what `voxaffect.protocols.make` raises.
    """
    return tuple(Part(seed, fold) for seed in recipe.protocol.seeds for fold in _folds(recipe, table, seed))


def _folds(recipe: Recipe, table: UtteranceTable, seed: int) -> tuple[AnyFold, ...]:
    protocol, kind = recipe.protocol, recipe.protocol.folds
    folds: tuple[AnyFold, ...]
    if kind == "members":
        one = len(recipe.members) == 1
        named = recipe if one else resolved(recipe, table)
        folds = tuple(member_fold(named, name, FOLD if one else name) for name in named.members)
    else:
        folds = protocols.make(
            str(recipe.resolve(kind)) if kind.endswith((".csv", ".tsv")) else kind,
            table,
            groups=protocol.groups,
            n_dev=protocol.dev_speakers,
            seed=seed,
            allow_speaker_overlap=protocol.allow_speaker_overlap,
        )
        if protocol.member:
            folds = tuple(_as_member(fold, protocol, genders_of(table), seed) for fold in folds)
    return tuple(map(selected_on_test, folds)) if protocol.select_on == "test" else folds


def _as_member(fold: AnyFold, protocol: ProtocolOptions, genders: Mapping[str, str], seed: int) -> AnyFold:
    if not isinstance(fold, Fold):
        raise UsageError("bad_value", f"members take folds of speakers; {fold.name!r} is of utterances")
    drawn = fold_members(fold, protocol.members, protocol.dev_speakers, genders=genders, seed=seed)
    return drawn[protocol.member - 1]


def selected_on_test(fold: AnyFold) -> SelectedOnTest:
    """`fold` with the test speakers in the place of the dev speakers, who then do nothing."""
    if not isinstance(fold, Fold):
        raise UsageError(
            "bad_value", f"select_on = 'test' takes folds of speakers; {fold.name!r} is of utterances"
        )
    return SelectedOnTest(fold.name, fold.train, fold.test)


def collect(run: Run, known: metadata.Metadata) -> Evaluation | None:
    """Gather the finished parts into the run's own files, with what evaluating them needs of the corpora (`known`).

    Returns the run's evaluation, or None without test speakers.
    """
    recipe, folder = run.recipe, run.folder
    places = [place_of(folder, part) for part in run.parts]
    history = [
        json.loads(line) for place in places for line in (place / "metrics.jsonl").read_text().splitlines()
    ]
    write_text(folder.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in history))
    reports = {place.name: json.loads((place / "done.json").read_text(encoding="utf-8")) for place in places}
    metadata.write_metadata(known, folder.path / metadata.FILE_NAME)
    if history:
        save(training_figure(history), folder.path / "curves.png")
    tested = [place / "predictions.csv" for place in places if (place / "predictions.csv").is_file()]
    if not tested:
        write_json(folder.path / "metrics.json", {"recipe": recipe.name, "parts": reports})
        return None
    predictions = concat([read_csv(path) for path in tested])
    write_csv(predictions, folder.path / "predictions.csv")
    guesses = baselines(predictions, known, read_trainings(folder.path))
    write_baselines(guesses, folder.path / "baselines.json")
    evaluation = evaluate(predictions, baselines=guesses)
    figures = {"recipe": recipe.name, "evaluation": evaluation.to_dict(), "parts": reports}
    if recipe.adaptation.unit != "none":
        adapted = concat([read_csv(path.with_name(transduction.FILE_NAME)) for path in tested])
        figures["adapted"] = transduction.record(
            folder.path, adapted, evaluate(adapted), to_table(recipe.adaptation)
        )
    write_json(folder.path / "metrics.json", figures)
    panel = (evaluation.titled(recipe.title or recipe.name), evaluation.confusion)
    save(confusion_figure([panel], evaluation.labels), folder.path / "confusion.png")
    return evaluation


def check_machine(machine: Machine) -> str:
    """The device itself; this process is made fit for forking where there are several jobs.

    Raises:
        UsageError: `no_gpu`, or `bad_value` for another device, for no jobs, for several on a GPU, and for a limit of
            the cache that is none.
    """
    import torch

    cache_limit()
    if machine.jobs < 1:
        raise UsageError("bad_value", f"jobs is {machine.jobs}; expected at least 1")
    device = _device(machine.device)
    if machine.jobs > 1:
        if device != "cpu":
            raise UsageError("bad_value", f"--jobs is for the CPU, not for {device}", hint="leave --jobs out")
        torch.set_num_threads(1)  # no thread pool of torch's, no watcher thread of tqdm's
        tqdm.monitor_interval = 0
    return device


def _device(wanted: str) -> str:
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("no_gpu", "no CUDA device", hint="use --device cpu")
    if wanted != "cpu" and not wanted.startswith("cuda"):
        raise UsageError("bad_value", f"device is {wanted!r}; expected auto, cpu or cuda")
    return wanted


def check_training_packages() -> None:
    """Raise UsageError `missing_dependency` where the extra `train` is not installed."""
    from importlib.util import find_spec

    for package in ("torch", "transformers", "matplotlib"):
        if find_spec(package) is None:
            raise missing_extra(package, "train")


def _report(cache: ArrayCache) -> None:
    """A line on stderr for what a cache lost, of each kind."""
    said = []
    if cache.damaged:
        said.append(f"damaged entries, computed anew: {cache.damaged}")
    if cache.removed:
        said.append(
            f"entries used longest ago, removed for want of room: {cache.removed}; {LIMIT_VARIABLE} sets its GB"
        )
    for what in said:
        print(f"voxaffect: warning: cache at {cache.folder}: {what}", file=sys.stderr)  # noqa: T201


def _progress(positions: Sequence[int], silent: bool | None) -> Iterator[int]:
    return iter(tqdm(positions, unit="utterance", desc="features", disable=silent))


def _silent(quiet: bool) -> bool | None:
    """tqdm's `disable`: always when quiet, else (None) wherever stderr is no terminal."""
    return True if quiet else None
