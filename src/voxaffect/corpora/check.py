"""Is this copy of a corpus sound and whole? Every file is opened, and all is compared with the release."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from voxaffect import corpora
from voxaffect.corpora.files import AudioHeader, content_digest, media_files, name_of
from voxaffect.corpora.info import CorpusInfo, Fact
from voxaffect.corpora.text import clock, counted, text_table
from voxaffect.errors import AudioError, CorpusError, ExitCode
from voxaffect.table import Utterance, UtteranceTable

N_NAMED = 10
"""How many names a report gives of each kind of fault; the rest is counted."""


@dataclass(frozen=True)
class CheckReport:
    """What `check` found in one copy of a corpus.

    `table` holds the sound utterances only. `missing` are files that the corpus lists but that are not there,
    `extra` media files that it does not list and that nothing explains, `left_out` how many of the others
    there are for each reason. `withdrawn` names those of the missing files that the corpus took back, by the
    release that had them last. `unreadable` are 0-byte files, headers without samples, what is not audio,
    and what is cut short or damaged, each with its reason. `conflicts` are faults between utterances: the same
    audio under two labels or speakers, times beyond the end of a file. `repeats` are byte-identical files of one
    speaker and label, which harm no split by speaker. `formats` counts recordings by sample rate and channels.
    """

    info: CorpusInfo
    root: Path
    table: UtteranceTable
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    repeats: tuple[str, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    withdrawn: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    formats: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    facts: tuple[Fact, ...] = ()

    @property
    def surplus(self) -> tuple[str, ...]:
        """Labels of which there are more utterances than in the official release."""
        counts = self.table.counts(lambda u: u.label)
        return tuple(
            f"{label}: {n} here, {self.info.expected.get(label, 0)} official"
            for label, n in counts.items()
            if self.info.expected and n > self.info.expected.get(label, 0) + self.info.optional.get(label, 0)
        )

    @property
    def complete(self) -> bool:
        """Whether the copy holds just what the official release holds, with or without what is optional (true where
        there is no release)."""
        counts = self.table.counts(lambda u: u.label)
        more = {label: n + self.info.optional.get(label, 0) for label, n in self.info.expected.items()}
        same_counts = not self.info.expected or counts in (dict(self.info.expected), more)
        return same_counts and self.info.n_speakers in (None, len(self.table.speakers))

    def sound(self, *, allow_missing: bool = False) -> bool:
        """Whether all of it can be used as it is; `allow_missing` forgives missing and extra files."""
        incomplete = bool(self.missing or self.extra) and not allow_missing
        return bool(len(self.table)) and not (incomplete or self.unreadable or self.conflicts or self.surplus)

    def exit_code(self, *, allow_missing: bool = False) -> ExitCode:
        """What `corpus check` exits with: 0 if sound, a subset included; 4 otherwise."""
        return ExitCode.OK if self.sound(allow_missing=allow_missing) else ExitCode.NOTHING_USABLE

    def text(self) -> str:
        """The report for a terminal."""
        return "\n".join(_lines(self)) + "\n"


def check(name: str, root: str | Path, *, progress: Callable[[int, int], None] | None = None) -> CheckReport:
    """Open every file of the corpus `name` under `root` and compare what is found with the official release.

    `progress` is called with the number of utterances done and their total. Nothing is written below `root`.

    Raises:
        UsageError: `unknown_corpus`.
        CorpusError: as `voxaffect.corpora.listed`, and `corpus_changed`.
    """
    root = Path(root)
    table = corpora.listed(name, root)
    info = corpora.get(name).INFO
    missing: list[str] = []
    unreadable: list[str] = []
    conflicts: list[str] = []
    headers: dict[Path | str, AudioHeader] = {}
    faulty: dict[Path | str, str] = {}
    sound: list[Utterance] = []
    absent: list[Path] = []
    for done, utterance in enumerate(table, start=1):
        path = corpora.source(utterance)
        if path not in headers and path not in faulty:
            try:
                header = corpora.header(utterance)
                corpora.check_whole(utterance)
                headers[path] = header
            except (AudioError, CorpusError) as error:
                faulty[path] = error.code
                (missing if error.code == "not_found" else unreadable).append(error.message)
                if error.code == "not_found":
                    absent.append(utterance.path)
        if path in headers:
            sound.append(utterance)
            conflicts += _beyond_the_end(utterance, headers[path].duration)
        if progress:
            progress(done, len(table))
    found = UtteranceTable(tuple(sound))
    try:
        clashes, repeats = _duplicates(found, info)
    except OSError as error:
        raise CorpusError(
            "corpus_changed",
            f"{error.filename} changed while {root} was being checked",
            hint="check again when nothing writes there",
        ) from error
    extra, left_out = _unlisted(name, root, {u.path for u in table})
    return CheckReport(
        info=info,
        root=root,
        table=found,
        missing=tuple(missing),
        extra=extra,
        unreadable=tuple(unreadable),
        conflicts=(*conflicts, *clashes),
        repeats=repeats,
        left_out=left_out,
        withdrawn=_withdrawn(name, root, absent),
        formats=dict(
            Counter(
                f"{h.sample_rate} Hz, {counted(h.channels, 'channel')}"
                for path, h in headers.items()
                if isinstance(path, Path)
            ).most_common()
        ),
        seconds=sum(_seconds(u, headers[corpora.source(u)].duration) for u in found),
        facts=tuple(corpora.facts(name, found)),
    )


def _seconds(utterance: Utterance, duration: float) -> float:
    end = duration if utterance.end is None else min(utterance.end, duration)
    return max(end - (utterance.start or 0.0), 0.0)


def _beyond_the_end(utterance: Utterance, duration: float) -> list[str]:
    last = utterance.end if utterance.end is not None else utterance.start
    if last is None or last <= duration:
        return []
    return [f"{utterance.id} reaches to {last:g} s, but {utterance.path.name} ends at {duration:.2f} s"]


def _duplicates(table: UtteranceTable, info: CorpusInfo) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Files with the same bytes: (those that disagree in label or speaker, the harmless rest)."""
    by_size: dict[int, dict[Path, Utterance]] = defaultdict(dict)
    for utterance in table:
        by_size[utterance.path.stat().st_size].setdefault(utterance.path, utterance)
    clashes, repeats = [], []
    for same_size in by_size.values():
        by_digest: dict[str, list[Utterance]] = defaultdict(list)
        if len(same_size) > 1:
            for utterance in same_size.values():
                by_digest[content_digest(utterance.path)].append(utterance)
        for same in by_digest.values():
            if len(same) < 2:
                continue
            names = " = ".join(u.id for u in same)
            if len({(u.label, u.speaker) for u in same}) > 1:
                clashes.append(f"{names}: the same audio under different labels or speakers")
            elif frozenset(u.id.partition("/")[2] for u in same) in info.known_duplicates:
                repeats.append(f"{names}: the same audio, in the official release too")
            else:
                repeats.append(f"{names}: the same audio, one speaker and label")
    return tuple(sorted(clashes)), tuple(sorted(repeats))


def _unlisted(name: str, root: Path, listed: set[Path]) -> tuple[tuple[str, ...], dict[str, int]]:
    """Media files that the corpus does not list: (names of the unexplained, counts of the rest by reason)."""
    extra: list[str] = []
    reasons: Counter[str] = Counter()
    for path in media_files(root) if root.is_dir() else ():
        if path in listed:
            continue
        reason = corpora.explain(name, path)
        if reason:
            reasons[reason] += 1
        else:
            extra.append(str(path.relative_to(root)))
    return tuple(extra), dict(sorted(reasons.items()))


def _withdrawn(name: str, root: Path, absent: list[Path]) -> dict[str, tuple[str, ...]]:
    """Which of the files that are not there were taken back, by the release that had them last."""
    last = corpora.withdrawn(name, root) if absent else {}
    releases = {path.name: last[name_of(path)] for path in absent if name_of(path) in last}
    return {
        release: tuple(file for file, r in releases.items() if r == release)
        for release in sorted(set(releases.values()))
    }


def _lines(report: CheckReport) -> Iterable[str]:
    info, table = report.info, report.table
    official = info.n_utterances
    yield f"{info.title} in {report.root}"
    utterances, speakers = _of(len(table), official), _of(len(table.speakers), info.n_speakers)
    yield f"{utterances} utterances, {speakers} speakers, {clock(report.seconds)}"
    formats = [f"{counted(n, 'file')} at {form}" for form, n in report.formats.items()]
    yield f"format: {'; '.join(formats) or 'no recordings'}"
    yield ""
    counts = table.counts(lambda u: u.label)
    labels = list(info.expected) or list(counts)
    rows = [[label, str(counts.get(label, 0)), str(info.expected.get(label, "-"))] for label in labels]
    total = ["total", str(len(table)), str(official or "-")]
    yield text_table(["class", "here", "official"], [*rows, total])
    if report.facts:
        yield ""
        yield text_table(
            ["figure", "here", "official"], [[f.name, str(f.found), str(f.expected)] for f in report.facts]
        )
    yield ""
    for title, names in (
        ("listed, but not there", report.missing),
        ("not part of the corpus", report.extra),
        ("unreadable or cut short, not counted", report.unreadable),
        ("contradictory", report.conflicts),
        ("more than in the official release", report.surplus),
    ):
        if names:
            yield f"{title}: {len(names)}"
            yield from _first(names)
    for release, names in report.withdrawn.items():
        yield f"of those not there, withdrawn after {release}: {len(names)}"
        yield from _first(names)
    yield from (f"left out: {counted(n, 'file')} ({reason})" for reason, n in report.left_out.items())
    if report.repeats:
        yield f"note: {counted(len(report.repeats), 'repeat')}"
        yield from _first(report.repeats)
    yield from (f"note: {note}" for note in info.notes)
    yield _verdict(report)


def _verdict(report: CheckReport) -> str:
    if not report.sound(allow_missing=True):
        return "verdict: not usable as it is; see above"
    if report.missing or report.extra:
        return (
            "verdict: what is here is sound, but files are missing or unknown (--allow-missing accepts that)"
        )
    if not report.info.expected:
        return "verdict: sound; there are no official counts to compare with"
    return (
        "verdict: complete"
        if report.complete
        else "verdict: a subset of the official release; what is here is sound"
    )


def _first(names: tuple[str, ...]) -> Iterable[str]:
    yield from (f"  {name}" for name in names[:N_NAMED])
    if len(names) > N_NAMED:
        yield f"  … and {len(names) - N_NAMED} more"


def _of(found: int, official: int | None) -> str:
    return str(found) if official in (None, found) else f"{found} of {official}"
