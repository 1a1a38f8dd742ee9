"""`voxaffect report RUN`: one self-contained HTML page of a run, an ensemble, a study or anyone's predictions."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="folder of a run, an ensemble or a study, or a predictions CSV"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE.html",
        help="where to write (default: RUN/report.html; beside a CSV, its name with .html)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the page and print where it is."""
    from voxaffect.errors import ExitCode
    from voxaffect.report import write_report

    print(write_report(args.run, args.output))
    return ExitCode.OK
