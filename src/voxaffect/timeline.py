"""A stream of audio blocks as overlapping windows, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Windows:
    """Cuts blocks of any size into windows of `window` samples every `hop` samples, for all channels at once.

    The windows are those of `features.windows`: one shorter window if all fits into it, and a last one that
    is shifted back to end at the end. No more than two windows and a block are held.
    """

    def __init__(self, window: int, hop: int) -> None:
        if not 1 <= hop <= window:
            raise ValueError(f"hop is {hop} and window {window} samples; expected 1 <= hop <= window")
        self.window = window
        self.hop = hop
        self.n_samples = 0
        """How many samples have come in."""
        self._buffer: Floats = np.zeros((0, 0), dtype=np.float32)
        self._filled = 0  # samples of the buffer that hold audio
        self._next = 0  # where the next window begins, counted from the first sample of all

    def feed(self, block: Floats) -> Iterator[tuple[int, Floats]]:
        """Take `block` (n, C); yield where each window that is now whole begins, and the window (window, C).

        A window is a view: use or copy it before the next block.
        """
        self._append(block)
        while self._next + self.window <= self.n_samples:
            yield self._next, self._cut(self._next, self._next + self.window)
            self._next += self.hop

    def finish(self) -> Iterator[tuple[int, Floats]]:
        """Yield the last window, if the audio does not end with one already."""
        if 0 < self.n_samples <= self.window:
            if self._next == 0:
                yield 0, self._cut(0, self.n_samples)
        elif self._next - self.hop + self.window < self.n_samples:
            yield self.n_samples - self.window, self._cut(self.n_samples - self.window, self.n_samples)

    def _append(self, block: Floats) -> None:
        n, n_channels = block.shape
        if self._buffer.shape[1] != n_channels:
            if self.n_samples:
                raise ValueError(f"a block has {n_channels} channels after {self._buffer.shape[1]}")
            self._buffer = np.zeros((2 * self.window + n, n_channels), dtype=np.float32)
        if self._filled + n > len(self._buffer):
            # What lies before the next window has been used, but the last may begin a whole window back.
            keep = min(self._filled, self.n_samples - min(self._next, self.n_samples - self.window))
            kept = self._buffer[self._filled - keep : self._filled].copy()
            if keep + n > len(self._buffer):
                self._buffer = np.zeros((keep + n, n_channels), dtype=np.float32)
            self._buffer[:keep] = kept
            self._filled = keep
        self._buffer[self._filled : self._filled + n] = block
        self._filled += n
        self.n_samples += n

    def _cut(self, start: int, end: int) -> Floats:
        shift = self._filled - self.n_samples
        return self._buffer[start + shift : end + shift]
