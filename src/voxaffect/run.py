"""The run folder: what a training leaves behind, written so that nothing half-done can be taken for whole.

recipe.json        the resolved recipe and its digest       environment.json  versions, machine, command, commit
folds.json         speakers of every fold and seed          parts/SEED-FOLD/  one folder for each training
predictions.csv    every test utterance, once for each seed utterances.csv    what is known of each, without its audio
baselines.json     what can be scored without listening     parts/*/dev_predictions.csv  answers for dev speakers
metrics.jsonl      a line for each epoch                    metrics.json      the evaluation
confusion.png, curves.png
"""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from voxaffect.errors import ArtefactError, UsageError
from voxaffect.files import HALF_WRITTEN, write_json, write_text
from voxaffect.recipe import Recipe, recipe_from_json, recipe_to_json


@dataclass(frozen=True)
class RunFolder:
    """Paths and small files of one run."""

    path: Path

    def part(self, seed: int, fold: str) -> Path:
        """The folder of the training of `fold` with `seed`."""
        safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in fold)
        return self.path / "parts" / f"{seed}-{safe}"

    @property
    def recipe(self) -> Recipe:
        """The recipe of the run; ArtefactError where the folder is no run."""
        file = self.path / "recipe.json"
        if not file.is_file():
            raise ArtefactError(
                "not_a_run",
                f"{self.path} is no run folder: it has no recipe.json",
                hint="voxaffect train makes one",
            )
        return recipe_from_json(file.read_text(encoding="utf-8"))

    def start(self, recipe: Recipe, *, resume: bool) -> None:
        """Make the folder, or take up an unfinished run of the very same recipe.

        Raises:
            UsageError: `run_exists`: the folder holds something and `resume` is false.
            ArtefactError: `other_recipe`: the folder holds a run of another recipe.
        """
        file = self.path / "recipe.json"
        if file.is_file():
            if not resume:
                raise UsageError(
                    "run_exists",
                    f"{self.path} already holds a run",
                    hint="add --resume, or choose another folder",
                )
            if self.recipe.digest != recipe.digest:
                raise ArtefactError(
                    "other_recipe",
                    f"{self.path} was begun with another recipe; what it holds does not fit this one",
                    hint="choose another folder, or restore the recipe",
                )
            return
        if self.path.exists() and any(path.suffix != HALF_WRITTEN for path in self.path.iterdir()):
            raise UsageError(
                "run_exists", f"{self.path} is not empty and holds no run", hint="choose another folder"
            )
        write_text(file, recipe_to_json(recipe))
        write_json(self.path / "environment.json", environment())

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process; a second one is refused, a dead one's lock is taken over.

        What a process that was killed had only half written is removed.
        """
        file = self.path / "lock"
        try:
            handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            owner = file.read_text(encoding="utf-8").strip()
            if owner.isdigit() and _alive(int(owner)):
                raise UsageError(
                    "run_locked",
                    f"{self.path} is in use by process {owner}",
                    hint="wait until it is done or end it, then add --resume; or choose another folder",
                ) from None
            file.unlink(missing_ok=True)
            handle = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        with os.fdopen(handle, "w", encoding="utf-8") as lock:
            lock.write(str(os.getpid()))
        for half in self.path.rglob(f".*{HALF_WRITTEN}"):
            half.unlink(missing_ok=True)
        try:
            yield
        finally:
            file.unlink(missing_ok=True)


def environment() -> dict[str, Any]:
    """Versions of what decides the numbers, the machine, the command line and the commit of the source, if known."""
    from importlib.metadata import PackageNotFoundError, version

    versions: dict[str, str] = {"python": platform.python_version()}
    for package in (
        "voxaffect",
        "numpy",
        "torch",
        "transformers",
        "av",
        "soxr",
        "onnxruntime",
        "scikit-learn",
    ):
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": ["voxaffect", *sys.argv[1:]],
        "commit": source_commit(),
        "versions": versions,
        "machine": {"system": platform.system(), "processor": platform.machine(), "cores": os.cpu_count()},
    }


def source_commit() -> str | None:
    """The git commit of the source that runs, `-dirty` added where files differ from it; None outside a checkout."""
    folder = Path(__file__).resolve().parent
    try:
        head = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", str(folder))
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head}-dirty" if changed else head


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
    )
    return done.stdout.strip()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def check_unused(folder: Path, *, hint: str = "choose another folder") -> None:
    """Raise UsageError `run_exists` where `folder` is there and holds anything, or is no folder."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("run_exists", f"{folder} is not empty", hint=hint)
