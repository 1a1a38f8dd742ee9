"""JSON: one object for one result, an array for more. Pure ASCII, so that any name survives any terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TextIO

from voxaffect.formats import rounded
from voxaffect.result import Result

SUMMARY = "one object, or an array for several inputs; all there is to know"
EXTENSION = ".json"
HOLDS = "results"
BINARY = False


def write(results: Iterable[Result], stream: TextIO) -> None:
    """Write an object, or an array unless there is exactly one result."""
    rest = iter(results)
    first, second = next(rest, None), next(rest, None)
    if first is not None and second is None:
        stream.writelines(_pieces(first))
        stream.write("\n")
        return
    before = "["
    for result in chain([r for r in (first, second) if r is not None], rest):
        stream.write(before + "\n")
        stream.writelines(_pieces(result))
        before = ","
    stream.write("[]\n" if first is None else "\n]\n")


def _pieces(result: Result) -> Iterator[str]:
    """The text of a result bit by bit: that of ten hours would take 100 MB in one piece."""
    return json.JSONEncoder(indent=2, allow_nan=False).iterencode(rounded(result.to_dict()))
