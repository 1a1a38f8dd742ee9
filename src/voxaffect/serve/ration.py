"""How many frames of next to nothing a stream may send."""

from __future__ import annotations

import time
from collections.abc import Callable

from voxaffect.errors import VoxaffectError

TINY_BYTES = 32
TINY_PER_SECOND, TINY_BURST = 100.0, 1000.0
"""Frames of less than TINY_BYTES cost more than they bring: so many are put up with."""


class Ration:
    """Counts tiny frames: TINY_BURST at once, TINY_PER_SECOND in the long run."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left, self._at = TINY_BURST, clock()

    def take(self, size: int) -> None:
        """A frame of `size` bytes; raises VoxaffectError `too_many_frames`."""
        if size >= TINY_BYTES:
            return
        now = self._clock()
        self._left = min(TINY_BURST, self._left + TINY_PER_SECOND * (now - self._at)) - 1
        self._at = now
        if self._left < 0:
            raise VoxaffectError(
                "too_many_frames",
                f"over {TINY_PER_SECOND:g} frames a second of under {TINY_BYTES} bytes",
                hint="send 100 ms of audio in a frame",
            )
