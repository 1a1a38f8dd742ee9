"""`voxaffect score PREDICTIONS.csv`: the figures of `evaluate` for anyone's predictions."""

from __future__ import annotations

import argparse

from voxaffect.cli import evaluate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="PREDICTIONS.csv",
        help="columns id,truth,prediction[,speaker,fold,seed,prob_LABEL…]",
    )
    evaluate.add_evaluation_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the figures of each file; 0, or the error of the first file that cannot be read."""
    return evaluate.run(args)
