"""`voxaffect audit RUN|RECIPE.toml|FOLDS.csv`: what training, dev and test share; exit code 3 where a split leaks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voxaffect.division import Clip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `voxaffect audit`."""
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="RUN|RECIPE.toml|FOLDS.csv",
        help="a finished run; a recipe, whose folds are planned and not trained; or anyone's folds: columns id, split, "
        "and where known fold, seed, speaker, corpus, label, session, dialogue, text, take, path, start, end",
    )
    parser.add_argument(
        "--fail-on",
        metavar="KINDS",
        help="what makes the exit code 3, comma-separated or none: utterance, speaker, dialogue, session, text, take, "
        "audio, label (default: all but session and text)",
    )
    parser.add_argument(
        "--no-audio", action="store_true", help="open no recordings (default: compare them with each other)"
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object per line and source (default: text)"
    )


def run(args: argparse.Namespace) -> int:
    """Audit each source; 3 if one leaks, else 0."""
    import json

    from voxaffect.audit import FAIL_ON, audit
    from voxaffect.division import read_division
    from voxaffect.errors import ExitCode, VoxaffectError

    words = [] if args.fail_on == "none" else (args.fail_on or "").split(",")
    kinds = FAIL_ON if args.fail_on is None else tuple(word.strip() for word in words)
    bars = sys.stderr.isatty() and not args.quiet

    def progress(clips: Sequence[Clip]) -> Iterator[Clip]:
        from tqdm import tqdm

        return iter(tqdm(clips, unit="recording", desc="audio", disable=not bars))

    leaks = False
    for i, source in enumerate(args.sources):
        try:
            found = audit(read_division(source), audio=not args.no_audio, fail_on=kinds, progress=progress)
        except VoxaffectError as error:
            error.where = error.where or source
            raise
        leaks = leaks or bool(found.failed)
        if args.json:
            print(json.dumps(found.to_dict(), ensure_ascii=False))
        else:
            print(("\n" if i else "") + found.render())
    return ExitCode.PARTIAL if leaks else ExitCode.OK
