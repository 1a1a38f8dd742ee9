"""Predictions: who was heard how, by which fold's model; the currency of evaluation, ensembles, reports.

A run folder keeps them as `predictions.csv` with the columns `id, speaker, fold, seed, truth, prediction` and
one `prob_<label>` per class. Files of others need `id, truth, prediction` only.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import numpy.typing as npt

from voxaffect.corpora.sheet import Row, read_sheet
from voxaffect.errors import ArtefactError, CorpusError, UsageError
from voxaffect.files import write_text
from voxaffect.stamps import optimistic_reason

FILE_NAME = "predictions.csv"
SUM_TOLERANCE = 1e-3
"""How far the probabilities of an utterance may be from adding up to 1."""
ROUNDING = 0.02
"""Files with probabilities of two decimals are this far off; `read_csv` scales such rows to 1."""
COLUMNS = ("id", "truth", "prediction")
"""The columns that anyone's predictions need."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """N predictions over K classes, each made by a model that did not train on that speaker.

    `labels` are in alphabetical order and `truth` (N,) int64 indexes them. `probs` is (N, K) float64, rows
    adding up to 1; where a source gave none it is one-hot and `has_probs` is False. An unknown speaker or
    fold is "". The same id may stand once per seed; no `seeds` means seed 0 throughout. `decisions` (N,)
    int64 overrules the most probable class, as a majority vote does; None where it never differs from it.

    Raises ValueError if lengths differ, a number is not finite, a row does not add up to 1 (tolerance 1e-3),
    a class is out of range, labels are unsorted or doubled, or an id stands twice in one seed.
    """

    ids: tuple[str, ...]
    speakers: tuple[str, ...]
    folds: tuple[str, ...]
    labels: tuple[str, ...]
    truth: npt.NDArray[np.int64]
    probs: npt.NDArray[np.float64]
    seeds: tuple[int, ...] = ()
    decisions: npt.NDArray[np.int64] | None = None
    has_probs: bool = True

    def __post_init__(self) -> None:
        n = len(self.ids)
        _set(self, "ids", tuple(self.ids))
        _set(self, "speakers", tuple(self.speakers))
        _set(self, "folds", tuple(self.folds))
        _set(self, "labels", tuple(self.labels))
        _set(self, "seeds", tuple(int(s) for s in self.seeds) or (0,) * n)
        if list(self.labels) != sorted(set(self.labels)) or len(self.labels) < 2:
            raise ValueError(
                f"labels must be two or more, distinct, in alphabetical order; got {list(self.labels)}"
            )
        for name in ("speakers", "folds", "seeds"):
            if len(getattr(self, name)) != n:
                raise ValueError(f"{name} has {len(getattr(self, name))} entries for {n} ids")
        _set(self, "truth", _classes("truth", self.truth, n, len(self.labels)))
        probs = np.array(self.probs, dtype=np.float64)
        if probs.shape != (n, len(self.labels)):
            raise ValueError(f"probs has shape {probs.shape}; expected {(n, len(self.labels))}")
        if not np.isfinite(probs).all() or (probs < 0).any():
            raise ValueError("probs must be finite and not negative")
        off = np.abs(probs.sum(axis=1) - 1)
        if n and off.max() > SUM_TOLERANCE:
            worst = int(off.argmax())
            raise ValueError(f"probs of {self.ids[worst]!r} add up to {probs[worst].sum():.4f}, not 1")
        probs.flags.writeable = False
        _set(self, "probs", probs)
        if self.decisions is not None:
            decisions = _classes("decisions", self.decisions, n, len(self.labels))
            _set(self, "decisions", None if np.array_equal(decisions, probs.argmax(axis=1)) else decisions)
        for (seed, utterance), count in Counter(zip(self.seeds, self.ids, strict=True)).items():
            if count > 1:
                raise ValueError(f"id {utterance!r} stands {count} times in seed {seed}")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """The predicted class of each utterance, (N,) int64."""
        return self.decisions if self.decisions is not None else self.probs.argmax(axis=1).astype(np.int64)

    @property
    def log_probs(self) -> npt.NDArray[np.float64]:
        """The logarithm of `probs` (N, K), of none that is below 1e-12."""
        return np.asarray(np.log(np.maximum(self.probs, 1e-12)))

    @property
    def confidence(self) -> npt.NDArray[np.float64]:
        """The probability of the predicted class, (N,) float64."""
        return self.probs[np.arange(len(self)), self.predicted]

    @property
    def distinct_seeds(self) -> tuple[int, ...]:
        """The seeds that occur, ascending."""
        return tuple(sorted(set(self.seeds)))

    @property
    def has_speakers(self) -> bool:
        """Whether the speaker of every utterance is known."""
        return all(self.speakers)

    @property
    def optimistic(self) -> tuple[str, ...]:
        """The distinct reasons why these answers are better than honest ones would be; () where nothing is said."""
        return tuple(sorted({reason for fold in set(self.folds) if (reason := optimistic_reason(fold))}))

    def select(self, keep: npt.ArrayLike) -> Predictions:
        """The predictions that `keep` names: a bool mask (N,), or indices in the order wanted."""
        keep = np.asarray(keep)
        if keep.dtype == bool and keep.shape != (len(self),):
            raise ValueError(f"mask has shape {keep.shape}; expected {(len(self),)}")
        rows = np.flatnonzero(keep) if keep.dtype == bool else keep.astype(np.int64)
        return Predictions(
            ids=tuple(self.ids[i] for i in rows),
            speakers=tuple(self.speakers[i] for i in rows),
            folds=tuple(self.folds[i] for i in rows),
            labels=self.labels,
            truth=self.truth[rows],
            probs=self.probs[rows],
            seeds=tuple(self.seeds[i] for i in rows),
            decisions=None if self.decisions is None else self.decisions[rows],
            has_probs=self.has_probs,
        )

    def of_seed(self, seed: int) -> Predictions:
        """The predictions of one seed."""
        return self.select(np.array(self.seeds, dtype=np.int64) == seed)

    def sorted(self) -> Predictions:
        """The same predictions ordered by seed, fold and id: the order of the file."""
        return self.select(
            sorted(range(len(self)), key=lambda i: (self.seeds[i], self.folds[i], self.ids[i]))
        )


def names_of(runs: Sequence[str | os.PathLike[str]]) -> list[str]:
    """A name for each run: its folder's (or its CSV's), with as much of the path as tells it from the others.

    Raises UsageError `same_run` if one is named twice.
    """
    paths = [Path(os.path.abspath(run)) for run in runs]  # noqa: PTH100  (resolve would follow links)
    paths = [
        path.parent if path.name == FILE_NAME else path.with_suffix("") if path.is_file() else path
        for path in paths
    ]
    for i, path in enumerate(paths):
        if path in paths[:i]:
            raise UsageError("same_run", f"{os.fspath(runs[i])} is named twice")
    depth = 1
    while len({path.parts[-depth:] for path in paths}) < len(paths):
        depth += 1
    return ["/".join(path.parts[-depth:]) for path in paths]


def concat(parts: Sequence[Predictions]) -> Predictions:
    """All `parts` in turn, e.g. the test sets of all folds. Raises ValueError if their labels differ."""
    if not parts:
        raise ValueError("nothing to put together")
    labels = parts[0].labels
    for part in parts:
        if part.labels != labels:
            raise ValueError(f"labels differ: {list(labels)} and {list(part.labels)}")
    decided = any(p.decisions is not None for p in parts)
    return Predictions(
        ids=tuple(i for p in parts for i in p.ids),
        speakers=tuple(s for p in parts for s in p.speakers),
        folds=tuple(f for p in parts for f in p.folds),
        labels=labels,
        truth=np.concatenate([p.truth for p in parts]),
        probs=np.concatenate([p.probs for p in parts]),
        seeds=tuple(s for p in parts for s in p.seeds),
        decisions=np.concatenate([p.predicted for p in parts]) if decided else None,
        has_probs=all(p.has_probs for p in parts),
    )


def write_csv(predictions: Predictions, path: str | os.PathLike[str]) -> None:
    """Write `predictions` in their sorted order: UTF-8, LF, probabilities with 6 significant digits.

    The file appears whole or not at all: ResourceError `disk_full` or `cannot_write` if it cannot. Probability columns
    are left out where there are none.
    """
    p = predictions.sorted()
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    prob_columns = [f"prob_{label}" for label in p.labels] if p.has_probs else []
    writer.writerow(["id", "speaker", "fold", "seed", "truth", "prediction", *prob_columns])
    rows = zip(p.ids, p.speakers, p.folds, p.seeds, p.truth, p.predicted, p.probs, strict=True)
    for utterance, speaker, fold, seed, truth, predicted, probs in rows:
        numbers = [f"{x:.6g}" for x in probs] if p.has_probs else []
        writer.writerow([utterance, speaker, fold, seed, p.labels[truth], p.labels[predicted], *numbers])
    write_text(Path(path), buffer.getvalue())


def read_csv(path: str | os.PathLike[str]) -> Predictions:
    """Predictions from a CSV: ours, or anyone's with at least `id, truth, prediction`.

    Further columns are left alone. The labels are those of the `prob_*` columns, or else those that occur.
    Probabilities that only rounding keeps from adding up to 1 are scaled. Raises CorpusError with the line's
    number; see `read_sheet` for delimiters and encodings.
    """
    rows = read_sheet(Path(path), COLUMNS)
    words = sorted({row.required(column) for row in rows for column in ("truth", "prediction")})
    columns = _probability_columns(rows[0], words)
    labels = tuple(sorted(columns)) or tuple(words)
    if len(labels) < 2:
        raise CorpusError(
            "too_few_labels", f"only one label, {labels[0]!r}; two are needed", where=os.fspath(path)
        )
    index = {label: k for k, label in enumerate(labels)}
    classes = np.empty((len(rows), 2), dtype=np.int64)
    probs = np.zeros((len(rows), len(labels)))
    seeds: list[int] = []
    lines: dict[tuple[int, str], int] = {}
    for i, row in enumerate(rows):
        for j, column in enumerate(("truth", "prediction")):
            if row[column] not in index:
                allowed = f"expected one of {list(labels)}"
                raise row.error("unknown_label", f"{column} is {row[column]!r}; {allowed}")
            classes[i, j] = index[row[column]]
        probs[i] = (
            _probabilities(row, [columns[x] for x in labels])
            if columns
            else np.eye(len(labels))[classes[i, 1]]
        )
        seeds.append(_seed(row))
        if (first := lines.setdefault((seeds[i], row.required("id")), row.line)) != row.line:
            raise row.error(
                "duplicate_id",
                f"id {row['id']!r} stands in line {first} already",
                hint="repetitions need a column seed of whole numbers",
            )
    return Predictions(
        ids=tuple(row["id"] for row in rows),
        speakers=tuple(row["speaker"] for row in rows),
        folds=tuple(row["fold"] for row in rows),
        labels=labels,
        truth=classes[:, 0],
        probs=probs,
        seeds=tuple(seeds),
        decisions=classes[:, 1],
        has_probs=bool(columns),
    )


def read_column(path: str | os.PathLike[str], column: str) -> dict[str, str]:
    """One more column of a predictions file, by id: groups that a report tells apart, such as gender.

    Raises CorpusError if there is no such column; the message lists those that there are.
    """
    return {row["id"]: row[column.casefold()] for row in read_sheet(Path(path), ("id", column.casefold()))}


def predictions_file(run: str | os.PathLike[str]) -> Path:
    """The predictions CSV of a run: the file itself, or `predictions.csv` in the run's folder.

    Raises ArtefactError if there is none.
    """
    path = Path(run)
    if path.is_file():
        return path
    if (path / FILE_NAME).is_file():
        return path / FILE_NAME
    if path.is_dir():
        inside = sorted(file.parent for file in path.glob(f"*/{FILE_NAME}"))
        what = f"the folder holds no {FILE_NAME}"
        hint = "voxaffect train RECIPE.toml -o RUN writes one when its last fold is done"
        if inside:  # of a study, or of cheat-cost
            hint = f"name a run within it: {', '.join(map(str, inside))}"
    else:
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        close = get_close_matches(path.name, beside, n=1)
        what = "no such file or folder"
        hint = "expected a run's folder, or a CSV with the columns id,truth,prediction"
        if close:
            hint = f"did you mean {path.with_name(close[0])}?"
    raise ArtefactError("no_predictions", what, hint=hint, where=os.fspath(run))


def read_run(run: str | os.PathLike[str]) -> Predictions:
    """The predictions of a run folder or a CSV file: `read_csv` of `predictions_file`."""
    return read_csv(predictions_file(run))


def _set(predictions: Predictions, name: str, value: object) -> None:
    object.__setattr__(predictions, name, value)  # the frozen dataclass's own way to normalise a field


def _classes(name: str, values: npt.ArrayLike, n: int, n_classes: int) -> npt.NDArray[np.int64]:
    given = np.asarray(values)
    if given.shape != (n,):
        raise ValueError(f"{name} has shape {given.shape}; expected {(n,)}")
    if n and not np.issubdtype(given.dtype, np.integer):
        raise ValueError(f"{name} must be whole numbers, got {given.dtype}")
    if n and (given.min() < 0 or given.max() >= n_classes):
        raise ValueError(f"{name} holds class {given.min()} to {given.max()}; expected 0 to {n_classes - 1}")
    classes = np.array(given, dtype=np.int64)
    classes.flags.writeable = False
    return classes


def _probability_columns(row: Row, words: list[str]) -> dict[str, str]:
    """label -> column; a sheet has its columns in lower case, so labels take their case from `words`."""
    cased = {word.casefold(): word for word in words}
    columns = [column for column in row.cells if column.startswith("prob_")]
    return {cased.get(name := column.removeprefix("prob_"), name): column for column in columns}


def _probabilities(row: Row, columns: list[str]) -> list[float]:
    values = []
    for column in columns:
        try:
            value = float(row[column].replace(",", "."))  # some spreadsheets write decimal commas
        except ValueError:
            value = math.nan
        if not 0 <= value <= 1 + SUM_TOLERANCE:
            raise row.error("bad_probability", f"{column} is {row[column]!r}; expected a number from 0 to 1")
        values.append(value)
    total = math.fsum(values)
    if abs(total - 1) > ROUNDING:
        raise row.error("bad_probability", f"the probabilities add up to {total:.4g}, not 1")
    return [value / total for value in values] if abs(total - 1) > SUM_TOLERANCE else values


def _seed(row: Row) -> int:
    try:
        return int(row["seed"] or "0")
    except ValueError:
        raise row.error("bad_seed", f"seed is {row['seed']!r}; expected a whole number") from None
