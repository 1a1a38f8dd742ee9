"""What has come in from all streams is heard together, in processes of their own: `hearing_worker`.

Together the speech detector takes less than half the work of one by one; apart, neither the event loop nor the model
waits for the interpreter's lock meanwhile. With few streams a piece is heard as it comes. The longer hearing took, the
longer it rests, up to LONGEST_REST: with hundreds of streams there are then many to be heard at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import count, islice
from typing import Any, TypeAlias

from voxaffect.audio import Notice
from voxaffect.errors import VoxaffectError
from voxaffect.intake import Opening
from voxaffect.modelfile import ModelFile
from voxaffect.serve import channel
from voxaffect.serve.child import Child
from voxaffect.serve.cues import HeardCue, unpack
from voxaffect.serve.hearing_worker import lost

Heard: TypeAlias = list[HeardCue] | VoxaffectError
"""The cues of a stream, or what is wrong with it."""

REST = 3.0
"""Of hearing, in times of what it took."""
LONGEST_REST = 0.02
PIECE_SECONDS = 0.5
"""Of one stream that are heard at once, at least, where there are so many."""
AT_ONCE_SECONDS = 16.0
"""Of audio that is heard at once, by its weight: less than 100 ms of work."""
PATIENCE = 10.0
"""Seconds after which it is looked whether something is heard; what then takes as many again is given up."""
START_SECONDS = 60.0


@dataclass(frozen=True)
class Asked:
    """The next piece of a stream, and what happens there after it: nothing, "pause" or "finish"."""

    stream: int
    piece: bytes = field(repr=False)
    then: str | None = None


@dataclass(frozen=True)
class Answer:
    """What followed, and what is known of the stream by then."""

    cues: list[HeardCue]
    received_seconds: float
    n_utterances: int
    warnings: list[Notice]


@dataclass(eq=False)
class Ear:
    """A stream whose pieces are heard with those of others; `Hearing.open` makes it.

    `heard` is told what came of pieces that follow each other, and when the first of them came in (monotonic).
    """

    hearing: Hearing = field(repr=False)
    """Whose it is."""
    number: int
    heard: Callable[[Heard, float], None]
    weight: float = 1.0
    """How much work a second of it is, beside a second of a stream with a window of 3 s every second."""
    pieces: deque[tuple[bytes, float]] = field(default_factory=deque)
    """What has come in and is not heard yet, and how many seconds that is."""
    seconds: float = 0.0
    """How much audio that is in all."""
    came: float = 0.0
    """When the first of them came in."""
    busy: bool = False
    """Whether it is being heard."""
    forgotten: bool = False
    """Whether nothing is heard or told any more."""
    room: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever pieces were taken to be heard, and when they were."""
    received_seconds: float = 0.0
    """How much was heard."""
    n_utterances: int = 0
    """How many utterances have begun."""
    warnings: list[Notice] = field(default_factory=list)
    """What was noticed."""

    def next(self) -> tuple[bytes, float, float]:
        """The next pieces as one, PIECE_SECONDS or the last of them; how many seconds, and when they came."""
        pieces: list[bytes] = []
        seconds = 0.0
        while self.pieces and seconds < PIECE_SECONDS:
            piece, length = self.pieces.popleft()
            pieces.append(piece)
            seconds += length
        self.seconds = self.seconds - seconds if self.pieces else 0.0
        self.room.set()
        return b"".join(pieces), seconds, self.came

    def took(self, answer: Answer | VoxaffectError) -> Heard:
        """The cues of `answer`, or its error; the rest is remembered."""
        if isinstance(answer, VoxaffectError):
            return answer
        self.received_seconds, self.n_utterances = answer.received_seconds, answer.n_utterances
        self.warnings = answer.warnings
        return answer.cues


def weight_of(opening: Opening) -> float:
    """How much work a second of such a stream is, by the windows in it; at least 1.

    >>> from voxaffect.result import Settings
    >>> weight_of(Opening(Settings(window=3.0, hop=1.0, vad=True, channels="mix"), 16_000))
    1.0
    """
    settings = opening.settings
    windows = 0.5 * (1 / settings.hop + 1 / opening.interval) * settings.window / 3.0
    return max(1.0, windows) * (opening.channels if settings.channels == "split" else 1)


class HearingProcess(Child):
    """The process that hears; all but `pid` and `kill` is for one thread."""

    def __init__(self, model: ModelFile) -> None:
        super().__init__("voxaffect.serve.hearing_worker", model)

    def open(self, number: int, opening: Opening) -> None:
        """A stream begins. Raises OSError if the process is no more, as does `drop`."""
        channel.send(self.sink, {"type": "open", "stream": number, "opening": asdict(opening)})

    def drop(self, number: int) -> None:
        """A stream is over."""
        channel.send(self.sink, {"type": "drop", "stream": number})

    def hear(self, asked: Sequence[Asked]) -> list[Answer | VoxaffectError]:
        """The answer to each of `asked`; raises ChannelError or OSError if the process is no more."""
        pieces = [{"stream": each.stream, "bytes": len(each.piece), "then": each.then} for each in asked]
        channel.send(self.sink, {"type": "hear", "pieces": pieces}, *(each.piece for each in asked))
        header, payload = channel.receive(self.source)
        cues = iter(unpack(header["cues"], payload))
        return [
            channel.error_of(answer["error"])
            if "error" in answer
            else Answer(
                list(islice(cues, answer["n_cues"])),
                answer["received_seconds"],
                answer["n_utterances"],
                [Notice(*notice) for notice in answer["warnings"]],
            )
            for answer in header["answers"]
        ]


class Hearing:
    """A process that hears the pieces of its ears; belongs to one event loop. `on_replace` as of the WorkerPool."""

    def __init__(self, model: ModelFile, *, on_replace: Callable[[str], None] = lambda reason: None) -> None:
        self._model, self._on_replace = model, on_replace
        self._process: HearingProcess | None = None
        self._thread = ThreadPoolExecutor(1, "voxaffect-hearing")
        self._numbers = count(1)
        self._due: dict[Ear, None] = {}  # in the order in which they came
        self._planned = False
        self._task: asyncio.Task[Any] | None = None
        self._closed = False
        self._not_before = 0.0
        self.burden = 0.0
        """The weight of all ears that are not forgotten."""

    async def start(self) -> None:
        """Start the process; raises RuntimeError if it cannot be started. Streams would else do so."""
        starting = asyncio.wrap_future(self._thread.submit(self._alive))
        try:
            await asyncio.wait_for(starting, START_SECONDS)
        except (channel.ChannelError, OSError, TimeoutError) as error:
            raise RuntimeError(
                f"the process that hears does not start ({error or 'it takes too long'})"
            ) from error

    def open(self, opening: Opening, heard: Callable[[Heard, float], None]) -> Ear:
        """The ear of a stream that is heard as `opening` says, which `Opening.intake` found no fault with."""
        ear = Ear(self, next(self._numbers), heard, weight_of(opening))
        self.burden += ear.weight
        self._thread.submit(self._open, ear.number, opening)
        return ear

    def take(self, ear: Ear, piece: bytes, seconds: float) -> None:
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

    async def pause(self, ear: Ear) -> list[HeardCue]:
        """Once everything is heard: end the utterance that is going on. Raises VoxaffectError."""
        return await self._then(ear, "pause")

    async def finish(self, ear: Ear) -> list[HeardCue]:
        """Once everything is heard: end the stream. Raises VoxaffectError."""
        return await self._then(ear, "finish")

    def forget(self, ear: Ear) -> None:
        """Nothing more of `ear` is heard; what is being heard is not told."""
        if not ear.forgotten:
            self.burden -= ear.weight
            if not self._closed:
                self._thread.submit(self._drop, ear.number)
        self._due.pop(ear, None)
        ear.pieces.clear()
        ear.seconds, ear.forgotten = 0.0, True

    def close(self) -> None:
        """End the process and the thread."""
        self._closed = True
        if self._process is not None:
            self._process.kill()
        self._thread.shutdown(cancel_futures=True)
        if self._process is not None:
            self._process.close()

    async def _then(self, ear: Ear, then: str) -> list[HeardCue]:
        await self.all_of(ear)
        if ear.forgotten:
            return []
        (answer,) = await self._asked([Asked(ear.number, b"", then)])
        heard = ear.took(answer)
        if isinstance(heard, VoxaffectError):
            raise heard
        return heard

    def _plan(self) -> None:
        if not self._planned and self._due:
            self._planned = True
            wait = max(0.0, self._not_before - time.monotonic())
            asyncio.get_running_loop().call_later(wait, self._begin)

    def _begin(self) -> None:
        taken: list[tuple[Ear, float]] = []  # and when its piece came
        asked: list[Asked] = []
        total = 0.0
        while self._due and total < AT_ONCE_SECONDS:
            ear = next(iter(self._due))
            del self._due[ear]
            piece, seconds, came = ear.next()
            total += seconds * ear.weight
            ear.busy = True
            taken.append((ear, came))
            asked.append(Asked(ear.number, piece))
        began = time.monotonic()
        self._task = asyncio.create_task(self._asked(asked))
        self._task.add_done_callback(lambda done: self._end(done, taken, began))

    def _end(self, done: asyncio.Task[Any], taken: list[tuple[Ear, float]], began: float) -> None:
        if done.cancelled():
            return
        for (ear, came), answer in zip(taken, done.result(), strict=True):
            ear.busy = False
            ear.room.set()
            if ear.pieces:
                self._due[ear] = None
            if not ear.forgotten:
                ear.heard(ear.took(answer), came)
        ended = time.monotonic()
        behind = sum(ear.seconds * ear.weight for ear in self._due) >= AT_ONCE_SECONDS
        self._not_before = ended + (0.0 if behind else min(LONGEST_REST, REST * (ended - began)))
        self._planned = False
        self._plan()

    async def _asked(self, asked: Sequence[Asked]) -> list[Answer | VoxaffectError]:
        work = asyncio.wrap_future(self._thread.submit(self._hear, asked))
        for _ in range(2):  # a machine that stood still for a while is not taken for a process that does
            if (await asyncio.wait([work], timeout=PATIENCE))[0]:
                return work.result()
        if self._process is not None:
            self._process.kill()
        return await work

    # What follows runs in the thread.

    def _alive(self) -> HearingProcess:
        """The process, a new one if it has ended."""
        if self._process is not None and not self._process.alive:
            self._replace()
        if self._process is None and not self._closed:
            process = self._process = HearingProcess(self._model)
            try:
                process.wait_ready()
            except (channel.ChannelError, OSError):
                self._process = None
                process.close()
                raise
        if self._process is None:
            raise channel.ChannelError("it is over")
        return self._process

    def _replace(self) -> None:
        if self._process is not None and not self._closed:
            self._on_replace("crashed")
            self._process.close()
            self._process = None

    def _open(self, number: int, opening: Opening) -> None:
        with suppress(channel.ChannelError, OSError):  # the stream will be told that it is lost
            self._alive().open(number, opening)

    def _drop(self, number: int) -> None:
        if self._process is not None:
            with suppress(OSError):
                self._process.drop(number)

    def _hear(self, asked: Sequence[Asked]) -> list[Answer | VoxaffectError]:
        try:
            return self._alive().hear(asked)
        except Exception:  # it has gone, or says what nobody understands: others must be heard all the same
            self._replace()
            return [lost() for _ in asked]


class HearingPool:
    """`n` processes that hear, each for its share of the streams; belongs to one event loop."""

    def __init__(
        self, model: ModelFile, n: int, *, on_replace: Callable[[str], None] = lambda reason: None
    ) -> None:
        self._all = [Hearing(model, on_replace=on_replace) for _ in range(n)]

    async def start(self) -> None:
        """Start them; raises RuntimeError as `Hearing.start`."""
        await asyncio.gather(*(hearing.start() for hearing in self._all))

    def open(self, opening: Opening, heard: Callable[[Heard, float], None]) -> Ear:
        """As `Hearing.open`, of the one that has least to do."""
        return min(self._all, key=lambda hearing: hearing.burden).open(opening, heard)

    def close(self) -> None:
        """End them."""
        for hearing in self._all:
            hearing.close()
