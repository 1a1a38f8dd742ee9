"""CSV for spreadsheets: one row per recording, and a row for each of its segments.

`row` says which: "file" or "segment". A recording whose only segment is all of it has no segment rows. A cell
is one line: control characters and line breaks are escaped, and what a spreadsheet could take for a formula
has an apostrophe in front. JSON Lines has every name exactly.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import TextIO

from voxaffect.audio_input import printable
from voxaffect.formats import DIGITS
from voxaffect.result import Result

SUMMARY = "one row per recording and per segment, for spreadsheets"
EXTENSION = ".csv"

COLUMNS = (
    *("row", "id", "channel", "role", "start", "end", "label", "score", "agreement", "uncertain"),
    *("reason", "flags", "error", "message"),
)
"""The columns of every file; one `prob_LABEL` follows for each label of the model."""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write(results: Iterable[Result], stream: TextIO) -> None:
    """Write a header and the rows; raises ValueError if results are of models with different labels."""
    writer = csv.writer(stream, lineterminator="\n")
    labels: tuple[str, ...] | None = None
    for result in results:
        own = result.model.labels if result.model else tuple(result.probs)
        if labels is None:
            labels = own
            writer.writerow([*COLUMNS, *(f"prob_{label}" for label in labels)])
        if own and own != labels:
            raise ValueError(f"{result.id!r} has labels {list(own)}; the first result has {list(labels)}")
        for row in _rows(result):
            cells = [row.get(column) for column in (*COLUMNS, *(f"prob_{label}" for label in labels))]
            writer.writerow([_cell(cell) for cell in cells])
        stream.flush()
    if labels is None:
        writer.writerow(COLUMNS)


def _rows(result: Result) -> Iterator[dict[str, object]]:
    first = result.segments[0] if len(result.segments) == 1 else None
    duration = result.source.duration if result.source else None
    yield {
        "row": "file",
        "id": result.id,
        "start": first.start if first else 0.0 if duration is not None else None,
        "end": first.end if first else duration,
        "label": result.label,
        "score": result.score,
        "agreement": result.agreement,
        "uncertain": result.uncertain,
        "reason": result.reason,
        "flags": " ".join(warning.code for warning in result.warnings),
        "error": result.error.code if result.error else None,
        "message": result.error.message if result.error else "; ".join(w.message for w in result.warnings),
        **{f"prob_{label}": p for label, p in result.probs.items()},
    }
    if first is not None and duration is not None and first.end - first.start >= duration - 10**-DIGITS:
        return
    for segment in result.segments:
        yield {
            "row": "segment",
            "id": result.id,
            "channel": segment.channel,
            "role": segment.role,
            "start": segment.start,
            "end": segment.end,
            "label": segment.label,
            "score": segment.score,
            "agreement": segment.agreement,
            "uncertain": segment.uncertain,
            "flags": " ".join(segment.flags),
            **{f"prob_{label}": p for label, p in segment.probs.items()},
        }


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.{DIGITS}f}".rstrip("0").rstrip(".")
    text = printable(str(value))
    return "'" + text if text.startswith(_FORMULA) else text
