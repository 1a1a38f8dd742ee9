"""Confusion matrices, row percent with counts: systems side by side, members beside their vote; figures by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from voxaffect import metrics
from voxaffect.html_page import Beside, Cell, Content, Part, Section, Table, element, join, paragraph
from voxaffect.predictions import Predictions
from voxaffect.report.system import Source, System, Vote
from voxaffect.report.wording import number, percent

MANY_MEMBERS = 10
"""Of more members than this, only the mean of their matrices is shown."""


def section(source: Source) -> Section:
    """The matrices of all systems, of their members, and the figures by class."""
    labels = source.systems[0].evaluation.labels
    parts: list[Part] = [
        paragraph("Rows are the truth, columns what was heard; percent of the row, and below it the count.")
    ]
    matrices = [_matrix(s.evaluation.confusion, labels, _caption(s, source)) for s in source.systems]
    classes = [_classes(system, source) for system in source.systems]
    parts += [Beside([*matrices, *classes])] if len(matrices) == 1 else [Beside(matrices), Beside(classes)]
    parts += [_members(system, system.vote) for system in source.systems if system.vote]
    return Section("What is taken for what", parts)


def _caption(system: System, source: Source) -> str:
    if len(source.systems) == 1:
        return "All classes, %"
    return f"{system.title}, vote, %" if system.vote else f"{system.title}, %"


def _matrix(counts: npt.ArrayLike, labels: Sequence[str], caption: Content) -> Table:
    matrix = np.asarray(counts, dtype=np.float64)
    rows = []
    for label, row in zip(labels, matrix, strict=True):
        n = row.sum()
        cells: list[Content | Cell] = [label]
        for value in row:
            share = float(value / n) if n else float("nan")
            text = join(percent(share, 0), element("small", number(round(float(value), 1))))
            cells.append(Cell(text, heat=share if n else None))
        rows.append(cells)
    return Table(["", *labels], rows, caption, compact=True)


def _classes(system: System, source: Source) -> Table:
    rows = [
        [c.label, number(c.n), percent(c.recall), percent(c.precision), percent(c.f1)]
        for c in system.evaluation.classes
    ]
    caption = f"{system.title} by class, %" if len(source.systems) > 1 else "By class, %"
    return Table(["class", "n", "recall", "precision", "F1"], rows, caption)


def _members(system: System, vote: Vote) -> Section:
    labels = system.evaluation.labels
    confusions = {m.name: _mean_confusion(m.predictions) for m in vote.members}
    mean = np.mean(list(confusions.values()), axis=0)
    matrices = [
        _matrix(system.evaluation.confusion, labels, "the vote"),
        _matrix(mean, labels, "mean of the members"),
    ]
    if len(confusions) <= MANY_MEMBERS:
        matrices += [_matrix(m, labels, name) for name, m in confusions.items()]
    return Section(f"{system.title}: members beside their vote", [Beside(matrices, dense=True)])


def _mean_confusion(p: Predictions) -> npt.NDArray[np.float64]:
    total = metrics.confusion(p.truth, p.predicted, len(p.labels))
    return total / len(p.distinct_seeds)
