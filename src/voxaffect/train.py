"""Train a recipe: every fold of every seed, then the run's predictions, figures and pictures.

Each (seed, fold) is one part: it is trained on its training speakers, its epoch or grid point is chosen on its dev
speakers, and only then does it answer for its test speakers, once. A part that is finished is never done again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from voxaffect import corpora, splits
from voxaffect.cache import ArrayCache
from voxaffect.errors import CorpusError, UsageError, missing_extra
from voxaffect.evaluation import Evaluation, evaluate
from voxaffect.examples import ExampleStore
from voxaffect.feature_options import FeatureOptions
from voxaffect.files import write_json, write_text
from voxaffect.labels import NAMED_MAPPINGS
from voxaffect.parallel import Progress, run_parts
from voxaffect.part import Part, build_model, local_checkpoint, located, place_of, train_part
from voxaffect.plots import confusion_figure, save, training_figure
from voxaffect.predictions import concat, read_csv, write_csv
from voxaffect.recipe import Recipe
from voxaffect.run import RunFolder
from voxaffect.table import UtteranceTable

if TYPE_CHECKING:
    from voxaffect.encoders.speech import SpeechEncoder


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

    Raises:
        UsageError: a wrong recipe, an occupied folder, training packages not installed.
        CorpusError: a corpus that is not there or not what the recipe needs.
        ArtefactError: an encoder that is missing, or a checkpoint of another recipe.
        ResourceError: disk or memory ran out, or the loss diverged.
    """
    _check_training_packages()
    folder = RunFolder(run)
    table = read_table(recipe, quiet=quiet)
    parts = plan(recipe, table)
    where = _device(device)
    if jobs > 1:
        _use_one_thread(where)
    folder.start(recipe, resume=resume)
    with folder.lock():
        write_json(folder.path / "folds.json", [{"seed": p.seed, **asdict(p.fold)} for p in parts])
        store = _prepare(recipe, table, cache_folder, quiet)
        unfinished = [part for part in parts if not (place_of(folder, part) / "done.json").is_file()]
        epochs = recipe.training.epochs if recipe.model_kind == "coattention" else 1
        with tqdm(
            total=len(unfinished) * epochs, unit="epoch", disable=_silent(quiet), desc=recipe.name
        ) as bar:

            def progress(steps: int, text: str) -> None:
                bar.update(steps)
                bar.set_postfix_str(text)

            def work(part: Part, progress: Progress) -> None:
                train_part(recipe, part, store, folder, where, epochs, progress)

            run_parts(unfinished, work, jobs, progress)
        return _collect(recipe, parts, folder)


def read_table(recipe: Recipe, *, quiet: bool = False) -> UtteranceTable:
    """The recipe's utterances: corpora read, filtered, labels mapped, those outside the label set left out.

    A corpus that does not hold just what its official release holds gets a line on stderr, unless `quiet`.

    Raises:
        UsageError: `unknown_corpus`, `unknown_property`, `no_match`.
        CorpusError: as `voxaffect.corpora.read`, `incomplete_corpus` where the recipe accepts none, `absent_label`.
    """
    table = UtteranceTable(())
    mapping = NAMED_MAPPINGS[recipe.data.mapping]
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
    kept = (
        table.matching(recipe.data.where).relabelled(mapping).where(lambda u: u.label in recipe.data.labels)
    )
    absent = sorted(set(recipe.data.labels) - set(kept.labels))
    if absent:
        raise CorpusError("absent_label", f"no utterance of {list(recipe.data.corpora)} is labelled {absent}")
    return kept


def plan(recipe: Recipe, table: UtteranceTable) -> tuple[Part, ...]:
    """All parts of the recipe, in order."""
    protocol = recipe.protocol
    kind = str(recipe.resolve(protocol.folds)) if protocol.folds.endswith(".csv") else protocol.folds
    parts: list[Part] = []
    for seed in protocol.seeds:
        folds = splits.make(kind, table, groups=protocol.groups, n_dev=protocol.dev_speakers, seed=seed)
        parts += [Part(seed, fold) for fold in folds]
    return tuple(parts)


def _prepare(recipe: Recipe, table: UtteranceTable, cache_folder: Path | None, quiet: bool) -> ExampleStore:
    frozen, inputs = _frozen_encoder(recipe)
    features = FeatureOptions.from_dict(recipe.features)
    cache = ArrayCache(cache_folder)
    store = ExampleStore(
        table,
        recipe.data.labels,
        features,
        inputs,
        recipe.augmentation,
        frozen,
        cache,
        teacher=_teacher(recipe),
        teacher_layers=recipe.distillation.layers,
        seed=recipe.protocol.seeds[0],
    )

    def progress(positions: Sequence[int]) -> Iterator[int]:
        return iter(tqdm(positions, unit="utterance", desc="features", disable=_silent(quiet)))

    store.prepare(progress)
    return store


def _frozen_encoder(recipe: Recipe) -> tuple[SpeechEncoder | None, tuple[str, ...]]:
    """The encoder whose states are computed once, if there is one, and the features that the model takes besides."""
    from voxaffect.encoders.speech import SpeechEncoder

    if recipe.model_kind == "probe":
        from voxaffect.probe import read_probe_options

        _, speech = read_probe_options(located(recipe))
        return SpeechEncoder(speech).eval(), ()
    model = build_model(recipe)
    encoder = getattr(model, "speech", None)
    if isinstance(encoder, SpeechEncoder) and encoder.cacheable:
        return encoder.eval(), tuple(name for name in model.inputs if name not in encoder.inputs)
    return None, model.inputs


def _teacher(recipe: Recipe) -> SpeechEncoder | None:
    if not recipe.distillation.checkpoint:
        return None
    from voxaffect.encoders.speech import SpeechEncoder, SpeechOptions

    return SpeechEncoder(SpeechOptions(local_checkpoint(recipe, recipe.distillation.checkpoint))).eval()


def _collect(recipe: Recipe, parts: Sequence[Part], folder: RunFolder) -> Evaluation | None:
    """Gather the finished parts into the run's own files."""
    places = [place_of(folder, part) for part in parts]
    history = [
        json.loads(line) for place in places for line in (place / "metrics.jsonl").read_text().splitlines()
    ]
    write_text(folder.path / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in history))
    reports = {place.name: json.loads((place / "done.json").read_text(encoding="utf-8")) for place in places}
    if history:
        save(training_figure(history), folder.path / "curves.png")
    tested = [place / "predictions.csv" for place in places if (place / "predictions.csv").is_file()]
    if not tested:
        write_json(folder.path / "metrics.json", {"recipe": recipe.name, "parts": reports})
        return None
    predictions = concat([read_csv(path) for path in tested])
    write_csv(predictions, folder.path / "predictions.csv")
    evaluation = evaluate(predictions)
    write_json(
        folder.path / "metrics.json",
        {"recipe": recipe.name, "evaluation": evaluation.to_dict(), "parts": reports},
    )
    panel = (recipe.title or recipe.name, evaluation.confusion)
    save(confusion_figure([panel], evaluation.labels), folder.path / "confusion.png")
    return evaluation


def _use_one_thread(device: str) -> None:
    """Make this process fit for forking: no thread pool of torch's, no watcher thread of tqdm's."""
    import torch

    if device != "cpu":
        raise UsageError("bad_value", f"--jobs is for the CPU, not for {device}", hint="leave --jobs out")
    torch.set_num_threads(1)
    tqdm.monitor_interval = 0


def _device(wanted: str) -> str:
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UsageError("no_gpu", "no CUDA device", hint="use --device cpu")
    return wanted


def _check_training_packages() -> None:
    from importlib.util import find_spec

    for package in ("torch", "transformers", "matplotlib"):
        if find_spec(package) is None:
            raise missing_extra(package, "train")


def _silent(quiet: bool) -> bool | None:
    """tqdm's `disable`: always when quiet, else (None) wherever stderr is no terminal."""
    return True if quiet else None
