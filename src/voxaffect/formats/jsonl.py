"""JSON Lines: one result per line, written as it comes. Pure ASCII: any name survives any terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TextIO

from voxaffect.formats import rounded
from voxaffect.result import Result

SUMMARY = "one result per line, as they come"
EXTENSION = ".jsonl"
HOLDS = "results"
BINARY = False


def write(results: Iterable[Result], stream: TextIO) -> None:
    """Write one line for each result, whole or not at all as far as the stream allows."""
    for result in results:
        stream.write(json.dumps(rounded(result.to_dict()), separators=(",", ":"), allow_nan=False) + "\n")
        stream.flush()
