"""The classical yardstick: openSMILE eGeMAPS functionals and an SVM, on exactly the speakers of a finished
run.

    python benchmarks/egemaps.py RUN --root ../shared/corpora --corpora ravdess,nemo,emodb -o OUT

For each seed and fold of RUN/folds.json the SVM trains on the fold's train and dev speakers. Kernel and C are
chosen by cross-validation over these same speakers, which is kinder to it than the few dev speakers alone;
the test speakers decide nothing. OUT gets `predictions.csv` and `choices.json`. Printed are its figures and
the paired comparison with the run. Needs the extra `bench`.

Source of the features: Eyben et al., "The Geneva Minimalistic Acoustic Parameter Set", IEEE Trans. Affective
Computing 7(2), 2016 (eGeMAPSv02: 88 functionals for each utterance).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import opensmile
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from tqdm import tqdm

from voxaffect import corpora, metrics
from voxaffect.audio import SAMPLE_RATE, mono, read_audio
from voxaffect.errors import CorpusError, VoxaffectError
from voxaffect.evaluation import evaluate
from voxaffect.labels import NAMED_MAPPINGS
from voxaffect.predictions import Predictions, concat, read_run, write_csv
from voxaffect.significance import compare
from voxaffect.table import Utterance, UtteranceTable

GRID = [("linear", c) for c in (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)] + [
    ("rbf", c) for c in (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
]
"""Kernels and C to choose from; of equals, the first."""
VERSION = f"opensmile {opensmile.__version__} eGeMAPSv02"


def main() -> int:
    """Run the benchmark; the command's exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a finished run: predictions.csv and folds.json")
    parser.add_argument("--root", type=Path, required=True, help="folder with one folder per corpus")
    parser.add_argument("--corpora", required=True, help="names, separated by commas")
    parser.add_argument(
        "--mapping", default="none", choices=sorted(NAMED_MAPPINGS), help="label mapping of the run"
    )
    parser.add_argument("--cache", type=Path, help="NPZ file that keeps the functionals")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT", help="folder for the predictions"
    )
    args = parser.parse_args()
    try:
        return benchmark(args)
    except VoxaffectError as error:
        print(f"egemaps: error: {error.where or args.run}: {error}", file=sys.stderr)
        return int(error.exit_code)


def benchmark(args: argparse.Namespace) -> int:
    """Functionals, SVMs, figures and comparison; raises VoxaffectError for what the user can put right."""
    run = read_run(args.run)
    folds = read_folds(args.run / "folds.json")
    table = UtteranceTable(())
    for name in args.corpora.split(","):
        table = table + corpora.read(name, args.root / name)
    table = table.relabelled(NAMED_MAPPINGS[args.mapping]).where(lambda u: u.label in run.labels)
    missing = sorted(set(run.ids) - set(table.ids))
    if missing:
        raise CorpusError(
            "other_utterances",
            f"{len(missing)} utterances of the run are not in {args.corpora}: {missing[0]!r}",
        )
    features = functionals(table, args.cache)  # (N, 88)
    svm, choices = cross_validate(table, features, run.labels, folds)
    args.output.mkdir(parents=True, exist_ok=True)
    write_csv(svm, args.output / "predictions.csv")
    (args.output / "choices.json").write_text(json.dumps(choices, indent=2) + "\n", encoding="utf-8")
    comparison, figures = compare(svm, run), evaluate(svm)
    report = {
        "egemaps": figures.to_dict()["measures"],
        "run": evaluate(run).to_dict()["measures"],
        "comparison": comparison.to_dict(),
    }
    (args.output / "comparison.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(figures.render("eGeMAPS + SVM"))
    print("\nagainst the run")
    print(comparison.render("eGeMAPS", "run"))
    return 0


def read_folds(path: Path) -> list[dict[str, Any]]:
    """The run's folds: `name`, `train`, `dev`, `test` (speakers), and `seed` (0 where the file has none)."""
    if not path.is_file():
        raise CorpusError("no_folds", "the run has no folds.json", where=str(path.parent))
    return [{"seed": 0, **fold} for fold in json.loads(path.read_text(encoding="utf-8"))]


def functionals(table: UtteranceTable, cache: Path | None) -> np.ndarray:
    """eGeMAPS functionals of each utterance, (N, 88) float32; `cache` keeps them by the hash of the audio."""
    known: dict[str, np.ndarray] = {}
    if cache and cache.is_file():
        with np.load(cache) as stored:
            if str(stored["version"]) == VERSION:
                known = dict(zip(stored["keys"].tolist(), stored["values"], strict=True))
    keys = [_key(u) for u in table]
    smile = opensmile.Smile(
        opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals, num_workers=1
    )
    new = {key: u for key, u in zip(keys, table, strict=True) if key not in known}
    for key, utterance in tqdm(new.items(), desc="eGeMAPS", disable=None):
        audio = read_audio(utterance.path, start=utterance.start or 0.0, end=utterance.end)
        known[key] = smile.process_signal(mono(audio.samples), SAMPLE_RATE).to_numpy(np.float32)[0]
    if cache and new:
        values = np.stack(list(known.values()))
        np.savez(cache, keys=np.array(list(known)), values=values, names=smile.feature_names, version=VERSION)
    return np.stack([known[key] for key in keys])


def cross_validate(
    table: UtteranceTable, features: np.ndarray, labels: tuple[str, ...], folds: list[dict[str, Any]]
) -> tuple[Predictions, list[dict[str, Any]]]:
    """The SVM's predictions of every fold's test speakers, and what was chosen for it on all others."""
    truth = np.array([labels.index(u.label) for u in table])
    speakers = np.array([u.speaker for u in table])
    parts, choices = [], []
    for fold in tqdm([f for f in folds if f["test"]], desc="folds", disable=None):
        known, test = (
            np.flatnonzero(np.isin(speakers, s)) for s in (fold["train"] + fold["dev"], fold["test"])
        )
        kernel, c, ua = choose(features[known], truth[known], speakers[known])
        predicted = _svm(kernel, c).fit(features[known], truth[known]).predict(features[test])
        parts.append(
            Predictions(
                ids=tuple(table[int(i)].id for i in test),
                speakers=tuple(table[int(i)].speaker for i in test),
                folds=(fold["name"],) * len(test),
                labels=labels,
                truth=truth[test],
                probs=np.eye(len(labels))[predicted],
                seeds=(fold["seed"],) * len(test),
                has_probs=False,
            )
        )
        choices.append(
            {"seed": fold["seed"], "fold": fold["name"], "kernel": kernel, "C": c, "ua": round(ua, 4)}
        )
    return concat(parts), choices


def choose(features: np.ndarray, truth: np.ndarray, speakers: np.ndarray) -> tuple[str, float, float]:
    """Kernel and C of the best UA in a cross-validation by speaker, and that UA."""
    n_classes = int(truth.max()) + 1
    splits = list(GroupKFold(min(5, len(set(speakers)))).split(features, groups=speakers))
    uas = []
    for kernel, c in GRID:
        predicted = np.empty_like(truth)
        for train, held_out in splits:
            predicted[held_out] = (
                _svm(kernel, c).fit(features[train], truth[train]).predict(features[held_out])
            )
        uas.append(float(metrics.ua(metrics.confusion(truth, predicted, n_classes))))
    best = int(np.argmax(uas))
    return *GRID[best], uas[best]


def _svm(kernel: str, c: float) -> Pipeline:
    return make_pipeline(StandardScaler(), SVC(kernel=kernel, C=c, class_weight="balanced"))


def _key(utterance: Utterance) -> str:
    digest = hashlib.sha256(utterance.path.read_bytes()).hexdigest()
    whole = utterance.start is None and utterance.end is None
    return digest if whole else f"{digest}:{utterance.start}:{utterance.end}"


if __name__ == "__main__":
    sys.exit(main())
