"""The segments of a long recording in little memory: a sequence of `Segment` that makes each one when it is asked for.

Ten hours of speech have 36 000 segments; as objects they take 130 MB, here 4.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import overload

from voxaffect.result import Segment


class Segments(Sequence[Segment]):
    """Segments of `labels`, in the order of their starts and then their channels; equal to any sequence of the same."""

    def __init__(self, labels: Sequence[str], roles: Mapping[int, str] | None = None) -> None:
        self._labels = tuple(labels)
        self._roles = dict(roles or {})
        self._times, self._values = array("d"), array("d")
        self._counts = array("H")  # channel, label, doubt, flags; then the votes by label
        self._flags: list[tuple[str, ...]] = []
        self._order: list[int] | None = None

    def append(self, segment: Segment) -> None:
        """Add one; segments may come in any order."""
        if segment.flags not in self._flags:
            self._flags.append(segment.flags)
        self._times.extend((segment.start, segment.end))
        self._values.extend((segment.score, segment.agreement))
        self._values.extend(segment.probs[label] for label in self._labels)
        self._counts.extend(
            (
                segment.channel,
                self._labels.index(segment.label),
                int(segment.uncertain),
                self._flags.index(segment.flags),
            )
        )
        self._counts.extend(segment.votes.get(label, 0) for label in self._labels)
        self._order = None

    def extend(self, segments: Iterable[Segment]) -> None:
        """Add several."""
        for segment in segments:
            self.append(segment)

    def __len__(self) -> int:
        return len(self._times) // 2

    @overload
    def __getitem__(self, index: int) -> Segment: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Segment, ...]: ...

    def __getitem__(self, index: int | slice) -> Segment | tuple[Segment, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(f"segment {index} of {len(self)}")
        return self._segment(self._sorted()[index])

    def __iter__(self) -> Iterator[Segment]:
        return (self._segment(i) for i in self._sorted())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Segments({list(self)!r})" if len(self) <= 3 else f"<Segments: {len(self)}>"

    def _sorted(self) -> list[int]:
        if self._order is None:
            width = 4 + len(self._labels)
            self._order = sorted(
                range(len(self)), key=lambda i: (self._times[2 * i], self._counts[width * i])
            )
        return self._order

    def _segment(self, i: int) -> Segment:
        k = len(self._labels)
        channel, label, doubt, flags = self._counts[(4 + k) * i : (4 + k) * i + 4]
        counts = dict(
            zip(self._labels, self._counts[(4 + k) * i + 4 : (4 + k) * (i + 1)].tolist(), strict=True)
        )
        score, agreement, *probs = self._values[(2 + k) * i : (2 + k) * (i + 1)].tolist()
        by_label = dict(zip(self._labels, probs, strict=True))
        voted = sorted(
            (name for name in self._labels if counts[name]), key=lambda n: (-counts[n], -by_label[n])
        )
        return Segment(
            channel=channel,
            start=self._times[2 * i],
            end=self._times[2 * i + 1],
            label=self._labels[label],
            score=score,
            probs=by_label,
            votes={name: counts[name] for name in voted},
            agreement=agreement,
            uncertain=bool(doubt),
            flags=self._flags[flags],
            role=self._roles.get(channel),
        )
