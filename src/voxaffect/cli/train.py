"""`voxaffect train`: a recipe becomes a run folder."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `voxaffect train`."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE.toml", help="what to train: see recipes/")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RUN", help="folder for the run")
    parser.add_argument(
        "--resume", action="store_true", help="go on with a run that was interrupted (default: refuse)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="assignments",
        metavar="TABLE.KEY=VALUE",
        help="change the recipe, e.g. --set training.epochs=3; repeatable (default: as it is)",
    )
    parser.add_argument(
        "--device", default="auto", metavar="auto|cpu|cuda", help="where to train (default: auto)"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="folder for what frozen encoders computed (default: $VOXAFFECT_CACHE or the user's cache folder)",
    )
    parser.add_argument("--no-cache", action="store_true", help="keep nothing for the next run")
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="train N folds side by side on the CPU, one thread each (default: 1)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars (default: in a terminal)")


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
