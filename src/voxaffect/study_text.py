"""A study as aligned text for a terminal: members' tables, variants side by side, paired tests."""

from __future__ import annotations

from voxaffect.significance import MEASURES, Comparison, Interval
from voxaffect.study import Study


def render(study: Study) -> str:
    """The text of a study, figures in percent."""
    parts = []
    for name, ensemble in study.ensembles.items():
        parts.append(f"{name or study.title}\n{ensemble.render()}")
    if study.evaluations and not (study.ensembles and not study.comparisons):
        parts.append(f"{study.title}\n{_systems(study)}")
    if study.comparisons:
        parts.append(_comparisons(study))
    return "\n\n".join(parts)


def _systems(study: Study) -> str:
    width = max(len("variant"), *map(len, study.evaluations))
    titles = "".join(f"{name:>9}  {'95 % interval':13}" for name in MEASURES)
    lines = [f"  {'variant':{width}}{titles}"]
    for name, evaluation in study.evaluations.items():
        cells = "".join(f"{100 * m.value:>9.1f}  {_span(m):13}" for m in evaluation.measures.values())
        lines.append(f"  {name:{width}}{cells}".rstrip())
    first = next(iter(study.evaluations.values()))
    lines.append(
        f"  {first.n_utterances} utterances; intervals resample {first.ua.n_clusters} {first.ua.clusters}"
        + ("" if first.ua.reliable else ": too few to speak of new speakers")
    )
    return "\n".join(lines)


def _comparisons(study: Study) -> str:
    """One comparison in full; several as a table."""
    first = next(iter(study.evaluations))
    if len(study.comparisons) == 1:
        ((second, comparison),) = study.comparisons.items()
        return comparison.render(first, second)
    width = max(len(f"minus {first}"), *map(len, study.comparisons))
    head = "".join(f"{name:>9}  {'95 % interval':16}{'p':>6}" for name in ("UA", "WA"))
    lines = [f"  {f'minus {first}':{width}}{head}   McNemar p"]
    lines += [f"  {name:{width}}{_row(comparison)}" for name, comparison in study.comparisons.items()]
    lines.append(f"  {len(study.comparisons)} tests: of twenty without any difference, one has p under 0.05")
    return "\n".join(lines)


def _row(comparison: Comparison) -> str:
    cells = "".join(
        f"{100 * d.value:>+9.1f}  {f'{100 * d.low:+.1f} to {100 * d.high:+.1f}':16}{comparison.p[name]:>6.3f}"
        for name, d in comparison.difference.items()
        if name in ("UA", "WA")
    )
    return f"{cells}{comparison.mcnemar.p:>12.3g}"


def _span(m: Interval) -> str:
    return f"{100 * m.low:.1f} to {100 * m.high:.1f}"
