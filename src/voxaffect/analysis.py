"""Data analysis: the classes, speakers, genders and durations of a table, beside what the releases should hold.

The two tables of the study are made from the files: data bases by its seven classes, and IEMOCAP's four classes by
session and by style. Pictures are drawn by `voxaffect.analysis_figures`, the page by `voxaffect.analysis_page`.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voxaffect import corpora
from voxaffect.corpora.info import CorpusInfo
from voxaffect.corpora.text import clock, text_table
from voxaffect.labels import FOUR, NAMED_MAPPINGS
from voxaffect.table import Utterance, UtteranceTable

STUDY_CLASSES = ("surprised", "angry", "happy", "fearful", "sad", "neutral", "disgust")
"""The classes of the study's table, in its order. It counts IEMOCAP's excited as happy."""
OTHER = "others"
_IEMOCAP = {"angry": 1103, "happy": 1636, "sad": 1084, "neutral": 1708}
STUDY_COUNTS: Mapping[str, Mapping[str, int]] = {
    "emodb": {"angry": 127, "happy": 71, "fearful": 69, "sad": 62, "neutral": 79, "disgust": 81},
    "enterface": {"surprised": 215, "angry": 215, "happy": 212, "fearful": 215, "sad": 215, "disgust": 215},
    "afew": {
        "surprised": 103,
        "angry": 156,
        "happy": 171,
        "fearful": 113,
        "sad": 145,
        "neutral": 167,
        "disgust": 106,
    },
    "iemocap": _IEMOCAP,
    "iemocap-pickle": _IEMOCAP,
}
"""The study's table as it was printed."""
EMODB_NOTE = (
    "EmoDB: the study's table gives 81 for disgust. That is EmoDB's count of boredom; its count of disgust is 46. "
    "The tables here show what the files hold."
)
_MERGED = NAMED_MAPPINGS["excited-is-happy"]


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


def study_class(label: str) -> str:
    """The class of the study's table that `label` counts for; OTHER if it has none."""
    label = _MERGED.get(label, label)
    return label if label in STUDY_CLASSES else OTHER


def study_table(table: UtteranceTable) -> Crosstab:
    """The study's table of data bases by its seven classes, from the files; other classes in one column."""
    by_corpus = {corpus: of_corpus(table, corpus) for corpus in table.counts(lambda u: u.corpus)}
    counts = {corpus: part.counts(lambda u: study_class(u.label)) for corpus, part in by_corpus.items()}
    columns = (*STUDY_CLASSES, *((OTHER,) if any(OTHER in row for row in counts.values()) else ()))
    rows = tuple(tuple(row.get(column, 0) for column in columns) for row in counts.values())
    return Crosstab("data base", tuple(counts), columns, rows)


def iemocap_tables(table: UtteranceTable) -> tuple[Crosstab, ...]:
    """IEMOCAP's four classes, excited counted as happy: by session, and by style where the corpus tells it.

    Nothing for other corpora; the published features are a corpus of their own.
    """
    tables = []
    for corpus in ("iemocap", "iemocap-pickle"):
        four = of_corpus(table, corpus).relabelled(_MERGED).where(lambda u: u.label in FOUR)
        if len(four):
            tables.append(crosstab(corpus, four, lambda u: u.label, lambda u: str(u.session)))
        if len(four) and all("style" in u.attributes for u in four):
            tables.append(crosstab(corpus, four, lambda u: u.label, lambda u: str(u.attributes["style"])))
    return tuple(tables)


def notes(table: UtteranceTable) -> tuple[str, ...]:
    """What a reader who compares the tables with others needs to know: copies that differ from their release, and
    EmoDB's boredom, which the study's table takes for disgust."""
    present = table.counts(lambda u: u.corpus)
    differing = [corpora.difference(name, of_corpus(table, name)) for name in present if info_of(name)]
    emodb = (EMODB_NOTE,) if "emodb" in present else ()
    return (*(text[0].upper() + text[1:] for text in differing if text), *emodb)


def of_corpus(table: UtteranceTable, corpus: str) -> UtteranceTable:
    """The utterances of one corpus."""
    return table.where(lambda u: u.corpus == corpus)


def info_of(corpus: str) -> CorpusInfo | None:
    """The data sheet of a corpus; None for one's own folder."""
    return corpora.get(corpus).INFO if corpus in corpora.names() else None


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
        for corpus, s in by_corpus(table, seconds).items()
    )


def describe(table: UtteranceTable, seconds: Sequence[float]) -> str:
    """All tables as one text: classes, those of the study, genders, durations and speakers; then the notes."""
    rows = [
        [d.corpus, str(d.n), clock(d.total), *(f"{s:.2f}" for s in (d.shortest, d.median, d.mean, d.longest))]
        for d in duration_statistics(table, seconds)
    ]
    lengths = text_table(["duration", "n", "h:mm:ss", "shortest", "median", "mean", "longest (s)"], rows)
    tables = [class_table(table), study_table(table), *iemocap_tables(table)]
    parts = [*(t.text() for t in tables), gender_table(table).text(), lengths, speaker_table(table).text()]
    said = [f"note: {note}" for note in notes(table)]
    return "\n\n".join([*parts, *(["\n".join(said)] if said else [])]) + "\n"


def by_corpus(table: UtteranceTable, seconds: Sequence[float]) -> dict[str, list[float]]:
    """The durations of each corpus; raises ValueError if there are not as many as utterances."""
    if len(seconds) != len(table):
        raise ValueError(f"{len(seconds)} durations for {len(table)} utterances")
    parts: dict[str, list[float]] = {}
    for utterance, s in zip(table, seconds, strict=True):
        parts.setdefault(utterance.corpus, []).append(s)
    return dict(sorted(parts.items()))


def _dash(n: int) -> str:
    return str(n) if n else "-"
