"""Corpora of emotional speech, one module each: a data sheet `INFO` and `read(root)`.

A corpus is added by adding a file here; nothing else lists them. Its docstring is the data sheet in prose,
`INFO` the same in figures (a hyphen in its name is an underscore in the file's), `read(root)` turns an unpacked
release into an `UtteranceTable` without writing anything or opening any audio. It may also offer
`explain(path)`, the reason why a media file of the release is not among the utterances (None: no reason known),
`facts(table)`, further figures to compare with the release, and `withdrawn(root)`, the files that earlier releases
had, each with the last that had it. A corpus of features in place of recordings offers `segments(utterance)`,
what a model is trained on, and `header(utterance)`, how long it was.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from voxaffect.corpora.files import AudioHeader, audio_header, media_files, name_of
from voxaffect.corpora.files import check_whole as check_file
from voxaffect.corpora.info import CorpusInfo, Download, Fact
from voxaffect.errors import CorpusError, UsageError
from voxaffect.table import Utterance, UtteranceTable

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "CorpusInfo",
    "CorpusReader",
    "Download",
    "Fact",
    "closest",
    "difference",
    "explain",
    "facts",
    "get",
    "header",
    "listed",
    "names",
    "read",
    "source",
    "stored_segments",
    "withdrawn",
]

N_DIFFERENCES = 6
"""How many differing figures `difference` names; the rest is counted."""


class CorpusReader(Protocol):
    """What each corpus module offers."""

    INFO: CorpusInfo

    def read(self, root: Path) -> UtteranceTable:
        """Every utterance that the release under `root` lists, in order of its id."""


@cache
def names() -> tuple[str, ...]:
    """The names of all corpora that can be read, in alphabetical order."""
    modules = [_module(module.name) for module in pkgutil.iter_modules(__path__)]
    return tuple(sorted(module.INFO.name for module in modules if _is_reader(module)))


def get(name: str) -> CorpusReader:
    """The reader of the corpus `name`.

    Raises:
        UsageError: `unknown_corpus`.
    """
    if name not in names():
        near = difflib.get_close_matches(name.casefold(), names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "for a corpus of your own, use 'folder'"
        raise UsageError(
            "unknown_corpus", f"unknown corpus {name!r}; expected one of {list(names())}", hint=hint
        )
    return cast(CorpusReader, _module(name))


def read(name: str, root: str | Path, *, allow_missing: bool = False) -> UtteranceTable:
    """The utterances of the corpus `name` under `root`, in order of their ids; nothing is written there.

    An utterance whose file is absent or holds 0 bytes is an error, or with `allow_missing` left out;
    `voxaffect.corpora.check.check` names and counts such files.

    Raises:
        UsageError: `unknown_corpus`.
        CorpusError: `no_such_folder`, `corpus_layout`, `missing_files`, and what its index gets wrong.
    """
    table = listed(name, root)
    absent = [u for u in table if not _has_bytes(u)]
    if absent and not allow_missing:
        first = ", ".join(u.path.name for u in absent[:10])
        raise CorpusError(
            "missing_files",
            f"{len(absent)} of {len(table)} files of {get(name).INFO.title} are absent or empty: {first}",
            hint=f"see: voxaffect corpus check {name} {root}; or allow missing files",
            where=str(root),
        )
    gone = {u.id for u in absent}
    return table.where(lambda u: u.id not in gone)


def listed(name: str, root: str | Path) -> UtteranceTable:
    """Every utterance that the corpus lists under `root`, whether or not its file is there.

    Raises:
        UsageError: `unknown_corpus`.
        CorpusError: as `read`, but for `missing_files`.
    """
    reader, root = get(name), Path(root)
    table = reader.read(root)
    if not len(table):
        raise layout_error(reader.INFO, root)
    return table


def closest(root: str | Path) -> tuple[int, list[tuple[str, int]]]:
    """How many media files lie under `root`, and how many names match each corpus, most first."""
    stems = [name_of(path) for path in media_files(Path(root))]
    counts = [(name, sum(map(get(name).INFO.matches, stems))) for name in names()]
    return len(stems), sorted(counts, key=lambda item: (-item[1], item[0]))


def layout_error(info: CorpusInfo, root: Path) -> CorpusError:
    """The error for a folder that does not hold the corpus `info`, naming the corpus that it looks like."""
    total, ranking = closest(root)
    if info.file_pattern:
        message = (
            f"{root} does not look like {info.title} ({dict(ranking)[info.name]} of {total} names match)"
        )
    else:
        message = f"{root} does not hold {info.layout}"
    best, matched = ranking[0]
    hint = None
    if best != info.name and matched:
        message += f"; closest: {get(best).INFO.title} ({matched})"
        hint = f"use the name {best!r}"
    elif total == 0:
        hint = "it holds no audio files"
    return CorpusError("corpus_layout", message, hint=hint or info.how_to_get, where=str(root))


def explain(name: str, path: Path) -> str | None:
    """Why the media file `path` is no utterance of the corpus `name`; None if no reason is known."""
    explanation: Callable[[Path], str | None] | None = getattr(get(name), "explain", None)
    return explanation(path) if explanation else None


def facts(name: str, table: UtteranceTable) -> Sequence[Fact]:
    """Figures of `table` beside its class counts, with those of the official release of the corpus `name`."""
    compute: Callable[[UtteranceTable], Sequence[Fact]] | None = getattr(get(name), "facts", None)
    return compute(table) if compute else ()


def withdrawn(name: str, root: Path) -> Mapping[str, str]:
    """Files of earlier releases of the corpus `name` by name, and the last release that had each, as `root` tells."""
    tell: Callable[[Path], Mapping[str, str]] | None = getattr(get(name), "withdrawn", None)
    return tell(root) if tell else {}


def difference(name: str, table: UtteranceTable) -> str | None:
    """How `table` differs from the official release of the corpus `name`, in one line; None if it does not."""
    info = get(name).INFO
    counts = table.counts(lambda u: u.label)
    expected = dict(info.expected)
    if info.optional and len(table) > sum(expected.values()):  # what only some copies hold is here
        expected = {label: n + info.optional.get(label, 0) for label, n in expected.items()}
    figures = [Fact("utterances", len(table), sum(expected.values()))] if expected else []
    figures += [Fact("speakers", len(table.speakers), info.n_speakers)] if info.n_speakers else []
    figures += [Fact(label, counts.get(label, 0), n) for label, n in expected.items()]
    figures += facts(name, table)
    wrong = [f"{fact.name} {fact.found} ({fact.expected})" for fact in figures if fact.found != fact.expected]
    if not wrong:
        return None
    more = f", and {len(wrong) - N_DIFFERENCES} more figures" if len(wrong) > N_DIFFERENCES else ""
    return (
        f"this copy of {info.title} is not what the official release (in brackets) holds: "
        f"{', '.join(wrong[:N_DIFFERENCES])}{more}"
    )


def source(utterance: Utterance) -> Path | str:
    """What `utterance` is kept in: its file, or, named by its id, its own part of a file of features."""
    return utterance.path if _offered(utterance, "segments") is None else utterance.id


def header(utterance: Utterance) -> AudioHeader:
    """What the file of `utterance` announces; of a corpus without recordings, what its features tell.

    Raises:
        AudioError: as `voxaffect.corpora.files.audio_header`.
        CorpusError: features that cannot be read, or hold what is no number.
    """
    measure: Callable[[Utterance], AudioHeader] | None = _offered(utterance, "header")
    return measure(utterance) if measure else audio_header(utterance.path)


def check_whole(utterance: Utterance) -> None:
    """Raise what `voxaffect.corpora.files.check_whole` finds in the recording of `utterance`, if it has one."""
    if not _offered(utterance, "header"):
        check_file(utterance.path)


def stored_segments(utterance: Utterance) -> Sequence[Mapping[str, NDArray[Any]]] | None:
    """The segments that the corpus keeps of `utterance`, by feature; None if there is a recording instead."""
    read_segments: Callable[[Utterance], Sequence[Mapping[str, NDArray[Any]]]] | None
    read_segments = _offered(utterance, "segments")
    return read_segments(utterance) if read_segments else None


def _offered(utterance: Utterance, function: str) -> Callable[..., Any] | None:
    """The function of that name that the utterance's corpus offers, if it does (one's own folder does not)."""
    return getattr(get(utterance.corpus), function, None) if utterance.corpus in names() else None


def _module(name: str) -> Any:
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def _is_reader(module: object) -> bool:
    return isinstance(getattr(module, "INFO", None), CorpusInfo) and callable(getattr(module, "read", None))


def _has_bytes(utterance: Utterance) -> bool:
    try:
        return utterance.path.stat().st_size > 0
    except OSError:
        return False
