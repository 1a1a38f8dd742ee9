"""The first thing a reader sees: what was measured on what, WA and UA with their intervals, the guesses beside them."""

from __future__ import annotations

from collections.abc import Sequence

from voxaffect.charts import Dot, domain, dot_chart
from voxaffect.html_page import (
    Cell,
    Content,
    Figure,
    Html,
    Part,
    Section,
    Table,
    bullets,
    element,
    join,
    paragraph,
    strong,
)
from voxaffect.report.system import MEASURES, NoAudio, Source, System
from voxaffect.report.wording import count, listed, number, percent, span, span_of_points
from voxaffect.significance import Interval


def lead(source: Source) -> list[Part]:
    """What stands under the title: one sentence of scope, and the headline figures."""
    return [paragraph(*_scope(source)), _table(source), *_adapted(source)]


def section(source: Source) -> Section:
    """The figures as a picture, per seed where there are several, what to bear in mind, and guesses without audio."""
    parts: list[Part] = [_figure(source)]
    parts += [_seeds(system, source) for system in source.systems if len(system.evaluation.seeds) > 1]
    notices = _notices(source)
    if notices:
        parts += [paragraph("Bear in mind:"), bullets(notices)]
    parts.append(Section("Without listening", _without_audio(source)))
    return Section("Result", parts)


def right_of_all(system: System) -> str:
    """`369 of 590`; counts of several seeds are means."""
    e = system.evaluation
    right = sum(row[i] for i, row in enumerate(e.confusion))
    return f"{number(round(right, 1))} of {number(e.n_utterances)}"


def _scope(source: Source) -> list[Content]:
    e = source.systems[0].evaluation
    speakers = count(len(e.speakers), "speaker") if e.speakers else "speakers unknown"
    corpora = f" of {listed(e.corpora)}" if e.corpora else ""
    words = f"{count(e.n_utterances, 'test utterance')}{corpora}, {speakers}"
    words += f", {count(len(e.labels), 'class', 'classes')}"
    if len(source.systems) > 1:
        words += f"; {count(len(source.systems), 'system')} side by side"
    return [f"{words}."]


def _table(source: Source) -> Table:
    caption = "WA and UA in percent, with 95 % intervals over speakers"
    e = source.systems[0].evaluation
    if e.ua.clusters != "speakers":
        caption = "WA and UA in percent, with 95 % intervals over utterances"
    if len(source.systems) == 1:
        system = source.systems[0]
        rows: list[list[Content | Cell]] = [
            [
                Cell(name, strong=True),
                Cell(percent(e.measures[name].value), strong=True),
                span(e.measures[name]),
                percent(e.baseline.measures[name]),
            ]
            for name in MEASURES
        ]
        head = ["", "%", "95 % interval", f"always “{e.baseline.label}”"]
        return Table(head, rows, caption, note=f"Right: {right_of_all(system)}.")
    rows = []
    for system in source.systems:
        measures = system.evaluation.measures
        cells: list[Content | Cell] = [Cell(system.title, strong=True)]
        for name in ("WA", "UA"):
            cells += [Cell(percent(measures[name].value), strong=True), span(measures[name])]
        rows.append([*cells, percent(measures["macro-F1"].value), right_of_all(system)])
    guess = e.baseline.measures
    always: list[Content | Cell] = [f"always “{e.baseline.label}”"]
    for name in ("WA", "UA"):
        always += [percent(guess[name]), ""]
    rows.append([*always, percent(guess["macro-F1"]), ""])
    head = ["", "WA", "95 % interval", "UA", "95 % interval", "macro-F1", "right"]
    return Table(head, rows, caption)


def _adapted(source: Source) -> list[Part]:
    """The second figures, of answers adapted to unlabelled test audio; never in the table of the plain ones."""
    tables: list[Part] = []
    for system in source.systems:
        found = system.adapted
        if found is None:
            continue
        rows: list[list[Content | Cell]] = [
            [
                name,
                percent(found.first[name]),
                percent(found.second[name]),
                span_of_points(found.difference[name]),
            ]
            for name in MEASURES
        ]
        of = f" of {system.title}" if len(source.systems) > 1 else ""
        note = (
            "By unlabelled test audio of the same speakers or conditions, which the plain answers do without."
        )
        head = ["", "plain", "adapted", "gain, 95 % interval"]
        tables.append(Table(head, rows, f"Adapted, transductive: a second figure{of}, %", note=note))
    return tables


def _figure(source: Source) -> Figure:
    values = [x for s in source.systems for m in s.evaluation.measures.values() for x in (m.low, m.high)]
    limits = domain([100 * v for v in values])
    if len(source.systems) > 1:
        charts = [
            _chart([(s.title, s.evaluation.measures[name]) for s in source.systems], f"{name}, %", limits)
            for name in ("WA", "UA")
        ]
    else:
        e = source.systems[0].evaluation
        charts = [_chart([(name, e.measures[name]) for name in MEASURES], "%", limits)]
    m = source.systems[0].evaluation.ua
    caption = f"Figures with their 95 % intervals ({count(m.n_clusters, m.clusters[:-1])} resampled)"
    return Figure(element("div", *charts, class_="panels"), caption)


def _chart(figures: Sequence[tuple[str, Interval]], axis: str, limits: tuple[float, float]) -> Html:
    rows = [Dot(name, 100 * m.value, (100 * m.low, 100 * m.high), strong=True) for name, m in figures]
    alt = "; ".join(f"{row.label} {row.value:.1f} %" for row in rows)
    return dot_chart(rows, axis, limits, alt)


def _seeds(system: System, source: Source) -> Table:
    e = system.evaluation
    rows: list[list[Content | Cell]] = [
        [f"seed {s.seed}", *(percent(s.measures[name]) for name in MEASURES)] for s in e.seeds
    ]
    for words, pick in (("mean", None), ("standard deviation", 0), ("lowest", 1), ("highest", 2)):
        values = [e.measures[n].value if pick is None else e.spread(n)[pick] for n in MEASURES]
        rows.append(
            [Cell(words, strong=pick is None), *(Cell(percent(v), strong=pick is None) for v in values)]
        )
    of = f" of {system.title}" if len(source.systems) > 1 else ""
    return Table(["", *MEASURES], rows, f"Repetitions{of} with other seeds, %", foot=4)


def _notices(source: Source) -> list[Content]:
    """What to bear in mind, each once, with the systems that it is about unless it is about all."""
    about: dict[str, list[str]] = {}
    for system in source.systems:
        for notice in system.evaluation.notices:
            about.setdefault(notice, []).append(system.title)
    every = len(source.systems)
    return [
        notice if len(titles) == every else join(strong(f"{', '.join(titles)}: "), notice)
        for notice, titles in about.items()
    ]


def _without_audio(source: Source) -> list[Part]:
    words = "What can be scored from metadata alone, by the same folds. A system is worth only what it adds to these."
    groups: list[list[System]] = []
    for system in source.systems:
        alike = next((group for group in groups if _guesses(group[0]) == _guesses(system)), None)
        if alike is None:
            groups.append([system])
        else:
            alike.append(system)
    return [paragraph(words), *(_guess_table(group, source) for group in groups)]


def _guesses(system: System) -> tuple[NoAudio, ...]:
    """The guesses that the run keeps, or else the one that needs nothing but the test labels."""
    e = system.evaluation
    return system.baselines or (NoAudio(f"always “{e.baseline.label}”", 1.0, e.baseline.measures),)


def _guess_table(systems: Sequence[System], source: Source) -> Table:
    """The guesses that `systems` share, and below them the systems."""
    rows: list[list[Content | Cell]] = []
    for guess in _guesses(systems[0]):
        rows.append([guess.name, *(percent(guess.measures[n]) for n in MEASURES), percent(guess.known, 0)])
    for system in systems:
        name = system.title if len(source.systems) > 1 else "this system"
        figures = [percent(system.evaluation.measures[n].value) for n in MEASURES]
        rows.append([Cell(name, strong=True), *(Cell(f, strong=True) for f in figures), ""])
    first = systems[0]
    note = ""
    if first.left_out:
        note = "Left out: " + "; ".join(f"{name}: {why}" for name, why in first.left_out.items()) + "."
    elif not first.baselines:
        note = "The run keeps no other guesses (it has no baselines.json)."
    head = ["guess from", *MEASURES, "had a clue, %"]
    return Table(head, rows, "Guesses without audio beside the score, %", note=note, foot=len(systems))
