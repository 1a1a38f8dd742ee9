"""Pictures of a corpus analysis: classes, durations, genders and speakers. Needs the extra `plot`.

Bars lie, with their names before them: a narrow picture then holds many classes, corpora and speakers, and can be
read on a phone.
"""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from voxaffect.analysis import Crosstab, by_corpus, class_table, gender_table, iemocap_tables
from voxaffect.corpora.text import clock
from voxaffect.errors import UsageError, missing_extra
from voxaffect.files import write_bytes
from voxaffect.plots import png
from voxaffect.table import UtteranceTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOT_SUFFIXES = (".png", ".pdf", ".svg")
WIDTH = 4.2
"""Inches of one picture."""
LEGEND_LETTERS = 44
"""What fits beside each other over a picture."""
MAX_SPEAKER_NAMES = 80
"""With more speakers, their bars are drawn without names."""
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#555555")
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""
_GENDER_COLOURS = {"female": "#CC79A7", "male": "#56B4E9", "unknown": "#BBBBBB"}


@dataclass(frozen=True)
class Panel:
    """One picture: how many inches high, and what draws it."""

    height: float
    draw: Callable[[Axes], None]


def check_plot_path(path: Path) -> None:
    """Raise UsageError `plot_format` or `no_such_folder` unless a picture can be written to `path`."""
    if path.suffix.casefold() not in PLOT_SUFFIXES:
        raise UsageError(
            "plot_format", f"cannot draw to {path.name!r}; expected a name ending in {list(PLOT_SUFFIXES)}"
        )
    if not path.parent.is_dir():
        raise UsageError("no_such_folder", f"{path.parent} is not a folder", where=str(path))


def plot(table: UtteranceTable, seconds: Sequence[float], path: str | Path) -> None:
    """Draw everything into one picture file (.png, .pdf or .svg), in two columns of about the same height.

    Raises:
        UsageError: `plot_format`, `no_such_folder`, or `missing_dependency` without matplotlib.
        ResourceError: `disk_full`, `cannot_write`.
    """
    path = Path(path)
    check_plot_path(path)
    columns: tuple[list[Panel], list[Panel]] = ([], [])
    first, *others = panels(table, seconds).values()
    for panel in (first, *sorted(others, key=lambda p: -p.height)):
        min(columns, key=lambda column: sum(p.height for p in column)).append(panel)
    height = max(sum(panel.height for panel in column) for column in columns)
    figure = _figure(2 * WIDTH, height)
    for part, column in zip(figure.subfigures(1, 2, squeeze=False)[0], columns, strict=True):
        left = height - sum(panel.height for panel in column)
        filled = [*column, *([Panel(left, _draw_nothing)] if left else [])]
        rows = part.subplots(len(filled), 1, squeeze=False, height_ratios=[p.height for p in filled])
        for axes, panel in zip(rows.ravel(), filled, strict=True):
            panel.draw(axes)
    ending = path.suffix.casefold()[1:]
    if ending == "png":
        write_bytes(path, png(figure))
        return
    picture = io.BytesIO()
    figure.savefig(picture, format=ending)
    write_bytes(path, picture.getvalue())


def pictures(table: UtteranceTable, seconds: Sequence[float]) -> dict[str, bytes]:
    """Each of `panels` as a PNG; raises UsageError `missing_dependency` without matplotlib."""
    drawn = {}
    for name, panel in panels(table, seconds).items():
        figure = _figure(WIDTH, panel.height)
        panel.draw(figure.subplots())
        drawn[name] = png(figure)
    return drawn


def panels(table: UtteranceTable, seconds: Sequence[float]) -> dict[str, Panel]:
    """The pictures of `table`: `classes`, `iemocap 0` … where it is among them, `durations`, `genders`, `speakers`."""
    classes, genders = class_table(table), gender_table(table)
    colours = {corpus: _COLOURS[i % len(_COLOURS)] for i, corpus in enumerate(classes.columns)}
    speakers = table.counts(lambda u: u.speaker)
    shown = min(len(speakers), MAX_SPEAKER_NAMES)
    named: dict[str, Panel] = {"classes": _grouped("Class distribution", classes, colours)}
    for i, part in enumerate(iemocap_tables(table)):
        palette = {column: _COLOURS[j % len(_COLOURS)] for j, column in enumerate(part.columns)}
        named[f"iemocap {i}"] = _grouped(f"Four classes of {part.title}", part, palette)
    lengths = by_corpus(table, seconds)
    named["durations"] = Panel(
        2.6 + 0.18 * len(lengths), partial(_draw_durations, seconds=lengths, colours=colours)
    )
    named["genders"] = Panel(1.5 + 0.34 * len(genders.columns), partial(_draw_genders, table=genders))
    named["speakers"] = Panel(
        1.3 + 0.16 * shown + 0.18 * len(lengths), partial(_draw_speakers, counts=speakers, colours=colours)
    )
    return named


def _grouped(title: str, table: Crosstab, colours: Mapping[str, str]) -> Panel:
    bars = len(table.rows) * (len(table.columns) + 0.8)
    height = 1.2 + 0.15 * bars + 0.18 * -(-len(table.columns) // 2)
    return Panel(height, partial(_draw_grouped, title=title, table=table, colours=colours))


def _draw_grouped(axes: Axes, title: str, table: Crosstab, colours: Mapping[str, str]) -> None:
    width = 0.86 / len(table.columns)
    for j, column in enumerate(table.columns):
        lengths = [counts[j] for counts in table.counts]
        places = [i + (j - (len(table.columns) - 1) / 2) * width for i in range(len(table.rows))]
        label = f"{column} ({sum(lengths)})"
        bars = axes.barh(places, lengths, width * 0.92, label=label, color=colours[column])
        axes.bar_label(bars, labels=[str(n) if n else "" for n in lengths], fontsize=7.5, padding=2)
    axes.set_yticks(range(len(table.rows)), table.rows)
    axes.locator_params(axis="x", integer=True)
    axes.margins(x=0.12, y=0.01)
    _finish(axes, title, "utterances")


def _draw_durations(axes: Axes, seconds: Mapping[str, Sequence[float]], colours: Mapping[str, str]) -> None:
    longest = max(max(s) for s in seconds.values())
    bins = [i * longest / 50 for i in range(51)]
    for corpus, s in seconds.items():
        label = f"{corpus} (median {statistics.median(s):.2f} s, {clock(sum(s))} in all)"
        weights, colour = [100 / len(s)] * len(s), colours[corpus]
        axes.hist(s, bins, weights=weights, histtype="stepfilled", alpha=0.35, color=colour, label=label)
        axes.hist(s, bins, weights=weights, histtype="step", linewidth=1.4, color=colour)
    axes.set_xlim(0, longest)
    axes.set_ylabel("share of the corpus (%)", fontsize=9)
    _finish(axes, "Durations", "duration (s)", lying=False)


def _draw_genders(axes: Axes, table: Crosstab) -> None:
    """One bar for each corpus, divided by gender."""
    starts = [0.0] * len(table.columns)
    totals = [sum(counts[j] for counts in table.counts) for j in range(len(table.columns))]
    for gender, counts in zip(table.rows, table.counts, strict=True):
        shares = [100 * n / total for n, total in zip(counts, totals, strict=True)]
        bars = axes.barh(range(len(shares)), shares, 0.7, starts, label=gender, color=_GENDER_COLOURS[gender])
        labels = [str(n) if share > 9 else "" for n, share in zip(counts, shares, strict=True)]
        axes.bar_label(bars, labels=labels, label_type="center", fontsize=7.5)
        starts = [start + share for start, share in zip(starts, shares, strict=True)]
    axes.set_yticks(range(len(totals)), table.columns)
    axes.set_xlim(0, 100)
    _finish(axes, "Genders", "share of the utterances (%)")


def _draw_speakers(axes: Axes, counts: Mapping[str, int], colours: Mapping[str, str]) -> None:
    corpora = [name.partition("/")[0] for name in counts]
    for corpus in dict.fromkeys(corpora):
        members = [i for i, c in enumerate(corpora) if c == corpus]
        lengths = [list(counts.values())[i] for i in members]
        axes.barh(members, lengths, 0.8, color=colours[corpus], label=f"{corpus} ({len(members)})")
    if len(counts) <= MAX_SPEAKER_NAMES:
        axes.set_yticks(range(len(counts)), [name.partition("/")[2] for name in counts], fontsize=7.5)
    else:
        axes.set_yticks([])
    axes.margins(y=0.01)
    _finish(axes, f"Speakers ({len(counts)})", "utterances")


def _draw_nothing(axes: Axes) -> None:
    axes.set_visible(False)


def _finish(axes: Axes, title: str, unit: str, *, lying: bool = True) -> None:
    """Title, what the colours mean, unit and grid; the first of lying bars on top."""
    labels = axes.get_legend_handles_labels()[1]
    columns = max(1, min(3, LEGEND_LETTERS // max(map(len, labels))))
    n_rows = -(-len(labels) // columns)
    axes.set_title(title, loc="left", fontweight="bold", fontsize=11, pad=10 + 13 * n_rows)
    axes.legend(
        frameon=False, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=columns, fontsize=8, borderpad=0.2
    )
    axes.set_xlabel(unit, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x" if lying else "y", linewidth=0.5, alpha=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5)
    if lying:
        axes.invert_yaxis()


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure  # no pyplot: it would choose a screen and keep global state
    except ImportError as error:
        raise missing_extra("matplotlib", "plot") from error
    return Figure(figsize=(width, height), layout="constrained")
