"""Arrays that stay in their file: shape and type are known, rows are read when they are asked for.

Rows are read, not mapped: what a mapping touches counts as the process's memory until it is unmapped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from voxaffect.errors import CorpusError

BLOCK = 1 << 20
"""Bytes that are looked at at a time where bytes must be decoded."""


@dataclass(frozen=True)
class Span:
    """`size` bytes of the file `path` from `offset` on.

    With `latin1` they are UTF-8 text whose characters 0 to 255 are the bytes meant: pickle's protocols 0 to 2 have
    no other place for bytes.
    """

    path: Path
    offset: int
    size: int
    latin1: bool = False

    @property
    def n_bytes(self) -> int:
        """How many bytes are meant; raises CorpusError `damaged_pickle` if the text stands for none."""
        return int(self._starts[-1]) if self.latin1 else self.size

    def read_into(self, start: int, out: np.ndarray) -> None:
        """Fill `out` (N,) uint8 with the meant bytes from number `start` on.

        Raises CorpusError: `corpus_changed` if the file has become shorter, `unreadable_pickle`, or `damaged_pickle`
        for text that stands for no bytes.
        """
        if not self.latin1:
            self._fill(start, out)
            return
        done = 0
        while done < len(out):
            block = int(np.searchsorted(self._starts, start + done, side="right")) - 1
            values = self._decoded(block)
            first = start + done - int(self._starts[block])
            piece = values[first : first + len(out) - done]
            out[done : done + len(piece)] = piece
            done += len(piece)

    @cached_property
    def _starts(self) -> np.ndarray:
        """How many characters begin before each block of text, and at last how many there are."""
        return np.cumsum([0, *(int(_leads(raw).sum()) for raw in self._blocks())])

    def _blocks(self) -> Iterator[np.ndarray]:
        for offset in range(0, self.size, BLOCK):
            yield self._fill(offset, np.empty(min(BLOCK, self.size - offset), np.uint8))

    def _decoded(self, block: int) -> np.ndarray:
        """The bytes whose characters begin in `block`; the last of them may end one byte beyond it."""
        offset = block * BLOCK
        raw = self._fill(offset, np.empty(min(BLOCK + 1, self.size - offset), np.uint8))
        begins = np.flatnonzero(_leads(raw[:BLOCK]))
        if not len(begins):
            return np.empty(0, np.uint8)
        end = BLOCK + 1 if len(raw) > BLOCK and not _leads(raw[BLOCK:])[0] else BLOCK
        try:
            text = raw[begins[0] : end].tobytes().decode("utf-8")
            return np.frombuffer(text.encode("latin-1"), np.uint8)
        except UnicodeError as error:
            raise CorpusError(
                "damaged_pickle",
                f"{self.path.name} byte {self.offset + offset}: text that stands for no bytes",
            ) from error

    def _fill(self, start: int, out: np.ndarray) -> np.ndarray:
        view, done = out.data, 0
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(self.offset + start)
                while done < len(out):
                    n = file.readinto(view[done:])
                    if not n:
                        raise CorpusError(
                            "corpus_changed",
                            f"{self.path.name} has become shorter since it was opened",
                            where=str(self.path),
                        )
                    done += n
        except OSError as error:
            raise CorpusError(
                "unreadable_pickle", f"cannot read {self.path}: {error.strerror}", where=str(self.path)
            ) from error
        return out


@dataclass(frozen=True)
class StoredArray:
    """An array in a file: what `read` returns has `shape` and `dtype`, in the machine's byte order.

    `axes` are its axes in the order in which memory runs through them, the slowest first: (0, 1, 2) for C order.

    Raises:
        ValueError: the bytes are not those of the shape and type, or rows do not lie one after the other.
    """

    span: Span
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    axes: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.shape:
            raise ValueError("an array without axes")
        n_bytes = math.prod(self.shape) * self.dtype.itemsize  # Python's integers: no size overflows
        if min(self.shape) < 0 or self.span.n_bytes != n_bytes:
            raise ValueError(
                f"{self.span.n_bytes} bytes for an array of shape {self.shape} and type {self.dtype}"
            )
        long = [axis for axis in self.axes if self.shape[axis] > 1]
        if long and self.shape[0] > 1 and long[0] != 0:
            raise ValueError(f"an array of shape {self.shape} in Fortran order")

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def n_bytes(self) -> int:
        """The size of the whole array in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Rows `start` to `stop` (all of them by default) as a new array; raises as `Span.read_into`."""
        start, stop, _ = slice(start, stop).indices(len(self))
        n_rows = max(stop - start, 0)
        inner = [axis for axis in self.axes if axis != 0]  # rows lie one after the other, whatever axes say
        values = np.empty((n_rows, *(self.shape[axis] for axis in inner)), self.dtype)
        row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        self.span.read_into(start * row_bytes, values.reshape(-1).view(np.uint8))
        if not self.dtype.isnative:
            values = values.byteswap(inplace=True).view(self.dtype.newbyteorder())
        return values.transpose([0, *(inner.index(axis) + 1 for axis in range(1, len(self.shape)))])


def _leads(raw: np.ndarray) -> np.ndarray:
    """Which bytes of UTF-8 begin a character."""
    return np.asarray(raw & 0xC0 != 0x80)
