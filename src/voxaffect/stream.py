"""A live stream: pieces of audio in, events out, in bounded memory; the same answers as of the whole recording.

`Stream.feed` does everything. A server that judges many streams together takes it apart: `accept_all` and `finish`
give cues, `Recogniser.means` answers the samples of many cues at once, and `event` turns each cue with its answer into
an event. One stream is used by one thread at a time; different streams share the model freely.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType

import numpy as np
import numpy.typing as npt

from voxaffect.audio import NARROWBAND_RATE, SAMPLE_RATE, Notice, mono, narrowband
from voxaffect.errors import UsageError, VoxaffectError
from voxaffect.events import Event
from voxaffect.judge import Judge
from voxaffect.pcm import PcmReader, Piece
from voxaffect.recogniser import Recogniser
from voxaffect.result import Settings
from voxaffect.segmenter import Cue, Segmenter
from voxaffect.speech_detector import Asked, Decisions, detectors, hear

Floats = npt.NDArray[np.float32]

MIN_INTERVAL, MAX_INTERVAL = 0.25, 60.0
"""Seconds between the results of a stream."""


class Stream:
    """What `Predictor.stream` returns. A context manager that closes itself; what `close` then says is not seen."""

    def __init__(
        self,
        recogniser: Recogniser,
        reader: PcmReader,
        judge: Judge,
        segmenter: Segmenter,
        pick: Callable[[Floats], Floats] = lambda block: mono(block)[:, None],
    ) -> None:
        self._recogniser = recogniser
        self._reader = reader
        self._judge = judge
        self._segmenter = segmenter
        self._pick = pick
        self.closed = False
        self.warnings: list[Notice] = []
        """What was noticed: `narrowband`, `truncated`."""
        if reader.sample_rate <= NARROWBAND_RATE:
            self.warnings.append(narrowband(reader.sample_rate))

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self.closed and kind is None:
            self.close()
        self.closed = True

    @property
    def received_seconds(self) -> float:
        """How much audio has come in."""
        return self._reader.received_seconds

    @property
    def n_utterances(self) -> int:
        """How many utterances have begun."""
        return self._segmenter.n_utterances

    def feed(self, piece: Piece) -> list[Event]:
        """Take the next piece, of any size: bytes in the stream's encoding, or samples (n,) or (n, C).

        Raises AudioError `unsupported_format`, `non_finite` or `out_of_range`; UsageError `stream_closed`;
        VoxaffectError `inference_failed`.
        """
        return self._answered(self.accept(piece))

    def flush(self) -> list[Event]:
        """End the utterance that is going on and say all about it; the stream goes on."""
        return self._answered(self.pause())

    def close(self) -> list[Event]:
        """End the stream and say what is left to say; nothing if it is closed already."""
        return [] if self.closed else self._answered(self.finish())

    def accept(self, piece: Piece) -> list[Cue]:
        """`feed` without the model: the cues that the piece decides. Each must go to `event`, in this order."""
        return self._segmenter.decide(hear(self.due(piece)))

    def due(self, piece: Piece) -> list[Asked]:
        """`accept` without the speech detector: what `hear` is to be asked. Its answers must go to `decide`."""
        if self.closed:
            raise UsageError("stream_closed", "the stream is closed; nothing can be fed to it any more")
        return self._segmenter.due(self._pick(self._reader.read(piece)))

    def decide(self, speech: Sequence[Decisions]) -> list[Cue]:
        """The cues that follow from what `hear` answered to what was due."""
        return self._segmenter.decide(speech)

    def pause(self) -> list[Cue]:
        """`flush` without the model."""
        return [] if self.closed else self._segmenter.flush()

    def finish(self) -> list[Cue]:
        """`close` without the model."""
        if self.closed:
            return []
        self.closed = True
        if self._reader.n_left_over:
            left = self._reader.n_left_over
            self.warnings.append(
                Notice("truncated", f"the stream ends within a sample: {left} bytes left over")
            )
        return self._segmenter.feed(self._pick(self._reader.finish())) + self._segmenter.flush()

    def event(self, cue: Cue, log_probs: npt.NDArray[np.float64] | None = None) -> Event:
        """The event of `cue`; `log_probs` (M, K) is the model's answer where the cue has `samples`."""
        return self._judge.event(cue, log_probs)

    def _answered(self, cues: Sequence[Cue]) -> list[Event]:
        waveforms = [cue.samples for cue in cues if cue.samples is not None]
        answers = iter(self._recogniser.means(waveforms))
        return [self.event(cue, None if cue.samples is None else next(answers)) for cue in cues]


def accept_all(pieces: Sequence[tuple[Stream, Piece]]) -> list[list[Cue] | VoxaffectError]:
    """`Stream.accept` of the next piece of each of many different streams, or its error.

    The speech detector hears all together, which costs a third of hearing each by itself; the answers are the same.
    """
    taken: list[list[Asked] | VoxaffectError] = []
    for stream, piece in pieces:
        try:
            taken.append(stream.due(piece))
        except VoxaffectError as error:
            taken.append(error)
    said = iter(hear([each for asked in taken if not isinstance(asked, VoxaffectError) for each in asked]))
    return [
        asked if isinstance(asked, VoxaffectError) else stream.decide([next(said) for _ in asked])
        for (stream, _), asked in zip(pieces, taken, strict=True)
    ]


def open_stream(
    recogniser: Recogniser,
    settings: Settings,
    reader: PcmReader,
    *,
    interval: float,
    uncertain_below: float,
) -> Stream:
    """The stream that `Predictor.stream` describes.

    Raises UsageError `bad_value` for an interval out of range or a channel that is not there.
    """
    if not MIN_INTERVAL <= interval <= MAX_INTERVAL:
        raise UsageError(
            "bad_value", f"interval is {interval!r}; expected {MIN_INTERVAL:g} to {MAX_INTERVAL:g} seconds"
        )
    number = settings.channels if isinstance(settings.channels, int) else None
    if number is not None and number >= reader.channels:
        raise UsageError("bad_value", f"channel {number} of {reader.channels}, counted from 0")
    judge = Judge(
        recogniser.model,
        uncertain_below=uncertain_below,
        flags=("narrowband",) if reader.sample_rate <= NARROWBAND_RATE else (),
        smoothing=settings.smoothing,
        named=settings.channels == "split",
    )
    segmenter = Segmenter(
        range(reader.channels) if settings.channels == "split" else (number or 0,),
        detectors(settings.vad),
        window=round(settings.window * SAMPLE_RATE),
        hop=round(settings.hop * SAMPLE_RATE),
        interval=round(interval * SAMPLE_RATE),
    )
    return Stream(recogniser, reader, judge, segmenter, picker(settings.channels))


def picker(channels: str | int) -> Callable[[Floats], Floats]:
    """What takes of a block (n, C) the channels (n, C') that are asked for."""
    if channels == "mix":
        return lambda block: mono(block)[:, None]
    if isinstance(channels, int):
        return lambda block: block[:, channels : channels + 1]
    return lambda block: block
