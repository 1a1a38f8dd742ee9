"""SubRip subtitles: who sounds how, while it is said. Silence and recordings without a label have none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from voxaffect.formats import only, timestamp
from voxaffect.result import Result
from voxaffect.track import caption, in_order, tracks

SUMMARY = "subtitles (SubRip)"
EXTENSION = ".srt"
HOLDS = "timeline"
BINARY = False


def write(results: Iterable[Result], stream: TextIO) -> None:
    """Write a numbered subtitle for each piece; raises UsageError `several_recordings`."""
    result = only(results)
    if result is None:
        return
    for number, (track, piece) in enumerate(in_order(tracks(result)), 1):
        times = f"{timestamp(piece.start, ',')} --> {timestamp(piece.end, ',')}"
        stream.write(f"{number}\n{times}\n{caption(track, piece)}\n\n")
