"""What a user names on the command line, as a list of files: folders, patterns and "-" included."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from voxaffect.audio_format import CONTAINERS
from voxaffect.audio_input import printable
from voxaffect.errors import AudioError

STDIN = "-"
SUFFIXES = frozenset().union(*(container.suffixes for container in CONTAINERS.values()))
"""What counts as audio in a folder. A file that is named itself is tried whatever it is called."""

_WILD = "*?["


@dataclass(frozen=True)
class InputFile:
    """One input: a `path` to open (or "-"), or what is wrong with what was named.

    `relative` is where a folder's file lies inside that folder, the name of a file that was named itself, and
    empty for an error.
    """

    path: str
    relative: str
    error: AudioError | None = None


@dataclass(frozen=True)
class Inputs:
    """The files in the order of the command line, each once, and how many files in folders are no audio."""

    files: tuple[InputFile, ...]
    n_repeated: int
    n_passed_over: int


def find_inputs(names: Iterable[str]) -> Inputs:
    """The files behind `names`; nothing is opened, and what cannot be found becomes an input with an error.

    A folder gives the audio files in it and below, sorted, without hidden ones; a pattern (`*`, `?`,
    `[...]`, `**`) that is not itself the name of a file gives what matches, sorted. A link to a folder is
    not followed.
    """
    files: dict[str, InputFile] = {}
    n_repeated = n_passed_over = 0
    for name in names:
        passed_over: list[str] = []
        for file in _expand(name, passed_over):
            key = os.path.normpath(file.path)
            n_repeated += key in files
            files.setdefault(key, file)
        n_passed_over += len(passed_over)
    return Inputs(tuple(files.values()), n_repeated, n_passed_over)


def _expand(name: str, passed_over: list[str]) -> Iterator[InputFile]:
    if name == STDIN and sys.stdin is None:
        yield _missing(name, "unreadable", "stdin is closed", "give the name of a file")
    elif name == STDIN:
        yield InputFile(STDIN, "stdin")
    elif not name:
        yield _missing(name, "not_found", "an input is an empty name", None)
    elif os.path.isdir(name):  # noqa: PTH112  (Path raises where the system will not look)
        yield from _in_folder(name, passed_over)
    elif any(c in name for c in _WILD) and "://" not in name and not os.path.lexists(name):
        matches = sorted(match for match in glob.glob(name, recursive=True) if match != name)  # noqa: PTH207
        if not matches:
            yield _missing(name, "not_found", f"nothing matches {printable(name)}", None)
        for match in matches:
            yield from _expand(match, passed_over)
    else:
        yield InputFile(name, Path(name).name or name)


def _in_folder(folder: str, passed_over: list[str]) -> Iterator[InputFile]:
    found = []
    unreadable: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in names:
            if name.startswith("."):
                continue
            if Path(name).suffix.lower() in SUFFIXES:
                found.append(Path(parent, name))
            else:
                passed_over.append(name)
    for path in sorted(found):
        yield InputFile(os.fspath(path), os.fspath(path.relative_to(folder)))
    for error in unreadable:
        place = os.fsdecode(error.filename)
        yield _missing(place, "permission", f"{printable(place)} cannot be listed ({error.strerror})", None)
    if not found and not unreadable:
        yield _missing(
            folder,
            "no_audio_files",
            f"{printable(folder)} holds no audio files ({len(passed_over)} others)",
            "a file that is named itself is tried whatever it is called",
        )


def _missing(name: str, code: str, message: str, hint: str | None) -> InputFile:
    return InputFile(name, "", AudioError(code, message, hint=hint, where=name))
