"""A corpus analysis as one self-contained HTML page: tables, pictures, notes and the corpora's data sheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from voxaffect.analysis import (
    OTHER,
    STUDY_CLASSES,
    STUDY_COUNTS,
    Crosstab,
    class_table,
    duration_statistics,
    gender_table,
    iemocap_tables,
    info_of,
    notes,
    of_corpus,
    speaker_table,
    study_class,
    study_table,
)
from voxaffect.analysis_figures import WIDTH, pictures
from voxaffect.corpora import iemocap
from voxaffect.corpora.text import clock, counted
from voxaffect.errors import UsageError
from voxaffect.files import write_text
from voxaffect.html_page import (
    Beside,
    Cell,
    Content,
    Figure,
    Part,
    Section,
    Table,
    bullets,
    code,
    element,
    join,
    page,
    paragraph,
    terms,
)
from voxaffect.table import UtteranceTable

PAGE_SUFFIXES = (".html", ".htm")
MAX_SPEAKERS = 100
"""Speakers of a corpus that have a row each; those with the most utterances are chosen, the rest is counted."""
_CSS_PIXELS = round(96 * WIDTH)


def check_page_path(path: Path) -> None:
    """Raise UsageError `page_format` or `no_such_folder` unless a page can be written to `path`."""
    if path.suffix.casefold() not in PAGE_SUFFIXES:
        raise UsageError(
            "page_format",
            f"cannot write a page to {path.name!r}; expected a name ending in {list(PAGE_SUFFIXES)}",
        )
    if not path.parent.is_dir():
        raise UsageError("no_such_folder", f"{path.parent} is not a folder", where=str(path))


def write_page(table: UtteranceTable, seconds: Sequence[float], path: str | Path) -> None:
    """Write `html` to `path`.

    Raises:
        UsageError: `page_format`, `no_such_folder`, or `missing_dependency` without matplotlib.
        ResourceError: `disk_full`, `cannot_write`.
    """
    path = Path(path)
    check_page_path(path)
    write_text(path, html(table, seconds))


def html(table: UtteranceTable, seconds: Sequence[float]) -> str:
    """The page as text, the same for the same table and durations."""
    drawn = pictures(table, seconds)
    names = list(table.counts(lambda u: u.corpus))
    lead = (
        f"{counted(len(table), 'utterance')} by {counted(len(table.speakers), 'speaker')}, {clock(sum(seconds))} "
        f"(h:mm:ss) of speech: {', '.join(map(_title, names))}. Everything here is counted from the files."
    )
    said = notes(table)
    told = [paragraph("For a comparison with other tables:"), bullets(said)] if said else []
    sections = [
        Section("Classes", [_study(table), *told, *_classes(table, drawn)]),
        *([Section("IEMOCAP's four classes", _iemocap(table, drawn))] if iemocap_tables(table) else []),
        Section("Durations", _durations(table, seconds, drawn)),
        Section("Speakers and genders", _speakers(table, drawn)),
        Section("Where the corpora come from", [_sheet(name) for name in names]),
    ]
    title = "Corpus analysis: " + ", ".join(map(_title, names))
    return page(
        title,
        sections,
        lead=[paragraph(lead)],
        footer=join(
            "Labels say what listeners heard or actors were asked for, not what anybody felt. Made by ",
            code("voxaffect corpus analyse"),
            ".",
        ),
    )


def _study(table: UtteranceTable) -> Table:
    """Data bases by the study's classes; below each what its release and the study's table have, if it differs."""
    found = study_table(table)
    columns = found.columns if OTHER in found.columns else (*found.columns, OTHER)
    rows: list[list[Content | Cell]] = []
    for corpus, counts in zip(found.rows, found.counts, strict=True):
        here = dict(zip(found.columns, counts, strict=True))
        official, printed = _official(corpus), STUDY_COUNTS.get(corpus, {})
        meant = {label: official.get(label, 0) for label in printed}  # the study leaves some classes out
        rows.append(_row(_title(corpus), here, official or here, columns))
        if official and official != {label: n for label, n in here.items() if n}:
            rows.append(_row("its official release", official, official, columns, soft=True))
        if printed != meant:
            rows.append(_row("in the study's table", printed, meant, columns, soft=True))
    return Table(
        ["data base", *columns, "total"],
        rows,
        "Data bases by the classes of the study",
        note="IEMOCAP's excited counts as happy. Bold: not what the official release has.",
    )


def _row(
    name: str,
    counts: Mapping[str, int],
    official: Mapping[str, int],
    columns: Sequence[str],
    *,
    soft: bool = False,
) -> list[Content | Cell]:
    cells = [Cell(_dash(counts.get(c, 0)), strong=counts.get(c, 0) != official.get(c, 0)) for c in columns]
    return [element("span", name, class_="soft") if soft else name, *cells, _dash(sum(counts.values()))]


def _official(corpus: str) -> dict[str, int]:
    """What the official release of `corpus` has of each class of the study; empty where that is not known."""
    info, official = info_of(corpus), dict[str, int]()
    for label, n in info.expected.items() if info else ():
        official[study_class(label)] = official.get(study_class(label), 0) + n
    return {c: official[c] for c in (*STUDY_CLASSES, OTHER) if official.get(c)}


def _classes(table: UtteranceTable, drawn: Mapping[str, bytes]) -> list[Part]:
    classes = class_table(table)
    return [
        Beside([
            _picture(drawn["classes"], "Utterances of each class", classes),
            _crosstab(classes, "Every class, as the corpora label it"),
        ])
    ]  # fmt: skip


def _iemocap(table: UtteranceTable, drawn: Mapping[str, bytes]) -> list[Part]:
    published = (
        f"Published for the release: {sum(iemocap.FOUR_CLASS_SESSIONS.values())} utterances, by session "
        f"{', '.join(map(str, iemocap.FOUR_CLASS_SESSIONS.values()))}; improvised {iemocap.STYLES['improvised']}, "
        f"scripted {iemocap.STYLES['scripted']}."
    )
    parts: list[Part] = [paragraph("Excited is counted as happy; the other labels are left out. ", published)]
    for i, part in enumerate(iemocap_tables(table)):
        by = "by session" if part.columns[0].startswith("Ses") else "by style"
        caption = f"{_title(part.title)}: four classes {by}"
        parts.append(Beside([_picture(drawn[f"iemocap {i}"], caption, part), _crosstab(part, caption)]))
    return parts


def _durations(table: UtteranceTable, seconds: Sequence[float], drawn: Mapping[str, bytes]) -> list[Part]:
    rows = [
        [
            _title(d.corpus),
            str(d.n),
            clock(d.total),
            *(f"{s:.2f}" for s in (d.shortest, d.median, d.mean, d.longest)),
        ]
        for d in duration_statistics(table, seconds)
    ]
    words = "; ".join(f"{row[0]}: median {row[4]} s, {row[2]} in all" for row in rows)
    head = ["data base", "n", "h:mm:ss", "shortest", "median", "mean", "longest"]
    picture = Figure(
        drawn["durations"], "How long the utterances are", alt=f"Histograms. {words}.", width=_CSS_PIXELS
    )
    return [Beside([picture, Table(head, rows, "Durations of the utterances, in seconds")])]


def _speakers(table: UtteranceTable, drawn: Mapping[str, bytes]) -> list[Part]:
    genders = gender_table(table)
    by_speaker = {u.speaker: (u.corpus, u.gender or "unknown") for u in table}
    rows = [
        [
            _title(corpus),
            *(_people(by_speaker, corpus, gender, n) for gender, n in zip(genders.rows, counts, strict=True)),
        ]
        for corpus, counts in zip(genders.columns, zip(*genders.counts, strict=True), strict=True)
    ]
    head = ["data base", *genders.rows]
    return [
        Beside([
            _picture(drawn["genders"], "Female and male speech", genders),
            Table(head, rows, "Speakers by gender, with their utterances", note="unknown: the corpus does not say."),
        ]),
        Beside([
            _picture(drawn["speakers"], "Utterances of each speaker", None),
            *(_speaker_heat(of_corpus(table, name)) for name in genders.columns),
        ]),
    ]  # fmt: skip


def _people(by_speaker: Mapping[str, tuple[str, str]], corpus: str, gender: str, n: int) -> str:
    speakers = sum(who == (corpus, gender) for who in by_speaker.values())
    return f"{speakers} ({n})" if n else "-"


def _speaker_heat(table: UtteranceTable) -> Table:
    """One corpus: speakers by class, darker where a speaker has more of a class."""
    counts = speaker_table(table)
    corpus = table[0].corpus
    ranked = sorted(zip(counts.rows, counts.counts, strict=True), key=lambda row: -sum(row[1]))
    shown = sorted(ranked[:MAX_SPEAKERS])
    highest = max(max(row) for _, row in shown)
    rows: list[list[Content | Cell]] = [
        [name.partition("/")[2], *(Cell(_dash(n), heat=n / highest) for n in row), str(sum(row))]
        for name, row in shown
    ]
    left = len(ranked) - len(shown)
    note = f"The {MAX_SPEAKERS} with the most utterances; {left} more have fewer." if left else ""
    return Table(
        ["speaker", *counts.columns, "total"],
        rows,
        f"{_title(corpus)}: speakers by class",
        note=note,
        compact=True,
    )


def _sheet(corpus: str) -> Section:
    info = info_of(corpus)
    if info is None:
        return Section(corpus, [paragraph("A corpus of your own; its terms are yours to know.")])
    pairs = [
        ("name", info.name),
        ("licence", info.licence),
        ("citation", info.citation),
        ("source", info.url),
        ("official release", _release(info.n_utterances, info.n_speakers)),
    ]
    return Section(info.title, [terms(pairs), bullets(info.notes)])


def _release(n_utterances: int | None, n_speakers: int | None) -> str:
    said = [counted(n, noun) for n, noun in ((n_utterances, "utterance"), (n_speakers, "speaker")) if n]
    return ", ".join(said) or "no counts"


def _picture(picture: bytes, caption: str, table: Crosstab | None) -> Figure:
    alt = "Bars, one for each speaker; the tables have the same numbers."
    if table is not None:
        cells = [
            f"{column} {n}"
            for column, n in zip(table.columns, map(sum, zip(*table.counts, strict=True)), strict=True)
        ]
        alt = f"Bars by {table.title}. In all: {', '.join(cells)}."
    return Figure(picture, caption, alt=alt, width=_CSS_PIXELS)


def _crosstab(table: Crosstab, caption: str) -> Table:
    totals = [sum(column) for column in zip(*table.counts, strict=True)]
    rows: list[list[Content | Cell]] = [
        [row, *map(_dash, counts), str(sum(counts))]
        for row, counts in zip(table.rows, table.counts, strict=True)
    ]
    rows.append([Cell(text, strong=True) for text in ("total", *map(_dash, totals), str(sum(totals)))])
    return Table([table.title, *table.columns, "total"], rows, caption)


def _title(corpus: str) -> str:
    info = info_of(corpus)
    return info.title if info else corpus


def _dash(n: int) -> str:
    return str(n) if n else "-"
