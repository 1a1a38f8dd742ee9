"""`voxaffect compare RUN RUN...`: figures and confusions side by side, and paired tests of every two runs."""

from __future__ import annotations

import argparse

from voxaffect.cli.evaluate import add_figure_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `voxaffect compare`."""
    parser.add_argument("runs", nargs="+", metavar="RUN", help="a run's folder, or a predictions CSV")
    parser.add_argument("--json", action="store_true", help="print one JSON object (default: text)")
    add_figure_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the comparison; 0 whatever it says."""
    import json

    from voxaffect.cli.evaluate import check_bootstrap, plot
    from voxaffect.comparison import compare_runs
    from voxaffect.errors import ExitCode, VoxaffectError
    from voxaffect.predictions import names_of, read_run

    check_bootstrap(args.bootstrap)
    predictions = {}
    for name, path in zip(names_of(args.runs), args.runs, strict=True):
        try:
            predictions[name] = read_run(path)
        except VoxaffectError as error:
            error.where = error.where or path
            raise
    found = compare_runs(predictions, n_bootstrap=args.bootstrap, seed=args.seed)
    if args.plot:
        plot(found.evaluations, args.plot)
    print(json.dumps(found.to_dict(), ensure_ascii=False) if args.json else found.render())
    return ExitCode.OK
