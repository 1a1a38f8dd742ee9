"""Who trained, selected and tested in each training of a finished run, as its `folds.json` says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from voxaffect.errors import ArtefactError

FILE_NAME = "folds.json"


@dataclass(frozen=True)
class Training:
    """One training: a seed, a fold and its speakers. Nothing is refused here: a file may own up to any overlap."""

    seed: int
    fold: str
    train: tuple[str, ...]
    dev: tuple[str, ...] = ()
    test: tuple[str, ...] = ()


def read_trainings(run: Path) -> tuple[Training, ...]:
    """The trainings that the `folds.json` of the folder `run` lists, () where it has none.

    Raises:
        ArtefactError: `bad_folds` if the file is not what `voxaffect train` writes.
    """
    file = run / FILE_NAME
    if not file.is_file():
        return ()
    try:
        return tuple(
            Training(
                int(row["seed"]),
                str(row["name"]),
                *(tuple(str(speaker) for speaker in row[part]) for part in ("train", "dev", "test")),
            )
            for row in json.loads(file.read_text(encoding="utf-8"))
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactError(
            "bad_folds",
            f"{file} does not list seed, name, train, dev and test of each fold",
            hint="voxaffect train writes it",
            where=str(run),
        ) from error
