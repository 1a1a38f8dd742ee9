"""A corpus of one's own: a CSV file, or a folder of folders named after the classes.

CSV          `root` is the file, or a folder with exactly one .csv or .tsv in it. Needed columns: path
             (relative to the file), label, speaker. Known as well: id, gender, language, session, text, take,
             start, end (seconds). Every other column becomes an attribute, a number where all of its cells
             are numbers. Comma, semicolon or tab; UTF-8, UTF-16 with BOM or Windows-1252.
Folders      `root/<label>/<speaker>/…/x.wav`. The speaker is never guessed: files that lie directly in the
             folder of a class are an error, because a split that does not know the speakers reports nonsense.
             Write a CSV for them.
Labels       ours (angry, bored, …) or the nouns in SYNONYMS, in any case; nothing becomes "other" by itself.
Names        The corpus is called `folder-NAME` after its folder or CSV file, so that speakers of two such
             corpora are never taken for one.
Licence      yours to know.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from voxaffect.corpora.files import folder, folders, locate, media_files
from voxaffect.corpora.info import CorpusInfo
from voxaffect.corpora.sheet import Row, read_sheet
from voxaffect.errors import CorpusError
from voxaffect.labels import EMOTIONS
from voxaffect.table import Utterance, UtteranceTable

SYNONYMS = {
    "anger": "angry",
    "boredom": "bored",
    "disgusted": "disgust",
    "excitement": "excited",
    "fear": "fearful",
    "frustration": "frustrated",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprise": "surprised",
}

REQUIRED_COLUMNS = ("path", "label", "speaker")
_TEXT_COLUMNS = ("session", "text", "take", "language")
_KNOWN_COLUMNS = frozenset({*REQUIRED_COLUMNS, *_TEXT_COLUMNS, "id", "gender", "start", "end"})
_GENDERS = {"": None, "f": "female", "female": "female", "m": "male", "male": "male"}
_TABLE_SUFFIXES = frozenset({".csv", ".tsv"})

INFO = CorpusInfo(
    name="folder",
    title="a folder of your own",
    licence="yours to know",
    licence_url="",
    citation="none",
    language="any",
    url="",
    labels=tuple(sorted(EMOTIONS)),
    layout="a CSV or folders named after emotions",
    how_to_get="write a CSV with the columns path, label, speaker, or sort files into LABEL/SPEAKER/ folders",
    downloadable=False,
    not_fetched="it is yours",
    notes=(
        "CSV: needs path, label, speaker; knows id, gender, language, session, text, take, start, end.",
        "Folders: LABEL/SPEAKER/file.wav. The speaker is never guessed.",
        f"Labels: {', '.join(sorted(EMOTIONS))}; also {', '.join(SYNONYMS)}.",
    ),
)


def read(root: Path) -> UtteranceTable:
    """The utterances of a CSV file, or of class-named folders.

    Raises:
        CorpusError: `no_such_folder`, `several_tables`, what `read_sheet` finds, `unknown_label`,
        `bad_times`,
            `bad_row`, `empty_cell`, `duplicate_id`, `unknown_speaker`; all but the first two name file and
            line, or folder.
    """
    if root.is_file():
        return _read_csv(root)
    tables = sorted(
        p for p in folder(root).iterdir() if p.suffix.casefold() in _TABLE_SUFFIXES and p.name[0] != "."
    )
    if len(tables) > 1:
        raise CorpusError(
            "several_tables",
            f"{root} holds {len(tables)} tables: {', '.join(p.name for p in tables[:10])}",
            hint="give the path of the one that lists the utterances",
        )
    return _read_csv(tables[0]) if tables else _read_folders(root)


def _corpus_name(path: Path) -> str:
    name = path.resolve()
    return unicodedata.normalize("NFC", f"folder-{name.stem if name.is_file() else name.name}")


def _read_csv(path: Path) -> UtteranceTable:
    rows = read_sheet(path, REQUIRED_COLUMNS)
    corpus = _corpus_name(path)
    extra = [column for column in rows[0].cells if column and column not in _KNOWN_COLUMNS]
    numeric = {column for column in extra if all(_is_number(row[column]) for row in rows if row[column])}
    lines: dict[str, int] = {}
    utterances = []
    for row in rows:
        utterance = _utterance(row, corpus, path.parent, extra, numeric)
        first = lines.setdefault(utterance.id.casefold(), row.line)
        if first != row.line:
            raise row.error(
                "duplicate_id",
                f"the id {utterance.id!r} is that of line {first} (upper and lower case count as the same)",
                hint="give an id column, or write each stretch of a file once",
            )
        utterances.append(utterance)
    return UtteranceTable.of(utterances)


def _utterance(row: Row, corpus: str, root: Path, extra: list[str], numeric: set[str]) -> Utterance:
    written, label = row.required("path"), row.required("label")
    known = to_label(label)
    if known is None:
        raise row.error("unknown_label", f"unknown label {label!r}; expected one of {sorted(EMOTIONS)}")
    gender = row["gender"].casefold()
    if gender not in _GENDERS:
        raise row.error("bad_row", f"gender is {row['gender']!r}; expected 'female', 'male' or nothing")
    start, end = _times(row)
    suffix = (
        "" if start is None and end is None else f"@{start or 0:g}-{'end' if end is None else f'{end:g}'}"
    )
    name = row["id"] or PurePosixPath(written.replace("\\", "/")).with_suffix("").as_posix() + suffix
    attributes: dict[str, str | float] = {
        column: float(row[column]) if column in numeric else row[column] for column in extra if row[column]
    }
    texts = {column: row[column] or None for column in _TEXT_COLUMNS}
    return Utterance(
        id=unicodedata.normalize("NFC", f"{corpus}/{name}"),
        path=locate(root, written),
        speaker=unicodedata.normalize("NFC", f"{corpus}/{row.required('speaker')}"),
        label=known,
        corpus=corpus,
        gender=_GENDERS[gender],
        start=start,
        end=end,
        attributes=attributes,
        **texts,
    )


def to_label(written: str) -> str | None:
    """Our word for a label that someone wrote, whatever its case and blanks; None if there is none."""
    word = written.strip().casefold()
    word = SYNONYMS.get(word, word)
    return word if word in EMOTIONS else None


def _times(row: Row) -> tuple[float | None, float | None]:
    for column in ("start", "end"):
        if row[column] and not _is_number(row[column]):
            raise row.error("bad_times", f"{column} is {row[column]!r}; expected seconds such as 12.5")
    start = float(row["start"]) if row["start"] else None
    end = float(row["end"]) if row["end"] else None
    if (start or 0.0) < 0 or (end is not None and end <= (start or 0.0)):
        raise row.error("bad_times", f"start is {start} s and end is {end} s; expected 0 <= start < end")
    return start, end


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _read_folders(root: Path) -> UtteranceTable:
    classes = [(path, to_label(path.name)) for path in folders(root)]
    if not any(label for _, label in classes):
        return UtteranceTable(())
    for path, label in classes:
        if label is None and next(media_files(path), None):
            raise CorpusError(
                "unknown_label",
                f"{path} is not named after an emotion; expected folders named {sorted(EMOTIONS)}",
                where=str(path),
            )
    return UtteranceTable.of(u for path, label in classes if label for u in _class_folder(root, path, label))


def _class_folder(root: Path, path: Path, label: str) -> Iterator[Utterance]:
    loose = list(media_files(path, recursive=False))
    if loose:
        raise CorpusError(
            "unknown_speaker",
            f"{path} holds {len(loose)} files directly: who speaks in {loose[0].name} is unknown",
            hint=f"sort them into {path.name}/SPEAKER/, or write a CSV with the columns path, label, speaker",
            where=str(path),
        )
    corpus = _corpus_name(root)
    for speaker in folders(path):
        for file in media_files(speaker):
            name = file.relative_to(root).with_suffix("").as_posix()
            yield Utterance(
                id=unicodedata.normalize("NFC", f"{corpus}/{name}"),
                path=file,
                speaker=unicodedata.normalize("NFC", f"{corpus}/{speaker.name}"),
                label=label,
                corpus=corpus,
            )
