"""`voxaffect ensemble RUN... -o RUN`: finished runs vote; each is blind to the speakers that it tests, or refused."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `voxaffect ensemble`."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="a member's run folder; of a single run, its seeds are the members",
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="RUN", help="folder for the ensemble"
    )
    parser.add_argument(
        "--vote",
        default="majority",
        metavar="majority|mean|weighted",
        help="most votes, ties to the higher mean probability; mean of probabilities; or a mean whose weights are "
        "fitted on dev utterances (default: majority)",
    )
    parser.add_argument(
        "--trust",
        action="store_true",
        help="take runs without a folds.json at their word that they are blind to their test speakers "
        "(default: refuse them)",
    )
    parser.add_argument("--json", action="store_true", help="print ensemble.json (default: a table)")


def run(args: argparse.Namespace) -> int:
    """Write the ensemble's run folder, then print its members and what the vote gains."""
    import json

    from voxaffect.ensemble import ensemble
    from voxaffect.errors import ExitCode
    from voxaffect.member import read_members
    from voxaffect.transduction import second_figure

    combined = ensemble(read_members(args.runs), args.output, args.vote, trust=args.trust)
    if args.json:
        print(json.dumps(combined.to_dict(), ensure_ascii=False))
    else:
        print(combined.render())
        if second := second_figure(args.output):
            print(second)
        print(f"run folder: {args.output}")
    return ExitCode.OK
