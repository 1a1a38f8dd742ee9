"""The data sheet of a corpus: what it is, whose it is, and what its official release holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from voxaffect.labels import EMOTIONS

DIGESTS = {"md5": 32, "sha256": 64}
"""The checksums that publishers of corpora state, with their length in hexadecimal digits."""


@dataclass(frozen=True)
class Download:
    """One archive of a corpus, as its publisher offers it.

    `size` is in bytes, `checksum` the publisher's own, as in `md5:bc69…`. `nested` are archives inside of it,
    by their path, that are unpacked where they lie.
    """

    url: str
    size: int
    checksum: str
    nested: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https") or not self.filename:
            raise ValueError(f"{self.url!r} is no http(s) address of a file")
        if self.size <= 0:
            raise ValueError(f"the size of {self.url} is {self.size}; expected bytes")
        if DIGESTS.get(self.algorithm) != len(self.digest) or re.search("[^0-9a-f]", self.digest):
            raise ValueError(
                f"{self.checksum!r} is no checksum; expected one of {list(DIGESTS)} and its hex digits"
            )

    @property
    def filename(self) -> str:
        """The last part of the address."""
        return urlsplit(self.url).path.rpartition("/")[2]

    @property
    def algorithm(self) -> str:
        """`md5` or `sha256`."""
        return self.checksum.partition(":")[0]

    @property
    def digest(self) -> str:
        """The checksum without its algorithm."""
        return self.checksum.partition(":")[2]


@dataclass(frozen=True)
class CorpusInfo:
    """What a corpus is, and what its official release holds.

    `labels` are our words, in alphabetical order. `expected` counts the utterances of each label in the
    official release; it is empty where there is no such thing (one's own folder) or nobody states it.
    `optional` counts what some copies hold beside that, such as a test set whose labels came later.
    `file_pattern` is the regular expression that a whole audio file name without its extension matches; an
    empty one matches nothing, and `layout` then says in words what a folder of the corpus holds.
    `known_duplicates` are groups of utterance names whose audio is byte-identical in the release itself.
    `downloadable` says whether the terms let a program download it, `downloads` what `corpus fetch` downloads;
    where there is none, `not_fetched` may say why.
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
    downloads: tuple[Download, ...] = ()
    not_fetched: str = ""

    def __post_init__(self) -> None:
        unknown = [label for label in self.labels if label not in EMOTIONS]
        if unknown or tuple(sorted(self.labels)) != self.labels:
            raise ValueError(
                f"labels of {self.name!r} must be known and in alphabetical order: {self.labels}"
            )
        if self.expected and tuple(self.expected) != self.labels:
            raise ValueError(f"expected of {self.name!r} must count each of {self.labels}, in that order")
        if self.downloads and not (self.downloadable and self.licence_url):
            raise ValueError(f"{self.name!r} has downloads, so its terms must allow them and have an address")
        if not set(self.optional) <= set(self.expected):
            raise ValueError(f"optional of {self.name!r} must count some of {self.labels}")
        object.__setattr__(self, "expected", MappingProxyType(dict(self.expected)))
        object.__setattr__(self, "optional", MappingProxyType(dict(self.optional)))

    @property
    def n_utterances(self) -> int | None:
        """How many utterances the official release holds; None where there is no official release."""
        return sum(self.expected.values()) if self.expected else None

    @property
    def why_not_fetched(self) -> str | None:
        """Why `corpus fetch` does not offer the corpus; None where it does."""
        if self.downloads:
            return None
        if self.not_fetched:
            return self.not_fetched
        if self.downloadable:
            return "no checksum of its publisher is known here that a download could be held to"
        return "its terms do not let a program download it"

    def to_dict(self) -> dict[str, Any]:
        """Everything that the sheet says, as JSON can hold it."""
        return {
            "name": self.name,
            "title": self.title,
            "language": self.language,
            "licence": self.licence,
            "licence_url": self.licence_url,
            "citation": self.citation,
            "url": self.url,
            "how_to_get": self.how_to_get,
            "downloadable": self.downloadable,
            "fetch": bool(self.downloads),
            "why_not_fetched": self.why_not_fetched,
            "downloads": [
                {"url": d.url, "size": d.size, "checksum": d.checksum, "nested": list(d.nested)}
                for d in self.downloads
            ],
            "labels": list(self.labels),
            "utterances": self.n_utterances,
            "speakers": self.n_speakers,
            "expected": dict(self.expected),
            "notes": list(self.notes),
        }

    def matches(self, stem: str) -> bool:
        """Whether an audio file of this name (without extension) could be one of this corpus."""
        return bool(self.file_pattern) and re.fullmatch(self.file_pattern, stem) is not None


@dataclass(frozen=True)
class Fact:
    """One figure beside the class counts: what was found and what the official release has."""

    name: str
    found: int
    expected: int
