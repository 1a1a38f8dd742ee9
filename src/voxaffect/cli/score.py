"""`voxaffect score PREDICTIONS.csv`: the figures of `evaluate` for anyone's predictions."""

from __future__ import annotations

import argparse
import sys

from voxaffect.cli import evaluate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="PREDICTIONS.csv",
        help="columns id,truth,prediction[,speaker,fold,seed,prob_LABEL…]; and of text, scenario, session, take, "
        "gender, language, corpus and duration those that are known, for the baselines without audio",
    )
    parser.add_argument(
        "--folds",
        metavar="NAME",
        help="refuse predictions that do not keep to published folds, e.g. ravdess-emobox (default: any folds)",
    )
    evaluate.add_evaluation_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the figures of each file; 0, or the error of the first that cannot be read or has other folds."""
    if args.folds:
        for path in args.runs:
            _check_folds(path, args.folds, quiet=args.quiet)
    return evaluate.run(args)


def _check_folds(path: str, name: str, *, quiet: bool) -> None:
    from voxaffect.errors import VoxaffectError
    from voxaffect.predictions import read_run
    from voxaffect.published_folds import check_published_folds

    try:
        said = check_published_folds(read_run(path), name)
    except VoxaffectError as error:
        error.where = error.where or path
        raise
    if not quiet:
        print(f"{path}: {said}", file=sys.stderr)
