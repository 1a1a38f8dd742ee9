"""The auditor: what training, dev and test share in each fold, whoever made the folds.

Kinds of leak, each between two parts of a fold:

utterance  the same id in both                 speaker   the same speaker in both
dialogue   another speaker of the same dialogue (where no dialogue is known: of the same session)
session    the same recording session          text      the same words, but for case and punctuation
take       another take of the same line: same speaker, text and label
audio      the same recording: equal samples, or the same at another gain, sample rate or codec (`fingerprint`)
label      one recording under two labels, wherever it stands

`audit(...).to_dict()`, which `voxaffect audit --json` prints:

    {"schema": "voxaffect.audit/1", "source", "n_utterances", "n_speakers",
     "folds": [{"name", "seed", "train": n, "dev": n, "test": n}],
     "kinds": [{"kind", "checked": bool, "note": why not, or of how many utterances it is known,
                "findings": [{"fold", "seed", "between": ["train", "test"], "n": utterances of the second part that
                              share something with the first, "of": its size, "n_values", "examples": up to 5}]}],
     "twins": [{"first", "second" (ids), "agreement", "exact": bool, "labels": [both]}],
     "contradictions": [[ids of one recording under several labels], ...],
     "optimistic": [reasons that fold names give],
     "fail_on": [kinds], "failed": [those of them that were found between test and train, or test and dev; of dialogue,
                                    session and text with train alone], "clean": bool}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from voxaffect.division import Clip, Division, FoldRows
from voxaffect.errors import CorpusError, UsageError
from voxaffect.fingerprint import Twins, fingerprint, twins
from voxaffect.metadata import Metadata, plain_text
from voxaffect.stamps import optimistic_reason
from voxaffect.trainings import PARTS

SCHEMA = "voxaffect.audit/1"
KINDS = ("utterance", "speaker", "dialogue", "session", "text", "take", "audio", "label")
FAIL_ON = ("utterance", "speaker", "dialogue", "take", "audio", "label")
"""What makes a split fail unless something else is asked for: a test utterance that was heard before, or whose speaker
or partner was. A shared session or text is reported: EmoDB's ten texts and RAVDESS' two are never unseen."""
LEARNED = ("dialogue", "session", "text")
"""Kinds that harm where the model learned from them; shared with dev alone, as where the partner selects, they do not
fail."""
NEEDS = {
    "speaker": "no speaker is known",
    "dialogue": "neither dialogues nor sessions of several speakers are known",
    "session": "no session is known",
    "text": "no text is known",
    "take": "needs speaker, text and take",
}
BETWEEN = (("train", "test"), ("dev", "test"), ("train", "dev"))
N_EXAMPLES = 5

Progress = Callable[[Sequence[Clip]], Iterable[Clip]]


@dataclass(frozen=True)
class Finding:
    """What two parts of one fold share: `n` of the `of` utterances of the second have it in common with the first."""

    fold: str
    seed: int | None
    between: tuple[str, str]
    n: int
    of: int
    n_values: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class KindReport:
    """All findings of one kind; `note` says why it was not `checked`, or of how many utterances it is known."""

    kind: str
    checked: bool
    note: str
    findings: tuple[Finding, ...] = ()

    @property
    def leaks(self) -> tuple[Finding, ...]:
        """The findings that can make test figures better: shared with test, and of `LEARNED` kinds with training."""
        others = ("train",) if self.kind in LEARNED else ("train", "dev")
        return tuple(f for f in self.findings if f.between[1] == "test" and f.between[0] in others)


@dataclass(frozen=True)
class FoldSize:
    """How many utterances have each part of a fold."""

    name: str
    seed: int | None
    train: int
    dev: int
    test: int


@dataclass(frozen=True)
class SameAudio:
    """Two utterances that are one recording; see `voxaffect.fingerprint.Twins`."""

    first: str
    second: str
    agreement: float
    exact: bool
    labels: tuple[str, str]


@dataclass(frozen=True)
class Audit:
    """Everything found. `contradictions` are the ids of each recording that stands under several labels."""

    source: str
    n_utterances: int
    n_speakers: int
    folds: tuple[FoldSize, ...]
    kinds: tuple[KindReport, ...]
    twins: tuple[SameAudio, ...]
    contradictions: tuple[tuple[str, ...], ...]
    optimistic: tuple[str, ...]
    fail_on: tuple[str, ...] = FAIL_ON

    @property
    def failed(self) -> tuple[str, ...]:
        """The kinds of `fail_on` that leak, and `label` where one recording has several."""
        found = {k.kind for k in self.kinds if k.leaks}
        found |= {"label"} if self.contradictions else set()
        return tuple(kind for kind in self.fail_on if kind in found)

    def to_dict(self) -> dict[str, object]:
        """All of it as JSON values, see the module."""
        return {"schema": SCHEMA, **asdict(self), "failed": self.failed, "clean": not self.failed}

    def render(self) -> str:
        """The audit as aligned text for a terminal."""
        from voxaffect.audit_text import render  # the text needs this class

        return render(self)


def check_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """`kinds` in the order of KINDS; UsageError `unknown_kind` if one is none."""
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError("unknown_kind", f"unknown kind of leak {kind!r}; expected some of {list(KINDS)}")
    return tuple(kind for kind in KINDS if kind in kinds)


def audit(
    division: Division, *, audio: bool = True, fail_on: Sequence[str] = FAIL_ON, progress: Progress = iter
) -> Audit:
    """What the parts of each fold of `division` share. With `audio`, every recording is decoded once.

    `progress` wraps the loop over recordings.

    Raises:
        UsageError: `unknown_kind`.
        CorpusError: `missing_files` if recordings are not there, and what decoding them raises.
    """
    known, fail_on = division.utterances, check_kinds(fail_on)
    why_not = division.no_audio or ("" if audio else "not asked for")
    if not why_not and not any(division.clips):
        why_not = "no recording is known"
    pairs = () if why_not else _twins(division.clips, progress)
    groups = _recordings(known.ids, pairs)
    speakers, labels = _qualified(known, "speaker"), known.column("label")
    contradictions = _contradictions(known.ids, labels, groups)
    values = {
        "utterance": known.ids,
        "speaker": speakers,
        "dialogue": _dialogues(known),
        "session": _qualified(known, "session"),
        "text": tuple(map(plain_text, known.column("text"))),
        "take": _lines(known),
        "audio": groups,
    }
    clips_known = 0 if why_not else len(known) - division.clips.count(None)
    kinds = []
    for kind, cells in values.items():
        n = clips_known if kind == "audio" else len(known) - cells.count("")
        note = f"known for {n} of {len(known)} utterances" if 0 < n < len(known) else ""
        if n:
            kinds.append(KindReport(kind, True, note, _findings(kind, cells, speakers, division.folds)))
        else:
            kinds.append(KindReport(kind, False, why_not if kind == "audio" else NEEDS[kind]))
    labelled = any(labels)
    kinds.append(
        KindReport(
            "label", bool(clips_known and labelled), why_not or ("" if labelled else "no label is known")
        )
    )
    return Audit(
        source=division.source,
        n_utterances=len(known),
        n_speakers=len(set(speakers) - {""}),
        folds=tuple(
            FoldSize(f.name, f.seed, *(len(f.parts[part]) for part in PARTS)) for f in division.folds
        ),
        kinds=tuple(kinds),
        twins=tuple(
            SameAudio(
                known.ids[t.first],
                known.ids[t.second],
                t.agreement,
                t.exact,
                (labels[t.first], labels[t.second]),
            )
            for t in pairs
        ),
        contradictions=contradictions,
        optimistic=tuple(sorted({reason for f in division.folds if (reason := optimistic_reason(f.name))})),
        fail_on=fail_on,
    )


def _findings(
    kind: str, cells: Sequence[str], speakers: Sequence[str], folds: Sequence[FoldRows]
) -> tuple[Finding, ...]:
    """What each two parts of each fold share of one kind; a dialogue counts where somebody else speaks in it."""
    findings = []
    for fold in folds:
        for between in BETWEEN:
            first, second = (fold.parts[part] for part in between)
            voices: dict[str, set[str]] = {}
            for i in first:
                voices.setdefault(cells[i], set()).add(speakers[i])
            shared = [
                cells[i]
                for i in second
                if cells[i] in voices
                and cells[i]
                and (kind != "dialogue" or not speakers[i] or voices[cells[i]] - {speakers[i]})
            ]
            if shared:
                counts = Counter(shared)
                examples = tuple(value for value, _ in counts.most_common(N_EXAMPLES))
                findings.append(
                    Finding(fold.name, fold.seed, between, len(shared), len(second), len(counts), examples)
                )
    return tuple(findings)


def _qualified(known: Metadata, column: str) -> tuple[str, ...]:
    """The cells of a column, told apart by corpus where that is known."""
    pairs = zip(known.column("corpus"), known.column(column), strict=True)
    return tuple(
        f"{corpus}/{cell}" if corpus and cell and not cell.startswith(f"{corpus}/") else cell
        for corpus, cell in pairs
    )


def _dialogues(known: Metadata) -> tuple[str, ...]:
    """The dialogue of each utterance; where none is known, its session, if several speakers are heard in it."""
    dialogues, sessions = _qualified(known, "dialogue"), _qualified(known, "session")
    speakers: dict[str, set[str]] = {}
    for session, speaker in zip(sessions, known.column("speaker"), strict=True):
        speakers.setdefault(session, set()).add(speaker)
    return tuple(
        dialogue or (session if len(speakers[session]) > 1 else "")
        for dialogue, session in zip(dialogues, sessions, strict=True)
    )


def _lines(known: Metadata) -> tuple[str, ...]:
    """Who says what and how, of utterances of which the take is known: the takes of one line are alike."""
    columns = (known.column(name) for name in ("speaker", "text", "label", "take"))
    return tuple(
        f"{speaker}: {plain_text(text)}" + (f" ({label})" if label else "")
        if speaker and text and take
        else ""
        for speaker, text, label, take in zip(*columns, strict=True)
    )


def _twins(clips: Sequence[Clip | None], progress: Progress) -> tuple[Twins, ...]:
    present = [(i, clip) for i, clip in enumerate(clips) if clip]
    if absent := [clip.path for _, clip in present if not clip.path.is_file()]:
        raise CorpusError(
            "missing_files",
            f"{len(absent)} of {len(present)} recordings are not there, the first is {absent[0]}",
            hint="--no-audio compares everything else",
        )
    prints = [fingerprint(c.path, c.start, c.end) for c in progress([clip for _, clip in present])]
    rows = [i for i, _ in present]
    return tuple(replace(t, first=rows[t.first], second=rows[t.second]) for t in twins(prints))


def _recordings(ids: Sequence[str], pairs: Iterable[Twins]) -> tuple[str, ...]:
    """The first id of the recording that each utterance shares with another, "" for one that stands alone."""
    first = list(range(len(ids)))

    def root(i: int) -> int:
        while first[i] != i:
            i = first[i]
        return i

    shared = set()
    for t in pairs:
        a, b = sorted((root(t.first), root(t.second)))
        first[b] = a
        shared |= {t.first, t.second}
    return tuple(ids[root(i)] if i in shared else "" for i in range(len(ids)))


def _contradictions(
    ids: Sequence[str], labels: Sequence[str], recordings: Sequence[str]
) -> tuple[tuple[str, ...], ...]:
    members: dict[str, list[int]] = {}
    for i, recording in enumerate(recordings):
        if recording:
            members.setdefault(recording, []).append(i)
    return tuple(
        tuple(ids[i] for i in rows) for rows in members.values() if len({labels[i] for i in rows} - {""}) > 1
    )
