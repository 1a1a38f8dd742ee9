"""Whether probabilities mean what they say, and the mistakes that were made with the most confidence."""

from __future__ import annotations

from collections import Counter

import numpy as np

from voxaffect.charts import reliability_chart
from voxaffect.html_page import Beside, Figure, Part, Section, Table, paragraph
from voxaffect.report.system import Source, System
from voxaffect.report.wording import number, percent

N_MISTAKES = 15


def section(source: Source) -> Section:
    """The reliability of all systems' probabilities, side by side."""
    known = [s for s in source.systems if s.evaluation.ece is not None]
    if not known:
        return Section("Confidence", [paragraph("The predictions came without probabilities.")])
    figures = []
    for system in known:
        e = system.evaluation
        assert e.ece is not None
        of = f" of {system.title}" if len(source.systems) > 1 else ""
        caption = f"Calibration error (ECE){of}: {percent(e.ece)} %"
        alt = f"{caption}, {len(e.reliability)} bins of confidence"
        figures.append(Figure(reliability_chart(e.reliability, alt), caption))
    words = (
        "Of the predictions made with a confidence of 70 %, 70 % should be right. Each point is a bin of confidence "
        "with its 95 % interval; the bars below say how many predictions it holds."
    )
    bins = [_bins(s, source) for s in known]
    together = [Beside([*figures, *bins])] if len(known) == 1 else [Beside(figures), Beside(bins)]
    return Section("Confidence", [paragraph(words), *together])


def mistakes_section(source: Source) -> Section:
    """The most confident mistakes of each system."""
    parts: list[Part] = []
    for system in source.systems:
        if system.evaluation.ece is None:
            parts.append(
                paragraph(f"{system.title}: no probabilities, so no mistake is more confident than another.")
            )
        else:
            parts.append(_mistakes(system, source))
    return Section("Most confident mistakes", parts)


def _bins(system: System, source: Source) -> Table:
    rows = [
        [
            f"{percent(b.low, 0)} to {percent(b.high, 0)}",
            number(b.n),
            percent(b.confidence),
            percent(b.accuracy),
        ]
        for b in system.evaluation.reliability
    ]
    of = f" of {system.title}" if len(source.systems) > 1 else ""
    return Table(["confidence", "n", "mean", "right"], rows, f"Bins of confidence{of}, %")


def _mistakes(system: System, source: Source) -> Part:
    p = system.predictions
    predicted, confidence = p.predicted, p.confidence
    wrong = [int(i) for i in np.flatnonzero(predicted != p.truth)]
    if not wrong:
        return paragraph(f"{system.title} heard no utterance wrong.")
    times = Counter(p.ids[i] for i in wrong)
    shown: dict[str, int] = {}
    for i in sorted(wrong, key=lambda i: (-confidence[i], p.ids[i], p.seeds[i])):
        shown.setdefault(p.ids[i], i)  # the most confident seed of an utterance
        if len(shown) == N_MISTAKES:
            break
    n_seeds = len(p.distinct_seeds)
    members = [m.predictions.predicted for m in system.vote.members] if system.vote else []
    rows = []
    for utterance, i in shown.items():
        row = [utterance, p.labels[p.truth[i]], p.labels[predicted[i]], percent(float(confidence[i]))]
        row.append(percent(float(p.probs[i, p.truth[i]])))
        row += [f"{times[utterance]} of {n_seeds}"] if n_seeds > 1 else []
        row += [f"{sum(int(m[i] == predicted[i]) for m in members)} of {len(members)}"] if members else []
        rows.append(row)
    head = ["utterance", "truth", "heard as", "probability, %", "of the truth, %"]
    head += ["seeds wrong"] * (n_seeds > 1) + ["members agree"] * bool(members)
    of = f": {system.title}" if len(source.systems) > 1 else ""
    caption = f"The {len(rows)} most confident of {number(len(times))} utterances heard wrong{of}"
    return Table(head, rows, caption, align="lll" + "r" * (len(head) - 3))
