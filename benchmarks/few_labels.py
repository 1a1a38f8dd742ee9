"""What a few labelled clips of a new place do for a model's confidence, by the answers of a run on unseen corpora.

    python benchmarks/few_labels.py results/bundled-corpora-seeds [-o FILE.json]

Of each corpus that was left out, clips of half of its speakers, drawn at random, give the temperature; the calibration
error is that of all answers about the other half, before and after. It is what `voxaffect models calibrate` does with
clips of one's own, but on the answers that the run kept: the members' mean, as one. Means over draws and seeds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from voxaffect.calibration import ece, fit_temperature, softmax
from voxaffect.files import write_json
from voxaffect.predictions import Predictions, read_run

SIZES = (30, 60, 100)
DRAWS = 100


def main(arguments: list[str] | None = None) -> int:
    """Print, or write, the figures of each corpus."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="a run whose folds are corpora")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="write it there (default: print it)"
    )
    args = parser.parse_args(arguments)
    run = read_run(args.run)
    found = {corpus: figures(run, corpus) for corpus in sorted(set(run.folds))}
    report = {"run": args.run.name, "draws": DRAWS, "corpora": found}
    if args.output is None:
        print(json.dumps(report, indent=2))
    else:
        write_json(args.output, report)
    return 0


def figures(run: Predictions, corpus: str) -> dict[str, object]:
    """The calibration errors of the answers about `corpus`, as a fraction: as they are, and after so many clips."""
    rng = np.random.default_rng(0)
    plain: list[float] = []
    after: dict[int, list[float]] = {n: [] for n in SIZES}
    folds, seeds, speakers = np.array(run.folds), np.array(run.seeds), np.array(run.speakers)
    for seed in run.distinct_seeds:
        rows = np.flatnonzero((folds == corpus) & (seeds == seed))
        names = sorted(set(speakers[rows].tolist()))
        for _ in range(DRAWS):
            own = rng.permutation(names)[: len(names) // 2]
            labelled, judged = rows[np.isin(speakers[rows], own)], rows[~np.isin(speakers[rows], own)]
            plain.append(error(run, judged, 1.0))
            for n in SIZES:
                clips = rng.permutation(labelled)[:n]
                temperature = fit_temperature(run.log_probs[clips], run.truth[clips])
                after[n].append(error(run, judged, temperature))
    return {"before": mean(plain), **{str(n): mean(errors) for n, errors in after.items()}}


def error(run: Predictions, rows: np.ndarray, temperature: float) -> float:
    """The calibration error of the answers `rows` at a temperature."""
    probs = softmax(run.log_probs[rows], temperature)
    said = run.predicted[rows]
    return ece(probs[np.arange(len(rows)), said], said == run.truth[rows])


def mean(errors: list[float]) -> float:
    """The mean, with the digits that it deserves."""
    return round(float(np.mean(errors)), 4)


if __name__ == "__main__":
    raise SystemExit(main())
