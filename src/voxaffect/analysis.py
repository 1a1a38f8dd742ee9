"""Data analysis: the classes, speakers, genders and durations of a table, as text and as pictures."""

from __future__ import annotations

import io
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from voxaffect import corpora
from voxaffect.corpora.text import clock, text_table
from voxaffect.errors import ResourceError, UsageError, missing_extra
from voxaffect.table import Utterance, UtteranceTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLOT_SUFFIXES = (".png", ".pdf", ".svg")
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#555555")
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""
_MAX_SPEAKER_NAMES = 80


@dataclass(frozen=True)
class Crosstab:
    """Counts of utterances by two properties: `counts[i][j]` have `rows[i]` and `columns[j]`."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def text(self) -> str:
        """The table with its totals, aligned; `-` stands for none."""
        body = [
            [row, *map(_dash, counts), str(sum(counts))]
            for row, counts in zip(self.rows, self.counts, strict=True)
        ]
        totals = [sum(column) for column in zip(*self.counts, strict=True)]
        return text_table(
            [self.title, *self.columns, "total"], [*body, ["total", *map(_dash, totals), str(sum(totals))]]
        )


@dataclass(frozen=True)
class DurationStatistics:
    """Durations of a corpus' utterances, in seconds."""

    corpus: str
    n: int
    total: float
    shortest: float
    median: float
    mean: float
    longest: float


def crosstab(
    title: str, table: UtteranceTable, row: Callable[[Utterance], str], column: Callable[[Utterance], str]
) -> Crosstab:
    """Count the utterances of `table` by two properties, both sorted."""
    rows, columns = tuple(table.counts(row)), tuple(table.counts(column))
    counts: dict[tuple[str, str], int] = {}
    for utterance in table:
        cell = row(utterance), column(utterance)
        counts[cell] = counts.get(cell, 0) + 1
    return Crosstab(title, rows, columns, tuple(tuple(counts.get((r, c), 0) for c in columns) for r in rows))


def class_table(table: UtteranceTable) -> Crosstab:
    """Utterances by class and corpus."""
    return crosstab("class", table, lambda u: u.label, lambda u: u.corpus)


def speaker_table(table: UtteranceTable) -> Crosstab:
    """Utterances by speaker and class."""
    return crosstab("speaker", table, lambda u: u.speaker, lambda u: u.label)


def gender_table(table: UtteranceTable) -> Crosstab:
    """Utterances by the speaker's gender (`unknown` where the corpus does not say) and corpus."""
    return crosstab("gender", table, lambda u: u.gender or "unknown", lambda u: u.corpus)


def durations(table: UtteranceTable) -> tuple[float, ...]:
    """The duration of each utterance in seconds, in table order, from file header and its start and end.

    Raises:
        AudioError, CorpusError: as `voxaffect.corpora.header`.
    """
    whole: dict[Path | str, float] = {}
    seconds = []
    for utterance in table:
        source = corpora.source(utterance)
        if source not in whole:
            whole[source] = corpora.header(utterance).duration
        duration = whole[source]
        end = duration if utterance.end is None else min(utterance.end, duration)
        seconds.append(max(end - (utterance.start or 0.0), 0.0))
    return tuple(seconds)


def duration_statistics(table: UtteranceTable, seconds: Sequence[float]) -> tuple[DurationStatistics, ...]:
    """Durations by corpus; `seconds` are those of `durations`."""
    return tuple(
        DurationStatistics(corpus, len(s), sum(s), min(s), statistics.median(s), statistics.fmean(s), max(s))
        for corpus, s in _by_corpus(table, seconds).items()
    )


def describe(table: UtteranceTable, seconds: Sequence[float]) -> str:
    """All tables as one text: classes, genders, durations and speakers."""
    rows = [
        [d.corpus, str(d.n), clock(d.total), *(f"{s:.2f}" for s in (d.shortest, d.median, d.mean, d.longest))]
        for d in duration_statistics(table, seconds)
    ]
    lengths = text_table(["duration", "n", "h:mm:ss", "shortest", "median", "mean", "longest (s)"], rows)
    parts = [class_table(table).text(), gender_table(table).text(), lengths, speaker_table(table).text()]
    return "\n\n".join(parts) + "\n"


def check_plot_path(path: Path) -> None:
    """Raise UsageError `plot_format` or `no_such_folder` unless a picture can be written to `path`."""
    if path.suffix.casefold() not in PLOT_SUFFIXES:
        raise UsageError(
            "plot_format", f"cannot draw to {path.name!r}; expected a name ending in {list(PLOT_SUFFIXES)}"
        )
    if not path.parent.is_dir():
        raise UsageError("no_such_folder", f"{path.parent} is not a folder", where=str(path))


def plot(table: UtteranceTable, seconds: Sequence[float], path: str | Path) -> None:
    """Draw classes, durations and speakers of each corpus into one picture file (.png, .pdf or .svg).

    Raises:
        UsageError: `plot_format`, `no_such_folder`, or `missing_dependency` without matplotlib.
        ResourceError: `cannot_write`.
    """
    path = Path(path)
    check_plot_path(path)
    try:
        from matplotlib.figure import Figure  # no pyplot: it would choose a screen and keep global state
    except ImportError as error:
        raise missing_extra("matplotlib", "plot") from error
    colours = {corpus: _COLOURS[i % len(_COLOURS)] for i, corpus in enumerate(class_table(table).columns)}
    figure = Figure(figsize=(11, 10), dpi=120, layout="constrained")
    classes, lengths, speakers = figure.subplots(3, 1)
    _draw_classes(classes, class_table(table), colours)
    _draw_durations(lengths, _by_corpus(table, seconds), colours)
    _draw_speakers(speakers, table.counts(lambda u: u.speaker), colours)
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix.casefold()[1:])
    try:
        path.write_bytes(picture.getvalue())
    except OSError as error:
        raise ResourceError(
            "cannot_write", f"cannot write {path}: {error.strerror}", where=str(path)
        ) from error


def _draw_classes(axes: Axes, table: Crosstab, colours: Mapping[str, str]) -> None:
    width = 0.84 / len(table.columns)
    for j, corpus in enumerate(table.columns):
        heights = [counts[j] for counts in table.counts]
        places = [i + (j - (len(table.columns) - 1) / 2) * width for i in range(len(table.rows))]
        bars = axes.bar(
            places, heights, width * 0.94, label=f"{corpus} ({sum(heights)})", color=colours[corpus]
        )
        axes.bar_label(bars, labels=[_dash(h) if h else "" for h in heights], fontsize=7.5, padding=1.5)
    axes.set_xticks(range(len(table.rows)), table.rows)
    _finish(axes, "Class distribution", "utterances", legend=True)
    axes.margins(x=0.01, y=0.1)


def _draw_durations(axes: Axes, seconds: Mapping[str, Sequence[float]], colours: Mapping[str, str]) -> None:
    longest = max(max(s) for s in seconds.values())
    bins = [i * longest / 50 for i in range(51)]
    for corpus, s in seconds.items():
        label = f"{corpus} (median {statistics.median(s):.2f} s, {clock(sum(s))} in all)"
        weights = [100 / len(s)] * len(s)
        axes.hist(
            s, bins, weights=weights, histtype="stepfilled", alpha=0.35, color=colours[corpus], label=label
        )
        axes.hist(s, bins, weights=weights, histtype="step", linewidth=1.4, color=colours[corpus])
    axes.set_xlabel("duration (s)")
    axes.set_xlim(0, longest)
    _finish(axes, "Durations", "share of the corpus (%)", legend=True)


def _draw_speakers(axes: Axes, counts: Mapping[str, int], colours: Mapping[str, str]) -> None:
    names = list(counts)
    corpora = [name.partition("/")[0] for name in names]
    axes.bar(range(len(names)), list(counts.values()), 0.8, color=[colours[corpus] for corpus in corpora])
    if len(names) <= _MAX_SPEAKER_NAMES:
        axes.set_xticks(range(len(names)), [n.partition("/")[2] for n in names], rotation=90, fontsize=8)
    else:
        axes.set_xticks([])
    for corpus in dict.fromkeys(corpora):
        members = [i for i, c in enumerate(corpora) if c == corpus]
        axes.text(statistics.fmean(members), 1.0, f"{corpus}: {len(members)}", ha="center", va="bottom",
                  transform=axes.get_xaxis_transform(), color=colours[corpus], fontsize=9)  # fmt: skip
    axes.margins(x=0.01)
    _finish(axes, f"Speakers ({len(names)})", "utterances", legend=False)


def _finish(axes: Axes, title: str, unit: str, *, legend: bool) -> None:
    axes.set_title(title, loc="left", fontweight="bold", pad=16)
    axes.set_ylabel(unit)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", linewidth=0.5, alpha=0.5)
    axes.set_axisbelow(True)
    if legend:
        axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, fontsize=9)


def _by_corpus(table: UtteranceTable, seconds: Sequence[float]) -> dict[str, list[float]]:
    if len(seconds) != len(table):
        raise ValueError(f"{len(seconds)} durations for {len(table)} utterances")
    by_corpus: dict[str, list[float]] = {}
    for utterance, s in zip(table, seconds, strict=True):
        by_corpus.setdefault(utterance.corpus, []).append(s)
    return dict(sorted(by_corpus.items()))


def _dash(n: int) -> str:
    return str(n) if n else "-"
