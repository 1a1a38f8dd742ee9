"""`voxaffect train`: a recipe becomes a run folder."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `voxaffect train`."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE.toml")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RUN", help="folder for the run")
    parser.add_argument("--resume", action="store_true", help="go on with a run that was interrupted")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="assignments",
        metavar="TABLE.KEY=VALUE",
        help="change the recipe, e.g. --set training.epochs=3 (repeatable)",
    )
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="folder for what frozen encoders computed; $VOXAFFECT_CACHE or the user's cache folder if not given",
    )
    parser.add_argument("--no-cache", action="store_true", help="keep nothing for the next run")
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="train N folds side by side on the CPU, one thread each",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def run(args: argparse.Namespace) -> int:
    """Train, then print the evaluation."""
    from voxaffect.cache import default_cache_folder
    from voxaffect.errors import ExitCode
    from voxaffect.recipe import read_recipe
    from voxaffect.train import train

    recipe = read_recipe(args.recipe, args.assignments)
    cache = None if args.no_cache else args.cache or default_cache_folder()
    evaluation = train(
        recipe,
        args.output,
        resume=args.resume,
        device=args.device,
        cache_folder=cache,
        jobs=args.jobs,
        quiet=args.quiet,
    )
    if evaluation is None:
        print(f"{recipe.name}: trained on all speakers; no test speakers, so no figures")
    else:
        print(evaluation.render(recipe.title or recipe.name))
    print(f"run folder: {args.output}")
    return ExitCode.OK
