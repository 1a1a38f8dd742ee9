"""A comparison of runs as aligned text for a terminal: figures and confusions side by side, then each pair's tests."""

from __future__ import annotations

import math
from collections.abc import Sequence

from voxaffect.comparison import Pair, RunComparison
from voxaffect.evaluation import Evaluation
from voxaffect.stamps import stamped

LINE = 120
"""Confusions stand side by side as far as they fit into so many columns."""


def render(c: RunComparison) -> str:
    """The text of a comparison, figures in percent."""
    parts = [_head(c), _figures(c), _confusions(c), *(_pair(p, len(c.pairs)) for p in c.pairs)]
    if len(c.pairs) > 1:
        parts.append(f"  Holm: p corrected over the {len(c.pairs)} pairs, for each measure on its own")
    text = "\n\n".join(parts)
    return stamped(text) if any(e.optimistic for e in c.evaluations.values()) else text


def _head(c: RunComparison) -> str:
    n = len(c.evaluations)
    lines = [f"  {n} runs on {c.n_shared} utterances"]
    if not c.shares_all:
        sizes = ", ".join(f"{size} of {name}" for name, size in c.sizes.items())
        lines[0] += f" that all of them predict: shared only (of {sizes})"
    lines += [f"  OPTIMISTIC: {name} ({e.optimistic})" for name, e in c.evaluations.items() if e.optimistic]
    return "\n".join(lines)


def _figures(c: RunComparison) -> str:
    width = max(3, *(len(name) for name in c.evaluations))
    measures = list(next(iter(c.evaluations.values())).measures)
    lines = [f"  {'run':{width}}" + "".join(f"  {m:>6}  {'95 % interval':14}" for m in measures)]
    for name, e in c.evaluations.items():
        cells = (
            f"  {100 * m.value:>6.1f}  {f'{100 * m.low:.1f} to {100 * m.high:.1f}':14}"
            for m in e.measures.values()
        )
        lines.append(f"  {name:{width}}" + "".join(cells))
    first = next(iter(c.evaluations.values())).ua
    return "\n".join(
        [*(line.rstrip() for line in lines), f"  intervals resample {first.n_clusters} {first.clusters}"]
    )


def _confusions(c: RunComparison) -> str:
    """Row percents of each run, as many runs beside each other as fit."""
    blocks = [_confusion(name, e) for name, e in c.evaluations.items()]
    rows: list[list[list[str]]] = [[]]
    for block in blocks:
        if rows[-1] and sum(len(b[0]) + 3 for b in (*rows[-1], block)) > LINE:
            rows.append([])
        rows[-1].append(block)
    return "\n\n".join(map(_beside, rows))


def _confusion(name: str, e: Evaluation) -> list[str]:
    short = {label: label[:4] for label in e.labels}
    width = max(len(label) for label in e.labels)
    lines = [f"{name}, % of the row", f"{'':{width}}" + "".join(f"{short[label]:>6}" for label in e.labels)]
    for label, row in zip(e.labels, e.confusion, strict=True):
        n = sum(row)
        cells = (f"{100 * x / n:>6.1f}" if n else f"{'-':>6}" for x in row)
        lines.append(f"{label:{width}}" + "".join(cells))
    longest = max(map(len, lines))
    return [line.ljust(longest) for line in lines]


def _beside(blocks: Sequence[list[str]]) -> str:
    n = max(map(len, blocks))
    padded = [[*block, *[" " * len(block[0])] * (n - len(block))] for block in blocks]
    return "\n".join("  " + "   ".join(cells).rstrip() for cells in zip(*padded, strict=True))


def _pair(p: Pair, n_pairs: int) -> str:
    text = f"  {p.second} against {p.first}\n" + "\n".join(
        f"  {line}" if line.strip() else line for line in p.tests.render(p.first, p.second).split("\n")
    )
    if n_pairs == 1:
        return text
    values = ", ".join(f"{name} {value:.3g}" for name, value in p.p_holm.items() if not math.isnan(value))
    return f"{text}\n    Holm: p = {values}"
