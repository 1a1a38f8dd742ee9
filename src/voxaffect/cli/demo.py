"""`voxaffect demo`: the bundled clips through the bundled model."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

CLIPS = Path(__file__).parents[1] / "clips"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "-m", dest="model", metavar="MODEL", help="name, file or folder (default: the bundled one)"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="(default: auto)")


def run(args: argparse.Namespace) -> int:
    """Print the table of the clips, and what it means; raises as `predict` does."""
    from voxaffect import formats
    from voxaffect.audio_format import CONTAINERS
    from voxaffect.errors import ArtefactError, ExitCode
    from voxaffect.predictor import load

    suffixes = frozenset().union(*(container.suffixes for container in CONTAINERS.values()))
    clips = sorted(path for path in CLIPS.iterdir() if path.suffix in suffixes) if CLIPS.is_dir() else []
    if not clips:
        raise ArtefactError("clips_missing", f"no clips in {CLIPS}", hint="install voxaffect again")
    predictor = load(args.model, device=args.device)
    formats.get("table").write(predictor.predict_many(clips), sys.stdout)
    model = predictor.model
    print()
    print(f"Model {model.name} {model.version}, on this machine alone: nothing was sent anywhere.")
    print(
        "These clips are synthetic speech: they prove that the install works, not how well it hears people."
    )
    print("Next: voxaffect predict YOUR.wav, and voxaffect models show for what the model can and cannot do.")
    return ExitCode.OK
