"""Predictions and run folders with a known truth, for the tests of ensembles, baselines, comparisons and audits."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from voxaffect.predictions import Predictions, write_csv

LABELS = ("angry", "happy", "sad")
SPEAKERS = ("c/1", "c/2", "c/3", "c/4", "c/5", "c/6")


def predictions(
    seed: int = 0,
    *,
    speakers: Sequence[str] = SPEAKERS,
    n: int = 10,
    skill: float = 1.2,
    fold: str = "f1",
    **changes: Any,
) -> Predictions:
    """`n` utterances of each speaker whose truth does not depend on `seed`, heard with some `skill`."""
    N = n * len(speakers)
    truth = np.random.default_rng(99).integers(0, len(LABELS), N)
    logits = np.random.default_rng(seed).normal(0, 1, (N, len(LABELS)))
    logits[np.arange(N), truth] += skill
    probs = np.exp(logits)
    fields: dict[str, Any] = {
        "ids": tuple(f"c/{i:03}" for i in range(N)),
        "speakers": tuple(np.repeat(speakers, n).tolist()),
        "folds": (fold,) * N,
        "labels": LABELS,
        "truth": truth,
        "probs": probs / probs.sum(axis=1, keepdims=True),
        "seeds": (1,) * N,
    }
    return Predictions(**{**fields, **changes})


def answers(probs: Sequence[Sequence[float]], truth: Sequence[int], **changes: Any) -> Predictions:
    """Given probabilities of a few utterances, each of its own speaker."""
    n = len(probs)
    fields: dict[str, Any] = {
        "ids": tuple(f"c/{i}" for i in range(n)),
        "speakers": tuple(f"c/s{i}" for i in range(n)),
        "folds": ("f1",) * n,
        "labels": LABELS,
        "truth": np.array(truth),
        "probs": np.array(probs),
        "seeds": (1,) * n,
    }
    return Predictions(**{**fields, **changes})


def write_run(
    run: Path,
    p: Predictions,
    *,
    train: Sequence[str] = ("c/8", "c/9"),
    dev: Sequence[str] = ("c/7",),
    dev_predictions: Predictions | None = None,
    more: Mapping[str, Any] | None = None,
) -> Path:
    """A run folder as `voxaffect train` leaves it, with the same training and dev speakers in all folds."""
    write_csv(p, run / "predictions.csv")
    folds = []
    for seed, fold in sorted(set(zip(p.seeds, p.folds, strict=True))):
        test = sorted(
            {s for s, a, b in zip(p.speakers, p.seeds, p.folds, strict=True) if (a, b) == (seed, fold)}
        )
        row = {"seed": seed, "name": fold, "train": list(train), "dev": list(dev), "test": test}
        folds.append({**row, **(more or {})})
        if dev_predictions is not None:
            write_csv(dev_predictions, run / "parts" / f"{seed}-{fold}" / "dev_predictions.csv")
    (run / "folds.json").write_text(json.dumps(folds))
    return run
