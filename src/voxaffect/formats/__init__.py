"""Writers of results: one file per format, found by its name.

A format is a module here, `json_` for the name "json" where a standard module is called so, with

    SUMMARY     what it is, in a few words
    EXTENSION   of its files, with the dot
    HOLDS       "results": any number, failures too; "timelines" of any number of recordings; "timeline": of one
    BINARY      whether it is bytes, not text
    REQUIRES    only where it needs a package: (package, extra that brings it)
    write(results: Iterable[Result], stream) -> None

`write` takes the results as they come, writes each as soon as it can, and keeps the order. Numbers are
rounded here (`rounded`), never in a `Result`. A timeline cannot say that an input failed: it leaves failures out,
and whoever asked for it says them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, Protocol, cast

from voxaffect.audio_input import printable
from voxaffect.errors import UsageError, require
from voxaffect.files import atomic_file

if TYPE_CHECKING:
    from voxaffect.result import Result

DIGITS = 4
"""Decimals of probabilities and seconds in every format: 0.1 ms, and more than any probability deserves."""


class Format(Protocol):
    """What a module of this package offers."""

    SUMMARY: str
    EXTENSION: str
    HOLDS: str
    BINARY: bool

    def write(self, results: Iterable[Result], stream: Any) -> None:
        """Write `results` to `stream`."""
        ...


def names() -> list[str]:
    """The names of all formats, sorted."""
    return sorted(_modules())


def extensions() -> dict[str, str]:
    """The extension of every format, by its name."""
    return {name: import_module(module).EXTENSION for name, module in _modules().items()}


def get(name: str) -> Format:
    """The format called `name`; raises UsageError `unknown_format`, or `missing_dependency` if it needs a package."""
    modules = _modules()
    if name not in modules:
        raise UsageError("unknown_format", f"unknown format {name!r}; expected some of {sorted(modules)}")
    chosen = import_module(modules[name])
    if hasattr(chosen, "REQUIRES"):
        require(*chosen.REQUIRES)
    return cast("Format", chosen)


def by_extension(path: str | os.PathLike[str]) -> Format:
    """The format whose files end like `path`, by the longest ending; raises UsageError as `get` does."""
    file_name = Path(path).name.lower()
    known = extensions()
    fitting = [name for name, extension in known.items() if file_name.endswith(extension.lower())]
    if fitting:
        return get(max(fitting, key=lambda name: len(known[name])))
    raise UsageError(
        "unknown_format",
        f"no format has files that end in {Path(path).suffix!r}; expected one of {sorted(known.values())}",
    )


def save(results: Iterable[Result], path: str | os.PathLike[str], format: Format | None = None) -> None:
    """Write `results` to `path`, in `format` or that of its extension; the file appears whole or not at all.

    Raises ResourceError `disk_full` or `cannot_write`, UsageError `several_recordings`.
    """
    chosen = format or by_extension(path)
    with atomic_file(path, text=not chosen.BINARY) as stream:
        chosen.write(results, stream)


def only(results: Iterable[Result]) -> Result | None:
    """The one of `results` that did not fail, for a format that holds one timeline; None if there is none.

    Raises UsageError `several_recordings`.
    """
    answer = None
    for result in results:
        if result.error is not None:
            continue
        if answer is not None:
            raise UsageError(
                "several_recordings",
                f"a timeline is of one recording; {printable(result.id)} is a second",
                hint="write a file for each",
            )
        answer = result
    return answer


def timestamp(seconds: float, point: str) -> str:
    """`seconds` as subtitles have them.

    >>> timestamp(3723.0405, ",")
    '01:02:03,040'
    """
    minutes, milliseconds = divmod(round(1000 * seconds), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"


def rounded(value: Any) -> Any:
    """`value` (JSON types) with every float rounded to `DIGITS` decimals."""
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


@cache
def _modules() -> dict[str, str]:
    """Looked for once: a server asks with every request."""
    return {module.name.rstrip("_"): f"{__name__}.{module.name}" for module in iter_modules(__path__)}
