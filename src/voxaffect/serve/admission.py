"""How much audio may wait: a bound in seconds of audio, and an honest answer to who comes when it is full."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from voxaffect.errors import VoxaffectError

LEAST_ROOM = 40.0
"""Seconds of audio that are let in whatever the speed: it is learnt from what is let in."""
MAX_RETRY = 120
"""Seconds; nobody is sent away for longer."""


class BusyError(VoxaffectError):
    """There is no room; `retry_after` in whole seconds."""

    def __init__(self, code: str, message: str, retry_after: int) -> None:
        super().__init__(code, message, hint=f"try again in {retry_after} s")
        self.retry_after = retry_after


class Admission:
    """Audio that is waiting or worked on: at most `limit` seconds of it, and what is done in `patience` seconds.

    A single recording may exceed both alone. For the event loop's thread.
    `speed` is the audio seconds that are done per second, by what was done lately.
    """

    def __init__(
        self,
        limit: float,
        *,
        speed: float,
        patience: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limit, self.patience = limit, patience
        self.pending = 0.0
        """Seconds of audio within."""
        self.n_pending = 0
        self.speed = speed
        self._clock = clock
        self._busy_since: float | None = None
        self._done = 0.0

    @property
    def full(self) -> bool:
        """Whether nobody else is let in."""
        return self.pending >= self._room

    @property
    def retry_after(self) -> int:
        """Seconds until half of what waits should be done."""
        return max(1, min(MAX_RETRY, math.ceil(self.pending / 2 / self.speed)))

    @property
    def _room(self) -> float:
        return min(self.limit, max(LEAST_ROOM, self.speed * self.patience))

    def check(self, seconds: float = 0.0) -> None:
        """Raise BusyError `queue_full` where `seconds` more do not fit."""
        if (self.n_pending and self.pending + seconds > self._room) or self.full:
            raise BusyError(
                "queue_full", f"{self.pending:.0f} s of audio are waiting; no more fit", self.retry_after
            )

    @contextmanager
    def entered(self, seconds: float) -> Iterator[None]:
        """A place for `seconds` of audio; raises BusyError `queue_full`."""
        self.check(seconds)
        if not self.n_pending:
            self._busy_since, self._done = self._clock(), 0.0
        self.n_pending += 1
        self.pending += seconds
        try:
            yield
        finally:
            self.n_pending -= 1
            self.pending = self.pending - seconds if self.n_pending else 0.0
            self._learn(seconds)

    def _learn(self, seconds: float) -> None:
        self._done += seconds
        elapsed = self._clock() - (self._busy_since or 0.0)
        if elapsed > 1.0:  # of shorter spells, little can be said
            self.speed = max(1.0, 0.5 * self.speed + 0.5 * self._done / elapsed)
            self._busy_since, self._done = self._clock(), 0.0
