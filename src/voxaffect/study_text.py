"""A study as aligned text for a terminal: members' tables, then the variants with their paired tests."""

from __future__ import annotations

from voxaffect.comparison import Pair, RunComparison
from voxaffect.evaluation import Evaluation
from voxaffect.stamps import stamped
from voxaffect.study import Study

MEASURES = ("UA", "WA")


def render(study: Study) -> str:
    """The text of a study, figures in percent. Two variants are compared in full, of more each with the first."""
    parts = [f"{name or study.title}\n{ensemble.render()}" for name, ensemble in study.ensembles.items()]
    if study.comparison is not None:
        text = study.comparison.render() if len(study.comparison.pairs) == 1 else _table(study.comparison)
        parts.append(f"{study.title}\n{text}")
    return "\n\n".join(parts)


def _table(c: RunComparison) -> str:
    first, *others = c.evaluations
    width = max(len(f"minus {first}"), *map(len, c.evaluations))
    lines = [
        f"  {'variant':{width}}" + "".join(f"{name:>8}  {'95 % interval':16}" for name in MEASURES).rstrip()
    ]
    lines += [f"  {name:{width}}{_figures(e)}".rstrip() for name, e in c.evaluations.items()]
    head = "".join(f"{name:>8}  {'95 % interval':16}{'p':>6}" for name in MEASURES)
    lines += ["", f"  {f'minus {first}':{width}}{head}  Holm, UA"]
    lines += [
        f"  {p.second:{width}}{_differences(p)}" for p in c.pairs if p.first == first and p.second in others
    ]
    ua = c.evaluations[first].ua
    lines += [
        f"  {c.n_shared} utterances; intervals resample {ua.n_clusters} {ua.clusters}"
        + ("" if ua.reliable else ": too few to speak of new speakers"),
        f"  Holm: p corrected over all {len(c.pairs)} pairs of variants; all of them are in comparison.json",
    ]
    stamps = [f"  OPTIMISTIC: {name} ({e.optimistic})" for name, e in c.evaluations.items() if e.optimistic]
    text = "\n".join([*stamps, *lines])
    return stamped(text) if stamps else text


def _figures(e: Evaluation) -> str:
    values = (e.measures[name] for name in MEASURES)
    return "".join(f"{100 * m.value:>8.1f}  {f'{100 * m.low:.1f} to {100 * m.high:.1f}':16}" for m in values)


def _differences(pair: Pair) -> str:
    cells = ""
    for name in MEASURES:
        d = pair.tests.difference[name]
        span = f"{100 * d.low:+.1f} to {100 * d.high:+.1f}"
        cells += f"{100 * d.value:>+8.1f}  {span:16}{pair.tests.p[name]:>6.3f}"
    return f"{cells}{pair.p_holm['UA']:>10.3f}"
