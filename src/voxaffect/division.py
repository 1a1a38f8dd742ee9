"""Whose utterances have which part of which fold: what the auditor looks at, from a run, a recipe or anyone's CSV."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voxaffect import metadata
from voxaffect.corpora.files import MEDIA_SUFFIXES
from voxaffect.corpora.sheet import Row, read_sheet
from voxaffect.errors import CorpusError, VoxaffectError
from voxaffect.metadata import Metadata
from voxaffect.recipe import Recipe, read_recipe
from voxaffect.run import RunFolder
from voxaffect.table import UtteranceTable
from voxaffect.trainings import PARTS, Training, read_trainings

COLUMNS = ("speaker", "corpus", "label", "session", "dialogue", "text", "take")
"""What is compared between the parts, beside the id and the audio."""
WORDS: Mapping[str, str] = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "development": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
    "eval": "test",
    "evaluation": "test",
}
"""What people write in a column `split`, and the part that is meant."""


@dataclass(frozen=True)
class Clip:
    """Where the audio of an utterance lies; `start` and `end` (s) cut it out of a longer file."""

    path: Path
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class FoldRows:
    """One fold: the utterances (positions in the metadata) that train, select and test; `seed` None if unknown."""

    name: str
    seed: int | None
    parts: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class Division:
    """N utterances, what is known of them, and how the folds deal them out.

    `clips` holds the audio of each utterance, None where it has none; `no_audio` says why there is none at all.
    """

    source: str
    utterances: Metadata
    clips: tuple[Clip | None, ...]
    folds: tuple[FoldRows, ...]
    no_audio: str = ""


def read_division(source: str | Path) -> Division:
    """The folds of a run folder, those that a recipe (.toml) plans, or those of anyone's CSV.

    Raises:
        CorpusError, UsageError, ArtefactError: a source that cannot be read, or says nothing of its utterances.
    """
    path = Path(source)
    if path.is_dir():
        return from_run(path)
    if path.suffix.casefold() == ".toml":
        return from_recipe(read_recipe(path), str(source))
    return from_csv(path)


def from_recipe(recipe: Recipe, source: str) -> Division:
    """The folds that `recipe` plans, without training anything."""
    from voxaffect.train import plan, read_table  # they import what training needs

    table = read_table(recipe)
    trainings = []
    for part in plan(recipe, table):
        fold, utterances = part.fold, part.fold.to_dict().get("utterances", {})
        trainings.append(Training(part.seed, fold.name, fold.train, fold.dev, fold.test, utterances))
    return _of_table(source, table, trainings)


def from_run(run: Path) -> Division:
    """The folds of a finished run: its folds.json with the corpora of its recipe, else with its utterances.csv.

    Raises:
        ArtefactError: `not_a_run` where it has no folds; `damaged_file`.
        CorpusError: `nothing_known` where it has no utterances.csv and its corpora cannot be read.
    """
    trainings = read_trainings(run)
    if not trainings:
        _ = RunFolder(run).recipe  # says what a run is, where it is none
        raise CorpusError("no_folds", f"{run} has no folds.json", where=str(run))
    kept = run / metadata.FILE_NAME
    try:
        from voxaffect.train import read_table

        return _of_table(str(run), read_table(RunFolder(run).recipe), trainings)
    except VoxaffectError as error:
        if not kept.is_file():
            raise CorpusError(
                "nothing_known",
                f"{run} has no {metadata.FILE_NAME}, and its corpora cannot be read: {error.message}",
                where=str(run),
            ) from error
        known = metadata.read_metadata(kept)
        return Division(
            str(run), known, (None,) * len(known), _rows_of(known, trainings), "the corpora are not here"
        )


def from_csv(path: Path) -> Division:
    """Anyone's folds: columns id, split[, fold, seed, speaker, corpus, label, session, dialogue, text, take, path].

    `split` says train, dev or test (or a usual other word); an utterance stands once for each fold that it is in.
    Without `split`, `fold` names the fold that tests an utterance, and all others train on it. `path` is relative to
    the file; `start` and `end` (s) cut the utterance out of a longer recording.

    Raises:
        CorpusError: `missing_column`, `unknown_split`, `duplicate_id` in one part of one fold, `contradiction` between
            two rows of an id, `bad_times`, and what `read_sheet` finds.
    """
    rows = read_sheet(path, ("id",))
    columns = rows[0].cells.keys()
    if not columns & {"split", "fold"}:
        raise CorpusError(
            "missing_column",
            f"{path.name} line 1: no column 'split' or 'fold'; it has {sorted(columns)}",
            hint="split says train, dev or test; or fold names the fold that tests an utterance",
            where=str(path),
        )
    first: dict[str, Row] = {}
    known = [name for name in (*COLUMNS, "path", "start", "end") if name in columns]
    for row in rows:
        other = first.setdefault(row.required("id"), row)
        for name in known:
            if row[name] != other[name]:
                raise row.error(
                    "contradiction",
                    f"{row['id']!r} has {name} {row[name]!r} here and {other[name]!r} in line {other.line}",
                )
    utterances = Metadata(
        tuple(first),
        {"label": ("",) * len(first)}
        | {name: tuple(row[name] for row in first.values()) for name in COLUMNS if name in columns},
    )
    index = {utterance: i for i, utterance in enumerate(first)}
    folds = _split_folds(rows, index) if "split" in columns else _test_folds(rows, index)
    clips = tuple(_clip(row) for row in first.values())
    return Division(str(path), utterances, clips, folds, "" if "path" in columns else "no column 'path'")


def _of_table(source: str, table: UtteranceTable, trainings: Sequence[Training]) -> Division:
    known = metadata.of_table(table, durations=False)
    clips = tuple(
        Clip(u.path, u.start, u.end) if u.path.suffix.casefold() in MEDIA_SUFFIXES else None for u in table
    )  # some corpora come as features, without recordings
    return Division(source, known, clips, _rows_of(known, trainings))


def _rows_of(known: Metadata, trainings: Iterable[Training]) -> tuple[FoldRows, ...]:
    folds = []
    for t in trainings:
        rows = t.rows(known.ids, known.column("speaker"))
        folds.append(FoldRows(t.fold, t.seed, {part: tuple(rows[part]) for part in PARTS}))
    return tuple(folds)


def _split_folds(rows: Sequence[Row], index: Mapping[str, int]) -> tuple[FoldRows, ...]:
    folds: dict[tuple[str, str], dict[str, list[int]]] = {}
    lines: dict[tuple[str, str, str, str], int] = {}
    for row in rows:
        part = WORDS.get(row.required("split").casefold())
        if part is None:
            raise row.error("unknown_split", f"split is {row['split']!r}; expected one of {sorted(WORDS)}")
        key = row["seed"], row["fold"]
        if (line := lines.setdefault((*key, part, row["id"]), row.line)) != row.line:
            raise row.error(
                "duplicate_id", f"id {row['id']!r} stands in the {part} part in line {line} already"
            )
        folds.setdefault(key, {part: [] for part in PARTS})[part].append(index[row["id"]])
    return tuple(
        FoldRows(fold, _seed(seed), {part: tuple(members[part]) for part in PARTS})
        for (seed, fold), members in folds.items()
    )


def _test_folds(rows: Sequence[Row], index: Mapping[str, int]) -> tuple[FoldRows, ...]:
    tested: dict[str, dict[str, list[int]]] = {}
    lines: dict[tuple[str, str], int] = {}
    for row in rows:
        if (line := lines.setdefault((row["seed"], row["id"]), row.line)) != row.line:
            raise row.error("duplicate_id", f"id {row['id']!r} is tested in line {line} already")
        tested.setdefault(row["seed"], {}).setdefault(row.required("fold"), []).append(index[row["id"]])
    return tuple(
        FoldRows(
            fold,
            _seed(seed),
            {
                "train": tuple(i for other, others in folds.items() if other != fold for i in others),
                "dev": (),
                "test": tuple(members),
            },
        )
        for seed, folds in tested.items()
        for fold, members in folds.items()
    )


def _clip(row: Row) -> Clip | None:
    if not row["path"]:
        return None
    start, end = (_seconds(row, name) for name in ("start", "end"))
    return Clip(row.path.parent / row["path"], start, end)


def _seconds(row: Row, name: str) -> float | None:
    if not row[name]:
        return None
    value = metadata.seconds_of(row[name])
    if not value >= 0:
        raise row.error("bad_times", f"{name} is {row[name]!r}; expected seconds")
    return value


def _seed(cell: str) -> int | None:
    return int(cell) if cell.lstrip("-").isdigit() else None
