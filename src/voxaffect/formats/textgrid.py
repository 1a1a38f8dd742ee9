"""Praat TextGrid: for each channel a tier of labels and one of their scores. Silence is an empty interval.

Intervals of a tier follow each other without gaps from 0 to the end, as Praat wants them. A label of which the model
is not sure ends in a question mark.

Source: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TextIO, TypeAlias

from voxaffect.audio_input import printable
from voxaffect.formats import DIGITS, only
from voxaffect.result import Result
from voxaffect.track import span, tracks

SUMMARY = "tiers for Praat"
EXTENSION = ".TextGrid"
HOLDS = "timeline"
BINARY = False

UNNAMED = "emotion"
"""The tier of a mix of all channels."""
_SHORTEST = 0.001
Interval: TypeAlias = tuple[float, float, str]


def write(results: Iterable[Result], stream: TextIO) -> None:
    """Write the tiers in the long text format, as UTF-8; raises UsageError `several_recordings`."""
    result = only(results)
    if result is None:
        return
    end = max(span(result), _SHORTEST)
    all_tracks = tracks(result)
    stream.write(
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
        f"xmin = 0\nxmax = {_number(end)}\ntiers? <exists>\nsize = {2 * len(all_tracks)}\nitem []:\n"
    )
    for i, track in enumerate(all_tracks):
        name = track.name or UNNAMED
        labels = [(p.start, p.end, p.label + "?" * p.uncertain) for p in track.pieces]
        scores = [(p.start, p.end, _number(round(p.score, DIGITS))) for p in track.pieces]
        for k, (tier, pieces) in enumerate([(name, labels), (f"{name} score", scores)], 1):
            _write_tier(2 * i + k, tier, list(_filled(pieces, end)), end, stream)


def _write_tier(number: int, name: str, intervals: list[Interval], end: float, stream: TextIO) -> None:
    stream.write(
        f'    item [{number}]:\n        class = "IntervalTier"\n        name = {_quoted(name)}\n'
        f"        xmin = 0\n        xmax = {_number(end)}\n        intervals: size = {len(intervals)}\n"
    )
    for i, (start, stop, text) in enumerate(intervals, 1):
        stream.write(
            f"        intervals [{i}]:\n            xmin = {_number(start)}\n"
            f"            xmax = {_number(stop)}\n            text = {_quoted(text)}\n"
        )


def _filled(pieces: Iterable[Interval], end: float) -> Iterator[Interval]:
    """The pieces, and an empty interval wherever there is none."""
    at = 0.0
    for start, stop, text in pieces:
        if start > at:
            yield at, start, ""
        yield start, stop, text
        at = stop
    if end > at:
        yield at, end, ""


def _quoted(text: str) -> str:
    doubled = printable(text).replace('"', '""')
    return f'"{doubled}"'


def _number(value: float) -> str:
    return f"{value:.{DIGITS}f}".rstrip("0").rstrip(".")
