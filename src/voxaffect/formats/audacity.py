"""Label tracks for Audacity: File, Import, Labels. A line for each piece: start, end, text, with tabs between.

Source: https://manual.audacityteam.org/man/importing_and_exporting_labels.html
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from voxaffect.formats import only
from voxaffect.result import Result
from voxaffect.track import caption, in_order, tracks

SUMMARY = "a label track for Audacity"
EXTENSION = ".labels.txt"
HOLDS = "timeline"
BINARY = False


def write(results: Iterable[Result], stream: TextIO) -> None:
    """Write a line for each piece; raises UsageError `several_recordings`."""
    result = only(results)
    if result is None:
        return
    for track, piece in in_order(tracks(result)):
        stream.write(f"{piece.start:.6f}\t{piece.end:.6f}\t{caption(track, piece)}\n")
