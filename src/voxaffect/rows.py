"""A result as rows of a flat table: one for the recording, and one for each of its segments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from voxaffect.result import Result

Row: TypeAlias = Mapping[str, object]

COLUMNS = (
    *("file", "start", "end", "row", "channel", "role", "label", "score", "agreement", "uncertain"),
    *("reason", "flags", "error", "message"),
)
"""The columns of every table; one `prob_LABEL` follows for each label of the model.

`file`, `start` and `end` (seconds) are a segmented index of audformat. `row` is "file" or "segment".
"""
WHOLE = 1e-4
"""A segment that is this much shorter than its recording, in seconds, is all of it."""


def tables(results: Iterable[Result]) -> Iterator[tuple[tuple[str, ...], Iterator[Row]]]:
    """For each result the labels, the same every time, and its rows.

    Raises ValueError if results are of models with different labels.
    """
    labels: tuple[str, ...] | None = None
    for result in results:
        own = result.model.labels if result.model else tuple(result.probs)
        if labels is None:
            labels = own
        if own and own != labels:
            raise ValueError(f"{result.id!r} has labels {list(own)}; the first result has {list(labels)}")
        yield labels, rows(result)


def rows(result: Result) -> Iterator[Row]:
    """The rows of one result; a recording whose only segment is all of it has no segment rows."""
    first = result.segments[0] if len(result.segments) == 1 else None
    duration = result.source.duration if result.source else None
    yield {
        "row": "file",
        "file": result.id,
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
    if first is not None and duration is not None and first.end - first.start >= duration - WHOLE:
        return
    for segment in result.segments:
        yield {
            "row": "segment",
            "file": result.id,
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
