"""Train a recipe: every fold of every seed, then the run's predictions, figures and pictures.

Each (seed, fold) is one part: it is trained on its training speakers, its epoch or grid point is chosen on its dev
speakers, and only then does it answer for its test speakers, once. A part that is finished is never done again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from voxaffect import corpora, splits
from voxaffect.cache import ArrayCache
from voxaffect.errors import CorpusError, UsageError, missing_extra
from voxaffect.evaluation import Evaluation, evaluate
from voxaffect.examples import ExampleStore
from voxaffect.feature_options import FeatureOptions
from voxaffect.labels import NAMED_MAPPINGS
from voxaffect.parallel import Progress, run_parts
from voxaffect.plots import confusion_figure, save, training_figure
from voxaffect.predictions import Predictions, concat, read_csv, write_csv
from voxaffect.recipe import Recipe
from voxaffect.run import RunFolder, write_json, write_text
from voxaffect.splits import Fold
from voxaffect.table import UtteranceTable

if TYPE_CHECKING:
    from torch import nn

    from voxaffect.encoders.speech import SpeechEncoder


@dataclass(frozen=True)
class Part:
    """One training: a seed and a fold."""

    seed: int
    fold: Fold

    @property
    def name(self) -> str:
        """How progress and errors name it."""
        return f"seed {self.seed}, fold {self.fold.name}"


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
    table = read_table(recipe)
    parts = plan(recipe, table)
    where = _device(device)
    if jobs > 1:
        _use_one_thread(where)
    folder.start(recipe, resume=resume)
    with folder.lock():
        write_json(folder.path / "folds.json", [{"seed": p.seed, **asdict(p.fold)} for p in parts])
        store = _prepare(recipe, table, cache_folder, quiet)
        unfinished = [part for part in parts if not (_place(folder, part) / "done.json").is_file()]
        epochs = recipe.training.epochs if recipe.model.get("kind", "coattention") == "coattention" else 1
        with tqdm(
            total=len(unfinished) * epochs, unit="epoch", disable=_silent(quiet), desc=recipe.name
        ) as bar:

            def progress(steps: int, text: str) -> None:
                bar.update(steps)
                bar.set_postfix_str(text)

            def work(part: Part, progress: Progress) -> None:
                _train_part(recipe, part, store, folder, where, epochs, progress)

            run_parts(unfinished, work, jobs, progress)
        return _collect(recipe, parts, folder)


def read_table(recipe: Recipe) -> UtteranceTable:
    """The recipe's utterances: corpora read, labels mapped, those outside the label set left out."""
    table = UtteranceTable(())
    mapping = NAMED_MAPPINGS[recipe.data.mapping]
    for name in recipe.data.corpora:
        root = recipe.resolve(recipe.data.roots.get(name, f"{recipe.data.root}/{name}"))
        table = table + corpora.read(name, root, allow_missing=recipe.data.missing_ok)
    kept = table.relabelled(mapping).where(lambda u: u.label in recipe.data.labels)
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

    if recipe.model.get("kind", "coattention") == "probe":
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

    return SpeechEncoder(SpeechOptions(_local(recipe, recipe.distillation.checkpoint))).eval()


def located(recipe: Recipe) -> dict[str, Any]:
    """The [model] table with the checkpoint's folder, where it is one, taken from the recipe's folder."""
    table = dict(recipe.model)
    speech = dict(table.get("speech") or {})
    if "checkpoint" in speech:
        table["speech"] = {**speech, "checkpoint": _local(recipe, speech["checkpoint"])}
    return table


def _local(recipe: Recipe, checkpoint: str) -> str:
    folder = recipe.resolve(checkpoint)
    return str(folder) if folder.is_dir() else checkpoint


def build_model(recipe: Recipe) -> Any:
    """The co-attention model of the recipe, with random weights wherever no checkpoint is named."""
    from voxaffect.model import CoAttention, ModelOptions

    table = located(recipe)
    kind = table.pop("kind", "coattention")
    if kind != "coattention":
        raise UsageError(
            "unknown_model", f"unknown model kind {kind!r}; expected one of ['coattention', 'probe']"
        )
    return CoAttention(ModelOptions.from_dict({**table, "n_classes": len(recipe.data.labels)}))


def _train_part(
    recipe: Recipe,
    part: Part,
    store: ExampleStore,
    folder: RunFolder,
    device: str,
    epochs: int,
    progress: Progress,
) -> None:
    started = time.monotonic()
    place = _place(folder, part)
    place.mkdir(parents=True, exist_ok=True)
    train_rows, dev_rows, test_rows = (
        _rows(store.table, s) for s in (part.fold.train, part.fold.dev, part.fold.test)
    )
    if recipe.model.get("kind", "coattention") == "probe":
        model, report, dev_rows, dev_log_probs, history = _fit_probe(
            recipe, part, store, train_rows + dev_rows
        )
    else:
        model, report, dev_log_probs, history = _fit_gradient(
            recipe, part, store, train_rows, dev_rows, place, device, progress
        )
    from voxaffect.fit import log_probabilities

    write_csv(_predictions(store, dev_rows, dev_log_probs, part), place / "dev_predictions.csv")
    if test_rows:
        log_probs = log_probabilities(model, store, test_rows, device)
        write_csv(_predictions(store, test_rows, log_probs, part), place / "predictions.csv")
    _write_history(place, part, history)
    report |= {"seconds": round(time.monotonic() - started, 1), "train_utterances": len(train_rows)}
    write_json(place / "done.json", report)
    progress(epochs - len(history), part.name)  # an early stop counts as done
    (place / "checkpoint.pt").unlink(missing_ok=True)


def _fit_gradient(
    recipe: Recipe,
    part: Part,
    store: ExampleStore,
    train_rows: list[int],
    dev_rows: list[int],
    place: Path,
    device: str,
    progress: Progress,
) -> tuple[nn.Module, dict[str, Any], np.ndarray, list[dict[str, float]]]:
    import torch

    from voxaffect.fit import fit, hash_seed, log_probabilities, to_tensors

    torch.manual_seed(hash_seed(part.seed, 0))
    model = build_model(recipe)
    keys = store.training_keys(train_rows)
    rng = np.random.default_rng([part.seed, 0])
    batches = [keys[start : start + 64] for start in range(0, len(keys), 64)]
    model.fit_normalisation(to_tensors([store.training_item(key, rng) for key in batch]) for batch in batches)

    distiller = None
    if store.teacher is not None:
        from voxaffect.distillation import Distiller

        distiller = Distiller(model, store.teacher.dim, recipe.distillation)
        distiller.fit([states for row in train_rows for states in store.taught(row)])

    def on_epoch(history: Sequence[dict[str, float]]) -> None:
        progress(1, f"{part.name}: dev UA {history[-1]['dev_ua']:.3f}")
        _write_history(place, part, history)

    fitted = fit(
        model,
        store,
        train_rows,
        dev_rows,
        recipe.training,
        seed=part.seed,
        device=device,
        checkpoint=place / "checkpoint.pt",
        digest=f"{recipe.digest}/{part.seed}/{part.fold.name}",
        distiller=distiller,
        on_epoch=on_epoch,
    )
    model.save(place / "model")
    report = {"best_epoch": fitted.best_epoch, "epochs": len(fitted.history)}
    dev_log_probs = log_probabilities(fitted.model, store, dev_rows, device)
    return fitted.model, report, dev_log_probs, list(fitted.history)


def _fit_probe(
    recipe: Recipe, part: Part, store: ExampleStore, rows: list[int]
) -> tuple[nn.Module, dict[str, Any], list[int], np.ndarray, list[dict[str, float]]]:
    from voxaffect.fit import to_tensors
    from voxaffect.probe import fit_probe, read_probe_options

    options, _ = read_probe_options(located(recipe))
    assert store.frozen is not None
    for row in rows:
        if len(store.judged(row)) != 1:
            raise UsageError("bad_value", "a probe takes whole utterances: set features.window = 0")
    batches = [
        to_tensors([store.judged(row)[0] for row in rows[start : start + 32]])
        for start in range(0, len(rows), 32)
    ]
    speakers = [store.table[row].speaker for row in rows]
    probe, report, log_probs = fit_probe(
        store.frozen, options, batches, store.targets[rows], speakers, len(store.labels), part.seed
    )
    return probe, report, rows, log_probs, []


def _collect(recipe: Recipe, parts: Sequence[Part], folder: RunFolder) -> Evaluation | None:
    """Gather the finished parts into the run's own files."""
    places = [_place(folder, part) for part in parts]
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


def _place(folder: RunFolder, part: Part) -> Path:
    return folder.part(part.seed, part.fold.name)


def _use_one_thread(device: str) -> None:
    """Make this process fit for forking: no thread pool of torch's, no watcher thread of tqdm's."""
    import torch

    if device != "cpu":
        raise UsageError("bad_value", f"--jobs is for the CPU, not for {device}", hint="leave --jobs out")
    torch.set_num_threads(1)
    tqdm.monitor_interval = 0


def _write_history(place: Path, part: Part, history: Sequence[dict[str, float]]) -> None:
    rows = [{"seed": part.seed, "fold": part.fold.name, **row} for row in history]
    write_text(place / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def _predictions(store: ExampleStore, rows: Sequence[int], log_probs: np.ndarray, part: Part) -> Predictions:
    probs = np.exp(log_probs)
    return Predictions(
        ids=tuple(store.table[row].id for row in rows),
        speakers=tuple(store.table[row].speaker for row in rows),
        folds=(part.fold.name,) * len(rows),
        labels=store.labels,
        truth=store.targets[list(rows)],
        probs=probs / probs.sum(axis=1, keepdims=True),
        seeds=(part.seed,) * len(rows),
    )


def _rows(table: UtteranceTable, speakers: Sequence[str]) -> list[int]:
    chosen = set(speakers)
    return [row for row, utterance in enumerate(table) if utterance.speaker in chosen]


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
