"""From what a model says of windows to what is said of them: smoothing, vote, doubt; in the order of the stream."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from voxaffect.audio import SAMPLE_RATE
from voxaffect.events import Event, StreamResult, UtteranceEnd, UtteranceStart
from voxaffect.modelfile import ModelFile
from voxaffect.segmenter import Cue
from voxaffect.utterances import End, Start, Window
from voxaffect.voting import Answer, vote

Floats = npt.NDArray[np.float64]

HALF_LIFE = 1.0
"""Seconds after which what was heard counts half as much in a smoothed answer."""


@dataclass
class _Memory:
    """What was last said in the utterance that a channel is in: smoothed log-probabilities, up to sample `stop`."""

    log_probs: Floats | None = None
    stop: int = 0


@dataclass(eq=False)
class Judge:
    """Turns the cues of one stream, in their order, into events.

    With `smoothing`, a window's log-probabilities of each member are averaged with the windows before it in the same
    utterance: y(k) = (1 - a) y(k-1) + a x(k), a = 1 - 2^(-d / HALF_LIFE), where d is by how many seconds the window
    ends later than the one before. It looks at nothing that is yet to come. A window that is not final is smoothed
    the same way and leaves no trace.

    `offset`: seconds of the first sample; `flags` go to every result; results with a score under `uncertain_below`, or
    on which no more than half of the members agree, are uncertain. `named` says whether events name their channel.
    """

    model: ModelFile
    offset: float = 0.0
    uncertain_below: float = 0.0
    flags: tuple[str, ...] = ()
    smoothing: bool = True
    named: bool = False
    _memories: dict[int, _Memory] = field(default_factory=dict)

    def event(self, cue: Cue, log_probs: Floats | None = None) -> Event:
        """What is said of `cue`; where it has `samples`, `log_probs` (M, K) is each member's mean over them."""
        step, channel = cue.step, cue.channel if self.named else None
        if isinstance(step, Start):
            self._memories[cue.channel] = _Memory()
            return UtteranceStart(cue.utterance, self._seconds(step.start), channel)
        if isinstance(step, End):
            return UtteranceEnd(cue.utterance, self._seconds(step.stop), channel)
        flags = (*self.flags, *cue.flags)
        if cue.samples is None:
            return self._result(cue, step, None, flags, None)
        if log_probs is None:
            raise ValueError("this cue has samples: it needs the model's answer")
        answer = self.answer(self._smoothed(cue.channel, step, log_probs))
        return self._result(cue, step, answer, (*flags, "tie") if answer.tied else flags, log_probs)

    def answer(self, log_probs: Floats) -> Answer:
        """The vote on `log_probs` (M, K)."""
        model = self.model
        return vote(log_probs, model.labels, temperature=model.temperature, rule=model.vote)

    def _smoothed(self, channel: int, window: Window, log_probs: Floats) -> Floats:
        memory = self._memories[channel]
        smoothed = log_probs
        if self.smoothing and memory.log_probs is not None:
            later = max(0.0, (window.stop - memory.stop) / SAMPLE_RATE)
            weight = 1.0 - 2.0 ** (-later / HALF_LIFE)
            smoothed = (1.0 - weight) * memory.log_probs + weight * log_probs
        if window.final:
            memory.log_probs, memory.stop = smoothed, window.stop
        return np.asarray(smoothed)

    def _result(
        self,
        cue: Cue,
        window: Window,
        answer: Answer | None,
        flags: tuple[str, ...],
        log_probs: Floats | None,
    ) -> StreamResult:
        return StreamResult(
            utterance=cue.utterance,
            start=self._seconds(window.start),
            end=self._seconds(window.stop),
            trigger=window.trigger,
            final=window.final,
            label=answer.label if answer else None,
            score=answer.score if answer else None,
            probs=answer.probs if answer else {},
            votes=answer.votes if answer else {},
            agreement=answer.agreement if answer else None,
            uncertain=answer is not None and (answer.contested or answer.score < self.uncertain_below),
            reason=None if answer else "too_short",
            flags=flags,
            channel=cue.channel if self.named else None,
            mean_log_probs=log_probs,
        )

    def _seconds(self, sample: int) -> float:
        return self.offset + sample / SAMPLE_RATE
