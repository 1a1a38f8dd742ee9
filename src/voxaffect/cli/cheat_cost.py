"""`voxaffect cheat-cost RECIPE`: reruns one recipe with each shortcut of evaluation and prints what it buys."""

from __future__ import annotations

import argparse
from pathlib import Path

from voxaffect.cli.train import add_training_arguments, machine_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `voxaffect cheat-cost`."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE.toml", help="a recipe with folds of speakers")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="RUN",
        help="folder for the runs, cheat_cost.json and a picture (default: nothing is kept)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on in a RUN that was interrupted (default: refuse)"
    )
    parser.add_argument(
        "--text-groups",
        type=int,
        default=5,
        metavar="N",
        help="deal the texts into N groups and leave out one at a time, in a training of its own (default: 5)",
    )
    parser.add_argument("--json", action="store_true", help="print cheat_cost.json (default: a table)")
    add_training_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, then print what each shortcut buys."""
    import json

    from voxaffect.cheat_cost import cheat_cost
    from voxaffect.errors import ExitCode, UsageError
    from voxaffect.recipe import read_recipe

    if args.text_groups < 2:
        raise UsageError(
            "bad_value", f"--text-groups is {args.text_groups}; some texts must stay in training"
        )
    if args.resume and args.output is None:
        raise UsageError("bad_arguments", "--resume goes with -o RUN", hint="name the folder to go on in")
    recipe = read_recipe(args.recipe, args.assignments)
    result = cheat_cost(
        recipe, args.output, text_groups=args.text_groups, resume=args.resume, **machine_options(args)
    )
    print(json.dumps(result.to_dict(), ensure_ascii=False) if args.json else result.render())
    if args.output is not None and not args.json:
        print(f"run folder: {args.output}")
    return ExitCode.OK
