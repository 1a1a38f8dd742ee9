"""The JSON files of runs, read with errors that name the file and the key: each value is of the kind that is wanted."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxaffect.errors import ArtefactError


@dataclass(frozen=True)
class Record:
    """A JSON object of `file`; `place` says where in it, e.g. `members[2]`. Keys that nobody asks for are ignored."""

    file: Path
    values: Mapping[str, Any]
    place: str = ""

    def text(self, key: str, default: str | None = None) -> str:
        """A text; `default` where the key is absent."""
        return str(self._value(key, "text", str, default))

    def number(self, key: str) -> float:
        """A number; null is NaN."""
        if key in self.values and self.values[key] is None:
            return float("nan")
        return float(self._value(key, "a number", (int, float)))

    def whole(self, key: str, default: int | None = None) -> int:
        """A whole number; `default` where the key is absent."""
        return int(self._value(key, "a whole number", int, default))

    def names(self, key: str, default: Sequence[str] | None = None) -> tuple[str, ...]:
        """A list of texts; `default` where the key is absent."""
        values = self._value(key, "a list of names", list, None if default is None else list(default))
        if not all(isinstance(value, str) for value in values):
            raise self._wrong(key, "a list of names")
        return tuple(values)

    def record(self, key: str) -> Record:
        """An object within."""
        return Record(self.file, self._value(key, "an object", dict), self._path(key))

    def records(self, key: str) -> tuple[Record, ...]:
        """A list of objects."""
        return tuple(records(self.file, self._value(key, "a list", list), self._path(key)))

    def _value(self, key: str, wanted: str, kinds: type | tuple[type, ...], default: Any = None) -> Any:
        if key not in self.values and default is not None:
            return default
        if key not in self.values:
            raise damaged(self.file, f"{self.file.name} lacks {self._path(key)!r}")
        value = self.values[key]
        if not isinstance(value, kinds) or (isinstance(value, bool) and kinds is not bool):
            raise self._wrong(key, wanted)
        return value

    def _wrong(self, key: str, wanted: str) -> ArtefactError:
        given = json.dumps(self.values[key])
        given = given if len(given) <= 40 else given[:39] + "…"
        return damaged(self.file, f"{self._path(key)!r} of {self.file.name} is {given}; expected {wanted}")

    def _path(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key


def read_json(file: Path) -> Any:
    """The value in `file`. Raises ArtefactError `damaged_file` where it is no JSON."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise damaged(file, f"{file.name} is not JSON: {error}") from error
    except OSError as error:
        raise damaged(file, f"cannot read {file.name}: {error.strerror or error}") from error


def read_record(file: Path, schema: str = "") -> Record:
    """The object in `file`, which must name `schema` if one is given.

    Raises ArtefactError `damaged_file`, or `unknown_schema` for an object of another kind or a newer edition.
    """
    record = next(records(file, [read_json(file)], ""))
    if schema and (given := record.text("schema", "")) != schema:
        raise ArtefactError(
            "unknown_schema",
            f"{file.name} has the schema {given!r}; expected {schema!r}",
            hint="another edition of voxaffect wrote it",
            where=str(file),
        )
    return record


def records(file: Path, values: Any, place: str) -> Iterator[Record]:
    """Each object of the list `values`. Raises ArtefactError `damaged_file` where one is none."""
    if not isinstance(values, list):
        raise damaged(file, f"{file.name} is no list")
    for i, value in enumerate(values):
        where = f"{place}[{i}]" if place or len(values) > 1 else ""
        if not isinstance(value, dict):
            raise damaged(file, f"{file.name} holds {type(value).__name__} where an object is expected")
        yield Record(file, value, where)


def damaged(file: Path, message: str) -> ArtefactError:
    """The error for a file that is not what its name promises."""
    return ArtefactError("damaged_file", message, hint="restore it, or make the run again", where=str(file))
