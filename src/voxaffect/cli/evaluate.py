"""`voxaffect evaluate RUN...`: WA, UA, macro-F1, calibration, per class, speaker, fold and group."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from voxaffect.errors import CorpusError, UsageError

if TYPE_CHECKING:
    from voxaffect.baselines import Baselines
    from voxaffect.certainty import Certainty
    from voxaffect.evaluation import Evaluation
    from voxaffect.predictions import Predictions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder, or a predictions CSV")
    add_evaluation_arguments(parser)


def add_evaluation_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that `evaluate` and `score` share."""
    parser.add_argument(
        "--json", action="store_true", help="one JSON object per line and run (default: text)"
    )
    parser.add_argument(
        "--groups",
        metavar="COLUMN",
        help="figures per value of a column of the predictions CSV or the run's utterances.csv, e.g. gender, or per "
        "corpus (default: none)",
    )
    add_figure_arguments(parser)


def add_figure_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of every command that evaluates: a picture, and the draws behind its intervals."""
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help="write the confusion matrices side by side: .png, .pdf or .svg (default: no picture)",
    )
    parser.add_argument(
        "--plot-confidence",
        metavar="FILE",
        help="draw how often each confidence is right, and the UA of the surest answers (default: no picture)",
    )
    parser.add_argument(
        "--bootstrap", type=int, default=2000, metavar="N", help="draws behind an interval (default: 2000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of these draws (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Print the evaluation of each run; 0, or the error of the first run that cannot be evaluated."""
    from voxaffect.predictions import predictions_file

    check_bootstrap(args.bootstrap)
    return evaluate_files({name: predictions_file(name) for name in args.runs}, args)


def evaluate_files(files: Mapping[str, Path], args: argparse.Namespace) -> int:
    """Print the evaluation of each predictions CSV under its name."""
    from voxaffect.certainty import certainty, read_temperatures
    from voxaffect.errors import VoxaffectError
    from voxaffect.evaluation import evaluate
    from voxaffect.predictions import names_of, read_csv
    from voxaffect.transduction import gain, second_figure

    evaluations, certainties = {}, {}
    for name, path in files.items():
        try:
            predictions = read_csv(path)
            groups = _groups(path, args.groups, predictions.ids)
            guesses = _baselines(path, predictions, quiet=args.quiet)
            evaluations[name] = evaluate(
                predictions, groups=groups, baselines=guesses, n_bootstrap=args.bootstrap, seed=args.seed
            )
            certainties[name] = certainty(
                predictions,
                temperatures=read_temperatures(path.parent),
                n_bootstrap=args.bootstrap,
                seed=args.seed,
            )
        except VoxaffectError as error:
            error.where = error.where or str(name)
            raise
    if args.plot:
        check_labels(evaluations.values())
    if args.plot_confidence:
        _check_certainties(certainties)
    for i, (name, evaluation) in enumerate(evaluations.items()):
        folder, sure = Path(name), certainties[name]
        if args.json:
            more: dict[str, object] = {"certainty": sure.to_dict() if sure else None}
            adapted = gain(folder, n_bootstrap=args.bootstrap, seed=args.seed)
            if adapted is not None:
                more["adapted_transductive"] = adapted.to_dict()
            print(json.dumps({"run": name, **evaluation.to_dict(), **more}, ensure_ascii=False))
        else:
            second = second_figure(folder, n_bootstrap=args.bootstrap, seed=args.seed)
            texts = (evaluation.render(name), second, sure.render() if sure else None)
            print(("\n" if i else "") + "\n\n".join(filter(None, texts)))
    names = names_of(list(evaluations)) if args.plot or args.plot_confidence else []
    if args.plot:
        plot(dict(zip(names, evaluations.values(), strict=True)), args.plot)
    if args.plot_confidence:
        _plot_confidence(dict(zip(names, certainties.values(), strict=True)), args.plot_confidence)
    return 0


def check_bootstrap(n: int) -> None:
    """Raise UsageError `bad_bootstrap` for fewer draws than an interval needs."""
    if n < 100:
        raise UsageError("bad_bootstrap", f"--bootstrap is {n}; an interval needs at least 100 draws")


def check_labels(evaluations: Iterable[Evaluation]) -> tuple[str, ...]:
    """The labels that all have; UsageError `labels_differ` where they do not."""
    labels = {e.labels for e in evaluations}
    if len(labels) > 1:
        raise UsageError(
            "labels_differ", f"one picture needs one set of labels, got {[list(x) for x in sorted(labels)]}"
        )
    return labels.pop()


def plot(evaluations: Mapping[str, Evaluation], path: str) -> None:
    """Draw the confusion matrices side by side; a title says OPTIMISTIC where the figures are."""
    from voxaffect import plots

    labels = check_labels(evaluations.values())
    panels = [(e.titled(name), e.confusion) for name, e in evaluations.items()]
    plots.save(plots.confusion_figure(panels, labels), path)


def _check_certainties(certainties: Mapping[str, Certainty | None]) -> None:
    without = [name for name, sure in certainties.items() if sure is None]
    if without:
        raise UsageError("no_probabilities", "its predictions came without probabilities", where=without[0])


def _plot_confidence(certainties: Mapping[str, Certainty | None], path: str) -> None:
    from voxaffect import plots

    curves = {
        f"{name} OPTIMISTIC ({sure.optimistic})" if sure.optimistic else name: (
            sure.reliability,
            sure.ece.value,
            [(point.coverage, point.ua) for point in sure.curve],
        )
        for name, sure in certainties.items()
        if sure is not None
    }
    plots.save(plots.certainty_figure(curves), path)


def _groups(path: Path, column: str | None, ids: tuple[str, ...]) -> dict[str, str] | None:
    from voxaffect.metadata import FILE_NAME
    from voxaffect.predictions import read_column

    if column is None:
        return None
    if column == "corpus" and all("/" in i for i in ids):
        return {i: i.split("/")[0] for i in ids}
    try:
        return read_column(path, column)
    except CorpusError as error:
        beside = path.parent / FILE_NAME
        if error.code != "missing_column" or not beside.is_file():
            raise
        return read_column(beside, column)


def _baselines(path: Path, predictions: Predictions, *, quiet: bool) -> Baselines | None:
    """The guesses to stand beside the figures; where a run's corpora are away, a message and none."""
    from voxaffect.cli import error_line
    from voxaffect.run_baselines import of_predictions

    try:
        return of_predictions(path, predictions)
    except CorpusError as error:
        if error.code != "corpus_absent":
            raise
        if not quiet:
            print(error_line(error).replace("error: ", "", 1), file=sys.stderr)
        return None
