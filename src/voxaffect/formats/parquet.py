"""Parquet: the rows of csv with their types, for pandas, DuckDB, Spark. Needs the extra `parquet`.

Names are exact but for undecodable bytes, which are escaped; `flags` is a list. Rows come in groups, so that memory
does not grow with them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, BinaryIO

from voxaffect.errors import require
from voxaffect.formats import rounded
from voxaffect.result import Result
from voxaffect.rows import COLUMNS, Row, tables

if TYPE_CHECKING:
    import pyarrow

SUMMARY = "the rows of csv with their types; needs the extra parquet"
EXTENSION = ".parquet"
HOLDS = "results"
BINARY = True
REQUIRES = ("pyarrow", "parquet")

GROUP_ROWS = 20_000
"""Rows that are held until they are written."""


def write(results: Iterable[Result], stream: BinaryIO) -> None:
    """Write the rows; raises ValueError for other labels as csv does, UsageError `missing_dependency`."""
    require(*REQUIRES)
    import pyarrow
    import pyarrow.parquet

    writer = None
    waiting: list[dict[str, Any]] = []
    schema = _schema(())
    try:
        for labels, rows in tables(results):
            if writer is None:
                schema = _schema(labels)
                writer = pyarrow.parquet.ParquetWriter(stream, schema)
            for row in rows:
                waiting.append(_plain(row))
                if len(waiting) == GROUP_ROWS:
                    writer.write_table(pyarrow.Table.from_pylist(waiting, schema))
                    waiting.clear()
        writer = writer or pyarrow.parquet.ParquetWriter(stream, schema)
        if waiting:
            writer.write_table(pyarrow.Table.from_pylist(waiting, schema))
    finally:
        if writer is not None:
            writer.close()


def _schema(labels: tuple[str, ...]) -> pyarrow.Schema:
    import pyarrow

    types = {
        **dict.fromkeys(("start", "end", "score", "agreement"), pyarrow.float64()),
        "channel": pyarrow.int32(),
        "uncertain": pyarrow.bool_(),
        "flags": pyarrow.list_(pyarrow.string()),
    }
    fields = [(column, types.get(column, pyarrow.string())) for column in COLUMNS]
    return pyarrow.schema([*fields, *((f"prob_{label}", pyarrow.float64()) for label in labels)])


def _plain(row: Row) -> dict[str, Any]:
    values: dict[str, Any] = {key: _decodable(value) for key, value in rounded(dict(row)).items()}
    return values | {"flags": str(row["flags"]).split()}


def _decodable(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
