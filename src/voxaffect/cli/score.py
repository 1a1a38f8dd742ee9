"""`voxaffect score PREDICTIONS.csv`: the figures of `evaluate` for anyone's predictions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from voxaffect.cli import evaluate

STDIN = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="PREDICTIONS.csv",
        help="a file, or - for standard input: columns id,truth,prediction[,speaker,fold,seed,prob_LABEL…]; and of "
        "text, scenario, session, take, gender, language, corpus and duration those that are known, for the baselines "
        "without audio",
    )
    parser.add_argument(
        "--folds",
        metavar="NAME",
        help="refuse predictions that do not keep to published folds, e.g. ravdess-emobox (default: any folds)",
    )
    evaluate.add_evaluation_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the figures of each file; 0, or the error of the first that cannot be read or has other folds."""
    evaluate.check_bootstrap(args.bootstrap)
    with _files(args.runs) as files:
        if args.folds:
            for name, path in files.items():
                _check_folds(name, path, args.folds, quiet=args.quiet)
        return evaluate.evaluate_files(files, args)


@contextmanager
def _files(names: Sequence[str]) -> Iterator[Mapping[str, Path]]:
    """The file of each name; standard input is one as long as the context lasts, and goes by its own name in errors."""
    from voxaffect.errors import VoxaffectError
    from voxaffect.predictions import predictions_file

    with TemporaryDirectory(prefix="voxaffect-") as folder:
        held = Path(folder) / "stdin"
        if STDIN in names:
            held.write_bytes(sys.stdin.buffer.read())
        try:
            yield {name: held if name == STDIN else predictions_file(name) for name in names}
        except VoxaffectError as error:
            if error.where == str(held):
                error.where = STDIN
            error.message = error.message.replace(str(held), held.name)
            raise


def _check_folds(name: str, path: Path, folds: str, *, quiet: bool) -> None:
    from voxaffect.errors import VoxaffectError
    from voxaffect.predictions import read_csv
    from voxaffect.published_folds import check_published_folds

    try:
        said = check_published_folds(read_csv(path), folds)
    except VoxaffectError as error:
        error.where = error.where or name
        raise
    if not quiet:
        print(f"{name}: {said}", file=sys.stderr)
