"""CSV for spreadsheets and audformat: one row per recording, and a row for each of its segments.

`row` says which: "file" or "segment". A recording whose only segment is all of it has no segment rows. A cell
is one line: control characters and line breaks are escaped, and what a spreadsheet could take for a formula
has an apostrophe in front. JSON Lines has every name exactly.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from typing import TextIO

from voxaffect.audio_input import printable
from voxaffect.formats import DIGITS
from voxaffect.result import Result
from voxaffect.rows import COLUMNS, tables

SUMMARY = "one row per recording and per segment, for spreadsheets and audformat"
EXTENSION = ".csv"
HOLDS = "results"
BINARY = False

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write(results: Iterable[Result], stream: TextIO) -> None:
    """Write a header and the rows; raises ValueError if results are of models with different labels."""
    writer = csv.writer(stream, lineterminator="\n")
    columns: tuple[str, ...] = ()
    for labels, rows in tables(results):
        if not columns:
            columns = (*COLUMNS, *(f"prob_{label}" for label in labels))
            writer.writerow(columns)
        for row in rows:
            writer.writerow([_cell(row.get(column)) for column in columns])
        stream.flush()
    if not columns:
        writer.writerow(COLUMNS)


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.{DIGITS}f}".rstrip("0").rstrip(".")
    text = printable(str(value))
    return "'" + text if text.startswith(_FORMULA) else text
