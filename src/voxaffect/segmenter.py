"""Blocks of one or more channels in, cues out: where utterances begin and end, and what is to be judged.

No model runs here. Whoever runs one answers the cues that have `samples`, one by one or many streams' together, and
gives the answers to a `Judge`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from voxaffect.overlap import Place
from voxaffect.speech_detector import Asked, Decisions, hear
from voxaffect.utterances import Detector, End, Start, Step, Utterances, Window
from voxaffect.vad import quality_flags

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Cue:
    """A step of one utterance of one channel; `flags` name faults of a window's signal."""

    channel: int
    utterance: int
    step: Step
    flags: tuple[str, ...] = ()

    @property
    def samples(self) -> Floats | None:
        """What the model is to judge (n,) at 16 kHz, or None where there is no need or too little."""
        step = self.step
        return step.samples if isinstance(step, Window) and step.suffices else None


def to_judge(cues: Sequence[Cue]) -> tuple[list[Floats], list[Place]]:
    """The samples of those of `cues` that have some, and where each stands."""
    windows = [cue.step for cue in cues if isinstance(cue.step, Window) and cue.step.suffices]
    return [window.samples for window in windows], [window.place for window in windows]


class Segmenter:
    """Cuts the channels numbered `numbers` at once; see `Utterances` for the times, which are samples at 16 kHz.

    Cues come in the order in which they are decided, the channels' in turn; neither order nor numbers depend on the
    sizes of the blocks. Utterances are numbered from 1 through all channels.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        detector: Callable[[], Detector | None],
        *,
        window: int,
        hop: int,
        interval: int | None = None,
    ) -> None:
        self._channels = [Utterances(detector(), window=window, hop=hop, interval=interval) for _ in numbers]
        self._numbers = tuple(numbers)
        self._current = [0] * len(numbers)  # the utterance that each channel is in
        self.n_utterances = 0
        """How many utterances have begun."""

    @property
    def n_held(self) -> int:
        """Samples held, of all channels."""
        return sum(channel.n_held for channel in self._channels)

    def feed(self, block: Floats) -> list[Cue]:
        """Take the next `block` (n, C); the cues that it decides. Raises as `due`."""
        return self.decide(hear(self.due(block)))

    def due(self, block: Floats) -> list[Asked]:
        """Take the next `block` (n, C): what `hear` is to be asked, of each channel; `decide` takes the answers.

        Raises ValueError if the block has another number of channels.
        """
        if block.shape[1] != len(self._channels):
            raise ValueError(f"a block has {block.shape[1]} channels; expected {len(self._channels)}")
        return [(channel.detector, channel.due(block[:, c])) for c, channel in enumerate(self._channels)]

    def decide(self, speech: Sequence[Decisions]) -> list[Cue]:
        """The cues that follow from the answers, one for each channel, to what was due."""
        return self._cues(channel.decide(said) for channel, said in zip(self._channels, speech, strict=True))

    def flush(self) -> list[Cue]:
        """End the utterances that are going on, at what has come in so far."""
        return self._cues(channel.flush() for channel in self._channels)

    def _cues(self, by_channel: Iterable[Iterator[Step]]) -> list[Cue]:
        steps = [(step.at, c, step) for c, steps in enumerate(by_channel) for step in steps]
        steps.sort(key=lambda each: each[:2])  # a stable sort: a channel's own order stays
        return [self._cue(c, step) for _, c, step in steps]

    def _cue(self, c: int, step: Step) -> Cue:
        if isinstance(step, Start):
            self.n_utterances += 1
            self._current[c] = self.n_utterances
        flags = quality_flags(step.samples) if isinstance(step, Window) else ()
        return Cue(self._numbers[c], self._current[c], step, flags)


__all__ = ["Cue", "Detector", "End", "Segmenter", "Start", "Step", "Window", "to_judge"]
