"""An ensemble as aligned text for a terminal: its members' table, the vote, and the test of what it gains."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from voxaffect.ensemble import Ensemble, MemberFigures
from voxaffect.stamps import stamped

TITLES = {"majority": "majority vote", "mean": "mean of probabilities", "weighted": "weighted mean"}
MOST_NAMES = 8
"""Up to so many training speakers stand in the table by name."""


def render(e: Ensemble) -> str:
    """The text of an ensemble, figures in percent."""
    n, seeds = len(set(e.predictions.ids)), len(e.predictions.distinct_seeds)
    speakers = len(set(e.predictions.speakers) - {""})
    head = f"  {len(e.members)} members on {n} utterances of {speakers} speakers, {_count(seeds, 'seed')}"
    stamp = [f"  OPTIMISTIC: {', '.join(e.optimistic)}"] if e.optimistic else []
    text = "\n".join([*stamp, head, "", *_members(e), "", *_gain(e), *_notices(e)])
    return stamped(text) if e.optimistic else text


def _members(e: Ensemble) -> list[str]:
    title, measures = TITLES[e.vote], list(e.figures)
    trained = [_trained(m) for m in e.members]
    width = max(len(title), *(len(m.name) for m in e.members))
    wide = max(17, *map(len, trained))
    last = "  weight" if e.vote == "weighted" else ""
    lines = [
        f"  {'member':{width}}  {'training speakers':{wide}}{''.join(f'{x:>9}' for x in measures)}{last}"
    ]
    for m, speakers in zip(e.members, trained, strict=True):
        weight = f"{m.weight:>8.3f}" if last else ""
        lines.append(f"  {m.name:{width}}  {speakers:{wide}}{_row(m.measures[x] for x in measures)}{weight}")
    for word in ("mean", "std", "low", "high"):
        values = _row(getattr(e.spread[x], word) for x in measures)
        lines.append(f"  {word:{width}}  {'':{wide}}{values}")
    return [*lines, f"  {title:{width}}  {'':{wide}}{_row(e.figures[x] for x in measures)}"]


def _gain(e: Ensemble) -> list[str]:
    lines = [f"  {'over the mean member':20}  points  95 % interval        p"]
    for name, g in e.gain.measures.items():
        span = f"{100 * g.difference.low:+.1f} to {100 * g.difference.high:+.1f}"
        lines.append(f"  {name:20}  {100 * g.difference.value:>+6.1f}  {span:16}{g.p:>6.3f}")
    m = e.gain.mcnemar
    lines.append(
        f"  against {e.gain.member}, the member of median WA: right alone vote {m.only_first}, {e.gain.member} "
        f"{m.only_second}: exact McNemar p = {m.p:.3g}"
    )
    kappas = [k for i, row in enumerate(e.pairwise_kappa) for k in row[:i] if not math.isnan(k)]
    alike = f"kappa between two of them {np.mean(kappas):.2f} on average" if kappas else "kappa undefined"
    ties = f"; {_count(e.ties, 'tie')}" if e.vote == "majority" else ""
    lines.append(f"  {100 * e.agreement:.1f} % of the members agree with the vote, {alike}{ties}")
    return lines


def _notices(e: Ensemble) -> list[str]:
    first = next(iter(e.gain.measures.values())).difference
    notices = [f"intervals resample {first.n_clusters} {first.clusters}"]
    if not first.reliable:
        notices[0] += ": too few to speak of new speakers"
    if e.trusted:
        notices.append(
            f"nothing but their word says that these are blind to the speakers: {', '.join(e.trusted)}"
        )
    return [f"  note: {notice}" for notice in notices]


def _trained(m: MemberFigures) -> str:
    if not m.folds:
        return "unknown"
    speakers = [s.partition("/")[2] or s for s in m.train]
    if m.folds > 1 or len(speakers) > MOST_NAMES:
        return f"{len(speakers)} speakers" + (f" in {m.folds} folds" if m.folds > 1 else "")
    return " ".join(speakers)


def _row(values: Iterable[float]) -> str:
    return "".join(f"{100 * x:>9.1f}" for x in values)


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"
