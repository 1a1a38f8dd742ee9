"""The audit of the splits: what test utterances share with those that trained and selected; the folds themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from voxaffect.html_page import Cell, Content, Part, Section, Table, paragraph
from voxaffect.predictions import Predictions
from voxaffect.report.overlaps import KINDS, Overlap, overlaps
from voxaffect.report.system import Source, System
from voxaffect.report.wording import count, listed, number, percent, range_of, shortened
from voxaffect.stamps import plain_fold
from voxaffect.trainings import Training

MEANING = {
    "speaker": "the same person",
    "session": "recorded together, e.g. the other actor of a dialogue",
    "dialogue": "the same conversation",
    "text": "the same words",
    "take": "the same words by the same person with the same emotion",
}


def section(source: Source) -> Section:
    """What is shared, for each system; said once where all systems have the same folds."""
    inner = [_of_system(system) for system in source.systems]
    if all(parts == inner[0] for parts in inner):
        return Section("Split audit", inner[0])
    named = zip(source.systems, inner, strict=True)
    return Section("Split audit", [Section(system.title, parts) for system, parts in named])


def _of_system(system: System) -> list[Part]:
    if not system.all_trainings:
        return [
            paragraph("Nobody can say what the test utterances share with training: there is no folds.json.")
        ]
    found = overlaps(system.all_trainings, system.facts)
    if not found:
        return [paragraph("There is nothing to audit: no fold tests anybody, or no utterance is described.")]
    kinds = list(dict.fromkeys(o.kind for o in found))
    rows: list[list[Content | Cell]] = []
    for kind in kinds:
        of_kind = {o.part: o for o in found if o.kind == kind}
        rows.append([kind, MEANING[kind], *(_cell(of_kind[part]) for part in ("train", "dev"))])
    missing = [kind for kind in KINDS if kind not in kinds]
    examples = {o.kind: o.example for o in reversed(found) if o.example}
    notes = [f"For example: {'; '.join(f'{k} “{examples[k]}”' for k in kinds if k in examples)}."] * bool(
        examples
    )
    notes += [f"Not known: {', '.join(missing)} (utterances.csv would say)."] * bool(missing)
    parts: list[Part] = [
        Table(
            ["shared", "which means", "with training", "with selection"],
            rows,
            "What test utterances share, over all trainings",
            align="llrr",
            note=" ".join(notes),
        )
    ]
    return parts if system.vote else [*parts, _folds(system)]


def _cell(o: Overlap) -> Content | Cell:
    if not o.known:
        return "unknown"
    if not o.shared:
        return f"none of {number(o.known)}"
    words = (
        f"{percent(o.shared / o.known)} % of {number(o.known)}, {o.folds} of {count(o.of_folds, 'training')}"
    )
    return Cell(words, strong=True)


def _folds(system: System) -> Table:
    tested = [t for t in system.trainings if t.test]
    names = shortened(s for t in tested for s in (*t.train, *t.dev, *t.test))
    counts = _tested_utterances(system.predictions)
    folds = list(dict.fromkeys(t.fold for t in tested))
    figures = {f.name: f for f in system.evaluation.folds}
    several = len({t.seed for t in tested}) > 1
    rows: list[list[Content | Cell]] = []
    for fold in folds:
        of_fold = [t for t in tested if t.fold == fold]
        rows.append(
            [
                plain_fold(fold),
                listed([names[s] for s in of_fold[0].test], 30),
                range_of(len(t.train) for t in of_fold),
                _selecting(of_fold, names, several),
                number(counts.get(fold, 0)),
                *([percent(figures[fold].wa), percent(figures[fold].ua)] if fold in figures else ["–", "–"]),
            ]
        )
    foot = 0
    if len(figures) > 1:
        means = [percent(float(np.mean([getattr(f, m) for f in figures.values()]))) for m in ("wa", "ua")]
        rows.append(["mean of the folds", "", "", "", "", *means])
        foot = 1
    note = "Who selects is drawn anew for each seed." if several else ""
    head = ["fold", "test speakers", "train", "select", "utterances", "WA", "UA"]
    align = "llrrrrr" if several else "llrlrrr"
    return Table(head, rows, "Folds, WA and UA in %", align=align, note=note, foot=foot)


def _selecting(trainings: Sequence[Training], names: Mapping[str, str], several: bool) -> str:
    if several:
        return range_of(len(t.dev) for t in trainings)
    return listed([names[s] for s in trainings[0].dev], 30)


def _tested_utterances(predictions: Predictions) -> dict[str, int]:
    ids: dict[str, set[str]] = {}
    for fold, utterance in zip(predictions.folds, predictions.ids, strict=True):
        ids.setdefault(fold, set()).add(utterance)
    return {fold: len(members) for fold, members in ids.items()}
