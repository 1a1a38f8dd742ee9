"""Folds of speakers: who trains, who selects, who tests. No speaker is ever in two of them.

All functions are deterministic: the same speakers and the same seed give the same folds, whatever the order
in which the speakers are given. The dev speakers, on whom epochs and temperatures are chosen, are drawn from
those that do not test; the test speakers decide nothing. `voxaffect.protocols` has the folds that recipes name.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any, NamedTuple, Protocol

from voxaffect.errors import CorpusError, UsageError
from voxaffect.table import UtteranceTable

NAMED_FOLDS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    # Ma et al., "EmoBox", Interspeech 2024: the test actors of each fold
    "ravdess-emobox": {
        "f1": ("ravdess/01", "ravdess/11", "ravdess/20", "ravdess/21"),
        "f2": ("ravdess/04", "ravdess/10", "ravdess/12", "ravdess/14"),
        "f3": ("ravdess/08", "ravdess/09", "ravdess/19", "ravdess/23"),
        "f4": ("ravdess/03", "ravdess/05", "ravdess/07", "ravdess/24"),
        "f5": ("ravdess/02", "ravdess/15", "ravdess/16", "ravdess/18"),
        "f6": ("ravdess/06", "ravdess/13", "ravdess/17", "ravdess/22"),
    },
    "iemocap-emobox": {f"f{i}": (f"iemocap/Ses0{i}F", f"iemocap/Ses0{i}M") for i in range(1, 6)},
}
"""Test speakers of the folds that others publish, by fold."""


class Rows(NamedTuple):
    """Positions in a table of utterances: those that train, select and test."""

    train: tuple[int, ...]
    dev: tuple[int, ...]
    test: tuple[int, ...]


class AnyFold(Protocol):
    """What training asks of a fold: `Fold`, or one of `voxaffect.loose_folds`, which break a rule of honest testing.

    `train`, `dev` and `test` are speakers. `selects_on_test`: the epoch or grid point is chosen on what is tested.
    `mixes_speakers`: a test speaker also trains or selects. A fold of which either is true has a name that begins
    with `OPTIMISTIC`.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def train(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def dev(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def test(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def selects_on_test(self) -> bool: ...  # noqa: D102
    @property
    def mixes_speakers(self) -> bool: ...  # noqa: D102

    def rows(self, table: UtteranceTable) -> Rows:
        """Which utterances of `table` train, select and test."""

    def to_dict(self) -> dict[str, Any]:
        """The fold as folds.json keeps it: `name`, the speakers `train`, `dev` and `test`, and what else there is."""


@dataclass(frozen=True)
class Fold:
    """Disjoint groups of speakers. `dev` and `test` may be empty (a final model tests nobody), `train` not.

    Raises:
        CorpusError: `speaker_overlap`, `duplicate_speaker` or `empty_part` at construction.
    """

    name: str
    train: tuple[str, ...]
    dev: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.train:
            raise CorpusError("empty_part", f"fold {self.name!r} has no train speakers")
        seen: dict[str, str] = {}
        for part in ("train", "dev", "test"):
            speakers = tuple(sorted(getattr(self, part)))
            object.__setattr__(self, part, speakers)
            for speaker in speakers:
                first = seen.setdefault(speaker, part)
                if first != part:
                    raise CorpusError(
                        "speaker_overlap",
                        f"speaker {speaker!r} is in both {first} and {part} of fold {self.name!r}",
                    )
            if len(set(speakers)) != len(speakers):
                twice = Counter(speakers).most_common(1)[0][0]
                raise CorpusError(
                    "duplicate_speaker", f"speaker {twice!r} is twice in {part} of fold {self.name!r}"
                )

    @property
    def speakers(self) -> tuple[str, ...]:
        """All speakers of the fold, sorted."""
        return tuple(sorted(self.train + self.dev + self.test))

    def unused(self, table: UtteranceTable) -> tuple[str, ...]:
        """Speakers of `table` that this fold gives no part."""
        return tuple(sorted(set(table.speakers) - set(self.speakers)))

    @property
    def selects_on_test(self) -> bool:
        """Never."""
        return False

    @property
    def mixes_speakers(self) -> bool:
        """Never."""
        return False

    def rows(self, table: UtteranceTable) -> Rows:
        """Positions in `table` of the utterances that train, select and test.

        Raises:
            CorpusError: `empty_part` if a part has speakers but none of their utterances is in the table.
        """
        return Rows(
            *(rows_of(table, self.name, part, getattr(self, part)) for part in ("train", "dev", "test"))
        )

    def to_dict(self) -> dict[str, Any]:
        """Name and speakers, ready for JSON."""
        return asdict(self)


def rows_of(table: UtteranceTable, fold: str, part: str, speakers: Sequence[str]) -> tuple[int, ...]:
    """Positions in `table` of the utterances of `speakers`, who have `part` in the fold of the name `fold`.

    Raises:
        CorpusError: `empty_part` if there are speakers but none of their utterances is in the table.
    """
    chosen = set(speakers)
    rows = tuple(row for row, utterance in enumerate(table) if utterance.speaker in chosen)
    if speakers and not rows:
        raise CorpusError(
            "empty_part",
            f"the table has no utterance of the {part} speakers of fold {fold!r}: {some(speakers)}",
        )
    return rows


def leave_one_speaker_out(
    speakers: Sequence[str], *, n_dev: int = 1, seed: int = 0, genders: Mapping[str, str] | None = None
) -> tuple[Fold, ...]:
    """One fold for each speaker, who tests alone. On IEMOCAP the session's other actor stays in training."""
    return folds_of_groups(
        {speaker: (speaker,) for speaker in sorted(set(speakers))}, speakers, n_dev, seed, genders
    )


def speaker_groups(
    speakers: Sequence[str],
    k: int,
    *,
    n_dev: int = 1,
    seed: int = 0,
    genders: Mapping[str, str] | None = None,
) -> tuple[Fold, ...]:
    """`k` folds whose test groups share out the speakers, sizes differing by one at most.

    Each corpus (the part of a speaker's name before the slash) is dealt out in turn, and within it each
    gender, so that every group holds speakers of every corpus and gender wherever there are enough.

    Raises:
        UsageError: `too_many_groups`; also for fewer than two.
    """
    speakers = sorted(set(speakers))
    if not 2 <= k <= len(speakers):
        raise UsageError(
            "too_many_groups", f"{k} groups of {len(speakers)} speakers; expected 2 to {len(speakers)}"
        )
    rng = random.Random(f"groups {seed}")
    order: list[str] = []
    for corpus_speakers in _by_corpus(speakers).values():
        for same_gender in by_gender(corpus_speakers, genders):
            rng.shuffle(same_gender)
            order += same_gender
    groups = {f"group{i + 1}": tuple(order[i::k]) for i in range(k)}
    return folds_of_groups(groups, speakers, n_dev, seed, genders)


def all_speakers(
    speakers: Sequence[str], *, n_dev: int = 1, seed: int = 0, genders: Mapping[str, str] | None = None
) -> tuple[Fold, ...]:
    """One fold without test speakers, `all`: for the final model, whose quality other folds estimate."""
    return folds_of_groups({"all": ()}, speakers, n_dev, seed, genders)


def genders_of(table: UtteranceTable) -> dict[str, str]:
    """The gender of each speaker for whom the table states one."""
    return {u.speaker: u.gender for u in table if u.gender is not None}


def folds_of_groups(
    groups: Mapping[str, Sequence[str]],
    speakers: Iterable[str],
    n_dev: int,
    seed: int,
    genders: Mapping[str, str] | None,
) -> tuple[Fold, ...]:
    """One fold for each test group; `n_dev` of the other speakers select, the rest trains.

    Raises:
        UsageError: `too_few_speakers` if nobody is left to train on.
    """
    folds = []
    for name, test in groups.items():
        others = sorted(set(speakers) - set(test))
        if not 0 <= n_dev < len(others):
            raise UsageError(
                "too_few_speakers",
                f"fold {name!r} has {len(others)} speakers beside its {len(test)} test speakers; "
                f"{n_dev} dev speakers leave none to train on",
            )
        dev = _draw(others, n_dev, random.Random(f"dev {seed} {name}"), genders)
        folds.append(Fold(name, tuple(s for s in others if s not in dev), dev, tuple(test)))
    return tuple(folds)


def _draw(
    speakers: Sequence[str], n: int, rng: random.Random, genders: Mapping[str, str] | None
) -> tuple[str, ...]:
    """`n` of `speakers`, spread over the corpora by Adams' method.

    Each corpus first gets one, the largest first, then whichever has the most speakers for each one drawn. A
    corpus keeps a speaker to train on as long as others have more.
    """
    pools: dict[str, list[str]] = {}
    for corpus, members in _by_corpus(speakers).items():
        same_gender = by_gender(members, genders)
        for pool in same_gender:
            rng.shuffle(pool)
        rng.shuffle(same_gender)
        pools[corpus] = [s for pair in zip_longest(*same_gender) for s in pair if s is not None]
    drawn: Counter[str] = Counter()
    for _ in range(n):
        corpus = max(pools, key=lambda c: _claim(len(pools[c]), drawn[c]))
        drawn[corpus] += 1
    return tuple(sorted(s for corpus, pool in pools.items() for s in pool[: drawn[corpus]]))


def _claim(size: int, drawn: int) -> tuple[bool, bool, bool, float]:
    left = size - drawn
    return left > 0, left > 1, drawn == 0, size / max(drawn, 1)


def _by_corpus(speakers: Iterable[str]) -> dict[str, list[str]]:
    corpora: dict[str, list[str]] = defaultdict(list)
    for speaker in sorted(speakers):
        corpora[speaker.partition("/")[0]].append(speaker)
    return corpora


def by_gender(speakers: Sequence[str], genders: Mapping[str, str] | None) -> list[list[str]]:
    """`speakers` apart by gender, those without one together."""
    pools: dict[str, list[str]] = defaultdict(list)
    for speaker in speakers:
        pools[(genders or {}).get(speaker, "")].append(speaker)
    return [pools[gender] for gender in sorted(pools)]


def some(names: Sequence[str]) -> str:
    """The first ten of `names` for a message, and a sign where there are more."""
    return ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
