"""One recording from blocks of audio to segments and summaries: windows, activity, model, vote."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxaffect.audio import SAMPLE_RATE
from voxaffect.recogniser import BATCH, Item, Recogniser
from voxaffect.result import ChannelSummary, Segment
from voxaffect.timeline import Windows
from voxaffect.vad import is_active, loudest_dbfs, quality_flags
from voxaffect.voting import Answer, vote

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Window:
    """A window on its way through the model: where it is, and how many items it became."""

    channel: int
    start: float
    end: float
    flags: tuple[str, ...]
    n_items: int


class _Channel:
    """What has been heard on one channel so far."""

    def __init__(self, number: int, n_members: int, n_labels: int) -> None:
        self.number = number
        self.log_probs = np.zeros((n_members, n_labels))  # sum over its windows
        self.n_windows = 0
        self.speech_seconds = 0.0  # of the union of its windows
        self.covered = 0.0
        self.labels: Counter[str] = Counter()


class Listener:
    """Takes the blocks of one recording and keeps what is heard in it; memory does not grow with silence.

    `window` and `hop` are in seconds, `offset` is where in the file the first sample stands, `flags` go to
    every segment. A segment whose score is below `uncertain_below`, or on which no more than half of the members
    agree, is uncertain.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        *,
        window: float,
        hop: float,
        vad: bool = True,
        offset: float = 0.0,
        uncertain_below: float = 0.0,
        flags: tuple[str, ...] = (),
        first_channel: int = 0,
    ) -> None:
        self.segments: list[Segment] = []
        """The segments with activity, by time and then channel."""
        self.n_windows = 0
        """Windows of all channels, active or not."""
        self.loudest = -200.0
        """The highest level of any window without activity, dBFS."""
        self.flagged: Counter[str] = Counter()
        """How many windows, active or not, have which fault of the signal."""
        self._recogniser = recogniser
        self._windows = Windows(round(window * SAMPLE_RATE), round(hop * SAMPLE_RATE))
        self._vad = vad
        self._offset = offset
        self._uncertain_below = uncertain_below
        self._flags = flags
        self._first_channel = first_channel
        self._channels: list[_Channel] = []
        self._waiting: list[_Window] = []
        self._items: list[Item] = []

    @property
    def seconds(self) -> float:
        """How much audio has come in."""
        return self._windows.n_samples / SAMPLE_RATE

    def feed(self, block: Floats) -> None:
        """Take `block` (n, C) at 16 kHz; every block has the same channels."""
        if not self._channels:
            model = self._recogniser.model
            self._channels = [
                _Channel(self._first_channel + c, model.members, len(model.labels))
                for c in range(block.shape[1])
            ]
        for start, samples in self._windows.feed(block):
            self._hear(start, samples)

    def finish(self) -> None:
        """Hear the end; `segments` and `summary` are complete after it."""
        for start, samples in self._windows.finish():
            self._hear(start, samples)
        self._recognise()

    def overall(self) -> Answer | None:
        """The answer over all windows of all channels: the vote on each member's mean log-probabilities."""
        return self._answer(self._channels)

    def summary(self) -> tuple[ChannelSummary, ...]:
        """The answer for each channel."""
        summaries = []
        for channel in self._channels:
            answer = self._answer([channel])
            summaries.append(
                ChannelSummary(
                    channel=channel.number,
                    label=answer.label if answer else None,
                    score=answer.score if answer else None,
                    speech_seconds=channel.speech_seconds,
                    share={
                        label: channel.labels[label] / channel.n_windows
                        for label in self._recogniser.model.labels
                    }
                    if answer
                    else {},
                )
            )
        return tuple(summaries)

    def _hear(self, first: int, samples: Floats) -> None:
        start = self._offset + first / SAMPLE_RATE
        end = self._offset + (first + len(samples)) / SAMPLE_RATE
        for c, channel in enumerate(self._channels):
            waveform = samples[:, c].copy()  # the features may keep it, and the buffer moves on
            self.n_windows += 1
            faults = quality_flags(waveform)
            self.flagged.update(faults)
            if self._vad and not is_active(waveform):
                self.loudest = max(self.loudest, loudest_dbfs(waveform))
                continue
            channel.speech_seconds += end - max(start, channel.covered)
            channel.covered = end
            items = self._recogniser.items(waveform)
            self._items.extend(items)
            self._waiting.append(_Window(channel.number, start, end, (*self._flags, *faults), len(items)))
        if len(self._items) >= BATCH:
            self._recognise()

    def _recognise(self) -> None:
        if not self._items:
            return
        log_probs = self._recogniser.log_probs(self._items)  # (n, M, K)
        at = 0
        for window in self._waiting:
            mean = log_probs[at : at + window.n_items].mean(axis=0)  # (M, K)
            at += window.n_items
            channel = self._channels[window.channel - self._first_channel]
            channel.log_probs += mean
            channel.n_windows += 1
            self.segments.append(self._segment(window, mean))
            channel.labels[self.segments[-1].label] += 1
        self._waiting.clear()
        self._items.clear()

    def _segment(self, window: _Window, log_probs: npt.NDArray[np.float64]) -> Segment:
        answer = self._vote(log_probs)
        return Segment(
            channel=window.channel,
            start=window.start,
            end=window.end,
            label=answer.label,
            score=answer.score,
            probs=answer.probs,
            votes=answer.votes,
            agreement=answer.agreement,
            uncertain=answer.contested or answer.score < self._uncertain_below,
            flags=(*window.flags, "tie") if answer.tied else window.flags,
        )

    def _answer(self, channels: list[_Channel]) -> Answer | None:
        n_windows = sum(channel.n_windows for channel in channels)
        if n_windows == 0:
            return None
        return self._vote(np.sum([channel.log_probs for channel in channels], axis=0) / n_windows)

    def _vote(self, log_probs: npt.NDArray[np.float64]) -> Answer:
        model = self._recogniser.model
        return vote(log_probs, model.labels, temperature=model.temperature, rule=model.vote)
