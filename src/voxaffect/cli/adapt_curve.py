"""`voxaffect adapt-curve RECIPE`: what adaptation brings with how much speech, and with one emotion only."""

from __future__ import annotations

import argparse
from pathlib import Path

from voxaffect.cli.train import add_training_arguments, machine_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `voxaffect adapt-curve`."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE.toml", help="a recipe with [adaptation]")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        help="folder for adapt_curve.json and adapt_curve.png (default: nothing is kept)",
    )
    parser.add_argument(
        "--seconds",
        default="5,10,20,40",
        metavar="S,S,...",
        help="seconds of speech to enrol, besides none and all (default: 5,10,20,40)",
    )
    parser.add_argument(
        "--draws", type=int, default=5, metavar="N", help="draws of clips behind each point (default: 5)"
    )
    parser.add_argument("--json", action="store_true", help="print adapt_curve.json (default: a table)")
    add_training_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, then print UA by seconds of enrolled speech."""
    import json

    from voxaffect.adapt_curve import adapt_curve
    from voxaffect.errors import ExitCode, UsageError
    from voxaffect.recipe import read_recipe

    try:
        seconds = [float(text) for text in args.seconds.split(",")]
    except ValueError as error:
        raise UsageError(
            "bad_value", f"--seconds is {args.seconds!r}; expected numbers like 5,10,20"
        ) from error
    machine = machine_options(args)
    if machine["jobs"] != 1 or machine["device"] not in ("auto", "cpu"):
        raise UsageError("bad_value", "closed forms are fitted one after another, on the CPU")
    curve = adapt_curve(
        read_recipe(args.recipe, args.assignments),
        args.output,
        seconds=seconds,
        draws=args.draws,
        cache_folder=machine["cache_folder"],
        quiet=machine["quiet"],
    )
    print(json.dumps(curve.to_dict(), ensure_ascii=False) if args.json else curve.render())
    return ExitCode.OK
