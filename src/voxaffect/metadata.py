"""What is known of utterances without listening: speaker, label, text, gender, duration …, as a run keeps it.

A run folder has it as `utterances.csv`, one row for each utterance of its table, tested or not, with the columns
`id, speaker, corpus, label, session, text, take, gender, language, duration, scenario, dialogue`; `duration` in
seconds, an empty cell where nothing is known. So the baselines and the report need no corpus.
"""

from __future__ import annotations

import csv
import io
import math
import os
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voxaffect.corpora.files import audio_header
from voxaffect.corpora.sheet import Row, read_sheet
from voxaffect.errors import VoxaffectError
from voxaffect.files import write_text
from voxaffect.table import Utterance, UtteranceTable

FILE_NAME = "utterances.csv"
COLUMNS = (
    "speaker",
    "corpus",
    "label",
    "session",
    "text",
    "take",
    "gender",
    "language",
    "duration",
    "scenario",
    "dialogue",
)
"""The columns of the file beside `id`."""


@dataclass(frozen=True)
class Metadata:
    """N utterances with distinct ids; `columns` has N cells each, "" where nothing is known, and at least `label`.

    Raises ValueError if a column has another length, there is no label, or an id stands twice.
    """

    ids: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        if "label" not in self.columns:
            raise ValueError(f"there is no column 'label', only {list(self.columns)}")
        for name, cells in self.columns.items():
            if len(cells) != len(self.ids):
                raise ValueError(f"column {name!r} has {len(cells)} cells for {len(self.ids)} ids")
        if len(set(self.ids)) != len(self.ids):
            raise ValueError("an id stands twice")

    def __len__(self) -> int:
        return len(self.ids)

    def column(self, name: str) -> tuple[str, ...]:
        """The cells of a column, all of them "" where there is none."""
        return self.columns.get(name, ("",) * len(self))


def of_table(table: UtteranceTable, *, durations: bool = True) -> Metadata:
    """What the corpus says of each utterance of `table`; durations come from the files' headers, if they are wanted.

    The duration of an utterance whose file has no header that can be read is not known.
    """
    seconds: dict[Path, float] = {}
    for utterance in table:
        if durations and utterance.path not in seconds:
            seconds[utterance.path] = _duration(utterance.path)
    rows = [_cells(utterance, seconds.get(utterance.path, math.nan)) for utterance in table]
    return Metadata(table.ids, {name: tuple(row[name] for row in rows) for name in COLUMNS})


def read_metadata(path: str | os.PathLike[str]) -> Metadata:
    """The metadata in the CSV file `path`, with whichever further columns it has.

    Raises:
        CorpusError: `duplicate_id`, `bad_duration`, and what `read_sheet` finds.
    """
    rows = read_sheet(Path(path), ("id", "label"))
    lines: dict[str, int] = {}
    for row in rows:
        if lines.setdefault(row.required("id"), row.line) != row.line:
            raise row.error("duplicate_id", f"id {row['id']!r} stands in line {lines[row['id']]} already")
        row.required("label")
    return Metadata(tuple(row["id"] for row in rows), columns_of(rows))


def columns_of(rows: Sequence[Row]) -> dict[str, tuple[str, ...]]:
    """Those of `COLUMNS` that a sheet has, by name. Raises CorpusError `bad_duration` with the line's number."""
    columns = {name: tuple(row[name] for row in rows) for name in COLUMNS if name in rows[0].cells}
    for row, cell in zip(rows, columns.get("duration", ()), strict=False):
        if cell and not seconds_of(cell) > 0:
            raise row.error("bad_duration", f"duration is {cell!r}; expected seconds above 0")
    return columns


def seconds_of(cell: str) -> float:
    """The number in a cell of the column `duration`; NaN where it holds none."""
    try:
        value = float(cell.replace(",", "."))  # some spreadsheets write decimal commas
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def plain_text(text: str) -> str:
    """`text` without what does not change its words: case, punctuation, space, the forms of Unicode.

    >>> plain_text("Don't  GO!") == plain_text("don't go")
    True
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(c if c.isalnum() or c == "'" else " " for c in folded).split())


def write_metadata(metadata: Metadata, path: str | os.PathLike[str]) -> None:
    """Write `metadata` as CSV: UTF-8, LF; it appears whole or not at all."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["id", *COLUMNS])
    writer.writerows(zip(metadata.ids, *(metadata.column(name) for name in COLUMNS), strict=True))
    write_text(Path(path), buffer.getvalue())


def _duration(path: Path) -> float:
    try:
        return audio_header(path).duration
    except VoxaffectError:
        return math.nan


def _cells(u: Utterance, file_seconds: float) -> dict[str, str]:
    end = file_seconds if u.end is None else u.end
    duration = end - (u.start or 0.0)
    cells = {name: getattr(u, name, None) or "" for name in COLUMNS}
    cells |= {name: str(u.attributes.get(name, "")) for name in ("scenario", "dialogue")}
    return cells | {"duration": f"{duration:.3f}" if duration > 0 else ""}
