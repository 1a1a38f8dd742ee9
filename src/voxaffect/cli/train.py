"""`voxaffect train`: a recipe becomes a run folder; one of members or variants, a folder of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voxaffect.recipe import Recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `voxaffect train`."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE.toml", help="what to train: see recipes/")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RUN", help="folder for the run")
    parser.add_argument(
        "--resume", action="store_true", help="go on with a run that was interrupted (default: refuse)"
    )
    add_training_arguments(parser)


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every command that trains a recipe: changes of it, and on what it is trained."""
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
        help="train N folds or members side by side on the CPU, one thread each (default: 1)",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars (default: in a terminal)")


def machine_options(args: argparse.Namespace) -> dict[str, Any]:
    """On what is trained, as `voxaffect.train.train` takes it."""
    from voxaffect.cache import default_cache_folder

    cache = None if args.no_cache else args.cache or default_cache_folder()
    return {"device": args.device, "cache_folder": cache, "jobs": args.jobs, "quiet": args.quiet}


def run(args: argparse.Namespace) -> int:
    """Train, then print the evaluation, or what the study found."""
    from voxaffect.errors import ExitCode
    from voxaffect.recipe import read_recipe

    recipe = read_recipe(args.recipe, args.assignments)
    print(_study(recipe, args) if recipe.is_study else _run(recipe, args))
    print(f"run folder: {args.output}")
    return ExitCode.OK


def _run(recipe: Recipe, args: argparse.Namespace) -> str:
    from voxaffect.train import train

    evaluation = train(recipe, args.output, resume=args.resume, **machine_options(args))
    if evaluation is None:
        return f"{recipe.name}: trained on all speakers; no test speakers, so no figures"
    from voxaffect.transduction import second_figure

    return "\n\n".join(
        filter(None, (evaluation.render(recipe.title or recipe.name), second_figure(args.output)))
    )


def _study(recipe: Recipe, args: argparse.Namespace) -> str:
    from voxaffect.study import train_study

    study = train_study(recipe, args.output, resume=args.resume, **machine_options(args))
    return study.render() or f"{recipe.name}: trained on all speakers; no test speakers, so no figures"
