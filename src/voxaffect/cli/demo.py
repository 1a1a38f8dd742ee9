"""`voxaffect demo`: the bundled clips through the bundled model."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voxaffect.result import Result

from voxaffect.cli import add_model_arguments

CLIPS = Path(__file__).parents[1] / "clips"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print the table of the clips, and what it means; raises as `predict` does."""
    from voxaffect import formats
    from voxaffect.errors import ArtefactError, ExitCode
    from voxaffect.inputs import SUFFIXES
    from voxaffect.predictor import load

    clips = sorted(path for path in CLIPS.iterdir() if path.suffix in SUFFIXES) if CLIPS.is_dir() else []
    if not clips:
        raise ArtefactError("clips_missing", f"no clips in {CLIPS}", hint="install voxaffect again")
    predictor = load(args.model, device=args.device)
    results = (_by_name(result) for result in predictor.predict_many(clips))
    formats.get("table").write(results, sys.stdout)
    model = predictor.model
    print()
    print(f"Model {model.name} {model.version}, on this machine alone: nothing was sent anywhere.")
    print(
        "These clips are synthetic speech: they prove that the install works, not how well it hears people."
    )
    print("Next: voxaffect predict YOUR.wav, and voxaffect models show for what the model can and cannot do.")
    return ExitCode.OK


def _by_name(result: Result) -> Result:
    """`result` under the clip's name alone: where the package lies is of no interest here."""
    name = Path(result.id).name
    return replace(result, id=name, path=name)
