"""One recording from blocks of audio to segments and summaries: the engine of live streams, fed from a decoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from voxaffect.audio import SAMPLE_RATE
from voxaffect.events import Event, StreamResult, UtteranceEnd
from voxaffect.judge import Judge
from voxaffect.recogniser import BATCH, Recogniser
from voxaffect.result import ChannelSummary, Segment, Settings
from voxaffect.segmenter import Cue, Segmenter, to_judge
from voxaffect.segments import Segments
from voxaffect.speech_detector import detectors
from voxaffect.utterances import End
from voxaffect.vad import loudest_dbfs, quality_flags
from voxaffect.voting import Answer

Floats = npt.NDArray[np.float32]
LogProbs = npt.NDArray[np.float64]


@dataclass
class _Channel:
    """What has been heard on one channel so far."""

    number: int
    log_probs: LogProbs  # (M, K): sum over its windows, times their seconds
    seconds: float = 0.0
    speech_seconds: float = 0.0
    labels: dict[str, float] = field(default_factory=dict)  # seconds of windows by label


class Listener:
    """Takes the blocks of one recording and keeps what is heard in it; memory grows by 100 bytes a segment.

    `channels` are the numbers of those in the blocks; None is a mix. `offset` is where in the file the first sample
    stands (s), `flags` go to every segment, `roles` are by channel. A segment whose score is below `uncertain_below`,
    or on which no more than half of the members agree, is uncertain.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        settings: Settings,
        *,
        offset: float = 0.0,
        uncertain_below: float = 0.0,
        flags: tuple[str, ...] = (),
        roles: Mapping[int, str] | None = None,
        channels: Sequence[int] | None = None,
    ) -> None:
        self._recogniser = recogniser
        self._roles = dict(roles or {})
        self._numbers = (0,) if channels is None else tuple(channels)
        self._judge = Judge(
            recogniser.model,
            offset=offset,
            uncertain_below=uncertain_below,
            flags=flags,
            smoothing=settings.smoothing,
            named=True,
        )
        model = recogniser.model
        self._channels = [
            _Channel(number, np.zeros((model.members, len(model.labels)))) for number in self._numbers
        ]
        self._segmenter = Segmenter(
            self._numbers,
            detectors(settings.vad),
            window=round(settings.window * SAMPLE_RATE),
            hop=round(settings.hop * SAMPLE_RATE),
        )
        self._cues: list[Cue] = []
        self._n_waiting = 0
        self._n_samples = 0
        self.segments = Segments(recogniser.model.labels, self._roles)
        """What was said of the windows of all utterances."""
        self.loudest = -200.0
        """The highest level of any frame of 20 ms, dBFS."""
        self.flagged: Counter[str] = Counter()
        """How many seconds, of all channels, have which fault of the signal."""
        self.n_seconds = 0
        """Seconds of all channels together, begun ones counted whole."""

    @property
    def seconds(self) -> float:
        """How much audio has come in."""
        return self._n_samples / SAMPLE_RATE

    def feed(self, block: Floats) -> Iterator[Event]:
        """Take `block` (n, C) at 16 kHz, of the same channels as any other; what is known by now.

        Blocks should be of whole seconds, or `flagged` counts too many.
        """
        self._n_samples += len(block)
        self._inspect(block)
        self._cues += (cues := self._segmenter.feed(block))
        self._n_waiting += sum(cue.samples is not None for cue in cues)
        if self._n_waiting >= BATCH:
            yield from self.catch_up()

    def finish(self) -> Iterator[Event]:
        """Hear the end; `segments` and `summary` are complete after it."""
        self._cues += self._segmenter.flush()
        yield from self.catch_up()

    def catch_up(self) -> Iterator[Event]:
        """Say what is known by now, without waiting for as many windows as go through the model together."""
        cues, self._cues, self._n_waiting = self._cues, [], 0
        answers = iter(self._recogniser.means(*to_judge(cues)))
        for cue in cues:
            event = self._judge.event(cue, None if cue.samples is None else next(answers))
            channel = self._channels[self._numbers.index(cue.channel)]
            if isinstance(event, StreamResult) and event.label is not None:
                self._keep(channel, event)
            elif isinstance(event, UtteranceEnd) and isinstance(cue.step, End):
                channel.speech_seconds += cue.step.speech / SAMPLE_RATE
            yield event

    def overall(self) -> Answer | None:
        """The answer over all windows of all channels: the vote on `log_probs`."""
        return self._answer(self._channels)

    def log_probs(self) -> LogProbs | None:
        """Each member's mean log-probabilities (M, K) over all windows of all channels, by their seconds."""
        return _mean(self._channels)

    def summary(self) -> tuple[ChannelSummary, ...]:
        """The answer for each channel."""
        return tuple(self._summary(channel, self._answer([channel])) for channel in self._channels)

    def _summary(self, channel: _Channel, answer: Answer | None) -> ChannelSummary:
        labels = self._recogniser.model.labels if answer else ()
        return ChannelSummary(
            channel=channel.number,
            label=answer.label if answer else None,
            score=answer.score if answer else None,
            speech_seconds=round(channel.speech_seconds, 3),
            share={label: channel.labels.get(label, 0.0) / channel.seconds for label in labels},
            role=self._roles.get(channel.number),
        )

    def _inspect(self, block: Floats) -> None:
        for waveform in block.T:
            self.loudest = max(self.loudest, loudest_dbfs(waveform))
            for start in range(0, len(waveform), SAMPLE_RATE):
                self.n_seconds += 1
                self.flagged.update(quality_flags(waveform[start : start + SAMPLE_RATE]))

    def _keep(self, channel: _Channel, result: StreamResult) -> None:
        assert result.label is not None and result.score is not None and result.agreement is not None
        seconds = result.end - result.start
        channel.log_probs += seconds * result.mean_log_probs
        channel.seconds += seconds
        channel.labels[result.label] = channel.labels.get(result.label, 0.0) + seconds
        self.segments.append(
            Segment(
                channel=channel.number,
                start=result.start,
                end=result.end,
                label=result.label,
                score=result.score,
                probs=result.probs,
                votes=result.votes,
                agreement=result.agreement,
                uncertain=result.uncertain,
                flags=result.flags,
            )
        )

    def _answer(self, channels: list[_Channel]) -> Answer | None:
        log_probs = _mean(channels)
        return None if log_probs is None else self._judge.answer(log_probs)


def _mean(channels: Sequence[_Channel]) -> LogProbs | None:
    seconds = sum(channel.seconds for channel in channels)
    if not seconds:
        return None
    return np.asarray(np.sum([channel.log_probs for channel in channels], axis=0) / seconds)
