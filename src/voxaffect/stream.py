"""A live stream: pieces of audio in, events out, in bounded memory; the same answers as of the whole recording.

`Stream.feed` does everything. A server that judges many streams together takes it apart: `accept` and `finish` give
cues (`intake.accept_all` those of many streams at once, `Stream.opening` lets another process hear), `Recogniser.means`
answers the samples of many cues, and `event` turns each cue with its answer into an event. One stream is used by one
thread at a time; different streams share the model freely.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

import numpy as np
import numpy.typing as npt

from voxaffect.audio import Notice
from voxaffect.events import Event
from voxaffect.intake import Intake, Opening
from voxaffect.judge import Judge
from voxaffect.pcm import Piece
from voxaffect.recogniser import Recogniser
from voxaffect.segmenter import Cue, to_judge


class Stream:
    """What `Predictor.stream` returns. A context manager that closes itself; what `close` then says is not seen.

    `opening` is how it was opened, `intake` what hears it.
    """

    def __init__(self, recogniser: Recogniser, opening: Opening, judge: Judge) -> None:
        self._recogniser = recogniser
        self._judge = judge
        self.opening = opening
        self.intake: Intake = opening.intake()

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
        self.intake.closed = True

    @property
    def closed(self) -> bool:
        """Whether nothing can be fed any more."""
        return self.intake.closed

    @property
    def warnings(self) -> list[Notice]:
        """What was noticed: `narrowband`, `truncated`."""
        return self.intake.warnings

    @property
    def received_seconds(self) -> float:
        """How much audio has come in."""
        return self.intake.received_seconds

    @property
    def n_utterances(self) -> int:
        """How many utterances have begun."""
        return self.intake.n_utterances

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
        return self._answered(self.finish())

    def accept(self, piece: Piece) -> list[Cue]:
        """`feed` without the model: the cues that the piece decides. Each must go to `event`, in this order."""
        return self.intake.accept(piece)

    def pause(self) -> list[Cue]:
        """`flush` without the model."""
        return self.intake.pause()

    def finish(self) -> list[Cue]:
        """`close` without the model."""
        return self.intake.finish()

    def event(self, cue: Cue, log_probs: npt.NDArray[np.float64] | None = None) -> Event:
        """The event of `cue`; `log_probs` (M, K) is the model's answer where the cue has `samples`."""
        return self._judge.event(cue, log_probs)

    def _answered(self, cues: Sequence[Cue]) -> list[Event]:
        answers = iter(self._recogniser.means(*to_judge(cues)))
        return [self.event(cue, None if cue.samples is None else next(answers)) for cue in cues]


def open_stream(recogniser: Recogniser, opening: Opening, *, uncertain_below: float) -> Stream:
    """The stream that `Predictor.stream` describes. Raises as `Opening.intake`."""
    settings = opening.settings
    judge = Judge(
        recogniser.model,
        uncertain_below=uncertain_below,
        flags=("narrowband",) if opening.is_narrowband else (),
        smoothing=settings.smoothing,
        named=settings.channels == "split",
    )
    return Stream(recogniser, opening, judge)
