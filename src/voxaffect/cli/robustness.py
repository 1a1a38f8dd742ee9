"""`voxaffect robustness RUN`: what telephone, noise, rooms, clipping, cuts, levels and codecs cost a finished run."""

from __future__ import annotations

import argparse
from pathlib import Path

from voxaffect.degradation import GROUPS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `voxaffect robustness`."""
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="a finished run's folder that still has its parts/"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="folder for robustness.json, a picture and all predictions (default: nothing is kept)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on in a DIR that was interrupted (default: refuse)"
    )
    parser.add_argument(
        "--conditions", metavar="A,B", help=f"only some of {', '.join(GROUPS)} (default: all)"
    )
    parser.add_argument(
        "--per-speaker",
        type=int,
        default=0,
        metavar="N",
        help="at most N utterances of each speaker, their classes in turn (default: all)",
    )
    parser.add_argument(
        "--vote",
        metavar="RULE",
        help="let the run's seeds vote: majority or mean (default: the mean of their figures)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of all that is drawn (default: 0)")
    parser.add_argument("--json", action="store_true", help="print robustness.json (default: a table)")
    parser.add_argument(
        "--plot",
        metavar="FILE",
        help="write the changes in UA as a picture: .png, .pdf or .svg (default: none)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="try N conditions side by side (default: 1)"
    )


def run(args: argparse.Namespace) -> int:
    """Measure, then print what each condition costs."""
    import json

    from voxaffect.errors import ExitCode, UsageError
    from voxaffect.plots import check_format
    from voxaffect.robustness import draw, robustness

    if args.resume and args.output is None:
        raise UsageError("bad_arguments", "--resume goes with -o DIR", hint="name the folder to go on in")
    if args.plot:
        check_format(args.plot)
    result = robustness(
        args.run,
        args.output,
        groups=[name.strip() for name in args.conditions.split(",")] if args.conditions else (),
        per_speaker=args.per_speaker,
        vote=args.vote or "",
        seed=args.seed,
        resume=args.resume,
        device=args.device,
        jobs=args.jobs,
        quiet=args.quiet,
    )
    print(json.dumps(result.to_dict(), ensure_ascii=False) if args.json else result.render())
    if args.plot:
        draw(result, Path(args.plot))
    if args.output is not None and not args.json:
        print(f"folder: {args.output}")
    return ExitCode.OK
