"""Answers about test utterances, adapted to unlabelled audio of the same speakers or conditions: transductive.

Such a figure is never the plain one: a run keeps it in files of its own, and whatever prints it says what it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from voxaffect.predictions import Predictions, read_csv, write_csv
from voxaffect.significance import N_BOOTSTRAP, Comparison, compare

if TYPE_CHECKING:
    from voxaffect.adaptive import Adaptive
    from voxaffect.evaluation import Evaluation
    from voxaffect.table import Utterance

FILE_NAME = "predictions_adapted.csv"
NAME = "adapted, transductive"
"""What figures of such answers are called wherever they stand."""


def unit_of(utterance: Utterance, unit: str) -> str:
    """What an utterance is of: its speaker, or as "condition" its corpus."""
    return utterance.speaker if unit == "speaker" else utterance.corpus


def draw(rows: np.ndarray, seconds: np.ndarray, wanted: float, rng: np.random.Generator) -> np.ndarray:
    """Of `rows` (n,), in random order, the first that last `wanted` seconds together; all of them for 0.

    `seconds` (N,) are those of every row.
    """
    if not wanted:
        return rows
    order = rng.permutation(rows)
    enough = int(np.searchsorted(np.cumsum(seconds[order]), wanted)) + 1
    return order[:enough]


def adapted_answers(
    model: Adaptive,
    statistics: np.ndarray,
    log_probs: np.ndarray,
    seconds: np.ndarray,
    enrolled: Mapping[str, np.ndarray],
    judged: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Log-probabilities (N, K) of the rows that `judged` gives each unit, adapted to those that it `enrolled`.

    `statistics` (N, D), plain `log_probs` (N, K) and `seconds` (N,) are of all rows; a row that no unit judges
    keeps its plain answer.
    """
    answers = np.array(log_probs, dtype=np.float64)
    for unit, rows in judged.items():
        heard = enrolled[unit]
        enrolment = model.enrol(statistics[heard], log_probs[heard], seconds[heard])
        answers[rows] = model.adapted_log_probs(statistics[rows], enrolment)
    return answers


def rows_of(units: Sequence[str]) -> dict[str, np.ndarray]:
    """The rows of each unit, by name."""
    names = np.array(units)
    return {unit: np.flatnonzero(names == unit) for unit in sorted(set(units))}


def second_figure(run: Path, *, n_bootstrap: int = N_BOOTSTRAP, seed: int = 0) -> str:
    """Text to stand under the plain figures of a run, in percent; "" where it has no adapted answers."""
    found = gain(run, n_bootstrap=n_bootstrap, seed=seed)
    if found is None:
        return ""
    lines = [f"  {NAME}: a second figure, by unlabelled test audio of the same speakers or conditions"]
    for name in ("UA", "WA", "macro-F1"):
        d = found.difference[name]
        lines.append(
            f"  {name:8} {100 * found.second[name]:6.1f}  plain {100 * found.first[name]:.1f}, "
            f"gain {100 * d.value:+.1f} ({100 * d.low:+.1f} to {100 * d.high:+.1f}), p {found.p[name]:.3f}"
        )
    return "\n".join(lines)


def record(
    run: Path, predictions: Predictions, evaluation: Evaluation, told: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Write the adapted `predictions` into `run`; what metrics.json says of them under `adapted`, `told` included."""
    write_csv(predictions, run / FILE_NAME)
    return {"what": NAME, **(told or {}), "evaluation": evaluation.to_dict()}


def read(run: Path) -> Predictions | None:
    """The adapted answers in `run`; None where it has none."""
    file = run / FILE_NAME
    return read_csv(file) if file.is_file() else None


def gain(run: Path, *, n_bootstrap: int = N_BOOTSTRAP, seed: int = 0) -> Comparison | None:
    """The run's adapted answers (second) against its plain ones (first); None where it has none."""
    adapted = read(run)
    if adapted is None:
        return None
    return compare(read_csv(run / "predictions.csv"), adapted, n_bootstrap=n_bootstrap, seed=seed)
