"""What shortcuts of evaluation buy, in points: one recipe judged honestly and with each shortcut, all else equal.

The arms of the experiment, each a run of as many trainings with the same seeds and the same numbers of utterances:

honest              the recipe as it is: folds of unseen speakers, selection on dev speakers
validation-on-test  the same training speakers; the epoch or grid point is chosen on the test speakers
random-split        utterances dealt out whoever speaks, to parts of the same sizes
unseen-texts        the test speakers' utterances, by models that saw none of their texts: honest, and harder
seen-texts          the same by models that trained on as few utterances, texts seen: what is left is the size

The last two divide the texts into groups and train once for each fold and group, so that every utterance is answered
for with its text unseen. All arms share one preparation. Points are differences on the same utterances, with paired
intervals over speakers.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from voxaffect import metadata
from voxaffect.errors import UsageError
from voxaffect.evaluation import Evaluation
from voxaffect.files import write_json
from voxaffect.loose_folds import RANDOM_SPLIT, SelectedOnTest, UtteranceFold
from voxaffect.part import Part
from voxaffect.predictions import read_run
from voxaffect.protocol_options import AdaptationOptions
from voxaffect.recipe import Recipe
from voxaffect.run import RunFolder
from voxaffect.significance import Comparison, compare
from voxaffect.splits import Fold, Rows
from voxaffect.table import UtteranceTable
from voxaffect.train import (
    Machine,
    Run,
    check_machine,
    check_training_packages,
    collect,
    plan,
    read_tables,
    train_runs,
)

SCHEMA = "voxaffect.cheat-cost/1"
TEXT_GROUPS = 5
"""Groups of texts, of fewer texts as many: a fifth of them unseen at a time leaves most of the training data."""

PRICES: Mapping[str, tuple[str, str]] = {
    "validation on test": ("honest", "validation-on-test"),
    "random split": ("honest", "random-split"),
    "seen texts": ("unseen-texts", "seen-texts"),
    "more utterances": ("seen-texts", "honest"),
}
"""Each shortcut, the arm without it and the arm with it. The last is none: what the text arms lack in size."""


@dataclass(frozen=True)
class Arm:
    """One way of judging the recipe, done: its trainings, the mean number of utterances fitted on, its figures."""

    name: str
    n_trainings: int
    fitted_on: float
    evaluation: Evaluation


@dataclass(frozen=True)
class CheatCost:
    """All arms by name, and the price of each shortcut in `PRICES`; `left_out` says why a shortcut has none."""

    title: str
    arms: Mapping[str, Arm]
    prices: Mapping[str, Comparison]
    left_out: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """What cheat_cost.json holds; figures are fractions of 1."""
        arms = [
            {
                "name": arm.name,
                "trainings": arm.n_trainings,
                "fitted_on": arm.fitted_on,
                **{name: measure.value for name, measure in arm.evaluation.measures.items()},
            }
            for arm in self.arms.values()
        ]
        prices = [
            {"shortcut": name, "without": PRICES[name][0], "with": PRICES[name][1], **price.to_dict()}
            for name, price in self.prices.items()
        ]
        left_out = [{"shortcut": name, "reason": reason} for name, reason in self.left_out.items()]
        return {"schema": SCHEMA, "title": self.title, "arms": arms, "prices": prices, "left_out": left_out}

    def render(self) -> str:
        """The arms and what each shortcut buys, as text for a terminal."""
        from voxaffect.cheat_cost_text import render  # the text needs this class

        return render(self)


def cheat_cost(
    recipe: Recipe,
    run: Path | None = None,
    *,
    text_groups: int = TEXT_GROUPS,
    resume: bool = False,
    device: str = "auto",
    cache_folder: Path | None = None,
    jobs: int = 1,
    quiet: bool = False,
) -> CheatCost:
    """Run `recipe` with each shortcut; the folder `run`, if any, keeps cheat_cost.json, a picture and each arm's run.

    Raises as `voxaffect.train.train`, and UsageError `bad_value` for a recipe that has no honest folds of speakers.
    """
    check_training_packages()
    machine = Machine(device, jobs, cache_folder, quiet)
    check_machine(machine)
    if run is None:
        with tempfile.TemporaryDirectory() as folder:
            return _measured(recipe, Path(folder) / "run", text_groups, machine, resume=False)
    return _measured(recipe, run, text_groups, machine, resume=resume)


def arms_of(
    recipe: Recipe, table: UtteranceTable, text_groups: int = TEXT_GROUPS
) -> tuple[dict[str, tuple[Part, ...]], dict[str, str]]:
    """The parts of each arm, and the reason why a shortcut has none.

    Raises:
        UsageError: `bad_value` for a recipe without folds of speakers, or that takes a shortcut itself.
    """
    if recipe.is_study:
        raise UsageError("bad_value", "cheat-cost takes one recipe with folds, not members or variants")
    honest = plan(recipe, table)
    folds = [part.fold for part in honest]
    if not all(isinstance(fold, Fold) and fold.test for fold in folds):
        raise UsageError(
            "bad_value",
            f"cheat-cost starts from honest folds of speakers, not from {recipe.protocol.folds!r}",
            hint="e.g. --set protocol.folds=leave-one-speaker-out --set protocol.select_on=dev",
        )
    arms: dict[str, tuple[Part, ...]] = {
        "honest": honest,
        "validation-on-test": tuple(
            Part(p.seed, _selected_on_test(f, closed_form=recipe.model_kind == "probe"))
            for p in honest
            if isinstance(f := p.fold, Fold)
        ),
        "random-split": _random_parts(honest, table),
    }
    reason = _no_texts(honest, table)
    if reason:
        return arms, {name: reason for name, pair in PRICES.items() if "seen-texts" in pair}
    unseen, seen = _text_parts(honest, table, text_groups)
    return {**arms, "unseen-texts": unseen, "seen-texts": seen}, {}


def _measured(recipe: Recipe, run: Path, text_groups: int, machine: Machine, *, resume: bool) -> CheatCost:
    table, unlabelled = read_tables(recipe, quiet=machine.quiet)
    arms, left_out = arms_of(recipe, table, text_groups)
    folder = RunFolder(run)
    folder.start(recipe, resume=resume)
    with folder.lock():
        runs = {
            name: Run(_recipe_of(recipe, name), RunFolder(run / name), parts) for name, parts in arms.items()
        }
        for arm in runs.values():
            arm.start(resume=True)
        train_runs(list(runs.values()), table, unlabelled, machine, recipe.name)
        known = metadata.of_table(table)
        found = {name: _arm(name, arm, table, known) for name, arm in runs.items()}
        predictions = {name: read_run(run / name) for name in runs}
        prices = {
            name: compare(predictions[without], predictions[with_it])
            for name, (without, with_it) in PRICES.items()
            if name not in left_out
        }
        result = CheatCost(recipe.title or recipe.name, found, prices, left_out)
        write_json(run / "cheat_cost.json", result.to_dict())
        _draw(result, run / "cheat_cost.png")
    return result


def _arm(name: str, run: Run, table: UtteranceTable, known: metadata.Metadata) -> Arm:
    evaluation = collect(run, known)
    assert evaluation is not None  # every arm tests
    closed_form = run.recipe.model_kind == "probe"  # which learns the dev utterances too, once it has chosen
    sizes = []
    for part in run.parts:
        rows = part.fold.rows(table)
        sizes.append(
            len(rows.train) + (len(rows.dev) if closed_form and not part.fold.selects_on_test else 0)
        )
    return Arm(name, len(sizes), sum(sizes) / len(sizes), evaluation)


def _recipe_of(recipe: Recipe, arm: str) -> Recipe:
    """The recipe as the run of `arm` keeps it; the folds themselves are in its folds.json."""
    protocol = recipe.protocol
    if arm == "validation-on-test":
        protocol = replace(protocol, select_on="test", allow_test_selection=True)
    elif arm == "random-split":
        protocol = replace(protocol, folds="random", allow_speaker_overlap=True)
    title = f"{recipe.title or recipe.name}: {arm.replace('-', ' ')}"
    plain = AdaptationOptions()  # adapted answers are no part of any arm
    return replace(recipe, name=f"{recipe.name}/{arm}", title=title, protocol=protocol, adaptation=plain)


def _selected_on_test(fold: Fold, *, closed_form: bool) -> SelectedOnTest:
    """The dev speakers are left out, but for a closed form, which is fitted on them as well when it is honest."""
    return SelectedOnTest(fold.name, fold.train + (fold.dev if closed_form else ()), fold.test)


def _random_parts(honest: Sequence[Part], table: UtteranceTable) -> tuple[Part, ...]:
    """Of each seed, the tested utterances dealt out to folds of the same sizes; the others train and select."""
    parts = []
    for seed, of_seed in _by_seed(honest).items():
        rows = [part.fold.rows(table) for part in of_seed]
        rng = random.Random(f"random split {seed}")
        tested = sorted({row for r in rows for row in r.test}, key=lambda row: table.ids[row])
        pool = sorted({row for r in rows for part in r for row in part}, key=lambda row: table.ids[row])
        rng.shuffle(tested)
        for part, sizes in zip(of_seed, rows, strict=True):
            test, tested = tested[: len(sizes.test)], tested[len(sizes.test) :]
            others = sorted(set(pool) - set(test), key=lambda row: table.ids[row])
            rng.shuffle(others)
            dev, train = others[: len(sizes.dev)], others[len(sizes.dev) :][: len(sizes.train)]
            drawn = Rows(*(tuple(sorted(part)) for part in (train, dev, test)))
            parts.append(Part(seed, UtteranceFold.of(RANDOM_SPLIT + part.fold.name, table, drawn)))
    return tuple(parts)


def _text_parts(
    honest: Sequence[Part], table: UtteranceTable, n_groups: int
) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """For each fold and group of texts: training without the tested texts, and on as many utterances with them."""
    groups = text_groups_of(table, n_groups)
    unseen, seen = [], []
    for part in honest:
        rows = part.fold.rows(table)
        for number, texts in enumerate(groups, start=1):
            test = tuple(row for row in rows.test if table[row].text in texts)
            if not test:
                continue
            tested = {table[row].text for row in test}
            train, dev = (
                tuple(row for row in p if table[row].text not in tested) for p in (rows.train, rows.dev)
            )
            rng = random.Random(f"seen texts {part.seed} {part.fold.name} {number}")
            alike = Rows(
                _same_size(train, rows.train, table, rng), _same_size(dev, rows.dev, table, rng), test
            )
            name = f"{part.fold.name}, texts {number} of {len(groups)}"
            unseen.append(Part(part.seed, UtteranceFold.of(name, table, Rows(train, dev, test))))
            seen.append(Part(part.seed, UtteranceFold.of(name, table, alike)))
    return tuple(unseen), tuple(seen)


def text_groups_of(table: UtteranceTable, n: int) -> tuple[frozenset[str], ...]:
    """The texts of `table` in `n` groups (fewer if there are fewer texts) of about as many utterances each."""
    counts = Counter(u.text for u in table if u.text is not None)
    groups: list[set[str]] = [set() for _ in range(min(n, len(counts)))]
    sizes = [0] * len(groups)
    for text, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        smallest = sizes.index(min(sizes))
        groups[smallest].add(text)
        sizes[smallest] += count
    return tuple(map(frozenset, groups))


def _same_size(
    like: Sequence[int], rows: Sequence[int], table: UtteranceTable, rng: random.Random
) -> tuple[int, ...]:
    """As many of `rows` as `like` has, of each class the same number."""
    wanted = Counter(table[row].label for row in like)
    of_label: dict[str, list[int]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: table.ids[row]):
        of_label[table[row].label].append(row)
    return tuple(sorted(row for label, n in wanted.items() for row in rng.sample(of_label[label], n)))


def _no_texts(honest: Sequence[Part], table: UtteranceTable) -> str:
    """Why texts have no price here; "" where they have one."""
    without = sum(u.text is None for u in table)
    if without:
        return f"the corpus does not say what is said in {without} of {len(table)} utterances"
    if len({u.text for u in table}) < 2:
        return "all utterances have one text"
    seen = 0
    for part in honest:
        rows = part.fold.rows(table)
        trained = {table[row].text for row in rows.train}
        seen += sum(table[row].text in trained for row in rows.test)
    return "" if seen else "no test utterance has a text that is in training: they are unseen already"


def _by_seed(parts: Sequence[Part]) -> dict[int, list[Part]]:
    of_seed: dict[int, list[Part]] = defaultdict(list)
    for part in parts:
        of_seed[part.seed].append(part)
    return dict(of_seed)


def _draw(result: CheatCost, path: Path) -> None:
    from voxaffect.plots import price_figure, save

    bars = {
        name: {
            measure: (d.value, d.low, d.high)
            for measure, d in price.difference.items()
            if measure != "macro-F1"
        }
        for name, price in result.prices.items()
    }
    save(price_figure(bars, result.title), path)
