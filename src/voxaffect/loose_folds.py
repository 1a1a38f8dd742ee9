"""Folds that break a rule of honest testing, or deal in utterances rather than speakers; each says what it breaks.

They serve to reproduce what others publish and to measure what a shortcut buys. A name that begins with
`OPTIMISTIC` marks every prediction and every figure that comes of a broken rule.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voxaffect.corpora.sheet import read_sheet
from voxaffect.errors import CorpusError, UsageError
from voxaffect.splits import Fold, Rows, rows_of
from voxaffect.stamps import OPTIMISTIC, optimistic_reason
from voxaffect.table import UtteranceTable

VALIDATION_ON_TEST = f"{OPTIMISTIC} validation-on-test: "
RANDOM_SPLIT = f"{OPTIMISTIC} random-split: "
SEEN_SPEAKERS = f"{OPTIMISTIC} seen-speakers: "

SPLITS = {"train": "train", "dev": "dev", "val": "dev", "valid": "dev", "validation": "dev", "test": "test"}
"""What people write in a column `split`, and the part that is meant."""


@dataclass(frozen=True)
class SelectedOnTest:
    """`train` and `test` are disjoint speakers; the epoch or grid point is chosen on the test speakers themselves.

    Raises:
        CorpusError: `empty_part` if nobody tests, and as `Fold`.
    """

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.test:
            raise CorpusError("empty_part", f"fold {self.name!r} has no test speakers to select on")
        honest = Fold(self.name.removeprefix(VALIDATION_ON_TEST), self.train, (), self.test)
        for part in ("train", "test"):
            object.__setattr__(self, part, getattr(honest, part))
        object.__setattr__(self, "name", VALIDATION_ON_TEST + honest.name)

    @property
    def dev(self) -> tuple[str, ...]:
        """The test speakers."""
        return self.test

    @property
    def selects_on_test(self) -> bool:
        """Always."""
        return True

    @property
    def mixes_speakers(self) -> bool:
        """Never: the test speakers do not train."""
        return False

    def rows(self, table: UtteranceTable) -> Rows:
        """Which utterances of `table` train, and those that both select and test; raises as `Fold.rows`."""
        test = rows_of(table, self.name, "test", self.test)
        return Rows(rows_of(table, self.name, "train", self.train), test, test)

    def to_dict(self) -> dict[str, Any]:
        """Name and speakers, ready for JSON; `breaks` says which rule."""
        breaks = "selection on the test speakers"
        return {"name": self.name, "train": self.train, "dev": self.dev, "test": self.test, "breaks": breaks}


@dataclass(frozen=True)
class UtteranceFold:
    """Disjoint utterances by id; the same speaker may be on two sides. `of` makes one from positions in a table.

    Where a test speaker also trains or selects, the name must begin with `OPTIMISTIC` (ValueError).

    Raises:
        CorpusError: `empty_part` or `utterance_overlap`.
    """

    name: str
    ids: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
    """Utterances that train, select and test."""
    train: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]

    @classmethod
    def of(cls, name: str, table: UtteranceTable, rows: Rows) -> UtteranceFold:
        """The fold of the utterances at `rows` of `table`."""
        train, dev, test = (tuple(sorted({table[row].speaker for row in part})) for part in rows)
        ids = tuple(table.ids[row] for row in rows.train), tuple(table.ids[row] for row in rows.dev)
        return cls(name, (*ids, tuple(table.ids[row] for row in rows.test)), train, dev, test)

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for part, ids in zip(("train", "dev", "test"), self.ids, strict=True):
            if not ids:
                raise CorpusError("empty_part", f"fold {self.name!r} has no {part} utterances")
            for utterance in ids:
                first = seen.setdefault(utterance, part)
                if first != part:
                    raise CorpusError(
                        "utterance_overlap",
                        f"utterance {utterance!r} is in both {first} and {part} of fold {self.name!r}",
                    )
        if self.mixes_speakers and not optimistic_reason(self.name):
            raise ValueError(f"fold {self.name!r} tests speakers that it has seen; its name must say so")

    @property
    def selects_on_test(self) -> bool:
        """Never: utterances are on one side only."""
        return False

    @property
    def mixes_speakers(self) -> bool:
        """Whether a test speaker also trains or selects."""
        return bool(set(self.test) & {*self.train, *self.dev})

    def rows(self, table: UtteranceTable) -> Rows:
        """Positions of the utterances in `table`.

        Raises:
            CorpusError: `unknown_id` if one is not there.
        """
        row_of = {utterance: row for row, utterance in enumerate(table.ids)}
        absent = [utterance for ids in self.ids for utterance in ids if utterance not in row_of]
        if absent:
            raise CorpusError(
                "unknown_id",
                f"{len(absent)} utterances of fold {self.name!r} are not in the table, the first is {absent[0]!r}",
            )
        return Rows(*(tuple(row_of[utterance] for utterance in ids) for ids in self.ids))

    def to_dict(self) -> dict[str, Any]:
        """Name, speakers and `utterances`, ready for JSON; `breaks` says which rule, empty where none is broken."""
        return {
            "name": self.name,
            "train": self.train,
            "dev": self.dev,
            "test": self.test,
            "breaks": "test speakers are seen in training or selection" if self.mixes_speakers else "",
            "utterances": dict(zip(("train", "dev", "test"), self.ids, strict=True)),
        }


def random_split(table: UtteranceTable, k: int, *, seed: int = 0) -> tuple[UtteranceFold, ...]:
    """`k` folds of utterances drawn without regard to who speaks: each group tests once, the next one selects.

    Ten groups are the random 8:1:1 of many papers.

    Raises:
        UsageError: `too_many_groups`; also for fewer than three.
    """
    if not 3 <= k <= len(table):
        raise UsageError(
            "too_many_groups", f"{k} random groups of {len(table)} utterances; expected 3 to {len(table)}"
        )
    order = sorted(range(len(table)), key=lambda row: table.ids[row])
    random.Random(f"random split {seed}").shuffle(order)
    groups = [order[i::k] for i in range(k)]
    folds = []
    for i in range(k):
        dev, test = groups[(i + 1) % k], groups[i]
        train = [row for j, group in enumerate(groups) if j not in (i, (i + 1) % k) for row in group]
        rows = Rows(tuple(sorted(train)), tuple(sorted(dev)), tuple(sorted(test)))
        folds.append(UtteranceFold.of(f"{RANDOM_SPLIT}group{i + 1}", table, rows))
    return tuple(folds)


def from_csv(
    path: str | Path, table: UtteranceTable, *, allow_speaker_overlap: bool = False
) -> tuple[UtteranceFold, ...]:
    """Anyone's splits, from a table with the columns `id`, `fold` and `split` (train, dev or val, test).

    A fold that tests speakers whom it has seen is made only with `allow_speaker_overlap`, and its name then
    begins with `OPTIMISTIC seen-speakers: `.

    Raises:
        CorpusError: `unknown_id`, `unknown_split`, `duplicate_id`, `empty_part`, `speaker_overlap`, and what
        `read_sheet` finds.
    """
    row_of = {utterance: row for row, utterance in enumerate(table.ids)}
    parts: dict[str, dict[str, list[int]]] = {}
    placed: dict[tuple[str, str], int] = {}
    for row in read_sheet(Path(path), ("id", "fold", "split")):
        utterance, fold = row.required("id"), row.required("fold")
        if utterance not in row_of:
            raise row.error(
                "unknown_id",
                f"no utterance {utterance!r} is in the table",
                hint="leave out the lines of classes that the recipe leaves out",
            )
        part = SPLITS.get(row.required("split").casefold())
        if part is None:
            raise row.error("unknown_split", f"split is {row['split']!r}; expected one of {list(SPLITS)}")
        if (first := placed.setdefault((fold, utterance), row.line)) != row.line:
            raise row.error(
                "duplicate_id", f"utterance {utterance!r} stands in line {first} of fold {fold!r} already"
            )
        parts.setdefault(fold, {"train": [], "dev": [], "test": []})[part].append(row_of[utterance])
    return tuple(
        _checked(
            fold,
            table,
            Rows(*(tuple(sorted(members[part])) for part in ("train", "dev", "test"))),
            allow_speaker_overlap,
        )
        for fold, members in sorted(parts.items())
    )


def _checked(name: str, table: UtteranceTable, rows: Rows, allow_speaker_overlap: bool) -> UtteranceFold:
    tested = {table[row].speaker for row in rows.test}
    seen = sorted(tested & {table[row].speaker for row in (*rows.train, *rows.dev)})
    if seen and not allow_speaker_overlap:
        raise CorpusError(
            "speaker_overlap",
            f"fold {name!r} tests {len(seen)} speakers who also train or select, the first is {seen[0]!r}",
            hint="set protocol.allow_speaker_overlap = true to train it all the same, stamped OPTIMISTIC",
        )
    return UtteranceFold.of((SEEN_SPEAKERS if seen else "") + name, table, rows)
