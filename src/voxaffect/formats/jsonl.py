"""JSON Lines: one result per line, written as it comes. Pure ASCII: any name survives any terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import IO, Any, TextIO

from voxaffect.events import Event
from voxaffect.formats import rounded
from voxaffect.result import Result

SUMMARY = "one result per line, as they come"
EXTENSION = ".jsonl"
HOLDS = "results"
BINARY = False


def write(results: Iterable[Result], stream: TextIO) -> None:
    """Write one line for each result, whole or not at all as far as the stream allows."""
    for result in results:
        _write_line(result.to_dict(), stream)


def write_event(event: Event, recording: str, stream: IO[str]) -> None:
    """Write the line of an event of the recording with the id `recording`: that of a live stream, and the `id`."""
    message = event.to_dict()
    _write_line({"type": message.pop("type"), "id": recording, **message}, stream)


def _write_line(value: dict[str, Any], stream: IO[str]) -> None:
    stream.write(json.dumps(rounded(value), separators=(",", ":"), allow_nan=False) + "\n")
    stream.flush()
