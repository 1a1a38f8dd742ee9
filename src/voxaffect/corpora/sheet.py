"""Tables that people write: CSV with any usual delimiter and encoding, errors that name the line."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voxaffect.corpora.files import read_text
from voxaffect.errors import CorpusError

_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line of the file on which it begins (from 1) and its cells by column, stripped."""

    path: Path
    line: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")

    def error(self, code: str, message: str, *, hint: str | None = None) -> CorpusError:
        """A CorpusError about this row: `labels.csv line 7: message`."""
        return CorpusError(
            code, f"{self.path.name} line {self.line}: {message}", hint=hint, where=str(self.path)
        )

    def required(self, column: str) -> str:
        """The cell of `column`; raise CorpusError `empty_cell` if it is empty."""
        if not self[column]:
            raise self.error("empty_cell", f"the column {column!r} is empty")
        return self[column]


def read_sheet(path: Path, required: Sequence[str]) -> tuple[Row, ...]:
    """The rows of the CSV file `path`; column names in lower case, empty lines left out.

    The delimiter is whichever of comma, semicolon and tab the header line uses most. Quoted cells may contain
    delimiters and line breaks. Encodings are those of `voxaffect.corpora.files.read_text`.

    Raises:
        CorpusError: `unreadable_text`, `empty_table`, `missing_column`, `duplicate_column`, `bad_row`.
    """
    text = read_text(path)
    header_line = next((line for line in text.splitlines() if line.strip()), "")
    if not header_line:
        raise CorpusError(
            "empty_table", f"{path} is empty; expected a header with the columns {list(required)}"
        )
    delimiter = max(_DELIMITERS, key=header_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    columns: list[str] = []
    last_line = 0
    try:
        for cells in reader:
            line, last_line = last_line + 1, reader.line_num
            stripped = [cell.strip() for cell in cells]
            if not any(stripped):
                continue
            if not columns:
                columns = _columns(path, stripped, required)
                continue
            while len(stripped) > len(columns) and not stripped[-1]:
                stripped.pop()  # spreadsheets end some lines with more delimiters than the header has
            if len(stripped) != len(columns):
                raise CorpusError(
                    "bad_row",
                    f"{path.name} line {line}: {len(stripped)} cells for {len(columns)} columns",
                    hint="put quotes around cells that contain the delimiter",
                    where=str(path),
                )
            rows.append(Row(path, line, dict(zip(columns, stripped, strict=True))))
    except csv.Error as error:
        raise CorpusError("bad_row", f"{path.name} line {last_line + 1}: {error}", where=str(path)) from error
    if not rows:
        raise CorpusError("empty_table", f"{path} has a header but no rows")
    return tuple(rows)


def _columns(path: Path, cells: Sequence[str], required: Sequence[str]) -> list[str]:
    columns = [cell.casefold() for cell in cells]
    missing = [name for name in required if name not in columns]
    if missing:
        raise CorpusError(
            "missing_column",
            f"{path.name} line 1: no column {missing[0]!r}; it has {columns}, needed are {list(required)}",
            where=str(path),
        )
    doubles = sorted({name for name in columns if name and columns.count(name) > 1})
    if doubles:
        raise CorpusError(
            "duplicate_column", f"{path.name} line 1: the column {doubles[0]!r} stands twice", where=str(path)
        )
    return columns
