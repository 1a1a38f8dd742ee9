"""Who trained, selected and tested in each training of a finished run, as its `folds.json` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voxaffect.records import Record, read_json, records

FILE_NAME = "folds.json"
PARTS = ("train", "dev", "test")


@dataclass(frozen=True)
class Training:
    """One training: a seed, a fold and its speakers. Nothing is refused here: a file may own up to any overlap.

    Where the fold deals in utterances rather than speakers, `utterances` holds their ids by part.
    """

    seed: int
    fold: str
    train: tuple[str, ...]
    dev: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    utterances: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """What `folds.json` holds of it."""
        speakers = {"train": self.train, "dev": self.dev, "test": self.test}
        utterances = {"utterances": dict(self.utterances)} if self.utterances else {}
        return {"seed": self.seed, "name": self.fold, **speakers, **utterances}

    def rows(self, ids: Sequence[str], speakers: Sequence[str]) -> dict[str, list[int]]:
        """Which of the utterances with these `ids` and `speakers` have each part, by position."""
        by_id = bool(self.utterances)
        members = {
            part: set(self.utterances.get(part, ()) if by_id else getattr(self, part)) for part in PARTS
        }
        keys = ids if by_id else speakers
        return {part: [i for i, key in enumerate(keys) if key in members[part]] for part in PARTS}


def read_trainings(run: Path) -> tuple[Training, ...]:
    """The trainings that the `folds.json` of the folder `run` lists, () where it has none.

    Raises:
        ArtefactError: `damaged_file`, naming the key, if the file is not what `voxaffect train` writes.
    """
    file = run / FILE_NAME
    if not file.is_file():
        return ()
    return tuple(_training(row) for row in records(file, read_json(file), "folds"))


def _training(row: Record) -> Training:
    train, dev, test = (row.names(part) for part in PARTS)
    within = row.record("utterances") if row.values.get("utterances") else None
    ids = {part: within.names(part, ()) for part in PARTS} if within else {}
    return Training(row.whole("seed", 0), row.text("name"), train, dev, test, ids)
