"""What has come in from all streams goes through the speech detector together: less than half the work of one by one.

A thread of its own hears, so that the event loop is free meanwhile. With few streams a piece is heard as it comes. The
longer hearing took, the longer it rests, up to LONGEST_REST: with hundreds of streams there are then many to be heard
at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from voxaffect.pcm import Piece
from voxaffect.segmenter import Cue
from voxaffect.stream import Stream, accept_all

Heard: TypeAlias = list[Cue] | Exception
"""The cues of a stream, or what is wrong with it."""

REST = 3.0
"""Of hearing, in times of what it took."""
LONGEST_REST = 0.06
PIECE_SECONDS = 0.5
"""Of one stream that are heard at once, at least, where there are so many."""
AT_ONCE_SECONDS = 16.0
"""Of audio that is heard at once: about 30 ms of work."""


@dataclass(eq=False)
class Ear:
    """A stream whose pieces are heard with those of others.

    `heard` is told what came of pieces that follow each other, and when the first of them came in (monotonic).
    """

    stream: Stream
    heard: Callable[[Heard, float], None]
    pieces: deque[tuple[Piece, float]] = field(default_factory=deque)
    """What has come in and is not heard yet, and how many seconds that is; all bytes or all arrays."""
    seconds: float = 0.0
    """How much audio that is in all."""
    came: float = 0.0
    """When the first of them came in."""
    busy: bool = False
    """Whether it is being heard: only the thread that hears may use the stream."""
    forgotten: bool = False
    """Whether nothing is heard or told any more."""
    room: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever pieces were taken to be heard, and when they were."""

    def next(self) -> tuple[Piece, float, float]:
        """The next pieces as one, PIECE_SECONDS or the last of them; how many seconds, and when they came."""
        pieces: list[Any] = []
        seconds = 0.0
        while self.pieces and seconds < PIECE_SECONDS:
            piece, length = self.pieces.popleft()
            pieces.append(piece)
            seconds += length
        self.seconds = self.seconds - seconds if self.pieces else 0.0
        self.room.set()
        whole: Piece = b"".join(pieces) if isinstance(pieces[0], bytes) else np.concatenate(pieces)
        return whole, seconds, self.came


class Hearing:
    """Hears the pieces of all ears; belongs to one event loop."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "voxaffect-hearing")
        self._due: dict[Ear, None] = {}  # in the order in which they came
        self._planned = False
        self._not_before = 0.0

    def take(self, ear: Ear, piece: Piece, seconds: float) -> None:
        """Hear `piece`, which is `seconds` of audio, soon; not of an ear that was forgotten."""
        if ear.forgotten:
            return
        if not ear.pieces:
            ear.came = time.monotonic()
        ear.pieces.append((piece, seconds))
        ear.seconds += seconds
        self._due[ear] = None
        self._plan()

    async def all_of(self, ear: Ear) -> None:
        """Return when everything that was taken of `ear` is heard."""
        while ear.pieces or ear.busy:
            ear.room.clear()
            await ear.room.wait()

    def forget(self, ear: Ear) -> None:
        """Nothing more of `ear` is heard; what is being heard is not told."""
        self._due.pop(ear, None)
        ear.pieces.clear()
        ear.seconds, ear.forgotten = 0.0, True

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(cancel_futures=True)

    def _plan(self) -> None:
        if not self._planned and self._due:
            self._planned = True
            wait = max(0.0, self._not_before - time.monotonic())
            asyncio.get_running_loop().call_later(wait, self._begin)

    def _begin(self) -> None:
        taken: list[tuple[Ear, Piece, float]] = []  # and when the piece came
        total = 0.0
        while self._due and total < AT_ONCE_SECONDS:
            ear = next(iter(self._due))
            del self._due[ear]
            piece, seconds, came = ear.next()
            total += seconds
            ear.busy = True
            taken.append((ear, piece, came))
        work = self._thread.submit(accept_all, [(ear.stream, piece) for ear, piece, _ in taken])
        began = time.monotonic()
        asyncio.wrap_future(work).add_done_callback(lambda done: self._end(done, taken, began))

    def _end(self, done: asyncio.Future[Any], taken: list[tuple[Ear, Piece, float]], began: float) -> None:
        error = done.exception()
        # A mistake of ours must not stop the ears of others for good.
        answers = [error] * len(taken) if error is not None else done.result()
        for (ear, _, came), answer in zip(taken, answers, strict=True):
            ear.busy = False
            ear.room.set()
            if ear.pieces:
                self._due[ear] = None
            if not ear.forgotten:
                ear.heard(answer, came)
        ended = time.monotonic()
        behind = sum(ear.seconds for ear in self._due) >= AT_ONCE_SECONDS
        self._not_before = ended + (0.0 if behind else min(LONGEST_REST, REST * (ended - began)))
        self._planned = False
        self._plan()
