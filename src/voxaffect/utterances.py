"""One channel of speech cut into utterances at its pauses, and each utterance into windows: no model, no clock.

A pure state machine. It is fed samples in pieces of any size and answers with steps; the steps depend on the samples
alone, not on the pieces. Offline prediction, live streams and the server all run this.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from voxaffect.audio import SAMPLE_RATE
from voxaffect.overlap import Overlap, Place

Floats = npt.NDArray[np.float32]

MIN_SECONDS = 0.2
"""Less than this is too short to be judged."""
MIN_SPEECH = 0.1
"""Seconds of speech in one piece that begin an utterance: a stressed vowel takes about as much, a click less."""
MIN_PAUSE = 0.5
"""Seconds without speech that end an utterance."""
BEFORE, AFTER = 0.2, 0.45
"""Seconds that an utterance has before its first speech and after its last: onsets and ends are soft.

It is known after `MIN_PAUSE` that nobody speaks; what was heard until then costs no time.
"""


class Detector(Protocol):
    """Says of each frame of `frame` samples whether there is speech in it."""

    frame: int

    def __call__(self, frames: Floats) -> npt.NDArray[np.bool_]:
        """Whether each of the next `frames` (n, frame) at 16 kHz is speech: (n,). May keep state."""
        ...


@dataclass(frozen=True)
class Start:
    """An utterance begins at sample `start`; `at` is the sample at which that was decided."""

    start: int
    at: int


@dataclass(frozen=True, eq=False)
class Window:
    """A stretch to be judged: `samples` (n,), a copy that ends with sample `stop`.

    Where the utterance is shorter than a window, the model also hears what came before, back to the utterance before:
    it has learnt from whole recordings, with the silence around speech. n is at most the samples of a window.

    Each utterance is covered by its windows with `final`; what is not final is said meanwhile. `trigger` is
    "interval" or "speech_ended".
    """

    start: int
    stop: int
    at: int
    final: bool
    trigger: str
    samples: Floats
    overlap: Overlap = field(default_factory=Overlap, repr=False)
    """What is known of the features of its channel."""

    @property
    def place(self) -> Place:
        """Where its samples stand."""
        return self.overlap, self.stop - len(self.samples)

    @property
    def suffices(self) -> bool:
        """Whether it is long enough for the model, which need not stand less than MIN_SECONDS."""
        return self.stop - self.start >= MIN_SECONDS * SAMPLE_RATE


@dataclass(frozen=True)
class End:
    """The utterance ends before sample `stop`; `speech` is how many samples of its frames were speech."""

    stop: int
    at: int
    speech: int


Step: TypeAlias = Start | Window | End


class Utterances:
    """Cuts a channel at 16 kHz into utterances and windows; holds no more than two windows and a piece.

    `window` and `hop` are samples: an utterance has windows of `window` samples every `hop` from its start, and a
    last one moved back to end where it ends, as `features.windows` cuts a recording; a shorter utterance is one
    window. Every `interval` samples of an utterance there is a window that ends there, final or not; None gives final
    windows alone. Without a `detector`, everything is one utterance.
    """

    def __init__(
        self, detector: Detector | None, *, window: int, hop: int, interval: int | None = None
    ) -> None:
        if not 1 <= hop <= window:
            raise ValueError(f"hop is {hop} and window {window} samples; expected 1 <= hop <= window")
        self._detector = detector
        self._frame = detector.frame if detector else SAMPLE_RATE // 50
        self._window, self._hop, self._interval = window, hop, interval
        self._tail = _Tail()
        self._overlap = Overlap()
        self._decided = 0  # samples of the frames that have been looked at
        self._run = 0  # frames of speech in a row, before an utterance
        self._last_stop = 0  # of the utterance before
        self._open = False
        self._start = self._next = self._tick = self._voiced = self._speech = self._final_stop = 0

    @property
    def detector(self) -> Detector | None:
        """What says where speech is."""
        return self._detector

    @property
    def n_samples(self) -> int:
        """How many samples have come in."""
        return self._tail.stop

    @property
    def n_held(self) -> int:
        """How many samples are held."""
        return self._tail.stop - self._tail.start

    def feed(self, samples: Floats) -> Iterator[Step]:
        """Take the next `samples` (n,); what they decide."""
        frames = self.due(samples)
        yield from self.decide(self._detector(frames) if self._detector else np.ones(len(frames), np.bool_))

    def due(self, samples: Floats) -> Floats:
        """Take the next `samples` (n,): the frames (m, frame) that the detector is now to be asked of.

        They may be none. `decide` takes what it says, before anything else happens.
        """
        self._tail.append(samples)
        n = (self._tail.stop - self._decided) // self._frame
        return self._tail.cut(self._decided, self._decided + n * self._frame).reshape(n, self._frame)

    def decide(self, speech: npt.NDArray[np.bool_]) -> Iterator[Step]:
        """What follows from what the detector says of the frames that were due: (m,)."""
        for is_speech in speech.tolist():
            self._decided += self._frame
            yield from self._in_speech(is_speech) if self._open else self._before(is_speech)
        self._forget()

    def flush(self) -> Iterator[Step]:
        """End the utterance that is going on, here and now; more samples may follow."""
        if not self._detector and not self._open and self._tail.stop > self._last_stop:
            yield from self._begin(self._last_stop)
        if self._open:
            yield from self._finish(min(self._limit, self._tail.stop))
        self._run = 0
        self._forget()

    @property
    def _limit(self) -> int:
        """Up to where the utterance reaches by what is known: no window may end later."""
        if self._detector is None:
            return self._tail.stop
        return self._voiced + round(AFTER * SAMPLE_RATE)

    def _before(self, is_speech: bool) -> Iterator[Step]:
        self._run = self._run + 1 if is_speech else 0
        needed = round(MIN_SPEECH * SAMPLE_RATE) if self._detector else 1
        if self._run * self._frame < needed:
            return
        first = self._decided - self._run * self._frame
        padding = round(BEFORE * SAMPLE_RATE) if self._detector else 0
        yield from self._begin(max(first - padding, self._last_stop))
        self._speech = self._run * self._frame
        yield from self._in_speech(True, counted=True)

    def _begin(self, start: int) -> Iterator[Step]:
        self._open = True
        self._start = self._next = start
        self._tick = start + (self._interval or 0)
        self._speech = 0
        self._final_stop = start
        yield Start(start, self._decided)

    def _in_speech(self, is_speech: bool, counted: bool = False) -> Iterator[Step]:
        if is_speech:
            self._voiced = self._decided
            self._speech += 0 if counted else self._frame
        if self._next + self._window <= self._decided:
            yield from self._whole_windows(min(self._limit, self._decided))
        if self._interval and self._tick <= self._decided:
            yield from self._meanwhile()
        if not is_speech and self._decided - self._voiced >= round(MIN_PAUSE * SAMPLE_RATE):
            yield from self._finish(self._limit)

    def _whole_windows(self, limit: int) -> Iterator[Step]:
        while self._next + self._window <= limit:
            self._final_stop = self._next + self._window
            yield self._cut(self._next, self._final_stop, True, "interval")
            self._next += self._hop

    def _meanwhile(self) -> Iterator[Step]:
        assert self._interval is not None
        stop = self._tick
        self._tick += self._interval
        said = self._final_stop >= stop
        silent = self._voiced <= stop - self._interval
        if not said and not silent and stop - self._start >= MIN_SECONDS * SAMPLE_RATE:
            yield self._cut(max(self._start, stop - self._window), stop, False, "interval")

    def _finish(self, stop: int) -> Iterator[Step]:
        yield from self._whole_windows(stop)
        if self._final_stop < stop:
            yield self._cut(max(self._start, stop - self._window), stop, True, "speech_ended")
        yield End(stop, self._decided, self._speech if self._detector else stop - self._start)
        self._open, self._run, self._last_stop = False, 0, stop

    def _cut(self, start: int, stop: int, final: bool, trigger: str) -> Window:
        heard = max(min(start, stop - self._window), self._last_stop, 0)
        return Window(
            start, stop, self._decided, final, trigger, self._tail.cut(heard, stop).copy(), self._overlap
        )

    def _forget(self) -> None:
        """Drop what no window can need any more: each ends after the last speech, if any, or after what is decided."""
        ends_after = self._voiced if self._open else self._decided - self._run * self._frame
        keep = max(self._last_stop, ends_after - self._window)
        self._tail.forget(min(keep, self._next) if self._open else min(keep, self._decided))


class _Tail:
    """The last samples of a stream, addressed by their number in it."""

    def __init__(self) -> None:
        self.start = 0
        self.stop = 0
        self._buffer = np.zeros(SAMPLE_RATE, np.float32)
        self._at = 0  # where in the buffer sample `start` stands

    def append(self, samples: Floats) -> None:
        held, n = self.stop - self.start, len(samples)
        if self._at + held + n > len(self._buffer):
            kept = self._buffer[self._at : self._at + held].copy()
            if held + n > len(self._buffer):
                self._buffer = np.zeros(2 * held + n, np.float32)
            self._buffer[:held] = kept
            self._at = 0
        self._buffer[self._at + held : self._at + held + n] = samples
        self.stop += n

    def cut(self, start: int, stop: int) -> Floats:
        shift = self._at - self.start
        return self._buffer[start + shift : stop + shift]

    def forget(self, before: int) -> None:
        if before > self.start:
            self._at += before - self.start
            self.start = before
