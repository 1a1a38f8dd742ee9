"""The table of utterances that a corpus becomes: who says what where, and how it is heard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from voxaffect.errors import CorpusError, UsageError
from voxaffect.labels import EMOTIONS

PROPERTIES = ("corpus", "gender", "language", "session", "speaker", "take", "text")
"""What an utterance can be chosen by beside its attributes; its label is chosen by a label set."""
MAX_LISTED = 20
"""How many values an error lists."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One labelled stretch of speech of one speaker.

    `id` and `speaker` are unique over all corpora: both begin with the corpus name, as in `emodb/03a01Fa` and
    `emodb/03`. `start` and `end` (seconds) cut the utterance out of a longer file; None means the whole file.
    `text`, `session` and `take` name what the corpus says about wording, recording session and repetition,
    so that splits can be audited. `attributes` keeps what else the corpus tells (intensity, valence …).
    """

    id: str
    path: Path
    speaker: str
    label: str
    corpus: str
    session: str | None = None
    text: str | None = None
    take: str | None = None
    gender: str | None = None
    language: str | None = None
    start: float | None = None
    end: float | None = None
    attributes: Mapping[str, str | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.label not in EMOTIONS:
            raise ValueError(
                f"unknown label {self.label!r} of utterance {self.id!r}; expected one of {list(EMOTIONS)}"
            )
        if self.gender not in (None, "female", "male"):
            raise ValueError(f"gender of {self.id!r} is {self.gender!r}; expected 'female', 'male' or None")
        prefix = f"{self.corpus}/"
        if not self.id.startswith(prefix) or not self.speaker.startswith(prefix):
            raise ValueError(f"id {self.id!r} and speaker {self.speaker!r} must begin with {prefix!r}")
        if self.start is not None and self.end is not None and not 0 <= self.start < self.end:
            raise CorpusError("bad_times", f"utterance {self.id!r} runs from {self.start} s to {self.end} s")

    @property
    def properties(self) -> dict[str, str | float]:
        """The attributes, and of PROPERTIES those that are known."""
        known = {name: getattr(self, name) for name in PROPERTIES}
        return {**self.attributes, **{name: value for name, value in known.items() if value is not None}}


@dataclass(frozen=True)
class UtteranceTable:
    """An ordered, immutable table of utterances with distinct ids."""

    utterances: tuple[Utterance, ...]

    def __post_init__(self) -> None:
        doubles = [i for i, n in Counter(u.id for u in self.utterances).items() if n > 1]
        if doubles:
            raise CorpusError(
                "duplicate_id", f"{len(doubles)} utterance ids stand twice, the first is {doubles[0]!r}"
            )

    @classmethod
    def of(cls, utterances: Iterable[Utterance]) -> UtteranceTable:
        """A table of `utterances`, sorted by id, so that no file system decides their order."""
        return cls(tuple(sorted(utterances, key=lambda u: u.id)))

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.utterances)

    def __getitem__(self, index: int) -> Utterance:
        return self.utterances[index]

    @property
    def ids(self) -> tuple[str, ...]:
        """The utterance ids, in table order."""
        return tuple(u.id for u in self.utterances)

    @property
    def speakers(self) -> tuple[str, ...]:
        """The distinct speakers, sorted."""
        return tuple(sorted({u.speaker for u in self.utterances}))

    @property
    def labels(self) -> tuple[str, ...]:
        """The distinct labels, sorted."""
        return tuple(sorted({u.label for u in self.utterances}))

    def where(self, keep: Callable[[Utterance], bool]) -> UtteranceTable:
        """The utterances for which `keep` is true, in the same order."""
        return UtteranceTable(tuple(u for u in self.utterances if keep(u)))

    def matching(self, wanted: Mapping[str, str | float | Sequence[str | float]]) -> UtteranceTable:
        """The utterances that have, of each property, the wanted value or one of those in a list.

        An utterance without that property does not match.

        Raises:
            UsageError: `unknown_property` for one that no utterance has, `no_match` for a value that none has.
        """
        accepted = {
            key: [value] if isinstance(value, str | int | float) else value for key, value in wanted.items()
        }
        for key, values in accepted.items():
            there = {u.properties[key] for u in self if key in u.properties}
            if not there:
                known = sorted({name for u in self for name in u.properties})
                raise UsageError(
                    "unknown_property", f"no utterance has a property {key!r}; expected some of {known}"
                )
            for value in values:
                if value not in there:
                    some = sorted(map(str, there))[:MAX_LISTED]
                    more = f" and {len(there) - MAX_LISTED} more" if len(there) > MAX_LISTED else ""
                    raise UsageError(
                        "no_match", f"no utterance has {key} = {value!r}; expected some of {some}{more}"
                    )
        return self.where(lambda u: all(u.properties.get(k) in values for k, values in accepted.items()))

    def relabelled(self, mapping: Mapping[str, str]) -> UtteranceTable:
        """The same utterances with each label that `mapping` knows replaced."""
        return UtteranceTable(tuple(replace(u, label=mapping.get(u.label, u.label)) for u in self.utterances))

    def counts(self, key: Callable[[Utterance], str]) -> dict[str, int]:
        """How many utterances have each value of `key`, sorted by that value."""
        return dict(sorted(Counter(key(u) for u in self.utterances).items()))

    def __add__(self, other: UtteranceTable) -> UtteranceTable:
        return UtteranceTable(self.utterances + other.utterances)
