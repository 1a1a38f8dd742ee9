"""Systems against each other, with paired tests; and what others printed for the same protocol."""

from __future__ import annotations

import math
from itertools import combinations

from voxaffect.dispersion import expected_range
from voxaffect.html_page import Cell, Content, Part, Section, Table, paragraph
from voxaffect.printed import PROTOCOLS, PrintedProtocol, protocol_of
from voxaffect.report.headline import right_of_all
from voxaffect.report.members import member_figures
from voxaffect.report.system import MEASURES, Source, System
from voxaffect.report.wording import count, number, p_equals, p_value, percent, points, span_of_points
from voxaffect.significance import Comparison, compare


def section(source: Source, *, n_bootstrap: int) -> Section | None:
    """Every pair of systems with its paired tests; None if there is one system only."""
    if len(source.systems) < 2:
        return None
    parts: list[Part] = []
    for first, second in combinations(source.systems, 2):
        comparison = compare(first.predictions, second.predictions, n_bootstrap=n_bootstrap)
        parts += [paragraph(_verdict(first, second, comparison)), _table(first, second, comparison)]
    return Section("Side by side", parts)


def printed_section(source: Source) -> Section:
    """Printed figures beside ours where the protocol is the same; elsewhere, why they are not shown."""
    protocols = [protocol_of(system.predictions) for system in source.systems]
    protocol = protocols[0]
    if protocol is None or any(p != protocol for p in protocols):
        words = "; ".join(p.what for p in PROTOCOLS)
        return Section(
            "Beside printed figures",
            [
                paragraph(
                    "No printed figures are shown: those at hand are of other protocols, and figures of different "
                    f"protocols say nothing about each other. At hand are: {words}."
                )
            ],
        )
    return Section("Beside printed figures", [_printed(source, protocol), *_chance(protocol)])


def _verdict(first: System, second: System, c: Comparison) -> str:
    wa, m = c.difference["WA"], c.mcnemar
    better = second if wa.value > 0 else first
    words = (
        f"{second.title} minus {first.title}: {points(wa.value)} points of WA, 95 % interval {span_of_points(wa)}. On "
        f"{count(c.n_shared, 'utterance')}, {number(m.only_first)} are right in {first.title} alone and "
        f"{number(m.only_second)} in {second.title} alone: exact McNemar {p_equals(m.p)}. "
    )
    if m.p < 0.05 and not wa.low <= 0 <= wa.high:
        return words + f"{better.title} is better on these utterances."
    return words + "The two cannot be told apart on these utterances."


def _table(first: System, second: System, c: Comparison) -> Table:
    rows = [
        [
            name,
            percent(c.first[name]),
            percent(c.second[name]),
            points(c.difference[name].value),
            span_of_points(c.difference[name]),
            p_value(c.p[name]),
        ]
        for name in MEASURES
    ]
    d = c.difference["WA"]
    note = f"Paired bootstrap over {count(d.n_clusters, d.clusters[:-1])}."
    if not d.reliable:
        note += " Too few speakers to speak of new ones."
    if any(len(s.evaluation.seeds) > 1 for s in (first, second)):
        note += " McNemar’s test takes the lowest seed of each."
    head = ["", first.title, second.title, "difference", "95 % interval", "p"]
    return Table(head, rows, f"{first.title} and {second.title} on the same utterances, %", note=note)


def _printed(source: Source, protocol: PrintedProtocol) -> Table:
    rows: list[list[Content | Cell]] = []
    for result in protocol.results:
        right = f"{result.n_right} of {protocol.n_utterances}" if result.n_right else ""
        rows.append([result.system, "printed", _either(result.wa), _either(result.ua), right])
    for system in source.systems:
        e = system.evaluation
        wa, ua = (percent(e.measures[name].value, 2) for name in ("WA", "UA"))
        rows.append([Cell(system.title, strong=True), "ours", wa, ua, right_of_all(system)])
        if system.vote:
            figures = [member_figures(m) for m in system.vote.members]
            ends = [(min(f[n] for f in figures), max(f[n] for f in figures)) for n in ("WA", "UA")]
            cells = [f"{percent(low, 2)} to {percent(high, 2)}" for low, high in ends]
            rows.append([f"{system.title}, {count(len(figures), 'single member')}", "ours", *cells, ""])
    head = ["system", "", "WA", "UA", "right"]
    note = f"Printed by {protocol.source}, on the same test utterances. {protocol.caveat}".strip()
    return Table(head, rows, f"{protocol.what}, %", align="llrrr", note=note)


def _either(ends: tuple[float, float]) -> str:
    low, high = ends
    return f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"


def _chance(protocol: PrintedProtocol) -> list[Part]:
    """What the test set's size alone would make of printed members, from what was printed."""
    words = []
    for result in protocol.results:
        if result.members > 1:
            low, high = (value / 100 for value in result.wa)
            middle = (low + high) / 2
            std = math.sqrt(middle * (1 - middle) / protocol.n_utterances)
            wide = expected_range(result.members) * std
            words.append(
                f"The figures printed for “{result.system}” span {percent(high - low, 2)} points of WA. As many "
                f"equally good systems, each tested on {number(protocol.n_utterances)} utterances of its own, would "
                f"span {percent(wide, 1)} points on average."
            )
    return [paragraph(text) for text in words]
