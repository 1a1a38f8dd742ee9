"""What can be scored without listening: guesses from metadata, to stand beside every score.

A guess is fitted on the training and dev utterances of a fold and answers for the fold's test utterances, as the model
does. From a word (text, scenario, gender …) it takes the class that was most frequent with that word in training;
from the duration, the most probable class of Gaussians over its logarithm; where the word was never heard in training,
the most frequent class of all. If it comes near a model, the corpus gives the emotion away by other means than sound.

A run folder has them as `baselines.json`:

    {"schema": "voxaffect.baselines/1", "labels": [...],
     "baselines": [{"name": "majority class"|"scenario"|"text"|"session"|"take"|"gender"|"language"|"corpus"|"speaker"|
                            "duration", "n": test utterances, "known": share of them whose word was in training,
                    "UA", "WA", "macro-F1" (fractions of 1, means over seeds)}],
     "left_out": [{"name", "reason"}]}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from voxaffect import metrics
from voxaffect.errors import ArtefactError, CorpusError
from voxaffect.files import write_json
from voxaffect.metadata import Metadata, plain_text, seconds_of
from voxaffect.predictions import Predictions
from voxaffect.significance import MEASURES
from voxaffect.trainings import Training

FILE_NAME = "baselines.json"
SCHEMA = "voxaffect.baselines/1"
MAJORITY = "majority class"
DURATION = "duration"
WORDS = ("scenario", "text", "session", "take", "gender", "language", "corpus", "speaker")
"""The columns of which each makes a guess, beside the duration."""
VARIANCE_FLOOR = 1e-9
"""Of the variance of all durations: a class whose durations are all alike still gets a Gaussian."""

Classes = npt.NDArray[np.int64]
Split = tuple[int, Classes, Classes]
"""A seed, and the rows of the metadata that train and test."""


@dataclass(frozen=True)
class Guess:
    """What one kind of metadata scores on the test utterances, as fractions of 1, averaged over seeds.

    `n` counts the utterances, `known` is the share of them whose word (or duration) training could know.
    """

    name: str
    n: int
    known: float
    measures: Mapping[str, float]


@dataclass(frozen=True)
class Baselines:
    """The guesses that could be made, and why the others could not."""

    labels: tuple[str, ...]
    guesses: tuple[Guess, ...]
    left_out: Mapping[str, str]

    def to_dict(self) -> dict[str, object]:
        """What `baselines.json` holds."""
        return {
            "schema": SCHEMA,
            "labels": list(self.labels),
            "baselines": [{"name": g.name, "n": g.n, "known": g.known, **g.measures} for g in self.guesses],
            "left_out": [{"name": name, "reason": reason} for name, reason in self.left_out.items()],
        }


def baselines(
    predictions: Predictions, metadata: Metadata, trainings: Sequence[Training] | None = None
) -> Baselines:
    """The guesses for the utterances of `predictions`, each fitted on what the fold that answered could learn from.

    With `trainings` that is every utterance of the fold's training and dev speakers that it does not test. Without, it
    is what other folds test; where no folds are known, what other speakers say.

    Raises:
        CorpusError: `unknown_utterance` if the metadata lack one, `fold_unknown` if `trainings` lack a fold.
    """
    index = {utterance: row for row, utterance in enumerate(metadata.ids)}
    if lost := [utterance for utterance in predictions.ids if utterance not in index]:
        raise CorpusError(
            "unknown_utterance", f"nothing is known of {len(lost)} utterances, the first is {lost[0]!r}"
        )
    classes = {label: k for k, label in enumerate(predictions.labels)}
    labels = np.array([classes.get(label, -1) for label in metadata.columns["label"]], dtype=np.int64)
    labels[[index[utterance] for utterance in predictions.ids]] = predictions.truth
    splits = [
        (seed, train[labels[train] >= 0], test)
        for seed, train, test in _splits(predictions, metadata, index, trainings)
    ]
    names = (MAJORITY, *WORDS, DURATION)
    if not all(len(train) for _, train, _ in splits):
        reason = "a fold has no other utterances to fit it on"
        return Baselines(predictions.labels, (), dict.fromkeys(names, reason))
    guesses, left_out = [], {}
    for name in names:
        made = _guess(name, metadata, labels, splits, len(predictions.labels))
        if isinstance(made, Guess):
            guesses.append(made)
        else:
            left_out[name] = made
    return Baselines(predictions.labels, tuple(guesses), left_out)


def most_frequent(words: Sequence[str], truth: Classes, asked: Sequence[str], n_classes: int) -> Classes:
    """For each word in `asked`, the class that `words` (N,) with the classes `truth` (N,) most often had with it.

    Ties go to the class that is more frequent over all, then to the first. An unknown or empty word gets the most
    frequent class of all.

    >>> most_frequent(["a", "a", "b"], np.array([1, 1, 0]), ["b", "a", "new"], 2).tolist()
    [0, 1, 1]
    """
    overall = np.bincount(truth, minlength=n_classes)
    order = np.argsort(-overall, kind="stable")
    counts: dict[str, npt.NDArray[np.int64]] = {}
    for word, k in zip(words, truth, strict=True):
        counts.setdefault(word, np.zeros(n_classes, dtype=np.int64))[k] += 1
    counts[""] = overall
    best = {word: int(order[c[order].argmax()]) for word, c in counts.items()}
    return np.array([best.get(word, best[""]) for word in asked], dtype=np.int64)


def most_probable(
    seconds: npt.NDArray[np.float64], truth: Classes, asked: npt.NDArray[np.float64], n_classes: int
) -> Classes:
    """For each duration in `asked`, the most probable class: a Gaussian over log seconds for each class, times its
    frequency. NaN, an unknown duration, trains nothing and gets the most frequent class of all.

    >>> most_probable(np.array([1.0, 1.1, 3.0, 3.2]), np.array([0, 0, 1, 1]), np.array([1.2, 2.9]), 2).tolist()
    [0, 1]
    """
    known = ~np.isnan(seconds)
    x, classes = np.log(seconds[known]), truth[known]
    n = np.bincount(classes, minlength=n_classes)
    fallback = int(np.bincount(truth, minlength=n_classes).argmax())
    if not len(x):
        return np.full(len(asked), fallback, dtype=np.int64)
    some = np.maximum(n, 1)
    mean = np.bincount(classes, weights=x, minlength=n_classes) / some
    variance = np.bincount(classes, weights=(x - mean[classes]) ** 2, minlength=n_classes) / some
    variance = variance + max(VARIANCE_FLOOR * float(x.var()), np.finfo(float).tiny)
    prior = np.where(n > 0, np.log(some / len(x)), -np.inf)
    z = np.log(asked)[:, None]  # (N, 1)
    score = prior - 0.5 * (np.log(variance) + (z - mean) ** 2 / variance)  # (N, K)
    return np.where(np.isnan(asked), fallback, score.argmax(axis=1)).astype(np.int64)


def write_baselines(made: Baselines, path: Path) -> None:
    """Write `baselines.json`."""
    write_json(path, made.to_dict())


def read_baselines(path: Path) -> Baselines:
    """The baselines in the file `path`; ArtefactError `bad_baselines` if it is not what `write_baselines` writes."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if table["schema"] != SCHEMA:
            raise ValueError(table["schema"])
        return Baselines(
            tuple(table["labels"]),
            tuple(
                Guess(str(g["name"]), int(g["n"]), float(g["known"]), {m: float(g[m]) for m in MEASURES})
                for g in table["baselines"]
            ),
            {str(row["name"]): str(row["reason"]) for row in table["left_out"]},
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactError(
            "bad_baselines",
            f"{path} does not hold baselines of the schema {SCHEMA}",
            hint="delete it to have them computed anew",
            where=str(path),
        ) from error


def _splits(
    p: Predictions, metadata: Metadata, index: Mapping[str, int], trainings: Sequence[Training] | None
) -> Iterator[Split]:
    """The rows that train and test, for each seed and fold of the predictions (without folds: for each speaker)."""
    groups = p.folds if all(p.folds) or trainings is not None else p.speakers
    tested: dict[int, dict[str, list[int]]] = {}
    for seed, group, utterance in zip(p.seeds, groups, p.ids, strict=True):
        tested.setdefault(seed, {}).setdefault(group, []).append(index[utterance])
    parts = {(t.seed, t.fold): t for t in trainings or ()}
    for seed, by_group in tested.items():
        everything = np.array([row for rows in by_group.values() for row in rows], dtype=np.int64)
        for group, rows in by_group.items():
            if trainings is None:
                train = everything
            elif (seed, group) in parts:
                found = parts[seed, group].rows(metadata.ids, metadata.column("speaker"))
                train = np.array([*found["train"], *found["dev"]], dtype=np.int64)
            else:
                raise CorpusError("fold_unknown", f"nothing says who trained fold {group!r} of seed {seed}")
            test = np.array(rows, dtype=np.int64)
            yield seed, np.setdiff1d(train, test), test


def _guess(
    name: str, metadata: Metadata, labels: Classes, splits: Sequence[Split], n_classes: int
) -> Guess | str:
    """The guess from one column, or why there is none."""
    words = np.array(["all"] * len(metadata) if name == MAJORITY else _words(metadata, name))
    seconds = np.array([seconds_of(cell) for cell in words]) if name == DURATION else None
    values = set(words.tolist()) - {""}
    if not values:
        return "not known"
    if len(values) == 1 and name != MAJORITY:
        return "the same for all utterances"
    confusions: dict[int, npt.NDArray[np.int64]] = {}
    known = total = 0
    for seed, train, test in splits:
        if seconds is None:
            answer = most_frequent(words[train].tolist(), labels[train], words[test].tolist(), n_classes)
            known += int(np.isin(words[test], sorted(set(words[train].tolist()) - {""})).sum())
        else:
            answer = most_probable(seconds[train], labels[train], seconds[test], n_classes)
            known += int((~np.isnan(seconds[test])).sum())
        total += len(test)
        matrix = metrics.confusion(labels[test], answer, n_classes)
        confusions[seed] = confusions.get(seed, 0) + matrix
    if not known:
        return "what the test utterances have never occurs in training"
    every = np.stack(list(confusions.values()))  # (S, K, K)
    measures = {measure: float(f(every).mean()) for measure, f in MEASURES.items()}
    return Guess(name, len({int(row) for _, _, test in splits for row in test}), known / total, measures)


def _words(metadata: Metadata, name: str) -> list[str]:
    """The cells of a column; texts that differ in case, spaces or punctuation alone are one."""
    cells = metadata.column(name)
    return [plain_text(cell) for cell in cells] if name == "text" else list(cells)
