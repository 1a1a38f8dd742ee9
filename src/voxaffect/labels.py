"""Emotion labels: one vocabulary for all corpora, and mappings between label sets.

Corpus readers translate their codes into these words. A label set is an ordered tuple; class k of a model is
its k-th label, and label sets are kept in alphabetical order.
"""

from __future__ import annotations

from collections.abc import Mapping

from voxaffect.errors import UsageError

EMOTIONS = (
    "angry",
    "bored",
    "calm",
    "contempt",
    "disgust",
    "excited",
    "fearful",
    "frustrated",
    "happy",
    "neutral",
    "other",
    "sad",
    "surprised",
    "unknown",
)
"""Every label that a corpus reader may give. `unknown` is an annotators' tie (IEMOCAP's xxx)."""

FOUR = ("angry", "happy", "neutral", "sad")
"""The four classes that the field reports most often."""

NAMED_MAPPINGS: Mapping[str, Mapping[str, str]] = {
    "none": {},
    "excited-is-happy": {"excited": "happy"},
}
"""Mappings that a recipe can name. IEMOCAP's four-class set of 5531 utterances needs `excited-is-happy`."""


def check_labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return `labels` in alphabetical order; raise UsageError if one is unknown, doubled, or fewer than two."""
    for label in labels:
        if label not in EMOTIONS:
            raise UsageError("unknown_label", f"unknown label {label!r}; expected some of {list(EMOTIONS)}")
    if len(set(labels)) != len(labels):
        raise UsageError("duplicate_label", f"a label stands twice in {list(labels)}")
    if len(labels) < 2:
        raise UsageError("too_few_labels", f"a label set needs at least two labels, got {list(labels)}")
    return tuple(sorted(labels))
