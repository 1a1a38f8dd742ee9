"""Writers of results: one file per format, found by its name.

A format is a module here, `json_` for the name "json" where a standard module is called so, with

    SUMMARY     what it is, in a few words
    EXTENSION   of its files, with the dot
    write(results: Iterable[Result], stream: TextIO) -> None

`write` takes the results as they come, writes each as soon as it can, and keeps the order. Numbers are
rounded here (`rounded`), never in a `Result`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Protocol, TextIO, cast

from voxaffect.errors import UsageError
from voxaffect.files import atomic_file

if TYPE_CHECKING:
    from voxaffect.result import Result

DIGITS = 4
"""Decimals of probabilities and seconds in every format: 0.1 ms, and more than any probability deserves."""


class Format(Protocol):
    """What a module of this package offers."""

    SUMMARY: str
    EXTENSION: str

    def write(self, results: Iterable[Result], stream: TextIO) -> None:
        """Write `results` to `stream`."""
        ...


def names() -> list[str]:
    """The names of all formats, sorted."""
    return sorted(module.name.rstrip("_") for module in iter_modules(__path__))


def get(name: str) -> Format:
    """The format called `name`; raises UsageError `unknown_format`."""
    for module in iter_modules(__path__):
        if module.name.rstrip("_") == name:
            return cast("Format", import_module(f"{__name__}.{module.name}"))
    raise UsageError("unknown_format", f"unknown format {name!r}; expected some of {names()}")


def by_extension(path: str | os.PathLike[str]) -> Format:
    """The format whose files end like `path`; raises UsageError `unknown_format`."""
    extension = Path(path).suffix.lower()
    formats = [get(name) for name in names()]
    for candidate in formats:
        if extension == candidate.EXTENSION:
            return candidate
    allowed = sorted({candidate.EXTENSION for candidate in formats})
    raise UsageError(
        "unknown_format", f"no format has files that end in {extension!r}; expected one of {allowed}"
    )


def save(results: Iterable[Result], path: str | os.PathLike[str], format: Format | None = None) -> None:
    """Write `results` to `path`, in `format` or that of its extension; the file appears whole or not at all.

    Raises ResourceError `disk_full` or `cannot_write`.
    """
    chosen = format or by_extension(path)
    with atomic_file(path, text=True) as stream:
        chosen.write(results, cast("TextIO", stream))


def rounded(value: Any) -> Any:
    """`value` (JSON types) with every float rounded to `DIGITS` decimals."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value
