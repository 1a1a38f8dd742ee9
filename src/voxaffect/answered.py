"""Which answers in an output folder came from which model with which options: what `--resume` may keep.

`.voxaffect-answers.jsonl` in the folder has a line for every way of answering and a line for every answer. Each begins
with its line break, so that one that a kill cut off spoils no other.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from voxaffect.errors import UsageError

FILE_NAME = ".voxaffect-answers.jsonl"


class Answered:
    """The record of the output folder `folder`, for answers that are given in one `way`: its model and options."""

    def __init__(self, folder: Path, way: Mapping[str, Any]) -> None:
        self._folder = folder
        self._way = dict(way)
        self._key = hashlib.sha256(json.dumps(self._way, sort_keys=True).encode()).hexdigest()[:16]
        self._ways: dict[str, dict[str, Any]] = {}
        self._key_of: dict[str, str | None] = {}
        """By file, relative to the folder; None while another answer is being written over."""
        with suppress(OSError):  # none there, as a rule; what cannot be read tells nothing
            for line in (folder / FILE_NAME).read_text(encoding="ascii", errors="replace").splitlines():
                self._note(line)

    def check(self, kept: Sequence[Sequence[Path]]) -> None:
        """Raise UsageError `other_answers` if any of the answers `kept`, each a group of files, is of another way."""
        keys = [{self._key_of.get(self._name(path)) for path in paths} for paths in kept]
        others = [group for group in keys if group != {self._key}]
        if not others:
            return
        known = [self._ways[key] for key in set().union(*others) - {self._key} if key in self._ways]
        differ = [name for name in self._way if any(way.get(name) != self._way[name] for way in known)]
        what = (
            f"with another {', '.join(differ)}" if differ else "with a model and options that nothing tells"
        )
        raise UsageError(
            "other_answers",
            f"{len(others)} of the {len(kept)} answers in {self._folder} were given {what}",
            hint="use --overwrite to answer anew, the model and options of then, or another folder",
        )

    @contextmanager
    def answering(self, paths: Sequence[Path]) -> Iterator[None]:
        """Record the answer whose files `paths` are written meanwhile; a kill leaves none that passes for another."""
        if any(map(os.path.exists, paths)):
            self._append({"files": [self._name(path) for path in paths], "by": None})
            yield
            self._append_answer(paths)
        else:
            self._append_answer(paths)
            yield

    def _append_answer(self, paths: Sequence[Path]) -> None:
        if self._key not in self._ways:
            self._append({"way": self._way, "key": self._key})
        self._append({"files": [self._name(path) for path in paths], "by": self._key})

    def _append(self, entry: Mapping[str, Any]) -> None:
        line = json.dumps(entry)  # ASCII, whatever the names
        with (self._folder / FILE_NAME).open("a", encoding="ascii") as file:
            file.write("\n" + line)
        self._note(line)

    def _note(self, line: str) -> None:
        with suppress(ValueError, KeyError, TypeError, AttributeError):  # cut off by a kill
            entry = json.loads(line)
            if "way" in entry:
                self._ways[str(entry["key"])] = dict(entry["way"])
            else:
                self._key_of |= dict.fromkeys(map(str, entry["files"]), entry["by"])

    def _name(self, path: Path) -> str:
        return path.relative_to(self._folder).as_posix()
