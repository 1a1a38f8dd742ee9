"""The members of an ensemble: who trained each, how far they differ, how far chance would, what the vote adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from voxaffect import metrics
from voxaffect.charts import Band, Dot, domain, dot_chart
from voxaffect.dispersion import Dispersion, dispersion
from voxaffect.html_page import Cell, Content, Figure, Html, Part, Section, Table, element, paragraph
from voxaffect.report.system import MEASURES, Member, Source, System, Vote
from voxaffect.report.wording import (
    NONE,
    count,
    listed,
    number,
    p_equals,
    p_value,
    percent,
    points,
    shortened,
    span_of_points,
)
from voxaffect.significance import MEASURES as STATISTICS

SIGNIFICANT = 0.05

Figures = Mapping[str, Mapping[str, float]]
"""The measures of each member, by name."""


def section(source: Source) -> Section | None:
    """The members of every ensemble of the report, their spreads on one scale; None if nobody votes."""
    voting = [(system, system.vote) for system in source.systems if system.vote]
    if not voting:
        return None
    shares = [x for system, vote in voting for name in ("WA", "UA") for x in _extent(system, vote, name)]
    limits = domain([100 * x for x in shares])
    parts: list[Part] = []
    for system, vote in voting:
        inner = _of_system(system, vote, limits)
        parts += [Section(system.title, inner)] if len(source.systems) > 1 else inner
    return Section("Members and their vote", parts)


def member_figures(member: Member) -> Mapping[str, float]:
    """WA, UA and macro-F1 of one member, means over its seeds."""
    p = member.predictions
    matrices = [
        metrics.confusion(s.truth, s.predicted, len(p.labels)) for s in map(p.of_seed, p.distinct_seeds)
    ]
    return {name: float(np.mean([STATISTICS[name](m) for m in matrices])) for name in MEASURES}


def dispersions(vote: Vote) -> Mapping[str, Dispersion]:
    """How far the members' WA and UA differ, and how far chance alone would make them."""
    first = vote.members[0].predictions
    predicted = np.stack([m.predictions.predicted for m in vote.members])
    return dispersion(first.truth, predicted, len(first.labels))


def _extent(system: System, vote: Vote, name: str) -> list[float]:
    """What the picture of the members must have room for, as shares of 1."""
    d = dispersions(vote)[name]
    return [system.evaluation.measures[name].value, d.low, d.high, *_chance(d)]


def _chance(d: Dispersion) -> tuple[float, float]:
    return d.mean - 2 * d.chance, d.mean + 2 * d.chance


def _of_system(system: System, vote: Vote, limits: tuple[float, float]) -> list[Part]:
    figures = {m.name: member_figures(m) for m in vote.members}
    found = dispersions(vote)
    parts: list[Part] = [
        _table(system, vote, figures),
        _figure(system, vote, figures, found, limits),
        *(paragraph(_verdict(name, d, vote)) for name, d in found.items()),
        _dispersion_table(found),
        *_gain(vote),
        _agreement(system, vote),
    ]
    if vote.trusted:
        words = "Nothing but their word says that these members never saw the test speakers"
        parts.append(paragraph(f"{words}: {listed(vote.trusted)}."))
    return parts


def _table(system: System, vote: Vote, figures: Figures) -> Table:
    names = shortened(s for m in vote.members for s in (*m.train, *m.dev))
    weighted = vote.rule == "weighted"
    blank = [""] if weighted else []
    rows: list[list[Content | Cell]] = []
    for m in vote.members:
        speakers = [_speakers(m, part, names) for part in (m.train, m.dev)]
        weight = [f"{m.weight:.2f}"] if weighted else []
        rows.append([m.name, *speakers, *(percent(figures[m.name][n]) for n in MEASURES), *weight])
    values = np.array([[f[n] for n in MEASURES] for f in figures.values()])  # (M, 3)
    for words, of in (
        ("mean", values.mean(axis=0)),
        ("standard deviation", values.std(axis=0, ddof=1)),
        ("range", np.ptp(values, axis=0)),
    ):
        rows.append([words, "", "", *(percent(float(x)) for x in of), *blank])
    final = [Cell(percent(system.evaluation.measures[n].value), strong=True) for n in MEASURES]
    rows.append([Cell(f"{vote.rule} vote", strong=True), "", "", *final, *blank])
    head = ["member", "trained on", "selected on", *MEASURES, *(["weight"] if weighted else [])]
    align = "lll" + "r" * (len(head) - 3)
    return Table(head, rows, "Members and the speakers behind them, %", align=align, foot=4)


def _speakers(m: Member, speakers: Sequence[str], names: Mapping[str, str]) -> str:
    if m.folds > 1:
        return f"{count(len(speakers), 'speaker')} over {m.folds} folds"
    return " ".join(names[s] for s in speakers) or NONE


def _figure(
    system: System, vote: Vote, figures: Figures, found: Mapping[str, Dispersion], limits: tuple[float, float]
) -> Figure:
    charts: list[Html] = []
    for name, d in found.items():
        m = system.evaluation.measures[name]
        rows = [Dot(member, 100 * f[name], mark="ring") for member, f in figures.items()]
        rows.append(Dot("their vote", 100 * m.value, mark="diamond", colour="c2", strong=True, apart=True))
        low, high = _chance(d)
        band = Band(100 * low, 100 * high, "chance alone: mean ± 2 sd")
        alt = f"{name} of the members from {percent(d.low)} to {percent(d.high)} %, vote {percent(m.value)} %"
        charts.append(dot_chart(rows, f"{name}, %", limits, alt, line=(100 * d.mean, "mean"), band=band))
    caption = f"How far the members differ{_by_speakers(vote)}"
    return Figure(element("div", *charts, class_="panels"), caption)


def _by_speakers(vote: Vote) -> str:
    """Whether it is the training speakers in which the members differ."""
    trained = {(m.train, m.dev) for m in vote.members}
    return " by the speakers that trained them" if len(trained) == len(vote.members) else ""


def _verdict(name: str, d: Dispersion, vote: Vote) -> str:
    words = (
        f"{name} runs from {percent(d.low)} to {percent(d.high)} % over the members (standard deviation "
        f"{percent(d.std, 2)}). Equally good members would differ by chance alone with a standard deviation of "
        f"{percent(d.chance, 2)} on these very utterances: "
    )
    if d.p >= SIGNIFICANT:
        return words + f"these members do not differ by more than chance ({p_equals(d.p)})."
    more = percent(1 - d.chance**2 / d.std**2, 0)
    return words + (
        f"these differ by more than chance{_by_speakers(vote)} ({p_equals(d.p)}), which makes about {more} % of the "
        f"variance over the {len(vote.members)} members."
    )


def _dispersion_table(found: Mapping[str, Dispersion]) -> Table:
    rows = [
        [name, *(percent(x, 2) for x in (d.mean, d.std, d.high - d.low, d.chance, d.fresh)), p_value(d.p)]
        for name, d in found.items()
    ]
    note = (
        "By chance: if all members were equally good on each utterance; p is Cochran’s Q, of utterances taken as "
        "independent. Own test sets: if each of equally good members had as many test utterances of its own. What is "
        "more than chance is the choice of speakers and the random start of the training together."
    )
    head = ["", "mean", "sd", "range", "sd by chance", "sd, own test sets", "p"]
    return Table(head, rows, "Spread over the members beside what chance makes, %", note=note)


def _gain(vote: Vote) -> list[Part]:
    rows = [
        [name, points(vote.gain[name].value), span_of_points(vote.gain[name]), p_value(vote.p[name])]
        for name in MEASURES
    ]
    drawn = vote.gain["WA"]
    note = f"Paired bootstrap over {count(drawn.n_clusters, drawn.clusters[:-1])}."
    if not drawn.reliable:
        note += " Too few speakers to speak of new ones."
    head = ["vote minus mean member", "points", "95 % interval", "p"]
    m = vote.mcnemar
    words = (
        f"Against the member of median WA ({vote.median_member}) the vote alone is right on {number(m.only_first)} "
        f"utterances, that member alone on {number(m.only_second)}: exact McNemar {p_equals(m.p)}."
    )
    return [Table(head, rows, "What the vote gains", note=note), paragraph(words)]


def _agreement(system: System, vote: Vote) -> Table:
    """How often the vote is right by how many members agree with it."""
    p = system.predictions
    agreeing = np.sum([m.predictions.predicted == p.predicted for m in vote.members], axis=0)  # (N,)
    right = p.predicted == p.truth
    rows = []
    for k in range(len(vote.members), -1, -1):
        chosen = agreeing == k
        if n := int(chosen.sum()):
            share, accuracy = percent(n / len(p)), percent(float(right[chosen].mean()))
            rows.append([f"{k} of {len(vote.members)}", number(n), share, accuracy])
    ties = f"{count(vote.ties, 'tie')} went to the class of higher mean probability." if vote.ties else ""
    head = ["members that agree with the vote", "utterances", "share, %", "right, %"]
    return Table(head, rows, "How sure a vote is", note=ties)
