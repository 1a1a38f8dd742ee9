"""One part of a run: the training of one fold with one seed, its dev and test answers, and what it leaves behind."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from voxaffect.calibration import fit_temperature
from voxaffect.errors import UsageError
from voxaffect.examples import ExampleStore, Item
from voxaffect.features import SAMPLE_RATE
from voxaffect.files import write_json, write_text
from voxaffect.parallel import Progress
from voxaffect.predictions import Predictions, write_csv
from voxaffect.preparation import Encoders, build_model, located
from voxaffect.recipe import Recipe
from voxaffect.run import RunFolder
from voxaffect.splits import AnyFold
from voxaffect.transduction import FILE_NAME as ADAPTED_FILE
from voxaffect.transduction import adapted_answers, draw, rows_of, unit_of
from voxaffect.voting import log_mean, members_decide

if TYPE_CHECKING:
    from torch import nn

    from voxaffect.adapted_kernel import AdaptedKernel
    from voxaffect.adapted_probe import AdaptedProbe
    from voxaffect.encoders.speech import SpeechEncoder
    from voxaffect.model import CoAttention
    from voxaffect.probe import Point, Pooled, Probe, ProbeOptions


@dataclass(frozen=True)
class Part:
    """One training: a seed and a fold."""

    seed: int
    fold: AnyFold

    @property
    def name(self) -> str:
        """How progress and errors name it."""
        return f"seed {self.seed}, fold {self.fold.name}"


def train_part(
    recipe: Recipe,
    part: Part,
    store: ExampleStore,
    encoders: Encoders,
    folder: RunFolder,
    device: str,
    progress: Progress,
) -> None:
    """Train, choose on the dev speakers, then answer for the test speakers once; `progress` gets epochs."""
    started = time.monotonic()
    place = place_of(folder, part)
    place.mkdir(parents=True, exist_ok=True)
    labelled = store.table.where(lambda u: u.label in store.labels)  # they stand first
    train_rows, dev_rows, test_rows = map(list, part.fold.rows(labelled))
    unlabelled = range(len(labelled), len(store.table))
    heard = train_rows + [row for row in unlabelled if store.table[row].speaker in part.fold.train]
    if recipe.model_kind == "probe":
        probe, report, dev_rows, dev_log_probs, history = _fit_probe(
            recipe, part, store, train_rows, dev_rows
        )
        model: nn.Module = probe
        device = "cpu"  # a closed form is never moved
        if not test_rows:  # the final model; those of folds are many, large, and quickly fitted again
            from voxaffect.probe_file import save_probe

            save_probe(probe, place / "model")
    else:
        model, report, dev_log_probs, history = _fit_gradient(
            recipe, part, store, encoders, train_rows, heard, dev_rows, place, device, progress
        )
    from voxaffect.fit import member_log_probabilities

    write_csv(_predictions(store, dev_rows, dev_log_probs, part), place / "dev_predictions.csv")
    if test_rows:
        answers = member_log_probabilities(model, store, test_rows, device)
        write_csv(_predictions(store, test_rows, answers, part), place / "predictions.csv")
        if recipe.adaptation.unit != "none":
            adapted = _adapted(recipe, part, store, model, test_rows, log_mean(answers))
            write_csv(_predictions(store, test_rows, adapted, part), place / ADAPTED_FILE)
    _write_history(place, part, history)
    if dev_rows:
        targets, n = store.targets[list(dev_rows)], dev_log_probs.shape[1]
        items = np.tile(np.arange(len(targets)), n) if n > 1 else None
        logits = np.concatenate([*dev_log_probs.swapaxes(0, 1)])  # of member after member
        report["temperature"] = round(fit_temperature(logits, np.tile(targets, n), items=items), 4)
    report |= {"seconds": round(time.monotonic() - started, 1), "train_utterances": len(heard)}
    write_json(place / "done.json", report)
    progress(epochs_of(recipe) - len(history), part.name)  # an early stop counts as done
    (place / "checkpoint.pt").unlink(missing_ok=True)


def _fit_gradient(
    recipe: Recipe,
    part: Part,
    store: ExampleStore,
    encoders: Encoders,
    train_rows: list[int],
    heard: list[int],
    dev_rows: list[int],
    place: Path,
    device: str,
    progress: Progress,
) -> tuple[nn.Module, dict[str, Any], np.ndarray, list[dict[str, float]]]:
    """`heard` are `train_rows` and what else the teacher speaks of."""
    import torch

    from voxaffect.fit import fit, hash_seed, member_log_probabilities, to_tensors
    from voxaffect.objective import precision_on

    torch.manual_seed(hash_seed(part.seed, 0))
    model = build_model(recipe, encoders)
    keys = store.training_keys(heard)
    rng = np.random.default_rng([part.seed, 0])
    batches = [keys[start : start + 64] for start in range(0, len(keys), 64)]
    model.fit_normalisation(to_tensors([store.training_item(key, rng) for key in batch]) for batch in batches)

    closed_form = model.options.wiring == "kernel"
    distiller = None
    if store.teacher is not None:
        from voxaffect.distillation import BranchDistiller, Distiller

        distiller = (BranchDistiller if closed_form else Distiller)(
            model, store.teacher.dim, recipe.distillation
        )
        distiller.fit([states for row in heard for states in store.taught(row)])
    elif closed_form:
        raise UsageError(
            "bad_value",
            "wiring 'kernel' learns from a teacher alone, and the recipe names none",
            hint='set distillation.checkpoint, or model.wiring = "native"',
        )

    def on_epoch(history: Sequence[dict[str, float]]) -> None:
        last = history[-1]
        said = f"dev UA {last['dev_ua']:.3f}" if "dev_ua" in last else f"dev loss {last['dev_loss']:.3f}"
        progress(1, f"{part.name}: {said}")
        _write_history(place, part, history)

    precision = precision_on(device, recipe.training.precision)
    lowered = "" if precision == recipe.training.precision else f"/{precision}"
    fitted = fit(
        model,
        store,
        heard,
        dev_rows,
        recipe.training,
        seed=part.seed,
        device=device,
        checkpoint=place / "checkpoint.pt",
        digest=f"{recipe.digest}/{part.seed}/{part.fold.name}/{device}/{torch.get_num_threads()}{lowered}",
        distiller=distiller,
        on_epoch=on_epoch,
    )
    report: dict[str, Any] = {"best_epoch": fitted.best_epoch, "epochs": len(fitted.history)}
    if lowered:
        report["precision"] = precision
    answering: CoAttention | AdaptedKernel = model
    if closed_form:
        from voxaffect.readout import fit_adapted_readout, fit_readout

        chosen, pieces, judged = fit_readout(model, store, train_rows, dev_rows, part.seed, device)
        report |= chosen
        if recipe.adaptation.unit != "none":
            answering, report["adapted"] = fit_adapted_readout(
                model, store, train_rows, dev_rows, pieces, judged, recipe.adaptation, part.seed
            )
    answering.save(place / "model")
    dev_log_probs = member_log_probabilities(answering.to(device), store, dev_rows, device)
    return answering, report, dev_log_probs, list(fitted.history)


def _fit_probe(
    recipe: Recipe, part: Part, store: ExampleStore, train_rows: list[int], dev_rows: list[int]
) -> tuple[Probe | AdaptedProbe, dict[str, Any], list[int], np.ndarray, list[dict[str, float]]]:
    from voxaffect.probe import fit_probe, read_probe_options

    options, _ = read_probe_options(located(recipe))
    rows = train_rows + dev_rows
    for row in rows:
        if len(store.judged(row)) != 1:
            raise UsageError("bad_value", "a probe takes whole utterances: set features.window = 0")
    dev_chooses = part.fold.selects_on_test or not options.inner_folds
    if dev_chooses and recipe.adaptation.unit != "none":
        raise UsageError(
            "bad_value", "[adaptation] needs answers about all speakers: set model.inner_folds to 2 or more"
        )
    # Who has speakers on both sides does not keep them apart when choosing either.
    unit = [u.id if part.fold.mixes_speakers else u.speaker for u in store.table]
    copied = train_rows if dev_chooses else rows  # who only chooses is heard as recorded
    heard = rows + copied * store.n_altered
    is_copy = np.arange(len(heard)) >= len(rows)
    judges = np.isin(heard, dev_rows) if dev_chooses else None
    pooled = {point: values[rows] for point, values in _pooled(store, options).items()}
    probe, report, log_probs = fit_probe(
        _only_encoder(store),
        options,
        {
            p: np.concatenate([pooled[p], *(c[copied] for c in copies)])
            for p, copies in _copies(store, options).items()
        },
        store.targets[heard],
        [unit[row] for row in heard],
        len(store.labels),
        part.seed,
        judges=judges,
        copies=is_copy,
    )
    if recipe.adaptation.unit == "none":
        return probe, report, rows if judges is None else dev_rows, log_probs[:, None], []
    from voxaffect.adapted_probe import fit_adapted_probe

    adapted, report["adapted"] = fit_adapted_probe(
        probe,
        log_probs,
        options,
        recipe.adaptation,
        pooled,
        store.targets[rows],
        [unit[row] for row in rows],
        [unit_of(store.table[row], recipe.adaptation.unit) for row in rows],
        seconds_of(store, rows),
        part.seed,
    )
    return adapted, report, rows, log_probs[:, None], []


def _adapted(
    recipe: Recipe,
    part: Part,
    store: ExampleStore,
    model: nn.Module,
    rows: list[int],
    log_probs: np.ndarray,
) -> np.ndarray:
    """Log-probabilities (N, 1, K) for the test `rows`, adapted to what there is of their units among them."""
    from voxaffect.adapted_kernel import AdaptedKernel
    from voxaffect.adapted_probe import AdaptedProbe

    rng = np.random.default_rng([part.seed, 1])
    units = [unit_of(store.table[row], recipe.adaptation.unit) for row in rows]
    if isinstance(model, AdaptedKernel):  # windows of utterances take the place of utterances
        from voxaffect.readout import listen, plain_answers

        pieces = listen(model.plain, store, rows, "cpu")
        statistics, seconds, owners = pieces.statistics, pieces.seconds, pieces.owners
        log_probs = plain_answers(model, pieces)
    else:
        assert isinstance(model, AdaptedProbe)
        statistics, seconds = adapted_statistics(recipe, store, model, rows), seconds_of(store, rows)
        owners = np.arange(len(rows))
    judged = rows_of([units[owner] for owner in owners])
    enrolled = {unit: draw(own, seconds, recipe.adaptation.seconds, rng) for unit, own in judged.items()}
    answers = adapted_answers(model, statistics, log_probs, seconds, enrolled, judged)
    sums = np.zeros((len(rows), answers.shape[1]))
    np.add.at(sums, owners, answers)
    mean = sums / np.bincount(owners)[:, None]
    return np.asarray(mean - np.log(np.exp(mean).sum(axis=1, keepdims=True)))[:, None]


def fit_adapted(
    recipe: Recipe, part: Part, store: ExampleStore, test_rows: list[int]
) -> tuple[AdaptedProbe, np.ndarray]:
    """The part's probe, and its plain log-probabilities (N, K) for its test rows; nothing is written."""
    from voxaffect.adapted_probe import AdaptedProbe
    from voxaffect.fit import log_probabilities

    labelled = store.table.where(lambda u: u.label in store.labels)
    train_rows, dev_rows, _ = map(list, part.fold.rows(labelled))
    probe, *_ = _fit_probe(recipe, part, store, train_rows, dev_rows)
    assert isinstance(probe, AdaptedProbe)
    return probe, log_probabilities(probe, store, test_rows)


def adapted_statistics(
    recipe: Recipe, store: ExampleStore, model: AdaptedProbe, rows: Sequence[int]
) -> np.ndarray:
    """What the adapted head of `model` reads of utterances: (N, D)."""
    from voxaffect.adapted_probe import point_of
    from voxaffect.probe import read_probe_options

    options, _ = read_probe_options(located(recipe))
    return _pooled(store, options)[point_of(model.centred.choice)][list(rows)]


def seconds_of(store: ExampleStore, rows: Sequence[int]) -> np.ndarray:
    """How long utterances are (N,), in seconds."""
    return np.array([sum(int(item["n_samples"]) for item in store.judged(row)) / SAMPLE_RATE for row in rows])


def _pooled(store: ExampleStore, options: ProbeOptions) -> Pooled:
    """The pooled states of every utterance of the table: what all parts of all probes of this grid are fitted on."""
    key = (options.layers, options.statistics)
    if key not in store.pooled:
        store.pooled[key] = _pool(store, options, lambda row: store.judged(row)[0])
    pooled: Pooled = store.pooled[key]
    return pooled


def _copies(store: ExampleStore, options: ProbeOptions) -> Mapping[Point, Sequence[np.ndarray]]:
    """`_pooled` of the first altered copy of every utterance, of the second …, by the point of the grid."""
    key = ("copies", options.layers, options.statistics)
    if key not in store.pooled:
        found = []
        for n in range(store.n_altered):

            def copy(row: int, n: int = n) -> Item:
                return store.altered(row)[n]

            found.append(_pool(store, options, copy))
        points = itertools.product(options.layers, options.statistics)
        store.pooled[key] = {point: [pooled[point] for pooled in found] for point in points}
    copies: Mapping[Point, Sequence[np.ndarray]] = store.pooled[key]
    return copies


def _pool(store: ExampleStore, options: ProbeOptions, item: Callable[[int], Item]) -> Pooled:
    from voxaffect.fit import to_tensors
    from voxaffect.probe import pool_grid

    every = range(len(store.table))
    batches = (to_tensors([item(row) for row in every[i : i + 32]]) for i in every[::32])
    return pool_grid(_only_encoder(store), options, batches)


def epochs_of(recipe: Recipe) -> int:
    """How many epochs a part of the recipe has at most; a closed form counts as one."""
    return recipe.training.epochs if recipe.model_kind == "coattention" else 1


def _only_encoder(store: ExampleStore) -> SpeechEncoder:
    """The frozen speech encoder under a probe."""
    from voxaffect.encoders.speech import SpeechEncoder

    (encoder,) = store.frozen
    assert isinstance(encoder, SpeechEncoder)
    return encoder


def place_of(folder: RunFolder, part: Part) -> Path:
    """The folder of `part` in the run."""
    return folder.part(part.seed, part.fold.name)


def _write_history(place: Path, part: Part, history: Sequence[dict[str, float]]) -> None:
    rows = [{"seed": part.seed, "fold": part.fold.name, **row} for row in history]
    write_text(place / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def _predictions(store: ExampleStore, rows: Sequence[int], log_probs: np.ndarray, part: Part) -> Predictions:
    """What the members answered, `log_probs` (N, M, K): their majority, and the mean of their probabilities."""
    decided = members_decide(log_probs)
    return Predictions(
        ids=tuple(store.table[row].id for row in rows),
        speakers=tuple(store.table[row].speaker for row in rows),
        folds=(part.fold.name,) * len(rows),
        labels=store.labels,
        truth=store.targets[list(rows)],
        probs=decided.probs,
        seeds=(part.seed,) * len(rows),
        decisions=decided.winners,
    )
