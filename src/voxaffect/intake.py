"""The part of a live stream that comes before the model: pieces of audio in, cues out, in bounded memory.

No model is needed here and none is loaded, so that a server can hear for its streams in another process: an `Opening`
says all that such a process needs to know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxaffect.audio import NARROWBAND_RATE, SAMPLE_RATE, Notice, mono, narrowband
from voxaffect.errors import UsageError, VoxaffectError
from voxaffect.pcm import PcmReader, Piece
from voxaffect.result import Settings
from voxaffect.segmenter import Cue, Segmenter
from voxaffect.speech_detector import Asked, Decisions, detectors, hear

Floats = npt.NDArray[np.float32]

MIN_INTERVAL, MAX_INTERVAL = 0.25, 60.0
"""Seconds between the results of a stream."""


@dataclass(frozen=True)
class Opening:
    """How a stream is heard: the audio that comes, what of it is judged, and how often (`interval`, seconds).

    `intake` checks it.
    """

    settings: Settings
    sample_rate: int
    encoding: str = "pcm_s16le"
    channels: int = 1
    interval: float = 1.0

    @property
    def is_narrowband(self) -> bool:
        """Whether the audio has too low a rate for what the model listens to."""
        return self.sample_rate <= NARROWBAND_RATE

    def intake(self) -> Intake:
        """What hears such a stream. Raises UsageError `bad_value` for what is out of range or not there."""
        reader = PcmReader(sample_rate=self.sample_rate, encoding=self.encoding, channels=self.channels)
        if not MIN_INTERVAL <= self.interval <= MAX_INTERVAL:
            raise UsageError(
                "bad_value",
                f"interval is {self.interval!r}; expected {MIN_INTERVAL:g} to {MAX_INTERVAL:g} seconds",
            )
        settings = self.settings
        number = settings.channels if isinstance(settings.channels, int) else None
        if number is not None and number >= reader.channels:
            raise UsageError("bad_value", f"channel {number} of {reader.channels}, counted from 0")
        segmenter = Segmenter(
            range(reader.channels) if settings.channels == "split" else (number or 0,),
            detectors(settings.vad),
            window=round(settings.window * SAMPLE_RATE),
            hop=round(settings.hop * SAMPLE_RATE),
            interval=round(self.interval * SAMPLE_RATE),
        )
        intake = Intake(reader, segmenter, picker(settings.channels))
        if self.is_narrowband:
            intake.warnings.append(narrowband(reader.sample_rate))
        return intake


class Intake:
    """Hears one stream; what `Opening.intake` returns. One thread at a time may use it."""

    def __init__(
        self,
        reader: PcmReader,
        segmenter: Segmenter,
        pick: Callable[[Floats], Floats],
    ) -> None:
        self._reader = reader
        self._segmenter = segmenter
        self._pick = pick
        self.closed = False
        self.warnings: list[Notice] = []
        """What was noticed: `narrowband`, `truncated`."""

    @property
    def received_seconds(self) -> float:
        """How much audio has come in."""
        return self._reader.received_seconds

    @property
    def n_utterances(self) -> int:
        """How many utterances have begun."""
        return self._segmenter.n_utterances

    def accept(self, piece: Piece) -> list[Cue]:
        """The cues that the next piece decides.

        Raises AudioError `unsupported_format`, `non_finite` or `out_of_range`; UsageError `stream_closed`.
        """
        return self.decide(hear(self.due(piece)))

    def due(self, piece: Piece) -> list[Asked]:
        """`accept` without the speech detector: what `hear` is to be asked. Its answers must go to `decide`."""
        if self.closed:
            raise UsageError("stream_closed", "the stream is closed; nothing can be fed to it any more")
        return self._segmenter.due(self._pick(self._reader.read(piece)))

    def decide(self, speech: Sequence[Decisions]) -> list[Cue]:
        """The cues that follow from what `hear` answered to what was due."""
        return self._segmenter.decide(speech)

    def pause(self) -> list[Cue]:
        """End the utterance that is going on; the stream goes on."""
        return [] if self.closed else self._segmenter.flush()

    def finish(self) -> list[Cue]:
        """End the stream; nothing if it is closed already."""
        if self.closed:
            return []
        self.closed = True
        if self._reader.n_left_over:
            left = self._reader.n_left_over
            self.warnings.append(
                Notice("truncated", f"the stream ends within a sample: {left} bytes left over")
            )
        return self._segmenter.feed(self._pick(self._reader.finish())) + self._segmenter.flush()


def accept_all(pieces: Sequence[tuple[Intake, Piece]]) -> list[list[Cue] | VoxaffectError]:
    """`Intake.accept` of the next piece of each of many different streams, or its error.

    The speech detector hears all together, which costs a third of hearing each by itself; the answers are the same.
    """
    taken: list[list[Asked] | VoxaffectError] = []
    for intake, piece in pieces:
        try:
            taken.append(intake.due(piece))
        except VoxaffectError as error:
            taken.append(error)
    said = iter(hear([each for asked in taken if not isinstance(asked, VoxaffectError) for each in asked]))
    return [
        asked if isinstance(asked, VoxaffectError) else intake.decide([next(said) for _ in asked])
        for (intake, _), asked in zip(pieces, taken, strict=True)
    ]


def picker(channels: str | int) -> Callable[[Floats], Floats]:
    """What takes of a block (n, C) the channels (n, C') that are asked for."""
    if channels == "mix":
        return lambda block: mono(block)[:, None]
    if isinstance(channels, int):
        return lambda block: block[:, channels : channels + 1]
    return lambda block: block
