"""What shortcuts buy as aligned text for a terminal, figures in percent and points."""

from __future__ import annotations

from voxaffect.cheat_cost import PRICES, CheatCost
from voxaffect.significance import Comparison
from voxaffect.stamps import OPTIMISTIC

MEASURES = ("UA", "WA")
MEANING = {
    "validation on test": "the epoch or grid point is chosen on the test speakers",
    "random split": "test speakers, and whatever else goes with a recording, are in training",
    "seen texts": "other speakers say the tested texts in training, sizes alike",
    "more utterances": "no shortcut: what the arms with and without seen texts lack in training data",
}


def render(result: CheatCost) -> str:
    """The text of what was measured."""
    parts = [f"{result.title}\n{_arms(result)}", _prices(result), _notes(result)]
    return "\n\n".join(part for part in parts if part)


def _arms(result: CheatCost) -> str:
    width = max(map(len, result.arms))
    lines = [f"  {'arm':{width}}  trainings  fitted on{''.join(f'{name:>8}' for name in MEASURES)}"]
    for arm in result.arms.values():
        figures = "".join(f"{100 * arm.evaluation.measures[name].value:>8.1f}" for name in MEASURES)
        stamp = f"  {OPTIMISTIC}" if arm.evaluation.optimistic else ""
        lines.append(f"  {arm.name:{width}}  {arm.n_trainings:>9}  {arm.fitted_on:>9.1f}{figures}{stamp}")
    return "\n".join(lines)


def _prices(result: CheatCost) -> str:
    width = max(map(len, result.prices))
    head = "".join(f"{name:>8}  {'95 % interval':16}{'p':>6}" for name in MEASURES)
    lines = [f"  {'points bought by':{width}}{head}"]
    lines += [f"  {name:{width}}{_row(price)}" for name, price in result.prices.items()]
    about = next(iter(next(iter(result.prices.values())).difference.values()))
    n = next(iter(result.prices.values())).n_shared
    lines.append(f"  {n} utterances; intervals resample {about.n_clusters} {about.clusters}")
    return "\n".join(lines)


def _row(price: Comparison) -> str:
    cells = ""
    for name in MEASURES:
        d = price.difference[name]
        span = f"{100 * d.low:+.1f} to {100 * d.high:+.1f}"
        cells += f"{100 * d.value:>+8.1f}  {span:16}{price.p[name]:>6.3f}"
    return cells


def _notes(result: CheatCost) -> str:
    lines = [
        f"  {name}: {MEANING[name]} ({PRICES[name][1]} minus {PRICES[name][0]})" for name in result.prices
    ]
    return "\n".join(
        [*lines, *(f"  note: {name} has no price: {why}" for name, why in result.left_out.items())]
    )
