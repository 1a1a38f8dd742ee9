"""Figures that others printed, with the protocol they belong to: shown only beside figures of the same protocol.

Percentages as printed. Sources:

STUDY   the course study whose system this package rebuilds: four speakers train, one selects, IEMOCAP's Ses05F tests
        (its percentages are whole counts out of that speaker's 590 utterances); seven members, majority vote.
METHOD  H. Zou, Y. Si, C. Chen, D. Rajan, E. S. Chng, "Speech Emotion Recognition with Co-Attention based Multi-level
        Acoustic Information", ICASSP 2022, arXiv 2203.15326.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from voxaffect.labels import FOUR
from voxaffect.predictions import Predictions

Folds = frozenset[frozenset[str]]
"""The groups of speakers that are tested together, each by its name within the corpus."""


@dataclass(frozen=True)
class PrintedResult:
    """One printed line. `wa` and `ua` are (lowest, highest) in percent, alike where one figure was printed.

    `members` is how many systems a range spans, `n_right` the count behind WA where it was printed.
    """

    system: str
    wa: tuple[float, float]
    ua: tuple[float, float]
    members: int = 1
    n_right: int | None = None


@dataclass(frozen=True)
class PrintedProtocol:
    """Results of one protocol: `what` says it in words, `caveat` what to know before comparing."""

    name: str
    what: str
    source: str
    results: tuple[PrintedResult, ...]
    n_utterances: int
    is_tested: Callable[[Folds], bool]
    caveat: str = ""


def _one_speaker(speaker: str) -> Callable[[Folds], bool]:
    return lambda folds: folds == {frozenset({speaker})}


def _sessions(folds: Folds) -> bool:
    return folds == {frozenset({f"Ses0{n}F", f"Ses0{n}M"}) for n in range(1, 6)}


def _speakers(folds: Folds) -> bool:
    return folds == {frozenset({f"Ses0{n}{sex}"}) for n in range(1, 6) for sex in "FM"}


PROTOCOLS: tuple[PrintedProtocol, ...] = (
    PrintedProtocol(
        name="study",
        what="IEMOCAP, four classes, 4:1:1 speakers, tested on the 590 utterances of Ses05F",
        source="the course study whose system this package rebuilds",
        results=(
            PrintedResult("ViT, majority vote of seven", (62.54, 62.54), (63.40, 63.40), n_right=369),
            PrintedResult(
                "CNN (AlexNet), majority vote of seven", (64.24, 64.24), (62.21, 62.21), n_right=379
            ),
            PrintedResult("CNN (AlexNet), seven single members", (61.53, 64.75), (60.34, 66.97), members=7),
        ),
        n_utterances=590,
        is_tested=_one_speaker("Ses05F"),
        caveat="Which speakers trained each member was not printed.",
    ),
    PrintedProtocol(
        name="paper-sessions",
        what="IEMOCAP, four classes, five folds by session",
        source="Zou et al., ICASSP 2022",
        results=(PrintedResult("co-attention (AlexNet, BiLSTM, wav2vec2)", (69.80, 69.80), (71.05, 71.05)),),
        n_utterances=5531,
        is_tested=_sessions,
    ),
    PrintedProtocol(
        name="paper-speakers",
        what="IEMOCAP, four classes, ten folds by speaker",
        source="Zou et al., ICASSP 2022",
        results=(PrintedResult("co-attention (AlexNet, BiLSTM, wav2vec2)", (71.64, 71.64), (72.70, 72.70)),),
        n_utterances=5531,
        is_tested=_speakers,
        caveat="The published program picks its best epoch on the very speaker that it tests on.",
    ),
)


def protocol_of(predictions: Predictions) -> PrintedProtocol | None:
    """The printed protocol that `predictions` follow in corpus, classes, utterances and tested speakers; else None."""
    ids = set(predictions.ids)
    if predictions.labels != FOUR or not all(i.startswith("iemocap") for i in ids):
        return None
    folds: dict[str, set[str]] = {}
    for fold, speaker in zip(predictions.folds, predictions.speakers, strict=True):
        folds.setdefault(fold, set()).add(speaker.rpartition("/")[2])
    tested = frozenset(frozenset(speakers) for speakers in folds.values())
    found = (p for p in PROTOCOLS if p.n_utterances == len(ids) and p.is_tested(tested))
    return next(found, None)
