"""An evaluation as aligned text for a terminal, figures in percent."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from voxaffect.evaluation import Evaluation, GroupFigures
from voxaffect.significance import Interval
from voxaffect.stamps import stamped

ALL_SPEAKERS = 12
"""Up to so many speakers are all printed; of more, the worst ones."""
WORST_SPEAKERS = 5


def render(e: Evaluation, title: str = "") -> str:
    """The text of an evaluation: measures, guesses, classes, confusion, speakers, folds, groups and notices.

    Where the figures are OPTIMISTIC the title says so, and every line that holds a figure.
    """
    parts = [
        _head(e, e.titled(title)),
        _measures(e),
        _without_audio(e),
        _classes(e),
        _confusion(e),
        _speakers(e),
    ]
    if len(e.folds) > 1:
        parts.append(_table("fold", e.folds, mean=True))
    if e.groups:
        parts.append(_table("group", e.groups))
    parts.append("\n".join(f"  note: {notice}" for notice in e.notices))
    text = "\n\n".join(part for part in parts if part)
    return stamped(text) if e.optimistic else text


def _span(m: Interval) -> str:
    return f"{100 * m.low:.1f} to {100 * m.high:.1f}"


def _percent(value: float, width: int = 6) -> str:
    return f"{'-' if math.isnan(value) else f'{100 * value:.1f}':>{width}}"


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


def _head(e: Evaluation, title: str) -> str:
    parts = [_count(e.n_utterances, "utterance")]
    parts += [_count(len(e.speakers), "speaker")] if e.speakers else []
    parts += [_count(len(e.labels), "class", "classes")]
    parts += [_count(len(e.folds), "fold")] if e.folds else []
    parts += [_count(len(e.seeds), "seed")]
    corpora = f" of {', '.join(e.corpora)}" if e.corpora else ""
    return (f"{title}\n" if title else "") + f"  {parts[0]}{corpora}; {', '.join(parts[1:])}"


def _measures(e: Evaluation) -> str:
    several = len(e.seeds) > 1
    guess = f"always {e.baseline.label}"
    lines = [f"  {'':8}      %  95 % interval   {guess}{'   std and range over seeds' if several else ''}"]
    for name, m in e.measures.items():
        always = _percent(e.baseline.measures[name], len(guess))
        line = f"  {name:8} {_percent(m.value)}  {_span(m):13}   {always}"
        if several:
            std, low, high = e.spread(name)
            line += f"   {100 * std:.1f}   {100 * low:.1f} to {100 * high:.1f}"
        lines.append(line)
    if e.ece is not None:
        lines.append(f"  {'ECE':8} {_percent(e.ece)}  how far confidence is from being right, on average")
    lines.append(f"  intervals resample {e.ua.n_clusters} {e.ua.clusters}")
    return "\n".join(lines)


def _without_audio(e: Evaluation) -> str:
    if not e.without_audio:
        return ""
    names = list(e.measures)
    width = max(len("without audio"), *(len(g.name) for g in e.without_audio))
    lines = [f"  {'without audio':{width}}{''.join(f'{name:>10}' for name in names)}"]
    for g in e.without_audio:
        rare = f"   known for {100 * g.known:.0f} %" if g.known < 1 else ""
        lines.append(f"  {g.name:{width}}{''.join(_percent(g.measures[name], 10) for name in names)}{rare}")
    return "\n".join(lines)


def _classes(e: Evaluation) -> str:
    width = max(5, *(len(label) for label in e.labels))
    lines = [f"  {'class':{width}}      n  recall  precision     F1"]
    for c in e.classes:
        lines.append(
            f"  {c.label:{width}} {c.n:>6}  {_percent(c.recall)}  {_percent(c.precision, 9)} {_percent(c.f1)}"
        )
    return "\n".join(lines)


def _confusion(e: Evaluation) -> str:
    width = max(5, *(len(label) for label in e.labels))
    lines = [
        f"  {'truth':{width}}   heard as, % of the row",
        f"  {'':{width}}" + "".join(f"  {x:>{width}}" for x in e.labels),
    ]
    for label, row in zip(e.labels, e.confusion, strict=True):
        n = sum(row)
        cells = (_percent(x / n if n else math.nan, width) for x in row)
        lines.append(f"  {label:{width}}" + "".join(f"  {cell}" for cell in cells))
    return "\n".join(lines)


def _speakers(e: Evaluation) -> str:
    if not e.worst_speaker or len(e.speakers) < 2:
        return ""
    ranked = sorted(e.speakers, key=lambda s: (s.ua, s.wa, s.name))
    if len(ranked) <= ALL_SPEAKERS:
        return _table("speaker", ranked)
    median = float(np.median([s.ua for s in ranked]))
    span = f"UA {100 * ranked[0].ua:.1f} to {100 * ranked[-1].ua:.1f}, median {100 * median:.1f}"
    return f"{_table('worst speakers', ranked[:WORST_SPEAKERS])}\n  of {len(ranked)} speakers: {span}"


def _table(head: str, rows: Iterable[GroupFigures], *, mean: bool = False) -> str:
    rows = list(rows)
    width = max(len(head), *(len(r.name) for r in rows))
    intervals = any(r.interval for r in rows)
    lines = [f"  {head:{width}}      n      UA      WA{'  95 % interval of UA' if intervals else ''}"]
    for r in rows:
        end = _span(r.interval) if r.interval else "#" * round(20 * r.ua)
        lines.append(f"  {r.name:{width}} {r.n:>6}  {_percent(r.ua)}  {_percent(r.wa)}  {end}")
    if mean:
        ua, wa = float(np.mean([r.ua for r in rows])), float(np.mean([r.wa for r in rows]))
        lines.append(f"  {'mean':{width}} {'':>6}  {_percent(ua)}  {_percent(wa)}")
    return "\n".join(lines)
