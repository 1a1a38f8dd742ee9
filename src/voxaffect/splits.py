"""Folds of speakers: who trains, who selects, who tests. No speaker is ever in two of them.

All functions are deterministic: the same speakers and the same seed give the same folds, whatever the order
in which the speakers are given. The dev speakers, on whom epochs and temperatures are chosen, are drawn from
those that do not test; the test speakers decide nothing.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from voxaffect.corpora.sheet import read_sheet
from voxaffect.errors import CorpusError, UsageError
from voxaffect.table import UtteranceTable

KINDS = ("leave-one-speaker-out", "speaker-groups", "leave-one-session-out", "all-speakers")

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
}
"""Test speakers of the folds that others publish, by fold."""


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

    def select(self, table: UtteranceTable) -> tuple[UtteranceTable, UtteranceTable, UtteranceTable]:
        """The utterances of `table` that train, select and test: (train, dev, test).

        Raises:
            CorpusError: `empty_part` if a part has speakers but none of their utterances is in the table.
        """
        train, dev, test = (self._part(table, part) for part in ("train", "dev", "test"))
        return train, dev, test

    def _part(self, table: UtteranceTable, part: str) -> UtteranceTable:
        speakers: tuple[str, ...] = getattr(self, part)
        selected = table.where(lambda u: u.speaker in set(speakers))
        if speakers and not len(selected):
            raise CorpusError(
                "empty_part",
                f"the table has no utterance of the {part} speakers of fold {self.name!r}: {_some(speakers)}",
            )
        return selected


def make(
    kind: str, table: UtteranceTable, *, groups: int = 5, n_dev: int = 2, seed: int = 0
) -> tuple[Fold, ...]:
    """The folds that a recipe names: one of `KINDS` or `NAMED_FOLDS`, or the path of a CSV (speaker, fold).

    Raises:
        UsageError: `unknown_folds`, and what the function for that kind raises.
    """
    if kind == "leave-one-speaker-out":
        return leave_one_speaker_out(table.speakers, n_dev=n_dev, seed=seed, genders=genders_of(table))
    if kind == "speaker-groups":
        return speaker_groups(table.speakers, groups, n_dev=n_dev, seed=seed, genders=genders_of(table))
    if kind == "leave-one-session-out":
        return leave_one_session_out(table, n_dev=n_dev, seed=seed)
    if kind == "all-speakers":
        return all_speakers(table.speakers, n_dev=n_dev, seed=seed, genders=genders_of(table))
    if kind in NAMED_FOLDS:
        return named(kind, table.speakers, n_dev=n_dev, seed=seed, genders=genders_of(table))
    if Path(kind).suffix.casefold() in (".csv", ".tsv"):
        return from_csv(kind, table.speakers, n_dev=n_dev, seed=seed, genders=genders_of(table))
    allowed = [*KINDS, *NAMED_FOLDS]
    raise UsageError(
        "unknown_folds", f"unknown folds {kind!r}; expected one of {allowed} or the path of a .csv"
    )


def leave_one_speaker_out(
    speakers: Sequence[str], *, n_dev: int = 1, seed: int = 0, genders: Mapping[str, str] | None = None
) -> tuple[Fold, ...]:
    """One fold for each speaker, who tests alone. On IEMOCAP the session's other actor stays in training."""
    return _folds({speaker: (speaker,) for speaker in sorted(set(speakers))}, speakers, n_dev, seed, genders)


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
        for same_gender in _by_gender(corpus_speakers, genders):
            rng.shuffle(same_gender)
            order += same_gender
    groups = {f"group{i + 1}": tuple(order[i::k]) for i in range(k)}
    return _folds(groups, speakers, n_dev, seed, genders)


def leave_one_session_out(table: UtteranceTable, *, n_dev: int = 1, seed: int = 0) -> tuple[Fold, ...]:
    """One fold for each recording session; its speakers test.

    Raises:
        CorpusError: `no_sessions` if an utterance has none, `speaker_overlap` if a speaker is in two
        sessions.
    """
    without = [u.id for u in table if u.session is None]
    if without:
        raise CorpusError(
            "no_sessions",
            f"{len(without)} utterances have no session, the first is {without[0]!r}",
            hint="use leave-one-speaker-out or speaker-groups",
        )
    sessions: dict[str, set[str]] = defaultdict(set)
    for utterance in table:
        sessions[f"{utterance.corpus}/{utterance.session}"].add(utterance.speaker)
    owner: dict[str, str] = {}
    for session, members in sorted(sessions.items()):
        for speaker in sorted(members):
            first = owner.setdefault(speaker, session)
            if first != session:
                raise CorpusError(
                    "speaker_overlap", f"speaker {speaker!r} is in both session {first!r} and {session!r}"
                )
    groups = {session: tuple(members) for session, members in sorted(sessions.items())}
    return _folds(groups, table.speakers, n_dev, seed, genders_of(table))


def named(
    name: str,
    speakers: Sequence[str],
    *,
    n_dev: int = 1,
    seed: int = 0,
    genders: Mapping[str, str] | None = None,
) -> tuple[Fold, ...]:
    """Folds as others publish them, kept to the speakers that are present; a fold without any is left out.

    Raises:
        UsageError: `unknown_folds`.
        CorpusError: `unlisted_speaker` if the published folds do not know a speaker.
    """
    if name not in NAMED_FOLDS:
        raise UsageError("unknown_folds", f"unknown folds {name!r}; expected one of {list(NAMED_FOLDS)}")
    present = set(speakers)
    groups = {fold: tuple(s for s in test if s in present) for fold, test in NAMED_FOLDS[name].items()}
    _all_listed(f"the folds {name!r}", groups, speakers)
    return _folds({fold: test for fold, test in groups.items() if test}, speakers, n_dev, seed, genders)


def from_csv(
    path: str | Path,
    speakers: Sequence[str],
    *,
    n_dev: int = 1,
    seed: int = 0,
    genders: Mapping[str, str] | None = None,
) -> tuple[Fold, ...]:
    """Folds from a table with the columns `speaker` (as in `ravdess/01`) and `fold` (where that one tests).

    Raises:
        CorpusError: `speaker_overlap`, `unknown_speaker` or `unlisted_speaker`, and what `read_sheet` finds.
    """
    path = Path(path)
    present = set(speakers)
    fold_of: dict[str, str] = {}
    for row in read_sheet(path, ("speaker", "fold")):
        speaker, fold = row.required("speaker"), row.required("fold")
        if speaker not in present:
            raise row.error("unknown_speaker", f"no utterance of the speaker {speaker!r} is in the table")
        first = fold_of.setdefault(speaker, fold)
        if first != fold:
            raise row.error(
                "speaker_overlap", f"speaker {speaker!r} is in both fold {first!r} and fold {fold!r}"
            )
    groups = {
        fold: tuple(s for s, f in fold_of.items() if f == fold) for fold in sorted(set(fold_of.values()))
    }
    _all_listed(path.name, groups, speakers)
    return _folds(groups, speakers, n_dev, seed, genders)


def all_speakers(
    speakers: Sequence[str], *, n_dev: int = 1, seed: int = 0, genders: Mapping[str, str] | None = None
) -> tuple[Fold, ...]:
    """One fold without test speakers, `all`: for the final model, whose quality other folds estimate."""
    return _folds({"all": ()}, speakers, n_dev, seed, genders)


def genders_of(table: UtteranceTable) -> dict[str, str]:
    """The gender of each speaker for whom the table states one."""
    return {u.speaker: u.gender for u in table if u.gender is not None}


def _folds(
    groups: Mapping[str, Sequence[str]],
    speakers: Iterable[str],
    n_dev: int,
    seed: int,
    genders: Mapping[str, str] | None,
) -> tuple[Fold, ...]:
    """One fold for each test group; `n_dev` of the other speakers select."""
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
        same_gender = _by_gender(members, genders)
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


def _by_gender(speakers: Sequence[str], genders: Mapping[str, str] | None) -> list[list[str]]:
    by_gender: dict[str, list[str]] = defaultdict(list)
    for speaker in speakers:
        by_gender[(genders or {}).get(speaker, "")].append(speaker)
    return [by_gender[gender] for gender in sorted(by_gender)]


def _all_listed(where: str, groups: Mapping[str, Sequence[str]], speakers: Iterable[str]) -> None:
    unlisted = sorted(set(speakers) - {s for members in groups.values() for s in members})
    if unlisted:
        raise CorpusError(
            "unlisted_speaker", f"{where} gives {len(unlisted)} speakers no fold: {_some(unlisted)}"
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (" …" if len(names) > 10 else "")
