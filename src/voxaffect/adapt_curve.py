"""What adaptation brings with how much speech, and whether it survives a speaker with a single emotion.

The recipe's adapted probes are fitted once for each fold and seed. Then the test units are enrolled with so many
seconds of their own clips, drawn several times, and with clips of a single emotion only. Two figures tell of these:
of a speaker who has but one, each clip is judged after enrolling the clips of its own class; and all clips are
judged after enrolling those of one class, averaged over classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from voxaffect import plots
from voxaffect.cache import ArrayCache
from voxaffect.errors import UsageError
from voxaffect.files import write_json
from voxaffect.metrics import confusion, ua
from voxaffect.part import Part, adapted_statistics, fit_adapted, seconds_of
from voxaffect.preparation import Encoders, needs_of, prepare
from voxaffect.recipe import Recipe
from voxaffect.run import check_unused
from voxaffect.train import check_training_packages, plan, read_table
from voxaffect.transduction import NAME, adapted_answers, draw, rows_of, unit_of

if TYPE_CHECKING:
    from voxaffect.examples import ExampleStore

SCHEMA = "voxaffect.adapt-curve/1"
SECONDS = (5.0, 10.0, 20.0, 40.0)
DRAWS = 5
"""How often clips are drawn for each number of seconds."""


@dataclass(frozen=True)
class AdaptCurve:
    """UA by how the test units were enrolled, means over seeds; `points` by seconds, 0 being the plain answer.

    `everything`: all of a unit's test clips, `mean_seconds` of them. `same_class`: each clip after enrolling those of
    its own class. `other_class`: all clips after enrolling one class, averaged over classes. `spread` is the
    standard deviation over draws and seeds of each point.
    """

    name: str
    title: str
    unit: str
    n_utterances: int
    n_units: int
    seeds: tuple[int, ...]
    draws: int
    points: dict[float, float]
    spread: dict[float, float]
    everything: float
    mean_seconds: float
    same_class: float
    other_class: float

    @property
    def plain(self) -> float:
        """UA without adaptation."""
        return self.points[0.0]

    def to_dict(self) -> dict[str, Any]:
        """JSON values of schema `voxaffect.adapt-curve/1`, UA as fractions of 1."""
        points = [
            {"seconds": s, "ua": value, "std": self.spread[s], "plain": s == 0}
            for s, value in self.points.items()
        ]
        return {
            "schema": SCHEMA,
            "what": NAME,
            "name": self.name,
            "title": self.title,
            "unit": self.unit,
            "utterances": self.n_utterances,
            "units": self.n_units,
            "seeds": list(self.seeds),
            "draws": self.draws,
            "points": points,
            "all": {"mean_seconds": self.mean_seconds, "ua": self.everything},
            "one_class": {"judged_on_the_same": self.same_class, "judged_on_all": self.other_class},
        }

    def render(self) -> str:
        """Aligned text for a terminal, in percent."""
        lines = [
            f"{self.title or self.name}",
            f"  {self.n_utterances} test utterances, {self.n_units} {self.unit}s; {NAME}, but for the first line",
            "",
            f"  {'seconds enrolled':<34}    UA  over plain",
            f"  {'0, plain':<34} {100 * self.plain:5.1f}",
        ]
        rows = [(f"{s:g}", v) for s, v in self.points.items() if s]
        rows += [
            (f"all, {self.mean_seconds:.0f} on average", self.everything),
            ("one emotion, judged on the same", self.same_class),
            ("one emotion, judged on all", self.other_class),
        ]
        lines += [f"  {words:<34} {100 * v:5.1f}  {100 * (v - self.plain):+5.1f}" for words, v in rows]
        return "\n".join(lines)


def adapt_curve(
    recipe: Recipe,
    output: Path | None = None,
    *,
    seconds: Sequence[float] = SECONDS,
    draws: int = DRAWS,
    cache_folder: Path | None = None,
    quiet: bool = False,
) -> AdaptCurve:
    """Fit `recipe` and enrol its test units in all these ways; `output` gets adapt_curve.json and a picture.

    Raises:
        UsageError: `no_adaptation` where the recipe has no [adaptation], `bad_value`, `run_exists`, and what training
            the recipe raises.
    """
    check_training_packages()
    _check(recipe, output, seconds, draws)
    whole = replace(recipe, adaptation=replace(recipe.adaptation, seconds=0.0))
    table = read_table(whole, quiet=quiet)
    parts = [part for part in plan(whole, table) if part.fold.test]
    if not parts:
        raise UsageError("bad_value", "the recipe has no test speakers to adapt to")
    encoders = Encoders()
    store = prepare([whole], [needs_of(whole, encoders)], table, encoders, ArrayCache(cache_folder))[0]
    answers = [
        _Answers(whole, part, store, tuple(seconds), draws)
        for part in tqdm(parts, unit="fold", desc=whole.name, disable=True if quiet else None)
    ]
    curve = _curve(whole, answers, tuple(seconds), draws)
    if output is not None:
        write_json(output / "adapt_curve.json", curve.to_dict())
        plots.save(plots.adaptation_figure(curve.to_dict()), output / "adapt_curve.png")
    return curve


def _check(recipe: Recipe, output: Path | None, seconds: Sequence[float], draws: int) -> None:
    if recipe.adaptation.unit == "none":
        raise UsageError(
            "no_adaptation",
            f"the recipe {recipe.name!r} adapts to nothing",
            hint="add --set adaptation.unit=speaker",
        )
    if recipe.model_kind != "probe":
        raise UsageError(
            "bad_value",
            f"the recipe {recipe.name!r} is no probe; others would be trained anew for every curve",
        )
    if recipe.is_study:
        raise UsageError("bad_value", f"the recipe {recipe.name!r} is a study; name one without variants")
    if draws < 1 or any(not 0 < s < float("inf") for s in seconds):
        raise UsageError("bad_value", "draws must be at least 1 and seconds above 0")
    if output is not None:
        check_unused(output)


class _Answers:
    """The classes that one part answers to its test rows, by how they were enrolled; nothing else is kept of it."""

    def __init__(
        self, recipe: Recipe, part: Part, store: ExampleStore, seconds: tuple[float, ...], draws: int
    ) -> None:
        labelled = store.table.where(lambda u: u.label in store.labels)
        rows = list(part.fold.rows(labelled).test)
        probe, log_probs = fit_adapted(recipe, part, store, rows)
        statistics = adapted_statistics(recipe, store, probe, rows)
        lengths = seconds_of(store, rows)
        units = rows_of([unit_of(store.table[row], recipe.adaptation.unit) for row in rows])
        self.seed, self.truth, self.units = part.seed, store.targets[rows], units
        self.lengths = [float(lengths[own].sum()) for own in units.values()]

        def answered(enrolled: dict[str, np.ndarray], judged: dict[str, np.ndarray]) -> np.ndarray:
            answers = adapted_answers(probe, statistics, log_probs, lengths, enrolled, judged)
            return np.asarray(answers.argmax(axis=1))

        self.plain = log_probs.argmax(axis=1)
        self.everything = answered(units, units)
        self.drawn = {
            s: [
                answered({u: draw(own, lengths, s, rng) for u, own in units.items()}, units)
                for rng in (np.random.default_rng([part.seed, 2, d]) for d in range(draws))
            ]
            for s in seconds
        }
        self.same = self.plain.copy()
        self.by_class: list[tuple[np.ndarray, np.ndarray]] = []
        """For each class: what was answered after enrolling it, and for which rows, those of units that have it."""
        for k in range(len(store.labels)):
            enrolled = {u: own[self.truth[own] == k] for u, own in units.items()}
            judged = {u: own for u, own in units.items() if len(enrolled[u])}
            answer = answered(enrolled, judged)
            self.same[self.truth == k] = answer[self.truth == k]
            reached = np.concatenate([np.zeros(0, np.int64), *judged.values()])
            self.by_class.append((answer[reached], self.truth[reached]))


def _curve(recipe: Recipe, answers: Sequence[_Answers], seconds: tuple[float, ...], draws: int) -> AdaptCurve:
    seeds = recipe.protocol.seeds
    K = len(recipe.data.labels)
    of_seed = [[a for a in answers if a.seed == seed] for seed in seeds]

    def figure(pairs: list[tuple[np.ndarray, np.ndarray]]) -> float:
        answered, truth = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
        return float(ua(confusion(truth, answered, K)))

    plain = [figure([(a.plain, a.truth) for a in group]) for group in of_seed]
    points, spread = {0.0: float(np.mean(plain))}, {0.0: float(np.std(plain))}
    for s in seconds:
        values = [
            figure([(a.drawn[s][d], a.truth) for a in group]) for group in of_seed for d in range(draws)
        ]
        points[s], spread[s] = float(np.mean(values)), float(np.std(values))
    others = [
        [
            figure([a.by_class[k] for a in group])
            for k in range(K)
            if any(len(a.by_class[k][0]) for a in group)
        ]
        for group in of_seed
    ]
    first = of_seed[0]
    return AdaptCurve(
        name=recipe.name,
        title=recipe.title,
        unit=recipe.adaptation.unit,
        n_utterances=sum(len(a.truth) for a in first),
        n_units=sum(len(a.units) for a in first),
        seeds=seeds,
        draws=draws,
        points=points,
        spread=spread,
        everything=float(np.mean([figure([(a.everything, a.truth) for a in g]) for g in of_seed])),
        mean_seconds=float(np.mean([length for a in first for length in a.lengths])),
        same_class=float(np.mean([figure([(a.same, a.truth) for a in g]) for g in of_seed])),
        other_class=float(np.mean([np.mean(values) for values in others])),
    )
