"""The outline of a recording: the lowest and highest sample of each of a fixed number of columns, in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voxaffect.audio import SAMPLE_RATE, AudioInput, mono, open_audio

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Envelope:
    """`low` and `high` (C, W) of W columns that share the time from `start` to `end` (s); 0 where no audio is."""

    start: float
    end: float
    low: Floats
    high: Floats


def read_envelope(
    audio: AudioInput, start: float, end: float, *, channels: str | int = "mix", n_columns: int = 1600
) -> Envelope:
    """The outline of `audio` from `start` to `end`, of the mean of its channels, of each ("split") or of one of them.

    It is decoded block by block and never held. Raises AudioError as `open_audio` and its blocks do; ValueError if
    `end` is not after `start`.
    """
    if not 0 <= start < end:
        raise ValueError(f"start {start} s and end {end} s; expected 0 <= start < end")
    with open_audio(audio, start=start, end=end) as reader:
        outline: _Outline | None = None
        for block in reader.blocks():
            chosen = _chosen(block, channels)
            outline = outline or _Outline(chosen.shape[1], n_columns, (end - start) * SAMPLE_RATE)
            outline.feed(chosen)
    outline = outline or _Outline(1, n_columns, 1.0)
    return Envelope(start, end, *outline.finished())


class _Outline:
    def __init__(self, n_channels: int, n_columns: int, n_samples: float) -> None:
        self._per_column = n_samples / n_columns
        self._low = np.full((n_channels, n_columns), np.inf, dtype=np.float32)
        self._high = np.full((n_channels, n_columns), -np.inf, dtype=np.float32)
        self._at = 0  # samples so far

    def feed(self, block: Floats) -> None:
        """Take `block` (n, C)."""
        numbers = self._at + np.arange(len(block))
        columns = np.minimum((numbers / self._per_column).astype(int), self._low.shape[1] - 1)
        firsts = np.flatnonzero(np.diff(columns, prepend=-1))  # where in the block a column begins
        here = columns[firsts]
        self._low[:, here] = np.minimum(self._low[:, here], np.minimum.reduceat(block, firsts, axis=0).T)
        self._high[:, here] = np.maximum(self._high[:, here], np.maximum.reduceat(block, firsts, axis=0).T)
        self._at += len(block)

    def finished(self) -> tuple[Floats, Floats]:
        """Both outlines. A column that lies within a sample has that sample; what no sample covers is 0."""
        columns = np.arange(self._low.shape[1])
        filled = np.flatnonzero(np.isfinite(self._low[0]))
        if not len(filled):
            return np.zeros_like(self._low), np.zeros_like(self._high)
        held = filled[np.maximum(np.searchsorted(filled, columns, side="right") - 1, 0)]
        covered = columns * self._per_column < self._at
        nothing = np.float32(0)
        low, high = (np.where(covered, outline[:, held], nothing) for outline in (self._low, self._high))
        return low, high


def _chosen(block: Floats, channels: str | int) -> Floats:
    if channels == "mix":
        return mono(block)[:, None]
    return block[:, channels : channels + 1] if isinstance(channels, int) else block
