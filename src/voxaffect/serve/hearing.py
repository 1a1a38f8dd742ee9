"""What has come in from all streams goes through the speech detector together: a third of the work of one by one.

With few streams a piece is heard as it comes. The longer hearing took, the longer the event loop is left to others
before it hears again, up to LONGEST_REST, so that with hundreds of streams there are many to be heard at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from voxaffect.pcm import Piece
from voxaffect.segmenter import Cue
from voxaffect.stream import Stream, accept_all

Heard: TypeAlias = list[Cue] | Exception
"""The cues of a stream, or what is wrong with it."""

REST = 3.0
"""How many times as long as hearing took the event loop is left to others."""
LONGEST_REST = 0.03
AT_ONCE_SECONDS = 12.0
"""Of audio that is heard at once: the event loop does nothing else meanwhile, 20 ms or so."""


@dataclass(eq=False)
class Ear:
    """A stream whose pieces are heard with those of others.

    `heard` is told what came of pieces that follow each other, and when the first of them came in (monotonic).
    """

    stream: Stream
    heard: Callable[[Heard, float], None]
    pieces: list[Piece] = field(default_factory=list)
    """What has come in and is not heard yet; all bytes or all arrays."""
    seconds: float = 0.0
    """How much audio that is."""
    came: float = 0.0
    """When the first of them came in."""
    room: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever nothing waits to be heard."""

    def emptied(self) -> Piece:
        """All pieces as one; none is left."""
        pieces: list[Any] = self.pieces
        self.pieces, self.seconds = [], 0.0
        self.room.set()
        whole: Piece = b"".join(pieces) if isinstance(pieces[0], bytes) else np.concatenate(pieces)
        return whole


class Hearing:
    """Hears the pieces of all ears; belongs to one event loop."""

    def __init__(self) -> None:
        self._due: dict[Ear, None] = {}  # in the order in which they came
        self._timer: asyncio.Handle | None = None
        self._not_before = 0.0

    def take(self, ear: Ear, piece: Piece, seconds: float) -> None:
        """Hear `piece`, which is `seconds` of audio, soon."""
        if not ear.pieces:
            ear.came = time.monotonic()
        ear.pieces.append(piece)
        ear.seconds += seconds
        self._due[ear] = None
        self._plan()

    def finish(self, ear: Ear) -> None:
        """Hear now what is left of `ear`."""
        if ear in self._due:
            del self._due[ear]
            self._hear([ear])

    def forget(self, ear: Ear) -> None:
        """Nothing of `ear` is to be heard any more."""
        self._due.pop(ear, None)

    def _plan(self) -> None:
        if self._timer is None and self._due:
            wait = max(0.0, self._not_before - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait, self._now)

    def _now(self) -> None:
        self._timer = None
        began = time.monotonic()
        ears: list[Ear] = []
        seconds = 0.0
        while self._due and seconds < AT_ONCE_SECONDS:
            ear = next(iter(self._due))
            del self._due[ear]
            ears.append(ear)
            seconds += ear.seconds
        self._hear(ears)
        ended = time.monotonic()
        self._not_before = ended + min(LONGEST_REST, REST * (ended - began))
        self._plan()

    def _hear(self, ears: list[Ear]) -> None:
        pieces = [(ear.stream, ear.emptied()) for ear in ears]
        answers: list[Heard]
        try:
            answers = [*accept_all(pieces)]
        except Exception as error:  # a mistake of ours must not stop the ears of others for good
            answers = [error] * len(ears)
        for ear, answer in zip(ears, answers, strict=True):
            ear.heard(answer, ear.came)
