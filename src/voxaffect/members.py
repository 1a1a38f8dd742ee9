"""Members of an ensemble that train on different speakers, and the fixed speakers that judge them all.

Which speakers each member sees stands in the recipe, or is drawn here by seed and then written into the run's
recipe.json and folds.json, where it can be read and repeated.
"""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Mapping, Sequence

from voxaffect.errors import CorpusError, UsageError
from voxaffect.protocol_options import MemberOptions
from voxaffect.protocols import sessions
from voxaffect.recipe import Recipe
from voxaffect.splits import Fold, by_gender, genders_of, some
from voxaffect.table import UtteranceTable

FOLD = "test"
"""What the one fold of every member is called: all answer for the same speakers."""
N_DRAWS = 500
"""Random choices of which the one most unlike the members before becomes the next member."""


def resolved(recipe: Recipe, table: UtteranceTable) -> Recipe:
    """`recipe` with every member's speakers named; itself where they are, or where it has no members.

    Raises:
        CorpusError: `unknown_speaker` if one is not in the table, and what `Fold` raises.
        UsageError: `one_member`, and what `draw_members` raises.
    """
    protocol = recipe.protocol
    if protocol.folds != "members":
        return recipe
    if protocol.members:
        _check_present("test_speakers", protocol.test_speakers, table)
        drawn = draw_members(
            table,
            protocol.members,
            protocol.train_speakers,
            protocol.dev_speakers,
            test=protocol.test_speakers,
            seed=protocol.seeds[0],
        )
        named = dataclasses.replace(protocol, members=0, train_speakers=0)
        recipe = dataclasses.replace(recipe, protocol=named, members=drawn)
    if len(recipe.members) < 2:
        raise UsageError(
            "one_member",
            f"an ensemble needs two members or more, the recipe has {list(recipe.members)}",
            hint="add tables [members.NAME]",
        )
    for name in recipe.members:
        _check_present(f"member {name!r}", member_fold(recipe, name).speakers, table)
    return recipe


def member_fold(recipe: Recipe, name: str, fold: str = FOLD) -> Fold:
    """The `fold` of the member `name`: its own speakers train and select, the recipe's test speakers test."""
    member = recipe.members[name]
    try:
        return Fold(fold, member.train, member.dev, recipe.protocol.test_speakers)
    except CorpusError as error:
        raise CorpusError(error.code, f"member {name!r}: {error.message}") from None


def draw_members(
    table: UtteranceTable, n: int, n_train: int, n_dev: int, *, test: Sequence[str], seed: int = 0
) -> dict[str, MemberOptions]:
    """`n` members `m1`, `m2` … of `n_train` and `n_dev` speakers each, no two with the same training speakers.

    Each member takes half of each gender where there are two, of each the speakers least used so far, and of
    `N_DRAWS` such choices the one that shares least with any member before it. Whoever shares a session with a
    test speaker is left out: the two are heard in one dialogue.

    Raises:
        UsageError: `too_few_speakers`.
    """
    genders = genders_of(table)
    partners: set[str] = set()
    if all(u.session is not None for u in table):
        partners = {s for members in sessions(table).values() if set(members) & set(test) for s in members}
    pool = [s for s in table.speakers if s not in {*test, *partners}]
    if n_train + n_dev > len(pool):
        raise UsageError(
            "too_few_speakers",
            f"{n_train} train and {n_dev} dev speakers are more than the {len(pool)} who neither test nor share a "
            "session with one who does",
        )
    rng = random.Random(f"members {seed}")
    trains, devs = Counter(dict.fromkeys(pool, 0)), Counter(dict.fromkeys(pool, 0))
    members: dict[str, MemberOptions] = {}
    for i in range(n):
        train = _next(pool, n_train, trains, [m.train for m in members.values()], rng, genders)
        if train is None:
            raise UsageError(
                "too_few_speakers",
                f"{len(pool)} speakers do not give {n} different choices of {n_train}",
                hint="ask for fewer members, or another number of train_speakers",
            )
        others = [s for s in pool if s not in train]
        dev = _next(others, n_dev, devs, [], rng, genders)
        assert dev is not None  # nothing is taken yet
        trains.update(train)
        devs.update(dev)
        members[f"m{i + 1}"] = MemberOptions(train, dev)
    return members


def fold_members(
    fold: Fold, n: int, n_dev: int, *, genders: Mapping[str, str] | None = None, seed: int = 0
) -> tuple[Fold, ...]:
    """`fold` as each of `n` members has it: other `n_dev` of those who do not test select, all others train.

    Of each gender those select who have done so least; no two members have the same dev speakers.

    Raises:
        UsageError: `too_few_speakers`.
    """
    pool = sorted((*fold.train, *fold.dev))
    if not 0 < n_dev < len(pool):
        raise UsageError(
            "too_few_speakers",
            f"fold {fold.name!r} has {len(pool)} speakers who do not test; {n_dev} dev speakers leave none to train on",
        )
    rng = random.Random(f"members {seed} {fold.name}")
    use = Counter(dict.fromkeys(pool, 0))
    taken: list[tuple[str, ...]] = []
    for _ in range(n):
        dev = _next(pool, n_dev, use, taken, rng, genders or {}, n_draws=50)
        if dev is None:
            raise UsageError(
                "too_few_speakers",
                f"the {len(pool)} speakers of fold {fold.name!r} who do not test do not give {n} different choices "
                f"of {n_dev} dev speakers",
                hint="ask for fewer members, or another number of dev_speakers",
            )
        use.update(dev)
        taken.append(dev)
    return tuple(Fold(fold.name, tuple(s for s in pool if s not in dev), dev, fold.test) for dev in taken)


def _next(
    pool: Sequence[str],
    n: int,
    use: Mapping[str, int],
    taken: Sequence[tuple[str, ...]],
    rng: random.Random,
    genders: Mapping[str, str],
    n_draws: int = N_DRAWS,
) -> tuple[str, ...] | None:
    """The choice of `n` that shares least with any of `taken`: of the least used, else of all; None if none is free."""
    for usage in (use, {}):
        choices = {_draw(pool, n, usage, rng, genders): None for _ in range(n_draws)}
        free = [choice for choice in choices if choice not in taken]
        if free:
            return min(free, key=lambda choice: max((len({*choice} & {*t}) for t in taken), default=0))
    return None


def _draw(
    pool: Sequence[str], n: int, use: Mapping[str, int], rng: random.Random, genders: Mapping[str, str]
) -> tuple[str, ...]:
    """`n` of `pool`, the genders in turn, a random one first; of each gender the least used, equals at random."""
    queues = [
        sorted(queue, key=lambda s: (-use.get(s, 0), rng.random())) for queue in by_gender(pool, genders)
    ]
    rng.shuffle(queues)
    chosen: list[str] = []
    while len(chosen) < n:
        chosen += [queue.pop() for queue in queues if queue][: n - len(chosen)]
    return tuple(sorted(chosen))


def _check_present(what: str, speakers: Sequence[str], table: UtteranceTable) -> None:
    absent = [s for s in speakers if s not in table.speakers]
    if absent:
        raise CorpusError(
            "unknown_speaker",
            f"{what}: no utterance of {some(absent)} is in the table",
            hint=f"it has {some(table.speakers)}",
        )
