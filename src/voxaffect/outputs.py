"""Where results are written: a file per input and format in a folder, `errors.jsonl` for what failed."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from voxaffect import formats
from voxaffect.answered import FILE_NAME as RECORD
from voxaffect.errors import UsageError
from voxaffect.inputs import InputFile

ERRORS = "errors.jsonl"
"""The failures of a run, one result with `error` per line; absent if there were none."""
MAX_NAME_BYTES = 200
"""File systems allow 255; the extension and collision marks need some."""


@dataclass(frozen=True)
class Outputs:
    """A folder for results: `paths[i]` are the files of the i-th input, one for each of `formats`.

    An input that was not even found has none.
    """

    folder: Path
    formats: tuple[formats.Format, ...]
    paths: tuple[tuple[Path, ...], ...]

    @property
    def errors(self) -> Path:
        """The file that lists the failures."""
        return self.folder / ERRORS

    def done(self, index: int) -> bool:
        """Whether every file of the input is there. Files appear whole, so this means that it is done."""
        return bool(self.paths[index]) and all(map(os.path.exists, self.paths[index]))

    def existing(self) -> list[Path]:
        """Which of the files are there already."""
        paths = [path for group in (*self.paths, (self.errors,)) for path in group]
        return list(filter(os.path.exists, paths))  # Path.exists raises where the system will not look


def plan_outputs(folder: str | os.PathLike[str], files: Sequence[InputFile], names: Sequence[str]) -> Outputs:
    """One distinct file for each input and format, as `output_names` calls them.

    Raises UsageError `unknown_format` if one of `names` is no format, `missing_dependency` if it needs a package,
    `not_a_folder` if `folder` is a file or an empty name.
    """
    chosen = tuple(formats.get(name) for name in names)
    folder = output_folder("-o", folder)
    relative = output_names(files, [each.EXTENSION for each in chosen])
    return Outputs(folder, chosen, tuple(tuple(folder / path for path in group) for group in relative))


def output_folder(option: str, folder: str | os.PathLike[str]) -> Path:
    """The folder that an option names, there or to be made; raises UsageError `not_a_folder`."""
    if not os.fspath(folder):
        raise UsageError("not_a_folder", f"{option} is an empty name; expected a folder, there or to be made")
    if os.path.exists(folder) and not os.path.isdir(folder):  # noqa: PTH110, PTH112  (Path may raise)
        raise UsageError(
            "not_a_folder", f"{option} {folder} is a file; expected a folder, there or to be made"
        )
    return Path(folder)


def output_names(files: Sequence[InputFile], extensions: Sequence[str]) -> list[tuple[Path, ...]]:
    """One distinct name for each input and extension, whatever the inputs are called; none for an input with an error.

    `call.wav` becomes `call.json`, in the same sub-folder as in the folder that was given; where two inputs
    would meet (`call.wav`, `call.mp3`), both keep their extension (`call.wav.json`), and where they still
    meet, the later ones are numbered. The same inputs in the same order get the same names.
    """
    stems = [_fitting(Path(file.relative).with_suffix("")) for file in files if file.error is None]
    meetings = Counter(_key(stem) for stem in stems)
    taken = set().union(*(_keys(Path(own).with_suffix("")) for own in (ERRORS, RECORD)))
    paths: list[tuple[Path, ...]] = []
    stem_of = iter(stems)
    for file in files:
        if file.error is not None:
            paths.append(())
            continue
        name = next(stem_of)
        if meetings[_key(name)] > 1 or not taken.isdisjoint(_keys(name)):
            name = _fitting(Path(file.relative))
        base, number = name, 2
        while not taken.isdisjoint(_keys(name)):
            name, number = base.with_name(f"{base.name}-{number}"), number + 1
        taken |= _keys(name)
        paths.append(tuple(name.with_name(name.name + extension) for extension in extensions))
    return paths


def refuse_existing(outputs: Outputs) -> None:
    """Raise UsageError `output_exists` if anything would be written over."""
    refuse_files(outputs.existing())


def refuse_files(existing: Sequence[Path]) -> None:
    """Raise UsageError `output_exists` if there are any."""
    if existing:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise UsageError(
            "output_exists",
            f"{existing[0]} is there already{more}",
            hint="use --resume to keep what is there and do the rest, or --overwrite",
        )


def _keys(name: Path) -> set[str]:
    """What a name takes: itself, and where an extension has two parts, what would make the same file with the last one:
    `x` with `.labels.txt` meets `x.labels` with `.txt`.

    Whether these were asked for is no matter, as names must not change with the formats.
    """
    return {_key(name), *(_key(name.with_name(name.name + part)) for part in _first_parts())}


@cache
def _first_parts() -> tuple[str, ...]:
    parts = {extension.rpartition(".")[0] for extension in formats.extensions().values()}
    return tuple(part for part in parts if part)


def _key(name: Path) -> str:
    """The same for names that a file system may take for one: many know neither capitals nor how é is put together."""
    return unicodedata.normalize("NFC", os.fspath(name)).casefold()


def _fitting(name: Path) -> Path:
    data = os.fsencode(name.name)
    if len(data) <= MAX_NAME_BYTES:
        return name
    mark = hashlib.sha256(data).hexdigest()[:8]
    return name.with_name(f"{data[: MAX_NAME_BYTES - 9].decode('utf-8', 'ignore')}-{mark}")
