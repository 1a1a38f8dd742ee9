"""Who is heard well and who is not: speakers, the worst named, and groups with intervals over their own speakers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from voxaffect import metrics
from voxaffect.charts import Dot, domain, dot_chart
from voxaffect.evaluation import GroupFigures, evaluate
from voxaffect.html_page import Beside, Cell, Content, Figure, Part, Section, Table, paragraph, strong
from voxaffect.report.system import Source, System
from voxaffect.report.wording import NONE, count, number, percent, shortened, span

MANY_SPEAKERS = 60
WORST_SPEAKERS = 30
"""Of more than `MANY_SPEAKERS`, so many of the worst are shown."""
GROUPS = ("gender", "corpus", "language")
"""Columns by which utterances are grouped."""


def section(source: Source, *, n_bootstrap: int) -> Section:
    """The figures by speaker and by group, for each system."""
    limits = domain([100 * s.ua for system in source.systems for s in system.evaluation.speakers], least=20)
    inner = [_of_system(system, limits, n_bootstrap) for system in source.systems]
    if all(parts == inner[0] for parts in inner):
        return Section("Speakers and groups", inner[0])
    named = zip(source.systems, inner, strict=True)
    return Section("Speakers and groups", [Section(system.title, parts) for system, parts in named])


def chance_spread(system: System) -> float:
    """The standard deviation of the speakers' UA if all were heard alike: each class at its overall recall, each
    speaker with as many utterances as there are (binomial; seeds count once)."""
    p = system.predictions
    recall = np.array([c.recall for c in system.evaluation.classes])
    row_of = {speaker: g for g, speaker in enumerate(sorted(set(p.speakers)))}
    of_seed = np.array(p.seeds) == p.seeds[0]
    index = np.array([row_of[s] for s in p.speakers], dtype=np.int64)[of_seed]
    truth = p.truth[of_seed]
    n = metrics.grouped_confusions(truth, truth, index, len(p.labels), len(row_of)).sum(axis=-1)  # (G, K)
    variance = np.divide(recall * (1 - recall), n, out=np.zeros(n.shape), where=n > 0).sum(axis=1)
    return math.sqrt(float((variance / (n > 0).sum(axis=1) ** 2).mean()))


def _of_system(system: System, limits: tuple[float, float], n_bootstrap: int) -> list[Part]:
    speakers = system.evaluation.speakers
    if len(speakers) == 1:
        gender = _of_speakers(system, _values(system, "gender")).get(speakers[0].name, "")
        name = f"{speakers[0].name} ({gender})" if gender else speakers[0].name
        return [paragraph(f"One speaker is tested, {name}: nothing is known about how others are heard.")]
    if not speakers:
        return [paragraph("The predictions do not say who speaks."), *_groups(system, n_bootstrap)]
    return [*_speakers(system, limits), *_groups(system, n_bootstrap)]


def _speakers(system: System, limits: tuple[float, float]) -> list[Part]:
    e = system.evaluation
    ranked = sorted(e.speakers, key=lambda s: (s.ua, s.wa, s.name))
    worst, best = ranked[0], ranked[-1]
    ua = [s.ua for s in ranked]
    words = (
        f": UA {percent(worst.ua)} % on {count(worst.n, 'utterance')}; the best is {best.name} with "
        f"{percent(best.ua)} %. Over {count(len(ranked), 'speaker')} the median is {percent(float(np.median(ua)))} %, "
        f"the standard deviation {percent(float(np.std(ua, ddof=1)))} points; chance alone would make "
        f"{percent(chance_spread(system))}, if all were heard alike."
    )
    shown = ranked if len(ranked) <= MANY_SPEAKERS else ranked[:WORST_SPEAKERS]
    names = shortened(s.name for s in e.speakers)
    rows = [Dot(names[s.name], 100 * s.ua, strong=s is worst) for s in shown]
    alt = f"UA of {len(shown)} speakers from {percent(shown[0].ua)} to {percent(shown[-1].ua)} %"
    picture = dot_chart(rows, "UA, %", limits, alt, line=(100 * e.ua.value, "all"))
    only = f" (the worst {len(shown)} of {len(ranked)})" if len(shown) < len(ranked) else ""
    table = _speaker_table(system, shown, names, f"Speakers, worst first, %{only}")
    return [
        paragraph("The worst heard is ", strong(worst.name), words),
        Beside([Figure(picture, f"UA by speaker{only}"), table]),
    ]


def _speaker_table(
    system: System, shown: Sequence[GroupFigures], names: Mapping[str, str], caption: str
) -> Table:
    genders = _of_speakers(system, _values(system, "gender"))
    rows: list[list[Content | Cell]] = []
    for s in shown:
        gender = [genders.get(s.name) or NONE] if genders else []
        rows.append(
            [Cell(names[s.name], strong=s is shown[0]), *gender, number(s.n), percent(s.ua), percent(s.wa)]
        )
    head = ["speaker", *(["gender"] if genders else []), "n", "UA", "WA"]
    align = "llrrr" if genders else "lrrr"
    return Table(head, rows, caption, align=align, note="UA over the classes that a speaker has.")


def _groups(system: System, n_bootstrap: int) -> list[Part]:
    """A table for each column that tells utterances apart; of gender, that nothing is known where it is not."""
    parts: list[Part] = []
    for column in GROUPS:
        groups = {i: value or "unknown" for i, value in _values(system, column).items()}
        distinct = set(groups.values())
        if len(distinct) > 1:
            found = evaluate(system.predictions, groups=groups, n_bootstrap=n_bootstrap).groups
            parts.append(_group_table(column, found))
        elif column == "gender":
            known = f"All speakers are {distinct.pop()}." if distinct != {"unknown"} else ""
            parts.append(
                paragraph(known or "Nothing says which gender the speakers have (no utterances.csv).")
            )
    return parts


def _group_table(word: str, groups: tuple[GroupFigures, ...]) -> Table:
    rows = []
    for g in groups:
        interval = span(g.interval) + ("" if g.interval.reliable else "*") if g.interval else NONE
        rows.append([g.name, number(g.n_speakers), number(g.n), percent(g.ua), interval, percent(g.wa)])
    gap = max(g.ua for g in groups) - min(g.ua for g in groups)
    note = f"The groups are {percent(gap)} points of UA apart."
    if any(g.interval and not g.interval.reliable for g in groups):
        note += " * fewer than five speakers, or utterances resampled: not reliable."
    head = [word, "speakers", "n", "UA", "95 % interval", "WA"]
    return Table(head, rows, f"By {word}, %", note=note)


def _values(system: System, column: str) -> Mapping[str, str]:
    """The column of each tested utterance, "" where unknown; a corpus may also be told from the id."""
    values = {i: system.facts.get(i, {}).get(column, "") for i in system.predictions.ids}
    if column == "corpus" and not any(values.values()):
        return {i: i.partition("/")[0] if "/" in i else "" for i in values}
    return values


def _of_speakers(system: System, values: Mapping[str, str]) -> dict[str, str]:
    """The value of each speaker who has just one; {} if nobody has."""
    found: dict[str, set[str]] = {}
    for utterance, speaker in zip(system.predictions.ids, system.predictions.speakers, strict=True):
        found.setdefault(speaker, set()).add(values[utterance])
    known = {speaker: next(iter(v)) for speaker, v in found.items() if len(v) == 1}
    return known if any(known.values()) else {}
