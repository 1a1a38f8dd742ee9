"""The data sheet of a corpus: what it is, whose it is, and what its official release holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from voxaffect.labels import EMOTIONS


@dataclass(frozen=True)
class CorpusInfo:
    """What a corpus is, and what its official release holds.

    `labels` are our words, in alphabetical order. `expected` counts the utterances of each label in the
    official release; it is empty where there is no such thing (one's own folder). `optional` counts what some
    copies hold beside that, such as a test set whose labels came later. `file_pattern` is the
    regular expression that a whole audio file name without its extension matches; an empty one matches
    nothing, and `layout` then says in words what a folder of the corpus holds. `known_duplicates` are
    groups of utterance names whose audio is byte-identical in the release itself.
    """

    name: str
    title: str
    licence: str
    licence_url: str
    citation: str
    language: str
    url: str
    labels: tuple[str, ...]
    how_to_get: str
    downloadable: bool
    expected: Mapping[str, int] = field(default_factory=dict)
    optional: Mapping[str, int] = field(default_factory=dict)
    n_speakers: int | None = None
    file_pattern: str = ""
    layout: str = ""
    known_duplicates: tuple[frozenset[str], ...] = ()
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = [label for label in self.labels if label not in EMOTIONS]
        if unknown or tuple(sorted(self.labels)) != self.labels:
            raise ValueError(
                f"labels of {self.name!r} must be known and in alphabetical order: {self.labels}"
            )
        if self.expected and tuple(self.expected) != self.labels:
            raise ValueError(f"expected of {self.name!r} must count each of {self.labels}, in that order")
        if not set(self.optional) <= set(self.expected):
            raise ValueError(f"optional of {self.name!r} must count some of {self.labels}")
        object.__setattr__(self, "expected", MappingProxyType(dict(self.expected)))
        object.__setattr__(self, "optional", MappingProxyType(dict(self.optional)))

    @property
    def n_utterances(self) -> int | None:
        """How many utterances the official release holds; None where there is no official release."""
        return sum(self.expected.values()) if self.expected else None

    def matches(self, stem: str) -> bool:
        """Whether an audio file of this name (without extension) could be one of this corpus."""
        return bool(self.file_pattern) and re.fullmatch(self.file_pattern, stem) is not None


@dataclass(frozen=True)
class Fact:
    """One figure beside the class counts: what was found and what the official release has."""

    name: str
    found: int
    expected: int
