"""The folds that a recipe names: by speaker, session or corpus, as others publish them, or from a CSV.

`make` finds them by name. In corpora of sessions of two, such as IEMOCAP, the two talk to each other: who tests
is heard in the partner's dialogues. `8:1:1-by-speaker` and `8:1:1-by-session` therefore train on neither; the
names are the parts of IEMOCAP's ten actors that train, select and test.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from voxaffect import loose_folds
from voxaffect.corpora.sheet import read_sheet
from voxaffect.errors import CorpusError, UsageError
from voxaffect.splits import (
    NAMED_FOLDS,
    AnyFold,
    Fold,
    all_speakers,
    folds_of_groups,
    genders_of,
    leave_one_speaker_out,
    some,
    speaker_groups,
)
from voxaffect.table import UtteranceTable

KINDS = (
    "leave-one-speaker-out",
    "speaker-groups",
    "leave-one-session-out",
    "leave-one-corpus-out",
    "8:1:1-by-speaker",
    "8:1:1-by-session",
    "all-speakers",
    "random",
)


def make(
    kind: str,
    table: UtteranceTable,
    *,
    groups: int = 5,
    n_dev: int = 2,
    seed: int = 0,
    allow_speaker_overlap: bool = False,
) -> tuple[AnyFold, ...]:
    """The folds that a recipe names: one of `KINDS` or `NAMED_FOLDS`, or the path of a CSV.

    A CSV has the columns speaker,fold, or id,fold,split (see `from_csv` and `voxaffect.loose_folds.from_csv`).

    Raises:
        UsageError: `unknown_folds`, and what the function for that kind raises.
    """
    genders = genders_of(table)
    match kind:
        case "leave-one-speaker-out":
            return leave_one_speaker_out(table.speakers, n_dev=n_dev, seed=seed, genders=genders)
        case "speaker-groups":
            return speaker_groups(table.speakers, groups, n_dev=n_dev, seed=seed, genders=genders)
        case "leave-one-session-out":
            return leave_one_session_out(table, n_dev=n_dev, seed=seed)
        case "leave-one-corpus-out":
            return leave_one_corpus_out(table, n_dev=n_dev, seed=seed)
        case "8:1:1-by-speaker":
            return partner_selects(table)
        case "8:1:1-by-session":
            return one_of_each_session(table, seed=seed)
        case "all-speakers":
            return all_speakers(table.speakers, n_dev=n_dev, seed=seed, genders=genders)
        case "random":
            return loose_folds.random_split(table, groups, seed=seed)
    if kind in NAMED_FOLDS:
        return named(kind, table.speakers, n_dev=n_dev, seed=seed, genders=genders)
    if Path(kind).suffix.casefold() in (".csv", ".tsv"):
        if {"id", "split"} <= read_sheet(Path(kind), ("fold",))[0].cells.keys():
            return loose_folds.from_csv(kind, table, allow_speaker_overlap=allow_speaker_overlap)
        return from_csv(kind, table.speakers, n_dev=n_dev, seed=seed, genders=genders)
    allowed = [*KINDS, *NAMED_FOLDS]
    raise UsageError(
        "unknown_folds", f"unknown folds {kind!r}; expected one of {allowed}, 'members' or the path of a .csv"
    )


def leave_one_session_out(table: UtteranceTable, *, n_dev: int = 1, seed: int = 0) -> tuple[Fold, ...]:
    """One fold for each recording session; its speakers test. Raises as `sessions`."""
    return folds_of_groups(sessions(table), table.speakers, n_dev, seed, genders_of(table))


def leave_one_corpus_out(table: UtteranceTable, *, n_dev: int = 1, seed: int = 0) -> tuple[Fold, ...]:
    """One fold for each corpus, which tests whole; speakers of the others train and select.

    Raises:
        UsageError: `one_corpus` if nothing else is there to train on, `too_few_speakers`.
    """
    members: dict[str, set[str]] = defaultdict(set)
    for utterance in table:
        members[utterance.corpus].add(utterance.speaker)
    if len(members) < 2:
        raise UsageError(
            "one_corpus",
            f"leave-one-corpus-out needs two corpora or more, the table has {sorted(members)}",
            hint="name more in data.corpora, or use leave-one-speaker-out",
        )
    groups = {corpus: tuple(sorted(members[corpus])) for corpus in sorted(members)}
    return folds_of_groups(groups, table.speakers, n_dev, seed, genders_of(table))


def partner_selects(table: UtteranceTable) -> tuple[Fold, ...]:
    """One fold for each speaker, who tests; the session's other speaker selects, all other sessions train.

    Raises as `partners`.
    """
    partner = partners(table)
    return tuple(
        Fold(s, tuple(o for o in partner if o not in (s, partner[s])), (partner[s],), (s,)) for s in partner
    )


def one_of_each_session(table: UtteranceTable, *, seed: int = 0) -> tuple[Fold, ...]:
    """One fold for each session: one of its two speakers tests, the other selects, all other sessions train.

    Which of the two is drawn by `seed`. Raises as `partners`.
    """
    partner = partners(table)
    folds = []
    for session, members in sessions(table).items():
        test = random.Random(f"session {seed} {session}").choice(sorted(members))
        train = tuple(s for s in partner if s not in members)
        folds.append(Fold(session, train, (partner[test],), (test,)))
    return tuple(folds)


def partners(table: UtteranceTable) -> dict[str, str]:
    """Each speaker's partner, in a table of sessions of two, speakers in alphabetical order.

    Raises:
        CorpusError: `not_pairs` if a session has one speaker or more than two; what `sessions` raises.
    """
    partner: dict[str, str] = {}
    for session, members in sessions(table).items():
        if len(members) != 2:
            raise CorpusError(
                "not_pairs",
                f"session {session!r} has {len(members)} speakers ({some(members)}); these folds take sessions of two",
                hint="use leave-one-session-out",
            )
        first, second = members
        partner |= {first: second, second: first}
    return dict(sorted(partner.items()))


def sessions(table: UtteranceTable) -> dict[str, tuple[str, ...]]:
    """The speakers of each recording session (`iemocap/Ses01`), both in alphabetical order.

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
    found: dict[str, set[str]] = defaultdict(set)
    for utterance in table:
        found[f"{utterance.corpus}/{utterance.session}"].add(utterance.speaker)
    owner: dict[str, str] = {}
    for session, members in sorted(found.items()):
        for speaker in sorted(members):
            first = owner.setdefault(speaker, session)
            if first != session:
                raise CorpusError(
                    "speaker_overlap", f"speaker {speaker!r} is in both session {first!r} and {session!r}"
                )
    return {session: tuple(sorted(members)) for session, members in sorted(found.items())}


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
    groups = {fold: test for fold, test in groups.items() if test}
    return folds_of_groups(groups, speakers, n_dev, seed, genders)


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
    return folds_of_groups(groups, speakers, n_dev, seed, genders)


def _all_listed(where: str, groups: Mapping[str, Sequence[str]], speakers: Iterable[str]) -> None:
    unlisted = sorted(set(speakers) - {s for members in groups.values() for s in members})
    if unlisted:
        raise CorpusError(
            "unlisted_speaker", f"{where} gives {len(unlisted)} speakers no fold: {some(unlisted)}"
        )
