"""Whether anyone's predictions keep to folds that others publish: each speaker tested where the publication does."""

from __future__ import annotations

from voxaffect.errors import CorpusError, UsageError
from voxaffect.predictions import Predictions
from voxaffect.splits import NAMED_FOLDS
from voxaffect.stamps import optimistic_reason


def check_published_folds(predictions: Predictions, name: str) -> str:
    """Say in a line how `predictions` keep to the published folds `name`; refuse them where they do not.

    Names of folds may differ from the publication's, who tests together may not. Speakers may lack the corpus' name
    (`01` for `ravdess/01`).

    Raises:
        UsageError: `unknown_folds`.
        CorpusError: `speakers_unknown`; `folds_unknown` where a fold is ""; `folds_differ` naming fold and speakers,
            also for a speaker who is nowhere tested, and for folds stamped OPTIMISTIC.
    """
    if name not in NAMED_FOLDS:
        raise UsageError("unknown_folds", f"unknown folds {name!r}; expected one of {list(NAMED_FOLDS)}")
    if not predictions.has_speakers:
        raise CorpusError("speakers_unknown", "published folds are of speakers; needed is a column speaker")
    if not all(predictions.folds):
        raise CorpusError("folds_unknown", "needed is a column fold that says which fold tested an utterance")
    published = {fold: {_plain(s) for s in speakers} for fold, speakers in NAMED_FOLDS[name].items()}
    tested: dict[tuple[int, str], set[str]] = {}
    for seed, fold, speaker in zip(predictions.seeds, predictions.folds, predictions.speakers, strict=True):
        tested.setdefault((seed, fold), set()).add(_plain(speaker))
    for (_, fold), speakers in sorted(tested.items()):
        if reason := optimistic_reason(fold):
            raise CorpusError("folds_differ", f"fold {fold!r} is none of {name}: it is OPTIMISTIC ({reason})")
        if speakers not in published.values():
            closest = max(published, key=lambda f: len(published[f] & speakers))
            raise CorpusError(
                "folds_differ",
                f"fold {fold!r} tests {sorted(speakers)}; the closest of {name}, {closest}, "
                f"tests {sorted(published[closest])}",
            )
    for seed in predictions.distinct_seeds:
        there = set().union(*(speakers for (s, _), speakers in tested.items() if s == seed))
        if absent := sorted(set().union(*published.values()) - there):
            raise CorpusError(
                "folds_differ", f"{name} also tests {absent}; seed {seed} has no prediction of them"
            )
    return f"{name}: all {len(published)} folds, each speaker tested in the published one"


def _plain(speaker: str) -> str:
    """A speaker's name without the corpus' and without leading zeros."""
    return speaker.rpartition("/")[2].lstrip("0")
